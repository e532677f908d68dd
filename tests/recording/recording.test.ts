// Recorded bodies: the same bits as steps written by hand, what links one call to the next, what is constant, what is refused, and
// that memory is given back.
import { describe, expect, test } from "vitest";
import {
  Adam,
  AdamW,
  clipGradNorm,
  clipGradValue,
  crossEntropy,
  bceWithLogits,
  configure,
  Dropout,
  Embedding,
  GRU,
  GRUCell,
  l1,
  LayerNorm,
  Linear,
  LSTM,
  LSTMCell,
  mse,
  nll,
  parameter,
  Random,
  RNN,
  RNNCell,
  Sequential,
  SGD,
  smoothL1,
  StateError,
  tensor,
  valueAndGrad,
  ValueError,
  weightedSum,
  type FloatDtype,
  type Parameter,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import "../helpers/close.js";
import { centralDifferences } from "../helpers/gradient.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const copyOf = ({ data, shape }: Tensor): Tensor => ({ data: data.slice(), shape: [...shape] });
const gradientsOf = (parameters: readonly Parameter[]): Tensor[] => parameters.map(({ grad }) => copyOf(grad));
const valuesOf = (parameters: readonly Parameter[]): Tensor[] => parameters.map(({ value }) => copyOf(value));
const zeroOf = (parameters: readonly Parameter[]): void => parameters.forEach(({ grad }) => grad.data.fill(0));

/** The sum of two tensors of one shape. */
function sum(a: Tensor, b: Tensor): Tensor {
  const data = a.data.slice();
  for (let i = 0; i < data.length; i++) data[i]! += b.data[i]!;
  return { data, shape: a.shape };
}

/** Compares the gradients of parameters, and of tensors, with central differences (f64). */
function checkGradients(
  body: () => { loss: number } | Tensor<FloatDtype>,
  parameters: readonly Parameter[],
  wrt: Tensor[] = [],
) {
  zeroOf(parameters);
  const { gradients } = valueAndGrad(body, wrt);
  const analytic = [...gradientsOf(parameters), ...gradients];
  const loss = (): number => valueAndGrad(body).loss;
  for (const [i, { data, shape }] of [...parameters.map(({ value }) => value), ...wrt].entries()) {
    const values = data as Float64Array;
    const numeric = { data: centralDifferences(loss, values), shape };
    expect(analytic[i]).toBeAllClose(numeric, { rtol: 1e-7, atol: 1e-9 });
  }
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const x_ = (shape: readonly number[], start = 0) => wave(shape, dtype, start) as Tensor<FloatDtype>;

    test.each([LSTM, GRU, RNN])("minimize has the bits of a step by hand: %o, ragged", (Kind) => {
      const options = { dtype, seed: 4, numLayers: 2, bidirectional: true, dropout: 0.3, recurrentDropout: 0.2 };
      const make = () => {
        const embedding = new Embedding(7, 3, { dtype, seed: 1 });
        const layer = new Kind(3, 5, options);
        const norm = new LayerNorm(10, { dtype });
        const linear = new Linear(10, 7, { dtype, seed: 2 });
        const parameters = [embedding, layer, norm, linear].flatMap((each): Parameter[] => each.parameters());
        return { embedding, layer, norm, linear, parameters, adam: new AdamW(parameters, { lr: 0.01 }) };
      };
      const x = tensor([1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5], [6, 2], "i32");
      const lengths = [6, 4];
      const [a, b] = [make(), make()];
      const forward = ({ embedding, layer, norm, linear }: typeof a) => {
        const { output } = layer.forward(embedding.forward(x).output, { lengths });
        return crossEntropy(linear.forward(norm.forward(output).output).output, x, { lengths });
      };
      for (let step = 0; step < 3; step++) {
        const recorded = a.adam.minimize(() => forward(a), { clipNorm: 0.5, clipValue: 0.1 });
        const { loss, dLogits } = forward(b);
        b.adam.zeroGrad();
        const dOutput = b.norm.backward({ output: b.linear.backward({ output: dLogits }).x }).x;
        b.embedding.backward({ output: b.layer.backward({ output: dOutput }).x });
        const gradNorm = clipGradNorm(b.parameters, 0.5);
        clipGradValue(b.parameters, 0.1);
        b.adam.step();
        expect(recorded).toEqual({ loss, gradNorm });
        a.parameters.forEach(({ value, grad }, i) => {
          expect(value).toHaveBits(b.parameters[i]!.value);
          expect(grad).toHaveBits(b.parameters[i]!.grad);
        });
      }
    });

    test("a layer may be called several times: the gradients are those of the sum of the calls", () => {
      using layer = new Linear(3, 2, { dtype, seed: 1 });
      const [x1, x2, y] = [x_([4, 3]), x_([4, 3], 5), x_([4, 2], 9)];
      const { loss } = valueAndGrad(() =>
        weightedSum([
          [mse(layer.forward(x1).output, y), 1],
          [mse(layer.forward(x2).output, y), 1],
        ]),
      );
      const recorded = gradientsOf(layer.parameters());
      zeroOf(layer.parameters());
      const second = mse(layer.forward(x2).output, y);
      layer.backward({ output: second.dPrediction });
      const first = mse(layer.forward(x1).output, y);
      layer.backward({ output: first.dPrediction });
      expect(loss).toBe(first.loss + second.loss);
      gradientsOf(layer.parameters()).forEach((grad, i) =>
        expect(recorded[i]).toBeAllClose(grad, { rtol: dtype === "f64" ? 1e-14 : 1e-6 }),
      );
    });

    test("every result of a loop over a cell is linked to the next", () => {
      const cells = [
        new LSTMCell(3, 4, { dtype, seed: 1 }),
        new GRUCell(3, 4, { dtype, seed: 1 }),
        new RNNCell(3, 4, { dtype, seed: 1 }),
      ];
      for (const cell of cells) {
        const xs = [x_([2, 3]), x_([2, 3], 3), x_([2, 3], 6)];
        const y = x_([2, 4], 9);
        const { gradients } = valueAndGrad(() => {
          let state: { h?: Tensor; c?: Tensor } = {};
          for (const x of xs) {
            const { cache: _, ...next } = cell.forward(x, state);
            state = next;
          }
          return mse(state.h as Tensor<FloatDtype>, y);
        }, xs);
        const recorded = gradientsOf(cell.parameters());
        cell.zeroGrad();
        // by hand, in reverse
        let state: { h?: Tensor; c?: Tensor } = {};
        const caches = xs.map((x) => {
          const { cache, ...next } = cell.forward(x, state);
          state = next;
          return cache;
        });
        let d: { h?: Tensor; c?: Tensor } = { h: mse(state.h as Tensor<FloatDtype>, y).dPrediction };
        for (const [i, cache] of [...caches.entries()].reverse()) {
          const { x, ...before } = cell.backward(d, cache);
          expect(gradients[i]).toHaveBits(x);
          d = before;
        }
        gradientsOf(cell.parameters()).forEach((grad, i) => expect(recorded[i]).toHaveBits(grad));
      }
    });

    test("layers in eval() are recorded: no dropout, and gradients", () => {
      using layer = new GRU(3, 4, { dtype, seed: 1, numLayers: 2, dropout: 0.5, recurrentDropout: 0.5 }).eval();
      using dropout = new Dropout(0.5, { dtype, seed: 2 }).eval();
      using plain = new GRU(3, 4, { dtype, seed: 1, numLayers: 2 });
      const [x, y] = [x_([3, 2, 3]), x_([3, 2, 4], 4)];
      const recorded = valueAndGrad(() => mse(dropout.forward(layer.forward(x).output).output, y), [x]);
      const { loss, dPrediction } = mse(plain.forward(x).output, y);
      expect(recorded.loss).toBe(loss);
      expect(recorded.gradients[0]).toHaveBits(plain.backward({ output: dPrediction }).x);
      layer.parameters().forEach(({ grad }, i) => expect(grad).toHaveBits(plain.parameters()[i]!.grad));
      refuses(
        () => layer.backward({ output: dPrediction }),
        StateError,
        "GRU.backward",
        "no forward pass in training mode",
      );
    });

    test("recording leaves the pass of an explicit backward alone", () => {
      using layer = new LSTM(3, 4, { dtype, seed: 1 });
      const [x, other, d] = [x_([5, 2, 3]), x_([2, 1, 3], 7), x_([5, 2, 4], 3)];
      layer.forward(x);
      valueAndGrad(() => mse(layer.forward(other).output, x_([2, 1, 4])));
      layer.zeroGrad();
      const { x: dx } = layer.backward({ output: d });
      const found = gradientsOf(layer.parameters());
      layer.zeroGrad();
      layer.forward(x);
      expect(layer.backward({ output: d }).x).toHaveBits(dx);
      gradientsOf(layer.parameters()).forEach((grad, i) => expect(found[i]).toHaveBits(grad));
    });

    test("a hand-made reshape is the same tensor; a copy is a constant", () => {
      using layer = new Linear(4, 6, { dtype, seed: 1 });
      using next = new Linear(3, 2, { dtype, seed: 2 });
      const [x, y] = [x_([2, 4]), x_([4, 2], 3)];
      const optimizer = new SGD(layer.parameters(), { lr: 0.1 });
      const run = (link: (t: Tensor<FloatDtype>) => Tensor<FloatDtype>) =>
        optimizer.minimize(() => mse(next.forward(link(layer.forward(x).output)).output, y));
      run(({ data }) => ({ data, shape: [4, 3] }));
      const { output } = layer.eval().forward(x);
      layer.train();
      expect(output.data.length).toBe(12);
      expect(layer.parameters()[0]!.grad.data.some((g) => g !== 0)).toBe(true);
      refuses(() => run(({ data }) => ({ data: data.slice(), shape: [4, 3] })), StateError, "weight, bias");
    });

    test("tensors that nothing recorded are constants, and so are parameters of other layers", () => {
      using frozen = new Linear(3, 4, { dtype, seed: 1 });
      using layer = new Linear(4, 4, { dtype, seed: 2 });
      using first = new Linear(3, 3, { dtype, seed: 3 });
      const [x, y] = [x_([2, 3]), x_([2, 4], 3)];
      for (const { grad } of frozen.parameters()) grad.data.fill(7);
      const before = valuesOf(frozen.parameters());
      const optimizer = new Adam([...layer.parameters(), ...first.parameters()]);
      optimizer.minimize(() => mse(layer.forward(frozen.forward(first.forward(x).output).output).output, y));
      for (const { grad } of frozen.parameters()) expect(grad.data.every((g) => g === 7)).toBe(true);
      frozen.parameters().forEach(({ value }, i) => expect(value).toHaveBits(before[i]!));
      expect(first.parameters()[0]!.grad.data.some((g) => g !== 0)).toBe(true); // through the frozen layer
      // only the bias of a layer
      const [weight, bias] = layer.parameters() as [Parameter, Parameter];
      const kept = copyOf(weight.grad);
      const only = new SGD([bias], { lr: 0.1 });
      only.minimize(() => mse(layer.forward(x_([2, 4])).output, y));
      expect(weight.grad).toHaveBits(kept);
    });

    test("a parameter's value is that parameter: in losses, after memory has grown, by its array", () => {
      const scale = parameter(x_([2, 3]), "scale");
      const y = x_([2, 3], 5);
      const expected = mse(copyOf(scale.value) as Tensor<FloatDtype>, y).dPrediction;
      const views = [() => scale.value, () => ({ data: scale.value.data, shape: [3, 2] })];
      for (const [i, view] of views.entries()) {
        scale.grad.data.fill(0);
        const target = i === 0 ? y : { data: y.data, shape: [3, 2] };
        using big = new Linear(512, 512 * (i + 1), { dtype, seed: 1 }); // makes the memory grow
        valueAndGrad(() => {
          void big;
          return mse(view(), target);
        });
        expect(scale.grad.data).toEqual(expected.data);
      }
      using layer = new Linear(3, 2, { dtype, seed: 1 });
      const optimizer = new SGD(layer.parameters(), { lr: 1 });
      // a penalty on a weight that the layer uses as well
      optimizer.minimize(() =>
        weightedSum([
          [mse(layer.forward(x_([4, 3])).output, x_([4, 2], 2)), 1],
          [
            mse(layer.parameters()[0]!.value, tensor(new (dtype === "f64" ? Float64Array : Float32Array)(6), [2, 3])),
            0.5,
          ],
        ]),
      );
      const [weight] = layer.parameters() as [Parameter];
      using plain = new Linear(3, 2, { dtype, seed: 1 });
      const { dPrediction } = mse(plain.forward(x_([4, 3])).output, x_([4, 2], 2));
      plain.backward({ output: dPrediction });
      const penalty = plain.parameters()[0]!.value.data.map((w) => w / 6);
      const both = sum(plain.parameters()[0]!.grad, { data: penalty, shape: [2, 3] });
      expect(weight.grad).toBeAllClose(both, { rtol: dtype === "f64" ? 1e-14 : 1e-6, atol: 1e-9 });
    });

    test("mse, l1 and smoothL1 are differentiable in both arguments; other targets are refused", () => {
      using left = new Linear(3, 2, { dtype, seed: 1 });
      using right = new Linear(3, 2, { dtype, seed: 2 });
      const [x1, x2] = [x_([4, 3]), x_([4, 3], 5)];
      for (const loss of [mse, l1, smoothL1]) {
        const body = () => loss(left.forward(x1).output, right.forward(x2).output, { weight: x_([2], 1) });
        const { gradients } = valueAndGrad(body, [x1, x2]);
        const d = loss(left.forward(x1).output, right.forward(x2).output, { weight: x_([2], 1) }).dPrediction;
        expect(gradients[0]).toHaveBits(left.backward({ output: d }).x);
        const negative = { data: d.data.map((v) => -v), shape: d.shape } as Tensor;
        expect(gradients[1]).toHaveBits(right.backward({ output: negative }).x);
      }
      const target = () => left.forward(x1).output;
      refuses(() => valueAndGrad(() => bceWithLogits(target(), target())), StateError, "targets", "a recorded tensor");
      refuses(() => valueAndGrad(() => crossEntropy(target(), target())), StateError, "targets", "a recorded tensor");
      refuses(() => valueAndGrad(() => mse(target(), x_([4, 2]), { weight: target() })), StateError, "weight");
      refuses(
        () => valueAndGrad(() => mse(target(), x_([4, 2]), { sampleWeight: target() })),
        StateError,
        "sampleWeight",
      );
      refuses(() => valueAndGrad(() => crossEntropy(target(), left.parameters()[0]!.value)), StateError, "targets");
    });

    test("losses without a reduction are tensors of losses", () => {
      using layer = new Linear(3, 4, { dtype, seed: 1 });
      const x = x_([5, 3]);
      const y = tensor([0, 1, 2, 3, 1], [5], "i32");
      const perRow = () => crossEntropy(layer.forward(x).output, y, { reduction: "none" }).loss;
      const weights = x_([5], 2);
      const weighted = () => mse(perRow(), weights);
      const { gradients } = valueAndGrad(weighted, [x]);
      const { loss, dLogits } = crossEntropy(layer.forward(x).output, y, { reduction: "none" });
      const dLoss = mse(loss, weights).dPrediction;
      const scaled = dLogits.data.map((d, i) => d * dLoss.data[Math.floor(i / 4)]!);
      expect(gradients[0]).toHaveBits(layer.backward({ output: { data: scaled, shape: [5, 4] } }).x);
      // what has no gradient is none of their inputs
      const [labels, weight] = [x_([5, 4], 3), x_([5, 4], 4)];
      const perNumber = () => bceWithLogits(layer.forward(x).output, labels, { weight, reduction: "none" }).loss;
      for (const constant of [labels, weight]) {
        refuses(() => valueAndGrad(() => mse(perNumber(), x_([5, 4])), [x, constant]), StateError, "wrt[1]");
      }
    });

    test("valueAndGrad adds to the gradients, and returns those of wrt in their order and shapes", () => {
      using layer = new Linear(3, 2, { dtype, seed: 1 });
      const [x, y] = [x_([4, 3]), x_([4, 2], 5)];
      const body = () => mse(layer.forward(x).output, y);
      const [weight] = layer.parameters() as [Parameter];
      valueAndGrad(body);
      const once = copyOf(weight.grad);
      const { gradients } = valueAndGrad(body, [y, weight.value, x, y]);
      expect(weight.grad).toHaveBits(sum(once, once));
      expect(gradients.map(({ shape }) => shape)).toEqual([
        [4, 2],
        [2, 3],
        [4, 3],
        [4, 2],
      ]);
      expect(gradients[1]).toHaveBits(once);
      const { dPrediction } = mse(layer.forward(x).output, y);
      expect(gradients[0]!.data).toEqual(dPrediction.data.map((d) => -d));
      expect(gradients[3]).toHaveBits(gradients[0]!);
      expect(gradients[2]).toHaveBits(layer.backward({ output: dPrediction }).x);
      refuses(() => valueAndGrad(body, [x, x_([4, 3])]), StateError, "wrt[1]", "does not depend on");
    });

    test("gradients may be accumulated over batches", () => {
      using layer = new Linear(3, 2, { dtype, seed: 1 });
      using other = new Linear(3, 2, { dtype, seed: 1 });
      const optimizers = [layer, other].map((each) => new SGD(each.parameters(), { lr: 0.5 }));
      const batches = [x_([4, 3]), x_([4, 3], 5)];
      optimizers[0]!.zeroGrad();
      for (const x of batches) valueAndGrad(() => mse(layer.forward(x).output, x_([4, 2], 1)));
      optimizers[0]!.step();
      optimizers[1]!.minimize(() =>
        weightedSum(batches.map((x) => [mse(other.forward(x).output, x_([4, 2], 1)), 1] as const)),
      );
      const tolerance = { rtol: dtype === "f64" ? 1e-13 : 1e-5, atol: 1e-7 };
      layer.parameters().forEach(({ value }, i) => expect(value).toBeAllClose(other.parameters()[i]!.value, tolerance));
    });

    test("a loss that does not reach a parameter is an error that names it; allowUnused skips it", () => {
      using used = new Linear(3, 2, { dtype, seed: 1 });
      const free = parameter(x_([2]), "free");
      const make = [
        (p: Parameter[]) => new Adam(p, { lr: 0.1, weightDecay: 0.1 }),
        (p: Parameter[]) => new SGD(p, { lr: 0.1, momentum: 0.9, weightDecay: 0.1 }),
      ];
      for (const optimizerOf of make) {
        const optimizer = optimizerOf([...used.parameters(), free]);
        const body = () => mse(used.forward(x_([4, 3])).output, x_([4, 2], 1));
        const before = [...valuesOf([...used.parameters(), free]), ...gradientsOf([...used.parameters(), free])];
        refuses(() => optimizer.minimize(body), StateError, "loss", "does not depend on free", "allowUnused");
        const after = [...valuesOf([...used.parameters(), free]), ...gradientsOf([...used.parameters(), free])];
        after.forEach((tensor, i) => expect(tensor).toHaveBits(before[i]!));
        expect(optimizer.stateDict()).toEqual({});
        const value = copyOf(free.value);
        for (let i = 0; i < 3; i++) optimizer.minimize(body, { allowUnused: true });
        expect(free.value).toHaveBits(value);
        const state = optimizer.stateDict();
        expect([state["0.step"]!.data[0], state["2.step"]!.data[0]]).toEqual([3, 0]);
        // its first step is then a first step, also after saving and loading
        const fresh = optimizerOf([free]);
        const again = optimizerOf([...used.parameters(), free]);
        again.loadStateDict(state);
        const penalty = () => mse(free.value, x_([2], 4));
        fresh.minimize(penalty);
        const expected = copyOf(free.value);
        free.value.data.set(value.data);
        again.minimize(penalty, { allowUnused: true });
        expect(free.value).toHaveBits(expected);
        free.value.data.set(value.data);
      }
    });

    test("what a body returns", () => {
      using layer = new Linear(3, 1, { dtype, seed: 1 });
      const optimizer = new SGD(layer.parameters(), { lr: 0.1 });
      const [x, y] = [x_([1, 3]), x_([1, 1], 1)];
      const loss = () => mse(layer.forward(x).output, y);
      expect(optimizer.minimize(() => layer.forward(x).output).loss).toBeTypeOf("number"); // a tensor of one number
      expect(layer.parameters()[0]!.grad.data).toEqual(x.data);
      const expected = ["body's result", "mean", "sum"];
      const outside = loss();
      const cases: [() => unknown, string][] = [
        [() => loss().loss, "number"],
        [() => mse(layer.forward(x).output, y, { reduction: "none" }), 'reduction "none"'],
        [() => ({ ...loss() }), "a copy of a loss's result"],
        [() => outside, "computed outside"],
        [async () => loss(), "Promise"], // eslint-disable-line @typescript-eslint/require-await
        [() => undefined, "undefined"],
        [() => null, "null"],
        [() => "1", '"1"'],
        [() => layer.forward(x_([2, 3])).output, ""],
        [() => tensor([1], [1], "i32"), ""],
      ];
      for (const [body, received] of cases) {
        refuses(() => optimizer.minimize(body as never), ValueError, ...expected, received);
        refuses(() => valueAndGrad(body as never), ValueError, ...expected, received);
      }
      refuses(() => optimizer.minimize(loss() as never), ValueError, "body");
      refuses(() => weightedSum([[loss(), NaN]]), ValueError, "losses[0]");
      refuses(() => weightedSum([[3 as never, 1]]), ValueError, "losses[0][0]");
      refuses(() => weightedSum(3 as never), ValueError, "losses");
      expect(
        weightedSum([
          [loss(), 2],
          [x_([1]), 3],
        ]).loss,
      ).toBe(2 * loss().loss + 3 * x_([1]).data[0]!);
    });

    test("a loss may be a term any number of times", () => {
      using layer = new Linear(3, 3, { dtype, seed: 1 });
      const [x, y] = [x_([2, 3]), x_([2, 3], 1)];
      const run = (...weights: number[]) => {
        layer.zeroGrad();
        valueAndGrad(() => {
          const loss = mse(layer.forward(x).output, y);
          return weightedSum(weights.map((weight) => [loss, weight]));
        });
        return gradientsOf(layer.parameters());
      };
      const once = run(4);
      for (const gradients of [run(1, 1, 1, 1), run(-2, 1, 3, 1, 1)]) {
        gradients.forEach((gradient, i) => expect(gradient).toBeAllClose(once[i]!, { rtol: 1e-5 }));
      }
    });

    test("weightedSum takes all three kinds of losses, itself included", () => {
      using layer = new Linear(3, 1, { dtype, seed: 1 });
      const [x, y] = [x_([1, 3]), x_([1, 1], 1)];
      const { loss, gradients } = valueAndGrad(() => {
        const one = layer.forward(x).output;
        return weightedSum([
          [
            weightedSum([
              [mse(one, y), 3],
              [one, -1],
            ]),
            0.5,
          ],
          [one, 2],
        ]);
      }, [x]);
      const single = mse(layer.forward(x).output, y);
      const d = 1.5 * single.dPrediction.data[0]! + 1.5;
      const out = layer.eval().forward(x).output.data[0]!;
      expect(loss).toBeCloseTo(1.5 * single.loss + 1.5 * out, 6);
      const expected = { data: layer.parameters()[0]!.value.data.map((w) => w * d), shape: [1, 3] };
      expect(gradients[0]).toBeAllClose(expected, { rtol: dtype === "f64" ? 1e-13 : 1e-5 });
    });

    test("calls that a body must not make, and that it may make", () => {
      using layer = new LSTM(3, 4, { dtype, seed: 1 });
      using cell = new LSTMCell(3, 4, { dtype, seed: 1 });
      using stream = layer.stream();
      const optimizer = new SGD(layer.parameters(), { lr: 0.1 });
      const [x, y] = [x_([2, 1, 3]), x_([2, 1, 4], 1)];
      const loss = () => mse(layer.forward(x).output, y);
      layer.forward(x);
      const { cache } = cell.forward(x_([1, 3]));
      const dict = layer.stateDict();
      const chain = new Sequential([new Linear(3, 3, { dtype })]);
      const refused: Record<string, () => unknown> = {
        "SGD.step": () => optimizer.step(),
        "SGD.loadStateDict": () => optimizer.loadStateDict({}),
        "SGD.dispose": () => optimizer.dispose(),
        "SGD.minimize": () => optimizer.minimize(loss),
        valueAndGrad: () => valueAndGrad(loss),
        "LSTM.loadStateDict": () => layer.loadStateDict(dict),
        "LSTM.backward": () => layer.backward({ output: y }),
        "LSTM.dispose": () => layer.dispose(),
        "LSTMCell.backward": () => cell.backward({}, cache),
        "CellCache.dispose": () => cache.dispose(),
        "stream.step": () => stream.step(x_([3]).data),
        "Sequential.dispose": () => chain.dispose(),
        "Sequential.loadStateDict": () => chain.loadStateDict({}),
      };
      const before = [...valuesOf(layer.parameters()), ...gradientsOf(layer.parameters())];
      const result = (call: () => unknown) => {
        const { output } = layer.forward(x);
        return {
          shape: [1],
          get data() {
            call();
            return output.data;
          },
        };
      };
      for (const [name, call] of Object.entries(refused)) {
        refuses(() => valueAndGrad(() => result(call)), StateError, name, "inside a recorded body"); // by a getter of the result
        const body = () => {
          call();
          return loss();
        };
        refuses(() => optimizer.minimize(body), StateError, name, "inside a recorded body");
        refuses(() => valueAndGrad(body), StateError, name);
      }
      [...valuesOf(layer.parameters()), ...gradientsOf(layer.parameters())].forEach((each, i) => {
        expect(each).toHaveBits(before[i]!);
      });
      layer.backward({ output: y }); // the pass is still there
      optimizer.minimize(() => {
        void [layer.stateDict(), optimizer.stateDict(), new Random(1)];
        layer.zeroGrad();
        return loss();
      });
    });

    test("an error leaves parameters, gradients and optimizer as they were, and is the body's own", () => {
      using layer = new LSTM(3, 4, { dtype, seed: 1 });
      const optimizer = new Adam(layer.parameters(), { lr: 0.1 });
      const [x, y] = [x_([2, 1, 3]), x_([2, 1, 4], 1)];
      optimizer.minimize(() => mse(layer.forward(x).output, y));
      const state = () => [
        ...valuesOf(layer.parameters()),
        ...gradientsOf(layer.parameters()),
        ...Object.values(optimizer.stateDict()),
      ];
      const before = state();
      const own = new Error("mine");
      let thrown: unknown;
      try {
        optimizer.minimize(() => {
          layer.forward(x);
          throw own;
        });
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toBe(own);
      optimizer.paramGroups[0]!.lr = -1;
      refuses(() => optimizer.minimize(() => mse(layer.forward(x).output, y)), ValueError, "lr");
      optimizer.paramGroups[0]!.lr = 0.1;
      refuses(
        () => optimizer.minimize(() => mse(layer.forward(x).output, y), { clipNorm: -1 }),
        ValueError,
        "clipNorm",
      );
      refuses(
        () => optimizer.minimize(() => mse(layer.forward(x).output, y), { clipValue: NaN }),
        ValueError,
        "clipValue",
      );
      state().forEach((tensor, i) => expect(tensor).toHaveBits(before[i]!));
      // random states have advanced as the forwards that ran did
      using dropout = new Dropout(0.5, { dtype, seed: 1 });
      const random = dropout.random.state;
      expect(() =>
        valueAndGrad(() => {
          dropout.forward(x);
          throw own;
        }),
      ).toThrow(own);
      expect(dropout.random.state).not.toEqual(random);
    });

    test("memory is given back, and does not grow from step to step", () => {
      using layer = new GRU(3, 8, { dtype, seed: 1, numLayers: 2, bidirectional: true });
      using cell = new LSTMCell(16, 4, { dtype, seed: 1 });
      const optimizer = new Adam([...layer.parameters(), ...cell.parameters()]);
      const heap = heapOf(layer);
      const body = () => {
        const { output } = layer.forward(x_([5, 2, 3]), { lengths: [5, 3] });
        let h: Tensor = x_([2, 4]);
        for (let t = 0; t < 5; t++) {
          ({ h } = cell.forward({ data: output.data, shape: [10, 16] }, { h: x_([10, 4]), c: x_([10, 4]) }));
        }
        return mse(h as Tensor<FloatDtype>, x_([10, 4], 3));
      };
      const used = heap.bytesUsed;
      optimizer.minimize(body);
      const length = heap.byteLength;
      for (let i = 0; i < 5; i++) {
        optimizer.minimize(body);
        expect(heap.bytesUsed).toBe(used);
        expect(() =>
          optimizer.minimize(() => {
            body();
            throw new Error("mine");
          }),
        ).toThrow("mine");
        expect(heap.bytesUsed).toBe(used);
        valueAndGrad(body, []);
        expect(heap.bytesUsed).toBe(used);
      }
      expect(heap.byteLength).toBe(length);
    });

    test("accept decides whether the step is taken; gradients stay readable", () => {
      using layer = new Linear(3, 1, { dtype, seed: 1 });
      const optimizer = new SGD(layer.parameters(), { lr: 0.1 });
      const before = valuesOf(layer.parameters());
      const seen: number[] = [];
      const { loss, gradNorm } = optimizer.minimize(
        () => mse(layer.forward(x_([1, 3])).output, x_([1, 1], 1)),
        {},
        (...numbers) => seen.push(...numbers) === 0,
      );
      expect(seen).toEqual([loss, gradNorm]);
      valuesOf(layer.parameters()).forEach((value, i) => expect(value).toHaveBits(before[i]!));
      expect(layer.parameters()[0]!.grad.data.every((g) => g !== 0)).toBe(true);
      expect(optimizer.stateDict()).toEqual({});
    });
  });

  describe("central differences", () => {
    const x_ = (shape: readonly number[], start = 0) => wave(shape, "f64", start) as Tensor<"f64">;

    test("a siamese network", () => {
      using layer = new GRU(2, 3, { seed: 1 });
      using linear = new Linear(3, 2, { seed: 2 });
      const [a, b] = [x_([4, 2, 2]), x_([3, 2, 2], 7)];
      const encode = (x: Tensor) => linear.forward(layer.forward(x, { lengths: [x.shape[0]!, 2] }).hn).output;
      checkGradients(() => mse(encode(a), encode(b)), [...layer.parameters(), ...linear.parameters()], [a, b]);
    });

    test("a learned initial state, stacked losses", () => {
      using layer = new LSTM(2, 3, { seed: 1, bidirectional: true, projSize: 2, layerNorm: true });
      const [h0, c0] = [parameter(x_([2, 1, 2], 3), "h0"), parameter(x_([2, 1, 3], 4), "c0")];
      const x = x_([4, 1, 2]);
      const body = () => {
        const { output, hn, cn } = layer.forward(x, { h0: h0.value, c0: c0.value });
        return weightedSum([
          [l1(output, x_([4, 1, 4], 8)), 0.3],
          [smoothL1(hn, x_([2, 1, 2], 9)), 2],
          [mse(cn, x_([2, 1, 3], 10)), 0.7],
        ]);
      };
      checkGradients(body, [...layer.parameters(), h0, c0], [x]);
    });

    test("classes, probabilities and nll", () => {
      using linear = new Linear(3, 4, { seed: 1 });
      const x = x_([5, 3]);
      const y = tensor([0, 1, 2, 3, 1], [5], "i32");
      const options = { weight: tensor([1, 2, 3, 4]), labelSmoothing: 0.1 };
      checkGradients(() => crossEntropy(linear.forward(x).output, y, options), linear.parameters(), [x]);
      checkGradients(() => nll(linear.forward(x).output, y, { reduction: "sum" }), linear.parameters(), [x]);
      const labels = tensor(new Float64Array(20).fill(0.25), [5, 4]);
      checkGradients(() => bceWithLogits(linear.forward(x).output, labels), linear.parameters(), [x]);
      const each = () => nll(linear.forward(x).output, y, { reduction: "none" }).loss;
      checkGradients(() => mse(each(), x_([5])), linear.parameters(), [x]);
    });
  });
});

