// Products of stacks of matrices.

import { bindRecord, broadcastAxes, broadcastShape, graphKernels, mergeAxes, writeAxes } from "../../bindings/graph.js";
import { pointer } from "../../bindings/kernels.js";
import { ShapeError } from "../../bindings/errors.js";
import { BYTES, showShape, sizeOf, type FloatDtype } from "../../bindings/tensor.js";
import { product } from "../../bindings/wasm-graph.js";
import { floatTypeOf, type Operation, type Spec } from "./operation.js";

/** What `matmul` takes beside a and b. */
export interface MatmulAttributes {
  /** Whether the matrices of a are transposed: [..., k, m]. */
  transposeA?: boolean;
  /** Whether those of b are: [..., n, k]. */
  transposeB?: boolean;
}

/** The axes of a stack, and rows and columns of its matrices. */
function matricesOf(argument: string, { shape }: Spec, transposed: boolean) {
  const [rows, columns] = shape.slice(-2);
  if (columns === undefined) throw new ShapeError(argument, showShape(shape), "at least two axes");
  const sizes = transposed ? [columns, rows!] : [rows!, columns];
  return {
    stack: shape.slice(0, -2),
    rows: sizes[0]!,
    columns: sizes[1]!,
    strides: transposed ? [1, columns] : [columns, 1],
  };
}

/** The operands as stacks of matrices. */
function operandsOf([a, b]: readonly Spec[], { transposeA = false, transposeB = false }: MatmulAttributes) {
  return [matricesOf("a", a!, transposeA), matricesOf("b", b!, transposeB)] as const;
}

/** a [..., m, k] times b [..., k, n], plus a bias [n] if there is a third input; the axes before broadcast. */
export const matmul: Operation<MatmulAttributes> = {
  name: "matmul",
  infer(inputs, attributes) {
    const dtype = floatTypeOf(["a", "b", "bias"], inputs);
    const [a, b] = operandsOf(inputs, attributes);
    const shape = showShape(inputs[1]!.shape);
    if (a.columns !== b.rows) throw new ShapeError("b", shape, `${a.columns} rows in each matrix`);
    const bias = inputs[2]?.shape;
    if (bias && (bias.length !== 1 || bias[0] !== b.columns))
      throw new ShapeError("bias", showShape(bias), `[${b.columns}]`);
    return [{ dtype, shape: [...broadcastShape(a.stack, b.stack), a.rows, b.columns] }];
  },
  bind(scratch, inputs, [out], attributes, constant) {
    if (sizeOf(out!.shape) === 0) return () => {};
    const [a, b] = operandsOf(inputs, attributes);
    const [m, k, n] = [a.rows, a.columns, b.columns];
    const bias = inputs[2];
    if (k === 0) {
      return () => {
        const { data } = out!;
        for (let i = 0; i < data.length; i++) data[i] = bias?.data[i % n] ?? 0;
      };
    }
    const size = [m * k, k * n];
    const stacks = mergeAxes(
      broadcastAxes(out!.shape.slice(0, -2), [a.stack, b.stack]).map(([length, ...strides]) => [
        length!,
        ...strides.map((stride, i) => stride * size[i]!),
      ]),
    );
    // Neighbouring matrices of a times one b are one matrix of more rows.
    const [[length, strideA, strideB] = [1]] = stacks.slice(-1);
    const joined = strideB === 0 && strideA === m * a.strides[0]! ? length! : 1;
    if (joined > 1) stacks.splice(-1);
    const dtype = out!.dtype as FloatDtype;
    const packs = constant?.[1] && a.strides[1] === 1 && b.stack.every((length) => length === 1);
    const lanes = 32 / BYTES[dtype]; // of a panel
    const kernels = graphKernels(scratch.core)[dtype];
    const values = {
      a: inputs[0]!.pointer,
      b: inputs[1]!.pointer,
      panels: packs ? scratch.bytes("packed weights", Math.ceil(n / lanes) * lanes * k * BYTES[dtype]) : 0,
      bias: pointer(bias),
      out: out!.pointer,
      ...writeAxes(scratch, stacks),
      m: m * joined,
      n,
      k,
      aRow: a.strides[0]!,
      aColumn: a.strides[1]!,
      bRow: b.strides[0]!,
      bColumn: b.strides[1]!,
    };
    if (packs) bindRecord(scratch, kernels.matmulPack, product, values)();
    return bindRecord(scratch, kernels.matmul, product, values);
  },
};
