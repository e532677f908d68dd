// Calls of ONNX's operators that are compared with ONNX Runtime: attributes, types and shapes beyond those of ONNX's own tests.

import type { ElementType } from "../../src/base/element.js";
import type { OnnxTensor } from "../../src/formats/onnx/model.js";
import { float, type node, onnxTensor } from "./make-onnx.js";

type Attributes = Parameters<typeof node>[3];

/** A node with the numbers of its inputs; undefined for one that is left out. */
export interface Call {
  readonly name: string;
  readonly operator: string;
  readonly opset: number;
  readonly inputs: readonly (OnnxTensor | undefined)[];
  readonly attributes: Attributes;
  /** The types of the outputs. */
  readonly outputs: readonly ElementType[];
}

export const calls: Call[] = [];

/** Adds a call; outputs are by default one, of the type of the first input. */
function call(
  operator: string,
  inputs: Call["inputs"],
  attributes: Attributes = {},
  { opset = 17, outputs = [inputs[0]!.dtype] as readonly ElementType[] } = {},
): void {
  const shapes = inputs.map((each) => (each ? `${each.dtype}[${each.shape.join()}]` : "-")).join(" ");
  const text = JSON.stringify(attributes, (key, value: unknown) => (key === "data" ? undefined : value));
  const name = `${calls.length} ${operator} ${opset} ${shapes}${text === "{}" ? "" : ` ${text}`}`;
  calls.push({ name, operator, opset, inputs, attributes, outputs });
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

/** Numbers from -2 to 2 without a pattern. */
function f(shape: readonly number[], seed = 1, dtype: ElementType = "f32"): OnnxTensor {
  return onnxTensor(
    dtype,
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => 2 * Math.sin(seed + 2.7 * i)),
  );
}

/** Numbers above 0. */
function positive(shape: readonly number[], seed = 1): OnnxTensor {
  return onnxTensor(
    "f32",
    shape,
    Array.from({ length: sizeOf(shape) }, (_, i) => 1.6 + 1.5 * Math.sin(seed + 2.7 * i)),
  );
}

/** Integers: as given, or from -7 to 7. */
function i(dtype: ElementType, shape: readonly number[], numbers?: readonly number[]): OnnxTensor {
  const values = numbers ?? Array.from({ length: sizeOf(shape) }, (_, k) => ((k * 11 + 3) % 15) - 7);
  return onnxTensor(dtype, shape, values);
}

const list = (...numbers: number[]) => i("i64", [numbers.length], numbers);
const scalar = (value: number, dtype: ElementType = "i64") => onnxTensor(dtype, [], [value]);

// --- element by element ----------------------------------------------------------------------------------------------

const UNARY = ["Abs", "Acos", "Asin", "Asinh", "Atan", "Atanh", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSigmoid",
  "HardSwish", "LeakyRelu", "Neg", "Relu", "Round", "Selu", "Elu", "Sigmoid", "Sign", "Sin", "Sinh", "Cosh", "Softplus", "Softsign",
  "Tan", "Tanh", "ThresholdedRelu", "Celu"]; // prettier-ignore
for (const name of UNARY) {
  const near = ["Acos", "Asin", "Atanh"].includes(name);
  const x = f([3, 7]);
  call(name, [
    near
      ? onnxTensor(
          "f32",
          [3, 7],
          Array.from(x.data as Float32Array, (each) => each * 0.49),
        )
      : x,
  ]);
}
for (const name of ["Acosh", "Log", "Reciprocal", "Sqrt"]) {
  const { data } = positive([2, 5]);
  call(name, [
    onnxTensor(
      "f32",
      [2, 5],
      Array.from(data as Float32Array, (x) => x + (name === "Acosh" ? 1 : 0)),
    ),
  ]);
}
for (const [name, attributes] of [
  ["Elu", { alpha: 0.3 }],
  ["Celu", { alpha: 2.5 }],
  ["Selu", { alpha: float(2), gamma: float(3) }],
  ["LeakyRelu", { alpha: 0.25 }],
  ["HardSigmoid", { alpha: 0.4, beta: 0.1 }],
  ["ThresholdedRelu", { alpha: 0.7 }],
  ["Shrink", { lambd: 0.6, bias: 0.2 }],
] as const) {
  call(name, [f([4, 5], 3)], attributes);
}
call("Shrink", [i("i32", [9])], { lambd: float(2), bias: float(1) });
call("Mish", [f([9])], {}, { opset: 18 });
call("Gelu", [f([9])], {}, { opset: 20 });
call("Gelu", [f([9])], { approximate: "tanh" }, { opset: 20 });
for (const name of ["Abs", "Neg", "Sign"])
  for (const dtype of ["i32", "i64", "i8"] as const) call(name, [i(dtype, [9])]);
