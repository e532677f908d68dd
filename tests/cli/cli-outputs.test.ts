// The files of a training: one run at a time, stale locks, links, states that do not belong to a model, signals, a stdout that
// fails, and escaped text on a terminal. Kills and full disks are in cli-crashes.test.ts.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { rmSync, statSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { messageOf } from "../../src/cli/errors.js";
import { escapeControls, escapeText, safeJson } from "../../src/cli/escape.js";
import { parseNumber } from "../../src/cli/numbers.js";
import { RANGES } from "../../src/train/settings.js";
import { readSafetensors, writeSafetensors } from "../../src/safetensors.js";
import { patient } from "../helpers/clock.js";
import { CLI, finish, jsonLines, ofEvent, run, sampleText, snapshot, start, temporaryFolder } from "../helpers/cli.js";
import {
  canMount,
  checkpointIn,
  expectRecovery,
  expectSameBits,
  fillDisk,
  makeReference,
  OUTPUTS,
  removeFolder,
  runOnBadDisk,
  smallDisk,
  startOnBadDisk,
  type Reference,
} from "../helpers/crashes.js";
import { goWithout, MISSING_SCRIPT, programs } from "../helpers/tools.js";

let reference: Reference;
/** The files after step 16. */
const first: Record<string, Buffer> = {};
beforeAll(async () => {
  reference = await makeReference();
  const folder = join(reference.folder, "first");
  mkdirSync(folder);
  expect((await run(folder, ...reference.args, "--steps", "16")).code).toBe(0);
  for (const name of OUTPUTS) first[name] = readFileSync(join(folder, name));
});
afterAll(() => removeFolder(reference.folder));

/** A folder with the checkpoint after step 16. */
function begun(): string {
  const folder = temporaryFolder();
  for (const name of OUTPUTS) writeFileSync(join(folder, name), first[name]!);
  return folder;
}

const resume = (...args: string[]) => ["train", "--resume", "m.safetensors", ...args];

async function expectRefusal(folder: string, args: readonly string[], message: RegExp | string): Promise<void> {
  const before = snapshot(folder);
  const outcome = await run(folder, ...args);
  expect(outcome.stderr).toMatch(message);
  expect(outcome.stderr).toMatch(/^wasm-rnn: [^\n]+\n$/);
  expect([outcome.code, outcome.stdout]).toEqual([1, ""]);
  expect(snapshot(folder)).toEqual(before);
}

/** Starts a training of several minutes, and waits for its first checkpoint. */
async function startLong(folder: string) {
  const child = start(folder, [...reference.args, "--epochs", "1000", "--force"]);
  onTestFinished(() => void child.kill("SIGKILL"));
  const ended = finish(child, (line) => line.includes('"event":"saved"') && child.emit("saved"));
  await new Promise((resolve) => child.once("saved", resolve));
  return { child, ended };
}

