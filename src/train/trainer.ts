// A training as a state that advances step by step: model, optimizer, place in the data, losses so far. It neither prints
// nor reads files. cli/train.ts and the page (examples/browser) drive it; cli/state-file.ts stores it.

import { Random } from "../base/random.js";
import { CharLM } from "../models/charlm.js";
import { splitText, TextStreams, type Vocabulary } from "../models/text.js";
import { Adam } from "../optim/optimizers.js";
import type { Tensors } from "./records.js";
import { learningRate, type Settings } from "./settings.js";

/** Losses in nats per character, of each training step and each evaluation. */
export interface LossHistory {
  train: number[];
  validation: { step: number; loss: number }[];
}

/** Splits losses of consecutive steps into at most `points` groups. Returns the last step and the mean loss of each. */
export function meanLosses(losses: readonly number[], points: number): [step: number, loss: number][] {
  const size = Math.ceil(losses.length / points);
  const means: [number, number][] = [];
  for (let start = 0; start < losses.length; start += size) {
    const group = losses.slice(start, start + size);
    means.push([start + group.length, group.reduce((sum, loss) => sum + loss, 0) / group.length]);
  }
  return means;
}

/** Results of one step; the loss is that before it. */
export interface StepResult {
  loss: number;
  gradNorm: number;
  learningRate: number;
}

/** Options of a Trainer, beside the settings. */
export interface TrainerOptions {
  /** A model to continue training (default: a new one); the trainer disposes of it. */
  model?: CharLM | undefined;
  /** The learning rate of a step (from 0) out of `total` (default: `learningRate` of settings.ts). */
  rate?: (step: number, total: number, lr: number) => number;
  /** Characters of the validation part that an evaluation reads at most (default: all). */
  validationLength?: number;
}

/** Characters from the end of the training text that the model keeps, to sample without a prompt. */
const WARM_UP = 256;

export class Trainer {
  readonly model: CharLM;
  readonly optimizer: Adam;
  /** Draws the samples during training. */
  readonly random: Random;
  readonly history: LossHistory = { train: [], validation: [] };
  /** The step of the latest evaluation; 0 for none. */
  evaluated = 0;

  /** The codes to train on, and those to evaluate on. */
  readonly text: { readonly train: Int32Array; readonly validation: Int32Array };

  protected readonly streams: TextStreams;
  readonly #rate: NonNullable<TrainerOptions["rate"]>;
  /** The end of the training text. */
  readonly #warmUp: string;

  /** `codes` is the whole text; its training part must hold one window in each of settings.batch streams. */
  constructor(
    readonly settings: Settings,
    vocabulary: Vocabulary,
    codes: Int32Array,
    { model, rate = learningRate, validationLength = Infinity }: TrainerOptions = {},
  ) {
    const { train, validation } = splitText(codes, settings.validation);
    this.text = { train, validation: validation.subarray(0, validationLength) };
    this.streams = new TextStreams(train, settings.batch, settings.seq);
    this.#rate = rate;
    const { cell, embedding: embeddingDim, hidden: hiddenSize, layers: numLayers, dtype, seed } = settings;
    this.model = model ?? new CharLM(vocabulary, { cell, embeddingDim, hiddenSize, numLayers, dtype, seed });
    this.#warmUp = vocabulary.decode(train.subarray(-WARM_UP));
    // a model from a file keeps the end of its own text until it has been trained on this one
    if (this.model.warmUp === "") this.model.warmUp = this.#warmUp;
    this.optimizer = new Adam(this.model.parameters(), { lr: settings.lr });
    this.random = new Random(settings.seed);
  }

  /** Steps taken. */
  get step(): number {
    return this.history.train.length;
  }

  get stepsPerEpoch(): number {
    return this.streams.wholeWindows;
  }

  /** Planned steps. */
  get totalSteps(): number {
    return this.settings.epochs * this.stepsPerEpoch;
  }

  get charactersPerStep(): number {
    return this.settings.batch * this.settings.seq;
  }

  /** The place in the data: epoch and window of the next step, both from 0. */
  get position(): { epoch: number; window: number } {
    return { epoch: Math.floor(this.step / this.stepsPerEpoch), window: this.step % this.stepsPerEpoch };
  }

  get finished(): boolean {
    return this.step >= this.totalSteps;
  }

  get evaluationDue(): boolean {
    return this.step > this.evaluated && (this.step % this.settings.evalEvery === 0 || this.finished);
  }

  get validationLoss(): { step: number; loss: number } | undefined {
    return this.history.validation.at(-1);
  }

  /** One optimizer step on the next window. Each epoch begins with a zero state. */
  advance(): StepResult {
    const { window } = this.position;
    const { inputs, targets } = this.streams.window(window);
    const rate = this.rateOf(this.step);
    this.optimizer.lr = rate;
    this.keepWarmUp();
    if (window === 0) this.model.state = undefined;
    const { loss, gradNorm } = this.model.trainStep(inputs, targets, this.optimizer, { clip: this.settings.clip });
    this.history.train.push(loss);
    return { loss, gradNorm, learningRate: rate };
  }

  /** The next step, or the next ones where they are taken together. */
  advanceRound(): Promise<StepResult[]> {
    return Promise.resolve([this.advance()]);
  }

  /** The learning rate of a step, from 0. */
  protected rateOf(step: number): number {
    return this.#rate(step, this.totalSteps, this.settings.lr);
  }

  /** Gives the model the end of the training text. */
  protected keepWarmUp(): void {
    if (this.model.warmUp !== this.#warmUp) this.model.warmUp = this.#warmUp;
  }

  /** What a saved training needs beside model, optimizer, random and history: tensors by name. */
  saveMore(): Tensors {
    return {};
  }

  /**
   * Takes what `saveMore` gave.
   *
   * @throws FormatError; nothing is changed then
   */
  restoreMore(_tensors: Tensors): void {}

  /** The validation loss so far after each window; the last value is the result. Yields nothing for a text of one character. */
  *evaluating(): Generator<number> {
    const { validation } = this.text;
    if (validation.length < 2) return;
    const { batch, seq } = this.settings;
    const batchSize = Math.max(1, TextStreams.largestBatch(validation.length, batch, seq));
    yield* this.model.evaluating(validation, { batchSize, seqLen: seq });
  }

  /** Records that the evaluation after the latest step is done, with its loss if there is one. */
  noteEvaluation(loss: number | undefined): void {
    this.evaluated = this.step;
    if (loss !== undefined) this.history.validation.push({ step: this.step, loss });
  }

  /** A sample to show during training. */
  sample(): string {
    return this.model.sample("", { length: 200, temperature: 0.8, random: this.random });
  }

  /** The mean of the latest 20 training losses, for display. */
  get recentLoss(): number {
    const recent = this.history.train.slice(-20);
    return recent.reduce((sum, loss) => sum + loss, 0) / recent.length;
  }

  dispose(): void {
    this.optimizer.dispose();
    this.model.dispose();
  }
}
