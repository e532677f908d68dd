// Starts audio-worklet.js and waits for its answer. An offline context wants no sound device.
import { course, show, variant } from "./report.js";

show(async () => {
  const context = new OfflineAudioContext({ length: 128, sampleRate: 44100 });
  await context.audioWorklet.addModule("audio-worklet.js");
  const node = new AudioWorkletNode(context, "conformance", { processorOptions: { variant, course } });
  node.connect(context.destination);
  const answer = new Promise((resolve) => (node.port.onmessage = ({ data }) => resolve(data)));
  await context.startRendering();
  const { error, ...results } = await answer;
  if (error !== undefined) throw new Error(error);
  return results;
});
