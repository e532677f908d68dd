// Convolution over time, channels last, with G groups of channels:
//
//   y[t,o] = bias[o] + sum over taps k, then channels c of o's group, of weight[o,c,k] x[t stride + k dilation, c]
//
// x has its zeros before and after each sequence (steps.ts). Output t of a row reads `taps` rows of x, so that for one group and
// without dilation the rows of the product x W are windows of x that overlap in memory: one product for each sequence. Otherwise
// there is a product for each group and tap. Where each group is one channel, nothing is shared, and the sum is taken directly.
//
// Each output is summed in the same order in every case, whatever T and N are: a step at a time gives the bits of a sequence.
//
// backward, from dy:
//
//   dx[t stride + k dilation, c] += weight[o,c,k] dy[t,o]      dWeight[o,c,k] += dy[t,o] x[t stride + k dilation, c]
//   dBias[o] += dy[t,o]

import { gemm, gemmPacked, OVERWRITE, packedBytes, packWeight } from "../gemm/gemm";
import { nr } from "../gemm/microkernel";
import { pack } from "../gemm/pack";
import { addColumnSums } from "../recurrent/gradients";
import { at, bytes, fitting, lanes, loadLanes, madd, matrixBytes, storeLanes } from "../simd";

/** Arguments of the kernels. Strides are in numbers. */
@unmanaged
export class Convolution {
  /** Rows; the most outputs of a row; [N] i32: the outputs of each row. */
  n: i32;
  t: i32;
  counts: usize;
  /** Channels of x and y, multiples of groups. */
  c: i32;
  o: i32;
  taps: i32;
  stride: i32;
  dilation: i32;
  groups: i32;
  /** Rows of x [steps,C], xRow apart; a row has the last step that its last output reads. */
  x: usize;
  xRow: i32;
  /** [O,C/G,taps], and [O] or 0 for none. */
  weight: usize;
  bias: usize;
  /** The weights as `conv1dPack` packs them: conv1dPackedBytes bytes. */
  panels: usize;
  /** Outputs, steps and rows of them apart as given; past a row's outputs `conv1dForward` writes zeros. */
  y: usize;
  yStep: i32;
  yRow: i32;
  /** Backward: [N,t,O], dense; rows as x's, to be added to; [O,C/G,taps] and [O] (or 0), added to; conv1dWorkBytes bytes. */
  dy: usize;
  dx: usize;
  dWeight: usize;
  dBias: usize;
  work: usize;
}

/** Whether each group is one channel in and one out. */
// @ts-ignore: decorator
@inline
function isDepthwise(s: Convolution): bool {
  return s.groups > 1 && s.groups == s.c && s.groups == s.o;
}

/** Taps that one product takes. */
// @ts-ignore: decorator
@inline
function tapsAtOnce(s: Convolution): i32 {
  return s.groups == 1 && s.dilation == 1 ? s.taps : 1;
}

/** Bytes of the packed weights. */
export function conv1dPackedBytes<T>(s: Convolution): usize {
  if (isDepthwise(s)) return fitting(matrixBytes<T>(s.taps, s.c));
  const columns = ((s.o / s.groups + nr<T>() - 1) / nr<T>()) * nr<T>();
  return fitting(matrixBytes<T>(s.taps * s.c, columns));
}

/** Bytes of scratch of `conv1dBackward`: the weights packed for dx, and dWeight with taps before channels. */
export function conv1dWorkBytes<T>(s: Convolution): usize {
  if (isDepthwise(s)) return fitting(matrixBytes<T>(2 * s.taps, s.c));
  const width = s.c / s.groups;
  const columns = ((width + nr<T>() - 1) / nr<T>()) * nr<T>();
  return fitting(matrixBytes<T>(s.taps * s.o, columns) + matrixBytes<T>(s.taps * s.o, width));
}

