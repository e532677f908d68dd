// The recurrent layers: stacks of RNN or LSTM layers over whole sequences. One step at a time is in stream.ts; the
// mathematics of one layer is in assembly/rnn.ts and assembly/lstm.ts.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena, takeTensor } from "../../bindings/memory.js";
import {
  lstmBackward,
  lstmForward,
  rehearseBackward,
  rnnBackward,
  rnnForward,
  type LstmTape,
  type Nonlinearity,
  type RecurrentWeights,
  type RnnTape,
} from "../../bindings/recurrent.js";
import { describe, showShape, zeros, type Tensor } from "../../bindings/tensor.js";
import { permute } from "../layout.js";
import { Random } from "../random.js";
import { checkFlag, checkOptions, checkSize, Layer, type LayerOptions } from "./layer.js";
import { Stream, type StreamOptions } from "./stream.js";

/** Options that all recurrent layers have. */
export interface RecurrentOptions extends LayerOptions {
  /** Layers on top of each other (default 1). */
  numLayers?: number;
  /** Whether there are biases (default true). */
  bias?: boolean;
  /** Whether sequences come as [N,T,D] instead of [T,N,D] (default false). Does not change the states' shapes. */
  batchFirst?: boolean;
}

export interface RNNOptions extends RecurrentOptions {
  /** "tanh" (default) or "relu". */
  nonlinearity?: Nonlinearity;
}

export type LSTMOptions = RecurrentOptions;

/** First states, [numLayers,N,H] ([numLayers,H] unbatched); zeros by default. */
export interface RNNState {
  h0?: Tensor;
}
export interface LSTMState extends RNNState {
  c0?: Tensor;
}

/** No stack is that deep: a size that was meant for another argument is. */
const MAX_LAYERS = 65536;

const OPTIONS = ["numLayers", "bias", "batchFirst", "dtype", "seed"];

/** How the time, batch and feature axes of a sequence lie. */
interface Layout {
  readonly unbatched: boolean;
  readonly batchFirst: boolean;
  readonly t: number;
  readonly n: number;
}

/** One layer's forward pass: its output and last states, and what its backward pass needs. */
interface LayerResult<T> {
  hs: FloatTensor; // [T+1,N,H]
  cn: FloatTensor | undefined; // [N,H]
  tape: T;
}

interface RecurrentTape<T> {
  layout: Layout;
  layers: T[];
}

/** What RNN and LSTM share; `T` is one layer's tape. */
abstract class Recurrent<T extends RnnTape> extends Layer<RecurrentTape<T | undefined>> {
  readonly numLayers: number;
  readonly batchFirst: boolean;
  /** Parameters and gradients of the layers, from the first to the last. */
  protected readonly weights: RecurrentWeights<FloatTensor>[] = [];
  protected readonly gradients: RecurrentWeights<FloatTensor>[] = [];

  /** @param gates 1 (RNN) or 4 (LSTM) */
  protected constructor(
    protected readonly kind: "RNN" | "LSTM",
    private readonly gates: 1 | 4,
    /** Size D of what goes in at a step. */
    readonly inputSize: number,
    /** Size H of the state. */
    readonly hiddenSize: number,
    options: RecurrentOptions,
  ) {
    checkSize("inputSize", inputSize);
    checkSize("hiddenSize", hiddenSize);
    const { numLayers = 1, bias = true, batchFirst = false, dtype, seed } = options;
    checkSize("numLayers", numLayers, MAX_LAYERS);
    checkFlag("bias", bias);
    checkFlag("batchFirst", batchFirst);
    super(kind, dtype);
    this.numLayers = numLayers;
    this.batchFirst = batchFirst;
    const random = new Random(seed);
    const bound = 1 / Math.sqrt(hiddenSize);
    const draw = () => (2 * random.uniform() - 1) * bound;
    const rows = gates * hiddenSize;
    const shapes: [string, number[]][] = [];
    for (let layer = 0; layer < numLayers; layer++) {
      shapes.push([`weight_ih_l${layer}`, [rows, layer === 0 ? inputSize : hiddenSize]]);
      shapes.push([`weight_hh_l${layer}`, [rows, hiddenSize]]);
      if (bias) shapes.push([`bias_ih_l${layer}`, [rows]], [`bias_hh_l${layer}`, [rows]]);
    }
    const parameters = this.addParameters(shapes, draw);
    const each = parameters.length / numLayers;
    for (let first = 0; first < parameters.length; first += each) {
      const [ih, hh, bIh, bHh] = parameters.slice(first, first + each);
      this.weights.push({ weightIh: ih!.value, weightHh: hh!.value, biasIh: bIh?.value, biasHh: bHh?.value });
      this.gradients.push({ weightIh: ih!.grad, weightHh: hh!.grad, biasIh: bIh?.grad, biasHh: bHh?.grad });
    }
  }

