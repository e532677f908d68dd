// wasm-rnn train --from: a training that begins with the model of another one.

import { createHash } from "node:crypto";
import { copyFileSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { idOfModel, readState } from "../../src/cli/state-file.js";
import { CharLM, readCharLM, Vocabulary, writeCharLM } from "../../src/index.js";
import { readSafetensors } from "../../src/safetensors.js";
import { finish, jsonLines, ofEvent, run, sampleText, snapshot, start, temporaryFolder } from "../helpers/cli.js";
import { runOnBadDisk } from "../helpers/crashes.js";

const PLAIN = "the old ship and the sea\n";
/** A text of the model's characters, and one with two more. */
const OTHER = "and then he said that the sea is his\n".repeat(30);
const ODD = "the Ünder 🐋 sea\nand the Ünder ship\n".repeat(30);
const OPTIONS = ["--seq", "10", "--batch", "4", "--eval-every", "10", "--lr", "0.01"];

let base: Buffer;

beforeAll(() => {
  const vocabulary = Vocabulary.fromText(PLAIN + OTHER);
  const model = new CharLM(vocabulary, { cell: "GRU", embeddingDim: 3, hiddenSize: 5, numLayers: 2, dtype: "f32", seed: 4 }); // prettier-ignore
  model.warmUp = PLAIN;
  base = Buffer.from(writeCharLM(model, { steps: 7 }));
  model.dispose();
});

function folder(): string {
  const made = temporaryFolder();
  writeFileSync(join(made, "base.safetensors"), base);
  writeFileSync(join(made, "other.txt"), OTHER);
  writeFileSync(join(made, "odd.txt"), ODD);
  return made;
}

const from = (text: string, ...more: string[]) => [
  "train",
  text,
  "--from",
  "base.safetensors",
  ...OPTIONS,
  "--out",
  "new.safetensors",
  ...more,
];

const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const read = (at: string, name = "new.safetensors") => readFileSync(join(at, name));
const OUTPUTS = ["new.safetensors", "new.state.safetensors", "new.svg"];

function expectSameFiles(a: string, b: string): void {
  for (const name of OUTPUTS) expect(read(a, name).equals(read(b, name)), name).toBe(true);
}

describe("train --from", () => {
  test("begins with the model's weights, architecture and vocabulary, and says where they came from", async () => {
    const at = folder();
    const outcome = await run(at, ...from("other.txt", "--json", "--steps", "1"));
    expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
    const lines = jsonLines(outcome);
    const { model: first } = readCharLM(base);
    expect(lines[0]).toMatchObject({
      settings: { cell: "GRU", hidden: 5, layers: 2, embedding: 3, dtype: "f32" },
      vocabulary: first.vocabulary.size,
      characters: OTHER.length,
    });
    // the loss before the first step is that of the model's weights
    const windows = OTHER.slice(0, OTHER.length - Math.floor(0.05 * OTHER.length));
    const streamLength = Math.floor((windows.length - 1) / 4);
    const losses = [0, 1, 2, 3].map((n) => {
      const part = windows.slice(n * streamLength, n * streamLength + 11);
      return first.evaluate(first.vocabulary.encode(part), { seqLen: 10 });
    });
    const [step] = ofEvent(lines, "step");
    expect(step!.loss).toBeCloseTo(losses.reduce((sum, loss) => sum + loss) / 4, 6);
    const { model, training } = readCharLM(read(at));
    expect(model.vocabulary.characters).toEqual(first.vocabulary.characters);
    expect(model.architecture).toEqual(first.architecture);
    expect(training.steps).toBe(1);
    expect(model.warmUp).toBe(windows.slice(-256));
    for (const each of [model, first]) each.dispose();
    const { metadata } = readSafetensors(read(at));
    expect(metadata).toMatchObject({ from_sha256: hash(base), trained_steps: "1" });
    expect(metadata).not.toHaveProperty("from_training_id"); // no training of the command line made that model
    expect(JSON.stringify(metadata)).not.toContain("base");
    expect(read(at, "base.safetensors").equals(base)).toBe(true);
  });

  test("a chain of trainings: each names the one before, and others have another id", async () => {
    const at = folder();
    expect((await run(at, ...from("other.txt"))).code).toBe(0);
    const { id, step } = idOfModel(read(at))!;
    const train = ["train", "other.txt", "--from", "new.safetensors", ...OPTIONS, "--steps", "2"];
    for (const [out, more] of [
      ["a", []],
      ["b", ["--unknown", "skip"]],
      ["c", ["--lr", "0.02"]],
    ] as const)
      // prettier-ignore
      expect(await run(at, ...train, "--out", `${out}.safetensors`, ...more)).toMatchObject({ code: 0, stderr: "" });
    const [a, b, c] = ["a", "b", "c"].map((name) => readSafetensors(read(at, `${name}.safetensors`)).metadata);
    for (const each of [a, b, c])
      expect(each).toMatchObject({ from_training_id: id, from_trained_steps: String(step), from_sha256: hash(read(at)) }); // prettier-ignore
    expect(new Set([id, a!.training_id, b!.training_id, c!.training_id]).size).toBe(4);
    const info = await run(at, "info", "a.safetensors");
    expect(info.stdout).toContain(`began with: training ${id}, step ${step}\n`);
  });

  test("stopped, killed and resumed: the bytes of a training that was left alone", async () => {
    for (const [text, unknown] of [
      ["other.txt", "error"],
      ["odd.txt", "skip"],
      ["odd.txt", "extend"],
    ] as const) {
      // prettier-ignore
      const [whole, pieces] = [folder(), temporaryFolder()];
      const paths = [join(whole, text), "--from", join(whole, "base.safetensors"), "--unknown", unknown];
      const args = ["train", ...paths, ...OPTIONS, "--epochs", "3", "--out", "new.safetensors"];
      expect((await run(whole, ...args)).code).toBe(0);
      // the state is renamed, then the process is killed: the model is missing
      expect((await runOnBadDisk(pieces, { kill: { op: "rename", n: 1 } }, args)).signal).toBe("SIGKILL");
      expect(readdirSync(pieces)).toContain("new.state.safetensors");
      expect(readdirSync(pieces)).not.toContain("new.safetensors");
      const child = start(pieces, ["train", "--resume", "new.safetensors", "--json"]);
      let steps = 0;
      const stopped = await finish(child, (line) => {
        if (line.includes('"event":"step"') && ++steps === 3) child.kill("SIGINT");
      });
      expect(stopped.code).toBe(130);
      expect(stopped.stderr).toContain("written again from new.state.safetensors");
      renameSync(join(whole, "base.safetensors"), join(whole, "moved")); // nothing needs it any more
      expect(await run(pieces, "train", "--resume", "new.safetensors")).toMatchObject({ code: 0, stderr: "" });
      expectSameFiles(whole, pieces);
    }
  });
});

describe("characters that the model does not know", () => {
  test("error: they are listed, and nothing is written", async () => {
    const at = folder();
    const before = snapshot(at);
    expect(await run(at, ...from("odd.txt"))).toEqual({
      code: 1,
      stdout: "",
      stderr:
        'wasm-rnn: odd.txt: base.safetensors does not know "Ü" (U+00DC), "r" (U+0072), "🐋" (U+1F40B); ' +
        "--unknown skip leaves such characters out, --unknown extend adds them to the model\n",
    });
    expect(snapshot(at)).toEqual(before);
  });

  test("skip: the training is that on the text without them", async () => {
    const at = folder();
    const lacking = /[Ür🐋]/gu;
    const kept = ODD.replace(lacking, "");
    writeFileSync(join(at, "kept.txt"), kept);
    const skipped = await run(at, ...from("odd.txt", "--unknown", "skip", "--json"));
    const count = [...ODD].length - [...kept].length;
    expect(skipped.stderr).toMatch(new RegExp(`^wasm-rnn: base\\.safetensors does not know .*: ${count} left out of the text\n$`)); // prettier-ignore
    const plain = await run(at, ...from("kept.txt", "--out", "plain.safetensors", "--json"));
    expect([skipped.code, plain.code, plain.stderr]).toEqual([0, 0, ""]);
    expect(jsonLines(skipped)[0]).toMatchObject({ characters: [...kept].length });
    const tensors = (name: string) => readSafetensors(read(at, name)).tensors;
    expect(tensors("new.safetensors")).toEqual(tensors("plain.safetensors"));
  });

  test("extend: new rows are those of a new layer with the seed, all others the model's", async () => {
    const at = folder();
    const args = from("odd.txt", "--unknown", "extend", "--seed", "9", "--lr", "1e-30", "--steps", "1");
    const outcome = await run(at, ...args);
    expect(outcome.stderr).toMatch(/^wasm-rnn: base\.safetensors does not know [^\n]*: 3 added to the vocabulary\n$/);
    const { model: old } = readCharLM(base);
    const { model } = readCharLM(read(at));
    expect(model.vocabulary.characters).toEqual([...old.vocabulary.characters, "r", "Ü", "🐋"]);
    const fresh = new CharLM(model.vocabulary, { ...old.architecture, seed: 9 });
    const [got, want, rows] = [model, old, fresh].map((each) => each.stateDict());
    for (const [name, { data }] of Object.entries(got!)) {
      const first = want![name]!.data;
      expect(data.subarray(0, first.length), name).toEqual(first);
      expect(data.subarray(first.length), name).toEqual(rows![name]!.data.subarray(first.length));
    }
    expect(got!["embedding.weight"]!.shape).toEqual([old.vocabulary.size + 3, 3]);
    for (const each of [model, old, fresh]) each.dispose();
    const state = readState(read(at, "new.state.safetensors"));
    expect(state.origin).toEqual({ sha256: hash(base), unknown: "extend" });
    const sample = await run(at, "sample", "new.safetensors", "--prompt", "Ü🐋", "--length", "5");
    expect([sample.code, sample.stderr]).toEqual([0, ""]);
  });
});

describe("refused", () => {
  test.each<[args: string[], code: number, message: string]>([
    [["--hidden", "8", "--dtype", "f64"], 2, "--hidden, --dtype cannot be given with --from: the model keeps its own"],
    [["--cell", "lstm", "--layers", "1", "--embedding", "2"], 2, "--cell, --layers, --embedding cannot be given"],
    [["--unknown", "replace"], 2, "Allowed choices are error, skip, extend"],
    [["--from", "none.safetensors"], 1, "no such file: none.safetensors"],
    [["--from", "other.txt"], 1, "other.txt: header: got a length of"],
    [["--from", "."], 1, ". is a folder, not a model file"],
    [["--out", "base.safetensors", "--force"], 2, "base.safetensors is the model to begin with; choose another --out"],
    [["--seq", "5000"], 1, "other.txt is too short"],
  ])("%j", async (more, code, message) => {
    const at = folder();
    const before = snapshot(at);
    const outcome = await run(at, ...from("other.txt", ...more));
    expect([outcome.code, outcome.stdout]).toEqual([code, ""]);
    expect(outcome.stderr).toMatch(/^wasm-rnn: [^\n]+\n$/);
    expect(outcome.stderr).toContain(message);
    expect(snapshot(at)).toEqual(before);
  });

  test("--unknown without --from; --from and --unknown with --resume; a state as a model", async () => {
    const at = folder();
    const alone = await run(at, "train", "other.txt", "--unknown", "skip");
    expect(alone).toMatchObject({ code: 2, stderr: "wasm-rnn: --unknown belongs to --from: a new model knows all characters of its text\n" }); // prettier-ignore
    expect((await run(at, ...from("other.txt", "--steps", "1"))).code).toBe(0);
    const resume = ["train", "--resume", "new.safetensors", "--from", "base.safetensors", "--unknown", "skip"];
    expect(await run(at, ...resume)).toMatchObject({ code: 2, stderr: expect.stringContaining("--from, --unknown cannot be given with --resume") as string }); // prettier-ignore
    copyFileSync(join(at, "new.state.safetensors"), join(at, "base.safetensors"));
    const state = await run(at, ...from("other.txt", "--out", "more.safetensors"));
    expect(state).toMatchObject({ code: 1, stderr: "wasm-rnn: base.safetensors: format: got wasm-rnn charlm state, expected wasm-rnn charlm\n" }); // prettier-ignore
  });

  test("a damaged origin in a state", async () => {
    const at = folder();
    expect((await run(at, ...from("other.txt", "--steps", "1"))).code).toBe(0);
    const path = join(at, "new.state.safetensors");
    const text = readFileSync(path, "latin1");
    const found = '\\"unknown\\":\\"error\\"';
    expect(text).toContain(found);
    writeFileSync(path, Buffer.from(text.replace(found, '\\"unknown\\":\\"other\\"'), "latin1"));
    const outcome = await run(at, "train", "--resume", "new.safetensors");
    expect(outcome).toMatchObject({ code: 1, stderr: "wasm-rnn: new.state.safetensors: origin: got something else, expected the model that it began with\n" }); // prettier-ignore
  });
});

test("a training without --from says nothing of another model", async () => {
  const at = temporaryFolder();
  writeFileSync(join(at, "book.txt"), sampleText(500));
  expect((await run(at, "train", "book.txt", "--hidden", "4", "--seq", "10", "--steps", "1")).code).toBe(0);
  expect(JSON.stringify(readSafetensors(read(at, "book.safetensors")).metadata)).not.toContain("from_");
  expect(readSafetensors(read(at, "book.state.safetensors")).metadata).not.toHaveProperty("origin");
});
