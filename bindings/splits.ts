// How kernels are divided among threads: by rows, columns or numbers that do not depend on one another, so that each number is computed
// as by one thread. A kernel without a rule here runs on the caller's thread, and so does a call with little work.

import { EXPONENTIAL, type Core, type GraphStep, type KernelsByType, type PassRun } from "./instantiate.js";
import { MAX_THREADS, type Call, type Kernel, type Team } from "./team.js";
import { convScratchBytes } from "./kernels.js";
import { BYTES, type FloatDtype } from "./tensor.js";
import * as fields from "./wasm-fields.js";

const at = fields.sequence;

/** The least multiply-adds, or their like, of a call that is divided: some 200 us of work, as threads that sleep take 50 to wake. Tests make it smaller. */
export const least = { work: 4_194_304 };

/** How much less is enough for a phase of a divided pass, whose threads are awake; and how much more takes a pass whose steps one runs. */
const AWAKE = 1 / 4;
const STEPS_ALONE = 4;

/** What computing one number costs, in multiply-adds. */
const COST = { copy: 4, arithmetic: 6, exponential: EXPONENTIAL, update: 32 };

/** What became of a kernel's calls: divided, with too little work, of a kernel without a rule. */
export interface Counts {
  parallel: number;
  below: number;
  alone: number;
}

/** Those of each kernel, where a test asks for them before threads are first started: counting takes time of its own. */
export const observed: { counts?: Map<string, Counts> } = {};

/** A call that may be divided. */
interface Division {
  readonly core: Core;
  readonly team: Team;
  readonly kernel: Kernel;
  /** Bytes of a number. */
  readonly size: number;
  /** Another kernel for this type of numbers. */
  other(name: string): Kernel;
}

/**
 * Runs a call in parts.
 *
 * @returns the kernel's result, or true where it has none; false where there is too little work, and nothing was done
 */
type Rule = (division: Division, ...args: number[]) => boolean | number;

/** At most a part for each thread, of `count` in multiples of `unit`: where each starts and ends. */
function partsOf({ team }: Division, count: number, unit: number): (readonly [first: number, last: number])[] {
  const units = Math.ceil(count / unit);
  const parts = Math.min(team.threads, units);
  const start = (i: number) => Math.min(count, Math.floor((units * i) / parts) * unit);
  return Array.from({ length: parts }, (_, i) => [start(i), start(i + 1)] as const);
}

/** By numbers: the count is argument `count`, and `pointers` are those of arrays that are as long. */
function byNumbers(cost: number, count: number, pointers: readonly number[]): Rule {
  return (division, ...args) => {
    const n = args[count]!;
    if (n * cost < least.work) return false;
    const calls = partsOf(division, n, 64).map(([first, last]): Call => {
      const own = [...args];
      own[count] = last - first;
      for (const p of pointers) own[p]! += first * division.size;
      return [division.kernel, ...own];
    });
    division.team.run(calls);
    return true;
  };
}

/** By rows: their count is the first argument; of each pointer to rows, how many numbers apart these are. 0 stands for none. */
function byRows(
  cost: (args: readonly number[]) => number,
  strides: (args: readonly number[]) => Readonly<Record<number, number>>,
): Rule {
  return (division, ...args) => {
    const rows = args[0]!;
    if (rows < 2 || rows * cost(args) < least.work) return false;
    const pointers = Object.entries(strides(args)).map(([p, stride]) => [Number(p), stride] as const);
    const calls = partsOf(division, rows, 4).map(([first, last]): Call => {
      const own = [...args];
      own[0] = last - first;
      for (const [p, stride] of pointers) if (own[p] !== 0) own[p]! += first * stride * division.size;
      return [division.kernel, ...own];
    });
    division.team.run(calls);
    return true;
  };
}

/** A matrix product's arguments, as of the kernel `gemm`. */
type Product = [
  m: number,
  n: number,
  k: number,
  a: number,
  aRow: number,
  aColumn: number,
  b: number,
  bRow: number,
  bColumn: number,
  start: number,
  c: number,
  ldc: number,
];

/** The calls of a product: by columns, which are packed once then, or by rows where there are more of them. */
function productCalls(division: Division, product: Product): Call[] {
  const [m, n, k, a, aRow, aColumn, b, bRow, bColumn, start, c, ldc] = product;
  const gemm = division.other("gemm");
  const { size } = division;
  if (m > n) {
    return partsOf(division, m, 8).map(([first, last]) => {
      const from = start === c ? c + first * ldc * size : start;
      const to = c + first * ldc * size;
      return [gemm, last - first, n, k, a + first * aRow * size, aRow, aColumn, b, bRow, bColumn, from, to, ldc];
    });
  }
  return partsOf(division, n, 8).map(([first, last]) => {
    const from = start === 0 ? 0 : start + first * size;
    const to = c + first * size;
    return [gemm, m, last - first, k, a, aRow, aColumn, b + first * bColumn * size, bRow, bColumn, from, to, ldc];
  });
}

