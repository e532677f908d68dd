// toTorch and fromTorch: each convention's own equations, computed here from its own arrays, against a layer with the
// converted weights; round trips; errors. Golden data of Keras and TensorFlow 1 (layers/golden.test.ts) goes
// through them as well.
import { describe, expect, test } from "vitest";
import * as coursera from "../../src/coursera.js";
import * as cs231n from "../../src/cs231n.js";
import {
  DtypeError,
  GRU,
  LSTM,
  RNN,
  ShapeError,
  UnsupportedError,
  ValueError,
  fromTorch,
  toTorch,
  type GateArrays,
  type GateConvention,
  type GateOptions,
  type Tensor,
} from "../../src/index.js";
import { permute } from "../../src/base/layout.js";
import { onnxRecurrent } from "../../src/onnx.js";
import "../helpers/bits.js";
import "../helpers/close.js";
import { testBoth } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { take, wave } from "../helpers/tensors.js";

type Cell = "RNN" | "LSTM" | "GRU";
type Arrays = Readonly<Record<string, Tensor>>;

const [D, H] = [3, 2];
const GATES = { RNN: 1, LSTM: 4, GRU: 3 };

/** Arrays of wave numbers, of the given shapes. */
function arraysOf(shapes: Readonly<Record<string, number[]>>, dtype: "f64" | "f32" = "f64"): Record<string, Tensor> {
  return Object.fromEntries(Object.entries(shapes).map(([name, shape], i) => [name, wave(shape, dtype, i)]));
}

/** The pre-activations of a gate, [H]: of x with b_ih, of h with b_hh. A convention with one bias has it in the first. */
type Gate = (a: Arrays, x: number[], h: number[]) => [input: number[], recurrent: number[]];

interface Convention {
  readonly source: GateConvention;
  readonly cell: Cell;
  readonly options?: GateOptions;
  readonly shapes: Readonly<Record<string, number[]>>;
  /** By PyTorch's letters. */
  readonly gates: Readonly<Record<string, Gate>>;
  readonly withoutBias?: true;
}

const rows = (n: number) => Array.from({ length: n }, (_, i) => i);
const at = ({ data, shape }: Tensor, i: number, j: number): number => data[i * shape[1]! + j]!;
const plus = (a: number[], b: number[]) => a.map((value, i) => value + b[i]!);
/** x W for the columns of a block of H. */
const timesColumns = (x: number[], w: Tensor, block: number, from = 0) =>
  rows(H).map((k) => x.reduce((sum, value, i) => sum + value * at(w, from + i, block * H + k), 0));
const slice = ({ data }: Tensor, block: number) => rows(H).map((k) => data[block * H + k]!);

/** Kernels [D,GH], [H,GH], one bias: Keras, CS231n. */
const columnGate =
  (wx: string, wh: string, b: string | undefined, block: number): Gate =>
  (a, x, h) => [
    b === undefined ? timesColumns(x, a[wx]!, block) : plus(timesColumns(x, a[wx]!, block), slice(a[b]!, block)),
    timesColumns(h, a[wh]!, block),
  ];
const keras = (block: number) => columnGate("kernel", "recurrent_kernel", "bias", block);
const kerasTwoBiases =
  (block: number): Gate =>
  (a, x, h) => [
    plus(timesColumns(x, a.kernel!, block), slice(a.bias!, block)),
    plus(timesColumns(h, a.recurrent_kernel!, block), slice(a.bias!, 3 + block)),
  ];
const kerasWithout = (block: number) => columnGate("kernel", "recurrent_kernel", undefined, block);

/** Row k of ONNX' W is unit k % H of gate floor(k / H). */
const onnx =
  (block: number, gates: number): Gate =>
  (a, x, h) => {
    const times = (w: Tensor, of: number[]) =>
      rows(H).map((k) => of.reduce((sum, value, i) => sum + value * w.data[(block * H + k) * of.length + i]!, 0));
    return [plus(times(a.W!, x), slice(a.B!, block)), plus(times(a.R!, h), slice(a.B!, gates + block))];
  };

