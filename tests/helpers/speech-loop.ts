// Blocks of 128 samples through the models of examples/speech; prints how many bytes of the JS heap they allocate, as a profile that
// samples every 64 bytes sees it, and by how much the wasm memory grew, as JSON.
//
//     node --import tsx tests/helpers/speech-loop.ts [<folder with DTLN>]

import { readFileSync } from "node:fs";
import { Session, type HeapProfiler } from "node:inspector/promises";
import { join } from "node:path";
import { LSTM } from "wasm-rnn";
import { BLOCK, Denoiser } from "../../examples/speech/denoiser.js";
import { Detector, SAMPLE_RATE } from "../../examples/speech/detector.js";
import { recording } from "../../examples/speech/voice.js";
import { installedFile } from "./onnxruntime.js";

const SECONDS = 30;
const [folder] = process.argv.slice(2);
const detector = new Detector(readFileSync(installedFile("@ricky0123/vad-web/dist/silero_vad_v6.onnx")));
const stage = (i: number) => readFileSync(join(folder!, `dtln-${i}/model_${i}.onnx`));
const denoiser = folder === undefined ? undefined : new Denoiser([stage(1), stage(2)]);
const samples = recording(SAMPLE_RATE);
const [input, output] = [new Float32Array(BLOCK), new Float32Array(BLOCK)];

function blocks(count: number): void {
  let at = 0;
  for (let block = 0; block < count; block++) {
    for (let i = 0; i < BLOCK; i++) input[i] = samples[at + i]!;
    at = (at + BLOCK) % (samples.length - BLOCK);
    detector.push(input);
    denoiser?.process(input, output);
  }
}

const count = (SECONDS * SAMPLE_RATE) / BLOCK;
for (let i = 0; i < 3; i++) blocks(count / 2); // compiled from here on
const probe = new LSTM(1, 1, { seed: 1 }).stream();
const memory = () => probe.step([0]).buffer; // views of a stream are of the memory that all share
const wasm = memory();
const { byteLength } = wasm;

/** Bytes that a function and all that it calls have allocated. */
function allocatedBy(
  name: string,
  { callFrame, selfSize, children }: HeapProfiler.SamplingHeapProfileNode,
  within = false,
): number {
  const inside = within || callFrame.functionName === name;
  return children.reduce((sum, child) => sum + allocatedBy(name, child, inside), inside ? selfSize : 0);
}

const session = new Session();
session.connect();
await session.post("HeapProfiler.startSampling", {
  samplingInterval: 64,
  includeObjectsCollectedByMajorGC: true,
  includeObjectsCollectedByMinorGC: true,
});
blocks(count);
const { profile } = await session.post("HeapProfiler.stopSampling");
const bytes = allocatedBy(blocks.name, profile.head);
console.log(JSON.stringify({ blocks: count, bytes, wasm: memory() === wasm ? wasm.byteLength - byteLength : NaN }));
