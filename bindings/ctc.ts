// CTC over the layers module's kernels: reads and checks arguments, copies them into wasm memory, calls the kernel. The formulas are in
// assembly/layers/ctc.ts.

import { ShapeError, ValueError } from "./errors.js";
import { startLayers } from "./layers-module.js";
import { isMean, readPrediction, type LossResult, type Reduction } from "./loss.js";
import { steady, takeLengths, type Arena, type Lengths, type WasmTensor } from "./memory.js";
import { record } from "./record.js";
import { BYTES, checkTensor, describe, showShape, type Tensor } from "./tensor.js";
import { ctcBeam as ctcBeamRecord, ctcLoss as ctcLossRecord } from "./wasm-layers.js";

/** The axes of logits [T,N,C]; checks them, and that there is a step and a class. */
function axesOf(logits: Tensor): [t: number, n: number, classes: number] {
  const { shape } = logits;
  const [t, n, classes] = shape as [number, number, number];
  if (shape.length !== 3) throw new ShapeError("logits", showShape(shape), "[T, N, C]");
  if (t === 0 || classes === 0) throw new ShapeError("logits", showShape(shape), "at least one step and one class");
  return [t, n, classes];
}

function checkBlank(blank: number, classes: number): void {
  if (!Number.isInteger(blank) || blank < 0 || blank >= classes) {
    throw new ValueError("blank", describe(blank), `an integer from 0 to ${classes - 1}`);
  }
}

function takeRowLengths(argument: string, lengths: Lengths | undefined, limit: number, n: number): readonly number[] {
  return lengths === undefined ? Array<number>(n).fill(limit) : takeLengths(lengths, limit, n, argument);
}

/** Checks targets [N,S] in their copy, up to each row's length. */
function checkLabels(targets: WasmTensor<"i32">, lengths: readonly number[], classes: number, blank: number): void {
  const { data, shape } = targets;
  lengths.forEach((length, row) => {
    for (let i = row * shape[1]!; i < row * shape[1]! + length; i++) {
      const label = data[i]!;
      if (label >= 0 && label < classes && label !== blank) continue;
      const expected = `classes from 0 to ${classes - 1} without the blank, ${blank}`;
      throw new ValueError("targets", `${label} at position ${i}`, expected);
    }
  });
}

function largest(lengths: readonly number[]): number {
  return lengths.reduce((a, b) => Math.max(a, b), 0);
}

function upload(arena: Arena, argument: string, numbers: readonly number[]): WasmTensor<"i32"> {
  return arena.copyChecked(argument, { data: Int32Array.from(numbers), shape: [numbers.length] }, "i32");
}

/** The CTC loss of logits [T,N,C] and targets [N,S] (i32). */
export function ctcLoss(
  arena: Arena,
  args: {
    logits: Tensor;
    targets: Tensor;
    inputLengths?: Lengths | undefined;
    targetLengths?: Lengths | undefined;
    blank: number;
    reduction?: Reduction | undefined;
    zeroInfinity: boolean;
  },
): LossResult {
  const { core } = arena;
  const { blank, zeroInfinity } = args;
  const mean = isMean(args.reduction);
  const { x, dtype } = readPrediction(arena, "logits", args.logits);
  const [t, n, classes] = axesOf(x);
  checkBlank(blank, classes);
  const given = steady(arena.core, checkTensor("targets", args.targets, "i32", [n, "S"]));
  const columns = given.shape[1]!;
  const steps = takeRowLengths("inputLengths", args.inputLengths, t, n);
  const labels = takeRowLengths("targetLengths", args.targetLengths, columns, n);
  const logits = arena.copyChecked("logits", x, dtype);
  const targets = arena.copyChecked("targets", given, "i32");
  checkLabels(targets, labels, classes, blank);
  const kernels = startLayers(core);
  const scratch = arena.bytes("scratch", kernels.f64.ctcScratch(largest(steps), largest(labels)) >>> 0);
  const losses = arena.allocate("losses", dtype, [n]);
  const gradient = arena.zeros("dLogits", dtype, x.shape);
  const fields = {
    n,
    classes,
    logits: logits.pointer,
    targets: targets.pointer,
    columns,
    inputLengths: upload(arena, "inputLengths", steps).pointer,
    targetLengths: upload(arena, "targetLengths", labels).pointer,
    blank,
    mean,
    zeroInfinity,
    scratch,
    losses: losses.pointer,
    dLogits: gradient.pointer,
  };
  const total = kernels[dtype].ctcLoss(record(core, ctcLossRecord, fields));
  return { total, losses, gradient, inner: classes };
}

