/**
 * Functions of plain tensors that return new ones: arithmetic with NumPy's broadcasting, matrix products, reductions, movement. Inside
 * the body of `minimize` and `valueAndGrad` they are recorded and differentiated like layers and losses. Inputs are read once and
 * results belong to the caller; all computing is in WebAssembly.
 *
 * @module wasm-rnn/ops
 */

export {
  add,
  concat,
  div,
  dropout,
  exp,
  log,
  matmul,
  max,
  mean,
  mul,
  neg,
  oneHot,
  relu,
  reshape,
  select,
  sigmoid,
  slice,
  sqrt,
  stack,
  sub,
  sum,
  tanh,
  transpose,
  where,
} from "./ops/functions.js";
export { logSoftmax, softmax } from "./ops/softmax-functions.js";
export type { Tensor } from "../bindings/tensor.js";
