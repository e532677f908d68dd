// SimpleRNN, LSTM, GRU and Bidirectional as Keras computes them.
//
// N, T, D, H: rows, steps, sizes of an input and of the state. G: gates.

import { ShapeError, UnsupportedError, ValueError } from "../../../bindings/errors.js";
import { showShape } from "../../../bindings/tensor.js";
import { kerasBlocks } from "../../formats/gates.js";
import type { KerasLayer } from "../../formats/keras/description.js";
import { RECURRENT } from "../../formats/keras/weights.js";
import type { Builder } from "../../graphs/builder.js";
import { filled, pair, reshaped, transposed } from "../../graphs/operators/compose.js";
import type { Value } from "../../graphs/value.js";
import { add, mul, sub, where } from "../../ops/elementwise.js";
import { matmul } from "../../ops/matmul.js";
import * as move from "../../ops/movement.js";
import { recurrentAttributes, type RecurrentInput } from "../../recurrent/operator-attributes.js";
import { recurrent } from "../../recurrent/operator.js";
import { activated } from "./activations.js";
import { checkRank, dense, dropMask, dropped, weightOf, type Compute, type Context, type Flow } from "./flow.js";

/** Keras' names of the activations that kernels have, and ONNX's. */
const KERNELS: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["tanh", "Tanh"],
  ["sigmoid", "Sigmoid"],
  ["relu", "Relu"],
  ["hardsigmoid", "HardSigmoid"],
  ["linear", "Affine"],
]);

/** What one direction computes: all states [N,T,H] at the places of their inputs, and the last ones [N,H]: h, and c of the LSTM. */
interface Pass {
  readonly sequence: Value;
  readonly last: readonly Value[];
}

/** The names of the states. */
export function stateNames(kind: string): readonly string[] {
  return kind === "LSTM" ? ["h", "c"] : ["h"];
}

/** One layer in its direction. */
function runDirection(
  context: Context,
  layer: KerasLayer,
  { value, mask }: Flow,
  initial: readonly Value[] | undefined,
): Pass {
  const { config, kind } = layer;
  const { cell } = RECURRENT.get(kind)!;
  checkRank(layer, value, 3, "[N, T, D]");
  const x = dropped(context, value, config.number("dropout", 0), [value.shape[0]!, 1, value.shape[2]!]);
  const [n, t] = x.shape as [number, number];
  const h = config.count("units");
  const reversed = config.flag("go_backwards", false);
  const resetAfter = kind === "GRU" && config.flag("reset_after", false);
  const names = stateNames(kind);
  if (initial && initial.length !== names.length) {
    throw new ValueError(`layer ${layer.name}`, `${initial.length} states`, `${names.length}`);
  }
  for (const state of initial ?? []) {
    if (showShape(state.shape) !== showShape([n, h])) throw new ShapeError(`layer ${layer.name}`, showShape(state.shape), `[${n},${h}]`); // prettier-ignore
  }
  if (t === 0) throw new ShapeError(`layer ${layer.name}`, showShape(x.shape), "at least one step");
  const phi = config.activation("activation", "tanh");
  const sigma = cell === "RNN" ? "sigmoid" : config.activation("recurrent_activation", "hard_sigmoid");
  const weights = {
    kernel: weightOf(context, layer, "kernel"),
    recurrent: weightOf(context, layer, "recurrent_kernel"),
    bias: context.weight(layer, "bias"),
  };
  const drops = dropMask(context, x, config.number("recurrent_dropout", 0), [n, h]);
  const call = { context, layer, cell, x, mask, initial, reversed, resetAfter, phi, sigma, weights, h, drops };
  return KERNELS.has(phi) && KERNELS.has(sigma) && !drops ? runKernel(call) : runSteps(call);
}

interface Call {
  readonly context: Context;
  readonly layer: KerasLayer;
  readonly cell: "RNN" | "LSTM" | "GRU";
  readonly x: Value;
  readonly mask: Value | undefined;
  readonly initial: readonly Value[] | undefined;
  readonly reversed: boolean;
  readonly resetAfter: boolean;
  readonly phi: string;
  readonly sigma: string;
  readonly weights: { readonly kernel: Value; readonly recurrent: Value; readonly bias: Value | undefined };
  readonly h: number;
  /** What h is multiplied with at each step: dropout in training. */
  readonly drops: Value | undefined;
}