/**
 * CuDNN's kernels as Keras converts them to its own (transform_kernels of keras/engine/saving.py): each gate's columns k
 * become k.T reshaped to the shape of k in Fortran's order; those of the recurrent kernel become k.T.
 */
function plainOfCudnn({ kernel, recurrent_kernel, bias }: Arrays, gates: number): Arrays {
  const convert = ({ data, shape }: Tensor, recurrent: boolean): Tensor => {
    const [height, columns] = shape as [number, number];
    const size = columns / gates;
    const out = data.slice();
    for (let gate = 0; gate < gates; gate++) {
      const place = (row: number, column: number) => row * columns + gate * size + column;
      for (let row = 0; row < height; row++) {
        for (let column = 0; column < size; column++) {
          if (recurrent) out[place(row, column)] = data[place(column, row)]!;
          else {
            // k.T, [size,height], read and written column by column: the n-th number of k row by row goes to the n-th place
            const n = column * height + row;
            out[place(row, column)] = data[place(Math.floor(n / size), n % size)]!;
          }
        }
      }
    }
    return { data: out, shape };
  };
  return { kernel: convert(kernel!, false), recurrent_kernel: convert(recurrent_kernel!, true), bias: bias! };
}
const cudnn =
  (block: number, gates: number): Gate =>
  (a, x, h) => {
    const plain = plainOfCudnn(a, gates);
    return [
      plus(timesColumns(x, plain.kernel!, block), slice(a.bias!, block)),
      plus(timesColumns(h, plain.recurrent_kernel!, block), slice(a.bias!, gates + block)),
    ];
  };

/** Rows of x, then of h; `added` is forget_bias. */
const tf1 =
  (block: number, added = 0): Gate =>
  ({ kernel, bias }, x, h) => [
    plus(timesColumns(x, kernel!, block), slice(bias!, block)).map((value) => value + added),
    timesColumns(h, kernel!, block, D),
  ];

/** Rows of W are gates; its columns are those of x, then of h. */
const nam =
  (block: number): Gate =>
  ({ W, b }, x, h) => {
    const columns = permute(W!, [1, 0]);
    return [plus(timesColumns(x, columns, block), slice(b!, block)), timesColumns(h, columns, block, D)];
  };

/** W [a; x] + b; `sign` is -1 for z, which is 1 - u. */
const course =
  (letter: string, sign = 1): Gate =>
  (a, x, h) => {
    const [w, b] = [a[`W${letter}`]!, a[`b${letter}`]!];
    return [
      rows(H).map((k) => sign * x.reduce((sum, value, i) => sum + value * at(w, k, H + i), b.data[k]!)),
      rows(H).map((k) => sign * h.reduce((sum, value, i) => sum + value * at(w, k, i), 0)),
    ];
  };
const courseRnn: Gate = ({ Wax, Waa, ba }, x, h) => [
  rows(H).map((k) => x.reduce((sum, value, i) => sum + value * at(Wax!, k, i), ba!.data[k]!)),
  rows(H).map((k) => h.reduce((sum, value, i) => sum + value * at(Waa!, k, i), 0)),
];

const before = { resetAfter: false };
const kernels = (gates: number) => ({ kernel: [D, gates * H], recurrent_kernel: [H, gates * H] });
const onnxShapes = (gates: number) => ({ W: [1, gates * H, D], R: [1, gates * H, H], B: [1, 2 * gates * H] });
const courseShapes = (letters: string) =>
  Object.fromEntries([...letters].flatMap((c) => [[`W${c}`, [H, H + D]], [`b${c}`, [H, 1]]])) as Record<string, number[]>; // prettier-ignore

