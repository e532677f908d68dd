// ONNX's operators: ONNX's own tests, calls that are compared with ONNX Runtime and differentiated numerically, and what is refused.
import { describe, expect, test } from "vitest";
import { operators } from "../../src/graphs/operators/index.js";
import {
  DtypeError,
  OutOfMemoryError,
  ShapeError,
  UnsupportedError,
  ValueError,
  valueAndGrad,
  weightedSum,
  type Tensor,
} from "../../src/index.js";
import { fromOnnx, type Model } from "../../src/onnx.js";
import { mul, sum } from "../../src/ops.js";
import type { StoredTensor } from "../../src/safetensors.js";
import { centralDifferences } from "../helpers/gradient.js";
import { float, graph, node, onnxFile, onnxTensor } from "../helpers/make-onnx.js";
import { noOperators, operatorCases, RANDOM, sameAsOnnx, within, type OperatorCase } from "../helpers/onnx.js";
import { installOnnxRuntime, onnxRuntimeNode } from "../helpers/onnxruntime.js";
import { calls, type Call } from "../helpers/operator-cases.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Feeds = Record<string, StoredTensor>;

// --- ONNX's own tests ------------------------------------------------------------------------------------------------

const cases = operatorCases().filter(({ name }) => !RANDOM.has(name));

/** Tests whose input has another shape than their model declares. */
const CONTRADICTORY = ["test_castlike_BFLOAT16_to_FLOAT", "test_castlike_FLOAT_to_BFLOAT16_expanded"];

/** The first difference of a test's outputs, by the run that makes a plan and one that uses it. */
function differenceOf({ model: bytes, inputs, outputs }: OperatorCase): string | undefined {
  const model = fromOnnx(bytes);
  const feeds: Feeds = Object.fromEntries(model.inputs.map(({ name }, i) => [name, inputs[i]!] as const));
  const rounds = [model.run(feeds), model.run(feeds)];
  const found = rounds.flatMap((results) =>
    model.outputs.map(({ name, dtype }, i) => sameAsOnnx({ ...results[name]!, dtype }, outputs[i]!)),
  );
  model.dispose();
  return found.find((each) => each !== undefined);
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test("ONNX's own tests", (context) => {
    context.skip(cases.length === 0, noOperators);
    const failed = cases.filter((each) => {
      try {
        return differenceOf(each) !== undefined;
      } catch {
        return true;
      }
    });
    console.log(`operator tests, ${variant}: ${cases.length - failed.length} of ${cases.length} pass`);
    const names = new Set(cases.map(({ name }) => name));
    expect(failed.map(({ name }) => name)).toEqual(CONTRADICTORY.filter((name) => names.has(name)));
  });
});

// --- beside ONNX Runtime ---------------------------------------------------------------------------------------------

/** Names of types as ONNX Runtime has them. */
const NAMES = { f32: "float32", f64: "float64", f16: "float16", i64: "int64", i32: "int32", i16: "int16", i8: "int8",
  u8: "uint8", u16: "uint16", u32: "uint32", u64: "uint64", bool: "bool", bf16: "bfloat16" } as const; // prettier-ignore

const feedsOf = ({ inputs }: Call): Feeds =>
  Object.fromEntries(inputs.flatMap((each, i) => (each ? [[`x${i}`, each] as const] : [])));

/** The file of a call, whose inputs are fed or in the file. */
function fileOf(call: Call, fed: boolean): Uint8Array {
  const present = call.inputs.flatMap((each, i) => (each ? [[`x${i}`, each] as const] : []));
  const names = call.inputs.map((each, i) => (each ? `x${i}` : ""));
  const outputs = call.outputs.map((_, i) => `y${i}`);
  return onnxFile(
    graph(
      fed ? Object.fromEntries(present.map(([name, { dtype, shape }]) => [name, [dtype, shape] as const])) : {},
      Object.fromEntries(call.outputs.map((dtype, i) => [`y${i}`, [dtype, undefined] as const])),
      [node(call.operator, names, outputs, call.attributes)],
      fed ? {} : Object.fromEntries(present),
    ),
    { opset: call.opset },
  );
}

