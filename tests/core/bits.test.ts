// The same bits by steps or as a sequence, in halves or whole, alone or in a batch, in training or inference. Bit patterns are
// compared, not numbers. Accuracy is tested elsewhere.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Linear, Random, type Tensor } from "../../src/index.js";
import "../helpers/bits.js";
import "../helpers/close.js";
import { both } from "../helpers/both.js";
import {
  KINDS,
  bothPasses,
  finalAsInitial,
  initialAsFinal,
  draw,
  expectBits,
  gradientsOf,
  makeRecurrent,
  mapTensors,
  makeInputs,
  rowsOf,
  rowsOfInputs,
  sum,
  type Kind,
  type Pass,
  type PassInputs,
  type Recurrent,
} from "../helpers/recurrent.js";
import { concatenate, range, swap, take } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Dtype = "f64" | "f32";

interface Sizes {
  readonly t: number;
  readonly n: number;
  readonly d: number;
  readonly h: number;
  readonly numLayers: number;
  readonly bias: boolean;
}

/** A layer, its inputs, and its outputs in one call. */
interface Case {
  readonly at: Sizes;
  readonly where: string;
  readonly layer: Recurrent;
  readonly given: PassInputs;
  readonly whole: Pass;
  readonly gradients: readonly Tensor[];
}

/** All of 1..40 for batch, input and hidden size: 17 and 23 have no divisor in common with 40. */
const sizes: readonly Sizes[] = range(0, 40).map((i) => ({
  t: 2 + (i % 5),
  n: i + 1,
  d: ((i * 17 + 4) % 40) + 1,
  h: ((i * 23 + 11) % 40) + 1,
  numLayers: i % 4 === 3 ? 3 : i % 2 === 1 ? 2 : 1,
  bias: i % 8 !== 5,
}));

/** Across the blocks of the matrix product (64 rows, 256 of the sum, 512 columns), for every product of a layer. */
const wide: Sizes = { t: 3, n: 67, d: 259, h: 521, numLayers: 1, bias: true };
const deep: Sizes = { t: 4, n: 66, d: 261, h: 131, numLayers: 2, bias: true };
const many: Sizes = { t: 2, n: 129, d: 21, h: 263, numLayers: 1, bias: true };
const blocks: Readonly<Record<Kind, readonly Sizes[]>> = {
  "RNN tanh": [wide],
  "RNN relu": [], // multiplies as tanh does
  LSTM: [deep, many],
  "LSTM projected": [deep],
  GRU: [deep, many],
  "GRU before": [deep],
};

const seed = 20;

function make(kind: Kind, dtype: Dtype, { d, h, numLayers, bias }: Sizes, batchFirst = false): Recurrent {
  return makeRecurrent(kind, d, h, { numLayers, bias, batchFirst, dtype, seed });
}

const problem = (layer: Recurrent, { t, n, d, h }: Sizes): PassInputs =>
  makeInputs(layer, t, n, t + 10 * n + 1000 * d + 100000 * h);

