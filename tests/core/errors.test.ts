// Refused arguments: every error names the argument, what was received and what was expected. Calls at the wrong time are in
// layers.test.ts, with checks that nothing changes.
import { describe, expect, test } from "vitest";
import {
  Adam,
  Dropout,
  DtypeError,
  Embedding,
  GRU,
  LSTM,
  LayerNorm,
  Linear,
  RNN,
  SGD,
  ShapeError,
  UnsupportedError,
  ValueError,
  bceWithLogits,
  crossEntropy,
  init,
  l1,
  logSoftmax,
  mse,
  nll,
  smoothL1,
  softmax,
  tensor,
  toTorch,
  type Tensor,
} from "../../src/index.js";
import { onnxRecurrent } from "../../src/onnx.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { sparse, wave } from "../helpers/tensors.js";

type Options = Record<string, unknown>;

/** Any layer, under one type of forward and backward. */
interface AnyLayer extends Disposable {
  forward(x: Tensor, state?: Record<string, Tensor>): Record<string, Tensor>;
  backward(gradients: Record<string, Tensor>): Record<string, Tensor>;
}

both("%s", (dtype) => {
  describe.each(["RNN", "LSTM", "GRU"] as const)("%s: sequences", (name) => {
    const layerOf = (options?: Options) =>
      new { RNN, LSTM, GRU }[name](3, 4, { seed: 1, dtype, ...options }) as AnyLayer;
    const other = dtype === "f64" ? "f32" : "f64";

    test("wrong x", () => {
      using layer = layerOf();
      using batchFirst = layerOf({ batchFirst: true });
      const cases: [AnyLayer, unknown, new (...args: never[]) => Error, ...string[]][] = [
        [layer, wave([0, 2, 3], dtype), ShapeError, "x: got [0, 2, 3], expected at least one step"],
        [layer, wave([0, 3], dtype), ShapeError, "x: got [0, 3], expected at least one step"],
        [batchFirst, wave([2, 0, 3], dtype), ShapeError, "x: got [2, 0, 3], expected at least one step"],
        [layer, wave([5, 2, 4], dtype), ShapeError, "x: got [5, 2, 4], expected [T, N, 3]"],
        [batchFirst, wave([5, 2, 4], dtype), ShapeError, "x: got [5, 2, 4], expected [N, T, 3]"],
        [layer, wave([5, 4], dtype), ShapeError, "x: got [5, 4], expected [T, 3]"],
        [layer, wave([3], dtype), ShapeError, "x: got [3], expected [T, N, 3]"],
        [layer, wave([1, 5, 2, 3], dtype), ShapeError, "x: got [1, 5, 2, 3]"],
        [layer, wave([5, 2, 3], other), DtypeError, `x: got ${other}, expected ${dtype}`],
        [layer, tensor([0], [1, 1, 1], "i32"), DtypeError, `x: got i32, expected ${dtype}`],
        [layer, { data: wave([29], dtype).data, shape: [5, 2, 3] }, ShapeError, "x: got 29 numbers, expected 30"],
        [layer, { data: [1, 2, 3], shape: [1, 1, 3] }, DtypeError, "x: got Object"],
        [layer, [[[1, 2, 3]]], DtypeError, "x: got Array"],
        [layer, { data: wave([3], dtype).data }, ShapeError, "x: got undefined"],
        [layer, { data: wave([3], dtype).data, shape: sparse([1, 1, 3], 1) }, ShapeError, "x: got [1, undefined, 3]"],
        [layer, { data: wave([3], dtype).data, shape: [1, -1, -3] }, ShapeError, "x: got [1, -1, -3]"],
        [layer, { data: wave([3], dtype).data, shape: [1, 1.5, 2] }, ShapeError, "x: got [1, 1.5, 2]"],
        [layer, { data: wave([3], dtype).data, shape: ["1", 1, 3] }, ShapeError, "whole numbers"],
        [layer, null, DtypeError, "x: got null"],
      ];
      for (const [of, x, error, ...parts] of cases) refuses(() => of.forward(x as Tensor), error, ...parts);
    });

    test("wrong states", () => {
      using layer = layerOf({ numLayers: 2 });
      const x = wave([5, 2, 3], dtype);
      for (const key of name === "LSTM" ? ["h0", "c0"] : ["h0"]) {
        const call = (state: unknown) => () => layer.forward(x, { [key]: state } as never);
        refuses(call(wave([1, 2, 4], dtype)), ShapeError, `${key}: got [1, 2, 4], expected [2, 2, 4]`);
        refuses(call(wave([2, 4], dtype)), ShapeError, `${key}: got [2, 4], expected [2, 2, 4]`);
        refuses(call(wave([2, 2, 4], other)), DtypeError, `${key}: got ${other}, expected ${dtype}`);
        refuses(call(null), DtypeError, `${key}: got null`);
        refuses(() => layer.forward(wave([5, 3], dtype), { [key]: wave([2, 1, 4], dtype) }), ShapeError, "[2, 4]");
      }
      refuses(() => layer.forward(x, { hx: x }), UnsupportedError, "hx", "h0");
      if (name !== "LSTM") refuses(() => layer.forward(x, { c0: wave([2, 2, 4], dtype) }), UnsupportedError, "c0");
      refuses(() => layer.forward(x, null as never), ValueError);
    });

    test("wrong states and gradients of both directions, and of projections", () => {
      using layer = layerOf({ bidirectional: true, ...(name === "LSTM" && { projSize: 2 }) });
      const p = name === "LSTM" ? 2 : 4;
      const x = wave([5, 2, 3], dtype);
      for (const shape of [
        [1, 2, p],
        [2, 2, 3],
        [2, 2, 2 * p],
      ]) {
        const expected = `h0: got [${shape.join(", ")}], expected [2, 2, ${p}]`;
        refuses(() => layer.forward(x, { h0: wave(shape, dtype) }), ShapeError, expected);
      }
      layer.forward(x);
      const call = (gradients: Record<string, Tensor>) => () => layer.backward(gradients);
      refuses(
        call({ output: wave([5, 2, p], dtype) }),
        ShapeError,
        `output: got [5, 2, ${p}], expected [5, 2, ${2 * p}]`,
      );
      refuses(call({ hn: wave([2, 2, 3], dtype) }), ShapeError, `hn: got [2, 2, 3], expected [2, 2, ${p}]`);
      if (name !== "LSTM") return;
      refuses(
        () => layer.forward(x, { c0: wave([2, 2, p], dtype) }),
        ShapeError,
        "c0: got [2, 2, 2], expected [2, 2, 4]",
      );
      refuses(call({ cn: wave([2, 2, p], dtype) }), ShapeError, "cn: got [2, 2, 2], expected [2, 2, 4]");
    });

    test("wrong gradients", () => {
      using layer = layerOf({ numLayers: 2, batchFirst: true });
      layer.forward(wave([2, 5, 3], dtype));
      const call = (gradients: unknown) => () => layer.backward(gradients as never);
      refuses(call({ output: wave([5, 2, 4], dtype) }), ShapeError, "output: got [5, 2, 4], expected [2, 5, 4]");
      refuses(call({ output: null }), DtypeError, "output: got null");
      refuses(call({ output: wave([2, 5, 4], other) }), DtypeError, `output: got ${other}, expected ${dtype}`);
      for (const key of name === "LSTM" ? ["hn", "cn"] : ["hn"]) {
        refuses(call({ [key]: wave([2, 5, 4], dtype) }), ShapeError, `${key}: got [2, 5, 4], expected [2, 2, 4]`);
        refuses(call({ [key]: null }), DtypeError, `${key}: got null`);
      }
      if (name !== "LSTM") refuses(call({ cn: wave([2, 2, 4], dtype) }), UnsupportedError, "cn");
      expect(layer.backward({}).x!.data.every((g) => g === 0)).toBe(true); // what is left out counts as zeros
    });

    test("an empty batch of any length takes no time", () => {
      const variants = [{}, { bidirectional: true }, { goBackwards: true }, { checkpoint: 2 }, { dropout: 0.5, numLayers: 2 }]; // prettier-ignore
      for (const options of variants) {
        using layer = layerOf(options);
        const width = "bidirectional" in options ? 8 : 4;
        for (const lengths of [undefined, tensor([], [0], "i32")]) {
          const state: Record<string, Tensor> = lengths ? { lengths } : {};
          const { output } = layer.forward({ data: wave([0], dtype).data, shape: [2 ** 40, 0, 3] }, state);
          expect(output!.shape).toEqual([2 ** 40, 0, width]);
          expect(layer.backward({ output: output! }).x!.shape).toEqual([2 ** 40, 0, 3]);
        }
      }
      using batchFirst = layerOf({ batchFirst: true });
      expect(batchFirst.forward({ data: wave([0], dtype).data, shape: [0, 2 ** 40, 3] }).output!.shape[1]).toBe(
        2 ** 40,
      );
    });
  });
});

