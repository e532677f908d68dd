// The golden data that PyTorch made (tests/golden/common.py): how close numbers must come to them, and recurrent layers as
// cases: their fields, how they run, how results are compared.
import { expect } from "vitest";
import { GRU, LSTM, RNN, type Parameter } from "../../src/index.js";
import { type Dtype, type Numbers, type Tensors, type Tolerance, tensorOf, tensorsOf } from "./close.js";
import { type Recurrent, withoutUndefined } from "./recurrent.js";

export const tolerances: Readonly<Record<Dtype, Tolerance>> = {
  f64: { rtol: 1e-9, atol: 1e-12 },
  f32: { rtol: 1e-4, atol: 1e-6 },
};

export type NumbersOf = Readonly<Record<string, Numbers>>;

export interface Expected {
  readonly forward: NumbersOf;
  readonly backward: NumbersOf;
  readonly parameters: NumbersOf;
}

/** Of a layer or a cell. */
export interface Case {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly weights: NumbersOf;
  readonly x: Numbers;
  readonly h0?: Numbers;
  readonly c0?: Numbers;
  readonly gradients: NumbersOf;
  readonly expected: Expected;
}

export interface LayerCase extends Case {
  readonly name: string;
  readonly kind: "RNN" | "LSTM" | "GRU";
  readonly options: Readonly<{
    numLayers: number;
    bidirectional?: boolean;
    bias: boolean;
    batchFirst: boolean;
    nonlinearity?: "tanh" | "relu";
    projSize?: number;
    resetAfter?: boolean;
  }>;
  readonly lengths?: readonly number[];
}

/** Every entry of `expected` is there, and nothing else. */
export function compareEach(actual: object, expected: NumbersOf, tolerance: Tolerance, where = ""): void {
  const present = withoutUndefined(actual);
  expect(Object.keys(present).sort(), where).toEqual(Object.keys(expected).sort());
  for (const [name, value] of Object.entries(present)) {
    expect(value, `${name} ${where}`).toBeAllClose(expected[name]!, tolerance);
  }
}

export function compare(actual: Expected, expected: Expected, tolerance: Tolerance): void {
  for (const where of ["forward", "backward", "parameters"] as const) {
    compareEach(actual[where], expected[where], tolerance, where);
  }
}

/** The tensors that are given. */
export function states(all: Readonly<Record<string, Numbers | undefined>>, dtype: Dtype): Tensors {
  return tensorsOf(withoutUndefined(all) as NumbersOf, dtype);
}

/** By name, as copies, which outlive the layer. */
export function gradients(parameters: readonly Parameter[]): Tensors {
  return Object.fromEntries(parameters.map(({ name, grad }) => [name, { data: grad.data.slice(), shape: grad.shape }]));
}

function makeLayer({ kind, inputSize, hiddenSize, options }: LayerCase, more: object): Recurrent {
  const all = { ...options, ...more };
  if (kind === "RNN") return new RNN(inputSize, hiddenSize, all);
  return kind === "LSTM" ? new LSTM(inputSize, hiddenSize, all) : new GRU(inputSize, hiddenSize, all);
}

/** Both passes of a case's layer, with more options where they are given. */
export function runLayer(each: LayerCase, dtype: Dtype, more: { readonly layerNorm?: boolean } = {}): Expected {
  using layer = makeLayer(each, { dtype, ...more });
  expect(layer.parameters().map(({ name }) => name)).toEqual(Object.keys(each.weights)); // in PyTorch's order
  layer.loadStateDict(tensorsOf(each.weights, dtype));
  const { h0, c0, lengths } = each;
  const forward = layer.forward(tensorOf(each.x, dtype), { ...states({ h0, c0 }, dtype), ...(lengths && { lengths }) });
  const backward = layer.backward(tensorsOf(each.gradients, dtype));
  return {
    forward: { ...withoutUndefined(forward) },
    backward: { ...withoutUndefined(backward) },
    parameters: gradients(layer.parameters()),
  };
}
