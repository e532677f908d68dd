// Einstein's sums, as products of stacks of matrices: https://numpy.org/doc/stable/reference/generated/numpy.einsum.html

import { ShapeError, ValueError } from "../../../bindings/errors.js";
import { broadcastShape, stridesOf } from "../../../bindings/graph.js";
import { describe, showShape, sizeOf } from "../../../bindings/tensor.js";
import { strided } from "../../ops/movement.js";
import type { Builder } from "../builder.js";
import { operator, type Node, type Operators } from "../node.js";
import type { Value } from "../value.js";
import { expanded, multiplied, reshaped, transposed } from "./compose.js";
import { product } from "./layers.js";
import { summed } from "./reduction.js";

/** A tensor, and the letter of each of its axes; no letter twice. */
interface Term {
  readonly value: Value;
  readonly axes: readonly string[];
}

/** The letters of the axes of each operand and, after "->", of the result; axes of "..." are numbered from the last one on. */
function parse(equation: string, operands: readonly Value[]) {
  const [left = "", right, ...more] = equation.replaceAll(" ", "").split("->");
  const terms = left.split(",");
  const wrong = [...terms, right ?? ""].some((term) => !/^[A-Za-z]*(\.\.\.)?[A-Za-z]*$/.test(term));
  if (wrong || more.length > 0) throw new ValueError("equation", describe(equation), 'letters as in "ij,jk->ik"');
  if (terms.length !== operands.length) {
    throw new ValueError("equation", describe(equation), `a term for each of ${operands.length} inputs`);
  }
  let dots = 0;
  const inputs = terms.map((term, i) => {
    const { shape } = operands[i]!;
    const letters = term.replace("...", "");
    const rest = shape.length - letters.length;
    if (rest < 0 || (rest > 0 && letters === term)) throw new ShapeError(`input ${i}`, showShape(shape), `[${term}]`);
    dots = Math.max(dots, rest);
    return spell(term, rest);
  });
  const all = inputs.flat();
  const once = [...new Set(all)].filter((letter) => letter.length === 1 && all.indexOf(letter) === all.lastIndexOf(letter)); // prettier-ignore
  const result = right === undefined ? [...spell("...", dots), ...once.sort()] : spell(right, dots);
  if (new Set(result).size < result.length || !result.every((letter) => all.includes(letter))) {
    throw new ValueError("equation", describe(equation), "a result of different letters that operands have");
  }
  return { inputs, result };
}

function spell(term: string, dots: number): string[] {
  const [before, after] = term.split("...") as [string, string?];
  if (after === undefined) return [...before];
  return [...before, ...Array.from({ length: dots }, (_, i) => `...${dots - i}`), ...after];
}

/** The diagonal of axes with the same letter. */
function diagonal(builder: Builder, { value, axes }: Term): Term {
  const letters = [...new Set(axes)];
  if (letters.length === axes.length) return { value, axes };
  const own = stridesOf(value.shape);
  const places = letters.map((letter) => axes.flatMap((each, axis) => (each === letter ? [axis] : [])));
  places.forEach((list) => {
    const lengths = list.map((axis) => value.shape[axis]!);
    if (lengths.some((n) => n !== lengths[0])) throw new ShapeError("input", showShape(value.shape), "equal axes");
  });
  const shape = places.map(([first]) => value.shape[first!]!);
  const strides = places.map((list) => list.reduce((sum, axis) => sum + own[axis]!, 0));
  return { value: builder.one(strided, [value], { shape, strides }), axes: letters };
}

/** The same with some axes summed. */
function sumOver(builder: Builder, { value, axes }: Term, gone: readonly string[]): Term {
  if (gone.length === 0) return { value, axes };
  const places = gone.map((letter) => axes.indexOf(letter));
  return { value: summed(builder, value, places), axes: axes.filter((letter) => !gone.includes(letter)) };
}

/** The same with its axes in an order of letters; axes of 1 for those that it does not have. */
function ordered(builder: Builder, { value, axes }: Term, letters: readonly string[]): Value {
  const own = letters.filter((letter) => axes.includes(letter));
  const moved = transposed(builder, value, own.map((letter) => axes.indexOf(letter))); // prettier-ignore
  return reshaped(builder, moved, letters.map((letter) => value.shape[axes.indexOf(letter)] ?? 1)); // prettier-ignore
}

const lengthOf = ({ value, axes }: Term, letter: string) => value.shape[axes.indexOf(letter)]!;

/** The product of two terms, summed over the letters that no later one has. */
function multiply(builder: Builder, first: Term, second: Term, later: readonly string[]): Term {
  const lone = ({ axes }: Term, other: Term) =>
    axes.filter((letter) => !other.axes.includes(letter) && !later.includes(letter));
  const a = sumOver(builder, first, lone(first, second));
  const b = sumOver(builder, second, lone(second, first));
  const both = a.axes.filter((letter) => b.axes.includes(letter));
  const stack = both.filter((letter) => later.includes(letter));
  const inner = both.filter((letter) => !later.includes(letter));
  const rows = a.axes.filter((letter) => !both.includes(letter));
  const columns = b.axes.filter((letter) => !both.includes(letter));
  const axes = [...stack, ...rows, ...columns];
  if (inner.length === 0) {
    return { value: multiplied(builder, ordered(builder, a, axes), ordered(builder, b, axes)), axes };
  }
  const lengths = new Map(
    inner.map((letter) => [letter, broadcastShape([lengthOf(a, letter)], [lengthOf(b, letter)], "input")[0]!]),
  );
  const matrices = (term: Term, left: readonly string[], right: readonly string[]): Value => {
    const letters = [...stack, ...left, ...right];
    const shape = letters.map((letter) => lengths.get(letter) ?? lengthOf(term, letter));
    const x = expanded(builder, ordered(builder, term, letters), shape);
    const split = stack.length + left.length;
    const sizes = [sizeOf(shape.slice(stack.length, split)), sizeOf(shape.slice(split))];
    return reshaped(builder, x, [...shape.slice(0, stack.length), ...sizes]);
  };
  const value = product(builder, matrices(a, rows, inner), matrices(b, inner, columns));
  const stacked = value.shape.slice(0, stack.length);
  const own = [...rows.map((letter) => lengthOf(a, letter)), ...columns.map((letter) => lengthOf(b, letter))];
  return { value: reshaped(builder, value, [...stacked, ...own]), axes };
}

function sum(node: Node, builder: Builder): Value {
  const operands = node.all();
  if (operands.length === 0) throw new ValueError("inputs", "none", "at least one tensor");
  const { inputs, result } = parse(node.string("equation", ""), operands);
  const terms = inputs.map((axes, i) => diagonal(builder, { value: operands[i]!, axes }));
  const whole = terms.reduce((a, b, i) =>
    multiply(builder, a, b, [...result, ...terms.slice(i + 1).flatMap(({ axes }) => axes)]),
  );
  const rest = sumOver(builder, whole, whole.axes.filter((letter) => !result.includes(letter))); // prettier-ignore
  return ordered(builder, rest, result);
}

export const einsum: Operators = { Einsum: operator(["equation"], sum) };
