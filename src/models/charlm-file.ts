// The file format of a CharLM: safetensors with the weights under their names, and architecture, vocabulary and training
// figures in the metadata, so that one file is all that sampling needs, here or in Python. The command line's
// state file holds the rest that resuming a training needs.

import { FormatError, ValueError } from "../../bindings/errors.js";
import { GATES } from "../../bindings/recurrent.js";
import { describe } from "../../bindings/tensor.js";
import { isRecord, parseJson, quote } from "../formats/json.js";
import { readSafetensors, writeSafetensors } from "../formats/safetensors.js";
import {
  CharLM,
  CHARLM_CELLS,
  checkVariant,
  makeCharLM,
  recurrentName,
  warmUpFault,
  type CharLMCell,
  type CharLMVariant,
} from "./charlm.js";
import { Vocabulary } from "./text.js";

/** `format` in the metadata of a CharLM file. */
export const FORMAT = "wasm-rnn charlm";
const VERSION = "1";
/** Of models with options of their gates, which readers of version 1 would pass over. */
const VARIANT_VERSION = "2";

/** Figures about the training of a CharLM, written into its file. */
export interface CharLMTraining {
  /** Optimizer steps taken, an integer >= 0. */
  steps: number;
  /** The latest measurement on text that was not trained on. */
  validation?: {
    /** The mean loss in nats per character, a finite number. */
    loss: number;
    /** The optimizer step that it was measured after, an integer >= 0. */
    step: number;
  };
}

/**
 * The number of weights of a CharLM.
 *
 * @param vocabularySize V, its characters, from 0 up
 * @param sizes as of its options, each from 1 up; the cell "LSTM" by default
 * @throws ValueError
 */
export function countParameters(
  vocabularySize: number,
  sizes: Pick<CharLM["architecture"], "embeddingDim" | "hiddenSize" | "numLayers"> & { cell?: CharLMCell },
): number {
  checkFigure("vocabularySize", vocabularySize, WHOLE);
  checkRecord("sizes", sizes);
  const { cell = "LSTM", embeddingDim, hiddenSize, numLayers } = sizes;
  if (!CHARLM_CELLS.includes(cell)) throw new ValueError("sizes.cell", describe(cell), CHARLM_CELLS.join(", "));
  checkFigure("sizes.embeddingDim", embeddingDim, POSITIVE);
  checkFigure("sizes.hiddenSize", hiddenSize, POSITIVE);
  checkFigure("sizes.numLayers", numLayers, POSITIVE);
  const layer = (inputSize: number) => GATES[cell] * hiddenSize * (inputSize + hiddenSize + 2);
  const recurrent = layer(embeddingDim) + (numLayers - 1) * layer(hiddenSize);
  return vocabularySize * embeddingDim + recurrent + (hiddenSize + 1) * vocabularySize;
}

/**
 * The model as a safetensors file, with architecture, vocabulary, `warmUp` and figures in its metadata. Equal models and
 * figures give equal bytes.
 *
 * @param model any CharLM
 * @param training figures about the training
 * @returns the bytes of the file
 * @throws ValueError (no CharLM; figures that `readCharLM` would refuse), DisposedError
 */
export function writeCharLM(model: CharLM, training: CharLMTraining): Uint8Array<ArrayBuffer> {
  if (!CharLM.isCharLM(model)) throw new ValueError("model", describe(model), "a CharLM");
  checkRecord("training", training);
  const { steps, validation } = training;
  checkFigure("training.steps", steps, WHOLE);
  const measured: Record<string, string> = {};
  if (validation !== undefined) {
    checkRecord("training.validation", validation);
    const { loss, step } = validation;
    checkFigure("training.validation.loss", loss, FINITE);
    checkFigure("training.validation.step", step, WHOLE);
    measured.validation_loss = String(loss);
    measured.validation_step = String(step);
  }
  const { cell, dtype, ...sizes } = model.architecture;
  const isVariant = sizes.recurrentActivation !== undefined || sizes.resetAfter !== undefined;
  return writeSafetensors(model.stateDict(), {
    format: FORMAT,
    version: isVariant ? VARIANT_VERSION : VERSION,
    architecture: JSON.stringify({ layers: ["embedding", recurrentName(cell), "linear"], ...sizes }),
    dtype,
    vocabulary: JSON.stringify(model.vocabulary.characters),
    ...(model.warmUp === "" ? {} : { warm_up: model.warmUp }),
    trained_steps: String(steps),
    ...measured,
  });
}

/**
 * Reads a file of `writeCharLM`.
 *
 * @param bytes the whole file
 * @throws FormatError for no safetensors file, a foreign one, or metadata that do not agree with the number of weights;
 *   ShapeError, DtypeError for weights of other names or shapes; ValueError, OutOfMemoryError
 */
