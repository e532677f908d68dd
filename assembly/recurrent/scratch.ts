// The scratch of a pass, s.work: a record of addresses, followed by the blocks that they point to. Kernels keep nothing else
// between their lines, so several instances may share a memory. The functions that lay the scratch out also size it: work = 0.

/** Start of the first block: after a record of at most 16 addresses. */
export function firstBlock(work: usize): u64 {
  return <u64>work + 64;
}

/**
 * Lays out a block at `start`, stores its address at `work + field` (unless work is 0), and returns the start of the next
 * one, which may be past the end of any memory.
 */
export function block(work: usize, field: usize, start: u64, bytes: u64): u64 {
  if (work) store<usize>(work + field, <usize>start);
  return start + ((bytes + 63) & ~63);
}
