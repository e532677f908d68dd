// Layer-normalised LSTM and GRU: compared with PyTorch's layer_norm and autograd (tests/golden/layernorm.py) and with finite
// differences; parameters, state dictionaries, streams, modes and checkpoints work as without normalisation.
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import {
  GRU,
  LSTM,
  RNN,
  Random,
  ShapeError,
  UnsupportedError,
  ValueError,
  configure,
  gradCheck,
  tensor,
  type FloatDtype,
  type GRUOptions,
  type LSTMOptions,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { golden, part } from "../helpers/close.js";
import { type LayerCase, compare, runLayer, tolerances } from "../helpers/pytorch.js";
import {
  bothPasses,
  expectBits,
  withoutUndefined,
  gradientsOf,
  normal,
  makeInputs,
  type Steps,
} from "../helpers/recurrent.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, take } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const { layers } = golden("layernorm") as { readonly layers: readonly LayerCase[] };
const KINDS = ["LSTM", "LSTM projected", "GRU"] as const;
type Kind = (typeof KINDS)[number];
type Options = Omit<LSTMOptions & GRUOptions, "projSize">;

function make(kind: Kind, d: number, h: number, options: Options = {}): LSTM<FloatDtype> | GRU<FloatDtype> {
  const all = { layerNorm: true, seed: 1, ...options };
  if (kind === "GRU") return new GRU(d, h, all);
  return new LSTM(d, h, kind === "LSTM" ? all : { projSize: h >> 1, ...all });
}

/** Sets gains and biases that are not ones and zeros, as after some training. */
function enliven<L extends LSTM<FloatDtype> | GRU<FloatDtype>>(layer: L): L {
  const random = new Random(7);
  for (const { name, value } of layer.parameters()) {
    if (name.includes("norm")) value.data.set(value.data.map((v) => v + 0.5 * random.normal()));
  }
  return layer;
}

const dot = (a: Tensor, b: Tensor): number => Array.from(a.data).reduce((sum, v, i) => sum + v * b.data[i]!, 0);

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(layers.map((each) => [each.name, each] as const))("PyTorch: %s", (_, each) => {
      compare(runLayer(each, dtype, { layerNorm: true }), each.expected, tolerances[dtype]);
    });

    describe.each(KINDS)("%s", (kind) => {
      const [T, N, D, H] = [7, 3, 5, 6];
      const stack = { numLayers: 2, dtype };
      const lengths = [4, 0, 7];

      test("steps have the same bits as the sequence", () => {
        using layer = enliven(make(kind, D, H, stack));
        using stream = layer.stream({ batchSize: N });
        const { x, initial } = makeInputs(layer, T, N, 1);
        stream.reset(initial);
        const { output, ...last } = layer.forward(x, initial);
        for (let t = 0; t < T; t++) {
          const step = { data: stream.step(take(x, 0, [t]).data).slice(), shape: [1, N, layer.stateSize] };
          expect(step).toHaveBits(take(output, 0, [t]));
        }
        expect(stream.state.h).toHaveBits(last.hn);
        if ("cn" in last) expect(stream.state.c!).toHaveBits(last.cn as Tensor);
      });

      test("a stream keeps the gains that the layer had when it was created", () => {
        using layer = enliven(make(kind, D, H, stack));
        using stream = layer.stream({ batchSize: N });
        const { x } = makeInputs(layer, T, N, 1);
        const { output } = layer.forward(x);
        const check = (t: number): void => {
          const step = { data: stream.step(take(x, 0, [t]).data).slice(), shape: [1, N, layer.stateSize] };
          expect(step, `step ${t}`).toHaveBits(take(output, 0, [t]));
        };
        check(0);
        for (const { value } of layer.parameters()) value.data.fill(3);
        check(1);
        const heap = heapOf(layer);
        layer.dispose();
        const size = 1 << 16; // what comes to lie where the layer was
        const address = heap.allocate(size, "other numbers");
        heap.view("f64").fill(NaN, address / 8, (address + size) / 8);
        check(2);
        heap.free(address);
      });

      test("a step allocates no memory", () => {
        using layer = make(kind, D, H, stack);
        using stream = layer.stream({ batchSize: N });
        const { bytesUsed } = heapOf(layer);
        for (let t = 0; t < 5; t++) stream.step(new Float64Array(N * D).fill(t));
        expect(heapOf(layer).bytesUsed).toBe(bytesUsed);
        stream.dispose();
        expect(heapOf(layer).bytesUsed).toBeLessThan(bytesUsed);
      });

      test.each<Steps>([{}, { lengths }])("inference has the bits of training, %j", (steps) => {
        for (const bidirectional of [false, true]) {
          using layer = enliven(make(kind, D, H, { ...stack, bidirectional }));
          const { x, initial } = makeInputs(layer, T, N, 2);
          const trained = layer.forward(x, { ...initial, ...steps });
          expectBits(layer.eval().forward(x, { ...initial, ...steps }), trained, `bidirectional ${bidirectional}`);
        }
      });

      test.each<Steps>([{}, { lengths }])("checkpoints change no bit, %j", (steps) => {
        for (const bidirectional of [false, true]) {
          using layer = enliven(make(kind, D, H, { ...stack, bidirectional }));
          const problem = makeInputs(layer, T, N, 3);
          const whole = bothPasses(layer, problem, steps);
          for (const checkpoint of [1, 3, 7]) {
            const where = `every ${checkpoint}, bidirectional ${bidirectional}`;
            using other = enliven(make(kind, D, H, { ...stack, bidirectional, checkpoint }));
            expectBits(bothPasses(other, problem, steps), whole, where);
            const gradients = gradientsOf(layer);
            gradientsOf(other).forEach((grad, i) => {
              expect(grad, where).toBeAllClose(gradients[i]!, tolerances[dtype]); // summed by segments
            });
          }
        }
      });

      test("the state dictionary is complete", () => {
        using layer = enliven(make(kind, D, H, { ...stack, bidirectional: true }));
        using other = make(kind, D, H, { ...stack, bidirectional: true, seed: 2 });
        const dict = layer.stateDict();
        expect(Object.keys(dict)).toEqual(layer.parameters().map(({ name }) => name));
        other.loadStateDict(dict);
        other.parameters().forEach(({ value }, i) => expect(value).toHaveBits(layer.parameters()[i]!.value));
        const { x, initial } = makeInputs(layer, T, N, 4);
        expectBits(other.forward(x, initial), layer.forward(x, initial), kind);

        using plain = make(kind, D, H, { ...stack, bidirectional: true, layerNorm: false });
        refuses(() => plain.loadStateDict(dict), ShapeError, 'an unknown entry "weight_norm_ih_l0"');
        refuses(() => layer.loadStateDict(plain.stateDict()), ShapeError, 'no entry "weight_norm_ih_l0"');
      });
    });
  });

  /** LN(x) does not change where one number is added to all of x: one vector added to all rows of a weight. */
  test.each(KINDS)("%s: adding a constant to all gates changes nothing", (kind) => {
    using layer = enliven(make(kind, 5, 6));
    const { x, initial } = makeInputs(layer, 4, 3, 5, normal);
    const before = layer.forward(x, initial);
    const random = new Random(6);
    for (const { name, value } of layer.parameters()) {
      if (!/^weight_[ih]h/.test(name)) continue;
      const [rows, width] = value.shape as [number, number];
      const { data } = value;
      for (let column = 0; column < width; column++) {
        const [some, others] = [random.normal(), random.normal()]; // a GRU's n is normalised on its own
        for (let row = 0; row < rows; row++) {
          data[row * width + column]! += kind === "GRU" && row >= 12 ? others : some;
        }
      }
    }
    const after = layer.forward(x, initial);
    for (const [name, value] of Object.entries(before)) {
      expect(after[name as keyof typeof after], name).toBeAllClose(value, { rtol: 1e-10, atol: 1e-11 });
    }
  });
});

