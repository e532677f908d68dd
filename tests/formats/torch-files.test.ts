// Checkpoints: PyTorch's own files of every kind (tests/golden/files.py), pickles, and what happens to broken ones.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { DtypeError, FormatError, ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { readPickle } from "../../src/formats/pickle.js";
import { readZip, unzip, writeZip } from "../../src/formats/zip.js";
import { BatchNorm1d, Conv1d, GRU, Linear, LSTM, type Tensor } from "../../src/index.js";
import { writeNpy, writeNpz, type StoredTensor } from "../../src/npy.js";
import { readTorch, type TorchRecord } from "../../src/pytorch.js";
import { readSafetensors } from "../../src/safetensors.js";
import "../helpers/close.js";
import { damage, expectValue, fileCase, fileCases, seeded } from "../helpers/files.js";
import { zipFile } from "../helpers/formats.js";
import { modelsDirectory } from "../helpers/onnx.js";
import { refuses } from "../helpers/refuses.js";

const latin1 = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));
const pickleOf = (text: string) => readPickle("pickle", latin1(text), 0).value;
const fileOf = (name: string) => fileCase("torch", name).bytes;

describe("pickles", () => {
  test.each(fileCases("pickle"))("$name", ({ bytes, value, error }) => {
    if (error === undefined) {
      const read = readPickle("pickle", bytes, 0);
      expectValue(read.value, value);
      expect(read.end).toBe(bytes.length);
    } else refuses(() => readPickle("pickle", bytes, 0), UnsupportedError, error);
  });

  test("what is in two places is the same in both", () => {
    const { shared } = readPickle("pickle", fileCase("pickle", "protocol 2").bytes, 0).value as { shared: unknown[] };
    expect(shared[0]).toBe(shared[1]);
  });

  test("keys are keys: no prototype is touched", () => {
    const record = pickleOf("\x80\x02}X\x09\x00\x00\x00__proto__}X\x01\x00\x00\x00aK\x01ss.") as Record<
      string,
      unknown
    >;
    expect(Object.getPrototypeOf(record)).toBeNull();
    expect(Object.keys(record)).toEqual(["__proto__"]);
    expect(({} as { a?: number }).a).toBeUndefined();
  });

  test("nesting has a limit", () => {
    const nested = (depth: number) => `\x80\x02${"]".repeat(depth)}${"a".repeat(depth - 1)}.`;
    expect(pickleOf(nested(999))).toHaveLength(1);
    for (const depth of [1001, 200_000]) refuses(() => pickleOf(nested(depth)), UnsupportedError, "deeper nesting");
    const tuples = `\x80\x02)${"\x85".repeat(100_000)}.`;
    refuses(() => pickleOf(tuples), UnsupportedError, "deeper nesting");
    // 2^60 leaves, but 60 lists
    expect(pickleOf(`\x80\x02)${"2\x86".repeat(60)}.`)).toHaveLength(2);
  });

  test.each([
    ["", "an end at byte 0"],
    ["\x80\x02", "an end at byte 2"],
    ["\x80\x06N.", "protocol 6"],
    ["\x80\x02.", "an empty stack"],
    ["\x80\x02(.", "a mark"],
    ["\x80\x02e.", "no mark"],
    ["\x80\x02(K\x01e.", "an empty stack"],
    ["\x80\x02K\x01K\x02a.", "items of something else"],
    ["\x80\x02}(K\x01u.", "a key without a value"],
    ["\x80\x02h\x07.", "no entry 7 of the memo"],
    ["\x80\x02j\xff\xff\xff\xff.", "no entry 4294967295 of the memo"],
    ["\x80\x02X\xff\xff\xff\x7fa.", "2147483647 more bytes"],
    ["\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xffa.", "more bytes"],
    ["\x80\x04\x8e\x00\x00\x00\x00\x00\x00\x10\x00a.", "more bytes"],
    ["\x80\x02X\x02\x00\x00\x00\xc3\x28.", "UTF-8"],
    ["\x80\x02\x8b\x01\x01\x00\x00" + "\x01".repeat(257) + ".", "an integer of 257 bytes"],
    ["I" + "1".repeat(100_000) + "\n.", "the integer"],
    ["F" + "1".repeat(100_000) + "x\n.", "the number"],
    ["S'abc\n.", "the string"],
    ["cos\nsystem", "a line without an end"],
    ["\x80\x02K\x01K\x02\x85R.", "a call of something else"],
    ["\x80\x02cos\nsystem\nK\x02R.", "arguments that are no tuple"],
    ["\x80\x02K\x01Q.", "a persistent id"],
    ["\x80\x02\x82\x01.", "extension registry"],
    ["\x80\x05\x97.", "a buffer outside"],
    ["\x80\x02\xff.", "byte 255 at byte 2"],
    ["\x80\x02}]K\x01s.", "a list"],
  ])("%j is refused", (text, message) => {
    const kind = /protocol|integer of|persistent|registry|buffer|a list/.test(message) ? UnsupportedError : FormatError;
    refuses(() => pickleOf(text), kind, message);
  });

  test("the oldest ways to make objects", () => {
    expect(pickleOf("(K\x01K\x02iargparse\nNamespace\n.")).toEqual({ class: "argparse.Namespace", args: [1, 2] });
    expect(pickleOf("(cargparse\nNamespace\nK\x01o.")).toEqual({ class: "argparse.Namespace", args: [1] });
    expect(pickleOf("S'a\\x41\\n\\'\"'\n.")).toBe("aA\n'\"");
  });
});

