// Layers and models as ONNX files: ONNX Runtime computes the numbers of forward.
import { isDeepStrictEqual } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { readOnnx } from "../../src/formats/onnx/read.js";
import {
  Activation,
  BatchNorm1d,
  Conv1d,
  DisposedError,
  Dropout,
  Embedding,
  GRU,
  LastStep,
  LayerNorm,
  Linear,
  LSTM,
  LSTMCell,
  MaxPool1d,
  MultiheadAttention,
  RNN,
  Sequential,
  UnsupportedError,
  ValueError,
  type Module,
  type Tensor,
} from "../../src/index.js";
import { fromOnnx, toOnnx } from "../../src/onnx.js";
import { both } from "../helpers/both.js";
import "../helpers/bits.js";
import { type Tensors } from "../helpers/close.js";
import { EXPORTS, makeIn } from "../helpers/export-cases.js";
import { modelCases, noModels } from "../helpers/onnx.js";
import { installOnnxRuntime, ONE_THREAD, onnxRuntimeNode } from "../helpers/onnxruntime.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";

describe("ONNX Runtime", () => {
  let there = false;
  beforeAll(() => {
    there = installOnnxRuntime();
  });
  const missing = new Set<string>();

  /** The operator that ONNX Runtime does not have for f64. */
  function missingOperator(error: unknown): string {
    const pattern = /Could not find an implementation for (\w+)\(\d+\) node|(\w+) operator does not support double yet/;
    const [, missing, other] = pattern.exec(String(error)) ?? [];
    if (missing === undefined && other === undefined) throw error;
    return (missing ?? other)!;
  }

  /** What ONNX Runtime computes; the operator where it has none for f64. */
  async function runOrt(bytes: Uint8Array, feeds: Tensors): Promise<Tensors | string> {
    const { InferenceSession, Tensor } = onnxRuntimeNode();
    let session;
    try {
      session = await InferenceSession.create(bytes, { ...ONE_THREAD, logSeverityLevel: 4 });
    } catch (error) {
      const [, missing] =
        /Could not find an implementation for (\w+)\(\d+\) node|NOT_IMPLEMENTED.*/.exec(String(error)) ?? [];
      if (missing === undefined) throw error;
      return missing;
    }
    const given = Object.entries(feeds).map(([name, { data, shape }]) => {
      const wide = data instanceof Int32Array ? BigInt64Array.from(data, BigInt) : data;
      return [name, new Tensor(wide as Float32Array, shape)] as const;
    });
    let results;
    try {
      results = await session.run(Object.fromEntries(given));
    } catch (error) {
      return missingOperator(error);
    }
    return Object.fromEntries(
      session.outputNames.map((name) => {
        const { data, dims } = results[name]!;
        return [name, { data: data as Float32Array, shape: dims }];
      }),
    );
  }

  both("%s: computes the numbers of", (dtype) => {
    test.for(Object.entries(EXPORTS))("%s", async ([, each], context) => {
      context.skip(!there, "ONNX Runtime is not there.");
      const model = makeIn(each, dtype);
      const feeds = each.feeds(dtype);
      const expected = each.run(model as never, feeds);
      for (const opset of [17, 18, 22]) {
        const results = await runOrt(toOnnx(model, { opset, dtype }), feeds);
        if (typeof results === "string") {
          expect(dtype).toBe("f64");
          missing.add(results);
          continue;
        }
        for (const [name, output] of Object.entries(results)) {
          // ONNX Runtime has slopes, epsilons and the scale of attention in f32 alone
          const tolerance = dtype === "f64" ? 1e-8 : 2e-6;
          expect(output, name).toBeAllClose(expected[name]!, { atol: tolerance, rtol: tolerance });
        }
      }
    });
  });

  test("has no other operators for f32 alone", (context) => {
    context.skip(!there, "ONNX Runtime is not there.");
    expect([...missing].sort()).toEqual(
      ["AveragePool", "Conv", "Elu", "GRU", "HardSigmoid", "LSTM", "LeakyRelu", "PRelu", "RNN"], // prettier-ignore
    );
  });
});

/** Inputs or outputs of a file: their shapes by name. */
const shapesOf = (values: readonly { name: string; shape: unknown }[]) =>
  Object.fromEntries(values.map(({ name, shape }) => [name, shape]));

