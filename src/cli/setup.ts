// Setting a training up, from a text and settings or from the files of an earlier run. All that can be wrong with either
// is found here, before anything is computed or written.

import { dirname } from "node:path";
import { UnsupportedError } from "../../bindings/errors.js";
import { countParameters, readCharLM } from "../models/charlm-file.js";
import { splitText, TextStreams, Vocabulary } from "../text.js";
import { chooseBuild, type Build, type Variant } from "./build.js";
import { CliError, messageOf, named, usageError } from "./errors.js";
import {
  checkFolder,
  checkOutputs,
  defaultModelPath,
  outputPaths,
  readBytes,
  readText,
  sha256,
  type OutputPaths,
  type TextFile,
} from "./files.js";
import { count, type StartReport } from "./progress.js";
import { DEFAULTS, type Settings } from "./settings.js";
import { readState, type TrainingState } from "./state-file.js";
import { Trainer } from "./trainer.js";

/** What the command line gave. */
export interface TrainOptions {
  /** Only what was given. */
  settings: Partial<Settings>;
  out?: string;
  resume?: string;
  /** Steps to do in this run. */
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
  /** The text's length. */
  characters: number;
  files: OutputPaths;
  build: Build;
  /** The step whose state the files hold; undefined as long as they hold none. */
  savedStep: number | undefined;
  /** What the user should know before it begins, a line each. */
  notes: string[];
}

/** A new training on `path`. */
export function beginTraining(path: string | undefined, options: TrainOptions): Training {
  if (path === undefined) throw usageError("name a text to train on, or --resume a model (wasm-rnn train --help)");
  const build = chooseBuild(options.variant ?? "auto");
  const text = readText(path);
  const files = outputPaths(options.out ?? defaultModelPath(path));
  checkOutputs(files, path, options.force);

  const vocabulary = Vocabulary.fromText(text.text);
  const codes = vocabulary.encode(text.text);
  const { settings, notes } = completeSettings(options.settings, path, codes);
  checkMemory(settings, vocabulary.size);
  const trainer = new Trainer(settings, vocabulary, codes);
  return { trainer, text, vocabulary, characters: codes.length, files, build, savedStep: undefined, notes };
}

/** Fills the defaults in, and fits the batch to the text. */
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

/** Refuses a model that cannot fit: weights, gradients, Adam's two moments, and what a window keeps for the way back. */
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

/** The training that `model` and the state beside it stopped in, on the same text: `path`, or where it lay. */
export function resumeTraining(model: string, path: string | undefined, options: TrainOptions): Training {
  const { epochs, ...fixed } = options.settings;
  const refused = Object.keys(fixed).map(flag);
  if (options.out !== undefined) refused.push("--out");
  if (options.force) refused.push("--force");
  if (refused.length > 0) {
    throw usageError(`${refused.join(", ")} cannot be given with --resume: the training keeps its own`);
  }

  const files = outputPaths(model);
  const modelBytes = readBytes(files.model, "model");
  const stateBytes = readBytes(files.state, "training state");
  const state = named(files.state, () => readState(stateBytes));
  const notes: string[] = [];
  const build = resumeBuild(state.build, options.variant, notes);
  const { model: network, training } = named(files.model, () => readCharLM(modelBytes));
  if (state.modelSha256 !== sha256(modelBytes)) {
    throw new CliError(`${files.model} and ${files.state} do not belong together: the state is of another model file`);
  }
  const text = resumeText(state, path);
  checkFolder(dirname(files.model));

  const codes = network.vocabulary.encode(text.text);
  const trainer = new Trainer({ ...state.settings }, network.vocabulary, codes, network);
  named(files.state, () => state.restore(trainer));
  if (trainer.step !== training.steps) throw new CliError(`${files.model} and ${files.state} do not belong together`);
  if (epochs !== undefined) changeEpochs(trainer, epochs, notes);
  const { vocabulary } = network;
  return { trainer, text, vocabulary, characters: codes.length, files, build, savedStep: trainer.step, notes };
}

/** The build that the training used, where no other is asked for and the host has it. */
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
      `the build differs (was ${describe(saved)}, is ${describe(build)}): the last bits of the numbers may too`,
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

/** More or fewer epochs for a resumed training: the learning rate then follows the new plan from here on. */
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

/** What a training is, for its first report. */
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
