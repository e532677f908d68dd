// Sets up a training, from a text and settings or from the files of an earlier run. Validates all of them before anything is
// computed or written.

import { existsSync } from "node:fs";
import { UnsupportedError } from "../../bindings/errors.js";
import { countParameters, readCharLM } from "../models/charlm-file.js";
import type { CharLM } from "../models/charlm.js";
import { splitText, TextStreams, Vocabulary } from "../models/text.js";
import { DEFAULTS, type Settings } from "../train/settings.js";
import { Trainer } from "../train/trainer.js";
import { chooseBuild, type Build, type Variant } from "./build.js";
import { CliError, messageOf, named, usageError } from "./errors.js";
import { readBytes, readText, sha256, type TextFile } from "./files.js";
import { defaultModelPath, hashOfFile, holds, outputPaths, Outputs, type OutputPaths } from "./outputs.js";
import { count, type StartReport } from "./progress.js";
import { idOfModel, readState, trainingId, type TrainingState } from "./state-file.js";

/** The options of the command line. */
export interface TrainOptions {
  /** Only the settings that were given. */
  settings: Partial<Settings>;
  out?: string;
  resume?: string;
  /** The number of steps in this run; undefined for all. */
  steps?: number;
  json: boolean;
  variant?: Variant;
  force: boolean;
}

/** A training with its files. */
export interface Training {
  trainer: Trainer;
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
  /** SHA-256 of the file that the first save overwrites, if it is not a model of this training. */
  replaces: string | undefined;
  /** The step that the files hold; undefined before the first save. */
  savedStep: number | undefined;
  /** Lines for the user, printed before the training begins. */
  notes: string[];
}

/** Sets up a new training on the text at `path`. */
export function beginTraining(path: string | undefined, options: TrainOptions): Training {
  if (path === undefined) throw usageError("name a text to train on, or --resume a model (wasm-rnn train --help)");
  const build = chooseBuild(options.variant ?? "auto");
  const text = readText(path);
  const files = outputPaths(options.out ?? defaultModelPath(path));
  const outputs = Outputs.claim(files);
  try {
    outputs.check(path, options.force);
    const vocabulary = Vocabulary.fromText(text.text);
    const codes = vocabulary.encode(text.text);
    const { settings, notes } = completeSettings(options.settings, path, codes);
    checkMemory(settings, vocabulary.size);
    const id = trainingId(settings, text.sha256);
    const replaces = named(files.model, () => hashOfFile(outputs.targets.model));
    const trainer = new Trainer(settings, vocabulary, codes);
    const savedStep = undefined;
    const characters = codes.length;
    return { trainer, text, vocabulary, characters, outputs, files, build, id, replaces, savedStep, notes };
  } catch (error) {
    outputs.release();
    throw error;
  }
}

/** Adds the defaults, and lowers the batch size if the text is too short for it. */
function completeSettings(given: Partial<Settings>, path: string, codes: Int32Array) {
  const settings: Settings = { ...DEFAULTS, evalEvery: 0, ...given };
  const notes: string[] = [];
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
  const steps = epochs * new TextStreams(train, settings.batch, seq).wholeWindows;
  if (!Number.isSafeInteger(steps)) throw usageError(`--epochs ${epochs} is too many`);
  settings.evalEvery ||= Math.ceil(steps / 10);
  return { settings, notes };
}

/**
 * Refuses a model that does not fit into memory: weights, gradients, Adam's two moments, and the values that the forward
 * pass saves for the backward pass.
 */
function checkMemory(settings: Settings, vocabularySize: number): void {
  const { cell, embedding: embeddingDim, hidden: hiddenSize, layers: numLayers, batch, seq, dtype } = settings;
  const parameters = countParameters(vocabularySize, { cell, embeddingDim, hiddenSize, numLayers });
  const window = batch * seq * (numLayers * 6 * hiddenSize + embeddingDim + 2 * vocabularySize);
  const gigabytes = ((4 * parameters + window) * (dtype === "f32" ? 4 : 8)) / 2 ** 30;
  if (gigabytes > 4) {
    const size = gigabytes < 1e6 ? `${count(gigabytes)} GiB` : "far more than a computer has";
    throw new CliError(`a model of this size takes about ${size} of memory to train; WebAssembly has 4 GiB`);
  }
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
    const { model: network, training } = named(current ? files.model : files.state, () => readCharLM(bytes));
    const { vocabulary } = network;
    let text: TextFile;
    let codes: Int32Array;
    try {
      text = resumeText(state, path);
      outputs.check(text.path, true);
      codes = vocabulary.encode(text.text);
      if (training.steps !== state.step || !fits(state.settings, network.architecture, codes)) {
        throw new CliError(`${files.state}: its parts do not belong together`);
      }
      trainer = new Trainer({ ...state.settings }, vocabulary, codes, { model: network });
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
function fits(settings: Settings, architecture: CharLM["architecture"], codes: Int32Array): boolean {
  const { cell, embeddingDim, hiddenSize, numLayers, dtype } = architecture;
  const { train } = splitText(codes, settings.validation);
  return (
    settings.cell === cell &&
    settings.embedding === embeddingDim &&
    settings.hidden === hiddenSize &&
    settings.layers === numLayers &&
    settings.dtype === dtype &&
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

/** Describes a training for its first report. */
export function describeTraining({ trainer, text, vocabulary, characters, build }: Training): StartReport {
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
    step,
    totalSteps,
  };
}

function flag(setting: string): string {
  return `--${setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
