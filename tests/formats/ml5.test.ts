// Character models of ml5's charRNN: the recorded logits and states of a real one, its own text, files that are damaged.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import {
  CharLM,
  Embedding,
  FormatError,
  Linear,
  LSTM,
  Random,
  readCharLM,
  ShapeError,
  UnsupportedError,
  ValueError,
  DtypeError,
  writeCharLM,
  type Tensor,
} from "../../src/index.js";
import { readSafetensors } from "../../src/safetensors.js";
import { fromMl5 } from "../../src/text.js";
import { both } from "../helpers/both.js";
import "../helpers/close.js";
import { root } from "../helpers/project.js";
import { refuses } from "../helpers/refuses.js";
import { useVariant, variants } from "../helpers/variants.js";

type Files = Record<string, Uint8Array>;

const folder = join(resolve(root, process.env.MODELS_DIR ?? "../shared/models"), "ml5-charrnn-dubois");
const there = existsSync(folder);

interface Case {
  readonly steps: number;
  readonly text: string;
  readonly tolerance: { readonly abs: number; readonly rel: number };
}

function real(): { files: Files; each: Case; numbers: Readonly<Record<string, Tensor>> } {
  const read = (name: string) => new Uint8Array(readFileSync(join(folder, name)));
  const files = Object.fromEntries(readdirSync(folder).map((name) => [name, read(name)]));
  const each = JSON.parse(Buffer.from(files["cases.json"]!).toString()) as Case;
  return { files, each, numbers: readSafetensors(files["cases.safetensors"]!).tensors };
}

/** The parameters of a part of a model. */
const part = (model: CharLM, prefix: string) =>
  Object.fromEntries(
    Object.entries(model.stateDict()).flatMap(([name, tensor]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), tensor]] : [],
    ),
  );

describe.each(there ? variants : [])("%s build", (variant) => {
  useVariant(variant);

  both("dubois, %s", (dtype) => {
    test("recorded logits and states, step by step", () => {
      const { files, each, numbers } = real();
      using model = fromMl5(files, { dtype });
      const { embeddingDim, hiddenSize, numLayers } = model.architecture;
      expect([model.architecture.dtype, embeddingDim, hiddenSize, numLayers, model.vocabulary.size]).toEqual([dtype, 128, 128, 2, 90]); // prettier-ignore
      using embedding = new Embedding(90, 128, { dtype });
      using lstm = new LSTM(128, 128, { numLayers: 2, dtype });
      using linear = new Linear(128, 90, { dtype });
      embedding.loadStateDict(part(model, "embedding."));
      lstm.loadStateDict(part(model, "lstm."));
      linear.loadStateDict(part(model, "linear."));
      const within = (got: ArrayLike<number>, name: string) => {
        const want = numbers[name];
        if (!want) return 0;
        const largest = Array.from(want.data).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
        const atol = each.tolerance.abs + each.tolerance.rel * largest;
        expect({ data: Float64Array.from(got), shape: want.shape }).toBeAllClose(want, { atol, rtol: 0 });
        return 1;
      };
      const stream = lstm.stream();
      let compared = 0;
      for (let step = 0; step < each.steps; step++) {
        const { data } = numbers[`in.${step}.token`]!;
        expect(model.vocabulary.decode([data[0]!])).toBe(each.text[step]);
        const x = embedding.forward({ data: Int32Array.from(data), shape: [1] }).output;
        const h = stream.step(x.data).slice();
        const logits = linear.forward({ data: h, shape: [1, 128] }).output;
        compared += within(logits.data, `out.${step}.logits`);
        for (const layer of [0, 1]) {
          const half = (tensor: Tensor) => Array.from(tensor.data).slice(128 * layer, 128 * (layer + 1));
          compared += within(half(stream.state.h), `out.${step}.h${layer}`);
          compared += within(half(stream.state.c!), `out.${step}.c${layer}`);
        }
      }
      expect(compared).toBeGreaterThan(each.steps);
      stream.dispose();
    });

    test("its own text, also from the file of writeCharLM", () => {
      const { files, each } = real();
      using model = fromMl5(files, { dtype });
      const [prompt, rest] = [each.text.slice(0, -30), each.text.slice(-30)];
      expect(model.sample(prompt, { length: 30, temperature: 0 })).toBe(rest);
      const { model: read, training } = readCharLM(writeCharLM(model, { steps: 0 }));
      expect(training).toEqual({ steps: 0 });
      expect(read.sample(prompt, { length: 30, temperature: 0 })).toBe(rest);
      read.dispose();
    });
  });
});

test("the real model is there", (context) => {
  context.skip(!there, `No model is at ${folder} (MODELS_DIR names another folder).`);
});

const json = (value: unknown) => new Uint8Array(Buffer.from(JSON.stringify(value)));
const parsed = (bytes: Uint8Array) =>
  JSON.parse(Buffer.from(bytes).toString()) as Record<string, Record<string, unknown>>;

