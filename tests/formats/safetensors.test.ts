// safetensors files: round trips, bytes as the reference implementation writes them, and what happens to broken ones.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Tensor } from "../../bindings/tensor.js";
import { DtypeError, FormatError, ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { LSTM } from "../../src/index.js";
import { readSafetensors, writeSafetensors, type StoredTensor } from "../../src/safetensors.js";
import { patient } from "../helpers/clock.js";
import { millisecondsOf, safetensorsFile as file } from "../helpers/formats.js";
import { refuses } from "../helpers/refuses.js";
import { findPython, goWithout, missingPython } from "../helpers/tools.js";

/** A tensor's entry in a header. */
function entry(dtype: string, shape: unknown, begin: number, end: number): object {
  return { dtype, shape, data_offsets: [begin, end] };
}

function bytesOf(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}

/** Bit patterns, so that -0 and NaN count too. */
function patterns({ data, shape }: Tensor): unknown {
  return [data.constructor.name, shape, [...new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]];
}

const sample: Record<string, Tensor> = {
  double: { data: Float64Array.of(1.5, -0, NaN, Infinity, 5e-324, Math.PI), shape: [2, 3] },
  single: { data: Float32Array.of(0.1, -Infinity, 1e-45), shape: [3, 1, 1] },
  whole: { data: Int32Array.of(-1, 2 ** 31 - 1, -(2 ** 31)), shape: [3] },
  scalar: { data: Float64Array.of(42), shape: [] },
  empty: { data: new Float32Array(0), shape: [0, 5] },
  __proto__x: { data: Float32Array.of(1), shape: [1] },
  'größe \u{1F40B} "\\\n': { data: Float32Array.of(2, 3), shape: [2] },
};

describe("round trips", () => {
  test("all dtypes, scalars, empty tensors, any name", () => {
    const tensors: Record<string, Tensor> = Object.create(null) as Record<string, Tensor>;
    Object.assign(tensors, sample);
    const setter = "__proto__"; // of ordinary objects
    tensors[setter] = { data: Int32Array.of(7), shape: [1] };
    const metadata = { format: "pt", "ключ \u{1F40B}": 'quoted "text"\nwith lines', empty: "" };
    const { tensors: read, metadata: readMetadata } = readSafetensors(writeSafetensors(tensors, metadata));
    expect(Object.keys(read).sort()).toEqual(Object.keys(tensors).sort());
    for (const [name, tensor] of Object.entries(tensors)) {
      expect(patterns(read[name] as Tensor)).toEqual(patterns(tensor));
    }
    expect({ ...readMetadata }).toEqual(metadata);
    expect(({} as { data?: unknown }).data).toBeUndefined(); // no prototype was touched
  });

  test("nothing at all", () => {
    const { tensors, metadata } = readSafetensors(writeSafetensors({}));
    expect(Object.keys(tensors)).toEqual([]);
    expect(Object.keys(metadata)).toEqual([]);
  });

  test("random tensors, from a buffer at any alignment, as fresh arrays", () => {
    const data = fc.oneof(fc.float64Array(), fc.float32Array(), fc.int32Array());
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "grapheme" }), data), fc.nat(7), (arrays, shift) => {
        fc.pre(!Object.hasOwn(arrays, "__metadata__"));
        const tensors = Object.fromEntries(
          Object.entries(arrays).map(([name, data]) => [name, { data, shape: [1, data.length] }]),
        );
        const bytes = writeSafetensors(tensors);
        const moved = new Uint8Array(bytes.length + shift).subarray(shift);
        moved.set(bytes);
        const { tensors: read } = readSafetensors(moved);
        moved.fill(255);
        for (const [name, tensor] of Object.entries(tensors)) {
          expect(patterns(read[name] as Tensor)).toEqual(patterns(tensor));
        }
      }),
    );
  });
});

