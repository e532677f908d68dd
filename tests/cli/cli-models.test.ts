// wasm-rnn sample and info on models of other programs: files and folders, what they print, what they refuse.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readVocabulary } from "../../src/cli/character-model.js";
import { writeNpz } from "../../src/npy.js";
import { readCharLM } from "../../src/index.js";
import type { LoadedFormat } from "../../src/load.js";
import { charLMFromTfjs, fromMl5 } from "../../src/text.js";
import { jsonLines, run, temporaryFolder } from "../helpers/cli.js";
import { charLMFile, SAMPLES, tfjsFiles, type SampleFiles } from "../helpers/sample-models.js";

/** A folder with files in it, in `in`. */
function folderWith(files: SampleFiles): string {
  const folder = temporaryFolder();
  mkdirSync(join(folder, "in"));
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, "in", name), bytes);
  return folder;
}

describe("sample", () => {
  test("ml5: the folder, or the manifest in it", async () => {
    const files = SAMPLES.ml5();
    const folder = folderWith(files);
    writeFileSync(join(folder, "in", "notes.json"), '{ "other": 1 }');
    const args = ["--prompt", "ab", "--length", "30", "--temperature", "0"];
    using model = fromMl5(files);
    const text = `ab${model.sample("ab", { length: 30, temperature: 0 })}\n`;
    for (const path of ["in", "in/manifest.json"]) {
      expect(await run(folder, "sample", path, ...args)).toEqual({ code: 0, stdout: text, stderr: "" });
    }
    const refused = await run(folder, "sample", "in", "--vocabulary", "in/vocab.json");
    expect(refused).toMatchObject({ code: 2, stderr: "wasm-rnn: --vocabulary is for models of TensorFlow.js: in has its own\n" }); // prettier-ignore
  });

  test("TensorFlow.js with --vocabulary, which convert writes beside it", async () => {
    const folder = folderWith({ "m.safetensors": charLMFile() });
    expect((await run(folder, "convert", "in/m.safetensors", "web/")).code).toBe(0);
    const args = ["--prompt", "ab", "--length", "30", "--temperature", "0", "--json"];
    const characters = ["a", "b", "\n", "c", "d"];
    using model = charLMFromTfjs(
      readFileSync(join(folder, "web/model.json")),
      readFileSync(join(folder, "web/weights.bin")),
      { vocabulary: characters },
    );
    const text = model.sample("ab", { length: 30, temperature: 0 });
    writeFileSync(join(folder, "codes.json"), JSON.stringify({ b: 1, a: 0, d: 4, c: 3, "\n": 2 }));
    writeFileSync(join(folder, "text.txt"), "abba\nabcbad\n");
    for (const vocabulary of ["web/vocabulary.json", "codes.json", "text.txt"]) {
      const outcome = await run(folder, "sample", "web", "--vocabulary", vocabulary, ...args);
      expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
      expect(jsonLines(outcome)).toMatchObject([{ text }]);
    }
    // as one file, which can be trained on
    const convert = ["convert", "web/model.json", "m.safetensors", "--vocabulary", "text.txt"];
    expect(await run(folder, ...convert)).toMatchObject({ code: 0, stderr: "" });
    using own = readCharLM(readFileSync(join(folder, "m.safetensors"))).model;
    expect(own.vocabulary.characters).toEqual(characters);
    expect(own.stateDict()).toEqual(model.stateDict());
  });

  test.each<[files: SampleFiles, args: string[], code: number, message: string]>([
    [
      tfjsFiles(),
      ["in"],
      2,
      "in is a model.json of TensorFlow.js, which does not say its characters: give --vocabulary",
    ],
    [tfjsFiles(), ["in", "--vocabulary", "v.txt"], 1, 'in: layer dense.activation: got "linear", expected softmax'],
    [tfjsFiles(), ["in", "--vocabulary", "none"], 1, "no such file: none"],
    [SAMPLES.onnx(), ["in/net.onnx"], 1, "in/net.onnx: bytes: got an ONNX model"],
    [SAMPLES.npz(), ["in/net.npz"], 1, "in/net.npz: bytes: got a NumPy .npz file"],
    [SAMPLES.npz(), ["in"], 1, "in is a folder without a model (model.json of TensorFlow.js, manifest.json of ml5)"],
    [
      SAMPLES["wasm-rnn"](),
      ["in/model.safetensors", "--vocabulary", "v.txt"],
      2,
      "--vocabulary is for models of TensorFlow.js",
    ],
    [
      { ...tfjsFiles(), "two.json": tfjsFiles()["model.json"]! },
      ["in"],
      1,
      "in is a folder with several models: name one, such as in/model.json",
    ],
  ])("refused %#", async (files, args, code, message) => {
    // prettier-ignore
    const folder = folderWith(files);
    writeFileSync(join(folder, "v.txt"), "abcd");
    const outcome = await run(folder, "sample", ...args);
    expect([outcome.code, outcome.stdout]).toEqual([code, ""]);
    expect(outcome.stderr).toMatch(/^wasm-rnn: [^\n]+\n$/);
    expect(outcome.stderr).toContain(message);
  });

  test("files that a model names and that are not there, or elsewhere", async () => {
    const folder = folderWith(SAMPLES.ml5());
    rmSync(join(folder, "in", "embedding"));
    const missing = await run(folder, "sample", "in");
    expect(missing).toMatchObject({ code: 1, stderr: "wasm-rnn: in/manifest.json names embedding: no such file: in/embedding\n" }); // prettier-ignore
    for (const path of ["../secret", "/etc/hostname", "a/../../secret"]) {
      const json = Buffer.from(tfjsFiles()["model.json"]!).toString().replace("weights.bin", path);
      writeFileSync(join(folder, "in", "model.json"), json);
      writeFileSync(join(folder, "secret"), "");
      const outcome = await run(folder, "info", "in/model.json");
      expect(outcome).toMatchObject({ code: 1, stderr: `wasm-rnn: in/model.json: names ${path}, which is not in its folder\n` }); // prettier-ignore
    }
  });
});

