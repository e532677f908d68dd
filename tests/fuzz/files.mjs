// Files of every format that loadModel tells apart: valid ones, and changes that keep what is around them whole, so that most reach the
// inside of the reader: an entry of an archive with its checksum, an instruction of a pickle, a field of HDF5, the header of an array.

import { Buffer } from "node:buffer";
import { zipSync } from "fflate";
import { checkpoint, kerasFile, kerasWeights, make, ml5, nam, numpyTensor, proteus, rtneural, stateDict, tfjsFiles } from "./generators.mjs"; // prettier-ignore
import { mutateText, put } from "./mutations.mjs";
import { mutateOnnx, onnxFile } from "./onnx.mjs";
import { entries, fromSource, W } from "./subject.mjs";

const { readZip, unzip, writeZip } = await fromSource("src/formats/zip.ts");

const json = (value) => new Uint8Array(Buffer.from(JSON.stringify(value)));
const latin1 = (bytes) => Buffer.from(bytes).toString("latin1");
const fromLatin1 = (text) => new Uint8Array(Buffer.from(text, "latin1"));

// --- valid files -------------------------------------------------------------------------------------------------------

/** A .keras file of a .h5 file's model: the same layers, whose weights have places. */
function keras3(r) {
  const { topology, groups } = kerasWeights(r);
  return zipSync(
    { "metadata.json": json({}), "config.json": json(topology), "model.weights.h5": groups },
    { level: 0 },
  );
}

function tfjs(r) {
  const [model, bytes] = tfjsFiles(r);
  const cut = r.int(bytes.length + 1);
  const paths = r.pick([["w"], ["./w"], ["a/w1", "a/w2"]]);
  model.weightsManifest[0].paths = paths;
  const shards = paths.length === 1 ? [bytes] : [bytes.subarray(0, cut), bytes.subarray(cut)];
  const folder = r.pick(["", "m/", "m\\"]);
  const files = paths.map((path, i) => [folder + path.replace("./", ""), shards[i]]);
  return { [`${folder}model.json`]: json(model), ...Object.fromEntries(files) };
}

/** Makers of valid files, by format. Each gives bytes, or files by name. */
export const MAKERS = {
  npy: (r) => entries.npy.writeNpy(numpyTensor(r)),
  npz: (r) => entries.npy.writeNpz({ a: numpyTensor(r), "b/c": numpyTensor(r) }, { compress: r.bool() }),
  pytorch: checkpoint,
  "keras-h5": kerasFile,
  "keras-weights": (r) => kerasWeights(r).groups,
  keras: keras3,
  tfjs,
  ml5,
  rtneural: (r) => json(rtneural(r)),
  proteus: (r) => json(proteus(r)),
  nam(r) {
    const file = nam(r);
    return file instanceof Uint8Array ? file : json(file);
  },
  onnx: onnxFile,
  safetensors: (r) => entries.safetensors.writeSafetensors(stateDict(r), r.bool() ? { a: "b" } : {}),
  "wasm-rnn": (r, env) => W.writeCharLM(make(env, "CharLM"), { steps: r.int(9) }),
};

// --- changes -----------------------------------------------------------------------------------------------------------

const is = (bytes, text) => latin1(bytes.subarray(0, text.length)) === text;

function splice(bytes, at, remove, add) {
  return Uint8Array.of(...bytes.subarray(0, at), ...add, ...bytes.subarray(at + remove));
}

function mutateAny(r, bytes) {
  const at = r.int(Math.max(1, bytes.length));
  return r.one(
    () => bytes.slice(0, at),
    () => splice(bytes, at, 1, [r.int(256)]),
    () => splice(bytes, at, 1, [(bytes[at] ?? 0) ^ (1 << r.int(8))]),
    () => splice(bytes, at, r.int(9), []),
    () =>
      splice(
        bytes,
        at,
        0,
        Array.from({ length: r.int(9) }, () => r.int(256)),
      ),
    () => splice(bytes, at, 0, bytes.subarray(r.int(at + 1), at)),
  );
}