call("Relu", [i("i32", [9])]);

const PAIRS = [[[3, 4], [3, 4]], [[3, 4], [4]], [[3, 1], [1, 4]], [[2, 3, 4], []], [[], [5]], [[2, 1, 3], [4, 1]]] as const; // prettier-ignore
for (const [a, b] of PAIRS) {
  for (const name of ["Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu"]) {
    if (name === "PRelu" && a.length < b.length + 0) continue;
    if (name === "PRelu" && a === PAIRS[2][0]) continue;
    if (name === "PRelu" && a.length === 3 && b.length === 2) continue;
    call(name, [f(a), f(b, 5)]);
  }
  for (const name of ["Add", "Sub", "Mul", "Max", "Min"]) call(name, [i("i32", a), i("i32", b)]);
  call("Div", [
    i("i64", a),
    i(
      "i64",
      b,
      Array.from({ length: sizeOf(b) }, (_, k) => (k % 2 ? -3 : 2)),
    ),
  ]);
  for (const name of ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]) {
    call(name, [f(a), f(b, 1)], {}, { outputs: ["bool"] });
    call(name, [i("i64", a), i("i64", b)], {}, { outputs: ["bool"] });
  }
  for (const name of ["And", "Or", "Xor"]) {
    const bits = (shape: readonly number[], every: number) =>
      i(
        "bool",
        shape,
        Array.from({ length: sizeOf(shape) }, (_, k) => Number(k % every === 0)),
      );
    call(name, [bits(a, 2), bits(b, 3)], {}, { outputs: ["bool"] });
  }
}
call("Not", [i("bool", [4], [1, 0, 0, 1])]);
for (const name of ["Max", "Min", "Mean", "Sum"]) {
  call(name, [f([3, 4])]);
  call(name, [f([3, 4]), f([4], 2), f([3, 1], 3), f([], 4)]);
}
call("Max", [i("u64", [3], [1, 5, 2]), i("u64", [3], [4, 0, 2])]);
for (const dtype of ["i32", "i64", "u8", "i8", "u32"] as const) {
  const divisors = [1, 2, 3, 4, 5, 6, 7, 3].map((n, k) => (dtype.startsWith("u") || k % 2 ? n : -n));
  const numbers = [7, 5, 9, 11, 8, 3, 6, 100].map((n, k) => (dtype.startsWith("u") || k % 3 ? n : -n));
  for (const fmod of [0, 1]) call("Mod", [i(dtype, [8], numbers), i(dtype, [8], divisors)], { fmod });
}
call("Mod", [f([8]), f([8], 4)], { fmod: 1 });
for (const dtype of ["u8", "u32", "u64"] as const) {
  for (const direction of ["LEFT", "RIGHT"]) {
    call("BitShift", [i(dtype, [4], [1, 77, 200, 16]), i(dtype, [4], [1, 2, 3, 5])], { direction });
  }
}
for (const dtype of ["i32", "i64", "u8", "i16", "u64"] as const) {
  const numbers = dtype.startsWith("u") ? [1, 77, 200, 16] : [1, -77, 120, -16];
  for (const name of ["BitwiseAnd", "BitwiseOr", "BitwiseXor"]) {
    call(name, [i(dtype, [4], numbers), i(dtype, [4], [5, 100, 31, 127])], {}, { opset: 18 });
  }
  if (dtype !== "u64") call("BitwiseNot", [i(dtype, [4], numbers)], {}, { opset: 18 });
}
const ODD = onnxTensor("f32", [6], [1, NaN, Infinity, -Infinity, 0, -2]);
call("IsNaN", [ODD], {}, { outputs: ["bool"] });
for (const [negative, positives] of [[1, 1], [0, 1], [1, 0]]) {
  call("IsInf", [ODD], { detect_negative: negative!, detect_positive: positives! }, { outputs: ["bool"] });
} // prettier-ignore
call("Pow", [positive([3, 4]), f([4], 2)]);
call("Pow", [f([5]), i("i32", [5], [0, 1, 2, 3, -2])]);
call("Pow", [f([5]), i("i64", [], [2])]);
call("Pow", [i("i32", [5], [1, 2, 3, -4, 5]), i("i32", [5], [0, 4, 7, 3, 2])]);
call("Pow", [i("i64", [3], [1, 2, 9]), f([3], 1)]);
call("Pow", [i("i64", [3], [1, 2, 9]), onnxTensor("f32", [3], [2, 0.5, 2.5])]);
for (const bounds of [[-0.5, 1], [undefined, 0.2], [-0.2, undefined], [undefined, undefined], [1, -1]]) {
  const values = bounds.map((each) => (each === undefined ? undefined : scalar(each, "f32")));
  call("Clip", [f([4, 3]), ...values]);
  call("Clip", [f([4, 3], 2), ...values.map((each) => each && { ...each })], {}, { opset: 12 });
} // prettier-ignore
call("Clip", [i("i32", [9]), scalar(-3, "i32"), scalar(4, "i32")]);
call("Clip", [f([9])], { min: -0.3, max: 0.7 }, { opset: 7 });
call("Where", [i("bool", [3, 1], [1, 0, 1]), f([3, 4]), f([4], 5)], {}, { outputs: ["f32"] });
call("Where", [i("bool", [4], [1, 0, 1, 0]), i("i64", [3, 1]), i("i64", [])], {}, { outputs: ["i64"] });