test.runIf(variants.length === 2)("calls of both builds in one body are refused", () => {
  const [a, b] = variants.map((variant) => {
    configure({ variant });
    return new Linear(3, 3, { seed: 1 });
  }) as [Linear, Linear];
  configure({ variant: "auto" });
  const x = wave([2, 3], "f64") as Tensor<"f64">;
  const body = () => mse(a.forward(b.forward(x).output).output, x);
  refuses(() => valueAndGrad(body), StateError, "build");
  // parameters of the other build, too: as input of a layer, as argument of a loss, as the loss itself
  configure({ variant: variants[0]! });
  const here = parameter(tensor([1]));
  configure({ variant: variants[1]! });
  const [there, square] = [parameter(tensor([1])), parameter(wave([3, 3], "f64") as Tensor<"f64">)];
  const bodies = [
    () => mse(a.forward(square.value).output, wave([3, 3], "f64")),
    () => mse(here.value, tensor([2])),
    () =>
      weightedSum([
        [here.value, 1],
        [there.value, 1],
      ]),
  ];
  for (const each of bodies) refuses(() => valueAndGrad(each), StateError, "build");
  const stateful = new LSTM(3, 2, { stateful: true });
  stateful.forward(wave([2, 1, 3], "f64"));
  const kept = stateful.eval().forward(wave([2, 1, 3], "f64")).output;
  stateful.resetState();
  stateful.forward(wave([2, 1, 3], "f64"));
  const mixed = () => {
    a.forward(x);
    return mse(stateful.forward(wave([2, 1, 3], "f64")).output, wave([2, 1, 2], "f64"));
  };
  refuses(() => valueAndGrad(mixed), StateError, "build");
  expect(stateful.forward(wave([2, 1, 3], "f64")).output).toHaveBits(kept); // the refused pass has not moved its state
  for (const { grad } of [here, there, square]) expect(grad.data.every((g) => g === 0)).toBe(true);
  valueAndGrad(() => here.value); // of a build that is not the current one
  expect(here.grad.data[0]).toBe(1);
  configure({ variant: "auto" });
});
