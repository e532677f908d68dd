// Operators that compare the entries of an axis, or go along it.

import { ShapeError, ValueError } from "../../../bindings/errors.js";
import { showShape, sizeOf } from "../../../bindings/tensor.js";
import { checkAxis } from "../../ops/attributes.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operator, type Operators } from "../node.js";
import { makeNumbers, type Numbers, type Value } from "../value.js";
import { reshaped, transposed } from "./compose.js";
import { checkSafe } from "./host.js";
import { take } from "./indexing.js";

/** The lines along an axis: their numbers, `n` each, are `step` apart. */
interface Lines {
  readonly count: number;
  readonly n: number;
  readonly step: number;
}

function linesOf(shape: readonly number[], axis: number): Lines {
  const [n, step] = [shape[axis]!, sizeOf(shape.slice(axis + 1))];
  return { count: n === 0 ? 0 : sizeOf(shape.slice(0, axis)) * step, n, step };
}

/** The place of the first number of a line. */
function startOf({ n, step }: Lines, line: number): number {
  return Math.floor(line / step) * n * step + (line % step);
}

type Before = (a: number, b: number) => boolean;

/** Whether a comes before b where the largest come first; NaN is the largest. */
const larger: Before = (a, b) => a > b || (a !== a && b === b);
const smaller: Before = (a, b) => larger(b, a);

/** Which number of a line comes first, or the last of several that do. */
function firstOf(x: Numbers, start: number, { n, step }: Lines, before: Before, last: boolean): number {
  let found = 0;
  for (let k = 1; k < n; k++) {
    const a = x[start + k * step]!;
    const b = x[start + found * step]!;
    if (before(a, b) || (last && !before(b, a))) found = k;
  }
  return found;
}

function arg(before: Before): Operator {
  return operator(["axis", "keepdims", "select_last_index"], (node, builder) => {
    const x = node.input(0, "data");
    const axis = checkAxis(node.int("axis", 0), x.shape.length);
    const lines = linesOf(x.shape, axis);
    if (lines.n === 0) throw new ShapeError("data", showShape(x.shape), `a number on axis ${axis}`);
    const last = node.flag("select_last_index", false);
    const kept = node.flag("keepdims", true) ? [1] : [];
    const shape = [...x.shape.slice(0, axis), ...kept, ...x.shape.slice(axis + 1)];
    return builder.hostOne([x], "i64", shape, ([from], to) => {
      for (let line = 0; line < lines.count; line++) {
        to[line] = firstOf(from!, startOf(lines, line), lines, before, last);
      }
    });
  });
}

/** 1 where the largest number of each line is, the first of several, else 0. */
function hardmax(node: Node, builder: Builder): Value {
  const x = node.input(0, "input");
  const axis = checkAxis(node.int("axis", node.opset >= 13 ? -1 : 1), x.shape.length);
  const outer = sizeOf(x.shape.slice(0, axis));
  const lines = node.opset >= 13 ? linesOf(x.shape, axis) : linesOf([outer, sizeOf(x.shape.slice(axis))], 1);
  return builder.hostOne([x], x.dtype, x.shape, ([from], to) => {
    to.fill(0);
    for (let line = 0; line < lines.count; line++) {
      const start = startOf(lines, line);
      to[start + firstOf(from!, start, lines, larger, false) * lines.step] = 1;
    }
  });
}

/** Puts numbers below n in order, by a heap. Nothing is allocated after it was made. */
class Order {
  readonly #heap: Numbers;
  /** The first `count` numbers of the last run. */
  readonly ordered: Numbers;

  constructor(
    n: number,
    count: number,
    readonly before: Before,
  ) {
    this.#heap = makeNumbers("i32", n);
    this.ordered = makeNumbers("i32", count);
  }

  run(): void {
    const heap = this.#heap;
    let n = heap.length;
    for (let i = 0; i < n; i++) heap[i] = i;
    for (let i = (n >> 1) - 1; i >= 0; i--) this.#sift(i, n);
    for (let i = 0; i < this.ordered.length; i++) {
      this.ordered[i] = heap[0]!;
      heap[0] = heap[--n]!;
      this.#sift(0, n);
    }
  }

