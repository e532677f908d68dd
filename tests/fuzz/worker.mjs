// A process of the fuzzer: runs inputs and reports findings.

import { openSync, writeSync } from "node:fs";
import { aviaries } from "./canary.mjs";
import { Call, endpoints } from "./calls.mjs";
import { MARK } from "./hostile.mjs";
import { findShared } from "./pokes.mjs";
import { Rng } from "./random.mjs";
import { W } from "./subject.mjs";

process.once("message", (job) => void run(job));

const { setTimeout: later } = globalThis; // an input may replace the global one
const pause = () => new Promise((resolve) => later(resolve, 0));

async function run({ seed, from, step, to, only, match, place }) {
  const all = endpoints().filter(({ name }) => new RegExp(match).test(name));
  const drawn = all.flatMap((endpoint) => Array(endpoint.weight ?? 1).fill(endpoint));
  findShared();
  const birds = aviaries();
  const file = openSync(place, "r+");
  process.send({ done: 0 });
  const counts = new Map();
  const count = (name, n = 1) => counts.set(name, (counts.get(name) ?? 0) + n);
  const covered = new Set();
  let sent = 0;
  let tried = 0;
  let cpu = process.cpuUsage();
  const report = (finding) => process.send({ finding });
  const realRandom = Math.random;

  const inUse = () => birds.map(({ heap }) => heap.bytesUsed);
  const last = only === undefined ? to : from + 1;
  for (let k = from; k < last; k += step) {
    const r = new Rng(seed, k);
    Math.random = () => r.real();
    const endpoint = r.pick(drawn);
    const tell = (words) => writeSync(file, `${k} ${endpoint.name}: ${words.slice(0, 300)}\n`, 0);
    const call = new Call(r, endpoint, tell, cpu);
    if (!covered.has(endpoint.name)) process.send({ covered: endpoint.name });
    covered.add(endpoint.name);
    let outcome;
    try {
      outcome = await call.run();
    } catch (error) {
      // A method that was replaced by one that throws is called by the fuzzer, too.
      if (error === MARK) outcome = "the caller's own error";
      else call.found("fuzzer", String(error?.stack ?? error).slice(0, 400));
    }
    count(outcome ?? "no outcome");
    let fatal;
    try {
      fatal = call.victims.changed() ?? birds.map((each) => each.changed()).find(Boolean);
    } catch (error) {
      fatal = `the check failed: ${String(error?.stack).slice(0, 300)}`;
    }
    if (fatal) call.found("corruption", fatal);
    W.configure({ variant: "auto" });
    try {
      call.dispose();
    } catch (error) {
      call.found("untyped", `dispose: ${error?.message}`, error);
    }
    const leaked = () => inUse().some((bytes, i) => bytes !== birds[i].bytes);
    if (!fatal && leaked()) {
      const before = inUse();
      for (let i = 0; i < 6 && leaked(); i++) {
        globalThis.gc();
        await pause();
      }
      if (leaked()) {
        const bytes = inUse().map((now, i) => now - birds[i].bytes);
        call.found("leak", `${Math.max(...bytes.map(Math.abs))} bytes in use after everything was disposed of`);
        birds.forEach((each) => (each.bytes = each.heap.bytesUsed));
      } else {
        count("memory that only the finalizer gave back");
        if (only !== undefined) console.log("given back by the finalizer", before);
      }
    }
    for (const finding of call.findings) report({ ...finding, k });
    if (only !== undefined) console.log(`${call.endpoint.name}: ${outcome}\n  ${call.words.join("\n  ")}`);
    if (fatal) {
      process.send({ counts: [...counts], done: tried - sent + 1 }, () => process.exit(75));
      return;
    }
    tried++;
    if (tried - sent >= 200) {
      process.send({ counts: [...counts], done: tried - sent });
      counts.clear();
      sent = tried;
      cpu = process.cpuUsage();
      await pause();
    }
  }
  Math.random = realRandom;
  process.send({ counts: [...counts], done: tried - sent, finished: true }, () => process.exit(0));
}
