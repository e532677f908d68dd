// A training as a file: everything that its next steps depend on. safetensors, so that other programs can read the weights.
//
//     model.<name>             stateDict of the model            optimizer.<i>.<name>     stateDict of the optimizer
//     layers.<path>.random     random state of a layer           lr                       learning rate of each group
//     carried.<path>.h0, c0    state of a stateful layer
//     random, random.<name>    those of the caller               schedule.<name>          stateDict of the schedule
//     position.<i>             tensors of the position; its JSON is in the metadata

import { FormatError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { describe, dtypeOf, readTensor, type Tensor } from "../../bindings/tensor.js";
import { checkNumber, checkOptions, readList } from "../base/check.js";
import { present } from "../base/present.js";
import { Random } from "../base/random.js";
import { isRecord, parseJson, quote } from "../formats/json.js";
import { readSafetensors, writeSafetensors } from "../formats/safetensors.js";
import { Layer } from "../nn/layer.js";
import { traitsOf, type Traits } from "../nn/traits.js";
import { Optimizer } from "../optim/optimizer.js";
import { Schedule } from "../optim/schedule.js";
import type { FitPosition } from "./fit.js";
import { modulesOf } from "./modules.js";
import { addPart, numbers, part, stateIn, vector, wordsOf } from "./records.js";

const FORMAT = "wasm-rnn training";
const VERSION = "1";

/** What a saved training consists of, besides its position. */
export interface TrainingParts {
  /**
   * The model: its weights, the random states of its dropouts, and the states that stateful layers carry over. Layers are found in a container, and in the fields of a `Module`
   * of your own that are not private.
   */
  model: {
    /** Copies of the weights, by name. */
    stateDict(): Record<string, Tensor>;
    /**
     * Sets all weights.
     *
     * @param dict of `stateDict`
     */
    loadStateDict(dict: Readonly<Record<string, Tensor>>): void;
  };
  /** The optimizer: its state, and the learning rates of its groups. */
  optimizer: Optimizer;
  /** The schedule of the optimizer. */
  schedule?: Schedule | undefined;
  /** Generators of your own, for example of dropout in a functional model: one, or several by name. */
  random?: Random | Readonly<Record<string, Random>> | undefined;
}

/** What `saveTraining` saves. */
export interface TrainingToSave extends TrainingParts {
  /**
   * Where the training is: the position of a `Progress`, or of `batches`, or anything else of numbers, texts, true, false, null,
   * tensors, and arrays and records of these.
   */
  position?: unknown;
}

/**
 * A training as a safetensors file: weights, the optimizer's state and learning rates, the schedule, all random states, and a position.
 * Training on after `loadTraining` gives the very bits of a training that was not interrupted. Equal states give equal bytes.
 *
 * @param training model, optimizer, schedule, random, position
 * @returns the bytes of the file
 * @throws ValueError, UnsupportedError (a position or an option that cannot be saved), DisposedError
 */
export function saveTraining(training: TrainingToSave): Uint8Array<ArrayBuffer> {
  const { position, ...given } = checkOptions("saveTraining", training, [...NAMES, "position"]);
  const parts = readParts(given);
  const tensors: Record<string, Tensor> = Object.create(null) as Record<string, Tensor>;
  addPart(tensors, "model.", parts.model.stateDict());
  addPart(tensors, "optimizer.", parts.optimizer.stateDict());
  if (parts.schedule) addPart(tensors, "schedule.", parts.schedule.stateDict());
  tensors.lr = vector(Float64Array.from(parts.optimizer.paramGroups, ({ lr }) => lr));
  for (const [name, random] of parts.randoms) tensors[name] = wordsOf(random);
  for (const [prefix, layer] of parts.stateful) addPart(tensors, prefix, layer.carried());
  const metadata: Record<string, string> = { format: FORMAT, version: VERSION };
  if (position !== undefined) {
    const kept: Tensor[] = [];
    metadata.position = JSON.stringify(encode("position", position, kept, 0));
    kept.forEach((tensor, i) => (tensors[`position.${i}`] = tensor));
  }
  return writeSafetensors(tensors, metadata);
}

/**
 * Puts a saved training into objects that were made like those that were saved: all of it, or nothing if anything does not fit.
 *
 * @typeParam P the position, by default that of `fit`
 * @param bytes of `saveTraining`
 * @param training model, optimizer, schedule and random; those that were saved, and no others
 * @throws FormatError (no such file, or a damaged one), ValueError (parts that the file lacks, or that are lacking here), ShapeError,
 *   DtypeError (what does not fit), UnsupportedError, DisposedError; nothing is changed then
 */
export function loadTraining<P = FitPosition>(
  bytes: Uint8Array,
  training: TrainingParts,
): {
  /** The position that was saved; undefined if there was none. */
  position: P | undefined;
} {
  const parts = readParts(checkOptions("loadTraining", training, NAMES));
  const { tensors, metadata } = readSafetensors(bytes);
  if (metadata.format !== FORMAT) throw new FormatError("format", metadata.format ?? "none", FORMAT);
  if (metadata.version !== VERSION) throw new FormatError("version", metadata.version ?? "none", VERSION);
  const position = decode(metadata.position, part(tensors, "position."));
  const schedule = part(tensors, "schedule.");
  checkSame("schedule", Object.keys(schedule).length > 0 ? ["schedule"] : [], parts.schedule ? ["schedule"] : []);
  const saved = Object.keys(tensors).filter((name) => /^(?:random$|random\.|layers\.)/.test(name));
  checkSame("random states", saved, [...parts.randoms.keys()]);
  const carried = Object.keys(part(tensors, "carried."));
  const stray = carried.find(
    (name) => ![...parts.stateful.keys()].some((prefix) => `carried.${name}`.startsWith(prefix)),
  );
  if (stray !== undefined)
    throw new ValueError("model", `no stateful layer for ${quote(stray)} of the file`, "the layers that were saved");
  const lrs = [...numbers(tensors, "lr", Float64Array)];
  for (const lr of lrs) checkNumber("lr", lr);
  const groups = parts.optimizer.paramGroups;
  if (lrs.length !== groups.length) {
    throw new ValueError("optimizer", `${groups.length} groups`, `${lrs.length}, as in the file`);
  }

  const undo: (() => void)[] = [];
  const replace = <T>(before: T, after: T, put: (value: T) => void) => {
    undo.push(() => put(before));
    put(after);
  };
  const putDict = (owner: { stateDict(): Record<string, Tensor>; loadStateDict(dict: object): void }, dict: object) =>
    replace<object>(owner.stateDict(), dict, (value) => owner.loadStateDict(value));
  const putLrs = (values: readonly number[]) => values.forEach((lr, i) => (groups[i]!.lr = lr));
  try {
    putDict(parts.model, part(tensors, "model."));
    putDict(parts.optimizer, part(tensors, "optimizer."));
    if (parts.schedule) putDict(parts.schedule, schedule);
    replace(
      groups.map(({ lr }) => lr),
      lrs,
      putLrs,
    );
    for (const [name, random] of parts.randoms) {
      replace(random.state, stateIn(tensors, name), (state) => (random.state = state));
    }
    for (const [prefix, { carried, reset }] of parts.stateful) replace(carried(), part(tensors, prefix), reset);
  } catch (error) {
    for (const back of undo.reverse()) back();
    throw error;
  }
  return { position: position as P | undefined };
}

const NAMES = ["model", "optimizer", "schedule", "random"];

/** The parts as they were read, and all random generators by their names in the file. */
function readParts({ model, optimizer, schedule, random }: TrainingParts) {
  const methods = (model ?? {}) as Partial<TrainingParts["model"]>;
  if (typeof methods.stateDict !== "function" || typeof methods.loadStateDict !== "function") {
    throw new ValueError("model", describe(model), "a layer, a Sequential or a Module");
  }
  if (!Optimizer.isOptimizer(optimizer))
    throw new ValueError("optimizer", describe(optimizer), "an optimizer, such as Adam");
  if (schedule !== undefined && !Schedule.isSchedule(schedule)) {
    throw new ValueError("schedule", describe(schedule), "a schedule, such as StepLR");
  }
  const randoms = new Map<string, Random>();
  const stateful = new Map<string, Stateful>();
  const join = (...words: string[]) => words.filter((word) => word !== "").join(".");
  for (const [path, part] of modulesOf(model)) {
    if (!(part instanceof Layer)) continue; // a container says again what its layers say
    const { randoms: own = {}, carried } = traitsOf(part);
    for (const [name, random] of Object.entries(own)) randoms.set(join("layers", path, name), random);
    if (carried) stateful.set(`${join("carried", path)}.`, statefulOf(part, carried));
  }
  if (Random.isRandom(random)) randoms.set("random", random);
  else if (random !== undefined) {
    const expected = "a Random, or a record of them by name";
    if (!isRecord(random)) throw new ValueError("random", describe(random), expected);
    for (const [name, own] of Object.entries(random)) {
      if (!Random.isRandom(own)) throw new ValueError(`random.${name}`, describe(own), "a Random");
      randoms.set(`random.${name}`, own);
    }
  }
  return { model, optimizer, schedule, randoms, stateful };
}

/** A layer that carries a state over to its next pass. */
interface Stateful {
  readonly carried: () => Record<string, Tensor>;
  readonly reset: (state: Record<string, Tensor>) => void;
}

function statefulOf(layer: object, carried: NonNullable<Traits["carried"]>): Stateful {
  return {
    carried: () => present({ ...carried() }),
    reset: (state) => (layer as { resetState(state: object): void }).resetState({ ...state }),
  };
}

function checkSame(what: string, saved: readonly string[], own: readonly string[]): void {
  const missing = saved.filter((name) => !own.includes(name));
  const unknown = own.filter((name) => !saved.includes(name));
  const list = (names: readonly string[]) => names.slice(0, 20).map(quote).join(", ") || "none";
  if (missing.length > 0) throw new ValueError(what, `none for ${list(missing)} of the file`, list(saved));
  if (unknown.length > 0) throw new ValueError(what, `${list(unknown)}, which the file has not`, list(saved));
}

// --- positions -------------------------------------------------------------------------------------------------------

/** Stands for a tensor in JSON: its index. */
const TENSOR = "$tensor";

/** Nested levels of a position at most. */
const MAX_DEPTH = 32;

/** A value as JSON has it, with its tensors moved to `tensors`. */
function encode(argument: string, value: unknown, tensors: Tensor[], depth: number): unknown {
  const refuse = (received = describe(value)): never => {
    throw new ValueError(
      argument,
      received,
      "finite numbers, texts, true, false, null, tensors, arrays and records of these",
    );
  };
  if (value === null || typeof value === "string" || typeof value === "boolean") return value;
  if (typeof value === "number") return Number.isFinite(value) ? value : refuse();
  if (typeof value !== "object") return refuse();
  if (depth === MAX_DEPTH) return refuse("deeper nesting");
  if (Array.isArray(value)) {
    return readList(argument, value, "values").map((each, i) => encode(`${argument}[${i}]`, each, tensors, depth + 1));
  }
  if (dtypeOf((value as Partial<Tensor>).data) !== undefined) {
    tensors.push(readTensor(argument, value as Tensor));
    return { [TENSOR]: tensors.length - 1 };
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) return refuse();
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  if (Object.hasOwn(value, TENSOR)) throw new UnsupportedError(argument, TENSOR, "another name");
  return Object.fromEntries(
    entries.map(([name, each]) => [name, encode(`${argument}.${name}`, each, tensors, depth + 1)]),
  );
}

function decode(json: string | undefined, tensors: Readonly<Record<string, Tensor>>): unknown {
  if (json === undefined) return undefined;
  const put = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(put);
    if (!isRecord(value)) return value;
    if (!Object.hasOwn(value, TENSOR))
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, put(each)]));
    const index = value[TENSOR] as number;
    return tensors[index] ?? refuseIndex(index);
  };
  return put(parseJson("position", json));
}

function refuseIndex(index: unknown): never {
  throw new FormatError("position", `tensor ${quote(index)}`, "one that is in the file");
}