describe("files", () => {
  test.each<[string, Parameters<typeof toOnnx>[0], object, object]>([
    ["LSTM", new LSTM(4, 3, { numLayers: 2, bidirectional: true }), { input: ["T", "N", 4], h0: [4, "N", 3], c0: [4, "N", 3] }, { output: ["T", "N", 6], hn: [4, "N", 3], cn: [4, "N", 3] }], // prettier-ignore
    ["GRU, batch first", new GRU(4, 3, { batchFirst: true }), { input: ["N", "T", 4], h0: [1, "N", 3] }, { output: ["N", "T", 3], hn: [1, "N", 3] }], // prettier-ignore
    ["LSTMCell", new LSTMCell(4, 3), { input: ["N", 4], h0: ["N", 3], c0: ["N", 3] }, { hn: ["N", 3], cn: ["N", 3] }],
    ["Linear", new Linear(4, 3), { input: undefined }, { output: undefined }],
    ["Conv1d", new Conv1d(4, 2, 3), { input: ["T", "N", 4] }, { output: ["T'", "N", 2] }],
    ["Conv1d same", new Conv1d(4, 2, 3, { padding: "same" }), { input: ["T", "N", 4] }, { output: ["T", "N", 2] }],
    ["MultiheadAttention", new MultiheadAttention(4, 2), { query: ["T", "N", 4], key: ["S", "N", 4], value: ["S", "N", 4] }, { output: ["T", "N", 4], weights: ["N", "T", "S"] }], // prettier-ignore
    ["a chain", new Sequential([new Embedding(9, 4), new LayerNorm(4), new LSTM(4, 3), new LastStep(), new Linear(3, 2)]), { input: ["T", "N"] }, { output: ["N", 2] }], // prettier-ignore
    ["a chain of other axes", new Sequential([new Linear(4, 3), new Activation("tanh"), new MaxPool1d(2, { batchFirst: true })]), { input: ["N", "T", 4] }, { output: ["N", "T'", 3] }], // prettier-ignore
  ])("%s: names, open axes, types", (_, model, inputs, outputs) => {
    const { graph, opsets, producerName } = readOnnx(toOnnx(model));
    expect(shapesOf(graph.inputs)).toEqual(inputs);
    expect(shapesOf(graph.outputs)).toEqual(outputs);
    expect([...opsets]).toEqual([["", 17]]);
    expect(producerName).toBe("wasm-rnn");
    const floats = [...graph.inputs, ...graph.outputs].map(({ dtype }) => dtype);
    expect(new Set(floats)).toEqual(new Set(floats[0] === "i64" ? ["i64", "f64"] : ["f64"]));
    model.dispose();
  });

  test("weights have the names of the layers", () => {
    using model = new Sequential({ lstm: new LSTM(4, 3), head: new Sequential([new Linear(3, 2)]) });
    const names = [...readOnnx(toOnnx(model)).graph.initializers.keys()].filter((name) => !name.startsWith("int"));
    expect(names).toEqual(["lstm.W_l0", "lstm.R_l0", "lstm.B_l0", "head.0.weight", "head.0.bias"]);
  });

  test("equal layers give equal bytes, and only dtype and opset change them", () => {
    using a = new LSTM(4, 3, { seed: 1 });
    using b = new LSTM(4, 3, { seed: 1, dropout: 0.5, stateful: true, checkpoint: 3 });
    expect(toOnnx(a)).toEqual(toOnnx(b));
    const single = readOnnx(toOnnx(a, { dtype: "f32" })).graph;
    expect([...single.inputs, ...single.outputs].map(({ dtype }) => dtype)).toEqual(Array(6).fill("f32"));
    expect(single.initializers.get("W_l0")!.data).toEqual(
      Float32Array.from(readOnnx(toOnnx(a)).graph.initializers.get("W_l0")!.data as Float64Array),
    );
    expect(readOnnx(toOnnx(a, { opset: 13 })).opsets).toEqual(new Map([["", 13]]));
  });

  test("a chain whose layers do nothing hands its input on", () => {
    using model = new Sequential([new Dropout(0.5, { dtype: "f32" })]);
    const { graph } = readOnnx(toOnnx(model));
    expect(graph.nodes.map(({ opType, inputs, outputs }) => [opType, inputs, outputs])).toEqual([
      ["Identity", ["input"], ["output"]],
    ]);
  });
});

describe("files that fromOnnx reads again", () => {
  both("%s: give the bits of", (dtype) => {
    test.each(Object.entries(EXPORTS))("%s", (_, each) => {
      const layer = makeIn(each, dtype);
      const feeds = each.feeds(dtype);
      const expected = each.run(layer as never, feeds);
      for (const opset of [17, 22]) {
        using model = fromOnnx(toOnnx(layer, { opset, dtype }));
        const results = model.run(feeds);
        for (const [name, output] of Object.entries(results))
          expect(output as Tensor, name).toHaveBits(expected[name]!);
      }
    });
  });
});

