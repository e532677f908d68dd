// Keras 2's layers (SimpleRNN, LSTM, GRU, Bidirectional, Embedding, Dense), put together from the package's: made from
// descriptions, with Keras' weights, masks and outputs, and trained as a Sequential model is.
import {
  Embedding,
  GRU,
  Linear,
  LSTM,
  RNN,
  SGD,
  fromTorch,
  mse,
  tensor,
  toTorch,
  type CellActivation,
  type FloatDtype,
  type Layer,
  type NestedNumbers,
  type Parameter,
  type Tensor,
} from "../../src/index.js";
import { need } from "./course.js";
import { transposed } from "./golden.js";
import { concatenate, range, take } from "./tensors.js";

type Fill = "zeros" | "ones";

interface EmbeddingSpec {
  readonly type: "Embedding";
  readonly input_dim: number;
  readonly output_dim: number;
  readonly mask_zero: boolean;
  /** Ones by default. */
  readonly weights?: NestedNumbers;
}

interface DenseSpec {
  /** The same thing: Dense works on the last axis. */
  readonly type: "Dense" | "TimeDistributedDense";
  readonly units: number;
  readonly kernel: Fill;
  /** Zeros at first. */
  readonly use_bias?: boolean;
}

export interface RecurrentSpec {
  readonly type: "SimpleRNN" | "LSTM" | "GRU";
  readonly units: number;
  readonly kernel: Fill;
  readonly recurrent: Fill;
  /** Without it there is none. */
  readonly bias?: Fill;
  /** The forget gate's part of the bias is ones, whatever the others are. */
  readonly unit_forget_bias?: boolean;
  readonly activation?: CellActivation;
  readonly recurrent_activation?: "hard_sigmoid";
  readonly reset_after?: false;
  readonly return_sequences?: boolean;
  readonly return_state?: boolean;
  readonly go_backwards?: boolean;
  readonly stateful?: boolean;
  /** Kernel, recurrent kernel and bias, in place of constant ones. */
  readonly weights?: readonly NestedNumbers[];
}

interface BidirectionalSpec {
  readonly type: "Bidirectional";
  readonly layer: RecurrentSpec;
  readonly merge_mode: string | null;
  readonly return_state?: boolean;
}

export type LayerSpec = EmbeddingSpec | DenseSpec | RecurrentSpec | BidirectionalSpec;

const DENSE = ["type", "units", "kernel", "use_bias"];
const RECURRENT = ["type", "units", "kernel", "recurrent", "bias", "activation", "return_sequences", "return_state"];
const MORE = ["go_backwards", "stateful", "weights"];
const KEYS: Readonly<Record<LayerSpec["type"], readonly string[]>> = {
  Embedding: ["type", "input_dim", "output_dim", "mask_zero", "weights"],
  Dense: DENSE,
  TimeDistributedDense: DENSE,
  SimpleRNN: [...RECURRENT, ...MORE],
  LSTM: [...RECURRENT, ...MORE, "recurrent_activation", "unit_forget_bias"],
  GRU: [...RECURRENT, ...MORE, "recurrent_activation", "reset_after"],
  Bidirectional: ["type", "layer", "merge_mode", "return_state"],
};

/** Optional inputs of a layer. */
export interface Given {
  /** [N,T], i32. */
  mask?: Tensor | undefined;
  /** [directions,N,units]. */
  h0?: Tensor;
}

export interface KerasLayer {
  /** The package's layer. */
  readonly layer: Layer;
  /** Size of the output's last axis. */
  readonly width: number;
  /** The trained parameters. */
  readonly trained: Parameter[];
  /** Outputs (several where states come out, too, or directions stay apart), and the mask for the next layer. */
  forward(x: Tensor, given?: Given): { outputs: Tensor[]; mask: Tensor | undefined };
  /** From the gradient of the one output to that of x, where x has one. */
  backward(output: Tensor): Tensor | undefined;
  /** As Keras' get_weights(). */
  weights(): Tensor[];
}

