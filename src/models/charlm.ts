// CharLM: a character-level language model, Embedding -> LSTM, GRU or RNN(numLayers) -> Linear, with training by truncated
// backpropagation through time, evaluation and sampling. Its file format is in charlm-file.ts; the vocabulary and the
// cutting of texts are in ../text.ts; loops over epochs belong to the caller.

import { DisposedError, StateError, ValueError } from "../../bindings/errors.js";
import { checkIndices } from "../../bindings/kernels.js";
import { checkTensor, describe, type Tensor } from "../../bindings/tensor.js";
import { crossEntropy, softmax } from "../loss.js";
import { Embedding } from "../nn/embedding.js";
import { checkOptions, loadStateDictInto, stateDictOf, type Parameter } from "../nn/layer.js";
import { Linear } from "../nn/linear.js";
import { GRU, LSTM, RNN } from "../nn/recurrent.js";
import { checkLimit, clipGradNorm } from "../optim/clip.js";
import { Random } from "../random.js";
import { describeCharacter, TextStreams, Vocabulary } from "../text.js";

/** All of `CharLMCell`. */
export const CHARLM_CELLS: readonly CharLMCell[] = ["LSTM", "GRU", "RNN"];

/** The kind of a CharLM's recurrent layers. */
export type CharLMCell = "LSTM" | "GRU" | "RNN";

const LAYERS = { LSTM, GRU, RNN };

/** Kind and sizes of a CharLM. */
export interface CharLMOptions {
  /** Kind of the recurrent layers (default "LSTM"). */
  cell?: CharLMCell;
  /** Numbers of a character's vector (default 64). */
  embeddingDim?: number;
  /** H, the units of each recurrent layer (default 128). */
  hiddenSize?: number;
  /** Recurrent layers on top of each other (default 2). */
  numLayers?: number;
  /** The type of parameters and computation: "f64" (default) or "f32". */
  dtype?: "f32" | "f64";
  /** Seed of the initial weights, an integer >= 0; by default another one each time. */
  seed?: number;
}

/** The state of a CharLM's recurrent layers. */
export interface CharLMState {
  /** [numLayers,N,H]. */
  h: Tensor;
  /** [numLayers,N,H] (LSTM). */
  c?: Tensor;
}

/** How to sample from a CharLM. */
export interface SampleOptions {
  /** How many characters, >= 0. */
  length: number;
  /** What logits are divided by, >= 0: 1 (default) draws from the model's own distribution, 0 takes its maximum. */
  temperature?: number;
  /** Source of the draws (default: a new one, seeded differently each time). */
  random?: Random;
}