describe("models from files", () => {
  test("are written as they were read", (context) => {
    const cases = modelCases();
    context.skip(cases.length === 0, noModels);
    let count = 0;
    for (const [folder, bytes] of new Map(cases.map(({ folder, model }) => [folder, model]))) {
      let model;
      try {
        model = fromOnnx(bytes);
      } catch (error) {
        if (error instanceof UnsupportedError) continue;
        throw error;
      }
      expect(isDeepStrictEqual(readOnnx(toOnnx(model)), readOnnx(bytes)), folder).toBe(true);
      model.dispose();
      count++;
    }
    console.log(`models from files: ${count} written as they were read`);
    expect(count).toBeGreaterThan(0);
  });

  both("have their present weights, of %s", (dtype) => {
    test("after loadStateDict, after training", () => {
      using layer = new RNN(2, 3, { dtype, seed: 1 });
      using model = fromOnnx(toOnnx(layer));
      const feeds = { input: wave([4, 1, 2], dtype), h0: wave([1, 1, 3], dtype, 3) };
      const state = model.stateDict();
      for (const { data } of Object.values(state)) for (let i = 0; i < data.length; i++) data[i]! += 0.25;
      model.loadStateDict(state);
      {
        using again = fromOnnx(toOnnx(model));
        expect(again.run(feeds).output as Tensor).toHaveBits(model.run(feeds).output as Tensor);
        expect(again.stateDict()).toEqual(state);
      }
      for (const { value } of model.parameters()) value.data.fill(0.5);
      using again = fromOnnx(toOnnx(model));
      expect(Object.values(again.stateDict()).flatMap(({ data }) => [...data])).toSatisfy((all: number[]) =>
        all.every((each) => each === 0.5),
      );
    });
  });

  test("run in f64, they keep the types of the file", () => {
    using layer = new RNN(2, 3, { dtype: "f32", seed: 1 });
    const bytes = toOnnx(layer);
    using model = fromOnnx(bytes, { dtype: "f64" });
    expect(toOnnx(model)).toEqual(bytes);
    expect(toOnnx(model, { opset: 17 })).toEqual(bytes);
    refuses(() => toOnnx(model, { opset: 18 }), UnsupportedError, "opset: got 18, expected 17, the model's own");
    refuses(() => toOnnx(model, { dtype: "f64" }), UnsupportedError, "dtype: got f64");
  });
});

describe("what ONNX does not have is refused by name", () => {
  test("options of recurrent layers", () => {
    using projected = new LSTM(4, 3, { projSize: 2 });
    refuses(() => toOnnx(projected), UnsupportedError, "projSize: got set");
    using normed = new Sequential({ top: new Sequential({ gru: new GRU(4, 3, { layerNorm: true }) }) });
    refuses(() => toOnnx(normed), UnsupportedError, "top.gru.layerNorm: got set");
  });

  test("layers of others, and layers that take more than x in a chain", () => {
    const own = { forward: (x: never) => ({ output: x }), dispose: () => undefined } as unknown as Module<"f64">;
    using model = new Sequential({ linear: new Linear(2, 2), own: new Sequential([own]) });
    refuses(() => toOnnx(model), UnsupportedError, "layers.own.0: got Object", "layers of this package");
    using cells = new Sequential({ cell: new LSTMCell(2, 2) as unknown as Module<"f64"> });
    refuses(() => toOnnx(cells), UnsupportedError, "layers.cell: got LSTMCell", "a layer that takes x alone");
    for (const value of [null, undefined, 5, "x", {}, [], () => 1, Object.create(Linear.prototype)]) {
      refuses(() => toOnnx(value as never), UnsupportedError, "model");
    }
  });

  test("other opsets and options", () => {
    using layer = new LayerNorm(4);
    for (const opset of [12, 23, 17.5, NaN, "17"])
      refuses(() => toOnnx(layer, { opset } as never), ValueError, "opset");
    refuses(() => toOnnx(layer, { opset: 16 }), UnsupportedError, "opset: got 16, expected 17 or later, for LayerNorm");
    refuses(() => toOnnx(layer, { dtype: "f16" as never }), ValueError, "dtype");
    refuses(() => toOnnx(layer, { version: 3 } as never), UnsupportedError, "toOnnx option");
  });

  test("a layer that was disposed of", () => {
    const layer = new BatchNorm1d(3);
    layer.dispose();
    refuses(() => toOnnx(layer), DisposedError, "BatchNorm1d");
  });
});