/** Blocks of rows in the order of ONNX' operators. */
function ordered(builder: Builder, x: Value, cell: Call["cell"]): Value {
  const blocks = kerasBlocks(cell);
  if (blocks.every((block, i) => block === i)) return x;
  const size = x.shape[0]! / blocks.length;
  const parts = builder.run(move.split, [x], { axis: 0, sizes: blocks.map(() => size) });
  return builder.one(move.concat, blocks.map((block) => parts[block]!), { axis: 0 }); // prettier-ignore
}

/** By the recurrent operation. Steps that are masked are left out of its rows, and their places get the state before them. */
function runKernel({ context, cell, x, mask, initial, reversed, resetAfter, phi, sigma, weights, h }: Call): Pass {
  const { builder, hardSigmoid } = context;
  const [n, t] = x.shape as [number, number];
  const rows = (each: Value) => {
    const own = ordered(builder, transposed(builder, each, [1, 0]), cell);
    return reshaped(builder, own, [1, ...own.shape]);
  };
  const { kernel, recurrent: recurrentKernel, bias } = weights;
  const tensors: [RecurrentInput, Value][] = [
    ["X", mask ? packed(builder, x, mask, reversed) : x],
    ["W", rows(kernel)],
    ["R", rows(recurrentKernel)],
  ];
  if (bias) {
    const first = bias.shape.length === 2 ? undefined : ordered(builder, bias, cell);
    const both = first
      ? builder.one(move.concat, [first, filled(builder, x.dtype, first.shape, 0)], { axis: 0 })
      : bias;
    tensors.push(["B", reshaped(builder, both, [1, both.size])]);
  }
  if (mask) {
    const lengths = builder.hostToWasm([mask], [n], ([from], [to]) => {
      for (let row = 0; row < n; row++) {
        to![row] = 0;
        for (let s = 0; s < t; s++) to![row]! += Number(from![row * t + s] !== 0);
      }
    });
    tensors.push(["sequence_lens", lengths]);
  }
  const state = (each: Value) => reshaped(builder, each, [n, 1, h]);
  initial?.forEach((each, i) => tensors.push([i === 0 ? "initial_h" : "initial_c", state(each)]));
  const names = cell === "RNN" ? [phi] : cell === "LSTM" ? [sigma, phi, phi] : [sigma, phi];
  const outputs = cell === "LSTM" ? (["Y", "Y_h", "Y_c"] as const) : (["Y", "Y_h"] as const);
  const scaled = names.filter((name) => name === "hardsigmoid" || name === "linear");
  const attributes = recurrentAttributes(
    cell,
    {
      layout: 1,
      direction: reversed && !mask ? "reverse" : "forward",
      activations: names.map((name) => KERNELS.get(name)!),
      activation_alpha: scaled.map((name) => (name === "linear" ? 1 : hardSigmoid[0])),
      activation_beta: scaled.map((name) => (name === "linear" ? 0 : hardSigmoid[1])),
      ...(cell === "GRU" && { linear_before_reset: Number(resetAfter) }),
    },
    tensors.map(([name]) => name),
    outputs,
  );
  const [y, ...last] = builder.run(recurrent, tensors.map(([, value]) => value), attributes); // prettier-ignore
  const all = reshaped(builder, y!, [n, t, h]);
  return {
    sequence: mask ? unpacked(builder, all, mask, reversed, initial?.[0]) : all,
    last: last.map((each) => reshaped(builder, each, [n, h])),
  };
}

/** The steps of each row that count first, in the order in which they are read; those after them are of no account. */
function packed(builder: Builder, x: Value, mask: Value, reversed: boolean): Value {
  const [n, t, d] = x.shape as [number, number, number];
  const places = builder.hostToWasm([mask], [n, t], ([from], [to]) => {
    for (let row = 0; row < n; row++) {
      let next = row * t;
      for (let s = 0; s < t; s++) {
        const step = row * t + (reversed ? t - 1 - s : s);
        if (from![step] !== 0) to![next++] = step;
      }
      while (next < (row + 1) * t) to![next++] = row * t;
    }
  });
  return builder.one(move.gather, [reshaped(builder, x, [n * t, d]), places], { axis: 0 });
}

