// Sets up a training, from a text and settings or from the files of an earlier run. Validates all of them before anything is
// computed or written.

import { existsSync, statSync } from "node:fs";
import { UnsupportedError } from "../../bindings/errors.js";
import { countParameters, readCharLM } from "../models/charlm-file.js";
import type { CharLM } from "../models/charlm.js";
import { splitText, TextStreams, Vocabulary } from "../models/text.js";
import { DEFAULTS, type Settings } from "../train/settings.js";
import { ShardedTrainer } from "../train/sharded-trainer.js";
import { Trainer } from "../train/trainer.js";
import { chooseBuild, type Build, type Variant } from "./build.js";
import { CliError, messageOf, named, usageError } from "./errors.js";
import { readBytes, readText, sha256, type TextFile } from "./files.js";
import type { QueueFlags } from "./queue.js";
import { codesOf, readBase, type Base } from "./fine-tuning.js";
import { defaultModelPath, hashOfFile, holds, outputPaths, Outputs, type OutputPaths } from "./outputs.js";
import { count, type StartReport } from "./progress.js";
import type { Work } from "./threads.js";
import { idOfModel, readState, trainingId, type Origin, type TrainingState, type UnknownInText } from "./state-file.js";

/** The options of the command line. */
export interface TrainOptions {
  /** Only the settings that were given. */
  settings: Partial<Settings>;
  out?: string;
  resume?: string;
  /** The model file that a new training begins with. */
  from?: string;
  /** What to do with characters of the text that the model of `from` does not know. */
  unknown?: UnknownInText;
  /** The number of steps in this run; undefined for all. */
  steps?: number;
  json: boolean;
  variant?: Variant;
  force: boolean;
  /** Workers that compute shards; 1: this thread (default: min(shards, cores)). */
  workers?: number | undefined;
  /** Threads of each worker (default: so many that all cores compute). */
  threads?: number | undefined;
  /** Is told what a training will compute, before its model is created. */
  prepare?: ((work: Work) => Promise<void>) | undefined;
  /** Steps of a job, where the training is of one shard (default 1). */
  stepsPerJob?: number | undefined;
  /** The queue on which workers of other machines compute shards. */
  queue?: QueueFlags | undefined;
}

/** A training with its files. */
export interface Training {
  trainer: Trainer | ShardedTrainer;
  text: TextFile;
  vocabulary: Vocabulary;
  /** Number of characters in the text. */
  characters: number;
  /** The output files, locked against other runs until `release()`. */
  outputs: Outputs;
  files: OutputPaths;
  build: Build;
  /** Identifies the training in its files. */
  id: string;
  /** The model that it began with, unless that was a new one. */
  origin: Origin | undefined;
  /** SHA-256 of the file that the first save overwrites, if it is not a model of this training. */
  replaces: string | undefined;
  /** The step that the files hold; undefined before the first save. */
  savedStep: number | undefined;
  /** Lines for the user, printed before the training begins. */
  notes: string[];
}

/** What a run computes for `epochs` of a text of so many characters, after the steps that are taken, or in at most `steps` of them. */
function workOf(
  { seq, batch, epochs, shards = 1 }: Pick<Settings, "seq" | "batch" | "epochs" | "shards">,
  characters: number,
  parameters: number,
  steps = Infinity,
  taken = 0,
): Work {
  const size = Math.min(batch * seq, characters);
  const step = (size / shards) * parameters;
  return { shards, step, all: step * Math.max(0, Math.min((epochs * characters) / size - taken, steps)) };
}

/** Settings that the model of --from decides. */
const OF_THE_MODEL = ["cell", "hidden", "layers", "embedding", "dtype"] as const;