describe("the bytes", () => {
  test("are those of the reference implementation", () => {
    // from safetensors.numpy import save; save({"a": int32 [7], "b": float64 [[1.0]], "c": float32 scalar 2.0}, {"k": "v"})
    const header =
      '{"__metadata__":{"k":"v"},"b":{"dtype":"F64","shape":[1,1],"data_offsets":[0,8]},' +
      '"a":{"dtype":"I32","shape":[1],"data_offsets":[8,12]},"c":{"dtype":"F32","shape":[],"data_offsets":[12,16]}}';
    const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
    const expected = file(padded, [0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 7, 0, 0, 0, 0, 0, 0, 0x40]);
    const tensors = {
      a: { data: Int32Array.of(7), shape: [1] },
      c: { data: Float32Array.of(2), shape: [] },
      b: { data: Float64Array.of(1), shape: [1, 1] },
    };
    expect([...writeSafetensors(tensors, { k: "v" })]).toEqual([...expected]);
    expect(patterns(readSafetensors(expected).tensors.b as Tensor)).toEqual(patterns(tensors.b));
  });

  test("are aligned and do not depend on the order of keys", () => {
    const reversed = Object.fromEntries(Object.entries(sample).reverse());
    const bytes = writeSafetensors(sample, { a: "1", b: "2" });
    expect([...writeSafetensors(reversed, { b: "2", a: "1" })]).toEqual([...bytes]);
    const headerSize = new DataView(bytes.buffer).getUint32(0, true);
    expect(headerSize % 8).toBe(0);
    const header = JSON.parse(Buffer.from(bytes.subarray(8, 8 + headerSize)).toString()) as Record<
      string,
      { dtype: string; data_offsets: [number, number] }
    >;
    for (const { dtype, data_offsets } of Object.values(header)) {
      if (dtype !== undefined) expect(data_offsets[0] % (dtype === "F64" ? 8 : 4)).toBe(0);
    }
  });

  test("can be read by an independent reader", (context) => {
    const python = findPython([]) ?? goWithout(context, missingPython([]));
    const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-"));
    try {
      const path = join(folder, "x.safetensors");
      const whole = { data: Int32Array.of(-7, 8), shape: [2] };
      writeFileSync(path, writeSafetensors({ w: { data: Float64Array.of(1, 2.5), shape: [1, 2] }, whole }, { k: "v" }));
      const script = [
        "import json, struct, sys",
        "raw = open(sys.argv[1], 'rb').read()",
        "size, = struct.unpack('<Q', raw[:8])",
        "header, data = json.loads(raw[8:8 + size]), raw[8 + size:]",
        "out = {'__metadata__': header.pop('__metadata__')}",
        "for name, e in header.items():",
        "    begin, end = e['data_offsets']",
        "    code = {'F64': 'd', 'F32': 'f', 'I32': 'i'}[e['dtype']]",
        "    out[name] = [v for v, in struct.iter_unpack('<' + code, data[begin:end])]",
        "print(json.dumps(out))",
      ].join("\n");
      const { stdout } = spawnSync(python, ["-c", script, path], { encoding: "utf8" });
      expect(JSON.parse(stdout)).toEqual({ __metadata__: { k: "v" }, w: [1, 2.5], whole: [-7, 8] });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe("half precision", () => {
  test("every F16 number widens exactly", () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const bytes = file({ h: entry("F16", [65536], 0, 131072) }, new Uint8Array(halves.buffer));
    const { data } = readSafetensors(bytes).tensors.h as Tensor;
    expect(data).toBeInstanceOf(Float32Array);
    for (let i = 0; i < 65536; i++) {
      const sign = i & 0x8000 ? -1 : 1;
      const exponent = (i >> 10) & 31;
      const fraction = i & 1023;
      const special = fraction === 0 ? Infinity : NaN;
      const scale = exponent === 0 ? 2 ** -24 * fraction : 2 ** (exponent - 15) * (1 + fraction / 1024);
      expect(Object.is(data[i], sign * (exponent === 31 ? special : scale)), `0x${i.toString(16)}`).toBe(true);
    }
  });

  test("every BF16 number widens exactly", () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const bytes = file({ h: entry("BF16", [65536], 0, 131072) }, new Uint8Array(halves.buffer));
    const { data } = readSafetensors(bytes).tensors.h as Tensor;
    const upper = new Uint16Array(data.buffer).filter((_, i) => i % 2 === 1);
    expect(upper).toEqual(halves);
    expect(data[0x3fc0]).toBe(1.5);
  });
});

describe("broken files", () => {
  const f32 = (name: string, begin: number, end: number) => ({ [name]: entry("F32", [(end - begin) / 4], begin, end) });
  const huge = Number.MAX_SAFE_INTEGER;
  const cases: [what: string, bytes: Uint8Array, message: string][] = [
    ["empty", new Uint8Array(0), "bytes: got 0, expected at least the 8"],
    ["seven bytes", new Uint8Array(7), "bytes: got 7, expected at least the 8"],
    [
      "header beyond the file",
      Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0, 123, 125),
      "header: got a length of 9 bytes, expected at most the 2 that follow in the file",
    ],
    ["header length of 2^64 - 1", new Uint8Array(16).fill(255), "header: got a length of 18446744073709551615 bytes"],
    ["no header", new Uint8Array(8), "expected a JSON object from its first byte on"],
    ["leading space", file(" {}"), "expected a JSON object from its first byte on"],
    ["an array", file("[]"), "expected a JSON object from its first byte on"],
    ["bad JSON", file("{]}"), "expected a JSON object from its first byte on"],
    [
      "bad UTF-8",
      file({ k: "?" }).map((byte) => (byte === 63 ? 0xff : byte)),
      "header: got a broken sequence at byte 6, expected UTF-8",
    ],
    [
      "overlong UTF-8",
      file({ k: "??" }).map((byte) => (byte === 63 ? 0xc0 : byte)),
      "header: got a broken sequence at byte 6, expected UTF-8",
    ],
    ["a key twice", file('{"__metadata__":{},"__metadata__":{}}'), 'header: got key "__metadata__" twice'],
    ["an escaped key twice", file('{"a":1,"\\u0061" : 1}'), 'header: got key "a" twice'],
    ["a metadata key twice", file('{"__metadata__":{"a":"1","a":"2"}}'), 'header: got key "a" twice'],
    ["metadata of another type", file({ __metadata__: [] }), "__metadata__: got Array, expected a JSON object"],
    ["a metadata number", file({ __metadata__: { a: 1 } }), 'metadata "a": got number 1, expected a string'],
    ["an entry of another type", file({ a: null }), 'tensor "a": got null, expected a JSON object'],
    [
      "no dtype",
      file({ a: { shape: [], data_offsets: [0, 0] } }),
      'tensor "a" dtype: got undefined, expected a string',
    ],
    [
      "a shape of another type",
      file({ a: entry("F32", "1", 0, 4) }, bytesOf(1)),
      "expected a list of whole numbers >= 0",
    ],
    ["a negative size", file({ a: entry("F32", [-1], 0, 4) }, bytesOf(1)), "expected a list of whole numbers >= 0"],
    ["a broken size", file({ a: entry("F32", [0.5], 0, 4) }, bytesOf(1)), "expected a list of whole numbers >= 0"],
    [
      "offsets missing",
      file({ a: { dtype: "F32", shape: [] } }),
      'tensor "a" data_offsets: got nothing, expected two whole numbers',
    ],
    [
      "one offset",
      file({ a: { dtype: "F32", shape: [0], data_offsets: [0] } }),
      'tensor "a" data_offsets: got [0], expected two',
    ],
    [
      "three offsets",
      file({ a: { dtype: "F32", shape: [0], data_offsets: [0, 0, 0] } }),
      'tensor "a" data_offsets: got [0,0,0], expected two',
    ],
    [
      "offsets beyond the data",
      file(f32("a", 0, 8), bytesOf(1)),
      'tensor "a" data_offsets: got [0,8], expected begin <= end <= 4',
    ],
    [
      "offsets in reverse",
      file({ a: entry("F32", [0], 4, 0) }, bytesOf(1)),
      'tensor "a" data_offsets: got [4,0], expected begin <= end <= 4',
    ],
    [
      "a size that is not the shape's",
      file({ a: entry("F32", [2], 0, 4) }, bytesOf(1)),
      'tensor "a" data_offsets: got 4 bytes, expected 8 for F32 of shape [2]',
    ],
    [
      "a shape that overflows",
      file({ a: entry("F32", [huge, huge], 0, 4) }, bytesOf(1)),
      "expected fewer than 2^53 elements",
    ],
    [
      "a shape that overflows to 0",
      file({ a: entry("F32", [huge, huge, 0], 0, 0) }),
      "expected fewer than 2^53 elements",
    ],
    [
      "an overlap",
      file({ ...f32("a", 0, 8), ...f32("b", 4, 12) }, bytesOf(1, 2, 3)),
      'tensor "b" data_offsets: got begin 4, expected 8',
    ],
    [
      "the same range twice",
      file({ ...f32("a", 0, 4), ...f32("b", 0, 4) }, bytesOf(1)),
      'tensor "b" data_offsets: got begin 0, expected 4',
    ],
    [
      "a gap",
      file({ ...f32("a", 0, 4), ...f32("b", 8, 12) }, bytesOf(1, 2, 3)),
      'tensor "b" data_offsets: got begin 8, expected 4',
    ],
    ["bytes left over", file(f32("a", 0, 4), bytesOf(1, 2)), "data: got 8 bytes, expected 4"],
    ["data without tensors", file({}, [1]), "data: got 1 bytes, expected 0"],
  ];

  test.each(cases)("%s", (_, bytes, message) => {
    expect(() => readSafetensors(bytes)).toThrow(FormatError);
    expect(() => readSafetensors(bytes)).toThrow(message);
  });

  test("another dtype is named, and its tensor", () => {
    const bytes = file({ ids: entry("F8_E4M3", [1], 0, 1) }, new Uint8Array(1));
    const expected = "expected F64, F32, F16, BF16, I64, I32, I16, I8, U64, U32, U16, U8, BOOL";
    refuses(() => readSafetensors(bytes), UnsupportedError, 'tensor "ids" dtype: got F8_E4M3', expected, "`only`");
  });

  test("messages stay short", () => {
    const bytes = file({ a: entry("F32", Array(10_000).fill(0.5), 0, 0) });
    expect(() => readSafetensors(bytes)).toThrow(/^.{1,200}$/);
  });

  test("long strings in the header are no problem", () => {
    const text = '\\"{[:'.repeat(1_000_000);
    const bytes = file({ __metadata__: { text } });
    expect(readSafetensors(bytes).metadata.text).toBe(text);
    const deep = `{"a":${"[".repeat(1_000_000)}`;
    expect(() => readSafetensors(file(deep))).toThrow(FormatError);
  });

  test("whatever is cut or changed, it is read or refused, and nothing else", () => {
    const valid = writeSafetensors(sample, { format: "pt", note: "a \u{1F40B}" });
    const attempt = (bytes: Uint8Array) => {
      try {
        const { tensors } = readSafetensors(bytes);
        for (const { data, shape } of Object.values(tensors)) {
          expect(shape.reduce((a, b) => a * b, 1)).toBe(data.length);
        }
      } catch (error) {
        if (!(error instanceof FormatError || error instanceof UnsupportedError)) throw error;
      }
    };
    for (let length = 0; length < valid.length; length++) {
      expect(() => readSafetensors(valid.subarray(0, length)), `cut to ${length}`).toThrow(FormatError);
    }
    const change = fc.record({ place: fc.nat(valid.length - 1), value: fc.nat(255) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = valid.slice();
        for (const { place, value } of changes) bytes[place] = value;
        attempt(bytes);
      }),
      { numRuns: 3000 },
    );
    fc.assert(fc.property(fc.json(), fc.uint8Array(), (json, data) => attempt(file(json, data))));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), attempt));
  });
});

