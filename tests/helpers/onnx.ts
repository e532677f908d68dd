// ONNX's operator tests (OPERATORS_DIR, default ../shared/onnx-node) and real ONNX models with recorded numbers (MODELS_DIR,
// default ../shared/models; its README tells the schema), and how results are compared with them.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { ELEMENT_ARRAYS, widenHalf, type ElementType } from "../../src/base/element.js";
import type { OnnxTensor } from "../../src/formats/onnx/model.js";
import { readOnnx, readTensorProto } from "../../src/formats/onnx/read.js";
import { readSafetensors, type StoredTensor } from "../../src/safetensors.js";
import { indexOf } from "./close.js";
import { root } from "./project.js";

export const operatorsDirectory = resolve(root, process.env.OPERATORS_DIR ?? "../shared/onnx-node");
export const modelsDirectory = resolve(root, process.env.MODELS_DIR ?? "../shared/models");

/** What a skipped test says. */
export const noOperators = `No operator tests are at ${operatorsDirectory} (OPERATORS_DIR names another folder).`;
export const noModels = `No real models are at ${modelsDirectory} (MODELS_DIR names another folder).`;

const bytesOf = (...path: string[]) => new Uint8Array(readFileSync(join(...path)));

function foldersOf(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const entries = readdirSync(directory, { withFileTypes: true });
  return entries.flatMap((each) => (each.isDirectory() ? [each.name] : [])).sort();
}

// --- operator tests --------------------------------------------------------------------------------------------------

/** One of ONNX's operator tests. */
export interface OperatorCase {
  readonly name: string;
  /** The bytes of a model of one node, or of a few. */
  readonly model: Uint8Array;
  /** In the order of the graph's inputs; names are not always set. */
  readonly inputs: readonly OnnxTensor[];
  readonly outputs: readonly OnnxTensor[];
}

/** Tests whose outputs are drawn at random: nobody can meet them. */
export const RANDOM: ReadonlySet<string> = new Set([
  "test_bernoulli_double_expanded",
  "test_training_dropout_default",
  "test_training_dropout_default_mask",
  "test_training_dropout_mask",
]);

/** All operator tests; none where the folder is not there. */
export function operatorCases(): OperatorCase[] {
  const names = foldersOf(operatorsDirectory).filter((name) =>
    existsSync(join(operatorsDirectory, name, "model.onnx")),
  );
  return names.map((name) => {
    const folder = join(operatorsDirectory, name, "test_data_set_0");
    const files = readdirSync(folder);
    const model = bytesOf(operatorsDirectory, name, "model.onnx");
    const { graph } = readOnnx(model);
    const tensors = (kind: "input" | "output") => {
      const count = files.filter((file) => file.startsWith(kind)).length;
      return Array.from({ length: count }, (_, i): OnnxTensor => {
        const tensor = readTensorProto(bytesOf(folder, `${kind}_${i}.pb`));
        const dtype = graph[`${kind}s`][i]!.dtype; // the files have the bits of bf16 as u16
        return dtype === "bf16" && tensor.dtype === "u16" ? { ...tensor, dtype } : tensor;
      });
    };
    return { name, model, inputs: tensors("input"), outputs: tensors("output") };
  });
}

// --- models ----------------------------------------------------------------------------------------------------------

/** |got - want| <= abs + rel max|want|, the maximum over the tensor. */
export interface Bounds {
  readonly abs: number;
  readonly rel: number;
}

/** A recorded run of a model. */
export interface ModelCase {
  /** The folder, and the case where there are several: silero-vad/16k-b3. */
  readonly name: string;
  readonly folder: string;
  /** The bytes of the model. */
  readonly model: Uint8Array;
  readonly notes: string;
  /** Names, types and the shapes at the first step. */
  readonly inputs: ReadonlyMap<string, { readonly dtype: ElementType; readonly shape: readonly number[] }>;
  readonly outputs: ReadonlyMap<string, { readonly dtype: ElementType; readonly shape: readonly number[] }>;
  readonly steps: number;
  /** Which output of a step is which input of the next. */
  readonly carry: ReadonlyMap<string, string>;
  readonly tolerance: Bounds;
  /** For a run in f64. */
  readonly toleranceF64: Bounds | undefined;
  /** What is fed at a step; at the first, states as well. */
  feeds(step: number): ReadonlyMap<string, OnnxTensor>;
  /** What comes out at a step. Not every output is recorded at every step. */
  expected(step: number): ReadonlyMap<string, OnnxTensor>;
  /** What PyTorch computes in f64, for its own exports; else empty. */
  torch64(step: number): ReadonlyMap<string, OnnxTensor>;
}

interface CaseFile {
  readonly model?: string;
  readonly notes: string;
  readonly inputs: Readonly<Record<string, { readonly dtype: string; readonly shape: readonly number[] }>>;
  readonly outputs: CaseFile["inputs"];
  readonly steps: number;
  readonly carry: Readonly<Record<string, string>>;
  readonly tolerance: Bounds;
  readonly toleranceF64?: Bounds;
}

const DTYPES: ReadonlyMap<string, ElementType> = new Map([
  ["float32", "f32"],
  ["float64", "f64"],
  ["int64", "i64"],
  ["int32", "i32"],
  ["bool", "bool"],
]);

