// wasm-rnn info on safetensors files and on other files: its output, and that no text of a file controls the terminal.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { CharLM, Vocabulary, writeCharLM } from "../../src/index.js";
import { jsonLines, run, temporaryFolder } from "../helpers/cli.js";
import { safetensorsFile, zipFile } from "../helpers/formats.js";

/** Runs `wasm-rnn info` on a file with these bytes. */
async function infoOf(bytes: Uint8Array | string, ...options: string[]) {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "x.safetensors"), bytes);
  return run(folder, "info", "x.safetensors", ...options);
}

const HEADER = {
  __metadata__: { format: "pt", note: "x".repeat(5000) },
  "lstm.weight_ih_l0": { dtype: "F16", shape: [2, 3], data_offsets: [0, 12] },
  num_batches_tracked: { dtype: "I64", shape: [], data_offsets: [12, 20] },
  scale: { dtype: "F8_E4M3", shape: [4], data_offsets: [20, 24] },
  packed: { dtype: "F4", shape: [2, 4], data_offsets: [24, 28] },
};
const FILE = safetensorsFile(HEADER, new Uint8Array(28));

/** Characters that a terminal may interpret as commands, or that change the direction of text. */
const UNSAFE = /[^\P{Cc}\n]|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

describe("any safetensors file", () => {
  test("names, dtypes, shapes and metadata", async () => {
    const { code, stderr, stdout } = await infoOf(FILE);
    expect([code, stderr]).toEqual([0, ""]);
    const lines = stdout.split("\n");
    expect(lines[0]).toBe(`x.safetensors: safetensors file, 5,346 bytes`);
    expect(lines.slice(1, 8)).toEqual([
      "tensors: 4, 19 numbers",
      "  lstm.weight_ih_l0 [2, 3] F16",
      "  num_batches_tracked [] I64",
      "  scale [4] F8_E4M3",
      "  packed [2, 4] F4",
      "metadata: 2 entries",
      '  format: "pt"',
    ]);
    expect(lines[8]).toMatch(/^ {2}note: "x{150,200}.*\(5,000 characters; --json has all\)$/);
    expect(lines.slice(9)).toEqual([""]);
  });

  test("--json prints everything", async () => {
    const { __metadata__, ...tensors } = HEADER;
    expect(jsonLines(await infoOf(FILE, "--json"))).toEqual([
      {
        event: "info",
        format: "safetensors",
        bytes: FILE.length,
        tensors: Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape])),
        dtypes: Object.fromEntries(Object.entries(tensors).map(([name, { dtype }]) => [name, dtype])),
        metadata: __metadata__,
      },
    ]);
  });

  test("recognises a model of this package, and lists its dtypes and metadata", async () => {
    const model = new CharLM(new Vocabulary("ab\u009b\n"), { embeddingDim: 2, hiddenSize: 3, numLayers: 1, seed: 1 });
    const bytes = writeCharLM(model, { steps: 3 });
    model.dispose();
    const { stdout } = await infoOf(bytes);
    expect(stdout).toContain("character model of wasm-rnn");
    expect(stdout).toContain("  lstm.weight_hh_l0 [12, 3] F64\n");
    expect(stdout).toContain('vocabulary: 4 characters: "ab\\u{9b}\\n"');
    const [line] = jsonLines(await infoOf(bytes, "--json"));
    expect(line).toMatchObject({
      format: "wasm-rnn charlm",
      tensors: { "lstm.weight_hh_l0": [12, 3] },
      dtypes: { "lstm.weight_hh_l0": "F64" },
      metadata: { format: "wasm-rnn charlm", trained_steps: "3" },
      vocabulary: ["a", "b", "\u009b", "\n"],
    });
  });

  test("no tensors, no metadata, many entries, names of every kind", async () => {
    expect((await infoOf(safetensorsFile({}))).stdout).toMatch(/tensors: 0, 0 numbers\nmetadata: none\n$/);
    const metadata = Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`k${i}`, "v"]));
    const { stdout } = await infoOf(safetensorsFile({ __metadata__: metadata }));
    expect(stdout).toContain('  k99: "v"\n  ... and 150 more; --json has all\n');
    const odd = '{"__proto__":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}';
    expect((await infoOf(safetensorsFile(odd))).stdout).toContain("  __proto__ [0] F32\n");
    const [line] = jsonLines(await infoOf(safetensorsFile(odd), "--json"));
    expect(Object.keys(line!.tensors as object)).toEqual(["__proto__"]);
  });

  test.each<[what: string, bytes: Uint8Array | string, message: string]>([
    ["an ONNX model that is cut off", Buffer.from("\x08\x07\x12\x07pytorch\x1a\x061.1", "latin1"), "producer_version"],
    ["a checkpoint", zipFile({ "archive/data.pkl": "x".repeat(500) }), "archive/data.pkl"],
    ["a page", "<!doctype html><title>404</title>", "got an HTML page"],
    ["a Git LFS pointer", "version https://git-lfs.github.com/spec/v1\n", "got a Git LFS pointer"],
    ["JSON with a brace at its ninth byte", '{ "a" : {"x": 1}}', "got a JSON file"],
    ["a safetensors file that is cut off", FILE.subarray(0, FILE.length - 1), "data_offsets"],
    ["a header that is cut off", FILE.subarray(0, 100), "header: got a length of"],
    ["nothing", "", "bytes: got 0, expected at least the 8"],
  ])("%s", async (_, bytes, message) => {
    const { code, stdout, stderr } = await infoOf(bytes);
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^wasm-rnn: x\.safetensors: [^\n]+\n$/);
    expect(stderr).toContain(message);
  });

  test("a folder, a missing file", async () => {
    const folder = temporaryFolder();
    const noModel = ". is a folder without a model (model.json of TensorFlow.js, manifest.json of ml5)";
    expect((await run(folder, "info", ".")).stderr).toBe(`wasm-rnn: ${noModel}\n`);
    expect((await run(folder, "info", "none")).stderr).toBe("wasm-rnn: no such file: none\n");
  });
});

describe("strings of a file reach the terminal escaped", () => {
  const evil = "\u001b[2J\u001b]0;title\u0007 \u009b31m \u202e \u2066 \u2028 \r\b \u007f end";
  const entry = (dtype: string) => ({ dtype, shape: [1], data_offsets: [0, 4] });
  const file = safetensorsFile(
    { __metadata__: { [evil]: evil }, [`a ${evil}`]: entry(`F32 ${evil}`) },
    new Uint8Array(4),
  );

  test("as text", async () => {
    const { code, stdout } = await infoOf(file);
    expect(code).toBe(0);
    expect(stdout).not.toMatch(UNSAFE);
    expect(stdout).toContain("a \\u{1b}[2J\\u{1b}]0;title\\u{7} \\u{9b}31m \\u{202e}");
    expect(stdout.trimEnd().split("\n")).toHaveLength(5);
  });

  test("as JSON that parses to the same values", async () => {
    const outcome = await infoOf(file, "--json");
    expect(outcome.stdout).not.toMatch(UNSAFE);
    expect(jsonLines(outcome)).toMatchObject([
      { metadata: { [evil]: evil }, dtypes: { [`a ${evil}`]: `F32 ${evil}` } },
    ]);
  });
});