/** What `CharLM.trainStep` needs of an optimizer over the model's parameters. */
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
  /** The characters that it reads and writes. */
  readonly vocabulary: Vocabulary;
  /** The cell, sizes and dtype that the model was made with, defaults filled in. */
  readonly architecture: Readonly<Required<Omit<CharLMOptions, "seed">>>;
  /**
   * The state that the next trainStep starts from: undefined for zeros, else what the latest one ended with. It is a
   * constant there: no gradient flows into earlier windows. Set it to undefined where a new text begins.
   */
  state: CharLMState | undefined;

  readonly #embedding: Embedding;
  readonly #recurrent: LSTM | GRU | RNN;
  readonly #linear: Linear;
  readonly #parameters: Parameter[];
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
    checkOptions("CharLM", options, ["cell", "embeddingDim", "hiddenSize", "numLayers", "dtype", "seed"]);
    const { cell = "LSTM", embeddingDim = 64, hiddenSize = 128, numLayers = 2, dtype = "f64", seed } = options;
    if (!(vocabulary instanceof Vocabulary)) {
      throw new ValueError("vocabulary", describe(vocabulary), "a Vocabulary");
    }
    if (vocabulary.size === 0) throw new ValueError("vocabulary", "no characters", "at least one");
    if (!CHARLM_CELLS.includes(cell)) throw new ValueError("cell", describe(cell), CHARLM_CELLS.join(", "));
    this.vocabulary = vocabulary;
    this.architecture = { cell, embeddingDim, hiddenSize, numLayers, dtype };
    const random = new Random(seed);
    const draw = () => random.uint32(); // each layer its own seed
    const made: { dispose(): void }[] = [];
    const keep = <T extends { dispose(): void }>(layer: T): T => (made.push(layer), layer);
    try {
      this.#embedding = keep(new Embedding(vocabulary.size, embeddingDim, { dtype, seed: draw() }));
      this.#recurrent = keep(new LAYERS[cell](embeddingDim, hiddenSize, { numLayers, dtype, seed: draw() }));
      this.#linear = keep(new Linear(hiddenSize, vocabulary.size, { dtype, seed: draw() }));
    } catch (error) {
      for (const layer of made) layer.dispose();
      throw error;
    }
    this.#parameters = this.#layers().flatMap(([prefix, layer]) =>
      layer.parameters().map((parameter) => ({ ...parameter, name: `${prefix}.${parameter.name}` })),
    );
  }

  /**
   * The end of the text that the model was trained on: at most 1,000 characters, "" (default) for none. Sampling without a
   * prompt reads it first, so that it starts from a state that training has seen. `writeCharLM` stores it.
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
    const fault = warmUpFault(text, this.vocabulary);
    if (fault !== undefined) throw new ValueError("warmUp", ...fault);
    this.#warmUp = text;
  }

  #layers() {
    return [
      ["embedding", this.#embedding],
      [recurrentName(this.architecture.cell), this.#recurrent],
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
   * @throws ShapeError, DtypeError naming a missing, unknown or misshapen entry, DisposedError; nothing is changed then
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
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
   * @param options.clip what the norm of all gradients is clipped to, >= 0, as by `clipGradNorm` (default: not clipped)
   * @throws ShapeError, DtypeError, ValueError (codes, optimizer, clip), StateError (a `state` that is none of this cell),
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
    checkOptions("trainStep", options, ["clip"]);
    const { clip = Infinity } = options;
    this.#checkAlive();
    checkLimit("clip", clip);
    if (typeof optimizer?.zeroGrad !== "function" || typeof optimizer.step !== "function") {
      throw new ValueError("optimizer", describe(optimizer), "an optimizer with zeroGrad() and step()");
    }
    const { data, shape } = checkTensor("inputs", inputs, "i32", ["T", "N"]);
    checkIndices("inputs", data, this.vocabulary.size);
    // crossEntropy would pass over its ignoreIndex, which is no code
    checkIndices("targets", checkTensor("targets", targets, "i32", shape).data, this.vocabulary.size);
    this.#checkState(shape[1]!);
    const { logits, state } = this.#forward(inputs, this.state);
    const { loss, dLogits } = crossEntropy(logits, targets);
    optimizer.zeroGrad();
    const dHidden = this.#linear.backward({ output: dLogits }).x;
    const dEmbedded = this.#recurrent.backward({ output: dHidden }).x;
    this.#embedding.backward({ output: dEmbedded });
    const gradNorm = clipGradNorm(this.#parameters, clip);
    optimizer.step();
    this.state = state;
    return { loss, gradNorm };
  }

  /** Holds `state`, which anyone can set, against what the layers start from. */
  #checkState(batchSize: number): void {
    if (this.state === undefined) return;
    const { cell, dtype, numLayers, hiddenSize } = this.architecture;
    const expected = cell === "LSTM" ? "{ h, c }" : "{ h }";
    if (this.state === null || typeof this.state !== "object") {
      throw new StateError("state", describe(this.state), `undefined or ${expected}`);
    }
    const { h, c } = this.state;
    if ((c === undefined) === (cell === "LSTM")) {
      throw new StateError("state", c === undefined ? "no c" : "a c", `${expected}, the state of ${cell} layers`);
    }
    for (const [name, part] of Object.entries(c === undefined ? { h } : { h, c })) {
      checkTensor(`state.${name}`, part, dtype, [numLayers, batchSize, hiddenSize]);
    }
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
    checkIndices("codes", codes, this.vocabulary.size);
    let state: CharLMState | undefined;
    let sum = 0;
    let count = 0;
    for (let index = 0; index < streams.windows; index++) {
      const { inputs, targets } = streams.window(index);
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
   * character is taken. What was given is checked at the call.
   *
   * @param prompt characters of the vocabulary; none stands for the beginning of a line: a newline or, where the
   *   vocabulary has none, its first character
   * @param options how many characters, how boldly, from which source
   * @throws ValueError (prompt, length, temperature, random), DisposedError; as characters are taken, StateError (outputs
   *   that are not finite), DisposedError, OutOfMemoryError
   */
  generate(prompt: string, options: SampleOptions): Generator<string, void, undefined> {
    checkOptions("sample", options, ["length", "temperature", "random"]);
    const { length, temperature = 1, random = new Random() } = options;
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new ValueError("length", `${length}`, "a whole number from 0 up");
    }
    if (typeof temperature !== "number" || !(temperature >= 0)) {
      throw new ValueError("temperature", describe(temperature), "a number from 0 up");
    }
    if (!(random instanceof Random)) throw new ValueError("random", describe(random), "a Random");
    if (typeof prompt !== "string") throw new ValueError("prompt", describe(prompt), "a string");
    this.#checkAlive();
    const codes = this.vocabulary.encode(prompt, "prompt");
    const start = codes.length > 0 ? codes : Int32Array.of(this.vocabulary.codeOf("\n") ?? 0);
    return this.#generate(start, length, temperature, random);
  }

  /** Characters that follow codes, of which there is at least one. */
  *#generate(
    codes: Int32Array,
    length: number,
    temperature: number,
    random: Random,
  ): Generator<string, void, undefined> {
    const { embeddingDim, hiddenSize } = this.architecture;
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
        yield this.vocabulary.decode(codes);
      }
    } finally {
      stream.dispose();
    }
  }

  /** Runs `work` with the layers in eval mode, in which they keep nothing for a backward pass. */
  #inference<T>(work: () => T): T {
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
    this.#disposed = true;
    for (const [, layer] of this.#layers()) layer.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Characters of the longest `warmUp`. */
const MAX_WARM_UP = 1000;

/** Why a value cannot be the `warmUp` of a model: received and expected for an error, or undefined where it can. */
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

/** What a state dict calls the recurrent layers: "lstm", "gru" or "rnn". */
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
  let left = random.uniform();
  for (let i = 0; i < data.length; i++) {
    left -= data[i] ?? 0;
    if (left < 0) return i;
  }
  return best; // rounding left a rest
}