const CONVENTIONS: readonly Convention[] = [
  { source: "onnx", cell: "RNN", shapes: onnxShapes(1), gates: { h: onnx(0, 1) } },
  {
    source: "onnx",
    cell: "LSTM",
    shapes: onnxShapes(4),
    gates: { i: onnx(0, 4), o: onnx(1, 4), f: onnx(2, 4), g: onnx(3, 4) },
  },
  ...[{}, before].map((options): Convention => {
    return { source: "onnx", cell: "GRU", options, shapes: onnxShapes(3), gates: { z: onnx(0, 3), r: onnx(1, 3), n: onnx(2, 3) } }; // prettier-ignore
  }),
  { source: "keras", cell: "RNN", shapes: { ...kernels(1), bias: [H] }, gates: { h: keras(0) } },
  {
    source: "keras",
    cell: "LSTM",
    shapes: { ...kernels(4), bias: [4 * H] },
    gates: { i: keras(0), f: keras(1), g: keras(2), o: keras(3) },
  },
  {
    source: "keras",
    cell: "GRU",
    shapes: { ...kernels(3), bias: [2, 3 * H] },
    gates: { z: kerasTwoBiases(0), r: kerasTwoBiases(1), n: kerasTwoBiases(2) },
  },
  {
    source: "keras",
    cell: "GRU",
    options: before,
    shapes: { ...kernels(3), bias: [3 * H] },
    gates: { z: keras(0), r: keras(1), n: keras(2) },
  },
  { source: "keras", cell: "RNN", shapes: kernels(1), withoutBias: true, gates: { h: kerasWithout(0) } },
  {
    source: "keras",
    cell: "LSTM",
    shapes: kernels(4),
    withoutBias: true,
    gates: { i: kerasWithout(0), f: kerasWithout(1), g: kerasWithout(2), o: kerasWithout(3) },
  },
  ...[{}, before].map((options): Convention => {
    const gates = { z: kerasWithout(0), r: kerasWithout(1), n: kerasWithout(2) };
    return { source: "keras", cell: "GRU", options, shapes: kernels(3), withoutBias: true, gates };
  }),
  {
    source: "cudnn",
    cell: "LSTM",
    shapes: { ...kernels(4), bias: [8 * H] },
    gates: { i: cudnn(0, 4), f: cudnn(1, 4), g: cudnn(2, 4), o: cudnn(3, 4) },
  },
  {
    source: "cudnn",
    cell: "GRU",
    shapes: { ...kernels(3), bias: [6 * H] },
    gates: { z: cudnn(0, 3), r: cudnn(1, 3), n: cudnn(2, 3) },
  },
  { source: "tf1", cell: "RNN", shapes: { kernel: [D + H, H], bias: [H] }, gates: { h: tf1(0) } },
  ...[{}, { forgetBias: 0.25 }].map(({ forgetBias = 1 }): Convention => {
    return {
      source: "tf1",
      cell: "LSTM",
      options: forgetBias === 1 ? {} : { forgetBias },
      shapes: { kernel: [D + H, 4 * H], bias: [4 * H] },
      gates: { i: tf1(0), g: tf1(1), f: tf1(2, forgetBias), o: tf1(3) },
    };
  }),
  {
    source: "nam",
    cell: "LSTM",
    shapes: { W: [4 * H, D + H], b: [4 * H] },
    gates: { i: nam(0), f: nam(1), g: nam(2), o: nam(3) },
  },
  { source: "cs231n", cell: "RNN", shapes: { Wx: [D, H], Wh: [H, H], b: [H] }, gates: { h: columnGate("Wx", "Wh", "b", 0) } }, // prettier-ignore
  {
    source: "cs231n",
    cell: "LSTM",
    shapes: { Wx: [D, 4 * H], Wh: [H, 4 * H], b: [4 * H] },
    gates: Object.fromEntries([..."ifog"].map((gate, block) => [gate, columnGate("Wx", "Wh", "b", block)])),
  },
  { source: "coursera", cell: "RNN", shapes: { Wax: [H, D], Waa: [H, H], ba: [H, 1] }, gates: { h: courseRnn } },
  {
    source: "coursera",
    cell: "LSTM",
    shapes: courseShapes("fico"),
    gates: { f: course("f"), i: course("i"), g: course("c"), o: course("o") },
  },
  {
    source: "coursera",
    cell: "GRU",
    options: before,
    shapes: courseShapes("urc"),
    gates: { z: course("u", -1), r: course("r"), n: course("c") },
  },
];

