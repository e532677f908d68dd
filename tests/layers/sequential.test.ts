// Sequential: the numbers of its layers called by hand, lengths and masks, names, state, streams, and what it refuses.
import { describe, expect, test } from "vitest";
import {
  Adam,
  DtypeError,
  Dropout,
  Embedding,
  GRU,
  LastStep,
  LayerNorm,
  Linear,
  LSTM,
  mse,
  MultiheadAttention,
  RNN,
  Sequential,
  ShapeError,
  StateError,
  tensor,
  UnsupportedError,
  valueAndGrad,
  ValueError,
  type FloatDtype,
  type Module,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const x_ = (shape: readonly number[], start = 0) => wave(shape, dtype, start) as Tensor<FloatDtype>;
    const tagger = () => ({
      embedding: new Embedding(9, 4, { dtype, seed: 1 }),
      dropout: new Dropout(0.3, { dtype, seed: 2 }),
      gru: new GRU(4, 3, { dtype, seed: 3, bidirectional: true, recurrentDropout: 0.2 }),
      norm: new LayerNorm(6, { dtype }),
      linear: new Linear(6, 5, { dtype, seed: 4 }),
    });
    const codes = tensor([1, 2, 3, 4, 5, 6, 7, 8], [4, 2], "i32");

    test("has the bits of its layers called by hand, forward and backward", () => {
      const lengths = [4, 2];
      const mask = tensor([1, 1, 1, 0, 0, 1, 1, 1], [4, 2], "i32");
      for (const options of [{}, { lengths }, { mask }]) {
        using model = new Sequential(tagger());
        const own = tagger();
        const { output } = model.forward(codes, options);
        const embedded = own.dropout.forward(own.embedding.forward(codes).output).output;
        const hidden = own.norm.forward(own.gru.forward(embedded, options).output).output;
        const expected = own.linear.forward(hidden).output;
        expect(output).toHaveBits(expected);
        const { dPrediction } = mse(output, x_([4, 2, 5]));
        expect(model.backward({ output: dPrediction })).toEqual({}); // indices have no gradient
        const dHidden = own.norm.backward({ output: own.linear.backward({ output: dPrediction }).x }).x;
        own.embedding.backward({ output: own.dropout.backward({ output: own.gru.backward({ output: dHidden }).x }).x });
        const parameters = Object.values(own).flatMap((layer) => layer.parameters());
        model.parameters().forEach(({ grad }, i) => expect(grad).toHaveBits(parameters[i]!.grad));
        for (const layer of Object.values(own)) layer.dispose();
      }
    });

    test("names, states, modes, and the layers themselves", () => {
      using model = new Sequential(tagger());
      using same = new Sequential(tagger());
      const names = model.parameters().map(({ name }) => name);
      expect(names.slice(0, 2)).toEqual(["embedding.weight", "gru.weight_ih_l0"]);
      expect(names.at(-1)).toBe("linear.bias");
      expect(Object.keys(model.stateDict())).toEqual(names);
      expect(model.layers.gru.hiddenSize).toBe(3);
      expect(Object.isFrozen(model.layers)).toBe(true);
      for (const { value } of same.parameters()) value.data.fill(0.25);
      same.loadStateDict(model.stateDict());
      model.parameters().forEach(({ value }, i) => expect(same.parameters()[i]!.value).toHaveBits(value));
      expect(model.training).toBe(true);
      expect([model.eval().training, model.layers.dropout.training]).toEqual([false, false]);
      expect(model.forward(codes).output).toHaveBits(model.forward(codes).output);
      expect([model.train().training, model.layers.gru.training]).toEqual([true, true]);
      model.parameters()[0]!.grad.data.fill(1);
      model.zeroGrad();
      expect(model.parameters()[0]!.grad.data.every((g) => g === 0)).toBe(true);
      // a list is named by number
      using list = new Sequential([new Linear(2, 3, { dtype }), new Linear(3, 1, { dtype })]);
      expect(list.parameters().map(({ name }) => name)).toEqual(["0.weight", "0.bias", "1.weight", "1.bias"]);
      expect(list.layers[1]!.outFeatures).toBe(1);
    });

    test("loadStateDict is strict, all or nothing, and takes part of a larger model", () => {
      using model = new Sequential({
        a: new Linear(2, 2, { dtype, seed: 1 }),
        b: new Linear(2, 1, { dtype, seed: 2 }),
      });
      const before = model.stateDict();
      const good = Object.fromEntries(
        Object.entries(before).map(([key, { data, shape }]) => [key, { data: data.slice().fill(3), shape }]),
      ) as Record<string, Tensor>;
      const { "b.bias": _, ...missing } = good;
      const cases: [Record<string, Tensor>, string][] = [
        [missing, 'no entry "b.bias"'],
        [{ ...good, "c.bias": good["b.bias"]! }, 'unknown entry "c.bias"'],
        [{ ...good, "b.other": good["b.bias"]! }, 'unknown entry "b.other"'],
        [{ ...good, "b.weight": x_([3]) }, 'dict["b.weight"]'],
      ];
      for (const [dict, message] of cases) {
        refuses(() => model.loadStateDict(dict), ShapeError, message);
        expect(model.stateDict()).toEqual(before);
      }
      const larger = Object.fromEntries(Object.entries(good).map(([key, value]) => [`module.net.${key}`, value]));
      model.loadStateDict({ ...larger, "module.head": x_([1]) }, { prefix: "module.net." });
      expect(model.stateDict()).toEqual(good);
      model.loadStateDict(before);
      const renamed = Object.fromEntries(
        Object.entries(good).map(([key, value]) => [key.replace("a.", "first_"), value]),
      );
      model.loadStateDict(renamed, { rename: (name) => name.replace("first_", "a.") });
      expect(model.stateDict()).toEqual(good);
      model.loadStateDict({ ...before, extra: x_([1]) }, { rename: (name) => (name === "extra" ? undefined : name) });
      expect(model.stateDict()).toEqual(before);
      refuses(() => model.loadStateDict(good, { rename: () => "a.bias" }), ValueError, "rename");
      refuses(() => model.loadStateDict(good, { rename: () => 3 as never }), ValueError, "rename");
      refuses(() => model.loadStateDict(good, { prefix: 3 as never }), ValueError, "prefix");
      refuses(() => model.layers.a.loadStateDict(good, { prefix: "x." }), ShapeError, 'no entry "x.weight"');
      model.layers.a.loadStateDict(good, { prefix: "a." });
      expect(model.layers.a.stateDict().weight).toEqual(good["a.weight"]);
    });

    test("lengths are handed on, and end where they are not wanted", () => {
      const seen: unknown[] = [];
      const module = (output: Tensor): Module =>
        ({
          forward: (...args: unknown[]) => (seen.push(args[1]), { output }),
          parameters: () => [],
          train: () => undefined,
        }) as unknown as Module;
      const model = new Sequential({ own: module(x_([2, 2])), lstm: new LSTM(2, 3, { dtype }) });
      const { lengths } = model.forward(x_([2, 2]), { lengths: [2] });
      expect(seen).toEqual([{ lengths: [2] }]);
      expect(lengths).toEqual([2]);
      model.forward(x_([2, 2]));
      expect(seen[1]).toBeUndefined();
    });

    test("chains may be nested, and are recorded", () => {
      using inner = new Sequential({ gru: new GRU(2, 3, { dtype, seed: 1, batchFirst: true }) });
      using model = new Sequential({ inner, head: new Linear(3, 1, { dtype, seed: 2 }) });
      expect(model.parameters()[0]!.name).toBe("inner.gru.weight_ih_l0");
      const optimizer = new Adam(model.parameters(), { lr: 0.05 });
      const [x, y] = [x_([2, 4, 2]), x_([2, 4, 1], 3)];
      const losses = Array.from({ length: 20 }, () => {
        return optimizer.minimize(() => mse(model.forward(x, { lengths: [4, 2] }).output, y)).loss;
      });
      expect(losses.at(-1)!).toBeLessThan(0.7 * losses[0]!);
    });

    test("LastStep of an inner chain takes the directions of the recurrent layer before that chain", () => {
      const last = new LastStep();
      using inner = new Sequential({ attention: new MultiheadAttention(4, 2, { dtype, batchFirst: true }), last });
      expect([last.batchFirst, last.bidirectional]).toEqual([true, false]);
      const lstm = new LSTM(3, 2, { dtype, batchFirst: true, bidirectional: true });
      using model = new Sequential({ lstm, inner });
      expect(last.bidirectional).toBe(true);
      expect(model.forward(x_([2, 5, 3])).output.shape).toEqual([2, 4]);
    });

    describe.each([false, true])("MultiheadAttention, batchFirst %s", (batchFirst) => {
      const shape = (...rest: number[]) => (batchFirst ? [2, 5, ...rest] : [5, 2, ...rest]);
      const attention = () => new MultiheadAttention(4, 2, { dtype, seed: 1, batchFirst, dropout: 0.2 });
      const flags = [1, 1, 1, 0, 1, 0, 1, 1, 0, 0]; // [N,T]
      const flipped = flags.map((_, i) => flags[(i % 2) * 5 + Math.floor(i / 2)]!);
      const rows = tensor(flags, [2, 5], "i32");
      const cases = [
        { options: {}, own: {} },
        { options: { lengths: [5, 3] }, own: { lengths: [5, 3] } },
        { options: { mask: batchFirst ? rows : tensor(flipped, [5, 2], "i32") }, own: { mask: rows } },
      ];

      test.each(cases)("attends to its own steps: $options", ({ options, own }) => {
        using layer = attention();
        using model = new Sequential({ att: attention(), norm: new LayerNorm(4, { dtype }) });
        using norm = new LayerNorm(4, { dtype });
        const x = x_(shape(4));
        const { output } = model.forward(x, options);
        expect(output).toHaveBits(norm.forward(layer.forward(x, undefined, undefined, own).output).output);
        const dOutput = x_(shape(4), 7);
        const { query } = layer.backward({ output: norm.backward({ output: dOutput }).x });
        expect(model.backward({ output: dOutput }).x!).toHaveBits(query);
        const parameters = [...layer.parameters(), ...norm.parameters()];
        model.parameters().forEach(({ grad }, i) => expect(grad).toHaveBits(parameters[i]!.grad));
        expect(model.parameters()[2]!.name).toBe("att.out_proj.weight");
        const train = () => mse(model.eval().forward(x, options).output, dOutput);
        const recorded = valueAndGrad(train, [x]).gradients[0]!;
        layer.eval();
        const byHand = () => mse(norm.forward(layer.forward(x, undefined, undefined, own).output).output, dOutput);
        expect(recorded).toHaveBits(valueAndGrad(byHand, [x]).gradients[0]!);
      });

      test("has one sequence, no stream, and checks its mask", () => {
        using model = new Sequential({ att: attention() });
        const mask = tensor([1, 1, 0, 1, 0], [5], "i32");
        expect(model.eval().forward(x_([5, 4]), { mask }).output.shape).toEqual([5, 4]);
        refuses(() => model.stream(), UnsupportedError, "layers.att.stream: got MultiheadAttention");
        const long = tensor(Array<number>(12).fill(1), batchFirst ? [2, 6] : [6, 2], "i32");
        refuses(() => model.forward(x_(shape(4)), { mask: long }), ShapeError, "mask");
        refuses(() => model.forward(x_(shape(4)), { mask: x_(shape()) }), DtypeError, "mask");
      });
    });

    test("backward never mixes two forwards: after one that failed it asks for another", () => {
      using model = new Sequential({
        linear: new Linear(2, 2, { dtype, seed: 1 }),
        rnn: new RNN(2, 2, { dtype, seed: 2 }),
      });
      const [x, other] = [x_([3, 2, 2]), x_([3, 2, 2], 5)];
      model.forward(x);
      refuses(() => model.forward(x_([3])), ShapeError, "x"); // by the first layer: nothing has changed
      model.backward({ output: x });
      const gradients = () => model.parameters().map(({ grad }) => ({ data: grad.data.slice(), shape: grad.shape }));
      model.forward(x);
      refuses(() => model.forward(other, { lengths: [4, 4] }), ValueError, "lengths");
      const before = gradients();
      refuses(() => model.backward({ output: x }), StateError, "Sequential.backward");
      gradients().forEach((grad, i) => expect(grad).toHaveBits(before[i]!));
      model.forward(x);
      expect(() => valueAndGrad(() => mse(model.forward(other, { lengths: [4, 4] }).output, x))).toThrow(ValueError);
      refuses(() => model.backward({ output: x_([2]) }), ShapeError, "output"); // by the last layer: nothing has changed
      model.backward({ output: x }); // a recorded forward leaves the passes alone
    });

    test("streams have the bits of the whole sequence, and free their memory", () => {
      using model = new Sequential({
        embedding: new Embedding(9, 4, { dtype, seed: 1 }),
        lstm: new LSTM(4, 3, { dtype, seed: 1, numLayers: 2 }),
        linear: new Linear(3, 2, { dtype, seed: 2 }),
      }).eval();
      const { output } = model.forward(codes);
      const heap = heapOf(model);
      const used = heap.bytesUsed;
      const stream = model.stream({ batchSize: 2 });
      for (let round = 0; round < 2; round++) {
        for (let t = 0; t < 4; t++) {
          const step = stream.step(codes.data.subarray(2 * t, 2 * t + 2));
          expect({ data: step.slice(), shape: [2, 2] }).toHaveBits({
            data: output.data.slice(4 * t, 4 * t + 4),
            shape: [2, 2],
          });
        }
        stream.reset();
      }
      stream.dispose();
      expect(heap.bytesUsed).toBe(used);
      using ahead = new Sequential({
        lstm: new LSTM(4, 3, { dtype }),
        back: new RNN(3, 2, { dtype, bidirectional: true }),
      });
      refuses(() => ahead.stream(), UnsupportedError, "bidirectional");
      expect(heap.bytesUsed).toBeGreaterThan(used); // the layers of `ahead` alone
    });

    test("what it refuses", () => {
      const linear = new Linear(2, 2, { dtype });
      const cases: [unknown, string][] = [
        [undefined, "layers"],
        [null, "layers"],
        [{}, "layers"],
        [[], "layers"],
        [{ a: 3 }, "layers.a"],
        [{ "a.b": linear }, '"a.b"'],
        [{ "": linear }, '""'],
        [[linear, linear], "layers.1"],
        [{ a: new LSTM(2, 2, { dtype }), b: new GRU(2, 2, { dtype, batchFirst: true }) }, "layers.b"],
      ];
      for (const [layers, message] of cases) refuses(() => new Sequential(layers as never), ValueError, message);
      using model = new Sequential([linear]);
      refuses(() => model.forward(x_([2]), { length: [1] } as never), UnsupportedError, "lengths");
      refuses(() => model.backward({ output: x_([2]) }), StateError, "Linear.backward");
      using twice = new Sequential([new Linear(1, 1, { dtype }), new Embedding(3, 2, { dtype })]);
      expect(() => twice.forward(x_([1, 1]))).toThrow("x");
    });
  });
});