describe("constructors refuse", () => {
  const makers: Record<string, (a: unknown, b: unknown, options?: unknown) => unknown> = {
    RNN: (a, b, options) => new RNN(a as number, b as number, options as object),
    LSTM: (a, b, options) => new LSTM(a as number, b as number, options as object),
    GRU: (a, b, options) => new GRU(a as number, b as number, options as object),
    Linear: (a, b, options) => new Linear(a as number, b as number, options as object),
    Embedding: (a, b, options) => new Embedding(a as number, b as number, options as object),
  };
  const sizeNames: Record<string, [string, string]> = {
    RNN: ["inputSize", "hiddenSize"],
    LSTM: ["inputSize", "hiddenSize"],
    GRU: ["inputSize", "hiddenSize"],
    Linear: ["inFeatures", "outFeatures"],
    Embedding: ["numEmbeddings", "embeddingDim"],
  };

  describe.each(Object.keys(makers))("%s", (name) => {
    const make = makers[name]!;
    const [firstSize, secondSize] = sizeNames[name]!;

    test.each([0, -1, 1.5, NaN, Infinity, 2 ** 53, "3", null, undefined, [3], {}, 3n, true])("size %s", (size) => {
      refuses(() => make(size, 4), ShapeError, firstSize, "an integer >= 1");
      refuses(() => make(3, size), ShapeError, secondSize, "an integer >= 1");
    });

    test("unknown options are named", () => {
      refuses(() => make(3, 4, { dtpye: "f32" }), UnsupportedError, name, "dtpye", "dtype");
      refuses(() => make(3, 4, { embedSize: 2 }), UnsupportedError, "embedSize");
      for (const options of [null, 3, "f32"]) refuses(() => make(3, 4, options), ValueError, `${name} options`);
    });

    test("dtype, seed", () => {
      for (const dtype of ["f16", "i32", "", null, 64, {}]) {
        refuses(() => make(3, 4, { dtype }), ValueError, "dtype", '"f64" or "f32"');
      }
      for (const seed of [-1, 0.5, NaN, 2 ** 53, "1", null, {}, 1n]) {
        refuses(() => make(3, 4, { seed }), ValueError, "seed");
      }
    });
  });

  test("options of one kind", () => {
    for (const make of [makers.RNN!, makers.LSTM!, makers.GRU!]) {
      for (const numLayers of [0, -1, 1.5, "2", null, 65537, 1e9]) {
        refuses(() => make(3, 4, { numLayers }), ShapeError, "numLayers");
      }
      for (const flag of ["bias", "batchFirst", "bidirectional", "goBackwards", "stateful"]) {
        for (const value of [0, 1, "yes", null]) refuses(() => make(3, 4, { [flag]: value }), ValueError, flag);
      }
      for (const name of ["dropout", "recurrentDropout"]) {
        for (const value of [-0.1, 1.1, NaN, "0.5", null])
          refuses(() => make(3, 4, { [name]: value }), ValueError, name);
      }
      for (const checkpoint of [0, -1, 1.5, "2", null]) {
        refuses(() => make(3, 4, { checkpoint }), ShapeError, "checkpoint", "an integer >= 1");
      }
      for (const activation of ["softmax", "", null, 0, "toString"]) {
        refuses(() => make(3, 4, { activation }), ValueError, "activation", "hardSigmoid");
      }
    }
    refuses(() => makers.Linear!(3, 4, { bias: "no" }), ValueError, "bias");
    for (const nonlinearity of ["sigmoid", "", null, 0, "toString"]) {
      refuses(() => makers.RNN!(3, 4, { nonlinearity }), ValueError, "nonlinearity", '"tanh" or "relu"');
    }
    refuses(() => makers.LSTM!(3, 4, { nonlinearity: "tanh" }), UnsupportedError, "nonlinearity");
    for (const projSize of [-1, 4, 1.5, "2", null]) {
      refuses(() => makers.LSTM!(3, 4, { projSize }), ValueError, "projSize", "from 0 to 3");
    }
    for (const value of [0, "yes", null]) {
      refuses(() => makers.GRU!(3, 4, { resetAfter: value }), ValueError, "resetAfter");
      refuses(() => makers.LSTM!(3, 4, { unitForgetBias: value }), ValueError, "unitForgetBias");
    }
    refuses(() => makers.GRU!(3, 4, { projSize: 2 }), UnsupportedError, "projSize");
    for (const paddingIdx of [3, -4, 0.5, "1", null, NaN]) {
      refuses(() => makers.Embedding!(3, 4, { paddingIdx }), ValueError, "paddingIdx", "-3 to 2");
    }
  });
});

