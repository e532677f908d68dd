// Graphs and operations on several threads: the bits of one.
import { afterAll, expect, onTestFinished, test, vi } from "vitest";
import { least, observed, type Counts } from "../../bindings/splits.js";
import { Team } from "../../bindings/team.js";
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

/** Both outputs of two LSTMs over x [T,N,I], one of which reads it backwards and may take the states of the other. */
function lstms(t: number, n: number, direction: "one" | "both", chained = false): Tensor {
  const numbers = (shape: number[], start: number) => onnxTensor("f32", shape, [...wave(shape, "f32", start).data]);
  const d = direction === "both" ? 2 : 1;
  const [w, r, b] = [numbers([d, 260, 33], 1), numbers([d, 260, 65], 2), numbers([d, 520], 3)];
  const attributes = { hidden_size: 65, ...(d === 2 && { direction: "bidirectional" }) };
  const axis = { starts: onnxTensor("i64", [1], [-1]), ends: onnxTensor("i64", [1], [-999]), axes: onnxTensor("i64", [1], [0]) }; // prettier-ignore
  const nodes = [
    node("LSTM", ["x", "w", "r", "b"], ["forward", "h"], attributes),
    node("Slice", ["x", "starts", "ends", "axes", "starts"], ["turned"]),
    node("LSTM", ["turned", "w", "r", "b", ...(chained ? ["", "h"] : [])], ["back"], attributes),
    node("Slice", ["back", "starts", "ends", "axes", "starts"], ["backward"]),
    node("Concat", ["forward", "backward"], ["y"], { axis: 1 }),
  ];
  const file = onnxFile(graph({ x: ["f32", [t, n, 33]] }, { y: ["f32", undefined] }, nodes, { w, r, b, ...axis }));
  const model = fromOnnx(file);
  model.run({ x: wave([t, n, 33], "f32", 7) });
  return model.run({ x: wave([t, n, 33], "f32") }).y as Tensor;
}

const cases: Record<string, (dtype: FloatDtype) => Tensor> = {
  "matmul, one matrix": (dtype) => matmul(wave([301, 71], dtype), wave([71, 93], dtype, 1)),
  "matmul, seven matrices": (dtype) => matmul(wave([7, 61, 71], dtype), wave([7, 71, 93], dtype, 1)),
  "matmul, one for all": (dtype) => matmul(wave([7, 61, 71], dtype), wave([71, 93], dtype, 1)),
  relu: (dtype) => relu(wave([501, 301], dtype)),
  exp: (dtype) => exp(wave([501, 301], dtype)),
  log: (dtype) => log(exp(wave([501, 301], dtype))),
  "two LSTMs, one row": () => lstms(150, 1, "one"),
  "two LSTMs, one row, one after the other": () => lstms(150, 1, "one", true),
  "two LSTMs, two rows, both directions": () => lstms(90, 2, "both"),
  "two LSTMs, seven rows": () => lstms(90, 7, "one"),
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

test("branches run at the same time", async () => {
  await startThreads(2);
  const team = vi.spyOn(Team.prototype, "run");
  onTestFinished(() => team.mockRestore());
  const sizes = (run: () => void) => {
    team.mockClear();
    run();
    return team.mock.calls.map(([calls]) => calls.map(([{ index }]) => index).join() + ` of ${calls.length}`);
  };
  const [index] = sizes(() => lstms(150, 1, "one"))[0]!.split(",");
  const both = `${index},${index} of 2`;
  expect(sizes(() => lstms(150, 1, "one"))).toEqual([both, both]); // in each of two runs
  expect(sizes(() => lstms(150, 1, "both"))).toEqual([both, both, both, both]);
  expect(sizes(() => lstms(150, 1, "one", true))).not.toContain(both);
});

test("an error in a branch names its node", async () => {
  await startThreads(2);
  const numbers = (shape: number[], start: number) => onnxTensor("f32", shape, [...wave(shape, "f32", start).data]);
  const [w, r] = [numbers([1, 260, 33], 1), numbers([1, 260, 65], 2)];
  const nodes = [
    node("LSTM", ["x", "w", "r", "", "first"], ["a"], { hidden_size: 65 }),
    node("LSTM", ["x", "w", "r", "", "second"], ["b"], { hidden_size: 65 }),
    node("Concat", ["a", "b"], ["y"], { axis: 1 }),
  ];
  const inputs = { x: ["f32", [9, 1, 33]], first: ["i32", [1]], second: ["i32", [1]] } as const;
  const model = fromOnnx(onnxFile(graph(inputs, { y: ["f32", undefined] }, nodes, { w, r })));
  const feeds = (first: number, second: number) =>
    model.run({
      x: wave([9, 1, 33], "f32"),
      first: { data: Int32Array.of(first), shape: [1] },
      second: { data: Int32Array.of(second), shape: [1] },
    });
  feeds(9, 8);
  expect(() => feeds(10, 8)).toThrow(/^node a .*got 10/);
  expect(() => feeds(9, 10)).toThrow(/^node b .*got 10/);
  expect(feeds(9, 8).y).toBeDefined();
});
