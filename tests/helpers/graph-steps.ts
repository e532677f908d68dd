// Steps of streams of models in a process of its own whose young generation is so large that nothing is collected meanwhile; prints for
// each model by how many bytes a step the JS heap grew, by how many bytes wasm memory, and how many collections there were, as JSON.
//
//     node --import tsx --expose-gc --max-semi-space-size=256 --min-semi-space-size=256 tests/helpers/graph-steps.ts [folder of MODELS_DIR ...]

import { constants, PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics } from "node:v8";
import { currentCore } from "../../bindings/instantiate.js";
import { fromOnnx, type Model } from "../../src/onnx.js";
import type { StoredTensor } from "../../src/safetensors.js";
import { graph, node, onnxFile, onnxTensor } from "./make-onnx.js";
import { modelCases } from "./onnx.js";

type Feeds = Readonly<Record<string, StoredTensor>>;

interface Growth {
  readonly name: string;
  readonly bytes: number;
  readonly wasm: number;
  readonly collections: number;
}

const STEPS = 1000;
const [H, I] = [16, 24];
const wave = (size: number, start: number) => Array.from({ length: size }, (_, i) => Math.sin(i * 0.7 + start));
const weight = (shape: readonly number[]) =>
  onnxTensor("f32", shape, wave(shape.reduce((a, b) => a * b, 1), shape.length)); // prettier-ignore

/** As DTLN's first stage: an LSTM whose states are carried, and a mask; a rate decides which activation it has. */
function masking(): Uint8Array {
  const branch = (opType: string) => graph({}, { b: ["f32", undefined] }, [node(opType, ["sum"], ["b"])]);
  const nodes = [
    node("Shape", ["x"], ["shape"]),
    node("Unsqueeze", ["x", "zero"], ["sequence"]),
    node("LSTM", ["sequence", "w", "r", "b", "", "h", "c"], ["all", "h2", "c2"], { hidden_size: H }),
    node("Squeeze", ["h2", "zero"], ["flat"]),
    node("MatMul", ["flat", "dense"], ["product"]),
    node("Add", ["product", "bias"], ["sum"]),
    node("Equal", ["rate", "high"], ["isHigh"]),
    node("If", ["isHigh"], ["mask"], { then_branch: branch("Sigmoid"), else_branch: branch("Tanh") }),
    node("Mul", ["mask", "x"], ["y"]),
    node("Greater", ["y", "zeros"], ["positive"]),
    node("Add", ["count", "step"], ["counted"]),
    node("Mod", ["counted", "period"], ["phase"]),
    node("Gather", ["y", "phase"], ["picked"], { axis: 1 }),
    node("Cast", ["y"], ["half"], { to: 10 }),
  ];
  const state = ["f32", [1, 1, H]] as const;
  return onnxFile(
    graph(
      { x: ["f32", [1, I]], h: state, c: state, rate: ["i64", []], count: ["i64", [1]], step: ["i64", [1]] },
      {
        y: ["f32", [1, I]],
        h2: state,
        c2: state,
        counted: ["i64", [1]],
        positive: ["bool", [1, I]],
        picked: ["f32", undefined],
        half: ["f16", [1, I]],
      },
      nodes,
      {
        w: weight([1, 4 * H, I]),
        r: weight([1, 4 * H, H]),
        b: weight([1, 8 * H]),
        dense: weight([H, I]),
        bias: weight([I]),
        zeros: onnxTensor("f32", [], [0]),
        zero: onnxTensor("i64", [1], [0]),
        high: onnxTensor("i64", [], [16000]),
        period: onnxTensor("i64", [1], [I]),
      },
    ),
  );
}

/** Bytes of the JS heap's young generation. */
const young = () => getHeapSpaceStatistics().find((each) => each.space_name === "new_space")!.space_used_size;

const collections: PerformanceEntry[] = [];
new PerformanceObserver((list) => collections.push(...list.getEntries())).observe({ entryTypes: ["gc"] });
const isUnasked = (entry: PerformanceEntry) => {
  const { flags } = (entry as unknown as { detail: { flags: number } }).detail;
  return (flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) === 0;
};

/** The least growth of several rounds after the first step: code that is compiled meanwhile takes memory, too. */
async function measure(
  name: string,
  model: Model,
  carry: Readonly<Record<string, string>>,
  [first, ...others]: readonly Feeds[],
): Promise<Growth> {
  const stream = model.stream({ carry });
  stream.step(first);
  const steps = (count: number) => {
    for (let i = 0; i < count; i++) stream.step(others[i % others.length]);
  };
  const start = performance.now();
  for (let count = 0; count < 3000 || performance.now() - start < 1000; count += 100) steps(100); // compiled from here on
  const { heap } = currentCore();
  /** Bytes by which the JS heap grows, as it is measured, and collections meanwhile. */
  const grow = async (count: number) => {
    globalThis.gc!();
    await new Promise((resolve) => setTimeout(resolve, 20)); // for the observer
    collections.length = 0;
    const used = young();
    steps(count);
    const bytes = young() - used;
    await new Promise((resolve) => setTimeout(resolve, 20));
    return { bytes, collections: collections.filter(isUnasked).length };
  };
  const results: Growth[] = [];
  for (let round = 0; round < 4; round++) {
    const wasm = heap.bytesUsed;
    const nothing = await grow(0);
    const growth = await grow(STEPS);
    results.push({ ...growth, name, bytes: (growth.bytes - nothing.bytes) / STEPS, wasm: heap.bytesUsed - wasm });
  }
  stream.dispose();
  model.dispose();
  return results.reduce((a, b) => (a.bytes <= b.bytes ? a : b));
}

const folders = process.argv.slice(2);
const growths: Growth[] = [];
if (folders.length === 0) {
  const feeds = [16000, 16000, 16000, 8000].map((rate, i) => ({
    x: { data: Float32Array.from(wave(I, i)), shape: [1, I] },
    rate: { data: BigInt64Array.of(BigInt(rate)), shape: [] },
    step: { data: BigInt64Array.of(1n), shape: [1] },
  }));
  const carry = { h2: "h", c2: "c", counted: "count" };
  growths.push(await measure("masking", fromOnnx(masking()), carry, feeds));
}
for (const each of folders.flatMap((folder) => modelCases(folder).slice(0, 1))) {
  const { name, model, carry, steps } = each;
  const carried = new Set(carry.values());
  const fed = Array.from({ length: 8 }, (_, i) => {
    const own = [...each.feeds(Math.min(i, steps - 1))].filter(([input]) => i === 0 || !carried.has(input));
    return Object.fromEntries(own.map(([input, { data, shape }]) => [input, { data, shape }]));
  });
  growths.push(await measure(name, fromOnnx(model), Object.fromEntries(carry), fed));
}
console.log(JSON.stringify(growths));
