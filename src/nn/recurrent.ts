// The recurrent layers: stacks of RNN, LSTM or GRU layers over whole sequences, in one direction or both. What runs one
// layer in one direction is in direction.ts, one step at a time in stream.ts; the mathematics is in assembly/.

import { StateError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { gatherRows, mul, type FloatTensor } from "../../bindings/kernels.js";
import { Arena, takeTensor, withArena } from "../../bindings/memory.js";
import { GATES, type Activation, type Cell, type RecurrentWeights } from "../../bindings/recurrent.js";
import { describe, showShape, zeros, type Tensor } from "../../bindings/tensor.js";
import { Random } from "../random.js";
import {
  backwardDirection,
  forwardDirection,
  type DirectionTape,
  type Resident,
  residentPacking,
} from "./direction.js";
import { checkProbability, drawMask } from "./dropout.js";
import { checkFlag, checkOptions, checkSize, Layer, type LayerOptions } from "./layer.js";
import {
  activeSteps,
  fromTimeFirst,
  inOrder,
  sequenceShape,
  takeInput,
  toTimeFirst,
  type Layout,
} from "./sequences.js";
import { Stream, type StreamOptions } from "./stream.js";

/** Options that all recurrent layers have. */
export interface RecurrentOptions extends LayerOptions {
  /** Layers on top of each other (default 1). */
  numLayers?: number;
  /** Whether there are biases (default true). */
  bias?: boolean;
  /** Whether sequences come as [N,T,D] instead of [T,N,D] (default false). Does not change the states' shapes. */
  batchFirst?: boolean;
  /** Whether a second set of layers reads every sequence from its end (default false); outputs stand side by side. */
  bidirectional?: boolean;
  /** Probability with which an output of every layer but the last is dropped in training (default 0). */
  dropout?: number;
  /** Probability with which a unit of h is dropped before the recurrent product in training: the same units at all steps
   * of a sequence (Gal & Ghahramani 2016; default 0). */
  recurrentDropout?: number;
  /** Keep states only every so many steps, and recompute the others in backward (default: keep all). */
  checkpoint?: number;
  /** Read sequences from the last step to the first; outputs come in that order (Keras' go_backwards; default false). */
  goBackwards?: boolean;
  /** Start from the states that the pass before ended with, until `resetState()` (Keras' stateful; default false). */
  stateful?: boolean;
}

export interface RNNOptions extends RecurrentOptions {
  /** "tanh" (default) or "relu". */
  nonlinearity?: "tanh" | "relu";
  /** Any other non-linearity, for models from elsewhere, in place of `nonlinearity`. */
  activation?: Activation;
}

/** What LSTM and GRU have for models from elsewhere. */
export interface GatedOptions extends RecurrentOptions {
  /** Of the candidate, and of the LSTM's c on its way to h (default "tanh"). */
  activation?: Activation;
  /** Of the gates (default "sigmoid"); "hardSigmoid" is Keras 2's min(max(0.2 x + 0.5, 0), 1). */
  recurrentActivation?: Activation;
  /**
   * Whether what the weights give, and the LSTM's c on its way to h, are layer-normalised (Ba et al. 2016; default false):
   * parameters weight_norm_ih_l0, weight_norm_hh_l0 [4H or 3H], LSTM also weight_norm_c_l0, bias_norm_c_l0 [H], ..., which
   * start as ones and zeros. A GRU normalises r and z together, and n on its own; an LSTM all four gates together.
   */
  layerNorm?: boolean;
}

export interface LSTMOptions extends GatedOptions {
  /** Size P to which h is projected (default 0: not at all). */
  projSize?: number;
  /** Whether the forget gate's bias starts as 1 and the others as 0 (Keras' unit_forget_bias; default false). */
  unitForgetBias?: boolean;
}

export interface GRUOptions extends GatedOptions {
  /** Whether the reset gate is applied after the recurrent product (default true, as PyTorch, cuDNN, Keras 3) or before. */
  resetAfter?: boolean;
}

/** First states, and which steps take part. */
export interface RNNState {
  /** [numLayers * directions,N,H], without N for unbatched x; zeros by default. */
  h0?: Tensor;
  /** [N] steps of each row, 0 to T: the output behind them is zeros, and the last state is that of the row's last step. */
  lengths?: Tensor | readonly number[];
  /** The axes of x without the last; 0 or 1 (i32): a masked step (0) repeats the output and state before it (Keras). */
  mask?: Tensor;
}
export interface LSTMState extends RNNState {
  /** [numLayers * directions,N,H]. */
  c0?: Tensor;
}

/** No stack is that deep: a size that was meant for another argument is. */
const MAX_LAYERS = 65536;

const OPTIONS = ["numLayers", "bias", "batchFirst", "bidirectional", "dropout", "recurrentDropout", "checkpoint"];
const MORE_OPTIONS = ["goBackwards", "stateful", "dtype", "seed"];
const ACTIVATIONS: readonly Activation[] = ["tanh", "relu", "sigmoid", "hardSigmoid", "linear"];

function checkActivation(argument: string, value: Activation): void {
  if (!ACTIVATIONS.includes(value)) throw new ValueError(argument, describe(value), ACTIVATIONS.join(", "));
}

export function checkNonlinearity(value: "tanh" | "relu"): void {
  if (value !== "tanh" && value !== "relu") throw new ValueError("nonlinearity", describe(value), '"tanh" or "relu"');
}

interface RecurrentTape {
  layout: Layout;
  packings: readonly (Resident | undefined)[];
  /** By layer, then direction. */
  passes: DirectionTape[][];
  /** Dropout masks [T,N,*] of what goes into each layer; none for the first. */
  dropped: (FloatTensor | undefined)[];
}

interface States {
  h: Tensor | undefined;
  c: Tensor | undefined;
}

/** What RNN, LSTM and GRU share. */
abstract class Recurrent extends Layer<RecurrentTape> {
  readonly numLayers: number;
  readonly batchFirst: boolean;
  readonly bidirectional: boolean;
  /** Size P of h: of the output in each direction. */
  readonly stateSize: number;
  readonly #cell: Cell;
  readonly #options: { dropout: number; recurrentDropout: number; checkpoint: number; stateful: boolean };
  readonly #goBackwards: boolean;
  /** Parameters and gradients by layer, then direction. */
  readonly #weights: RecurrentWeights[] = [];
  readonly #gradients: RecurrentWeights[] = [];
  readonly #masks: Random;
  #state: States = { h: undefined, c: undefined };

  protected constructor(
    cell: Cell,
    /** Size D of what goes in at a step. */
    readonly inputSize: number,
    /** Size H of the state. */
    readonly hiddenSize: number,
    options: RecurrentOptions & { projSize?: number; layerNorm?: boolean },
  ) {
    checkSize("inputSize", inputSize);
    checkSize("hiddenSize", hiddenSize);
    const { numLayers = 1, bias = true, batchFirst = false, bidirectional = false, dtype, seed } = options;
    const { dropout = 0, recurrentDropout = 0, checkpoint, goBackwards = false, stateful = false } = options;
    const { projSize = 0, layerNorm = false } = options;
    checkSize("numLayers", numLayers, MAX_LAYERS);
    for (const [name, flag] of Object.entries({ bias, batchFirst, bidirectional, goBackwards, stateful, layerNorm })) {
      checkFlag(name, flag);
    }
    checkProbability("dropout", dropout);
    checkProbability("recurrentDropout", recurrentDropout);
    if (checkpoint !== undefined) checkSize("checkpoint", checkpoint);
    if (!Number.isInteger(projSize) || projSize < 0 || projSize >= hiddenSize) {
      throw new ValueError("projSize", describe(projSize), `an integer from 0 to ${hiddenSize - 1}`);
    }
    super(cell.kind, dtype);
    this.#cell = cell;
    this.numLayers = numLayers;
    this.batchFirst = batchFirst;
    this.bidirectional = bidirectional;
    this.stateSize = projSize || hiddenSize;
    this.#options = { dropout, recurrentDropout, checkpoint: checkpoint ?? Infinity, stateful };
    this.#goBackwards = goBackwards;
    const random = (this.#masks = new Random(seed));
    const bound = 1 / Math.sqrt(hiddenSize);
    const draw = () => (2 * random.uniform() - 1) * bound;
    const rows = GATES[cell.kind] * hiddenSize;
    const shapes: [string, number[]][] = [];
    for (let layer = 0; layer < numLayers; layer++) {
      for (const suffix of bidirectional ? [`l${layer}`, `l${layer}_reverse`] : [`l${layer}`]) {
        const width = layer === 0 ? inputSize : this.stateSize * this.directions;
        shapes.push([`weight_ih_${suffix}`, [rows, width]], [`weight_hh_${suffix}`, [rows, this.stateSize]]);
        if (bias) shapes.push([`bias_ih_${suffix}`, [rows]], [`bias_hh_${suffix}`, [rows]]);
        if (projSize) shapes.push([`weight_hr_${suffix}`, [projSize, hiddenSize]]);
        if (layerNorm) shapes.push([`weight_norm_ih_${suffix}`, [rows]], [`weight_norm_hh_${suffix}`, [rows]]);
        if (layerNorm && cell.kind === "LSTM") {
          shapes.push([`weight_norm_c_${suffix}`, [hiddenSize]], [`bias_norm_c_${suffix}`, [hiddenSize]]);
        }
      }
    }
    const parameters = this.addParameters(shapes, draw);
    for (const { name, value } of parameters) {
      if (name.startsWith("weight_norm")) value.fill(1);
      if (name.startsWith("bias_norm")) value.fill(0);
    }
    const each = parameters.length / (numLayers * this.directions);
    for (let first = 0; first < parameters.length; first += each) {
      const of = (kind: string) => parameters.slice(first, first + each).find(({ name }) => name.startsWith(kind));
      const set = (what: "value" | "grad"): RecurrentWeights => ({
        weightIh: of("weight_ih")![what],
        weightHh: of("weight_hh")![what],
        biasIh: of("bias_ih")?.[what],
        biasHh: of("bias_hh")?.[what],
        weightHr: of("weight_hr")?.[what],
        normIh: of("weight_norm_ih")?.[what],
        normHh: of("weight_norm_hh")?.[what],
        normC: of("weight_norm_c")?.[what],
        normCBias: of("bias_norm_c")?.[what],
      });
      this.#weights.push(set("value"));
      this.#gradients.push(set("grad"));
    }
  }

  /** 2 where the layer is bidirectional, else 1. */
  get directions(): number {
    return this.bidirectional ? 2 : 1;
  }

  /**
   * One step at a time, with the state kept inside, from a copy of the weights as they are now.
   *
   * @param options.batchSize N, default 1
   * @throws UnsupportedError where the layer is bidirectional or goes backwards
   */
  stream(options: StreamOptions = {}): Stream {
    this.checkAlive();
    if (this.bidirectional || this.#goBackwards) {
      const what = this.bidirectional ? "a bidirectional layer" : "a layer that goes backwards";
      throw new UnsupportedError("stream", what, "a layer that reads sequences from their start");
    }
    return new Stream(this.arena.core, this.dtype, this.#cell, this.#weights, options);
  }

  /** Forgets the states that a stateful layer has kept: the next pass starts from zeros. */
  resetState(): void {
    this.checkAlive();
    this.#state = { h: undefined, c: undefined };
  }

  /** Runs the stack. */
  protected run(x: Tensor, state: LSTMState): { output: Tensor; hn: Tensor; cn: Tensor | undefined } {
    const { dtype, numLayers, directions, stateSize, training } = this;
    const lstm = this.#cell.kind === "LSTM";
    checkOptions(`${this.#cell.kind}.forward`, state, [...(lstm ? ["h0", "c0"] : ["h0"]), "lengths", "mask"]);
    let last: States | undefined;
    const result = this.record((keep, scratch) => {
      const { sequence, layout } = takeInput(
        this.arena.core,
        x,
        dtype,
        this.inputSize,
        this.batchFirst,
        this.#goBackwards,
      );
      const { t, n } = layout;
      const active = activeSteps(this.arena.core, layout, state.lengths, state.mask);
      const first = this.#firstStates(keep, layout, state);
      const packings = [false, true]
        .slice(0, directions)
        .map((reverse) => residentPacking(keep, active, reverse, t, n));
      const { checkpoint, dropout } = this.#options;
      const ends: States[] = [];
      const passes: DirectionTape[][] = [];
      const dropped: (FloatTensor | undefined)[] = [undefined];
      const passing: Arena[] = []; // inference: what a layer leaves is let go of when the layer above has run
      const before = this.#masks.state;
      try {
        let input: FloatTensor = keep.copy("x", inOrder(toTimeFirst(sequence, layout), layout), dtype, ["T", "N", "D"]);
        for (let layer = 0; layer < numLayers; layer++) {
          const top = layer === numLayers - 1;
          if (!training) passing.push(new Arena(keep.core));
          const arena = passing.at(-1) ?? keep;
          const tapes: DirectionTape[] = [];
          // Where the states of one direction are the output as they lie, they serve as such.
          const own = directions === 1 && packings[0] === undefined && !(training && checkpoint < t);
          const joined: FloatTensor | undefined = own
            ? undefined
            : (top ? scratch : arena).allocate("output", dtype, [t, n, directions * stateSize]);
          let output = joined;
          for (let direction = 0; direction < directions; direction++) {
            const i = layer * directions + direction;
            const packing = packings[direction];
            withArena(keep.core, (temporary) => {
              const { tape, states, h, c } = forwardDirection(arena, temporary, dtype, {
                cell: this.#cell,
                weights: this.#weights[i]!,
                packing,
                x: input,
                mask: training ? this.#recurrentMask(keep, n, packing) : undefined,
                first: { h0: stateOf(first.h, i), c0: stateOf(first.c, i) },
                keep: training,
                every: checkpoint,
              });
              if (joined) {
                const to = { of: joined, first: direction * stateSize, width: stateSize };
                const from = { of: states, first: 0, width: stateSize };
                gatherRows(dtype, t * n, packing?.output ?? packing?.place, from, to);
              } else {
                output = states.reshape([t, n, stateSize]);
              }
              ends.push({ h, c });
              tapes.push(tape);
            });
          }
          while (passing.length > 1) passing.shift()!.dispose();
          passes.push(tapes);
          input = output!;
          let mask: FloatTensor | undefined;
          if (training && dropout > 0 && !top) {
            mask = this.#drawMask(keep, "dropout", dropout, input.shape);
            if (own) input = keep.copy("dropped output", input, dtype, input.shape);
            mul(input, mask);
          }
          dropped.push(mask);
        }
        const shape = this.#stateShape(layout);
        const stack = (name: "h" | "c", size: number) =>
          stackStates(
            dtype,
            ends.map((end) => end[name]!),
            [...shape, size],
          );
        const hn = stack("h", stateSize);
        const cn = lstm ? stack("c", this.hiddenSize) : undefined;
        if (this.#options.stateful)
          last = { h: stack("h", stateSize), c: lstm ? stack("c", this.hiddenSize) : undefined };
        const output = fromTimeFirst(input, layout);
        return { result: { output, hn, cn }, tape: { layout, packings, passes, dropped } };
      } catch (error) {
        this.#masks.state = before;
        throw error;
      } finally {
        for (const arena of passing) arena.dispose();
      }
    });
    if (last) this.#state = last;
    return result;
  }

  /** Runs the stack backward. */
  protected runBackward(gradients: { output?: Tensor; hn?: Tensor; cn?: Tensor }): {
    x: Tensor;
    h0: Tensor;
    c0: Tensor | undefined;
  } {
    const { dtype, numLayers, directions, hiddenSize, stateSize } = this;
    const lstm = this.#cell.kind === "LSTM";
    checkOptions(`${this.#cell.kind}.backward`, gradients, lstm ? ["output", "hn", "cn"] : ["output", "hn"]);
    return this.replay((tape) => {
      const { layout, packings, passes, dropped } = tape;
      const { t, n } = layout;
      const take = (name: "output" | "hn" | "cn", shape: number[]) => {
        const gradient = gradients[name];
        return gradient === undefined ? undefined : takeTensor(this.arena.core, name, gradient, dtype, shape);
      };
      const output = take("output", sequenceShape(layout, directions * stateSize));
      const shape = this.#stateShape(layout);
      const [hn, cn] = [take("hn", [...shape, stateSize]), take("cn", [...shape, hiddenSize])];
      const dhn = hn && { data: hn.data, shape: [numLayers * directions, n, stateSize] };
      const dcn = cn && { data: cn.data, shape: [numLayers * directions, n, hiddenSize] };
      const given = output && toTimeFirst(output, layout);
      const ends: { h: Tensor; c: Tensor | undefined }[] = Array.from({ length: numLayers * directions });
      let x!: Tensor;
      const pass = (rehearse: boolean) => {
        let dOutput: FloatTensor | undefined;
        this.#downwards((arena, layer) => {
          if (layer === numLayers - 1) dOutput = given && arena.copy("dOutput", given, dtype, ["T", "N", "H"]);
          const d = layer === 0 ? this.inputSize : directions * stateSize;
          const dx: FloatTensor = arena.allocate("dx", dtype, [t, n, d]);
          for (let direction = 0; direction < directions; direction++) {
            const i = layer * directions + direction;
            ends[i] = backwardDirection(this.arena.core, dtype, {
              tape: passes[layer]![direction]!,
              weights: this.#weights[i]!,
              gradients: this.#gradients[i]!,
              dOutput: dOutput && { of: dOutput, first: direction * stateSize, width: stateSize },
              dhn: stateOf(dhn, i),
              dcn: stateOf(dcn, i),
              dx,
              add: direction > 0,
              rehearse,
            });
          }
          const mask = dropped[layer];
          if (mask) mul(dx, mask);
          dOutput = dx;
          if (layer === 0 && !rehearse) x = fromTimeFirst(inOrder(dx, layout), layout);
        });
      };
      // One layer alone takes everything before it computes.
      const alone = numLayers * directions === 1 && this.#options.checkpoint === Infinity && packings[0] === undefined;
      if (!alone) pass(true);
      pass(false);
      const h0 = stackStates(
        dtype,
        ends.map(({ h }) => h),
        [...shape, stateSize],
      );
      const c0 = lstm
        ? stackStates(
            dtype,
            ends.map(({ c }) => c!),
            [...shape, hiddenSize],
          )
        : undefined;
      return { x, h0, c0 };
    });
  }

  /** From the last layer to the first, each with an arena that lives until the layer below it is done. */
  #downwards(body: (arena: Arena, layer: number) => void): void {
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

  /** The axes of a state but the last, as users have them. */
  #stateShape({ unbatched, n }: Layout): number[] {
    const count = this.numLayers * this.directions;
    return unbatched ? [count] : [count, n];
  }

  /** First states [numLayers * directions,N,*]: given, or kept from the pass before, or none. */
  #firstStates(keep: Arena, layout: Layout, state: LSTMState): States {
    const shape = this.#stateShape(layout);
    const take = (name: "h0" | "c0", size: number, kept: Tensor | undefined) => {
      const { [name]: given } = state;
      const { [name]: value = kept } = state;
      if (given === undefined && kept && String(kept.shape) !== String([...shape, size])) {
        const expected = `as many as in the pass before, whose state is ${showShape(kept.shape)}, or resetState()`;
        throw new StateError("x", `${layout.n} rows`, expected);
      }
      if (value === undefined) return undefined;
      const { data } = takeTensor(keep.core, name, value, this.dtype, [...shape, size]);
      return { data, shape: [shape[0]!, layout.n, size] };
    };
    return { h: take("h0", this.stateSize, this.#state.h), c: take("c0", this.hiddenSize, this.#state.c) };
  }

  #drawMask(keep: Arena, purpose: string, p: number, shape: readonly number[]): FloatTensor {
    const mask: FloatTensor = keep.allocate(`mask of ${purpose}`, this.dtype, shape);
    drawMask(mask, p, this.#masks);
    return mask;
  }

  #recurrentMask(keep: Arena, n: number, packing: Resident | undefined): FloatTensor | undefined {
    const p = this.#options.recurrentDropout;
    if (p === 0) return undefined;
    const mask = this.#drawMask(keep, "recurrent dropout", p, [n, this.stateSize]);
    return packing ? keep.copy("mask", packing.sort(mask), this.dtype, ["N", "H"]) : mask;
  }
}

/** State i of [numLayers * directions,N,size]: the same memory. */
function stateOf(all: Tensor | undefined, i: number): Tensor | undefined {
  if (all === undefined) return undefined;
  const [, n, size] = all.shape as [number, number, number];
  return { data: all.data.subarray(i * n * size, (i + 1) * n * size), shape: [n, size] };
}

function stackStates(dtype: "f64" | "f32", states: readonly Tensor[], shape: number[]): Tensor {
  const size = states[0]!.data.length;
  const data = zeros(dtype, states.length * size);
  states.forEach((state, i) => data.set(state.data, i * size));
  return { data, shape };
}

/**
 * A stack of simple recurrent layers, as PyTorch's nn.RNN: h_t = phi(W_ih x_t + b_ih + W_hh h_(t-1) + b_hh).
 *
 * Parameters weight_ih_l0 [H,D], weight_hh_l0 [H,H], bias_ih_l0, bias_hh_l0 [H], ..., weight_ih_l0_reverse ..., drawn from
 * U(-1/sqrt(H), 1/sqrt(H)).
 */
export class RNN extends Recurrent {
  readonly nonlinearity: Activation;

  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    checkOptions("RNN", options, [...OPTIONS, "nonlinearity", "activation", ...MORE_OPTIONS]);
    const { nonlinearity = "tanh", activation = nonlinearity } = options;
    checkNonlinearity(nonlinearity);
    checkActivation("activation", activation);
    super({ kind: "RNN", phi: activation }, inputSize, hiddenSize, options);
    this.nonlinearity = activation;
  }

  /**
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]
   * @returns output [T,N,directions*H] (laid out as x), hn [numLayers*directions,N,H] (without N for [T,D])
   * @throws ShapeError, DtypeError, ValueError (lengths, mask), DisposedError, OutOfMemoryError
   */
  forward(x: Tensor, state: RNNState = {}): { output: Tensor; hn: Tensor } {
    const { output, hn } = this.run(x, state);
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
    const { x, h0 } = this.runBackward(gradients);
    return { x, h0 };
  }
}

