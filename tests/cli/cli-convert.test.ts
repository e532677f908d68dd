// wasm-rnn convert: every cell of its table with small real files, there and back; real models; its output and files.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { toSequential, StreamingModel } from "../../src/audio.js";
import { CONVERSIONS, SOURCES, TARGETS, type Target } from "../../src/cli/conversions.js";
import { convertFiles, type Converted } from "../../src/cli/convert.js";
import { CharLM, crossEntropy, type LSTM, type Sequential } from "../../src/index.js";
import { loadModel, type LoadedFormat, type LoadedModel } from "../../src/load.js";
import { Model } from "../../src/onnx.js";
import type { StoredTensor } from "../../src/safetensors.js";
import { jsonLines, run, snapshot, temporaryFolder } from "../helpers/cli.js";
import { runOnBadDisk } from "../helpers/crashes.js";
import { modelsDirectory, noModels } from "../helpers/onnx.js";
import { charLMFile, SAMPLES, tfjsFiles, type SampleFiles } from "../helpers/sample-models.js";

const OUTPUTS: Readonly<Record<Target, string>> = {
  onnx: "out.onnx",
  tfjs: "out",
  safetensors: "out.safetensors",
  npz: "out.npz",
  npy: "out.npy",
  rtneural: "out.json",
  proteus: "out.json",
};

/** Writes files into a folder below `folder`. Returns the path of the first, the model. */
function put(folder: string, files: SampleFiles): string {
  const at = join(folder, "in");
  mkdirSync(at, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(at, name), bytes);
  return join(at, Object.keys(files)[0]!);
}

/** A conversion into a fresh folder. */
async function convertTo(input: string, to: Target, tensor?: string): Promise<Converted & { path: string }> {
  const path = join(temporaryFolder(), OUTPUTS[to]);
  return { ...(await convertFiles(input, path, { to, tensor, force: false })), path };
}

async function use<T>(path: string, work: (loaded: LoadedModel) => T): Promise<T> {
  const files = statSync(path).isDirectory()
    ? Object.fromEntries(readdirSync(path).map((name) => [name, readFileSync(join(path, name))]))
    : { [path.split("/").at(-1)!]: readFileSync(path), ...companions(path) };
  const loaded = await loadModel(files);
  try {
    return work(loaded);
  } finally {
    loaded.model?.dispose();
  }
}

/** What lies beside a model of several files. */
function companions(path: string): SampleFiles {
  if (!/(model|manifest)\.json$/.test(path)) return {};
  const folder = join(path, "..");
  return Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
}

/** All tensors of a file, those of models under the names of their state_dict. */
function tensorsOf({ model, tensors }: LoadedModel): Record<string, StoredTensor> {
  if (tensors) return { ...tensors };
  if (!(model instanceof StreamingModel)) return { ...model.stateDict() };
  using chain = toSequential(model);
  return chain.stateDict();
}

/** The weights in their order, the two biases of a layer added up: formats name layers in their own ways, and some have one bias. */
function weightsOf(loaded: LoadedModel): StoredTensor[] {
  const tensors = tensorsOf(loaded);
  return Object.entries(tensors).flatMap(([name, { data, shape }]) => {
    if (name.includes("bias_hh")) return [];
    const other = name.includes("bias_ih") ? tensors[name.replace("bias_ih", "bias_hh")] : undefined;
    if (!other) return [{ data, shape }];
    return [{ data: (data as Float32Array).map((value, i) => value + (other.data[i] as number)), shape }];
  });
}

const FRAMES = 5;

/** Runs a model of one sequence over frames that are the same for all. */
function outputsOf({ model }: LoadedModel): number[] {
  if (model instanceof StreamingModel) {
    const output = new Float32Array(FRAMES * model.outputSize);
    model.process(frames(model.inputSize), output);
    return [...output];
  }
  if (model instanceof Model) {
    const [first, , width] = model.inputs[0]!.shape as [string, string, number];
    return [...model.forward({ data: frames(width), shape: first === "T" ? [FRAMES, 1, width] : [1, FRAMES, width] }).output.data]; // prettier-ignore
  }
  const chain = model as Sequential;
  const { inputSize } = Object.values(chain.layers)[0] as unknown as LSTM;
  return [...chain.forward({ data: frames(inputSize), shape: [1, FRAMES, inputSize] }).output.data];
}