describe("two runs on one output", () => {
  test("the second is refused with the process id of the first, but not after kill -9", async () => {
    const folder = temporaryFolder();
    const { child, ended } = await startLong(folder);
    symlinkSync("m.safetensors", join(folder, "link.safetensors"));
    const inUse = (name: string) => `wasm-rnn: ${name} is in use: process ${child.pid} is writing it\n`;
    for (const args of [resume(), reference.args, [...reference.args, "--force"]]) {
      expect(await run(folder, ...args)).toEqual({ code: 1, stdout: "", stderr: inUse("m.safetensors") });
    }
    const link = [...reference.args.slice(0, -1), "link.safetensors", "--force"];
    expect((await run(folder, ...link)).stderr).toBe(inUse("link.safetensors"));

    child.kill("SIGKILL");
    await ended;
    expect(existsSync(join(folder, ".wasm-rnn.m.lock"))).toBe(true);
    expect(await run(folder, ...resume("--steps", "1"))).toMatchObject({ code: 0 });
    expect(readdirSync(folder).sort()).toEqual(["link.safetensors", ...OUTPUTS]);
  });

  test("if four start at once with a stale lock, one trains", async () => {
    const folder = begun();
    writeFileSync(join(folder, ".wasm-rnn.m.lock"), "{}");
    utimesSync(join(folder, ".wasm-rnn.m.lock"), 0, 0);
    const children = [1, 2, 3, 4].map(() => start(folder, resume("--epochs", "1000")));
    const ended = children.map((child) => finish(child));
    const outcome = (index: number) => ended[index]!.then((result) => ({ index, ...result }));
    const open = new Set([0, 1, 2, 3]);
    const messages: string[] = [];
    while (open.size > 1) {
      const { index, code, stderr } = await Promise.race([...open].map(outcome));
      expect(code).toBe(1);
      open.delete(index);
      messages.push(stderr);
    }
    const winner = [...open][0]!;
    expect(messages).toEqual(
      Array(3).fill(`wasm-rnn: m.safetensors is in use: process ${children[winner]!.pid} is writing it\n`),
    );
    children[winner]!.kill("SIGKILL");
    await ended[winner];
  });

  interface Lock {
    pid: number;
    host: string;
    start: string;
    boot: string;
    namespace: string;
  }
  let lock: Lock;
  beforeAll(async () => {
    const folder = join(reference.folder, "killed");
    mkdirSync(folder);
    const child = startOnBadDisk(folder, { kill: { op: "rename", n: 1 } }, reference.args);
    await finish(child);
    lock = JSON.parse(readFileSync(join(folder, ".wasm-rnn.m.lock"), "utf8")) as Lock;
    expect(lock.pid).toBe(child.pid);
  });

  function withLock(content: unknown, secondsOld = 0): string {
    const folder = begun();
    const path = join(folder, ".wasm-rnn.m.lock");
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    const time = Date.now() / 1000 - secondsOld;
    utimesSync(path, time, time);
    return folder;
  }

  /** A lock of this process, which is alive. */
  const alive = () => ({ ...lock, pid: process.pid, start: "" });

  test.each<[name: string, content: () => unknown, secondsOld: number]>([
    ["of a process that has ended", () => lock, 0],
    ["of a process whose id another program has now", () => ({ ...lock, pid: process.pid }), 0],
    ["of another boot", () => ({ ...alive(), boot: "before" }), 0],
    ["of another machine, silent for 11 minutes", () => ({ ...alive(), host: "elsewhere" }), 660],
    ["of a container, silent for 11 minutes", () => ({ ...alive(), namespace: "pid:[1]", boot: "" }), 660],
    ["half written, a minute ago", () => '{"pid":', 60],
    ["empty, a minute ago", () => "", 60],
    ["with nonsense", () => ({ ...lock, pid: "1", host: null }), 60],
  ])("a lock %s is stale", async (_, content, secondsOld) => {
    const folder = withLock(content(), secondsOld);
    expect(await run(folder, ...resume("--steps", "1"))).toMatchObject({ code: 0, stderr: "" });
    expect(readdirSync(folder).sort()).toEqual(OUTPUTS);
  });

  test.each<[name: string, content: () => unknown, secondsOld: number, message: RegExp]>([
    ["of a process of this machine", () => alive(), 3600, /in use: process \d+ is writing it$/m],
    [
      "of another machine",
      () => ({ ...alive(), host: "else\u001bwhere" }),
      30,
      /in use: process \d+ on else\\u\{1b\}where is writing it \(last sign of life 3\d s ago; if it has ended, remove \S+\.wasm-rnn\.m\.lock\)/,
    ],
    ["of a container", () => ({ ...alive(), namespace: "pid:[1]" }), 30, /process \d+ on \S+ is writing it \(last/],
    ["half written just now", () => '{"pid":', 1, /in use: another run is starting on it/],
  ])("a lock %s is held", async (_, content, secondsOld, message) => {
    await expectRefusal(withLock(content(), secondsOld), resume("--steps", "1"), message);
  });

  test.each(process.platform === "linux" ? ["zombie"] : [])("a lock of a %s is stale", async () => {
    // nobody waits for the sleep that ends first: its parent was replaced by another program
    const parent = spawn("bash", ["-c", "sleep 0 & echo $!; exec sleep 60"]);
    onTestFinished(() => void parent.kill("SIGKILL"));
    const pid = Number(
      await new Promise((resolve) => parent.stdout.once("data", (data: Buffer) => resolve(data.toString()))),
    );
    let fields: string[] = [];
    while (fields[0] !== "Z") {
      await new Promise((resolve) => setTimeout(resolve, 20));
      fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
    }
    const folder = withLock({ ...lock, pid, start: fields[19] });
    expect(await run(folder, ...resume("--steps", "1"))).toMatchObject({ code: 0, stderr: "" });
  });

  test("a removed lock is taken again; a lock that another run has taken ends this run", async () => {
    const folder = temporaryFolder();
    const { child, ended } = await startLong(folder);
    const path = join(folder, ".wasm-rnn.m.lock");
    rmSync(path);
    await new Promise((resolve) => child.once("saved", resolve));
    await new Promise((resolve) => child.once("saved", resolve));
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ pid: child.pid });
    writeFileSync(path, JSON.stringify(alive()));
    const { code, stderr } = await ended;
    expect(code).toBe(1);
    expect(stderr).toMatch(/^wasm-rnn: another run has taken over m\.safetensors; nothing more is written/);
    expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(alive());
    expect(readdirSync(folder).sort()).toEqual([".wasm-rnn.m.lock", ...OUTPUTS]);
  });

  test("temporary files of killed runs are removed, and no others", async () => {
    const folder = begun();
    for (const name of [".wasm-rnn.m.0a1b2c", ".wasm-rnn.m.ffffff"]) writeFileSync(join(folder, name), "");
    const others = [".wasm-rnn.m.txt", ".wasm-rnn.mm.0a1b2c", "m.0a1b2c", ".wasm-rnn.m.0a1b2c3"];
    for (const name of others) writeFileSync(join(folder, name), "");
    expect(await run(folder, ...resume())).toMatchObject({ code: 0, stderr: "" });
    expect(readdirSync(folder).sort()).toEqual([...OUTPUTS, ...others].sort());
  });
});

