// The variants of the recurrent layers, and the cells, against PyTorch (tests/golden/recurrent.py): both directions,
// projections, sequences of several lengths, a GRU that resets before its product. And f32 against f64.
import { describe, expect, test } from "vitest";
import { GRU, LSTM, RNN, type Parameter, type Tensor } from "../src/index.js";
import { type Dtype, type Numbers, type Tolerance, golden, part, tensorOf, tensorsOf } from "./helpers/close.js";
import { type CellKind, type Recurrent, given, loop, makeCell } from "./helpers/recurrent.js";
import { useVariant, variants } from "./helpers/variants.js";

type NumbersOf = Readonly<Record<string, Numbers>>;

interface Expected {
  readonly forward: NumbersOf;
  readonly backward: NumbersOf;
  readonly parameters: NumbersOf;
}
interface Case {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly weights: NumbersOf;
  readonly x: Numbers;
  readonly h0?: Numbers;
  readonly c0?: Numbers;
  readonly gradients: NumbersOf;
  readonly expected: Expected;
}
interface LayerCase extends Case {
  readonly name: string;
  readonly kind: "RNN" | "LSTM" | "GRU";
  readonly options: Readonly<{
    numLayers: number;
    bidirectional: boolean;
    bias: boolean;
    batchFirst: boolean;
    nonlinearity?: "tanh" | "relu";
    projSize?: number;
    resetAfter?: boolean;
  }>;
  readonly lengths?: readonly number[];
}
/** Steps along the first axis of x and of h and its gradients; c is the last one. */
interface CellCase extends Case {
  readonly kind: "RNNCell" | "LSTMCell" | "GRUCell";
  readonly options: Readonly<{ bias: boolean; nonlinearity?: "tanh" | "relu"; resetAfter?: boolean }>;
}
interface Golden {
  readonly layers: readonly LayerCase[];
  readonly cells: readonly CellCase[];
}

const data = golden("recurrent") as Golden;
const tolerances: Readonly<Record<Dtype, Tolerance>> = {
  f64: { rtol: 1e-9, atol: 1e-12 },
  f32: { rtol: 1e-4, atol: 1e-6 },
};

/** Every entry of `expected` is there, and nothing else. */
function compare(actual: Expected, expected: Expected, tolerance: Tolerance): void {
  for (const where of ["forward", "backward", "parameters"] as const) {
    expect(Object.keys(actual[where]).sort(), where).toEqual(Object.keys(expected[where]).sort());
    for (const [name, value] of Object.entries(actual[where])) {
      expect(value, `${name}, ${where}`).toBeAllClose(expected[where][name]!, tolerance);
    }
  }
}

const states = (all: Readonly<Record<string, Numbers | undefined>>, dtype: Dtype): Record<string, Tensor> =>
  tensorsOf(given(all) as NumbersOf, dtype);

const gradients = (parameters: readonly Parameter[]): Record<string, Tensor> =>
  Object.fromEntries(parameters.map(({ name, grad }) => [name, { data: grad.data.slice(), shape: grad.shape }]));

function makeLayer({ kind, inputSize, hiddenSize, options }: LayerCase, dtype: Dtype): Recurrent {
  const all = { ...options, dtype };
  if (kind === "RNN") return new RNN(inputSize, hiddenSize, all);
  return kind === "LSTM" ? new LSTM(inputSize, hiddenSize, all) : new GRU(inputSize, hiddenSize, all);
}

function runLayer(each: LayerCase, dtype: Dtype): Expected {
  using layer = makeLayer(each, dtype);
  expect(layer.parameters().map(({ name }) => name)).toEqual(Object.keys(each.weights)); // in PyTorch's order
  layer.loadStateDict(tensorsOf(each.weights, dtype));
  const { h0, c0, lengths } = each;
  const forward = layer.forward(tensorOf(each.x, dtype), { ...states({ h0, c0 }, dtype), ...(lengths && { lengths }) });
  const backward = layer.backward(tensorsOf(each.gradients, dtype));
  return {
    forward: { ...given(forward) },
    backward: { ...given(backward) },
    parameters: gradients(layer.parameters()),
  };
}