/** panels = the weights, for `conv1dForward`. */
export function conv1dPack<T>(s: Convolution): void {
  if (isDepthwise(s)) return transpose<T>(s.c, s.taps, s.weight, s.panels);
  const width = s.c / s.groups;
  const outputs = s.o / s.groups;
  const together = tapsAtOnce(s);
  const k = together * width;
  let weight = s.weight;
  let panels = s.panels;
  for (let g = 0; g < s.groups; g++) {
    for (let tap = 0; tap < s.taps; tap += together) {
      for (let i = 0; i < together; i++) {
        const from = at<T>(weight, tap + i);
        const to = at<T>(panels, i * width * nr<T>());
        pack<T>(width, outputs, from, s.taps, width * s.taps, nr<T>(), to, <usize>k * bytes<T>(nr<T>()));
      }
      panels += packedBytes<T>(k, outputs);
    }
    weight = at<T>(weight, outputs * width * s.taps);
  }
}

/** y = the convolution of x. */
export function conv1dForward<T>(s: Convolution): void {
  for (let row = 0; row < s.n; row++) {
    const count = load<i32>(s.counts + 4 * <usize>row);
    const x = s.x + <usize>row * bytes<T>(s.xRow);
    let y = s.y + <usize>row * bytes<T>(s.yRow);
    if (isDepthwise(s)) depthwise<T>(s, count, x, y);
    else products<T>(s, count, x, y);
    y += <usize>count * bytes<T>(s.yStep);
    for (let i = count; i < s.t; i++) {
      memory.fill(y, 0, bytes<T>(s.o));
      y += bytes<T>(s.yStep);
    }
  }
}

/** The outputs of a row, as products. */
function products<T>(s: Convolution, count: i32, x: usize, y: usize): void {
  if (count == 0) return;
  const width = s.c / s.groups;
  const outputs = s.o / s.groups;
  const together = tapsAtOnce(s);
  const k = together * width;
  let panels = s.panels;
  for (let g = 0; g < s.groups; g++) {
    let start = s.bias ? at<T>(s.bias, g * outputs) : OVERWRITE;
    const to = at<T>(y, g * outputs);
    for (let tap = 0; tap < s.taps; tap += together) {
      const from = at<T>(x, tap * s.dilation * s.c + g * width);
      gemmPacked<T>(count, outputs, k, from, s.stride * s.c, panels, start, to, s.yStep);
      panels += packedBytes<T>(k, outputs);
      start = to;
    }
  }
}

/** The outputs of a row, where each group is one channel. */
function depthwise<T>(s: Convolution, count: i32, x: usize, y: usize): void {
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < s.c; c += lanes<T>()) {
      const rest = s.c - c;
      let sum = s.bias ? loadLanes<T>(at<T>(s.bias, c), rest) : v128.splat<T>(0);
      for (let k = 0; k < s.taps; k++) {
        const from = loadLanes<T>(at<T>(x, k * s.dilation * s.c + c), rest);
        sum = madd<T>(from, loadLanes<T>(at<T>(s.panels, k * s.c + c), rest), sum);
      }
      storeLanes<T>(at<T>(y, c), sum, rest);
    }
    x += bytes<T>(s.stride * s.c);
    y += bytes<T>(s.yStep);
  }
}

/** dx, dWeight and dBias += their gradients. */
export function conv1dBackward<T>(s: Convolution): void {
  for (let row = 0; row < s.n; row++) {
    const count = load<i32>(s.counts + 4 * <usize>row);
    if (s.dBias) addColumnSums<T>(count, s.o, dyOf<T>(s, row), s.o, s.dBias);
  }
  if (isDepthwise(s)) depthwiseBackward<T>(s);
  else productsBackward<T>(s);
}

// @ts-ignore: decorator
@inline
function dyOf<T>(s: Convolution, row: i32): usize {
  return s.dy + <usize>row * <usize>s.t * bytes<T>(s.o);
}

