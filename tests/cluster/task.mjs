// A task of an operator: learns to repeat the sum of two numbers.

import { BatchNorm1d, Dropout, Linear, mse, Sequential } from "wasm-rnn";
import { modelTask } from "wasm-rnn/cluster";

export const model = () =>
  new Sequential({
    ...{ hidden: new Linear(2, 5, { seed: 1 }), norm: new BatchNorm1d(5) },
    ...{ dropout: new Dropout(0.2, { seed: 1 }), out: new Linear(5, 1, { seed: 2 }) },
  });

export default modelTask({
  name: "sums",
  model,
  loss: (output, y, { reduction }) => mse(output, y, { reduction }),
});
