// What has the same bits however it is computed: by steps or as a sequence, in halves or whole, alone or in a batch, for
// training or for inference. Bit patterns are compared, not numbers. Accuracy is the business of other tests.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { LSTM, Linear, RNN, Random, type Parameter, type Tensor } from "../src/index.js";
import "./helpers/bits.js";
import "./helpers/close.js";
import { concatenate, range, swap, take } from "./helpers/tensors.js";
import { useVariant, variants } from "./helpers/variants.js";

type Dtype = "f64" | "f32";
type Kind = "RNN tanh" | "RNN relu" | "LSTM";

interface Sizes {
  readonly t: number;
  readonly n: number;
  readonly d: number;
  readonly h: number;
  readonly numLayers: number;
  readonly bias: boolean;
}

/** Tensors by name; RNN has no c. */
interface States {
  readonly h: Tensor;
  readonly c?: Tensor | undefined;
}

/** A forward and a backward pass of either layer. */
interface Pass {
  readonly output: Tensor;
  readonly hn: Tensor;
  readonly cn?: Tensor | undefined;
  readonly x: Tensor;
  readonly h0: Tensor;
  readonly c0?: Tensor | undefined;
}

interface Problem {
  readonly x: Tensor;
  readonly first: States;
  readonly dOutput: Tensor;
  readonly dLast: States;
}

/** A layer, what goes in, and what comes out at once. */
interface Case {
  readonly at: Sizes;
  readonly where: string;
  readonly layer: RNN | LSTM;
  readonly given: Problem;
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
const blocks: Readonly<Record<"RNN" | "LSTM", readonly Sizes[]>> = {
  RNN: [{ t: 3, n: 67, d: 259, h: 521, numLayers: 1, bias: true }],
  LSTM: [
    { t: 4, n: 66, d: 261, h: 131, numLayers: 2, bias: true },
    { t: 2, n: 129, d: 21, h: 263, numLayers: 1, bias: true },
  ],
};

const seed = 20;

function make(kind: Kind, dtype: Dtype, { d, h, numLayers, bias }: Sizes, batchFirst = false): RNN | LSTM {
  const options = { numLayers, bias, batchFirst, dtype, seed };
  if (kind === "LSTM") return new LSTM(d, h, options);
  return new RNN(d, h, { ...options, nonlinearity: kind === "RNN relu" ? "relu" : "tanh" });
}

/** Normal numbers, with some zeros of both signs and some numbers below the normal range among them. */
function draw(random: Random, dtype: Dtype, shape: readonly number[]): Tensor {
  const size = shape.reduce((product, n) => product * n, 1);
  const data = dtype === "f64" ? new Float64Array(size) : new Float32Array(size);
  const odd = [0, -0, dtype === "f64" ? 5e-320 : 1e-42];
  for (let i = 0; i < size; i++) data[i] = random.uint32() % 16 === 0 ? odd[random.uint32() % 3]! : random.normal();
  return { data, shape };
}

function problem(kind: Kind, dtype: Dtype, { t, n, d, h, numLayers }: Sizes): Problem {
  const random = new Random(t + 10 * n + 1000 * d + 100000 * h);
  const states = (): States => ({
    h: draw(random, dtype, [numLayers, n, h]),
    c: kind === "LSTM" ? draw(random, dtype, [numLayers, n, h]) : undefined,
  });
  return {
    x: draw(random, dtype, [t, n, d]),
    first: states(),
    dOutput: draw(random, dtype, [t, n, h]),
    dLast: states(),
  };
}

/** Only what is there, under other names. */
function named<H extends string, C extends string>({ h, c }: States, hName: H, cName: C): Record<H | C, Tensor> {
  return { [hName]: h, ...(c && { [cName]: c }) } as Record<H | C, Tensor>;
}

type Forward = Pick<Pass, "output" | "hn" | "cn">;

function forward(layer: RNN | LSTM, x: Tensor, first: States): Forward {
  return layer.forward(x, named(first, "h0", "c0"));
}

function backward(layer: RNN | LSTM, output: Tensor, last: States): Pick<Pass, "x" | "h0" | "c0"> {
  return layer.backward({ output, ...named(last, "hn", "cn") });
}

function both(layer: RNN | LSTM, { x, first, dOutput, dLast }: Problem): Pass {
  return { ...forward(layer, x, first), ...backward(layer, dOutput, dLast) };
}

/** Every tensor of `expected` has the same bits in `actual`. */
function compare(actual: Partial<Pass>, expected: Partial<Pass>, where: string): void {
  const names = Object.keys(expected) as (keyof Pass)[];
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) {
    if (expected[name] === undefined) expect(actual[name], `${name}, ${where}`).toBeUndefined();
    else expect(actual[name], `${name}, ${where}`).toHaveBits(expected[name]);
  }
}

/** Everything of a pass, as it is for some rows of the batch. */
function rowsOf(pass: Pass, rows: readonly number[]): Pass {
  const of = (x: Tensor | undefined): Tensor | undefined => x && take(x, 1, rows);
  const { output, hn, cn, x, h0, c0 } = pass;
  return { output: of(output)!, hn: of(hn)!, cn: of(cn), x: of(x)!, h0: of(h0)!, c0: of(c0) };
}

function rowsOfProblem({ x, first, dOutput, dLast }: Problem, rows: readonly number[]): Problem {
  const of = (states: States): States => ({
    h: take(states.h, 1, rows),
    c: states.c && take(states.c, 1, rows),
  });
  return { x: take(x, 1, rows), first: of(first), dOutput: take(dOutput, 1, rows), dLast: of(dLast) };
}

