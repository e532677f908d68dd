// startThreads() and stopThreads(): objects before, during and after; failures of threads; processes; memory.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { Worker } from "node:worker_threads";
import { afterEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { coreBytes } from "../../bindings/instantiate.js";
import { forSharedMemory } from "../../bindings/shared.js";
import { observed, type Counts } from "../../bindings/splits.js";
import { DONE, LEFT } from "../../bindings/team.js";
import { sharedCores } from "../../bindings/threads.js";
import {
  Adam,
  LSTM,
  Linear,
  SGD,
  ThreadError,
  ValueError,
  buildInfo,
  configure,
  mse,
  parameter,
  startThreads,
  stopThreads,
  tensor,
  type Tensor,
} from "../../src/index.js";
import { matmul, mul } from "../../src/ops.js";
import "../helpers/bits.js";
import { heapOf, wave } from "../helpers/tensors.js";

const run = promisify(execFile);
const counts = (observed.counts = new Map<string, Counts>());
const x = wave([20, 11, 33], "f64");
const make = () => new LSTM(33, 65, { seed: 1 });
const expected = make().forward(x).output;
const current = () => sharedCores[buildInfo().variant]!;
const isShared = (layer: LSTM) => layer.parameters()[0]!.value.data.buffer instanceof SharedArrayBuffer;

afterEach(stopThreads);

describe("objects", () => {
  test("keep the memory that they were created with", async () => {
    const before = make();
    expect(await startThreads(2)).toBe(2);
    const during = make();
    await stopThreads();
    expect(buildInfo().threads).toBe(1);
    const after = make();
    expect([before, during, after].map(isShared)).toEqual([false, true, false]);
    for (const layer of [before, during, after]) expect(layer.forward(x).output).toHaveBits(expected);
    await startThreads(3);
    expect(buildInfo().threads).toBe(3);
    for (const layer of [before, during, after]) expect(layer.forward(x).output).toHaveBits(expected);
  });

  test("that calls do not keep are in memory of their own, where the call is too small to be divided", async () => {
    await startThreads(2);
    const allocate = vi.spyOn(current().core.heap, "allocate");
    onTestFinished(() => allocate.mockRestore());
    const calls = [
      (rows: number) => mse(wave([rows, 64], "f64"), wave([rows, 64], "f64", 2)),
      (rows: number) => mul(wave([rows, 64], "f32"), 2),
      (rows: number) => matmul(wave([rows, 64], "f64"), wave([64, 33], "f64")),
    ];
    for (const call of calls) {
      call(16);
      expect(allocate).not.toHaveBeenCalled();
      call(4096);
      expect(allocate).toHaveBeenCalled();
      allocate.mockClear();
    }
  });

  test("of another build have threads, too", async () => {
    await startThreads(2);
    try {
      configure({ variant: "simd" });
      const layer = make();
      expect(isShared(layer)).toBe(true);
      expect(layer.forward(x).output.shape).toEqual([20, 11, 65]);
    } finally {
      configure({ variant: "auto" });
    }
  });

  test("train on after threads have started or ended, with the bits of one thread", async () => {
    const target = wave([20, 11, 65], "f64");
    const begin = () => {
      const [layer, scale] = [make(), parameter(tensor([0.5]))];
      const optimizer = new Adam([...layer.parameters(), scale], { lr: 0.01 });
      return () =>
        optimizer.minimize(() => mse(mul(scale.value, layer.forward(x).output), target), { clipNorm: 1 }).loss;
    };
    const alone = begin();
    const losses = [alone(), alone(), alone()];
    const before = begin();
    const first = before();
    await startThreads(2);
    const during = begin();
    const second = [before(), during()];
    await stopThreads();
    expect([first, second[0], before()]).toEqual(losses);
    expect([second[1], during(), during()]).toEqual(losses);
  });

  test("are not mixed: an optimizer takes parameters of one memory", async () => {
    const before = new Linear(2, 3);
    await startThreads(2);
    const during = new Linear(2, 3);
    expect(() => new SGD([...before.parameters(), ...during.parameters()], { lr: 0.1 })).toThrow();
  });
});

test("refuses what is no number of threads, and no time", async () => {
  for (const n of [0, 1.5, -1, 65, NaN, "2"]) {
    await expect(startThreads(n as number)).rejects.toThrow(ValueError);
  }
  await expect(startThreads(2, { timeout: 0 })).rejects.toThrow("timeout: got number 0, expected an integer from 1 to");
  expect(buildInfo().threads).toBe(1);
});

test("resolves to 1 where there is no shared memory, and where the host refuses workers", async () => {
  vi.stubGlobal("SharedArrayBuffer", undefined);
  expect(await startThreads(2)).toBe(1);
  vi.unstubAllGlobals();
  vi.stubGlobal("crossOriginIsolated", false);
  expect(await startThreads(2)).toBe(1);
  vi.unstubAllGlobals();
  expect(isShared(make())).toBe(false);
});

test("growth of the memory: views of before show the same numbers, and are copied where they are inputs", async () => {
  await startThreads(2);
  const layer = new Linear(8, 8, { seed: 1 });
  const [weight] = layer.parameters();
  const old = weight!.value.data;
  const before = heapOf(layer).byteLength;
  const large = new Linear(2048, 2048); // grows it
  expect(heapOf(layer).byteLength).toBeGreaterThan(before);
  expect(old.length).toBe(64);
  old[3] = 42;
  expect(weight!.value.data[3]).toBe(42);
  const row = wave([1, 8], "f64");
  const view = { data: old.subarray(0, 8), shape: [1, 8] } as Tensor;
  const plain = { data: old.slice(0, 8), shape: [1, 8] } as Tensor;
  expect(layer.forward(view).output).toHaveBits(layer.forward(plain).output);
  expect(layer.forward(row).output.data.length).toBe(8);
  large.dispose();
});

test("a step of one row is not divided, since packing its weights would cost more", async () => {
  await startThreads(2);
  const layer = new LSTM(512, 512, { dtype: "f32", seed: 1 });
  const calls = () => ({ ...(counts.get("lstmForward") ?? { parallel: 0, below: 0, alone: 0 }) });
  const before = calls();
  layer.forward({ data: new Float32Array(512).fill(0.5), shape: [1, 1, 512] });
  expect(calls()).toEqual({ ...before, below: before.below + 1 });
  layer.forward({ data: new Float32Array(4 * 512).fill(0.5), shape: [1, 4, 512] });
  expect(calls()).toEqual({ ...before, parallel: before.parallel + 1, below: before.below + 1 });
});

describe("failures", () => {
  test("a thread that does not start: an error in time, and it is ended", async () => {
    const threads = process.getBuiltinModule("node:worker_threads");
    const exits: Promise<unknown>[] = [];
    class Silent extends threads.Worker {
      constructor(_: string, options: object) {
        super("setInterval(() => {}, 1000)", options);
        exits.push(new Promise((resolve) => this.once("exit", resolve)));
      }
    }
    const { Worker: own } = threads;
    Object.assign(threads, { Worker: Silent });
    try {
      await expect(startThreads(3, { timeout: 200 })).rejects.toThrow(
        "threads: got a thread that did not start in 200 ms",
      );
    } finally {
      Object.assign(threads, { Worker: own });
    }
    expect(exits).toHaveLength(2);
    await Promise.all(exits);
    expect(buildInfo().threads).toBe(1);
    expect(await startThreads(2)).toBe(2);
    expect(make().forward(x).output).toHaveBits(expected);
  });

  /** Claims a call as soon as there is one, and never does it. */
  const thief = `const { workerData: { memory, at }, parentPort } = require("node:worker_threads");
    const ints = new Int32Array(memory.buffer);
    parentPort.postMessage(0);
    for (let left = 0; !(left > 0 && Atomics.compareExchange(ints, at, left, left - 1) === left); ) left = Atomics.load(ints, at);`;

  test("a thread that does not finish: an error in time; layers go on; startThreads() works again", async () => {
    await startThreads(2, { timeout: 3000 });
    const layer = make();
    const { core, team } = current();
    const worker = new Worker(thief, { eval: true, workerData: { memory: core.memory, at: team!.control / 4 + LEFT } });
    onTestFinished(async () => void (await worker.terminate()));
    await new Promise((resolve) => worker.once("message", resolve));
    let failure: unknown;
    for (let i = 0; i < 1000 && !failure; i++) {
      try {
        layer.forward(x);
      } catch (error) {
        failure = error;
      }
    }
    expect(failure).toBeInstanceOf(ThreadError);
    expect((failure as Error).message).toContain("not done after 3000 ms");
    expect(buildInfo().threads).toBe(1);
    expect(layer.forward(x).output).toHaveBits(expected);
    expect(await startThreads(3)).toBe(3);
    expect(layer.forward(x).output).toHaveBits(expected);
  });

  test("time for which the process or the machine is stopped does not count", async () => {
    await startThreads(2, { timeout: 3000 });
    const layer = make();
    const { core, team } = current();
    const at = team!.control / 4;
    const late = `${thief} setTimeout(() => Atomics.add(ints, at + ${DONE - LEFT}, 1), 300);`;
    const worker = new Worker(late, { eval: true, workerData: { memory: core.memory, at: at + LEFT } });
    onTestFinished(async () => void (await worker.terminate()));
    await new Promise((resolve) => worker.once("message", resolve));
    let hours = 0;
    const clock = vi.spyOn(Date, "now").mockImplementation(() => 3_600_000 * hours++);
    const ended = new Promise((resolve) => worker.once("exit", resolve));
    for (let i = 0; i < 50_000 && hours < 2; i++) layer.forward(x); // until the thief was fast enough
    clock.mockRestore();
    await ended;
    expect(hours).toBeGreaterThan(1);
    expect(buildInfo().threads).toBe(2);
  });

  test("threads that have died take no part", async () => {
    await startThreads(3);
    const layer = make();
    const { team } = current();
    for (const helper of team!.helpers) helper.terminate();
    expect(layer.forward(x).output).toHaveBits(expected);
    await Promise.all(team!.helpers.map(({ ended }) => ended));
    await vi.waitFor(() => expect(buildInfo().threads).toBe(1));
    expect(layer.forward(x).output).toHaveBits(expected);
    expect(await startThreads(2)).toBe(2);
  });
});

test("starting and stopping again and again leaves no memory and no threads", async () => {
  await startThreads(3);
  make().dispose();
  const { heap } = current().core;
  await stopThreads();
  const [bytes, length] = [heap.bytesUsed, heap.byteLength];
  for (let i = 0; i < 20; i++) {
    await startThreads(3);
    await stopThreads();
  }
  expect(heap.bytesUsed).toBeLessThanOrEqual(bytes); // workers of tests before may have ended meanwhile
  expect(heap.byteLength).toBe(length);
  const threads = () =>
    process.platform === "linux" ? /Threads:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1] : "0";
  const one = Number(threads());
  for (let i = 0; i < 5; i++) {
    await startThreads(8);
    await stopThreads();
  }
  expect(Number(threads())).toBeLessThanOrEqual(one + 8);
});

