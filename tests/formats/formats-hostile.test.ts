// Files that were valid and are not any more: every reader gives a result that makes sense or a typed error, and never
// anything else. Mutations are seeded: the same ones each time. What single mistakes are called is tested elsewhere.
import { describe, expect, test } from "vitest";
import { fromProteus, fromRtneural, type StreamingModel } from "../../src/audio.js";
import * as wasmRnn from "../../src/index.js";
import { CharLM, FormatError, readCharLM, Vocabulary, writeCharLM } from "../../src/index.js";
import { readSafetensors, writeSafetensors, type StoredTensor } from "../../src/safetensors.js";
import { safetensorsFile, zipFile } from "../helpers/formats.js";
import { golden } from "../helpers/close.js";
import { seeded } from "../helpers/files.js";
import { refuses } from "../helpers/refuses.js";

const TYPED = [
  wasmRnn.ShapeError,
  wasmRnn.DtypeError,
  wasmRnn.ValueError,
  wasmRnn.OutOfMemoryError,
  wasmRnn.UnsupportedError,
  wasmRnn.FormatError,
];

const ROUNDS = 400;

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What stands where something else is expected. */
const ODD: readonly Json[] = [
  ...[null, true, false, 0, 1, -1, 0.5, 3e8, 2 ** 31, 2 ** 53, 1e308, -1e-320],
  ...[
    "",
    "x",
    "lstm",
    "gru",
    "dense",
    "prelu",
    "activation",
    "F8_E4M3",
    "I64",
    "F64",
    "__proto__",
    "constructor",
    "\u0000\u001b[2J",
  ],
  ...[
    [],
    [[]],
    [[[]]],
    [0],
    [1],
    [[1]],
    [1, 1, 1],
    [null],
    {},
    { length: 3 },
    { toString: 1 },
    { constructor: { name: 5 } },
  ],
  "y".repeat(300),
  JSON.parse(`${"[".repeat(60)}${"]".repeat(60)}`) as Json,
  JSON.parse('{"__proto__":{"type":"lstm"}}') as Json,
];

/** A copy of JSON with one to three places changed. */
function mutateJson(value: Json, random: (n: number) => number): Json {
  let copy = structuredClone(value);
  for (let n = 1 + random(3); n > 0; n--) copy = mutateOnce(copy, random);
  return copy;
}

function mutateOnce(value: Json, random: (n: number) => number): Json {
  const odd = () => structuredClone(ODD[random(ODD.length)]!);
  if (value === null || typeof value !== "object" || random(8) === 0) return odd();
  const keys = Object.keys(value);
  const key = keys[random(Math.max(1, keys.length))] ?? "more";
  const object = value as Record<string, Json>;
  const put = (name: string, each: Json) =>
    Object.defineProperty(object, name, { value: each, enumerable: true, configurable: true, writable: true });
  switch (random(6)) {
    case 0:
      if (Array.isArray(value)) value.splice(random(value.length + 1), 1);
      else delete object[key];
      break;
    case 1:
      if (Array.isArray(value)) value.splice(random(value.length + 1), 0, odd());
      else put(["more", "__proto__", "layers", "state_dict", "weight", "0"][random(6)]!, odd());
      break;
    case 2:
      if (Array.isArray(value)) value.push(...structuredClone(value).slice(0, 20));
      else put(`${key}2`, structuredClone(object[key] ?? null));
      break;
    default:
      put(key, mutateOnce(object[key] ?? null, random));
  }
  return value;
}