const byOperator = [...new Set(calls.map(({ operator }) => operator))].map(
  (name) => [name, calls.filter(({ operator }) => operator === name)] as const,
);

/** Fourier transforms of ONNX Runtime lose digits. */
const boundsOf = ({ operator }: Call) => ({ abs: 1e-7, rel: ["DFT", "STFT"].includes(operator) ? 1e-3 : 1e-5 });

const installed = installOnnxRuntime();

describe.skipIf(!installed)("as ONNX Runtime computes", () => {
  const reference = async (call: Call): Promise<{ data: StoredTensor["data"]; shape: readonly number[] }[]> => {
    const ort = onnxRuntimeNode();
    const session = await ort.InferenceSession.create(fileOf(call, true), { logSeverityLevel: 4 });
    const feeds = Object.entries(feedsOf(call)).map(([name, { data, shape }]) => {
      const { dtype } = call.inputs[Number(name.slice(1))]!;
      return [name, new ort.Tensor(NAMES[dtype] as "float32", data as Float32Array, shape)] as const;
    });
    const results = await session.run(Object.fromEntries(feeds));
    await session.release();
    return call.outputs.map((dtype, i) => {
      const { type, data, dims } = results[`y${i}`]!;
      expect(type).toBe(NAMES[dtype]);
      return { data: data as StoredTensor["data"], shape: dims };
    });
  };
  const compare = (call: Call, results: Feeds, wanted: Awaited<ReturnType<typeof reference>>): void => {
    call.outputs.forEach((dtype, i) => {
      const [got, want] = [results[`y${i}`]!, wanted[i]!];
      const bounds = dtype.startsWith("f") ? boundsOf(call) : { abs: 0, rel: 0 };
      expect(within({ ...got, dtype }, { ...want, dtype }, bounds), `${call.name}, output ${i}`).toBeUndefined();
    });
  };

  test.each(byOperator)("%s", async (_name, own) => {
    for (const call of own) {
      const wanted = await reference(call);
      const model = fromOnnx(fileOf(call, true));
      for (let round = 0; round < 2; round++) compare(call, model.run(feedsOf(call)), wanted);
      model.dispose();
      const constant = fromOnnx(fileOf(call, false));
      for (let round = 0; round < 2; round++) compare(call, constant.run({}), wanted);
      constant.dispose();
    }
  });
});

test("every operator is called in a test", () => {
  const elsewhere = ["CastLike", "Constant", "If", "Loop", "Scan", "GRU", "LSTM", "RNN"]; // ONNX's own tests, plan.test.ts
  const called = new Set([...byOperator.map(([name]) => name), ...elsewhere]);
  expect(Object.keys(operators).filter((name) => !called.has(name))).toEqual([]);
});

// --- derivatives -----------------------------------------------------------------------------------------------------

/** Operators that, or some calls of which, have no derivative. */
const WITHOUT = ["ScatterElements", "ScatterND", "OneHot", "Hardmax", "CumSum", "DynamicQuantizeLinear"];

/** Inputs whose numbers decide what is computed, which is not differentiated; Unique has equal numbers here. */
const DECIDING: Readonly<Record<string, readonly number[]>> = {
  Pad: [2],
  Range: [0, 1, 2],
  Unique: [0],
};

const isFloat = (dtype: string) => dtype.startsWith("f");

/** The inputs of a call whose gradients are compared. */
function differentiated({ operator, inputs, outputs }: Call): string[] {
  if (!outputs.some(isFloat)) return [];
  return inputs.flatMap((each, i) =>
    each && isFloat(each.dtype) && each.data.length > 0 && !DECIDING[operator]?.includes(i) ? [`x${i}`] : [],
  );
}

