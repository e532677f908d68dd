// Initialisers: bounds and moments of the draws, orthogonality, seeds, gains, refused arguments.
import { describe, expect, test } from "vitest";
import {
  DisposedError,
  DtypeError,
  Embedding,
  LSTM,
  Linear,
  RNN,
  Random,
  ShapeError,
  UnsupportedError,
  ValueError,
  init,
  tensor,
  type GainNonlinearity,
  type Parameter,
  type Tensor,
} from "../../src/index.js";
import { patient } from "../helpers/clock.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, range, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const weightOf = (layer: { parameters(): Parameter[] }): Parameter => layer.parameters()[0]!;

function moments(of: Tensor): { mean: number; std: number; largest: number } {
  const data = Array.from(of.data);
  const mean = data.reduce((sum, v) => sum + v, 0) / data.length;
  const variance = data.reduce((sum, v) => sum + (v - mean) ** 2, 0) / data.length;
  return { mean, std: Math.sqrt(variance), largest: data.reduce((most, v) => Math.max(most, Math.abs(v)), 0) };
}

/** Largest difference of V V^T (or V^T V) of a block of rows from a multiple of the identity. */
function offOrthonormal({ data, shape }: Tensor, first: number, rows: number, scale = 1): number {
  const columns = shape.slice(1).reduce((product, n) => product * n, 1);
  const at = (r: number, c: number): number => data[(first + r) * columns + c]!;
  const [count, length] = rows <= columns ? [rows, columns] : [columns, rows];
  const dot = (i: number, j: number): number =>
    range(0, length).reduce((sum, k) => sum + (rows <= columns ? at(i, k) * at(j, k) : at(k, i) * at(k, j)), 0);
  let worst = 0;
  for (let i = 0; i < count; i++) {
    for (let j = 0; j <= i; j++) worst = Math.max(worst, Math.abs(dot(i, j) - (i === j ? scale : 0)));
  }
  return worst;
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    // 200 x 300: fan in 300, fan out 200; 60,000 numbers have a mean within 5 std / 245 and a std within 2 %
    const uniforms: [string, (p: Parameter) => void, number][] = [
      ["xavierUniform", (p) => init.xavierUniform(p, { seed: 1 }), Math.sqrt(6 / 500)],
      ["xavierUniform, gain", (p) => init.xavierUniform(p, { seed: 1, gain: 2 }), 2 * Math.sqrt(6 / 500)],
      ["kaimingUniform", (p) => init.kaimingUniform(p, { seed: 1 }), Math.sqrt(6 / 300)],
      ["kaimingUniform, a", (p) => init.kaimingUniform(p, { seed: 1, a: Math.sqrt(5) }), Math.sqrt(1 / 300)],
      ["kaimingUniform, fanOut", (p) => init.kaimingUniform(p, { seed: 1, mode: "fanOut" }), Math.sqrt(6 / 200)],
      ["uniform", (p) => init.uniform(p, { low: -3, high: 3, seed: 1 }), 3],
    ];
    test.each(uniforms)("%s", (_, fill, bound) => {
      using layer = new Linear(300, 200, { dtype });
      fill(weightOf(layer));
      const { mean, std, largest } = moments(weightOf(layer).value);
      expect(largest).toBeLessThanOrEqual(bound * (1 + 1e-7));
      expect(largest).toBeGreaterThan(0.999 * bound);
      expect(Math.abs(mean)).toBeLessThan((5 * bound) / Math.sqrt(3 * 60_000));
      expect(Math.abs(std / (bound / Math.sqrt(3)) - 1)).toBeLessThan(0.02);
    });

    const normals: [string, (p: Parameter) => void, number, number?][] = [
      ["xavierNormal", (p) => init.xavierNormal(p, { seed: 1, gain: 0.5 }), 0.5 * Math.sqrt(2 / 500)],
      ["kaimingNormal", (p) => init.kaimingNormal(p, { seed: 1 }), Math.sqrt(2 / 300)],
      ["kaimingNormal, tanh", (p) => init.kaimingNormal(p, { seed: 1, nonlinearity: "tanh" }), 5 / 3 / Math.sqrt(300)],
      ["kaimingNormal, fanOut", (p) => init.kaimingNormal(p, { seed: 1, mode: "fanOut" }), Math.sqrt(2 / 200)],
      ["normal", (p) => init.normal(p, { mean: 5, std: 2, seed: 1 }), 2, 5],
    ];
    test.each(normals)("%s", (_, fill, expected, center = 0) => {
      using layer = new Linear(300, 200, { dtype });
      const { value } = weightOf(layer);
      fill(weightOf(layer));
      const { mean, std } = moments(value);
      expect(Math.abs(mean - center)).toBeLessThan((5 * expected) / Math.sqrt(60_000));
      expect(Math.abs(std / expected - 1)).toBeLessThan(0.02);
      const within = (k: number) => value.data.filter((v) => Math.abs(v - center) < k * expected).length / 60_000;
      expect(within(1)).toBeCloseTo(0.6827, 2);
      expect(within(2)).toBeCloseTo(0.9545, 2);
    });

    test("constants; the tensor itself is returned", () => {
      using layer = new Linear(3, 2, { dtype });
      const parameter = weightOf(layer);
      init.ones(parameter);
      expect(parameter.value.data.every((v) => v === 1)).toBe(true);
      init.zeros(parameter.value);
      expect(parameter.value.data.every((v) => v === 0)).toBe(true);
      init.constant(parameter, 0.25);
      expect(layer.stateDict().weight!.data.every((v) => v === 0.25)).toBe(true);
      const own = wave([2, 3], dtype);
      init.constant(own, -2);
      expect(own.data.every((v) => v === -2)).toBe(true);
    });

    test.each([
      [[7, 7], 1],
      [[5, 17], 1],
      [[17, 5], 1],
      [[1, 3], 1],
      [[3, 1], 1],
      [[1, 1], 1],
      [[6, 2, 5], 1],
      [[28, 7], 4],
      [[9, 5], 3],
      [[64, 64], 1],
    ])("orthogonal %j in %i", (shape, gates) => {
      const target = wave(shape, dtype);
      const rows = shape[0]! / gates;
      const tolerance = dtype === "f64" ? 5e-15 : 1e-6; // one pass of Gram-Schmidt leaves 3e-14 at 64
      for (const gain of [1, 3]) {
        init.orthogonal(target, { gates, gain, seed: 5 });
        for (let gate = 0; gate < gates; gate++) {
          expect(offOrthonormal(target, gate * rows, rows, gain * gain)).toBeLessThan(tolerance * gain * gain);
        }
      }
      if (gates > 1) expect(offOrthonormal(target, 0, shape[0]!, 9)).toBeGreaterThan(0.1);
      const before = target.data.slice();
      init.orthogonal(target, { gates, gain: 3, seed: 6 });
      if (target.data.length > 1) expect(target.data).not.toEqual(before);
    });

    test("the same seed gives the same numbers", () => {
      const fills: ((t: Tensor, seed: number) => void)[] = [
        (t, seed) => init.uniform(t, { seed }),
        (t, seed) => init.normal(t, { seed }),
        (t, seed) => init.xavierUniform(t, { seed }),
        (t, seed) => init.xavierNormal(t, { seed }),
        (t, seed) => init.kaimingUniform(t, { seed }),
        (t, seed) => init.kaimingNormal(t, { seed }),
        (t, seed) => init.orthogonal(t, { seed }),
      ];
      for (const fill of fills) {
        const draw = (seed: number) => {
          const target = wave([4, 5], dtype);
          fill(target, seed);
          return target.data;
        };
        expect(draw(1)).toEqual(draw(1));
        expect(draw(1)).not.toEqual(draw(2));
      }
    });

    test.each([1, 2])("forgetGateBias, %i layers", (numLayers) => {
      using layer = new LSTM(3, 4, { numLayers, dtype });
      const before = layer.stateDict();
      init.forgetGateBias(layer, 1.5);
      for (const [name, { data }] of Object.entries(layer.stateDict())) {
        const expected = before[name]!.data.slice();
        if (name.startsWith("bias_ih")) expected.fill(1.5, 4, 8);
        if (name.startsWith("bias_hh")) expected.fill(0, 4, 8);
        expect(data, name).toEqual(expected);
      }
      init.forgetGateBias(layer);
      expect(layer.stateDict().bias_ih_l0!.data[5]).toBe(1);
    });
  });
});

