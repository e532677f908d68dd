// The models of bench/onnx.ts: Silero VAD from vad-web's package, on a synthetic voice; the others from MODELS_DIR, on recorded
// inputs.

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { recording, uniform } from "../../examples/speech/voice.js";
import { readSafetensors } from "../../dist/safetensors.js";
import type { Fed, Graph, Task } from "./turns.js";

/** A task, and how long a frame may take by that of onnxruntime-web and of onnxruntime-node. */
export type Measured = Task & { readonly most: { readonly web: number; readonly node: number } };

const FRAMES = 40;
const vad = (model: string) => `tests/onnxruntime/node_modules/@ricky0123/vad-web/dist/silero_vad_${model}.onnx`;
const directory = resolve(process.env.MODELS_DIR ?? "../shared/models");

const floats = (numbers: ArrayLike<number>, ...shape: number[]): Fed => ({
  type: "float32",
  shape,
  numbers: Array.from(numbers),
});
const zeros = (...shape: number[]) => floats(new Float32Array(shape.reduce((a, b) => a * b)), ...shape);

/** Frames of a voice: each begins with samples of the one before. */
function voice(length: number, context: number): Record<string, Fed>[] {
  const audio = recording(16000).subarray(16000 - context);
  return Array.from({ length: FRAMES }, (_, i) => ({
    input: floats(audio.subarray(i * length, (i + 1) * length + context), 1, context + length),
    sr: { type: "int64", shape: [], numbers: [16000] },
  }));
}

/** A graph of MODELS_DIR, and its recorded inputs. */
function recorded(folder: string): Graph {
  const path = (file: string) => join(directory, folder, file);
  const { model, inputs, steps, carry } = JSON.parse(readFileSync(path("cases.json"), "utf8")) as {
    model: string;
    inputs: Record<string, { dtype: Fed["type"]; shape: number[] }>;
    steps: number;
    carry: Record<string, string>;
  };
  const { tensors } = readSafetensors(readFileSync(path("cases.safetensors")));
  const fed = (step: number, name: string): Fed => {
    const { data, shape } = tensors[`in.${step}.${name}`]!;
    return { type: inputs[name]!.dtype, shape, numbers: Array.from(data) };
  };
  const carried = Object.values(carry);
  const fresh = Object.keys(inputs).filter((name) => !carried.includes(name));
  const pick = (names: readonly string[], step: number) =>
    Object.fromEntries(names.map((name) => [name, fed(step, name)]));
  return {
    file: path(model),
    frames: Array.from({ length: Math.min(steps, FRAMES) }, (_, step) => pick(fresh, step)),
    states: pick(carried, 0),
    carry,
  };
}

const task = (name: string, frame: string, most: Measured["most"], ...graphs: Graph[]): Measured => ({
  name,
  frame,
  most,
  graphs,
});

/** The tasks whose files are there. */
export function tasks(): Measured[] {
  const all: Measured[] = [];
  for (const version of ["v5", "v6"].filter((each) => existsSync(vad(each)))) {
    const carry = { stateN: "state" };
    const graph = { file: vad(version), frames: voice(512, 64), states: { state: zeros(2, 1, 128) }, carry };
    all.push(task(`Silero VAD ${version}`, "32 ms", { web: 1 / 5, node: 1.1 }, graph));
  }
  if (existsSync(vad("legacy"))) {
    const states = { h: zeros(2, 1, 64), c: zeros(2, 1, 64) };
    const graph = { file: vad("legacy"), frames: voice(1536, 0), states, carry: { hn: "h", cn: "c" } };
    all.push(task("Silero VAD legacy", "96 ms", { web: 1 / 3, node: 1.3 }, graph));
  }
  if (existsSync(directory)) {
    const random = uniform(1);
    const image = floats(Float32Array.from({ length: 32 * 320 }, random), 1, 1, 32, 320);
    const dtln = [recorded("dtln-1"), recorded("dtln-2")];
    all.push(
      task("DTLN, both stages", "8 ms", { web: 2 / 5, node: 1.2 }, ...dtln),
      task("GTCRN", "16 ms", { web: 2 / 5, node: 1 }, recorded("gtcrn")),
      task("CRNN", "32 x 320", { web: 1, node: 3 }, { ...recorded("torch-crnn"), frames: [{ image }] }),
    );
  }
  return all;
}