describe("vocabularies", () => {
  const read = (text: string | Uint8Array) => {
    const path = join(temporaryFolder(), "v");
    writeFileSync(path, text);
    return readVocabulary(path);
  };

  test("lists, codes and texts", () => {
    expect(read('["b", "a", "\\n"]')).toEqual(["b", "a", "\n"]);
    expect(read('{ "b": 1, "a": 0 }')).toEqual(["a", "b"]);
    expect(read("hello\nyou\n")).toEqual(["h", "e", "l", "o", "\n", "y", "u"]);
    expect(read("hello\n")).toEqual(["h", "e", "l", "o"]);
    expect(read("[a]")).toEqual(["[", "a", "]"]); // a text that begins like JSON
    expect(read("🐋a")).toEqual(["🐋", "a"]);
  });

  test.each<[text: string | Uint8Array, message: string]>([
    ["", "it has no characters"],
    ["\n", "it has no characters"],
    ['{ "a": 0, "b": 2 }', "no character has the code 1: expected 0 to 1, each once"],
    ['{ "a": 0, "b": 0 }', "no character has the code 1"],
    [Uint8Array.of(0xff, 0xfe), "it is not valid UTF-8"],
  ])("%j", (text, message) => {
    expect(() => read(text)).toThrow(message);
  });
});

/** What the lines of `info` hold for each format, beside the first line. */
const LINES: Readonly<Record<Exclude<LoadedFormat, "wasm-rnn" | "safetensors" | "onnx">, readonly string[]>> = {
  ml5: [
    "architecture: embedding 2, 1 x LSTM 4, linear 3",
    "parameters: 149 (f32)",
    'vocabulary: 3 characters: "a\\nb"',
  ],
  tfjs: ["  lstm_input [any, any, 3]", "layers: 2", "  lstm: LSTM, kernel [3, 16], recurrent_kernel [4, 16], bias [16]", "  dense: Dense, kernel [4, 2], bias [2]", "parameters: 5, 138 numbers", '  generatedBy: "a test"'], // prettier-ignore
  keras: ["layers: 2", "  dense: Dense, kernel [4, 2], bias [2]", "parameters: 5, 138 numbers", "metadata: none"],
  "keras-h5": ["layers: 2", "  dense: Dense, kernel [4, 2], bias [2]", "parameters: 5, 138 numbers"],
  "keras-weights": ["tensors: 5, 138 numbers", "  lstm/kernel:0 [3, 16] f32"],
  pytorch: ["tensors: "],
  npz: ["tensors: 6, 13 numbers", "  net.weight [2, 3] f32", "  steps [] i64", "  bytes [1, 2] u8", "metadata: none"],
  npy: ["tensors: 1, 1 numbers", "  array [] i64"],
  rtneural: ["  input [frames, 2]", "  output [frames, 2]", "  0: LSTM, weight_ih_l0 [16, 2], weight_hh_l0 [16, 4], bias_ih_l0 [16], bias_hh_l0 [16]", "  1: dense, weight [2, 4], bias [2]"], // prettier-ignore
  proteus: [
    "  0: GRU, weight_ih_l0 [12, 1]",
    "  1: dense, weight [1, 4], bias [1]",
    '  model_data: {"model":"SimpleRNN"',
  ],
  nam: ["  0: LSTM, weight_ih_l0 [8, 1]", '  version: "0.5.4"', '  architecture: "LSTM"'],
};