const frames = (width: number) => Float32Array.from({ length: FRAMES * width }, (_, i) => Math.sin(i));

/** The loss of a character model over five characters, from logits in ONNX. */
function lossOf({ model }: LoadedModel): number {
  const codes = Int32Array.of(0, 1, 2, 0, 1);
  if (model instanceof CharLM) return model.evaluate(codes);
  const { output } = (model as Model).forward({ data: codes.slice(0, 4), shape: [4, 1] });
  return crossEntropy(output, { data: codes.slice(1), shape: [4, 1] }).loss;
}

function expectClose(got: readonly number[], want: readonly number[]): void {
  expect(got.length).toBe(want.length);
  got.forEach((value, i) => expect(Math.abs(value - want[i]!)).toBeLessThan(2e-6));
}

const isCharacters = (source: LoadedFormat) => source === "wasm-rnn" || source === "ml5";

/** Checks that one file holds what the other does; `chosen` is the tensor of a .npy file. */
async function expectSame(source: LoadedFormat, input: string, target: Target, output: string, chosen: string) {
  const [before, after] = [await use(input, tensorsOf), await use(output, tensorsOf)];
  switch (target) {
    case "npy":
      expect(after.array).toEqual(before[chosen]);
      break;
    case "safetensors":
    case "npz":
      expect(after).toEqual(before);
      break;
    case "onnx": {
      const measure = isCharacters(source) ? (loaded: LoadedModel) => [lossOf(loaded)] : outputsOf;
      expectClose(await use(output, measure), await use(input, measure));
      break;
    }
    default:
      expect(await use(output, weightsOf)).toEqual(await use(input, weightsOf));
      if (!isCharacters(source)) expectClose(await use(output, outputsOf), await use(input, outputsOf));
  }
}

describe("every cell of the table", () => {
  test("the table has every format", () => {
    expect(Object.keys(CONVERSIONS).sort()).toEqual([...SOURCES].sort());
    expect(Object.keys(SAMPLES).sort()).toEqual([...SOURCES].sort());
    for (const source of SOURCES) expect(Object.keys(CONVERSIONS[source]).sort()).toEqual([...TARGETS].sort());
  });

  describe.each(SOURCES)("%s", (source) => {
    test.each(TARGETS)("to %s", async (target) => {
      const input = put(temporaryFolder(), SAMPLES[source]());
      const names = await use(input, (loaded) => Object.keys(tensorsOf(loaded)));
      const chosen = names.at(-1)!;
      const tensor = target === "npy" ? chosen : undefined;
      const cell = CONVERSIONS[source][target];
      if ("reason" in cell) {
        const folder = temporaryFolder();
        const refused = convertFiles(input, join(folder, OUTPUTS[target]), { to: target, force: false });
        await expect(refused).rejects.toThrow(`${input}: ${source} does not become ${target}: ${cell.reason}`);
        expect(readdirSync(folder)).toEqual([]);
        return;
      }
      const there = await convertTo(input, target, tensor);
      expect([there.from, there.to]).toEqual([source, target]);
      await expectSame(source, input, target, there.path, chosen);
      // and back, where the format is written and the other says enough
      const own = TARGETS.find((each) => each === source);
      if (own === undefined || "reason" in CONVERSIONS[target][own]) return;
      const back = await convertTo(there.path, own);
      await expectSame(target, there.path, own, back.path, "array");
      const content: (loaded: LoadedModel) => object =
        target === "safetensors" || target === "npz" ? tensorsOf : weightsOf;
      if (target !== "npy") expect(await use(back.path, content)).toEqual(await use(input, content));
    });
  });
});