  /**
   * One step at a time, with the state kept inside, from a copy of the weights as they are now.
   *
   * @param options.batchSize N, default 1
   */
  stream(options: StreamOptions = {}): Stream {
    this.checkAlive();
    return new Stream(this.arena.core, this.dtype, this.kind, this.weights, this.nonlinearity, options);
  }

  /** phi of the cell. */
  abstract readonly nonlinearity: Nonlinearity;

  /** Runs the stack; `forwardLayer` runs one layer on what the layer below gave. */
  protected forwardStack(
    x: Tensor,
    states: LSTMState,
    forwardLayer: (keep: Arena, layer: number, x: Tensor, h0?: Tensor, c0?: Tensor) => LayerResult<T | undefined>,
  ): { output: Tensor; hn: Tensor; cn: Tensor | undefined } {
    const { dtype, numLayers, hiddenSize } = this;
    return this.record((keep) => {
      const { sequence, layout } = this.takeInput(x);
      const { t, n } = layout;
      const stateShape = this.stateShape(layout);
      const take = (name: "h0" | "c0") => {
        const state = states[name];
        return state === undefined ? undefined : takeTensor(keep.core, name, state, dtype, stateShape);
      };
      const [h0, c0] = [take("h0"), take("c0")];
      const lasts: { h: Tensor; c: Tensor | undefined }[] = [];
      const layers: (T | undefined)[] = [];
      const passing: Arena[] = []; // inference: a layer's states are let go of when the layer above has run
      try {
        let input: Tensor = toTimeFirst(sequence, layout);
        let output!: FloatTensor;
        for (let layer = 0; layer < numLayers; layer++) {
          const state = (all: Tensor | undefined) => all && layerState(all, layer, n, hiddenSize);
          if (!this.training) passing.push(new Arena(keep.core));
          const { hs, cn, tape } = forwardLayer(passing.at(-1) ?? keep, layer, input, state(h0), state(c0));
          while (passing.length > 1) passing.shift()!.dispose();
          lasts.push({ h: hs.slice(t, 1).download(), c: cn?.download() });
          layers.push(tape);
          input = output = hs.slice(1, t);
        }
        const stack = (of: (last: { h: Tensor; c: Tensor | undefined }) => Tensor): Tensor => {
          const data = zeros(dtype, numLayers * n * hiddenSize);
          lasts.forEach((last, layer) => data.set(of(last).data, layer * n * hiddenSize));
          return { data, shape: [...stateShape] };
        };
        const hn = stack(({ h }) => h);
        const cn = this.kind === "LSTM" ? stack(({ c }) => c!) : undefined;
        return { result: { output: fromTimeFirst(output, layout), hn, cn }, tape: { layout, layers } };
      } finally {
        for (const arena of passing) arena.dispose();
      }
    });
  }