describe("parameters", () => {
  test.each(KINDS)("%s: names, order, shapes, initial values", (kind) => {
    for (const bias of [true, false]) {
      using layer = make(kind, 3, 4, { numLayers: 2, bidirectional: true, bias });
      const [g, p] = [kind === "GRU" ? 12 : 16, layer.stateSize];
      const expected = ["l0", "l0_reverse", "l1", "l1_reverse"].flatMap((suffix) => {
        const shapes: [string, number[]][] = [
          ["weight_ih", [g, suffix.startsWith("l0") ? 3 : 2 * p]],
          ["weight_hh", [g, p]],
        ];
        if (bias) shapes.push(["bias_ih", [g]], ["bias_hh", [g]]);
        if (kind === "LSTM projected") shapes.push(["weight_hr", [p, 4]]);
        shapes.push(["weight_norm_ih", [g]], ["weight_norm_hh", [g]]);
        if (kind !== "GRU") shapes.push(["weight_norm_c", [4]], ["bias_norm_c", [4]]);
        return shapes.map(([name, shape]) => [`${name}_${suffix}`, shape]);
      });
      expect(layer.parameters().map(({ name, value }) => [name, value.shape])).toEqual(expected);
      for (const { name, value, grad } of layer.parameters()) {
        expect(grad.shape).toEqual(value.shape);
        expect(grad.data.every((v) => v === 0)).toBe(true);
        const all = (v: number): boolean => value.data.every((each) => each === v);
        if (name.startsWith("weight_norm")) expect(all(1), name).toBe(true);
        else if (name.startsWith("bias_norm")) expect(all(0), name).toBe(true);
        else expect(new Set(value.data).size, name).toBe(value.data.length);
      }
    }
  });

  test("together with unitForgetBias", () => {
    using layer = new LSTM(3, 4, { layerNorm: true, unitForgetBias: true });
    const value = (of: string): number[] => Array.from(layer.stateDict()[of]!.data);
    expect(value("bias_ih_l0")).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    expect(value("bias_norm_c_l0")).toEqual([0, 0, 0, 0]);
    expect(value("weight_norm_c_l0")).toEqual([1, 1, 1, 1]);
  });

  test("layerNorm: false is the default", () => {
    for (const kind of KINDS) {
      using layer = make(kind, 3, 4, { layerNorm: false });
      using plain = make(kind, 3, 4, { layerNorm: undefined });
      expect(layer.parameters().some(({ name }) => name.includes("norm"))).toBe(false);
      expect(plain.parameters().map(({ name }) => name)).toEqual(layer.parameters().map(({ name }) => name));
    }
  });

  test("refuses", () => {
    const refused = { layerNorm: true, resetAfter: false };
    refuses(() => new GRU(3, 4, refused), UnsupportedError, "layerNorm", "resetAfter false", "resetAfter true");
    new GRU(3, 4, { layerNorm: false, resetAfter: false }).dispose();
    for (const layerNorm of [1, "true", null]) {
      refuses(() => new LSTM(3, 4, { layerNorm } as never), ValueError, "layerNorm");
      refuses(() => new GRU(3, 4, { layerNorm } as never), ValueError, "layerNorm");
    }
    refuses(() => new RNN(3, 4, { layerNorm: true } as never), UnsupportedError, "layerNorm");
  });
});

