// The same task on a machine that computes wrongly.

import { l1 } from "wasm-rnn";
import { modelTask } from "wasm-rnn/cluster";
import { model } from "./task.mjs";

export default modelTask({
  name: "sums",
  model,
  loss: (output, y, { reduction }) => l1(output, y, { reduction }),
});
