// Measures kernels and layers of the built package in this process: `npm run bench`, or `npm run bench -- --help`.
//
// Each figure is the median of its runs; bench/peak.ts measures the peak just before.

import { existsSync, readFileSync } from "node:fs";
import { Command } from "commander";
import { Bench } from "tinybench";
import * as wasmRnn from "../dist/index.js";
import * as coursera from "../dist/coursera.js";
import * as ops from "../dist/ops.js";
import { CASES, CHARLM, COURSE, flops, GEMMS, SCALING, STREAM, TOY, type Sizes } from "./cases.js";
import { hasTallTiles } from "../bindings/instantiate.js";
import { describeMachine, runWith, thisMachine, write, type Machine } from "./common.js";
import { draw, drawIndex } from "./draw.js";
import { scaling, type Scaling } from "./scaling.js";
import { peakMeter, type Dtype, type Variant } from "./peak.js";
import { tilesOf, type Tile } from "./tiles.js";

const options = new Command("bench")
  .description("Measures kernels and layers against the peak of one core in this process")
  .option("--node <path>", "run with another node binary")
  .option("--time <ms>", "time for each figure", (text) => Number(text), 400)
  .option("--only <text>", "only cases whose name contains this")
  .option("--toy", "toy sizes and one run of each, to check that it works")
  .option("--out <file>", "file to write the figures to, as JSON", "bench/results/latest.json")
  .option(
    "--best",
    "keep the faster of each new figure and the one in --out: a shared machine is slow for minutes at a time",
  )
  .parse()
  .opts<{ node?: string; time: number; only?: string; toy?: boolean; out: string; best?: boolean }>();

runWith(options.node, "bench/bench.ts");

/** One figure. */
export interface Figure {
  name: string;
  variant: Variant;
  dtype: Dtype;
  /** Median time of one call, in microseconds. */
  us: number;
  runs: number;
  /** Rate and percent of the peak, where operations are counted. */
  gflops?: number;
  peak?: number;
  percent?: number;
  /** For element-wise kernels: nanoseconds an element. */
  nsPerElement?: number;
}

export interface BenchResult {
  machine: Machine;
  figures: Figure[];
  scalings: Scaling[];
}

const figures: Figure[] = [];
const scalings: Scaling[] = [];

async function measure(
  name: string,
  variant: Variant,
  dtype: Dtype,
  run: () => void,
  work: { flops?: number; elements?: number },
): Promise<void> {
  if (options.only !== undefined && !name.includes(options.only)) return;
  // Warm up: V8 takes some calls to replace baseline code by optimised code.
  for (let i = 0, end = performance.now() + 200; i < (options.toy ? 1 : 20) && performance.now() < end; i++) run();
  const peak = work.flops ? peaks[variant]!(dtype) : undefined;
  const bench = new Bench(
    options.toy ? { time: 0, iterations: 1, warmup: false } : { time: options.time, iterations: 3, warmup: false },
  );
  bench.add(name, run);
  await bench.run();
  const result = bench.tasks[0]!.result;
  if (result.state !== "completed") throw new Error(`${name} did not complete: ${result.state}`);
  const ms = result.latency.p50;
  const figure: Figure = { name, variant, dtype, us: ms * 1000, runs: result.latency.samplesCount };
  if (work.flops && peak) {
    figure.gflops = work.flops / ms / 1e6;
    figure.peak = peak;
    figure.percent = (100 * figure.gflops) / peak;
  }
  if (work.elements) figure.nsPerElement = (ms * 1e6) / work.elements;
  figures.push(figure);
  const rate = figure.gflops
    ? `${figure.gflops.toFixed(1)} GFLOP/s ${figure.percent!.toFixed(0).padStart(3)}% of peak`
    : "";
  const each = figure.nsPerElement ? `${figure.nsPerElement.toFixed(2)} ns/element` : "";
  console.log(
    `${name.padEnd(34)} ${variant.padEnd(8)} ${dtype} ${figure.us.toFixed(1).padStart(10)} us  ${rate}${each}`,
  );
}