/**
 * A stack of long short-term memory layers, as PyTorch's nn.LSTM.
 *
 * Parameters weight_ih_l0 [4H,D], weight_hh_l0 [4H,P], bias_ih_l0, bias_hh_l0 [4H], with projSize weight_hr_l0 [P,H], ...,
 * weight_ih_l0_reverse ..., in the gate order i f g o, drawn from U(-1/sqrt(H), 1/sqrt(H)). P is projSize, or H.
 */
export class LSTM extends Recurrent {
  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    const own = ["projSize", "unitForgetBias", "activation", "recurrentActivation", "layerNorm"];
    checkOptions("LSTM", options, [...OPTIONS, ...own, ...MORE_OPTIONS]);
    const { activation = "tanh", recurrentActivation = "sigmoid", unitForgetBias = false } = options;
    checkActivation("activation", activation);
    checkActivation("recurrentActivation", recurrentActivation);
    checkFlag("unitForgetBias", unitForgetBias);
    super({ kind: "LSTM", phi: activation, sigma: recurrentActivation }, inputSize, hiddenSize, options);
    if (!unitForgetBias) return;
    for (const { name, value } of this.parameters()) {
      if (name.startsWith("bias_")) value.data.fill(0);
      if (name.startsWith("bias_ih")) value.data.fill(1, hiddenSize, 2 * hiddenSize);
    }
  }

  /**
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]
   * @returns output [T,N,directions*P] (laid out as x), hn [numLayers*directions,N,P] and cn [numLayers*directions,N,H]
   *   (without N for [T,D])
   * @throws ShapeError, DtypeError, ValueError (lengths, mask), DisposedError, OutOfMemoryError
   */
  forward(x: Tensor, state: LSTMState = {}): { output: Tensor; hn: Tensor; cn: Tensor } {
    const { output, hn, cn } = this.run(x, state);
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
    const { x, h0, c0 } = this.runBackward(gradients);
    return { x, h0, c0: c0! };
  }
}

