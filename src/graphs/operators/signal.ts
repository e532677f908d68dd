// Fourier transforms and what goes with them. They are products with matrices of sines and cosines, in f64.

import { ShapeError, UnsupportedError, ValueError } from "../../../bindings/errors.js";
import { checkDimensions, showShape } from "../../../bindings/tensor.js";
import { checkAxis } from "../../ops/attributes.js";
import { cos, exp, log, mul, sin } from "../../ops/elementwise.js";
import { pad, strided } from "../../ops/movement.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operator, type Operators } from "../node.js";
import type { Value } from "../value.js";
import { cast, pair, reshaped, transposed } from "./compose.js";
import { product } from "./layers.js";
import { dtypeOfCode } from "./movement.js";

/** 2 pi i / n for i from 0 on. */
function angles(builder: Builder, count: number, n: number): Value {
  return builder.hostOne([], "f64", [count], (_, to) => {
    for (let i = 0; i < count; i++) to[i] = (2 * Math.PI * i) / n;
  });
}

/** A whole number from `least` on. */
function checkCount(argument: string, count: number, least: number): number {
  if (!(Number.isSafeInteger(count) && count >= least)) throw new ValueError(argument, `${count}`, `at least ${least}`);
  return count;
}

/** What takes n numbers of `parts` parts, side by side, to the real and imaginary parts of `bins` frequencies, side by side. */
function fourier(builder: Builder, n: number, parts: number, bins: number, inverse: boolean): Value {
  const turns = angles(builder, n, n);
  const circle = [cos, sin].map((operation) => builder.one(operation, [turns], undefined));
  const [sign, scale] = inverse ? [-1, 1 / n] : [1, 1];
  return builder.hostOne(circle, "f64", [n * parts, bins * 2], ([cosine, sine], to) => {
    let next = 0;
    for (let row = 0; row < n * parts; row++) {
      const i = Math.floor(row / parts);
      const imaginary = row % parts === 1;
      for (let bin = 0; bin < bins; bin++) {
        const c = scale * cosine![(i * bin) % n]!;
        const s = scale * sign * sine![(i * bin) % n]!;
        to[next++] = imaginary ? s : c;
        to[next++] = imaginary ? c : -s;
      }
    }
  });
}

/** The transform of frames [..., n, 1 or 2], of real or complex numbers. */
function transform(builder: Builder, frames: Value, onesided: boolean, inverse: boolean): Value {
  const [n, parts] = frames.shape.slice(-2) as [number, number];
  if (onesided && (parts === 2 || inverse)) throw new UnsupportedError("onesided", "1", "0 for complex numbers");
  const bins = onesided ? Math.floor(n / 2) + 1 : n;
  const stack = frames.shape.slice(0, -2);
  const rows = reshaped(builder, cast(builder, frames, "f64"), [...stack, n * parts]);
  const spectrum = product(builder, rows, fourier(builder, n, parts, bins, inverse));
  return cast(builder, reshaped(builder, spectrum, [...stack, bins, 2]), frames.dtype);
}

function checkParts(argument: string, { shape }: Value): void {
  const parts = shape.at(-1);
  if (shape.length < 2 || (parts !== 1 && parts !== 2))
    throw new ShapeError(argument, showShape(shape), "[..., 1 or 2]");
}

function dft(node: Node, builder: Builder): Value {
  const x = node.input(0, "input");
  checkParts("input", x);
  const rank = x.shape.length;
  const [length, axisInput] = [node.optional(1), node.opset >= 20 ? node.optional(2) : undefined];
  const given = axisInput ? builder.number("axis", axisInput) : node.int("axis", node.opset >= 20 ? -2 : 1);
  const axis = checkAxis(given, rank);
  if (axis === rank - 1) throw new ValueError("axis", `${given}`, "an axis before the last");
  const own = x.shape[axis]!;
  const n = length ? checkCount("dft_length", builder.number("dft_length", length), 1) : own;
  const [before, after] = [x.shape.map(() => 0), x.shape.map((_, i) => (i === axis ? n - own : 0))];
  const sized = n === own ? x : builder.one(pad, [x], { before, after, mode: "constant", value: 0 });
  const order = [...x.shape.keys()].filter((each) => each !== axis);
  order.splice(rank - 2, 0, axis);
  const spectrum = transform(builder, transposed(builder, sized, order), node.flag("onesided", false), node.flag("inverse", false)); // prettier-ignore
  return transposed(builder, spectrum, order.map((_, i) => order.indexOf(i))); // prettier-ignore
}

