// Ragged, masked, reversed and stateful sequences: edge cases and refused arguments. Properties for all sizes are in
// properties.test.ts.
import { beforeAll, describe, expect, test } from "vitest";
import {
  DisposedError,
  DtypeError,
  LSTM,
  RNN,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  tensor,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import {
  KINDS,
  bothPasses,
  finalAsInitial,
  expectBits,
  withoutUndefined,
  gradientsOf,
  makeRecurrent,
  makeInputs,
  rowsOfInputs,
  type Options,
  type PassInputs,
  type Recurrent,
  type Results,
} from "../helpers/recurrent.js";
import { refuses } from "../helpers/refuses.js";
import { range, resident, sparse, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const [T, N, D, H] = [5, 3, 4, 6];
const zero = ({ data }: Tensor): boolean => data.every((v) => v === 0);
const i32 = (values: number[], shape?: number[]): Tensor => tensor(values, shape, "i32");

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    describe.each(KINDS)("%s", (kind) => {
      const make = (options?: Options): Recurrent => makeRecurrent(kind, D, H, { dtype, seed: 1, ...options });
      const forward = (layer: Recurrent, x: Tensor, state = {}): Results => withoutUndefined(layer.forward(x, state));
      let problem: PassInputs; // of a layer in one direction
      let deep: PassInputs; // of two in both
      const stack = { numLayers: 2, bidirectional: true };
      beforeAll(() => {
        using one = make();
        using two = make(stack);
        problem = makeInputs(one, T, N, 1);
        deep = makeInputs(two, T, N, 2);
      });

      describe("lengths", () => {
        test("of 0: outputs are zero; states and gradients pass through", () => {
          for (const [options, { x, initial, gradients }] of [
            [{}, problem],
            [stack, deep],
          ] as [Options, PassInputs][]) {
            // prettier-ignore
            using layer = make(options);
            const pass = bothPasses(layer, { x, initial, gradients }, { lengths: [0, 0, 0] });
            expect(pass.output.shape).toEqual(gradients.output.shape);
            expect(zero(pass.output)).toBe(true);
            expect(pass.x.shape).toEqual(x.shape);
            expect(zero(pass.x)).toBe(true);
            expectBits(finalAsInitial(pass), initial, "last states");
            expectBits({ hn: pass.h0, cn: pass.c0 }, { hn: gradients.hn, cn: gradients.cn }, "gradients of states");
            for (const { grad } of layer.parameters()) expect(zero(grad)).toBe(true);
            expectBits(forward(layer.eval(), x, { ...initial, lengths: [0, 0, 0] }), withoutUndefined({ output: pass.output, hn: pass.hn, cn: pass.cn }), "eval"); // prettier-ignore
            const none = forward(layer, x, { lengths: [0, 0, 0] }); // without first states, zeros pass through
            for (const each of Object.values(none)) expect(zero(each as Tensor)).toBe(true);
          }
        });

        test("past a row's end neither x nor gradients have an effect", () => {
          const lengths = [2, 5, 0];
          const behind = (of: Tensor): Tensor => {
            const data = of.data.slice();
            const width = of.shape[2]!;
            lengths.forEach((length, row) => {
              for (let t = length; t < T; t++) data.fill(NaN, (t * N + row) * width, (t * N + row + 1) * width);
            });
            return { data, shape: of.shape };
          };
          using layer = make(stack);
          using same = make(stack);
          const { x, initial, gradients } = deep;
          const expected = bothPasses(layer, deep, { lengths });
          const wild = { x: behind(x), initial, gradients: { ...gradients, output: behind(gradients.output) } };
          expectBits(bothPasses(same, wild, { lengths }), expected, "NaN in the padding");
          gradientsOf(same).forEach((gradient, i) => expect(gradient).toHaveBits(gradientsOf(layer)[i]!));
        });

        test.each<[Options, boolean]>([
          [{}, false],
          [stack, true],
          [{ ...stack, checkpoint: 2 }, true],
          [{ ...stack, goBackwards: true, stateful: true }, true],
        ])("an empty batch: %j", (options, both) => {
          using layer = make({ ...options, dropout: 0.5, recurrentDropout: 0.5 });
          const empty = rowsOfInputs(both ? deep : problem, []);
          for (const steps of [{}, { lengths: [] }, { lengths: i32([], [0]) }, { mask: i32([], [T, 0]) }]) {
            const pass = bothPasses(layer, empty, steps);
            expectBits(pass, { ...empty.gradients, x: empty.x, ...empty.initial }, "shapes");
            layer.eval().forward(empty.x, steps);
            layer.train();
          }
        });

        test("lists and tensors are equivalent; neither is changed, or read again in backward", () => {
          const list = [3, 5, 1];
          const data = i32([3, 5, 1]);
          using layer = make();
          const { x, initial, gradients } = problem;
          const expected = bothPasses(layer, problem, { lengths: list });
          expect(list).toEqual([3, 5, 1]);
          const { output } = layer.forward(x, { ...initial, lengths: data });
          expect(output).toHaveBits(expected.output);
          const typed = Int32Array.from(list);
          expect(layer.forward(x, { ...initial, lengths: typed }).output).toHaveBits(expected.output);
          expect(data).toEqual(i32([3, 5, 1]));
          data.data.fill(0);
          expect(layer.backward(gradients).x).toHaveBits(expected.x);
        });

        test("refuses lengths that are not 0 to T for every row, and changes nothing", () => {
          const lengths = [4, 0, 2];
          using layer = make({ ...stack, stateful: true, dropout: 0.5 });
          using same = make({ ...stack, stateful: true, dropout: 0.5 });
          const { x, initial, gradients } = deep;
          const expected = bothPasses(same, deep, { lengths });
          const outcome = layer.forward(x, { ...initial, lengths });
          const call = (value: unknown) => () => layer.forward(x, { lengths: value as number[] });
          const one = (value: unknown) => call([1, value, 2]);
          for (const value of [6, -1, 1.5, NaN, Infinity]) {
            refuses(one(value), ValueError, `lengths[1]: got ${value}, expected an integer from 0 to 5`);
          }
          refuses(call(i32([1, 2, 6])), ValueError, "lengths[2]: got 6, expected an integer from 0 to 5");
          refuses(call(i32([-1, 2, 5])), ValueError, "lengths[0]: got -1");
          for (const value of ["1", null, {}, [1], 1n, undefined]) refuses(one(value), DtypeError, "lengths[1]: got");
          refuses(call(sparse([1, 2, 3], 2)), DtypeError, "lengths[2]: got undefined, expected a number");
          refuses(call([1, 2]), ShapeError, "lengths: got 2 numbers, expected 3");
          refuses(call([1, 2, 3, 4]), ShapeError, "lengths: got 4 numbers, expected 3");
          refuses(call([]), ShapeError, "lengths: got 0 numbers, expected 3");
          refuses(call(i32([1, 2])), ShapeError, "lengths: got [2], expected [3]");
          refuses(call(i32([1, 2, 3], [1, 3])), ShapeError, "lengths: got [1, 3], expected [3]");
          refuses(call(tensor([1, 2, 3])), DtypeError, "lengths: got f64, expected i32");
          for (const value of [null, 3, "123", {}]) refuses(call(value), DtypeError, "lengths: got");
          refuses(() => layer.forward(x, { lengths, mask: i32(range(0, 15).map(() => 1), [T, N]) }), StateError, "mask: got lengths as well"); // prettier-ignore
          refuses(
            () => layer.forward(take(x, 1, [0, 1]), { lengths }),
            ShapeError,
            "lengths: got 3 numbers, expected 2",
          );
          for (const { grad } of layer.parameters()) expect(zero(grad)).toBe(true);
          expectBits({ ...outcome, ...layer.backward(gradients) }, expected, "the pass before");
          gradientsOf(layer).forEach((gradient, i) => expect(gradient).toHaveBits(gradientsOf(same)[i]!));
          expectBits(forward(layer, x), forward(same, x), "the next pass, with its states and masks");
        });

        test("of unbatched sequences: one", () => {
          using layer = make();
          const x = wave([T, D], dtype);
          const { output, hn } = layer.forward(x, { lengths: [2] });
          const short = layer.forward(take(x, 0, [0, 1]));
          expect(take(output, 0, [0, 1])).toHaveBits(short.output);
          expect(zero(take(output, 0, [2, 3, 4]))).toBe(true);
          expect(hn).toHaveBits(short.hn);
          refuses(() => layer.forward(x, { lengths: [2, 2] }), ShapeError, "lengths: got 2 numbers, expected 1");
          refuses(() => layer.forward(x, { lengths: [6] }), ValueError, "lengths[0]: got 6");
          refuses(() => layer.forward(x, { lengths: 2 as never }), DtypeError, "lengths: got");
        });
      });

      describe("masks", () => {
        test("of zeros: outputs are zero; states pass through", () => {
          using layer = make(stack);
          const pass = bothPasses(layer, deep, { mask: i32(new Array<number>(T * N).fill(0), [T, N]) });
          expect(zero(pass.output) && zero(pass.x)).toBe(true);
          expectBits(finalAsInitial(pass), deep.initial, "last states");
          const { hn, cn } = deep.gradients;
          expectBits({ hn: pass.h0, cn: pass.c0 }, { hn, cn }, "gradients of states");
        });

        test("Keras: a masked step repeats output and state; before the first valid step outputs are zero", () => {
          using layer = make();
          const x = take(problem.x, 1, [0]);
          const { output, hn } = layer.forward(x, { mask: i32([0, 1, 0, 0, 1], [T, 1]) });
          const two = layer.forward(take(x, 0, [1, 4])).output;
          const [a, b] = [take(two, 0, [0]).data, take(two, 0, [1]).data];
          const rows = range(0, T).map((t) => take(output, 0, [t]).data);
          expect(rows[0]!.every((v) => v === 0)).toBe(true);
          expect(rows.slice(1)).toEqual([a, a, a, b]);
          expect(hn.data).toEqual(b);
        });

        test("Keras: the reverse direction repeats the output of the step after", () => {
          using layer = make({ bidirectional: true });
          const x = take(problem.x, 1, [0]);
          const { output } = layer.forward(x, { mask: i32([1, 0, 1, 1, 0], [T, 1]) });
          const p = layer.stateSize;
          const ahead = range(0, T).map((t) => take(output, 0, [t]).data.slice(0, p));
          const back = range(0, T).map((t) => take(output, 0, [t]).data.slice(p));
          expect(ahead[1]).toEqual(ahead[0]);
          expect(ahead[4]).toEqual(ahead[3]);
          expect(back[1]).toEqual(back[2]);
          expect(back[4]!.every((v) => v === 0)).toBe(true);
          expect(ahead[2]).not.toEqual(ahead[1]);
        });

        test("refuses other numbers, shapes and types, and changes nothing", () => {
          using layer = make({ stateful: true });
          using same = make({ stateful: true });
          using batchFirst = make({ batchFirst: true });
          const mask = i32(range(0, T * N).map((i) => i % 2), [T, N]); // prettier-ignore
          const { x, initial, gradients } = problem;
          const expected = bothPasses(same, problem, { mask });
          const outcome = layer.forward(x, { ...initial, mask });
          const call = (value: unknown) => () => layer.forward(x, { mask: value as Tensor });
          for (const value of [2, -1]) {
            const data = [...mask.data];
            data[7] = value;
            refuses(call(i32(data, [T, N])), ValueError, "mask: got", `${value}, expected 0 or 1`);
          }
          refuses(call(wave([T, N], dtype)), DtypeError, `mask: got ${dtype}, expected i32`);
          refuses(call(i32([...mask.data], [N, T])), ShapeError, "mask: got [3, 5], expected [5, 3]");
          refuses(call(i32([...mask.data], [T, N, 1])), ShapeError, "mask: got [5, 3, 1], expected [5, 3]");
          refuses(call(i32([1, 0, 1, 0, 1])), ShapeError, "mask: got [5], expected [5, 3]");
          for (const value of [null, 1, [1, 0], "10"]) refuses(call(value), DtypeError, "mask: got");
          refuses(() => batchFirst.forward(wave([N, T, D], dtype), { mask }), ShapeError, "mask: got [5, 3], expected [3, 5]"); // prettier-ignore
          refuses(
            () => batchFirst.forward(wave([T, D], dtype), { mask }),
            ShapeError,
            "mask: got [5, 3], expected [5]",
          );
          expectBits({ ...outcome, ...layer.backward(gradients) }, expected, "the pass before");
          gradientsOf(layer).forEach((gradient, i) => expect(gradient).toHaveBits(gradientsOf(same)[i]!));
          expectBits(forward(layer, x), forward(same, x), "the next pass");
        });
      });

      describe("goBackwards", () => {
        test("reads from the last step; outputs are in the order of reading, gradients in that of x", () => {
          using layer = make();
          using backwards = make({ goBackwards: true });
          const { x, initial, gradients } = problem;
          const turn = (of: Tensor): Tensor => take(of, 0, range(0, T).reverse());
          const expected = bothPasses(layer, { x: turn(x), initial, gradients });
          expectBits(bothPasses(backwards, problem), { ...expected, x: turn(expected.x) }, "goBackwards");
          const last = forward(layer, take(x, 0, [T - 1]), initial).output;
          expect(take(backwards.forward(x, initial).output, 0, [0])).toHaveBits(last); // what was read first
        });

        test("with lengths: the padding comes first, and is zero", () => {
          using layer = make();
          using backwards = make({ goBackwards: true });
          const x = take(problem.x, 1, [0]);
          const { output, hn } = backwards.forward(x, { lengths: [2] });
          const read = layer.forward(take(x, 0, [1, 0]));
          expect(zero(take(output, 0, [0, 1, 2]))).toBe(true);
          expect(take(output, 0, [3, 4])).toHaveBits(read.output);
          expect(hn).toHaveBits(read.hn);
        });

        test("in any layout", () => {
          using one = make({ goBackwards: true });
          using batchFirst = make({ goBackwards: true, batchFirst: true });
          const x = take(problem.x, 1, [0]);
          const { output } = one.forward(x);
          expect(one.forward({ data: x.data, shape: [T, D] }).output.data).toEqual(output.data);
          expect(batchFirst.forward({ data: x.data, shape: [1, T, D] }).output.data).toEqual(output.data);
        });
      });

      describe("stateful", () => {
        test("the next pass continues, until resetState()", () => {
          for (const [options, { x, initial }] of [
            [{}, problem],
            [stack, deep],
            [{ ...stack, checkpoint: 2 }, deep],
          ] as [Options, PassInputs][]) {
            using layer = make({ ...options, stateful: true });
            using plain = make(options);
            for (const mode of ["train", "eval"] as const) {
              for (const each of [layer, plain]) each[mode]();
              layer.resetState();
              const zeros = forward(layer, x);
              expectBits(zeros, forward(plain, x), "from zeros");
              const next = forward(layer, x);
              expectBits(next, forward(plain, x, finalAsInitial(zeros)), "from the pass before");
              for (const { data } of Object.values(next) as Tensor[]) data.fill(NaN); // they are the caller's
              const third = forward(plain, x, finalAsInitial(forward(plain, x, finalAsInitial(zeros))));
              expectBits(forward(layer, x), third, "from the one before");
              const own = forward(layer, x, initial);
              expectBits(own, forward(plain, x, initial), "from given states");
              expectBits(forward(layer, x), forward(plain, x, finalAsInitial(own)), "and on from there");
              layer.resetState();
              expectBits(forward(layer, x), zeros, "from zeros again");
            }
          }
        });

        test("gradients equal those with the same states as arguments", () => {
          using layer = make({ stateful: true });
          using plain = make();
          const { x, initial, gradients } = problem;
          const before = forward(layer, x, initial);
          layer.forward(x);
          plain.forward(x, finalAsInitial(before));
          expectBits(layer.backward(gradients), plain.backward(gradients), "gradients");
          gradientsOf(layer).forEach((gradient, i) => expect(gradient).toHaveBits(gradientsOf(plain)[i]!));
        });

        test("with lengths, every row continues from its own last step", () => {
          using layer = make({ stateful: true });
          using plain = make();
          const { x, initial } = problem;
          const lengths = [2, 5, 0];
          const one = forward(layer, x, { ...initial, lengths });
          expect(take(one.hn, 1, [2])).toHaveBits(take(initial.h0, 1, [2]));
          expectBits(forward(layer, x), forward(plain, x, finalAsInitial(one)), "second");
        });

        if (kind.startsWith("LSTM")) {
          test("c alone, or h alone, may be given", () => {
            using layer = make({ stateful: true }) as LSTM;
            using plain = make() as LSTM;
            const { x, initial } = problem;
            const before = layer.forward(x);
            const expected = plain.forward(x, { h0: before.hn, c0: initial.c0! });
            expectBits(layer.forward(x, { c0: initial.c0! }), expected, "c0");
            const next = plain.forward(x, { h0: initial.h0, c0: expected.cn });
            expectBits(layer.forward(x, { h0: initial.h0 }), next, "h0");
          });
        }

        test("another batch size is refused until resetState(), and changes nothing", () => {
          using layer = make({ stateful: true });
          using plain = make();
          const { x, initial, gradients } = problem;
          const before = forward(layer, x, initial);
          expectBits(before, forward(plain, x, initial), "first pass");
          for (const rows of [0, 1, 2, 4]) {
            const call = (): unknown => layer.forward(wave([T, rows, D], dtype));
            refuses(call, StateError, `x: got ${rows} rows`, "resetState()");
          }
          refuses(() => layer.forward(wave([T, D], dtype)), StateError, "x: got 1 rows");
          refuses(() => layer.forward(wave([T, N, D + 1], dtype)), ShapeError, "x");
          refuses(() => layer.forward(x, { h0: x }), ShapeError, "h0");
          expectBits(layer.backward(gradients), plain.backward(gradients), "backward of the first pass");
          const two = forward(layer, x);
          expectBits(two, forward(plain, x, finalAsInitial(before)), "the next pass");
          layer.resetState();
          const small = take(x, 1, [1]);
          expectBits(forward(layer, small), forward(plain, small), "another size");
        });

        test("states of another size as arguments replace those of the pass before", () => {
          using layer = make({ stateful: true });
          const { x, initial } = problem;
          layer.forward(x);
          const rows = rowsOfInputs(problem, [1]);
          using plain = make();
          expectBits(
            forward(layer, take(x, 1, [1]), rows.initial),
            forward(plain, take(x, 1, [1]), rows.initial),
            "one row",
          );
          expect(initial.h0.shape[1]).toBe(N);
        });

        test("other layers start from zeros, as do streams; disposed layers throw", () => {
          using plain = make();
          const { x } = problem;
          expectBits(forward(plain, x), forward(plain, x), "twice");
          const layer = make({ stateful: true });
          layer.forward(x);
          using stream = layer.stream({ batchSize: N });
          const expected = take(plain.forward(x).output, 0, [0]);
          expect({ data: stream.step(take(x, 0, [0]).data), shape: expected.shape }).toHaveBits(expected);
          layer.dispose();
          refuses(() => layer.resetState(), DisposedError, "disposed");
        });
      });
    });
  });
});

