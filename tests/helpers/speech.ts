// Speech at 16 kHz for tests: a synthetic voice and, where MODELS_DIR has it, a recorded one.

import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { recording } from "../../examples/speech/voice.js";
import { readSafetensors } from "../../src/safetensors.js";
import { root } from "./project.js";

export const SPEECH_RATE = 16000;

const folder = resolve(root, process.env.MODELS_DIR ?? "../shared/models", "silero-vad-legacy");

/** Recordings by name. */
export function speeches(): ReadonlyMap<string, Float32Array> {
  const all = new Map([["a synthetic voice", recording(SPEECH_RATE)]]);
  if (!existsSync(folder)) {
    console.log(`recorded speech: none (no ${folder}; MODELS_DIR names another folder)`);
    return all;
  }
  const { steps } = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as { steps: number };
  const { tensors } = readSafetensors(readFileSync(join(folder, "cases.safetensors")));
  const frames = Array.from({ length: steps }, (_, step) => [...tensors[`in.${step}.input`]!.data]);
  return all.set("a recorded voice", Float32Array.from(frames.flat()));
}
