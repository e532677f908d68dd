// The graph module's convolution by tables of windows, bit by bit against a loop over channels and taps.

import { LINEAR, RELU } from "../activation";
import { Conv, convForward, convPack } from "../graph/conv";
import { nr } from "../gemm/microkernel";
import { Buffer, expectIntact, expectSame, input, maddScalar, output, SIZES } from "./helpers";
import { scratch } from "./scratch";

const LEAKY_RELU: i32 = 6;

/** One convolution of images [channels,rows,columns] by taps of 2 x 3, with strides; `spread`: outputs apart from each other in y. */
function check<T>(
  images: i32,
  groups: i32,
  channels: i32,
  outputs: i32,
  rows: i32,
  columns: i32,
  stride: i32,
  direct: bool,
  bias: bool,
  activation: i32,
  spread: bool,
  taps: i32,
  tapsFirst: bool = false,
): void {
  assert(scratch != 0);
  const what = `${images} images, ${groups} groups of ${channels} to ${outputs} channels, ${taps} taps, positions ${rows} x ${columns}, stride ${stride}, direct ${direct}, bias ${bias}, activation ${activation}, spread ${spread}, taps first ${tapsFirst}`;
  const size = <i32>sizeof<T>();
  const width = (columns - 1) * stride + 3;
  const plane = ((rows - 1) * stride + 2) * width;
  const count = rows * columns;
  const k = taps * channels;
  const step = spread ? 2 : 1;
  const s = new Conv();
  s.slope = 0.25;
  s.activation = activation;
  s.images = images;
  s.groups = groups;
  s.channels = channels;
  s.outputs = outputs;
  s.direct = direct;
  s.taps = taps;
  s.kChannel = tapsFirst ? 1 : taps;
  s.kTap = tapsFirst ? channels : 1;
  s.biasFirst = tapsFirst;
  const weightTaps = new Buffer<i32>(taps);
  const offsets = new Buffer<i32>(k);
  for (let t = 0; t < taps; t++) {
    weightTaps[t] = taps == 6 ? t : 5 - t; // all six are beside each other
    for (let c = 0; c < channels; c++)
      offsets[c * s.kChannel + t * s.kTap] = size * (c * plane + (t / 3) * width + (t % 3));
  }
  const positions = new Buffer<i32>(count);
  const yPositions = new Buffer<i32>(count);
  for (let i = 0; i < count; i++) {
    positions[i] = size * stride * ((i / columns) * width + (i % columns));
    yPositions[i] = size * (step * i + (spread ? 3 * (i / columns) : 0));
  }
  weightTaps.freeze();
  offsets.freeze();
  positions.freeze();
  yPositions.freeze();
  const weight = input<T>(groups * outputs * channels * 6);
  const b = input<T>(groups * outputs);
  const x = input<T>(images * groups * channels * plane);
  const yPlane = step * count + (spread ? 3 * rows : 0) + 1;
  const y = output<T>(images * groups * outputs * yPlane);
  s.weightTaps = weightTaps.p;
  s.weightChannel = 6;
  s.weightOutput = 6 * channels;
  s.weightGroup = 6 * channels * outputs;
  s.weight = weight.p;
  const padded = direct ? outputs : ((outputs + nr<T>() - 1) / nr<T>()) * nr<T>();
  const panels = output<T>(groups * padded * k);
  s.panels = panels.p;
  s.bias = bias ? b.p : 0;
  s.x = x.p;
  s.xImage = groups * channels * plane;
  s.xGroup = channels * plane;
  s.offsets = offsets.p;
  s.positions = positions.p;
  s.count = count;
  s.y = y.p;
  s.yImage = groups * outputs * yPlane;
  s.yPlane = yPlane;
  s.yPositions = spread ? yPositions.p : 0;
  s.work = output<T>((208 + size * 3 * (k + outputs)) / size).p;
  convPack<T>(s);
  panels.freeze();
  convForward<T>(s);

  const expected = new Buffer<T>(y.length).fill(<T>NaN);
  for (let image = 0; image < images; image++) {
    for (let o = 0; o < groups * outputs; o++) {
      const group = o / outputs;
      for (let i = 0; i < count; i++) {
        let sum: T = bias && tapsFirst ? b[o] : 0;
        for (let j = 0; j < k; j++) {
          const c = tapsFirst ? j % channels : j / taps;
          const t = tapsFirst ? j / channels : j % taps;
          const from = (image * groups + group) * channels * plane + (positions[i] + offsets[j]) / size;
          sum = maddScalar<T>(x[from], weight[(o * channels + c) * 6 + weightTaps[t]], sum);
        }
        if (bias && !tapsFirst) sum += b[o];
        if (activation != LINEAR && sum <= 0) sum = activation == RELU ? 0 : sum * <T>0.25;
        expected[(image * groups * outputs + o) * yPlane + (spread ? yPositions[i] / size : i)] = sum;
      }
    }
  }
  expectSame<T>(what, y, expected);
  expectIntact(what);
}

function sizes<T>(): void {
  for (let a = 0; a < SIZES.length; a++) {
    for (let b = 0; b < SIZES.length; b++) {
      const n = SIZES[a];
      const m = SIZES[b];
      check<T>(1, 1, 3, n, 1, m, 1, false, true, LINEAR, false, 6);
      check<T>(1, 2, 3, n, 1, m, 1, false, true, LINEAR, false, 6, true);
      check<T>(1, n, 1, 2, 1, m, 1, true, true, RELU, false, 6, true);
      check<T>(2, 2, n, m, 3, 3, 2, false, false, RELU, false, 5);
      check<T>(1, 3, 2, n, 2, m, 1, false, true, LEAKY_RELU, true, 6);
      check<T>(2, n, 1, 2, 3, m, 1, true, true, LINEAR, false, 6);
      check<T>(1, n, 1, 1, 2, m, 2, true, false, LEAKY_RELU, true, 4);
    }
    check<T>(1, 1, SIZES[a], 9, 1, SIZES[a], 1, false, true, LINEAR, false, 0);
    check<T>(1, 1, 1, 2, 1, SIZES[a], 1, true, true, LINEAR, false, 0);
  }
  check<T>(1, 1, 150, 9, 1, 7, 1, false, true, LINEAR, false, 2); // blocks of k
}

describe("graph: convolution", () => {
  test("all sizes f64", () => sizes<f64>());
  test("all sizes f32", () => sizes<f32>());
});