  #sift(at: number, n: number): void {
    const heap = this.#heap;
    const moved = heap[at]!;
    for (let child = 2 * at + 1; child < n; child = 2 * at + 1) {
      if (child + 1 < n && this.before(heap[child + 1]!, heap[child]!)) child++;
      if (!this.before(heap[child]!, moved)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = moved;
  }
}

function topK(node: Node, builder: Builder): readonly Value[] {
  const x = node.input(0, "X");
  const axis = checkAxis(node.int("axis", -1), x.shape.length);
  const k = node.opset >= 10 ? builder.number("K", node.input(1, "K")) : node.int("k", 0);
  const lines = linesOf(x.shape, axis);
  if (!(k >= 0 && k <= lines.n)) throw new ValueError("K", `${k}`, `from 0 to ${lines.n}`);
  const { n, step } = lines;
  const precedes = node.flag("largest", true) ? larger : smaller;
  const shape = [...x.shape.slice(0, axis), k, ...x.shape.slice(axis + 1)];
  let numbers: Numbers;
  let start = 0;
  const order = new Order(lines.count && n, lines.count && k, (i, j) => {
    const a = numbers[start + i * step]!;
    const b = numbers[start + j * step]!;
    return precedes(a, b) || (i < j && !precedes(b, a));
  });
  const positions = builder.hostToWasm([x], shape, ([from], [to]) => {
    numbers = from!;
    for (let line = 0; line < lines.count; line++) {
      start = startOf(lines, line);
      order.run();
      const first = Math.floor(line / step) * k * step + (line % step);
      for (let rank = 0; rank < k; rank++) to![first + rank * step] = start + order.ordered[rank]! * step;
    }
  });
  const indices = builder.hostOne([positions], "i64", shape, ([at], to) => {
    for (let i = 0; i < to.length; i++) to[i] = Math.floor(at![i]! / step) % n;
  });
  return [take(builder, reshaped(builder, x, [x.size]), 0, positions), indices];
}

function cumSum(node: Node, builder: Builder): Value {
  const x = node.input(0, "x");
  const lines = linesOf(x.shape, checkAxis(builder.number("axis", node.input(1, "axis")), x.shape.length));
  const { n, step } = lines;
  const [exclusive, reverse] = [node.flag("exclusive", false), node.flag("reverse", false)];
  return builder.hostOne([x], x.dtype, x.shape, ([from], to) => {
    const stride = reverse ? -step : step;
    for (let line = 0; line < lines.count; line++) {
      const start = startOf(lines, line) + (reverse ? (n - 1) * step : 0);
      to[start] = exclusive ? 0 : from![start]!;
      for (let k = 1, at = start + stride; k < n; k++, at += stride) {
        to[at] = to[at - stride]! + from![exclusive ? at - stride : at]!;
      }
    }
    checkSafe(to, x.dtype);
  });
}

/** The different entries of an axis, or numbers; the first place and the count of each, and which one each entry is. */
function unique(node: Node, builder: Builder): readonly Value[] {
  const given = node.input(0, "X");
  const x = node.has("axis") ? given : reshaped(builder, given, [given.size]);
  const axis = checkAxis(node.int("axis", 0), x.shape.length);
  const front = transposed(builder, x, [axis, ...x.shape.keys()].filter((each, i) => i === 0 || each !== axis)); // prettier-ignore
  const n = x.shape[axis]!;
  const width = sizeOf(front.shape.slice(1));
  const sorted = node.flag("sorted", true);
  let numbers: Numbers;
  let [order, names]: [Order?, Numbers?] = [];
  const compare = (i: number, j: number): number => {
    for (let k = 0; k < width; k++) {
      const a = numbers[i * width + k]!;
      const b = numbers[j * width + k]!;
      if (smaller(a, b)) return -1;
      if (smaller(b, a)) return 1;
    }
    return 0;
  };
  const [inverse, count] = builder.host(
    [front],
    [
      { dtype: "i64", shape: [n] },
      { dtype: "i64", shape: [] },
    ],
    ([from], [which, total]) => {
      numbers = from!;
      order ??= new Order(n, n, (i, j) => (compare(i, j) || i - j) < 0); // after its size was checked
      order.run();
      let groups = 0;
      for (let rank = 0; rank < n; rank++) {
        const i = order.ordered[rank]!;
        if (rank === 0 || compare(order.ordered[rank - 1]!, i) !== 0) groups++;
        which![i] = groups - 1;
      }
      total![0] = groups;
      if (sorted) return;
      names ??= makeNumbers("i32", n);
      names.fill(-1);
      for (let i = 0, next = 0; i < n; i++) {
        const group = which![i]!;
        if (names[group]! < 0) names[group] = next++;
        which![i] = names[group]!;
      }
    },
  ) as [Value, Value];
  const groups = builder.number("count", count);
  const firsts = builder.hostToWasm([inverse], [groups], ([which], [to]) => {
    for (let i = n - 1; i >= 0; i--) to![which![i]!] = i;
  });
  const indices = builder.hostOne([firsts], "i64", [groups], ([from], to) => {
    to.set(from!);
  });
  const counts = builder.hostOne([inverse], "i64", [groups], ([which], to) => {
    to.fill(0);
    for (let i = 0; i < n; i++) to[which![i]!]!++;
  });
  return [take(builder, x, axis, firsts), indices, inverse, counts];
}

export const ordering: Operators = {
  ArgMax: arg(larger),
  ArgMin: arg(smaller),
  CumSum: operator(["exclusive", "reverse"], cumSum),
  Hardmax: operator(["axis"], hardmax),
  TopK: operator(["axis", "k", "largest", "sorted"], topK),
  Unique: operator(["axis", "sorted"], unique),
};
