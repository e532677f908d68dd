// .npy and .npz: NumPy's own files of every kind (tests/golden/files.py), both ways, and what happens to broken ones.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DtypeError, FormatError, ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { GRUCell, Linear } from "../../src/index.js";
import { readNpy, readNpz, writeNpy, writeNpz, type StoredTensor } from "../../src/npy.js";
import { readSafetensors } from "../../src/safetensors.js";
import { damage, expectValue, fileCase, fileCases, seeded } from "../helpers/files.js";
import { zipFile } from "../helpers/formats.js";
import { modelsDirectory } from "../helpers/onnx.js";
import { refuses } from "../helpers/refuses.js";

const TYPED = [FormatError, UnsupportedError];

describe("NumPy's files", () => {
  test.each(fileCases("npy"))("$name", ({ bytes, value, error }) => {
    if (error !== undefined) {
      refuses(() => readNpy(bytes), UnsupportedError, error);
      return;
    }
    expectValue(readNpy(bytes), value);
    expectValue(readNpy(Buffer.from(bytes)), value);
  });

  test.each(fileCases("npz"))("an archive: $name", ({ bytes, value, error }) => {
    if (error === undefined) {
      const arrays = readNpz(bytes);
      expect(Object.getPrototypeOf(arrays)).toBeNull();
      expectValue(arrays, value);
    } else refuses(() => readNpz(bytes), UnsupportedError, error);
  });

  test("what is written are the bytes of numpy.save", () => {
    const same = fileCases("npy").filter(
      ({ name, error }) => error === undefined && !/Fortran|big|f2|version [23]|bool/.test(name),
    );
    expect(same.length).toBeGreaterThan(12);
    for (const { name, bytes } of same) expect(writeNpy(readNpy(bytes)), name).toEqual(bytes);
  });

  test("archives both ways", () => {
    const { value } = fileCase("npz", "deflated");
    for (const compress of [false, true]) {
      const written = writeNpz(value as Record<string, StoredTensor>, { compress });
      expectValue(readNpz(written), value);
      expect(writeNpz(value as Record<string, StoredTensor>, { compress })).toEqual(written);
    }
    const many = { a: { data: new Float64Array(10_000), shape: [100, 100] } };
    expect(writeNpz(many).length).toBeGreaterThan(80_000);
    expect(writeNpz(many, { compress: true }).length).toBeLessThan(1_000);
    expect(Object.keys(readNpz(writeNpz({})))).toEqual([]);
    expect(Object.keys(readNpz(writeNpz({ "\u{1f40b}": many.a, "": many.a })))).toEqual(["\u{1f40b}", ""]);
  });

  test("`only` selects: the others may be of any dtype", () => {
    const { bytes } = fileCase("npz", "with objects");
    expect(Object.keys(readNpz(bytes, { only: ["a"] }))).toEqual(["a"]);
    expect(Object.keys(readNpz(bytes, { only: (name) => name !== "o" }))).toEqual(["a"]);
    refuses(() => readNpz(bytes, { only: ["b"] }), ValueError, 'only: got "b", expected names in the file: "a", "o"');
  });

  test("a state_dict goes through an archive", () => {
    for (const dtype of ["f32", "f64"] as const) {
      using layer = new Linear(3, 2, { dtype, seed: 1 });
      using other = new Linear(3, 2, { dtype, seed: 2 });
      other.loadStateDict(readNpz(writeNpz(layer.stateDict())));
      expect(other.stateDict()).toEqual(layer.stateDict());
    }
  });
});