describe("what cannot be written", () => {
  const one = Float32Array.of(1);
  test("shapes, arrays, names and metadata are checked", () => {
    expect(() => writeSafetensors({ a: { data: one, shape: [2] } })).toThrow(ShapeError);
    expect(() => writeSafetensors({ a: { data: one, shape: [-1, -1] } })).toThrow(ShapeError);
    expect(() =>
      writeSafetensors({ a: { data: new DataView(one.buffer) as unknown as Int32Array, shape: [1] } }),
    ).toThrow(DtypeError);
    expect(() => writeSafetensors({ __metadata__: { data: one, shape: [1] } })).toThrow(FormatError);
    expect(() => writeSafetensors({}, { k: 1 as unknown as string })).toThrow(
      'metadata "k": got number 1, expected a string',
    );
  });
});

describe("every dtype that layers or text tools meet", () => {
  const bytesOfArray = (data: StoredTensor["data"]) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  test.each<[dtype: string, data: StoredTensor["data"]]>([
    ["I64", BigInt64Array.of(2n ** 53n + 1n, -(2n ** 63n), -1n)],
    ["U64", BigUint64Array.of(2n ** 64n - 1n, 0n, 5n)],
    ["I32", Int32Array.of(-1, 2 ** 31 - 1, 7)],
    ["U32", Uint32Array.of(2 ** 32 - 1, 0, 7)],
    ["I16", Int16Array.of(-(2 ** 15), 5, -1)],
    ["U16", Uint16Array.of(2 ** 16 - 1, 5, 0)],
    ["I8", Int8Array.of(-128, 127, 0)],
    ["U8", Uint8Array.of(255, 0, 3)],
    ["BOOL", Uint8Array.of(1, 0, 1)],
  ])("%s", (dtype, data) => {
    const size = data.BYTES_PER_ELEMENT;
    // at an odd place of the file
    const header = { a: entry("I8", [1], 0, 1), b: entry(dtype, [3, 1], 1, 1 + 3 * size) };
    const { tensors } = readSafetensors<StoredTensor>(file(header, [9, ...bytesOfArray(data)]));
    expect(tensors.b).toEqual({ data, shape: [3, 1] });
    expect(tensors.b!.data.constructor).toBe(data.constructor);
    expect(tensors.b!.data.buffer.byteLength).toBe(3 * size); // its own
  });

  test("one I64 tensor does not block a state_dict: `only` leaves it out, and layers name it", () => {
    using lstm = new LSTM(3, 2, { dtype: "f32", seed: 1 });
    const dict = lstm.stateDict();
    const header: Record<string, object> = {};
    const data: number[] = [];
    for (const [name, { data: numbers, shape }] of Object.entries(dict)) {
      const begin = data.length;
      data.push(...new Uint8Array(numbers.buffer));
      header[name] = entry("F32", shape, begin, data.length);
    }
    header.num_batches_tracked = entry("I64", [], data.length, data.length + 8);
    const bytes = file(header, [...data, 5, 0, 0, 0, 0, 0, 0, 0]);
    using other = new LSTM(3, 2, { dtype: "f32", seed: 2 });
    const all = readSafetensors<StoredTensor>(bytes).tensors;
    expect(all.num_batches_tracked).toEqual({ data: BigInt64Array.of(5n), shape: [] });
    expect(() => other.loadStateDict(readSafetensors(bytes).tensors)).toThrow("num_batches_tracked");
    other.loadStateDict(readSafetensors(bytes, { only: (name) => name !== "num_batches_tracked" }).tensors);
    expect(other.stateDict()).toEqual(dict);
  });
});

