// CharLM: a character-level language model, Embedding -> LSTM, GRU or RNN(numLayers) -> Linear, with training by truncated
// backpropagation through time, evaluation and sampling. charlm-file.ts has its file format, text.ts the vocabulary and the
// windows of a text. Loops over epochs are the caller's.

import { DisposedError, StateError, ValueError } from "../../bindings/errors.js";
import { checkIndices } from "../../bindings/kernels.js";
import { checkTensor, describe, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkCount, checkOptions } from "../base/check.js";
import { Random } from "../base/random.js";
import { Embedding } from "../nn/embedding.js";
import { loadStateDictInto, stateDictOf, type Parameter } from "../nn/layer.js";
import { Linear } from "../nn/linear.js";
import { crossEntropy } from "../nn/loss.js";
import { softmax } from "../ops/softmax-functions.js";
import { checkLimit, clipGradNorm } from "../optim/clip.js";
import { checkOutside } from "../recording/current.js";
import { valueAndGrad } from "../recording/minimize.js";
import { GRU, LSTM, RNN } from "../recurrent/layers.js";
import { describeCharacter, describeCharacters, reading, TextStreams, Vocabulary } from "./text.js";

/** All of `CharLMCell`. */
export const CHARLM_CELLS: readonly CharLMCell[] = /* @__PURE__ */ Object.freeze(["LSTM", "GRU", "RNN"] as const);

/** The kind of a CharLM's recurrent layers. */
export type CharLMCell = "LSTM" | "GRU" | "RNN";

const LAYERS = { LSTM, GRU, RNN };

/** Kind and sizes of a CharLM. */
export interface CharLMOptions {
  /** Kind of the recurrent layers (default "LSTM"). */
  cell?: CharLMCell | undefined;
  /** Numbers of a character's vector (default 64). */
  embeddingDim?: number | undefined;
  /** H, the units of each recurrent layer (default 128). */
  hiddenSize?: number | undefined;
  /** Recurrent layers on top of each other (default 2). */
  numLayers?: number | undefined;
  /** The type of parameters and computation: "f64" (default) or "f32". */
  dtype?: "f32" | "f64" | undefined;
  /** Non-linearity of the gates of LSTM and GRU: "sigmoid" (default), or Keras 2's "hardSigmoid" for models from there. */
  recurrentActivation?: "sigmoid" | "hardSigmoid" | undefined;
  /** Whether a GRU applies its reset gate after the recurrent product (default true), or before, for models from Keras. */
  resetAfter?: boolean | undefined;
  /** Seed of the initial weights, an integer >= 0; by default another one each time. */
  seed?: number | undefined;
}

/** Options that models made here do not need: an architecture has them only where they are not the default. */
export type CharLMVariant = Pick<CharLMOptions, "recurrentActivation" | "resetAfter">;

/** The cell, sizes and dtype of a CharLM, and what is not the default of its gates. */
export type CharLMArchitecture = Readonly<Required<Omit<CharLMOptions, "seed" | keyof CharLMVariant>> & CharLMVariant>;

/** The state of a CharLM's recurrent layers. */
export interface CharLMState {
  /** [numLayers,N,H]. */
  h: Tensor;
  /** [numLayers,N,H] (LSTM). */
  c?: Tensor | undefined;
}

/** How to sample from a CharLM. */
export interface SampleOptions {
  /** How many characters, >= 0. */
  length: number;
  /** Divides the logits, >= 0: 1 (default) draws from the model's own distribution, 0 takes its maximum. */
  temperature?: number | undefined;
  /** Source of the draws (default: a new one, seeded differently each time). */
  random?: Random | undefined;
  /**
   * How to treat characters of the prompt that the vocabulary lacks: "error" (default) throws and lists them, "skip" omits
   * them, "replace" replaces each by a space or, if the vocabulary has none, by its first character.
   */
  unknown?: "error" | "skip" | "replace" | undefined;
}

/** An optimizer as `CharLM.trainStep` uses it. */
export interface StepOptimizer {
  /** Sets the gradients to zero. */
  zeroGrad(): void;
  /** Changes the parameters by their gradients. */
  step(): void;
}

/**
 * A character-level language model (Karpathy 2015, https://karpathy.github.io/2015/05/21/rnn-effectiveness/): Embedding ->
 * LSTM, GRU or RNN -> Linear over the V characters of a vocabulary. Sequences are codes [T,N], time first.
 */
