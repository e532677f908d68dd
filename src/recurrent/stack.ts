// The base of the recurrent layers: a stack of them over whole sequences, in one direction or both, forward and backward. One
// layer in one direction is in direction.ts, streams are in stream.ts, the public classes in layers.ts.

import { StateError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import type { Core } from "../../bindings/instantiate.js";
import { gatherRows, mul, type FloatTensor } from "../../bindings/kernels.js";
import { Arena, steady, takeTensor, withArena } from "../../bindings/memory.js";
import { runPasses, type Cell, type RecurrentWeights } from "../../bindings/recurrent.js";
import {
  checkTensor,
  describe,
  readTensor,
  showShape,
  zeros,
  type FloatDtype,
  type Tensor,
  type TensorData,
} from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, lockFields } from "../base/check.js";
import { checkProbability } from "../base/mask.js";
import { Random } from "../base/random.js";
import { checkSealed } from "../base/sealed.js";
import { drawMask } from "../nn/dropout.js";
import { initialDraw, Layer, LayerMemory, type Mode } from "../nn/layer.js";
import { setTraits } from "../nn/traits.js";
import { currentTape } from "../recording/current.js";
import type { Gradients } from "../recording/tape.js";
import {
  backwardDirection,
  forwardDirection,
  sortRows,
  uploadRagged,
  type DirectionPass,
  type WasmRaggedBatch,
} from "./direction.js";
import type { LSTMOutput, LSTMState, OutputGradients, RecurrentOptions, RNNState } from "./options.js";
import { weightShapes, weightsOf } from "./parameters.js";
import {
  activeSteps,
  fromTimeFirst,
  readingOrder,
  readOptional,
  readSequence,
  sequenceShape,
  toTimeFirst,
  type Layout,
} from "./sequences.js";
import { Stream, type StreamOptions } from "./stream.js";

/** The most layers: a larger number was meant for another argument. */
const MAX_LAYERS = 65536;

interface States {
  h: Tensor | undefined;
  c: Tensor | undefined;
}

/** What a forward pass saves for the backward pass. */
interface StackPass {
  layout: Layout;
  /** By direction. */
  ragged: (WasmRaggedBatch | undefined)[];
  layers: LayerPass[];
}

interface LayerPass {
  /** By direction. */
  directions: DirectionPass[];
  /** Dropout mask [T,N,*] of the output; none for the last layer. */
  mask: FloatTensor | undefined;
}

/** A forward pass while it runs. */
interface StackRun extends StackPass {
  initial: States;
  /** For what the backward pass needs. */
  saved: Arena;
  mode: Mode;
  /** The last states: by layer, then direction. */
  final: States[];
}

/**
 * The base of RNN, LSTM and GRU.
 *
 * @typeParam D the number type
 * @typeParam State the second argument of forward
 * @typeParam Output the results of forward
 * @typeParam InputGradients the results of backward
 */
export abstract class Recurrent<
  D extends FloatDtype,
  State extends RNNState,
  Output extends { output: Tensor<D>; hn: Tensor<D> },
  InputGradients extends { x: Tensor<D>; h0: Tensor<D> },