// --- movement --------------------------------------------------------------------------------------------------------

for (const mode of ["constant", "reflect", "edge"]) {
  call("Pad", [f([3, 4, 2]), list(1, 2, 0, 2, 1, 1), scalar(7, "f32")], { mode });
  call("Pad", [i("i32", [4, 5]), list(-1, 2, 1, -2), scalar(7, "i32")], { mode });
}
call("Pad", [f([3, 4]), list(1, 2), undefined, list(-1)], {}, { opset: 18 });
call("Pad", [f([3, 4]), list(1, 2, 3, 1)], { mode: "wrap" }, { opset: 19 });
call("Pad", [f([3, 4])], { pads: [1, 2, 0, 1], value: 3.5 }, { opset: 7 });
call("Slice", [f([5, 6, 7]), list(1, -1), list(4, -8), list(0, 2), list(2, -2)]);
call("Slice", [f([5, 6, 7]), list(0, 100), list(2 ** 40, 0), list(-2, 0), list(1, -1)]);
call("Slice", [i("i64", [9]), list(-3), list(9)]);
call("Slice", [f([5, 6])], { starts: [1, -3], ends: [4, 100], axes: [0, 1] }, { opset: 9 });
call("Split", [f([6, 5])], { axis: 0 }, { outputs: ["f32", "f32", "f32"] });
call("Split", [f([6, 5]), list(1, 0, 4)], { axis: -1 }, { outputs: ["f32", "f32", "f32"] });
call("Split", [f([7, 2])], { num_outputs: 3 }, { opset: 18, outputs: ["f32", "f32", "f32"] });
call("Split", [i("i64", [6])], { split: [2, 4] }, { opset: 11, outputs: ["i64", "i64"] });
call("Transpose", [f([2, 3, 4])]);
call("Transpose", [i("i32", [2, 3, 4])], { perm: [1, 0, 2] });
call("Tile", [f([2, 3]), list(2, 3)]);
call("Tile", [i("i64", [2, 1, 3]), list(1, 4, 2)]);
call("Expand", [f([3, 1]), list(2, 1, 5)]);
call("Concat", [f([2, 3]), f([2, 1], 2), f([2, 4], 3)], { axis: -1 });
call("Reshape", [f([2, 3, 4]), list(0, -1)]);
call("Reshape", [f([0, 3, 4]), list(3, 4, 0)], { allowzero: 1 });
call("Squeeze", [f([1, 3, 1, 2]), list(-2)]);
call("Squeeze", [f([1, 3, 1, 2])]);
call("Unsqueeze", [f([3, 2]), list(-1, 0)]);
call("Flatten", [f([2, 3, 4])], { axis: -1 });
for (const [start, end] of [[0, 2], [-2, 3], [1, -1], [-9, 9]]) {
  call("Shape", [f([2, 3, 4])], { start: start!, end: end! }, { outputs: ["i64"] });
} // prettier-ignore
call("Size", [f([2, 3, 4])], {}, { outputs: ["i64"] });
for (const mode of ["DCR", "CRD"]) call("DepthToSpace", [f([2, 8, 2, 3])], { blocksize: 2, mode });
call("SpaceToDepth", [f([2, 3, 4, 6])], { blocksize: 2 });
for (const upper of [0, 1]) {
  for (const k of [-2, 0, 1, 9]) call("Trilu", [f([2, 4, 3]), scalar(k)], { upper });
  call("Trilu", [i("i64", [3, 5])], { upper });
}
call("EyeLike", [f([3, 5])], { k: -1 });
call("EyeLike", [f([3, 5])], { k: 2, dtype: 7 }, { outputs: ["i64"] });
call("Range", [scalar(1, "f32"), scalar(4.5, "f32"), scalar(0.7, "f32")]);
call("Range", [scalar(9), scalar(-3), scalar(-2)]);
call("ConstantOfShape", [list(2, 3)], { value: i("i32", [1], [5]) }, { outputs: ["i32"] });
const CAST = { f32: 1, u8: 2, i8: 3, i32: 6, i64: 7, bool: 9, f16: 10, f64: 11, u32: 12 } as const;
for (const [dtype, to] of Object.entries(CAST) as [keyof typeof CAST, number][]) {
  call("Cast", [onnxTensor("f32", [5], [0, 1.5, 2.7, 100.25, 3])], { to }, { outputs: [dtype] });
  call("Cast", [i("i32", [5], [0, -1, 2, 100, 3])], { to }, { outputs: [dtype] });
  call("Cast", [onnxTensor("f64", [4], [0, -1.5, 2.7, 1 / 3])], { to: CAST.f32 }, { outputs: ["f32"] });
}
call("Dropout", [f([3, 4]), scalar(0.5, "f32")], {}, { outputs: ["f32", "bool"] });
call("Identity", [i("i64", [3])]);

