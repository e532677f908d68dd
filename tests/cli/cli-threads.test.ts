// --threads: the bytes of one thread, whatever stops or resumes a training; defaults; threads that do not start.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { beginTraining, type TrainOptions } from "../../src/cli/setup.js";
import { threadsFor, type Work } from "../../src/cli/threads.js";
import { finish, folderWithText, jsonLines, ofEvent, run, SMALL, start } from "../helpers/cli.js";

const NAMES = ["m.safetensors", "m.state.safetensors", "m.svg"];
/** Steps are divided: their products take milliseconds. */
const LARGE = ["--hidden", "96", "--embedding", "40", "--layers", "2", "--seq", "24", "--batch", "17"];
const command = ["train", "book.txt", ...LARGE, "--eval-every", "3", "--out", "m.safetensors", "--force"];

/** Hashes of the files. */
const filesIn = (folder: string) =>
  NAMES.map((name) => createHash("sha256").update(readFileSync(join(folder, name))).digest("hex")); // prettier-ignore

/** The files of a training with more options, and the threads that it said. */
async function train(folder: string, ...options: string[]): Promise<{ files: string[]; threads: unknown }> {
  const outcome = await run(folder, ...command, "--json", ...options);
  expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
  return { files: filesIn(folder), threads: ofEvent(jsonLines(outcome), "start")[0]!.threads };
}

describe("train", () => {
  test.each(["f32", "f64"])("1, 2 and 3 threads write the same bytes, in all or after stops: %s", async (dtype) => {
    const folder = folderWithText(4000);
    const one = await train(folder, "--dtype", dtype, "--threads", "1");
    expect(one.threads).toBe(1);
    for (const n of [2, 3]) expect(await train(folder, "--dtype", dtype, "--threads", `${n}`)).toEqual({ ...one, threads: n }); // prettier-ignore
    await train(folder, "--dtype", dtype, "--threads", "3", "--steps", "2");
    for (const more of [
      ["--threads", "1", "--steps", "3"],
      ["--threads", "2"],
    ]) {
      const resumed = await run(folder, "train", "--resume", "m.safetensors", ...more);
      expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
    }
    expect(filesIn(folder)).toEqual(one.files);
  });

  test("killed, then resumed with other threads, it writes the same bytes", async () => {
    const folder = folderWithText(4000);
    const { files } = await train(folder, "--threads", "2");
    const child = start(folder, [...command, "--json", "--threads", "3"]);
    await finish(child, (line) => {
      if (line.includes('"saved"')) child.kill("SIGKILL");
    });
    const resumed = await run(folder, "train", "--resume", "m.safetensors", "--threads", "2");
    expect(resumed.code).toBe(0);
    expect(filesIn(folder)).toEqual(files);
  });

  test("Ctrl-C saves, says how to continue, and ends the process; a second ends it too", async () => {
    const folder = folderWithText(4000);
    const { files } = await train(folder, "--threads", "1");
    const child = start(folder, [...command, "--json", "--threads", "2"]);
    let signals = 0;
    const { code, stderr } = await finish(child, (line) => {
      if (line.includes('"step":2,') && signals++ === 0) child.kill("SIGINT");
    });
    expect([code, stderr]).toEqual([
      130,
      "wasm-rnn: stopping after this step and saving; a second signal stops at once\n",
    ]);
    expect((await run(folder, "train", "--resume", "m.safetensors", "--threads", "3")).code).toBe(0);
    expect(filesIn(folder)).toEqual(files);
    const twice = start(folder, [...command, "--json", "--threads", "2", "--epochs", "1000"]);
    let asked = false;
    const outcome = await finish(twice, () => {
      if (asked) return;
      asked = true;
      twice.kill("SIGINT");
      setTimeout(() => twice.kill("SIGINT"), 300);
    });
    expect([130, null]).toContain(outcome.code); // null: the second came when the process had all but ended
  });

  test("shards of workers that have threads: the same bytes", async () => {
    const folder = folderWithText(4000);
    const cut = ["--shards", "2", "--batch", "16"];
    const { files } = await train(folder, ...cut, "--workers", "1", "--threads", "1");
    for (const more of [
      ["--workers", "2", "--threads", "2"],
      ["--workers", "1", "--threads", "2"],
    ]) {
      const outcome = await train(folder, ...cut, ...more);
      expect(outcome).toEqual({ files, threads: 2 });
    }
  });

  test("says its threads", async () => {
    const folder = folderWithText(4000);
    const { stdout } = await run(folder, ...command, "--steps", "1", "--threads", "3");
    expect(stdout).toMatch(/^model: .* build, 3 threads$/m);
    const cut = await run(folder, ...command, "--steps", "1", "--batch", "16", "--shards", "4", "--workers", "2", "--threads", "2"); // prettier-ignore
    expect(cut.stdout).toMatch(/^model: .* build, 2 workers with 2 threads each$/m);
    expect((await run(folder, ...command, "--steps", "1", "--threads", "1")).stdout).toMatch(/^model: .* build$/m);
  });

  test("a small training starts none", async () => {
    const folder = folderWithText(4000);
    const outcome = await run(folder, "train", "book.txt", ...SMALL, "--json");
    expect(ofEvent(jsonLines(outcome), "start")[0]!.threads).toBe(1);
  });

  test.each([
    ["0", "a whole number from 1 to 64"],
    ["65", "a whole number from 1 to 64"],
    ["1.5", "a whole number from 1 to 64"],
    ["two", "a whole number from 1 to 64"],
  ])("--threads %s is wrong usage", async (value, expected) => {
    const folder = folderWithText(4000);
    for (const of of [
      ["train", "book.txt"],
      ["sweep", "s.json", "book.txt"],
      ["bench", "x.onnx"],
    ]) {
      const { code, stderr } = await run(folder, ...of, "--threads", value);
      expect(code).toBe(2);
      expect(stderr).toContain("--threads");
      expect(stderr).toContain(expected);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    }
  });

  test.each([
    ["train", "book.txt"],
    ["sweep", "space.json", "book.txt"],
  ])("%s: not with --queue", async (...of) => {
    const folder = folderWithText(4000);
    writeFileSync(join(folder, "space.json"), "{}");
    const { code, stderr } = await run(folder, ...of, "--threads", "2", "--queue", "redis://localhost:1");
    expect([code, stderr]).toEqual([2, "wasm-rnn: --threads is for workers of this machine: not with --queue\n"]);
  });
});

