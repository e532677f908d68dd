// The amplifier that the model learned: two stages that clip, a tone control between them, and a loudspeaker, as filters of first order.
// It stands for a recording of a real one, which would be somebody's.

import { SAMPLE_RATE } from "./guitar.js";

/** A filter of first order that lets low frequencies pass. */
function lowPass(cutoff: number): (x: number) => number {
  const a = 1 - Math.exp((-2 * Math.PI * cutoff) / SAMPLE_RATE);
  let y = 0;
  return (x) => (y += a * (x - y));
}

function highPass(cutoff: number): (x: number) => number {
  const low = lowPass(cutoff);
  return (x) => x - low(x);
}

/** What comes out of the amplifier for what goes in. */
export function amplify(input: Float32Array): Float32Array<ArrayBuffer> {
  const [coupling, between, tone] = [highPass(120), highPass(60), lowPass(4200)];
  const [cabinet, cone, body] = [lowPass(5200), lowPass(6500), highPass(75)];
  const bias = 0.25;
  return Float32Array.from(input, (sample) => {
    const first = Math.tanh(8 * coupling(sample) + bias) - Math.tanh(bias); // a tube is not symmetric
    const second = Math.tanh(2.5 * tone(between(first)));
    return 0.6 * body(cone(cabinet(second)));
  });
}