/** What the decoders take. */
interface DecoderArguments {
  logits: Tensor;
  inputLengths?: Lengths | undefined;
  blank: number;
}

/** What the decoders took: logits in wasm memory, and the steps of each row. */
function readDecoding(arena: Arena, { logits, inputLengths, blank }: DecoderArguments) {
  const { x, dtype } = readPrediction(arena, "logits", logits);
  const [t, rows, classes] = axesOf(x);
  checkBlank(blank, classes);
  const lengths = takeRowLengths("inputLengths", inputLengths, t, rows);
  return { logits: arena.copyChecked("logits", x, dtype), dtype, lengths, rows, classes };
}

/** The class of the highest logit of each step, repeats merged and blanks removed; for each row of logits [T,N,C]. */
export function ctcGreedy(arena: Arena, args: DecoderArguments): number[][] {
  const { logits, lengths, rows, classes } = readDecoding(arena, args);
  const { data } = logits;
  return lengths.map((length, row) => {
    const labels: number[] = [];
    let last = args.blank;
    for (let step = 0; step < length; step++) {
      const start = (step * rows + row) * classes;
      let best = start;
      for (let i = start; i < start + classes; i++) {
        if (Number.isNaN(data[i])) throw new ValueError("logits", `NaN at position ${i}`, "numbers");
        if (data[i]! > data[best]!) best = i;
      }
      const label = best - start;
      if (label !== last && label !== args.blank) labels.push(label);
      last = label;
    }
    return labels;
  });
}

/** A labelling, and the logarithm of its probability. */
export interface CtcHypothesis {
  /** The labels, without blanks. */
  sequence: number[];
  /** In nats: the logarithm of the sum over all paths of this labelling that the search has kept. */
  logProbability: number;
}

/** The best labellings of each row of logits [T,N,C] that a search over `beamWidth` prefixes finds, best first. */
export function ctcBeamSearch(
  arena: Arena,
  args: DecoderArguments & { beamWidth: number; topPaths: number },
): CtcHypothesis[][] {
  const { core } = arena;
  const { blank, beamWidth, topPaths } = args;
  const { logits, dtype, lengths, rows, classes } = readDecoding(arena, args);
  const kernels = startLayers(core);
  const beams = arena.allocate("beams", "i32", [beamWidth]);
  const scores = arena.allocate("beams", "f64", [beamWidth]);
  const nodes = arena.bytes("beams", kernels.f64.ctcBeamNodes(largest(lengths), beamWidth) >>> 0);
  const scratch = arena.bytes("beams", kernels.f64.ctcBeamScratch(classes, beamWidth) >>> 0);
  return lengths.map((length, row) => {
    const fields = {
      logits: logits.pointer + row * classes * BYTES[dtype],
      stride: rows * classes,
      steps: length,
      classes,
      blank,
      width: beamWidth,
      scratch,
      nodes,
      beams: beams.pointer,
      scores: scores.pointer,
    };
    const count = kernels[dtype].ctcBeam(record(core, ctcBeamRecord, fields));
    if (count === 0) {
      throw new ValueError(
        "logits",
        `row ${row} with a step of no softmax`,
        "no NaN, no Infinity, and no step of -Infinity alone",
      );
    }
    const found = Array.from({ length: count }, (_, i) => ({ node: beams.data[i]!, score: scores.data[i]! }));
    found.sort((a, b) => b.score - a.score);
    const tree = core.heap.view("i32").subarray(nodes / 4);
    return found
      .slice(0, topPaths)
      .map(({ node, score }) => ({ sequence: labelsOf(tree, node), logProbability: score }));
  });
}

/** The labels of a node of the tree of prefixes, five numbers each, of which the first are parent and label. */
function labelsOf(tree: Int32Array, node: number): number[] {
  const labels: number[] = [];
  for (let i = node; i > 0; i = tree[5 * i]!) labels.push(tree[5 * i + 1]!);
  return labels.reverse();
}
