/**
 * Training: batches of samples, the loop over epochs, checkpoints that continue with the same bits, and metrics.
 *
 * @module wasm-rnn/train
 */

export {
  batches,
  type Batch,
  type Batches,
  type BatchesOptions,
  type BatchesPosition,
  type Sample,
} from "./train/batches.js";
export {
  accuracy,
  confusionMatrix,
  perplexity,
  report,
  type AccuracyOptions,
  type ConfusionOptions,
} from "./train/metrics.js";
