// Writes the files of the Python block in docs/guides/from-pytorch.md, on machines without PyTorch: tagger.safetensors, and in
// example.safetensors an input with the model's answer.
import { writeFile } from "node:fs/promises";
import { Embedding, Linear, LSTM, tensor } from "wasm-rnn";
import { writeSafetensors } from "wasm-rnn/safetensors";

const dtype = "f32";
const embedding = new Embedding(50, 8, { dtype, seed: 1 });
const lstm = new LSTM(8, 16, { numLayers: 2, bidirectional: true, batchFirst: true, dtype, seed: 2 });
const linear = new Linear(32, 5, { dtype, seed: 3 });
const tensors = Object.entries({ embedding, lstm, linear }).flatMap(([prefix, layer]) =>
  Object.entries(layer.eval().stateDict()).map(([name, tensor]) => [`${prefix}.${name}`, tensor]),
);
await writeFile("tagger.safetensors", writeSafetensors(Object.fromEntries(tensors)));

const x = tensor(
  Int32Array.from({ length: 12 }, (_, i) => i),
  [2, 6],
);
const y = linear.forward(lstm.forward(embedding.forward(x).output).output).output;
await writeFile("example.safetensors", writeSafetensors({ x, y }));
