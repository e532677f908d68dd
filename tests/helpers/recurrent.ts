// Every kind of recurrent layer under one type, random inputs for layers of any size, and passes to compare.
import { expect } from "vitest";
import {
  GRU,
  GRUCell,
  LSTM,
  LSTMCell,
  RNN,
  RNNCell,
  Random,
  type CellCache,
  type GatedOptions,
  type Layer,
  type LSTMState,
  type Parameter,
  type RecurrentOptions,
  type Tensor,
} from "../../src/index.js";
import "./bits.js";
import { type Dtype } from "./close.js";
import { concatenate, take } from "./tensors.js";

/** "projected": to half of H. "before": the reset gate is applied before the recurrent product. */
export const KINDS = ["RNN tanh", "RNN relu", "LSTM", "LSTM projected", "GRU", "GRU before"] as const;
export type Kind = (typeof KINDS)[number];

export type Recurrent = RNN<Dtype> | LSTM<Dtype> | GRU<Dtype>;
export type Options = RecurrentOptions & Pick<GatedOptions, "activation" | "recurrentActivation">;

export function makeRecurrent(kind: Kind, inputSize: number, hiddenSize: number, options: Options = {}): Recurrent {
  switch (kind) {
    case "RNN tanh":
    case "RNN relu":
      return new RNN(inputSize, hiddenSize, { nonlinearity: kind === "RNN relu" ? "relu" : "tanh", ...options });
    case "LSTM":
      return new LSTM(inputSize, hiddenSize, options);
    case "LSTM projected":
      return new LSTM(inputSize, hiddenSize, { projSize: hiddenSize >> 1, ...options });
    case "GRU":
    case "GRU before":
      return new GRU(inputSize, hiddenSize, { resetAfter: kind === "GRU", ...options });
  }
}

/** A cell with its types of forward and backward made equal. */
export type AnyCell = Layer & {
  forward(x: Tensor, state?: { h?: Tensor; c?: Tensor }): { h: Tensor; c?: Tensor; cache: CellCache };
  backward(gradients: { h?: Tensor; c?: Tensor }, cache: CellCache): { x: Tensor; h: Tensor; c?: Tensor };
};

export const CELL_KINDS = ["RNN tanh", "RNN relu", "LSTM", "GRU", "GRU before"] as const;
export type CellKind = (typeof CELL_KINDS)[number];

export function makeCell(
  kind: CellKind,
  inputSize: number,
  hiddenSize: number,
  options: { bias?: boolean; dtype?: Dtype; seed?: number } = {},
): AnyCell {
  switch (kind) {
    case "RNN tanh":
    case "RNN relu":
      return new RNNCell(inputSize, hiddenSize, { nonlinearity: kind === "RNN relu" ? "relu" : "tanh", ...options });
    case "LSTM":
      return new LSTMCell(inputSize, hiddenSize, options);
    case "GRU":
    case "GRU before":
      return new GRUCell(inputSize, hiddenSize, { resetAfter: kind === "GRU", ...options });
  }
}

/** The initial states that forward takes; c0 for the LSTM only. */
export interface InitialStates {
  readonly h0: Tensor;
  readonly c0?: Tensor;
}

/** The results of forward, or their gradients. */
export interface Results {
  readonly output: Tensor;
  readonly hn: Tensor;
  readonly cn?: Tensor;
}

/** Which steps take part. */
export type Steps = Pick<LSTMState, "lengths" | "mask">;

/** The inputs of a forward and a backward pass. */
export interface PassInputs {
  readonly x: Tensor;
  readonly initial: InitialStates;
  readonly gradients: Results;
}

/** The results of both passes: x, h0 and c0 are gradients. */
export interface Pass extends Results, InitialStates {
  readonly x: Tensor;
}

/** Normal numbers, with some zeros of both signs and some numbers below the normal range among them. */
export function draw(random: Random, dtype: Dtype, shape: readonly number[]): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const data = dtype === "f64" ? new Float64Array(size) : new Float32Array(size);
  const odd = [0, -0, dtype === "f64" ? 5e-320 : 1e-42];
  for (let i = 0; i < size; i++) data[i] = random.uint32() % 16 === 0 ? odd[random.uint32() % 3]! : random.normal();
  return { data, shape };
}

/** Numbers of the standard normal distribution. */
export function normal(random: Random, dtype: Dtype, shape: readonly number[]): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const data = dtype === "f64" ? new Float64Array(size) : new Float32Array(size);
  return { data: data.map(() => random.normal()), shape };
}

