// Models are trained: gradients of networks that PyTorch exported against PyTorch's own (tests/golden/onnx_networks.py), and of the real
// models against central differences.
import { describe, expect, test } from "vitest";
import { Adam, mse, valueAndGrad, weightedSum, type Tensor } from "../../src/index.js";
import { fromOnnx, toOnnx, type Model } from "../../src/onnx.js";
import { mul, sum } from "../../src/ops.js";
import type { StoredTensor } from "../../src/safetensors.js";
import { both } from "../helpers/both.js";
import { golden, tensorOf, type Numbers } from "../helpers/close.js";
import { modelCases, noModels } from "../helpers/onnx.js";
import { useVariant, variants } from "../helpers/variants.js";

type Named = Readonly<Record<string, Numbers>>;
type Feeds = Record<string, StoredTensor>;

interface Case {
  readonly name: string;
  readonly file: string;
  readonly inputs: Named;
  readonly seeds: Named;
  readonly forward: Named;
  readonly backward: Named;
  readonly parameters: Named;
}

const { cases } = golden("onnx_networks") as { cases: Case[] };
const EXACT = { rtol: 1e-9, atol: 1e-12 };
const NEAR = { rtol: 1e-4, atol: 2e-5 };

/** The sum of all outputs times their seeds. */
function weighted(outputs: Feeds, seeds: Readonly<Record<string, Tensor>>) {
  return weightedSum(
    Object.entries(seeds).map(([name, seed]) => [sum(mul(outputs[name] as Tensor, seed)), 1] as const),
  );
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("in %s", (dtype) => {
    test.each(cases.map((each) => [each.name, each] as const))("%s", (_name, each) => {
      const model = fromOnnx(Buffer.from(each.file, "base64"), { dtype });
      const tolerance = dtype === "f64" ? EXACT : NEAR;
      const feeds: Feeds = Object.fromEntries<StoredTensor>(
        model.inputs.map(({ name, dtype: own }) => {
          const { data, shape } = each.inputs[name]!;
          const value = own === "i64" ? { data: Int32Array.from(data), shape } : tensorOf({ data, shape }, dtype);
          return [name, value];
        }),
      );
      const outputs = model.run(feeds);
      for (const [name, want] of Object.entries(each.forward)) expect(outputs[name]).toBeAllClose(want, tolerance);
      const seeds = Object.fromEntries(Object.entries(each.seeds).map(([name, seed]) => [name, tensorOf(seed, dtype)]));
      const wrt = Object.keys(each.backward);
      const { gradients } = valueAndGrad(() => weighted(model.run(feeds), seeds), wrt.map((name) => feeds[name] as Tensor)); // prettier-ignore
      wrt.forEach((name, i) => expect(gradients[i], name).toBeAllClose(each.backward[name]!, tolerance));
      const parameters = new Map(model.parameters().map((parameter) => [parameter.name, parameter]));
      for (const [name, want] of Object.entries(each.parameters)) {
        expect(parameters.get(name)!.grad, name).toBeAllClose(want, tolerance);
      }
      model.dispose();
    });
  });

  test("fine-tuned, written back and read again: the same bits", () => {
    const each = cases.find(({ name }) => name === "gru")!;
    const model = fromOnnx(Buffer.from(each.file, "base64"), { dtype: "f64" });
    const feeds = { x: tensorOf(each.inputs.x!), h0: tensorOf(each.inputs.h0!) };
    const target = tensorOf(each.seeds.y!);
    const optimizer = new Adam(model.parameters(), { lr: 0.02 });
    const losses = Array.from({ length: 30 }, () => {
      const { loss } = optimizer.minimize(() => mse(model.run(feeds).y as Tensor, target));
      return loss;
    });
    expect(losses.at(-1)).toBeLessThan(losses[0]! / 2);
    const again = fromOnnx(toOnnx(model));
    expect(again.stateDict()).toEqual(model.stateDict());
    expect(again.run(feeds).y).toBeAllClose(model.run(feeds).y as Tensor, { rtol: 1e-12 });
    expect(fromOnnx(toOnnx(again)).run(feeds)).toEqual(again.run(feeds));
    model.dispose();
    again.dispose();
  });
});

const real = modelCases();

/** Derivatives of the sum of outputs by an input or parameter, in some directions. */
function checkDirection(
  model: Model,
  feeds: Feeds,
  data: Float64Array,
  gradient: ArrayLike<number>,
  seed: number,
): void {
  let state = seed;
  const next = () => ((state = (state * 48271) % 0x7fffffff) / 0x7fffffff) * 2 - 1;
  const direction = Float64Array.from(data, next);
  const before = data.slice();
  const at = (step: number) => {
    for (let i = 0; i < data.length; i++) data[i] = before[i]! + step * direction[i]!;
    const outputs = model.run(feeds);
    let total = 0;
    for (const { name, dtype } of model.outputs) {
      if (dtype === "f64") for (const value of outputs[name]!.data as Float64Array) total += value;
    }
    return total;
  };
  // Networks of many units have kinks nearby, others curve: the step that fits best counts.
  const numeric = [1e-4, 1e-5, 1e-6, 1e-7, 1e-8].map(
    (h) => (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h),
  );
  data.set(before);
  const analytic = direction.reduce((all, each, i) => all + each * gradient[i]!, 0);
  const size = Math.sqrt(direction.reduce((all, each, i) => all + (each * gradient[i]!) ** 2, 0));
  const errors = numeric.filter(Number.isFinite).map((each) => Math.abs(each - analytic)); // an epsilon may become negative
  const rounding = 1e-7 * Math.abs(at(0)); // of the smallest step
  expect(Math.min(...errors)).toBeLessThan(1e-5 * (size + Math.abs(analytic)) + 2e-6 + rounding);
}

describe.skipIf(real.length === 0)(real.length > 0 ? "real models, against central differences" : noModels, () => {
  const byFolder = [...new Map(real.map((each) => [each.folder, each])).values()];
  test.each(byFolder.map((each) => [each.folder, each] as const))("%s", (_folder, each) => {
    const model = fromOnnx(each.model, { dtype: "f64" });
    const feeds: Feeds = Object.fromEntries<StoredTensor>(
      Array.from(each.feeds(0), ([name, { dtype, data, shape }]) => {
        // not quite the recorded numbers: equal ones, as in the margin of an image, are kinks of maxima
        const near = () => Float64Array.from(data as Float32Array, (each, i) => each + 1e-3 * Math.sin(7 * i + 1));
        return [name, { data: dtype === "f32" ? near() : data, shape }];
      }),
    );
    const floats = model.inputs.filter(({ dtype }) => dtype === "f64").map(({ name }) => name);
    const { gradients } = valueAndGrad(
      () => {
        const outputs = model.run(feeds);
        return weightedSum(
          model.outputs.filter(({ dtype }) => dtype === "f64").map(({ name }) => [sum(outputs[name] as Tensor), 1]),
        );
      },
      floats.map((name) => feeds[name] as Tensor),
    );
    floats.forEach((name, i) =>
      checkDirection(model, feeds, feeds[name]!.data as Float64Array, gradients[i]!.data, i + 1),
    );
    model.parameters().forEach(({ value, grad }, i) => {
      if (grad.data.some((each) => each !== 0))
        checkDirection(model, feeds, value.data as Float64Array, grad.data, i + 77);
    });
    model.dispose();
  });
});
