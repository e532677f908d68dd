// What the recurrent layers share: a stack of them over whole sequences, in one direction or both, forward and backward.
// What runs one layer in one direction is in direction.ts, one step at a time in stream.ts; the public classes are in
// recurrent.ts.

import { StateError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { gatherRows, mul, type FloatTensor } from "../../bindings/kernels.js";
import { Arena, takeTensor, withArena } from "../../bindings/memory.js";
import type { Cell, RecurrentWeights } from "../../bindings/recurrent.js";
import { describe, readTensor, showShape, zeros, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { Random } from "../base/random.js";
import { checkSealed } from "../base/sealed.js";
import { checkProbability, drawMask } from "../nn/dropout.js";
import { initialDraw, Layer, LayerMemory } from "../nn/layer.js";
import {
  backwardDirection,
  forwardDirection,
  residentPacking,
  type DirectionTape,
  type Resident,
} from "./direction.js";
import type { LSTMState, RecurrentOptions } from "./options.js";
import { weightShapes, weightsOf } from "./parameters.js";
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

/** No stack is that deep: a size that was meant for another argument is. */
const MAX_LAYERS = 65536;

interface SavedStack {
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
export abstract class Recurrent extends Layer {
  readonly #memory: LayerMemory<SavedStack>;
  /** Layers on top of each other. */
  readonly numLayers: number;
  /** Whether sequences come as [N,T,D]. */
  readonly batchFirst: boolean;
  /** Whether a second set of layers reads every sequence from its end. */
  readonly bidirectional: boolean;
  /** Size P of h: of the output in each direction. */
  readonly stateSize: number;
  readonly #cell: Cell;
  readonly #options: { dropout: number; recurrentDropout: number; checkpoint: number; stateful: boolean };
  readonly #directions: 1 | 2;
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
    checkSealed("Recurrent", cell, "RNN, LSTM or GRU");
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
    const memory = new LayerMemory<SavedStack>(cell.kind, dtype);
    super(memory);
    this.#memory = memory;
    this.#cell = cell;
    this.numLayers = numLayers;
    this.batchFirst = batchFirst;
    this.bidirectional = bidirectional;
    this.#directions = bidirectional ? 2 : 1;
    this.stateSize = projSize || hiddenSize;
    this.#options = { dropout, recurrentDropout, checkpoint: checkpoint ?? Infinity, stateful };
    this.#goBackwards = goBackwards;
    this.#masks = new Random(seed);
    const shapes: [string, number[]][] = [];
    for (let layer = 0; layer < numLayers; layer++) {
      const width = layer === 0 ? inputSize : this.stateSize * this.#directions;
      for (const suffix of bidirectional ? [`_l${layer}`, `_l${layer}_reverse`] : [`_l${layer}`]) {
        shapes.push(...weightShapes(cell.kind, width, hiddenSize, options, suffix));
      }
    }
    const parameters = memory.addParameters(shapes, initialDraw(this.#masks, hiddenSize));
    for (const { name, value } of parameters) {
      if (name.startsWith("weight_norm")) value.fill(1);
      if (name.startsWith("bias_norm")) value.fill(0);
    }
    const each = parameters.length / (numLayers * this.#directions);
    for (let first = 0; first < parameters.length; first += each) {
      const own = parameters.slice(first, first + each);
      this.#weights.push(weightsOf(own, "value"));
      this.#gradients.push(weightsOf(own, "grad"));
    }
    lockFields(this);
  }

  /** 2 where the layer is bidirectional, else 1. */
  get directions(): number {
    return this.#directions;
  }

  /**
   * One step at a time, with the state kept inside, from a copy of the weights as they are now.
   *
   * @param options the batch size N, 1 by default
   * @throws UnsupportedError where the layer is bidirectional or goes backwards; ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: StreamOptions = {}): Stream {
    this.#memory.checkAlive();
    if (this.bidirectional || this.#goBackwards) {
      const what = this.bidirectional ? "a bidirectional layer" : "a layer that goes backwards";
      throw new UnsupportedError("stream", what, "a layer that reads sequences from their start");
    }
    return new Stream(this.#memory, this.#cell, this.#weights, options);
  }

  /**
   * Sets the states from which the next pass of a stateful layer starts (Keras' reset_states).
   *
   * @param state h0 and, for an LSTM, c0, in the shapes that forward takes; zeros by default
   * @throws StateError where the layer is not stateful; ShapeError, DtypeError, UnsupportedError, DisposedError
   */
  resetState(state: { h0?: Tensor; c0?: Tensor } = {}): void {
    this.#memory.checkAlive();
    const lstm = this.#cell.kind === "LSTM";
    const given = checkOptions(`${this.#cell.kind}.resetState`, state, lstm ? ["h0", "c0"] : ["h0"]);
    const count = this.numLayers * this.#directions;
    let leading: readonly (number | string)[] | undefined; // axes of the first state; the second has the same
    const take = (name: "h0" | "c0", size: number) => {
      const value = given[name];
      if (value === undefined) return undefined;
      if (!this.#options.stateful) throw new StateError("resetState", `${name} without the option stateful`, "none");
      const plain = readTensor(name, value);
      leading ??= plain.shape.length === 2 ? [count] : [count, "N"];
      const taken = takeTensor(name, plain, this.#memory.dtype, [...leading, size]);
      leading = taken.shape.slice(0, -1);
      return taken;
    };
    const [h, c] = [take("h0", this.stateSize), take("c0", this.hiddenSize)];
    this.#memory.checkAlive(); // code of the caller's may have run
    this.#state = { h, c };
  }

  /** Runs the stack. */
  protected run(x: Tensor, state: LSTMState): { output: Tensor; hn: Tensor; cn: Tensor | undefined } {
    const { numLayers, stateSize, batchFirst } = this;
    const { dtype } = this.#memory;
    const directions = this.#directions;
    const lstm = this.#cell.kind === "LSTM";
    const names = [...(lstm ? ["h0", "c0"] : ["h0"]), "lengths", "mask"];
    let last: States | undefined;
    const result = this.#memory.record((keep, scratch, training) => {
      const taken = checkOptions(`${this.#cell.kind}.forward`, state, names);
      const { sequence, layout } = takeInput(x, dtype, this.inputSize, batchFirst, this.#goBackwards);
      const { t, n } = layout;
      const active = activeSteps(layout, taken.lengths, taken.mask);
      const first = this.#firstStates(layout, taken);
      this.#memory.checkAlive(); // code of the caller's may have run
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
          const plain = directions === 1 && packings[0] === undefined && !(training && checkpoint < t);
          const joined: FloatTensor | undefined = plain
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
                first: { h0: stateOf(first.h, n, i), c0: stateOf(first.c, n, i) },
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
            if (plain) input = keep.copy("dropped output", input, dtype, input.shape);
            mul(input, mask);
          }
          dropped.push(mask);
        }
        const shape = this.#stateShape(layout);
        const hn = stackStates(dtype, ends, "h", [...shape, stateSize]);
        const cn = lstm ? stackStates(dtype, ends, "c", [...shape, this.hiddenSize]) : undefined;
        if (this.#options.stateful) last = { h: copyOf(hn), c: cn && copyOf(cn) };
        const output = fromTimeFirst(input, layout);
        return { result: { output, hn, cn }, values: { layout, packings, passes, dropped } };
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
    const { numLayers, hiddenSize, stateSize } = this;
    const { dtype, arena: own } = this.#memory;
    const directions = this.#directions;
    const lstm = this.#cell.kind === "LSTM";
    return this.#memory.replay(({ layout, packings, passes, dropped }) => {
      const names = lstm ? ["output", "hn", "cn"] : ["output", "hn"];
      const given = checkOptions(`${this.#cell.kind}.backward`, gradients, names);
      const { t, n } = layout;
      const take = (name: "output" | "hn" | "cn", shape: number[]) => {
        const gradient = given[name];
        return gradient === undefined ? undefined : takeTensor(name, gradient, dtype, shape);
      };
      const output = take("output", sequenceShape(layout, directions * stateSize));
      const shape = this.#stateShape(layout);
      const [hn, cn] = [take("hn", [...shape, stateSize]), take("cn", [...shape, hiddenSize])];
      this.#memory.checkAlive(); // code of the caller's may have run
      const upper = output && toTimeFirst(output, layout);
      const ends: States[] = Array.from({ length: numLayers * directions });
      let x!: Tensor;
      const pass = (rehearse: boolean) => {
        let dOutput: FloatTensor | undefined;
        this.#downwards((arena, layer) => {
          if (layer === numLayers - 1) dOutput = upper && arena.copy("dOutput", upper, dtype, ["T", "N", "H"]);
          const d = layer === 0 ? this.inputSize : directions * stateSize;
          const dx: FloatTensor = arena.allocate("dx", dtype, [t, n, d]);
          for (let direction = 0; direction < directions; direction++) {
            const i = layer * directions + direction;
            ends[i] = backwardDirection(own.core, dtype, {
              tape: passes[layer]![direction]!,
              weights: this.#weights[i]!,
              gradients: this.#gradients[i]!,
              dOutput: dOutput && { of: dOutput, first: direction * stateSize, width: stateSize },
              dhn: stateOf(hn, n, i),
              dcn: stateOf(cn, n, i),
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
      const h0 = stackStates(dtype, ends, "h", [...shape, stateSize]);
      return { x, h0, c0: lstm ? stackStates(dtype, ends, "c", [...shape, hiddenSize]) : undefined };
    });
  }

  /** From the last layer to the first, each with an arena that lives until the layer below it is done. */
  #downwards(body: (arena: Arena, layer: number) => void): void {
    const arenas: Arena[] = [];
    try {
      for (let layer = this.numLayers - 1; layer >= 0; layer--) {
        const arena = new Arena(this.#memory.arena.core);
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
    const count = this.numLayers * this.#directions;
    return unbatched ? [count] : [count, n];
  }

  /** First states, in the shape that users have them: given, or kept from the pass before, or none. */
  #firstStates(layout: Layout, state: LSTMState): States {
    const shape = this.#stateShape(layout);
    const take = (name: "h0" | "c0", size: number, kept: Tensor | undefined) => {
      const { [name]: given } = state;
      const { [name]: value = kept } = state;
      if (given === undefined && kept && String(kept.shape) !== String([...shape, size])) {
        const expected = `as many as in the pass before, whose state is ${showShape(kept.shape)}, or resetState()`;
        throw new StateError("x", `${layout.n} rows`, expected);
      }
      if (value === undefined) return undefined;
      return takeTensor(name, value, this.#memory.dtype, [...shape, size]);
    };
    return { h: take("h0", this.stateSize, this.#state.h), c: take("c0", this.hiddenSize, this.#state.c) };
  }

  #drawMask(keep: Arena, purpose: string, p: number, shape: readonly number[]): FloatTensor {
    const mask: FloatTensor = keep.allocate(`mask of ${purpose}`, this.#memory.dtype, shape);
    drawMask(mask, p, this.#masks);
    return mask;
  }

  #recurrentMask(keep: Arena, n: number, packing: Resident | undefined): FloatTensor | undefined {
    const p = this.#options.recurrentDropout;
    if (p === 0) return undefined;
    const mask = this.#drawMask(keep, "recurrent dropout", p, [n, this.stateSize]);
    return packing ? keep.copy("mask", packing.sort(mask), mask.dtype, ["N", "H"]) : mask;
  }
}

/** State i, [N,size], of [numLayers * directions,N,size], or of [numLayers * directions,size] for N = 1: the same memory. */
function stateOf(all: Tensor | undefined, n: number, i: number): Tensor | undefined {
  if (all === undefined) return undefined;
  const size = all.shape.at(-1)!;
  return { data: all.data.subarray(i * n * size, (i + 1) * n * size), shape: [n, size] };
}

/** The states of all layers and directions, one behind the other. */
function stackStates(dtype: FloatDtype, all: readonly States[], name: keyof States, shape: number[]): Tensor {
  const size = all[0]![name]!.data.length;
  const data = zeros(dtype, all.length * size);
  all.forEach((states, i) => data.set(states[name]!.data, i * size));
  return { data, shape };
}

function copyOf({ data, shape }: Tensor): Tensor {
  return { data: data.slice(), shape: [...shape] };
}