describe("only", () => {
  const header = {
    a: entry("F32", [1], 0, 4),
    b: entry("F8_E4M3", [2], 4, 6),
    c: entry("I16", [1], 6, 8),
    d: entry("F4", [2], 8, 9), // half a byte each
  };
  const bytes = file(header, [0, 0, 128, 63, 1, 2, 3, 0, 4]);

  test("by names, by a function, none, all", () => {
    const named = readSafetensors<StoredTensor>(bytes, { only: ["c", "a", "a"] });
    expect(Object.entries(named.tensors)).toEqual([
      ["a", { data: Float32Array.of(1), shape: [1] }],
      ["c", { data: Int16Array.of(3), shape: [1] }],
    ]);
    expect(Object.getPrototypeOf(named.tensors)).toBe(null);
    const seen: string[] = [];
    const chosen = readSafetensors(bytes, { only: (name) => (seen.push(name), name === "a") });
    expect(Object.keys(chosen.tensors)).toEqual(["a"]);
    expect(seen).toEqual(["a", "b", "c", "d"]);
    expect(Object.keys(readSafetensors(bytes, { only: [] }).tensors)).toEqual([]);
    refuses(() => readSafetensors(bytes), UnsupportedError, 'tensor "b" dtype: got F8_E4M3');
    refuses(() => readSafetensors(bytes, { only: ["a", "d"] }), UnsupportedError, 'tensor "d" dtype: got F4');
  });

  test("names that are not there are named", () => {
    refuses(
      () => readSafetensors(bytes, { only: ["a", "weight", "__proto__"] }),
      ValueError,
      'only: got "weight", "__proto__", expected names in the file: "a", "b", "c", "d"',
    );
    const many = Array.from({ length: 10_000 }, (_, i) => `name ${i}`);
    expect(() => readSafetensors(bytes, { only: many })).toThrow(/^only: got "name 0", .{1,300}$/);
  });

  test("everything else is refused", () => {
    for (const only of ["a", 5, null, {}, new Set(["a"])]) {
      refuses(() => readSafetensors(bytes, { only: only as never }), ValueError, "only: got", "an array of names");
    }
    for (const name of [5, null, undefined, Symbol("a"), ["a"], new String("a")]) {
      refuses(() => readSafetensors(bytes, { only: ["a", name as never] }), ValueError, "only[1]", "a name");
    }
    refuses(() => readSafetensors(bytes, { only: Object.assign([], { length: 2 ** 31 }) }), ValueError, "only[0]");
    refuses(() => readSafetensors(bytes, { onyl: [] } as never), UnsupportedError, "onyl");
    expect(() =>
      readSafetensors(bytes, {
        only: () => {
          throw new SyntaxError("mine");
        },
      }),
    ).toThrow(SyntaxError);
  });

  test("a function that takes the bytes away", () => {
    const copy = bytes.slice();
    const only = () => {
      if (copy.length > 0) structuredClone(copy.buffer, { transfer: [copy.buffer] });
      return true;
    };
    refuses(() => readSafetensors(copy, { only }), DtypeError, "bytes");
    refuses(() => readSafetensors(copy), DtypeError, "bytes: got a detached array");
  });
});