  /** Runs the stack backward; `backwardLayer` runs one layer on the gradients of what it gave. */
  protected backwardStack(
    gradients: { output?: Tensor; hn?: Tensor; cn?: Tensor },
    backwardLayer: (
      scratch: Arena,
      layer: number,
      tape: T,
      dOutput?: Tensor,
      dhn?: Tensor,
      dcn?: Tensor,
    ) => { dx: FloatTensor; dh0: FloatTensor; dc0?: FloatTensor },
  ): { x: Tensor; h0: Tensor; c0: Tensor | undefined } {
    checkOptions(`${this.kind}.backward`, gradients, this.kind === "LSTM" ? ["output", "hn", "cn"] : ["output", "hn"]);
    const { dtype, numLayers, hiddenSize } = this;
    return this.replay((tape) => {
      const { layout } = tape;
      const { t, n } = layout;
      const take = (name: "output" | "hn" | "cn", shape: number[]) => {
        const gradient = gradients[name];
        return gradient === undefined ? undefined : takeTensor(this.arena.core, name, gradient, dtype, shape);
      };
      const output = take("output", sequenceShape(layout, hiddenSize));
      const stateShape = this.stateShape(layout);
      const [hn, cn] = [take("hn", stateShape), take("cn", stateShape)];
      let dOutput: Tensor | undefined = output && toTimeFirst(output, layout);
      const rehearse = (arena: Arena, layer: number) => {
        const d = layer === 0 ? this.inputSize : hiddenSize;
        const copied = layer === numLayers - 1 && dOutput !== undefined;
        rehearseBackward(arena, dtype, this.gates, copied, { t, n, d, h: hiddenSize });
      };
      if (numLayers > 1) this.downwards(rehearse); // one layer alone takes everything before it computes
      const h0 = { data: zeros(dtype, numLayers * n * hiddenSize), shape: stateShape };
      const c0 = this.kind === "LSTM" ? { data: zeros(dtype, h0.data.length), shape: [...stateShape] } : undefined;
      let x!: Tensor;
      this.downwards((arena, layer) => {
        const state = (all: Tensor | undefined) => all && layerState(all, layer, n, hiddenSize);
        const of = backwardLayer(arena, layer, tape.layers[layer]!, dOutput, state(hn), state(cn));
        const offset = layer * n * hiddenSize;
        h0.data.set(of.dh0.data, offset);
        if (of.dc0) c0!.data.set(of.dc0.data, offset);
        dOutput = of.dx;
        if (layer === 0) x = fromTimeFirst(of.dx, layout);
      });
      return { x, h0, c0 };
    });
  }

  /** From the last layer to the first, each with an arena that lives until the layer below it is done. */
  private downwards(body: (arena: Arena, layer: number) => void): void {
    const arenas: Arena[] = [];
    try {
      for (let layer = this.numLayers - 1; layer >= 0; layer--) {
        const arena = new Arena(this.arena.core);
        arenas.push(arena);
        body(arena, layer);
        if (arenas.length > 1) arenas.shift()!.dispose();
      }
    } finally {
      for (const arena of arenas) arena.dispose();
    }
  }

  private takeInput(x: Tensor): { sequence: Tensor; layout: Layout } {
    const unbatched = x?.shape?.length === 2;
    const order = unbatched ? ["T"] : this.batchFirst ? ["N", "T"] : ["T", "N"];
    const sequence = takeTensor(this.arena.core, "x", x, this.dtype, [...order, this.inputSize]);
    const [first, second] = sequence.shape as [number, number];
    const batchFirst = this.batchFirst && !unbatched;
    const [t, n] = unbatched ? [first, 1] : batchFirst ? [second, first] : [first, second];
    if (t === 0) throw new ShapeError("x", showShape(sequence.shape), "at least one step");
    return { sequence, layout: { unbatched, batchFirst, t, n } };
  }

  private stateShape({ unbatched, n }: Layout): number[] {
    return unbatched ? [this.numLayers, this.hiddenSize] : [this.numLayers, n, this.hiddenSize];
  }
}

function sequenceShape({ unbatched, batchFirst, t, n }: Layout, features: number): number[] {
  if (unbatched) return [t, features];
  return batchFirst ? [n, t, features] : [t, n, features];
}

/** A sequence from outside as [T,N,features]. */
function toTimeFirst(x: Tensor, { batchFirst, t, n }: Layout): Tensor {
  const features = x.shape[x.shape.length - 1]!;
  return batchFirst ? permute(x, [1, 0, 2]) : { data: x.data, shape: [t, n, features] };
}

/** A copy of [T,N,features] as the caller has sequences. */
function fromTimeFirst(x: FloatTensor, layout: Layout): Tensor {
  return layout.batchFirst ? permute(x, [1, 0, 2]) : x.download(sequenceShape(layout, x.shape[2]!));
}

/** One layer's [N,H] of [numLayers,N,H]. */
function layerState(all: Tensor, layer: number, n: number, h: number): Tensor {
  return { data: all.data.subarray(layer * n * h, (layer + 1) * n * h), shape: [n, h] };
}

