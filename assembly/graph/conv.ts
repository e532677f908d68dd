// Convolution of tensors [N,C,...], with G groups of channels, by tables of windows (windows.ts):
//
//   y[n,o,p] = phi((sum over channels c of o's group, then taps t, of weight[o,c,t] x[n,c, position p + tap t]) + bias[o])
//
// It is a product: rows are positions, columns outputs; the micro-kernel takes the numbers of a row where they lie, by the offsets of
// channels and taps (an indirect convolution: Dukhan 2019). One channel for few outputs is summed directly.
//
// Each output is summed in this order in every path, with zeros for padding, whatever N and the positions beside it are; with
// `biasFirst` the bias is first, and with other strides of the product taps come before channels (the order of ../layers/conv.ts). A
// transposed convolution is one of these for each remainder of positions by the stride, each with the taps that meet it.

import { activate, LINEAR, relu, RELU } from "../activation";
import { gemmPacked } from "../gemm/gemm";
import { nr } from "../gemm/microkernel";
import { pack, transposeBlock } from "../gemm/pack";
import { at, bytes, lanes, loadLanes, loadSplat, madd, storeLanes } from "../simd";
import { areNeighbours, gather, offset, put } from "./windows";

/** A code of `activation` past those of ../activation.ts: x where x > 0, else slope x. */
const LEAKY_RELU: i32 = 6;

/** Arguments of the kernels. Strides are in numbers. */
@unmanaged
export class Conv {
  /** Of the leaky ReLU. */
  slope: f64;
  activation: i32;
  images: i32;
  groups: i32;
  /** Of a group. */
  channels: i32;
  outputs: i32;
  /** Whether there are no products; channels is 1 then. */
  direct: i32;
  /** [taps] i32: where the numbers of each tap start in the weights, in numbers; how far apart channels, outputs, groups are. */
  taps: i32;
  weightTaps: usize;
  weightChannel: i32;
  weightOutput: i32;
  weightGroup: i32;
  weight: usize;
  /** The weights as `convPack` packs them: for each group ceil(outputs / NR) NR k numbers, k = taps channels; direct: outputs taps. */
  panels: usize;
  /** Where the numbers of a channel and of a tap are among the k of a product: c kChannel + t kTap. */
  kChannel: i32;
  kTap: i32;
  /** [outputs of all groups], or 0 for none; whether sums begin with it. */
  bias: usize;
  biasFirst: i32;
  x: usize;
  xImage: i32;
  xGroup: i32;
  /** [k] i32: offsets of channels and taps, in bytes. */
  offsets: usize;
  /** [count] i32: offsets of positions, ascending. */
  positions: usize;
  count: i32;
  y: usize;
  /** How far apart images and outputs are. */
  yImage: i32;
  yPlane: i32;
  /** [count] i32: offsets of positions in y; 0: they are neighbours. */
  yPositions: usize;
  /** Scratch: 192 bytes, 3 (k + outputs) numbers, 16 bytes. */
  work: usize;
}

/** panels = the weights, for `convForward`. */
export function convPack<T>(s: Conv): void {
  let panels = s.panels;
  const k = s.taps * s.channels;
  const panelStride = bytes<T>(k * nr<T>());
  for (let g = 0; g < s.groups; g++) {
    const group = at<T>(s.weight, g * s.weightGroup);
    if (
      !s.direct &&
      s.kTap == 1 &&
      s.weightChannel == s.taps &&
      load<i32>(at<i32>(s.weightTaps, s.taps - 1)) == s.taps - 1
    ) {
      pack<T>(k, s.outputs, group, 1, s.weightOutput, nr<T>(), panels, panelStride);
    } else {
      for (let c = 0; c < s.channels; c++) {
        for (let t = 0; t < s.taps; t++) {
          const from = at<T>(group, c * s.weightChannel + load<i32>(at<i32>(s.weightTaps, t)));
          if (s.direct) {
            for (let o = 0; o < s.outputs; o++) {
              store<T>(at<T>(panels, o * s.taps + t), load<T>(at<T>(from, o * s.weightOutput)));
            }
          } else {
            const to = at<T>(panels, (c * s.kChannel + t * s.kTap) * nr<T>());
            pack<T>(1, s.outputs, from, 0, s.weightOutput, nr<T>(), to, panelStride);
          }
        }
      }
    }
    panels += s.direct ? bytes<T>(k * s.outputs) : <usize>((s.outputs + nr<T>() - 1) / nr<T>()) * panelStride;
  }
}

/** y = the convolution of x. */
export function convForward<T>(s: Conv): void {
  const k = s.taps * s.channels;
  for (let image = 0; image < s.images; image++) {
    let panels = s.panels;
    let bias = s.bias;
    let x = s.x + <usize>image * bytes<T>(s.xImage);
    let y = s.y + <usize>image * bytes<T>(s.yImage);
    for (let g = 0; g < s.groups; g++) {
      if (s.direct) panels = direct<T>(s, x, panels, bias, y);
      else panels = products<T>(s, k, x, panels, bias, y);
      if (bias) bias += bytes<T>(s.outputs);
      x += bytes<T>(s.xGroup);
      y += <usize>s.outputs * bytes<T>(s.yPlane);
    }
  }
}