/** gemm itself. */
const product: Rule = (division, ...args) => {
  const [m, n, k] = args as Product;
  if (m * n * k < least.work) return false;
  division.team.run(productCalls(division, args as Product));
  return true;
};

const linearForward: Rule = (division, ...args) => {
  const [rows, inputs, outputs, x, weight, bias, y] = args as [number, number, number, number, number, number, number];
  if (rows * inputs * outputs < least.work) return false;
  division.team.run(productCalls(division, [rows, outputs, inputs, x, inputs, 1, weight, 1, inputs, bias, y, outputs]));
  return true;
};

const linearBackward: Rule = (division, ...args) => {
  const [rows, inputs, outputs, x, weight, dy, dx, dWeight, dBias] = args as [
    ...[number, number, number, number, number],
    ...[number, number, number, number],
  ];
  if (rows * inputs * outputs < least.work) return false;
  const own = (product: Product) => division.team.run(productCalls(division, product));
  if (dx) own([rows, inputs, outputs, dy, outputs, 1, weight, inputs, 1, 0, dx, inputs]);
  own([outputs, inputs, rows, dy, 1, outputs, x, inputs, 1, dWeight, dWeight, inputs]);
  if (dBias) division.kernel.run(rows, 0, outputs, x, weight, dy, 0, dWeight, dBias); // without inputs: the bias alone
  return true;
};

/** By columns, since several rows may be added to one. */
const scatterRows: Rule = (division, ...args) => {
  const [count, width, index, from, fromStride, to, toStride, skip] = args as [
    ...[number, number, number, number],
    ...[number, number, number, number],
  ];
  if (count * width * COST.copy < least.work) return false;
  const { kernel, size, team } = division;
  const calls = partsOf(division, width, 64 / size).map(([first, last]): Call => {
    const [source, target] = [from + first * size, to + first * size];
    return [kernel, count, last - first, index, source, fromStride, target, toStride, skip];
  });
  team.run(calls);
  return true;
};

const gatherRows: Rule = (division, ...args) => {
  const [count, width, index, from, fromStride, to, toStride] = args as [
    ...[number, number, number, number],
    ...[number, number, number],
  ];
  if (count * width * COST.copy < least.work) return false;
  const { kernel, size, team } = division;
  const calls = partsOf(division, count, 4).map(([first, last]): Call => {
    const source = index ? from : from + first * fromStride * size;
    const target = to + first * toStride * size;
    return [kernel, last - first, width, index && index + 4 * first, source, fromStride, target, toStride];
  });
  team.run(calls);
  return true;
};

/** dx by rows; the gradients of weight and bias before that, by columns, since dx may replace dy. */
const layerNormBackward: Rule = (division, ...args) => {
  const [rows, n, x, strideX, mean, rstd, weight, dy, strideDy, dx, strideDx, dWeight, dBias] = args as [
    ...[number, number, number, number, number, number, number],
    ...[number, number, number, number, number, number],
  ];
  if (rows * n * 2 * COST.arithmetic < least.work) return false;
  const { kernel, size, team } = division;
  const skip = (address: number, numbers: number) => address && address + numbers * size;
  if (dWeight || dBias) {
    const calls = partsOf(division, n, 64 / size).map(([j, last]): Call => {
      const columns = [x + j * size, strideX, mean, rstd, skip(weight, j), dy + j * size, strideDy, 0, 0];
      return [kernel, rows, last - j, ...columns, skip(dWeight, j), skip(dBias, j)];
    });
    team.run(calls);
  }
  if (!dx) return true;
  const calls = partsOf(division, rows, 4).map(([i, last]): Call => {
    const own = [skip(x, i * strideX), strideX, skip(mean, i), skip(rstd, i), weight, skip(dy, i * strideDy), strideDy];
    return [kernel, last - i, n, ...own, skip(dx, i * strideDx), strideDx, 0, 0];
  });
  team.run(calls);
  return true;
};

type Offsets = Readonly<Record<string, number>>;

