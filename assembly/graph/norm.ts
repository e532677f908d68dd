// Normalisation of the channels of tensors [N,C,...] by given statistics:
//
//   y = (x - mean) scale / sqrt(variance + epsilon) + bias

import { at, bytes, lanes, loadLanes, madd, storeLanes } from "../simd";

/** Arguments of `normalize`. */
@unmanaged
export class Normalization {
  epsilon: f64;
  /** Images times channels, channels, and numbers of each. */
  planes: i32;
  channels: i32;
  n: i32;
  /** [planes,n]; y may be x. */
  x: usize;
  y: usize;
  /** [channels] each; 0 for both: the statistics are 0 and 1. */
  mean: usize;
  variance: usize;
  scale: usize;
  bias: usize;
}

/** y = x, normalised. */
export function normalize<T>(s: Normalization): void {
  let x = s.x;
  let y = s.y;
  for (let plane = 0; plane < s.planes; plane++) {
    const c = plane % s.channels;
    let factor = load<T>(at<T>(s.scale, c));
    let mean: T = 0;
    if (s.mean) {
      factor /= sqrt<T>(load<T>(at<T>(s.variance, c)) + <T>s.epsilon);
      mean = load<T>(at<T>(s.mean, c));
    }
    const vMean = v128.splat<T>(mean);
    const vFactor = v128.splat<T>(factor);
    const vBias = v128.splat<T>(load<T>(at<T>(s.bias, c)));
    for (let i = 0; i < s.n; i += lanes<T>()) {
      const rest = s.n - i;
      const centred = v128.sub<T>(loadLanes<T>(at<T>(x, i), rest), vMean);
      storeLanes<T>(at<T>(y, i), madd<T>(centred, vFactor, vBias), rest);
    }
    x += bytes<T>(s.n);
    y += bytes<T>(s.n);
  }
}
