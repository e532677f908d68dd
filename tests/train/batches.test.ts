// batches: padding, layouts, orders, buckets, and going on from a position.
import { describe, expect, test } from "vitest";
import {
  crossEntropy,
  DtypeError,
  ShapeError,
  tensor,
  UnsupportedError,
  ValueError,
  type Tensor,
} from "../../src/index.js";
import { batches, type Batch, type Sample } from "../../src/train.js";
import { testBoth } from "../helpers/both.js";
import "../helpers/bits.js";
import { refuses } from "../helpers/refuses.js";

const i32 = (...values: number[]): Tensor => tensor(values, [values.length], "i32");

/** Samples whose x and y are [i], so that an order can be read off. */
const numbered = (count: number): Sample[] => Array.from({ length: count }, (_, i) => ({ x: i32(i), y: i }));

/** The samples of `numbered` by length: sample i has the i-th of these lengths. */
const ofLengths = (lengths: readonly number[]): Sample[] =>
  lengths.map((length, i) => ({ x: new Int32Array(length).fill(i), y: i }));

const ys = (all: Iterable<Batch>): number[][] => [...all].map(({ y }) => [...y.data]);

describe("padding", () => {
  testBoth("%s: sequences are padded with 0 and come time first, with their lengths", (dtype) => {
    const samples = [
      { x: tensor([[1, 2]], [1, 2], dtype), y: 7 },
      { x: tensor([[3, 4], [5, 6], [7, 8]], [3, 2], dtype), y: 9 }, // prettier-ignore
    ];
    const [batch, ...others] = batches(samples, { batchSize: 2 });
    expect(others).toEqual([]);
    expect(batch!.x).toHaveBits(tensor([1, 2, 3, 4, 0, 0, 5, 6, 0, 0, 7, 8], [3, 2, 2], dtype));
    expect(batch!.y).toHaveBits(i32(7, 9));
    expect(batch!.lengths).toEqual([1, 3]);
    expect(batch).not.toHaveProperty("targetLengths");
  });

  test("with batchFirst they come batch first", () => {
    const samples = [{ x: i32(1), y: 0 }, { x: i32(2, 3, 4), y: 1 }]; // prettier-ignore
    const [batch] = batches(samples, { batchSize: 2, batchFirst: true });
    expect(batch!.x).toHaveBits(tensor([1, 0, 0, 2, 3, 4], [2, 3], "i32"));
    expect(batch!.lengths).toEqual([1, 3]);
  });

  test("each batch is as long as its longest sample", () => {
    const data = batches(ofLengths([1, 2, 5, 3, 4]), { batchSize: 2 });
    expect([...data].map(({ x, lengths }) => [x.shape, lengths])).toEqual([
      [[2, 2], [1, 2]],
      [[5, 2], [5, 3]],
      [[4, 1], [4]],
    ]); // prettier-ignore
  });

  test("arrays of numbers are sequences of one feature, an Int32Array is a sequence of indices", () => {
    const x = ([value]: Sample["x"][]) => [...batches([{ x: value!, y: 0 }], { batchSize: 1 })][0]!.x;
    expect(x([[0.5, 1, 2]])).toHaveBits(tensor([0.5, 1, 2], [3, 1, 1]));
    expect(x([Float64Array.of(0.5, 1)])).toHaveBits(tensor([0.5, 1], [2, 1, 1]));
    expect(x([Float32Array.of(0.5, 1)])).toHaveBits(tensor([0.5, 1], [2, 1, 1], "f32"));
    expect(x([Int32Array.of(4, 5)])).toHaveBits(tensor([4, 5], [2, 1], "i32"));
  });

  testBoth("%s: tensors [D] are no sequences: they become [N,D], without lengths", (dtype) => {
    const samples = [0, 1].map((i) => ({ x: tensor([i, 1], [2], dtype), y: tensor([i], [1], dtype) }));
    const [batch] = batches(samples, { batchSize: 2 });
    expect(batch).toEqual({ x: tensor([0, 1, 1, 1], [2, 2], dtype), y: tensor([0, 1], [2, 1], dtype) });
  });

  test("each numbers tensor of y is an answer: [] becomes [N], [K] becomes [N,K]", () => {
    const y = (...values: Tensor[]) => [...batches(values.map((y) => ({ x: i32(1), y })), { batchSize: 2 })][0]!.y; // prettier-ignore
    expect(y(tensor(0.5), tensor(1.5))).toHaveBits(tensor([0.5, 1.5]));
    expect(y(tensor([1, 2]), tensor([3, 4]))).toHaveBits(tensor([1, 2, 3, 4], [2, 2]));
  });

  test("targets that are as long as their x lie beside it; classes are padded with -100, others with 0", () => {
    const samples = (y: (length: number) => Tensor) =>
      [1, 2].map((length) => ({ x: new Int32Array(length), y: y(length) }));
    const classes = samples((length) => tensor(new Array<number>(length).fill(3), [length], "i32"));
    const [first] = batches(classes, { batchSize: 2 });
    expect(first!.y).toHaveBits(tensor([3, 3, -100, 3], [2, 2], "i32"));
    expect([...batches(classes, { batchSize: 2, batchFirst: true })][0]!.y).toHaveBits(
      tensor([3, -100, 3, 3], [2, 2], "i32"),
    );
    const [second] = batches(
      samples((length) => tensor(new Float64Array(length).fill(3), [length, 1])),
      { batchSize: 2 },
    );
    expect(second!.y).toHaveBits(tensor([3, 3, 0, 3], [2, 2, 1]));
    expect(second).not.toHaveProperty("targetLengths");
  });

  test("crossEntropy ignores the padding of classes, without lengths, too", () => {
    const samples = [1, 2].map((length) => ({ x: new Int32Array(length), y: tensor(new Int32Array(length)) }));
    const [{ y, lengths }] = batches(samples, { batchSize: 2 }) as unknown as [Batch];
    const logits = tensor([1, 2, 3, 4, 5, 7, 9, 8], [2, 2, 2]);
    expect(crossEntropy(logits, y).loss).toBe(crossEntropy(logits, y, { lengths }).loss);
  });

  test("sequences of other lengths than their x come batch first, with targetLengths", () => {
    const samples = [{ x: i32(1, 2, 3), y: i32(1, 2) }, { x: i32(4, 5), y: i32() }, { x: i32(6), y: i32(3) }]; // prettier-ignore
    const [batch] = batches(samples, { batchSize: 3 });
    expect(batch!.y).toHaveBits(tensor([1, 2, -100, -100, 3, -100], [3, 2], "i32"));
    expect(batch).toMatchObject({ lengths: [3, 2, 1], targetLengths: [2, 0, 1] });
  });
});