describe("hostile headers", () => {
  const many = 400_000;
  const headers: readonly (readonly [string, string])[] = [
    ["nested arrays", `{"a":${"[".repeat(2.5 * many)}${"]".repeat(2.5 * many)}}`],
    ["nested objects", `${'{"a":'.repeat(many)}1${"}".repeat(many)}`],
    ["arrays side by side", `{"a":[${"[],".repeat(1.5 * many)}[]]}`],
    ["objects side by side", `{"a":[${'{"b":1},'.repeat(many / 2)}{}]}`],
    ["a long shape", `{"a":{"dtype":"F32","shape":[${"1,".repeat(2 * many)}-1],"data_offsets":[0,0]}}`],
    ["a string that does not end", `{"a":"${"x".repeat(5 * many)}`],
  ];

  test.each(headers)("%s take about the time of JSON.parse", (_, json) => {
    const bytes = file(json);
    expect(() => readSafetensors(bytes)).toThrow(FormatError);
    // 500 ms: decoding, and the noise of a busy machine
    const limit = 6 * millisecondsOf(() => JSON.parse(json)) + patient(500);
    expect(millisecondsOf(() => readSafetensors(bytes))).toBeLessThan(limit);
  });

  test.each([64, 65, 1000, 5000, 1e5])("a shape nested %i deep is a FormatError", (depth) => {
    const shape = `${"[".repeat(depth)}${"]".repeat(depth)}`;
    const bytes = file(`{"a":{"dtype":"F32","shape":${shape},"data_offsets":[0,0]}}`);
    refuses(() => readSafetensors(bytes), FormatError, depth > 62 ? "header: got deeper nesting" : 'tensor "a" shape');
    const offsets = `{"a":{"dtype":"F32","shape":[],"data_offsets":${shape}}}`;
    expect(() => readSafetensors(file(offsets))).toThrow(FormatError);
  });

  test("values of every kind where others are expected", () => {
    const values: unknown[] = [null, true, 1, -1, "x", [], [[]], [[1]], {}, { toString: 1 }, { constructor: null }];
    for (const value of values) {
      for (const key of ["dtype", "shape", "data_offsets"]) {
        const bytes = file({ a: { ...entry("F32", [2], 0, 8), [key]: value } }, bytesOf(1, 2));
        expect(() => readSafetensors(bytes), JSON.stringify({ [key]: value })).toThrow(
          typeof value === "string" && key === "dtype" ? UnsupportedError : FormatError,
        );
      }
      expect(() => readSafetensors(file({ a: value }))).toThrow(FormatError);
      const metadata = () => readSafetensors(file({ __metadata__: { a: value } }));
      if (typeof value !== "string") expect(metadata).toThrow(FormatError);
    }
  });
});