/** phi(v). */
function activated<T>(s: Conv, v: v128): v128 {
  if (s.activation == RELU) return relu<T>(v);
  if (s.activation != LEAKY_RELU) return activate<T>(s.activation, v, 0);
  const below = v128.mul<T>(v, v128.splat<T>(<T>s.slope));
  return v128.bitselect(v, below, v128.gt<T>(v, v128.splat<T>(0)));
}

/** A group of one channel. Returns the end of its weights. */
function direct<T>(s: Conv, x: usize, weight: usize, bias: usize, y: usize): usize {
  for (let o = 0; o < s.outputs; o++) {
    const end = bias ? loadSplat<T>(at<T>(bias, o)) : v128.splat<T>(0);
    let i = 0;
    while (i < s.count) {
      const rest = s.count - i;
      if (areNeighbours<T>(s.positions, i, rest, 4 * lanes<T>())) {
        fourVectors<T>(s, x + offset(s.positions, i), weight, end, y, i);
        i += 4 * lanes<T>();
        continue;
      }
      let sum = s.biasFirst ? end : v128.splat<T>(0);
      const dense = areNeighbours<T>(s.positions, i, rest, lanes<T>());
      for (let t = 0; t < s.taps; t++) {
        const p = x + offset(s.offsets, t);
        const from = dense ? v128.load(p + offset(s.positions, i)) : gather<T>(p, s.positions, i, rest);
        sum = madd<T>(from, loadSplat<T>(at<T>(weight, t)), sum);
      }
      if (!s.biasFirst) sum = v128.add<T>(sum, end);
      if (s.activation != LINEAR) sum = activated<T>(s, sum);
      put<T>(sum, y, s.yPositions, i, rest);
      i += lanes<T>();
    }
    weight += bytes<T>(s.taps);
    y += bytes<T>(s.yPlane);
  }
  return weight;
}

/** Four vectors of neighbours at once: with fewer, each waits for its own sum. */
// @ts-ignore: decorator
@inline
function fourVectors<T>(s: Conv, p: usize, weight: usize, end: v128, y: usize, i: i32): void {
  let v0 = s.biasFirst ? end : v128.splat<T>(0);
  let v1 = v0;
  let v2 = v0;
  let v3 = v0;
  for (let t = 0; t < s.taps; t++) {
    const from = p + offset(s.offsets, t);
    const w = loadSplat<T>(at<T>(weight, t));
    v0 = madd<T>(v128.load(from), w, v0);
    v1 = madd<T>(v128.load(from, 16), w, v1);
    v2 = madd<T>(v128.load(from, 32), w, v2);
    v3 = madd<T>(v128.load(from, 48), w, v3);
  }
  if (!s.biasFirst) {
    v0 = v128.add<T>(v0, end);
    v1 = v128.add<T>(v1, end);
    v2 = v128.add<T>(v2, end);
    v3 = v128.add<T>(v3, end);
  }
  if (s.activation != LINEAR) {
    v0 = activated<T>(s, v0);
    v1 = activated<T>(s, v1);
    v2 = activated<T>(s, v2);
    v3 = activated<T>(s, v3);
  }
  put<T>(v0, y, s.yPositions, i, lanes<T>());
  put<T>(v1, y, s.yPositions, i + lanes<T>(), lanes<T>());
  put<T>(v2, y, s.yPositions, i + 2 * lanes<T>(), lanes<T>());
  put<T>(v3, y, s.yPositions, i + 3 * lanes<T>(), lanes<T>());
}

/** A group, as products. Returns the end of its panels. */
function products<T>(s: Conv, k: i32, x: usize, panels: usize, bias: usize, y: usize): usize {
  const tile = s.work;
  const start = tile + 128; // [NR]
  const whole = s.count & ~3;
  const last = s.biasFirst ? <usize>0 : bias;
  memory.fill(start, 0, 32);
  let panel = panels;
  for (let j = 0; j < s.outputs; j += nr<T>()) {
    const columns = min(nr<T>(), s.outputs - j);
    if (bias != 0 && s.biasFirst != 0) memory.copy(start, at<T>(bias, j), bytes<T>(columns));
    for (let i = 0; i < whole; i += 4) {
      const p = at<i32>(s.positions, i);
      // prettier-ignore
      microkernelIndirect<T>(k, s.offsets, x + offset(p, 0), x + offset(p, 1), x + offset(p, 2), x + offset(p, 3), panel, start, tile);
      finish<T>(s, i, 4, tile, nr<T>(), columns, last ? at<T>(last, j) : 0, y);
    }
    panel += bytes<T>(k * nr<T>());
    y += bytes<T>(nr<T>() * s.yPlane);
  }
  if (s.count > whole) {
    y -= <usize>((s.outputs + nr<T>() - 1) / nr<T>()) * bytes<T>(nr<T>() * s.yPlane);
    lastPositions<T>(s, k, whole, x, panels, bias, y);
  }
  return panel;
}

