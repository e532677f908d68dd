// The memory of a core: the allocator, ownership, views across growth, leaks. Running out of memory is in out-of-memory.test.ts.
import { setTimeout } from "node:timers/promises";
import v8 from "node:v8";
import vm from "node:vm";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { Heap } from "../../bindings/heap.js";
import { currentCore } from "../../bindings/instantiate.js";
import { Arena, withArena } from "../../bindings/memory.js";
import {
  Adam,
  DisposedError,
  Embedding,
  GRU,
  LSTM,
  LSTMCell,
  Linear,
  OutOfMemoryError,
  RNN,
  SGD,
  ShapeError,
  crossEntropy,
  mse,
  softmax,
  tensor,
  type CellCache,
  type Tensor,
  type TensorData,
} from "../../src/index.js";
import "../helpers/bits.js";
import { testBoth } from "../helpers/both.js";
import { KINDS, makeRecurrent, makeInputs, type Kind, type Options, type Steps } from "../helpers/recurrent.js";
import { refuses } from "../helpers/refuses.js";
import { range, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const PAGE = 65536;

describe("Heap", () => {
  /** An operation: bytes to allocate, or which of the blocks that are there to free. */
  const operations = fc.array(
    fc.oneof(
      fc.record({ bytes: fc.oneof(fc.nat(300), fc.nat(3 * PAGE), fc.constantFrom(0, 1, 63, 64, 65, PAGE)) }),
      fc.record({ free: fc.nat() }),
    ),
    { maxLength: 120 },
  );

  test("blocks are aligned, apart from each other and inside the memory; all freed, the memory is one block again", () => {
    fc.assert(
      fc.property(fc.nat(2 * PAGE), fc.integer({ min: 1, max: 3 }), operations, (base, pages, all) => {
        const memory = new WebAssembly.Memory({ initial: pages });
        const heap = new Heap(memory, base);
        const blocks: { start: number; bytes: number; mark: number }[] = [];
        const holds = ({ start, bytes, mark }: (typeof blocks)[number]): boolean =>
          new Uint8Array(memory.buffer, start, bytes).every((byte) => byte === mark);
        let mark = 0;
        for (const operation of all) {
          if ("bytes" in operation) {
            const { bytes } = operation;
            const start = heap.allocate(bytes, "test");
            expect(start % 64).toBe(0);
            expect(start).toBeGreaterThanOrEqual(base);
            expect(start + bytes).toBeLessThanOrEqual(memory.buffer.byteLength);
            mark = (mark % 255) + 1;
            blocks.push({ start, bytes, mark });
            new Uint8Array(memory.buffer, start, bytes).fill(mark); // a block that overlaps would lose its own mark
          } else if (blocks.length > 0) {
            const [block] = blocks.splice(operation.free % blocks.length, 1);
            expect(holds(block!)).toBe(true);
            heap.free(block!.start);
            expect(() => heap.free(block!.start)).toThrow("not an allocated address");
          }
          const used = blocks.reduce((sum, { bytes }) => sum + Math.max(64, Math.ceil(bytes / 64) * 64), 0);
          expect(heap.bytesUsed).toBe(used);
        }
        expect(blocks.every(holds)).toBe(true);
        for (const { start } of blocks) heap.free(start);
        expect(heap.bytesUsed).toBe(0);
        const { byteLength } = heap;
        const rest = byteLength - Math.ceil(base / 64) * 64;
        if (rest > 0) expect(heap.allocate(rest, "all of it")).toBe(Math.ceil(base / 64) * 64);
        expect(heap.byteLength).toBe(byteLength);
      }),
      { seed: 1, numRuns: 300 },
    );
  });

  test("refuses addresses that it did not allocate", () => {
    const heap = new Heap(new WebAssembly.Memory({ initial: 1 }), 0);
    const address = heap.allocate(200, "test");
    for (const wrong of [address + 64, address + 8, -1, NaN, 2 ** 40]) {
      expect(() => heap.free(wrong)).toThrow("not an allocated address");
    }
    expect(heap.bytesUsed).toBe(256);
  });

  test("grows by no more than needed near the limit", () => {
    const memory = new WebAssembly.Memory({ initial: 90, maximum: 95 });
    const heap = new Heap(memory, 0);
    heap.allocate(90 * PAGE, "all of it");
    const last = heap.allocate(4 * PAGE, "an eighth would be 11 pages");
    expect(memory.buffer.byteLength).toBe(94 * PAGE);
    refuses(() => heap.allocate(2 * PAGE, "two more"), OutOfMemoryError, "two more", "1 MiB", "6 MiB in use");
    expect(heap.bytesUsed).toBe(94 * PAGE);
    heap.free(last);
    expect(heap.allocate(5 * PAGE, "the last page with it")).toBe(last);
  });

  test("views follow the memory", () => {
    const memory = new WebAssembly.Memory({ initial: 1 });
    const heap = new Heap(memory, 0);
    const view = heap.view("f64");
    expect(heap.view("f64")).toBe(view);
    expect(heap.holds(view)).toBe(true);
    view[3] = 7;
    heap.allocate(2 * PAGE, "a second page");
    expect(heap.view("f64")).toHaveLength((2 * PAGE) / 8);
    expect(heap.view("f64")[3]).toBe(7);
    expect(heap.view("i32").buffer).toBe(memory.buffer);
    expect(heap.view("f32").buffer).toBe(memory.buffer);
    expect(heap.holds(view)).toBe(false);
    expect(heap.holds(new Float64Array(1))).toBe(false);
  });

  test("views of a shared memory are held after it has grown", () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 4, shared: true });
    const heap = new Heap(memory, 0);
    const view = heap.view("f64");
    view[3] = 7;
    heap.allocate(2 * PAGE, "a second page");
    expect(heap.view("f64")).toHaveLength((2 * PAGE) / 8);
    expect(heap.view("f64")[3]).toBe(7);
    expect(view).toHaveLength(PAGE / 8);
    expect(heap.holds(view)).toBe(true);
  });
});

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);
  const heap = (): Heap => currentCore().heap;

  describe("Arena", () => {
    test("frees what it allocated, once", () => {
      const { bytesUsed } = heap();
      const arena = new Arena(currentCore());
      const a = arena.zeros("a", "f64", [3, 5]);
      arena.allocate("b", "i32", []);
      arena.bytes("c", 1000);
      const copy = arena.copy("d", tensor([1, 2]), "f64", [2]);
      expect(heap().bytesUsed).toBe(bytesUsed + 128 + 64 + 1024 + 64);
      expect(arena.upload("d", copy, "f64", [2])).toBe(copy); // it is there already
      refuses(() => arena.upload("d", copy, "f64", [3]), ShapeError, "d: got [2], expected [3]");
      expect(a.data).toHaveLength(15);
      arena.dispose();
      arena.dispose();
      expect(heap().bytesUsed).toBe(bytesUsed);
      expect(arena.disposed).toBe(true);
      for (const use of [
        () => a.data,
        () => a.pointer,
        () => a.fill(1),
        () => a.set(new Float64Array(0)),
        () => a.download(),
      ]) {
        refuses(use, DisposedError);
      }
    });

    test("withArena frees its memory even if its body throws", () => {
      const { bytesUsed } = heap();
      const body = (arena: Arena): never => {
        arena.allocate("a", "f64", [100]);
        throw new Error("body");
      };
      expect(() => withArena(currentCore(), body)).toThrow("body");
      expect(heap().bytesUsed).toBe(bytesUsed);
    });

    test("slices and reshapes of a tensor share its memory and stay inside it", () => {
      withArena(currentCore(), (arena) => {
        const x = arena.copy("x", wave([4, 3], "f64"), "f64", [4, 3]);
        expect(x.slice(1, 2).data).toEqual(x.data.slice(3, 9));
        expect(x.reshape([2, 6]).slice(1, 1).data).toEqual(x.data.slice(6));
        x.slice(3, 1).fill(7);
        expect(Array.from(x.data.slice(8))).toEqual([wave([9], "f64").data[8], 7, 7, 7]);
        for (const [first, count] of [
          [-1, 2],
          [0, 5],
          [4, 1],
          [0.5, 1],
          [0, NaN],
          [5, -1],
        ] as const) {
          refuses(() => x.slice(first, count), ShapeError);
        }
        refuses(() => x.reshape([13]), ShapeError);
        refuses(() => x.set(new Float64Array(13)), ShapeError);
      });
    });
  });

  describe("growth", () => {
    const grow = (): void => {
      const { byteLength } = heap();
      heap().free(heap().allocate(byteLength, "growth"));
      expect(heap().byteLength).toBeGreaterThan(byteLength);
    };

    test("parameters show the current numbers", () => {
      using layer = new Linear(3, 2, { seed: 1 });
      const { value, grad } = layer.parameters()[0]!;
      const before = value.data;
      const numbers = before.slice();
      grow();
      expect(before).toHaveLength(0); // detached
      expect(value.data).toEqual(numbers);
      value.data.fill(3);
      grad.data.fill(4);
      grow();
      expect(layer.stateDict().weight!.data).toEqual(new Float64Array(6).fill(3));
      expect(grad.data).toEqual(new Float64Array(6).fill(4));
      using optimizer = new SGD(layer.parameters(), { lr: 0.5 });
      grow();
      optimizer.step();
      expect(value.data).toEqual(new Float64Array(6).fill(1));
    });

    test.each<[Kind, Options, Steps]>([
      ["LSTM", { numLayers: 2 }, {}],
      ["RNN tanh", { bidirectional: true }, { lengths: [3, 5] }],
      ["GRU", { numLayers: 2, bidirectional: true, checkpoint: 2 }, { lengths: [0, 4] }],
      ["LSTM projected", { numLayers: 2, dropout: 0.5, recurrentDropout: 0.5 }, {}],
    ])("between forward and backward: %s, %j", (kind, options, steps) => {
      using layer = makeRecurrent(kind, 3, 4, { seed: 1, ...options });
      using same = makeRecurrent(kind, 3, 4, { seed: 1, ...options });
      const { x, initial, gradients } = makeInputs(layer, 5, 2, 1);
      same.forward(x, { ...initial, ...steps });
      const expected = same.backward(gradients);
      layer.forward(x, { ...initial, ...steps });
      grow();
      expect(layer.backward(gradients)).toEqual(expected);
      layer.parameters().forEach(({ grad }, i) => expect(grad).toHaveBits(same.parameters()[i]!.grad));
    });

    type View = (shape: readonly number[]) => Tensor;

    testBoth("while arguments are read: %s", (dtype) => {
      const [rows, columns] = [60, 40];
      const numbers = (count: number): TensorData => wave([count], dtype, 3).data;
      expect(heap().bytesUsed).toBe(0);
      const base = heap().allocate(1, "where the memory begins");
      heap().free(base);
      using source = new Linear(columns, rows, { dtype, seed: 1, bias: false });
      using linear = new Linear(columns, 2, { dtype, seed: 2 });
      using wide = new Linear(1, columns, { dtype, seed: 4 });
      using rnn = new RNN(columns, 1, { dtype, seed: 3 });
      using lstm = new LSTM(1, columns, { dtype, seed: 3 });
      using gru = new GRU(columns, columns / 2, { dtype, seed: 3, bidirectional: true });
      using cell = new LSTMCell(columns, columns, { dtype, seed: 3 });
      for (const layer of [linear, rnn, lstm, gru]) layer.eval();
      const { value } = source.parameters()[0]!;

      /** A call with views of wasm memory, when that is full: it must grow, and detaches them. And with copies. */
      const grown = (call: (view: View) => unknown, prepare?: () => unknown): void => {
        prepare?.();
        const ballast = heap().allocate(heap().byteLength - base - heap().bytesUsed, "the rest");
        const { byteLength } = heap();
        const views: TensorData[] = [];
        const result = call((shape) => {
          views.push(
            value.data.subarray(
              0,
              shape.reduce((product, n) => product * n, 1),
            ),
          );
          return { data: views.at(-1)!, shape };
        });
        expect(heap().byteLength).toBeGreaterThan(byteLength);
        expect(views.length).toBeGreaterThan(0);
        for (const view of views) expect(view).toHaveLength(0);
        heap().free(ballast);
        prepare?.();
        expect(
          call((shape) =>
            tensor(
              value.data.slice(
                0,
                shape.reduce((product, n) => product * n, 1),
              ),
              shape,
            ),
          ),
        ).toEqual(result);
      };

      grown((view) => linear.forward(view([rows, columns])));
      grown((view) => rnn.forward(view([10, rows / 10, columns])));
      grown((view) =>
        lstm.forward(
          { data: numbers(10 * rows), shape: [10, rows, 1] },
          { h0: view([1, rows, columns]), c0: view([1, rows, columns]) },
        ),
      );
      const lengths = range(0, rows / 3).map((row) => row % 4);
      grown((view) => gru.forward(view([3, rows / 3, columns]), { h0: view([2, rows / 3, columns / 2]), lengths }));
      grown((view) => {
        const { h, c, cache } = cell.forward(view([rows, columns]), { c: view([rows, columns]) });
        cache.dispose();
        return [h, c];
      });
      let cache: CellCache;
      grown(
        (view) => cell.backward({ h: view([rows, columns]), c: view([rows, columns]) }, cache),
        () => ({ cache } = cell.forward({ data: numbers(rows * columns), shape: [rows, columns] })),
      );
      const dOutput = (view: View) => wide.backward({ output: view([rows, columns]) });
      grown(dOutput, () => wide.forward({ data: numbers(rows), shape: [rows, 1] }));
      lstm.train();
      const state = (view: View) => view([1, rows, columns]);
      grown(
        (view) => lstm.backward({ output: view([1, rows, columns]), hn: state(view), cn: state(view) }),
        () => lstm.forward({ data: numbers(rows), shape: [1, rows, 1] }),
      );
      const other = { data: numbers(rows * columns), shape: [rows, columns] };
      grown((view) => mse(view([rows, columns]), other));
      grown((view) => mse(other, view([rows, columns])));
      grown((view) => softmax(view([rows, columns])));
      const targets = { data: new Int32Array(rows), shape: [rows] };
      grown((view) => crossEntropy(view([rows, columns]), targets));
    });
  });

  describe("leaks", () => {
    const x = wave([5, 2, 3], "f64");
    const output = wave([5, 2, 4], "f64", 1);

    test("ten thousand rounds of making, training and disposing leave the heap where it was", () => {
      const round = (): void => {
        using layer = new LSTM(3, 4, { seed: 1 });
        using optimizer = new Adam(layer.parameters());
        layer.forward(x);
        layer.backward({ output });
        optimizer.step();
      };
      round();
      const before = [heap().bytesUsed, heap().byteLength];
      for (let i = 0; i < 10_000; i++) round();
      expect([heap().bytesUsed, heap().byteLength]).toEqual(before);
    });

    test("and so do some hundred rounds of a bidirectional GRU on sequences of several lengths", () => {
      const round = (): void => {
        using layer = new GRU(3, 2, { seed: 1, bidirectional: true, numLayers: 2, dropout: 0.5, checkpoint: 2 });
        using optimizer = new Adam(layer.parameters());
        layer.forward(x, { lengths: [2, 5] });
        layer.backward({ output });
        optimizer.step();
        using cell = new LSTMCell(3, 4);
        const { cache, h } = cell.forward(wave([2, 3], "f64"));
        cell.forward(wave([2, 3], "f64"), { h }).cache.dispose();
        cell.backward({ h }, cache);
      };
      round();
      const before = [heap().bytesUsed, heap().byteLength];
      for (let i = 0; i < 400; i++) round();
      expect([heap().bytesUsed, heap().byteLength]).toEqual(before);
    });

    test.each([
      ["RNN", () => new RNN(3, 4, { numLayers: 2 })],
      ["LSTM", () => new LSTM(3, 4, { numLayers: 2 })],
      ["GRU", () => new GRU(3, 4, { numLayers: 2 })],
      ["GRU, both directions, checkpoints", () => new GRU(3, 2, { numLayers: 2, bidirectional: true, checkpoint: 2 })],
      [
        "LSTM, projected, dropout",
        () => new LSTM(3, 6, { numLayers: 2, projSize: 4, dropout: 0.5, recurrentDropout: 0.5 }),
      ],
      ["Linear", () => new Linear(3, 4)],
    ] as const)("%s: any calls again and again, and those that fail", (_, make) => {
      const { bytesUsed } = heap();
      const layer = make() as LSTM;
      const alone = heap().bytesUsed;
      layer.forward(x);
      const withTape = heap().bytesUsed;
      expect(withTape).toBeGreaterThan(alone);
      const { byteLength } = heap();
      for (let i = 0; i < 200; i++) {
        layer.forward(x); // without backward
        expect(heap().bytesUsed).toBe(withTape);
        expect(() => layer.forward(wave([5, 2, 7], "f64"))).toThrow(ShapeError);
        expect(() => layer.backward({ output: x })).toThrow(ShapeError);
        layer.eval().forward(x);
        layer.train();
        expect(heap().bytesUsed).toBe(withTape);
        layer.backward({ output });
        expect(heap().bytesUsed).toBe(alone); // the tape is gone
        layer.loadStateDict(layer.stateDict());
        expect(() => layer.loadStateDict({})).toThrow(ShapeError);
      }
      expect(heap().byteLength).toBe(byteLength);
      layer.forward(x);
      layer.dispose();
      expect(heap().bytesUsed).toBe(bytesUsed);
    });

    test.each(KINDS)(
      "%s, of all options and steps: nothing is left after backward, after a refusal, after dispose",
      (kind) => {
        const { bytesUsed } = heap();
        const options: Options[] = [
          {},
          { bidirectional: true, numLayers: 2 },
          { numLayers: 3, checkpoint: 2, dropout: 0.5 },
          {
            bidirectional: true,
            numLayers: 2,
            checkpoint: 1,
            recurrentDropout: 0.5,
            goBackwards: true,
            stateful: true,
          },
        ];
        const mask = tensor([0, 1, 1, 1, 0, 0, 1, 0, 1, 1], [5, 2], "i32");
        for (const each of options) {
          for (const steps of [{}, { lengths: [2, 4] }, { lengths: [0, 0] }, { mask }]) {
            const layer = makeRecurrent(kind, 3, 4, each);
            const alone = heap().bytesUsed;
            const { x, initial, gradients } = makeInputs(layer, 5, 2, 1);
            for (let i = 0; i < 3; i++) {
              layer.forward(x, { ...initial, ...steps });
              const kept = heap().bytesUsed;
              expect(() => layer.forward(x, { lengths: [1, 6] })).toThrow("lengths[1]: got 6");
              expect(() => layer.forward(x, { mask: tensor([2], [1, 1], "i32") })).toThrow("mask: got [1, 1]");
              expect(() => layer.forward(x, { h0: x })).toThrow("h0: got");
              expect(() => layer.backward({ hn: x })).toThrow("hn: got");
              layer.eval().forward(x, steps);
              layer.train();
              expect(heap().bytesUsed).toBe(kept);
              layer.backward(gradients);
              expect(heap().bytesUsed).toBe(alone);
            }
            layer.forward(x, steps);
            layer.dispose();
            expect(heap().bytesUsed).toBe(bytesUsed);
          }
        }
      },
    );

    test("Embedding, losses, streams, constructors that refuse", () => {
      const { bytesUsed } = heap();
      const indices = tensor([1, 0, 2], [3], "i32");
      for (let i = 0; i < 200; i++) {
        using layer = new Embedding(4, 3);
        const { output: rows } = layer.forward(indices);
        layer.backward({ output: rows });
        layer.forward(indices);
        expect(() => layer.forward(tensor([9], [1], "i32"))).toThrow("x: got 9");
        softmax(rows);
        mse(rows, rows);
        crossEntropy(rows, indices);
        expect(() => crossEntropy(rows, tensor([9, 9, 9], [3], "i32"))).toThrow("targets: got 9");
        expect(() => mse(rows, x)).toThrow(ShapeError);
        expect(() => new LSTM(3, 4, { seed: -1 })).toThrow("seed");
        expect(() => new GRU(3, 4, { bidirectional: 1 as never })).toThrow("bidirectional");
        expect(() => new LSTMCell(3, 4, { seed: -1 })).toThrow("seed");
        expect(() => new SGD(layer.parameters(), { momentum: 0.9, weightDecay: -1 })).toThrow("weightDecay");
        using lstm = new LSTM(3, 4);
        using stream = lstm.stream({ batchSize: 2 });
        stream.step([1, 2, 3, 4, 5, 6]);
      }
      expect(heap().bytesUsed).toBe(bytesUsed);
    });
  });

  // Counted in states: N rows of H numbers. x (kept by the layer) and the output (the caller's) are not.
  describe("checkpoints", () => {
    const [steps, rows, size] = [10_000, 4, 16];
    const state = rows * size * 8;
    const root = Math.sqrt(steps);

    /** The most that is in use during a call, and what is after it, beyond what was before. */
    function measure(call: () => unknown): { most: number; kept: number } {
      const before = heap().bytesUsed;
      let most = before;
      const allocate = vi.spyOn(heap(), "allocate");
      const original = Heap.prototype.allocate.bind(heap());
      allocate.mockImplementation((bytes, purpose) => {
        const address = original(bytes, purpose);
        most = Math.max(most, heap().bytesUsed);
        return address;
      });
      try {
        call();
      } finally {
        allocate.mockRestore();
      }
      return { most: most - before, kept: heap().bytesUsed - before };
    }

    test.each(["RNN tanh", "LSTM", "GRU"] as const)("%s: ten thousand steps", (kind) => {
      const x = wave([steps, rows, 1], "f64");
      const output = wave([steps, rows, size], "f64", 1);
      const xBytes = x.data.byteLength;
      const outputBytes = output.data.byteLength;
      const results = [undefined, root].map((checkpoint) => {
        using layer = makeRecurrent(kind, 1, size, { seed: 1, checkpoint });
        const forward = measure(() => layer.forward(x));
        const backward = measure(() => layer.backward({ output }));
        return { forward, backward, gradients: layer.parameters().map(({ grad }) => grad.data.slice()) };
      });
      const [whole, some] = results as [(typeof results)[0], (typeof results)[0]];

      // without: every step keeps h, an LSTM also c, psi(c) and 4 gates, a GRU 4 of what its gates are made of
      const perStep = { "RNN tanh": 1, LSTM: 7, GRU: 5 }[kind];
      expect(whole.forward.kept).toBeGreaterThanOrEqual(xBytes + perStep * steps * state);
      // with: h, and an LSTM's c, where each of the sqrt(T) parts begins; nothing of the size of T beside x
      const perPart = kind === "LSTM" ? 2 : 1;
      expect(some.forward.kept).toBe(xBytes + perPart * root * state);
      expect(some.forward.kept - xBytes).toBeLessThanOrEqual(2 * root * state);
      // backward has the gradients of output and x, and one part at a time: what its sqrt(T) steps would keep, and their
      // gradients (no more than 6 states a step); packed weights and the like take less than 64 states
      const parts = (perStep + 6) * root * state;
      expect(some.backward.most).toBeLessThanOrEqual(outputBytes + xBytes + parts + 64 * state);
      expect(some.backward.kept).toBe(whole.backward.kept - (some.forward.kept - whole.forward.kept));
      some.gradients.forEach((gradient, i) => {
        const expected = whole.gradients[i]!;
        const scale = Math.max(...expected.map(Math.abs));
        gradient.forEach((g, j) => expect(Math.abs(g - expected[j]!)).toBeLessThanOrEqual(1e-12 * scale));
      });
    });
  });

  describe("the finalizer", () => {
    v8.setFlagsFromString("--expose-gc");
    const collect = vm.runInNewContext("gc") as () => void;

    /** Collects until `done`, or for some seconds. */
    async function collectUntil(done: () => boolean): Promise<void> {
      for (let i = 0; i < 200 && !done(); i++) {
        collect();
        await setTimeout(5);
      }
    }

    test("frees what was never disposed: layers with their saved passes, streams, optimizers", async () => {
      const forget = (): void => {
        const layer = new LSTM(3, 4);
        layer.forward(wave([5, 2, 3], "f64"));
        new Adam(layer.parameters()).step();
        layer.stream().step([1, 2, 3]);
        new GRU(3, 4, { bidirectional: true, checkpoint: 2 }).forward(wave([5, 2, 3], "f64"), { lengths: [3, 5] });
        new LSTMCell(3, 4).forward(wave([2, 3], "f64"));
        new Embedding(4, 3).parameters()[0]!.value.data.fill(1);
      };
      expect(heap().bytesUsed).toBe(0);
      for (let i = 0; i < 20; i++) forget();
      expect(heap().bytesUsed).toBeGreaterThan(0);
      await collectUntil(() => heap().bytesUsed === 0);
      expect(heap().bytesUsed).toBe(0);
    });

    test("keeps memory that a parameter or a state still refers to", async () => {
      const parts = () => {
        const layer = new LSTM(3, 4, { seed: 1 });
        const stream = layer.stream();
        stream.step([1, 2, 3]);
        return { weight: layer.parameters()[0]!.value, h: stream.state.h };
      };
      const { weight, h } = parts();
      const before = [weight.data.slice(), h.data.slice()];
      for (let i = 0; i < 5; i++) {
        collect();
        await setTimeout(5);
      }
      for (let i = 0; i < 20; i++) new Linear(5, 5).dispose(); // would write where the forgotten were
      expect([weight.data, h.data].map((data) => data.slice())).toEqual(before);
    });

    test("does not free again what was disposed of", async () => {
      const dispose = (): void => {
        const layer = new Linear(3, 4);
        layer.forward(wave([3], "f64"));
        layer.dispose();
      };
      await collectUntil(() => heap().bytesUsed === 0); // the test before this one
      for (let i = 0; i < 20; i++) dispose();
      using layer = new Linear(3, 4, { seed: 1 }); // has the memory of those now
      const { bytesUsed } = heap();
      const weights = layer.stateDict();
      for (let i = 0; i < 10; i++) {
        collect();
        await setTimeout(5);
      }
      expect(heap().bytesUsed).toBe(bytesUsed);
      expect(layer.stateDict()).toEqual(weights);
    });
  });
});
