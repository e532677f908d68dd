// wasm-rnn as a contestant of bench/peers.ts: the layer as users call it, with inputs copied in and results copied out.

import { LSTM, startThreads, type Tensor, type TensorData } from "../dist/index.js";
import { reader, serve } from "./worker.js";

await serve<Record<string, TensorData>>(async (task) => {
  const { op, dtype, sizes, threads } = task;
  if (threads > 1) await startThreads(threads);
  const { N, T, D, H } = sizes;
  const read = reader(task);
  const layer = new LSTM(D, H, { dtype });
  layer.loadStateDict({
    weight_ih_l0: { data: read("weightIh"), shape: [4 * H, D] },
    weight_hh_l0: { data: read("weightHh"), shape: [4 * H, H] },
    bias_ih_l0: { data: read("biasIh"), shape: [4 * H] },
    bias_hh_l0: { data: read("biasHh"), shape: [4 * H] },
  });
  const x: Tensor = { data: read("x"), shape: [T, N, D] };
  const dOutput: Tensor = { data: read("dOutput"), shape: [T, N, H] };
  const [weightIh, weightHh, bias] = layer.parameters();
  if (op !== "forward+backward") layer.eval();
  const stream = layer.stream({ batchSize: N });
  const calls = {
    step: () => ({ output: stream.step(x.data) }),
    forward: () => ({ output: layer.forward(x).output.data }),
    "forward+backward": () => {
      layer.zeroGrad();
      const { output } = layer.forward(x);
      const gradients = layer.backward({ output: dOutput });
      return {
        output: output.data,
        dX: gradients.x.data,
        dH0: gradients.h0.data,
        dC0: gradients.c0.data,
        dWeightIh: weightIh!.grad.data,
        dWeightHh: weightHh!.grad.data,
        dBias: bias!.grad.data,
      };
    },
  };
  return { call: calls[op], results: (result) => result };
});