describe("what the file itself decides", () => {
  test("a graph of Keras' layers becomes TensorFlow.js and tensors, but not ONNX or a plug-in's file", async () => {
    const input = put(temporaryFolder(), tfjsFiles({ mask: true }));
    for (const target of ["onnx", "rtneural", "proteus"] as const) {
      await expect(convertTo(input, target)).rejects.toThrow(`${input}: a graph of layers; expected a model whose layers form a chain`); // prettier-ignore
    }
    const there = await convertTo(input, "tfjs");
    expect(await use(there.path, tensorsOf)).toEqual(await use(input, tensorsOf));
    const { path } = await convertTo(input, "npz");
    expect(await use(path, tensorsOf)).toEqual(await use(input, tensorsOf));
  });

  test("what is lost is said: widths, metadata, entries that are no tensors", async () => {
    const folder = temporaryFolder();
    const wide = put(folder, { "wide.safetensors": charLMFile("f64") });
    expect((await convertTo(wide, "tfjs")).lost).toEqual([
      "the text that is read before a sample",
      "f64: numbers become f32",
    ]);
    const narrow = put(folder, { "narrow.safetensors": charLMFile() });
    expect((await convertTo(narrow, "tfjs")).lost).toEqual(["the text that is read before a sample"]);
    const gru = (await convertTo(put(folder, SAMPLES.proteus()), "tfjs")).lost;
    expect(gru).toEqual(["what the file says beside layers and weights", "TensorFlow.js itself, which refuses a GRU with reset_after"]); // prettier-ignore
    const tensors = put(folder, SAMPLES.safetensors());
    expect((await convertTo(tensors, "safetensors")).lost).toEqual([]);
    expect((await convertTo(tensors, "npz")).lost).toEqual(["the metadata: format, note"]);
    expect((await convertTo(put(folder, SAMPLES.onnx()), "npz")).lost).toEqual(["the graph: floating-point tensors only"]); // prettier-ignore
  });

  test("a character model of this package keeps its metadata and bytes; one of ml5 becomes one", async () => {
    const bytes = charLMFile();
    const { path } = await convertTo(put(temporaryFolder(), { "m.safetensors": bytes }), "safetensors");
    expect(readFileSync(path).equals(bytes)).toBe(true);
    const ml5 = await convertTo(put(temporaryFolder(), SAMPLES.ml5()), "safetensors");
    expect(await use(ml5.path, ({ format, model }) => [format, (model as CharLM).vocabulary.characters])).toEqual(["wasm-rnn", ["a", "\n", "b"]]); // prettier-ignore
  });

  test("a vocabulary lies beside a character model for TensorFlow.js, of which all files are written", async () => {
    const { path, files } = await convertTo(put(temporaryFolder(), SAMPLES["wasm-rnn"]()), "tfjs");
    expect(files.map((each) => each.path)).toEqual(["weights.bin", "vocabulary.json", "model.json"].map((name) => join(path, name))); // prettier-ignore
    expect(readdirSync(path).sort()).toEqual(["model.json", "vocabulary.json", "weights.bin"]);
    expect(JSON.parse(readFileSync(join(path, "vocabulary.json"), "utf8"))).toEqual(["a", "b", "\n", "c", "d"]);
  });

  test("one tensor of many, or the only one", async () => {
    const input = put(temporaryFolder(), SAMPLES.npz());
    await expect(convertTo(input, "npy")).rejects.toThrow(`${input}: a .npy file has one tensor: choose one of 6 by --tensor: net.weight, scale`); // prettier-ignore
    await expect(convertTo(input, "npy", "nets")).rejects.toThrow("no tensor nets: it has net.weight, scale");
    await expect(convertTo(input, "npy", "__proto__")).rejects.toThrow("no tensor __proto__");
    const one = await convertTo(put(temporaryFolder(), SAMPLES.npy()), "npy");
    expect(await use(one.path, tensorsOf)).toEqual(await use(put(temporaryFolder(), SAMPLES.npy()), tensorsOf));
  });

  test("a model with a skip connection, and one whose states do not start as zeros, are not chains", async () => {
    const [file] = Object.values(SAMPLES.proteus());
    const pedal = JSON.parse(Buffer.from(file!).toString()) as { model_data: { skip: number } };
    pedal.model_data.skip = 1;
    const skipped = put(temporaryFolder(), { "p.json": Buffer.from(JSON.stringify(pedal)) });
    await expect(convertTo(skipped, "onnx")).rejects.toThrow("model: got a skip connection, expected layers one after the other"); // prettier-ignore
    const amp = JSON.parse(Buffer.from(Object.values(SAMPLES.nam())[0]!).toString()) as { weights: number[] };
    amp.weights[8 * 3 + 8] = 0.5; // h0
    const started = put(temporaryFolder(), { "a.nam": Buffer.from(JSON.stringify(amp)) });
    for (const target of ["tfjs", "rtneural"] as const) await expect(convertTo(started, target)).rejects.toThrow("states that do not start as zeros"); // prettier-ignore
  });
});

