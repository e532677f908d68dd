// Messages between the page and its worker. The worker computes, the page displays.

import type { CharLMCell, Variant } from "../../src/index.js";
import type { Expected, Kinds } from "./reader.js";
import type { Follower } from "./units.js";

export type Dtype = "f32" | "f64";

/** All that a training depends on, beside its text. */
export interface Settings {
  cell: CharLMCell;
  hiddenSize: number;
  numLayers: number;
  embeddingDim: number;
  learningRate: number;
  dtype: Dtype;
  variant: Variant | "auto";
  /** Characters of a window, back through which gradients flow. */
  seqLen: number;
  /** Streams of text side by side. */
  batchSize: number;
  seed: number;
}

/** Figures about a training that do not change while it runs. */
export interface Description {
  settings: Settings;
  parameters: number;
  /** Different characters that the model knows. */
  vocabulary: number;
  /** Characters to train on, and those held back. */
  training: number;
  validation: number;
  charactersPerStep: number;
  /** Floating-point operations of a step. */
  flopsPerStep: number;
  build: "simd" | "relaxed";
  version: string;
  /** How many cores of the processor compute. */
  threads: number;
  /** GFLOP/s of a multiply-add loop in registers, in this worker, build and dtype, times the threads. */
  peak: number;
  /** Loss (nats per character) of always guessing by the characters' frequencies. */
  frequencyLoss: number;
  /** Steps that the model had done before, in the file that it came from. */
  stepsBefore: number;
  /** Adjustments that the person should know of. */
  notes: string[];
}

/** A file that was loaded and that is no model of characters. */
export interface Described {
  /** "an ONNX model". */
  format: string;
  /** Sentences about it. */
  facts: string[];
  /** How many tensors or layers there are, and their numbers together. */
  total: number;
  numbers: number;
  /** The first of them. */
  rows: (readonly [name: string, shape: string, type: string])[];
}

/** A loss measured on text that is not trained on, after `step`. */
export interface Evaluation {
  step: number;
  loss: number;
}

/** States and gates of one layer over a text: each [characters, units], row-major. */
export interface Activations {
  characters: string[];
  units: number;
  layer: number;
  kinds: Kinds;
}

/** Characters that the model has written, live. */
export interface Written {
  characters: string[];
  /** What the model expects to come after the last of them. */
  next: Expected[];
  /** States and gates of a layer after each of them. */
  layer: number;
  kinds: Kinds;
}

/** Units of one layer that follow something readable. */
export interface Following {
  layer: number;
  shows: string;
  step: number;
  /** Characters that were read. */
  length: number;
  found: Follower[];
}

/** One model of the comparison of cells. */
export interface Compared {
  cell: CharLMCell;
  parameters: number;
  steps: number;
  loss: number;
  seconds: number;
  /** How its gradients faded when it was new, and do now: see fading.ts. */
  before: number[];
  after: number[];
}

export type ToWorker =
  /** `source` identifies the text for the page; it comes back with "ready". */
  | { kind: "create"; settings: Settings; text: string; source: string; start: boolean }
  /** The model that the page opens with, which has learned from the text. */
  | { kind: "open"; bytes: Uint8Array<ArrayBuffer>; settings: Settings; text: string }
  | { kind: "load"; files: Record<string, Uint8Array<ArrayBuffer>>; settings: Settings; text: string; source: string }
  | { kind: "start" }
  | { kind: "pause" }
  | { kind: "step" }
  | { kind: "learningRate"; value: number }
  | { kind: "sample"; prompt: string; length: number; temperature: number; seed: number | undefined }
  | { kind: "inspect"; text: string; layer: number }
  /** Writes on, character by character, whenever no training runs; the layer and kind are those to show. */
  | { kind: "write"; on: boolean; temperature: number; layer: number; shows: string }
  | { kind: "fade" }
  | { kind: "compare"; steps: number }
  | { kind: "save" };

export type FromWorker =
  | { kind: "ready"; description: Description; source: string; from: "new" | "file" | "page" }
  | {
      kind: "progress";
      /** Steps done since the model was made. */
      step: number;
      /** Losses of the steps since the message before. */
      losses: number[];
      evaluations: Evaluation[];
      charactersPerSecond: number;
      gflops: number;
    }
  | { kind: "running"; running: boolean }
  | { kind: "described"; described: Described }
  /** A sample that the training writes along its way, always by the same draws, and a layer's units over it. */
  | { kind: "milestone"; step: number; loss: number | undefined; text: string; activations: Activations }
  | ({ kind: "written" } & Written)
  | ({ kind: "following" } & Following)
  /** `skipped` are the characters of the prompt that the model does not know. */
  | { kind: "sample"; prompt: string; text: string; skipped: string[] }
  | { kind: "activations"; activations: Activations }
  /** How the gradients of the model fade, which has been trained for so many steps. */
  | { kind: "fading"; cell: CharLMCell; step: number; norms: number[] }
  | { kind: "comparing"; cell: CharLMCell; step: number; steps: number }
  | { kind: "compared"; results: Compared[] }
  | { kind: "saved"; bytes: ArrayBuffer; step: number }
  | { kind: "error"; during: ToWorker["kind"]; message: string };