describe("arguments", () => {
  const tensor = { data: Float32Array.of(1, 2), shape: [2] };

  test("are checked by name", () => {
    refuses(() => readNpy([] as never), DtypeError, "bytes: got");
    refuses(() => readNpz(new ArrayBuffer(8) as never), DtypeError, "bytes: got ArrayBuffer");
    refuses(() => readNpz(writeNpz({}), { maxBytes: -1 }), ValueError, "maxBytes: got number -1");
    refuses(() => readNpz(writeNpz({}), { max: 1 } as never), UnsupportedError, "readNpz option: got max");
    refuses(() => writeNpy(null as never), DtypeError, "tensor: got null");
    refuses(() => writeNpy({ data: [1, 2], shape: [2] } as never), DtypeError, "tensor: got");
    refuses(
      () => writeNpy({ data: new Float32Array(2), shape: [3] }),
      ShapeError,
      "tensor: got shape [3]",
      "its 2 numbers",
    );
    refuses(() => writeNpy({ data: new Float32Array(2), shape: [-2, -1] }), ShapeError, "tensor: got shape");
    refuses(() => writeNpz({ a: tensor, b: { ...tensor, shape: [] } }), ShapeError, 'tensor "b"');
    refuses(() => writeNpz(tensor.data as never, { compress: 1 as never }), ValueError, "compress: got number 1");
    refuses(() => writeNpz([] as never), DtypeError, "tensors: got");
    refuses(() => writeNpz({ "\ud800": tensor }), FormatError, "a lone surrogate");
  });

  test("results are fresh", () => {
    const bytes = writeNpy(tensor);
    const read = readNpy(bytes);
    bytes.fill(0);
    expect([...read.data]).toEqual([1, 2]);
    const archive = writeNpz({ a: tensor });
    const { a } = readNpz(archive);
    archive.fill(0);
    expect([...a!.data]).toEqual([1, 2]);
  });
});

/** A .npy file with this header. */
function npy(header: string, data = new Uint8Array(0)): Uint8Array {
  return new Uint8Array(
    Buffer.concat([
      Buffer.from(
        `\x93NUMPY\x01\x00${String.fromCharCode(header.length & 255, header.length >> 8)}${header}`,
        "latin1",
      ),
      data,
    ]),
  );
}

describe("headers", () => {
  const eight = new Uint8Array(8);

  test.each([
    "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
    '{"shape": (2L,), "fortran_order": False, "descr": "f4"}\n',
    " { 'descr':u'=f4','fortran_order':True,'shape':[2] } ",
  ])("%s", (header) => {
    expect(readNpy(npy(header, eight))).toEqual({ data: new Float32Array(2), shape: [2] });
  });

  test.each([
    ["", "header: got"],
    ["{}", "another literal"],
    ["[1, 2, 3]", "another literal"],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x", '" x"'],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", "header: got"],
    ["{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", "fortran_order: got 0"],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (2)}", "shape: got 2"],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}", "shape: got [-2]"],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740993, 9)}", "shape: got"],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", "got 8 bytes of numbers, expected 12"],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", "got 8 bytes of numbers, expected 4"],
    ["{'descr': 4, 'fortran_order': False, 'shape': (2,)}", "descr: got 4"],
    ["{'descr': '<f4', 'descr': '<f4', 'shape': (2,)}", "twice"],
    [`{'descr': '<f4', 'fortran_order': False, 'shape': ${"(".repeat(99)}2${",)".repeat(99)}}`, "deeper nesting"],
    ["{'descr': __import__('os'), 'fortran_order': False, 'shape': (2,)}", "header: got"],
  ])("%s is refused", (header, message) => {
    refuses(() => readNpy(npy(header, eight)), FormatError, message);
  });

  test("a header of 64 kB takes no time", () => {
    for (const text of ["(".repeat(65_000), " ".repeat(65_000), "1,".repeat(32_000), `{${"1:1,".repeat(16_000)}`]) {
      refuses(() => readNpy(npy(text)), FormatError, "header: got");
    }
  });

  test("other versions", () => {
    const bytes = npy("{}");
    bytes[6] = 4;
    refuses(() => readNpy(bytes), UnsupportedError, "bytes version: got 4.0");
  });
});

