// Real models and files of other programs, with reference numbers (their README tells the schema): ../shared/models beside
// the package, or MODELS_DIR. Files without a reader must be recognised, or refused by name.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { fromNam, fromProteus, fromRtneural } from "../../src/audio.js";
import { permute } from "../../src/base/layout.js";
import { FormatError, LSTMCell, type Tensor } from "../../src/index.js";
import { readSafetensors, type StoredTensor } from "../../src/safetensors.js";
import "../helpers/close.js";
import { refuses } from "../helpers/refuses.js";
import { useVariant, variants } from "../helpers/variants.js";

interface Case {
  readonly model: string;
  readonly steps: number;
  readonly notes: string;
  readonly tolerance: { readonly abs: number; readonly rel: number };
  readonly toleranceF64?: Case["tolerance"];
  readonly files?: Readonly<
    Record<string, Readonly<Record<string, { readonly dtype: string; readonly int64?: string[] }>>>
  >;
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const directory = resolve(root, process.env.MODELS_DIR ?? "../shared/models");
const folders = existsSync(directory)
  ? readdirSync(directory, { withFileTypes: true }).flatMap((each) => (each.isDirectory() ? [each.name] : []))
  : [];

const bytesOf = (folder: string, file: string) => new Uint8Array(readFileSync(join(directory, folder, file)));
const jsonOf = (folder: string, file: string) => JSON.parse(Buffer.from(bytesOf(folder, file)).toString()) as unknown;
const caseOf = (folder: string) => jsonOf(folder, "cases.json") as Case;
const numbersOf = (folder: string) => readSafetensors(bytesOf(folder, "cases.safetensors")).tensors;

/** As many numbers, each within abs + rel max|want|. */
function expectWithin(got: ArrayLike<number>, want: Tensor, { tolerance: { abs, rel } }: Case): void {
  const largest = Array.from(want.data).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect({ data: Float64Array.from(got), shape: want.shape }).toBeAllClose(want, {
    atol: abs + rel * largest,
    rtol: 0,
  });
}

/** Models of audio effects. */
const AUDIO = folders.filter((name) => name.startsWith("rtneural-") || name.startsWith("nam-"));

/** Files of other kinds by the ends of their names, and what readers call them. */
const KINDS: readonly (readonly [end: string, kind: string])[] = [
  [".onnx", "an ONNX model"],
  [".pt", "a PyTorch checkpoint (zip)"],
  [".npz", "a NumPy .npz file"],
  [".npy", "a NumPy .npy file"],
  [".hdf5", "an HDF5 file (Keras .h5)"],
  [".nam", "JSON of NAM"],
];

const ran = new Set<string>();
const each = (names: Iterable<string>) => [...names].filter((name) => folders.includes(name));

describe.each(folders.length > 0 ? variants : [])("%s build", (variant) => {
  useVariant(variant);

  describe.each(["f32", "f64"] as const)("%s", (dtype) => {
    test.each(AUDIO)("%s", (folder) => {
      const each = caseOf(folder);
      const numbers = numbersOf(folder);
      // those of PyTorch's convolutions are [channels, time]
      const form = /stride (\d+), dilation (\d+), groups (\d+)/.exec(each.notes)?.slice(1).map(Number);
      const frames = (tensor: Tensor) => (form ? permute(tensor, [1, 0]) : tensor);
      const [x, want] = [frames(numbers["in.0.x"]!), frames(numbers["out.0.y"]!)];
      const [stride, dilation, groups] = form ?? [];
      const convolutions = { "": { stride, dilation, groups } };
      using model = folder.startsWith("nam-")
        ? fromNam(bytesOf(folder, each.model), { dtype })
        : fromRtneural(jsonOf(folder, each.model), { dtype, ...(form && { convolutions }) });
      const tolerance = (dtype === "f64" && each.toleranceF64) || each.tolerance;
      const { inputSize: d } = model;
      for (let round = 0; round < 2; round++, model.reset()) {
        const got: number[] = [];
        for (let at = 0; at < x.data.length; at += d) {
          const y = model.step(Float64Array.from(x.data.subarray(at, at + d)));
          if (model.ready) got.push(...y);
        }
        expectWithin(got, want, { ...each, tolerance });
      }
      if (x.data.length * model.outputSize === want.data.length * d) {
        const got = new Float64Array(want.data.length);
        model.process(Float64Array.from(x.data), got);
        expectWithin(got, want, { ...each, tolerance });
      }
      ran.add(folder);
    });
  });

  test.each(each(["silero-vad-16k-safetensors"]))("%s", (folder) => {
    const each = caseOf(folder);
    const { tensors } = readSafetensors(bytesOf(folder, each.model));
    const numbers = numbersOf(folder);
    using cell = new LSTMCell(128, 128, { dtype: "f64" });
    const own = Object.entries(tensors).filter(([name]) => name.startsWith("lstm_cell."));
    cell.loadStateDict(Object.fromEntries(own.map(([name, tensor]) => [name.slice("lstm_cell.".length), tensor])));
    let state: { h?: Tensor; c?: Tensor } = {};
    for (let step = 0; step < each.steps; step++) {
      const features = encode(tensors, numbers[`in.${step}.input`]!.data);
      const { h, c } = cell.forward({ data: Float64Array.from(features), shape: [1, 128] }, state);
      state = { h, c };
      const head = tensors["final_conv.weight"]!.data;
      let sum = tensors["final_conv.bias"]!.data[0]!;
      for (let i = 0; i < 128; i++) sum += head[i]! * Math.max(h.data[i]!, 0);
      expectWithin([1 / (1 + Math.exp(-sum))], numbers[`out.${step}.output`]!, each);
      for (const [name, got] of Object.entries({ h, c })) {
        const want = numbers[`out.${step}.${name}`];
        if (want) expectWithin(got.data, want, each);
      }
    }
    ran.add(folder);
  });
});

/** Silero VAD up to its LSTM: 576 samples to 128 features. Its convolutions are plain loops over [channels][time]. */
function encode(tensors: Readonly<Record<string, Tensor>>, samples: ArrayLike<number>): number[] {
  const convolve = (name: string, x: readonly number[][], stride: number, padding: number): number[][] => {
    const { data, shape } = tensors[`${name}.weight`]!;
    const [outputs, inputs, width] = shape as [number, number, number];
    const bias = tensors[`${name}.bias`]?.data;
    const length = x[0]!.length;
    const steps = Math.floor((length + 2 * padding - width) / stride) + 1;
    return Array.from({ length: outputs }, (_, o) =>
      Array.from({ length: steps }, (_, t) => {
        let sum = bias ? bias[o]! : 0;
        for (let i = 0; i < inputs; i++) {
          for (let k = 0; k < width; k++) {
            const at = t * stride + k - padding;
            if (at >= 0 && at < length) sum += data[(o * inputs + i) * width + k]! * x[i]![at]!;
          }
        }
        return sum;
      }),
    );
  };
  const padded = Array.from(samples);
  for (let i = 1; i <= 64; i++) padded.push(samples[samples.length - 1 - i]!); // reflected at the right
  const spectrum = convolve("stft_conv", [padded], 128, 0);
  let x = spectrum.slice(0, 129).map((real, i) => real.map((re, t) => Math.hypot(re, spectrum[129 + i]![t]!)));
  for (const [name, stride] of [
    ["conv1", 1],
    ["conv2", 2],
    ["conv3", 2],
    ["conv4", 1],
  ] as const) {
    x = convolve(name, x, stride, 1).map((row) => row.map((value) => Math.max(value, 0)));
  }
  expect(x[0]).toHaveLength(1);
  return x.map(([value]) => value!);
}

test("some folders are there", (context) => {
  context.skip(folders.length === 0, `No real models are at ${directory} (MODELS_DIR names another folder).`);
});

describe.runIf(folders.length > 0)("files", () => {
  test.each(each(["safetensors-dtypes"]))("%s: every entry to the bit", (folder) => {
    const numbers = numbersOf(folder);
    const { files = {} } = caseOf(folder);
    for (const [file, entries] of Object.entries(files)) {
      const { tensors } = readSafetensors<StoredTensor>(bytesOf(folder, file));
      expect(Object.keys(tensors).sort()).toEqual(Object.keys(entries).sort());
      for (const [name, { int64 }] of Object.entries(entries)) {
        const { data, shape } = tensors[name]!;
        if (int64) {
          expect([...data].map(String)).toEqual(int64);
          continue;
        }
        const want = numbers[`file.${file}.${name}`]!;
        expect(shape, name).toEqual(want.shape);
        expect([...data].map(Number), name).toEqual([...want.data]); // by Object.is: NaN and the sign of zero count
      }
      const types = Object.fromEntries(
        Object.entries(tensors).map(([name, { data }]) => [name, data.constructor.name]),
      );
      expect(types).toMatchObject({
        ...{
          f32: "Float32Array",
          f64: "Float64Array",
          f16: "Float32Array",
          bf16: "Float32Array",
          i64: "BigInt64Array",
        },
        ...{ i32: "Int32Array", i16: "Int16Array", i8: "Int8Array", u8: "Uint8Array", bool: "Uint8Array" },
      });
    }
    ran.add(folder);
  });

  test.each(folders)("%s: every other file is recognised", (folder) => {
    for (const file of readdirSync(join(directory, folder))) {
      const kind = KINDS.find(([end]) => file.endsWith(end))?.[1];
      if (kind === undefined) continue;
      const bytes = bytesOf(folder, file);
      refuses(() => readSafetensors(bytes), FormatError, `bytes: got ${kind}`);
      refuses(() => fromProteus(bytes), FormatError, `json: got bytes of ${kind}`);
      if (file.endsWith(".nam")) refuses(() => fromRtneural(jsonOf(folder, file)), FormatError, `json: got ${kind}`);
      ran.add(folder);
    }
    for (const file of readdirSync(join(directory, folder)).filter((name) => name.endsWith(".safetensors"))) {
      readSafetensors(bytesOf(folder, file));
    }
    for (const file of readdirSync(join(directory, folder)).filter((name) => name.endsWith(".json"))) {
      const json = jsonOf(folder, file);
      if (!(json instanceof Object && "modelTopology" in json)) continue;
      refuses(() => fromRtneural(json), FormatError, "a model.json of TensorFlow.js");
      refuses(() => readSafetensors(bytesOf(folder, file)), FormatError, "a model.json of TensorFlow.js");
      ran.add(folder);
    }
  });
});

afterAll(() => {
  if (folders.length === 0) {
    console.log(`models: none (no ${directory}; MODELS_DIR names another folder)`);
    return;
  }
  const others = folders.filter((name) => !ran.has(name));
  console.log(
    `models: ${ran.size} of ${folders.length} folders ran; nothing here reads ${others.join(", ") || "- (all)"}`,
  );
});