/** @param width size of the last axis of x */
export function makeLayer(spec: LayerSpec, width: number, dtype: FloatDtype): KerasLayer {
  checkKeys(spec);
  switch (spec.type) {
    case "Embedding":
      return embedding(spec, dtype);
    case "Dense":
    case "TimeDistributedDense":
      return dense(spec, width, dtype);
    case "SimpleRNN":
    case "LSTM":
    case "GRU":
      return recurrent(spec, width, dtype);
    case "Bidirectional":
      checkKeys(spec.layer);
      return recurrent(spec.layer, width, dtype, spec);
  }
}

/** Refuses descriptions with unknown keys, which would otherwise be ignored. */
function checkKeys(spec: LayerSpec): void {
  const known: readonly string[] | undefined = KEYS[spec.type];
  if (known === undefined) throw new Error(`no layer for ${(spec as { type: string }).type}`);
  const others = Object.keys(spec).filter((key) => !known.includes(key));
  if (others.length > 0) throw new Error(`${spec.type}: nothing is known of ${others.join(", ")}`);
}

// --------------------------------------------------------------------------------------------------------------------

function embedding(spec: EmbeddingSpec, dtype: FloatDtype): KerasLayer {
  const { input_dim, output_dim, mask_zero, weights } = spec;
  const layer = new Embedding(input_dim, output_dim, { dtype });
  layer.loadStateDict({ weight: weights ? tensor(weights) : filled([input_dim, output_dim], "ones") });
  return {
    layer,
    width: output_dim,
    trained: layer.parameters(),
    forward: (x) => ({ outputs: [layer.forward(x).output], mask: mask_zero ? notZero(x) : undefined }),
    backward: (output) => void layer.backward({ output }),
    weights: () => [need(layer.stateDict(), "weight")],
  };
}

function notZero({ shape, data }: Tensor): Tensor {
  return { shape, data: Int32Array.from(data, (index) => Number(index !== 0)) };
}

function dense({ units, kernel, use_bias = false }: DenseSpec, width: number, dtype: FloatDtype): KerasLayer {
  const layer = new Linear(width, units, { dtype, bias: use_bias });
  layer.loadStateDict({
    weight: filled([units, width], kernel),
    ...(use_bias && { bias: filled([units], "zeros") }),
  });
  return {
    layer,
    width: units,
    trained: layer.parameters(),
    forward: (x, { mask } = {}) => ({ outputs: [layer.forward(x).output], mask }),
    backward: (output) => layer.backward({ output }).x,
    weights: () => {
      const { weight, ...others } = layer.stateDict();
      return [transposed(weight!), ...Object.values(others)];
    },
  };
}

// --------------------------------------------------------------------------------------------------------------------

const CELLS = { SimpleRNN: "RNN", LSTM: "LSTM", GRU: "GRU" } as const;