describe("PyTorch's files", () => {
  test.each(fileCases("torch"))("$name", ({ bytes, value, error }) => {
    if (error === undefined) {
      expectValue(readTorch(bytes), value);
      return;
    }
    const kind = /maxBytes|magic/.test(error) ? FormatError : UnsupportedError;
    refuses(() => readTorch(bytes), kind, error);
  });

  test("shared storages are copied; the very same tensor stays one", () => {
    for (const name of ["tied, zip", "tied, old"]) {
      const tied = readTorch(fileOf(name));
      expect(tied["a.weight"]).toBe(tied["b.weight"]);
      const all = readTorch(fileOf(name.replace("tied", "all tensors")));
      const buffers = Object.values(all).map(({ data }) => data.buffer);
      expect(new Set(buffers).size).toBe(buffers.length);
      expect(Object.getPrototypeOf(all)).toBeNull();
    }
  });

  test("views of many numbers count against maxBytes", () => {
    const bytes = fileOf("all tensors, zip");
    refuses(() => readTorch(bytes, { maxBytes: 100 }), FormatError, "at most 100 (the option maxBytes)");
    refuses(() => readTorch(fileOf("all tensors, old"), { maxBytes: 100 }), FormatError, "tensors: got", "maxBytes");
    expect(Object.keys(readTorch(bytes, { maxBytes: 100_000 })).length).toBe(19);
  });

  test("arguments are checked by name", () => {
    refuses(() => readTorch("x" as never), DtypeError, 'bytes: got "x"');
    refuses(() => readTorch(new Uint8Array(9), { maxBytes: 0.5 }), ValueError, "maxBytes: got number 0.5");
    refuses(() => readTorch(new Uint8Array(9), { map: 1 } as never), UnsupportedError, "readTorch option: got map");
  });

  test("files of other kinds are named", () => {
    refuses(() => readTorch(new Uint8Array(0)), FormatError, "bytes: got another beginning");
    refuses(
      () => readTorch(writeNpy({ data: new Float32Array(1), shape: [] })),
      FormatError,
      "a NumPy .npy file",
      "readNpy",
    );
    refuses(
      () => readTorch(writeNpz({ a: { data: new Float32Array(1), shape: [] } })),
      FormatError,
      "a NumPy .npz file",
      "readNpz",
    );
    refuses(() => readTorch(zipFile({ "readme.txt": "x" })), FormatError, "a zip archive");
    refuses(
      () => readTorch(zipFile({ "a/data.pkl": "x", "b/data.pkl": "x" })),
      FormatError,
      "an archive with 2 data.pkl",
    );
    const tar = new Uint8Array(512);
    tar.set(latin1("ustar"), 257);
    refuses(() => readTorch(tar), UnsupportedError, "before 0.1.10");
  });
});