/** Copies of a record, with `first`, `count` and addresses moved by so many bytes for each of `first`; 0 stands for none. */
function recordCalls(
  division: Division,
  address: number,
  bytes: number,
  counted: number,
  parts: readonly (readonly [first: number, last: number])[],
  moved: readonly (readonly [field: number, bytes: number])[],
): Call[] {
  const ints = division.core.heap.view("i32");
  return parts.map(([first, last], i): Call => {
    const to = division.team.record(1 + i);
    ints.copyWithin(to / 4, address / 4, (address + bytes) / 4);
    ints[(to + counted) / 4] = last - first;
    for (const [field, each] of moved) {
      const place = (to + field) / 4;
      if (ints[place] !== 0) ints[place]! += first * each;
    }
    return [division.kernel, to];
  });
}

/** Reads fields of 4 bytes of the record at `address`, until memory is allocated. */
function readerOf<F extends Offsets>({ core }: Division, address: number, fields: F): (field: keyof F) => number {
  const ints = core.heap.view("i32");
  return (field) => ints[(address + fields[field]!) / 4]!;
}

/** By numbers, of a kernel that takes a record: field `n`, and addresses of arrays as long. */
function recordByNumbers<F extends Offsets>(
  cost: number,
  fields: F & { readonly n: number; readonly bytes: number },
  arrays: (keyof F)[],
): Rule {
  return (division, address) => {
    const n = division.core.heap.view("i32")[(address + fields.n) / 4]!;
    if (n * cost < least.work) return false;
    const moved = arrays.map((name) => [fields[name]!, division.size] as const);
    division.team.run(recordCalls(division, address, fields.bytes, fields.n, partsOf(division, n, 64), moved));
    return true;
  };
}

/**
 * A loss, by rows or elements of which each has a term. The terms are added up in their order, as by one thread.
 *
 * @param factorOf the kernel of the factor
 * @param describe how many terms there are, in multiples of what, how many numbers each has, and the field that counts them; the
 *   arrays, and bytes of each for a term
 */
function loss<F extends Offsets & { readonly bytes: number; readonly factor: number; readonly terms: number }>(
  factorOf: string,
  fields: F,
  describe: (
    get: (field: keyof F) => number,
    size: number,
  ) => { counted: keyof F; count: number; unit: number; numbers: number; arrays: Partial<Record<keyof F, number>> },
): Rule {
  return (division, address) => {
    const { core, team, size } = division;
    const { counted, count, unit, numbers, arrays } = describe(readerOf(division, address, fields), size);
    if (count * numbers * COST.exponential < least.work) return false;
    const factor = division.other(factorOf).run(address) as number;
    if (factor === 0) return false; // of an infinite divisor: parts would take it for one that they shall find
    const terms = core.heap.allocate(8 * count, "terms of a loss");
    try {
      const parts = partsOf(division, count, unit);
      const moved = Object.entries(arrays).map(([field, bytes]) => [fields[field]!, bytes as number] as const);
      const calls = recordCalls(division, address, fields.bytes, fields[counted]!, parts, moved);
      calls.forEach(([, record], i) => {
        core.heap.view("f64")[((record as number) + fields.factor) / 8] = factor;
        core.heap.view("i32")[((record as number) + fields.terms) / 4] = terms + 8 * parts[i]![0];
      });
      team.run(calls);
      let total = 0;
      for (const term of core.heap.view("f64").subarray(terms / 8, terms / 8 + count)) total += term;
      return total * factor;
    } finally {
      core.heap.free(terms);
    }
  };
}

const crossEntropy = /* @__PURE__ */ loss("classFactor", fields.classLoss, (get, size) => {
  const n = get("n");
  const row = n * size;
  const arrays = { x: row, targets: 4, probabilities: row, sampleWeight: size, losses: size, dX: row };
  return { counted: "rows", count: get("rows"), unit: 1, numbers: n, arrays };
});

/** In parts of whole steps where these have weights; a part without is one step. */
const elementwiseLoss = /* @__PURE__ */ loss("elementFactor", fields.elementLoss, (get, size) => {
  const inner = get("sampleWeight") ? get("inner") : 0;
  const each = ["prediction", "target", "weight", "posWeight", "losses", "dPrediction"] as const;
  const arrays = { ...Object.fromEntries(each.map((name) => [name, size])), sampleWeight: inner && size / inner };
  return { counted: "n", count: get("n"), unit: inner || 64, numbers: 1, arrays };
});

/** Rows of a convolution over time. */
const conv1dForward: Rule = (division, address) => {
  const { size } = division;
  const get = readerOf(division, address, fields.convolution);
  const [n, t, c, o, taps, groups] = [get("n"), get("t"), get("c"), get("o"), get("taps"), get("groups")];
  if (n < 2 || (n * t * c * o * taps) / groups < least.work) return false;
  const moved = [
    [fields.convolution.counts, 4],
    [fields.convolution.x, get("xRow") * size],
    [fields.convolution.y, get("yRow") * size],
  ] as const;
  const parts = partsOf(division, n, 1);
  division.team.run(recordCalls(division, address, fields.convolution.bytes, fields.convolution.n, parts, moved));
  return true;
};