async function benchLayers(variant: Variant, dtype: Dtype): Promise<void> {
  for (const [name, full] of Object.entries(CASES)) {
    const sizes = options.toy ? TOY : full;
    const { N, T, D, H } = sizes;
    for (const [kind, gates] of [
      ["LSTM", 4],
      ["GRU", 3],
      ["RNN", 1],
    ] as const) {
      if (options.only !== undefined && !`${kind} ${name}`.includes(options.only.split(" forward")[0]!)) continue;
      const layer: wasmRnn.LSTM<Dtype> | wasmRnn.GRU<Dtype> | wasmRnn.RNN<Dtype> = new wasmRnn[kind](D, H, {
        dtype,
        seed: 1,
      });
      const x = draw(dtype, T, N, D);
      const output = draw(dtype, T, N, H);
      layer.eval();
      await measure(`${kind} ${name} forward`, variant, dtype, () => layer.forward(x), {
        flops: flops(gates, sizes, false),
      });
      layer.train();
      const both = () => {
        layer.forward(x);
        layer.backward({ output });
      };
      await measure(`${kind} ${name} forward+backward`, variant, dtype, both, { flops: flops(gates, sizes, true) });
      layer.dispose();
    }
  }
}

/** Both directions, and rows of different lengths, of which only real steps are counted. */
async function benchVariants(variant: Variant, dtype: Dtype): Promise<void> {
  const sizes = options.toy ? TOY : CASES.medium!;
  const { N, T, D, H } = sizes;
  const lengths = Array.from({ length: N }, () => 1 + drawIndex(T));
  const real = lengths.reduce((sum, length) => sum + length, 0) / (N * T);
  const x = draw(dtype, T, N, D);
  for (const [name, bidirectional, state, share] of [
    ["bidirectional", true, {}, 2],
    ["ragged", false, { lengths }, real],
  ] as const) {
    using layer = new wasmRnn.LSTM(D, H, { dtype, seed: 1, bidirectional });
    const output = draw(dtype, T, N, layer.directions * H);
    const both = () => {
      layer.forward(x, state);
      layer.backward({ output });
    };
    const work = { flops: share * flops(4, sizes, true) };
    await measure(`LSTM medium ${name} forward+backward`, variant, dtype, both, work);
  }
}

async function benchStream(variant: Variant, dtype: Dtype): Promise<void> {
  const { N, D, H } = options.toy ? TOY : STREAM;
  const layer = new wasmRnn.LSTM(D, H, { dtype, seed: 1 });
  const stream = layer.stream({ batchSize: N });
  const x = draw(dtype, N, D).data;
  await measure("LSTM stream step", variant, dtype, () => stream.step(x), {
    flops: flops(4, { N, T: 1, D, H }, false),
  });
  stream.dispose();
  layer.dispose();
}

async function benchCourse(variant: Variant, dtype: Dtype): Promise<void> {
  const { N, T, D, H }: Sizes = COURSE;
  const weight = () => draw(dtype, H, H + D);
  const bias = () => draw(dtype, H, 1);
  const p = { Wf: weight(), bf: bias(), Wi: weight(), bi: bias(), Wc: weight(), bc: bias(), Wo: weight(), bo: bias() };
  const x = draw(dtype, D, N, T);
  const a0 = draw(dtype, H, N);
  const da = draw(dtype, H, N, T);
  const run = () => coursera.lstmBackward(da, coursera.lstmForward(x, a0, p).caches);
  await measure("course LSTM forward+backward", variant, dtype, run, { flops: flops(4, COURSE, true) });
}