/** A copy of bytes with one to four places changed. */
function mutateBytes(bytes: Uint8Array, random: (n: number) => number): Uint8Array {
  let copy = bytes.slice();
  for (let n = 1 + random(4); n > 0; n--) {
    const at = random(copy.length + 1);
    const count = random(16);
    const part = (from: number, to?: number) => [...copy.subarray(from, to)];
    switch (random(7)) {
      case 0:
        copy = copy.slice(0, at);
        break;
      case 1:
        copy = Uint8Array.from([...part(0, at), ...part(at + count)]);
        break;
      case 2:
        copy = Uint8Array.from([...part(0, at), ...part(at, at + count), ...part(at)]);
        break;
      case 3:
        copy = Uint8Array.from([...part(0, at), ...Buffer.from('"{[]},:\\\u00e9'), ...part(at)]);
        break;
      default:
        if (at < copy.length) copy[at] = random(4) === 0 ? random(256) : copy[at]! ^ (1 << random(8));
    }
  }
  return copy;
}

/** Runs a reader; what it throws must be typed, and short. */
function attempt(read: () => void): boolean {
  try {
    read();
    return true;
  } catch (error) {
    if (!TYPED.some((kind) => error instanceof kind)) throw error;
    expect((error as Error).message.length).toBeLessThan(2000);
    return false;
  }
}

function checkContent(bytes: Uint8Array): void {
  const { tensors, metadata } = readSafetensors<StoredTensor>(bytes);
  for (const { data, shape } of Object.values(tensors)) {
    expect(data.length).toBe(shape.reduce((product, size) => product * size, 1));
  }
  for (const value of Object.values(metadata)) expect(typeof value).toBe("string");
}

function checkModel(model: StreamingModel): void {
  const y = model.step(new Float64Array(model.inputSize).fill(0.5));
  expect(y.length).toBe(model.outputSize);
  model.dispose();
}

const HEADER = {
  __metadata__: { format: "pt", note: "größe" },
  a: { dtype: "F32", shape: [2, 1], data_offsets: [0, 8] },
  b: { dtype: "I64", shape: [1], data_offsets: [8, 16] },
  c: { dtype: "BF16", shape: [], data_offsets: [16, 18] },
  d: { dtype: "BOOL", shape: [0, 3], data_offsets: [18, 18] },
};
const DATA = Uint8Array.from({ length: 18 }, (_, i) => 37 * i);

const { cases } = golden("streaming") as { cases: { form: "rtneural" | "proteus"; name: string; json: Json }[] };

const model = new CharLM(new Vocabulary("abc\n"), {
  embeddingDim: 2,
  hiddenSize: 3,
  numLayers: 1,
  dtype: "f32",
  seed: 1,
});
const charlm = writeCharLM(model, { steps: 3, validation: { loss: 1.5, step: 2 } });
model.dispose();

