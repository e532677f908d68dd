/**
 * PyTorch's checkpoints (.pt, .pth, .tar), read in memory without running anything.
 *
 *     torch.save since 1.6     zip: name/data.pkl, name/data/0 ..., name/byteorder
 *     torch.save before        pickles: magic number, 1001, system, value, keys of storages; then each storage: i64 size, numbers
 *     torch.jit.save           zip: name/data.pkl, name/data/0 ..., name/constants.pkl, name/constants/0 ..., name/code/...
 *
 * A pickle is a program that names classes and functions and calls them. Here names are text: a closed list of them (tensors,
 * parameters, ordered dictionaries, NumPy's arrays and numbers) has a meaning, and everything else becomes a record.
 *
 * @module wasm-rnn/pytorch
 */

export type { PickledObject } from "./formats/pickle.js";
export type { StoredData, StoredTensor } from "./formats/safetensors.js";
export { readTorch, type TorchOptions, type TorchRecord, type TorchValue } from "./formats/torch.js";
