// The recurrent cells: parameters, shapes, caches, refused arguments. Their numbers are compared with PyTorch in
// recurrent.test.ts, with the layers in properties.test.ts, with finite differences in gradients.test.ts.
import { describe, expect, test } from "vitest";
import {
  CellCache,
  DisposedError,
  DtypeError,
  GRUCell,
  LSTMCell,
  RNNCell,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  tensor,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import "../helpers/close.js";
import { both } from "../helpers/both.js";
import {
  CELL_KINDS,
  withoutUndefined,
  gradientsOf,
  makeCell,
  makeRecurrent,
  type AnyCell,
} from "../helpers/recurrent.js";
import { refuses } from "../helpers/refuses.js";
import { bytes, heapOf, resident, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const [N, D, H] = [3, 4, 5];
const zero = ({ data }: Tensor): boolean => data.every((v) => v === 0);

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    describe.each(CELL_KINDS)("%s", (kind) => {
      const lstm = kind === "LSTM";
      const name = `${kind.split(" ")[0]!}Cell`;
      const make = (options: { bias?: boolean; seed?: number } = {}): AnyCell =>
        makeCell(kind, D, H, { dtype, seed: 1, ...options });
      const x = wave([N, D], dtype);
      const states = { h: wave([N, H], dtype, 1), ...(lstm && { c: wave([N, H], dtype, 2) }) };
      const gradients = { h: wave([N, H], dtype, 3), ...(lstm && { c: wave([N, H], dtype, 4) }) };
      /** A step and its backward in a cell of its own. */
      const expected = (input = x, state: object = states) => {
        using cell = make();
        const { cache, ...next } = cell.forward(input, state);
        return { next, back: cell.backward(gradients, cache), gradients: gradientsOf(cell) };
      };

      test("PyTorch's names and shapes; the same seed gives the weights of the layer", () => {
        using cell = make();
        const rows = { RNN: H, LSTM: 4 * H, GRU: 3 * H }[kind.split(" ")[0] as "RNN" | "LSTM" | "GRU"];
        const shapes: [string, number[]][] = [
          ["weight_ih", [rows, D]],
          ["weight_hh", [rows, H]],
          ["bias_ih", [rows]],
          ["bias_hh", [rows]],
        ];
        expect(cell.parameters().map((each) => [each.name, each.value.shape])).toEqual(shapes);
        expect(cell.parameters().every(({ grad }) => zero(grad))).toBe(true);
        using without = make({ bias: false });
        expect(without.parameters().map((each) => each.name)).toEqual(["weight_ih", "weight_hh"]);
        using same = make();
        using other = make({ seed: 2 });
        expect(same.stateDict()).toEqual(cell.stateDict());
        expect(bytes(other.parameters()[0]!.value)).not.toEqual(bytes(cell.parameters()[0]!.value));
        using layer = makeRecurrent(kind, D, H, { dtype, seed: 1 });
        layer.parameters().forEach(({ value }, i) => expect(cell.parameters()[i]!.value).toHaveBits(value));
      });

      test("rows one by one, unbatched, and an empty batch", () => {
        using cell = make();
        const { next, back } = expected();
        for (let row = 0; row < N; row++) {
          const of = (all: Tensor): Tensor => ({ data: take(all, 0, [row]).data, shape: all.shape.slice(1) });
          const each = Object.fromEntries(Object.entries(states).map(([key, state]) => [key, of(state)]));
          const { cache, ...single } = cell.forward(of(x), each);
          expect(single).toEqual(Object.fromEntries(Object.entries(next).map(([key, value]) => [key, value && of(value)]))); // prettier-ignore
          const upstream = Object.fromEntries(Object.entries(gradients).map(([key, g]) => [key, of(g)]));
          const result = cell.backward(upstream, cache);
          expect(result).toEqual(Object.fromEntries(Object.entries(back).map(([key, value]) => [key, value && of(value)]))); // prettier-ignore
        }
        const { cache, h, c } = cell.forward(wave([0, D], dtype), { h: wave([0, H], dtype) });
        expect([h.shape, c?.shape]).toEqual([[0, H], lstm ? [0, H] : undefined]);
        expect(cell.backward({}, cache).x.shape).toEqual([0, D]);
      });

      test("missing states and gradients are zero", () => {
        using cell = make();
        const none = cell.forward(x);
        const zeros = Object.fromEntries(Object.keys(states).map((key) => [key, tensor(new Float64Array(N * H), [N, H], dtype)])); // prettier-ignore
        const same = cell.forward(x, zeros);
        expect(none.h).toHaveBits(same.h);
        const [a, b] = [cell.backward({}, none.cache), cell.backward(zeros, same.cache)];
        expect(a).toEqual(b);
        expect(zero(a.x) && zero(a.h)).toBe(true);
        expect(cell.parameters().every(({ grad }) => zero(grad))).toBe(true);
      });

      test("many caches may wait, and run backward in any order; gradients accumulate", () => {
        using cell = make();
        const { bytesUsed } = heapOf(cell);
        const inputs = [0, 1, 2, 3].map((i) => wave([N, D], dtype, i));
        const steps = inputs.map((input) => cell.forward(input, states));
        expect(heapOf(cell).bytesUsed).toBeGreaterThan(bytesUsed);
        for (const i of [2, 0, 3, 1]) {
          const { back } = expected(inputs[i]);
          expect(withoutUndefined(cell.backward(gradients, steps[i]!.cache))).toEqual(withoutUndefined(back));
        }
        expect(heapOf(cell).bytesUsed).toBe(bytesUsed);
        const all = inputs.map((input) => expected(input).gradients);
        gradientsOf(cell).forEach((gradient, i) => {
          const total = gradient.data.map((_, j) => all.reduce((sum, each) => sum + each[i]!.data[j]!, 0));
          const close = dtype === "f64" ? 1e-13 : 1e-5;
          expect(gradient).toBeAllClose({ data: total, shape: gradient.shape }, { rtol: close, atol: close });
        });
      });

      test("a cache is used once, by its own cell", () => {
        using cell = make();
        using other = make();
        const { cache } = cell.forward(x, states);
        expect(cache).toBeInstanceOf(CellCache);
        refuses(() => other.backward(gradients, cache), StateError, "cache: got a cache of another cell");
        expect(other.parameters().every(({ grad }) => zero(grad))).toBe(true);
        const { back } = expected();
        expect(cell.backward(gradients, cache)).toEqual(back); // it was not used up
        refuses(() => cell.backward(gradients, cache), StateError, "cache: got a cache that was used");
        for (const wrong of [undefined, null, {}, "cache", { pass: {}, owner: cell }]) {
          refuses(() => cell.backward(gradients, wrong as CellCache), DtypeError, "cache: got", "forward");
        }
        gradientsOf(cell).forEach((gradient, i) => expect(gradient).toHaveBits(expected().gradients[i]!));
      });

      test("later steps do not change the cache of an earlier one", () => {
        using cell = make();
        const { back } = expected();
        const [input, before] = [structuredClone(x), structuredClone(states)];
        const { cache, h } = cell.forward(input, before);
        for (const { data } of [input, ...Object.values(before), h]) data.fill(NaN);
        for (let i = 0; i < 5; i++) cell.forward(wave([7, D], dtype, i)).cache.dispose();
        heapOf(cell).free(heapOf(cell).allocate(heapOf(cell).byteLength, "growth"));
        expect(cell.backward(gradients, cache)).toEqual(back);
      });

      test("refused arguments change nothing", () => {
        using cell = make();
        const other = dtype === "f64" ? "f32" : "f64";
        const { bytesUsed } = heapOf(cell);
        const forward = (input: unknown, state?: unknown) => () => cell.forward(input as Tensor, state as object);
        refuses(forward(wave([N, D + 1], dtype)), ShapeError, "x: got [3, 5], expected [N, 4]");
        refuses(forward(wave([D + 1], dtype)), ShapeError, "x: got [5], expected [4]");
        refuses(forward(wave([1, N, D], dtype)), ShapeError, "x: got [1, 3, 4], expected [N, 4]");
        refuses(forward(wave([], dtype)), ShapeError, "x: got []");
        refuses(forward(wave([N, D], other)), DtypeError, `x: got ${other}, expected ${dtype}`);
        for (const value of [undefined, null, [1, 2, 3, 4]]) refuses(forward(value), DtypeError, "x: got");
        for (const key of lstm ? ["h", "c"] : ["h"]) {
          refuses(forward(x, { [key]: wave([N, H + 1], dtype) }), ShapeError, `${key}: got [3, 6], expected [3, 5]`);
          refuses(forward(x, { [key]: wave([H], dtype) }), ShapeError, `${key}: got [5], expected [3, 5]`);
          refuses(forward(x, { [key]: wave([N, H], other) }), DtypeError, `${key}: got ${other}`);
          refuses(forward(x, { [key]: null }), DtypeError, `${key}: got null`);
          refuses(
            forward(wave([D], dtype), { [key]: wave([1, H], dtype) }),
            ShapeError,
            `${key}: got [1, 5], expected [5]`,
          );
        }
        refuses(forward(x, { h0: states.h }), UnsupportedError, `${name}.forward`, "h0");
        if (!lstm) refuses(forward(x, { c: states.h }), UnsupportedError, `${name}.forward`, "c");
        refuses(forward(x, null), ValueError, `${name}.forward`);
        expect(heapOf(cell).bytesUsed).toBe(bytesUsed);

        const { cache } = cell.forward(x, states);
        const backward = (upstream: unknown) => () => cell.backward(upstream as object, cache);
        for (const key of lstm ? ["h", "c"] : ["h"]) {
          refuses(backward({ [key]: wave([N + 1, H], dtype) }), ShapeError, `${key}: got [4, 5], expected [3, 5]`);
          refuses(backward({ [key]: wave([N, H], other) }), DtypeError, `${key}: got ${other}`);
          refuses(backward({ [key]: null }), DtypeError, `${key}: got null`);
        }
        refuses(backward({ output: states.h }), UnsupportedError, `${name}.backward`, "output");
        if (!lstm) refuses(backward({ c: states.h }), UnsupportedError, `${name}.backward`, "c");
        for (const value of [null, undefined, 3]) refuses(backward(value), ValueError, `${name}.backward`);
        expect(cell.parameters().every(({ grad }) => zero(grad))).toBe(true);
        expect(cell.backward(gradients, cache)).toEqual(expected().back);
      });

      test("dispose of a cache and of a cell", () => {
        const cell = make();
        const { bytesUsed } = heapOf(cell);
        const { cache } = cell.forward(x);
        cache.dispose();
        cache.dispose();
        expect(heapOf(cell).bytesUsed).toBe(bytesUsed);
        refuses(() => cell.backward(gradients, cache), StateError, "cache");
        {
          using scoped = cell.forward(x).cache;
          expect(heapOf(cell).bytesUsed).toBeGreaterThan(bytesUsed);
          expect(scoped).toBeInstanceOf(CellCache);
        }
        expect(heapOf(cell).bytesUsed).toBe(bytesUsed);
        const { core } = resident(cell.parameters()[0]!.value).arena;
        const waiting = cell.forward(x).cache;
        cell.dispose();
        refuses(() => cell.forward(x), DisposedError, name, "disposed");
        refuses(() => cell.backward(gradients, waiting), DisposedError, name, "disposed");
        refuses(() => cell.parameters(), DisposedError, name);
        waiting.dispose();
        const after = core.heap.bytesUsed;
        make().dispose();
        expect(core.heap.bytesUsed).toBe(after);
      });
    });
  });
});