const title = ({ source, cell, options, withoutBias }: Convention) =>
  `${source} ${cell} ${JSON.stringify(options ?? {})}${withoutBias ? " without biases" : ""}`;
const named = CONVENTIONS.map((each) => [title(each), each] as const);

const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));

/** One step's h (and c), by the textbook, from a convention's own arrays. */
function step({ cell, gates, options }: Convention, a: Arrays, x: number[], h: number[], c: number[]) {
  const value = (gate: string) => {
    const [input, recurrent] = gates[gate]!(a, x, h);
    return plus(input, recurrent);
  };
  if (cell === "RNN") return { h: value("h").map(Math.tanh), c };
  if (cell === "LSTM") {
    const [i, f, o] = ["i", "f", "o"].map((gate) => value(gate).map(sigmoid)) as [number[], number[], number[]];
    const g = value("g").map(Math.tanh);
    const next = rows(H).map((k) => f[k]! * c[k]! + i[k]! * g[k]!);
    return { h: next.map((each, k) => o[k]! * Math.tanh(each)), c: next };
  }
  const [r, z] = ["r", "z"].map((gate) => value(gate).map(sigmoid)) as [number[], number[]];
  const after = options?.resetAfter ?? true;
  const [input, recurrent] = gates.n!(a, x, after ? h : h.map((each, k) => r[k]! * each));
  const n = rows(H).map((k) => Math.tanh(input[k]! + (after ? r[k]! : 1) * recurrent[k]!));
  return { h: n.map((each, k) => (1 - z[k]!) * each + z[k]! * h[k]!), c };
}

const LAYERS = { RNN, LSTM, GRU };

