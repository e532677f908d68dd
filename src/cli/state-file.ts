// The training state as safetensors: everything that a training needs to continue with the same bits, including the model
// file.
//
//     model.<name>                    weights of the model           h, c              recurrent state of the next step
//     optimizer.<index>.exp_avg ...   state of the optimizer         random            state of the random numbers
//     history.train                   loss of every step             metadata          the rest, as JSON; "model" is
//     history.validation              [n, 2]: step, loss                               the metadata of the model file,
//     shards.<i>.<name>, outer.<name> of a training in shards: what each carries on    "origin" the model it began with
//
// Version 1 has no weights: it contains the hash of the model file, and needs that file.

import { createHash } from "node:crypto";
import { FormatError } from "../../bindings/errors.js";
import type { Tensor } from "../../bindings/tensor.js";
import { readSafetensors, writeSafetensors } from "../formats/safetensors.js";
import { writeCharLM } from "../models/charlm-file.js";
import { addPart, numbers, part, stateIn, vector, wordsOf } from "../train/records.js";
import { isSettings, type Settings } from "../train/settings.js";
import type { Trainer } from "../train/trainer.js";
import type { Build } from "./build.js";

const FORMAT = "wasm-rnn charlm state";
const VERSION = "2";
const OPTIMIZER = "optimizer.";
const MODEL = "model.";

/** How a training treats characters of its text that the model it began with does not know. */
export const UNKNOWN_IN_TEXT = ["error", "skip", "extend"] as const;

export type UnknownInText = (typeof UNKNOWN_IN_TEXT)[number];

/** The model that a training began with. */
export interface Origin {
  /** SHA-256 of its file. */
  readonly sha256: string;
  /** The training that made it, and its step; undefined for models that no training of the command line made. */
  readonly trainingId?: string | undefined;
  readonly step?: number | undefined;
  readonly unknown: UnknownInText;
}

/** Identifies a training, its text and its build. */
export interface Provenance {
  build: Build;
  /** The same in all checkpoints of a training, and different for other trainings: see `trainingId`. */
  trainingId: string;
  textPath: string;
  textSha256: string;
  /** The model that it began with, unless that was a new one. */
  origin: Origin | undefined;
  /** SHA-256 of another file that had the model's name when the state was written: the model may replace it. */
  replaces?: string | undefined;
}

/** The content of a state file. */
export interface TrainingState extends Provenance {
  settings: Settings;
  step: number;
  /** The bytes of the model file; in a state of version 1, the SHA-256 of the model file that it belongs to. */
  model: Uint8Array | string;
  /** Copies the state into a Trainer that was created with `settings`. */
  restore(trainer: Trainer): void;
}

/**
 * Hashes the settings, the text and, unless it was a new one, the first model of a training. Equal trainings have equal ids on
 * every machine.
 */
export function trainingId(settings: Settings, textSha256: string, origin?: Origin): string {
  const entries = Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1));
  const begun = origin === undefined ? [] : [origin.sha256, origin.unknown];
  return createHash("sha256")
    .update(JSON.stringify([entries, textSha256, ...begun]))
    .digest("hex");
}

/** What a model file says of the model that its training began with. */
function originMetadata(origin: Origin | undefined): Record<string, string> {
  if (origin === undefined) return {};
  const { sha256, trainingId: id, step } = origin;
  const metadata: Record<string, string> = { from_sha256: sha256 };
  if (id !== undefined) Object.assign(metadata, { from_training_id: id, from_trained_steps: String(step) });
  return metadata;
}

/** The training and step of a model file; undefined for any other file. */
export function idOfModel(bytes: Uint8Array): { id: string; step: number } | undefined {
  try {
    const { metadata } = readSafetensors(bytes);
    const { training_id: id, trained_steps: step } = metadata;
    return id === undefined || step === undefined ? undefined : { id, step: Number(step) };
  } catch {
    return undefined;
  }
}

/** The bytes of the state file and of the model file. Equal states give equal bytes. */
export function writeState(
  trainer: Trainer,
  provenance: Provenance,
): { state: Uint8Array<ArrayBuffer>; model: Uint8Array<ArrayBuffer> } {
  const { model, history } = trainer;
  const figures = { steps: trainer.step, validation: trainer.validationLoss };
  const file = readSafetensors(writeCharLM(model, figures));
  const { trainingId: training_id, origin } = provenance;
  const modelMetadata = { ...file.metadata, training_id, ...originMetadata(origin) };
  const tensors: Record<string, Tensor> = {};
  addPart(tensors, MODEL, file.tensors);
  addPart(tensors, OPTIMIZER, trainer.optimizer.stateDict());
  if (model.state !== undefined) Object.assign(tensors, model.state);
  Object.assign(tensors, trainer.saveMore());
  tensors.random = wordsOf(trainer.random);
  tensors["history.train"] = vector(Float64Array.from(history.train));
  tensors["history.validation"] = {
    data: Float64Array.from(history.validation.flatMap(({ step, loss }) => [step, loss])),
    shape: [history.validation.length, 2],
  };
  const state = writeSafetensors(tensors, {
    format: FORMAT,
    version: VERSION,
    settings: JSON.stringify(trainer.settings),
    position: JSON.stringify({ step: trainer.step, ...trainer.position, evaluated: trainer.evaluated }),
    build: JSON.stringify(provenance.build),
    model: JSON.stringify(modelMetadata),
    tensors_sha256: hashOf(tensors),
    training_id,
    text_path: provenance.textPath,
    text_sha256: provenance.textSha256,
    ...(origin === undefined ? {} : { origin: JSON.stringify(origin) }),
    ...(provenance.replaces === undefined ? {} : { replaces: provenance.replaces }),
  });
  return { state, model: writeSafetensors(file.tensors, modelMetadata) };
}

