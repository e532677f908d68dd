// Operations that go element by element, each against its formula; in place, empty, and bound once for several runs.
// accuracy.test.ts has their errors in ulp.
import { describe, expect, test } from "vitest";
import { startGraph } from "../../bindings/graph-module.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena } from "../../bindings/memory.js";
import { tensor } from "../../src/index.js";
import * as elementwise from "../../src/ops/elementwise.js";
import type { Operation } from "../../src/ops/operation.js";
import "../helpers/close.js";
import { both } from "../helpers/both.js";
import { useVariant, variants } from "../helpers/variants.js";

type Function = (...operands: number[]) => number;

const unit = (x: number) => Math.min(Math.max(x, 0), 1);
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const elu = (x: number, alpha: number) => (x > 0 ? x : alpha * Math.expm1(x));
const round = (x: number) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));
/** By Simpson's rule. */
const erf = (x: number) => {
  const [n, f] = [4000, (t: number) => Math.exp(-t * t)];
  let sum = f(0) + f(x);
  for (let i = 1; i < n; i++) sum += (i % 2 ? 4 : 2) * f((x * i) / n);
  return ((2 / Math.sqrt(Math.PI)) * x * sum) / n / 3;
};
const modulo = (a: number, b: number) => a - b * Math.floor(a / b);

/** Each operation: its formula, and attributes. */
const OPERATIONS: Readonly<Record<string, readonly [Function, attributes?: object]>> = {
  abs: [Math.abs],
  acos: [Math.acos],
  acosh: [Math.acosh],
  add: [(a, b) => a + b],
  asin: [Math.asin],
  asinh: [Math.asinh],
  atan: [Math.atan],
  atanh: [Math.atanh],
  ceil: [Math.ceil],
  celu: [(x) => (x > 0 ? x : 2 * Math.expm1(x / 2)), { alpha: 2 }],
  clip: [(x) => Math.min(Math.max(x, -0.5), 1), { min: -0.5, max: 1 }],
  cos: [Math.cos],
  cosh: [Math.cosh],
  div: [(a, b) => a / b],
  elu: [(x) => elu(x, 0.7), { alpha: 0.7 }],
  equal: [(a, b) => Number(a === b)],
  erf: [erf],
  exp: [Math.exp],
  floor: [Math.floor],
  fmod: [(a, b) => a % b],
  gelu: [(x) => (x / 2) * (1 + erf(x / Math.SQRT2))],
  geluTanh: [(x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))],
  hardSigmoid: [(x) => unit(0.3 * x + 0.4), { alpha: 0.3, beta: 0.4 }],
  hardSwish: [(x) => x * unit(x / 6 + 0.5)],
  leakyRelu: [(x) => (x > 0 ? x : 0.2 * x), { alpha: 0.2 }],
  log: [Math.log],
  maximum: [Math.max],
  minimum: [Math.min],
  mish: [(x) => x * Math.tanh(softplus(x))],
  mod: [modulo],
  mul: [(a, b) => a * b],
  neg: [(x) => -x],
  pow: [(a, b) => a ** b],
  prelu: [(a, b) => (a > 0 ? a : a * b)],
  reciprocal: [(x) => 1 / x],
  relu: [(x) => Math.max(x, 0)],
  reluBackward: [(a, b) => (b > 0 ? a : 0)],
  round: [round],
  selu: [(x) => 1.1 * elu(x, 1.7), { alpha: 1.7, gamma: 1.1 }],
  shrink: [(x) => (x < -0.5 ? x + 0.2 : x > 0.5 ? x - 0.2 : 0), { lambd: 0.5, bias: 0.2 }],
  sigmoid: [(x) => 1 / (1 + Math.exp(-x))],
  sigmoidBackward: [(a, b) => a * b * (1 - b)],
  sign: [Math.sign],
  sin: [Math.sin],
  sinh: [Math.sinh],
  softplus: [softplus],
  softsign: [(x) => x / (1 + Math.abs(x))],
  sqrt: [Math.sqrt],
  sub: [(a, b) => a - b],
  tan: [Math.tan],
  tanh: [Math.tanh],
  tanhBackward: [(a, b) => a * (1 - b * b)],
  thresholdedRelu: [(x) => (x > 0.5 ? x : 0), { alpha: 0.5 }],
};

const X = [-2.5, -2, -1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3];
const Y = [2, 0.5, -1.5, -1, 3, -0.25, 1, 2.5, 0.5, -2, 0.75, 0.5, 1, 1.5, -1, 2, 0.25];

test("every operation has a formula here", () => {
  expect(Object.keys(OPERATIONS)).toEqual(
    Object.keys(elementwise)
      .filter((name) => name !== "where")
      .sort(),
  );
});

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(Object.entries(OPERATIONS))("%s", (name, [formula, attributes]) => {
      const operation = elementwise[name as keyof typeof elementwise] as Operation<unknown>;
      startGraph(currentCore());
      withArena(currentCore(), (arena) => {
        const lists = formula.length > 1 ? [X, Y] : [X];
        for (const n of [0, 1, 3, 17]) {
          const inputs = lists.map((list): FloatTensor =>
            arena.copy("x", tensor(list.slice(0, n), [n], dtype), dtype, ["n"]),
          );
          expect(operation.infer(inputs, attributes)).toEqual([{ dtype, shape: [n] }]);
          expect(operation.inPlace).toBe(true);
          const out: FloatTensor = arena.allocate("out", dtype, [n]);
          const run = operation.bind!(arena, inputs, [out], attributes);
          const check = (actual: FloatTensor, sign = 1): void => {
            const data = X.slice(0, n).map((x, i) => formula(sign * x, ...(lists[1] ? [Y[i]!] : [])));
            const tolerance = dtype === "f64" ? 1e-14 : 1e-6;
            expect(actual).toBeAllClose({ shape: [n], data }, { rtol: tolerance, atol: tolerance });
          };
          run();
          check(out);
          for (let i = 0; i < n; i++) inputs[0]!.data[i]! *= -1;
          run();
          check(out, -1);
          operation.bind!(arena, inputs, [inputs[0]!], attributes)();
          check(inputs[0]!, -1);
        }
      });
    });
  });
});
