// How good predictions are: shares and counts of right answers, and a report of them as text.

import { ShapeError, ValueError } from "../../bindings/errors.js";
import { coreOfCall } from "../../bindings/instantiate.js";
import { floatDtype, leading, softmax } from "../../bindings/kernels.js";
import { takeLengths, withArena, type Lengths } from "../../bindings/memory.js";
import {
  checkKind,
  checkTensor,
  describe,
  dtypeOf,
  readTensor,
  showShape,
  zeros,
  type Tensor,
} from "../../bindings/tensor.js";
import { checkFlag, checkOptions, checkSize, readList } from "../base/check.js";

/** Options of `accuracy`. */
export interface AccuracyOptions {
  /**
   * The number of valid steps of each row, [N], for targets [T,N,...], or [N,T,...] with `batchFirst`, or one sequence [T]; the steps
   * after them do not count.
   */
  lengths?: Lengths | undefined;
  /** Targets of this value do not count (default -100). */
  ignoreIndex?: number | undefined;
  /** Whether the axes of `lengths` are [N,T,...] instead of [T,N,...] (default false). */
  batchFirst?: boolean | undefined;
}

/** Options of `confusionMatrix`. */
export interface ConfusionOptions extends AccuracyOptions {
  /** Counts to add to, [classes,classes], of batches before; they are copied (default: zeros). */
  previous?: Tensor | undefined;
}

/** Most classes of a matrix: its size is their square. */
const MOST_CLASSES = 2 ** 12;

const COMMON = ["lengths", "ignoreIndex", "batchFirst"] as const;

/** Calls `visit` with every target that counts, and the class that was predicted there. */
function compare(
  predicted: Tensor,
  targets: Tensor,
  { lengths, ignoreIndex = -100, batchFirst = false }: AccuracyOptions,
  visit: (prediction: number, target: number, position: number) => void,
): void {
  if (typeof ignoreIndex !== "number" || (ignoreIndex | 0) !== ignoreIndex) {
    throw new ValueError("ignoreIndex", describe(ignoreIndex), "a 32-bit integer");
  }
  checkFlag("batchFirst", batchFirst);
  const { data, shape } = readTensor("predicted", predicted, "logits of f64 or f32, or classes of i32");
  const chosen = dtypeOf(data) === "i32";
  if (!chosen && !shape.at(-1)) throw new ShapeError("predicted", showShape(shape), "[..., C], at least one class");
  const outer = chosen ? shape : leading(shape);
  const { data: answers } = checkTensor("targets", targets, "i32", outer);
  const valid = lengths === undefined ? undefined : validSteps(lengths, outer, batchFirst);
  const classes = chosen ? 1 : shape.at(-1)!;
  for (let i = 0; i < answers.length; i++) {
    const target = answers[i]!;
    if (target === ignoreIndex || valid?.(i) === false) continue;
    visit(chosen ? data[i]! : largest(data, i * classes, classes), target, i);
  }
}

/** Whether the target at a position is one of a valid step. */
function validSteps(lengths: Lengths, shape: readonly number[], batchFirst: boolean): (position: number) => boolean {
  if (shape.length === 0) throw new ShapeError("targets", "[]", "an axis of steps, for lengths");
  const rows = shape.length === 1 ? 1 : shape[batchFirst ? 0 : 1]!;
  const steps = shape.length === 1 ? shape[0]! : shape[batchFirst ? 1 : 0]!;
  const taken = takeLengths(lengths, steps, rows);
  const inner = shape.slice(2).reduce((size, n) => size * n, 1);
  return (position) => {
    const place = Math.floor(position / inner);
    const [step, row] = batchFirst
      ? [place % steps, Math.floor(place / steps)]
      : [Math.floor(place / rows), place % rows];
    return step < taken[row]!;
  };
}

/** The index of the first largest of `count` numbers; -1 if one is NaN. */
function largest(data: Tensor["data"], start: number, count: number): number {
  let best = 0;
  for (let i = 0; i < count; i++) {
    const value = data[start + i]!;
    if (Number.isNaN(value)) return -1;
    if (value > data[start + best]!) best = i;
  }
  return best;
}

/**
 * The share of targets that are predicted. Of logits the first largest is the prediction; logits with a NaN are always wrong.
 *
 * @param predicted logits or probabilities [..., C] of f64 or f32, or classes [...] of i32
 * @param targets classes [...], i32
 * @param options lengths, ignoreIndex, batchFirst
 * @returns from 0 to 1; NaN if no target counts
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError (an unknown option)
 */
export function accuracy(predicted: Tensor, targets: Tensor, options: AccuracyOptions = {}): number {
  let [right, all] = [0, 0];
  compare(predicted, targets, checkOptions("accuracy", options, COMMON), (prediction, target) => {
    if (prediction === target) right++;
    all++;
  });
  return right / all;
}

/**
 * The perplexity e^loss of a mean loss in nats, as crossEntropy and nll give it: a model that guesses among n equally likely
 * classes has n. The same bits on every engine.
 *
 * @param loss in nats
 * @throws ValueError (no number)
 */
export function perplexity(loss: number): number {
  if (typeof loss !== "number") throw new ValueError("loss", describe(loss), "a number");
  if (!(Math.abs(loss) < Infinity)) return loss > 0 || Number.isNaN(loss) ? loss : 0;
  // JavaScript's Math.exp has other bits on other engines
  return withArena(coreOfCall(0), (arena) => {
    const x = arena.copy("loss", { data: Float64Array.of(0, loss), shape: [2] }, "f64", [2]);
    softmax(arena, "f64", x);
    const { data } = x;
    return data[1]! / data[0]!;
  });
}