/** Reads a state file of this version or of version 1. Throws FormatError for anything else. */
export function readState(bytes: Uint8Array): TrainingState {
  const { tensors, metadata } = readSafetensors(bytes);
  if (metadata.format !== FORMAT) throw new FormatError("format", metadata.format ?? "none", FORMAT);
  const { version } = metadata;
  if (version !== VERSION && version !== "1") throw new FormatError("version", version ?? "none", `1 or ${VERSION}`);
  const text = (key: string): string => metadata[key] ?? fail(key, "nothing", "a text");
  // older states have no cell: all were LSTMs
  const settings: unknown = { cell: "LSTM", ...(parse("settings", text("settings")) as object | null) };
  if (!isSettings(settings)) return fail("settings", "something else", "the settings of a training");
  const build = parse("build", text("build"));
  if (!isBuild(build)) return fail("build", "something else", "variant, version and hash");
  const origin = metadata.origin === undefined ? undefined : parse("origin", metadata.origin);
  if (origin !== undefined && !isOrigin(origin))
    return fail("origin", "something else", "the model that it began with");
  const random = stateIn(tensors, "random");
  const losses = numbers(tensors, "history.train", Float64Array);
  const validation = numbers(tensors, "history.validation", Float64Array);
  const { step, evaluated } = (parse("position", text("position")) ?? {}) as { step?: unknown; evaluated?: unknown };
  if (step !== losses.length || typeof evaluated !== "number")
    return fail("position", "something else", `step ${losses.length} and the latest evaluation`);
  if (version !== "1" && hashOf(tensors) !== text("tensors_sha256")) {
    return fail("tensors", "other bytes", "those that were written: the file is damaged");
  }

  return {
    settings,
    build,
    step: losses.length,
    model: version === "1" ? text("model_sha256") : modelFile(tensors, text("model")),
    trainingId: version === "1" ? trainingId(settings, text("text_sha256")) : text("training_id"),
    textPath: text("text_path"),
    textSha256: text("text_sha256"),
    origin,
    replaces: metadata.replaces,
    restore(trainer) {
      trainer.optimizer.loadStateDict(part(tensors, OPTIMIZER));
      const { h, c } = tensors;
      trainer.model.state = h === undefined ? undefined : { h, c };
      trainer.random.state = random;
      trainer.restoreMore(tensors);
      for (const loss of losses) trainer.history.train.push(loss);
      for (let i = 0; i + 1 < validation.length; i += 2) {
        trainer.history.validation.push({ step: validation[i] ?? 0, loss: validation[i + 1] ?? 0 });
      }
      trainer.evaluated = evaluated;
    },
  };
}

/** The bytes of the model file, from the weights and metadata in a state. */
function modelFile(tensors: Readonly<Record<string, Tensor>>, json: string): Uint8Array {
  const metadata = parse("model", json);
  const isText = (value: unknown): value is string => typeof value === "string";
  if (typeof metadata !== "object" || metadata === null || !Object.values(metadata).every(isText)) {
    return fail("model", "something else", "the metadata of a model");
  }
  return writeSafetensors(part(tensors, MODEL), metadata as Record<string, string>);
}

/** SHA-256 of the names and numbers of all tensors, in the order of their names. */
function hashOf(tensors: Readonly<Record<string, Tensor>>): string {
  const hash = createHash("sha256");
  for (const name of Object.keys(tensors).sort()) {
    const data = tensors[name]?.data ?? fail(`tensor ${name}`, "nothing", "numbers");
    hash.update(`${JSON.stringify(name)} ${data.byteLength}\n`);
    hash.update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

function parse(key: string, json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return fail(key, "something else", "JSON");
  }
}

function isBuild(value: unknown): value is Build {
  if (typeof value !== "object" || value === null) return false;
  const { variant, version, hash } = value as Partial<Record<keyof Build, unknown>>;
  return (variant === "simd" || variant === "relaxed") && typeof version === "string" && typeof hash === "string";
}

function isOrigin(value: unknown): value is Origin {
  if (typeof value !== "object" || value === null) return false;
  const { sha256, trainingId: id, step, unknown } = value as Partial<Record<keyof Origin, unknown>>;
  const trained = id === undefined ? step === undefined : typeof id === "string" && Number.isSafeInteger(step);
  return typeof sha256 === "string" && trained && UNKNOWN_IN_TEXT.includes(unknown as UnknownInText);
}

function fail(argument: string, received: string, expected: string): never {
  throw new FormatError(argument, received, expected);
}
