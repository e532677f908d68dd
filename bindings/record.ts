// Records: arguments of kernels that take many. A record is an @unmanaged class in assembly/; scripts/exports.mjs writes its field
// names to wasm.ts, and the host fills it in by name. Kernels are not re-entered, so a core has one record (`Core.record`) for
// all calls; what keeps its arguments between calls allocates its own.

import type { Core } from "./instantiate.js";

/** The fields of a record, in order: those of 8 bytes, then those of 4. */
export interface Fields {
  readonly f64: readonly string[];
  readonly i32: readonly string[];
}

/** A value for every field: numbers, flags, addresses (0 for none). */
export type Values<F extends Fields> = Readonly<Record<F["f64"][number] | F["i32"][number], number | boolean>>;

/** The size of a record. */
export function bytesOf({ f64, i32 }: Fields): number {
  return 8 * f64.length + 4 * i32.length;
}

/** Bytes from a record's start to a field of 4 bytes. */
export function offsetOf<F extends Fields>({ f64, i32 }: F, field: F["i32"][number]): number {
  return 8 * f64.length + 4 * i32.indexOf(field);
}

/** Writes all fields of a record: 0 for those that `values` lacks. */
export function writeRecord<F extends Fields>(
  { heap }: Core,
  address: number,
  { f64, i32 }: F,
  values: Partial<Values<F>>,
): void {
  const given = values as Readonly<Record<string, number | undefined>>;
  const numbers = heap.view("f64");
  const words = heap.view("i32");
  let i = address / 8;
  for (const name of f64) numbers[i++] = given[name] ?? 0;
  i *= 2;
  for (const name of i32) words[i++] = given[name] ?? 0;
}

/** Fills in the core's record for the next kernel call, and returns its address. */
export function record<F extends Fields>(core: Core, fields: F, values: Values<F>): number {
  writeRecord(core, core.record, fields, values);
  return core.record;
}
