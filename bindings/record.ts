// Records: arguments of kernels that take many. A record is an @unmanaged class in assembly/; scripts/wasm.mjs writes a RecordType for
// it to wasm.ts, by which the host fills it in by field name. Kernels are not re-entered, so a core has one record
// (`Core.record`) for all calls; arguments that are kept between calls have a record of their own.

import type { Core } from "./instantiate.js";

/** A class of records. */
export interface RecordType<Field extends string> {
  readonly bytes: number;
  /** Writes all fields: 0 for those that are left out. */
  write(f64: Float64Array, i32: Int32Array, address: number, values: Partial<Values<Field>>): void;
}

/** A value for every field: numbers, flags, addresses (0 for none). */
export type Values<Field extends string> = Record<Field, number | boolean>;

/** Writes a record at an address; fields that are left out are 0. */
export function writeRecord<Field extends string>(
  { heap }: Core,
  address: number,
  type: RecordType<Field>,
  values: Partial<Values<Field>>,
): void {
  type.write(heap.view("f64"), heap.view("i32"), address, values);
}

/** Fills in the core's record for the next kernel call, and returns its address. */
export function record<Field extends string>(core: Core, type: RecordType<Field>, values: Values<Field>): number {
  writeRecord(core, core.record, type, values);
  return core.record;
}