/** The positions from `first` on, one to three, for all outputs: four panels at once are faster for one row than four rows. */
function lastPositions<T>(s: Conv, k: i32, first: i32, x: usize, panels: usize, bias: usize, y: usize): void {
  const rest = s.count - first;
  const rows = s.work + 192;
  const results = at<T>(rows, 3 * k);
  let to = rows;
  for (let i = 0; i < rest; i++) {
    const from = x + offset(s.positions, first + i);
    for (let j = 0; j < k; j++) {
      store<T>(to, load<T>(from + offset(s.offsets, j)));
      to += bytes<T>(1);
    }
    const result = at<T>(results, i * s.outputs);
    if (bias != 0 && s.biasFirst != 0) memory.copy(result, bias, bytes<T>(s.outputs));
    else memory.fill(result, 0, bytes<T>(s.outputs));
  }
  gemmPacked<T>(rest, s.outputs, k, rows, k, panels, results, results, s.outputs);
  finish<T>(s, first, rest, results, s.outputs, s.outputs, s.biasFirst ? <usize>0 : bias, y);
}

/** y = phi(results [count,columns] + bias [columns]), rows `stride` numbers apart: positions i, i + 1 ... The results change. */
function finish<T>(
  s: Conv,
  i: i32,
  count: i32,
  results: usize,
  stride: i32,
  columns: i32,
  bias: usize,
  y: usize,
): void {
  if (bias) {
    for (let r = 0; r < count; r++) {
      for (let j = 0; j < columns; j += lanes<T>()) {
        const p = at<T>(results, r * stride + j);
        const rest = columns - j;
        storeLanes<T>(p, v128.add<T>(loadLanes<T>(p, rest), loadLanes<T>(at<T>(bias, j), rest)), rest);
      }
    }
  }
  const end = results + bytes<T>((count - 1) * stride + columns);
  if (s.activation == RELU) {
    for (let p = results; p < end; p += 16) v128.store(p, relu<T>(v128.load(p)));
  } else if (s.activation != LINEAR) {
    for (let p = results; p < end; p += 16) v128.store(p, activated<T>(s, v128.load(p)));
  }
  const blocks = s.yPositions == 0 && count == 4 ? columns & ~(lanes<T>() - 1) : 0;
  for (let j = 0; j < blocks; j += lanes<T>()) {
    for (let r = 0; r < 4; r += lanes<T>()) {
      const from = at<T>(results, r * stride + j);
      transposeBlock<T>(from, bytes<T>(stride), at<T>(y, j * s.yPlane + i + r), bytes<T>(s.yPlane));
    }
  }
  for (let r = 0; r < count; r++) {
    const at0 = s.yPositions ? offset(s.yPositions, i + r) : bytes<T>(i + r);
    for (let j = blocks; j < columns; j++) {
      store<T>(y + at0 + <usize>j * bytes<T>(s.yPlane), load<T>(at<T>(results, r * stride + j)));
    }
  }
}

/**
 * The micro-kernel (../gemm/microkernel.ts) with rows of A where they lie.
 *
 *   offsets  in: [k] i32: number p of each row lies offsets[p] bytes past a0, a1, a2, a3
 *   b        in: panel of B, [k][NR]
 *   start    in: [NR]: what the sums of each row begin with
 *   c        out: [4][NR]
 */
function microkernelIndirect<T>(
  k: i32,
  offsets: usize,
  a0: usize,
  a1: usize,
  a2: usize,
  a3: usize,
  b: usize,
  start: usize,
  c: usize,
): void {
  let c00 = v128.load(start);
  let c01 = v128.load(start, 16);
  let c10 = c00;
  let c11 = c01;
  let c20 = c00;
  let c21 = c01;
  let c30 = c00;
  let c31 = c01;
  for (; k > 0; --k) {
    const p = <usize>load<i32>(offsets);
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const s0 = loadSplat<T>(a0 + p);
    c00 = madd<T>(s0, b0, c00);
    c01 = madd<T>(s0, b1, c01);
    const s1 = loadSplat<T>(a1 + p);
    c10 = madd<T>(s1, b0, c10);
    c11 = madd<T>(s1, b1, c11);
    const s2 = loadSplat<T>(a2 + p);
    c20 = madd<T>(s2, b0, c20);
    c21 = madd<T>(s2, b1, c21);
    const s3 = loadSplat<T>(a3 + p);
    c30 = madd<T>(s3, b0, c30);
    c31 = madd<T>(s3, b1, c31);
    offsets += 4;
    b += 32;
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c, c10, 32);
  v128.store(c, c11, 48);
  v128.store(c, c20, 64);
  v128.store(c, c21, 80);
  v128.store(c, c30, 96);
  v128.store(c, c31, 112);
}
