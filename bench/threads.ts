// Each call with one thread and with several, in turns in one process. Below a size a call stays with one thread, and so no case should
// become slower.

import { Command } from "commander";
import {
  Adam,
  buildInfo,
  Conv1d,
  crossEntropy,
  GRU,
  Linear,
  LSTM,
  RNN,
  startThreads,
  stopThreads,
  tensor,
  type FloatDtype,
} from "../dist/index.js";
import { matmul } from "../dist/ops.js";
import { describeMachine, median, runWith, showTime, thisMachine, write } from "./common.js";
import { draw, drawIndex } from "./draw.js";

const options = new Command("bench:threads")
  .description("Measures calls with one thread and with several, in turns")
  .option("--node <path>", "run with another node binary")
  .option("--threads <n>", "threads", Number, 2)
  .option("--pairs <n>", "pairs of measurements of each case", Number, 30)
  .option("--only <words>", "cases with these words in their names")
  .option("--out <file>", "file to write the figures to, as JSON", "bench/results/threads.json")
  .parse()
  .opts<{ node?: string; threads: number; pairs: number; only?: string; out: string }>();
runWith(options.node, "bench/threads.ts");

/** Milliseconds of one measurement, at least; and of a call, at most: others are left out, and long ones have fewer pairs. */
const LEAST = 2;
const MOST = 60;
const LONG_PAIRS = 7;
/** Pairs of a free case, whose threads start and end for each, and milliseconds until a new thread's code is compiled. */
const FREE_PAIRS = 10;
const WARM_UP = 50;
/** How much slower with threads a case may be, in percent. */
const SLOWER = 2;
/** Limits of the groups of calls that are summed up, in microseconds. */
const TIMES = [10, 30, 100, 300, 1000, 10_000, Infinity];

/**
 * A call, of objects that belong to the threads that work when it is made, or "free": of none, with the threads of the moment. A "long" one
 * is not left out.
 */
type Case = readonly [name: string, make: () => () => unknown, kind?: "free" | "long"];

function* cases(): Generator<Case> {
  const sizes = [
    [16, 16, 16],
    [32, 16, 32],
    [50, 32, 64],
    [64, 128, 256],
  ] as const;
  for (const dtype of ["f64", "f32"] as const satisfies readonly FloatDtype[]) {
    for (const Layer of [RNN, LSTM, GRU]) {
      for (const [T, D, H] of sizes) {
        for (const N of [1, 2, 4, 10, 32]) {
          const [x, output] = [draw(dtype, T, N, D), draw(dtype, T, N, H)];
          const name = `${Layer.name} T=${T} N=${N} D=${D} H=${H}`;
          yield [
            `${name} forward ${dtype}`,
            () => {
              const layer = new Layer(D, H, { dtype, seed: 1 }).eval();
              return () => layer.forward(x);
            },
          ];
          yield [
            `${name} forward+backward ${dtype}`,
            () => {
              const layer = new Layer(D, H, { dtype, seed: 1 });
              return () => (layer.forward(x), layer.backward({ output }));
            },
            N === 32 && H === 256 ? "long" : undefined,
          ];
        }
      }
    }
    const [x, output] = [draw(dtype, 100, 64, 256), draw(dtype, 100, 64, 512)];
    yield [
      `LSTM T=100 N=64 D=256 H=512 forward+backward ${dtype}`,
      () => {
        const layer = new LSTM(256, 512, { dtype, seed: 1 });
        return () => (layer.forward(x), layer.backward({ output }));
      },
      "long",
    ];
    for (const N of [1, 2, 4]) {
      for (const [T, D, H] of sizes) {
        const [x, output] = [draw(dtype, T, N, D), draw(dtype, T, N, 2 * H)];
        yield [
          `LSTM both directions T=${T} N=${N} D=${D} H=${H} forward+backward ${dtype}`,
          () => {
            const layer = new LSTM(D, H, { dtype, seed: 1, bidirectional: true });
            return () => (layer.forward(x), layer.backward({ output }));
          },
        ];
      }
    }
    for (const rows of [1, 4, 16, 64, 256, 1024]) {
      const [x, y] = [draw(dtype, rows, 128), draw(dtype, rows, 64)];
      yield [
        `Linear ${rows} x 128 to 64 forward+backward ${dtype}`,
        () => {
          const layer = new Linear(128, 64, { dtype, seed: 1 });
          return () => (layer.forward(x), layer.backward({ output: y }));
        },
      ];
      const classes = tensor(
        Array.from({ length: rows }, () => drawIndex(64)),
        [rows],
        "i32",
      );
      yield [`crossEntropy ${rows} x 64 ${dtype}`, () => () => crossEntropy(y, classes), "free"];
      const w = draw(dtype, 128, 64);
      yield [`ops.matmul ${rows} x 128 x 64 ${dtype}`, () => () => matmul(x, w), "free"];
      const sequence = draw(dtype, rows, 4, 16);
      yield [
        `Conv1d T=${rows} N=4 16 to 32 forward ${dtype}`,
        () => {
          const layer = new Conv1d(16, 32, 3, { dtype, seed: 1, padding: "same" }).eval();
          return () => layer.forward(sequence);
        },
      ];
    }
    for (const H of [8, 32, 128, 256]) {
      yield [
        `Adam of LSTM(${H}, ${H}) ${dtype}`,
        () => {
          const adam = new Adam(new LSTM(H, H, { dtype, seed: 1 }).parameters());
          return () => adam.step();
        },
      ];
    }
  }
}