test("an option that is undefined has its default", () => {
  const [own, plain] = [new Linear(3, 2, { seed: 1 }), new Linear(3, 2, { seed: 1 })];
  const { paramGroups } = new Adam(own.parameters(), { lr: undefined, betas: undefined, eps: undefined });
  expect(paramGroups[0]).toMatchObject({
    ...new Adam(own.parameters()).paramGroups[0],
    params: paramGroups[0]!.params,
  });
  const [group] = new SGD([{ params: own.parameters(), momentum: undefined }], { momentum: 0.5 }).paramGroups;
  expect(group!.momentum).toBe(0.5);
  init.kaimingUniform(own.parameters()[0]!.value, { a: undefined, mode: undefined, seed: 3 });
  init.kaimingUniform(plain.parameters()[0]!.value, { seed: 3 });
  expect(own.stateDict()).toEqual(plain.stateDict());
  const keras = { kernel: wave([3, 8], "f64"), recurrent_kernel: wave([2, 8], "f64") };
  const given = toTorch("keras", "LSTM", { ...keras, bias: undefined }, { layer: undefined, reverse: undefined });
  expect(given).toEqual(toTorch("keras", "LSTM", keras));
  const [X, W, R] = [wave([2, 1, 3], "f64"), wave([1, 2, 3], "f64"), wave([1, 2, 2], "f64")];
  const options = { hidden_size: 2, direction: undefined, clip: undefined };
  expect(onnxRecurrent("RNN", options, { X, W, R, B: undefined, initial_h: undefined })).toEqual(
    onnxRecurrent("RNN", { hidden_size: 2 }, { X, W, R }),
  );
});

