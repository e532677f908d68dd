// Makes examples/amp/amp.json, the model of the guitar amplifier that the page runs: `npm run train:amp`, some minutes of one core. An LSTM
// of 16 units and a linear layer learn what examples/amp/circuit.ts does with examples/amp/guitar.ts, both made here.

import { writeFileSync } from "node:fs";
import { amplify } from "../examples/amp/circuit.js";
import { practice, riff } from "../examples/amp/guitar.js";
import { StreamingModel, toProteus } from "../src/audio.js";
import { Adam, Linear, LSTM, mse } from "../src/index.js";

const TARGET = "examples/amp/amp.json";
const [UNITS, ROWS, STEPS, SECONDS, PASSES] = [16, 48, 256, 48, 14];

const sound = practice(SECONDS, 1);
const amplified = amplify(sound);
const lstm = new LSTM(1, UNITS, { dtype: "f32", seed: 1 });
const head = new Linear(UNITS, 1, { dtype: "f32", seed: 2 });
const adam = new Adam([...lstm.parameters(), ...head.parameters()], { lr: 0.01 });

/** Rows are places of the sound, STEPS samples each, from `at` on. */
function cut(samples, at) {
  const length = Math.floor(samples.length / ROWS);
  const data = Float32Array.from(
    { length: STEPS * ROWS },
    (_, i) => samples[(i % ROWS) * length + at + Math.floor(i / ROWS)],
  );
  return { data, shape: [STEPS, ROWS, 1] };
}

/** Error to signal: the share of the amplifier's energy that the model misses, on the riff, which it has not learned from. */
function errorToSignal() {
  const model = StreamingModel.from([lstm, head]);
  const [input, wanted] = [riff(), amplify(riff())];
  let [error, signal] = [0, 0];
  input.forEach((sample, i) => {
    error += (model.step([sample])[0] - wanted[i]) ** 2;
    signal += wanted[i] ** 2;
  });
  model.dispose();
  return error / signal;
}

const windows = Math.floor(sound.length / ROWS / STEPS);
for (let pass = 0; pass < PASSES; pass++) {
  let state = {};
  let sum = 0;
  adam.lr = 0.01 * (1 - pass / PASSES) ** 1.5 + 0.0003;
  for (let window = 0; window < windows; window++) {
    const [x, y] = [cut(sound, window * STEPS), cut(amplified, window * STEPS)];
    let next;
    const { loss } = adam.minimize(
      () => {
        const { output, hn, cn } = lstm.forward(x, state);
        next = { h0: hn, c0: cn };
        return mse(head.forward(output).output, y);
      },
      { clipNorm: 1 },
    );
    state = next;
    sum += loss;
  }
  console.log(
    `pass ${pass + 1} of ${PASSES}: ${(sum / windows).toExponential(2)}, error to signal ${errorToSignal().toFixed(4)}`,
  );
}
writeFileSync(TARGET, toProteus(StreamingModel.from([lstm, head])));
console.log(`${TARGET}: error to signal ${errorToSignal().toFixed(4)}`);