// --- by index --------------------------------------------------------------------------------------------------------

for (const axis of [0, 1, -1]) {
  call("Gather", [f([3, 4, 5]), i("i64", [2, 3], [0, 2, 1, -1, 0, 0])], { axis });
  call("Gather", [f([3, 4, 5]), i("i32", [3], [0, 1, 2])], { axis });
  call("GatherElements", [f([3, 4, 3]), i("i64", [2, 3, 2], [0, 1, 2, -1, 0, 2, 1, 1, -2, 0, 2, 2])], { axis });
  for (const reduction of ["none", "add", "mul"]) {
    const indices = i("i64", [2, 3, 2], [0, 1, 2, -1, 0, 2, 1, 0, -2, 1, 0, 2]);
    call("ScatterElements", [f([3, 4, 3]), indices, f([2, 3, 2], 5)], { axis, reduction }, { opset: 16 });
  }
}
call("Gather", [i("i64", [5]), scalar(-1)]);
call("Gather", [
  f([40, 2]),
  i(
    "i64",
    [36],
    Array.from({ length: 36 }, (_, k) => (k * k) % 40),
  ),
]);
call("ScatterElements", [i("i64", [5]), i("i64", [2], [1, 3]), i("i64", [2], [50, 60])]);
call("Scatter", [f([3, 3]), i("i64", [2, 3], [1, 0, 2, 0, 2, 1]), f([2, 3], 4)], {}, { opset: 9 });
call("GatherND", [f([2, 3, 4]), i("i64", [2, 2], [0, 1, -1, 2])]);
call("GatherND", [f([2, 3, 4]), i("i64", [2, 1, 1], [1, 0])], { batch_dims: 1 });
call("GatherND", [f([2, 3, 4]), i("i64", [2, 2], [1, 0, 2, 3])], { batch_dims: 1 });
call("GatherND", [i("i64", [2, 2]), i("i64", [2, 2], [0, 0, 1, 1])]);
for (const reduction of ["none", "add", "mul"]) {
  call("ScatterND", [f([4, 5]), i("i64", [3, 1], [3, 0, 1]), f([3, 5], 7)], { reduction }, { opset: 16 });
  call("ScatterND", [f([2, 3, 4]), i("i64", [3, 2], [1, 2, 0, 0, 1, 1]), f([3, 4], 7)], { reduction }, { opset: 16 });
  call("ScatterND", [f([4]), i("i64", [3, 1], [1, 2, -1]), f([3], 7)], { reduction }, { opset: 16 });
}
const SPREAD = Array.from({ length: 40 }, (_, k) => (k * 7 + (k % 3)) % 90);
call("ScatterND", [f([90, 2]), i("i64", [40, 1], [...new Set(SPREAD)].concat([80, 81, 82]).slice(0, 40).map((n, k) => (n + k * 0) % 90)), f([40, 2], 7)]); // prettier-ignore
for (const reduction of ["max", "min"]) {
  call("ScatterElements", [f([5]), i("i64", [4], [1, 3, 1, 0]), f([4], 3)], { reduction }, { opset: 18 });
  call("ScatterND", [f([4, 2]), i("i64", [3, 1], [1, 3, 1]), f([3, 2], 3)], { reduction }, { opset: 18 });
}
call("NonZero", [i("i32", [2, 3], [0, 3, 0, 1, 0, 2])], {}, { outputs: ["i64"] });
call("NonZero", [onnxTensor("f32", [5], [0, 1, 0, -2, 0])], {}, { outputs: ["i64"] });
call("Compress", [f([3, 4]), i("bool", [3], [0, 1, 1])], { axis: 0 });
call("Compress", [f([3, 4]), i("bool", [2], [0, 1])], { axis: -1 });
call("Compress", [f([3, 4]), i("bool", [9], [0, 1, 0, 0, 1, 1, 0, 0, 1])]);
for (const axis of [-1, 0, 1]) {
  const values = onnxTensor("f32", [2], [0.5, 2]);
  call("OneHot", [i("i64", [2, 3], [0, 2, -1, 4, -4, 9]), scalar(4), values], { axis }, { outputs: ["f32"] });
}
call("ReverseSequence", [f([4, 3, 2]), list(1, 4, 2)], { time_axis: 0, batch_axis: 1 });
call("ReverseSequence", [f([3, 4]), list(1, 4, 2)], { time_axis: 1, batch_axis: 0 });