/** The states at the places of their steps; at masked ones, the state before. */
function unpacked(builder: Builder, y: Value, mask: Value, reversed: boolean, h0: Value | undefined): Value {
  const [n, t, h] = y.shape as [number, number, number];
  const places = builder.hostToWasm([mask], [n, t], ([from], [to]) => {
    for (let row = 0; row < n; row++) {
      let count = 0;
      for (let s = 0; s < t; s++) {
        const step = row * t + (reversed ? t - 1 - s : s);
        if (from![step] !== 0) count++;
        to![step] = count > 0 ? row * t + count - 1 : n * t + row;
      }
    }
  });
  const first = h0 ?? filled(builder, y.dtype, [n, h], 0);
  const states = builder.one(move.concat, [reshaped(builder, y, [n * t, h]), first], { axis: 0 });
  return builder.one(move.gather, [states, places], { axis: 0 });
}

/** Step by step: for activations that kernels do not have, and with dropout of h, as in TensorFlow.js and Keras 3. */
function runSteps({
  context,
  layer,
  cell,
  x,
  mask,
  initial,
  reversed,
  resetAfter,
  phi,
  sigma,
  weights,
  h,
  drops,
}: Call): Pass {
  const { builder, hardSigmoid } = context;
  const [n, t] = x.shape as [number, number];
  const { kernel, recurrent: recurrentKernel, bias } = weights;
  const apply = (name: string, each: Value) => activated(builder, each, name, hardSigmoid);
  const times = (a: Value, b: Value) => pair(builder, mul, a, b);
  const plus = (a: Value, b: Value) => pair(builder, add, a, b);
  const split = (each: Value) =>
    builder.run(move.split, [each], { axis: 1, sizes: Array<number>(each.shape[1]! / h).fill(h) });
  const columns = (each: Value, start: number, end: number) =>
    builder.one(move.slice, [each], { axis: -1, start, end });
  const [inputBias, recurrentBias] =
    bias?.shape.length === 2 ? [0, 1].map((index) => builder.one(move.select, [bias], { axis: 0, index })) : [bias];
  const inputs = dense(builder, x, kernel, inputBias);
  const product = (each: Value, matrix: Value, more?: Value) =>
    builder.one(matmul, more ? [each, matrix, more] : [each, matrix], {});
  let states = initial ?? stateNames(layer.kind).map(() => filled(builder, x.dtype, [n, h], 0));
  const sequence: Value[] = Array<Value>(t);
  for (let s = 0; s < t; s++) {
    builder.count();
    const step = reversed ? t - 1 - s : s;
    const z = builder.one(move.select, [inputs], { axis: 1, index: step });
    const [last, cellBefore] = states as [Value, Value?];
    const before = drops ? times(last, drops) : last;
    let next: readonly Value[];
    if (cell === "RNN") next = [apply(phi, plus(z, product(before, recurrentKernel)))];
    else if (cell === "LSTM") {
      const [i, f, g, o] = split(plus(z, product(before, recurrentKernel))) as [Value, Value, Value, Value];
      const c = plus(times(apply(sigma, f), cellBefore!), times(apply(sigma, i), apply(phi, g)));
      next = [times(apply(sigma, o), apply(phi, c)), c];
    } else {
      const [zz, zr, zn] = split(z) as [Value, Value, Value];
      let update: Value;
      let candidate: Value;
      if (resetAfter) {
        const [hz, hr, hn] = split(product(before, recurrentKernel, recurrentBias)) as [Value, Value, Value];
        update = apply(sigma, plus(zz, hz));
        candidate = apply(phi, plus(zn, times(apply(sigma, plus(zr, hr)), hn)));
      } else {
        const [hz, hr] = split(product(before, columns(recurrentKernel, 0, 2 * h))) as [Value, Value];
        update = apply(sigma, plus(zz, hz));
        const reset = times(apply(sigma, plus(zr, hr)), before);
        candidate = apply(phi, plus(zn, product(reset, columns(recurrentKernel, 2 * h, 3 * h))));
      }
      next = [plus(candidate, times(update, pair(builder, sub, before, candidate)))]; // z h + (1 - z) n
    }
    if (mask) {
      const counts = builder.hostToWasm([mask], [n, 1], ([from], [to]) => {
        for (let row = 0; row < n; row++) to![row] = Number(from![row * t + step] !== 0);
      });
      next = next.map((each, i) => builder.one(where, [counts, each, states[i]!], undefined));
    }
    states = next;
    sequence[step] = next[0]!;
  }
  return { sequence: builder.one(move.stack, sequence, { axis: 1 }), last: states };
}

