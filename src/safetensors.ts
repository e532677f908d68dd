/**
 * The safetensors format (https://huggingface.co/docs/safetensors), both ways, in memory.
 *
 *     u64 little-endian: H | H bytes of JSON, padded with spaces | data: every tensor's numbers, little-endian, row-major
 *     { "__metadata__": { string: string }, name: { "dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end] } }
 *
 * Offsets count from the start of the data and cover it without gap or overlap. Reading and writing is of bytes in memory;
 * hosts must be little-endian, as WebAssembly is.
 *
 * @module wasm-rnn/safetensors
 */

export type { NameFilter } from "./formats/only.js";
export {
  readSafetensors,
  writeSafetensors,
  type SafetensorsContent,
  type SafetensorsOptions,
  type StoredData,
  type StoredTensor,
} from "./formats/safetensors.js";
