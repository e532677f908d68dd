// Functions of wasm-rnn/ops in recorded bodies: what links them to each other, to layers, losses and parameters, what is
// constant, and that memory is given back.
import { beforeAll, describe, expect, test } from "vitest";
import { currentCore } from "../../bindings/instantiate.js";
import {
  Adam,
  Linear,
  logSoftmax,
  LSTM,
  mse,
  parameter,
  Random,
  ShapeError,
  softmax,
  tensor,
  valueAndGrad,
  weightedSum,
  type FloatDtype,
  type Tensor,
} from "../../src/index.js";
import * as ops from "../../src/ops.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { centralDifferences } from "../helpers/gradient.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const floats = (...given: Parameters<typeof wave>) => wave(...given) as Tensor<FloatDtype>;
const copyOf = ({ data, shape }: Tensor): Tensor => ({ data: data.slice(), shape: [...shape] });

/** The gradients of the sum of the squares of a result. */
function gradientsOf(body: () => Tensor, wrt: readonly Tensor[]): Tensor[] {
  return valueAndGrad(() => {
    const y = body();
    return ops.sum(ops.mul(y, y));
  }, wrt).gradients;
}

/** Runs a call, which must give back all memory. */
function balanced<R>(call: () => R): R {
  const before = currentCore().heap.bytesUsed;
  try {
    return call();
  } finally {
    expect(currentCore().heap.bytesUsed).toBe(before);
  }
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  test("a model made of functions, a layer, a loss and free parameters: every gradient", () => {
    using lstm = new LSTM(3, 2, { seed: 1 });
    const start = parameter(floats([1, 2, 2], "f64", 3), "h0");
    const mixing = parameter(floats([2, 3], "f64", 5), "mixing");
    const x = wave([6, 2, 3], "f64");
    const condition = tensor([[1, 0], [0, 1], [1, 1]], undefined, "i32"); // prettier-ignore
    const body = () => {
      const scaled = ops.mul(ops.exp(ops.mul(x, 0.3)), ops.add(1, ops.sigmoid(x)));
      const { output } = lstm.forward(scaled, { h0: start.value });
      const [early, late] = [ops.slice(output, 0, 0, 3), ops.slice(output, 0, -3, 6)];
      const joined = ops.concat([ops.where(ops.reshape(condition, [3, 2, 1]), early, ops.tanh(late)), late], 1);
      const scores = ops.transpose(ops.logSoftmax(ops.matmul(joined, mixing.value)), [1, 2, 0]);
      const pooled = ops.mean(ops.mul(ops.softmax(scores), scores), -1);
      const best = ops.max(ops.relu(ops.sub(pooled, -2)), 0, true);
      const spread = ops.sqrt(ops.add(ops.sum(ops.mul(pooled, pooled), 1), 0.1));
      return weightedSum([
        [mse(ops.stack([pooled, ops.neg(pooled)], 0), wave([2, 4, 3], "f64", 9)), 1.5],
        [ops.sum(ops.log(ops.div(spread, ops.select(best, 1, 0)))), 0.25],
      ]);
    };
    const parameters = [...lstm.parameters(), start, mixing];
    const { gradients } = balanced(() => valueAndGrad(body, [x]));
    const found = [...parameters.map(({ grad }) => copyOf(grad)), ...gradients];
    const loss = () => valueAndGrad(body).loss;
    for (const [i, { data, shape }] of [...parameters.map(({ value }) => value), x].entries()) {
      const numeric = { data: centralDifferences(loss, data as Float64Array), shape };
      expect(found[i], `gradient ${i}`).toBeAllClose(numeric, { rtol: 1e-7, atol: 1e-9 });
    }
  });

  both("%s", (dtype) => {
    const x = floats([3, 5], dtype);

    test("results in a recorded body have the bits of those outside", () => {
      valueAndGrad(() => {
        const recorded = [ops.exp(x), ops.matmul(x, ops.transpose(x)), ops.softmax(x), ops.max(x, 0)];
        valuesOutside.forEach((value, i) => expect(recorded[i]).toHaveBits(value));
        return ops.sum(recorded[0]!);
      });
    });
    const valuesOutside: Tensor[] = [];
    beforeAll(() => {
      valuesOutside.push(ops.exp(x), ops.matmul(x, ops.transpose(x)), ops.softmax(x), ops.max(x, 0));
    });

    test("a tensor used several times gets the sum of its gradients: (x x + x)' = 2 x + 1", () => {
      const { gradients, loss } = balanced(() => valueAndGrad(() => ops.sum(ops.add(ops.mul(x, x), x)), [x]));
      const rtol = dtype === "f64" ? 1e-15 : 1e-6;
      expect(gradients[0]).toBeAllClose(
        { data: Array.from(x.data, (v) => 2 * v + 1), shape: x.shape },
        { rtol, atol: rtol },
      );
      expect(loss).toBe(ops.sum(ops.add(ops.mul(x, x), x)).data[0]);
    });

    test("a result in another shape is still that result; a copy is a constant", () => {
      const flat = (y: Tensor): Tensor => ({ data: y.data, shape: [y.data.length] });
      const direct = gradientsOf(() => ops.tanh(ops.exp(x)), [x]);
      expect(gradientsOf(() => ops.tanh(flat(ops.exp(x))), [x])[0]).toHaveBits(direct[0]!);
      const constant = gradientsOf(() => ops.mul(x, copyOf(ops.exp(x))), [x])[0]!;
      const scale = ops.exp(x);
      const expected = ops.mul(2, ops.mul(ops.mul(x, scale), scale));
      expect(constant).toBeAllClose(expected, { rtol: dtype === "f64" ? 1e-15 : 1e-6 });
    });

    test("gradients flow through a Parameter's live value, also after memory has grown", () => {
      const scale = parameter(tensor([2, 3], undefined, dtype));
      const pages = new Float64Array(3e6);
      balanced(() =>
        valueAndGrad(() => {
          const y = ops.mul(scale.value, scale.value);
          ops.add(tensor(pages), 1); // grows the memory
          return ops.sum(ops.mul(y, scale.value));
        }),
      );
      expect(Array.from(scale.grad.data)).toEqual([12, 27]);
    });

    test("what a function does not need is not kept: adding keeps nothing, products keep their inputs", () => {
      const large = floats([1000], dtype);
      const kept = (body: (y: Tensor<FloatDtype>) => Tensor<FloatDtype>): number => {
        let bytes = 0;
        valueAndGrad(() => {
          const before = currentCore().heap.bytesUsed;
          const result = body(large);
          bytes = currentCore().heap.bytesUsed - before;
          return ops.sum(result);
        });
        return bytes / (dtype === "f64" ? 8000 : 4000);
      };
      const about = (expected: number) => (bytes: number) => Math.abs(bytes - expected) < 0.05;
      expect(kept((y) => ops.add(y, y))).toSatisfy(about(0));
      expect(kept((y) => ops.neg(y))).toSatisfy(about(0));
      expect(kept((y) => ops.reshape(y, [10, 100]))).toSatisfy(about(0));
      expect(kept((y) => ops.exp(y))).toSatisfy(about(1));
      expect(kept((y) => ops.mul(y, y))).toSatisfy(about(2));
    });

    test("dropout: the same mask back", () => {
      const random = () => new Random(5);
      const mask = ops.dropout(ops.add(ops.mul(x, 0), 1), 0.4, random());
      const { gradients } = valueAndGrad(() => ops.sum(ops.dropout(x, 0.4, random())), [x]);
      expect(gradients[0]).toHaveBits(mask);
      expect(new Set(mask.data).size).toBe(2);
    });

    test("oneHot and integers have no gradient", () => {
      const indices = tensor([1, 0, 2], undefined, "i32");
      const table = floats([3, 2], dtype);
      const { gradients } = balanced(() =>
        valueAndGrad(() => {
          const turned = ops.select(ops.stack([indices, ops.reshape(indices, [3])], 0), 0, 1);
          return ops.sum(ops.mul(ops.matmul(ops.oneHot(turned, 3, dtype), table), wave([3, 2], dtype, 7)));
        }, [table]),
      );
      const rows = wave([3, 2], dtype, 7).data;
      expect(Array.from(gradients[0]!.data)).toEqual([2, 3, 0, 1, 4, 5].map((i) => rows[i]!));
    });

    test("minimize trains through functions and layers alike", () => {
      using layer = new Linear(5, 5, { dtype, seed: 2 });
      const gate = parameter(tensor(new Float64Array(5), undefined, dtype));
      const adam = new Adam([...layer.parameters(), gate], { lr: 0.05 });
      const goal = wave([3, 5], dtype, 8);
      const step = () =>
        adam.minimize(() => {
          const open = ops.sigmoid(gate.value);
          const { output } = layer.forward(x);
          return mse(ops.add(ops.mul(open, ops.tanh(output)), ops.mul(ops.sub(1, open), x)), goal);
        }).loss;
      const first = step();
      for (let i = 0; i < 200; i++) step();
      expect(balanced(step)).toBeLessThan(first / 20);
      adam.dispose();
    });
  });

  test("an error in the body frees what was recorded, and the body's error is rethrown", () => {
    const x = wave([3], "f64");
    balanced(() => {
      refuses(() => valueAndGrad(() => ops.sum(ops.add(ops.exp(x), wave([2], "f64")))), ShapeError, "b", "[2]");
      const own = new Error("mine");
      const failing = () => {
        ops.exp(ops.mul(x, x));
        throw own;
      };
      expect(() => valueAndGrad(failing)).toThrow(own);
    });
  });

  test("the main entry point's softmax is recorded, too", () => {
    const x = wave([2, 4], "f64");
    const weights = wave([2, 4], "f64", 6);
    for (const f of [softmax, logSoftmax]) {
      const body = () => ops.sum(ops.mul(f(x), weights));
      const { gradients } = valueAndGrad(body, [x]);
      const numeric = centralDifferences(() => valueAndGrad(body).loss, x.data as Float64Array);
      expect(gradients[0]).toBeAllClose({ data: numeric, shape: x.shape }, { rtol: 1e-9, atol: 1e-10 });
    }
  });
});