describe("layers without sizes", () => {
  test("Dropout", () => {
    for (const p of [-0.1, 1.1, NaN, "0.5", null]) refuses(() => new Dropout(p as number), ValueError, "p: got");
    refuses(() => new Dropout(0.5, { inplace: true } as object), UnsupportedError, "Dropout option", "inplace");
    refuses(() => new Dropout(0.5, { dtype: "f16" as "f32" }), ValueError, "dtype");
    refuses(() => new Dropout(0.5, { seed: -1 }), ValueError, "seed");
    using layer = new Dropout();
    expect(layer.p).toBe(0.5);
    refuses(() => layer.forward(wave([2], "f32")), DtypeError, "x: got f32, expected f64");
    layer.forward(wave([2, 3], "f64"));
    const { state } = layer.random;
    refuses(() => layer.forward(null as never), DtypeError, "x: got null");
    expect(layer.random.state).toEqual(state); // no mask was drawn
    refuses(() => layer.backward({ output: wave([3, 2], "f64") }), ShapeError, "output: got [3, 2], expected [2, 3]");
    refuses(() => layer.backward({ x: wave([2, 3], "f64") } as never), UnsupportedError, "x", "output");
    expect(layer.backward({ output: wave([2, 3], "f64") }).x.shape).toEqual([2, 3]); // the forward was not consumed
  });

  test("LayerNorm", () => {
    for (const shape of [0, -1, 1.5, "3", null, undefined, [], [3, 0], [[3]], [2 ** 16, 2 ** 16]]) {
      refuses(() => new LayerNorm(shape as number), ShapeError, "normalizedShape");
    }
    refuses(() => new LayerNorm(3, { bias: false } as object), UnsupportedError, "LayerNorm option", "bias");
    refuses(() => new LayerNorm(3, { elementwiseAffine: 1 as never }), ValueError, "elementwiseAffine");
    refuses(() => new LayerNorm(3, { dtype: "f16" as "f32" }), ValueError, "dtype");
    for (const eps of [-1, NaN, Infinity, "1", null]) {
      refuses(() => new LayerNorm(3, { eps: eps as number }), ValueError, "eps");
    }
    using layer = new LayerNorm([2, 3]);
    refuses(() => layer.forward(wave([3, 2], "f64")), ShapeError, "x: got [3, 2], expected [..., 2, 3]");
    refuses(() => layer.forward(wave([3], "f64")), ShapeError, "x: got [3]");
    refuses(() => layer.forward(wave([2, 3], "f32")), DtypeError, "x: got f32, expected f64");
    layer.forward(wave([4, 2, 3], "f64"));
    refuses(
      () => layer.backward({ output: wave([2, 3], "f64") }),
      ShapeError,
      "output: got [2, 3], expected [4, 2, 3]",
    );
    for (const { grad } of layer.parameters()) expect(grad.data.every((g) => g === 0)).toBe(true);
    layer.backward({ output: wave([4, 2, 3], "f64") });
    expect(layer.forward({ data: new Float64Array(0), shape: [0, 2, 3] }).output.shape).toEqual([0, 2, 3]);
    expect(layer.backward({ output: { data: new Float64Array(0), shape: [0, 2, 3] } }).x.shape).toEqual([0, 2, 3]);
  });
});

