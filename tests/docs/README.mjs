// Makes gru.safetensors, which the README's Python block makes, on machines without PyTorch.
import { writeFile } from "node:fs/promises";
import { GRU } from "wasm-rnn";
import { writeSafetensors } from "wasm-rnn/safetensors";

const gru = new GRU(3, 8, { dtype: "f32", seed: 1 });
await writeFile("gru.safetensors", writeSafetensors(gru.stateDict()));