describe("references to numbers", () => {
  /** An archive with this pickle; one storage of four numbers. */
  const archive = (body: string) => zipWithChecksums({ "a/data.pkl": latin1(body), "a/data/0": new Uint8Array(16) });
  const storage = (size = "K\x04", kind = "ctorch\nFloatStorage\n", key = "0") =>
    `(U\x07storage${kind}U\x01${key}U\x03cpu${size}tQ`;
  const tensor = (shape: string, stride: string, offset = "K\x00", from = storage()) =>
    `\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(${from}${offset}${shape}${stride}\x89}tR.`;

  test("a tensor by hand", () => {
    expect(readTorch(archive(tensor("K\x02K\x02\x86", "K\x02K\x01\x86")))).toEqual({
      data: new Float32Array(4),
      shape: [2, 2],
    });
  });

  test.each([
    [tensor("K\x05\x85", "K\x01\x85"), "numbers up to the 5th"],
    [tensor("K\x04\x85", "K\x01\x85", "K\x01"), "numbers up to the 5th"],
    [tensor("K\x02\x85", "K\x04\x85"), "numbers up to the 5th"],
    [tensor("K\x02\x85", "J\xff\xff\xff\xff\x85"), "stride: got [-1]"],
    [tensor("J\xff\xff\xff\xff\x85", "K\x01\x85"), "size: got [-1]"],
    [tensor("K\x02\x85", "K\x01K\x01\x86"), "stride: got [1,1]"],
    [tensor("K\x02\x85", "K\x01\x85", "J\xff\xff\xff\xff"), "offset: got -1"],
    [tensor("K\x02", "K\x01\x85"), "size: got 2"],
    [tensor(`(${"J\xff\xff\xff\x7f".repeat(3)}t`, `(${"K\x00".repeat(3)}t`), "fewer than 2^53 elements"],
    [tensor(`(${"K\x01".repeat(65)}t`, `(${"K\x00".repeat(65)}t`), "at most 64"],
    [tensor("K\x02\x85", "K\x01\x85", "K\x00", storage("K\x05")), '"0": got 16 bytes, expected 20'],
    [tensor("K\x02\x85", "K\x01\x85", "K\x00", storage("J\xff\xff\xff\x7f")), '"0": got 16 bytes'],
    [tensor("K\x02\x85", "K\x01\x85", "K\x00", storage("J\xff\xff\xff\xff")), "persistent id: got"],
    [tensor("K\x02\x85", "K\x01\x85", "K\x00", storage(undefined, undefined, "9")), 'storage "9": got no file'],
    [tensor("K\x02\x85", "K\x01\x85", "K\x00", "N"), "tensor: got no storage"],
    ["\x80\x02K\x07Q.", "persistent id: got 7"],
    ["\x80\x02K\x07..", "data.pkl: got 6 bytes, expected 5"],
  ])("%j is refused", (body, message) => {
    refuses(() => readTorch(archive(body)), FormatError, message);
  });

  test("unsupported storages and functions", () => {
    const strange = storage(undefined, "ctorch\nQUInt4x2Storage\n");
    refuses(
      () => readTorch(archive(tensor("K\x02\x85", "K\x01\x85", "K\x00", strange))),
      UnsupportedError,
      "QUInt4x2Storage",
    );
    refuses(
      () => readTorch(archive("\x80\x02ctorch._utils\n_rebuild_qtensor\n)R.")),
      UnsupportedError,
      "_rebuild_qtensor",
    );
    const negated = `\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(${storage()}K\x00))\x89}}U\x03neg\x88stR.`;
    refuses(() => readTorch(archive(negated)), UnsupportedError, 'one marked "neg"');
    const third = `\x80\x02ctorch._utils\n_rebuild_tensor_v3\n(${storage("K\x10", "ctorch\nUntypedStorage\n")}K\x01K\x03\x85K\x02\x85\x89}ctorch\nuint16\ntR.`;
    expect(readTorch(archive(third))).toEqual({ data: new Uint16Array(3), shape: [3] });
  });

  test("an axis of one step has any stride", () => {
    const huge = "\x8a\x07\xff\xff\xff\xff\xff\xff\x1f";
    expect(readTorch(archive(tensor("K\x01K\x04\x86", `${huge}K\x01\x86`)))).toMatchObject({ shape: [1, 4] });
  });
});

/** An archive of stored files, as writeNpz packs them. */
function zipWithChecksums(files: Readonly<Record<string, Uint8Array>>): Uint8Array {
  return writeZip(new Map(Object.entries(files)), false);
}