describe.each(named)("%s", (_, convention) => {
  const { source, cell, options, shapes } = convention;
  const arrays = arraysOf(shapes);
  const convert = (a: object, more: GateOptions = {}) =>
    toTorch(source, cell, a as GateArrays[typeof source], { ...options, ...more });

  test("a layer with the converted weights agrees with the convention's equations", () => {
    const bias = !convention.withoutBias;
    using layer = new LAYERS[cell](D, H, { bias, ...(cell === "GRU" && { resetAfter: true, ...options }) });
    layer.loadStateDict(convert(arrays));
    const x = wave([4, D], "f64", 9);
    const initial = wave([2, H], "f64", 10).data as Float64Array;
    let [h, c] = [[...initial.subarray(0, H)], [...initial.subarray(H)]];
    const state = (data: number[]) => ({ data: Float64Array.from(data), shape: [1, H] });
    const { output } = layer.forward(x, { h0: state(h), ...(cell === "LSTM" && { c0: state(c) }) });
    const expected = rows(4).flatMap((t) => {
      ({ h, c } = step(convention, arrays, [...(x.data as Float64Array).subarray(t * D, (t + 1) * D)], h, c));
      return h;
    });
    expect(output).toBeAllClose({ data: expected, shape: [4, H] }, { atol: 1e-14 });
  });

  testBoth("%s: to PyTorch's entries and back, the same bits", (dtype) => {
    const own = arraysOf(shapes, dtype);
    const back = fromTorch(source, cell, convert(own), options) as unknown as Arrays;
    expect(Object.keys(back).sort()).toEqual(Object.keys(own).sort());
    for (const [name, value] of Object.entries(own)) expect(back[name], name).toHaveBits(value);
    using layer = new LAYERS[cell](D, H, { dtype, bias: !convention.withoutBias });
    layer.loadStateDict(convert(own));
    expect(layer.stateDict()).toEqual(convert(own));
  });

  test("from PyTorch's entries and back: the same weights, and the same sum of biases", () => {
    const g = GATES[cell] * H;
    const dict = arraysOf({
      weight_ih_l0: [g, D],
      weight_hh_l0: [g, H],
      ...(!convention.withoutBias && { bias_ih_l0: [g], bias_hh_l0: [g] }),
    });
    const back = convert(fromTorch(source, cell, dict, options));
    expect(Object.keys(back)).toEqual(Object.keys(dict));
    expect(back.weight_ih_l0).toHaveBits(dict.weight_ih_l0!);
    expect(back.weight_hh_l0).toHaveBits(dict.weight_hh_l0!);
    if (convention.withoutBias) return;
    if (cell === "GRU" && (options?.resetAfter ?? true)) {
      // r scales b_hn alone: neither bias may move
      expect(back.bias_ih_l0).toHaveBits(dict.bias_ih_l0!);
      expect(back.bias_hh_l0).toHaveBits(dict.bias_hh_l0!);
    }
    const sum = (of: Arrays) => plus([...(of.bias_ih_l0!.data as Float64Array)], [...of.bias_hh_l0!.data]);
    expect({ data: sum(back), shape: [g] }).toBeAllClose({ data: sum(dict), shape: [g] }, { atol: 1e-15 });
  });

  test("results are copies, and inputs stay as they are", () => {
    const copy = (all: Arrays) =>
      Object.fromEntries(Object.entries(all).map(([name, { data, shape }]) => [name, { data: data.slice(), shape }]));
    const same = (all: Arrays, before: Arrays) => {
      for (const [name, value] of Object.entries(all)) expect(value, name).toHaveBits(before[name]!);
    };
    const own = arraysOf(shapes);
    const ownBefore = copy(own);
    const dict = convert(own);
    same(own, ownBefore);
    const dictBefore = copy(dict);
    const back = fromTorch(source, cell, dict, options) as unknown as Arrays;
    same(dict, dictBefore);
    for (const { data } of [...Object.values(own), ...Object.values(back)]) data.fill(7);
    same(dict, dictBefore);
  });

  test("names of another layer and direction", () => {
    const plain = convert(arrays);
    const other = convert(arrays, { layer: 2, reverse: true });
    expect(Object.keys(other)).toEqual(Object.keys(plain).map((name) => name.replace("_l0", "_l2_reverse")));
    const doubled: Record<string, Tensor> = {};
    const moved: Record<string, Tensor> = {};
    for (const [name, { data, shape }] of Object.entries(plain)) {
      doubled[name] = { data: data.map((value) => 2 * value), shape };
      moved[name.replace("_l0", "_l2_reverse")] = doubled[name];
    }
    const back = fromTorch(source, cell, { ...plain, ...moved }, { ...options, layer: 2, reverse: true });
    expect(back).toEqual(fromTorch(source, cell, doubled, options));
    expect(back).not.toEqual(fromTorch(source, cell, plain, options));
    expect(fromTorch(source, cell, { ...plain, ...moved }, options)).toEqual(fromTorch(source, cell, plain, options));
  });

  test("each array with a wrong shape, of another type, or missing, is refused by name", () => {
    for (const [name, value] of Object.entries(arrays)) {
      const change = (other: unknown) => () => convert({ ...arrays, [name]: other });
      const { data, shape } = value;
      refuses(change({ data, shape: [...shape, 1] }), ShapeError, name);
      refuses(change({ data: Int32Array.from(data), shape }), DtypeError, name);
      const wider = shape.map((n, i) => (i === shape.length - 1 ? n + 5 : n));
      if (name !== "W" && name !== "Wax") refuses(change(wave(wider, "f64")), ShapeError); // theirs is D, which may be any
      if (name !== "bias" && name !== "B") refuses(change(undefined), DtypeError, name);
    }
    refuses(() => convert({ ...arrays, weights: arrays.kernel }), UnsupportedError, "weights");
    refuses(() => convert(null as never), ValueError);
  });
});

test("the weights of another cell are refused", () => {
  const lstm = arraysOf({ ...kernels(4), bias: [4 * H] });
  const gru = arraysOf({ ...kernels(3), bias: [3 * H] });
  refuses(() => toTorch("keras", "GRU", lstm as never), ShapeError);
  refuses(() => toTorch("keras", "GRU", lstm as never, before), ShapeError);
  refuses(() => toTorch("keras", "LSTM", gru as never), ShapeError);
});