/** A small model of three characters and two cells. */
function small(vocabulary: object = { a: 2, b: 0, "\u{1f600}": 1 }): Files {
  const random = new Random(1);
  const cell = (i: number) => `rnnlm/multi_rnn_cell/cell_${i}/basic_lstm_cell`;
  const shapes: Record<string, number[]> = {
    embedding: [3, 2],
    [`${cell(0)}/kernel`]: [2 + 4, 16],
    [`${cell(0)}/bias`]: [16],
    [`${cell(1)}/kernel`]: [8, 16],
    [`${cell(1)}/bias`]: [16],
    "rnnlm/softmax_w": [4, 3],
    "rnnlm/softmax_b": [3],
    Variable: [],
  };
  const files: Files = { "vocab.json": json(vocabulary) };
  const manifest: Record<string, unknown> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const filename = name.replaceAll("/", "_");
    manifest[name] = { filename, shape };
    const count = shape.reduce((a, b) => a * b, 1);
    files[filename] = new Uint8Array(Float32Array.from({ length: count }, () => random.uniform() - 0.5).buffer);
  }
  return { ...files, "manifest.json": json(manifest) };
}

/** The manifest, changed. */
function changed(change: (manifest: Record<string, Record<string, unknown>>) => void): Files {
  const files = small();
  const manifest = parsed(files["manifest.json"]!);
  change(manifest);
  return { ...files, "manifest.json": json(manifest) };
}

describe("a small model", () => {
  test("has its characters in the order of their codes", () => {
    using model = fromMl5(small());
    expect(model.vocabulary.characters).toEqual(["b", "\u{1f600}", "a"]);
    expect(model.architecture).toEqual({ cell: "LSTM", embeddingDim: 2, hiddenSize: 4, numLayers: 2, dtype: "f32" });
    expect(CharLM.isCharLM(model)).toBe(true);
  });

  test("a character called __proto__ is a word, a variable of that name unknown", () => {
    const files = small();
    files["vocab.json"] = new Uint8Array(Buffer.from('{"a":0,"b":1,"__proto__":2}'));
    refuses(() => fromMl5(files), UnsupportedError, 'vocab.json["__proto__"]');
    const other = small();
    const text = Buffer.from(other["manifest.json"]!).toString();
    other["manifest.json"] = new Uint8Array(
      Buffer.from(text.replace('"Variable":', '"__proto__":').replace("[]", "[1]")),
    );
    refuses(() => fromMl5(other), UnsupportedError, '"__proto__"');
  });

  test("files and places are named", () => {
    const { "vocab.json": _, ...without } = small();
    refuses(() => fromMl5(without), ValueError, "files", "vocab.json");
    refuses(() => fromMl5(null as never), ValueError, "files");
    refuses(() => fromMl5({ ...small(), embedding: [1] as never }), DtypeError, 'files["embedding"]');
    refuses(() => fromMl5({ ...small(), embedding: new Uint8Array(23) }), FormatError, 'files["embedding"]', "24");
    refuses(() => fromMl5(small({ a: 0, b: 1 })), ShapeError, 'manifest.json["embedding"]', "[2, E]");
    refuses(() => fromMl5(small({ a: 0, b: 1, c: 1 })), FormatError, 'vocab.json["c"]', '"b"');
    refuses(() => fromMl5(small({ a: 0, b: 1, c: 3 })), FormatError, 'vocab.json["c"]', "from 0 to 2");
    refuses(() => fromMl5(small([])), FormatError, "vocab.json");
    refuses(() => fromMl5(changed((m) => delete m.embedding)), FormatError, "manifest.json", '"embedding"');
    refuses(() => fromMl5(changed((m) => (m.embedding!.shape = [2 ** 40, 2 ** 40]))), FormatError, "24 bytes");
    refuses(() => fromMl5(changed((m) => (m.embedding!.filename = "x"))), ValueError, "files", '"x"');
    refuses(() => fromMl5(changed((m) => (m.more = m.embedding!))), UnsupportedError, "manifest.json", '"more"');
    refuses(() => fromMl5(small(), { dtype: "f16" as never }), ValueError, "dtype");
    refuses(() => fromMl5(small(), { type: "f32" } as never), UnsupportedError, "type");
  });

  test("files that are cut off or have bits flipped are read, or refused by a typed error", () => {
    const random = new Random(9);
    const kinds = [FormatError, ShapeError, UnsupportedError, ValueError];
    for (let i = 0; i < 300; i++) {
      const files = small();
      const name = random.uint32() % 3 ? (random.uint32() % 2 ? "manifest.json" : "vocab.json") : "embedding";
      const bytes = files[name]!;
      if (i % 2) files[name] = bytes.slice(0, random.uint32() % bytes.length);
      else bytes[random.uint32() % bytes.length]! ^= 1 << (random.uint32() % 8);
      try {
        fromMl5(files).dispose();
      } catch (error) {
        expect(
          kinds.some((kind) => error instanceof kind),
          String(error),
        ).toBe(true);
      }
    }
  });
});