/** Differences are computed in one build; the gradients of the other are compared with its gradients. */
describe("central differences", () => {
  const [T, N, D, H] = [4, 3, 5, 8];
  /** [T,N]: starts and ends, a hole, a row of nothing. */
  const mask = tensor([0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0], [T, N], "i32");

  beforeEach(() => configure({ variant: variants[0]! }));
  afterAll(() => configure({ variant: "auto" }));

  test.each<[string, Options, Steps]>([
    ["one layer", {}, {}],
    ["no bias, batch of lengths, two layers", { bias: false, numLayers: 2 }, { lengths: [4, 0, 2] }],
    ["mask, both directions, checkpoints", { bidirectional: true, checkpoint: 3 }, { mask }],
    ["other non-linearities", { activation: "sigmoid", recurrentActivation: "tanh" }, {}],
  ])("%s", (_, options, steps) => {
    for (const kind of KINDS) {
      const passed = () => {
        const layer = enliven(make(kind, D, H, options));
        const problem = makeInputs(layer, T, N, 1, normal);
        const pass = bothPasses(layer, problem, steps);
        const inputs = Object.entries(withoutUndefined({ x: problem.x, ...problem.initial }));
        const all = [
          ...layer.parameters().map(({ name, value }, i) => ({ name, value, grad: gradientsOf(layer)[i]! })),
          ...inputs.map(([name, value]) => ({ name, value, grad: pass[name as "x" | "h0" | "c0"]! })),
        ];
        return { layer, problem, all };
      };
      configure({ variant: variants[0]! });
      const { layer, problem, all } = passed();
      for (const { name, grad } of all) {
        expect(
          grad.data.some((g) => Math.abs(g) > 1e-3),
          `${kind}, ${name}`,
        ).toBe(true);
      }
      const { x, initial, gradients } = problem;
      layer.eval();
      const loss = (): number => {
        const results = layer.forward(x, { ...initial, ...steps });
        const ofCells = "cn" in results ? dot(results.cn as Tensor, gradients.cn!) : 0;
        return dot(results.output, gradients.output) + dot(results.hn, gradients.hn) + ofCells;
      };
      const { ok, worst } = gradCheck(loss, all); // 1e-6 relative + 1e-9
      expect(ok, `${kind}, ${JSON.stringify(worst)}`).toBe(true);
      for (const variant of variants.slice(1)) {
        configure({ variant });
        const other = passed();
        all.forEach(({ name, grad }, i) => {
          expect(other.all[i]!.grad, `${kind}, ${name}`).toBeAllClose(grad, { rtol: 1e-9, atol: 1e-11 });
        });
        other.layer.dispose();
      }
      layer.dispose();
    }
  });
});

test("the golden data cover every option", () => {
  for (const kind of ["LSTM", "GRU"] as const) {
    const cases = layers.filter((each) => each.kind === kind);
    const has = (holds: (each: LayerCase) => boolean): void => expect(cases.some(holds), kind).toBe(true);
    for (const numLayers of [1, 2]) has(({ options }) => options.numLayers === numLayers);
    for (const yes of [true, false]) {
      for (const flag of ["bidirectional", "bias", "batchFirst"] as const) has(({ options }) => options[flag] === yes);
      has(({ lengths }) => (lengths !== undefined) === yes);
      has(({ h0 }) => (h0 !== undefined) === yes);
    }
    if (kind === "LSTM") has(({ options }) => options.projSize !== undefined);
    for (const each of cases) {
      for (const [name, { data }] of Object.entries(each.weights)) {
        if (name.includes("norm")) expect(new Set(Array.from(data)).size, name).toBeGreaterThan(data.length / 2);
      }
      each.lengths?.forEach((length, row) => {
        for (let step = length; step < each.x.shape[each.options.batchFirst ? 1 : 0]!; step++) {
          const at = each.options.batchFirst ? [row, step] : [step, row];
          expect(part(each.expected.forward.output!, at).every((v) => v === 0)).toBe(true);
        }
      });
    }
  }
});
