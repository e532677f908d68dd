// Where the tensors of a plan lie: by their lifetimes, in one block of memory.

import { mergeAxes } from "../../bindings/graph.js";
import type { Core } from "../../bindings/instantiate.js";
import { concat, stack } from "../ops/movement.js";
import type { Move, Movement, Spec } from "../ops/operation.js";
import { bytesOf, rootOf, type Step, type Value } from "./value.js";

const ALIGNMENT = 64; // a cache line

/** Memory of one value or, one after the other, of several. */
interface Block {
  readonly bytes: number;
  /** The turns of the steps between which it is in use. */
  readonly first: number;
  last: number;
  place: number;
}

/** The start in the result of an input that is copied there as it is; undefined where it is not. */
export function wholeCopy({ axes, to }: Move, size: number): number | undefined {
  const [[n = 1, fromStep = 1, toStep = 1] = [], ...more] = mergeAxes(axes);
  if (more.length > 0 || n !== size || (n > 1 && (fromStep !== 1 || toStep !== 1))) return undefined;
  return to;
}

/** Lets the parts of what is joined be computed where they belong. The step is left out where all are. */
function joinInPlace(steps: readonly Step[]): Step[] {
  const made = new Set<Value>();
  return steps.filter(({ operation, inputs, outputs, attributes }) => {
    for (const output of outputs) if (output.inWasm && !output.base && !output.tensor) made.add(output);
    if (operation !== concat && operation !== stack) return true;
    const [whole] = outputs as [Value];
    const moves = (operation as Movement<unknown>).moves(inputs as readonly unknown[] as Spec[], outputs as readonly unknown[] as Spec[], attributes); // prettier-ignore
    const copied = moves.filter((move) => {
      const part = inputs[move.input]!;
      const root = rootOf(part);
      const start = move.from === 0 && part.size === root.size ? wholeCopy(move, part.size) : undefined;
      if (start === undefined || !made.has(root)) return true;
      made.delete(root); // it has one place
      root.base = whole;
      root.offset = start;
      return false;
    });
    return copied.length > 0;
  });
}

/** The steps whose results are used; all of them where it is not known which results are. */
function live(steps: readonly Step[], outputs: readonly Value[] | undefined): readonly Step[] {
  if (!outputs) return steps;
  const needed = new Set(outputs.map(rootOf));
  const kept: Step[] = [];
  for (let i = steps.length - 1; i >= 0; i--) {
    const step = steps[i]!;
    if (!step.outputs.some((output) => needed.has(output))) continue;
    for (const input of step.inputs) needed.add(rootOf(input));
    kept.push(step);
  }
  return kept.reverse();
}

/**
 * Places of all values that steps compute in wasm memory.
 *
 * @param outputs the values that are used afterwards; by default all
 * @param core that computes them
 * @returns the steps that are needed, and, where some run at the same time, the turn of each; the place of each value, and how many
 *   bytes there are
 */
export function layOut(all: readonly Step[], outputs: readonly Value[] | undefined, { order }: Core) {
  const steps = joinInPlace(live(all, outputs));
  const turns = order?.(steps);
  const blocks = new Map<Value, Block>();
  steps.forEach((step, k) => {
    const i = turns?.[k] ?? k;
    for (const input of step.inputs) {
      const block = blocks.get(rootOf(input));
      if (block) block.last = Math.max(block.last, i);
    }
    for (const output of step.outputs) {
      const root = rootOf(output);
      if (!root.inWasm || root.tensor || blocks.has(root)) continue;
      const bytes = Math.ceil((root.size * bytesOf(root.dtype)) / ALIGNMENT) * ALIGNMENT;
      blocks.set(root, { bytes, first: i, last: outputs ? i : Infinity, place: 0 });
    }
  });
  for (const output of outputs ?? []) {
    const block = blocks.get(rootOf(output));
    if (block) block.last = Infinity;
  }
  steps.forEach((step, i) => share(step, turns?.[i] ?? i, blocks));
  return { steps, turns, blocks, bytes: place([...new Set(blocks.values())]) };
}

/** Gives each block a place, in gaps that earlier ones leave where there is one; returns how many bytes there are. */
function place(blocks: readonly Block[]): number {
  const ending = [...blocks].sort((a, b) => a.last - b.last);
  const gaps: { start: number; end: number }[] = []; // by place, none beside another
  let bytes = 0;
  let ended = 0;
  for (const block of [...blocks].sort((a, b) => a.first - b.first)) {
    for (; ending[ended]!.last < block.first; ended++) leave(gaps, ending[ended]!);
    const fit = gaps.findIndex(({ start, end }) => end - start >= block.bytes);
    const gap = fit >= 0 ? gaps[fit]! : gaps[gaps.length - 1]?.end === bytes ? gaps.pop()! : undefined;
    block.place = gap?.start ?? bytes;
    const end = block.place + block.bytes;
    bytes = Math.max(bytes, end);
    if (fit < 0) continue;
    gap!.start = end;
    if (end === gap!.end) gaps.splice(fit, 1);
  }
  return bytes;
}

function leave(gaps: { start: number; end: number }[], { place: start, bytes }: Block): void {
  if (bytes === 0) return;
  let at = gaps.length;
  while (at > 0 && gaps[at - 1]!.start > start) at--;
  const gap = { start, end: start + bytes };
  const [before, after] = [gaps[at - 1], gaps[at]];
  if (after?.start === gap.end) {
    gap.end = after.end;
    gaps.splice(at, 1);
  }
  if (before?.end === start) before.end = gap.end;
  else gaps.splice(at, 0, gap);
}

/** Lets the first result lie where an input lies that is used here for the last time. */
function share({ operation, inputs, outputs }: Step, i: number, blocks: Map<Value, Block>): void {
  const [output] = outputs;
  const own = output && blocks.get(output);
  if (!operation?.inPlace || !own) return;
  for (const input of operation.inPlace === "first" ? inputs.slice(0, 1) : inputs) {
    const root = rootOf(input);
    const block = blocks.get(root);
    if (block?.last !== i || input.size !== root.size || input.size !== output.size) continue;
    if (input.dtype !== output.dtype) continue;
    if (inputs.some((other) => other !== input && blocks.get(rootOf(other)) === block)) continue;
    blocks.set(output, block);
    block.last = own.last;
    return;
  }
}