describe("weights of larger models", () => {
  test("a state_dict of a wrapped module, by prefix and rename", () => {
    const { model, epoch } = readTorch<{ model: Record<string, Tensor>; epoch: number }>(
      fileOf("a state_dict of DataParallel"),
    );
    expect(epoch).toBe(3);
    for (const dtype of ["f32", "f64"] as const) {
      using rnn = new GRU(3, 4, { bidirectional: true, dtype });
      rnn.loadStateDict(model, { prefix: "module.rnn." });
      expect([...rnn.stateDict().weight_hh_l0_reverse!.data]).toEqual([
        ...model["module.rnn.weight_hh_l0_reverse"]!.data,
      ]);
      using head = new Linear(8, 2, { dtype });
      head.loadStateDict(model, { prefix: "head.", rename: (name) => name.replace(/^module\./, "") });
      expect([...head.stateDict().bias!.data]).toEqual([...model["module.head.bias"]!.data]);
      refuses(() => rnn.loadStateDict(model), ShapeError, 'an unknown entry "module.');
      refuses(() => rnn.loadStateDict(model, { prefix: "rnn." }), ShapeError, 'no entry "rnn.');
    }
  });

  test("TorchScript has the names of the state_dict", () => {
    const script = readTorch(fileOf("TorchScript"));
    const saved = readTorch(fileOf("a state_dict"));
    expect(Object.keys(script).sort()).toEqual(Object.keys(saved).sort());
    using rnn = new GRU(3, 4, { bidirectional: true, dtype: "f32" });
    rnn.loadStateDict(script, { prefix: "rnn." });
  });
});

describe("whatever is cut or changed, it is read or refused, and nothing else", () => {
  const files = fileCases("torch").filter(({ error, bytes }) => error === undefined && bytes.length < 12_000);
  const allowed = [FormatError, UnsupportedError];

  test("cut off anywhere", () => {
    for (const { name, bytes } of files) {
      for (let end = 0; end < bytes.length; end += 53) {
        let caught: unknown;
        try {
          readTorch(bytes.subarray(0, end));
        } catch (thrown) {
          caught = thrown;
        }
        expect(caught, `${name} up to ${end}`).toBeInstanceOf(FormatError);
      }
    }
  });

  test("changed anywhere", () => {
    const random = seeded(20240608);
    const pickles = fileCases("pickle").filter(({ bytes }) => bytes.length < 5000);
    const old = files.filter(({ bytes }) => bytes[0] === 0x80);
    const readers: readonly (readonly [readonly { bytes: Uint8Array }[], (bytes: Uint8Array) => unknown, number])[] = [
      [files, (bytes) => readTorch(bytes, { maxBytes: 1e6 }), 1500],
      [old, (bytes) => readTorch(bytes, { maxBytes: 1e6 }), 2500],
      [pickles, (bytes) => readPickle("pickle", bytes, 0), 4000],
    ];
    let refused = 0;
    for (const [from, read, rounds] of readers) {
      for (let round = 0; round < rounds; round++) {
        const changed = damage(from[random(from.length)]!.bytes, random);
        try {
          read(changed);
        } catch (error) {
          if (!allowed.some((kind) => error instanceof kind)) throw error;
          refused++;
        }
      }
    }
    expect(refused).toBeGreaterThan(2000);
  });

  test("changed pickles in whole archives", () => {
    const random = seeded(20240609);
    const all = readZip(fileOf("all tensors, zip"), "", 1e9);
    const parts = [...all.values()].map((entry) => [entry.name, unzip(fileOf("all tensors, zip"), entry)] as const);
    let read = 0;
    for (let round = 0; round < 1500; round++) {
      const changed = parts.map(
        ([name, bytes]) => [name, name.endsWith(".pkl") ? damage(bytes, random) : bytes] as const,
      );
      try {
        readTorch(writeZip(new Map(changed), false), { maxBytes: 1e6 });
        read++;
      } catch (error) {
        if (!allowed.some((kind) => error instanceof kind)) throw error;
      }
    }
    expect(read).toBeGreaterThan(10);
  });
});

const folder = join(modelsDirectory, "torch-pt");