describe("threads that do not start", () => {
  const failing = {
    "starts no workers": `require("node:worker_threads").Worker = class { constructor() { throw new Error("no"); } };`,
    "no shared memory": "delete globalThis.SharedArrayBuffer;",
  };

  test.each(Object.entries(failing))("a line, and the bytes of one: %s", async (_, code) => {
    const folder = folderWithText(4000);
    const { files } = await train(folder, "--threads", "1");
    writeFileSync(join(folder, "before.cjs"), code);
    const { NODE_OPTIONS } = process.env;
    process.env.NODE_OPTIONS = `--require ${join(folder, "before.cjs")}`;
    try {
      const outcome = await run(folder, ...command, "--threads", "2");
      const reason = "this host has no shared memory or starts no workers";
      expect([outcome.code, outcome.stderr]).toEqual([
        0,
        `wasm-rnn: 2 threads cannot start: going on with one (${reason})\n`,
      ]);
    } finally {
      if (NODE_OPTIONS === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = NODE_OPTIONS;
    }
    expect(filesIn(folder)).toEqual(files);
  });
});

describe("defaults", () => {
  const much = { step: 1e9, all: 1e12 };

  test("all cores, divided among workers; one where there is little work", () => {
    const cores = Math.min(64, availableParallelism());
    expect(threadsFor(undefined, 1, much)).toBe(cores);
    expect(threadsFor(undefined, 2, much)).toBe(Math.max(1, Math.floor(cores / 2)));
    expect(threadsFor(undefined, 1000, much)).toBe(1);
    expect(threadsFor(undefined, 1, { ...much, step: 1000 })).toBe(1);
    expect(threadsFor(undefined, 1, { ...much, all: 1e7 })).toBe(1);
    expect(threadsFor(5, 1000, { step: 1, all: 1 })).toBe(5);
  });

  test("the work is known before there is a model", async () => {
    const folder = folderWithText(4000);
    const options = (more: Partial<TrainOptions>, works: Work[]): TrainOptions => ({
      settings: { hidden: 64, embedding: 32, layers: 1, seq: 20, batch: 10, epochs: 3, validation: 0 },
      out: join(folder, "w.safetensors"),
      json: false,
      force: true,
      prepare: (work) => {
        works.push(work);
        return Promise.resolve();
      },
      ...more,
    });
    const works: Work[] = [];
    for (const more of [{}, { steps: 2 }]) {
      const training = await beginTraining(join(folder, "book.txt"), options(more, works));
      const { trainer, outputs } = training;
      const parameters = trainer.model.parameters().reduce((sum, { value }) => sum + value.data.length, 0);
      const { shards, step, all } = works.at(-1)!;
      expect([shards, step]).toEqual([1, 200 * parameters]);
      expect(all / step).toBeCloseTo(more.steps ?? trainer.totalSteps, -1);
      outputs.release();
      trainer.dispose();
    }
  });
});
