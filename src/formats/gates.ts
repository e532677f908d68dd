// Gate orders, layouts of matrices and bias rules of other libraries, and conversion to and from PyTorch's, which are ours.
// No other file permutes gates.
//
// G: gates of a cell; D, H: sizes of an input and of the state. Gates have PyTorch's letters everywhere: LSTM i f g o, GRU
// r z n; the RNN has one block, h.

import { DtypeError, ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import type { CellKind } from "../../bindings/recurrent.js";
import {
  checkKind,
  describe,
  dtypeOf,
  readTensor,
  showShape,
  sizeOf,
  zeros,
  type Tensor,
} from "../../bindings/tensor.js";
import { checkCount, checkDict, checkFlag, checkOptions } from "../base/check.js";
import { permute, reshape, select, slice } from "../base/layout.js";

// --- the table ---------------------------------------------------------------------------------------------------------

/**
 * Whose layout: ONNX' operators; layers of Keras and TensorFlow.js; CuDNNLSTM and CuDNNGRU of Keras 2; BasicRNNCell and
 * BasicLSTMCell of TensorFlow 1; the assignments of CS231n; Coursera's course; Neural Amp Modeler.
 */
export type GateConvention = "onnx" | "keras" | "cudnn" | "tf1" | "cs231n" | "coursera" | "nam";

/** `resetBefore` is the GRU with `resetAfter: false`, whose biases may follow another rule. */
type Form = CellKind | "resetBefore";

/** The gates in the order of their blocks, and the biases of each gate: 2 (b_ih, b_hh), or 1 (their sum). */
type Layout = readonly [gates: string, biases: 1 | 2];

/**
 * A GRU with `resetAfter` has two biases everywhere: in n = tanh(W_in x + b_in + r (W_hn h + b_hn)) the reset gate scales
 * b_hn alone. The two biases of all other gates may be added up.
 *
 * In all but the course z keeps the old state: h_t = (1 - z) n + z h_(t-1). The course's update gate u is 1 - z, which is
 * the sigmoid of the negated sum: its weights and bias change sign.
 */
// prettier-ignore
const LAYOUTS: Readonly<Record<GateConvention | "torch", Readonly<Partial<Record<Form, Layout>>>>> = {
  torch:    { RNN: ["h", 2], LSTM: ["ifgo", 2], GRU: ["rzn", 2], resetBefore: ["rzn", 2] },
  onnx:     { RNN: ["h", 2], LSTM: ["iofg", 2], GRU: ["zrn", 2], resetBefore: ["zrn", 2] },
  keras:    { RNN: ["h", 1], LSTM: ["ifgo", 1], GRU: ["zrn", 2], resetBefore: ["zrn", 1] },
  cudnn:    {                LSTM: ["ifgo", 2], GRU: ["zrn", 2] },
  tf1:      { RNN: ["h", 1], LSTM: ["igfo", 1] },
  cs231n:   { RNN: ["h", 1], LSTM: ["ifog", 1] },
  coursera: { RNN: ["h", 1], LSTM: ["ifgo", 1],                  resetBefore: ["rzn", 1] },
  nam:      {                LSTM: ["ifgo", 1] },
};

/** The gates that have peepholes (W_ci ...), in their order. */
const PEEPHOLES = { torch: "ifo", onnx: "iof" };

/** The course's letters, in Wf, bf, ...; u is 1 - z. */
const COURSE_LETTERS: Readonly<Record<string, string>> = { i: "i", f: "f", g: "c", o: "o", r: "r", z: "u", n: "c" };

/** Arrays and their axes; those with "?" may be missing. S: directions. */
type Axes = Readonly<Record<string, readonly ("D" | "H" | "GH" | "2GH" | "D+H" | "H+D" | "S" | "1" | "2")[]>>;

const ARRAYS: Readonly<Record<GateConvention, (form: Form, layout: Layout) => Axes>> = {
  onnx: () => ({ W: ["S", "GH", "D"], R: ["S", "GH", "H"], "B?": ["S", "2GH"] }),
  keras: (_, [, biases]) => ({
    kernel: ["D", "GH"],
    recurrent_kernel: ["H", "GH"],
    "bias?": biases === 2 ? ["2", "GH"] : ["GH"],
  }),
  cudnn: () => ({ kernel: ["D", "GH"], recurrent_kernel: ["H", "GH"], bias: ["2GH"] }),
  tf1: () => ({ kernel: ["D+H", "GH"], bias: ["GH"] }),
  cs231n: () => ({ Wx: ["D", "GH"], Wh: ["H", "GH"], b: ["GH"] }),
  coursera: (form, [gates]) => {
    if (form === "RNN") return { Wax: ["H", "D"], Waa: ["H", "H"], ba: ["H", "1"] };
    const letters = [...gates].map((gate) => COURSE_LETTERS[gate]!);
    return Object.fromEntries(letters.flatMap((c) => [[`W${c}`, ["H", "H+D"]], [`b${c}`, ["H", "1"]]])) as Axes; // prettier-ignore
  },
  nam: () => ({ W: ["GH", "D+H"], b: ["GH"] }),
};

// --- conversion of arrays that fit -------------------------------------------------------------------------------------

/** One direction's weights with the gates as rows: [GH,D], [GH,H], [GH], [GH]. */
export interface GateRows {
  weightIh: Tensor;
  weightHh: Tensor;
  /** b_ih, or the sum of both biases where `biasHh` is missing. */
  biasIh?: Tensor | undefined;
  biasHh?: Tensor | undefined;
}

type Arrays = Readonly<Record<string, Tensor | undefined>>;

/** A copy of [blocks*rows, ...] with its blocks in another order; each letter names one. */
function reorder({ data, shape }: Tensor, from: string, to: string): Tensor {
  const size = data.length / from.length;
  const out = data.slice();
  [...to].forEach((gate, i) => {
    const start = from.indexOf(gate) * size;
    out.set(data.subarray(start, start + size), i * size);
  });
  return { data: out, shape };
}

/** Where ONNX' operators have the gates and the peepholes that are ours, in our order: numbers of their blocks. */
export function onnxBlocks(kind: CellKind): { gates: readonly number[]; peepholes: readonly number[] } {
  const places = (from: string, to: string) => [...to].map((gate) => from.indexOf(gate));
  return {
    gates: places(LAYOUTS.onnx[kind]![0], LAYOUTS.torch[kind]![0]),
    peepholes: places(PEEPHOLES.onnx, PEEPHOLES.torch),
  };
}

/** Where Keras' layers have the gates of ONNX' operators, in the operators' order: numbers of blocks. */
export function kerasBlocks(kind: CellKind): readonly number[] {
  return [...LAYOUTS.onnx[kind]![0]].map((gate) => LAYOUTS.keras[kind]![0].indexOf(gate));
}

const transpose = (x: Tensor): Tensor => permute(x, [1, 0]);
const negate = ({ data, shape }: Tensor): Tensor => ({ data: data.map((value) => -value), shape });
const columns = (x: Tensor, start: number, length: number): Tensor => permute(x, [0, 1], { start, length });
const halves = ({ data }: Tensor): Tensor[] => {
  const half = data.length / 2;
  return [0, half].map((start) => ({ data: data.subarray(start, start + half), shape: [half] }));
};

/** Tensors below each other: along the first axis. */
function stack(parts: readonly Tensor[]): Tensor {
  const shape = [parts.reduce((sum, part) => sum + part.shape[0]!, 0), ...parts[0]!.shape.slice(1)];
  const data = zeros(dtypeOf(parts[0]!.data), sizeOf(shape));
  let next = 0;
  for (const part of parts) {
    data.set(part.data, next);
    next += part.data.length;
  }
  return { data, shape };
}

/** Matrices beside each other: along the second axis. */
const beside = (a: Tensor, b: Tensor): Tensor => transpose(stack([transpose(a), transpose(b)]));

/** In one source's order of gates: its arrays (of one direction) as rows, and rows as its arrays. */
interface Converter {
  toRows(arrays: Arrays, layout: Layout): GateRows;
  fromRows(rows: GateRows, layout: Layout): Record<string, Tensor | undefined>;
}

const CONVERTERS: Readonly<Record<GateConvention, Converter>> = {
  onnx: {
    toRows({ W, R, B }) {
      const [biasIh, biasHh] = B ? halves(B) : [];
      return { weightIh: W!, weightHh: R!, biasIh, biasHh };
    },
    fromRows: ({ weightIh: W, weightHh: R, biasIh, biasHh }) => ({ W, R, B: biasIh && stack([biasIh, biasHh!]) }),
  },
  keras: {
    toRows({ kernel, recurrent_kernel, bias }, [, biases]) {
      const [biasIh, biasHh] = bias && biases === 2 ? halves(bias) : [bias];
      return { weightIh: transpose(kernel!), weightHh: transpose(recurrent_kernel!), biasIh, biasHh };
    },
    fromRows({ weightIh, weightHh, biasIh, biasHh }) {
      const bias = biasIh && biasHh ? reshape(stack([biasIh, biasHh]), [2, ...biasIh.shape]) : biasIh;
      return { kernel: transpose(weightIh), recurrent_kernel: transpose(weightHh), bias };
    },
  },
  // A gate's columns of the kernel, [D,H], hold the numbers of cuDNN's matrix [H,D] row by row: they are not transposed.
  cudnn: {
    toRows({ kernel, recurrent_kernel, bias }, [gates]) {
      const [biasIh, biasHh] = halves(bias!);
      const rows = (x: Tensor) => {
        const [d, gh] = x.shape as [number, number];
        return reshape(permute(reshape(x, [d, gates.length, gh / gates.length]), [1, 0, 2]), [gh, d]);
      };
      return { weightIh: rows(kernel!), weightHh: rows(recurrent_kernel!), biasIh, biasHh };
    },
    fromRows({ weightIh, weightHh, biasIh, biasHh }, [gates]) {
      const kernel = (x: Tensor) => {
        const [gh, d] = x.shape as [number, number];
        return reshape(permute(reshape(x, [gates.length, d, gh / gates.length]), [1, 0, 2]), [d, gh]);
      };
      return { kernel: kernel(weightIh), recurrent_kernel: kernel(weightHh), bias: stack([biasIh!, biasHh!]) };
    },
  },
  tf1: {
    toRows({ kernel, bias }, [gates]) {
      const h = kernel!.shape[1]! / gates.length;
      const d = kernel!.shape[0]! - h;
      return { weightIh: transpose(slice(kernel!, 0, d)), weightHh: transpose(slice(kernel!, d, h)), biasIh: bias };
    },
    fromRows: ({ weightIh, weightHh, biasIh }) => ({
      kernel: stack([transpose(weightIh), transpose(weightHh)]),
      bias: biasIh,
    }),
  },
  cs231n: {
    toRows: ({ Wx, Wh, b }) => ({ weightIh: transpose(Wx!), weightHh: transpose(Wh!), biasIh: b }),
    fromRows: (r) => ({ Wx: transpose(r.weightIh), Wh: transpose(r.weightHh), b: r.biasIh }),
  },
  coursera: {
    toRows(arrays, [gates]) {
      if (gates === "h") {
        const bias = arrays.ba!;
        return { weightIh: arrays.Wax!, weightHh: arrays.Waa!, biasIh: reshape(bias, [bias.data.length]) };
      }
      const parts = (name: "W" | "b") =>
        stack(
          [...gates].map((gate) => {
            const part = arrays[name + COURSE_LETTERS[gate]]!;
            return gate === "z" ? negate(part) : part;
          }),
        );
      const [joint, bias] = [parts("W"), parts("b")];
      const h = bias.data.length / gates.length;
      return {
        weightHh: columns(joint, 0, h),
        weightIh: columns(joint, h, joint.shape[1]! - h),
        biasIh: reshape(bias, [bias.data.length]),
      };
    },
    fromRows({ weightIh, weightHh, biasIh }, [gates]) {
      const h = weightHh.shape[1]!;
      const column = reshape(biasIh!, [biasIh!.data.length, 1]);
      if (gates === "h") return { Wax: weightIh, Waa: weightHh, ba: column };
      const joint = beside(weightHh, weightIh);
      const arrays: Record<string, Tensor> = {};
      [...gates].forEach((gate, i) => {
        const part = (all: Tensor): Tensor => {
          const { data, shape } = slice(all, i * h, h);
          return gate === "z" ? negate({ data, shape }) : { data: data.slice(), shape };
        };
        const letter = COURSE_LETTERS[gate]!;
        arrays[`W${letter}`] = part(joint);
        arrays[`b${letter}`] = part(column);
      });
      return arrays;
    },
  },
  nam: {
    toRows({ W, b }, [gates]) {
      const [gh, width] = W!.shape as [number, number];
      const d = width - gh / gates.length;
      return { weightIh: columns(W!, 0, d), weightHh: columns(W!, d, width - d), biasIh: b };
    },
    fromRows: ({ weightIh, weightHh, biasIh }) => ({ W: beside(weightIh, weightHh), b: biasIh }),
  },
};

/**
 * Arrays of one direction that fit, as rows in PyTorch's order of gates: copies. One bias stays one.
 *
 * @param form a form that the source has
 */
export function rowsOf(source: GateConvention, form: Form, arrays: Arrays): GateRows {
  const layout = LAYOUTS[source][form]!;
  return mapRows(CONVERTERS[source].toRows(arrays, layout), (x) => reorder(x, layout[0], LAYOUTS.torch[form]![0]));
}

/** Rows in PyTorch's order of gates as a target's arrays of one direction: copies. Two biases are added up where it has one. */
export function arraysOf(target: GateConvention, form: Form, rows: GateRows): Record<string, Tensor | undefined> {
  const layout = LAYOUTS[target][form]!;
  const own = mapRows(rows, (x) => reorder(x, LAYOUTS.torch[form]![0], layout[0]));
  const { biasIh, biasHh } = own;
  if (layout[1] === 1 && biasIh && biasHh) {
    biasIh.data.forEach((value, i) => (biasIh.data[i] = value + biasHh.data[i]!));
    own.biasHh = undefined;
  }
  return CONVERTERS[target].fromRows(own, layout);
}

function mapRows({ weightIh, weightHh, biasIh, biasHh }: GateRows, change: (x: Tensor) => Tensor): GateRows {
  return {
    weightIh: change(weightIh),
    weightHh: change(weightHh),
    biasIh: biasIh && change(biasIh),
    biasHh: biasHh && change(biasHh),
  };
}

// --- conversion for users ----------------------------------------------------------------------------------------------

/** Options of `toTorch` and `fromTorch`. */
export interface GateOptions {
  /** The number in PyTorch's names, as in weight_ih_l0 (default 0). */
  layer?: number | undefined;
  /**
   * Whether PyTorch's names end in _reverse (default false). For ONNX' bidirectional operators, whose arrays hold both
   * directions, it is left out: `fromTorch` converts both where the state_dict has both.
   */
  reverse?: boolean | undefined;
  /**
   * GRU: whether the reset gate is applied after the recurrent product, as the layer's option (default true). Keras'
   * `reset_after`, ONNX' `linear_before_reset`; TensorFlow.js and the course have false. The arrays of Keras say it, too,
   * and must agree; those of ONNX are the same for both.
   */
  resetAfter?: boolean | undefined;
  /** BasicLSTMCell: its `forget_bias`, which it adds to the forget gate's bias in every step (default 1). */
  forgetBias?: number | undefined;
}

/** Arrays of ONNX' operators; S: directions, 1 or 2. */
export interface OnnxGates {
  /** [S,GH,D]. */
  W: Tensor;
  /** [S,GH,H]. */
  R: Tensor;
  /** [S,2GH]. */
  B?: Tensor | undefined;
}

/** Arrays of a layer of Keras or TensorFlow.js, in the order of its get_weights(). */
export interface KerasGates {
  /** [D,GH]. */
  kernel: Tensor;
  /** [H,GH]. */
  recurrent_kernel: Tensor;
  /** [GH]; of a GRU with `reset_after` [2,3H]; missing with `use_bias=False`. */
  bias?: Tensor | undefined;
}

/** Arrays of CuDNNLSTM and CuDNNGRU of Keras 2, in the order of their get_weights(). */
export interface CudnnGates {
  /** [D,GH]. */
  kernel: Tensor;
  /** [H,GH]. */
  recurrent_kernel: Tensor;
  /** [2GH]. */
  bias: Tensor;
}

/** Arrays of TensorFlow 1's BasicRNNCell and BasicLSTMCell. */
export interface Tf1Gates {
  /** [D+H,GH], the rows of x first. */
  kernel: Tensor;
  /** [GH]. */
  bias: Tensor;
}

/** Arrays of CS231n's rnn_layers.py. */
export interface Cs231nGates {
  /** (D, GH). */
  Wx: Tensor;
  /** (H, GH). */
  Wh: Tensor;
  /** (GH). */
  b: Tensor;
}

/**
 * Arrays of Coursera's course. RNN: Wax (H, D), Waa (H, H), ba (H, 1). LSTM: Wf, Wi, Wc, Wo (H, H+D) on [a; x] and bf, bi,
 * bc, bo (H, 1). GRU: Wu, Wr, Wc and bu, br, bc alike.
 */
export type CourseraGates = Record<string, Tensor>;

/** Arrays of an LSTM layer of Neural Amp Modeler. */
export interface NamGates {
  /** [GH,D+H], the columns of x first. */
  W: Tensor;
  /** [GH]. */
  b: Tensor;
}

/** The arrays of a cell by convention, under that convention's names. */
export interface GateArrays {
  /** ONNX' operators. */
  onnx: OnnxGates;
  /** Keras and TensorFlow.js. */
  keras: KerasGates;
  /** CuDNNLSTM and CuDNNGRU. */
  cudnn: CudnnGates;
  /** TensorFlow 1. */
  tf1: Tf1Gates;
  /** CS231n. */
  cs231n: Cs231nGates;
  /** Coursera. */
  coursera: CourseraGates;
  /** Neural Amp Modeler. */
  nam: NamGates;
}

/**
 * Converts the recurrent weights of another library to entries of a PyTorch state_dict, which `loadStateDict` takes:
 * reorders the gates, transposes and splits matrices, separates the biases. Where the source has one bias, it becomes
 * bias_ih, and bias_hh is zeros (`forgetBias` in the forget gate of BasicLSTMCell).
 *
 * @param source whose arrays they are
 * @param cell "RNN", "LSTM" or "GRU"
 * @param arrays under the source's own names, all of f64 or all of f32
 * @param options layer, reverse; resetAfter of a GRU; forgetBias of BasicLSTMCell
 * @returns copies: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0; for ONNX with two directions those of _reverse, too
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError (an array that is not known, or a cell that the source does
 *   not have), OutOfMemoryError
 */
export function toTorch<C extends GateConvention>(
  source: C,
  cell: CellKind,
  arrays: GateArrays[C],
  options: GateOptions = {},
): Record<string, Tensor> {
  const { form, layout, layer, reverse, forgetBias } = checkRequest("source", source, cell, options);
  const read = readArrays(`${source} arrays`, arrays, ARRAYS[source](form, layout), layout);
  const directions = source === "onnx" ? read.W!.shape[0]! : 1;
  if (directions === 2 && reverse !== undefined) {
    throw new ValueError("reverse", describe(reverse), "none: the arrays hold both directions");
  }
  const dict: Record<string, Tensor> = {};
  for (let i = 0; i < directions; i++) {
    const one = source === "onnx" ? mapValues(read, (x) => select(x, i)) : read;
    const { weightIh, weightHh, biasIh, biasHh } = rowsOf(source, form, one);
    const suffix = suffixOf(layer, directions === 2 ? i === 1 : reverse);
    dict[`weight_ih${suffix}`] = weightIh;
    dict[`weight_hh${suffix}`] = weightHh;
    if (biasIh === undefined) continue;
    dict[`bias_ih${suffix}`] = biasIh;
    dict[`bias_hh${suffix}`] = biasHh ?? addToForgetGate(zerosOf(biasIh), forgetBias);
  }
  return dict;
}

/**
 * Converts recurrent weights from PyTorch's layout to that of another library: the opposite of `toTorch`. Where the target
 * has one bias, it is the sum of bias_ih and bias_hh; where it must have one and the layer has none, it is zeros.
 *
 * @param target whose arrays to make
 * @param cell "RNN", "LSTM" or "GRU"
 * @param dict a layer's state_dict; entries of other layers and directions are ignored
 * @param options layer, reverse; resetAfter of a GRU; forgetBias of BasicLSTMCell
 * @returns copies, under the target's own names
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError (an entry that the target cannot have, such as weight_hr_l0,
 *   or a cell that it does not have), OutOfMemoryError
 */
export function fromTorch<C extends GateConvention>(
  target: C,
  cell: CellKind,
  dict: Readonly<Record<string, Tensor>>,
  options: GateOptions = {},
): GateArrays[C] {
  const { form, layout, layer, reverse, forgetBias } = checkRequest("target", target, cell, options);
  checkDict(dict);
  const names = Object.keys(dict);
  const both = target === "onnx" && reverse === undefined && names.includes(`weight_ih${suffixOf(layer, true)}`);
  const suffixes = (both ? [false, true] : [reverse]).map((reversed) => suffixOf(layer, reversed));
  const own = names.filter((name) => suffixes.some((suffix) => name.endsWith(suffix)));
  const mark = own.some((name) => name.startsWith("bias_")) ? "" : "?"; // all biases, or none
  const axes = suffixes.map((suffix): [string, Axes[string]][] => [
    [`weight_ih${suffix}`, ["GH", "D"]],
    [`weight_hh${suffix}`, ["GH", "H"]],
    [`bias_ih${suffix}${mark}`, ["GH"]],
    [`bias_hh${suffix}${mark}`, ["GH"]],
  ]);
  const entries = Object.fromEntries(own.map((name) => [name, dict[name]]));
  const read = readArrays("dict", entries, Object.fromEntries(axes.flat()), layout);
  const parts = suffixes.map((suffix) => {
    const [weightIh, weightHh] = [read[`weight_ih${suffix}`]!, read[`weight_hh${suffix}`]!];
    let [biasIh, biasHh] = [read[`bias_ih${suffix}`], read[`bias_hh${suffix}`]];
    const needed = Object.keys(ARRAYS[target](form, layout)).every((name) => !name.endsWith("?"));
    if (needed) biasIh ??= biasHh ??= zerosOf({ data: weightHh.data, shape: [weightHh.shape[0]!] });
    biasHh = biasHh && addToForgetGate({ data: biasHh.data.slice(), shape: biasHh.shape }, -forgetBias);
    return arraysOf(target, form, { weightIh, weightHh, biasIh, biasHh });
  });
  const [first, second] = parts as [Record<string, Tensor>, Record<string, Tensor>?];
  const converted = mapValues(first, (x, name) => {
    if (target !== "onnx") return x;
    const directions = second ? [x, second[name]!] : [x];
    return stack(directions.map((each) => reshape(each, [1, ...each.shape])));
  });
  return converted as unknown as GateArrays[C];
}

/** The options, and the layout that they ask for. */
function checkRequest(argument: "source" | "target", convention: unknown, cell: unknown, options: GateOptions) {
  if (typeof convention !== "string" || convention === "torch" || !Object.hasOwn(LAYOUTS, convention)) {
    throw new UnsupportedError(argument, describe(convention), Object.keys(ARRAYS).join(", "));
  }
  const layouts = LAYOUTS[convention as GateConvention];
  if (cell !== "RNN" && cell !== "LSTM" && cell !== "GRU") {
    throw new UnsupportedError("cell", describe(cell), '"RNN", "LSTM" or "GRU"');
  }
  const known = ["layer", "reverse"];
  if (cell === "GRU") known.push("resetAfter");
  if (cell === "LSTM" && convention === "tf1") known.push("forgetBias");
  const { layer = 0, reverse, resetAfter = true, forgetBias } = checkOptions(cell, options, known);
  checkCount("layer", layer, 0);
  if (reverse !== undefined) checkFlag("reverse", reverse);
  checkFlag("resetAfter", resetAfter);
  if (forgetBias !== undefined && !Number.isFinite(forgetBias)) {
    throw new ValueError("forgetBias", describe(forgetBias), "a finite number");
  }
  const form = cell === "GRU" && !resetAfter ? "resetBefore" : cell;
  const layout = layouts[form];
  if (layout === undefined) {
    if (cell === "GRU" && (layouts.GRU ?? layouts.resetBefore)) {
      throw new UnsupportedError("resetAfter", `${resetAfter}`, `${!resetAfter}: ${convention} has no other GRU`);
    }
    throw new UnsupportedError("cell", describe(cell), `${Object.keys(layouts).join(", ")}: cells of ${convention}`);
  }
  const added = known.includes("forgetBias") ? (forgetBias ?? 1) : 0;
  return { form, layout, layer, reverse, forgetBias: added } as const;
}

/** The arrays, each read once, of shapes that fit together and of one type of numbers: views of the caller's numbers. */
function readArrays(owner: string, arrays: object, axes: Axes, [gates]: Layout): Record<string, Tensor> {
  const entries = Object.entries(axes).map(([name, pattern]) => {
    const optional = name.endsWith("?");
    return { name: optional ? name.slice(0, -1) : name, optional, pattern };
  });
  const names = entries.map(({ name }) => name);
  const given = checkOptions(owner, arrays as Readonly<Record<string, Tensor>>, names);
  const present = entries.filter(({ name, optional }) => !optional || Object.hasOwn(given, name));
  const read = present.map((entry) => ({ ...entry, tensor: readTensor(entry.name, given[entry.name]!) }));

  const { name: firstName, tensor: firstTensor } = read[0]!;
  const dtype = dtypeOf(firstTensor.data);
  if (dtype === "i32") throw new DtypeError(firstName, dtype, "f64 or f32");
  for (const { name, tensor, pattern } of read) {
    const { length } = tensor.shape;
    if (length !== pattern.length) throw new ShapeError(name, showShape(tensor.shape), showShape(pattern));
  }
  const sizes = sizesOf(read, gates.length);
  for (const { name, tensor, pattern } of read) {
    checkKind(name, tensor, dtype, pattern.map((axis) => sizes[axis])); // prettier-ignore
  }
  return Object.fromEntries(read.map(({ name, tensor }) => [name, tensor]));
}

/** The length of each kind of axis, from those shapes that tell D, H and S. */
function sizesOf(read: readonly { name: string; tensor: Tensor; pattern: Axes[string] }[], g: number) {
  const find = (axis: Axes[string][number]): number => {
    for (const { tensor, pattern } of read) {
      const i = pattern.indexOf(axis);
      if (i >= 0) return tensor.shape[i]!;
    }
    return NaN;
  };
  const either = (a: number, b: number) => (Number.isNaN(a) ? b : a);
  const h = either(find("H"), find("GH") / g);
  const d = either(find("D"), either(find("D+H"), find("H+D")) - h);
  const s = find("S") === 2 ? 2 : 1;
  if (!(Number.isSafeInteger(h) && h > 0 && Number.isSafeInteger(d) && d > 0)) {
    const { name, tensor, pattern } = read[0]!;
    throw new ShapeError(
      name,
      showShape(tensor.shape),
      `${showShape(pattern)}, where G is ${g} and D, H are at least 1`,
    );
  }
  return { D: d, H: h, GH: g * h, "2GH": 2 * g * h, "D+H": d + h, "H+D": h + d, S: s, "1": 1, "2": 2 } as const;
}

function mapValues(record: Readonly<Record<string, Tensor | undefined>>, change: (x: Tensor, name: string) => Tensor) {
  const present = Object.entries(record).filter((entry): entry is [string, Tensor] => entry[1] !== undefined);
  return Object.fromEntries(present.map(([name, value]) => [name, change(value, name)]));
}

/** Adds to f of a bias [4H] in PyTorch's order, in place. */
function addToForgetGate(bias: Tensor, value: number): Tensor {
  const h = bias.data.length / LAYOUTS.torch.LSTM![0].length;
  if (value !== 0) for (let i = h; i < 2 * h; i++) bias.data[i]! += value;
  return bias;
}

const suffixOf = (layer: number, reverse = false): string => `_l${layer}${reverse ? "_reverse" : ""}`;
const zerosOf = ({ data, shape }: Tensor): Tensor => ({ data: zeros(dtypeOf(data), sizeOf(shape)), shape });