test("no form is left out: each cell of each convention, and both of the GRU's", () => {
  const forms = CONVENTIONS.map(({ source, cell, options }) => `${source} ${cell} ${options?.resetAfter ?? ""}`);
  for (const source of ["onnx", "keras", "cudnn", "tf1", "cs231n", "coursera", "nam"] as const) {
    for (const [cell, resetAfter] of [["RNN"], ["LSTM"], ["GRU", true], ["GRU", false]] as [Cell, boolean?][]) {
      const options = resetAfter === false ? before : {};
      const g = GATES[cell] * H;
      const dict = arraysOf({ weight_ih_l0: [g, D], weight_hh_l0: [g, H], bias_ih_l0: [g], bias_hh_l0: [g] });
      if (forms.includes(`${source} ${cell} ${resetAfter === false ? "false" : ""}`)) {
        expect(() => fromTorch(source, cell, dict, options)).not.toThrow();
      } else {
        refuses(() => fromTorch(source, cell, dict, options), UnsupportedError);
      }
    }
  }
});

describe("numbers of the package's other doors", () => {
  test.each(["forward", "reverse", "bidirectional"] as const)("onnxRecurrent, %s, and layers", (direction) => {
    const s = direction === "bidirectional" ? 2 : 1;
    for (const cell of ["RNN", "LSTM", "GRU"] as const) {
      const g = GATES[cell] * H;
      const { W, R, B, X } = arraysOf({ W: [s, g, D], R: [s, g, H], B: [s, 2 * g], X: [4, 2, D] }) as Record<"W" | "R" | "B" | "X", Tensor>; // prettier-ignore
      const resetAfter = cell === "GRU" && { resetAfter: false };
      const { Y_h } = onnxRecurrent(cell, { direction, hidden_size: H }, { X, W, R, B });
      const options = { bidirectional: s === 2, goBackwards: direction === "reverse", ...resetAfter };
      using layer = new LAYERS[cell](D, H, options);
      const dict = toTorch("onnx", cell, { W, R, B }, { ...resetAfter });
      layer.loadStateDict(dict);
      expect(layer.forward(X).hn).toHaveBits(Y_h);
      expect(fromTorch("onnx", cell, layer.stateDict(), { ...resetAfter })).toEqual({ W, R, B });
      if (s === 1) continue;
      const back = fromTorch("onnx", cell, dict, { ...resetAfter, reverse: true });
      expect(back.W).toEqual(take(W, 0, [1]));
      refuses(() => toTorch("onnx", cell, { W, R, B }, { reverse: true }), ValueError, "reverse", "both directions");
    }
  });

  test("the courses' LSTMs and layers", () => {
    const assignment = arraysOf({ Wx: [D, 4 * H], Wh: [H, 4 * H], b: [4 * H] }) as Record<"Wx" | "Wh" | "b", Tensor>;
    using a = new LSTM(D, H, { batchFirst: true });
    a.loadStateDict(toTorch("cs231n", "LSTM", assignment));
    const x = wave([2, 4, D], "f64", 5);
    const h0 = wave([2, H], "f64", 6);
    const { h } = cs231n.lstmForward(x, h0, assignment.Wx, assignment.Wh, assignment.b);
    const zeros = { data: new Float64Array(2 * H), shape: [1, 2, H] };
    expect(a.forward(x, { h0: { data: h0.data, shape: [1, 2, H] }, c0: zeros }).output).toHaveBits(h);

    const notebook = arraysOf(courseShapes("fico"));
    using b = new LSTM(D, H);
    b.loadStateDict(toTorch("coursera", "LSTM", notebook));
    const xt = wave([D, 1], "f64", 5);
    const zero = { data: new Float64Array(H), shape: [H, 1] };
    const { aNext } = coursera.lstmCellForward(xt, zero, zero, notebook as unknown as coursera.LstmParameters);
    expect([...b.forward({ data: xt.data, shape: [1, D] }).output.data]).toEqual([...aNext.data]);
  });
});