/** Compares gradients with central differences; returns whether there are gradients. */
function checkGradients(call: Call, wrt: readonly string[]): boolean {
  const model = fromOnnx(fileOf(call, true), { dtype: "f64" });
  const feeds = Object.fromEntries(
    Object.entries(feedsOf(call)).map(([name, { data, shape }]) => {
      const { dtype } = call.inputs[Number(name.slice(1))]!;
      return [name, { data: isFloat(dtype) ? Float64Array.from(data as Float32Array) : data, shape }] as const;
    }),
  );
  const outputs = call.outputs.flatMap((dtype, i) => (isFloat(dtype) ? [`y${i}`] : []));
  const seedOf = (results: Feeds, i: number) => wave(results[outputs[i]!]!.shape, "f64", 3 + i);
  const loss = () => {
    const results = model.run(feeds);
    return outputs.reduce((total, name, i) => {
      const seed = seedOf(results, i).data;
      return (results[name]!.data as Float64Array).reduce((rest, each, k) => rest + each * seed[k]!, total);
    }, 0);
  };
  try {
    const { gradients } = valueAndGrad(
      () => {
        const results = model.run(feeds);
        return weightedSum(
          outputs.map((name, i) => [sum(mul(results[name] as Tensor, seedOf(results, i))), 1] as const),
        );
      },
      wrt.map((name) => feeds[name] as Tensor),
    );
    wrt.forEach((name, i) => {
      const { data, shape } = feeds[name]!;
      const numeric = { dtype: "f64", data: centralDifferences(loss, data as Float64Array), shape } as const;
      const got = { dtype: "f64", data: gradients[i]!.data as Float64Array, shape } as const;
      expect(within(got, numeric, { abs: 1e-8, rel: 1e-8 }), `${call.name}, ${name}`).toBeUndefined();
    });
    return true;
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    expect(error.message).toContain(call.operator);
    return false;
  } finally {
    model.dispose();
  }
}

test.each(byOperator.filter(([, own]) => own.some((call) => differentiated(call).length > 0)))(
  "the derivative of %s",
  (name, own) => {
    const found = own
      .map((call) => [call, differentiated(call)] as const)
      .filter(([, wrt]) => wrt.length > 0)
      .map(([call, wrt]) => checkGradients(call, wrt));
    if (WITHOUT.includes(name)) expect(found).toContain(false);
    else expect(found).not.toContain(false);
  },
);

// --- what is refused -------------------------------------------------------------------------------------------------

const ones = (...shape: number[]) => onnxTensor("f32", shape, Array<number>(shape.reduce((a, b) => a * b, 1)).fill(1));
const whole = (...numbers: number[]) => onnxTensor("i64", [numbers.length], numbers);
const only = (value: number) => onnxTensor("i64", [], [value]);