/** Sizes, counts and addresses that are wrong. */
function wrongNumber(r, bytes) {
  const size = BigInt(bytes.length);
  return r.pick([0n, 1n, 2n, 7n, 8n, 255n, size - 1n, size, size + 1n, 2n ** 16n, 2n ** 31n, 2n ** 32n, 2n ** 53n, -1n, BigInt(r.int(bytes.length + 1))]); // prettier-ignore
}

/** Puts a wrong number of 1, 2, 4 or 8 bytes at a place. */
function mutateField(r, bytes, at = r.int(bytes.length)) {
  const copy = bytes.slice();
  const value = wrongNumber(r, bytes);
  for (let i = 0, width = r.pick([1, 2, 4, 8]); i < width && at + i < copy.length; i++) {
    copy[at + i] = Number((value >> BigInt(8 * i)) & 255n);
  }
  return copy;
}

/** Bytes after an instruction of a pickle: how many, or how many hold their number, or how many lines. */
const FIXED = { K: 1, M: 2, J: 4, G: 8, h: 1, j: 4, q: 1, r: 4, "\x80": 1, "\x82": 1, "\x83": 2, "\x84": 4, "\x95": 8 };
const COUNTED = { X: 4, U: 1, T: 4, B: 4, C: 1, "\x8a": 1, "\x8b": 4, "\x8c": 1, "\x8d": 8, "\x8e": 8, "\x96": 8 };
const LINES = { c: 2, i: 2, I: 1, L: 1, F: 1, S: 1, V: 1, P: 1, g: 1, p: 1 };

/** The instructions of a valid pickle; what follows it is the last one. */
function instructionsOf(bytes) {
  const found = [];
  for (let at = 0; at < bytes.length;) {
    const code = String.fromCharCode(bytes[at]);
    let end = at + 1 + (FIXED[code] ?? 0);
    if (COUNTED[code]) {
      let count = 0;
      for (let i = COUNTED[code]; i > 0; i--) count = count * 256 + (bytes[at + i] ?? 0);
      end += COUNTED[code] + count;
    }
    for (let line = LINES[code] ?? 0; line > 0; line--) end = bytes.indexOf(10, end) + 1 || bytes.length;
    found.push(bytes.subarray(at, end));
    at = end;
    if (code === ".") return at < bytes.length ? [...found, bytes.subarray(at)] : found;
  }
  return found;
}

const OPCODES = "()]}.0122NKMJIGXUTBCcibdehgjlopqrstuR\x81\x85\x86\x87\x88\x89\x8f\x90\x91\x92\x93\x94\x97\x98QP";
const NAMES = ["torch._utils\n_rebuild_tensor_v2", "collections\nOrderedDict", "os\nsystem", "numpy\ndtype", "__builtin__\nset", "torch\nFloatStorage", "_codecs\nencode"]; // prettier-ignore

function mutatePickle(r, bytes) {
  const list = instructionsOf(bytes);
  const at = r.int(list.length);
  const more = r.one(
    () => [fromLatin1(r.pick([...OPCODES]))],
    () => [fromLatin1(`c${r.pick(NAMES)}\n`)],
    () => [list[r.int(list.length)]],
    () => [mutateField(r, list[at])],
    () => [list[at], list[at]],
    () => [],
    () => [fromLatin1(r.pick(["K\x01", "N", "J\xff\xff\xff\xff", "X\x01\0\0\0a", "h\0", "h\x05", "0", "2"])), list[at]],
  );
  return new Uint8Array(Buffer.concat([...list.slice(0, at), ...more, ...list.slice(at + 1)]));
}

