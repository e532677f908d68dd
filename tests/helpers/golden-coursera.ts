// Runs the golden files of the Coursera functions.
import { expect } from "vitest";
import type { Tensor } from "../../src/index.js";
import { type Dtype, type Numbers, type Tensors, type Tolerance, part, tensorOf } from "./close.js";
import { courseraLibrary, need } from "./course.js";
import { printedTolerance, toleranceOf } from "./golden.js";

interface Printed {
  readonly tensor: string;
  readonly index: readonly number[];
  readonly values: number | readonly number[];
  readonly matches_expected: boolean;
}
interface CourseraFile {
  readonly function: string;
  readonly tolerance: Tolerance;
  readonly known_wrong?: boolean;
  readonly inputs: Readonly<Record<string, Numbers>>;
  readonly params: Readonly<Record<string, Numbers>>;
  readonly expected: Readonly<Record<string, Numbers>>;
  readonly printed: readonly Printed[];
}

export function checkCoursera(file: CourseraFile, dtype: Dtype): void {
  const kinds: Readonly<Record<string, string>> = {
    rnn_cell: "rnnCell",
    rnn: "rnn",
    lstm_cell: "lstmCell",
    lstm: "lstm",
  };
  const kind = kinds[file.function.replace(/_(forward|backward)$/, "")];
  if (kind === undefined) throw new Error(`no runner for ${file.function}`);
  const t: Tensors = {};
  for (const [name, value] of Object.entries({ ...file.inputs, ...file.params }))
    t[camel(name)] = tensorOf(value, dtype);
  const { results, cache } = courseraLibrary.forward(kind, t);
  const gates = kind === "lstmCell" ? (cache as Tensors) : {};
  const gradients = file.function.endsWith("_backward") ? courseraLibrary.backward(kind, t, cache) : {};
  const all: Tensors = { ...gates, ...results, ...gradients };
  const resultOf = (name: string): Tensor => need(all, name === "yt" ? "ytPred" : camel(name));

  for (const [name, expected] of Object.entries(file.expected)) {
    // known_wrong files hold published numbers that are no gradients: ours must be others
    if (file.known_wrong) expect(resultOf(name), name).not.toBeAllClose(expected, { rtol: 1e-3, atol: 1e-2 });
    else expect(resultOf(name), name).toBeAllClose(expected, toleranceOf(file, dtype));
  }
  if (file.known_wrong) return;
  for (const { tensor, index, values, matches_expected } of file.printed) {
    const figures = [values].flat();
    const row = { shape: [figures.length], data: part(resultOf(tensor), index) };
    const expected = { shape: row.shape, data: figures };
    const label = `printed ${tensor}[${index.join("][")}]`;
    if (!matches_expected) expect(row, label).not.toBeAllClose(expected, { atol: 1e-3 });
    else expect(row, label).toBeAllClose(expected, printedTolerance(figures, dtype));
  }
}

/** a_next to aNext, da_prev to daPrev */
function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
