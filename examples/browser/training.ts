// The page's training: the Trainer of src/train, which the command line uses as well, and the figures that the page shows. It
// knows neither the page nor the worker.

import {
  CharLM,
  countParameters,
  Random,
  splitText,
  TextStreams,
  Vocabulary,
  writeCharLM,
  type CharLMTraining,
} from "../../src/index.js";
import { GATES } from "../../bindings/recurrent.js";
import { DEFAULTS } from "../../src/train/settings.js";
import { Trainer } from "../../src/train/trainer.js";
import { openForgetGates } from "./layers.js";
import type { Evaluation, Settings } from "./protocol.js";

/** Characters that an evaluation reads at most, so that it takes little time beside the steps. */
const EVALUATED = 8000;
/** Characters of a sample. */
const SAMPLED = 240;

/** A model that was read from a file, and its past. */
export interface Loaded {
  model: CharLM;
  training: CharLMTraining;
}

export class Training {
  readonly parameters: number;
  readonly characters: { training: number; validation: number };
  readonly charactersPerStep: number;
  /**
   * Of a step, forward and backward: 3 x 2 N T G H (D + H) for each recurrent layer of G gates, and 3 x 2 N T H V for the
   * logits. Only matrix products are counted.
   */
  readonly flopsPerStep: number;
  readonly frequencyLoss: number;
  readonly notes: string[] = [];
  /** Steps that the model had done before. */
  readonly stepsBefore: number;

  readonly #trainer: Trainer;

  /** Throws an Error where the text is too short. */
  constructor(
    readonly settings: Settings,
    text: string,
    loaded?: Loaded,
  ) {
    const vocabulary = loaded?.model.vocabulary ?? Vocabulary.fromText(text);
    const codes = vocabulary.encode(loaded ? this.#known(text, vocabulary) : text);
    const { seqLen, cell, embeddingDim, hiddenSize, numLayers, dtype, seed } = settings;
    const { train } = splitText(codes, DEFAULTS.validation);
    const batchSize = TextStreams.largestBatch(train.length, settings.batchSize, seqLen);
    if (batchSize === 0) {
      const needed = Math.ceil((seqLen + 2) / (1 - DEFAULTS.validation));
      throw new Error(`The text has ${codes.length} characters. Windows of ${seqLen} need at least ${needed}.`);
    }
    if (batchSize < settings.batchSize) {
      this.notes.push(
        `The text is short: streams of it side by side are ${batchSize} instead of ${settings.batchSize}.`,
      );
    }
    this.#trainer = new Trainer(
      {
        cell,
        hidden: hiddenSize,
        layers: numLayers,
        embedding: embeddingDim,
        seq: seqLen,
        batch: batchSize,
        epochs: Infinity, // until the person stops it
        lr: settings.learningRate,
        clip: DEFAULTS.clip,
        dtype,
        seed,
        validation: DEFAULTS.validation,
        evalEvery: Infinity, // the worker says when
      },
      vocabulary,
      codes,
      { model: loaded?.model, validationLength: EVALUATED, rate: () => settings.learningRate },
    );
    if (!loaded) openForgetGates(this.model);
    this.characters = { training: train.length, validation: this.#trainer.text.validation.length };
    this.charactersPerStep = this.#trainer.charactersPerStep;
    this.stepsBefore = loaded?.training.steps ?? 0;
    this.parameters = countParameters(vocabulary.size, this.model.architecture);
    this.flopsPerStep = this.#countFlops();
    this.frequencyLoss = entropy(train, vocabulary.size);
  }

  get model(): CharLM {
    return this.#trainer.model;
  }

  /** Steps done here. */
  get step(): number {
    return this.#trainer.step;
  }

  get evaluations(): readonly Evaluation[] {
    return this.#trainer.history.validation;
  }

  /** The text without the characters that a loaded model does not know. */
  #known(text: string, vocabulary: Vocabulary): string {
    const all = [...text];
    const known = all.filter((character) => vocabulary.codeOf(character) !== undefined);
    const without = all.length - known.length;
    if (without > 0) this.notes.push(`${without} characters of the text are left out: the model does not know them.`);
    return known.join("");
  }

  #countFlops(): number {
    const { cell, embeddingDim, hiddenSize, numLayers } = this.model.architecture;
    let multiplied = hiddenSize * this.model.vocabulary.size;
    for (let layer = 0; layer < numLayers; layer++) {
      multiplied += GATES[cell] * hiddenSize * ((layer === 0 ? embeddingDim : hiddenSize) + hiddenSize);
    }
    return 3 * 2 * this.charactersPerStep * multiplied;
  }

  set learningRate(value: number) {
    this.settings.learningRate = value;
  }

  /** One step on the next window; each pass over the text begins with a zero state. Returns the loss before it. */
  advance(): number {
    const { loss } = this.#trainer.advance();
    if (!Number.isFinite(loss)) {
      throw new Error("The loss is not finite any more. Reset, and take a smaller learning rate.");
    }
    return loss;
  }

  /** Measures the loss on the text held back; nothing where there is none. */
  evaluate(): void {
    const loss = [...this.#trainer.evaluating()].at(-1);
    this.#trainer.noteEvaluation(loss);
  }

  /** A sample along the way: always by the same draws, so that what changes is what was learned. */
  sample(): string {
    const random = new Random(this.settings.seed);
    return this.model.sample("", { length: SAMPLED, temperature: 0.7, random });
  }

  /** Text that is not trained on, `length` characters at most; "" where there is none. */
  heldOut(length: number): string {
    return this.model.vocabulary.decode(this.#trainer.text.validation.subarray(0, length));
  }

  /** A new model of the same kind and sizes. The caller's to dispose of. */
  untrained(): CharLM {
    return new CharLM(this.model.vocabulary, { ...this.model.architecture, seed: this.settings.seed + 1 });
  }

  /** The beginnings of `count` places of the training text, `length` characters and the one after: i32 [T, N], [N]. */
  excerpts(count: number, length: number) {
    const codes = this.#trainer.text.train;
    const room = codes.length - length - 1;
    if (room < 0) throw new Error(`The text is too short to look ${length} characters back.`);
    const inputs = new Int32Array(length * count);
    const next = new Int32Array(count);
    for (let n = 0; n < count; n++) {
      const start = Math.floor((room * n) / count);
      for (let t = 0; t < length; t++) inputs[t * count + n] = codes[start + t]!;
      next[n] = codes[start + length]!;
    }
    return { inputs: { data: inputs, shape: [length, count] }, next: { data: next, shape: [count] } };
  }

  /** The model as a file for the command line. Throws where weights are not finite. */
  file(): Uint8Array<ArrayBuffer> {
    if (!this.model.parameters().every(({ value }) => value.data.every(Number.isFinite))) {
      throw new Error("Its weights are not finite any more. Reset, and take a smaller learning rate.");
    }
    const latest = this.evaluations.at(-1);
    const validation = latest && { loss: latest.loss, step: this.stepsBefore + latest.step };
    return writeCharLM(this.model, { steps: this.stepsBefore + this.step, validation });
  }

  dispose(): void {
    this.#trainer.dispose();
  }
}

/** Mean of -log p over codes, where p are their frequencies. */
function entropy(codes: Int32Array, size: number): number {
  const counts = new Float64Array(size);
  for (const code of codes) counts[code]!++;
  return counts.reduce(
    (sum, count) => (count === 0 ? sum : sum - (count / codes.length) * Math.log(count / codes.length)),
    0,
  );
}