describe.runIf(existsSync(folder))("checkpoints of a real PyTorch", () => {
  const bytesOf = (file: string) => new Uint8Array(readFileSync(join(folder, file)));
  const json = JSON.parse(existsSync(folder) ? readFileSync(join(folder, "cases.json"), "utf8") : "{}") as {
    files: Record<string, Record<string, { shape: number[]; int64?: string[] }>>;
    plain: Record<string, Record<string, unknown>>;
  };
  const numbers = () => readSafetensors(bytesOf("cases.safetensors")).tensors;

  /** The tensors of nested records by their keys, joined by dots. */
  function flatten(value: unknown, name: string, found: Map<string, StoredTensor>): Map<string, StoredTensor> {
    if (typeof value !== "object" || value === null) return found;
    if ("data" in value && ArrayBuffer.isView(value.data)) return found.set(name, value as StoredTensor);
    for (const [key, each] of Object.entries(value)) flatten(each, name ? `${name}.${key}` : key, found);
    return found;
  }

  test.each(Object.entries(json.files ?? {}))("%s: every number", (file, entries) => {
    const tensors = flatten(readTorch(bytesOf(file)), "", new Map());
    expect([...tensors.keys()].sort()).toEqual(Object.keys(entries).sort());
    const want = numbers();
    for (const [name, { shape, int64 }] of Object.entries(entries)) {
      const { data, shape: got } = tensors.get(name)!;
      expect(got, name).toEqual(shape);
      if (int64) expect([...data].map(String), name).toEqual(int64);
      else expect([...data].map(Number), name).toEqual([...want[`file.${file}.${name}`]!.data]);
    }
  });

  test("plain values", () => {
    const checkpoint = readTorch<TorchRecord>(bytesOf("checkpoint.pt"));
    expect(checkpoint).toMatchObject(json.plain["checkpoint.pt"]!);
    expect(checkpoint.optimizer).toMatchObject({ param_groups: json.plain["checkpoint.pt optimizer.param_groups"] });
  });

  test("every file of the folder is named", () => {
    const files = readdirSync(folder).filter((file) => file.endsWith(".pt"));
    expect(files.sort()).toEqual(Object.keys(json.files).sort());
  });

  test.each(["f32", "f64"] as const)("a GRU and a linear layer compute what PyTorch does, %s", (dtype) => {
    const weights = readTorch(bytesOf(`gru_${dtype}.pt`));
    using gru = new GRU(6, 9, { numLayers: 2, bidirectional: true, dtype });
    using linear = new Linear(18, 4, { dtype });
    gru.loadStateDict(weights, { prefix: "gru." });
    linear.loadStateDict(weights, { prefix: "linear." });
    const recorded = numbers();
    const x = recorded["in.0.x"]!;
    const input = dtype === "f64" ? { ...x, data: Float64Array.from(x.data) } : x;
    const { output, hn } = gru.forward(input);
    const atol = dtype === "f64" ? 1e-12 : 4e-6;
    expect(linear.forward(output).output).toBeAllClose(recorded[`out.0.gru_${dtype}.y`]!, { atol, rtol: 0 });
    expect(hn).toBeAllClose(recorded[`out.0.gru_${dtype}.h`]!, { atol, rtol: 0 });
  });

  test("an LSTM of a nested checkpoint, and a convolution", () => {
    const { model } = readTorch<{ model: Record<string, Tensor> }>(bytesOf("checkpoint.pt"));
    using lstm = new LSTM(5, 7, { batchFirst: true, dtype: "f32" });
    using linear = new Linear(7, 11, { dtype: "f32" });
    lstm.loadStateDict(model, { prefix: "lstm." });
    linear.loadStateDict(model, { prefix: "linear." });
    const recorded = numbers();
    const ids = readSafetensors<StoredTensor>(bytesOf("cases.safetensors")).tensors["in.0.ids"]!;
    const table = model["embedding.weight"]!.data;
    const x = { data: new Float32Array(4 * 9 * 5), shape: [4, 9, 5] };
    [...ids.data].forEach((id, i) => x.data.set(table.subarray(Number(id) * 5, Number(id) * 5 + 5), i * 5));
    const { output } = linear.forward(lstm.forward(x).output);
    expect(output).toBeAllClose(recorded["out.0.checkpoint.logits"]!, { atol: 4e-6, rtol: 0 });

    const weights = readTorch(bytesOf("conv_bn.pt"));
    using conv = new Conv1d(3, 8, 5, { padding: 2, dtype: "f32" });
    conv.loadStateDict(weights, { prefix: "0." });
    using norm = new BatchNorm1d(8, { dtype: "f32" });
    norm.loadStateDict(weights, { prefix: "1." });
    expect([...norm.stateDict().running_var!.data]).toEqual([...weights["1.running_var"]!.data]);
  });
});