test("axes that hold no numbers take no time", () => {
  const none = (...shape: number[]) => ({ data: new Float64Array(0), shape });
  const started = performance.now();
  for (const shape of [
    [2 ** 40, 0],
    [0, 2 ** 40],
    [2 ** 52, 0, 3],
    [0, 0],
    [2 ** 40, 2, 0],
  ]) {
    init.orthogonal(none(...shape));
    init.orthogonal(none(...shape), { gates: shape[0]! > 0 ? shape[0]! : 7 });
    for (const fill of [init.uniform, init.normal, init.zeros, init.ones]) fill(none(...shape));
    for (const fill of [init.xavierUniform, init.xavierNormal, init.kaimingUniform, init.kaimingNormal]) {
      fill(none(...shape));
    }
    init.constant(none(...shape), 1);
  }
  expect(performance.now() - started).toBeLessThan(patient(1000));
  refuses(() => init.orthogonal(none(2 ** 40, 0), { gates: 3 }), ValueError, "gates");
});

test("orthogonal has the bits of Gram-Schmidt, vector by vector, and draws the same numbers from a seed", () => {
  /** Each vector less its shares in those before it, twice over. */
  const naive = (count: number, length: number, random: Random): number[][] => {
    const vectors: number[][] = [];
    while (vectors.length < count) {
      const v = range(0, length).map(() => random.normal());
      for (const w of [...vectors, ...vectors]) {
        const share = v.reduce((sum, x, i) => sum + x * w[i]!, 0);
        v.forEach((x, i) => (v[i] = x - share * w[i]!));
      }
      const norm = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
      vectors.push(v.map((x) => x / norm));
    }
    return vectors;
  };
  for (const [rows, columns, gates] of [
    [1, 1, 1],
    [2, 2, 1],
    [3, 7, 1],
    [7, 3, 1],
    [24, 8, 3],
    [33, 20, 1],
    [20, 33, 1],
    [10, 9, 5],
  ] as const) {
    const target = { data: new Float64Array(rows * columns), shape: [rows, columns] };
    init.orthogonal(target, { gain: 1.5, gates, seed: 11 });
    const random = new Random(11);
    const height = rows / gates;
    const expected = range(0, gates).flatMap(() => {
      const wide = height <= columns;
      const vectors = naive(Math.min(height, columns), Math.max(height, columns), random);
      return range(0, height).flatMap((r) =>
        range(0, columns).map((c) => 1.5 * (wide ? vectors[r]![c]! : vectors[c]![r]!)),
      );
    });
    expect([...target.data], `${rows} x ${columns} in ${gates}`).toEqual(expected);
  }
});

