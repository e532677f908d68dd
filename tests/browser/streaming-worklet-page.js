// Renders with streaming-worklet.js as fast as it goes; shows how long that took, the SHA-256 of the samples, and what the
// worklet saw of the memory.
import { show, variant } from "./report.js";
import { proteusFile, SAMPLE_RATE, signal } from "./streaming-model.js";

show(async () => {
  const samples = signal();
  const context = new OfflineAudioContext({ length: samples.length, sampleRate: SAMPLE_RATE });
  await context.audioWorklet.addModule("streaming-worklet.js");
  const node = new AudioWorkletNode(context, "model", {
    processorOptions: { variant, file: proteusFile(), frames: samples.length },
    outputChannelCount: [1],
  });
  const answer = new Promise((resolve, reject) => {
    node.port.onmessage = ({ data }) => resolve(data);
    node.onprocessorerror = () => reject(new Error("the processor threw"));
  });
  const buffer = context.createBuffer(1, samples.length, SAMPLE_RATE);
  buffer.copyToChannel(samples, 0);
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(node).connect(context.destination);
  source.start();
  const start = performance.now();
  const rendered = await context.startRendering();
  const milliseconds = performance.now() - start;
  const { error, ...seen } = await answer;
  if (error !== undefined) throw new Error(error);
  const output = rendered.getChannelData(0);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", output));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { milliseconds, sha256, head: [...output.subarray(0, 4)], ...seen };
});
