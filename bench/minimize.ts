// What recording costs: `minimize` beside the same step written by hand, in turns within one process.
//   npm run bench:minimize [-- --quick]

import { Adam, Linear, LSTM, Random, mse, tensor, type FloatDtype, type Tensor } from "../dist/index.js";
import { median } from "./common.js";

const quick = process.argv.includes("--quick");
const random = new Random(1);
const normal = (shape: number[], dtype: FloatDtype): Tensor<FloatDtype> =>
  tensor(
    Array.from({ length: shape.reduce((size, n) => size * n, 1) }, () => random.normal()),
    shape,
    dtype,
  );

/** Milliseconds of each, in turns. */
function inTurns(runs: number, ...bodies: (() => void)[]): number[][] {
  const times = bodies.map((): number[] => []);
  for (let run = 0; run < runs; run++) {
    bodies.forEach((body, i) => {
      const start = performance.now();
      body();
      times[i]!.push(performance.now() - start);
    });
  }
  return times;
}

/** The median of the ratios of pairs. */
function ratio([a, b]: number[][]): number {
  return median(a!.map((time, i) => time / b![i]!));
}

for (const dtype of ["f64", "f32"] as const) {
  const [n, t, d, h] = [32, 64, 128, 256];
  const make = () => {
    const layer = new LSTM(d, h, { dtype, seed: 1 });
    return { layer, adam: new Adam(layer.parameters()) };
  };
  const [recorded, hand] = [make(), make()];
  const [x, y] = [normal([t, n, d], dtype), normal([t, n, h], dtype)];
  const minimize = () => void recorded.adam.minimize(() => mse(recorded.layer.forward(x).output, y));
  const byHand = () => {
    const { dPrediction } = mse(hand.layer.forward(x).output, y);
    hand.adam.zeroGrad();
    hand.layer.backward({ output: dPrediction });
    hand.adam.step();
  };
  inTurns(3, minimize, byHand);
  const times = inTurns(quick ? 5 : 40, minimize, byHand);
  console.log(
    `LSTM medium (N=${n} T=${t} D=${d} H=${h}) ${dtype}: minimize / by hand ${ratio(times).toFixed(3)} ` +
      `(${times.map((each) => median(each).toFixed(1)).join(" and ")} ms)`,
  );
}

{
  const calls = 1000;
  const layer = new Linear(1, 1, { seed: 1 });
  const other = new Linear(1, 1, { seed: 1 });
  const adam = new Adam(layer.parameters());
  const [x, y] = [normal([1, 1], "f64"), normal([1, 1], "f64")];
  const chain = () => {
    let h: Tensor<FloatDtype> = x;
    for (let i = 0; i < calls; i++) h = layer.forward(h).output;
    return mse(h, y);
  };
  const minimize = () => void adam.minimize(chain);
  // the same calls, each followed by its backward: what recording adds is the difference
  const byHand = () => {
    for (let i = 0; i < calls; i++) other.backward({ output: other.forward(x).output });
  };
  inTurns(30, minimize, byHand);
  const [a, b] = inTurns(quick ? 20 : 200, minimize, byHand);
  const difference = median(a!.map((time, i) => time - b![i]!));
  console.log(
    `recorded call (Linear 1 -> 1): ${((1000 * median(a!)) / calls).toFixed(2)} us forward and backward, ` +
      `${((1000 * difference) / calls).toFixed(2)} us more than by hand`,
  );
}