both("orthogonal of a live tensor, while memory grows, %s", (dtype) => {
  const targets: [string, (layer: Linear<typeof dtype>) => Parameter | Tensor][] = [
    ["parameter", (layer) => weightOf(layer)],
    ["value", (layer) => weightOf(layer).value],
    ["plain record", (layer) => ({ data: weightOf(layer).value.data, shape: [...weightOf(layer).value.shape] })],
  ];
  test.each(targets)("%s", (_, targetOf) => {
    const heap = heapOf(new Linear(1, 1));
    const size = 200; // the vectors take 320 kB, and no 64 kB are free in one piece
    using layer = new Linear(size, size, { dtype, bias: false });
    const expected = wave([size, size], dtype);
    init.orthogonal(expected, { seed: 3, gain: 2 });
    const fillers: number[] = [];
    const take = (bytes: number): number => fillers[fillers.push(heap.allocate(bytes, "a filler")) - 1]!;
    const full = heap.byteLength;
    while (heap.byteLength === full) take(65536);
    const rest = heap.byteLength - fillers[fillers.length - 1]! - 65536;
    if (rest > 0) take(rest);
    const before = heap.byteLength;
    init.orthogonal(targetOf(layer), { seed: 3, gain: 2 });
    expect(heap.byteLength).toBeGreaterThan(before);
    expect(weightOf(layer).value.data).toEqual(expected.data);
    for (const address of fillers) heap.free(address);
  });
});

