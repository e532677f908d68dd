// Reads a text character by character with the weights that a model has now: which character it expects next, and the states and
// gates of a layer after each. A layer does not return its gates: they are computed from the previous states and the weights by
// the layer's equations, with the package's Linear for the products. A test compares them with the caches of wasm-rnn/coursera.

import { Linear, softmax, type CharLM, type Random, type Tensor } from "../../src/index.js";
import { layersOf } from "./layers.js";

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const hardSigmoid = (x: number): number => Math.min(Math.max(0.2 * x + 0.5, 0), 1);

/** A layer over some steps: each [steps, units], row-major. */
export type Kinds = Record<string, Float32Array>;

/** Steps that a layer has done: its input [steps, width], h of the step before, h and c [steps, units]. */
interface Steps {
  inputs: Tensor["data"];
  before: Tensor["data"];
  h: Tensor["data"];
  c: Tensor["data"] | undefined;
}

export interface Expected {
  character: string;
  share: number;
}

export class Reader {
  readonly #layers: ReturnType<typeof layersOf>;
  readonly #stream;
  readonly #products = new Map<string, Linear>();
  readonly #dict: Record<string, Tensor>;
  readonly #temperature: number;
  /** Of the latest character: its embedding, and h of all layers before it. */
  #x: Tensor["data"] | undefined;
  #before: Tensor["data"];

  /** A copy of the weights, and a state of zeros; probabilities are those at a temperature above 0. */
  constructor(
    readonly model: CharLM,
    temperature = 1,
  ) {
    this.#dict = model.stateDict();
    this.#layers = layersOf(model);
    this.#stream = this.#layers.recurrent.stream();
    this.#layers.embedding.eval();
    this.#layers.linear.eval();
    this.#before = this.#stream.state.h.data.slice();
    this.#temperature = temperature;
  }

  read(code: number): void {
    this.#before.set(this.#stream.state.h.data);
    this.#x = this.#layers.embedding.forward({ data: Int32Array.of(code), shape: [1] }).output.data;
    this.#stream.step(this.#x);
  }

  /** Of each code of the vocabulary, to be the next character. */
  probabilities(): Float32Array | Float64Array {
    const { numLayers, hiddenSize } = this.model.architecture;
    const h = this.#stream.state.h.data.slice((numLayers - 1) * hiddenSize);
    const logits = this.#layers.linear.forward({ data: h, shape: [1, hiddenSize] }).output;
    for (let i = 0; i < logits.data.length; i++) logits.data[i]! /= this.#temperature;
    return softmax(logits).data;
  }

  /** Draws a code. */
  draw(random: Random, probabilities = this.probabilities()): number {
    let left = random.uniform();
    for (let code = 0; code < probabilities.length; code++) {
      left -= probabilities[code]!;
      if (left < 0) return code;
    }
    return probabilities.indexOf(Math.max(...probabilities)); // rounding
  }

  /** The characters that are most likely to come next. */
  likeliest(count: number, probabilities = this.probabilities()): Expected[] {
    return [...probabilities.keys()]
      .sort((a, b) => probabilities[b]! - probabilities[a]!)
      .slice(0, count)
      .map((code) => ({ character: this.model.vocabulary.decode(Int32Array.of(code)), share: probabilities[code]! }));
  }

  /** What a layer did at the latest step. */
  latest(layer: number): {
    input: Tensor["data"];
    before: Tensor["data"];
    h: Tensor["data"];
    c: Tensor["data"] | undefined;
  } {
    const { hiddenSize } = this.model.architecture;
    const of = (all: Tensor["data"], at: number) => all.slice(at * hiddenSize, (at + 1) * hiddenSize);
    const { h, c } = this.#stream.state;
    return {
      input: layer === 0 ? this.#x! : of(h.data, layer - 1),
      before: of(this.#before, layer),
      h: of(h.data, layer),
      c: c && of(c.data, layer),
    };
  }

  /** States and gates of a layer over steps. */
  kinds(layer: number, { inputs, before, h, c }: Steps): Kinds {
    const { cell, hiddenSize: units, recurrentActivation, resetAfter } = this.model.architecture;
    const kinds: Kinds = { h: Float32Array.from(h) };
    if (cell === "RNN") return kinds;
    const steps = h.length / units;
    const fromInput = this.#product(layer, "ih", inputs, steps);
    const fromState = this.#product(layer, "hh", before, steps);
    const gates = cell === "LSTM" ? 4 : 3;
    /** Gate `index` of the cell's order, phi of its two parts. */
    const gate = (index: number, phi: (input: number, state: number, at: number) => number, states = fromState) =>
      Float32Array.from({ length: steps * units }, (_, i) => {
        const at = Math.floor(i / units) * gates * units + index * units + (i % units);
        return phi(fromInput[at]!, states[at]!, i);
      });
    const activation = recurrentActivation === "hardSigmoid" ? hardSigmoid : sigmoid;
    const sigma = (a: number, b: number) => activation(a + b);
    if (cell === "LSTM") {
      kinds.c = Float32Array.from(c!);
      kinds.i = gate(0, sigma);
      kinds.f = gate(1, sigma);
      kinds.g = gate(2, (a, b) => Math.tanh(a + b));
      kinds.o = gate(3, sigma);
    } else {
      const r = gate(0, sigma);
      kinds.r = r;
      kinds.z = gate(1, sigma);
      if (resetAfter === false) {
        const reset = before.map((each, i) => r[i]! * each);
        kinds.n = gate(2, (a, b) => Math.tanh(a + b), this.#product(layer, "hh", reset, steps));
      } else kinds.n = gate(2, (a, b, i) => Math.tanh(a + r[i]! * b));
    }
    return kinds;
  }

  /** x W^T + b of one product of a recurrent layer, for all its gates: x [steps, *] gives [steps, G H]. */
  #product(layer: number, which: "ih" | "hh", x: Tensor["data"], steps: number): Tensor["data"] {
    const { cell, dtype } = this.model.architecture;
    const find = (what: string) => this.#dict[`${cell.toLowerCase()}.${what}_${which}_l${layer}`]!;
    const name = `${which}${layer}`;
    let linear = this.#products.get(name);
    if (linear === undefined) {
      const [weight, bias] = [find("weight"), find("bias")];
      linear = new Linear(weight.shape[1]!, weight.shape[0]!, { dtype }) as Linear;
      linear.loadStateDict({ weight, bias });
      linear.eval();
      this.#products.set(name, linear);
    }
    return linear.forward({ data: x, shape: [steps, x.length / steps] }).output.data;
  }

  dispose(): void {
    this.#stream.dispose();
    this.#layers.dispose();
    for (const linear of this.#products.values()) linear.dispose();
  }
}
