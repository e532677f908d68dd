// Sequences of different lengths, with masked steps, or read from their ends: which steps of which rows a direction runs
// over, and where its results go. The kernels take them packed: see assembly/recurrent/sequence.ts.

/** How one direction's steps lie packed, and where they come from. A row of [T,N,*] has the number t*N + n. */
export interface Packing {
  /** Steps of the longest row, and rows of all steps. */
  readonly steps: number;
  readonly rows: number;
  /** [steps] rows of each step; undefined where all are the whole batch. */
  readonly counts: Int32Array | undefined;
  /** [N] the batch row at each place, longest first. */
  readonly order: Int32Array;
  /** [rows] the row of [T,N,*] that each packed row comes from. */
  readonly from: Int32Array;
  /** [T*N] the packed row of each row of [T,N,*]; -1: none. */
  readonly place: Int32Array;
  /** [T*N] the packed row that each row of the output comes from, where that is another one; -1: none, it is zeros. */
  readonly output: Int32Array | undefined;
  /** [N] the row of hs ([N + rows,*], first states in front) where each batch row ends. */
  readonly last: Int32Array;
}

/** Steps that take part: [T*N], 1 or 0. */
export interface Active {
  readonly t: number;
  readonly n: number;
  readonly flags: Uint8Array;
  /** Whether a step that takes no part repeats the output before it (Keras) or gives zeros (PyTorch). */
  readonly repeat: boolean;
}

/** @param reverse whether each row runs from its own end to its start */
export function pack({ t, n, flags, repeat }: Active, reverse: boolean): Packing {
  const lengths = new Int32Array(n);
  for (let i = 0; i < flags.length; i++) lengths[i % n]! += flags[i]!;
  const order = Int32Array.from(lengths.keys()).sort((a, b) => lengths[b]! - lengths[a]! || a - b);
  const steps = n === 0 ? 0 : lengths[order[0]!]!;
  const counts = new Int32Array(steps);
  for (const length of lengths) for (let s = 0; s < length; s++) counts[s]!++;
  const offsets = new Int32Array(steps + 1);
  for (let s = 0; s < steps; s++) offsets[s + 1] = offsets[s]! + counts[s]!;
  const rows = offsets[steps]!;
  const from = new Int32Array(rows);
  const place = new Int32Array(t * n).fill(-1);
  const output = repeat ? new Int32Array(t * n) : undefined;
  const last = new Int32Array(n);
  order.forEach((row, i) => {
    let latest = -1;
    let s = 0;
    for (let step = 0; step < t; step++) {
      const at = (reverse ? t - 1 - step : step) * n + row;
      if (flags[at]) {
        latest = offsets[s++]! + i;
        from[latest] = at;
        place[at] = latest;
      }
      if (output) output[at] = latest;
    }
    last[row] = s === 0 ? i : n + latest;
  });
  return { steps, rows, counts: rows === steps * n ? undefined : counts, order, from, place, output, last };
}