describe("states and models", () => {
  const writtenAgain =
    "wasm-rnn: m.safetensors was missing or older than the latest checkpoint: written again from m.state.safetensors\n";

  test.each<[name: string, change: (folder: string) => void]>([
    ["missing", (folder) => rmSync(join(folder, "m.safetensors"))],
    ["older", (folder) => writeFileSync(join(folder, "m.safetensors"), first["m.safetensors"]!)],
    [
      "damaged",
      (folder) => {
        const bytes = Buffer.from(reference.files["m.safetensors"]!);
        bytes[bytes.length - 1]! ^= 1;
        writeFileSync(join(folder, "m.safetensors"), bytes);
      },
    ],
  ])("a %s model is written again from the state, even if all steps are done", async (_, change) => {
    const folder = temporaryFolder();
    for (const name of OUTPUTS) writeFileSync(join(folder, name), reference.files[name]!);
    change(folder);
    rmSync(join(folder, "m.svg"));
    const outcome = await run(folder, ...resume());
    expect([outcome.code, outcome.stderr]).toEqual([0, writtenAgain]);
    expect(outcome.stdout).toContain("already finished");
    expectSameBits(reference, folder);
  });

  test("the model of another training, or of a later step, is not overwritten", async () => {
    const folder = begun();
    const other = temporaryFolder();
    expect((await run(other, ...reference.args, "--seed", "2", "--steps", "5")).code).toBe(0);
    writeFileSync(join(folder, "m.safetensors"), readFileSync(join(other, "m.safetensors")));
    const way = "move it away, and --resume m.safetensors continues from the state, at step 16\n";
    await expectRefusal(
      folder,
      resume(),
      `wasm-rnn: m.safetensors and m.state.safetensors do not belong together: ${way}`,
    );
    writeFileSync(join(folder, "m.safetensors"), reference.files["m.safetensors"]!);
    await expectRefusal(
      folder,
      resume(),
      `wasm-rnn: m.safetensors holds step 47, later than m.state.safetensors: ${way}`,
    );
    rmSync(join(folder, "m.safetensors"));
    await expectRecovery(reference, folder);
  });

  test("a state of 0.1.0, which has no weights, resumes with its own model only", async () => {
    const folder = begun();
    const model = readSafetensors(first["m.safetensors"]!);
    delete model.metadata.training_id;
    delete model.metadata.warm_up;
    const modelBytes = writeSafetensors(model.tensors, model.metadata);
    writeFileSync(join(folder, "m.safetensors"), modelBytes);
    const state = readSafetensors(first["m.state.safetensors"]!);
    for (const name of Object.keys(state.tensors)) if (name.startsWith("model.")) delete state.tensors[name];
    for (const key of ["model", "training_id", "tensors_sha256"]) delete state.metadata[key];
    state.metadata.version = "1";
    state.metadata.model_sha256 = await sha256(modelBytes);
    const stateBytes = writeSafetensors(state.tensors, state.metadata);
    writeFileSync(join(folder, "m.state.safetensors"), stateBytes);

    // killed after the first rename: the state is newer than the model
    const ended = await runOnBadDisk(folder, { kill: { op: "rename", n: 1 } }, resume());
    expect([ended.signal, checkpointIn(folder)]).toEqual(["SIGKILL", { state: 32, model: 16 }]);
    await expectRecovery(reference, folder);

    writeFileSync(join(folder, "m.state.safetensors"), stateBytes);
    await expectRefusal(folder, resume(), /do not belong together: the state is of another model file/);
    rmSync(join(folder, "m.safetensors"));
    await expectRefusal(folder, resume(), /no such file: m\.safetensors/);
  });

  test("a state whose tensors or settings were changed is refused", async () => {
    const folder = begun();
    const change = (work: (state: ReturnType<typeof readSafetensors>) => void) => {
      const state = readSafetensors(first["m.state.safetensors"]!);
      work(state);
      writeFileSync(join(folder, "m.state.safetensors"), writeSafetensors(state.tensors, state.metadata));
    };
    change(({ tensors }) => ((tensors["optimizer.3.exp_avg"]!.data as Float32Array)[1]! += 1));
    await expectRefusal(folder, resume(), /m\.state\.safetensors: tensors: got other bytes, .* the file is damaged/);
    change(({ metadata }) => (metadata.version = "3"));
    await expectRefusal(folder, resume(), /m\.state\.safetensors: version: got 3, expected 1 or 2/);
    for (const [found, put] of [
      ['"hidden":4', '"hidden":5'],
      ['"batch":4', '"batch":4000000000'],
      ['"seq":10', '"seq":1e15'],
      ['"dtype":"f32"', '"dtype":"f64"'],
    ] as const) {
      change(({ metadata }) => (metadata.settings = metadata.settings!.replace(found, put)));
      await expectRefusal(folder, resume(), /m\.state\.safetensors: its parts do not belong together/);
    }
    change(({ metadata }) => (metadata.model = '{"format":5}'));
    await expectRefusal(folder, resume(), /m\.state\.safetensors: model: got something else, expected the metadata/);
  });

  test("--resume overwrites neither the text nor anything that is not a regular file", async () => {
    const folder = begun();
    const text = readFileSync(join(reference.folder, "book.txt"));
    writeFileSync(join(folder, "m.svg"), text);
    const outcome = await run(folder, "train", "m.svg", "--resume", "m.safetensors");
    expect(outcome).toEqual({
      code: 2,
      stdout: "",
      stderr: "wasm-rnn: m.svg is the text to train on; choose another --out\n",
    });
    rmSync(join(folder, "m.svg"));
    mkdirSync(join(folder, "m.svg"));
    await expectRefusal(folder, resume(), /m\.svg exists and is not a regular file/);
  });
});