function time(call: () => unknown, calls: number): number {
  const start = performance.now();
  for (let i = 0; i < calls; i++) call();
  return ((performance.now() - start) / calls) * 1000;
}

const machine = thisMachine();
console.log(`${describeMachine(machine)}; ${buildInfo().variant} build; threads: ${options.threads}`);
const rows: { name: string; one_us: number; several_us: number; ratio: number; best: number }[] = [];
for (const [name, make, kind] of cases()) {
  if (options.only !== undefined && !name.includes(options.only)) continue;
  await stopThreads();
  const one = make();
  time(one, 3);
  const once = time(one, 3) / 1000;
  if (once > MOST && kind !== "long") continue;
  await startThreads(options.threads);
  const several = make();
  const calls = Math.max(1, Math.ceil(LEAST / once));
  const free = kind === "free";
  const warmUp = (call: () => unknown) => time(call, Math.ceil(WARM_UP / once));
  if (!free) for (const call of [one, several]) warmUp(call);
  const turn = async (threads: boolean) => {
    if (free) await (threads ? startThreads(options.threads) : stopThreads());
    const call = threads ? several : one;
    if (free) warmUp(call);
    return time(call, calls);
  };
  for (let i = 0; i < 6; i++) await turn(i % 2 === 1);
  const times: [one: number, several: number][] = [];
  const pairs = free ? FREE_PAIRS : kind === "long" ? LONG_PAIRS : options.pairs;
  for (let i = 0; i < pairs; i++) {
    const first = i % 2 === 1;
    const [a, b] = [await turn(first), await turn(!first)];
    times.push(first ? [b, a] : [a, b]);
  }
  const ratio = median(times.map(([a, b]) => a / b));
  const [ones, others] = [times.map(([a]) => a), times.map(([, b]) => b)];
  const best = Math.min(...ones) / Math.min(...others);
  const row = { name, one_us: median(ones), several_us: median(others), ratio, best };
  rows.push(row);
  const [a, b] = [row.one_us, row.several_us].map(showTime);
  console.log(`${name}: ${a}, ${b}: ${ratio.toFixed(2)}x, best of each ${best.toFixed(2)}x`);
}
await stopThreads();
const slower = rows.filter(({ ratio }) => 1 / ratio > 1 + SLOWER / 100);
console.log(`${slower.length} of ${rows.length} cases are slower with threads by more than ${SLOWER}%:`);
for (const { name, ratio } of slower) console.log(`  ${name}: ${((1 / ratio - 1) * 100).toFixed(1)}%`);
console.log(
  "By the time of a call with one thread: cases, slower by more than the limit, median and largest change of the time with threads",
);
for (const [i, most] of TIMES.entries()) {
  const changes = rows
    .filter(({ one_us }) => one_us >= (TIMES[i - 1] ?? 0) && one_us < most)
    .map(({ ratio }) => 100 / ratio - 100);
  if (changes.length === 0) continue;
  const over = changes.filter((change) => change > SLOWER).length;
  const [middle, largest] = [median(changes), Math.max(...changes)].map((change) => `${change.toFixed(1)}%`);
  console.log(`  below ${most} us: ${changes.length}, ${over}, ${middle}, ${largest}`);
}
write(options.out, { machine, threads: options.threads, rows });