test("a target whose getter disposes of the layer is refused, and no other layer changes", () => {
  const fills: ((target: Tensor) => void)[] = [
    (t) => init.uniform(t, { seed: 1 }),
    (t) => init.normal(t, { seed: 1 }),
    (t) => init.constant(t, 7777),
    (t) => init.xavierUniform(t, { seed: 1 }),
    (t) => init.kaimingNormal(t, { seed: 1 }),
    (t) => init.orthogonal(t, { seed: 1 }),
  ];
  for (const fill of fills) {
    for (const wrap of [
      (live: Tensor, dispose: () => void) => ({
        get data() {
          return live.data;
        },
        get shape() {
          dispose();
          return [3, 4];
        },
      }),
      (live: Tensor, dispose: () => void) => ({
        get data() {
          return live.data;
        },
        shape: new Proxy([3, 4], { get: (shape, key) => (dispose(), Reflect.get(shape, key) as unknown) }),
      }),
      (live: Tensor, dispose: () => void) => ({
        get value() {
          dispose();
          return live;
        },
      }),
    ]) {
      const layer = new Linear(4, 3, { seed: 1 });
      const live = weightOf(layer).value;
      const others: Linear[] = [];
      const dispose = (): void => {
        layer.dispose();
        while (others.length < 8) others.push(new Linear(4, 3, { seed: 2 }));
      };
      refuses(() => fill(wrap(live, dispose) as Tensor), DisposedError);
      using fresh = new Linear(4, 3, { seed: 2 });
      for (const other of others) {
        expect(other.stateDict()).toEqual(fresh.stateDict());
        other.dispose();
      }
    }
  }
  // forgetGateBias: parameters that are no LSTM's
  for (const parameters of [() => null, () => 3, () => [null], () => [{ name: "bias_ih_l0" }], () => ({ filter: 1 })]) {
    const call = () => init.forgetGateBias({ hiddenSize: 2, parameters } as never);
    expect(call).toThrow(/got/);
  }
});

test("calculateGain", () => {
  const gains = { linear: 1, sigmoid: 1, tanh: 5 / 3, relu: Math.SQRT2, leakyRelu: Math.sqrt(2 / 1.0001), selu: 0.75 };
  for (const [name, gain] of Object.entries(gains)) {
    expect(init.calculateGain(name as GainNonlinearity)).toBeCloseTo(gain, 15);
  }
  expect(init.calculateGain("leakyRelu", 1)).toBe(1);
  refuses(() => init.calculateGain("elu" as "selu"), ValueError, "nonlinearity", '"elu"');
  refuses(() => init.calculateGain("leakyRelu", NaN), ValueError, "a: got");
});