describe("links", () => {
  const linked = (...args: string[]) => [...reference.args, ...args];

  test("a link to a missing file is refused; with --force that file is created", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "data"));
    symlinkSync("data/real.safetensors", join(folder, "m.safetensors"));
    await expectRefusal(
      folder,
      linked(),
      /m\.safetensors is a link to \S+data\/real\.safetensors; --force creates that file/,
    );
    expect(await run(folder, ...linked("--force"))).toMatchObject({ code: 0, stderr: "" });
    expect(readlinkSync(join(folder, "m.safetensors"))).toBe("data/real.safetensors");
    expect(readFileSync(join(folder, "data/real.safetensors")).equals(reference.files["m.safetensors"]!)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(["data", ...OUTPUTS]);
    expect(readdirSync(join(folder, "data"))).toEqual(["real.safetensors"]);

    symlinkSync("gone/real.safetensors", join(folder, "n.safetensors"));
    await expectRefusal(
      folder,
      [...reference.args.slice(0, -1), "n.safetensors", "--force"],
      /no such folder: \S+gone/,
    );
    symlinkSync("loop.safetensors", join(folder, "loop.safetensors"));
    await expectRefusal(folder, [...reference.args.slice(0, -1), "loop.safetensors", "--force"], /loop\.safetensors/);
  });

  test("links are followed; their files are replaced atomically and keep their permissions", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "data"));
    for (const name of OUTPUTS) {
      writeFileSync(join(folder, "data", name), first[name]!, { mode: 0o640 });
      symlinkSync(`data/${name}`, join(folder, name));
    }
    const ended = await runOnBadDisk(folder, { kill: { op: "write", n: 3 } }, resume());
    expect([ended.signal, checkpointIn(folder)]).toEqual(["SIGKILL", { state: 16, model: 16 }]);
    expect(readdirSync(join(folder, "data")).length).toBe(OUTPUTS.length + 4); // lock and three temporary files
    expect(await run(folder, ...resume())).toMatchObject({ code: 0, stderr: "" });
    for (const name of OUTPUTS) {
      expect(lstatSync(join(folder, name)).isSymbolicLink()).toBe(true);
      expect(readFileSync(join(folder, "data", name)).equals(reference.files[name]!)).toBe(true);
      expect(statSync(join(folder, name)).mode & 0o777).toBe(0o640);
    }
    expect(readdirSync(join(folder, "data")).sort()).toEqual(OUTPUTS);
  });

  test("a name of 237 bytes leaves room for the names of temporary files", async () => {
    const folder = temporaryFolder();
    const name = `${"é".repeat(115)}x.safetensors`; // the state's name has 255 bytes
    const args = [...reference.args.slice(0, -1), name];
    expect(await run(folder, ...args)).toMatchObject({ code: 0, stderr: "" });
    expect(readdirSync(folder).length).toBe(3);
  });
});