/**
 * Counts of targets by class and prediction: entry [i,j] is the number of targets of class i that were predicted as class j, as of
 * scikit-learn's [confusion_matrix](https://scikit-learn.org/stable/modules/generated/sklearn.metrics.confusion_matrix.html).
 *
 * @param predicted logits or probabilities [..., classes] of f64 or f32, or classes [...] of i32
 * @param targets classes [...], i32, each from 0 to classes - 1 or ignoreIndex (any number past a row's length)
 * @param classes the number of classes, at most 4096
 * @param options lengths, ignoreIndex, batchFirst, and `previous`, to count over several batches
 * @returns [classes,classes]
 * @throws ShapeError, DtypeError, ValueError (a target or prediction out of range, logits with a NaN), UnsupportedError
 */
export function confusionMatrix(
  predicted: Tensor,
  targets: Tensor,
  classes: number,
  options: ConfusionOptions = {},
): Tensor<"i32"> {
  checkSize("classes", classes, MOST_CLASSES);
  const { previous, ...given } = checkOptions("confusionMatrix", options, [...COMMON, "previous"]);
  const read = readTensor("predicted", predicted, "logits of f64 or f32, or classes of i32");
  if (dtypeOf(read.data) !== "i32") checkKind("predicted", read, floatDtype("predicted", read), ["...", classes]);
  const counts = zeros("i32", classes * classes);
  if (previous !== undefined) counts.set(checkTensor("previous", previous, "i32", [classes, classes]).data);
  const check = (argument: string, value: number, position: number) => {
    if (value >= 0 && value < classes) return;
    throw new ValueError(argument, `${value} at position ${position}`, `classes from 0 to ${classes - 1}`);
  };
  compare(read, targets, given, (prediction, target, position) => {
    check("targets", target, position);
    if (prediction < 0 && dtypeOf(read.data) !== "i32") {
      throw new ValueError("predicted", `NaN at position ${position}`, "logits that can be compared");
    }
    check("predicted", prediction, position);
    counts[target * classes + prediction]!++;
  });
  return { data: counts, shape: [classes, classes] };
}

/**
 * A table of precision, recall, F1 and number of targets for each class, the accuracy, and the means over classes, plain and
 * weighted by their targets. As scikit-learn's
 * [classification_report](https://scikit-learn.org/stable/modules/generated/sklearn.metrics.classification_report.html): where a
 * quotient is 0 / 0 it is 0.
 *
 * @param matrix [C,C], i32, as of `confusionMatrix`
 * @param names of the classes (default: their numbers)
 * @returns lines of text, the last one without a line break
 * @throws ShapeError, DtypeError, ValueError (a negative count, a name that is no string)
 */
export function report(matrix: Tensor, names?: readonly string[]): string {
  const { data, shape } = checkTensor("matrix", matrix, "i32", ["C", "C"]);
  const classes = shape[0]!;
  if (shape[1] !== classes) throw new ShapeError("matrix", showShape(shape), "[C,C]");
  checkSize("matrix", classes, MOST_CLASSES);
  const counts = data.slice();
  counts.forEach((count, i) => {
    if (count < 0) throw new ValueError("matrix", `${count} at position ${i}`, "counts, >= 0");
  });
  const labels = names === undefined ? Array.from({ length: classes }, (_, i) => `${i}`) : readNames(names, classes);

  const ratio = (part: number, all: number) => (all === 0 ? 0 : part / all);
  const range = [...Array(classes).keys()];
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const at = (target: number, prediction: number) => counts[target * classes + prediction]!;
  const scores = range.map((i) => {
    const [right, support, predicted] = [at(i, i), sum(range.map((j) => at(i, j))), sum(range.map((j) => at(j, i)))];
    return { values: [ratio(right, predicted), ratio(right, support), ratio(2 * right, support + predicted)], support };
  });
  const all = sum(scores.map(({ support }) => support));
  const right = sum(range.map((i) => at(i, i)));
  const mean = (weight: (support: number) => number, total: number) =>
    [0, 1, 2].map((column) =>
      ratio(sum(scores.map(({ values, support }) => weight(support) * values[column]!)), total),
    );

  const width = labels.reduce((most, label) => Math.max(most, label.length), "weighted avg".length);
  const line = (label: string, values: readonly (number | string)[], support: number | string) => {
    const cells = values.map((value) => (typeof value === "string" ? value : value.toFixed(2)).padStart(9));
    return `${label.padStart(width)}  ${cells.join(" ")} ${String(support).padStart(9)}`;
  };
  return [
    line("", ["precision", "recall", "f1-score"], "support"),
    "",
    ...scores.map(({ values, support }, i) => line(labels[i]!, values, support)),
    "",
    line("accuracy", ["", "", ratio(right, all)], all),
    line(
      "macro avg",
      mean(() => 1, classes),
      all,
    ),
    line(
      "weighted avg",
      mean((support) => support, all),
      all,
    ),
  ].join("\n");
}

/** The names of classes, read once. */
function readNames(names: readonly string[], classes: number): string[] {
  const list = readList("names", names, "names");
  if (list.length !== classes) throw new ShapeError("names", `${list.length}`, `one for each of ${classes} classes`);
  return list.map((name, i) => {
    if (typeof name !== "string") throw new ValueError(`names[${i}]`, describe(name), "a string");
    return name;
  });
}
