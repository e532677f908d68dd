// Ragged batches: rows of different lengths, masked steps, or rows read from their ends. Computes which steps of which rows
// one direction runs over, and where its results go. The kernels read these steps packed (assembly/recurrent/sequence.ts).

/**
 * How the steps of one direction are packed, in PyTorch's terms (torch.nn.utils.rnn.PackedSequence). Padded row t*N + n
 * is row [t,n] of [T,N,*].
 */
export interface RaggedBatch {
  /** Steps of the longest row. */
  readonly steps: number;
  /** Packed rows: those of all steps. */
  readonly rows: number;
  /** [steps] the number of rows at each step; undefined where it is N at all of them. */
  readonly batchSizes: Int32Array | undefined;
  /** [N] the rows of the batch, longest first. */
  readonly sortedIndices: Int32Array;
  /** [N] the place of each row of the batch in that order. */
  readonly unsortedIndices: Int32Array;
  /** [rows] the padded row of each packed row. */
  readonly paddedRows: Int32Array;
  /** [T*N] the packed row of each padded row; -1: none. */
  readonly packedRows: Int32Array;
  /** [T*N] the packed row that each row of the output is copied from, where that is another one; -1: none, it is zero. */
  readonly outputRows: Int32Array | undefined;
  /** [N] the row of hs ([N + rows,*], the initial states first) with the last state of each row of the batch. */
  readonly lastRows: Int32Array;
}

/** Which steps take part. */
export interface ActiveSteps {
  readonly t: number;
  readonly n: number;
  /** [T*N], 1 or 0. */
  readonly flags: Uint8Array;
  /** Whether the output of a step that takes no part repeats the one before (Keras) or is zero (PyTorch). */
  readonly repeat: boolean;
}

/**
 * Sorts rows by length, longest first and otherwise in their order, and packs their steps; allocates nothing.
 *
 * @param lengths     [N]
 * @param places      out: [N], the place of each row in that order
 * @param batchSizes  out: [T], the number of rows at each step; T is at least the largest length
 * @param offsets     out: [T + 1], the first packed row of each step
 * @returns the steps of the longest row
 */
export function packSteps(
  lengths: Int32Array,
  places: Int32Array,
  batchSizes: Int32Array,
  offsets: Int32Array,
): number {
  const t = batchSizes.length;
  batchSizes.fill(0);
  for (let row = 0; row < lengths.length; row++) if (lengths[row]! > 0) batchSizes[lengths[row]! - 1]!++;
  for (let s = t - 2; s >= 0; s--) batchSizes[s]! += batchSizes[s + 1]!;
  // Rows of a length come after all that are longer.
  for (let length = 0; length <= t; length++) offsets[length] = length < t ? batchSizes[length]! : 0;
  for (let row = 0; row < lengths.length; row++) places[row] = offsets[lengths[row]!]!++;
  offsets[0] = 0;
  for (let s = 0; s < t; s++) offsets[s + 1] = offsets[s]! + batchSizes[s]!;
  let steps = 0;
  while (steps < t && batchSizes[steps]! > 0) steps++;
  return steps;
}

/** @param reversed whether each row is read from its own end to its start */
export function raggedBatch({ t, n, flags, repeat }: ActiveSteps, reversed: boolean): RaggedBatch {
  const lengths = new Int32Array(n);
  for (let i = 0; i < flags.length; i++) lengths[i % n]! += flags[i]!;
  const sortedIndices = new Int32Array(n);
  const unsortedIndices = new Int32Array(n);
  const steps = lengths.reduce((longest, length) => Math.max(longest, length), 0);
  const batchSizes = new Int32Array(steps);
  const offsets = new Int32Array(steps + 1);
  packSteps(lengths, unsortedIndices, batchSizes, offsets);
  const rows = offsets[steps]!;
  const paddedRows = new Int32Array(rows);
  const packedRows = new Int32Array(t * n).fill(-1);
  const outputRows = repeat ? new Int32Array(t * n) : undefined;
  const lastRows = new Int32Array(n);
  unsortedIndices.forEach((i, row) => {
    sortedIndices[i] = row;
    let latest = -1;
    let s = 0;
    for (let step = 0; step < t; step++) {
      const padded = (reversed ? t - 1 - step : step) * n + row;
      if (flags[padded]) {
        latest = offsets[s++]! + i;
        paddedRows[latest] = padded;
        packedRows[padded] = latest;
      }
      if (outputRows) outputRows[padded] = latest;
    }
    lastRows[row] = s === 0 ? i : n + latest;
  });
  return {
    steps,
    rows,
    batchSizes: rows === steps * n ? undefined : batchSizes,
    sortedIndices,
    unsortedIndices,
    paddedRows,
    packedRows,
    outputRows,
    lastRows,
  };
}
