// The functions of wasm-rnn/ops and their gradients against PyTorch (tests/golden/ops.py).
import { describe, expect, test } from "vitest";
import { valueAndGrad, type Tensor } from "../../src/index.js";
import * as ops from "../../src/ops.js";
import { both } from "../helpers/both.js";
import { golden, tensorOf, type Numbers } from "../helpers/close.js";
import { tolerances } from "../helpers/pytorch.js";
import { useVariant, variants } from "../helpers/variants.js";

interface Case {
  readonly function: keyof typeof ops;
  readonly inputs: readonly Numbers[];
  readonly arguments: readonly unknown[];
  readonly gradient: Numbers;
  readonly expected: { readonly result: Numbers; readonly gradients: readonly (Numbers | null)[] };
}

const { cases } = golden("ops") as { cases: readonly Case[] };

/** An argument with the tensors in the place of their names. */
function fill(argument: unknown, inputs: readonly Tensor[]): unknown {
  if (typeof argument === "string") return inputs[Number(argument.slice(1))];
  return Array.isArray(argument) ? argument.map((each) => fill(each, inputs)) : argument;
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("functions %s", (dtype) => {
    test.each(cases)("$function $arguments", (each) => {
      const { expected } = each;
      const inputs = each.inputs.map((x, i) => tensorOf(x, expected.gradients[i] ? dtype : "i32"));
      const call = () => (ops[each.function] as (...given: unknown[]) => Tensor)(...each.arguments.map((a) => fill(a, inputs))); // prettier-ignore
      expect(call()).toBeAllClose(expected.result, tolerances[dtype]);
      const weights = tensorOf(each.gradient, dtype);
      const floats = inputs.filter((_, i) => expected.gradients[i]);
      let inside: Tensor | undefined;
      const { gradients } = valueAndGrad(() => ops.sum(ops.mul((inside = call()), weights)), floats);
      expect(inside).toEqual(call());
      const wanted = expected.gradients.filter((gradient) => gradient !== null);
      gradients.forEach((gradient, i) => expect(gradient).toBeAllClose(wanted[i]!, tolerances[dtype]));
    });
  });
});