/** A recurrent layer, or both directions of a Bidirectional. */
function recurrent(spec: RecurrentSpec, width: number, dtype: FloatDtype, both?: BidirectionalSpec): KerasLayer {
  const { type, units, return_sequences: sequences = false } = spec;
  if (both && sequences) throw new Error("Bidirectional: return_sequences is not known");
  const return_state = both ? both.return_state : spec.return_state;
  const merge = both && both.merge_mode !== null ? mergeOf(both.merge_mode) : undefined;
  const layer = packageLayer(spec, width, dtype, both !== undefined);
  const cell = CELLS[type];
  const directions = (both ? [false, true] : [false]).map((reverse) => ({
    reverse,
    ...(cell === "GRU" && { resetAfter: false }),
  }));
  const [kernel, recurrent_kernel, bias] = initialWeights(spec, width);
  const initial = { kernel: kernel!, recurrent_kernel: recurrent_kernel!, bias };
  const dicts = directions.map((options) => toTorch("keras", cell, initial, options));
  layer.loadStateDict(Object.fromEntries(dicts.flatMap((dict) => Object.entries(dict))));
  let parts: Tensor[] = [];
  return {
    layer,
    width: both?.merge_mode === "concat" ? 2 * units : units,
    // Keras has one bias: were bias_hh trained as well, their sum would learn twice as fast.
    trained: layer.parameters().filter(({ name }) => !name.startsWith("bias_hh")),
    forward(x, { mask, h0 } = {}) {
      const { output, ...last } = layer.forward(x, { mask, h0 });
      const states = directions.map((_, i) => Object.values<Tensor>(last).map((state) => direction(state, i))); // [h, c]
      parts = sequences ? [output] : states.map(([h]) => h!);
      const merged = merge ? [merge.forward(parts[0]!, parts[1]!)] : parts;
      return { outputs: return_state ? [...merged, ...states.flat()] : merged, mask: sequences ? mask : undefined };
    },
    backward(d) {
      const gradients = merge ? merge.backward(d, parts[0]!, parts[1]!) : [d];
      return layer.backward(sequences ? { output: gradients[0]! } : { hn: stacked(gradients) }).x;
    },
    weights: () =>
      directions.flatMap((options) => {
        const { kernel, recurrent_kernel, bias } = fromTorch("keras", cell, layer.stateDict(), options);
        return bias ? [kernel, recurrent_kernel, bias] : [kernel, recurrent_kernel];
      }),
  };
}

function packageLayer(spec: RecurrentSpec, width: number, dtype: FloatDtype, bidirectional: boolean) {
  const { type, units, activation = "tanh", recurrent_activation, reset_after } = spec;
  const { go_backwards: goBackwards = false, stateful = false } = spec;
  const bias = spec.bias !== undefined;
  const options = { batchFirst: true, bidirectional, bias, goBackwards, stateful, activation, dtype };
  if (type === "SimpleRNN") return new RNN(width, units, options);
  if (recurrent_activation !== "hard_sigmoid") throw new Error(`no ${String(recurrent_activation)} gates`);
  const gated = { ...options, recurrentActivation: "hardSigmoid" } as const;
  if (type === "LSTM") return new LSTM(width, units, gated);
  if (reset_after !== false) throw new Error("no GRU with reset_after: it has two biases");
  return new GRU(width, units, { ...gated, resetAfter: false });
}

/** Kernel [in,gates*units], recurrent kernel [units,gates*units], bias [gates*units], if any. */
function initialWeights(spec: RecurrentSpec, width: number): Tensor[] {
  const { units, kernel, recurrent, bias, unit_forget_bias = false, weights } = spec;
  const gates = { SimpleRNN: 1, LSTM: 4, GRU: 3 }[spec.type];
  if (weights) return weights.map((values) => tensor(values));
  const constant = [filled([width, gates * units], kernel), filled([units, gates * units], recurrent)];
  if (bias === undefined) return constant;
  const vector = filled([gates * units], bias);
  if (unit_forget_bias) vector.data.fill(1, units, 2 * units);
  return [...constant, vector];
}

/** The state [N,units] of a direction from [directions,N,units]. */
export function direction(state: Tensor, i: number): Tensor {
  return { shape: state.shape.slice(1), data: take(state, 0, [i]).data };
}

function stacked(states: readonly Tensor[]): Tensor {
  return states.map(({ shape, data }): Tensor => ({ shape: [1, ...shape], data })).reduce(concatenate);
}

// --------------------------------------------------------------------------------------------------------------------

interface Merge {
  forward(f: Tensor, b: Tensor): Tensor;
  /** Gradients of both from that of the outcome. */
  backward(d: Tensor, f: Tensor, b: Tensor): [Tensor, Tensor];
}

const MERGES: Readonly<Record<string, Merge>> = {
  concat: {
    forward: sideBySide,
    backward(d, f, b) {
      const [width, all] = [f.shape.at(-1)!, f.shape.at(-1)! + b.shape.at(-1)!];
      const axis = d.shape.length - 1;
      return [take(d, axis, range(0, width)), take(d, axis, range(width, all))];
    },
  },
  sum: { forward: (f, b) => zip(f, b, (x, y) => x + y), backward: (d) => [d, d] },
  ave: {
    forward: (f, b) => zip(f, b, (x, y) => (x + y) / 2),
    backward: (d) => [zip(d, d, (x) => x / 2), zip(d, d, (x) => x / 2)],
  },
  mul: {
    forward: (f, b) => zip(f, b, (x, y) => x * y),
    backward: (d, f, b) => [zip(d, b, (x, y) => x * y), zip(d, f, (x, y) => x * y)],
  },
};

