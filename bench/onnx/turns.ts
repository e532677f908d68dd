// Contestants that run the same models, and how they are measured in turns. For Node and for pages.

import type * as Ort from "onnxruntime-common";
import { fromOnnx } from "../../dist/onnx.js";
import { median, medianTime } from "../timing.js";

/** A tensor as JSON has it. */
export interface Fed {
  readonly type: "float32" | "int64";
  readonly shape: readonly number[];
  readonly numbers: readonly number[];
}

/** A graph of a model, and what it is fed. */
export interface Graph {
  /** The file, by the name under which both hosts find its bytes. */
  readonly file: string;
  /** Inputs that come fresh in each frame, for several frames; over and over. */
  readonly frames: readonly Readonly<Record<string, Fed>>[];
  /** States at first, and which output each input is in the next frame. */
  readonly states: Readonly<Record<string, Fed>>;
  readonly carry: Readonly<Record<string, string>>;
}

/** A model: graphs that all run once for a frame. */
export interface Task {
  readonly name: string;
  readonly frame: string;
  readonly graphs: readonly Graph[];
}

/** Runs the next frame; gives the first output of the last graph. */
type Frame = () => Float32Array | Promise<Float32Array>;

/** Prepares a task. */
export type Contestant = (task: Task, bytes: (file: string) => Uint8Array) => Frame | Promise<Frame>;

const dataOf = ({ type, numbers }: Fed) =>
  type === "float32" ? Float32Array.from(numbers) : BigInt64Array.from(numbers, BigInt);

const mapValues = <A, B>(record: Readonly<Record<string, A>>, map: (value: A) => B): Record<string, B> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value)]));

const tensorOf = (fed: Fed) => ({ data: dataOf(fed), shape: fed.shape });

type Tensors = ReturnType<ReturnType<typeof fromOnnx>["run"]>;

/** This package; carries states from output to input as an app does. */
export const ours: Contestant = ({ graphs }, bytes) => {
  const all = graphs.map((graph) => ({
    model: fromOnnx(bytes(graph.file)),
    frames: graph.frames.map((frame) => mapValues(frame, tensorOf)),
    states: mapValues<Fed, Tensors[string]>(graph.states, tensorOf),
    carry: Object.entries(graph.carry),
  }));
  let next = 0;
  return () => {
    let first: unknown;
    for (const each of all) {
      const outputs = each.model.run({ ...each.frames[next % each.frames.length], ...each.states });
      for (const [output, input] of each.carry) each.states[input] = outputs[output]!;
      first = outputs[each.model.outputs[0]!.name]!.data;
    }
    next++;
    return first as Float32Array;
  };
};

/** This package, by streams. */
export const oursStreamed: Contestant = ({ graphs }, bytes) => {
  const all = graphs.map((graph) => {
    const model = fromOnnx(bytes(graph.file));
    return {
      stream: model.stream({ carry: graph.carry }),
      frames: graph.frames.map((frame) => mapValues(frame, tensorOf)),
      output: model.outputs[0]!.name,
    };
  });
  let next = 0;
  return () => {
    let first: unknown;
    for (const { stream, frames, output } of all) first = stream.step(frames[next % frames.length])[output]!.data;
    next++;
    return first as Float32Array;
  };
};

/** ONNX Runtime, on one thread. */
export const onnxRuntime =
  (ort: typeof Ort, provider: "wasm" | "cpu"): Contestant =>
  async ({ graphs }, bytes) => {
    ort.env.wasm.numThreads = 1;
    const options = { executionProviders: [provider], intraOpNumThreads: 1, interOpNumThreads: 1 };
    const tensor = (fed: Fed) => new ort.Tensor(fed.type, dataOf(fed) as Float32Array, fed.shape);
    const all = await Promise.all(
      graphs.map(async (graph) => ({
        session: await ort.InferenceSession.create(bytes(graph.file), options),
        frames: graph.frames.map((frame) => mapValues(frame, tensor)),
        states: mapValues<Fed, Ort.OnnxValue>(graph.states, tensor),
        carry: Object.entries(graph.carry),
      })),
    );
    let next = 0;
    return async () => {
      let first: unknown;
      for (const each of all) {
        const outputs = await each.session.run({ ...each.frames[next % each.frames.length], ...each.states });
        for (const [output, input] of each.carry) each.states[input] = outputs[output]!;
        first = outputs[each.session.outputNames[0]!]!.data;
      }
      next++;
      return first as Float32Array;
    };
  };

/** What came out of measuring a task. */
export interface Times {
  /** For each contestant by name: the median time of a frame in microseconds, in each round. */
  readonly us: Record<string, number[]>;
  /** The largest difference of a number from the last contestant's, in the third frame, by the largest number. */
  readonly difference: Record<string, number>;
}

/** Measures all contestants, in turns. */
export async function measure(
  task: Task,
  bytes: (file: string) => Uint8Array,
  contestants: Readonly<Record<string, Contestant>>,
  rounds: number,
  ms: number,
): Promise<Times> {
  const frames: [string, Frame][] = [];
  const third: Float32Array[] = [];
  for (const [name, contestant] of Object.entries(contestants)) {
    const frame = await contestant(task, bytes);
    for (let i = 0; i < 2; i++) await frame();
    third.push(Float32Array.from(await frame()));
    frames.push([name, frame]);
  }
  const reference = third.at(-1)!;
  const largest = reference.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
  const away = (values: Float32Array) =>
    values.reduce((most, each, i) => Math.max(most, Math.abs(each - reference[i]!)), 0) / largest;
  const turn = async () => {
    const us: Record<string, number> = {};
    for (const [name, frame] of frames) us[name] = (await medianTime(frame, ms)).us;
    return us;
  };
  await warmUp(turn);
  const us: Record<string, number[]> = Object.fromEntries(frames.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [name, time] of Object.entries(await turn())) us[name]!.push(time);
  }
  return { us, difference: Object.fromEntries(frames.map(([name], i) => [name, away(third[i]!)])) };
}

/** Turns that warm up, as engines compile code anew that runs often: until none has become faster by a twentieth, ten at most. */
async function warmUp(turn: () => Promise<Readonly<Record<string, number>>>): Promise<void> {
  let before = await turn();
  for (let turns = 1, isFaster = true; isFaster && turns < 10; turns++) {
    const latest = await turn();
    isFaster = Object.entries(latest).some(([name, time]) => time < 0.95 * before[name]!);
    before = latest;
  }
}

/** How long a contestant takes by another's time: the median of the rounds, in each of which both ran. */
export function ratio({ us }: Times, name: string, other: string): number {
  return median(us[name]!.map((each, i) => each / us[other]![i]!));
}