function productsBackward<T>(s: Convolution): void {
  const width = s.c / s.groups;
  const outputs = s.o / s.groups;
  const together = tapsAtOnce(s);
  const packed = packedBytes<T>(outputs, width);
  const panels = s.work;
  for (let g = 0; g < s.groups; g++) {
    const weight = at<T>(s.weight, g * outputs * width * s.taps);
    for (let tap = 0; tap < s.taps; tap++) {
      const to = panels + <usize>(g * s.taps + tap) * packed;
      packWeight<T>(outputs, width, at<T>(weight, tap), width * s.taps, s.taps, to);
    }
  }
  const dWeight = panels + <usize>(s.groups * s.taps) * packed; // [O,taps,C/G]
  const size = s.o * s.taps * width;
  memory.fill(dWeight, 0, bytes<T>(size));
  for (let row = 0; row < s.n; row++) {
    const count = load<i32>(s.counts + 4 * <usize>row);
    if (count == 0) continue;
    const offset = <usize>row * bytes<T>(s.xRow);
    for (let g = 0; g < s.groups; g++) {
      const dy = at<T>(dyOf<T>(s, row), g * outputs);
      for (let tap = 0; tap < s.taps; tap++) {
        const dx = at<T>(s.dx + offset, tap * s.dilation * s.c + g * width);
        const from = panels + <usize>(g * s.taps + tap) * packed;
        gemmPacked<T>(count, width, outputs, dy, s.o, from, dx, dx, s.stride * s.c);
      }
      for (let tap = 0; tap < s.taps; tap += together) {
        const x = at<T>(s.x + offset, tap * s.dilation * s.c + g * width);
        const to = at<T>(dWeight, (g * outputs * s.taps + tap) * width);
        // prettier-ignore
        gemm<T>(outputs, together * width, count, dy, 1, s.o, x, s.stride * s.c, 1, to, to, s.taps * width);
      }
    }
  }
  let from = dWeight;
  for (let o = 0; o < s.o; o++) {
    for (let tap = 0; tap < s.taps; tap++) {
      let to = at<T>(s.dWeight, o * width * s.taps + tap);
      for (let c = 0; c < width; c++) {
        store<T>(to, load<T>(to) + load<T>(from));
        from += bytes<T>(1);
        to += bytes<T>(s.taps);
      }
    }
  }
}

function depthwiseBackward<T>(s: Convolution): void {
  const weight = s.work; // [taps,C]
  const dWeight = at<T>(weight, s.taps * s.c);
  transpose<T>(s.c, s.taps, s.weight, weight);
  memory.fill(dWeight, 0, bytes<T>(s.taps * s.c));
  for (let row = 0; row < s.n; row++) {
    const count = load<i32>(s.counts + 4 * <usize>row);
    let dy = dyOf<T>(s, row);
    let offset = <usize>row * bytes<T>(s.xRow);
    for (let i = 0; i < count; i++) {
      for (let k = 0; k < s.taps; k++) {
        const x = at<T>(s.x + offset, k * s.dilation * s.c);
        const dx = at<T>(s.dx + offset, k * s.dilation * s.c);
        for (let c = 0; c < s.c; c += lanes<T>()) {
          const rest = s.c - c;
          const d = loadLanes<T>(at<T>(dy, c), rest);
          const w = at<T>(weight, k * s.c + c);
          const dw = at<T>(dWeight, k * s.c + c);
          storeLanes<T>(at<T>(dx, c), madd<T>(d, loadLanes<T>(w, rest), loadLanes<T>(at<T>(dx, c), rest)), rest);
          storeLanes<T>(dw, madd<T>(d, loadLanes<T>(at<T>(x, c), rest), loadLanes<T>(dw, rest)), rest);
        }
      }
      dy += bytes<T>(s.o);
      offset += bytes<T>(s.stride * s.c);
    }
  }
  let from = dWeight;
  for (let k = 0; k < s.taps; k++) {
    for (let c = 0; c < s.c; c++) {
      const to = at<T>(s.dWeight, c * s.taps + k);
      store<T>(to, load<T>(to) + load<T>(from));
      from += bytes<T>(1);
    }
  }
}

/** to [columns,rows] = from [rows,columns] transposed. */
function transpose<T>(rows: i32, columns: i32, from: usize, to: usize): void {
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) store<T>(at<T>(to, j * rows + i), load<T>(at<T>(from, i * columns + j)));
  }
}
