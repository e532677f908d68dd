// Runs the golden files of CS231n. The captioning losses, word embedding and temporal affine are put together here from
// the library's parts; its optimizers are mapped to PyTorch's.
import { expect } from "vitest";
import { lstmBackward, lstmForward, rnnBackward, rnnForward } from "../../src/cs231n.js";
import { Adam, Embedding, Linear, RMSprop, SGD, type Parameter, type Tensor, crossEntropy } from "../../src/index.js";
import { type Dtype, type Numbers, type Tensors, tensorOf, tensorsOf } from "./close.js";
import { cs231nLibrary, need, run } from "./course.js";
import { copyOf, gradientOf, printedTolerance, toleranceOf, transposed } from "./golden.js";

interface Linspace {
  readonly start: number;
  readonly stop: number;
  readonly shape: readonly number[];
}
interface Cs231nFile {
  readonly case: string;
  readonly tolerance: { readonly rtol: number; readonly atol: number };
  readonly inputs: Readonly<Record<string, Numbers>>;
  readonly expected: Readonly<Record<string, Numbers | number>>;
  readonly printed: Readonly<Record<string, Numbers | number>>;
  readonly config: Readonly<Record<string, number>>;
  readonly params_linspace: Readonly<Record<string, Linspace>>;
  readonly features_linspace: Linspace;
  readonly captions: Numbers;
  readonly expected_sums?: Readonly<Record<string, { readonly sum: number; readonly l2: number }>>;
}

/** Results under the file's own names. */
type Results = Record<string, Tensor | number>;
type Runner = (file: Cs231nFile, dtype: Dtype) => Results;

export function checkCs231n(file: Cs231nFile, dtype: Dtype): void {
  const runner = runners[file.case];
  if (runner === undefined) throw new Error(`no runner for ${file.case}`);
  const results = runner(file, dtype);
  const resultOf = (name: string): Tensor | number => {
    const result = results[name];
    if (result === undefined) throw new Error(`${file.case}: the runner gives no ${name}`);
    return result;
  };
  for (const [name, expected] of Object.entries(file.expected)) {
    expect(resultOf(name), name).toBeAllClose(expected, toleranceOf(file, dtype));
  }
  for (const [name, expected] of Object.entries(file.printed)) {
    const figures = typeof expected === "number" ? [expected] : Array.from(expected.data);
    expect(resultOf(name), `printed ${name}`).toBeAllClose(expected, printedTolerance(figures, dtype));
  }
  if (dtype === "f32") return; // a sum over hundreds of numbers says little about f32
  for (const [name, { sum, l2 }] of Object.entries(file.expected_sums ?? {})) {
    const values = Array.from((resultOf(name) as Tensor).data);
    const total = values.reduce((partial, value) => partial + value, 0);
    expect(total, `sum of ${name}`).toBeAllClose(sum, file.tolerance);
    expect(Math.hypot(...values), `norm of ${name}`).toBeAllClose(l2, file.tolerance);
  }
}

const runners: Readonly<Record<string, Runner>> = {
  rnn_step_forward: (file, dtype) => layer("rnnStep", file, dtype),
  rnn_step_backward: (file, dtype) => layer("rnnStep", file, dtype),
  rnn_forward: (file, dtype) => layer("rnn", file, dtype),
  rnn_backward: (file, dtype) => layer("rnn", file, dtype),
  lstm_step_forward: (file, dtype) => layer("lstmStep", file, dtype),
  lstm_step_backward: (file, dtype) => layer("lstmStep", file, dtype),
  lstm_forward: (file, dtype) => layer("lstm", file, dtype),
  lstm_backward: (file, dtype) => layer("lstm", file, dtype),
  word_embedding_forward: wordEmbedding,
  word_embedding_backward: wordEmbedding,
  temporal_affine: temporalAffine,
  captioning_rnn_loss: captioning,
  captioning_lstm_loss: captioning,
  optim_sgd_momentum: sgdMomentum,
  optim_rmsprop: rmsprop,
  optim_adam: adam,
};

