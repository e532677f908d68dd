// The scratch of a pass, s.work: a record of addresses, and after it the blocks that they point to. Nothing is kept outside of
// it, so that passes of several instances may share a memory. Sizes come from the same function as addresses, with work = 0.

/** Where the first block lies: after a record of up to 16 addresses. */
export function firstBlock(work: usize): u64 {
  return <u64>work + 64;
}

/**
 * Lays out one block of so many bytes at `start`, and returns where the next one starts, which may be past the end of any
 * memory. The block's address goes to `work + field`, unless work is 0.
 */
export function block(work: usize, field: usize, start: u64, bytes: u64): u64 {
  if (work) store<usize>(work + field, <usize>start);
  return start + ((bytes + 63) & ~63);
}