/**
 * A stack of simple recurrent layers, as PyTorch's nn.RNN: h_t = phi(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh).
 *
 * Parameters weight_ih_l0 [H,D], weight_hh_l0 [H,H], bias_ih_l0, bias_hh_l0 [H], ..., drawn from
 * U(-1/sqrt(H), 1/sqrt(H)).
 */
export class RNN extends Recurrent<RnnTape> {
  readonly nonlinearity: Nonlinearity;

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    checkOptions("RNN", options, [...OPTIONS, "nonlinearity"]);
    const { nonlinearity = "tanh" } = options;
    if (nonlinearity !== "tanh" && nonlinearity !== "relu") {
      throw new ValueError("nonlinearity", describe(nonlinearity), '"tanh" or "relu"');
    }
    super("RNN", 1, inputSize, hiddenSize, options);
    this.nonlinearity = nonlinearity;
  }

  /**
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]
   * @returns output [T,N,H] (laid out as x), hn [numLayers,N,H] ([numLayers,H] for [T,D])
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor, state: RNNState = {}): { output: Tensor; hn: Tensor } {
    checkOptions("RNN.forward", state, ["h0"]);
    const { nonlinearity, dtype } = this;
    const { output, hn } = this.forwardStack(x, state, (keep, layer, input, h0) => {
      const tape = rnnForward(keep, dtype, { nonlinearity, x: input, h0, weights: this.weights[layer]! });
      return { hs: tape.hs, cn: undefined, tape };
    });
    return { output, hn };
  }

  /**
   * Gradients of the parameters are added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients of what forward returned, in its shapes; what is left out counts as zeros
   * @returns gradients of x and h0, in their shapes
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output?: Tensor; hn?: Tensor }): { x: Tensor; h0: Tensor } {
    const { x, h0 } = this.backwardStack(gradients, (scratch, layer, tape, dOutput, dhn) =>
      rnnBackward(scratch, this.dtype, {
        tape,
        weights: this.weights[layer]!,
        gradients: this.gradients[layer]!,
        dOutput,
        dhn,
      }),
    );
    return { x, h0 };
  }
}

/**
 * A stack of long short-term memory layers, as PyTorch's nn.LSTM.
 *
 * Parameters weight_ih_l0 [4H,D], weight_hh_l0 [4H,H], bias_ih_l0, bias_hh_l0 [4H], ..., in the gate order i f g o, drawn
 * from U(-1/sqrt(H), 1/sqrt(H)).
 */
export class LSTM extends Recurrent<LstmTape> {
  readonly nonlinearity = "tanh";

  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    checkOptions("LSTM", options, OPTIONS);
    super("LSTM", 4, inputSize, hiddenSize, options);
  }

  /**
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]
   * @returns output [T,N,H] (laid out as x), hn and cn [numLayers,N,H] ([numLayers,H] for [T,D])
   * @throws ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  forward(x: Tensor, state: LSTMState = {}): { output: Tensor; hn: Tensor; cn: Tensor } {
    checkOptions("LSTM.forward", state, ["h0", "c0"]);
    const { nonlinearity, dtype, training: keepTape } = this;
    const { output, hn, cn } = this.forwardStack(x, state, (keep, layer, input, h0, c0) =>
      lstmForward(keep, dtype, { nonlinearity, x: input, h0, c0, weights: this.weights[layer]!, keep: keepTape }),
    );
    return { output, hn, cn: cn! };
  }

  /**
   * Gradients of the parameters are added to; belongs to the latest forward in training mode, and consumes it.
   *
   * @param gradients of what forward returned, in its shapes; what is left out counts as zeros
   * @returns gradients of x, h0 and c0, in their shapes
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: { output?: Tensor; hn?: Tensor; cn?: Tensor }): { x: Tensor; h0: Tensor; c0: Tensor } {
    const { x, h0, c0 } = this.backwardStack(gradients, (scratch, layer, tape, dOutput, dhn, dcn) =>
      lstmBackward(scratch, this.dtype, {
        tape,
        weights: this.weights[layer]!,
        gradients: this.gradients[layer]!,
        dOutput,
        dhn,
        dcn,
      }),
    );
    return { x, h0, c0: c0! };
  }
}