/** Sets up a new training on the text at `path`, of a new model or of that of `options.from`. */
export async function beginTraining(path: string | undefined, options: TrainOptions): Promise<Training> {
  if (path === undefined) throw usageError("name a text to train on, or --resume a model (wasm-rnn train --help)");
  const { from, unknown = "error" } = options;
  if (from === undefined && options.unknown !== undefined) {
    throw usageError("--unknown belongs to --from: a new model knows all characters of its text");
  }
  const refused = from === undefined ? [] : OF_THE_MODEL.filter((name) => options.settings[name] !== undefined);
  if (refused.length > 0) {
    throw usageError(`${refused.map(flag).join(", ")} cannot be given with --from: the model keeps its own`);
  }
  const build = chooseBuild(options.variant ?? "auto");
  const text = readText(path);
  const inputs = [{ path, what: "the text to train on" }];
  const first = from === undefined ? undefined : { path: from, bytes: readBytes(from, "model") };
  if (first) inputs.push({ path: first.path, what: "the model to begin with" });
  const files = outputPaths(options.out ?? defaultModelPath(path));
  const outputs = Outputs.claim(files);
  let base: Base | undefined;
  try {
    outputs.check(inputs, options.force);
    const { seed = DEFAULTS.seed } = options.settings;
    if (first) {
      const whole = { ...DEFAULTS, ...options.settings };
      await options.prepare?.(workOf(whole, text.text.length, first.bytes.length / 4, options.steps));
      base = readBase(first, { path, text: text.text }, unknown, seed);
    }
    const { model, origin } = base ?? {};
    const vocabulary = model?.vocabulary ?? Vocabulary.fromText(text.text);
    const codes = base?.codes ?? vocabulary.encode(text.text);
    const notes = [...(base?.notes ?? [])];
    const settings = completeSettings({ ...options.settings, ...(model && settingsOf(model)) }, path, codes, notes);
    const parameters = checkMemory(settings, vocabulary.size);
    if (!first) await options.prepare?.(workOf(settings, codes.length, parameters, options.steps));
    const id = trainingId(settings, text.sha256, origin);
    const replaces = named(files.model, () => hashOfFile(outputs.targets.model));
    const trainer = makeTrainer(settings, vocabulary, codes, model, options);
    const savedStep = undefined;
    const characters = codes.length;
    return { trainer, text, vocabulary, characters, outputs, files, build, id, origin, replaces, savedStep, notes };
  } catch (error) {
    base?.model.dispose();
    outputs.release();
    throw error;
  }
}

/** A trainer whose shards are computed elsewhere, where settings or options say so. */
function makeTrainer(
  settings: Settings,
  vocabulary: Vocabulary,
  codes: Int32Array,
  model: CharLM | undefined,
  { workers = 1, queue, stepsPerJob }: TrainOptions,
): Trainer | ShardedTrainer {
  const { shards, localSteps } = settings;
  const elsewhere = workers > 1 || queue !== undefined || stepsPerJob !== undefined;
  if (shards === undefined && localSteps === undefined && !elsewhere)
    return new Trainer(settings, vocabulary, codes, { model });
  return new ShardedTrainer(settings, vocabulary, codes, { model, stepsPerJob });
}

/** The settings that a model decides. */
function settingsOf({ architecture }: CharLM): Pick<Settings, (typeof OF_THE_MODEL)[number]> {
  const { cell, hiddenSize: hidden, numLayers: layers, embeddingDim: embedding, dtype } = architecture;
  return { cell, hidden, layers, embedding, dtype };
}

/** Shards and local steps are absent where they are one: the training is then that of a command without them. */
function withoutDefaults({ shards, localSteps, outerMomentum, ...rest }: Partial<Settings>): Partial<Settings> {
  const momentum = outerMomentum ?? 0;
  if (momentum > 0 && (localSteps ?? 1) === 1) throw usageError("--outer-momentum needs --local-steps of 2 or more");
  const several = (shards ?? 1) > 1;
  return {
    ...rest,
    ...(several && { shards }),
    ...((several || momentum > 0) && (localSteps ?? 1) > 1 && { localSteps }),
    ...(momentum > 0 && { outerMomentum: momentum }),
  };
}

/** Adds the defaults, and lowers the batch size if the text is too short for it. */
function completeSettings(given: Partial<Settings>, path: string, codes: Int32Array, notes: string[]): Settings {
  const settings: Settings = { ...DEFAULTS, evalEvery: 0, ...withoutDefaults(given) };
  const { seq, batch, epochs } = settings;
  const { train } = splitText(codes, settings.validation);
  settings.batch = TextStreams.largestBatch(train.length, batch, seq);
  if (settings.batch === 0) {
    const needed = `one window of --seq ${seq} needs ${seq + 1}`;
    throw new CliError(`${path} is too short: it has ${count(train.length)} characters to train on, ${needed}`);
  }
  if (settings.batch < batch) {
    notes.push(`the text is too short for --batch ${batch} with --seq ${seq}: training with --batch ${settings.batch}`);
  }
  const { shards = 1 } = settings;
  if (settings.batch % shards !== 0) throw usageError(`--shards ${shards} does not divide --batch ${settings.batch}`);
  const steps = epochs * new TextStreams(train, settings.batch, seq).wholeWindows;
  if (!Number.isSafeInteger(steps)) throw usageError(`--epochs ${epochs} is too many`);
  settings.evalEvery ||= Math.ceil(steps / 10);
  return settings;
}

