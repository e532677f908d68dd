// Blocks of 128 samples through the model of tests/browser, in a process of its own whose young generation is so large that
// nothing is collected meanwhile; prints how much the JS heap and the wasm memory grew and how long it took, as JSON.
//
//     node --expose-gc --max-semi-space-size=256 --min-semi-space-size=256 tests/helpers/streaming-loop.mjs

import { getHeapStatistics } from "node:v8";
import { constants, PerformanceObserver } from "node:perf_hooks";
import { fromProteus } from "../../dist/audio.js";
import { proteusFile, SAMPLE_RATE, signal } from "../browser/streaming-model.js";

const BLOCK = 128;
const samples = signal();
const model = fromProteus(proteusFile());
const [input, output, frame] = [BLOCK, BLOCK, 1].map((length) => new Float32Array(length));

function blocks(count) {
  for (let first = 0; first + BLOCK <= count; first += BLOCK) {
    for (let i = 0; i < BLOCK; i++) input[i] = samples[first + i];
    model.process(input, output);
  }
}

function steps(count) {
  for (let i = 0; i < count; i++) {
    frame[0] = samples[i];
    model.step(frame);
  }
}

/** Bytes by which the JS heap grows, and milliseconds. */
function measure(body) {
  globalThis.gc();
  const before = getHeapStatistics().used_heap_size;
  const start = performance.now();
  body(samples.length);
  const milliseconds = performance.now() - start;
  return { bytes: getHeapStatistics().used_heap_size - before, milliseconds, steps: samples.length };
}

const collections = [];
new PerformanceObserver((list) => collections.push(...list.getEntries())).observe({ entryTypes: ["gc"] });
for (const body of [blocks, steps, blocks, steps]) body(SAMPLE_RATE); // compiled from here on
const wasm = model.step(frame).buffer;
const { byteLength } = wasm;
const results = { blocks: measure(blocks), steps: measure(steps) };
await new Promise((resolve) => setTimeout(resolve, 50)); // for the observer
const unasked = collections.filter(({ detail }) => !(detail.flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED));
const sameMemory = model.step(frame).buffer === wasm;
console.log(
  JSON.stringify({ ...results, collections: unasked.length, wasm: sameMemory ? wasm.byteLength - byteLength : NaN }),
);
