// Every file of the external golden data (its own README tells the schema): ../shared/golden beside the package, or
// GOLDEN_DIR. The CS231n captioning losses, word embedding and temporal affine are put together here from the library's
// parts; its optimizers are mapped to PyTorch's.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import { lstmBackward, lstmForward, rnnBackward, rnnForward } from "../src/cs231n.js";
import { Adam, Embedding, Linear, RMSprop, SGD, type Parameter, type Tensor, crossEntropy } from "../src/index.js";
import {
  type Dtype,
  type Numbers,
  type Tensors,
  type Tolerance,
  halfUnit,
  part,
  tensorOf,
  tensorsOf,
} from "./helpers/close.js";
import { TOLERANCES, courseraLibrary, cs231nLibrary, need, run } from "./helpers/course.js";
import { useVariant, variants } from "./helpers/variants.js";

interface Printed {
  readonly tensor: string;
  readonly index: readonly number[];
  readonly values: number | readonly number[];
  readonly matches_expected: boolean;
}
interface Linspace {
  readonly start: number;
  readonly stop: number;
  readonly shape: readonly number[];
}
interface GoldenFile {
  readonly case: string;
  readonly tolerance: { readonly rtol: number; readonly atol: number };
  readonly known_wrong?: boolean;
  readonly function: string;
  readonly inputs: Readonly<Record<string, Numbers>>;
  readonly params: Readonly<Record<string, Numbers>>;
  readonly expected: Readonly<Record<string, Numbers | number>>;
  readonly printed: unknown;
  readonly config: Readonly<Record<string, number>>;
  readonly params_linspace: Readonly<Record<string, Linspace>>;
  readonly features_linspace: Linspace;
  readonly captions: Numbers;
  readonly expected_sums?: Readonly<Record<string, { readonly sum: number; readonly l2: number }>>;
}

/** Results under the file's own names. */
type Results = Record<string, Tensor | number>;
type Runner = (file: GoldenFile, dtype: Dtype) => Results;

const root = fileURLToPath(new URL("..", import.meta.url));
const directory = resolve(root, process.env.GOLDEN_DIR ?? "../shared/golden");
const filesOf = (folder: string): string[] => {
  const path = join(directory, folder);
  return existsSync(path) ? readdirSync(path).sort() : [];
};
const folders: Readonly<Record<string, { files: string[]; check: (file: GoldenFile, dtype: Dtype) => void }>> = {
  coursera: { files: filesOf("coursera"), check: checkCoursera },
  cs231n: { files: filesOf("cs231n"), check: checkCs231n },
};
/** Folders whose files want layers that the package does not have yet: GRU, bidirectional, masks, ONNX's operators. */
const later = ["onnx", "tfjs"];

const found = Object.values(folders).reduce((sum, { files }) => sum + files.length, 0);
const ran = new Set<string>();

describe.each(found > 0 ? variants : [])("%s build", (variant) => {
  useVariant(variant);
  for (const [folder, { files, check }] of Object.entries(folders)) {
    for (const name of files) {
      test(`${folder}/${name}`, () => {
        const file = JSON.parse(readFileSync(join(directory, folder, name), "utf8")) as GoldenFile;
        for (const dtype of ["f64", "f32"] as const) check(file, dtype);
        ran.add(`${variant} ${folder}/${name}`);
      });
    }
  }
});

test("no file was left out", () => {
  expect(ran.size).toBe(found * variants.length);
  const known = [...Object.keys(folders), ...later];
  if (existsSync(directory)) {
    const others = readdirSync(directory, { withFileTypes: true }).filter((each) => each.isDirectory());
    expect(others.map(({ name }) => name).filter((name) => !known.includes(name))).toEqual([]);
  }
  if (existsSync(directory)) expect(found).toBeGreaterThan(0);
});

