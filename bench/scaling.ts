// The cost of one step and row for different lengths and batch sizes; it should be constant.

import { LSTM } from "../dist/index.js";
import { currentCore } from "../bindings/instantiate.js";
import { LSTM as LSTMOfSources } from "../src/index.js";
import type { Sizes } from "./cases.js";
import { medianTime } from "./common.js";
import { draw } from "./draw.js";
import type { Variant } from "./peak.js";

/** LSTM forward and backward, in f64. */
export interface Scaling extends Sizes {
  variant: Variant;
  /** Median time of one call, divided by T N, in nanoseconds. */
  nsPerStepRow: number;
  runs: number;
  /** Numbers that the forward pass saves for the backward pass, divided by T N. */
  kept: number;
  /** The same by design: gates 4H, c, psi(c) and h, H each, and x, D. */
  designed: number;
}

export async function scaling(variant: Variant, sizes: Sizes, ms: number): Promise<Scaling> {
  const { N, T, D, H } = sizes;
  using layer = new LSTM(D, H, { seed: 1 });
  const x = draw("f64", T, N, D);
  const output = draw("f64", T, N, H);
  const both = () => {
    layer.forward(x);
    layer.backward({ output });
  };
  await medianTime(both, ms / 4); // warms up
  const { us, calls } = await medianTime(both, ms);
  return {
    variant,
    ...sizes,
    nsPerStepRow: (us * 1000) / (T * N),
    runs: calls,
    kept: kept(sizes),
    designed: 7 * H + D,
  };
}

/** Growth of the heap during a forward pass; only the sources give access to the heap. */
function kept({ N, T, D, H }: Sizes): number {
  using layer = new LSTMOfSources(D, H);
  const { heap } = currentCore();
  const before = heap.bytesUsed;
  layer.forward(draw("f64", T, N, D));
  return (heap.bytesUsed - before) / 8 / (T * N);
}