/** A graph's product of two matrices, by rows or by columns of the result; of several, by one axis of theirs. */
const matmul: Rule = (division, address) => {
  const { size, core, team, kernel } = division;
  const ints = core.heap.view("i32");
  const get = readerOf(division, address, fields.product);
  const [rank, m, n, k] = [get("rank"), get("m"), get("n"), get("k")];
  const axes = get("axes") >>> 0; // an address
  const [matrices, aMatrix, bMatrix] = [0, 1, 2].map((i) => ints[axes / 4 + i]!) as [number, number, number];
  if (rank !== 1 || matrices * m * n * k < least.work) return false;
  if (matrices === 1) {
    const moved = [
      [fields.product.a, get("aRow") * size],
      [fields.product.out, n * size],
    ] as const;
    if (m < 8) return false;
    team.run(recordCalls(division, address, fields.product.bytes, fields.product.m, partsOf(division, m, 4), moved));
    return true;
  }
  const calls = partsOf(division, matrices, 1).map(([first, last], i): Call => {
    const to = team.record(1 + i);
    const own = to + Math.ceil(fields.product.bytes / 8) * 8; // its axis, behind the record
    ints.copyWithin(to / 4, address / 4, (address + fields.product.bytes) / 4);
    ints.set([last - first, aMatrix, bMatrix, 0], own / 4);
    ints[(to + fields.product.axes) / 4] = own;
    ints[(to + fields.product.a) / 4]! += first * aMatrix * size;
    ints[(to + fields.product.b) / 4]! += first * bMatrix * size;
    ints[(to + fields.product.out) / 4]! += first * m * n * size;
    return [kernel, to];
  });
  team.run(calls);
  return true;
};

/** A graph's convolution, by positions of its results. */
const convForward: Rule = (division, address) => {
  const { size, core, team, kernel } = division;
  const get = readerOf(division, address, fields.conv);
  const [images, groups, count] = [get("images"), get("groups"), get("count")];
  const [outputs, k] = [get("outputs"), get("taps") * get("channels")];
  if (count < 8 || images * groups * count * outputs * k < least.work) return false;
  const parts = partsOf(division, count, 4);
  const bytes = Math.ceil(convScratchBytes(k, outputs, size) / 64) * 64;
  const work = core.heap.allocate(parts.length * bytes, "scratch of threads");
  try {
    const own = get("yPositions") ? ([fields.conv.yPositions, 4] as const) : ([fields.conv.y, size] as const);
    const calls = recordCalls(division, address, fields.conv.bytes, fields.conv.count, parts, [
      [fields.conv.positions, 4],
      own,
    ]);
    const ints = core.heap.view("i32");
    calls.forEach(([, record], i) => (ints[((record as number) + fields.conv.work) / 4] = work + i * bytes));
    team.run(calls.map(([, record]) => [kernel, record as number]));
  } finally {
    core.heap.free(work);
  }
  return true;
};

// Recurrent passes: the phases of assembly/recurrent/sequence.ts.

const INPUT = 1;
const PACK = 2;
const STEPS = 3;
const GRADIENTS = 4;

/** What a call of the module "parts" does: in this order behind its record. */
interface Part {
  readonly phase: number;
  readonly part?: number;
  readonly parts?: number;
  readonly first?: number;
  readonly last?: number;
}

/** Bytes of it. */
export const PART_BYTES = 20;

/** Before the names of that module's kernels, which are those of the core's. */
export const PARTS = "parts.";

/** Rows of the weights, in multiples of H, and the prefix of the names of its kernels. */
const CELLS = { rnn: 1, lstm: 4, gru: 3 } as const;

/** The fewest rows of a batch that a thread takes through all steps: the micro-kernels do two at once. */
const LEAST_ROWS = 2;

/** Fewer steps in all, of a stream, cost less than packing the weights, which threads have packed. */
const FEW_ROWS = 8;

type Field = Exclude<keyof typeof at, "bytes">;

/** The scratch of the first part, and how many bytes further that of the next is. */
interface Scratch {
  work: number;
  bytes: number;
}

function scratchOf(part: number, scratch: Scratch | undefined): { work?: number } {
  return scratch ? { work: scratch.work + part * scratch.bytes } : {};
}