describe("orders", () => {
  test("without shuffle every epoch has the order of the samples; the last batch may be smaller", () => {
    const data = batches(numbered(5), { batchSize: 2 });
    expect(data.batchesPerEpoch).toBe(3);
    for (let epoch = 0; epoch < 2; epoch++) expect(ys(data)).toEqual([[0, 1], [2, 3], [4]]);
  });

  test("dropLast leaves out the samples of a smaller batch", () => {
    const data = batches(numbered(5), { batchSize: 2, dropLast: true });
    expect(data.batchesPerEpoch).toBe(2);
    expect(ys(data)).toEqual([[0, 1], [2, 3]]); // prettier-ignore
    // shuffled, others are left out in each epoch
    const shuffled = batches(numbered(5), { batchSize: 2, dropLast: true, shuffle: true, seed: 1 });
    const left = Array.from({ length: 20 }, () => ys(shuffled).flat()).map((seen) =>
      [0, 1, 2, 3, 4].find((i) => !seen.includes(i)),
    );
    expect(new Set(left).size).toBe(5);
  });

  test("each epoch is another order of all samples, the same for the same seed", () => {
    const make = (seed?: number) => batches(numbered(50), { batchSize: 8, shuffle: true, seed });
    const epochs = (data: Iterable<Batch>) => [0, 1, 2].map(() => ys(data).flat());
    const first = epochs(make(5));
    expect(epochs(make(5))).toEqual(first);
    const orders = [...first, ...epochs(make(6)), ...epochs(make()), ...epochs(make())];
    expect(new Set(orders.map(String)).size).toBe(orders.length);
    for (const order of orders) expect([...order].sort((a, b) => a - b)).toEqual(numbered(50).map(({ y }) => y));
  });

  test("every order of three samples comes as often as the others", () => {
    const data = batches(numbered(3), { batchSize: 3, shuffle: true, seed: 1 });
    const counts = new Map<string, number>();
    for (let epoch = 0; epoch < 6000; epoch++)
      for (const order of ys(data).map(String)) counts.set(order, (counts.get(order) ?? 0) + 1);
    expect(counts.size).toBe(6);
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  const lengths = Array.from({ length: 60 }, (_, i) => 1 + ((i * 37) % 23));
  const padding = (all: Iterable<Batch>) =>
    [...all].reduce((sum, { x, lengths }) => sum + x.data.length - lengths!.reduce((a, b) => a + b), 0);

  test("bucket makes batches of similar lengths within windows of that many batches", () => {
    const data = batches(ofLengths(lengths), { batchSize: 4, bucket: 5 });
    const seen = ys(data);
    for (let start = 0; start < 60; start += 20) {
      const sorted = [...Array(60).keys()].slice(start, start + 20).sort((a, b) => lengths[a]! - lengths[b]!); // prettier-ignore
      expect(seen.slice(start / 4, start / 4 + 5).flat()).toEqual(sorted);
    }
    const shuffled = (bucket: boolean) => batches(ofLengths(lengths), { batchSize: 4, shuffle: true, seed: 2, bucket });
    expect(padding(shuffled(true))).toBeLessThan(padding(shuffled(false)) / 3);
  });

  test("shuffled buckets hold every sample once, and come in random order", () => {
    const data = batches(ofLengths(lengths), { batchSize: 4, bucket: true, shuffle: true, seed: 3 });
    for (let epoch = 0; epoch < 3; epoch++) {
      const all = [...data];
      expect(all.flatMap(({ y }) => [...y.data]).sort((a, b) => a - b)).toEqual(lengths.map((_, i) => i));
      const longest = all.map(({ x }) => x.shape[0]!);
      expect(longest).not.toEqual([...longest].sort((a, b) => a - b));
    }
  });
});

describe("position", () => {
  const options = { batchSize: 3, shuffle: true, bucket: 2 };
  const samples = ofLengths([4, 1, 3, 2, 5, 2, 1, 4, 3, 2]);

  test("continues in the middle of an epoch, in another object, after a trip through JSON", () => {
    const data = batches(samples, { ...options, seed: 4 });
    expect(data.position).toEqual({ seed: 4, epoch: 0, batch: 0 });
    const whole = [ys(data), ys(data)];
    expect(data.position).toEqual({ seed: 4, epoch: 2, batch: 0 });

    const again = batches(samples, { ...options, seed: 4 });
    for (const [epoch, expected] of whole.entries()) {
      for (let batch = 0; batch < expected.length; batch++) {
        const position = { seed: 4, epoch, batch };
        const fresh = batches(samples, { ...options, seed: 99 });
        fresh.position = JSON.parse(JSON.stringify(position)) as typeof position;
        expect(fresh.position).toEqual(position);
        expect(ys(fresh)).toEqual(expected.slice(batch));
        again.position = position;
        expect(ys(again)).toEqual(expected.slice(batch));
      }
    }
  });

  test("is that of the next batch; a loop that was left early goes on there", () => {
    const data = batches(numbered(7), { batchSize: 2 });
    for (const { y } of data) if (y.data[0] === 2) break;
    expect(data.position).toEqual({ seed: 0, epoch: 0, batch: 2 });
    expect(ys(data)).toEqual([[4, 5], [6]]);
    expect(data.position).toEqual({ seed: 0, epoch: 1, batch: 0 });
    expect(ys(data)).toHaveLength(4);
  });

  test("is refused where it cannot be, and stays", () => {
    const data = batches(numbered(7), { batchSize: 2, seed: 1 });
    const set = (position: unknown) => () => (data.position = position as typeof data.position);
    refuses(set({ seed: 1, epoch: 0, batch: 4 }), ValueError, "position.batch", "at most 3");
    refuses(set({ seed: 1, epoch: -1, batch: 0 }), ValueError, "position.epoch");
    refuses(set({ seed: 0.5, epoch: 0, batch: 0 }), ValueError, "position.seed");
    refuses(set({ seed: 1, epoch: 0 }), ValueError, "position.batch");
    refuses(set({ seed: 1, epoch: 0, batch: 0, step: 1 }), UnsupportedError, "step");
    refuses(set(undefined), ValueError, "position");
    expect(data.position).toEqual({ seed: 1, epoch: 0, batch: 0 });
    expect(Object.isFrozen(data.position)).toBe(true);
  });
});

describe("refused", () => {
  const make =
    (samples: unknown, options: object = {}) =>
    () =>
      batches(samples as Sample[], { batchSize: 2, ...options });
  const x = i32(1);

  test("options that cannot be", () => {
    refuses(make(numbered(3), { batchSize: 0 }), ShapeError, "batchSize");
    refuses(make(numbered(3), { shuffle: 1 }), ValueError, "shuffle");
    refuses(make(numbered(3), { batchFirst: "yes" }), ValueError, "batchFirst");
    refuses(make(numbered(3), { dropLast: 0 }), ValueError, "dropLast");
    refuses(make(numbered(3), { seed: -1 }), ValueError, "seed");
    refuses(make(numbered(3), { bucket: 0 }), ValueError, "bucket");
    refuses(make(numbered(3), { batch_size: 2 }), UnsupportedError, "batch_size", "batchSize");
    refuses(make(numbered(1), { dropLast: true }), ValueError, "samples", "at least 2");
  });

  test("samples that are none, each by its name", () => {
    refuses(make([]), ValueError, "samples");
    refuses(make({ length: 1 }), ValueError, "samples", "an array");
    refuses(make([{ x, y: 1 }, null]), ValueError, "samples[1]");
    refuses(
      make([
        { x, y: 1 },
        { x: "abc", y: 1 },
      ]),
      DtypeError,
      "samples[1].x",
    );
    refuses(make([{ x: [1, "2"], y: 1 }]), DtypeError, "samples[0].x[1]");
    refuses(make([{ x: new Uint8Array(2), y: 1 }]), DtypeError, "samples[0].x");
    refuses(make([{ x: i32(), y: 1 }]), ShapeError, "samples[0].x", "at least one step");
    refuses(make([{ x: tensor(1), y: 1 }]), ShapeError, "samples[0].x");
    refuses(make([{ x, y: 0.5 }]), ValueError, "samples[0].y", "tensor([0.5])");
    refuses(make([{ x }]), DtypeError, "samples[0].y");
  });

  test("samples that are unlike the first", () => {
    refuses(
      make([
        { x, y: 1 },
        { x: [1], y: 1 },
      ]),
      DtypeError,
      "samples[1].x",
      "i32",
    );
    refuses(
      make([
        { x, y: 1 },
        { x, y: tensor(1) },
      ]),
      DtypeError,
      "samples[1].y",
      "a class",
    );
    refuses(
      make([
        { x, y: tensor(1) },
        { x, y: 1 },
      ]),
      DtypeError,
      "samples[1].y",
      "a tensor",
    );
    const wide = (size: number) => tensor(new Float64Array(size), [1, size]);
    refuses(make([{ x: wide(2), y: 1 }, { x: wide(3), y: 1 }]), ShapeError, "samples[1].x", "[T, 3]", "[T, 2]"); // prettier-ignore
    refuses(
      make([
        { x, y: tensor([1]) },
        { x, y: tensor([1, 2]) },
      ]),
      ShapeError,
      "samples[1].y",
      "[2]",
      "[1]",
    );
  });

  test("an array that has been transferred since", () => {
    const given = Float64Array.of(1, 2);
    const data = batches([{ x: given, y: 1 }], { batchSize: 1 });
    structuredClone(given, { transfer: [given.buffer] });
    refuses(() => [...data], ShapeError, "samples[0].x", "detached");
  });
});

test("numbers are read when a batch is made, lists and shapes at once", () => {
  const list = [1, 2];
  const numbers = Float64Array.of(3, 4);
  const shape = [1, 2];
  const data = batches([{ x: { data: numbers, shape }, y: 1 }], { batchSize: 1 });
  const fixed = batches([{ x: list, y: 1 }], { batchSize: 1 });
  numbers[0] = 5;
  shape[1] = 9;
  list[0] = 6;
  expect([...data][0]!.x).toHaveBits(tensor([5, 4], [1, 1, 2]));
  expect([...fixed][0]!.x).toHaveBits(tensor([1, 2], [2, 1, 1]));
});