/** A sequence [N,T,H] with zeros at masked steps. */
function zeroed(builder: Builder, sequence: Value, mask: Value | undefined): Value {
  if (!mask) return sequence;
  const [n, t] = sequence.shape as [number, number];
  const counts = builder.hostToWasm([mask], [n, t, 1], ([from], [to]) => {
    for (let i = 0; i < n * t; i++) to![i] = Number(from![i] !== 0);
  });
  return builder.one(where, [counts, sequence, filled(builder, sequence.dtype, [1, 1, 1], 0)], undefined);
}

/** Steps in the opposite order. */
function flipped(builder: Builder, x: Value): Value {
  const starts = x.shape.map((n, axis) => (axis === 1 ? n - 1 : 0));
  const steps = x.shape.map((_, axis) => (axis === 1 ? -1 : 1));
  return builder.one(move.box, [x], { starts, counts: x.shape, steps });
}

/** The states that a layer keeps, or those that it was given. */
function statesOf(
  context: Context,
  layer: KerasLayer,
  given: readonly Flow[],
  part = "",
): readonly Value[] | undefined {
  if (given.length > 0) return given.map(({ value }) => value);
  if (!layer.config.flag("stateful", false)) return undefined;
  return stateNames(layer.kind).map((name) => context.states.get(stateKey(layer, name, part))!);
}

function keep(context: Context, layer: KerasLayer, { last }: Pass, part = ""): void {
  if (!layer.config.flag("stateful", false)) return;
  stateNames(layer.kind).forEach((name, i) => context.states.set(stateKey(layer, name, part), last[i]!));
}

/** The name of a state that stays. */
export function stateKey(layer: KerasLayer, name: string, part: string): string {
  return `${layer.name}.${part}${part && "."}${name}`;
}

/** SimpleRNN, LSTM, GRU: x and, perhaps, the states at the beginning. */
export const recurrentLayer: Compute = (context, layer, [input, ...given]) => {
  const { config } = layer;
  const pass = runDirection(context, layer, input!, statesOf(context, layer, given));
  keep(context, layer, pass);
  const sequences = config.flag("return_sequences", false);
  const reversed = config.flag("go_backwards", false);
  let value = pass.last[0]!;
  if (sequences) {
    const isZeroed = config.flag("zero_output_for_mask", false);
    const all = isZeroed ? zeroed(context.builder, pass.sequence, input!.mask) : pass.sequence;
    value = reversed ? flipped(context.builder, all) : all;
  }
  const result: Flow = { value, mask: sequences ? input!.mask : undefined };
  if (!config.flag("return_state", false)) return [result];
  return [result, ...pass.last.map((each) => ({ value: each }))];
};

const MODES = ["concat", "sum", "mul", "ave"] as const;

/** Two layers that read in opposite directions. */
export const bidirectional: Compute = (context, layer, [input, ...given]) => {
  const { builder } = context;
  const { config } = layer;
  const [forward, backward] = [layer.inner!, layer.backward!];
  if (forward.config.flag("go_backwards", false) || !backward.config.flag("go_backwards", false)) {
    throw new UnsupportedError(`${config.where}.go_backwards`, "another direction", "forward and backward");
  }
  const count = stateNames(forward.kind).length;
  const parts = [
    [forward, "forward", given.slice(0, count)],
    [backward, "backward", given.slice(count)],
  ] as const;
  const passes = parts.map(([each, part, states]) => {
    const pass = runDirection(context, each, input!, statesOf(context, each, states, part));
    keep(context, each, pass, part);
    return pass;
  });
  const sequences = forward.config.flag("return_sequences", false);
  const mask = sequences ? input!.mask : undefined;
  const [a, b] = passes.map(({ sequence, last }) => {
    if (!sequences) return last[0]!;
    return context.zeroMasked ? zeroed(builder, sequence, mask) : sequence;
  }) as [Value, Value];
  const states = forward.config.flag("return_state", false)
    ? passes.flatMap(({ last }) => last.map((value): Flow => ({ value })))
    : [];
  const merging = config.json.merge_mode === undefined ? config.json.mergeMode : config.json.merge_mode;
  if (merging === null) return [{ value: a, mask }, { value: b, mask }, ...states];
  const mode = config.choice("merge_mode", MODES, "concat");
  let value: Value;
  if (mode === "concat") value = builder.one(move.concat, [a, b], { axis: -1 });
  else if (mode === "mul") value = pair(builder, mul, a, b);
  else {
    value = pair(builder, add, a, b);
    if (mode === "ave") value = pair(builder, mul, value, 0.5);
  }
  return [{ value, mask }, ...states];
};