describe("archives that are not what they seem", () => {
  const tensor = { data: new Float64Array(100_000), shape: [100_000] };

  test("bombs are refused before they inflate", () => {
    const bytes = writeNpz({ a: tensor, b: tensor }, { compress: true });
    expect(bytes.length).toBeLessThan(5_000);
    refuses(() => readNpz(bytes, { maxBytes: 1_000_000 }), FormatError, "at most 1000000 (the option maxBytes)");
    expect(readNpz(bytes, { maxBytes: 1_600_256 }).b!.data).toHaveLength(100_000);
    // the directory says less than there is
    const view = new DataView(bytes.buffer);
    const at = view.getUint32(bytes.length - 6, true);
    expect(view.getUint32(at + 24, true)).toBe(800_128);
    view.setUint32(at + 24, 1000, true);
    refuses(() => readNpz(bytes), FormatError, 'entry "a.npy": got more bytes, expected the directory\'s 1000');
    // and more than can be
    view.setUint32(at + 24, 0x3fffffff, true);
    refuses(() => readNpz(bytes), FormatError, 'entry "a.npy": got 1073741823 bytes in');
  });

  test("entries may not share their bytes", () => {
    const bytes = writeNpz({ a: tensor, b: tensor });
    const view = new DataView(bytes.buffer);
    const end = bytes.length - 22;
    const start = view.getUint32(end + 16, true);
    const size = end - start;
    const copies = 5;
    const directory = bytes.slice(start, end);
    const parts = Array.from({ length: copies }, (_, i) => {
      const copy = directory.slice();
      for (const at of [46, size / 2 + 46]) copy[at] = 99 + i + (at > 46 ? 10 : 0); // another name
      return copy;
    });
    const tail = bytes.slice(end);
    new DataView(tail.buffer).setUint16(10, 2 * copies, true);
    refuses(
      () => readNpz(new Uint8Array(Buffer.concat([bytes.slice(0, start), ...parts, tail]))),
      FormatError,
      "entries: got",
    );
  });

  test("other content", () => {
    refuses(() => readNpz(zipFile({ "readme.txt": "x" })), FormatError, "bytes: got a zip archive");
    refuses(
      () => readNpz(writeNpy({ data: new Float32Array(1), shape: [] })),
      FormatError,
      "bytes: got a NumPy .npy file",
    );
    refuses(() => readNpy(writeNpz({})), FormatError, "bytes: got a zip archive");
    refuses(() => readNpz(new Uint8Array(3)), FormatError, "bytes: got no zip archive");
    const twice = writeNpz({ a: tensor, b: tensor });
    for (const at of Buffer.from(twice)
      .toString("latin1")
      .matchAll(/b\.npy/g))
      twice[at.index] = 97;
    refuses(() => readNpz(twice), FormatError, 'entry "a.npy": got the name twice');
  });

  test("a changed number is noticed", () => {
    const bytes = writeNpz({ a: { data: Float64Array.of(1, 2, 3), shape: [3] } });
    bytes[30 + 5 + 128 + 7]! ^= 1;
    refuses(() => readNpz(bytes), FormatError, 'entry "a.npy": got another checksum');
  });
});

describe("whatever is cut or changed, it is read or refused, and nothing else", () => {
  const files = [...fileCases("npy"), ...fileCases("npz")].filter(({ bytes }) => bytes.length < 3000);

  test("cut off anywhere", () => {
    for (const { name, bytes, error } of files) {
      const read = name.startsWith("{") || bytes[0] === 0x50 ? readNpz : readNpy;
      for (let end = 0; end < bytes.length; end += bytes.length > 600 ? 7 : 1) {
        let caught: unknown;
        try {
          read(bytes.subarray(0, end));
        } catch (thrown) {
          caught = thrown;
        }
        if (caught instanceof UnsupportedError && error !== undefined) continue;
        expect(caught, `${name} up to ${end}`).toBeInstanceOf(FormatError);
      }
    }
  });

  test("changed anywhere", () => {
    const random = seeded(20240607);
    let refused = 0;
    for (let round = 0; round < 6000; round++) {
      const { bytes } = files[random(files.length)]!;
      const changed = damage(bytes, random);
      for (const read of [readNpy, readNpz]) {
        try {
          const tensors = read === readNpy ? [readNpy(changed)] : Object.values(readNpz(changed));
          for (const { data, shape } of tensors) {
            if (data.length !== shape.reduce((a, b) => a * b, 1)) throw new Error("a shape does not hold its data");
          }
        } catch (error) {
          if (!TYPED.some((kind) => error instanceof kind)) throw error;
          refused++;
        }
      }
    }
    expect(refused).toBeGreaterThan(6000);
  });
});