async function benchCharlm(variant: Variant, dtype: Dtype): Promise<void> {
  const { N, T, vocabulary, layers, H } = options.toy ? { N: 2, T: 3, vocabulary: 5, layers: 2, H: 4 } : CHARLM;
  const embedding = new wasmRnn.Embedding(vocabulary, H, { dtype, seed: 1 });
  const lstm = new wasmRnn.LSTM(H, H, { numLayers: layers, dtype, seed: 2 });
  const dense = new wasmRnn.Linear(H, vocabulary, { dtype, seed: 3 });
  const parameters = [embedding, lstm, dense].flatMap((layer) => layer.parameters());
  const adam = new wasmRnn.Adam(parameters, { lr: 1e-3 });
  const indices = () => {
    const data = Int32Array.from({ length: T * N }, () => drawIndex(vocabulary));
    return { data, shape: [T, N] };
  };
  const [x, targets] = [indices(), indices()];
  const step = () => {
    adam.zeroGrad();
    const logits = dense.forward(lstm.forward(embedding.forward(x).output).output).output;
    const { dLogits } = wasmRnn.crossEntropy(logits, targets);
    embedding.backward({ output: lstm.backward({ output: dense.backward({ output: dLogits }).x }).x });
    wasmRnn.clipGradNorm(parameters, 5);
    adam.step();
  };
  const work = layers * flops(4, { N, T, D: H, H }, true) + 3 * 2 * N * T * H * vocabulary;
  await measure("charlm training step", variant, dtype, step, { flops: work });
  for (const each of [embedding, lstm, dense, adam]) each.dispose();
}

/** Kernels, called directly in the module. */
async function benchKernels(variant: Variant, dtype: Dtype): Promise<void> {
  const file = variant === "relaxed" ? "dist/core.relaxed.wasm" : "dist/core.wasm";
  const instance = new WebAssembly.Instance(new WebAssembly.Module(readFileSync(file)));
  const exports = instance.exports as unknown as Record<string, (...args: number[]) => number>;
  const memory = instance.exports.memory as WebAssembly.Memory;
  const bytes = dtype === "f64" ? 8 : 4;
  let top = exports.setScratch!(exports.heapBase!(), Number(hasTallTiles()));
  const allocate = (size: number): number => {
    const address = Math.ceil(top / 64) * 64;
    top = address + size * bytes;
    if (top > memory.buffer.byteLength) memory.grow(Math.ceil((top - memory.buffer.byteLength) / 65536));
    const view =
      dtype === "f64" ? new Float64Array(memory.buffer, address, size) : new Float32Array(memory.buffer, address, size);
    view.set(draw(dtype, size).data);
    return address;
  };
  const start = top;
  for (const [M, N, K] of options.toy ? [[3, 5, 7] as const] : GEMMS) {
    top = start;
    const [a, b, c] = [allocate(M * K), allocate(K * N), allocate(M * N)];
    const run = () => exports[`gemm_${dtype}`]!(M, N, K, a, K, 1, b, N, 1, 0, c, N);
    await measure(`gemm ${M}x${N}x${K}`, variant, dtype, run, { flops: 2 * M * N * K });
  }
  top = start;
  const size = 4096;
  const [from, to] = [allocate(size), allocate(size)];
  const kernels = { exp: ["exp"], sigmoid: ["sigmoid"], tanh: ["activation", 0] } as const;
  for (const [name, [kernel, ...first]] of Object.entries(kernels)) {
    const run = () => exports[`${kernel}_${dtype}`]!(...first, size, from, to);
    await measure(`${name} of ${size}`, variant, dtype, run, { elements: size });
  }
}