afterAll(() => {
  if (found === 0) console.log(`golden data: none (no ${directory}; GOLDEN_DIR names another folder)`);
  else {
    const counts = Object.entries(folders).map(([folder, { files }]) => `${folder} ${files.length}`);
    console.log(
      `golden data: ${ran.size / variants.length} of ${found} files ran (${counts.join(", ")}), with each of ${variants.join(", ")}`,
    );
    const waiting = later.map(
      (folder) => `${folder} ${filesOf(folder).filter((name) => name.endsWith(".json")).length}`,
    );
    console.log(`golden data: not run, their layers are not there yet: ${waiting.join(", ")}`);
  }
});

// --------------------------------------------------------------------------------------------------------------------
// coursera

function checkCoursera(file: GoldenFile, dtype: Dtype): void {
  const kinds: Readonly<Record<string, string>> = {
    rnn_cell: "rnnCell",
    rnn: "rnn",
    lstm_cell: "lstmCell",
    lstm: "lstm",
  };
  const kind = kinds[file.function.replace(/_(forward|backward)$/, "")];
  if (kind === undefined) throw new Error(`no runner for ${file.function}`);
  const t: Tensors = {};
  for (const [name, value] of Object.entries({ ...file.inputs, ...file.params }))
    t[camel(name)] = tensorOf(value, dtype);
  const { results, cache } = courseraLibrary.forward(kind, t);
  const gates = kind === "lstmCell" ? (cache as Tensors) : {};
  const gradients = file.function.endsWith("_backward") ? courseraLibrary.backward(kind, t, cache) : {};
  const all: Tensors = { ...gates, ...results, ...gradients };
  const resultOf = (name: string): Tensor => need(all, name === "yt" ? "ytPred" : camel(name));

  for (const [name, expected] of Object.entries(file.expected)) {
    // known_wrong files hold published numbers that are no gradients: ours must be others
    if (file.known_wrong) expect(resultOf(name), name).not.toBeAllClose(expected, { rtol: 1e-3, atol: 1e-2 });
    else expect(resultOf(name), name).toBeAllClose(expected, tolerance(file, dtype));
  }
  if (file.known_wrong) return;
  for (const { tensor, index, values, matches_expected } of file.printed as readonly Printed[]) {
    const figures = [values].flat();
    const row = { shape: [figures.length], data: part(resultOf(tensor), index) };
    const expected = { shape: row.shape, data: figures };
    const label = `printed ${tensor}[${index.join("][")}]`;
    if (!matches_expected) expect(row, label).not.toBeAllClose(expected, { atol: 1e-3 });
    else expect(row, label).toBeAllClose(expected, printedTolerance(figures, dtype));
  }
}

