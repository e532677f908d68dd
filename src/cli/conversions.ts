// The table of wasm-rnn convert: which format's files become files of which other format, what is lost, and why others are refused.

import type { LoadedFormat } from "../models/load.js";

/** The formats that are written. */
export const TARGETS = ["onnx", "tfjs", "safetensors", "npz", "npy", "rtneural", "proteus"] as const;

export type Target = (typeof TARGETS)[number];

/** The formats that are read, in the order in which they are listed. */
export const SOURCES = [
  "wasm-rnn",
  "ml5",
  "tfjs",
  "keras",
  "keras-h5",
  "rtneural",
  "proteus",
  "nam",
  "onnx",
  "safetensors",
  "pytorch",
  "keras-weights",
  "npz",
  "npy",
] as const satisfies readonly LoadedFormat[];

/** A conversion that works, for all models or for those of `only`, and what the file that it writes does not have. */
export interface Conversion {
  readonly only?: string;
  readonly lost: readonly string[];
}

/** Why there is none: the error's message. */
export interface Refusal {
  readonly reason: string;
}

type Row = Readonly<Record<Target, Conversion | Refusal>>;

const no = (reason: string): Refusal => ({ reason });
const yes = (...lost: readonly string[]): Conversion => ({ lost });
const only = (models: string, ...lost: readonly string[]): Conversion => ({ only: models, lost });

const ONE = "files of one tensor, or with --tensor";
const TENSORS_ONLY = "the architecture: tensors only";

/** Lost where a file has some: then their names are listed. */
export const METADATA = "the metadata";
export const NOT_TENSORS = "what is no tensor";

/** Lost where a model is of f64. */
export const WIDTH = "f64: numbers become f32";

/** Lost where a GRU has reset_after: Keras and this package read such a model. */
export const RESET_AFTER = "TensorFlow.js itself, which refuses a GRU with reset_after";

/** The targets that hold tensors alone. */
const tensors = (...lost: readonly string[]): Pick<Row, "safetensors" | "npz" | "npy"> => ({
  safetensors: yes(...lost),
  npz: yes(...lost),
  npy: only(ONE, ...lost),
});

/** The targets that need to know which layers a model has. */
const withoutLayers = (reason: string): Pick<Row, "onnx" | "tfjs" | "rtneural" | "proteus"> => ({
  onnx: no(reason),
  tfjs: no(reason),
  rtneural: no(reason),
  proteus: no(reason),
});

const CODES = "a character model takes codes of characters: models of audio effects take frames of numbers";

const CHARACTERS: Row = {
  onnx: yes("the vocabulary, and the text that is read before a sample", "the state from window to window: it starts as zeros in each run"), // prettier-ignore
  tfjs: yes("the text that is read before a sample", WIDTH),
  safetensors: yes(),
  npz: yes("the architecture and the vocabulary: tensors only"),
  npy: only(ONE, "the architecture and the vocabulary: tensors only"),
  rtneural: no(CODES),
  proteus: no(CODES),
};

const CHAINS = "chains of layers that this package has: a Sequential";
const TRAINING = "the training configuration (optimizer, loss), if there is one";

const KERAS: Row = {
  onnx: only(CHAINS, TRAINING),
  tfjs: yes(TRAINING),
  ...tensors(TENSORS_ONLY),
  rtneural: only("chains of layers that RTNeural has", TRAINING),
  proteus: only("chains of recurrent layers of one size and a linear one", TRAINING),
};

const NETWORKS = "chains: no skip connection, conv2d, gated activation, WaveNet, or states that do not start as zeros";
const OTHERS = "what the file says beside layers and weights";

const AUDIO: Row = {
  onnx: only(NETWORKS, OTHERS),
  tfjs: only(NETWORKS, OTHERS),
  safetensors: only(NETWORKS, TENSORS_ONLY),
  npz: only(NETWORKS, TENSORS_ONLY),
  npy: only(`${NETWORKS}; ${ONE}`, TENSORS_ONLY),
  rtneural: only("layers that RTNeural has, whose states start as zeros", OTHERS),
  proteus: only("recurrent layers of one size and a linear one, whose states start as zeros", OTHERS),
};

const OPERATORS = "an ONNX graph has operators, and does not say which layers they were";

const GRAPH: Row = {
  ...withoutLayers(OPERATORS),
  onnx: yes(),
  ...tensors("the graph: floating-point tensors only"),
};

const NO_LAYERS = "the file has tensors alone, and does not say which layers they belong to: build them, loadStateDict, then toOnnx, toTfjs or StreamingModel.from"; // prettier-ignore

const TENSORS: Row = { ...withoutLayers(NO_LAYERS), ...tensors() };

/** For each format that is read, what becomes of it in each format that is written. */
export const CONVERSIONS: Readonly<Record<LoadedFormat, Row>> = {
  "wasm-rnn": CHARACTERS,
  ml5: CHARACTERS,
  tfjs: KERAS,
  keras: KERAS,
  "keras-h5": KERAS,
  rtneural: AUDIO,
  proteus: AUDIO,
  nam: AUDIO,
  onnx: GRAPH,
  safetensors: { ...TENSORS, npz: yes(METADATA), npy: only(ONE, METADATA) },
  pytorch: { ...withoutLayers(NO_LAYERS), ...tensors(NOT_TENSORS) },
  "keras-weights": TENSORS,
  npz: TENSORS,
  npy: TENSORS,
};

/** The lines of `wasm-rnn convert --formats`. */
export function conversionLines(): string[] {
  const width = Math.max(...SOURCES.map(({ length }) => length));
  const cellOf = (source: LoadedFormat, target: Target): string => {
    const cell = CONVERSIONS[source][target];
    return "reason" in cell ? "-" : cell.only === undefined ? "yes" : "some";
  };
  const row = (first: string, cells: readonly string[]) =>
    [first.padEnd(width), ...cells.map((cell, i) => cell.padEnd(TARGETS[i]!.length))].join("  ").trimEnd();
  const details = SOURCES.flatMap((source) => {
    const targets = new Map<string, Target[]>();
    for (const target of TARGETS) {
      const cell = CONVERSIONS[source][target];
      const condition = "reason" in cell || cell.only === undefined ? "" : ` ${cell.only}`;
      const lost = "lost" in cell && cell.lost.length > 0 ? ` (lost: ${cell.lost.join("; ")})` : "";
      const text = "reason" in cell ? `no: ${cell.reason}` : `${condition === "" ? "yes" : "some:"}${condition}${lost}`;
      targets.set(text, [...(targets.get(text) ?? []), target]);
    }
    return [`${source}:`, ...Array.from(targets, ([text, names]) => `  to ${names.join(", ")}: ${text}`)];
  });
  return [
    row("from \\ to", TARGETS),
    ...SOURCES.map((source) => row(source, TARGETS.map((target) => cellOf(source, target)))), // prettier-ignore
    "",
    ...details,
  ];
}
