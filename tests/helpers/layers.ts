// Layers over time in tests: the cases of tests/golden/layers.py, ragged batches row by row, gradients by finite differences.
import { expect } from "vitest";
import * as library from "../../src/index.js";
import { weightedSum, valueAndGrad, type FloatDtype, type Layer, type Tensor } from "../../src/index.js";
import { type Dtype, type Numbers, type Tensors, golden, tensorOf, tensorsOf } from "./close.js";
import { centralDifferences } from "./gradient.js";
import { type Expected, type NumbersOf, gradients } from "./pytorch.js";
import { take, wave } from "./tensors.js";

/** Any of the layers, under one type. */
export type AnyLayer = Layer<FloatDtype, FloatDtype | undefined> & {
  forward(x: Tensor, options?: object): { output: Tensor; lengths?: number[] };
  backward(gradients: { output: Tensor }): { x: Tensor };
};

/** A case of tests/golden/layers.py. */
export interface LayersCase {
  readonly name: string;
  readonly kind: "Conv1d" | "MaxPool1d" | "AvgPool1d" | "BatchNorm1d" | "PReLU" | "Activation";
  readonly arguments: readonly (number | string)[];
  readonly options?: object;
  readonly weights: NumbersOf;
  readonly x: Numbers;
  readonly lengths?: readonly number[];
  readonly before?: readonly Numbers[];
  readonly inference?: boolean;
  readonly gradients: { readonly output: Numbers };
  readonly expected: Expected & { readonly counts?: Numbers; readonly buffers?: NumbersOf };
}

/** The cases of some kinds, by name. */
export function casesOf(...kinds: readonly LayersCase["kind"][]): (readonly [string, LayersCase])[] {
  const { layers } = golden("layers") as { readonly layers: readonly LayersCase[] };
  return layers.filter(({ kind }) => kinds.includes(kind)).map((each) => [each.name, each] as const);
}

const WITH_DTYPE = ["Conv1d", "BatchNorm1d", "PReLU"];

/** A case's layer, with its weights. */
export function makeLayer({ kind, arguments: given, options, weights }: LayersCase, dtype: Dtype): AnyLayer {
  const make = library[kind] as unknown as new (...all: unknown[]) => AnyLayer;
  const own = WITH_DTYPE.includes(kind) ? { ...options, dtype } : options;
  const layer = new make(...given, ...(own ? [own] : []));
  expect(layer.parameters().map(({ name }) => name)).toEqual(Object.keys(weights)); // in PyTorch's order
  const buffers = Object.fromEntries(Object.entries(layer.stateDict()).filter(([name]) => !(name in weights)));
  layer.loadStateDict({ ...tensorsOf(weights, dtype), ...buffers });
  return layer;
}

/** Both passes of a case, in training mode or recorded in inference mode. */
export function runCase(each: LayersCase, dtype: Dtype): Expected & { lengths?: number[]; state: Tensors } {
  using layer = makeLayer(each, dtype);
  for (const batch of each.before ?? []) layer.forward(tensorOf(batch, dtype));
  const x = tensorOf(each.x, dtype);
  const given = tensorOf(each.gradients.output, dtype);
  const options = each.lengths ? [{ lengths: each.lengths }] : [];
  if (each.inference) {
    layer.eval();
    let output = given;
    const { gradients: found } = valueAndGrad(() => {
      ({ output } = layer.forward(x, ...options));
      return dotLoss(output, given);
    }, [x]);
    const state = layer.stateDict();
    return {
      forward: { output },
      backward: { x: found[0]! },
      parameters: gradients(layer.parameters()),
      state,
    };
  }
  const { output, lengths } = layer.forward(x, ...options);
  const backward = layer.backward({ output: given });
  return {
    forward: { output },
    backward: { ...backward },
    parameters: gradients(layer.parameters()),
    ...(lengths && { lengths }),
    state: layer.stateDict(),
  };
}

/** A loss whose gradient is `direction`: half of the differences of the squared distances. */
function dotLoss(output: Tensor, direction: Tensor): { readonly loss: number } {
  const moved = (sign: number): Tensor => {
    const data = direction.data.slice();
    for (let i = 0; i < data.length; i++) data[i] = output.data[i]! + sign * direction.data[i]!;
    return { data, shape: output.shape };
  };
  const { mse } = library;
  // |y - (y - g)|^2 / 4 - |y - (y + g)|^2 / 4: each target is a constant
  return weightedSum([
    [mse(output, moved(-1), { reduction: "sum" }), 0.25],
    [mse(output, moved(1), { reduction: "sum" }), -0.25],
  ]);
}

/** Entry `row` of the axis of rows, without that axis: [steps,C]. */
export function rowOf(x: Tensor, row: number, batchFirst: boolean): Tensor {
  const { data, shape } = take(x, batchFirst ? 0 : 1, [row]);
  return { data, shape: shape.filter((_, axis) => axis !== (batchFirst ? 0 : 1)) };
}

/** The first steps of [T,C]. */
export function firstSteps({ data, shape: [, c] }: Tensor, steps: number): Tensor {
  return { data: data.slice(0, steps * c!), shape: [steps, c!] };
}

/** The analytic gradients of x and of all parameters agree with central differences, for a random gradient of the output. */
export function checkGradients(
  layer: AnyLayer,
  shape: readonly number[],
  options: object | undefined,
  tolerance = 1e-7,
): void {
  const x = wave(shape, "f64", 3);
  const more = options ? [options] : [];
  const run = (): Tensor => layer.forward(x, ...more).output;
  const dy = wave(run().shape, "f64", 7);
  const loss = (): number => Array.from(run().data).reduce((sum, y, i) => sum + y * dy.data[i]!, 0);
  layer.zeroGrad();
  run();
  const { x: dx } = layer.backward({ output: dy });
  const close = (name: string, actual: ArrayLike<number>, values: Float64Array): void => {
    const expected = centralDifferences(loss, values, 1e-3);
    expect({ shape: [expected.length], data: actual }, name).toBeAllClose(
      { shape: [expected.length], data: expected },
      { rtol: tolerance, atol: tolerance },
    );
  };
  const found = layer.parameters().map(({ grad }) => grad.data.slice());
  close("x", dx.data, x.data as Float64Array);
  layer.parameters().forEach(({ name, value }, i) => close(name, found[i]!, value.data as Float64Array));
}