/** Functions of wasm-rnn/ops, with the copies in and out. */
async function benchOperations(variant: Variant, dtype: Dtype): Promise<void> {
  const [rows, columns] = options.toy ? [3, 5] : [512, 128];
  const [x, row] = [draw(dtype, rows, columns), draw(dtype, columns)];
  const elements = rows * columns;
  const size = `[${rows},${columns}]`;
  await measure(`ops.add ${size} and a row`, variant, dtype, () => ops.add(x, row), { elements });
  await measure(`ops.sum ${size} over rows`, variant, dtype, () => ops.sum(x, 0), { elements });
  await measure(`ops.transpose ${size}`, variant, dtype, () => ops.transpose(x), { elements });
  const [stack, n] = options.toy ? [2, 3] : [64, 32];
  const [a, b] = [draw(dtype, stack, n, n), draw(dtype, stack, n, n)];
  const name = `ops.matmul ${stack} of ${n}x${n}x${n}`;
  await measure(name, variant, dtype, () => ops.matmul(a, b), { flops: 2 * stack * n ** 3 });
}

async function benchScaling(variant: Variant): Promise<void> {
  for (const sizes of options.toy ? [{ ...TOY, T: 100 }] : SCALING) {
    const name = `scaling T=${sizes.T} N=${sizes.N}`;
    if (options.only !== undefined && !name.includes(options.only)) continue;
    const row = await scaling(variant, sizes, options.toy ? 0 : options.time / 2);
    scalings.push(row);
    const { nsPerStepRow, kept, designed } = row;
    console.log(
      `${name.padEnd(34)} ${variant.padEnd(8)} f64 ${nsPerStepRow.toFixed(0).padStart(10)} ns a step and row; ` +
        `${kept.toFixed(1)} numbers kept, ${designed} by design`,
    );
  }
}

const peaks: Partial<Record<Variant, (dtype: Dtype) => number>> = {};
const tiles: Partial<Record<Variant, (dtype: Dtype) => Tile[]>> = {};
const variants: Variant[] = [];
for (const variant of ["relaxed", "simd"] as const) {
  try {
    wasmRnn.configure({ variant });
    peaks[variant] = peakMeter(variant);
    tiles[variant] = tilesOf(variant);
    variants.push(variant);
  } catch (error) {
    if (!(error instanceof wasmRnn.UnsupportedError)) throw error;
    console.log(`The ${variant} build does not run here: ${error.message}`);
  }
}

const machine = thisMachine();
console.log(describeMachine(machine));
for (const variant of variants) {
  wasmRnn.configure({ variant });
  for (const dtype of ["f64", "f32"] as const) {
    console.log(`peak of the ${variant} build, ${dtype}: ${peaks[variant]!(dtype).toFixed(1)} GFLOP/s`);
    await benchLayers(variant, dtype);
    await benchVariants(variant, dtype);
    await benchStream(variant, dtype);
    await benchCourse(variant, dtype);
    await benchCharlm(variant, dtype);
    await benchKernels(variant, dtype);
    await benchOperations(variant, dtype);
    for (const { name, run, flops } of tiles[variant]!(dtype)) await measure(name, variant, dtype, run, { flops });
  }
  await benchScaling(variant);
}
/** The faster of each figure of both runs. */
function faster<F>(
  earlier: readonly F[],
  now: readonly F[],
  key: (figure: F) => string,
  time: (figure: F) => number,
): F[] {
  const all = new Map(earlier.map((figure) => [key(figure), figure]));
  for (const figure of now) {
    const other = all.get(key(figure));
    if (!other || time(figure) < time(other)) all.set(key(figure), figure);
  }
  return [...all.values()];
}

const result: BenchResult = { machine, figures, scalings };
if (options.best && existsSync(options.out)) {
  const earlier = JSON.parse(readFileSync(options.out, "utf8")) as BenchResult;
  if (earlier.machine.engine !== machine.engine) throw new Error(`${options.out} is of ${earlier.machine.engine}`);
  const figureKey = ({ name, variant, dtype }: Figure) => `${name} ${variant} ${dtype}`;
  result.figures = faster(earlier.figures, figures, figureKey, ({ us }) => us);
  const scalingKey = ({ variant, T, N }: Scaling) => `${variant} ${T} ${N}`;
  result.scalings = faster(earlier.scalings, scalings, scalingKey, ({ nsPerStepRow }) => nsPerStepRow);
}
write(options.out, result);