describe("signals", () => {
  test.each<[signals: NodeJS.Signals[], pause: number]>([
    [["SIGHUP"], 0],
    [["SIGHUP", "SIGHUP", "SIGHUP"], 100],
    [["SIGINT", "SIGTERM"], 0], // at once, as npm passes a signal on that the terminal has sent already
    [["SIGHUP", "SIGTERM"], 0],
  ])("%j, %i ms apart: saves, and resumes with the same bits", async (signals, pause) => {
    const folder = temporaryFolder();
    const long = [...reference.args, "--epochs", "1"];
    // a slow disk: later signals arrive while it saves
    const child = startOnBadDisk(folder, { delay: { op: "sync", ms: 60 } }, long);
    const outcome = await finish(child, (line) => {
      if (!line.includes('"event":"step","step":3,')) return;
      signals.forEach((signal, i) => setTimeout(() => child.kill(signal), i * pause));
    });
    expect([outcome.code, outcome.stderr]).toEqual([
      130,
      "wasm-rnn: stopping after this step and saving; a second signal stops at once\n",
    ]);
    expect(jsonLines(outcome).at(-1)).toMatchObject({ event: "end", reason: "stopped" });
    await expectRecovery(reference, folder);
  });

  test.each(["SIGINT", "SIGTERM"] as const)("a second %s while saving ends at once", async (signal) => {
    const folder = begun();
    const child = startOnBadDisk(folder, { delay: { op: "sync", ms: 20_000 } }, resume("--json"));
    let second = 0;
    const outcome = await finish(child, (line) => {
      if (!line.includes('"event":"step","step":17,')) return;
      child.kill("SIGINT");
      setTimeout(() => {
        second = performance.now();
        child.kill(signal);
      }, 800);
    });
    expect(performance.now() - second).toBeLessThan(patient(10_000));
    expect(outcome.code).toBe(130);
    expect(readdirSync(folder).sort()).toEqual(OUTPUTS);
    expect(checkpointIn(folder)).toEqual({ state: 16, model: 16 });
    await expectRecovery(reference, folder);
  });
});