/** Steps call their state h and c, or prev_h and prev_c; gradients of those are dh and dc in the files. */
function layer(kind: string, file: Cs231nFile, dtype: Dtype): Results {
  const step = kind.endsWith("Step");
  const names: Readonly<Record<string, string>> = step
    ? { h: "prevH", c: "prevC", prev_h: "prevH", prev_c: "prevC", dnext_h: "dnextH", dnext_c: "dnextC" }
    : { dout: "dh" };
  const t: Tensors = {};
  for (const [name, value] of Object.entries(file.inputs)) t[names[name] ?? name] = tensorOf(value, dtype);
  const results = run(cs231nLibrary, kind, t);
  const { nextH, nextC, dprevH, dprevC, ...others } = results;
  const renamed = step ? { next_h: nextH, next_c: nextC, dh: dprevH, dc: dprevC } : {};
  return { ...others, ...renamed } as Results;
}

function wordEmbedding({ inputs }: Cs231nFile, dtype: Dtype): Results {
  const { W, x, dout } = inputs as { W: Numbers; x: Numbers; dout?: Numbers };
  const embedding = new Embedding(W.shape[0] as number, W.shape[1] as number, { dtype });
  embedding.loadStateDict({ weight: tensorOf(W, dtype) });
  const out = embedding.forward(tensorOf(x, "i32")).output;
  if (dout) embedding.backward({ output: tensorOf(dout, dtype) });
  const results = { out, dW: gradientOf(embedding, "weight") };
  embedding.dispose();
  return results;
}

function temporalAffine({ inputs }: Cs231nFile, dtype: Dtype): Results {
  const { x, w, b, dout } = tensorsOf(inputs, dtype) as Record<"x" | "w" | "b" | "dout", Tensor>;
  const linear = affine(w, b, dtype);
  const out = linear.forward(x).output;
  const dx = linear.backward({ output: dout }).x;
  const results = { out, dx, dw: transposed(gradientOf(linear, "weight")), db: gradientOf(linear, "bias") };
  linear.dispose();
  return results;
}

/** h0 = features W_proj + b_proj; the captions' words through the network; the cross entropy of each next word but 0. */
function captioning(file: Cs231nFile, dtype: Dtype): Results {
  const p = Object.fromEntries(
    Object.entries(file.params_linspace).map(([name, recipe]) => [name, tensorOf(linspace(recipe), dtype)]),
  ) as Record<"W_embed" | "W_proj" | "b_proj" | "Wx" | "Wh" | "b" | "W_vocab" | "b_vocab", Tensor>;
  const features = tensorOf(linspace(file.features_linspace), dtype);
  const [batch, length] = file.captions.shape as [number, number];
  const words = (keep: (step: number) => boolean): Tensor => {
    const kept = Array.from(file.captions.data).filter((_, i) => keep(i % length));
    return tensorOf({ shape: [batch, length - 1], data: kept }, "i32");
  };
  const project = affine(p.W_proj, p.b_proj, dtype);
  const vocabulary = affine(p.W_vocab, p.b_vocab, dtype);
  const embedding = new Embedding(p.W_embed.shape[0] as number, p.W_embed.shape[1] as number, { dtype });
  embedding.loadStateDict({ weight: p.W_embed });

  const h0 = project.forward(features).output;
  const x = embedding.forward(words((step) => step < length - 1)).output;
  const recurrent = file.case.includes("lstm")
    ? pass(lstmForward(x, h0, p.Wx, p.Wh, p.b), lstmBackward)
    : pass(rnnForward(x, h0, p.Wx, p.Wh, p.b), rnnBackward);
  const scores = vocabulary.forward(recurrent.h).output;
  const { loss, dLogits } = crossEntropy(
    scores,
    words((step) => step > 0),
    { ignoreIndex: 0, reduction: "sum" },
  );

  const dScores: Tensor = { shape: dLogits.shape, data: dLogits.data.map((value) => value / batch) };
  const { dx, dh0, dWx, dWh, db } = recurrent.backward(vocabulary.backward({ output: dScores }).x);
  embedding.backward({ output: dx });
  project.backward({ output: dh0 });
  const results: Results = {
    loss: loss / batch,
    dW_embed: gradientOf(embedding, "weight"),
    dW_proj: transposed(gradientOf(project, "weight")),
    db_proj: gradientOf(project, "bias"),
    dWx,
    dWh,
    db,
    dW_vocab: transposed(gradientOf(vocabulary, "weight")),
    db_vocab: gradientOf(vocabulary, "bias"),
  };
  for (const each of [project, vocabulary, embedding]) each.dispose();
  return results;
}