/**
 * A stack of gated recurrent units, as PyTorch's nn.GRU: h_t = (1 - z) n + z h_(t-1).
 *
 * Parameters weight_ih_l0 [3H,D], weight_hh_l0 [3H,H], bias_ih_l0, bias_hh_l0 [3H], ..., weight_ih_l0_reverse ..., in the
 * gate order r z n, drawn from U(-1/sqrt(H), 1/sqrt(H)).
 */
export class GRU extends Recurrent {
  readonly resetAfter: boolean;

  constructor(inputSize: number, hiddenSize: number, options: GRUOptions = {}) {
    checkOptions("GRU", options, [
      ...OPTIONS,
      "resetAfter",
      "activation",
      "recurrentActivation",
      "layerNorm",
      ...MORE_OPTIONS,
    ]);
    const { activation = "tanh", recurrentActivation = "sigmoid", resetAfter = true } = options;
    checkActivation("activation", activation);
    checkActivation("recurrentActivation", recurrentActivation);
    checkFlag("resetAfter", resetAfter);
    if (!resetAfter && options.layerNorm) {
      throw new UnsupportedError("layerNorm", "resetAfter false", "resetAfter true, whose products are normalised");
    }
    super({ kind: "GRU", phi: activation, sigma: recurrentActivation, resetAfter }, inputSize, hiddenSize, options);
    this.resetAfter = resetAfter;
  }

  /**
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]
   * @returns output [T,N,directions*H] (laid out as x), hn [numLayers*directions,N,H] (without N for [T,D])
   * @throws ShapeError, DtypeError, ValueError (lengths, mask), DisposedError, OutOfMemoryError
   */
  forward(x: Tensor, state: RNNState = {}): { output: Tensor; hn: Tensor } {
    const { output, hn } = this.run(x, state);
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
    const { x, h0 } = this.runBackward(gradients);
    return { x, h0 };
  }
}