describe("CuDNN's arrays", () => {
  // numbers that Keras converts CuDNN's to: see plainOfCudnn
  test("LSTM: the plain layer's weights, and both biases", () => {
    const own = arraysOf({ ...kernels(4), bias: [8 * H] }, "f32") as Record<"kernel" | "recurrent_kernel" | "bias", Tensor>; // prettier-ignore
    const { kernel, recurrent_kernel } = plainOfCudnn(own, 4) as typeof own;
    const part = (from: number) => ({ data: own.bias.data.slice(from, from + 4 * H), shape: [4 * H] });
    expect(toTorch("cudnn", "LSTM", own)).toEqual({
      ...toTorch("keras", "LSTM", { kernel, recurrent_kernel }),
      bias_ih_l0: part(0),
      bias_hh_l0: part(4 * H),
    });
  });

  test("GRU: the plain layer's weights and biases", () => {
    const own = arraysOf({ ...kernels(3), bias: [6 * H] }, "f32") as Record<"kernel" | "recurrent_kernel" | "bias", Tensor>; // prettier-ignore
    const { kernel, recurrent_kernel } = plainOfCudnn(own, 3) as typeof own;
    const bias = { data: own.bias.data, shape: [2, 3 * H] };
    const reverse = { reverse: true };
    const both = toTorch("cudnn", "GRU", own, reverse);
    expect(both).toEqual(toTorch("keras", "GRU", { kernel, recurrent_kernel, bias }, reverse));
    expect(Object.keys(both)).toHaveLength(4);
  });

  test("a bias of another convention is refused", () => {
    const refused = (source: "keras" | "cudnn", cell: Cell, bias: number[], options: GateOptions = {}) => {
      const { kernel, recurrent_kernel } = arraysOf(kernels(GATES[cell])) as Record<"kernel" | "recurrent_kernel", Tensor>; // prettier-ignore
      const arrays = { kernel, recurrent_kernel, bias: wave(bias, "f64") };
      refuses(() => toTorch(source, cell, arrays, options), ShapeError, "bias");
    };
    for (const bias of [[2 * H], [2, H], [H - 1], [1]]) refused("keras", "RNN", bias);
    for (const bias of [[2, 4 * H], [12 * H], [3 * H], [1, 4 * H], [8 * H]]) refused("keras", "LSTM", bias);
    for (const bias of [[3, 3 * H], [4 * H], [9 * H], [1, 6 * H], [6 * H], [3 * H]]) refused("keras", "GRU", bias);
    for (const bias of [[2, 3 * H], [4 * H], [6 * H]]) refused("keras", "GRU", bias, before);
    refused("cudnn", "LSTM", [4 * H]);
    refused("cudnn", "GRU", [2, 3 * H]);
  });
});

