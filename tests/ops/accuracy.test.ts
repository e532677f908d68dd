// Transcendental functions of graphs within their bounds, against values of 60 digits (tests/golden/functions.py).
import { describe, expect, test } from "vitest";
import { startGraph } from "../../bindings/graph-module.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena } from "../../bindings/memory.js";
import type { FloatDtype } from "../../bindings/tensor.js";
import { tensor } from "../../src/index.js";
import * as elementwise from "../../src/ops/elementwise.js";
import { compute, type Operation } from "../../src/ops/operation.js";
import { golden } from "../helpers/close.js";
import { useVariant, variants } from "../helpers/variants.js";

interface Case {
  readonly function: keyof typeof BOUNDS;
  readonly x: readonly number[];
  readonly other: readonly number[];
  readonly y: readonly number[];
  readonly rest: readonly number[];
  readonly narrow: readonly number[];
  readonly narrowOther: readonly number[];
  readonly narrowY: readonly number[];
}

/** Largest errors in ulp, of f64 and f32. */
const BOUNDS = {
  exp: [2.5, 2.5],
  log: [1, 1],
  tanh: [2.5, 2.5],
  sigmoid: [2.5, 2.5],
  sin: [2.5, 0.51],
  cos: [2.5, 0.51],
  tan: [3.5, 0.51],
  asin: [3, 0.51],
  acos: [3, 0.51],
  atan: [2, 0.51],
  sinh: [2.5, 0.51],
  cosh: [2, 0.51],
  asinh: [2.5, 0.51],
  acosh: [2.5, 0.51],
  atanh: [2.5, 0.51],
  erf: [2, 0.51],
  softplus: [2.5, 0.51],
  mish: [4.5, 0.51],
  pow: [1.5, 1.5], // x^3 is a product of two roundings
} as const;

const { cases } = golden("functions") as { cases: readonly Case[] };

function evaluate(name: string, operands: readonly (readonly number[])[], dtype: FloatDtype): ArrayLike<number> {
  const core = currentCore();
  startGraph(core);
  return withArena(core, (arena) => {
    const inputs = operands.map((numbers): FloatTensor =>
      arena.copy("x", tensor([...numbers], [numbers.length], dtype), dtype, ["n"]),
    );
    return compute(arena, elementwise[name as keyof typeof elementwise] as Operation, inputs).download().data;
  });
}

/** The unit of the last of `digits` binary digits. */
function ulp(y: number, digits: number, least: number): number {
  let exponent = Math.floor(Math.log2(Math.abs(y)));
  if (2 ** exponent > Math.abs(y)) exponent--;
  return 2 ** (Math.max(exponent, least) - digits + 1);
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test.each(cases)("$function", (each) => {
    const operands = (...lists: (readonly number[])[]) => lists.filter(({ length }) => length > 0);
    const [wide, narrow] = BOUNDS[each.function];
    const check = (y: number, want: number, rest: number, unit: number, bound: number, x: unknown): void => {
      const error = y === want && rest === 0 ? 0 : Math.abs(y - want - rest) / unit;
      expect(error, `${each.function}(${String(x)}) is ${y}`).toBeLessThanOrEqual(bound);
    };
    const y = evaluate(each.function, operands(each.x, each.other), "f64");
    expect(each.y.length).toBeGreaterThan(10);
    each.y.forEach((want, i) =>
      check(y[i]!, want, each.rest[i]!, ulp(want, 53, -1022), wide, [each.x[i], each.other[i]]),
    );
    const z = evaluate(each.function, operands(each.narrow, each.narrowOther), "f32");
    each.narrowY.forEach((want, i) => check(z[i]!, want, 0, ulp(want, 24, -126), narrow, each.narrow[i]));
  });
});