export class CharLM {
  readonly #vocabulary: Vocabulary;
  readonly #architecture: CharLMArchitecture;
  readonly #embedding: Embedding<FloatDtype>;
  readonly #recurrent: LSTM<FloatDtype> | GRU<FloatDtype> | RNN<FloatDtype>;
  readonly #linear: Linear<FloatDtype>;
  readonly #parameters: Parameter[];
  #state: CharLMState | undefined;
  #warmUp = "";
  #disposed = false;

  /**
   * A model with random weights.
   *
   * @param vocabulary at least one character
   * @param options the cell, sizes, dtype and seed
   * @throws ValueError (vocabulary, cell, dtype, seed), ShapeError (sizes), OutOfMemoryError
   */
  constructor(vocabulary: Vocabulary, options: CharLMOptions = {}) {
    const known = [
      "cell",
      "embeddingDim",
      "hiddenSize",
      "numLayers",
      "dtype",
      "recurrentActivation",
      "resetAfter",
      "seed",
    ];
    const given = checkOptions("CharLM", options, known);
    const { cell = "LSTM", embeddingDim = 64, hiddenSize = 128, numLayers = 2, dtype = "f64", seed } = given;
    if (!Vocabulary.isVocabulary(vocabulary)) {
      throw new ValueError("vocabulary", describe(vocabulary), "a Vocabulary");
    }
    if (vocabulary.size === 0) throw new ValueError("vocabulary", "no characters", "at least one");
    if (!CHARLM_CELLS.includes(cell)) throw new ValueError("cell", describe(cell), CHARLM_CELLS.join(", "));
    this.#vocabulary = vocabulary;
    const variant = checkVariant(cell, given);
    this.#architecture = Object.freeze({ cell, embeddingDim, hiddenSize, numLayers, dtype, ...variant });
    const random = new Random(seed);
    const draw = () => random.uint32(); // each layer its own seed
    const made: { dispose(): void }[] = [];
    const keep = <T extends { dispose(): void }>(layer: T): T => (made.push(layer), layer);
    try {
      this.#embedding = keep(new Embedding(vocabulary.size, embeddingDim, { dtype, seed: draw() }));
      this.#recurrent = keep(
        new LAYERS[cell](embeddingDim, hiddenSize, { numLayers, dtype, seed: draw(), ...variant }),
      );
      this.#linear = keep(new Linear(hiddenSize, vocabulary.size, { dtype, seed: draw() }));
    } catch (error) {
      for (const layer of made) layer.dispose();
      throw error;
    }
    this.#parameters = this.#layers().flatMap(([prefix, layer]) =>
      layer.parameters().map((parameter) => Object.freeze({ ...parameter, name: `${prefix}.${parameter.name}` })),
    );
  }

  /**
   * Whether a value is a model made by this class.
   *
   * @internal
   */
  static isCharLM(value: unknown): value is CharLM {
    return typeof value === "object" && value !== null && #vocabulary in value;
  }

  /** The characters that it reads and writes. */
  get vocabulary(): Vocabulary {
    return this.#vocabulary;
  }

  /** The cell, sizes and dtype that the model was made with, defaults filled in; frozen. */
  get architecture(): CharLMArchitecture {
    return this.#architecture;
  }

  /**
   * The state that the next trainStep starts from: undefined for zeros, else the state in which the latest one ended. It is
   * a constant there: no gradient flows into earlier windows. Set it to undefined where a new text begins. trainStep reads
   * and checks it.
   */
  get state(): CharLMState | undefined {
    return this.#state;
  }

  /**
   * Sets the state.
   *
   * @param state of as many rows as the next step's batch has
   */
  set state(state: CharLMState | undefined) {
    this.#state = state;
  }

  /**
   * The end of the text that the model was trained on: at most 1,000 characters, "" (default) for none. Sampling reads
   * it first, so that it starts from a state that training has seen. `writeCharLM` stores it.
   */
  get warmUp(): string {
    return this.#warmUp;
  }

  /**
   * Sets the text.
   *
   * @param text characters of the vocabulary, at most 1,000
   * @throws ValueError; nothing is changed then
   */
  set warmUp(text: string) {
    const fault = warmUpFault(text, this.#vocabulary);
    if (fault !== undefined) throw new ValueError("warmUp", ...fault);
    this.#warmUp = text;
  }

  #layers() {
    return [
      ["embedding", this.#embedding],
      [recurrentName(this.#architecture.cell), this.#recurrent],
      ["linear", this.#linear],
    ] as const;
  }

  /**
   * All parameters, named `embedding.weight`, `lstm.weight_ih_l0` (or `gru.`, `rnn.`) ... `linear.weight`, `linear.bias`.
   *
   * @throws DisposedError
   */
  parameters(): Parameter[] {
    this.#checkAlive();
    return [...this.#parameters];
  }

  /**
   * Copies of all parameters under their names.
   *
   * @throws DisposedError
   */
  stateDict(): Record<string, Tensor> {
    this.#checkAlive();
    return stateDictOf(this.#parameters);
  }

  /**
   * Sets all parameters from tensors by name; f32 and f64 convert.
   *
   * @param dict an entry for each parameter, and no other
   * @throws ShapeError, DtypeError naming a missing, unknown or misshapen entry, StateError, DisposedError; nothing is changed then
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    checkOutside("CharLM.loadStateDict");
    this.#checkAlive();
    loadStateDictInto(this.#parameters, dict);
  }

  /**
   * One step of truncated backpropagation through time, starting from `state` and leaving the new state there: gradients
   * are cleared, computed, clipped, and the optimizer takes one step.
   *
   * @param inputs codes [T,N], i32
   * @param targets the codes that follow [T,N], i32
   * @param optimizer over `parameters()`
   * @param options the clipping
   * @param options.clip limit of the norm of all gradients, >= 0, as in `clipGradNorm` (default: none)
   * @throws ShapeError, DtypeError, ValueError (codes, optimizer, clip), StateError (a `state` that is none of this cell; in a recorded body),
   *   DisposedError, OutOfMemoryError; nothing is changed then
   */
  trainStep(
    inputs: Tensor,
    targets: Tensor,
    optimizer: StepOptimizer,
    options: { clip?: number } = {},
  ): {
    /** The mean loss in nats per character, before the step. */
    loss: number;
    /** The norm of all gradients, before clipping. */
    gradNorm: number;
  } {
    checkOutside("CharLM.trainStep");
    checkOptions("trainStep", options, ["clip"]);
    const { clip = Infinity } = options;
    checkLimit("clip", clip);
    const update = takeOptimizer(optimizer);
    const { loss, state } = this.#backward(inputs, targets, "mean", () => update.zeroGrad());
    const gradNorm = clipGradNorm(this.#parameters, clip);
    update.step();
    this.#state = state;
    return { loss, gradNorm };
  }

  /**
   * The first half of a step: sets the gradients to those of a window's loss, and `state` to the one after it.
   *
   * @param inputs as for `trainStep`
   * @param targets as for `trainStep`
   * @param reduction what the gradients are of: the mean of the characters' losses, or their sum
   * @throws as `trainStep`; nothing is changed then
   * @internal
   */
  computeGradients(
    inputs: Tensor,
    targets: Tensor,
    reduction: "mean" | "sum",
  ): {
    /** The mean or the sum. */
    loss: number;
    /** Characters that were predicted. */
    count: number;
  } {
    checkOutside("CharLM.computeGradients");
    const { loss, count, state } = this.#backward(inputs, targets, reduction, () => {
      for (const [, layer] of this.#layers()) layer.zeroGrad();
    });
    this.#state = state;
    return { loss, count };
  }

  /** Adds the gradients of a window's loss to those that `zeroGrad` leaves. */
  #backward(
    inputs: Tensor,
    targets: Tensor,
    reduction: "mean" | "sum",
    zeroGrad: () => void,
  ): { loss: number; count: number; state: CharLMState } {
    const codes = this.#takeCodes("inputs", inputs, ["T", "N"]);
    // crossEntropy would pass over its ignoreIndex, which is no code
    const following = this.#takeCodes("targets", targets, codes.shape);
    const start = this.#takeState(codes.shape[1]!);
    this.#checkAlive(); // the arguments' getters have run
    let state!: CharLMState;
    const { loss } = valueAndGrad(() => {
      const result = this.#forward(codes, start);
      ({ state } = result);
      zeroGrad(); // not before: where forward throws, nothing is changed
      return crossEntropy(result.logits, following, { reduction });
    });
    return { loss, count: following.data.length, state };
  }

  /** Copies codes from outside, and checks the copy. */
  #takeCodes(argument: string, tensor: Tensor, pattern: readonly (number | string)[]): Tensor {
    const { data, shape } = checkTensor(argument, tensor, "i32", pattern);
    const copy = new Int32Array(data);
    checkIndices(argument, copy, this.#vocabulary.size);
    return { data: copy, shape };
  }

  /** The state, which anyone can set: read once and checked. */
  #takeState(batchSize: number): CharLMState | undefined {
    const given: unknown = this.#state;
    if (given === undefined) return undefined;
    const { cell, dtype, numLayers, hiddenSize } = this.#architecture;
    const expected = cell === "LSTM" ? "{ h, c }" : "{ h }";
    if (given === null || typeof given !== "object") {
      throw new StateError("state", describe(given), `undefined or ${expected}`);
    }
    const { h, c } = given as CharLMState;
    if ((c === undefined) === (cell === "LSTM")) {
      throw new StateError("state", c === undefined ? "no c" : "a c", `${expected}, the state of ${cell} layers`);
    }
    const shape = [numLayers, batchSize, hiddenSize];
    const taken = { h: checkTensor("state.h", h, dtype, shape) };
    return c === undefined ? taken : { ...taken, c: checkTensor("state.c", c, dtype, shape) };
  }

  /** Logits [T, N, V] and the state after the window. */
  #forward(inputs: Tensor, state: CharLMState | undefined): { logits: Tensor; state: CharLMState } {
    const embedded = this.#embedding.forward(inputs).output;
    const { output, hn, cn } = this.#run(embedded, state);
    return { logits: this.#linear.forward(output).output, state: cn === undefined ? { h: hn } : { h: hn, c: cn } };
  }

  #run(embedded: Tensor, state: CharLMState | undefined): { output: Tensor; hn: Tensor; cn?: Tensor } {
    const recurrent = this.#recurrent;
    if (state === undefined) return recurrent.forward(embedded);
    return recurrent instanceof LSTM
      ? recurrent.forward(embedded, { h0: state.h, c0: state.c })
      : recurrent.forward(embedded, { h0: state.h });
  }

  /**
   * Mean loss over an encoded text in nats per character, from a zero state; neither parameters nor `state` change.
   *
   * @param codes one per character, as of `Vocabulary.encode`
   * @param options how it is read (`TextStreams`)
   * @param options.batchSize streams side by side (default 1)
   * @param options.seqLen steps of a window (default 100)
   * @throws DtypeError, ValueError (codes, sizes), ShapeError (too short a text), DisposedError, OutOfMemoryError
   */
  evaluate(codes: Int32Array, options: { batchSize?: number; seqLen?: number } = {}): number {
    const steps = this.evaluating(codes, options);
    for (;;) {
      const { done, value } = steps.next();
      if (done === true) return value;
    }
  }

  /**
   * As `evaluate`, one window at a time: yields the mean loss so far after each, and returns the final one.
   *
   * @param codes as for `evaluate`
   * @param options as for `evaluate`
   * @throws as `evaluate`, when the first value is taken
   */
  *evaluating(
    codes: Int32Array,
    options: { batchSize?: number; seqLen?: number } = {},
  ): Generator<number, number, undefined> {
    checkOptions("evaluate", options, ["batchSize", "seqLen"]);
    const { batchSize = 1, seqLen = 100 } = options;
    const streams = new TextStreams(codes, batchSize, seqLen);
    checkIndices("codes", streams.codes, this.#vocabulary.size);
    let state: CharLMState | undefined;
    let sum = 0;
    let count = 0;
    for (let index = 0; index < streams.windows; index++) {
      const { inputs, targets } = streams.window(index);
      checkIndices("codes", targets.data, this.#vocabulary.size); // the text may have changed since
      const result = this.#inference(() => this.#forward(inputs, state));
      state = result.state;
      sum += crossEntropy(result.logits, targets).loss * targets.data.length;
      count += targets.data.length;
      yield sum / count;
    }
    return sum / count;
  }

  /**
   * A text that follows a prompt, without the prompt.
   *
   * @param prompt as for `generate`
   * @param options as for `generate`
   * @throws as `generate`
   */
  sample(prompt: string, options: SampleOptions): string {
    return [...this.generate(prompt, options)].join("");
  }

  /**
   * Yields characters that follow a prompt, one by one, by a copy of the recurrent weights that is made when the first
   * character is taken. The arguments are checked at the call.
   *
   * The model first reads `warmUp`, up to the start of its last line (or word) where that leaves at least half of it, and
   * then the prompt: training starts from a zero state only once an epoch, so the model predicts badly from there. A model
   * without a warm-up starts from zeros.
   *
   * @param prompt characters of the vocabulary, "" for none; without a prompt and a warm-up, the model reads a newline or,
   *   where the vocabulary has none, its first character
   * @param options length, temperature, random source, and how to treat unknown characters
   * @throws ValueError (prompt, length, temperature, random, unknown), DisposedError; as characters are taken, StateError
   *   (outputs that are not finite), DisposedError, OutOfMemoryError
   */
  generate(prompt: string, options: SampleOptions): Generator<string, void, undefined> {
    checkOptions("sample", options, ["length", "temperature", "random", "unknown"]);
    const { length, temperature = 1, random = new Random(), unknown = "error" } = options;
    checkCount("length", length, 0);
    if (typeof temperature !== "number" || !(temperature >= 0)) {
      throw new ValueError("temperature", describe(temperature), "a number from 0 up");
    }
    if (!Random.isRandom(random)) throw new ValueError("random", describe(random), "a Random");
    if (unknown !== "error" && unknown !== "skip" && unknown !== "replace") {
      throw new ValueError("unknown", describe(unknown), '"error", "skip" or "replace"');
    }
    if (typeof prompt !== "string") throw new ValueError("prompt", describe(prompt), "a string");
    this.#checkAlive();
    const text = lineStart(this.#warmUp) + knownText(prompt, this.#vocabulary, unknown);
    const codes = text === "" ? Int32Array.of(this.#vocabulary.codeOf("\n") ?? 0) : this.#vocabulary.encode(text);
    return this.#generate(codes, length, temperature, random);
  }

  /** Characters that follow codes, of which there is at least one. */
  *#generate(
    codes: Int32Array,
    length: number,
    temperature: number,
    random: Random,
  ): Generator<string, void, undefined> {
    this.#checkAlive();
    const { embeddingDim, hiddenSize } = this.#architecture;
    const stream = this.#recurrent.stream({ batchSize: 1 });
    try {
      for (let made = 0; made < length; made++) {
        const logits = this.#inference(() => {
          const embedded = this.#embedding.forward({ data: codes, shape: [codes.length] }).output.data;
          let hidden = embedded;
          for (let start = 0; start < embedded.length; start += embeddingDim) {
            hidden = stream.step(embedded.subarray(start, start + embeddingDim));
          }
          return this.#linear.forward({ data: hidden.slice(), shape: [1, hiddenSize] }).output; // a live view until here
        });
        codes = Int32Array.of(pick(logits, temperature, random));
        yield this.#vocabulary.decode(codes);
      }
    } finally {
      stream.dispose();
    }
  }

  /** Runs `work` with the layers in eval mode, in which they keep nothing for a backward pass. */
  #inference<T>(work: () => T): T {
    this.#checkAlive();
    for (const [, layer] of this.#layers()) layer.eval();
    try {
      return work();
    } finally {
      for (const [, layer] of this.#layers()) layer.train();
    }
  }

  #checkAlive(): void {
    if (this.#disposed) throw new DisposedError("CharLM", "a disposed model", "one that is alive");
  }

  /** Gives the memory of all layers back at once. */
  dispose(): void {
    checkOutside("CharLM.dispose");
    this.#disposed = true;
    for (const [, layer] of this.#layers()) layer.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A model with the parameters of `state`: where they do not fit, there is none. */
export function makeCharLM(
  vocabulary: Vocabulary,
  options: CharLMOptions,
  state: Readonly<Record<string, Tensor>>,
  warmUp = "",
): CharLM {
  const model = new CharLM(vocabulary, options);
  try {
    model.loadStateDict(state);
    model.warmUp = warmUp;
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/**
 * The options of the gates that are not the default.
 *
 * @throws ValueError
 */
export function checkVariant(cell: CharLMCell, options: CharLMVariant): CharLMVariant {
  const { recurrentActivation = "sigmoid", resetAfter = true } = options;
  const isHard = recurrentActivation === "hardSigmoid";
  if ((!isHard && recurrentActivation !== "sigmoid") || (isHard && cell === "RNN")) {
    throw new ValueError(
      "recurrentActivation",
      describe(recurrentActivation),
      '"sigmoid", or "hardSigmoid" for LSTM, GRU',
    );
  }
  if (typeof resetAfter !== "boolean" || (!resetAfter && cell !== "GRU")) {
    throw new ValueError("resetAfter", describe(resetAfter), "true, or false for GRU");
  }
  return { ...(isHard && { recurrentActivation }), ...(!resetAfter && { resetAfter }) };
}

/** Characters of the longest `warmUp`. */
const MAX_WARM_UP = 1000;

/** The received and expected parts of an error for an invalid `warmUp`; undefined where it is valid. */
export function warmUpFault(text: unknown, vocabulary: Vocabulary): [received: string, expected: string] | undefined {
  const expected = `at most ${MAX_WARM_UP} characters of the vocabulary`;
  if (typeof text !== "string") return [describe(text), expected];
  let count = 0;
  for (const character of text) {
    if (++count > MAX_WARM_UP) return ["more characters", expected];
    if (vocabulary.codeOf(character) === undefined) return [describeCharacter(character), expected];
  }
  return undefined;
}

/** An optimizer's methods, each read once. */
function takeOptimizer(optimizer: unknown): StepOptimizer {
  if ((typeof optimizer === "object" && optimizer !== null) || typeof optimizer === "function") {
    const { zeroGrad, step } = reading("optimizer", optimizer, "one whose methods can be read", () => {
      const { zeroGrad, step } = optimizer as Record<string, unknown>;
      return { zeroGrad, step };
    });
    if (typeof zeroGrad === "function" && typeof step === "function") {
      return {
        zeroGrad: () => void Reflect.apply(zeroGrad, optimizer, []),
        step: () => void Reflect.apply(step, optimizer, []),
      };
    }
  }
  throw new ValueError("optimizer", describe(optimizer), "an optimizer with zeroGrad() and step()");
}

/**
 * A warm-up cut so that a new line can follow: after its last newline, else after its last white space, where at least
 * half of it is left; else all of it.
 */
function lineStart(warmUp: string): string {
  const afterLine = warmUp.lastIndexOf("\n") + 1;
  if (afterLine >= warmUp.length / 2) return warmUp.slice(0, afterLine);
  let afterWord = warmUp.length;
  while (afterWord > 0 && !/\s/.test(warmUp[afterWord - 1] ?? "")) afterWord--;
  return afterWord >= warmUp.length / 2 ? warmUp.slice(0, afterWord) : warmUp;
}

/** A prompt whose characters are all known; `SampleOptions.unknown` tells how. */
function knownText(prompt: string, vocabulary: Vocabulary, unknown: "error" | "skip" | "replace"): string {
  const without = vocabulary.unknownIn(prompt);
  if (without.length === 0) return prompt;
  if (unknown === "error") {
    const expected = 'only characters of the vocabulary (or the option unknown: "skip" or "replace")';
    throw new ValueError("prompt", `unknown characters: ${describeCharacters(without)}`, expected);
  }
  const substitute = unknown === "skip" ? "" : vocabulary.codeOf(" ") === undefined ? vocabulary.characters[0]! : " ";
  return Array.from(prompt, (character) => (vocabulary.codeOf(character) === undefined ? substitute : character)).join(
    "",
  );
}

/** The recurrent layers' name in a state dict: "lstm", "gru" or "rnn". */
export function recurrentName(cell: CharLMCell): string {
  return cell.toLowerCase();
}

/** Draws an index from softmax(logits / temperature); logits [1, V]. Temperature 0 takes the first maximum. */
function pick(logits: Tensor, temperature: number, random: Random): number {
  const { data: values, shape } = logits;
  let best = 0;
  let sum = 0; // NaN where any is
  for (let i = 0; i < values.length; i++) {
    sum += values[i] ?? NaN;
    if ((values[i] ?? NaN) > (values[best] ?? NaN)) best = i;
  }
  const largest = values[best] ?? NaN;
  if (!Number.isFinite(sum)) throw new StateError("model", "outputs that are not finite", "finite weights");
  if (temperature === 0) return best;
  // the maximum goes first, so that a tiny temperature cannot overflow
  const scaled = values.map((value) => (value - largest) / temperature);
  const { data } = softmax({ data: scaled, shape });
  let left: unknown = random.uniform(); // a subclass may return anything
  if (typeof left !== "number" || !(left >= 0 && left < 1)) {
    throw new ValueError("random", `a draw of ${describe(left)}`, "draws in [0, 1)");
  }
  for (let i = 0; i < data.length; i++) {
    left -= data[i] ?? 0;
    if (left < 0) return i;
  }
  return best; // the probabilities' rounded sum was below the draw
}
