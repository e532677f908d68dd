// Preloaded into a child process (node --import), makes its disk fail as FS_FAULTS says, or kills it with SIGKILL at a chosen
// call. What is tested knows nothing of it: only node:fs is patched, for the callers that write.
//
//     { "kill": { "op": "rename", "n": 3 } }      right after the third renameSync ("before": true: right before it)
//     { "kill": { "op": "write", "n": 2 } }       after half of the bytes of the second write
//     { "error": { "op": "sync", "n": 1, "code": "EIO" } }        the first fsync fails; without n, all do
//     { "space": 5000 }                           a disk that takes 5,000 more bytes: then short writes, then ENOSPC
//     { "short": 100 }                            writes take 100 bytes at most
//     { "corrupt": 1 }                            the first file that is read back differs in a bit
//     { "delay": { "op": "sync", "ms": 500 } }    each fsync takes longer
//     { "log": "calls.txt" }                      writes the calls to a file

import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const faults = JSON.parse(process.env.FS_FAULTS ?? "{}");
const original = { ...fs };
const counts = new Map();
let space = faults.space ?? Infinity;

/** Counts a call; says whether it is the one to die at or to fail in. */
function enter(op) {
  const n = (counts.get(op) ?? 0) + 1;
  counts.set(op, n);
  if (faults.log !== undefined) original.appendFileSync(faults.log, `${op} ${n}\n`);
  const hit = (fault) => fault !== undefined && fault.op === op && (fault.n === undefined || fault.n === n);
  if (hit(faults.kill) && faults.kill.before) die();
  return { dies: hit(faults.kill), fails: hit(faults.error) };
}

function die() {
  process.kill(process.pid, "SIGKILL");
}

function failure(code, op) {
  return Object.assign(new Error(`${code}: injected by the test, ${op}`), { code, syscall: op });
}

/** Patches a synchronous function. */
function patchSync(name, op) {
  fs[name] = (...args) => {
    const { dies, fails } = enter(op);
    if (fails) throw failure(faults.error.code, op);
    const result = original[name](...args);
    if (dies) die();
    return result;
  };
}

/** Patches a function with a callback. */
function patch(name, op) {
  fs[name] = (...args) => {
    const done = args.pop();
    const { dies, fails } = enter(op);
    const wait = faults.delay?.op === op ? (work) => setTimeout(work, faults.delay.ms) : (work) => work();
    wait(() => {
      if (fails) return done(failure(faults.error.code, op));
      original[name](...args, (error, ...results) => {
        if (dies) die();
        done(error, ...results);
      });
    });
  };
}

patchSync("renameSync", "rename");
patchSync("linkSync", "link");
patchSync("unlinkSync", "unlink");
patchSync("fsyncSync", "sync");
patch("fsync", "sync");
patch("close", "close");

const openSync = fs.openSync;
fs.openSync = (path, flags, ...rest) => {
  if (flags !== "wx") return openSync(path, flags, ...rest);
  const { dies, fails } = enter("create");
  if (fails) throw failure(faults.error.code, "open");
  const fd = openSync(path, flags, ...rest);
  if (dies) die();
  return fd;
};

fs.write = (fd, buffer, offset, length, position, done) => {
  const { dies, fails } = enter("write");
  if (fails) return void process.nextTick(done, failure(faults.error.code, "write"));
  if (dies) {
    original.writeSync(fd, buffer, offset, Math.ceil(length / 2), position);
    die();
  }
  if (space <= 0) return void process.nextTick(done, failure("ENOSPC", "write"));
  const taken = Math.min(length, space, faults.short ?? Infinity);
  space -= taken;
  original.write(fd, buffer, offset, taken, position, done);
};

fs.read = (fd, buffer, offset, length, position, done) => {
  const { fails } = enter("read");
  if (fails) return void process.nextTick(done, failure(faults.error.code, "read"));
  const first = faults.corrupt !== undefined && counts.get("read") === faults.corrupt;
  original.read(fd, buffer, offset, length, position, (error, count) => {
    if (first && count > 0) buffer[offset] ^= 1;
    done(error, count, buffer);
  });
};

syncBuiltinESMExports();
