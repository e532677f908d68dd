// Code that must not compile, against the package's declarations: every directive below stands for an error, and
// types.test.ts fails where there is none.

import {
  GRU,
  Linear,
  LSTM,
  LSTMCell,
  mse,
  RNN,
  SGD,
  tensor,
  type LSTMOptions,
  type Module,
  type Tensor,
} from "wasm-rnn";
import { add, matmul, sum } from "wasm-rnn/ops";
import { batches, evaluate, fit, saveTraining } from "wasm-rnn/train";

declare const f32: Tensor<"f32">;
declare const any: Tensor;

// @ts-expect-error another array
export const wrongArray: Tensor<"f32"> = { data: new Float64Array(2), shape: [2] };
// @ts-expect-error another dtype
export const wrongDtype: Tensor<"f64"> = f32;
// @ts-expect-error a tensor of any dtype
export const narrowed: Tensor<"f32"> = any;
// @ts-expect-error plain arrays become f64
export const inferred: Tensor<"f32"> = tensor([1, 2]);
// @ts-expect-error no such dtype
tensor([1, 2], [2], "f16");
// @ts-expect-error booleans are no numbers
tensor([true, false]);
// @ts-expect-error `data` cannot be replaced
f32.data = new Float32Array(2);

// @ts-expect-error f64 without a dtype
export const defaulted: Tensor<"f32"> = new LSTM(4, 8).forward(any).output;
// @ts-expect-error f32 by its options
export const chosen: Tensor<"f64"> = new LSTM(4, 8, { dtype: "f32" }).forward(any).output;
// @ts-expect-error LSTM alone is LSTM<"f64">
export const annotated: LSTM = new LSTM(4, 8, { dtype: "f32" });
// @ts-expect-error layers are f64 or f32
new Linear(4, 8, { dtype: "i32" });
// @ts-expect-error an option of the LSTM alone
new GRU(4, 8, { projSize: 2 });
// @ts-expect-error a misspelt option
new RNN(4, 8, { numlayers: 2 });
// @ts-expect-error null is not undefined
export const options: LSTMOptions = { numLayers: null };

// @ts-expect-error a GRU has no cell state
new GRU(4, 8).forward(any, { c0: any });
// @ts-expect-error nor its gradient
new RNN(4, 8).backward({ cn: any });
// @ts-expect-error nor the result
void new GRU(4, 8).forward(any).cn;
// @ts-expect-error Linear returns one gradient
void new Linear(4, 8).backward({ output: any }).h0;
// @ts-expect-error Linear needs the gradient
new Linear(4, 8).backward({ output: undefined });
// @ts-expect-error a cell's step backward needs its cache
new LSTMCell(4, 8).backward({ h: any });

// @ts-expect-error a cell is no module: its forward returns states
export const cell: Module = new LSTMCell(4, 8);
// @ts-expect-error an f32 module
export const module: Module<"f64"> = new LSTM(4, 8, { dtype: "f32" });

// @ts-expect-error a text is no number
add(f32, "1");
// @ts-expect-error a matrix, no number
matmul(f32, 2);
// @ts-expect-error an axis is a number
sum(f32, "0");

const optimizer = new SGD(new Linear(1, 1).parameters());
// @ts-expect-error no loss
fit(new Linear(1, 1), [{ x: any, y: any }], { optimizer, epochs: 1 });
// @ts-expect-error targets that are no tensors
fit(new Linear(1, 1), [{ x: any, y: 1 }], { loss: mse, optimizer, epochs: 1 });
// @ts-expect-error a loss by reduction "none"
fit(new Linear(1, 1), [{ x: any, y: any }], { loss: () => mse(any, any, { reduction: "none" }), optimizer, epochs: 1 });
// @ts-expect-error a metric is a number
void evaluate(new Linear(1, 1), [{ x: any, y: any }], { loss: mse, metrics: { text: () => "1" } });
// @ts-expect-error an array as target
batches([{ x: any, y: [1, 2] }], { batchSize: 1 });
// @ts-expect-error an optimizer is needed
saveTraining({ model: new Linear(1, 1) });