describe("info", () => {
  const formats = Object.keys(LINES) as (keyof typeof LINES)[];
  test.each(formats)("%s", async (format) => {
    const files = SAMPLES[format]();
    const folder = folderWith(files);
    const names = Object.keys(files);
    const size = Object.values(files).reduce((sum, { length }) => sum + length, 0);
    const path = `in/${names[0]!}`;
    const { code, stdout, stderr } = await run(folder, "info", path);
    expect([code, stderr]).toEqual([0, ""]);
    const lines = stdout.split("\n");
    expect(lines[0]).toContain(`${path}: `);
    const several = names.length > 1 ? ` in ${names.length} files` : "";
    expect(lines[0]!.endsWith(`, ${size.toLocaleString("en-US")} bytes${several}`)).toBe(true);
    for (const line of LINES[format]) expect(`\n${stdout}`).toContain(`\n${line}`);
    if (!stdout.includes("tensors:")) expect(stdout).toContain("unsupported: none; loadModel runs it\n");
    const [json] = jsonLines(await run(folder, "info", names.length > 1 ? "in" : path, "--json"));
    expect(json).toMatchObject({ event: "info", format, bytes: size, unsupported: [] });
    expect(json!.files).toHaveLength(names.length);
  });

  test("--json of layers, tensors and characters", async () => {
    const json = async (format: LoadedFormat) => {
      const folder = folderWith(SAMPLES[format]());
      return jsonLines(await run(folder, "info", `in/${Object.keys(SAMPLES[format]())[0]!}`, "--json"))[0]!;
    };
    expect(await json("keras")).toMatchObject({
      inputs: [{ name: "lstm_input", shape: ["any", "any", 3] }],
      outputs: [{ name: "dense" }],
      layers: [
        { name: "lstm", type: "LSTM", weights: { kernel: [3, 16] } },
        { name: "dense", type: "Dense" },
      ],
      parameters: 138,
    });
    expect(await json("npz")).toMatchObject({ tensors: { codes: [2] }, dtypes: { codes: "i32", scale: "f64" }, metadata: {} }); // prettier-ignore
    expect(await json("ml5")).toMatchObject({ architecture: { cell: "LSTM", hiddenSize: 4 }, vocabulary: ["a", "\n", "b"] }); // prettier-ignore
  });

  test("a model that does not run: its layers, and what is not supported", async () => {
    const files = tfjsFiles();
    const text = Buffer.from(files["model.json"]!).toString();
    const folder = folderWith({ ...files, "model.json": Buffer.from(text.replace('"activation":"linear"', '"activation":"gelu_\\u001b[2J"')) }); // prettier-ignore
    const { code, stdout, stderr } = await run(folder, "info", "in");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("  lstm: LSTM, kernel [3, 16]");
    expect(stdout).toMatch(/^unsupported: .*gelu/m);
    expect(stdout).not.toContain("\u001b");
    const [json] = jsonLines(await run(folder, "info", "in", "--json"));
    expect(json).toMatchObject({ format: "tfjs", layers: [{ name: "lstm" }, { name: "dense" }] });
    expect(json!.unsupported).toHaveLength(1);
  });

  test("names and values of files are escaped", async () => {
    const evil = "a\u001b[2J\u202e\nb";
    const folder = folderWith({ "x.npz": writeNpz({ [evil]: { data: Float32Array.of(1), shape: [1] } }) });
    const { stdout } = await run(folder, "info", "in/x.npz");
    expect(stdout).toContain("  a\\u{1b}[2J\\u{202e}\\nb [1] f32\n");
    const [json] = jsonLines(await run(folder, "info", "in/x.npz", "--json"));
    expect(json).toMatchObject({ tensors: { [evil]: [1] } });
  });

  test("a file that is none", async () => {
    const folder = folderWith({ "net.npz": Uint8Array.of(1, 2, 3) });
    const { code, stderr } = await run(folder, "info", "in/net.npz");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^wasm-rnn: in\/net\.npz: files: got bytes of an unknown kind, expected a model of ONNX, [^\n]*\n$/); // prettier-ignore
  });
});
