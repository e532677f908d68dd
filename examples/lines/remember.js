import { Adam, Linear, LSTM, mse, Random, tensor } from "wasm-rnn";

const [steps, rows] = [10, 32];
const random = new Random(1);
const lstm = new LSTM(1, 16, { seed: 1, unitForgetBias: true });
const head = new Linear(16, 1, { seed: 2 });
const adam = new Adam([...lstm.parameters(), ...head.parameters()], { lr: 0.02 });
let latest = 1;
for (let step = 1; step <= 500; step++) {
  const numbers = Float64Array.from({ length: steps * rows }, () => random.uniform());
  const first = tensor(numbers.slice(0, rows), [rows, 1]); // what shall be said at the end
  const { loss } = adam.minimize(() => {
    const { hn } = lstm.forward(tensor(numbers, [steps, rows, 1]));
    return mse(head.forward(hn).output, { data: first.data, shape: [1, rows, 1] });
  });
  latest = loss;
  if (step % 100 === 0) console.log(`step ${step}: squared error ${loss.toFixed(4)}, guessing gives 0.0833`);
}
console.log(latest < 0.01 ? "It remembers." : "It does not remember yet.");