describe("mutated files give typed errors alone", () => {
  test("safetensors: bytes", () => {
    const random = seeded(1);
    const valid = safetensorsFile(HEADER, DATA);
    expect(attempt(() => checkContent(valid))).toBe(true);
    for (let round = 0; round < ROUNDS; round++) attempt(() => checkContent(mutateBytes(valid, random)));
  });

  test("safetensors: headers", () => {
    const random = seeded(2);
    let read = 0;
    for (let round = 0; round < ROUNDS; round++) {
      if (attempt(() => checkContent(safetensorsFile(mutateJson(HEADER, random), DATA)))) read++;
    }
    expect(read).toBeGreaterThan(0); // some changes do no harm
    expect(read).toBeLessThan(ROUNDS / 2);
  });

  test("CharLM: bytes", () => {
    const random = seeded(3);
    for (let round = 0; round < ROUNDS; round++) {
      attempt(() => readCharLM(mutateBytes(charlm, random)).model.dispose());
    }
  });

  test("CharLM: metadata and tensors", () => {
    const random = seeded(4);
    const { tensors, metadata } = readSafetensors(charlm);
    for (let round = 0; round < ROUNDS; round++) {
      const keys = Object.keys(metadata);
      const key = keys[random(keys.length)]!;
      const text = metadata[key]!;
      const parsed = /^[[{]/.test(text) ? (JSON.parse(text) as Json) : text;
      const changed = mutateJson(parsed, random);
      const value = typeof changed === "string" ? changed : JSON.stringify(changed);
      const some = { ...tensors };
      if (random(4) === 0) delete some[Object.keys(some)[random(Object.keys(some).length)]!];
      attempt(() => readCharLM(writeSafetensors(some, { ...metadata, [key]: value })).model.dispose());
    }
  });

  test.each(cases.map(({ form, name, json }, seed) => [`${form}: ${name}`, form, json, seed] as const))(
    "%s",
    (_, form, json, seed) => {
      const random = seeded(100 + seed);
      const read = form === "rtneural" ? fromRtneural : fromProteus;
      for (let round = 0; round < ROUNDS / 8; round++) attempt(() => checkModel(read(mutateJson(json, random))));
      const text = Buffer.from(JSON.stringify(json));
      for (let round = 0; round < ROUNDS / 8; round++) {
        let parsed: unknown;
        try {
          parsed = JSON.parse(Buffer.from(mutateBytes(text, random)).toString());
        } catch {
          continue;
        }
        attempt(() => checkModel(read(parsed)));
        attempt(() => checkModel((read === fromProteus ? fromRtneural : fromProteus)(parsed)));
      }
    },
  );

  test("files of other kinds", () => {
    const random = seeded(5);
    const files = [
      zipFile({ "archive/data.pkl": "abc", "archive/data/0": "1234" }),
      zipFile({ "a.npy": "\x93NUMPY" }),
      new Uint8Array(Buffer.from("\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04", "latin1")),
      new Uint8Array(Buffer.from("\x08\x07\x12\x07pytorch\x1a\x061.13.0:\xcf\x87", "latin1")),
      new Uint8Array(Buffer.from('{"in_shape":[null,null,1],"layers":[{"type":"dense"}]}')),
      new Uint8Array(Buffer.from("<!doctype html><html></html>")),
    ];
    for (const file of files) {
      for (let round = 0; round < ROUNDS / 4; round++) {
        const bytes = mutateBytes(file, random);
        attempt(() => checkContent(bytes));
        attempt(() => checkModel(fromRtneural(bytes)));
        attempt(() => checkModel(fromProteus(bytes)));
      }
    }
  });
});

describe("nested JSON in a CharLM file", () => {
  const { tensors, metadata } = readSafetensors(charlm);
  const read = (changes: Record<string, string>) => () =>
    readCharLM(writeSafetensors(tensors, { ...metadata, ...changes }));
  const nested = (depth: number) => `${"[".repeat(depth)}${"]".repeat(depth)}`;
  const architecture = (layers: string) =>
    read({ architecture: `{"layers":${layers},"embeddingDim":2,"hiddenSize":3,"numLayers":1}` });

  test("layers", () => {
    architecture('["embedding","lstm","linear"]')().model.dispose();
    for (const depth of [10, 60, 5000, 100_000]) refuses(architecture(nested(depth)), FormatError, "architecture");
    const lists = ["null", "5", '"embedding,lstm,linear"', "{}", '{"toString":1}', '[["embedding","lstm"],"linear"]'];
    const more = [
      '[["embedding"],"lstm","linear"]',
      '["embedding","lstm","linear",null]',
      '["embedding",["lstm"],"linear"]',
    ];
    for (const layers of [...lists, ...more, `[${"1,".repeat(100_000)}1]`]) {
      refuses(architecture(layers), FormatError, "architecture layers: got", "embedding, one of");
    }
  });

  test("everything else", () => {
    for (const depth of [10, 60, 5000]) {
      refuses(read({ architecture: nested(depth) }), FormatError, "architecture");
      refuses(read({ vocabulary: nested(depth) }), FormatError, "vocabulary");
      refuses(read({ vocabulary: `["a",${nested(depth)}]` }), FormatError, "vocabulary");
      refuses(read({ trained_steps: nested(depth) }), FormatError, "trained_steps");
    }
    refuses(read({ architecture: '{"layers":1,"layers":2}' }), FormatError, "architecture", 'key "layers" twice');
    refuses(read({ vocabulary: JSON.stringify(["a", "b".repeat(1e6)]) }), FormatError, "vocabulary");
  });
});