const library = new URL("../../dist/index.js", import.meta.url).href;
const program = (body: string) => `
  import { LSTM, startThreads } from ${JSON.stringify(library)};
  const x = { data: new Float64Array(20 * 11 * 33).fill(0.5), shape: [20, 11, 33] };
  const n = await startThreads(3);
  const sum = new LSTM(33, 65, { seed: 1 }).forward(x).output.data.reduce((a, b) => a + b, 0);
  ${body}`;
const print = program("console.log(n, sum);");
const stdoutOf = async (code: string) => (await run(process.execPath, ["--input-type=module", "-e", code])).stdout;

test("a process ends although its threads wait; a worker of the user's own has threads of its own", async () => {
  const main = await stdoutOf(print);
  expect(main).toMatch(/^3 -?\d/);
  const url = JSON.stringify(`data:text/javascript,${encodeURIComponent(print)}`);
  expect(await stdoutOf(`import { Worker } from "node:worker_threads"; new Worker(new URL(${url}));`)).toBe(main);
});

test("the module for shared memory has the code of the one that is compiled for it", () => {
  const sections = (bytes: Uint8Array): Map<number, string> => {
    const found = new Map<number, string>();
    for (let i = 8; i < bytes.length;) {
      const id = bytes[i]!;
      let [size, shift, start] = [0, 0, i + 1];
      do {
        size |= (bytes[start]! & 127) << shift;
        shift += 7;
      } while (bytes[start++]! > 127);
      found.set(id, Buffer.from(bytes.subarray(start, start + size)).toString("hex"));
      i = start + size;
    }
    return found;
  };
  const [derived, compiled] = [
    sections(forSharedMemory(coreBytes("simd")).bytes),
    sections(readFileSync(new URL("../../build/core.shared.wasm", import.meta.url))),
  ];
  for (const id of [1, 3, 7, 10]) expect(derived.get(id), `section ${id}`).toBe(compiled.get(id)); // types, functions, exports, code
});
