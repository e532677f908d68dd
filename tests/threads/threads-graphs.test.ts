// Graphs and operations on several threads: the bits of one.
import { afterAll, expect, test } from "vitest";
import { least, observed, type Counts } from "../../bindings/splits.js";
import { startThreads, stopThreads, type FloatDtype, type Tensor } from "../../src/index.js";
import { fromOnnx } from "../../src/onnx.js";
import { exp, log, matmul, relu } from "../../src/ops.js";
import "../helpers/bits.js";
import { graph, node, onnxFile, onnxTensor } from "../helpers/make-onnx.js";
import { wave } from "../helpers/tensors.js";

type Attributes = Parameters<typeof node>[3];

/** y of a convolution of x. */
function conv(x: number[], weight: number[], attributes: Attributes): Tensor {
  const numbers = (shape: number[], start: number) => onnxTensor("f32", shape, [...wave(shape, "f32", start).data]);
  const [w, b] = [numbers(weight, 1), numbers([weight[0]!], 2)];
  const nodes = [node("Conv", ["x", "w", "b"], ["c"], attributes), node("Relu", ["c"], ["y"])];
  const file = onnxFile(graph({ x: ["f32", x] }, { y: ["f32", undefined] }, nodes, { w, b }));
  return fromOnnx(file).run({ x: wave(x, "f32") }).y as Tensor;
}

const cases: Record<string, (dtype: FloatDtype) => Tensor> = {
  "matmul, one matrix": (dtype) => matmul(wave([301, 71], dtype), wave([71, 93], dtype, 1)),
  "matmul, seven matrices": (dtype) => matmul(wave([7, 61, 71], dtype), wave([7, 71, 93], dtype, 1)),
  "matmul, one for all": (dtype) => matmul(wave([7, 61, 71], dtype), wave([71, 93], dtype, 1)),
  relu: (dtype) => relu(wave([501, 301], dtype)),
  exp: (dtype) => exp(wave([501, 301], dtype)),
  log: (dtype) => log(exp(wave([501, 301], dtype))),
  "conv, one image": () => conv([1, 5, 61, 67], [13, 5, 3, 3], { pads: [1, 1, 1, 1] }),
  "conv, three images, strides": () => conv([3, 6, 61, 67], [14, 6, 3, 3], { strides: [2, 2] }),
  "conv, groups": () => conv([2, 8, 61, 67], [12, 4, 3, 3], { group: 2 }),
  "conv, depthwise": () => conv([2, 8, 91, 97], [8, 1, 3, 3], { group: 8 }),
};

least.work /= 4; // smaller cases take less time
const counts = (observed.counts = new Map<string, Counts>());
afterAll(stopThreads);
const alone = new Map<string, Tensor>();

test.each([1, 2, 3, 5, 8])("%i threads: the same bits", async (n) => {
  await startThreads(n);
  for (const [name, compute] of Object.entries(cases)) {
    for (const dtype of ["f64", "f32"] as const) {
      const key = `${name}, ${dtype}`;
      const found = compute(dtype);
      if (n === 1) alone.set(key, found);
      expect(found, key).toHaveBits(alone.get(key)!);
    }
  }
});

test.each(["matmul", "unary", "exp", "convForward"])("%s was divided", (name) => {
  expect(counts.get(name)?.parallel).toBeGreaterThan(0);
});