// --- along an axis ---------------------------------------------------------------------------------------------------

const TIES = onnxTensor("f32", [3, 4], [1, 3, 3, 0, 2, 2, 1, 2, -1, -1, -5, -1]);
for (const name of ["ArgMax", "ArgMin"]) {
  for (const axis of [0, -1]) {
    for (const last of [0, 1]) {
      for (const keepdims of [0, 1]) {
        call(name, [TIES], { axis, keepdims, select_last_index: last }, { outputs: ["i64"] });
      }
    }
  }
  call(name, [i("i32", [3, 4])], {}, { outputs: ["i64"] });
}
for (const axis of [0, 1, 2]) {
  for (const largest of [0, 1]) {
    call("TopK", [f([3, 4, 5]), list(2)], { axis, largest }, { outputs: ["f32", "i64"] });
  }
  call("Hardmax", [f([3, 4, 5])], { axis });
  call("Softmax", [f([3, 4, 5])], { axis });
  call("LogSoftmax", [f([3, 4, 5])], { axis });
  call("Softmax", [f([3, 4, 5])], { axis }, { opset: 11 });
  call("LogSoftmax", [f([3, 4, 5])], { axis }, { opset: 11 });
  for (const exclusive of [0, 1]) {
    for (const reverse of [0, 1]) call("CumSum", [f([3, 4, 5]), scalar(axis)], { exclusive, reverse });
  }
}
call("TopK", [i("i64", [9]), list(9)], {}, { outputs: ["i64", "i64"] });
call("CumSum", [i("i64", [2, 4]), scalar(-1, "i32")]);
const REPEATED = [3, 1, 3, 2, 2, 7];
for (const sorted of [0, 1]) {
  const outputs = ["f32", "i64", "i64", "i64"] as const;
  call("Unique", [onnxTensor("f32", [6], REPEATED)], { sorted }, { outputs });
  call("Unique", [onnxTensor("f32", [2, 3], REPEATED)], { sorted }, { outputs });
  call("Unique", [onnxTensor("f32", [4, 2], [3, 1, 2, 2, 3, 1, 0, 9])], { sorted, axis: 0 }, { outputs });
  call("Unique", [onnxTensor("f32", [2, 4], [3, 2, 3, 0, 1, 2, 1, 9])], { sorted, axis: 1 }, { outputs });
}
for (const name of ["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"]) {
  const x = positive([3, 4, 5]);
  call(name, [x], { axes: [1], keepdims: 0 });
  call(name, [x], { axes: [0, -1] });
  call(name, [x], {});
  call(name, [x, list(0, 2)], { keepdims: 0 }, { opset: 18 });
  call(name, [x], { noop_with_empty_axes: 1 }, { opset: 18 });
} // prettier-ignore
for (const name of ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceMean"]) {
  call(name, [i("i32", [2, 3], [1, 2, 3, -4, 5, 6]), ...(name === "ReduceSum" ? [list(1)] : [])]);
}
call("ReduceSum", [f([3, 4, 5]), list(0, 2)]);
call("ReduceSum", [f([3, 4, 5])], { axes: [1] }, { opset: 11 });

