// The scratch of a pass, laid out block by block; sizes are asked for in the same way as addresses.

import { fitting } from "../simd";

let workTop: u64 = 0; // may lie past the end of any memory, while only sizes are asked for

/** Scratch is handed out from here on; with 0, to learn how much it takes. */
export function openWork(start: usize): void {
  workTop = <u64>start;
}

/** The address of so many bytes of scratch. */
export function takeWork(bytes: u64): usize {
  const address = <usize>workTop;
  workTop += (bytes + 63) & ~63;
  return address;
}

/** Where the scratch ends. */
export function endOfWork(): usize {
  return fitting(workTop);
}