const folder = join(modelsDirectory, "npy");

describe.runIf(existsSync(folder))("files of other programs", () => {
  const json = JSON.parse(existsSync(folder) ? readFileSync(join(folder, "cases.json"), "utf8") : "{}") as {
    files: Record<string, Record<string, { shape: number[]; int64?: string[] }>>;
  };
  const bytesOf = (...path: string[]) => new Uint8Array(readFileSync(join(modelsDirectory, ...path)));

  test.each(Object.entries(json.files ?? {}))("%s: every number", (file, entries) => {
    const { tensors } = readSafetensors(bytesOf("npy", "cases.safetensors"));
    const read = file.endsWith(".npy")
      ? { data: readNpy<StoredTensor>(bytesOf("npy", file)) }
      : readNpz<StoredTensor>(bytesOf("npy", file));
    expect(Object.keys(read).sort()).toEqual(Object.keys(entries).sort());
    for (const [name, { shape, int64 }] of Object.entries(entries)) {
      const { data, shape: got } = read[name as "data"]!;
      expect(got, name).toEqual(shape);
      if (int64) expect([...data].map(String), name).toEqual(int64);
      else expect([...data].map(Number), name).toEqual([...tensors[`file.${file}.${name}`]!.data]);
    }
  });

  test("every file of the folder is named", () => {
    const files = readdirSync(folder).filter((file) => /\.np[yz]$/.test(file));
    expect(files.sort()).toEqual(Object.keys(json.files).sort());
  });

  // the encoder and decoder of g2p (https://github.com/Kyubyong/g2p): GRUs in PyTorch's gate order
  test.runIf(existsSync(join(modelsDirectory, "g2p-en"))).each(["f32", "f64"] as const)(
    "g2p-en speaks, %s",
    (dtype) => {
      const weights = readNpz(bytesOf("g2p-en", "checkpoint20.npz"));
      const { tensors: numbers } = readSafetensors(bytesOf("g2p-en", "cases.safetensors"));
      const { steps } = JSON.parse(readFileSync(join(modelsDirectory, "g2p-en", "cases.json"), "utf8")) as {
        steps: number;
      };
      using encoder = new GRUCell(256, 256, { dtype });
      using decoder = new GRUCell(256, 256, { dtype });
      using head = new Linear(256, 74, { dtype });
      const names = (part: string) => (name: string) => {
        const [, kind] = new RegExp(`^${part}_((?:w|b)_?(?:ih|hh)?)$`).exec(name) ?? [];
        return kind?.replace(/^w/, "weight").replace(/^b/, "bias");
      };
      encoder.loadStateDict(weights, { rename: names("enc") });
      decoder.loadStateDict(weights, { rename: names("dec") });
      head.loadStateDict(weights, { rename: names("fc") });
      const row = (table: "enc_emb" | "dec_emb", i: number) => {
        const data = weights[table]!.data.slice(i * 256, (i + 1) * 256);
        return { data: dtype === "f64" ? Float64Array.from(data) : Float32Array.from(data), shape: [1, 256] };
      };
      for (let step = 0; step < steps; step++) {
        const letters = numbers[`in.${step}.letters`]!.data;
        const want = numbers[`out.${step}.logits`]!;
        let h: { data: Float64Array | Float32Array; shape: readonly number[] } | undefined;
        for (const letter of letters) h = encoder.forward(row("enc_emb", letter), h && { h }).h;
        let last = 2;
        for (let i = 0; i < want.shape[0]!; i++) {
          h = decoder.forward(row("dec_emb", last), { h: h! }).h;
          const { data } = head.forward(h).output;
          const errors = Array.from(data, (logit, k) => Math.abs(logit - want.data[i * 74 + k]!));
          expect(Math.max(...errors)).toBeLessThan(1e-4);
          last = data.indexOf(Math.max(...data));
        }
        expect(last).toBe(3); // </s>
      }
    },
  );
});
