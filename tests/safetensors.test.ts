// safetensors files: round trips, bytes as the reference implementation writes them, and what happens to broken ones.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Tensor } from "../bindings/tensor.js";
import { DtypeError, FormatError, ShapeError, UnsupportedError } from "../bindings/errors.js";
import { readSafetensors, writeSafetensors } from "../src/io/safetensors.js";
import { findPython, goWithout, missingPython } from "./helpers/tools.js";

/** A file from its header and data, without the writer under test. */
function file(header: unknown, data: ArrayLike<number> = []): Uint8Array {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = Buffer.alloc(8 + json.length + data.length);
  bytes.writeBigUInt64LE(BigInt(json.length));
  json.copy(bytes, 8);
  bytes.set(data, 8 + json.length);
  return new Uint8Array(bytes);
}

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
    const bytes = file({ ids: entry("I64", [1], 0, 8) }, new Uint8Array(8));
    expect(() => readSafetensors(bytes)).toThrow(UnsupportedError);
    expect(() => readSafetensors(bytes)).toThrow('tensor "ids" dtype: got I64, expected F64, F32, I32, F16, BF16');
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
    expect(() => writeSafetensors({ a: { data: Uint8Array.of(1) as unknown as Int32Array, shape: [1] } })).toThrow(
      DtypeError,
    );
    expect(() => writeSafetensors({ __metadata__: { data: one, shape: [1] } })).toThrow(FormatError);
    expect(() => writeSafetensors({}, { k: 1 as unknown as string })).toThrow(
      'metadata "k": got number 1, expected a string',
    );
  });
});