/** Random inputs of both passes: T steps of N rows, time first. */
export function makeInputs(layer: Recurrent, t: number, n: number, seed: number, numbers = draw): PassInputs {
  const { dtype, inputSize, hiddenSize, stateSize, numLayers, directions } = layer;
  const random = new Random(seed);
  const lstm = layer instanceof LSTM;
  const states = (size: number): Tensor => numbers(random, dtype, [numLayers * directions, n, size]);
  return {
    x: numbers(random, dtype, [t, n, inputSize]),
    initial: { h0: states(stateSize), ...(lstm && { c0: states(hiddenSize) }) },
    gradients: {
      output: numbers(random, dtype, [t, n, directions * stateSize]),
      hn: states(stateSize),
      ...(lstm && { cn: states(hiddenSize) }),
    },
  };
}

/** A forward and a backward pass. */
export function bothPasses(layer: Recurrent, { x, initial, gradients }: PassInputs, steps: Steps = {}): Pass {
  return { ...layer.forward(x, { ...initial, ...steps }), ...layer.backward(gradients) };
}

/** The final states, as the initial states of the next pass. */
export const finalAsInitial = ({ hn, cn }: Omit<Results, "output">): InitialStates => ({
  h0: hn,
  ...(cn && { c0: cn }),
});
/** The gradients of the initial states, as those of the final states of the pass before. */
export const initialAsFinal = ({ h0, c0 }: InitialStates): Omit<Results, "output"> => ({
  hn: h0,
  ...(c0 && { cn: c0 }),
});

/** A copy without the entries that are undefined. */
export function withoutUndefined<T extends object>(of: T): T {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => value !== undefined)) as T;
}

/** Applies `change` to every tensor; drops entries that are undefined. */
export function mapTensors<T extends object>(of: T, change: (x: Tensor, name: string) => Tensor): T {
  return Object.fromEntries(
    Object.entries(withoutUndefined(of)).map(([name, x]) => [name, change(x as Tensor, name)]),
  ) as T;
}

/** Everything of a pass, as it is for some rows of the batch. */
export function rowsOf<T extends Partial<Pass>>(pass: T, rows: readonly number[]): T {
  return mapTensors(pass, (x) => take(x, 1, rows));
}

export function rowsOfInputs({ x, initial, gradients }: PassInputs, rows: readonly number[]): PassInputs {
  return { x: take(x, 1, rows), initial: rowsOf(initial, rows), gradients: rowsOf(gradients, rows) };
}

/** The same names, and the same bits. */
export function expectBits(actual: Partial<Pass>, expected: Partial<Pass>, where: string): void {
  const names = (of: object): string[] => Object.keys(withoutUndefined(of)).sort();
  expect(names(actual), where).toEqual(names(expected));
  expect(names(actual).length).toBeGreaterThan(0);
  mapTensors(expected, (x, name) => {
    expect(actual[name as keyof Pass], `${name}, ${where}`).toHaveBits(x);
    return x;
  });
}

export function gradientsOf(layer: { parameters(): Parameter[] }): Tensor[] {
  return layer.parameters().map(({ grad }) => ({ data: grad.data.slice(), shape: grad.shape }));
}

/** Sums of gradients of parameters, or of other tensors alike. */
export function sum(all: readonly (readonly Tensor[])[]): Tensor[] {
  return all[0]!.map(({ data, shape }, i) => ({
    data: data.map((v, j) => all.slice(1).reduce((total, each) => total + each[i]!.data[j]!, v)), // 0 + -0 would be 0
    shape,
  }));
}

/**
 * Runs a cell over all steps, and back, as a layer does in one call; states are [N,H] (or [H], with x [T,D]). The gradient of a
 * step's h is the sum of its output's and of that from the next step.
 */
export function loop(
  cell: AnyCell,
  { x, initial = {}, gradients }: { x: Tensor; initial?: Partial<InitialStates>; gradients: Partial<Results> },
): Pass {
  const at = (of: Tensor, i: number): Tensor => ({ data: take(of, 0, [i]).data, shape: of.shape.slice(1) });
  const join = (steps: readonly Tensor[]): Tensor =>
    steps.map(({ data, shape }): Tensor => ({ data, shape: [1, ...shape] })).reduce((a, b) => concatenate(a, b));
  let state: { h?: Tensor; c?: Tensor } = withoutUndefined({ h: initial.h0, c: initial.c0 });
  const steps = Array.from({ length: x.shape[0]! }, (_, i) => {
    const { cache, h, c } = cell.forward(at(x, i), state);
    state = withoutUndefined({ h, c });
    return { h, cache };
  });
  const { h: hn, c: cn } = state;
  let down: { h?: Tensor; c?: Tensor } = withoutUndefined({ h: gradients.hn, c: gradients.cn });
  const dx: Tensor[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const own = gradients.output && at(gradients.output, i);
    const h = down.h && own ? sum([[down.h], [own]])[0]! : (down.h ?? own);
    const { x, ...before } = cell.backward({ ...down, ...(h && { h }) }, steps[i]!.cache);
    dx.unshift(x);
    down = before;
  }
  const last = { output: join(steps.map(({ h }) => h)), hn: hn!, cn };
  return withoutUndefined({ ...last, x: join(dx), h0: down.h!, c0: down.c });
}