export function readCharLM(bytes: Uint8Array): {
  /** The model, which is the caller's to dispose of. */
  model: CharLM;
  /** Figures about the training. */
  training: CharLMTraining;
} {
  const { tensors, metadata } = readSafetensors(bytes);
  if (metadata.format !== FORMAT) throw new FormatError("format", metadata.format ?? "none", FORMAT);
  if (metadata.version !== VERSION && metadata.version !== VARIANT_VERSION) {
    throw new FormatError("version", metadata.version ?? "none", `${VERSION} or ${VARIANT_VERSION}`);
  }
  const { dtype } = metadata;
  if (dtype !== "f32" && dtype !== "f64") throw new FormatError("dtype", dtype ?? "none", "f32 or f64");
  const architecture = parse(metadata, "architecture");
  if (!isRecord(architecture)) throw new FormatError("architecture", describe(architecture), "an object");
  const size = (name: string): number => {
    const value = architecture[name];
    if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) return value;
    throw new FormatError(`architecture ${name}`, describe(value), "an integer >= 1");
  };
  const sizes = { embeddingDim: size("embeddingDim"), hiddenSize: size("hiddenSize"), numLayers: size("numLayers") };
  const { layers } = architecture;
  const [first, second, third, ...more] = Array.isArray(layers) && layers.length < 10 ? (layers as unknown[]) : [];
  const cell = CHARLM_CELLS.find((kind) => second === recurrentName(kind));
  if (cell === undefined || first !== "embedding" || third !== "linear" || more.length > 0) {
    const known = CHARLM_CELLS.map(recurrentName).join(", ");
    throw new FormatError("architecture layers", quote(layers), `embedding, one of ${known}, linear`);
  }
  const variant = metadata.version === VERSION ? {} : readVariant(cell, architecture);
  const characters = parse(metadata, "vocabulary");
  if (!isCharacters(characters)) throw new FormatError("vocabulary", describe(characters), "a list of characters");
  const vocabulary = new Vocabulary(characters);
  const warmUp = metadata.warm_up ?? "";
  const fault = warmUpFault(warmUp, vocabulary);
  if (fault !== undefined) throw new FormatError("metadata warm_up", ...fault);

  // before anything is allocated by the sizes in the metadata
  const claimed = countParameters(vocabulary.size, { cell, ...sizes });
  const held = Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0);
  if (claimed !== held) {
    throw new FormatError("tensors", `${held} numbers`, `${claimed}, the parameters of the architecture`);
  }
  const training: CharLMTraining = { steps: figure(metadata, "trained_steps", WHOLE) ?? 0 };
  const loss = figure(metadata, "validation_loss", FINITE);
  const step = figure(metadata, "validation_step", WHOLE);
  if (loss !== undefined && step !== undefined) training.validation = { loss, step };
  return { model: makeCharLM(vocabulary, { cell, ...sizes, ...variant, dtype }, tensors, warmUp), training };
}

/** The options of the gates. */
function readVariant(cell: CharLMCell, architecture: Readonly<Record<string, unknown>>): CharLMVariant {
  const { recurrentActivation, resetAfter } = architecture as CharLMVariant;
  try {
    return checkVariant(cell, { recurrentActivation, resetAfter });
  } catch (error) {
    const { argument, received, expected } = error as ValueError;
    throw new FormatError(`architecture ${argument}`, received, expected);
  }
}

function isCharacters(value: unknown): value is string[] {
  // a character has one or two UTF-16 units; the Vocabulary has the last word
  const fits = (entry: unknown) => typeof entry === "string" && entry.length <= 8;
  return Array.isArray(value) && value.length > 0 && value.every(fits);
}

function parse(metadata: Readonly<Record<string, string>>, key: string): unknown {
  const text = metadata[key];
  if (text === undefined) throw new FormatError(`metadata ${key}`, "none", "JSON");
  return parseJson(`metadata ${key}`, text);
}

/** Kinds of figures, checked both when they are written and when they are read. */
interface FigureKind {
  readonly expected: string;
  readonly fits: (value: unknown) => boolean;
}

const FINITE: FigureKind = { expected: "a finite number", fits: (x) => Number.isFinite(x) };
const POSITIVE: FigureKind = {
  expected: "an integer >= 1",
  fits: (value) => Number.isSafeInteger(value) && (value as number) >= 1,
};
const WHOLE: FigureKind = {
  expected: "an integer >= 0",
  fits: (value) => Number.isSafeInteger(value) && (value as number) >= 0,
};

function checkFigure(argument: string, value: unknown, { expected, fits }: FigureKind): void {
  if (!fits(value)) throw new ValueError(argument, describe(value), expected);
}

function checkRecord(argument: string, value: unknown): void {
  if (value === null || typeof value !== "object") throw new ValueError(argument, describe(value), "an object");
}

function figure(
  metadata: Readonly<Record<string, string>>,
  key: string,
  { expected, fits }: FigureKind,
): number | undefined {
  const text = metadata[key];
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === "" || !fits(value)) throw new FormatError(`metadata ${key}`, text, expected);
  return value;
}
