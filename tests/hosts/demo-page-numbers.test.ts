// The page's own computations (examples/browser): activations of units, vanishing gradients, training.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import esbuild from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import type * as activations from "../../examples/browser/activations.js";
import type * as fading from "../../examples/browser/fading.js";
import type * as trainings from "../../examples/browser/training.js";
import type * as coursera from "../../src/coursera.js";
import type * as core from "../../src/index.js";

type Modules = typeof activations & typeof fading & typeof trainings & typeof coursera & typeof core;

let modules: Modules;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "wasm-rnn-page-"));
  const names = ["activations", "fading", "training"].map((name) => `./examples/browser/${name}.ts`);
  const outfile = join(folder, "modules.mjs");
  const resolveDir = fileURLToPath(new URL("../..", import.meta.url));
  const contents = [...names, "./src/index.ts", "./src/coursera.ts"]
    .map((name) => `export * from "${name}";`)
    .join("\n");
  await esbuild.build({ stdin: { contents, resolveDir }, outfile, bundle: true, format: "esm", target: "es2022" });
  modules = (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as Modules;
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const TEXT = "the cat sat on the mat and the dog sat on the log. ".repeat(12);

/** Transposes a matrix of [rows, columns]. */
const turned = (data: ArrayLike<number>, rows: number, columns: number) =>
  Float64Array.from({ length: rows * columns }, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!);

test("gates and states of an LSTM equal those of the course's function, in both layers", () => {
  const { CharLM, lstmForward, readActivations, Vocabulary } = modules;
  const [D, H] = [5, 4];
  const model = new CharLM(Vocabulary.fromText(TEXT), { embeddingDim: D, hiddenSize: H, numLayers: 2, seed: 3 });
  const text = TEXT.slice(0, 30);
  const T = text.length;
  const dict = model.stateDict();
  const table = dict["embedding.weight"]!.data;
  const codes = model.vocabulary.encode(text);
  let x = Float64Array.from({ length: T * D }, (_, i) => table[codes[Math.floor(i / D)]! * D + (i % D)]!);
  for (const layer of [0, 1]) {
    const width = layer === 0 ? D : H;
    const of = (name: string) => dict[`lstm.${name}_l${layer}`]!.data;
    const weights = Object.fromEntries(
      ["i", "f", "c", "o"].flatMap((gate, index) => {
        const W = new Float64Array(H * (H + width));
        for (let row = 0; row < H; row++) {
          const from = index * H + row;
          W.set(of("weight_hh").subarray(from * H, (from + 1) * H), row * (H + width));
          W.set(of("weight_ih").subarray(from * width, (from + 1) * width), row * (H + width) + H);
        }
        const b = Float64Array.from(
          { length: H },
          (_, row) => of("bias_ih")[index * H + row]! + of("bias_hh")[index * H + row]!,
        );
        return [
          [`W${gate}`, { data: W, shape: [H, H + width] }],
          [`b${gate}`, { data: b, shape: [H, 1] }],
        ];
      }),
    );
    // the course has (features, batch, time)
    const input = { data: turned(x, T, width), shape: [width, 1, T] };
    const zero = { data: new Float64Array(H), shape: [H, 1] };
    const { a, c, caches } = lstmForward(input, zero, weights as unknown as Parameters<typeof lstmForward>[2]);
    const { ft, it: update, cct, ot } = caches;
    const { kinds, characters, units } = readActivations(model, text, layer);
    expect([characters.join(""), units, Object.keys(kinds)]).toEqual([text, H, ["h", "c", "i", "f", "g", "o"]]);
    for (const [kind, expected] of Object.entries({ h: a, c, i: update, f: ft, g: cct, o: ot })) {
      expect(expected.data.length, kind).toBe(T * H);
      const reference = turned(expected.data, H, T);
      kinds[kind]!.forEach((value, i) => expect(Math.abs(value - reference[i]!), `${kind} ${i}`).toBeLessThan(1e-6));
    }
    x = turned(a.data, H, T);
  }
  model.dispose();
});

test.each([
  {},
  { resetAfter: false },
  { recurrentActivation: "hardSigmoid" },
  { resetAfter: false, recurrentActivation: "hardSigmoid" },
] as const)("gates of a GRU give its next state (%o)", (options) => {
  const { CharLM, readActivations, Vocabulary } = modules;
  const sizes = { embeddingDim: 5, hiddenSize: 4, seed: 3 };
  const model = new CharLM(Vocabulary.fromText(TEXT), { cell: "GRU", ...sizes, ...options });
  const { kinds, units } = readActivations(model, TEXT.slice(0, 20), 1);
  const { h, z, n } = kinds as Record<"h" | "z" | "n", Float32Array>;
  for (let i = units; i < h.length; i++) {
    expect(h[i]).toBeCloseTo((1 - z[i]!) * n[i]! + z[i]! * h[i - units]!, 5);
  }
  model.dispose();
});

test("gates of an LSTM with hard sigmoid give its next states", () => {
  const { CharLM, readActivations, Vocabulary } = modules;
  const sizes = { embeddingDim: 5, hiddenSize: 4, seed: 3 };
  const model = new CharLM(Vocabulary.fromText(TEXT), { recurrentActivation: "hardSigmoid", ...sizes });
  const { kinds, units } = readActivations(model, TEXT.slice(0, 20), 1);
  const { h, c, i: input, f, g, o } = kinds as Record<"h" | "c" | "i" | "f" | "g" | "o", Float32Array>;
  for (let i = units; i < h.length; i++) {
    expect(c[i]).toBeCloseTo(f[i]! * c[i - units]! + input[i]! * g[i]!, 5);
    expect(h[i]).toBeCloseTo(o[i]! * Math.tanh(c[i]!), 5);
  }
  model.dispose();
});

test.each([
  ["RNN", 1],
  ["GRU", 2],
  ["LSTM", 1],
  ["LSTM", 2],
] as const)("gradients of %s, %i layers, fade as the backward passes of cells say", (kind, numLayers) => {
  const { crossEntropy, fading, GRUCell, Linear, LSTMCell, RNNCell, Training } = modules;
  const [D, H, N] = [5, 6, 32];
  const training = new Training(
    // prettier-ignore
    { cell: kind, hiddenSize: H, numLayers, embeddingDim: D, learningRate: 0.01, dtype: "f64", variant: "auto",
        seqLen: 16, batchSize: 4, seed: 2 },
    TEXT,
  );
  for (let i = 0; i < 20; i++) training.advance();
  const norms = fading(training);
  expect(norms.length).toBe(61);

  const dict = training.model.stateDict();
  const cells = Array.from({ length: numLayers }, (_, layer) => {
    const cell = new { RNN: RNNCell, GRU: GRUCell, LSTM: LSTMCell }[kind](layer === 0 ? D : H, H) as core.LSTMCell;
    const names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
    const of = (name: string) => dict[`${kind.toLowerCase()}.${name}_l${layer}`]!;
    cell.loadStateDict(Object.fromEntries(names.map((name) => [name, of(name)])));
    return cell;
  });
  const linear = new Linear(H, training.model.vocabulary.size);
  linear.loadStateDict({ weight: dict["linear.weight"]!, bias: dict["linear.bias"]! });
  const { inputs, next } = training.excerpts(N, 61);
  const table = dict["embedding.weight"]!.data;
  const zeros = (): core.Tensor => ({ data: new Float64Array(N * H), shape: [N, H] });
  const pick = ({ h, c }: { h?: core.Tensor; c?: core.Tensor }) => (kind === "LSTM" ? { h, c } : { h });
  const states = cells.map(() => pick({ h: zeros(), c: zeros() }));
  const caches = norms.map((_, t) => {
    const row = (n: number) => inputs.data[t * N + n]! * D;
    const data = Float64Array.from({ length: N * D }, (_, i) => table[row(Math.floor(i / D)) + (i % D)]!);
    let x: core.Tensor = { data, shape: [N, D] };
    return cells.map((cell, layer) => {
      const { h, c, cache } = cell.forward(x, states[layer]);
      states[layer] = pick({ h, c });
      x = h;
      return cache;
    });
  });
  const { dLogits } = crossEntropy(linear.forward(states.at(-1)!.h!).output, next);
  /** The gradient of each layer's state from the following steps. */
  const gradients = cells.map(() => pick({ h: zeros(), c: zeros() }));
  gradients.at(-1)!.h = linear.backward({ output: dLogits }).x;
  const expected = caches.reverse().map((step) => {
    let logs = 0;
    for (let n = 0; n < N; n++) {
      const own = gradients.flatMap(({ h }) => [...h!.data.subarray(n * H, (n + 1) * H)]);
      logs += Math.log(Math.hypot(...own));
    }
    let above: core.Tensor | undefined; // the gradient of this layer's output from the layer above
    for (let layer = numLayers - 1; layer >= 0; layer--) {
      const gradient = gradients[layer]!;
      const data = Float64Array.from(gradient.h!.data, (value, i) => value + (above?.data[i] ?? 0));
      const { x, h, c } = cells[layer]!.backward({ ...gradient, h: { data, shape: [N, H] } }, step[layer]!);
      gradients[layer] = pick({ h, c });
      above = x;
    }
    return Math.exp(logs / N);
  });
  norms.forEach((norm, back) => expect(norm * expected[0]!).toBeCloseTo(expected[back]!, 12));
  expect(norms[60]).toBeLessThan(0.1);
  training.dispose();
});

test("an LSTM starts with open forget gates, and its gradients fade slower than those of an RNN", () => {
  const { fading, LSTM, Training } = modules;
  // prettier-ignore
  const settings = { hiddenSize: 32, numLayers: 1, embeddingDim: 8, learningRate: 0.005, dtype: "f32",
      variant: "auto", seqLen: 32, batchSize: 8, seed: 1 } as const;
  const [rnn, lstm] = (["RNN", "LSTM"] as const).map((cell) => new Training({ ...settings, cell }, TEXT));
  const own = lstm!.model.stateDict();
  const layer = new LSTM(8, 32, { dtype: "f32", unitForgetBias: true }).stateDict();
  for (const name of ["bias_ih_l0", "bias_hh_l0"]) expect(own[`lstm.${name}`]).toEqual(layer[name]);
  const [fast, slow] = [fading(rnn!), fading(lstm!)];
  expect(slow[10]! / fast[10]!).toBeGreaterThan(5);
  expect(slow[30]! / fast[30]!).toBeGreaterThan(1e4);
  rnn!.dispose();
  lstm!.dispose();
});

test("a loss that is not finite ends the training with advice, and its weights are not saved", () => {
  const { Training } = modules;
  // prettier-ignore
  const training = new Training(
      { cell: "RNN", hiddenSize: 4, numLayers: 1, embeddingDim: 3, learningRate: 1e38, dtype: "f32", variant: "auto",
        seqLen: 16, batchSize: 4, seed: 2 },
      TEXT,
    );
  expect(training.file().length).toBeGreaterThan(0);
  expect(() => {
    for (let i = 0; i < 50; i++) training.advance();
  }).toThrow("The loss is not finite any more. Reset, and take a smaller learning rate.");
  expect(() => training.file()).toThrow(
    "Its weights are not finite any more. Reset, and take a smaller learning rate.",
  );
  training.dispose();
});