const folders = existsSync(modelsDirectory)
  ? readdirSync(modelsDirectory, { withFileTypes: true }).flatMap((each) => (each.isDirectory() ? [each.name] : []))
  : [];

test("real models are there", (context) => {
  context.skip(folders.length === 0, noModels);
});

describe("real models", () => {
  test.each(folders)("%s", async (name) => {
    const folder = join(modelsDirectory, name);
    const isData = (file: string) => /^(cases.*|LICENSE.*|.*\.csv|.*_vocab\.json)$/.test(file);
    const models = readdirSync(folder).filter((file) => !isData(file));
    let [done, refused] = [0, 0];
    for (const file of models) {
      const path = join(folder, file);
      for (const to of TARGETS) {
        const output = join(temporaryFolder(), OUTPUTS[to]);
        try {
          const { from } = await convertFiles(path, output, { to, force: false });
          expect("lost" in CONVERSIONS[from][to]).toBe(true);
          expect(existsSync(output)).toBe(true);
          done++;
        } catch (error) {
          expect((error as Error).name, String((error as Error).stack)).toBe("CliError");
          expect(existsSync(output)).toBe(false);
          refused++;
        }
      }
    }
    expect(done + refused).toBe(models.length * TARGETS.length);
  });
});

describe("wasm-rnn convert", () => {
  test("prints what was written and what is lost; --json", async () => {
    const folder = temporaryFolder();
    put(folder, SAMPLES.onnx());
    const { code, stdout, stderr } = await run(folder, "convert", "in/net.onnx", "net.npz");
    const { size } = statSync(join(folder, "net.npz"));
    const bytes = size.toLocaleString("en-US");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toBe(`in/net.onnx: onnx, written as npz: net.npz, ${bytes} bytes\nlost: the graph: floating-point tensors only\n`); // prettier-ignore
    const json = await run(folder, "convert", "in/net.onnx", "net.safetensors", "--json");
    expect(jsonLines(json)).toEqual([
      {
        event: "convert",
        from: "onnx",
        to: "safetensors",
        files: ["net.safetensors"],
        bytes: statSync(join(folder, "net.safetensors")).size,
        lost: ["the graph: floating-point tensors only"],
      },
    ]);
  });

  test("--formats prints the table", async () => {
    const { code, stdout } = await run(temporaryFolder(), "convert", "--formats");
    expect(code).toBe(0);
    const lines = stdout.split("\n");
    expect(lines[0]).toMatch(/^from \\ to +onnx +tfjs +safetensors +npz +npy +rtneural +proteus$/);
    expect(lines[1]).toMatch(/^wasm-rnn +yes +yes +yes +yes +some +- +-$/);
    for (const source of SOURCES) {
      expect(stdout).toContain(`\n${source}:\n`);
      for (const cell of Object.values(CONVERSIONS[source])) expect(stdout).toContain("reason" in cell ? cell.reason : cell.lost.join("; ")); // prettier-ignore
    }
    const [json] = jsonLines(await run(temporaryFolder(), "convert", "--formats", "--json"));
    expect(json).toEqual({ event: "formats", from: JSON.parse(JSON.stringify(CONVERSIONS)) as unknown });
  });

  test("a folder or model.json for TensorFlow.js, read again; --opset", async () => {
    const folder = temporaryFolder();
    put(folder, SAMPLES.tfjs());
    for (const args of [
      ["in", "web/"],
      ["in/model.json", "other/model.json"],
      ["web", "third", "--to", "tfjs"],
      ["other", "net.onnx", "--opset", "15"],
    ]) {
      // prettier-ignore
      expect(await run(folder, "convert", ...args), args.join(" ")).toMatchObject({ code: 0, stderr: "" });
    }
    for (const name of ["web", "other", "third"]) expect(readdirSync(join(folder, name)).sort()).toEqual(["model.json", "weights.bin"]); // prettier-ignore
    const { opsets } = await use(join(folder, "net.onnx"), ({ metadata }) => metadata as { opsets: unknown });
    expect(opsets).toEqual({ "ai.onnx": 15 });
  });

  test("files that exist stay without --force, and are replaced whole with it", async () => {
    const folder = temporaryFolder();
    const input = put(folder, SAMPLES.npz());
    writeFileSync(join(folder, "out.safetensors"), "mine");
    const args = ["convert", input, "out.safetensors"];
    expect(await run(folder, ...args)).toEqual({ code: 1, stdout: "", stderr: "wasm-rnn: out.safetensors exists; --force overwrites it\n" }); // prettier-ignore
    for (const kill of [
      { op: "write", n: 1 },
      { op: "sync", n: 2 },
    ]) {
      // prettier-ignore
      expect((await runOnBadDisk(folder, { kill }, [...args, "--force"])).signal).toBe("SIGKILL");
      expect(readFileSync(join(folder, "out.safetensors"), "utf8")).toBe("mine");
    }
    expect(await run(folder, ...args, "--force")).toMatchObject({ code: 0, stderr: "" });
    expect(await use(join(folder, "out.safetensors"), tensorsOf)).toEqual(await use(input, tensorsOf));
    expect(readdirSync(folder).sort()).toEqual(["in", "out.safetensors"]); // what the killed ones left is removed
    const full = await runOnBadDisk(folder, { space: 100 }, [...args, "--force"]);
    expect(full.code).toBe(1);
    expect(full.stderr).toMatch(/^wasm-rnn: cannot write [^\n]*ENOSPC[^\n]*\n$/);
    expect(readdirSync(folder).sort()).toEqual(["in", "out.safetensors"]);
  });

  test("what is read is never written, under no name", async () => {
    const folder = temporaryFolder();
    put(folder, SAMPLES.tfjs());
    put(folder, SAMPLES.safetensors());
    symlinkSync("in/net.safetensors", join(folder, "link.safetensors"));
    const before = snapshot(folder);
    for (const [input, output] of [
      ["in/net.safetensors", "in/net.safetensors"],
      ["in/net.safetensors", "link.safetensors"],
      ["in/model.json", "in"],
      ["in/model.json", "in/other.json"],
    ]) {
      // prettier-ignore
      const { code, stderr } = await run(folder, "convert", input!, output!, "--force", ...(output!.endsWith(".json") ? ["--to", "tfjs"] : [])); // prettier-ignore
      expect(code).toBe(2);
      expect(stderr).toMatch(/^wasm-rnn: \S+ is read: choose another output\n$/);
    }
    expect(snapshot(folder)).toEqual(before);
  });

  test.each<[args: string[], code: number, message: string]>([
    [[], 2, "name a file to read and one to write"],
    [["in/net.npz"], 2, "name a file to read and one to write"],
    [["in/net.npz", "out"], 2, "out: its ending does not say the format: expected .onnx, .safetensors"],
    [["in/net.npz", "out.json"], 2, "or --to onnx | tfjs | safetensors | npz | npy | rtneural | proteus"],
    [["in/net.npz", "out.bin", "--to", "h5"], 2, "Allowed choices are onnx, tfjs"],
    [["in/net.npz", "in", "--to", "npy"], 2, "in is a folder: --to npy writes a file"],
    [["in/net.npz", "out.npz", "--tensor", "scale"], 2, "--tensor is for .npy files"],
    [["in/net.npz", "out.npz", "--opset", "17"], 2, "--opset is for ONNX files"],
    [["none", "out.npz"], 1, "no such file: none"],
    [["in", "out.npz"], 1, "in is a folder without a model (model.json of TensorFlow.js, manifest.json of ml5)"],
    [["note.txt", "out.npz"], 1, "note.txt: files: got bytes of an unknown kind, expected a model of ONNX"],
    [["in/net.npz", "nowhere/out.npz"], 1, "no such folder: nowhere"],
    [["in/net.npz", "out.onnx"], 1, "in/net.npz: npz does not become onnx: the file has tensors alone"],
    [["in/net.npz", "dir.npz"], 1, "in/net.npz: npz does not become tfjs: the file has tensors alone"],
  ])("%j", async (args, code, message) => {
    const folder = temporaryFolder();
    put(folder, SAMPLES.npz());
    mkdirSync(join(folder, "dir.npz"));
    writeFileSync(join(folder, "note.txt"), "a note");
    const before = snapshot(folder);
    const outcome = await run(folder, "convert", ...args);
    expect([outcome.code, outcome.stdout]).toEqual([code, ""]);
    expect(outcome.stderr).toMatch(/^wasm-rnn: [^\n]+\n$/);
    expect(outcome.stderr).toContain(message);
    expect(snapshot(folder)).toEqual(before);
  });
});
