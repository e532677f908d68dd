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
  evaluate,
  type BatchInfo,
  type BatchLoss,
  type EvaluateOptions,
  type Evaluation,
  type Metric,
  type TrainableModel,
  type TrainingBatch,
} from "./train/evaluate.js";
export {
  fit,
  type EarlyStopping,
  type FitOptions,
  type FitPosition,
  type Progress,
  type StoppingState,
} from "./train/fit.js";
export { loadTraining, saveTraining, type TrainingParts, type TrainingToSave } from "./train/state.js";
export {
  accuracy,
  confusionMatrix,
  perplexity,
  report,
  type AccuracyOptions,
  type ConfusionOptions,
} from "./train/metrics.js";
