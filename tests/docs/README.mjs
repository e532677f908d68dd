// Makes what the README's Python block makes, where there is no PyTorch: model.safetensors.
import { writeFile } from "node:fs/promises";
import { GRU, Linear } from "wasm-rnn";
import { writeSafetensors } from "wasm-rnn/safetensors";

const layers = { gru: new GRU(3, 8, { dtype: "f32", seed: 1 }), linear: new Linear(8, 2, { dtype: "f32", seed: 2 }) };
const tensors = Object.entries(layers).flatMap(([prefix, layer]) =>
  Object.entries(layer.stateDict()).map(([name, tensor]) => [`${prefix}.${name}`, tensor]),
);
await writeFile("model.safetensors", writeSafetensors(Object.fromEntries(tensors)));