/** a_next to aNext, da_prev to daPrev */
function camel(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

// --------------------------------------------------------------------------------------------------------------------
// cs231n

function checkCs231n(file: GoldenFile, dtype: Dtype): void {
  const runner = runners[file.case];
  if (runner === undefined) throw new Error(`no runner for ${file.case}`);
  const results = runner(file, dtype);
  const resultOf = (name: string): Tensor | number => {
    const result = results[name];
    if (result === undefined) throw new Error(`${file.case}: the runner gives no ${name}`);
    return result;
  };
  for (const [name, expected] of Object.entries(file.expected)) {
    expect(resultOf(name), name).toBeAllClose(expected, tolerance(file, dtype));
  }
  for (const [name, expected] of Object.entries(file.printed as GoldenFile["expected"])) {
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
function layer(kind: string, file: GoldenFile, dtype: Dtype): Results {
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

function wordEmbedding({ inputs }: GoldenFile, dtype: Dtype): Results {
  const { W, x, dout } = inputs as { W: Numbers; x: Numbers; dout?: Numbers };
  const embedding = new Embedding(W.shape[0] as number, W.shape[1] as number, { dtype });
  embedding.loadStateDict({ weight: tensorOf(W, dtype) });
  const out = embedding.forward(tensorOf(x, "i32")).output;
  if (dout) embedding.backward({ output: tensorOf(dout, dtype) });
  const results = { out, dW: gradientOf(embedding, "weight") };
  embedding.dispose();
  return results;
}

function temporalAffine({ inputs }: GoldenFile, dtype: Dtype): Results {
  const { x, w, b, dout } = tensorsOf(inputs, dtype) as Record<"x" | "w" | "b" | "dout", Tensor>;
  const linear = affine(w, b, dtype);
  const out = linear.forward(x).output;
  const dx = linear.backward({ output: dout }).x;
  const results = { out, dx, dw: transposed(gradientOf(linear, "weight")), db: gradientOf(linear, "bias") };
  linear.dispose();
  return results;
}

/** h0 = features W_proj + b_proj; the captions' words through the network; the cross entropy of each next word but 0. */
function captioning(file: GoldenFile, dtype: Dtype): Results {
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
function sgdMomentum({ inputs, config }: GoldenFile, dtype: Dtype): Results {
  const { learning_rate: lr, momentum } = config as Record<"learning_rate" | "momentum", number>;
  const v = inputs.velocity as Numbers;
  const start = { momentum_buffer: Array.from(v.data, (value) => -value / lr) };
  const { next_w, state } = oneStep((parameters) => new SGD(parameters, { lr, momentum }), inputs, start, dtype);
  const buffer = need(state, "0.momentum_buffer");
  return { next_w, velocity: { shape: buffer.shape, data: buffer.data.map((value) => -value * lr) } };
}

function rmsprop({ inputs, config }: GoldenFile, dtype: Dtype): Results {
  const { learning_rate: lr, decay_rate: alpha, epsilon: eps } = config as Record<string, number>;
  const options = { lr, alpha, eps } as { lr: number; alpha: number; eps: number };
  const start = { square_avg: (inputs.cache as Numbers).data };
  const { next_w, state } = oneStep((parameters) => new RMSprop(parameters, options), inputs, start, dtype);
  return { next_w, cache: need(state, "0.square_avg") };
}

/** Both count the step before they use it: after t_before steps the next one is t_before + 1. */
function adam({ inputs, config }: GoldenFile, dtype: Dtype): Results {
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
  inputs: GoldenFile["inputs"],
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
  holder.dispose();
  return results;
}

// --------------------------------------------------------------------------------------------------------------------

function tolerance(file: GoldenFile, dtype: Dtype): Tolerance {
  return dtype === "f64" ? file.tolerance : TOLERANCES.f32;
}

function printedTolerance(figures: readonly number[], dtype: Dtype): Tolerance {
  return dtype === "f64" ? { atol: halfUnit(figures.map(String)) } : TOLERANCES.f32;
}

/** CS231n's weights are (in, out), Linear's (out, in). */
function affine(w: Tensor, b: Tensor, dtype: Dtype): Linear {
  const linear = new Linear(w.shape[0] as number, w.shape[1] as number, { dtype });
  linear.loadStateDict({ weight: transposed(w), bias: b });
  return linear;
}

function gradientOf(owner: { parameters(): Parameter[] }, name: string): Tensor {
  const parameter = owner.parameters().find((each) => each.name === name);
  if (parameter === undefined) throw new Error(`no parameter ${name}`);
  return copyOf(parameter.grad);
}

/** Parameters are live views; a copy outlives the layer. */
function copyOf({ shape, data }: Tensor): Tensor {
  return { shape: [...shape], data: data.slice() };
}

function transposed({ shape, data }: Tensor): Tensor {
  const [rows, columns] = shape as [number, number];
  return {
    shape: [columns, rows],
    data: data.map((_, i) => data[(i % rows) * columns + Math.floor(i / rows)] as number),
  };
}

/** np.linspace */
function linspace({ start, stop, shape }: Linspace): Numbers {
  const size = shape.reduce((product, extent) => product * extent, 1);
  const step = (stop - start) / (size - 1);
  return { shape, data: Array.from({ length: size }, (_, i) => (i === size - 1 ? stop : start + i * step)) };
}