> extends Layer<D> {
  readonly #memory: LayerMemory<D, StackPass>;
  /** Number of stacked layers. */
  readonly numLayers: number;
  /** Whether sequences are [N,T,D]. */
  readonly batchFirst: boolean;
  /** Whether a second set of layers reads every sequence from its end. */
  readonly bidirectional: boolean;
  /** Size P of h, and of the output in each direction. */
  readonly stateSize: number;
  readonly #cell: Cell;
  readonly #options: { dropout: number; recurrentDropout: number; checkpoint: number; stateful: boolean };
  readonly #directions: 1 | 2;
  readonly #reversed: boolean;
  /** By layer, then direction. */
  readonly #weights: RecurrentWeights[] = [];
  readonly #gradients: RecurrentWeights[] = [];
  readonly #random: Random;
  /** Stateful: the last states of the pass before. */
  #state: States = { h: undefined, c: undefined };

  protected constructor(
    cell: Cell,
    /** Size D of the input at a step. */
    readonly inputSize: number,
    /** Size H of the state. */
    readonly hiddenSize: number,
    options: RecurrentOptions<D> & { projSize?: number | undefined; layerNorm?: boolean | undefined },
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
    const memory = new LayerMemory<D, StackPass>(cell.kind, dtype);
    super(memory);
    this.#memory = memory;
    this.#cell = cell;
    this.numLayers = numLayers;
    this.batchFirst = batchFirst;
    this.bidirectional = bidirectional;
    this.#directions = bidirectional ? 2 : 1;
    this.stateSize = projSize || hiddenSize;
    this.#options = { dropout, recurrentDropout, checkpoint: checkpoint ?? Infinity, stateful };
    this.#reversed = goBackwards;
    this.#random = new Random(seed);
    const shapes: [string, number[]][] = [];
    for (let layer = 0; layer < numLayers; layer++) {
      const width = layer === 0 ? inputSize : this.stateSize * this.#directions;
      for (const suffix of bidirectional ? [`_l${layer}`, `_l${layer}_reverse`] : [`_l${layer}`]) {
        shapes.push(...weightShapes(cell.kind, width, hiddenSize, options, suffix));
      }
    }
    const parameters = memory.addParameters(shapes, initialDraw(this.#random, hiddenSize));
    for (const { name, value } of parameters) {
      if (name.startsWith("weight_norm")) value.fill(1);
      if (name.startsWith("bias_norm")) value.fill(0);
    }
    const each = parameters.length / (numLayers * this.#directions);
    for (let i = 0; i < parameters.length; i += each) {
      const own = parameters.slice(i, i + each);
      this.#weights.push(weightsOf(own, "value"));
      this.#gradients.push(weightsOf(own, "grad"));
    }
    const randoms = { random: this.#random };
    const carried = () => ({ h0: this.#state.h, c0: this.#state.c });
    const axes = { batchFirst, bidirectional, goBackwards };
    setTraits(this, {
      takes: ["lengths", "mask"],
      ...axes,
      cell,
      dropouts: this.#options,
      randoms,
      ...(stateful && { carried }),
    });
    lockFields(this);
  }

  /** 2 where the layer is bidirectional, else 1. */
  get directions(): number {
    return this.#directions;
  }

  /**
   * Runs all layers over all steps.
   *
   * @param x [T,N,D], [N,T,D] with batchFirst, or [T,D]; T >= 1
   * @param state the initial states, and which steps take part
   * @throws ShapeError, DtypeError, ValueError (lengths, mask), StateError (lengths and mask; stateful: another N),
   *   DisposedError, OutOfMemoryError
   */
  forward(x: Tensor, state: State = {} as State): Output {
    const memory = this.#memory;
    memory.checkAlive();
    const { dtype } = memory;
    const lstm = this.#cell.kind === "LSTM";
    const names = [...(lstm ? ["h0", "c0"] : ["h0"]), "lengths", "mask"];
    const options: LSTMState = checkOptions(`${this.#cell.kind}.forward`, state, names);
    const inputs = currentTape()?.read({ x, h0: options.h0, c0: options.c0 }) ?? { x, h0: options.h0, c0: options.c0 };
    const { core } = memory.arena;
    const { sequence, layout } = readSequence(core, inputs.x, dtype, this.inputSize, this.batchFirst, this.#reversed);
    const active = activeSteps(layout, options.lengths, options.mask);
    const initial = this.#initialStates(layout, inputs);
    const random = this.#random.state;
    const body = (_inputs: Gradients, saved: Arena, _scratch: Arena, mode: Mode) => {
      const { t, n } = layout;
      const ragged = [false, true]
        .slice(0, this.#directions)
        .map((reversed) => uploadRagged(saved, active, reversed, t, n));
      const run: StackRun = { layout, ragged, initial, saved, mode, layers: [], final: [] };
      let input: FloatTensor = saved.copy("x", sequence, dtype, sequence.shape);
      let output!: Tensor;
      for (const [layer, arena] of this.#upwards()) {
        input = this.#forwardLayer(run, layer, input, arena);
        if (layer === this.numLayers - 1) output = fromTimeFirst(input, layout);
      }
      const shape = this.#stateShape(layout);
      const hn = stackStates(dtype, run.final, "h", [...shape, this.stateSize]);
      const cn = lstm ? stackStates(dtype, run.final, "c", [...shape, this.hiddenSize]) : undefined;
      const result = (cn ? { output, hn, cn } : { output, hn }) as unknown as Output;
      return { result, values: { layout, ragged, layers: run.layers } };
    };
    try {
      const results = memory.runForward(inputs, body, (pass, gradients) => this.#backward(pass, gradients));
      const { hn, cn } = results as Output & Partial<LSTMOutput>;
      if (this.#options.stateful) this.#state = { h: copyOf(hn), c: cn && copyOf(cn) };
      return results;
    } catch (error) {
      this.#random.state = random;
      throw error;
    }
  }

  /**
   * Runs all layers backward, and adds to the gradients of the parameters. It belongs to the latest forward in training
   * mode, and uses it up.
   *
   * @param gradients of the results of forward, in their shapes; those left out are zero
   * @throws StateError, ShapeError, DtypeError, DisposedError, OutOfMemoryError
   */
  backward(gradients: OutputGradients<Output>): InputGradients {
    return this.#memory.runBackward(gradients);
  }

  #backward(pass: StackPass, gradients: Gradients): Gradients {
    const memory = this.#memory;
    const { dtype } = memory;
    const { layout, ragged } = pass;
    const lstm = this.#cell.kind === "LSTM";
    const names = lstm ? ["output", "hn", "cn"] : ["output", "hn"];
    const given: OutputGradients<LSTMOutput> = checkOptions(`${this.#cell.kind}.backward`, gradients, names);
    const shape = this.#stateShape(layout);
    const [hShape, cShape] = [
      [...shape, this.stateSize],
      [...shape, this.hiddenSize],
    ];
    const outputShape = sequenceShape(layout, this.#directions * this.stateSize);
    const { core } = memory.arena;
    const output =
      given.output === undefined
        ? undefined // else at once in the core's order: code of the caller's may run below
        : toTimeFirst(steady(core, checkTensor("output", given.output, dtype, outputShape)), layout);
    const hn = readOptional("hn", given.hn, dtype, hShape);
    const cn = readOptional("cn", given.cn, dtype, cShape);
    memory.checkAlive(); // code of the caller's may have run
    const args = { output, hn, cn };
    // A single layer allocates everything before it computes anything.
    const single = this.#weights.length === 1 && this.#options.checkpoint === Infinity && ragged[0] === undefined;
    if (!single) this.#backwardLayers(pass, args, true);
    const { x, initial } = this.#backwardLayers(pass, args, false);
    const h0 = stackStates(dtype, initial, "h", hShape);
    return lstm ? { x, h0, c0: stackStates(dtype, initial, "c", cShape) } : { x, h0 };
  }

  /**
   * Creates a stream: it runs one step at a time, holds the state, and works on a copy of the present weights.
   *
   * @param options the batch size N, 1 by default
   * @throws UnsupportedError where the layer is bidirectional or reads sequences backwards; ShapeError, DisposedError,
   *   OutOfMemoryError
   */
  stream(options: StreamOptions = {}): Stream<D> {
    this.#memory.checkAlive();
    if (this.bidirectional || this.#reversed) {
      const received = this.bidirectional ? "a bidirectional layer" : "a layer that goes backwards";
      throw new UnsupportedError("stream", received, "a layer that reads sequences from their start");
    }
    return new Stream<D>(this.#memory, this.#cell, this.#weights, options);
  }

  /**
   * Sets the initial states of the next pass of a stateful layer (Keras' reset_states).
   *
   * @param state h0 and, for an LSTM, c0, in the shapes that forward takes; zeros by default
   * @throws StateError where the layer is not stateful; ShapeError, DtypeError, UnsupportedError, DisposedError
   */
  resetState(state: Pick<State, Extract<keyof State, "h0" | "c0">> = {} as State): void {
    this.#memory.checkAlive();
    const lstm = this.#cell.kind === "LSTM";
    const given: LSTMState = checkOptions(`${this.#cell.kind}.resetState`, state, lstm ? ["h0", "c0"] : ["h0"]);
    const count = this.numLayers * this.#directions;
    let leading: readonly (number | string)[] | undefined; // axes of h0 but the last; c0 has the same
    const read = (name: "h0" | "c0", size: number) => {
      const value = given[name];
      if (value === undefined) return undefined;
      if (!this.#options.stateful) throw new StateError("resetState", `${name} without the option stateful`, "none");
      const plain = readTensor(name, value);
      leading ??= plain.shape.length === 2 ? [count] : [count, "N"];
      const copy = takeTensor(name, plain, this.#memory.dtype, [...leading, size]);
      leading = copy.shape.slice(0, -1);
      return copy;
    };
    const [h, c] = [read("h0", this.stateSize), read("c0", this.hiddenSize)];
    this.#memory.checkAlive(); // code of the caller's may have run
    this.#state = { h, c };
  }

  /**
   * Runs one layer in all its directions.
   *
   * @param input [T,N,*]
   * @param arena lives until the next layer has run
   * @returns [T,N,directions*P]
   */
  #forwardLayer(
    { layout, ragged, initial, saved, mode, layers, final }: StackRun,
    layer: number,
    input: FloatTensor,
    arena: Arena,
  ): FloatTensor {
    const { stateSize } = this;
    const { dtype } = this.#memory;
    const { dropout, recurrentDropout, checkpoint } = this.#options;
    const { t, n } = layout;
    const { training, keep } = mode;
    const top = layer === this.numLayers - 1;
    // One direction, not ragged, no checkpoints: the states are the output already, so nothing is copied.
    const isCopy = this.#directions > 1 || ragged[0] !== undefined || (keep && checkpoint < t);
    let output!: FloatTensor;
    if (isCopy) {
      const owner = keep && !top ? saved : arena;
      output = owner.allocate("output", dtype, [t, n, this.#directions * stateSize]);
    }
    const directions = withArena(saved.core, (scratch) => {
      const passes = ragged.map((batch, direction) => {
        const i = layer * this.#directions + direction;
        return forwardDirection(keep ? saved : arena, scratch, dtype, {
          cell: this.#cell,
          weights: this.#weights[i]!,
          ragged: batch,
          x: input,
          mask: training && recurrentDropout > 0 ? this.#recurrentMask(saved, n, batch) : undefined,
          initial: { h0: stateOf(initial.h, n, i), c0: stateOf(initial.c, n, i) },
          training: keep,
          checkpoint,
        });
      });
      return runPasses(saved.core, passes).map(({ states, h, c, saved }, direction) => {
        const batch = ragged[direction];
        if (isCopy) {
          const from = { of: states, first: 0, width: stateSize };
          const to = { of: output, first: direction * stateSize, width: stateSize };
          gatherRows(dtype, t * n, batch?.outputRows ?? batch?.packedRows, from, to);
        } else {
          output = states.reshape([t, n, stateSize]);
        }
        final.push({ h, c });
        return saved;
      });
    });
    let mask: FloatTensor | undefined;
    if (training && dropout > 0 && !top) {
      mask = drawMask(saved, "dropout", dtype, output.shape, dropout, this.#random);
      if (!isCopy) output = saved.copy("dropped output", output, dtype, output.shape);
      mul(output, mask);
    }
    layers.push({ directions, mask });
    return output;
  }

  /**
   * Runs all layers backward.
   *
   * @param gradients.output [T,N,*]
   * @param dryRun whether to allocate everything and change nothing
   * @returns the gradients of x, in the caller's layout, and of the initial states; in a dry run no x
   */
  #backwardLayers(
    { layout, layers }: StackPass,
    gradients: { output: Tensor | undefined; hn: Tensor | undefined; cn: Tensor | undefined },
    dryRun: boolean,
  ): { x: Tensor; initial: States[] } {
    const { stateSize } = this;
    const { dtype, arena: own } = this.#memory;
    const { t, n } = layout;
    const initial: States[] = Array.from({ length: this.#weights.length });
    let x!: Tensor;
    let dOutput: FloatTensor | undefined;
    for (const [layer, arena] of this.#downwards()) {
      const { output, hn, cn } = gradients;
      if (layer === this.numLayers - 1) dOutput = output && arena.copy("dOutput", output, dtype, ["T", "N", "H"]);
      const { directions, mask } = layers[layer]!;
      if (mask) mul(dOutput!, mask);
      const width = layer === 0 ? this.inputSize : this.#directions * stateSize;
      const dx: FloatTensor = arena.allocate("dx", dtype, [t, n, width]);
      const passes = directions.map((saved, direction) => {
        const i = layer * this.#directions + direction;
        return backwardDirection(own.core, dtype, {
          saved,
          weights: this.#weights[i]!,
          gradients: this.#gradients[i]!,
          dOutput: dOutput && { of: dOutput, first: direction * stateSize, width: stateSize },
          dhn: stateOf(hn, n, i),
          dcn: stateOf(cn, n, i),
          dx,
          add: direction > 0,
          dryRun,
        });
      });
      initial.splice(layer * this.#directions, passes.length, ...runPasses(own.core, passes));
      dOutput = dx;
      if (layer === 0 && !dryRun) x = fromTimeFirst(readingOrder(dx, layout), layout);
    }
    return { x, initial };
  }

  /** The layers from the first to the last, each with an arena that is freed once the layer above has run. */
  #upwards() {
    return visit(this.#memory.arena.core, 0, this.numLayers, 1);
  }

  /** The layers from the last to the first, each with an arena that is freed once the layer below has run. */
  #downwards() {
    return visit(this.#memory.arena.core, this.numLayers - 1, -1, -1);
  }

  /** The axes of the caller's states but the last. */
  #stateShape({ unbatched, n }: Layout): number[] {
    const count = this.numLayers * this.#directions;
    return unbatched ? [count] : [count, n];
  }

  /** The initial states in the caller's shape: given, or of the pass before, or none. */
  #initialStates(layout: Layout, given: LSTMState): States {
    const shape = this.#stateShape(layout);
    const read = (name: "h0" | "c0", size: number, before: Tensor | undefined) => {
      const { [name]: value = before } = given; // null is an error, not a default
      if (value === before && before && String(before.shape) !== String([...shape, size])) {
        const expected = `as many as in the pass before, whose state is ${showShape(before.shape)}, or resetState()`;
        throw new StateError("x", `${layout.n} rows`, expected);
      }
      return readOptional(name, value, this.#memory.dtype, [...shape, size]);
    };
    return { h: read("h0", this.stateSize, this.#state.h), c: read("c0", this.hiddenSize, this.#state.c) };
  }

  /** The mask [N,P] of the recurrent dropout. */
  #recurrentMask(saved: Arena, n: number, ragged: WasmRaggedBatch | undefined): FloatTensor {
    const { recurrentDropout: p } = this.#options;
    const mask = drawMask(saved, "recurrent dropout", this.#memory.dtype, [n, this.stateSize], p, this.#random);
    return ragged ? saved.copy("mask", sortRows(mask, ragged), mask.dtype, mask.shape) : mask;
  }
}

/** Visits layers, each with an arena that is freed once the next layer has run. */
function* visit(core: Core, start: number, end: number, step: 1 | -1): Generator<[layer: number, arena: Arena]> {
  const arenas: Arena[] = [];
  try {
    for (let layer = start; layer !== end; layer += step) {
      const arena = new Arena(core);
      arenas.push(arena);
      yield [layer, arena];
      if (arenas.length > 1) arenas.shift()!.dispose();
    }
  } finally {
    for (const arena of arenas) arena.dispose();
  }
}

/** State i, [N,size], of [numLayers * directions,N,size], or of [numLayers * directions,size] for N = 1; the same memory. */
function stateOf(states: Tensor | undefined, n: number, i: number): Tensor | undefined {
  if (states === undefined) return undefined;
  const size = states.shape.at(-1)!;
  return { data: states.data.subarray(i * n * size, (i + 1) * n * size), shape: [n, size] };
}

/** The states of all layers and directions, one after the other; those of one layer as they are. */
function stackStates<D extends FloatDtype>(
  dtype: D,
  states: readonly States[],
  name: keyof States,
  shape: number[],
): Tensor<D> {
  if (states.length === 1) return { data: states[0]![name]!.data as TensorData<D>, shape };
  const size = states[0]![name]!.data.length;
  const data = zeros(dtype, states.length * size);
  states.forEach((state, i) => data.set(state[name]!.data, i * size));
  return { data, shape };
}

function copyOf({ data, shape }: Tensor): Tensor {
  return { data: data.slice(), shape: [...shape] };
}