describe("errors", () => {
  const g = 4 * H;
  const dict = arraysOf({ weight_ih_l0: [g, D], weight_hh_l0: [g, H], bias_ih_l0: [g], bias_hh_l0: [g] });
  const gru = arraysOf({ weight_ih_l0: [3 * H, D], weight_hh_l0: [3 * H, H] });

  test("unknown conventions, cells and options", () => {
    for (const source of ["torch", "pytorch", "constructor", "__proto__", "", undefined, null, 1, {}]) {
      refuses(() => toTorch(source as "keras", "LSTM", dict as never), UnsupportedError, "source", "onnx, keras");
      refuses(() => fromTorch(source as "keras", "LSTM", dict), UnsupportedError, "target");
    }
    for (const cell of ["Lstm", "constructor", undefined, {}]) {
      refuses(() => fromTorch("keras", cell as "LSTM", dict), UnsupportedError, "cell");
    }
    refuses(() => fromTorch("tf1", "GRU", gru), UnsupportedError, "cell", "RNN, LSTM: cells of tf1");
    refuses(
      () => fromTorch("cudnn", "GRU", gru, before),
      UnsupportedError,
      "resetAfter",
      "true: cudnn has no other GRU",
    );
    refuses(
      () => fromTorch("coursera", "GRU", gru),
      UnsupportedError,
      "resetAfter",
      "false: coursera has no other GRU",
    );
    for (const options of [{ resetAfter: true }, { forgetBias: 1 }, { suffix: "l0" }]) {
      refuses(() => fromTorch("keras", "LSTM", dict, options), UnsupportedError, Object.keys(options)[0]!);
    }
    for (const layer of [-1, 0.5, "0", NaN]) {
      refuses(() => fromTorch("keras", "LSTM", dict, { layer: layer as number }), ValueError, "layer");
    }
    for (const forgetBias of [NaN, Infinity, "1"]) {
      refuses(() => fromTorch("tf1", "LSTM", dict, { forgetBias: forgetBias as number }), ValueError, "forgetBias");
    }
    refuses(() => fromTorch("keras", "LSTM", dict, { reverse: 1 as never }), ValueError, "reverse");
  });

  test("entries that the target has no place for; one bias without the other", () => {
    const projected = { ...dict, weight_hr_l0: wave([1, H], "f64") };
    refuses(() => fromTorch("keras", "LSTM", projected), UnsupportedError, "weight_hr_l0");
    const { bias_hh_l0: _, ...one } = dict;
    refuses(() => fromTorch("keras", "LSTM", one), DtypeError, "bias_hh_l0");
    refuses(() => fromTorch("keras", "LSTM", dict, { layer: 1 }), DtypeError, "weight_ih_l1");
    refuses(() => fromTorch("keras", "LSTM", null as never), DtypeError, "dict");
    const W = wave([3, g, D], "f64");
    refuses(() => toTorch("onnx", "LSTM", { W, R: wave([3, g, H], "f64") }), ShapeError, "W");
    const peepholes = { W: wave([1, g, D], "f64"), R: wave([1, g, H], "f64"), P: wave([1, 3 * H], "f64") };
    refuses(() => toTorch("onnx", "LSTM", peepholes), UnsupportedError, "P");
  });

  test("no input, no unit, or a width that is no multiple of the gates", () => {
    refuses(() => toTorch("tf1", "LSTM", arraysOf({ kernel: [5, 6], bias: [6] }) as never), ShapeError, "kernel");
    refuses(() => toTorch("tf1", "LSTM", arraysOf({ kernel: [2, 8], bias: [8] }) as never), ShapeError, "kernel");
    refuses(() => toTorch("keras", "RNN", arraysOf({ kernel: [3, 0], recurrent_kernel: [0, 0] }) as never), ShapeError);
  });

  test("a layer without biases: zeros where the target must have one", () => {
    const { weight_ih_l0, weight_hh_l0 } = dict;
    const weights = { weight_ih_l0, weight_hh_l0 } as Arrays;
    expect([...fromTorch("cs231n", "LSTM", weights).b.data]).toEqual(Array(g).fill(0));
    expect(fromTorch("cudnn", "LSTM", weights).bias.shape).toEqual([2 * g]);
    expect([...fromTorch("tf1", "LSTM", weights).bias.data]).toEqual([0, 0, 0, 0, -1, -1, 0, 0]); // i j f o
    expect(fromTorch("keras", "LSTM", weights).bias).toBeUndefined();
    expect(fromTorch("onnx", "LSTM", weights).B).toBeUndefined();
  });

  test("each property is read once", () => {
    const counts: Record<string, number> = {};
    const counted = <T extends object>(name: string, target: T): T =>
      new Proxy(target, {
        get(object, key) {
          if (typeof key === "string") counts[`${name}.${key}`] = (counts[`${name}.${key}`] ?? 0) + 1;
          return Reflect.get(object, key) as unknown;
        },
      });
    const entries = Object.entries(dict).map(([name, value]) => [name, counted(name, { ...value })] as const);
    fromTorch("keras", "LSTM", counted("dict", Object.fromEntries(entries)), counted("options", { layer: 0 }));
    expect(Object.values(counts).every((count) => count === 1)).toBe(true);
    expect(Object.keys(counts)).toHaveLength(4 * 3 + 1);
  });
});
