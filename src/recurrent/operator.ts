// ONNX's operators RNN, LSTM and GRU as operations: https://onnx.ai/onnx/operators/ has their equations.
//
// T, N, I, H: steps, batch, sizes of an input and of the state. D: directions. G: gates of the cell.

import { DtypeError, ShapeError, ValueError } from "../../bindings/errors.js";
import { graphInstances } from "../../bindings/graph.js";
import { kernelsOf, type FloatTensor } from "../../bindings/kernels.js";
import { withArena, type Arena, type WasmTensor } from "../../bindings/memory.js";
import { BoundPass, GATES, runBound, type BoundInput } from "../../bindings/recurrent.js";
import { BYTES, checkShape, describe, showShape, sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { onnxBlocks } from "../formats/gates.js";
import type { Operation, Spec } from "../ops/operation.js";
import type { RecurrentAttributes, RecurrentInput } from "./operator-attributes.js";
import { bindBlocks, entry, mapWeights, named, sizesOfCall, weightsOf, type Named } from "./operator-call.js";
import { packSteps } from "./ragged.js";

/** Checks types and shapes of all inputs, by ONNX's names. */
function checkInputs(inputs: Named<RecurrentInput, Spec>, attributes: RecurrentAttributes): void {
  const { kind, reverse, batchFirst, hiddenSize } = attributes;
  const { X, R } = inputs;
  if (!X) throw new DtypeError("X", describe(X), "a tensor of f64 or f32");
  if (X.dtype === "i32") throw new DtypeError("X", X.dtype, "f64 or f32");
  for (const name of attributes.inputs) {
    const [{ dtype }, expected] = [inputs[name]!, name === "sequence_lens" ? "i32" : X.dtype];
    if (dtype !== expected) throw new DtypeError(name, dtype, expected);
  }
  for (const name of ["W", "R"] as const) if (!inputs[name]) throw new ShapeError(name, "none", "a tensor");
  checkShape("X", X.shape, batchFirst ? ["N", "T", "I"] : ["T", "N", "I"]);
  checkShape("R", R!.shape, [reverse.length, "G*H", "H"]);
  const { t, n, i, h, d } = sizesOfCall(inputs, attributes);
  if (t === 0) throw new ShapeError("X", showShape(X.shape), "at least one step");
  if (i === 0) throw new ShapeError("X", showShape(X.shape), "at least one input feature");
  if (h === 0) throw new ShapeError("R", showShape(R!.shape), "at least one hidden unit");
  if (hiddenSize !== undefined && hiddenSize !== h) {
    throw new ValueError("hidden_size", describe(hiddenSize), `${h}, as R has it`);
  }
  const g = GATES[kind] * h;
  const state = batchFirst ? [n, d, h] : [d, n, h];
  const shapes: Record<RecurrentInput, number[]> = {
    X: [...X.shape],
    W: [d, g, i],
    R: [d, g, h],
    B: [d, 2 * g],
    sequence_lens: [n],
    initial_h: state,
    initial_c: state,
    P: [d, 3 * h],
  };
  for (const name of attributes.inputs) checkShape(name, inputs[name]!.shape, shapes[name]);
}

/** Checks lengths, which were copied. */
function checkLengths(lengths: Int32Array, t: number): void {
  for (let row = 0; row < lengths.length; row++) {
    const length = lengths[row]!;
    if (length >= 0 && length <= t) continue;
    throw new ValueError(`sequence_lens[${row}]`, `${length}`, `an integer from 0 to ${t}`);
  }
}

/** The numbers of a tensor in entries of `size` numbers. */
function entries(x: FloatTensor, size: number): FloatTensor {
  return x.reshape([sizeOf(x.shape) / size, size]);
}

/** A bound call: its tensors, sizes and the numbers that stay. */
interface Call {
  readonly scratch: Arena;
  readonly dtype: FloatDtype;
  readonly attributes: RecurrentAttributes;
  readonly inputs: Named<RecurrentInput, WasmTensor>;
  readonly outputs: Named<"Y" | "Y_h" | "Y_c", FloatTensor>;
  readonly sizes: ReturnType<typeof sizesOfCall>;
  /** Whether weights, biases and peepholes stay. */
  readonly fixed: boolean;
}

/** The pass of direction i. Its weights are packed now if they stay; else by the function that is returned, before each run. */
function bindPass(
  { scratch, dtype, attributes, inputs, fixed }: Call,
  i: number,
  input: Omit<BoundInput, "cell">,
): { pass: BoundPass; pack: () => void } {
  return withArena(scratch.core, (short) => {
    const blocks = onnxBlocks(attributes.kind);
    const moves: (() => void)[] = [];
    const take = (arena: Arena, x: FloatTensor, order: readonly number[]) => {
      if (order.length === 1) return x;
      const copy = arena.allocate("weights", dtype, x.shape);
      moves.push(bindBlocks(x, copy, order));
      return copy;
    };
    const weights = mapWeights(weightsOf(inputs, i), (x) => take(fixed ? short : scratch, x, blocks.gates));
    // Peepholes are not packed.
    if (inputs.P) weights.peephole = take(scratch, entry(inputs.P as FloatTensor, i), blocks.peepholes);
    const pass = new BoundPass(scratch, dtype, { ...input, cell: attributes.cells[i]! }, weights);
    const pack = () => {
      for (let k = 0; k < moves.length; k++) moves[k]!();
      pass.pack();
    };
    if (!fixed) return { pass, pack };
    pack();
    return { pass, pack: () => {} };
  });
}

/** Whether the graph module's kernel for GRUs of few units takes a call; for more units or rows it is slower than the core's. */
function isSmall({ attributes, dtype, sizes }: Call): boolean {
  const { n, h } = sizes;
  const standard = attributes.cells.every(
    ({ resetAfter, sigma, phi, clip }) => resetAfter && sigma === "sigmoid" && phi === "tanh" && clip === undefined,
  );
  return attributes.kind === "GRU" && standard && n <= 2 && h <= 16 && h % (16 / BYTES[dtype]) === 0;
}

/** A call over all steps whose batch comes second, or might as well: states are computed where Y has them. */
function bindWhole(call: Call): () => void {
  const { scratch, dtype, attributes, inputs, outputs } = call;
  const { t, n, i: width, h, d } = call.sizes;
  const { Y, Y_h, Y_c } = outputs;
  const step = n * h;
  const bytes = step * BYTES[dtype];
  const others = Y ? d - 1 : 0;
  const x = (inputs.X as FloatTensor).reshape([t * n, width]);
  const zeros = scratch.zeros("initial state", dtype, [n, h]);
  const state = (all: WasmTensor | undefined, i: number): FloatTensor =>
    all
      ? entries(all as FloatTensor, step)
          .slice(i, 1)
          .reshape([n, h])
      : zeros;
  const lstm = attributes.kind === "LSTM";
  const { gatherRows } = kernelsOf(scratch, dtype);
  const steps = attributes.reverse.map((reversed, i) => {
    const last = Y_h?.pointer && Y_h.pointer + i * bytes;
    let first: number;
    if (Y) first = Y.pointer + i * bytes;
    else if (t === 1 && last !== undefined) first = last;
    else first = scratch.bytes("states", t * bytes);
    const bound = bindPass(call, i, {
      t,
      n,
      rows: t * n,
      x,
      hs: first - bytes,
      cs: lstm ? (Y_c ? state(Y_c, i) : scratch.allocate("cells", dtype, [n, h])) : undefined,
      h0: state(inputs.initial_h, i),
      c0: lstm ? state(inputs.initial_c, i) : undefined,
      reversed,
      others,
    });
    const from = first + (reversed ? 0 : (t - 1) * (1 + others) * bytes);
    const to = last ?? from;
    // a function: addresses in properties may be boxed, and are allocated anew whenever they are read
    return { ...bound, copy: to === from ? undefined : () => gatherRows(1, step, 0, from, step, to, step) };
  });
  const small = isSmall(call) ? graphInstances.get(scratch.core)?.[dtype].gruSmall : undefined;
  const [one = 0, two = 0] = steps.map(({ pass }) => pass.sequence);
  // by index: iterators would be allocated
  return () => {
    for (let k = 0; k < steps.length; k++) steps[k]!.pack();
    if (small) small(one, two);
    else runBound(scratch.core, steps);
    for (let k = 0; k < steps.length; k++) steps[k]!.copy?.();
  };
}

/**
 * A call of rows of different lengths, or whose batch comes first: rows are sorted by length and packed, by tables of row numbers.
 *
 * @param lengths of the rows; `index` writes the tables for them, before `run`
 */
function bindRagged(call: Call, lengths: Int32Array): { index: () => void; run: () => void } {
  const { scratch, dtype, attributes, inputs, outputs } = call;
  const { t, n, i: width, h, d } = call.sizes;
  const { batchFirst, reverse } = attributes;
  const rows = t * n;
  const table = (count: number) => scratch.allocate("rows", "i32", [count]);
  const numbers = (count: number, size: number): FloatTensor => scratch.allocate("packed rows", dtype, [count, size]);
  const places = new Int32Array(n);
  const offsets = new Int32Array(t + 1);
  const batchSizes = table(t);
  const [ofY, ofYh, ofYc] = [table(d * rows), table(d * n), table(d * n)];
  const hs = numbers(d * (n + rows), h);
  const cs = attributes.kind === "LSTM" ? numbers(d * n, h) : undefined;
  const directions = reverse.map((reversed, i) => {
    const start = i * (n + rows); // of the direction's rows of hs
    const [h0, c0] = [hs.slice(start, n), cs?.slice(i * n, n)];
    const x = numbers(rows, width);
    const bound = bindPass(call, i, { t, n, rows, batchSizes, x, hs: h0.pointer, cs: c0 });
    return { ...bound, i, reversed, start, x, h0, c0, ofX: table(rows), ofStates: table(n) };
  });

  const index = () => {
    const steps = packSteps(lengths, places, batchSizes.data, offsets);
    ofY.fill(-1);
    const y = ofY.data;
    const yh = ofYh.data;
    const yc = ofYc.data;
    for (let k = 0; k < directions.length; k++) {
      const { pass, i, reversed, start, ofX, ofStates } = directions[k]!;
      pass.resize(steps, offsets[t]!);
      const xs = ofX.data;
      const states = ofStates.data;
      for (let row = 0; row < n; row++) {
        const place = places[row]!;
        const length = lengths[row]!;
        let latest = start + place;
        for (let s = 0; s < length; s++) {
          const step = reversed ? length - 1 - s : s;
          const packed = offsets[s]! + place;
          latest = start + n + packed;
          xs[packed] = batchFirst ? row * t + step : step * n + row;
          y[batchFirst ? (row * t + step) * d + i : (step * d + i) * n + row] = latest;
        }
        const state = batchFirst ? row * d + i : i * n + row;
        states[place] = state;
        yh[state] = latest;
        yc[state] = i * n + place;
      }
    }
  };

  const { gatherRows } = kernelsOf(scratch, dtype);
  const gather = (count: number, of: WasmTensor, from: WasmTensor, to: WasmTensor, size = h) =>
    gatherRows(count, size, of.pointer, from.pointer, size, to.pointer, size);
  const start = (state: FloatTensor, of: WasmTensor, initial: WasmTensor | undefined) => {
    if (initial) gather(n, of, initial, state);
    else state.fill(0);
  };
  const run = () => {
    const packed = offsets[t]!;
    for (let k = 0; k < directions.length; k++) {
      const { pack, x, h0, c0, ofX, ofStates } = directions[k]!;
      gather(packed, ofX, inputs.X!, x, width);
      start(h0, ofStates, inputs.initial_h);
      if (c0) start(c0, ofStates, inputs.initial_c);
      pack();
    }
    if (packed > 0) runBound(scratch.core, directions);
    if (outputs.Y) gather(d * rows, ofY, hs, outputs.Y);
    if (outputs.Y_h) gather(d * n, ofYh, hs, outputs.Y_h);
    if (outputs.Y_c) gather(d * n, ofYc, cs!, outputs.Y_c);
  };
  return { index, run };
}

/** RNN, LSTM or GRU. Lengths that are not constant are checked in each run: ValueError. */
export const recurrent: Operation<RecurrentAttributes> = {
  name: "recurrent",
  infer(tensors, attributes) {
    const inputs = named(attributes.inputs, tensors);
    checkInputs(inputs, attributes);
    const { t, n, h, d } = sizesOfCall(inputs, attributes);
    const { batchFirst, outputs } = attributes;
    const state = batchFirst ? [n, d, h] : [d, n, h];
    const shapes = { Y: batchFirst ? [n, t, d, h] : [t, d, n, h], Y_h: state, Y_c: state };
    return outputs.map((name) => ({ dtype: inputs.X!.dtype, shape: shapes[name] }));
  },
  bind(scratch, tensors, results, attributes, constant = []) {
    const inputs = named(attributes.inputs, tensors);
    const sizes = sizesOfCall(inputs, attributes);
    const { t, n, d } = sizes;
    if (n === 0) return () => {};
    const isFixed = (name: RecurrentInput) => !inputs[name] || constant[attributes.inputs.indexOf(name)] === true;
    const call: Call = {
      scratch,
      dtype: inputs.X!.dtype as FloatDtype,
      attributes,
      inputs,
      outputs: named(attributes.outputs, results as readonly FloatTensor[]),
      sizes,
      fixed: (["W", "R", "B", "P"] as const).every(isFixed),
    };
    const lengths = new Int32Array(n).fill(t);
    const read = () => {
      lengths.set((inputs.sequence_lens as WasmTensor<"i32">).data);
      checkLengths(lengths, t);
    };
    const known = isFixed("sequence_lens");
    if (known && inputs.sequence_lens) read();
    const timeFirst = !attributes.batchFirst || n === 1 || (t === 1 && d === 1); // or all the same
    if (known && timeFirst && lengths.every((length) => length === t)) return bindWhole(call);
    const { index, run } = bindRagged(call, lengths);
    if (known) {
      index();
      return run;
    }
    return () => {
      read();
      index();
      run();
    };
  },
};