/**
 * Refuses a model that does not fit into memory: weights, gradients, Adam's two moments, and the values that the forward
 * pass saves for the backward pass.
 *
 * @returns the number of parameters
 */
function checkMemory(settings: Settings, vocabularySize: number): number {
  const { cell, embedding: embeddingDim, hidden: hiddenSize, layers: numLayers, batch, seq, dtype } = settings;
  const parameters = countParameters(vocabularySize, { cell, embeddingDim, hiddenSize, numLayers });
  const window = batch * seq * (numLayers * 6 * hiddenSize + embeddingDim + 2 * vocabularySize);
  const gigabytes = ((4 * parameters + window) * (dtype === "f32" ? 4 : 8)) / 2 ** 30;
  if (gigabytes > 4) {
    const size = gigabytes < 1e6 ? `${count(gigabytes)} GiB` : "far more than a computer has";
    throw new CliError(`a model of this size takes about ${size} of memory to train; WebAssembly has 4 GiB`);
  }
  return parameters;
}

/**
 * Sets up the training of the files at `model`, on the same text: at `path`, or where it was. Reads everything from the state
 * file. If the model file is missing or older, writes it again.
 */
export async function resumeTraining(
  model: string,
  path: string | undefined,
  options: TrainOptions,
): Promise<Training> {
  const { epochs, ...fixed } = options.settings;
  const refused = Object.keys(fixed).map(flag);
  if (options.out !== undefined) refused.push("--out");
  if (options.from !== undefined) refused.push("--from");
  if (options.unknown !== undefined) refused.push("--unknown");
  if (options.force) refused.push("--force");
  if (refused.length > 0) {
    throw usageError(`${refused.join(", ")} cannot be given with --resume: the training keeps its own`);
  }

  const files = outputPaths(model);
  if (!existsSync(files.model) && !existsSync(files.state)) throw new CliError(`no such file: ${files.model}`);
  const outputs = Outputs.claim(files);
  let trainer: Trainer | undefined;
  try {
    const stateBytes = readBytes(files.state, "training state");
    const state = named(files.state, () => readState(stateBytes));
    const notes: string[] = [];
    const build = resumeBuild(state.build, options.variant, notes);
    const { bytes, current } = modelOf(state, outputs);
    const epochsInAll = epochs ?? state.settings.epochs;
    const characters = sizeOfFile(path ?? state.textPath);
    const work = { ...state.settings, epochs: epochsInAll };
    await options.prepare?.(workOf(work, characters, bytes.length / 4, options.steps, state.step));
    const { model: network, training } = named(current ? files.model : files.state, () => readCharLM(bytes));
    const { vocabulary } = network;
    let text: TextFile;
    let codes: Int32Array;
    try {
      text = resumeText(state, path);
      outputs.check([{ path: text.path, what: "the text to train on" }], true);
      codes = state.origin?.unknown === "skip" ? codesOf(text.text, vocabulary) : vocabulary.encode(text.text);
      if (training.steps !== state.step || !fits(state.settings, network, codes)) {
        throw new CliError(`${files.state}: its parts do not belong together`);
      }
      trainer = makeTrainer({ ...state.settings }, vocabulary, codes, network, options);
    } catch (error) {
      network.dispose();
      throw error;
    }
    const resumed = trainer;
    named(files.state, () => state.restore(resumed));
    if (epochs !== undefined) changeEpochs(trainer, epochs, notes);
    if (!current) {
      await outputs.save({ model: bytes });
      notes.push(`${files.model} was missing or older than the latest checkpoint: written again from ${files.state}`);
    }
    return {
      trainer,
      text,
      vocabulary,
      characters: codes.length,
      outputs,
      files,
      build,
      id: state.trainingId,
      origin: state.origin,
      replaces: typeof state.model === "string" ? state.model : undefined, // a model of version 1 has no id
      savedStep: trainer.step,
      notes,
    };
  } catch (error) {
    trainer?.dispose();
    outputs.release();
    throw error;
  }
}

/**
 * The bytes of the model file that belongs to a state, and whether that file exists and has them. Refuses a file of that name
 * which the training has not written: it may be the only copy of another model.
 */