const REFUSED: readonly (readonly [
  operator: string,
  inputs: Call["inputs"],
  attributes: Call["attributes"],
  kind: Parameters<typeof refuses>[1],
  ...parts: string[],
])[] = [
  ["Add", [ones(2), whole(1, 2)], {}, DtypeError, "(Add), B", "i64"],
  ["Add", [ones(2), ones(3)], {}, ShapeError, "(Add), b", "[3]"],
  ["And", [ones(2), ones(2)], {}, DtypeError, "(And), A", "f32"],
  ["ArgMax", [ones(2, 3)], { axis: 2 }, ValueError, "(ArgMax), axis", "2"],
  ["ArgMax", [ones(2, 0)], { axis: 1 }, ShapeError, "(ArgMax), data", "[2, 0]"],
  ["BitShift", [whole(1), whole(1)], { direction: "UP" }, UnsupportedError, "(BitShift), direction", '"UP"'],
  ["Clip", [ones(2), ones(2)], {}, ShapeError, "(Clip), min", "[2]"],
  ["Compress", [ones(2), onnxTensor("bool", [3], [1, 0, 1])], { axis: 0 }, ShapeError, "(Compress), condition"],
  ["Concat", [ones(2, 3), ones(3, 3)], { axis: 1 }, ShapeError, "(Concat), tensors[1]", "[3, 3]"],
  ["Conv", [ones(1, 2, 5)], {}, ValueError, "(Conv), W", "none"],
  ["Conv", [ones(1, 2, 5), ones(3, 2, 2)], { kernel_shape: [3] }, ShapeError, "(Conv), kernel_shape", "[3]"],
  ["CumSum", [ones(2), only(3)], {}, ValueError, "(CumSum), axis", "3"],
  ["DFT", [ones(1, 4, 2)], { axis: 1, onesided: 1 }, UnsupportedError, "(DFT), onesided"],
  ["DFT", [ones(1, 4, 3)], { axis: 1 }, ShapeError, "(DFT), input", "[1, 4, 3]"],
  ["DepthToSpace", [ones(1, 3, 2, 2)], { blocksize: 2 }, ShapeError, "(DepthToSpace), input"],
  ["Div", [whole(1, 2), whole(1, 0)], {}, ValueError, "B", "0"],
  ["Dropout", [ones(2), ones(), onnxTensor("bool", [], [1])], {}, UnsupportedError, "(Dropout), training_mode"],
  ["Einsum", [ones(2, 3)], { equation: "ij,jk" }, ValueError, "(Einsum), equation", "each of 1 inputs"],
  ["Einsum", [ones(2, 3)], { equation: "i j k" }, ShapeError, "(Einsum), input 0", "[2, 3]"],
  ["Einsum", [ones(2, 3), ones(4, 2)], { equation: "ij,jk->ik" }, ShapeError, "(Einsum), input"],
  ["Einsum", [ones(2, 3)], { equation: "ij->ik" }, ValueError, "(Einsum), equation"],
  ["Exp", [whole(1)], {}, DtypeError, "(Exp), X", "i64"],
  ["EyeLike", [ones(2)], {}, ShapeError, "(EyeLike), input", "[2]"],
  ["Gather", [ones(3), ones(2)], {}, DtypeError, "(Gather), indices", "f32"],
  ["Gather", [ones(3), whole(3)], {}, ValueError, "indices", "3"],
  ["Gather", [ones(3), whole(...Array.from({ length: 99 }, () => -4))], {}, ValueError, "indices", "-4"],
  ["GatherElements", [ones(2, 3), onnxTensor("i64", [3, 1], [0, 0, 0])], { axis: 1 }, ShapeError, "(GatherElements), indices"],
  ["GatherND", [ones(2, 3), onnxTensor("i64", [1, 3], [0, 0, 0])], {}, ShapeError, "(GatherND), indices", "[1, 3]"],
  ["GatherND", [ones(2, 3), onnxTensor("i64", [1, 2], [0, 9])], {}, ValueError, "indices", "9"],
  ["Gemm", [ones(2, 3, 4), ones(4, 5)], {}, ShapeError, "(Gemm), A", "[2, 3, 4]"],
  ["GroupNormalization", [ones(1, 3, 2), ones(2), ones(2)], { num_groups: 2 }, ValueError, "num_groups", "2"],
  ["LpPool", [ones(1, 2, 5)], { kernel_shape: [2], ceil_mode: 1 }, UnsupportedError, "(LpPool), ceil_mode"],
  ["MatMul", [ones(2, 3), ones(4, 5)], {}, ShapeError, "(MatMul), b", "[4, 5]"],
  ["MatMulInteger", [onnxTensor("u8", [1, 1], [1]), onnxTensor("u8", [1, 1], [1]), onnxTensor("i8", [], [1])], {}, DtypeError, "zero point"],
  ["Mul", [whole(2 ** 40), whole(2 ** 40)], {}, ValueError, "result", "2^53"],
  ["NegativeLogLikelihoodLoss", [ones(2, 3), whole(0, 3)], {}, ValueError, "target", "3"],
  ["NegativeLogLikelihoodLoss", [ones(2, 3), whole(0)], {}, ShapeError, "target", "[1]"],
  ["OneHot", [whole(1), only(-2), ones(2)], {}, ShapeError, "(OneHot), depth", "-2"],
  ["OneHot", [whole(1), only(2 ** 50), ones(2)], {}, OutOfMemoryError, "f32"],
  ["Pad", [ones(2), whole(1, 2, 3)], {}, ShapeError, "(Pad), pads", "3"],
  ["Pad", [ones(2), whole(2, 0)], { mode: "reflect" }, ShapeError, "(Pad), pads", "[2, 0]"],
  ["Pad", [ones(2), whole(2 ** 40, 0)], {}, OutOfMemoryError, "f32"],
  ["QuantizeLinear", [ones(2, 3), ones(2)], { axis: 1 }, ShapeError, "(QuantizeLinear), y_scale", "[2]"],
  ["Range", [only(0), only(5), only(0)], {}, ValueError, "(Range), delta", "0"],
  ["ReduceSum", [ones(2), whole(1)], {}, ValueError, "(ReduceSum), axis", "1"],
  ["Reshape", [ones(2, 3), whole(4)], {}, ShapeError, "(Reshape), shape", "[4]"],
  ["ReverseSequence", [ones(2, 3), whole(1, 2, 3)], {}, ValueError, "sequence_lens", "2"],
  ["ScatterElements", [ones(3), whole(1), ones(2)], {}, ShapeError, "(ScatterElements), updates", "[2]"],
  ["ScatterND", [ones(3, 2), onnxTensor("i64", [1, 1], [0]), ones(1, 3)], {}, ShapeError, "(ScatterND), updates"],
  ["ScatterND", [ones(3, 2), onnxTensor("i64", [1, 1], [-4]), ones(1, 2)], {}, ValueError, "indices", "-4"],
  ["Slice", [ones(3), whole(0), whole(3), whole(0), whole(0)], {}, ValueError, "(Slice), steps", "0"],
  ["Split", [ones(6)], { split: [2, 3] }, ShapeError, "(Split), split", "[2, 3]"],
  ["Squeeze", [ones(2, 1), whole(0)], {}, ShapeError, "(Squeeze), axes", "axis 0"],
  ["STFT", [ones(1, 4), only(2), ones(5)], {}, ShapeError, "(STFT), signal", "[1, 4]"],
  ["TopK", [ones(3), whole(4)], {}, ValueError, "(TopK), K", "4"],
  ["Transpose", [ones(2, 3)], { perm: [0, 0] }, ValueError, "(Transpose), axes", "[0, 0]"],
  ["Unsqueeze", [ones(2), whole(1, 1)], {}, ValueError, "(Unsqueeze), axes", "[1, 1]"],
  ["Where", [onnxTensor("bool", [1], [1]), ones(2), whole(1)], {}, DtypeError, "(Where), Y", "i64"],
  ["RandomNormal", [], { shape: [2] }, UnsupportedError, "RandomNormal"],
  ["Relu", [ones(1)], { alpha: float(1) }, UnsupportedError, "Relu, attribute alpha"],
]; // prettier-ignore

test.each(REFUSED.map((each, i) => [`${i} ${each[0]}: ${(each.slice(4) as string[]).join(" ")}`, each] as const))(
  "refused: %s",
  (_text, each) => {
    const [operator, inputs, attributes, kind, ...parts] = each;
    const outputs = operator === "Split" ? (["f32", "f32"] as const) : (["f32"] as const);
    const opset = operator === "Split" ? 11 : operator.startsWith("Group") ? 18 : 17;
    const call: Call = { name: "", operator, opset, inputs, attributes, outputs };
    let model: Model | undefined;
    refuses(() => (model = fromOnnx(fileOf(call, true))).run(feedsOf(call)), kind, ...parts);
    model?.dispose();
    refuses(() => (model = fromOnnx(fileOf(call, false))).run({}), kind, ...parts);
    model?.dispose();
  },
);