describe("losses refuse", () => {
  const logits = wave([2, 3], "f64");
  const targets = tensor([0, 2], [2], "i32");

  test("crossEntropy", () => {
    const call = (l: unknown, t: unknown, o?: unknown) => () => crossEntropy(l as Tensor, t as Tensor, o as object);
    refuses(call(logits, tensor([0, 3], [2], "i32")), ValueError, "targets: got 3 at position 1", "0 to 2");
    refuses(call(logits, tensor([-1, 0], [2], "i32")), ValueError, "targets: got -1 at position 0");
    refuses(call(logits, tensor([0, 2])), DtypeError, "targets: got f64, expected i32");
    refuses(call(logits, tensor([0, 1, 2], [3], "i32")), ShapeError, "targets: got [3], expected [2]");
    refuses(call(targets, targets), DtypeError, "logits: got i32");
    refuses(call(wave([2, 0], "f64"), targets), ShapeError, "logits", "at least one");
    refuses(call(wave([], "f64"), tensor(0, [], "i32")), ShapeError, "logits: got []");
    refuses(call(logits, targets, { reduction: "average" }), ValueError, "reduction");
    for (const ignoreIndex of [1.5, NaN, "0", 2 ** 32, -(2 ** 31) - 1]) {
      refuses(call(logits, targets, { ignoreIndex }), ValueError, "ignoreIndex"); // 2 ** 32 would be class 0 in wasm
    }
    refuses(call(logits, targets, { smoothing: 0.1 }), UnsupportedError, "smoothing", "labelSmoothing");
    refuses(call(logits, targets, null), ValueError);
    refuses(call(undefined, targets), DtypeError, "logits: got undefined");
    refuses(call(logits, undefined), DtypeError, "targets: got undefined");
  });

  test("crossEntropy: weights, label smoothing, probabilities", () => {
    const call = (t: Tensor, o: object) => () => crossEntropy(logits, t, o);
    refuses(call(targets, { weight: wave([2], "f64") }), ShapeError, "weight: got [2], expected [3]");
    refuses(call(targets, { weight: wave([3], "f32") }), DtypeError, "weight: got f32, expected f64");
    refuses(call(targets, { weight: null }), DtypeError, "weight: got null");
    refuses(call(targets, { weight: [1, 2, 3] }), DtypeError, "weight: got Array");
    for (const labelSmoothing of [-0.1, 1.1, NaN, "0.1", null]) {
      refuses(call(targets, { labelSmoothing }), ValueError, "labelSmoothing");
    }
    refuses(call(targets, { ignoreIndex: null }), ValueError, "ignoreIndex: got null");
    refuses(call(wave([2, 4], "f64"), {}), ShapeError, "targets: got [2, 4], expected [2, 3]");
    refuses(call(wave([2, 3], "f32"), {}), DtypeError, "targets: got f32, expected f64");
    refuses(call(logits, { ignoreIndex: 1 }), ValueError, "ignoreIndex", "none where targets are probabilities");
    refuses(call({ data: logits.data.slice(1), shape: [2, 3] }, {}), ShapeError, "targets: got 5 numbers");
  });

  test("nll", () => {
    const call = (l: unknown, t: unknown, o?: unknown) => () => nll(l as Tensor, t as Tensor, o as object);
    refuses(call(logits, tensor([0, 3], [2], "i32")), ValueError, "targets: got 3 at position 1", "0 to 2");
    refuses(call(logits, logits), DtypeError, "targets: got f64, expected i32");
    refuses(call(targets, targets), DtypeError, "logProbabilities: got i32");
    refuses(call(wave([2, 0], "f64"), targets), ShapeError, "logProbabilities", "at least one");
    refuses(call(logits, targets, { weight: wave([2], "f64") }), ShapeError, "weight: got [2], expected [3]");
    refuses(call(logits, targets, { labelSmoothing: 0 }), UnsupportedError, "labelSmoothing");
    refuses(call(logits, targets, { reduction: 1 }), ValueError, "reduction");
    refuses(call(logits, targets, { ignoreIndex: 0.5 }), ValueError, "ignoreIndex");
  });

  test.each([
    ["mse", mse],
    ["l1", l1],
    ["smoothL1", smoothL1],
  ] as const)("%s", (_, loss) => {
    const call = (p: unknown, t: unknown, o?: unknown) => () => loss(p as Tensor, t as Tensor, o as object);
    refuses(call(logits, wave([3, 2], "f64")), ShapeError, "target: got [3, 2], expected [2, 3]");
    refuses(call(logits, wave([2, 3], "f32")), DtypeError, "target: got f32, expected f64");
    refuses(call(targets, targets), DtypeError, "prediction: got i32");
    refuses(call(logits, logits, { reduction: "" }), ValueError, "reduction");
    refuses(call(logits, logits, { weight: 1 }), DtypeError, "weight: got number 1");
    refuses(call(logits, logits, null), ValueError);
    if (loss !== smoothL1) return refuses(call(logits, logits, { beta: 1 }), UnsupportedError, "beta");
    for (const beta of [-1, NaN, Infinity, "1", null]) refuses(call(logits, logits, { beta }), ValueError, "beta");
  });

  test("bceWithLogits", () => {
    const call = (l: unknown, t: unknown, o?: unknown) => () => bceWithLogits(l as Tensor, t as Tensor, o as object);
    refuses(call(logits, wave([2], "f64")), ShapeError, "targets: got [2], expected [2, 3]");
    refuses(call(logits, targets), DtypeError, "targets: got i32, expected f64");
    refuses(call(targets, targets), DtypeError, "logits: got i32");
    for (const name of ["weight", "posWeight"]) {
      for (const shape of [[2], [3, 1], [1, 2, 3], [0]]) {
        refuses(call(logits, logits, { [name]: wave(shape, "f64") }), ShapeError, `${name}: got [`, "[2, 3]");
      }
      refuses(call(logits, logits, { [name]: wave([3], "f32") }), DtypeError, `${name}: got f32`);
      refuses(call(logits, logits, { [name]: null }), DtypeError, `${name}: got null`);
    }
    refuses(call(logits, logits, { pos_weight: wave([3], "f64") }), UnsupportedError, "pos_weight", "posWeight");
  });

  test("softmax; no classes give an empty result", () => {
    refuses(() => softmax(targets), DtypeError, "x: got i32");
    refuses(() => softmax(wave([], "f64")), ShapeError, "x: got []");
    refuses(() => logSoftmax(targets), DtypeError, "x: got i32");
    refuses(() => logSoftmax(wave([], "f64")), ShapeError, "x: got []");
    expect(logSoftmax(tensor([[], []])).shape).toEqual([2, 0]);
    expect(logSoftmax(tensor([1e308, 0])).data).toEqual(Float64Array.of(0, -1e308));
    expect(softmax({ data: new Float64Array(0), shape: [2 ** 40, 0] })).toEqual({ data: new Float64Array(0), shape: [2 ** 40, 0] }); // prettier-ignore
    expect(softmax(tensor([1e308, 1e308, -1e308])).data).toEqual(Float64Array.of(0.5, 0.5, 0));
  });
});

