// Entry points that only some commands need. The build leaves them to the library's own files, beside the command line's: their objects are
// for each other, and not for what the command line imports from elsewhere.

/** `wasm-rnn`, whose `configure` and classes are those of all the others. */
export const loadIndex = () => import("../index.js");

/** `wasm-rnn/audio`. */
export const loadAudio = () => import("../audio.js");

/** `wasm-rnn/cluster`. */
export const loadCluster = () => import("../cluster.js");

/** `wasm-rnn/keras`. */
export const loadKeras = () => import("../keras.js");

/** `wasm-rnn/load`. */
export const loadLoad = () => import("../load.js");

/** `wasm-rnn/npy`. */
export const loadNpy = () => import("../npy.js");

/** `wasm-rnn/onnx`. */
export const loadOnnx = () => import("../onnx.js");
