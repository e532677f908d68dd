import { readFile } from "node:fs/promises";
import { fromProteus } from "wasm-rnn/audio";

const [path] = process.argv.slice(2); // the model of this page, or one of Proteus or NeuralPi
const model = fromProteus(JSON.parse(await readFile(path, "utf8")));
const [input, output] = [new Float32Array(128), new Float32Array(128)]; // a block, as an audio worklet has it
const [blocks, rate] = [690, 44100]; // two seconds
let [quiet, loud] = [0, 0];
const start = performance.now();
for (let block = 0; block < blocks; block++) {
  const volume = block < blocks / 2 ? 0.02 : 0.5;
  for (let i = 0; i < 128; i++) input[i] = volume * Math.sin((2 * Math.PI * 196 * (128 * block + i)) / rate);
  model.process(input, output);
  if (block < blocks / 2) quiet = Math.max(quiet, ...output);
  else loud = Math.max(loud, ...output);
}
const load = (performance.now() - start) / ((10 * 128 * blocks) / rate);
console.log(`25 times as loud goes in, ${(loud / quiet).toFixed(1)} times as loud comes out.`);
console.log(`Load: ${load.toFixed(1)} percent of one core`);
