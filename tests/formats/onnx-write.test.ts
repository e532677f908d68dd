// The writer of ONNX files: what it writes is read back equal.
import { isDeepStrictEqual } from "node:util";
import { describe, expect, test } from "vitest";
import type { OnnxModel, OnnxNode, OnnxTensor } from "../../src/formats/onnx/model.js";
import { readOnnx } from "../../src/formats/onnx/read.js";
import { writeOnnx } from "../../src/formats/onnx/write.js";
import { arrayOf, modelCases, noModels, noOperators, operatorCases } from "../helpers/onnx.js";

const tensor = (
  name: string,
  dtype: OnnxTensor["dtype"],
  shape: number[],
  numbers: (number | bigint)[],
): OnnxTensor => ({
  ...{ name, dtype, shape },
  data: arrayOf(dtype, numbers),
});

/** A model with everything that the format can say. */
function everything(): OnnxModel {
  const branch = {
    name: "branch",
    nodes: [],
    initializers: new Map([["b", tensor("b", "bool", [2], [0, 1])]]),
    inputs: [],
    outputs: [{ name: "b", dtype: undefined, shape: undefined }],
  };
  const node: OnnxNode = {
    name: "node",
    opType: "Op",
    domain: "my.domain",
    inputs: ["x", "", "w"],
    outputs: ["", "y"],
    attributes: new Map<string, OnnxNode["attributes"] extends ReadonlyMap<string, infer A> ? A : never>([
      ["float", { type: "float", value: 0 }],
      ["inf", { type: "float", value: -Infinity }],
      ["nan", { type: "float", value: NaN }],
      ["int", { type: "int", value: 0 }],
      ["minus", { type: "int", value: -1 }],
      ["max", { type: "int", value: 2 ** 63 }],
      ["min", { type: "int", value: -(2 ** 63) }],
      ["safe", { type: "int", value: -Number.MAX_SAFE_INTEGER }],
      ["string", { type: "string", value: "" }],
      ["unicode", { type: "string", value: "\u00e9\u{1f600}\0" }],
      ["tensor", { type: "tensor", value: tensor("", "i64", [], [-(2n ** 63n)]) }],
      ["graph", { type: "graph", value: branch }],
      ["floats", { type: "floats", value: [1.5, -0] }],
      ["ints", { type: "ints", value: [1, 0, -(2 ** 31), 127, 128, 2 ** 53 - 1] }],
      ["strings", { type: "strings", value: ["", "a"] }],
      [
        "tensors",
        { type: "tensors", value: [tensor("t", "f16", [0, 3], []), tensor("u", "u64", [1], [2n ** 64n - 1n])] },
      ],
      ["graphs", { type: "graphs", value: [branch, branch] }],
      ["none", { type: "ints", value: [] }],
      ["__proto__", { type: "int", value: 1 }],
    ]),
  };
  const dtypes = ["f64", "f32", "f16", "bf16", "i32", "i16", "i8", "u32", "u16", "u8"] as const;
  return {
    irVersion: 9,
    producerName: "wasm-rnn",
    producerVersion: "1",
    domain: "d",
    modelVersion: -1,
    docString: "text",
    opsets: new Map([
      ["", 17],
      ["my.domain", 3],
    ]),
    graph: {
      name: "g",
      nodes: [node, { ...node, name: "", domain: "", attributes: new Map() }],
      initializers: new Map(dtypes.map((dtype) => [dtype, tensor(dtype, dtype, [1, 2], [1, 100])])),
      inputs: [
        { name: "x", dtype: "f32", shape: ["N", 0, "", 7] },
        { name: "s", dtype: "bf16", shape: [] },
      ],
      outputs: [
        { name: "y", dtype: "i8", shape: undefined },
        { name: "z", dtype: undefined, shape: [1] },
      ],
    },
    functions: [
      {
        name: "F",
        domain: "my.domain",
        inputs: ["a", "b"],
        outputs: ["c"],
        attributes: new Map<string, { type: "int"; value: number } | undefined>([
          ["needed", undefined],
          ["given", { type: "int", value: 4 }],
        ]),
        nodes: [
          {
            ...node,
            attributes: new Map([
              ["a", { type: "reference", value: "given", of: "int" }],
              ["b", { type: "reference", value: "needed", of: undefined }],
            ]),
          },
        ],
        opsets: new Map([["", 16]]),
      },
    ],
    metadata: new Map([
      ["", ""],
      ["__proto__", "x"],
    ]),
  };
}

describe("what is written is read back equal", () => {
  test("a model with everything", () => {
    const model = everything();
    expect(readOnnx(writeOnnx(model))).toStrictEqual(model);
    expect(writeOnnx(readOnnx(writeOnnx(model)))).toEqual(writeOnnx(model));
  });

  test("all operator tests", (context) => {
    const cases = operatorCases();
    context.skip(cases.length === 0, noOperators);
    for (const { name, model: bytes } of cases) {
      const model = readOnnx(bytes);
      expect(isDeepStrictEqual(readOnnx(writeOnnx(model)), model), name).toBe(true);
    }
  });

  test("all real models", (context) => {
    const cases = modelCases();
    context.skip(cases.length === 0, noModels);
    for (const [folder, bytes] of new Map(cases.map(({ folder, model }) => [folder, model]))) {
      const model = readOnnx(bytes);
      const written = writeOnnx(model);
      expect(isDeepStrictEqual(readOnnx(written), model), folder).toBe(true);
      expect(written.length).toBeLessThan(1.1 * bytes.length);
    }
  });
});

test("a tensor that is a part of an array is written alone", () => {
  const model = everything();
  const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
  const initializers = new Map([["w", { name: "w", dtype: "f32", shape: [2], data } as const]]);
  const read = readOnnx(writeOnnx({ ...model, graph: { ...model.graph, initializers } }));
  expect(read.graph.initializers.get("w")!.data).toEqual(Float32Array.of(1, 2));
});
