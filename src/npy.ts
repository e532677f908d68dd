/**
 * NumPy's files, both ways, in memory: .npy, one array, and .npz, a zip archive of them
 * (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html).
 *
 *     "\x93NUMPY" | u8 major, u8 minor | u16 (1.0) or u32 little-endian: H | H bytes of a Python dictionary | the numbers
 *     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
 *
 * Objects, complex numbers, strings and structures are refused. Nothing of a file is executed. Hosts must be little-endian, as
 * WebAssembly is.
 *
 * @module wasm-rnn/npy
 */

export { readNpy, readNpz, writeNpy, writeNpz, type NpzOptions, type WriteNpzOptions } from "./formats/npy.js";
export type { NameFilter } from "./formats/only.js";
export type { StoredData, StoredTensor } from "./formats/safetensors.js";