function mergeOf(mode: string): Merge {
  const merge = MERGES[mode];
  if (merge === undefined) throw new Error(`no merge mode ${mode}`);
  return merge;
}

function zip(a: Tensor, b: Tensor, f: (x: number, y: number) => number): Tensor {
  return { shape: a.shape, data: a.data.map((x, i) => f(x, b.data[i]!)) };
}

/** Two tensors beside each other along the last axis. */
export function sideBySide(a: Tensor, b: Tensor): Tensor {
  const rows = ({ shape, data }: Tensor): Tensor => ({ shape: [data.length / shape.at(-1)!, shape.at(-1)!], data });
  const { shape, data } = transposed(concatenate(transposed(rows(a)), transposed(rows(b))));
  return { shape: [...a.shape.slice(0, -1), shape[1]!], data };
}

export function filled(shape: readonly number[], fill: Fill): Tensor {
  if (fill !== "zeros" && fill !== "ones") throw new Error(`no initializer ${String(fill)}`);
  const size = shape.reduce((product, extent) => product * extent, 1);
  return { shape, data: new Float64Array(size).fill(fill === "ones" ? 1 : 0) };
}

// --------------------------------------------------------------------------------------------------------------------

/** Layers one after the other. */
export class Sequential {
  readonly #layers: KerasLayer[] = [];

  /** @param width size of the last axis of x */
  constructor(specs: readonly LayerSpec[], width: number, dtype: FloatDtype) {
    for (const spec of specs) this.#layers.push(makeLayer(spec, this.#layers.at(-1)?.width ?? width, dtype));
  }

  /** The outputs of the last layer. */
  predict(x: Tensor): Tensor[] {
    for (const { layer } of this.#layers) layer.eval();
    return this.#forward(x);
  }

  /**
   * Plain gradient descent on the mean squared error, batch by batch in order.
   *
   * @returns each epoch's loss: the mean over its batches, each taken before its step
   */
  fit(x: Tensor, y: Tensor, options: { batchSize: number; epochs: number; learningRate: number }): number[] {
    const { batchSize, epochs, learningRate } = options;
    const trained = this.#layers.flatMap((each) => each.trained);
    const optimizer = new SGD(trained, { lr: learningRate });
    for (const { layer } of this.#layers) layer.train();
    const n = x.shape[0]!;
    const losses = range(0, epochs).map(() => {
      let total = 0;
      for (let first = 0; first < n; first += batchSize) {
        const rows = range(first, Math.min(first + batchSize, n));
        const [prediction] = this.#forward(take(x, 0, rows));
        const { loss, dPrediction } = mse(prediction!, take(y, 0, rows));
        optimizer.zeroGrad();
        this.#layers.reduceRight<Tensor | undefined>((d, layer) => layer.backward(d!), dPrediction);
        optimizer.step();
        total += loss * rows.length;
      }
      return total / n;
    });
    optimizer.dispose();
    return losses;
  }

  weights(layer: number): Tensor[] {
    return this.#layers[layer]!.weights();
  }

  resetStates(): void {
    for (const { layer } of this.#layers) {
      if (layer instanceof RNN || layer instanceof LSTM || layer instanceof GRU) layer.resetState();
    }
  }

  dispose(): void {
    for (const { layer } of this.#layers) layer.dispose();
  }

  #forward(x: Tensor): Tensor[] {
    let outputs = [x];
    let mask: Tensor | undefined;
    for (const layer of this.#layers) ({ outputs, mask } = layer.forward(outputs[0]!, { mask }));
    return outputs;
  }
}