function mutateNpy(r, bytes) {
  if (bytes.length < 12) return mutateAny(r, bytes); // it was cut before
  const long = bytes[6] > 1;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = long ? 12 : 10;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  if (start + length > bytes.length || r.bool(0.3)) return mutateAny(r, bytes);
  const text = latin1(bytes.subarray(start, start + length));
  const tokens = [...text.matchAll(/'[^']*'|\d+|True|False|[(){}:,]/g)];
  const { 0: token, index } = r.pick(tokens.length > 0 ? tokens : [{ 0: "", index: 0 }]);
  const other = r.one(
    () => r.pick(["'<f4'", "'>i8'", "'|O'", "'<c8'", "'|b1'", "True", "None", "(2,", "(", ")", "-1", "1e3", "0", "4294967296", "9007199254740993", "''"]), // prettier-ignore
    () => (tokens.length > 0 ? r.pick(tokens)[0] : ""),
    () => `${token}${token}`,
    () => "",
  );
  const changed = text.slice(0, index) + other + text.slice(index + token.length);
  const header = r.bool(0.8) ? fromLatin1(changed.slice(0, length).padEnd(length)) : fromLatin1(changed);
  return Uint8Array.of(...bytes.subarray(0, start), ...header, ...bytes.subarray(start + length));
}

/** Changes a file of an archive, or the list of them; the archive stays whole. */
function mutateArchive(r, bytes) {
  const files = new Map();
  try {
    for (const entry of readZip(bytes, "", 1e6).values()) files.set(entry.name, unzip(bytes, entry));
  } catch {
    return mutateAny(r, bytes); // it was changed before
  }
  if (files.size === 0) return mutateAny(r, bytes);
  const names = [...files.keys()];
  const name = r.pick(names);
  const others = [`${name}x`, "data.pkl", "a/data.pkl", "config.json", "constructor", "x.npy", "../x"];
  if (r.bool(0.7)) files.set(name, mutateFile(r, files.get(name)));
  else {
    r.one(
      () => files.delete(name),
      () => files.set(r.pick(others), files.get(name)),
      () => files.set(name, files.get(r.pick(names))),
    );
  }
  return writeZip(files, r.bool());
}

/** Changes one file. */
export function mutateFile(r, bytes) {
  if (bytes.length === 0 || r.bool(0.05)) return mutateAny(r, bytes);
  if (is(bytes, "PK")) return r.bool(0.2) ? mutateField(r, bytes) : mutateArchive(r, bytes);
  if (is(bytes, "\x89HDF")) return r.bool(0.2) ? mutateAny(r, bytes) : mutateHdf5(r, bytes);
  if (is(bytes, "\x93NUMPY")) return mutateNpy(r, bytes);
  if (bytes[0] === 0x80) return mutatePickle(r, bytes);
  if (bytes[0] === 0x7b) return new Uint8Array(Buffer.from(mutateText(r, Buffer.from(bytes).toString())));
  return r.bool() ? mutateField(r, bytes) : mutateAny(r, bytes);
}

/** HDF5 is fields of 2, 4 and 8 bytes at multiples of two, and texts: the JSON of the model among them. */
function mutateHdf5(r, bytes) {
  const text = latin1(bytes);
  const begin = text.indexOf('{"class_name"');
  const end = text.indexOf("\0", begin);
  if (begin >= 0 && end > begin && r.bool(0.3)) {
    const changed = mutateText(r, text.slice(begin, end))
      .slice(0, end - begin)
      .padEnd(end - begin);
    return Uint8Array.of(...bytes.subarray(0, begin), ...fromLatin1(changed), ...bytes.subarray(end));
  }
  return mutateField(r, bytes, 2 * r.int(Math.ceil(bytes.length / 2)));
}

/** Changes files by name, or one file. */
export function mutateFiles(r, format, files) {
  if (files instanceof Uint8Array) return format === "onnx" ? mutateOnnx(r, files) : mutateFile(r, files);
  const names = Object.keys(files);
  if (names.length === 0) return files; // all were taken away before
  const name = r.pick(names);
  const copy = { ...files };
  if (r.bool(0.8)) copy[name] = mutateFile(r, files[name]);
  else {
    r.one(
      () => delete copy[name],
      () => put(copy, r.pick(["extra", `x/${name}`, "__proto__", "model.json", "manifest.json"]), files[name]),
      () => (copy[name] = files[r.pick(names)]),
    );
  }
  return copy;
}
