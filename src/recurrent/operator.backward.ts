// The derivative of ONNX's operators RNN, LSTM and GRU: the forward pass is run again as a layer's, which saves what its backward
// pass needs.

import { UnsupportedError } from "../../bindings/errors.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena, withArena } from "../../bindings/memory.js";
import { runPasses } from "../../bindings/recurrent.js";
import type { PassRun } from "../../bindings/instantiate.js";
import { onnxBlocks } from "../formats/gates.js";
import { transpose } from "../ops/movement.js";
import { apply, type BackwardCall, type Derivative } from "../ops/operation.js";
import { backwardDirection, forwardDirection, uploadRagged } from "./direction.js";
import type { RecurrentAttributes, RecurrentInput } from "./operator-attributes.js";
import { bindBlocks, mapWeights, named, sizesOfCall, weightsOf, type Named } from "./operator-call.js";
import { activeSteps } from "./sequences.js";

/** Refuses what the core has no backward pass for. */
function checkDifferentiable({ kind, cells, inputs }: RecurrentAttributes): void {
  const refuse = (name: string) => {
    throw new UnsupportedError(`${kind}, ${name}`, "a gradient", `a node without ${name}`);
  };
  if (cells.some(({ clip }) => clip !== undefined)) refuse("clip");
  if (cells.some(({ coupled }) => coupled)) refuse("input_forget");
  if (inputs.includes("P")) refuse("P");
}

/** The gradients of the inputs. */
function backward(arena: Arena, call: BackwardCall<RecurrentAttributes>): (FloatTensor | undefined)[] {
  const { attributes } = call;
  checkDifferentiable(attributes);
  const { kind, cells, reverse, batchFirst } = attributes;
  const inputs = named(attributes.inputs, call.inputs as FloatTensor[]);
  const given = named(attributes.outputs, call.gradients);
  const { t, n, h } = sizesOfCall(inputs, attributes);
  const { core } = arena;
  const dtype = inputs.X!.dtype;
  const order = onnxBlocks(kind).gates;
  const inverse = order.map((_, block) => order.indexOf(block));
  const layout = { unbatched: false, batchFirst: false, reversed: false, t, n };
  const active = activeSteps(layout, inputs.sequence_lens, undefined);

  return withArena(core, (scratch) => {
    const permuted = (to: Arena, x: FloatTensor, axes: readonly number[]) =>
      apply(to, transpose, [x], { axes })[0] as FloatTensor;
    /** X or a state with the batch second, or back. */
    const swapped = (to: Arena, x: FloatTensor) => (batchFirst ? permuted(to, x, [1, 0, 2]) : x);
    const second = (x: FloatTensor | undefined) => x && swapped(scratch, x);
    const state = (states: FloatTensor | undefined, i: number) => states?.slice(i, 1).reshape([n, h]);
    const home = batchFirst ? scratch : arena;
    const X = second(inputs.X)!;
    const [h0, c0] = [second(inputs.initial_h), second(inputs.initial_c)];
    const dY = given.Y && permuted(scratch, given.Y, batchFirst ? [2, 1, 0, 3] : [1, 0, 2, 3]); // [D,T,N,H]
    const [dhn, dcn] = [second(given.Y_h), second(given.Y_c)];
    const dX: FloatTensor = home.allocate("gradient", dtype, X.shape);
    const [dh0, dc0] = [h0, c0].map((x) => x && home.allocate("gradient", dtype, x.shape));
    const [dW, dR, dB] = [inputs.W, inputs.R, inputs.B].map((x) => x && arena.allocate("gradient", dtype, x.shape));
    const run = function* (reversed: boolean, i: number): PassRun<void> {
      const short = new Arena(core);
      try {
        const weights = mapWeights(weightsOf(inputs, i), (x) => {
          const copy = short.allocate("weights", dtype, x.shape);
          bindBlocks(x, copy, order)();
          return copy;
        });
        const gradients = mapWeights(weights, (x) => short.zeros("gradient", dtype, x.shape));
        const { saved } = yield* forwardDirection(short, short, dtype, {
          cell: cells[i]!,
          weights,
          ragged: uploadRagged(short, active, reversed, t, n),
          x: X,
          mask: undefined,
          initial: { h0: state(h0, i), c0: state(c0, i) },
          training: true,
          checkpoint: Infinity,
        });
        const dOutput = dY && { of: dY.slice(i, 1).reshape([t, n, h]), first: 0, width: h };
        const [dhi, dci] = [state(dhn, i), state(dcn, i)];
        const args = { saved, weights, gradients, dOutput, dhn: dhi, dcn: dci, dx: dX, add: i > 0, dryRun: false };
        const initial = yield* backwardDirection(core, dtype, args);
        state(dh0, i)?.set(initial.h.data);
        if (initial.c) state(dc0, i)?.set(initial.c.data);
        const results = weightsOf({ W: dW, R: dR, B: dB }, i);
        for (const name of ["weightIh", "weightHh", "biasIh", "biasHh"] as const) {
          if (results[name]) bindBlocks(gradients[name]!, results[name], inverse)();
        }
      } finally {
        short.dispose();
      }
    };
    runPasses(core, reverse.map(run));
    const results: Named<RecurrentInput, FloatTensor> = {
      X: swapped(arena, dX),
      W: dW,
      R: dR,
      B: dB,
      initial_h: dh0 && swapped(arena, dh0),
      initial_c: dc0 && swapped(arena, dc0),
    };
    return attributes.inputs.map((name) => results[name]);
  });
}

export const recurrent: Derivative<RecurrentAttributes> = { saves: "inputs", backward };