/** Runs a line of a shell in which `wasm-rnn` is the command line. */
function shell(folder: string, line: string) {
  const script = `wasm-rnn() { '${process.execPath}' '${CLI}' "$@"; }; ${line}`;
  const { status, stdout, stderr } = spawnSync("bash", ["-c", script], { cwd: folder, encoding: "utf8" });
  return { code: status, stdout, stderr };
}

describe.runIf(existsSync("/dev/full"))("a full stdout", () => {
  const ERROR = "wasm-rnn: cannot write output: ENOSPC: no space left on device, write\n";

  test.each([
    "--help",
    "--version",
    "train --help",
    "info m.safetensors",
    "info m.safetensors --json",
    "sample m.safetensors",
    "sample m.safetensors --json",
  ])("%s > /dev/full ends with a line and code 1", (args) => {
    expect(shell(begun(), `wasm-rnn ${args} > /dev/full`)).toEqual({ code: 1, stdout: "", stderr: ERROR });
  });

  test.each(["", "--json"])("train %s > /dev/full saves, and ends with a line and code 1", async (json) => {
    const folder = temporaryFolder();
    const args = reference.args.filter((arg) => arg !== "--json").join(" ");
    expect(shell(folder, `wasm-rnn ${args} ${json} > /dev/full`)).toEqual({ code: 1, stdout: "", stderr: ERROR });
    expect(readdirSync(folder).sort()).toEqual(OUTPUTS);
    await expectRecovery(reference, folder);
  });

  test.each(canMount ? [1] : [])("output that a disk accepts only in part is an error", (pages) => {
    const disk = smallDisk(40);
    const folder = begun();
    writeFileSync(join(disk, "out"), "");
    fillDisk(disk, 4096 * pages);
    const outcome = shell(folder, `wasm-rnn sample m.safetensors --json --length 6000 > '${disk}/out'`);
    expect(outcome).toEqual({ code: 1, stdout: "", stderr: ERROR });
    expect(statSync(join(disk, "out")).size).toBe(4096);
  });
});

describe("time", () => {
  const within = (milliseconds: number, work: () => unknown) => {
    const began = performance.now();
    work();
    expect(performance.now() - began).toBeLessThan(patient(milliseconds));
  };

  test("a message of white space takes linear time", () => {
    for (const space of [" ", "\n", " \n", "\u00a0", "\t\v"]) {
      within(1000, () => messageOf(new Error(`a${space.repeat(500_000)}b`)));
      within(1000, () => messageOf(new Error(`a${space.repeat(500_000)}\n${space.repeat(500_000)}b`)));
    }
    expect(messageOf(new Error("  one \n\n  two\r\nthree\n"))).toBe("one two three");
    expect(messageOf(new Error(`a${"b".repeat(1e6)}c`)).length).toBeLessThan(5000);
  });

  test("info of a field of 160 kB of white space", async () => {
    const folder = temporaryFolder();
    const hostile = writeSafetensors({}, { format: " ".repeat(160_000) + "x" });
    writeFileSync(join(folder, "m.safetensors"), hostile);
    const began = performance.now();
    const outcome = await run(folder, "info", "m.safetensors");
    expect(performance.now() - began).toBeLessThan(patient(15_000)); // it was 58 s
    expect(outcome.stderr.length).toBeLessThan(5000);
  });

  test("120,000 digits that are not a number", () => {
    for (const text of [`${"1".repeat(120_000)}x`, `1e${"1".repeat(120_000)}x`, `${".1".repeat(60_000)}`]) {
      within(1000, () => expect(() => parseNumber(text, RANGES.positive)).toThrow("expected a number above 0"));
    }
    expect(["1", "1.", ".5", "1.5e3", "+2", "1e-3"].map((text) => parseNumber(text, RANGES.positive))).toEqual([
      1, 1, 0.5, 1500, 2, 0.001,
    ]);
  });
});