const squeeze = (x: Tensor): Tensor => ({ data: x.data, shape: x.shape.filter((_, axis) => axis !== 1) });

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    describe.each(KINDS)("%s", (kind) => {
      const cases: Case[] = [];
      beforeAll(() => {
        for (const at of [...sizes, ...blocks[kind]]) {
          const layer = make(kind, dtype, at);
          const given = problem(layer, at);
          const whole = bothPasses(layer, given);
          cases.push({ at, where: JSON.stringify(at), layer, given, whole, gradients: gradientsOf(layer) });
        }
      });
      afterAll(() => {
        for (const { layer } of cases) layer.dispose();
      });

      test("repeated calls", () => {
        for (const { where, layer, given, whole, gradients } of cases) {
          layer.zeroGrad();
          expectBits(bothPasses(layer, given), whole, where);
          gradientsOf(layer).forEach((gradient, i) => expect(gradient, where).toHaveBits(gradients[i]!));
        }
      });

      test("inference and training", () => {
        for (const { where, layer, given, whole } of cases) {
          const { output, hn, cn } = whole;
          expectBits(layer.eval().forward(given.x, given.initial), { output, hn, cn }, where);
          layer.train();
        }
      });

      test("steps and the sequence", () => {
        for (const { at, where, layer, given, whole } of cases) {
          const { x, initial } = given;
          const { output, hn, cn } = whole;
          const stream = layer.stream({ batchSize: at.n });
          stream.reset(initial);
          for (let step = 0; step < at.t; step++) {
            const expected = take(output, 0, [step]);
            const data = stream.step(take(x, 0, [step]).data);
            expect({ data, shape: expected.shape }, `step ${step}, ${where}`).toHaveBits(expected);
          }
          expectBits({ hn: stream.state.h, cn: stream.state.c }, { hn, cn }, where);
          stream.dispose();
        }
      });

      test("halves with the state carried over, and the whole", () => {
        const tolerance = dtype === "f64" ? 1e-12 : 1e-4;
        for (const { at, where, given, whole, gradients } of cases) {
          const { x, initial } = given;
          const { output, ...last } = given.gradients;
          const { t } = at;
          const split = Math.ceil(t / 2);
          const [early, late] = [range(0, split), range(split, t)];
          const [one, two] = [make(kind, dtype, at), make(kind, dtype, at)];
          const a = one.forward(take(x, 0, early), initial);
          const b = two.forward(take(x, 0, late), finalAsInitial(a));
          const dB = two.backward({ output: take(output, 0, late), ...last });
          const dA = one.backward({ output: take(output, 0, early), ...initialAsFinal(dB) });
          const pass = { ...b, ...dA, output: concatenate(a.output, b.output), x: concatenate(dA.x, dB.x) };
          expectBits(pass, whole, where);
          sum([gradientsOf(one), gradientsOf(two)]).forEach((gradient, i) => {
            expect(gradient, where).toBeAllClose(gradients[i]!, { rtol: tolerance, atol: tolerance });
          });
          one.dispose();
          two.dispose();
        }
      });

      test("a row alone, some rows, and the batch", () => {
        for (const { at, where, layer, given, whole } of cases) {
          const { n } = at;
          const backwards = range(0, n).reverse(); // every row in another place
          const picks = [[0], [n - 1], [n >> 1], range(n >> 2, n), backwards];
          for (const rows of picks) {
            const some = bothPasses(layer, rowsOfInputs(given, rows));
            expectBits(some, rowsOf(whole, rows), `rows ${String(rows)}, ${where}`);
          }
        }
      });

      test("batchFirst", () => {
        for (const { at, where, given, whole } of cases) {
          const { x, initial, gradients } = given;
          const layer = make(kind, dtype, at, true);
          const swapped = { ...gradients, output: swap(gradients.output) };
          const pass = bothPasses(layer, { x: swap(x), initial, gradients: swapped });
          expectBits(pass, { ...whole, output: swap(whole.output), x: swap(whole.x) }, where);
          layer.dispose();
        }
      });

      test("unbatched", () => {
        for (const { where, layer, given, whole } of cases) {
          const { x, initial, gradients } = rowsOfInputs(given, [0]);
          const row = {
            x: squeeze(x),
            initial: mapTensors(initial, squeeze),
            gradients: mapTensors(gradients, squeeze),
          };
          expectBits(bothPasses(layer, row), mapTensors(rowsOf(whole, [0]), squeeze), where);
        }
      });
    });

    test.each(["LSTM", "LSTM projected", "GRU", "GRU before"] as const)("%s: inference in chunks of time", (kind) => {
      // the gates of 131072 / (4 n h) steps are kept at a time: 64 steps, and 1
      for (const at of [
        { t: 150, n: 8, d: 5, h: 64, numLayers: 2, bias: true },
        { t: 5, n: 130, d: 3, h: 257, numLayers: 1, bias: true },
      ]) {
        const layer = make(kind, dtype, at);
        const { x, initial } = problem(layer, at);
        const trained = layer.forward(x, initial);
        expectBits(layer.eval().forward(x, initial), trained, JSON.stringify(at));
        layer.dispose();
      }
    });

    test("Linear: a row alone, some rows, and all", () => {
      for (const { n, d, h } of [...sizes, wide, deep, many]) {
        const layer = new Linear(d, h, { dtype, seed });
        const random = new Random(n + d + h);
        const [x, dy] = [draw(random, dtype, [n, d]), draw(random, dtype, [n, h])];
        const { output } = layer.forward(x);
        const dx = layer.backward({ output: dy }).x;
        for (const rows of [[0], [n - 1], range(n >> 2, n), range(0, n).reverse()]) {
          expect(layer.forward(take(x, 0, rows)).output).toHaveBits(take(output, 0, rows));
          expect(layer.backward({ output: take(dy, 0, rows) }).x).toHaveBits(take(dx, 0, rows));
        }
        layer.dispose();
      }
    });
  });
});

test("the matcher sees a zero's sign, a last bit, a shape and a type", () => {
  const x = { data: Float64Array.of(0, 1), shape: [2] };
  expect(x).toHaveBits({ data: Float64Array.of(0, 1), shape: [2] });
  expect(x).not.toHaveBits({ data: Float64Array.of(-0, 1), shape: [2] });
  expect(x).not.toHaveBits({ data: Float64Array.of(0, 1 + Number.EPSILON), shape: [2] });
  expect(x).not.toHaveBits({ data: Float64Array.of(0, 1), shape: [2, 1] });
  expect(x).not.toHaveBits({ data: Float32Array.of(0, 1), shape: [2] });
});
