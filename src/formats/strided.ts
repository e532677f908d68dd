// Numbers in files that are not row-major: other strides, or the other order of bytes.

import { stridesOf } from "../../bindings/graph.js";
import { ELEMENT_ARRAYS, widenHalf, type ElementType } from "../base/element.js";
import type { StoredData } from "./safetensors.js";

/** The strides of a tensor whose first axis is contiguous, in numbers. */
export function columnMajor(shape: readonly number[]): number[] {
  return stridesOf([...shape].reverse()).reverse();
}

/**
 * The numbers of a file as a fresh array: f16 and bf16 widened to f32, bool as a Uint8Array.
 *
 * @param bytes numbers in the file's order: as many as `shape` holds
 * @param bigEndian whether each number's first byte is its highest
 * @param strides how far apart in `bytes` the steps of each axis are, in numbers; absent: row-major
 * @param count how many numbers the shape holds
 */
export function readNumbers(
  type: ElementType,
  bytes: Uint8Array,
  {
    bigEndian = false,
    strides,
    shape,
    count,
  }: {
    readonly bigEndian?: boolean;
    readonly strides?: readonly number[] | undefined;
    readonly shape: readonly number[];
    readonly count: number;
  },
): StoredData {
  const size = ELEMENT_ARRAYS[type].BYTES_PER_ELEMENT;
  // a copy is aligned, and the caller's own
  const copy = new Uint8Array(count * size);
  // an axis of one step may have any stride
  const steps = strides?.map((stride, axis) => (shape[axis] === 1 ? 0 : stride));
  if (steps === undefined || stridesOf(shape).every((stride, axis) => shape[axis] === 1 || stride === steps[axis])) {
    copy.set(bytes.subarray(0, copy.length));
  } else gather(bytes, copy, size, shape, steps);
  if (bigEndian) reverseBytes(copy, size);
  const numbers = new ELEMENT_ARRAYS[type](copy.buffer);
  return type === "f16" || type === "bf16" ? widenHalf(type, numbers as Uint16Array) : numbers;
}

/** Copies numbers of `size` bytes to a row-major order. No axis is empty. */
function gather(
  from: Uint8Array,
  to: Uint8Array,
  size: number,
  shape: readonly number[],
  strides: readonly number[],
): void {
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let next = 0; next < to.length; next += size) {
    for (let byte = 0; byte < size; byte++) to[next + byte] = from[at * size + byte]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      index[axis] = index[axis]! + 1;
      if (index[axis]! < shape[axis]!) break;
      at -= index[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
}

function reverseBytes(bytes: Uint8Array, size: number): void {
  for (let at = 0; at < bytes.length; at += size) bytes.subarray(at, at + size).reverse();
}