function modelOf(state: TrainingState, { paths, targets }: Outputs): { bytes: Uint8Array; current: boolean } {
  const way = `move it away, and --resume ${paths.model} continues from the state, at step ${state.step}`;
  if (typeof state.model === "string") {
    const bytes = readBytes(paths.model, "model");
    if (sha256(bytes) === state.model) return { bytes, current: true };
    throw new CliError(`${paths.model} and ${paths.state} do not belong together: the state is of another model file`);
  }
  const bytes = state.model;
  if (holds(targets.model, bytes)) return { bytes, current: true };
  if (!existsSync(targets.model)) return { bytes, current: false };
  const found = readBytes(paths.model, "model");
  if (state.replaces !== undefined && sha256(found) === state.replaces) return { bytes, current: false };
  const { id, step } = idOfModel(found) ?? {};
  if (id !== state.trainingId || step === undefined) {
    throw new CliError(`${paths.model} and ${paths.state} do not belong together: ${way}`);
  }
  if (step <= state.step) return { bytes, current: false };
  throw new CliError(`${paths.model} holds step ${step}, later than ${paths.state}: ${way}`);
}

/** Whether the settings in a state match its model, and the text is long enough for them. */
function fits(settings: Settings, model: CharLM, codes: Int32Array): boolean {
  const own = settingsOf(model);
  const { train } = splitText(codes, settings.validation);
  return (
    OF_THE_MODEL.every((name) => settings[name] === own[name]) &&
    settings.batch === TextStreams.largestBatch(train.length, settings.batch, settings.seq)
  );
}

/** The build of the options; by default the one that the training used, if the host can run it. */
function resumeBuild(saved: Build, variant: Variant | undefined, notes: string[]): Build {
  let build: Build;
  try {
    build = chooseBuild(variant ?? saved.variant);
  } catch (error) {
    if (variant !== undefined || !(error instanceof UnsupportedError)) throw error;
    build = chooseBuild("auto");
  }
  if (build.hash !== saved.hash) {
    const describe = ({ variant, version }: Build) => `${variant} of ${version}`;
    notes.push(
      `the build differs (was ${describe(saved)}, is ${describe(build)}): the last bits of the results may differ too`,
    );
  }
  return build;
}

/** Bytes of a file; 0 where there is none. */
function sizeOfFile(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function resumeText(state: TrainingState, path: string | undefined): TextFile {
  let text: TextFile;
  try {
    text = readText(path ?? state.textPath);
  } catch (error) {
    if (path !== undefined) throw error;
    throw new CliError(`the text of this training cannot be read: ${messageOf(error)}; name it if it moved`);
  }
  if (text.sha256 !== state.textSha256) throw new CliError(`${text.path} is not the text that this training began on`);
  return text;
}

/** Changes the number of epochs of a resumed training: from here on the learning rate follows the new plan. */
function changeEpochs(trainer: Trainer, epochs: number, notes: string[]): void {
  if (epochs === trainer.settings.epochs) return;
  if (epochs * trainer.stepsPerEpoch < trainer.step) {
    throw usageError(`--epochs ${epochs} ends before step ${trainer.step}, which the training has reached`);
  }
  notes.push(
    `${epochs} epochs instead of ${trainer.settings.epochs}: the learning rate follows the new plan from here on`,
  );
  trainer.settings.epochs = epochs;
}

/** Describes a training for its first report; `threads` of each of `workers`. */
export function describeTraining(
  { trainer, text, vocabulary, characters, build }: Training,
  { workers, threads }: { workers: number; threads: number },
): StartReport {
  const { settings, step, totalSteps } = trainer;
  const { cell, embedding, hidden, layers, dtype } = settings;
  const sizes = { cell, embeddingDim: embedding, hiddenSize: hidden, numLayers: layers };
  const trainingCharacters = characters - Math.floor(settings.validation * characters);
  return {
    text: text.path,
    characters,
    vocabulary: vocabulary.size,
    trainingCharacters,
    validationCharacters: characters - trainingCharacters,
    settings,
    model: `embedding ${embedding}, ${layers} x ${cell} ${hidden}, ${dtype}`,
    parameters: countParameters(vocabulary.size, sizes),
    variant: build.variant,
    workers,
    threads,
    step,
    totalSteps,
  };
}

function flag(setting: string): string {
  return `--${setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