function kindOfCell({ kind, options }: CellCase): CellKind {
  if (kind === "LSTMCell") return "LSTM";
  if (kind === "GRUCell") return options.resetAfter === false ? "GRU before" : "GRU";
  return options.nonlinearity === "relu" ? "RNN relu" : "RNN tanh";
}

function runCell(each: CellCase, dtype: Dtype): Expected {
  using cell = makeCell(kindOfCell(each), each.inputSize, each.hiddenSize, { ...each.options, dtype });
  expect(cell.parameters().map(({ name }) => name)).toEqual(Object.keys(each.weights));
  cell.loadStateDict(tensorsOf(each.weights, dtype));
  const { h0, c0, gradients: upstream } = each;
  const first = states({ h0, c0 }, dtype);
  const pass = loop(cell, {
    x: tensorOf(each.x, dtype),
    first,
    gradients: states({ output: upstream.h, cn: upstream.c }, dtype),
  });
  return {
    forward: { ...given({ h: pass.output, c: pass.cn }) } as NumbersOf,
    backward: { ...given({ x: pass.x, h: pass.h0, c: pass.c0 }) } as NumbersOf,
    parameters: gradients(cell.parameters()),
  };
}

const layers = data.layers.map((each) => [each.name, each] as const);
const cells = data.cells.map((each) => [`${each.kind} ${JSON.stringify(each.options)}`, each] as const);

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  describe.each(["f64", "f32"] as const)("%s", (dtype) => {
    test.each(layers)("%s", (_, each) => compare(runLayer(each, dtype), each.expected, tolerances[dtype]));
    test.each(cells)("%s", (_, each) => compare(runCell(each, dtype), each.expected, tolerances[dtype]));
  });

  describe("f32 and f64", () => {
    test.each(layers)("%s", (_, each) => {
      compare(runLayer(each, "f32"), runLayer(each, "f64"), tolerances.f32);
    });
    test.each(cells)("%s", (_, each) => {
      compare(runCell(each, "f32"), runCell(each, "f64"), tolerances.f32);
    });
  });
});

test("the data cover what they should", () => {
  expect(data.layers.length).toBeGreaterThanOrEqual(48);
  const kinds: Record<string, (each: LayerCase) => boolean> = {
    tanh: ({ options }) => options.nonlinearity === "tanh",
    relu: ({ options }) => options.nonlinearity === "relu",
    LSTM: ({ kind, options }) => kind === "LSTM" && options.projSize === undefined,
    projected: ({ options }) => options.projSize !== undefined,
    GRU: ({ kind, options }) => kind === "GRU" && options.resetAfter === undefined,
    before: ({ options }) => options.resetAfter === false,
  };
  for (const [name, is] of Object.entries(kinds)) {
    const cases = data.layers.filter(is);
    const has = (holds: (each: LayerCase) => boolean): void => expect(cases.some(holds), name).toBe(true);
    for (const numLayers of [1, 2, 3]) has(({ options }) => options.numLayers === numLayers);
    for (const yes of [true, false]) {
      for (const flag of ["bidirectional", "bias", "batchFirst"] as const) has(({ options }) => options[flag] === yes);
      has(({ x }) => (x.shape.length === 2) === yes);
      has(({ lengths, options }) => (lengths !== undefined) === yes && options.bidirectional);
      has(({ lengths, options }) => (lengths !== undefined) === yes && options.numLayers > 1);
      if (name !== "before") has(({ h0 }) => (h0 !== undefined) === yes);
    }
    for (const each of cases) {
      const { lengths, options, expected, x } = each;
      if (!lengths) continue;
      expect(lengths).not.toEqual([...lengths].sort((a, b) => b - a)); // in no order
      lengths.forEach((length, row) => {
        for (let step = length; step < x.shape[options.batchFirst ? 1 : 0]!; step++) {
          const at = options.batchFirst ? [row, step] : [step, row];
          for (const padded of [expected.forward.output!, expected.backward.x!]) {
            expect(part(padded, at).every((v) => v === 0)).toBe(true);
          }
        }
      });
    }
  }
  expect(new Set(data.cells.map(kindOfCell)).size).toBe(5);
});
