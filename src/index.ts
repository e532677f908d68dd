/**
 * The main entry point: layers, cells, losses, optimizers, schedules, initialisers, and a character-level language model.
 * Tensors are plain records `{ data, shape }`. Results belong to the caller; live views are named as such. The courses, file
 * formats and audio models have their own entry points.
 *
 * @module wasm-rnn
 */

export {
  tensor,
  type Dtype,
  type DtypeArrays,
  type FloatDtype,
  type InferredDtype,
  type NestedNumbers,
  type Tensor,
  type TensorData,
} from "../bindings/tensor.js";
export type { Lengths } from "../bindings/memory.js";
export { buildInfo, configure, initialize, type Variant } from "../bindings/instantiate.js";
export { startThreads, stopThreads, type ThreadOptions } from "../bindings/threads.js";
export {
  DisposedError,
  DtypeError,
  FormatError,
  OutOfMemoryError,
  ShapeError,
  StateError,
  ThreadError,
  UnsupportedError,
  ValueError,
} from "../bindings/errors.js";
export type { Parameter } from "./base/parameter.js";
export { parameter, weightedSum, type LossResult } from "./recording/minimize.js";
export { valueAndGrad } from "./ops/value-and-grad.js";
export type { Layer, LayerOptions, LoadOptions, Module } from "./nn/layer.js";
export { GRU, LSTM, RNN } from "./recurrent/layers.js";
export type {
  GatedOptions,
  GRUOptions,
  LSTMInputGradients,
  LSTMOptions,
  LSTMOutput,
  LSTMState,
  OutputGradients,
  RecurrentOptions,
  RNNInputGradients,
  RNNOptions,
  RNNOutput,
  RNNState,
} from "./recurrent/options.js";
export {
  CellCache,
  GRUCell,
  LSTMCell,
  RNNCell,
  type CellInputGradients,
  type CellOptions,
  type CellOutput,
  type CellState,
  type GRUCellOptions,
  type LSTMCellInputGradients,
  type LSTMCellOutput,
  type LSTMCellState,
  type RNNCellOptions,
} from "./recurrent/cells.js";
export type { Stream, StreamOptions } from "./recurrent/stream.js";
export { Linear, type LinearOptions } from "./nn/linear.js";
export type { CellActivation, CellKind } from "../bindings/recurrent.js";
export { Embedding, type EmbeddingOptions } from "./nn/embedding.js";
export { Sequential, type LayerList, type ModelStream, type SequenceOptions } from "./nn/sequential.js";
export { Dropout, type DropoutOptions } from "./nn/dropout.js";
export { AdditiveAttention, type AdditiveAttentionOptions } from "./nn/additive-attention.js";
export type { AttentionOptions } from "./nn/attention.js";
export {
  MultiheadAttention,
  type MultiheadAttentionInput,
  type MultiheadAttentionOptions,
} from "./nn/multihead-attention.js";
export {
  ctcBeamDecode,
  ctcGreedyDecode,
  ctcLoss,
  type CtcBeamDecodeOptions,
  type CtcDecodeOptions,
  type CtcHypothesis,
  type CtcLossOptions,
} from "./nn/ctc.js";
export { LayerNorm, type LayerNormOptions } from "./nn/layer-norm.js";
export { Conv1d, type Conv1dOptions } from "./nn/conv1d.js";
export { AvgPool1d, MaxPool1d, type PoolOptions } from "./nn/pool.js";
export { BatchNorm1d, type BatchNorm1dInput, type BatchNorm1dOptions } from "./nn/batch-norm.js";
export { PReLU, type PReLUOptions } from "./nn/prelu.js";
export { Activation } from "./nn/activation.js";
export type { ActivationName } from "../bindings/layers.js";
export { LastStep, MaxOverTime, MeanOverTime, type LastStepOptions, type OverTimeOptions } from "./nn/over-time.js";
export type { StepsOptions } from "./nn/steps.js";
export type { LayerStream, LayerStreamOptions } from "./nn/stream.js";
export {
  init,
  type GainNonlinearity,
  type InitTarget,
  type KaimingOptions,
  type NormalOptions,
  type OrthogonalOptions,
  type SeedOptions,
  type UniformOptions,
  type XavierOptions,
} from "./nn/init.js";
export {
  bceWithLogits,
  crossEntropy,
  l1,
  mse,
  nll,
  smoothL1,
  type BceWithLogitsOptions,
  type CrossEntropyOptions,
  type Loss,
  type ElementLossOptions,
  type LossOptions,
  type NllOptions,
  type Reduction,
  type SmoothL1Options,
} from "./nn/loss.js";
export { logSoftmax, softmax } from "./ops/softmax-functions.js";
export {
  Adagrad,
  Adam,
  AdamW,
  RMSprop,
  SGD,
  type AdagradOptions,
  type AdamOptions,
  type AdamWOptions,
  type RMSpropOptions,
  type SGDOptions,
} from "./optim/optimizers.js";
export { clipGradNorm, clipGradValue, type ClipGradNormOptions } from "./optim/clip.js";
export {
  type MinimizeOptions,
  type Optimizer,
  type OptimizerOptions,
  type ParametersOrGroups,
  type ParamGroup,
} from "./optim/optimizer.js";
export {
  CosineAnnealingLR,
  LinearLR,
  ReduceLROnPlateau,
  StepLR,
  type CosineAnnealingLROptions,
  type LinearLROptions,
  type ReduceLROnPlateauOptions,
  type Schedule,
  type Scheduled,
  type StepLROptions,
} from "./optim/schedule.js";
export {
  fromTorch,
  toTorch,
  type CourseraGates,
  type Cs231nGates,
  type CudnnGates,
  type GateArrays,
  type GateConvention,
  type GateOptions,
  type KerasGates,
  type NamGates,
  type OnnxGates,
  type Tf1Gates,
} from "./formats/gates.js";
export { gradCheck, type Checked, type GradCheckOptions, type GradCheckResult } from "./nn/gradcheck.js";
export { Random } from "./base/random.js";
export {
  CharLM,
  type CharLMArchitecture,
  type CharLMCell,
  type CharLMOptions,
  type CharLMState,
  type CharLMVariant,
  type SampleOptions,
  type StepOptimizer,
} from "./models/charlm.js";
export { countParameters, readCharLM, writeCharLM, type CharLMTraining } from "./models/charlm-file.js";
export { splitText, TextStreams, Vocabulary, type TextWindow } from "./models/text.js";