test("integers of all sizes are written and read back, each aligned", () => {
  const tensors = {
    i8: { data: Int8Array.of(-128, 127, 3), shape: [3] },
    u8: { data: Uint8Array.of(0, 255), shape: [2, 1] },
    i16: { data: Int16Array.of(-32768, 32767), shape: [2] },
    u16: { data: Uint16Array.of(65535), shape: [] },
    i32: { data: Int32Array.of(-1, 2), shape: [2] },
    u32: { data: Uint32Array.of(4294967295), shape: [1] },
    i64: { data: BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n), shape: [2] },
    u64: { data: BigUint64Array.of(2n ** 64n - 1n), shape: [1] },
    f32: { data: Float32Array.of(-0, NaN), shape: [2] },
    f64: { data: Float64Array.of(Math.PI), shape: [1] },
  };
  const bytes = writeSafetensors(tensors, { note: "all" });
  const { tensors: back, metadata } = readSafetensors<StoredTensor>(bytes);
  expect(back).toEqual(tensors);
  expect(metadata).toEqual({ note: "all" });
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(Buffer.from(bytes.subarray(8, 8 + length)).toString()) as Record<string, { dtype: string; data_offsets: [number, number] }>; // prettier-ignore
  for (const [name, { data }] of Object.entries(tensors)) {
    expect(header[name]!.dtype).toBe(name.toUpperCase());
    expect((8 + length + header[name]!.data_offsets[0]) % data.BYTES_PER_ELEMENT).toBe(0);
  }
  expect(writeSafetensors(Object.fromEntries(Object.entries(tensors).reverse()), { note: "all" })).toEqual(bytes);
});