function stft(node: Node, builder: Builder): Value {
  const given = node.input(0, "signal");
  const signal = given.shape.length === 2 ? reshaped(builder, given, [...given.shape, 1]) : given;
  checkParts("signal", signal);
  if (signal.shape.length !== 3) throw new ShapeError("signal", showShape(given.shape), "[N, T, 1 or 2]");
  const step = checkCount("frame_step", builder.number("frame_step", node.input(1, "frame_step")), 1);
  const [window, lengthInput] = [node.optional(2), node.optional(3)];
  const length = lengthInput ? builder.number("frame_length", lengthInput) : (window?.size ?? 0);
  const [n, steps, parts] = signal.shape as [number, number, number];
  checkCount("frame_length", length, 1);
  if (length > steps) throw new ShapeError("signal", showShape(given.shape), `at least ${length} steps`);
  if (window && (window.shape.length !== 1 || window.size !== length)) {
    throw new ShapeError("window", showShape(window.shape), showShape([length]));
  }
  const shape = [n, Math.floor((steps - length) / step) + 1, length, parts];
  const frames = builder.one(strided, [signal], { shape, strides: [steps * parts, step * parts, parts, 1] });
  const weighted = window ? pair(builder, mul, frames, reshaped(builder, window, [length, 1])) : frames;
  return transform(builder, weighted, node.flag("onesided", true), false);
}

/** The type that `output_datatype` names. */
function outputType(node: Node) {
  return dtypeOfCode(node, "output_datatype", node.int("output_datatype", 1));
}

/** a - b cos t + c cos 2t, in a period of `size` or, if it is symmetric, size - 1. */
function window(a: number, b: number, c: number): Operator {
  return operator(["output_datatype", "periodic"], (node, builder) => {
    const [size] = checkDimensions("size", [builder.number("size", node.input(0, "size"))]) as [number];
    const period = node.flag("periodic", true) ? size : Math.max(size - 1, 1);
    const cosines = builder.one(cos, [angles(builder, size, period)], undefined);
    const weights = builder.hostOne([cosines], "f64", [size], ([cosine], to) => {
      for (let i = 0; i < size; i++) to[i] = a - b * cosine![i]! + c * (2 * cosine![i]! * cosine![i]! - 1);
    });
    return cast(builder, weights, outputType(node));
  });
}

/** Triangles in [frequencies, bins], evenly spaced on the mel scale. */
function melWeightMatrix(node: Node, builder: Builder): Value {
  const names = ["num_mel_bins", "dft_length", "sample_rate", "lower_edge_hertz", "upper_edge_hertz"];
  const numbers = names.map((name, i) => builder.number(name, node.input(i, name)));
  const [bins, length, rate, lower, upper] = numbers as [number, number, number, number, number];
  const [rows, columns] = checkDimensions("num_mel_bins", [Math.floor(length / 2) + 1, bins]) as [number, number];
  const edges = builder.one(log, [builder.constant("f64", [2], [1 + lower / 700, 1 + upper / 700])], undefined);
  const steps = builder.hostOne([edges], "f64", [columns + 2], ([edge], to) => {
    const each = (edge![1]! - edge![0]!) / (columns + 2);
    for (let i = 0; i < columns + 2; i++) to[i] = edge![0]! + i * each;
  });
  const factors = builder.one(exp, [steps], undefined);
  const weights = builder.hostOne([factors], "f64", [rows, columns], ([factor], to) => {
    const place = (i: number) => Math.floor(((length + 1) * 700 * (factor![i]! - 1)) / rate);
    const set = (row: number, column: number, value: number): void => {
      if (row >= 0 && row < rows) to[row * columns + column] = value;
    };
    to.fill(0);
    for (let i = 0; i < columns; i++) {
      const [first, middle, last] = [place(i), place(i + 1), place(i + 2)];
      if (first === middle) set(middle, i, 1);
      for (let j = Math.max(first, 0); j <= middle && j < rows; j++) if (first < middle) set(j, i, (j - first) / (middle - first)); // prettier-ignore
      for (let j = Math.max(middle, 0); j < last && j < rows; j++) set(j, i, (last - j) / (last - middle));
    }
  });
  return cast(builder, weights, outputType(node));
}

export const signal: Operators = {
  BlackmanWindow: window(0.42, 0.5, 0.08),
  DFT: operator(["axis", "inverse", "onesided"], dft),
  HammingWindow: window(25 / 46, 21 / 46, 0),
  HannWindow: window(0.5, 0.5, 0),
  MelWeightMatrix: operator(["output_datatype"], melWeightMatrix),
  STFT: operator(["onesided"], stft),
};
