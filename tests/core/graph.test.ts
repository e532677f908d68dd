// The modules beside the core: graph's kernels through bindings/, where constants lie, and all modules over a shared memory.
import { readFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { instanceOver } from "../../bindings/extension.js";
import { startGraph } from "../../bindings/graph-module.js";
import { broadcastAxes, broadcastShape, graphKernels, mergeAxes, writeAxes } from "../../bindings/graph.js";
import { extensionBytes } from "../../bindings/extension.js";
import { byDtype, coreOf, currentCore, type Core } from "../../bindings/instantiate.js";
import { linearForward, type FloatTensor } from "../../bindings/kernels.js";
import { startLayers } from "../../bindings/layers-module.js";
import { withArena } from "../../bindings/memory.js";
import { record } from "../../bindings/record.js";
import { sequenceForward } from "../../bindings/recurrent.js";
import { sizeOf, type FloatDtype, type Tensor } from "../../bindings/tensor.js";
import { startTraining } from "../../bindings/training-module.js";
import * as backward from "../../bindings/wasm-backward.js";
import * as graph from "../../bindings/wasm-graph.js";
import * as layers from "../../bindings/wasm-layers.js";
import * as parts from "../../bindings/wasm-parts.js";
import * as training from "../../bindings/wasm-training.js";
import { build, heapBase, recordBytes, type Exports } from "../../bindings/wasm.js";
import "../helpers/bits.js";
import { root } from "../helpers/project.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants, type Variant } from "../helpers/variants.js";
import { configure, LSTM, ShapeError, tensor } from "../../src/index.js";
import * as elementwise from "../../src/ops/elementwise.js";
import { compute } from "../../src/ops/operation.js";

/** The modules beside the core, in the order of their constants in memory. */
const MODULES = { backward, graph, layers, training, parts };
const NAMES = ["backward", "graph", "layers", "training", "parts"] as const;

const DTYPES = ["f64", "f32"] as const;
const OPERATIONS = {
  add: (a: number, b: number) => a + b,
  sub: (a: number, b: number) => a - b,
  mul: (a: number, b: number) => a * b,
  div: (a: number, b: number) => a / b,
};

/** Shapes that broadcast, and the result's. */
const SHAPES: readonly (readonly [a: number[], b: number[], out: number[]])[] = [
  [[], [], []],
  [[7], [7], [7]],
  [[5, 7], [7], [5, 7]],
  [
    [5, 1],
    [1, 7],
    [5, 7],
  ],
  [[3], [2, 5, 3], [2, 5, 3]],
  [
    [2, 5, 3],
    [5, 1],
    [2, 5, 3],
  ],
  [
    [2, 1, 3, 1],
    [5, 1, 9],
    [2, 5, 3, 9],
  ],
  [[], [4, 3], [4, 3]],
  [[1, 1, 1], [1], [1, 1, 1]],
  [[0, 3], [3], [0, 3]],
  [[1], [0], [0]],
];

/** Number `i` of `out` is made from this number of a tensor broadcast to it. */
function indexOf(i: number, out: readonly number[], shape: readonly number[]): number {
  let [index, stride] = [0, 1];
  for (let axis = out.length - 1; axis >= 0; axis--) {
    const length = shape[axis - out.length + shape.length] ?? 1;
    index += (length === 1 ? 0 : i % out[axis]!) * stride;
    stride *= length;
    i = Math.floor(i / out[axis]!);
  }
  return index;
}

function naive(a: Tensor, b: Tensor, out: readonly number[], dtype: FloatDtype, f: (a: number, b: number) => number) {
  const numbers = Array.from({ length: sizeOf(out) }, (_, i) =>
    f(a.data[indexOf(i, out, a.shape)]!, b.data[indexOf(i, out, b.shape)]!),
  );
  return { data: dtype === "f64" ? Float64Array.from(numbers) : Float32Array.from(numbers), shape: [...out] };
}

test("shapes broadcast by NumPy's rules", () => {
  for (const [a, b, out] of SHAPES) {
    expect(broadcastShape(a, b)).toEqual(out);
    expect(broadcastShape(b, a)).toEqual(out);
  }
  refuses(() => broadcastShape([2, 3], [2]), ShapeError, "b", "[2]", "a shape that broadcasts with [2, 3]");
  refuses(() => broadcastShape([0], [2]), ShapeError, "b");
});

test("axes that both operands walk through alike are merged", () => {
  const axes = (a: number[], b: number[]) => mergeAxes(broadcastAxes(broadcastShape(a, b), [a, b]));
  expect(axes([], [])).toEqual([[1]]);
  expect(axes([4, 5, 6], [4, 5, 6])).toEqual([[120, 1, 1]]);
  expect(axes([4, 5, 6], [])).toEqual([[120, 1, 0]]);
  expect(axes([4, 5, 6], [5, 6])).toEqual([[4, 30, 0], [30, 1, 1]]); // prettier-ignore
  expect(axes([4, 1, 6], [4, 1, 6])).toEqual([[24, 1, 1]]);
  expect(axes([4, 5, 6], [4, 1, 1])).toEqual([[4, 30, 1], [30, 1, 0]]); // prettier-ignore
  expect(axes([5, 1], [1, 7])).toEqual([[5, 1, 0], [7, 0, 1]]); // prettier-ignore
});

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test.each(DTYPES)("add, sub, mul and div with broadcasting: %s", (dtype) => {
    startGraph(currentCore());
    for (const [shapeA, shapeB, out] of SHAPES) {
      const a = wave(shapeA, dtype);
      const b = wave(shapeB, dtype, 2);
      withArena(currentCore(), (arena) => {
        const [x, y]: FloatTensor[] = [a, b].map((each) => arena.copy("x", each, dtype, ["..."]));
        for (const [name, f] of Object.entries(OPERATIONS)) {
          const operation = elementwise[name as keyof typeof OPERATIONS];
          expect(compute(arena, operation, [x!, y!]).download()).toEqual(naive(a, b, out, dtype, f));
          expect(compute(arena, operation, [y!, x!]).download()).toEqual(naive(b, a, out, dtype, f));
        }
      });
    }
    expect(currentCore().heap.bytesUsed).toBe(0);
  });

  test("an instance for each core, made at first use", () => {
    const core = currentCore();
    for (const start of [startGraph, startLayers, startTraining]) {
      const kernels = start(core);
      expect(start(core)).toBe(kernels);
      for (const other of variants.filter((each) => each !== variant)) {
        configure({ variant: other });
        expect(start(currentCore())).not.toBe(kernels);
        configure({ variant });
      }
      expect(start(core)).toBe(kernels);
    }
    expect(graphKernels(core)).toBe(startGraph(core));
  });

  test("the modules' constants lie behind one another, before the heap", () => {
    const file = readFileSync(`${root}/build/core${suffix(variant)}.wasm`);
    const { heapBase: end, memory } = new WebAssembly.Instance(new WebAssembly.Module(file)).exports as {
      heapBase: () => number;
      memory: WebAssembly.Memory;
    };
    memory.grow(1);
    let start = end();
    for (const name of NAMES) {
      const bytes = new Uint8Array(memory.buffer).fill(0xa5);
      const next = instanceOver<graph.Exports>(moduleOf(name, variant), memory).heapBase();
      expect(next).toBeGreaterThanOrEqual(start);
      expect(next % 64).toBe(0);
      expect(bytes.subarray(0, start).every((byte) => byte === 0xa5)).toBe(true);
      expect(bytes.subarray(next).every((byte) => byte === 0xa5)).toBe(true);
      start = next;
    }
    expect(start).toBe(heapBase);
    withArena(currentCore(), (arena) => {
      expect(arena.core.record).toBeGreaterThan(heapBase);
      expect(arena.bytes("the first of the heap", 1)).toBeGreaterThanOrEqual(arena.core.record + recordBytes);
    });
  });

  test.each(NAMES)("the inlined bytes of %s are those of build/", (name) => {
    const file = readFileSync(`${root}/build/${name}${suffix(variant)}.wasm`);
    expect(Buffer.compare(bytesOf(name, variant), file)).toBe(0);
  });

  describe("over a shared memory", () => {
    const sharedModule = (name: string) =>
      new WebAssembly.Module(readFileSync(`${root}/build/${name}${suffix(variant)}.shared.wasm`));
    const core = sharedModule("core");
    const others = NAMES.map(sharedModule);
    const operations = others[NAMES.indexOf("graph")]!;
    const memory = new WebAssembly.Memory({ initial: 64, maximum: 65536, shared: true });
    const exports = new WebAssembly.Instance(core, { env: { memory } }).exports as unknown as Exports;
    const shared = coreOf(exports, memory);

    test("the modules are of these sources, and import nothing but the memory", () => {
      for (const module of [core, ...others]) {
        expect(WebAssembly.Module.imports(module)).toEqual([{ module: "env", name: "memory", kind: "memory" }]);
      }
      expect(exports.BUILD.value, "run `npm run build`").toBe(build);
      expect(exports.RELAXED.value).toBe(Number(variant === "relaxed"));
      expect(memory.buffer).toBeInstanceOf(SharedArrayBuffer);
    });

    test("an instance writes its constants and nothing else", () => {
      const instances = () => others.map((each) => instanceOver<graph.Exports>(each, memory));
      instances(); // their constants are there now, as the core's are
      const bytes = new Uint8Array(memory.buffer);
      const before = bytes.slice();
      const { heapBase: end } = new WebAssembly.Instance(core, { env: { memory } }).exports as unknown as Exports;
      const ends = [end(), ...instances().map((each) => each.heapBase())];
      expect(ends).toEqual([...ends].sort((a, b) => a - b));
      expect(ends.at(-1)).toBe(heapBase);
      expect(Buffer.compare(bytes, before)).toBe(0); // a second instance writes the same constants again
    });

    test.each(DTYPES)("Linear (GEMM), LSTM and add have the bits of the unshared build: %s", (dtype) => {
      using lstm = new LSTM(5, 7, { seed: 1 });
      const weights = Object.fromEntries(lstm.parameters().map(({ name, value }) => [name.replace(/_l0$/, ""), value]));
      const results = (on: Core, kernels: ReturnType<typeof startGraph>) =>
        withArena(on, (arena) => {
          const copy = (each: Tensor): FloatTensor =>
            arena.copy("x", tensor(each.data, each.shape, dtype), dtype, ["..."]);
          const [x, weight, bias] = [wave([9, 300], dtype), wave([17, 300], dtype, 2), wave([17], dtype, 3)];
          const linear = linearForward(arena, dtype, { x, weight, bias });
          const { hs } = sequenceForward(
            arena,
            dtype,
            { cell: { kind: "LSTM", phi: "tanh" }, t: 6, n: 3, rows: 18, x: copy(wave([6, 3, 5], dtype)) },
            {
              weightIh: copy(weights.weight_ih!),
              weightHh: copy(weights.weight_hh!),
              biasIh: copy(weights.bias_ih!),
              biasHh: copy(weights.bias_hh!),
            },
            {},
            { training: false },
          );
          const [a, b] = [copy(wave([3, 1, 5], dtype)), copy(wave([4, 5], dtype, 2))];
          const out = arena.allocate("out", dtype, broadcastShape(a.shape, b.shape));
          const axes = writeAxes(arena, broadcastAxes(out.shape, [a.shape, b.shape]));
          const fields = { operation: 0, a: a.pointer, b: b.pointer, condition: 0, out: out.pointer, ...axes };
          kernels[dtype].elementwise(record(on, graph.operands, fields));
          return [linear, hs, out].map((each) => each.download());
        });
      const expected = results(currentCore(), startGraph(currentCore()));
      expect(results(shared, byDtype(instanceOver<graph.Exports>(operations, memory)))).toEqual(expected);
    });
  });
});

afterAll(() => expect(currentCore().heap.bytesUsed).toBe(0));

function suffix(variant: Variant): string {
  return variant === "relaxed" ? ".relaxed" : "";
}

function bytesOf(name: keyof typeof MODULES, variant: Variant): Uint8Array<ArrayBuffer> {
  return extensionBytes(variant, MODULES[name].simdPatch, MODULES[name].relaxedPatch);
}

function moduleOf(name: keyof typeof MODULES, variant: Variant): WebAssembly.Module {
  return new WebAssembly.Module(bytesOf(name, variant));
}