describe("writeSafetensors refuses other types", () => {
  const one = { data: Float32Array.of(1), shape: [1] };
  test.each<[string, unknown, string]>([
    ["nothing", undefined, "tensors: got undefined"],
    ["null", null, "tensors: got null"],
    ["a number", 5, "tensors: got number 5"],
    ["a text", "text", "tensors: got"],
    ["an array", [one], "tensors: got Array"],
    ["a tensor that is null", { a: null }, 'tensor "a": got null'],
    ["a tensor that is a number", { a: 1 }, 'tensor "a": got number 1'],
    ["no data", { a: { shape: [1] } }, 'tensor "a": got undefined'],
    ["a plain array", { a: { data: [1], shape: [1] } }, 'tensor "a": got Array'],
    ["a prototype alone", { a: { data: Object.create(Float32Array.prototype) as object, shape: [1] } }, 'tensor "a"'],
    ["BigInts", { a: { data: [1n], shape: [1] } }, 'tensor "a": got Array'],
    ["a DataView", { a: { data: new DataView(new ArrayBuffer(8)), shape: [1] } }, 'tensor "a": got DataView'],
  ])("%s", (_, tensors, message) => {
    refuses(() => writeSafetensors(tensors as never), DtypeError, message);
  });

  test.each<[string, unknown]>([
    ["nothing", undefined],
    ["null", null],
    ["a number", 1],
    ["a text", "1"],
    ["a BigInt", [1n]],
    ["a symbol", [Symbol("1")]],
    ["a text in it", ["1"]],
    ["a hole", Object.assign([], { length: 1 })],
    ["holes without end", Object.assign([], { length: 2 ** 32 - 1 })],
    ["an object without a prototype", [Object.create(null)]],
    ["an array in it", [[1]]],
  ])("a shape that is %s", (_, shape) => {
    refuses(
      () => writeSafetensors({ a: { data: one.data, shape: shape as never } }),
      ShapeError,
      'tensor "a"',
      "shape",
    );
  });

  test("metadata", () => {
    for (const metadata of [null, 5, "text", ["a"]]) {
      refuses(() => writeSafetensors({}, metadata as never), FormatError, "metadata: got");
    }
    for (const value of [undefined, null, 1, {}, ["a"], new String("a")]) {
      refuses(() => writeSafetensors({}, { k: value as never }), FormatError, 'metadata "k"', "a string");
    }
  });

  test("a getter that detaches an earlier array", () => {
    const first = Float64Array.of(1, 2);
    const tensors = {
      a: { data: first, shape: [2] },
      get b() {
        structuredClone(first.buffer, { transfer: [first.buffer] });
        return one;
      },
    };
    refuses(() => writeSafetensors(tensors), DtypeError, 'tensor "a"');
  });

  test("a subclass and a length of its own count for nothing", () => {
    const data = Object.defineProperty(Float32Array.of(1, 2), "length", { value: 1 });
    refuses(() => writeSafetensors({ a: { data, shape: [1] } }), ShapeError, "shape [1]", "2 numbers");
    const { tensors } = readSafetensors(writeSafetensors({ a: { data, shape: [2] } }));
    expect([...tensors.a!.data]).toEqual([1, 2]);
  });
});