describe("tensor()", () => {
  test("nesting, shapes, types", () => {
    expect(tensor(3)).toEqual({ data: Float64Array.of(3), shape: [] });
    expect(tensor([])).toEqual({ data: new Float64Array(0), shape: [0] });
    expect(tensor([[], []])).toEqual({ data: new Float64Array(0), shape: [2, 0] });
    expect(tensor([[1, 2, 3], [4, 5, 6]])).toEqual({ data: Float64Array.of(1, 2, 3, 4, 5, 6), shape: [2, 3] }); // prettier-ignore
    expect(tensor([1, 2, 3, 4, 5, 6], [3, 1, 2]).shape).toEqual([3, 1, 2]);
    expect(tensor([1, -2], [2], "i32").data).toEqual(Int32Array.of(1, -2));
    expect(tensor([0.1], undefined, "f32").data).toEqual(Float32Array.of(0.1));
    expect(tensor([Float32Array.of(1, 2), [3, 4]]).data).toEqual(Float64Array.of(1, 2, 3, 4));
    for (const data of [Float64Array.of(1, 2), Float32Array.of(1, 2), Int32Array.of(1, 2)]) {
      const made = tensor(data);
      expect(made).toEqual({ data, shape: [2] });
      expect(made.data.buffer).not.toBe(data.buffer);
    }
    expect(tensor(Uint8Array.of(1, 2)).data).toEqual(Float64Array.of(1, 2));
    expect(tensor(Float64Array.of(0.1), [1], "f32").data).toEqual(Float32Array.of(0.1));
  });

  test("refused arguments", () => {
    const circular: unknown[] = [];
    circular.push(circular);
    const call =
      (...args: unknown[]) =>
      () =>
        tensor(...(args as Parameters<typeof tensor>));
    refuses(call([[1, 2], [3]]), ShapeError, "ragged", "2 elements"); // prettier-ignore
    refuses(call([[1], 2]), ShapeError, "ragged");
    refuses(call([1, [2]]), DtypeError, "Array", "a number");
    refuses(call([1, 2, 3], [2, 2]), ShapeError, "values: got 3 numbers, expected 4 for shape [2, 2]");
    refuses(call([1], [-1]), ShapeError, "shape: got [-1]");
    refuses(call([1], "1"), ShapeError, 'shape: got "1"');
    refuses(call([1], new Array(2 ** 32 - 1)), ShapeError, "shape", "64");
    refuses(call(circular), ShapeError, "64 axes");
    refuses(call(["1"]), DtypeError, '"1"');
    refuses(call(sparse([1, 2, 3], 1)), DtypeError, "undefined"); // prettier-ignore
    refuses(call(null), DtypeError, "null");
    refuses(call("123"), DtypeError, '"123"');
    refuses(call([1n]), DtypeError, "bigint 1");
    refuses(call(BigInt64Array.of(1n)), DtypeError, "bigint 1");
    refuses(call(new DataView(new ArrayBuffer(8))), DtypeError, "DataView");
    for (const dtype of ["f16", "toString", "constructor", null, Symbol("f64"), {}]) {
      refuses(call([1], [1], dtype), DtypeError, "dtype");
    }
    for (const value of [0.5, NaN, 2 ** 31, Infinity]) refuses(call([value], [1], "i32"), DtypeError, "32-bit integer");
  });
});