/** A pass that is divided: writes the records of its parts, and runs them. */
class PassParts {
  readonly #division: Division;
  readonly #kernel: Kernel;
  readonly #address: number;

  /**
   * @param name of the kernel
   * @param address of the `Sequence` of the whole pass
   */
  constructor(division: Division, name: string, address: number) {
    this.#division = division;
    this.#kernel = division.other(PARTS + name);
    this.#address = address;
  }

  get(field: Field): number {
    const value = this.#ints[(this.#address + at[field]) / 4]!;
    return value >>> 0;
  }

  get #ints(): Int32Array {
    return this.#division.core.heap.view("i32");
  }

  /** A copy of a record, number `i` of the team's, with other values in some fields. */
  copy(i: number, from: number, values: Partial<Record<Field, number>>, part?: Part): number {
    const to = this.#division.team.record(i);
    const ints = this.#ints;
    ints.copyWithin(to / 4, from / 4, (from + at.bytes) / 4);
    for (const [field, value] of Object.entries(values)) ints[(to + at[field as Field]) / 4] = value;
    if (part)
      ints.set([part.phase, part.part ?? 0, part.parts ?? 1, part.first ?? 0, part.last ?? 0], (to + at.bytes) / 4);
    return to;
  }

  /** Runs a phase in one call. */
  whole(phase: number): void {
    this.#kernel.run(this.copy(0, this.#address, {}, { phase }));
  }

  /** Runs a phase whose parts the kernel finds itself. */
  divided(phase: number, from: number, work: number, scratch?: Scratch): void {
    const parts = work < least.work * AWAKE ? 1 : this.#division.team.threads;
    const calls = Array.from({ length: parts }, (_, part): Call => {
      return [this.#kernel, this.copy(1 + part, from, scratchOf(part, scratch), { phase, part, parts })];
    });
    this.run(calls);
  }

  /**
   * Runs the steps.
   *
   * @param ranges rows of the batch
   * @param sizes what has a row for each of the batch, and how many numbers these have
   */
  steps(
    from: number,
    ranges: readonly (readonly [number, number])[],
    sizes: Partial<Record<Field, number>>,
    scratch?: Scratch,
  ): void {
    const { size } = this.#division;
    const calls = ranges.map(([first, last], i): Call => {
      const record = this.copy(1 + i, from, scratchOf(i, scratch), { phase: STEPS, first, last });
      const ints = this.#ints;
      for (const [field, width] of Object.entries(sizes)) {
        const place = (record + at[field as Field]) / 4;
        if (ints[place] !== 0) ints[place]! += first * width * size;
      }
      return [this.#kernel, record];
    });
    this.run(calls);
  }

  run(calls: readonly Call[]): void {
    const [first] = calls;
    if (calls.length > 1) this.#division.team.run(calls);
    else if (first) first[0].run(...(first.slice(1) as number[]));
  }

  /** Rows of the batch for each thread, so that the sums of their lengths are about equal; one range where there are few. */
  ranges(): (readonly [number, number])[] {
    const { team } = this.#division;
    const [n, t, rows, batchSizes] = [this.get("n"), this.get("t"), this.get("rows"), this.get("batchSizes")];
    if (!batchSizes) return partsOf(this.#division, n, LEAST_ROWS);
    const parts = Math.min(team.threads, Math.ceil(n / LEAST_ROWS));
    const lengths = new Int32Array(n);
    const sizes = this.#ints.subarray(batchSizes / 4, batchSizes / 4 + t);
    for (const size of sizes) lengths[size - 1]!++; // steps whose last row this is
    for (let row = n - 2; row >= 0; row--) lengths[row]! += lengths[row + 1]!;
    const ranges: [number, number][] = [];
    let [first, sum] = [0, 0];
    for (let row = 0; row < n; row++) {
      sum += lengths[row]!;
      if (ranges.length === parts - 1) break;
      if (sum * parts < rows * (ranges.length + 1) || (row + 1) % LEAST_ROWS !== 0) continue;
      ranges.push([first, row + 1]);
      first = row + 1;
    }
    if (first < n) ranges.push([first, n]);
    return ranges;
  }
}

/** The multiply-adds of a pass. */
function workOf(division: Division, address: number, cell: keyof typeof CELLS): { input: number; all: number } {
  const get = readerOf(division, address, at);
  const gates = get("rows") * get("h") * CELLS[cell];
  const input = gates * get("d");
  return { input, all: input + gates * get("p") };
}

function recurrentForward(cell: keyof typeof CELLS): Rule {
  return (division, address) => {
    const work = workOf(division, address, cell);
    if (work.all < least.work) return false;
    const pass = new PassParts(division, `${cell}Forward`, address);
    const { core, size } = division;
    const ranges = pass.ranges();
    if (ranges.length < 2 && (pass.get("rows") < FEW_ROWS || work.input < least.work * STEPS_ALONE)) return false;
    const n = pass.get("n");
    const [p, h, others] = [pass.get("p"), pass.get("h"), pass.get("others")];
    const training = pass.get("training") !== 0;
    let base = address;
    if (!pass.get("panels")) {
      const panels = pass.get("work"); // of which threads have their own
      division.other(`${cell}Pack`).run(base, panels);
      base = pass.copy(0, base, { panels });
    }
    const bytes = Math.ceil(((division.other(`${cell}Workspace`).run(base, 0) as number) >>> 0) / 64) * 64;
    const scratch = { work: core.heap.allocate(division.team.threads * bytes, "scratch of threads"), bytes };
    const sizes = { mask: p, h0: p, c0: h, ...(!training && { cs: h }) };
    try {
      if (cell === "rnn") {
        base = pass.copy(0, base, { h0: pass.get("h0") || pass.get("hs") });
        if (!others) pass.divided(INPUT, base, work.input, scratch);
        pass.steps(base, ranges, sizes, scratch);
        return true;
      }
      // One chunk after the other: all their gates are in the same place.
      const [t, chunk, rows, d] = [pass.get("t"), pass.get("chunk"), pass.get("rows"), pass.get("d")];
      const [x, hs, batchSizes] = [pass.get("x"), pass.get("hs"), pass.get("batchSizes")];
      const [h0, reversed] = [pass.get("h0"), pass.get("reversed") !== 0];
      const rowsAt = (i: number) => (batchSizes ? core.heap.view("i32")[batchSizes / 4 + i]! : n);
      const state = (row: number) => hs + row * (1 + others) * p * size;
      let done = 0;
      for (let start = 0; start < t; start += chunk) {
        const steps = Math.min(chunk, t - start);
        let count = 0;
        for (let i = start; i < start + steps; i++) count += rowsAt(i);
        const row = reversed ? rows - done - count : done;
        const last = reversed ? rows - done : done - rowsAt(start - 1); // row of the step before this chunk
        const before = start === 0 ? h0 || hs : state(last) + n * p * size;
        const one = pass.copy(0, base, {
          t: steps,
          rows: count,
          chunk: steps,
          batchSizes: batchSizes && batchSizes + 4 * start,
          x: x + row * d * size,
          hs: state(row),
          h0: before,
          ...(start > 0 && { c0: 0 }),
        });
        pass.divided(INPUT, one, (work.input * count) / rows, scratch);
        pass.steps(one, ranges, sizes, scratch);
        base = one;
        done += count;
      }
      return true;
    } finally {
      core.heap.free(scratch.work);
    }
  };
}

function recurrentBackward(cell: keyof typeof CELLS): Rule {
  return (division, address) => {
    const work = workOf(division, address, cell);
    if (work.all < least.work) return false;
    const pass = new PassParts(division, `${cell}Backward`, address);
    const [n, p, h] = [pass.get("n"), pass.get("p"), pass.get("h")];
    const ranges = pass.get("normIh") ? ([[0, n]] as const) : pass.ranges(); // gradients of gains are sums over all rows of each step
    pass.whole(PACK);
    const base = pass.copy(0, address, { h0: pass.get("hs") });
    pass.steps(base, ranges, { mask: p, h0: p, dh: p, dc: h });
    pass.divided(GRADIENTS, base, work.all);
    return true;
  };
}

const numbers = (cost: number, ...pointers: number[]): Rule => byNumbers(cost, 0, pointers);

/** Passes, which may run at the same time as others where their rows are too few to divide. */
const PASSES: Readonly<Record<string, keyof typeof CELLS | undefined>> = {
  rnnForward: "rnn",
  lstmForward: "lstm",
  gruForward: "gru",
  rnnBackward: "rnn",
  lstmBackward: "lstm",
  gruBackward: "gru",
};

/** The work of a pass whose rows are too few to divide; 0 where they are not. */
function workAlone(division: Division, address: number, cell: keyof typeof CELLS): number {
  return readerOf(division, address, at)("n") > LEAST_ROWS ? 0 : workOf(division, address, cell).all;
}

/** A call that waits for others to run at the same time. */
interface Waiting {
  readonly call: Call;
  /** Of a call that cannot be divided; else 0. */
  readonly work: number;
  readonly counts: Counts | undefined;
  /** Runs it as if it had not waited. */
  readonly run: () => void;
}

/** Where calls wait that functions make which run together: passes, and what comes after them. */
export interface Waitings {
  calls?: Waiting[] | undefined;
}

/**
 * Runs functions that do not depend on one another: the first calls that they make at the same time, then the second ones, and so on.
 * They run one after the other where the first of them has too little work, or some that can be divided.
 *
 * @param waitings of `divide`
 */
export function together(team: Team | undefined, waitings: Waitings, runs: readonly (() => void)[]): void {
  if (!team || team.threads === 1 || runs.length < 2 || runs.length > MAX_THREADS || waitings.calls) {
    for (let k = 0; k < runs.length; k++) runs[k]!();
    return;
  }
  const lists: Waiting[][] = [];
  for (const run of runs) {
    const calls: Waiting[] = (waitings.calls = []);
    try {
      run();
    } finally {
      waitings.calls = undefined;
    }
    lists.push(calls);
    if (lists.length > 1 || (calls[0]?.work ?? 0) * runs.length >= least.work) continue;
    for (const call of calls) call.run();
    for (let k = 1; k < runs.length; k++) runs[k]!();
    return;
  }
  for (let turn = 0; ; turn++) {
    const calls = lists.flatMap((list) => list[turn] ?? []);
    if (calls.length === 0) return;
    if (calls.length > 1 && calls.every(({ work }) => work > 0)) {
      team.run(calls.map(({ call }) => call));
      for (const { counts } of calls) if (counts) counts.parallel++;
    } else {
      for (const { run } of calls) run();
    }
  }
}

/**
 * Puts a graph's steps in the order of their turns, which are returned: a recurrent one waits for others that do not depend on it, until
 * a step needs its results.
 */
export function takeTurns(steps: GraphStep[]): number[] {
  const rootOf = (value: GraphStep["inputs"][number]) => {
    while (value.base) value = value.base;
    return value;
  };
  const turns: number[] = [];
  const waiting: GraphStep[] = [];
  const results = new Set<unknown>();
  let done = 0;
  let turn = 0;
  const run = (...group: GraphStep[]) => {
    for (const step of group) {
      steps[done++] = step;
      turns.push(turn);
    }
    turn++;
  };
  for (const step of [...steps]) {
    if (step.inputs.some((input) => results.has(rootOf(input)))) {
      run(...waiting.splice(0));
      results.clear();
    }
    if (step.operation?.name === "recurrent") {
      waiting.push(step);
      for (const output of step.outputs) results.add(rootOf(output));
    } else {
      run(step);
    }
  }
  run(...waiting);
  return turns;
}

/** Lets the first of the functions of each turn run all of them `together`. The others throw what they threw there, or do nothing. */
export function shareTurns(
  runs: (() => void)[],
  turns: readonly number[],
  together: (runs: readonly (() => void)[]) => void,
): void {
  for (let first = 0, end = 0; first < runs.length; first = end) {
    while (turns[end] === turns[first]) end++;
    if (end - first < 2) continue;
    let failed = 0;
    let failure: unknown;
    const group = runs.slice(first, end).map((run, i) => () => {
      try {
        run();
      } catch (error) {
        failed = i;
        throw (failure = error);
      }
    });
    for (let i = 0; i < group.length; i++) {
      runs[first + i] = () => {
        if (i === failed && i > 0) throw failure;
      };
    }
    runs[first] = () => {
      failed = 0;
      try {
        together(group);
      } catch (error) {
        if (failed === 0) throw error;
      }
    };
  }
}

/** Runs passes to their ends: each until it is ready to compute, then `together` what is ready, and so on. */
export function passTogether<R>(passes: readonly PassRun<R>[], together: (runs: readonly (() => void)[]) => void): R[] {
  const results: R[] = [];
  try {
    for (;;) {
      const ready: (() => void)[] = [];
      passes.forEach((pass, i) => {
        const { done, value } = pass.next();
        if (!done) ready.push(value);
        else if (!(i in results)) results[i] = value; // one that has ended stays so
      });
      if (ready.length === 0) return results;
      together(ready);
    }
  } finally {
    for (const pass of passes) pass.return(undefined as R); // frees what it has, where another failed
  }
}

/** The rules, by kernel: made when they are asked for, so that an app without threads has none of them. */
export const rules = (): Readonly<Record<string, Rule>> => ({
  gemm: product,
  exp: numbers(COST.exponential, 1, 2),
  sigmoid: numbers(COST.exponential, 1, 2),
  activation: byNumbers(COST.exponential, 1, [2, 3]),
  add: numbers(COST.arithmetic, 1, 2, 3),
  mul: numbers(COST.arithmetic, 1, 2, 3),
  scale: numbers(COST.arithmetic, 1),
  clip: numbers(COST.arithmetic, 1),
  gatherRows,
  scatterRows,
  linearForward,
  linearBackward,
  softmax: byRows(
    ([, n]) => n! * COST.exponential,
    ([, n]) => ({ 2: n!, 3: n! }),
  ),
  logSoftmax: byRows(
    ([, n]) => n! * COST.exponential,
    ([, n]) => ({ 2: n!, 3: n! }),
  ),
  layerNormForward: byRows(
    ([, n]) => n! * 2 * COST.arithmetic,
    ([, , , strideX, , , , , strideY]) => ({ 2: strideX!, 7: strideY!, 9: 1, 10: 1 }),
  ),
  layerNormBackward,
  activationForward: byNumbers(COST.exponential, 1, [2, 3]),
  activationBackward: byNumbers(COST.exponential, 1, [2, 3, 4]),
  crossEntropy,
  elementwiseLoss,
  preluForward: byRows(
    ([, n]) => n! * COST.arithmetic,
    ([, n]) => ({ 2: n!, 5: n! }),
  ),
  conv1dForward,
  sgd: recordByNumbers(COST.update, fields.sgdStep, ["p", "g", "buffer"]),
  adam: recordByNumbers(COST.update, fields.adamStep, ["p", "g", "expAvg", "expAvgSq", "maxExpAvgSq"]),
  rmsprop: recordByNumbers(COST.update, fields.rmspropStep, [
    ...(["p", "g", "squareAvg", "gradAvg", "buffer"] as const),
  ]),
  adagrad: recordByNumbers(COST.update, fields.adagradStep, ["p", "g", "sum"]),
  unary: recordByNumbers(COST.exponential, fields.pointwise, ["x", "out"]),
  matmul,
  convForward,
  rnnForward: recurrentForward("rnn"),
  lstmForward: recurrentForward("lstm"),
  gruForward: recurrentForward("gru"),
  rnnBackward: recurrentBackward("rnn"),
  lstmBackward: recurrentBackward("lstm"),
  gruBackward: recurrentBackward("gru"),
});

/**
 * A module's kernels, divided among the threads of a team while there is one.
 *
 * @param module its number in the team
 * @param exports the names of what it exports, in order
 * @param prefix before the names by which rules find its kernels
 * @param handles kernels of the modules of the core, by their full names: those of this one are added
 * @param waitings where calls wait while there is a list
 */
export function divide<E>(
  kernels: KernelsByType<E>,
  module: number,
  exports: readonly string[],
  prefix: string,
  handles: Map<string, Kernel>,
  core: Core,
  teamOf: () => Team | undefined,
  waitings: Waitings,
): KernelsByType<E> {
  const all: Record<FloatDtype, Record<string, unknown>> = { f64: {}, f32: {} };
  const byName = rules();
  for (const dtype of ["f64", "f32"] as const) {
    const other = (name: string) => handles.get(`${name}_${dtype}`)!;
    for (const [name, run] of Object.entries(kernels[dtype]) as [string, Kernel["run"]][]) {
      const kernel: Kernel = { module, index: exports.indexOf(`${name}_${dtype}`), run };
      handles.set(`${prefix}${name}_${dtype}`, kernel);
      const rule = byName[name];
      const own = countsOf(name);
      if (!rule) {
        all[dtype][name] = own ? (...args: number[]) => (own.alone++, run(...args)) : run;
        continue;
      }
      const division: Division = {
        core,
        kernel,
        size: BYTES[dtype],
        other,
        get team() {
          return teamOf()!;
        },
      };
      const pass = PASSES[name];
      // Arguments are passed on as they come, and kept by nothing here: else an array would be allocated for each call.
      const later = (...args: number[]): void => {
        const work = pass ? workAlone(division, args[0]!, pass) : 0;
        waitings.calls!.push({ call: [kernel, ...args], work, counts: own, run: () => void divided(...args) });
      };
      const divided = (...args: number[]): unknown => {
        const team = teamOf();
        if (!team || team.threads === 1) return run(...args);
        if (waitings.calls && (pass || waitings.calls.length > 0)) return later(...args);
        const result = rule(division, ...args);
        if (own) own[result === false ? "below" : "parallel"]++;
        return result === false ? run(...args) : result;
      };
      all[dtype][name] = divided;
    }
  }
  return all as KernelsByType<E>;
}

function countsOf(name: string): Counts | undefined {
  const { counts } = observed;
  let own = counts?.get(name);
  if (!own) counts?.set(name, (own = { parallel: 0, below: 0, alone: 0 }));
  return counts && own;
}