function pass<Cache, Gradients>(
  { h, cache }: { h: Tensor; cache: Cache },
  backward: (dh: Tensor, cache: Cache) => Gradients,
): { h: Tensor; backward: (dh: Tensor) => Gradients } {
  return { h, backward: (dh) => backward(dh, cache) };
}

/** CS231n's v is the step itself, learning rate and sign included: PyTorch's momentum_buffer is -v / lr. */
function sgdMomentum({ inputs, config }: Cs231nFile, dtype: Dtype): Results {
  const { learning_rate: lr, momentum } = config as Record<"learning_rate" | "momentum", number>;
  const v = inputs.velocity as Numbers;
  const start = { momentum_buffer: Array.from(v.data, (value) => -value / lr) };
  const { next_w, state } = oneStep((parameters) => new SGD(parameters, { lr, momentum }), inputs, start, dtype);
  const buffer = need(state, "0.momentum_buffer");
  return { next_w, velocity: { shape: buffer.shape, data: buffer.data.map((value) => -value * lr) } };
}

function rmsprop({ inputs, config }: Cs231nFile, dtype: Dtype): Results {
  const { learning_rate: lr, decay_rate: alpha, epsilon: eps } = config as Record<string, number>;
  const options = { lr, alpha, eps } as { lr: number; alpha: number; eps: number };
  const start = { square_avg: (inputs.cache as Numbers).data };
  const { next_w, state } = oneStep((parameters) => new RMSprop(parameters, options), inputs, start, dtype);
  return { next_w, cache: need(state, "0.square_avg") };
}

/** Both count the step before they use it: after t_before steps the next one is t_before + 1. */
function adam({ inputs, config }: Cs231nFile, dtype: Dtype): Results {
  const { learning_rate, beta1, beta2, epsilon, t_before } = config as Record<string, number>;
  const options = { lr: learning_rate, betas: [beta1, beta2], eps: epsilon } as ConstructorParameters<typeof Adam>[1];
  const start = {
    step: [t_before as number],
    exp_avg: (inputs.m as Numbers).data,
    exp_avg_sq: (inputs.v as Numbers).data,
  };
  const { next_w, state } = oneStep((parameters) => new Adam(parameters, options), inputs, start, dtype);
  expect(Number(need(state, "0.step").data[0])).toBe((t_before as number) + 1);
  return { next_w, m: need(state, "0.exp_avg"), v: need(state, "0.exp_avg_sq") };
}

/** One step on w with the gradient dw, from a state that is laid over the shapes of the optimizer's own. */
function oneStep(
  make: (parameters: Parameter[]) => SGD | Adam | RMSprop,
  inputs: Cs231nFile["inputs"],
  start: Readonly<Record<string, ArrayLike<number>>>,
  dtype: Dtype,
): { next_w: Tensor; state: Tensors } {
  const { w, dw } = inputs as { w: Numbers; dw: Numbers };
  const holder = new Linear(w.shape[1] as number, w.shape[0] as number, { bias: false, dtype });
  const [parameter] = holder.parameters() as [Parameter];
  const optimizer = make([parameter]);
  optimizer.step(); // so that there is a state
  const state = optimizer.stateDict();
  for (const [name, values] of Object.entries(start)) need(state, `0.${name}`).data.set(values);
  optimizer.loadStateDict(state);
  parameter.value.data.set(w.data);
  parameter.grad.data.set(dw.data);
  optimizer.step();
  const results = { next_w: copyOf(parameter.value), state: optimizer.stateDict() };
  optimizer.dispose();
  holder.dispose();
  return results;
}

/** CS231n's weights are (in, out), Linear's (out, in). */
function affine(w: Tensor, b: Tensor, dtype: Dtype): Linear<Dtype> {
  const linear = new Linear(w.shape[0] as number, w.shape[1] as number, { dtype });
  linear.loadStateDict({ weight: transposed(w), bias: b });
  return linear;
}

/** np.linspace */
function linspace({ start, stop, shape }: Linspace): Numbers {
  const size = shape.reduce((product, extent) => product * extent, 1);
  const step = (stop - start) / (size - 1);
  return { shape, data: Array.from({ length: size }, (_, i) => (i === size - 1 ? stop : start + i * step)) };
}