const gradientsOf = (layer: { parameters(): Parameter[] }): Tensor[] =>
  layer.parameters().map(({ grad }) => ({ data: grad.data.slice(), shape: grad.shape }));

const squeeze = (x: Tensor): Tensor => ({ data: x.data, shape: x.shape.filter((_, axis) => axis !== 1) });

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  describe.each(["f64", "f32"] as const)("%s", (dtype) => {
    describe.each(["RNN tanh", "RNN relu", "LSTM"] as const)("%s", (kind) => {
      const cases: Case[] = [];
      beforeAll(() => {
        for (const at of [...sizes, ...blocks[kind === "LSTM" ? "LSTM" : "RNN"]]) {
          const layer = make(kind, dtype, at);
          const given = problem(kind, dtype, at);
          const whole = both(layer, given);
          cases.push({ at, where: JSON.stringify(at), layer, given, whole, gradients: gradientsOf(layer) });
        }
      });
      afterAll(() => {
        for (const { layer } of cases) layer.dispose();
      });

      test("the same calls again", () => {
        for (const { where, layer, given, whole, gradients } of cases) {
          layer.zeroGrad();
          compare(both(layer, given), whole, where);
          gradientsOf(layer).forEach((gradient, i) => expect(gradient, where).toHaveBits(gradients[i]!));
        }
      });

      test("inference and training", () => {
        for (const { where, layer, given, whole } of cases) {
          const { output, hn, cn } = whole;
          compare(forward(layer.eval(), given.x, given.first), { output, hn, cn }, where);
          layer.train();
        }
      });

      test("steps and the sequence", () => {
        for (const { at, where, layer, given, whole } of cases) {
          const { x, first } = given;
          const { output, hn, cn } = whole;
          const stream = layer.stream({ batchSize: at.n });
          stream.reset(named(first, "h0", "c0"));
          for (let step = 0; step < at.t; step++) {
            const expected = take(output, 0, [step]);
            const data = stream.step(take(x, 0, [step]).data);
            expect({ data, shape: expected.shape }, `step ${step}, ${where}`).toHaveBits(expected);
          }
          compare({ hn: stream.state.h, cn: stream.state.c }, { hn, cn }, where);
          stream.dispose();
        }
      });

      test("halves with carried state and the whole", () => {
        const tolerance = dtype === "f64" ? 1e-12 : 1e-4;
        for (const { at, where, given, whole, gradients } of cases) {
          const { x, first, dOutput, dLast } = given;
          const { t } = at;
          const split = Math.ceil(t / 2);
          const [early, late] = [range(0, split), range(split, t)];
          const [one, two] = [make(kind, dtype, at), make(kind, dtype, at)];
          const a = forward(one, take(x, 0, early), first);
          const b = forward(two, take(x, 0, late), { h: a.hn, c: a.cn });
          compare(
            { ...b, output: concatenate(a.output, b.output) },
            { output: whole.output, hn: whole.hn, cn: whole.cn },
            where,
          );
          const dB = backward(two, take(dOutput, 0, late), dLast);
          const dA = backward(one, take(dOutput, 0, early), { h: dB.h0, c: dB.c0 });
          compare({ ...dA, x: concatenate(dA.x, dB.x) }, { x: whole.x, h0: whole.h0, c0: whole.c0 }, where);
          gradientsOf(one).forEach((gradient, i) => {
            const other = gradientsOf(two)[i]!;
            const sum = { data: gradient.data.map((g, j) => g + other.data[j]!), shape: gradient.shape };
            expect(sum, where).toBeAllClose(gradients[i]!, { rtol: tolerance, atol: tolerance });
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
            compare(both(layer, rowsOfProblem(given, rows)), rowsOf(whole, rows), `rows ${String(rows)}, ${where}`);
          }
        }
      });

      test("batchFirst", () => {
        for (const { at, where, given, whole } of cases) {
          const { x, first, dOutput, dLast } = given;
          const layer = make(kind, dtype, at, true);
          const pass = both(layer, { x: swap(x), first, dOutput: swap(dOutput), dLast });
          compare(pass, { ...whole, output: swap(whole.output), x: swap(whole.x) }, where);
          layer.dispose();
        }
      });

      test("unbatched", () => {
        for (const { where, layer, given, whole } of cases) {
          const { x, first, dOutput, dLast } = rowsOfProblem(given, [0]);
          const of = ({ h, c }: States): States => ({ h: squeeze(h), c: c && squeeze(c) });
          const alone = both(layer, { x: squeeze(x), first: of(first), dOutput: squeeze(dOutput), dLast: of(dLast) });
          const expected = Object.entries(rowsOf(whole, [0])).map(([name, value]) => [
            name,
            (value as Tensor | undefined) && squeeze(value as Tensor),
          ]);
          compare(alone, Object.fromEntries(expected) as Pass, where);
        }
      });
    });

    test("inference in chunks of time", () => {
      // the gates of 131072 / (4 n h) steps are kept at a time: 64 steps, and 1
      for (const at of [
        { t: 150, n: 8, d: 5, h: 64, numLayers: 2, bias: true },
        { t: 5, n: 130, d: 3, h: 257, numLayers: 1, bias: true },
      ]) {
        const layer = make("LSTM", dtype, at);
        const { x, first } = problem("LSTM", dtype, at);
        const trained = forward(layer, x, first);
        compare(forward(layer.eval(), x, first), trained, JSON.stringify(at));
        layer.dispose();
      }
    });

    test("Linear: a row alone, some rows, and all", () => {
      for (const { n, d, h } of [...sizes, ...blocks.RNN, ...blocks.LSTM]) {
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