test("constructors refuse", () => {
  for (const Cell of [RNNCell, LSTMCell, GRUCell]) {
    const make = (a: unknown, b: unknown, options?: unknown) => () => new Cell(a as number, b as number, options as object); // prettier-ignore
    for (const size of [0, -1, 1.5, NaN, "3", null, undefined]) {
      refuses(make(size, 4), ShapeError, "inputSize", "an integer >= 1");
      refuses(make(3, size), ShapeError, "hiddenSize", "an integer >= 1");
    }
    for (const bias of [0, "yes", null]) refuses(make(3, 4, { bias }), ValueError, "bias");
    for (const dtype of ["f16", null]) refuses(make(3, 4, { dtype }), ValueError, "dtype");
    for (const seed of [-1, 0.5, "1"]) refuses(make(3, 4, { seed }), ValueError, "seed");
    for (const options of [null, 3]) refuses(make(3, 4, options), ValueError, `${Cell.name} options`);
    for (const option of ["numLayers", "batchFirst", "projSize"]) {
      refuses(make(3, 4, { [option]: 1 }), UnsupportedError, Cell.name, option);
    }
  }
  refuses(() => new RNNCell(3, 4, { nonlinearity: "sigmoid" as "tanh" }), ValueError, "nonlinearity");
  refuses(() => new GRUCell(3, 4, { resetAfter: 1 as never }), ValueError, "resetAfter");
  refuses(() => new LSTMCell(3, 4, { resetAfter: true } as object), UnsupportedError, "resetAfter");
});
