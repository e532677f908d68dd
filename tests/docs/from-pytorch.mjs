// Writes the files of the Python block in docs/guides/from-pytorch.md, on machines without PyTorch: tagger.pt, and in example.pt an
// input with the model's answer.
import { writeFile } from "node:fs/promises";
import { Embedding, Linear, LSTM, Sequential, tensor } from "wasm-rnn";

const dtype = "f32";
const model = new Sequential({
  embedding: new Embedding(50, 8, { dtype, seed: 1 }),
  lstm: new LSTM(8, 16, { numLayers: 2, bidirectional: true, batchFirst: true, dtype, seed: 2 }),
  linear: new Linear(32, 5, { dtype, seed: 3 }),
}).eval();
const x = tensor(
  Int32Array.from({ length: 12 }, (_, i) => i),
  [2, 6],
);
await writeFile("tagger.pt", torchFile("tagger", { model: model.stateDict(), epoch: 20 }));
await writeFile("example.pt", torchFile("example", { x, y: model.forward(x).output }));

/** What torch.save writes: a zip archive of a pickle, and of each tensor's numbers. */
function torchFile(name, value) {
  const storages = [];
  const pickle = Buffer.concat([Buffer.of(0x80, 2), pickled(value, storages), Buffer.from(".")]);
  const files = { "data.pkl": pickle, version: Buffer.from("3\n") };
  storages.forEach(({ buffer, byteOffset, byteLength }, i) => {
    files[`data/${i}`] = Buffer.from(buffer, byteOffset, byteLength);
  });
  return zipped(Object.entries(files).map(([path, bytes]) => [Buffer.from(`${name}/${path}`), bytes]));
}

/** Numbers, tensors (whose numbers go to `storages`), and dictionaries of them. */
function pickled(value, storages) {
  const text = (letters) => Buffer.concat([Buffer.from("X"), u32(letters.length), Buffer.from(letters)]);
  const number = (n) => Buffer.concat([Buffer.from("J"), u32(n)]);
  const tuple = (...parts) => Buffer.concat([Buffer.from("("), ...parts, Buffer.from("t")]);
  if (typeof value === "number") return number(value);
  if (!ArrayBuffer.isView(value.data)) {
    const entries = Object.entries(value).flatMap(([key, each]) => [text(key), pickled(each, storages)]);
    return Buffer.concat([Buffer.from("}("), ...entries, Buffer.from("u")]);
  }
  const { data, shape } = value;
  const kind = Buffer.from(`ctorch\n${data instanceof Int32Array ? "IntStorage" : "FloatStorage"}\n`);
  const key = `${storages.push(data) - 1}`;
  const storage = Buffer.concat([tuple(text("storage"), kind, text(key), text("cpu"), number(data.length)), Buffer.from("Q")]); // prettier-ignore
  const strides = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  const hooks = Buffer.from("ccollections\nOrderedDict\n)R");
  const [size, stride] = [shape, strides].map((list) => tuple(...list.map(number)));
  const all = tuple(storage, number(0), size, stride, Buffer.of(0x89), hooks);
  return Buffer.concat([Buffer.from("ctorch._utils\n_rebuild_tensor_v2\n"), all, Buffer.from("R")]);
}

/** A zip archive whose files are not compressed. */
function zipped(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const [name, bytes] of files) {
    const about = [u16(10), u16(0), u16(0), u32(0), u32(crc32(bytes)), u32(bytes.length), u32(bytes.length), u16(name.length), u16(0)]; // prettier-ignore
    directory.push(Buffer.from("PK\x01\x02"), u16(10), ...about, u16(0), u16(0), u16(0), u32(0), u32(at), name);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), ...about, name, bytes]);
    parts.push(local);
    at += local.length;
  }
  const entries = Buffer.concat(directory);
  const [count, size] = [u16(files.length), u32(entries.length)];
  return Buffer.concat([...parts, entries, Buffer.from("PK\x05\x06"), u32(0), count, count, size, u32(at), u16(0)]);
}

function u16(n) {
  return Buffer.of(n & 255, n >> 8);
}

function u32(n) {
  return Buffer.of(n & 255, (n >> 8) & 255, (n >> 16) & 255, n >>> 24);
}

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}