// --- products, windows, normalisation --------------------------------------------------------------------------------

call("MatMul", [f([2, 3, 4]), f([4, 5], 2)]);
call("MatMul", [f([4]), f([2, 4, 5], 2)]);
call("MatMul", [f([2, 3, 4]), f([4], 2)]);
call("MatMul", [f([4]), f([4], 2)]);
call("MatMul", [i("i32", [2, 3]), i("i32", [3, 2])]);
call("Gemm", [f([4, 3]), f([5, 4], 2), f([5], 3)], { transA: 1, transB: 1, alpha: 0.5, beta: 2.5 });
call("Gemm", [f([3, 4]), f([4, 5], 2)]);
for (const equation of ["ij,jk->ik", "bij,bjk->bik", "i,i->", "ij,ij->ij", "...ij,...jk->...ik", "ij->ji", "ii->i", "ii", "bhid,bhjd->bhij", "ij,j", "i,j->ij", "abc,cd->abd", "ij->", "bi,ij,bj->b"]) {
  const lengths: Record<string, number> = { a: 2, b: 2, c: 3, d: 5, h: 3, i: 4, j: 3, k: 5 };
  const operands = equation.split("->")[0]!.split(",").map((term, k) => {
    const letters = term.replace("...", "ah");
    return f(Array.from(letters, (letter) => lengths[letter]!), k + 1);
  });
  call("Einsum", operands, { equation });
} // prettier-ignore
const SHAPES = [
  [1, 4, 9],
  [2, 4, 6, 7],
] as const;
for (const x of SHAPES) {
  const rank = x.length - 2;
  const each = (n: number) => Array<number>(rank).fill(n);
  call("Conv", [f(x), f([6, 4, ...each(3)], 2), f([6], 3)], { pads: each(1).concat(each(2)), strides: each(2) });
  call("Conv", [f(x), f([6, 2, ...each(2)], 2)], { group: 2, auto_pad: "SAME_UPPER", strides: each(3) });
  call("Conv", [f(x), f([4, 1, ...each(3)], 2)], { group: 4, auto_pad: "SAME_LOWER", strides: each(2) });
  call("Conv", [f(x), f([4, 1, ...each(3)], 2)], { group: 4, auto_pad: "VALID", kernel_shape: each(3) });
  call("ConvTranspose", [f(x), f([4, 3, ...each(3)], 2), f([3], 3)], {
    strides: each(2),
    pads: each(1).concat(each(0)),
  });
  call("ConvTranspose", [f(x), f([4, 2, ...each(3)], 2)], { group: 2, strides: each(3), output_padding: each(1) });
  call("MaxPool", [f(x)], { kernel_shape: each(3), strides: each(2), pads: each(1).concat(each(1)), ceil_mode: 1 });
  call("MaxPool", [f(x)], { kernel_shape: each(2), dilations: each(2) }, { outputs: ["f32", "i64"] });
  for (const include of [0, 1]) {
    const attributes = {
      kernel_shape: each(3),
      strides: each(2),
      pads: each(1).concat(each(1)),
      count_include_pad: include,
    };
    call("AveragePool", [f(x)], attributes);
  }
  call("AveragePool", [f(x)], { kernel_shape: each(2), auto_pad: "SAME_UPPER" });
  call("LpPool", [f(x)], { kernel_shape: each(2), p: 3, strides: each(2) });
  for (const name of ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"]) call(name, [f(x)]);
  const channels = [f([4], 2), f([4], 3)];
  call("BatchNormalization", [f(x), ...channels, f([4], 4), positive([4])], { epsilon: 0.01 });
  call("InstanceNormalization", [f(x), ...channels], { epsilon: 0.01 });
  call("Conv", [f(x), f([6, 2, ...each(2)], 2)], { group: 2, dilations: each(2) });
  call("LpNormalization", [f(x)], { axis: 1, p: 1 });
  call("LpNormalization", [f(x)]);
  call("LayerNormalization", [f(x), f([x.at(-1)!], 2)], {}, { outputs: ["f32"] });
  call("LayerNormalization", [f(x), f(x.slice(1), 2), f(x.slice(1), 3)], { axis: 1, epsilon: 0.1 }, { outputs: ["f32", "f32", "f32"] }); // prettier-ignore
}
call("MaxPool", [i("u8", [1, 1, 3, 4], [1, 9, 3, 4, 5, 6, 7, 8, 2, 2, 250, 2])], { kernel_shape: [2, 2] });
call("MaxPool", [f([1, 2, 4, 5])], { kernel_shape: [2, 2], storage_order: 1 }, { outputs: ["f32", "i64"] });
call("LRN", [f([2, 4, 3, 2])], { size: 3, alpha: 0.1, beta: 0.6, bias: 1.5 });
call("LRN", [f([1, 9, 2, 2])], { size: 5 });
call("MeanVarianceNormalization", [f([2, 3, 4, 5])]);
call("MeanVarianceNormalization", [f([2, 3, 4, 5])], { axes: [1, -1] });
call("GroupNormalization", [f([2, 4, 5]), f([2], 2), f([2], 3)], { num_groups: 2 }, { opset: 18 });
call("GroupNormalization", [f([2, 4, 5]), f([4], 2), f([4], 3)], { num_groups: 2 }, { opset: 21 });

// --- losses ----------------------------------------------------------------------------------------------------------

for (const reduction of ["none", "sum", "mean"]) {
  const targets = i("i64", [2, 4], [0, 2, 1, 1, 2, 0, 0, 1]);
  const outputs = ["f32", "f32"] as const;
  call("NegativeLogLikelihoodLoss", [f([2, 3, 4]), targets, positive([3])], { reduction, ignore_index: 1 });
  call("NegativeLogLikelihoodLoss", [f([4, 3]), i("i64", [4], [0, 2, 1, 1])], { reduction });
  call("SoftmaxCrossEntropyLoss", [f([2, 3, 4]), targets, positive([3])], { reduction }, { outputs });
  call(
    "SoftmaxCrossEntropyLoss",
    [f([4, 3]), i("i64", [4], [0, 2, -1, 1])],
    { reduction, ignore_index: -1 },
    { outputs },
  );
}

// --- signals ---------------------------------------------------------------------------------------------------------

for (const name of ["HannWindow", "HammingWindow", "BlackmanWindow"]) {
  for (const periodic of [0, 1]) call(name, [scalar(9)], { periodic }, { outputs: ["f32"] });
}
call("MelWeightMatrix", [scalar(5), scalar(32), scalar(8000), scalar(100, "f32"), scalar(4000, "f32")], {}, { outputs: ["f32"] }); // prettier-ignore
call("DFT", [f([2, 6, 1])], { axis: 1 });
call("DFT", [f([2, 5, 2])], { axis: 1, inverse: 1 });
call("DFT", [f([2, 6, 1]), scalar(8)], { axis: 1, onesided: 1 });
call("DFT", [f([2, 6, 1]), scalar(4)], { axis: 1 });
call("DFT", [f([3, 4, 2, 1]), undefined, scalar(1)], {}, { opset: 20 });
call("STFT", [f([1, 32, 1]), scalar(4), positive([8])], { onesided: 1 });
call("STFT", [f([2, 20, 1]), scalar(3), undefined, scalar(7)], { onesided: 0 });

// --- quantised numbers -----------------------------------------------------------------------------------------------

const bytes = (shape: readonly number[], seed = 1) =>
  i(
    "u8",
    shape,
    Array.from({ length: sizeOf(shape) }, (_, k) => (k * 37 + seed * 11) % 256),
  );
const signed = (shape: readonly number[], seed = 1) =>
  i(
    "i8",
    shape,
    Array.from({ length: sizeOf(shape) }, (_, k) => ((k * 37 + seed * 11) % 255) - 127),
  );
for (const [dtype, zero] of [["u8", 128], ["i8", -3]] as const) {
  const x = dtype === "u8" ? bytes([2, 3, 4]) : signed([2, 3, 4]);
  call("DequantizeLinear", [x, scalar(0.02, "f32"), scalar(zero, dtype)], {}, { outputs: ["f32"] });
  call("DequantizeLinear", [x, positive([3]), i(dtype, [3], [0, zero, 5])], { axis: 1 }, { outputs: ["f32"] });
  call("DequantizeLinear", [x, positive([4])], { axis: -1 }, { outputs: ["f32"] });
  call("QuantizeLinear", [f([2, 3, 4]), scalar(0.013, "f32"), scalar(zero, dtype)], {}, { outputs: [dtype] });
  call("QuantizeLinear", [f([2, 3, 4]), positive([3]), i(dtype, [3], [0, zero, 5])], { axis: 1 }, { outputs: [dtype] });
} // prettier-ignore
call(
  "QuantizeLinear",
  [onnxTensor("f32", [8], [0.5, 1.5, 2.5, -0.5, 1e9, -1e9, 127.4, 300]), scalar(1, "f32")],
  {},
  { outputs: ["u8"] },
);
call("DequantizeLinear", [i("i32", [3], [1, -5, 100000]), scalar(0.5, "f32")], {}, { outputs: ["f32"] });
call("DequantizeLinear", [bytes([4, 6]), positive([2, 6]), bytes([2, 6])], { axis: 0, block_size: 2 }, { opset: 21, outputs: ["f32"] }); // prettier-ignore
call("QuantizeLinear", [f([4, 6]), positive([4, 3]), bytes([4, 3])], { axis: 1, block_size: 2 }, { opset: 21, outputs: ["u8"] }); // prettier-ignore
call("QuantizeLinear", [f([5]), scalar(0.001, "f32"), scalar(0, "i16")], {}, { opset: 21, outputs: ["i16"] });
call("QuantizeLinear", [f([5]), scalar(0.001, "f32")], { output_dtype: 4 }, { opset: 21, outputs: ["u16"] });
for (const x of [f([3, 5]), positive([9]), onnxTensor("f32", [3], [0, 0, 0]), onnxTensor("f32", [3], [-1, -2, -3])]) {
  call("DynamicQuantizeLinear", [x], {}, { outputs: ["u8", "f32", "u8"] });
}
call("MatMulInteger", [bytes([2, 3]), bytes([3, 4], 2), scalar(12, "u8"), scalar(7, "u8")], {}, { outputs: ["i32"] });
call("MatMulInteger", [bytes([2, 2, 3]), signed([3, 4]), scalar(12, "u8"), i("i8", [4], [0, 1, -2, 3])], {}, { outputs: ["i32"] }); // prettier-ignore
call("MatMulInteger", [bytes([2, 3]), bytes([3, 4], 2)], {}, { outputs: ["i32"] });
const weights = [scalar(0.02, "f32"), scalar(0, "i8")];
const result = [scalar(0.3, "f32"), scalar(100, "u8")];
call("QLinearMatMul", [bytes([2, 3]), scalar(0.01, "f32"), scalar(12, "u8"), signed([3, 4]), ...weights, ...result]);
call("QLinearMatMul", [bytes([2, 3]), scalar(0.01, "f32"), scalar(12, "u8"), signed([3, 4]), positive([4]), i("i8", [4], [0, 0, 0, 0]), ...result]); // prettier-ignore
call(
  "ConvInteger",
  [bytes([1, 2, 5, 5]), bytes([3, 2, 3, 3], 2), scalar(12, "u8")],
  { pads: [1, 0, 1, 0] },
  { outputs: ["i32"] },
);
call(
  "ConvInteger",
  [bytes([1, 2, 7]), bytes([3, 2, 3], 2), scalar(12, "u8"), scalar(5, "u8")],
  { strides: [2] },
  { outputs: ["i32"] },
);
const convolved = [bytes([1, 2, 5, 5]), scalar(0.01, "f32"), scalar(12, "u8"), signed([3, 2, 3, 3])];
call("QLinearConv", [...convolved, ...weights, ...result], { pads: [1, 1, 1, 1] });
call("QLinearConv", [...convolved, positive([3]), i("i8", [3], [0, 0, 0]), scalar(9, "f32"), scalar(100, "u8"), i("i32", [3], [900, -50, 7])], { strides: [2, 1] }); // prettier-ignore
