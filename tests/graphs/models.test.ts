// Real models: every recorded output, by run, by stream, and computed in f64.
import { describe, expect, test } from "vitest";
import { fromOnnx, type Model } from "../../src/onnx.js";
import type { StoredTensor } from "../../src/safetensors.js";
import { modelCases, noModels, within, type Bounds, type ModelCase } from "../helpers/onnx.js";
import { useVariant, variants } from "../helpers/variants.js";

const cases = modelCases();

type Feeds = Record<string, StoredTensor>;

/** PyTorch in f64; the exporter joined the CRNN's normalisation with its convolutions in f32. */
const EXACT = { abs: 1e-12, rel: 1e-12 };
const JOINED = { abs: 5e-7, rel: 5e-7 };

/** Compares the outputs of a step with the recorded ones. */
function compare(model: Model, each: ModelCase, step: number, outputs: Feeds, bounds: Bounds): void {
  for (const [name, want] of model.dtype === "f64" ? each.torch64(step) : []) {
    const { data, shape } = outputs[name]!;
    expect(
      within({ dtype: "f64", data, shape }, want, each.folder.includes("crnn") ? JOINED : EXACT),
      `step ${step}, ${name} in f64`,
    ).toBeUndefined();
  }
  for (const [name, want] of each.expected(step)) {
    const { dtype } = model.outputs.find((output) => output.name === name)!;
    const { data, shape } = outputs[name]!;
    expect(within({ dtype, data, shape }, want, bounds), `step ${step}, ${name}`).toBeUndefined();
  }
}

function runAll(each: ModelCase, model: Model, bounds: Bounds): void {
  let state: Feeds = {};
  for (let step = 0; step < each.steps; step++) {
    const outputs = model.run({ ...Object.fromEntries(each.feeds(step)), ...state });
    compare(model, each, step, outputs, bounds);
    state = Object.fromEntries(Array.from(each.carry, ([output, input]) => [input, outputs[output]!]));
  }
}

/** Steps whose inputs have other shapes are other streams. */
function streamAll(each: ModelCase, model: Model): void {
  const carry = Object.fromEntries(each.carry);
  let stream: ReturnType<Model["stream"]> | undefined;
  let shapes = "";
  for (let step = 0; step < each.steps; step++) {
    const feeds = Object.fromEntries(each.feeds(step));
    const own = Object.keys(feeds).filter((name) => step === 0 || ![...each.carry.values()].includes(name));
    const key = JSON.stringify(own.map((name) => feeds[name]!.shape));
    if (!stream || (each.carry.size === 0 && key !== shapes)) {
      stream?.dispose();
      stream = model.stream({ carry });
    }
    shapes = key;
    compare(model, each, step, stream.step(feeds), each.tolerance);
  }
  stream?.dispose();
}

describe.skipIf(cases.length === 0)(cases.length ? `${cases.length} recorded runs of real models` : noModels, () => {
  describe.each(variants)("%s build", (variant) => {
    useVariant(variant);

    test.each(cases.map((each) => [each.name, each] as const))("%s", (_name, each) => {
      const model = fromOnnx(each.model);
      runAll(each, model, each.tolerance);
      streamAll(each, model);
      model.dispose();
      const wide = fromOnnx(each.model, { dtype: "f64" });
      // The records are of f32: the tolerance holds for two runs that round, and here one of them does not.
      const { abs, rel } = each.tolerance;
      runAll(each, wide, each.toleranceF64 ?? { abs: 2 * abs, rel: 2 * rel });
      wide.dispose();
    });
  });
});