describe("unitForgetBias", () => {
  test("the bias of the forget gate is 1, the others are 0; the weights do not change", () => {
    const options = { numLayers: 2, bidirectional: true, projSize: 2, seed: 1 };
    using layer = new LSTM(3, 4, { ...options, unitForgetBias: true });
    using plain = new LSTM(3, 4, options);
    expect(layer.parameters().map(({ name }) => name)).toEqual(plain.parameters().map(({ name }) => name));
    layer.parameters().forEach(({ name, value }, i) => {
      const numbers = Array.from(value.data);
      if (name.startsWith("bias_ih")) {
        expect(numbers, name).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
      } else if (name.startsWith("bias_hh")) expect(numbers, name).toEqual(new Array(16).fill(0));
      else expect(value, name).toHaveBits(plain.parameters()[i]!.value);
    });
    using without = new LSTM(3, 4, { seed: 1, bias: false, unitForgetBias: true });
    expect(without.parameters()).toHaveLength(2);
    using no = new LSTM(3, 4, { ...options, unitForgetBias: false });
    expect(no.stateDict()).toEqual(plain.stateDict());
  });
});

describe("activations", () => {
  test("one step, by hand", () => {
    const values = { tanh: Math.tanh, relu: (v: number) => Math.max(v, 0), linear: (v: number) => v, sigmoid: (v: number) => 1 / (1 + Math.exp(-v)), hardSigmoid: (v: number) => Math.min(Math.max(0.2 * v + 0.5, 0), 1) }; // prettier-ignore
    for (const [activation, phi] of Object.entries(values) as [keyof typeof values, (v: number) => number][]) {
      using rnn = new RNN(1, 1, { activation, seed: 1 });
      expect(rnn.nonlinearity).toBe(activation);
      rnn.loadStateDict({ weight_ih_l0: tensor([[2]]), weight_hh_l0: tensor([[0.5]]), bias_ih_l0: tensor([0.25]), bias_hh_l0: tensor([0]) }); // prettier-ignore
      for (const v of [-4, -1.1, 0.3, 1.7, 3]) {
        const { output } = rnn.forward(tensor([[[v]]]), { h0: tensor([[[0.5]]]) });
        expect(output.data[0]).toBeCloseTo(phi(2 * v + 0.5), 14);
      }
      using lstm = new LSTM(1, 1, { activation, recurrentActivation: "hardSigmoid" });
      for (const { value } of lstm.parameters()) resident(value).fill(0);
      const named = Object.fromEntries(lstm.parameters().map(({ name, value }) => [name, value.data]));
      named.weight_ih_l0!.set([1, 0, 2, -1]); // i f g o
      for (const v of [-4, -1.1, 0.3, 1.7, 3]) {
        const { output, cn } = lstm.forward(tensor([[[v]]]), { c0: tensor([[[0.5]]]) });
        const { hardSigmoid } = values;
        const c = hardSigmoid(0) * 0.5 + hardSigmoid(v) * phi(2 * v);
        expect(cn.data[0]).toBeCloseTo(c, 14);
        expect(output.data[0]).toBeCloseTo(hardSigmoid(-v) * phi(c), 14);
      }
    }
  });
});

test("streams need layers that read from the start, in one direction", () => {
  for (const kind of KINDS) {
    using both = makeRecurrent(kind, 3, 4, { bidirectional: true });
    refuses(() => both.stream(), UnsupportedError, "stream: got a bidirectional layer");
    using backwards = makeRecurrent(kind, 3, 4, { goBackwards: true });
    refuses(() => backwards.stream(), UnsupportedError, "stream: got a layer that goes backwards");
  }
});