describe("text from outside", () => {
  /** Control characters of a terminal. */
  const OBEYED = /(?!\n)[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;
  const HOSTILE = "a\u001b]0;title\u0007\u009b31m\u202e\u2066\r\u0000\u007f\u2028z";

  test("escapes", () => {
    expect(escapeControls(`${HOSTILE}\n\t`)).toBe(
      "a\\u{1b}]0;title\\u{7}\\u{9b}31m\\u{202e}\\u{2066}\\r\\u{0}\\u{7f}\\u{2028}z\\n\\t",
    );
    expect(escapeText("a\tb\n\u001b[1m\ud800é🐋\u200d")).toBe("a\tb\n\\u{1b}[1m\\u{d800}é🐋\u200d");
    expect(safeJson({ a: HOSTILE })).not.toMatch(OBEYED);
    expect(JSON.parse(safeJson({ a: HOSTILE }))).toEqual({ a: HOSTILE });
  });

  test("file names, arguments and contents of files in messages", async () => {
    const folder = temporaryFolder();
    const name = HOSTILE.replace("\0", "");
    for (const args of [
      ["train", name],
      ["train", "--resume", `${name}.safetensors`],
      ["info", name],
      ["sample", name],
      [name],
      ["train", `--${name}`],
      ["train", "book.txt", "--hidden", name],
      ["train", "book.txt", "--dtype", name],
    ]) {
      const { stderr } = await run(folder, ...args);
      expect(stderr).toMatch(/^wasm-rnn: [^\n]+\n$/);
      expect(stderr).not.toMatch(OBEYED);
      expect(stderr).toMatch(/a\\u\{1b\}\]0;title\\u\{7\}/);
    }
    const hostile = writeSafetensors({}, { format: HOSTILE });
    writeFileSync(join(folder, "m.safetensors"), hostile);
    writeFileSync(join(folder, "m.state.safetensors"), hostile);
    for (const args of [["sample", "m.safetensors"], resume()]) {
      const { stderr } = await run(folder, ...args);
      expect(stderr).toMatch(/^wasm-rnn: [^\n]+\n$/);
      expect(stderr).not.toMatch(OBEYED);
    }
    for (const args of [[], ["--json"]]) {
      const { code, stdout } = await run(folder, "info", "m.safetensors", ...args);
      expect(code).toBe(0);
      expect(stdout).not.toMatch(OBEYED);
    }
  });

  test("reports of a training; the command in the last line works", async () => {
    const folder = temporaryFolder();
    const text = join(folder, "t\u001b[31m\u009b\u202e\n'.txt");
    writeFileSync(text, sampleText(1000));
    const name = "it's a \\ \u001b[31m\u009b.safetensors";
    const args = ["train", text, ...reference.args.slice(2, -3), "--out", name, "--steps", "2"];
    const outcome = await run(folder, ...args);
    expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
    expect(outcome.stdout).not.toMatch(OBEYED);
    expect(outcome.stdout).toContain("t\\u{1b}[31m\\u{9b}\\u{202e}\\n'.txt");
    const command = /^continue with: (.*)$/m.exec(outcome.stdout)?.[1] ?? "";
    const resumed = shell(folder, `export LC_ALL=C.UTF-8; ${command} --json --steps 1`);
    expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
    expect(resumed.stdout).not.toMatch(OBEYED);
    const lines = jsonLines({ ...resumed });
    expect(ofEvent(lines, "start")[0]?.text).toBe(text);
    expect(ofEvent(lines, "saved")[0]?.model).toBe(name);
    expect(readFileSync(join(folder, name.replace(".safetensors", ".svg")), "utf8")).not.toMatch(OBEYED);
  });

  test.skipIf(process.platform !== "linux")("samples of a training on a terminal", (context) => {
    const [script] = programs("script");
    if (script === undefined) goWithout(context, MISSING_SCRIPT);
    const folder = temporaryFolder();
    writeFileSync(join(folder, "book.txt"), "\u0007\u009b\u202e\u001b]".repeat(500));
    const command = `'${process.execPath}' '${CLI}' train book.txt ${reference.args.slice(2, -5).join(" ")}`;
    const { stdout, status } = spawnSync(script, ["-qec", command, "/dev/null"], { cwd: folder, encoding: "utf8" });
    expect(status).toBe(0);
    expect(stdout).toContain("\\u{7}");
    expect(stdout).toContain("\\u{9b}");
    for (const obeyed of ["\u0007", "\u009b", "\u202e", "\u001b]"]) expect(stdout).not.toContain(obeyed);
  });
});

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return Buffer.from(await crypto.subtle.digest("SHA-256", bytes)).toString("hex");
}
