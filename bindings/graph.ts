// The graph module: kernels for graphs of operations, over a core's memory. It is compiled and instantiated at its first use, once
// for each core. Only what imports this file carries the module's bytes.

import { ShapeError } from "./errors.js";
import { moduleBytes } from "./hex.js";
import { byDtype, compileBytes, type Core, type KernelsOf } from "./instantiate.js";
import type { FloatTensor } from "./kernels.js";
import type { Arena } from "./memory.js";
import { record } from "./record.js";
import { showShape, sizeOf, type FloatDtype } from "./tensor.js";
import { heapBase } from "./wasm.js";
import { binaryOperands, relaxedPatch, simd, type Exports } from "./wasm-graph.js";

type GraphKernels = Readonly<Record<FloatDtype, KernelsOf<Exports>>>;

const instances = /* @__PURE__ */ new WeakMap<Core, GraphKernels>();

/**
 * The graph's kernels over a core's memory, in the core's build.
 *
 * @throws UnsupportedError where compiling is forbidden
 */
export function graphKernels(core: Core): GraphKernels {
  let kernels = instances.get(core);
  if (!kernels) {
    const module = compileBytes(moduleBytes(core.variant, simd, relaxedPatch), "graph");
    kernels = byDtype(graphExports(module, core.memory));
    instances.set(core, kernels);
  }
  return kernels;
}

/** An instance over a core's memory. The two share their scratch: one kernel runs at a time. */
export function graphExports(module: WebAssembly.Module, memory: WebAssembly.Memory): Exports {
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as Exports;
  exports.setScratch(heapBase);
  return exports;
}

/**
 * The shape to which both broadcast, by NumPy's rules: axes are aligned at the last one, and an axis of 1 repeats.
 *
 * @throws ShapeError
 */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new ShapeError("b", showShape(b), `a shape that broadcasts with ${showShape(a)}`);
    }
    return m === 1 ? n : m;
  });
}

/**
 * The axes of a pass over `shape`, outermost first, as the kernels take them: length, and how many numbers apart the elements of
 * each operand are, 0 where it repeats. Axes of 1 are left out and neighbours merged where both operands allow it.
 */
export function mergedAxes(shape: readonly number[], operands: readonly (readonly number[])[]): number[][] {
  const next = operands.map(() => 1); // the stride of the operand's next axis that does not repeat
  const merged: number[][] = [];
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const n = shape[axis]!;
    if (n === 1) continue;
    const strides = operands.map((operand, i) => {
      const length = operand[axis - shape.length + operand.length] ?? 1;
      const stride = length === 1 ? 0 : next[i]!;
      next[i]! *= length;
      return stride;
    });
    const [inner] = merged;
    if (inner && strides.every((stride, i) => stride === inner[0]! * inner[i + 1]!)) inner[0]! *= n;
    else merged.unshift([n, ...strides]);
  }
  return merged.length > 0 ? merged : [[1, ...operands.map(() => 0)]];
}

/**
 * a + b, a - b, a b or a / b, broadcast by NumPy's rules; f64 or f32, both alike.
 *
 * @throws ShapeError, OutOfMemoryError
 */
export function binary(
  arena: Arena,
  operation: "add" | "sub" | "mul" | "div",
  a: FloatTensor,
  b: FloatTensor,
): FloatTensor {
  const { core } = arena;
  const shape = broadcastShape(a.shape, b.shape);
  const out: FloatTensor = arena.allocate(operation, a.dtype, shape);
  if (sizeOf(shape) === 0) return out;
  const axes = mergedAxes(shape, [a.shape, b.shape]);
  const address = arena.bytes("axes", 12 * axes.length);
  core.heap.view("i32").set(axes.flat(), address / 4);
  const fields = { a: a.pointer, b: b.pointer, out: out.pointer, axes: address, rank: axes.length };
  graphKernels(core)[a.dtype][operation](record(core, binaryOperands, fields));
  return out;
}
