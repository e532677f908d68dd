// Streams: steps, state, no allocation. bits.test.ts checks that steps have the same bits as the sequence at all sizes.
import { describe, expect, test } from "vitest";
import {
  DisposedError,
  DtypeError,
  ShapeError,
  UnsupportedError,
  ValueError,
  type Stream,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { KINDS, makeRecurrent, type Options, type Recurrent } from "../helpers/recurrent.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, take, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Dtype = "f64" | "f32";
const [T, N, D, H, LAYERS] = [6, 3, 5, 4, 2];

const row = (x: Tensor, t: number): Tensor => take(x, 0, [t]);

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  const cases = KINDS.flatMap((kind) => (["f64", "f32"] as const).map((dtype) => [kind, dtype] as const));
  describe.each(cases)("%s, %s", (kind, dtype) => {
    const make = (options?: Options): Recurrent =>
      makeRecurrent(kind, D, H, { numLayers: LAYERS, dtype, seed: 1, ...options });
    const lstm = kind.startsWith("LSTM");
    const P = kind === "LSTM projected" ? H / 2 : H;
    const states = (start: number) => ({
      h0: wave([LAYERS, N, P], dtype, start),
      ...(lstm && { c0: wave([LAYERS, N, H], dtype, start + 1) }),
    });
    const x = wave([T, N, D], dtype);
    const run = (stream: Stream, from = 0, to = T): Tensor[] => {
      const outputs: Tensor[] = [];
      for (let t = from; t < to; t++) outputs.push({ data: stream.step(row(x, t).data).slice(), shape: [1, N, P] });
      return outputs;
    };
    const current = ({ state }: Stream) => structuredClone({ h: state.h.data.slice(), c: state.c?.data.slice() });

    test("starts from zeros; reset() sets zeros or given states", () => {
      using layer = make();
      using stream = layer.stream({ batchSize: N });
      const { output } = layer.forward(x);
      for (let again = 0; again < 2; again++) {
        run(stream).forEach((out, t) => expect(out).toHaveBits(row(output, t)));
        stream.reset();
        expect(stream.state.h.data.every((v) => v === 0)).toBe(true);
        expect(stream.state.c?.data.every((v) => v === 0) ?? true).toBe(true);
      }
      const given = states(3);
      stream.reset(given);
      expect(stream.state.h).toHaveBits(given.h0);
      const from = layer.forward(x, given).output;
      run(stream).forEach((out, t) => expect(out).toHaveBits(row(from, t)));
      if (!lstm) return;
      stream.reset({ h0: given.h0 }); // what is left out is zeros
      expect(stream.state.c!.data.every((v) => v === 0)).toBe(true);
      expect(stream.state.h).toHaveBits(given.h0);
    });

    test("the state is live: each step updates it, and writing to it changes the next step", () => {
      using layer = make();
      using stream = layer.stream({ batchSize: N });
      expect(stream.state.h.shape).toEqual([LAYERS, N, P]);
      expect(stream.state.c?.shape).toEqual(lstm ? [LAYERS, N, H] : undefined);
      expect("c" in stream.state).toBe(lstm);
      const { h, c } = stream.state;
      for (let t = 0; t < T; t++) {
        const out = stream.step(row(x, t).data);
        expect(h.data.slice((LAYERS - 1) * N * P)).toEqual(out.slice());
      }
      const { hn, cn } = layer.forward(x) as { hn: Tensor; cn?: Tensor };
      expect(h).toHaveBits(hn);
      if (c) expect(c).toHaveBits(cn!);
      const given = states(8);
      h.data.set(given.h0.data);
      c?.data.set(given.c0!.data);
      run(stream).forEach((out, t) => expect(out).toHaveBits(row(layer.forward(x, given).output, t)));
    });

    test("reset accepts the stream's own states, also h as c and c as h", () => {
      using layer = make();
      using stream = layer.stream({ batchSize: N });
      run(stream, 0, 2);
      const before = current(stream);
      const { h, c } = stream.state;
      const crosswise = kind === "LSTM";
      stream.reset(crosswise ? { h0: c, c0: h } : { h0: h, ...(c && { c0: c }) });
      expect(current(stream)).toEqual(crosswise ? { h: before.c, c: before.h } : before);
    });

    test("the weights are those of the layer when the stream was created, in either mode", () => {
      using layer = make();
      using same = make();
      using stream = layer.eval().stream({ batchSize: N });
      for (const { value } of layer.parameters()) value.data.fill(0.5);
      const { output } = same.forward(x);
      run(stream, 0, 3).forEach((out, t) => expect(out).toHaveBits(row(output, t)));
      layer.dispose();
      run(stream, 3).forEach((out, t) => expect(out).toHaveBits(row(output, t + 3)));
    });

    test("streams do not affect each other or the layer's backward pass", () => {
      using layer = make();
      using same = make();
      same.forward(x);
      const expected = same.backward({ output: wave([T, N, P], dtype, 4) });
      layer.forward(x);
      using one = layer.stream({ batchSize: N });
      using two = layer.stream({ batchSize: N });
      run(two, 3);
      const { output } = same.forward(x);
      run(one).forEach((out, t) => expect(out).toHaveBits(row(output, t)));
      expect(layer.backward({ output: wave([T, N, P], dtype, 4) })).toEqual(expected);
    });

    test("a step allocates no memory and no array", () => {
      using layer = make();
      using stream = layer.stream({ batchSize: N });
      const heap = heapOf(layer);
      const input = row(x, 0).data;
      const out = stream.step(input);
      const { h } = stream.state;
      const view = h.data;
      const before = [heap.bytesUsed, heap.byteLength];
      for (let i = 0; i < 10_000; i++) if (stream.step(input) !== out) expect(i).toBe("the step with a new array");
      expect([heap.bytesUsed, heap.byteLength]).toEqual(before);
      expect(h.data).toBe(view);
      expect(out.buffer).toBe(view.buffer);
    });

    test("right after the memory has grown", () => {
      using layer = make();
      using stream = layer.stream({ batchSize: N });
      const { output } = layer.forward(x);
      const early = run(stream, 0, 2);
      const old = stream.step(row(x, 2).data);
      const heap = heapOf(layer);
      heap.free(heap.allocate(heap.byteLength, "growth"));
      expect(old).toHaveLength(0); // detached
      expect(stream.state.h.data.slice(-N * P)).toEqual(row(output, 2).data);
      const late = run(stream, 3);
      [...early, row(output, 2), ...late].forEach((out, t) => expect(out).toHaveBits(row(output, t)));
    });

    test("x may be any array or typed array, also the stream's own output", () => {
      using layer = make();
      using stream = layer.stream();
      const numbers = [3, -1, 0, 7, 2];
      const results = [numbers, Float64Array.from(numbers), Float32Array.from(numbers), Int8Array.from(numbers)].map(
        (input) => {
          stream.reset();
          return stream.step(input).slice();
        },
      );
      for (const result of results) expect(result).toEqual(results[0]);
      using square = makeRecurrent(kind, P, H, { dtype, seed: 2 });
      using loop = square.stream();
      using reference = square.stream();
      const start = [1, 2, 3, 4].slice(0, P);
      let copy: ArrayLike<number> = loop.step(start).slice();
      let live = reference.step(start);
      for (let i = 0; i < 5; i++) {
        copy = loop.step(copy).slice();
        live = reference.step(live);
        expect(live.slice()).toEqual(copy);
      }
    });

    test("refuses, and changes nothing", () => {
      using layer = make();
      using stream = layer.stream({ batchSize: N });
      run(stream, 0, 2);
      const before = current(stream);
      const other: Dtype = dtype === "f64" ? "f32" : "f64";
      for (const length of [0, 1, N * D - 1, N * D + 1]) {
        refuses(
          () => stream.step(new Float64Array(length)),
          ShapeError,
          `x: got ${length} numbers, expected 15 numbers`,
        );
      }
      const hole: unknown[] = new Array(N * D).fill(1);
      hole[7] = undefined;
      refuses(() => stream.step(hole as number[]), DtypeError, "x[7]", "undefined");
      for (const input of [
        undefined,
        null,
        3,
        "123456789012345",
        { length: 15 },
        new BigInt64Array(15),
        new DataView(new ArrayBuffer(15)),
      ]) {
        refuses(() => stream.step(input as never), DtypeError, "x: got");
      }
      refuses(
        () => stream.reset({ h0: wave([LAYERS, N, P + 1], dtype) }),
        ShapeError,
        `h0: got [2, 3, ${P + 1}], expected [2, 3, ${P}]`,
      );
      refuses(() => stream.reset({ h0: wave([LAYERS, N, P], other) }), DtypeError, `h0: got ${other}`);
      refuses(() => stream.reset({ h0: null as never }), DtypeError, "h0: got null");
      refuses(() => stream.reset(null as never), ValueError, "reset");
      refuses(() => stream.reset({ h: states(1).h0 } as never), UnsupportedError, "h");
      if (!lstm) refuses(() => stream.reset({ c0: states(1).h0 }), UnsupportedError, "c0");
      else refuses(() => stream.reset({ ...states(5), c0: wave([LAYERS, N], dtype) }), ShapeError, "c0");
      expect(current(stream)).toEqual(before);

      for (const batchSize of [0, -1, 1.5, "2", null, NaN]) {
        refuses(() => layer.stream({ batchSize: batchSize as number }), ShapeError, "batchSize");
      }
      refuses(() => layer.stream({ batch: 2 } as never), UnsupportedError, "batch");
      refuses(() => layer.stream(null as never), ValueError, "stream");
    });

    test("dispose() frees all memory; other calls throw then", () => {
      using layer = make();
      const { bytesUsed } = heapOf(layer);
      const stream = layer.stream({ batchSize: N });
      const { h } = stream.state;
      expect(heapOf(layer).bytesUsed).toBeGreaterThan(bytesUsed);
      stream.dispose();
      stream.dispose();
      expect(heapOf(layer).bytesUsed).toBe(bytesUsed);
      refuses(() => stream.step(row(x, 0).data), DisposedError, "stream");
      refuses(() => stream.reset(), DisposedError, "stream");
      refuses(() => h.data, DisposedError);
    });
  });
});
