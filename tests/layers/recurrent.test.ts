// The variants of the recurrent layers, and the cells, against PyTorch (tests/golden/recurrent.py): both directions,
// projections, sequences of several lengths, a GRU that resets before its product. And f32 against f64.
import { describe, expect, test } from "vitest";
import { both } from "../helpers/both.js";
import { type Dtype, golden, part, tensorOf, tensorsOf } from "../helpers/close.js";
import {
  type Case,
  type Expected,
  type LayerCase,
  type NumbersOf,
  compare,
  gradients,
  runLayer,
  states,
  tolerances,
} from "../helpers/pytorch.js";
import { type CellKind, withoutUndefined, loop, makeCell } from "../helpers/recurrent.js";
import { useVariant, variants } from "../helpers/variants.js";

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
  const initial = states({ h0, c0 }, dtype);
  const pass = loop(cell, {
    x: tensorOf(each.x, dtype),
    initial,
    gradients: states({ output: upstream.h, cn: upstream.c }, dtype),
  });
  return {
    forward: { ...withoutUndefined({ h: pass.output, c: pass.cn }) } as NumbersOf,
    backward: { ...withoutUndefined({ x: pass.x, h: pass.h0, c: pass.c0 }) } as NumbersOf,
    parameters: gradients(cell.parameters()),
  };
}

const layers = data.layers.map((each) => [each.name, each] as const);
const cells = data.cells.map((each) => [`${each.kind} ${JSON.stringify(each.options)}`, each] as const);

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
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

test("the golden data cover every option", () => {
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
      has(({ lengths, options }) => (lengths !== undefined) === yes && options.bidirectional === true);
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
