import { readFile } from "node:fs/promises";
import { fromOnnx } from "wasm-rnn/onnx";

const [path] = process.argv.slice(2); // silero_vad_v6.onnx of the npm package @ricky0123/vad-web
const [rate, frame, context] = [16000, 512, 64];
const samples = new Float32Array(context + frame);
const feeds = { input: { data: samples, shape: [1, context + frame] } };
const sr = { data: BigInt64Array.of(BigInt(rate)), shape: [] };
const model = fromOnnx(await readFile(path)).stream({ carry: { stateN: "state" }, feeds: { ...feeds, sr } });
let likely = 0;
for (let at = 0; at < rate; at += frame) {
  samples.copyWithin(0, frame); // the end of the frame before is read again
  for (let i = 0; i < frame; i++) samples[context + i] = 0.01 * Math.sin(0.3 * (at + i)); // a tone is no speech
  likely = Math.max(likely, model.step(feeds).output.data[0]);
}
console.log(likely < 0.5 ? "Nobody speaks." : "Somebody speaks.");