/** All recorded runs of ONNX models, of those folders alone if there are any; none where the directory is not there. */
export function modelCases(...folders: readonly string[]): ModelCase[] {
  const chosen = foldersOf(modelsDirectory).filter((each) => folders.length === 0 || folders.includes(each));
  return chosen.flatMap((folder) => {
    const path = join(modelsDirectory, folder);
    const cases = readdirSync(path).filter((file) => /^cases.*\.json$/.test(file));
    const parsed = cases.sort().map((file) => [file, JSON.parse(readFileSync(join(path, file), "utf8")) as CaseFile]);
    const onnx = (parsed as [string, CaseFile][]).filter(([, { model }]) => model?.endsWith(".onnx"));
    return onnx.map(([file, json]) => modelCase(folder, file.replace(/\.json$/, ""), json));
  });
}

function modelCase(folder: string, file: string, json: CaseFile): ModelCase {
  const path = join(modelsDirectory, folder);
  const { tensors } = readSafetensors<StoredTensor>(bytesOf(path, `${file}.safetensors`));
  const specs = (record: CaseFile["inputs"]) =>
    new Map(Object.entries(record).map(([name, { dtype, shape }]) => [name, { dtype: dtypeNamed(dtype), shape }]));
  const [inputs, outputs] = [specs(json.inputs), specs(json.outputs)];
  const select = (beginning: string, dtypeOf: (name: string) => ElementType) => {
    const entries = Object.entries(tensors).filter(([key]) => key.startsWith(beginning));
    return new Map(
      entries.map(([key, { data, shape }]) => {
        const name = key.slice(beginning.length);
        const dtype = dtypeOf(name);
        return [name, { name, dtype, shape, data: arrayOf(dtype, Array.from(data as Float64Array)) }];
      }),
    );
  };
  return {
    name: file === "cases" ? folder : `${folder}/${file.slice("cases-".length)}`,
    folder,
    model: bytesOf(path, json.model!),
    notes: json.notes,
    inputs,
    outputs,
    steps: json.steps,
    carry: new Map(Object.entries(json.carry)),
    tolerance: json.tolerance,
    toleranceF64: json.toleranceF64,
    feeds: (step) => select(`in.${step}.`, (name) => inputs.get(name)!.dtype),
    expected: (step) => select(`out.${step}.`, (name) => outputs.get(name)!.dtype),
    torch64: (step) => select(`torch64.${step}.`, () => "f64"),
  };
}

function dtypeNamed(name: string): ElementType {
  const dtype = DTYPES.get(name);
  if (dtype === undefined) throw new Error(`${name} is not in DTYPES`);
  return dtype;
}

/** A typed array of numbers; of a half-precision type they are its bits. */
export function arrayOf(dtype: ElementType, numbers: readonly (number | bigint)[]): OnnxTensor["data"] {
  const data = new ELEMENT_ARRAYS[dtype](numbers.length);
  numbers.forEach((each, i) => (data[i] = dtype === "i64" || dtype === "u64" ? BigInt(each) : Number(each)));
  return data;
}

// --- comparing -------------------------------------------------------------------------------------------------------

/** The parts of an OnnxTensor that are compared. */
type Compared = Pick<OnnxTensor, "dtype" | "shape" | "data">;

/** As ONNX's own runner compares: the first difference in words; undefined where there is none. */
export function sameAsOnnx(got: Compared, want: Compared): string | undefined {
  return difference(got, want, (number) => 1e-7 + 1e-3 * Math.abs(number));
}

/** The first number that is out of bounds in words; undefined where there is none. A run in f64 gives f64 for f32. */
export function within(got: Compared, want: Compared, { abs, rel }: Bounds): string | undefined {
  const largest = numbersOf(want).reduce<number>((most, each) => Math.max(most, Math.abs(Number(each))), 0);
  const dtype = got.dtype === "f64" && want.dtype === "f32" ? "f64" : want.dtype;
  return difference(got, { ...want, dtype }, () => abs + rel * largest, numbersOf(want));
}

/** Its numbers as they are meant: half precision widened. */
function numbersOf({ dtype, data }: Compared): (number | bigint)[] {
  return Array.from<number | bigint>(
    dtype === "f16" || dtype === "bf16" ? widenHalf(dtype, data as Uint16Array) : data,
  );
}

function difference(
  got: Compared,
  want: Compared,
  allowed: (want: number) => number,
  wanted = numbersOf(want),
): string | undefined {
  if (got.dtype !== want.dtype) return `dtype ${got.dtype}, expected ${want.dtype}`;
  const shape = JSON.stringify(want.shape);
  if (JSON.stringify(got.shape) !== shape) return `shape ${JSON.stringify(got.shape)}, expected ${shape}`;
  if (got.data.length !== wanted.length) return `${got.data.length} numbers, expected ${wanted.length}`;
  const numbers = numbersOf(got);
  const wrong = numbers.findIndex((a, i) => {
    const b = wanted[i]!;
    if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return false;
    return !(Number.isFinite(Number(a)) && Math.abs(Number(a) - Number(b)) <= allowed(Number(b)));
  });
  if (wrong < 0) return undefined;
  return `[${indexOf(wrong, want.shape).join(", ")}] is ${numbers[wrong]}, expected ${wanted[wrong]}`;
}