describe("refused arguments change nothing", () => {
  const fills: Readonly<Record<string, (target: Tensor, options?: object) => void>> = {
    uniform: (t, o) => init.uniform(t, o),
    normal: (t, o) => init.normal(t, o),
    xavierUniform: (t, o) => init.xavierUniform(t, o),
    xavierNormal: (t, o) => init.xavierNormal(t, o),
    kaimingUniform: (t, o) => init.kaimingUniform(t, o),
    kaimingNormal: (t, o) => init.kaimingNormal(t, o),
    orthogonal: (t, o) => init.orthogonal(t, o),
  };

  test.each(Object.entries(fills))("%s: targets, seeds, options", (name, fill) => {
    for (const target of [null, undefined, 3, {}, [1, 2], { value: null }, { name: "a", value: 3 }]) {
      refuses(() => fill(target as never), DtypeError);
    }
    refuses(() => fill(tensor([1, 2], [1, 2], "i32")), DtypeError, "target: got i32");
    refuses(() => fill({ data: new Float64Array(3), shape: [2, 2] }), ShapeError, "target: got 3 numbers");
    const x = wave([4, 3], "f64");
    const before = x.data.slice();
    for (const seed of [-1, 0.5, "1", null]) refuses(() => fill(x, { seed }), ValueError, "seed");
    refuses(() => fill(x, { std_dev: 1 }), UnsupportedError, name, "std_dev");
    refuses(() => fill(x, null as never), ValueError, name);
    if (name !== "uniform" && name !== "normal") {
      refuses(() => fill(wave([3], "f64")), ShapeError, "target: got [3], expected at least 2 axes");
      refuses(() => fill(new Linear(2, 3).parameters()[1] as never), ShapeError, "bias: got [3]");
    }
    const layer = new Embedding(3, 4);
    const parameter = weightOf(layer);
    layer.dispose();
    refuses(() => fill(parameter as never), DisposedError);
    expect(x.data).toEqual(before);
  });

  test.each([
    ["uniform", { low: NaN }, "low"],
    ["uniform", { high: Infinity }, "high"],
    ["uniform", { low: 2 }, "high"],
    ["normal", { mean: "0" }, "mean"],
    ["normal", { std: -1 }, "std"],
    ["xavierUniform", { gain: NaN }, "gain"],
    ["xavierNormal", { gain: null }, "gain"],
    ["kaimingUniform", { mode: "fan_in" }, "mode"],
    ["kaimingNormal", { nonlinearity: "gelu" }, "nonlinearity"],
    ["kaimingNormal", { a: Infinity }, "a: got"],
    ["orthogonal", { gain: Infinity }, "gain"],
    ["orthogonal", { gates: 3 }, "gates"],
    ["orthogonal", { gates: 0 }, "gates"],
    ["orthogonal", { gates: "2" }, "gates"],
    ["orthogonal", { gates: 2n }, "gates"],
  ])("%s %o", (name, options, argument) => {
    const x = wave([4, 3], "f64");
    const before = x.data.slice();
    refuses(() => fills[name]!(x, options), ValueError, argument);
    expect(x.data).toEqual(before);
  });

  test("constant, forgetGateBias", () => {
    const x = wave([2], "f64");
    for (const value of ["1", null, undefined, 1n])
      refuses(() => init.constant(x, value as never), ValueError, "value");
    using rnn = new RNN(3, 4);
    using bare = new LSTM(3, 4, { bias: false });
    using linear = new Linear(3, 4);
    refuses(() => init.forgetGateBias(rnn), ValueError, "layer", "an LSTM with biases");
    refuses(() => init.forgetGateBias(bare), ValueError, "without biases");
    refuses(() => init.forgetGateBias(linear as never), ValueError, "layer: got Linear");
    for (const layer of [null, undefined, {}, 3])
      refuses(() => init.forgetGateBias(layer as never), ValueError, "layer");
    using lstm = new LSTM(3, 4);
    const before = lstm.stateDict();
    for (const value of [NaN, Infinity, "1", null]) {
      refuses(() => init.forgetGateBias(lstm, value as number), ValueError, "value");
    }
    expect(lstm.stateDict()).toEqual(before);
  });
});
