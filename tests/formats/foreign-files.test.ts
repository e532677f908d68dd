// Errors of readers on files of other kinds, which they recognise by the first bytes or by the keys of the JSON.
import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { fromProteus, fromRtneural } from "../../src/audio.js";
import { DtypeError, FormatError, readCharLM } from "../../src/index.js";
import { readSafetensors, writeSafetensors } from "../../src/safetensors.js";
import { zipFile } from "../helpers/formats.js";
import { refuses } from "../helpers/refuses.js";

const latin1 = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));
const json = (value: unknown) => new Uint8Array(Buffer.from(JSON.stringify(value)));

const proteus = { model_data: { model: "SimpleRNN" }, state_dict: { "rec.weight_ih_l0": [[1]] } };
const rtneural = { in_shape: [null, null, 1], layers: [{ type: "dense" }] };
const nam = { version: "0.5.4", metadata: {}, architecture: "LSTM", config: {}, weights: [1] };

const FILES: readonly (readonly [what: string, bytes: Uint8Array, name: string, hint?: string])[] = [
  [
    "ONNX, PyTorch",
    latin1("\x08\x07\x12\x07pytorch\x1a\x061.13.0:\xcf\x87\x8e\x01"),
    "an ONNX model",
    "use fromOnnx of wasm-rnn/onnx",
  ],
  ["ONNX, without a producer", latin1("\x08\x0a\x3a\x10\x0a\x0e"), "an ONNX model"],
  [
    "torch.save",
    zipFile({ "archive/data.pkl": "x", "archive/data/0": "y" }),
    "a PyTorch checkpoint (zip)",
    "readTorch of wasm-rnn/pytorch",
  ],
  [
    "TorchScript",
    zipFile({ "m/code/__torch__.py": "", "m/data.pkl": "x" }),
    "a PyTorch checkpoint (zip)",
    "readTorch of wasm-rnn/pytorch",
  ],
  [
    "torch.save, cut off",
    zipFile({ "archive/data.pkl": "x" }).subarray(0, 60),
    "a PyTorch checkpoint (zip)",
    "readTorch",
  ],
  [
    "torch.save, before 1.6",
    latin1("\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M"),
    "a PyTorch checkpoint",
    "readTorch",
  ],
  ["a pickle", latin1("\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94."), "a Python pickle"],
  [
    ".keras",
    zipFile({ "metadata.json": "{}", "config.json": "{}", "model.weights.h5": "x" }),
    "a Keras 3 model (.keras)",
    "use fromKeras of wasm-rnn/keras",
  ],
  [
    ".h5",
    latin1("\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0\x04"),
    "an HDF5 file (Keras .h5)",
    "use fromKeras of wasm-rnn/keras, or readKerasWeights",
  ],
  [".npz", zipFile({ "a.npy": "\x93NUMPY" }), "a NumPy .npz file", "readNpz of wasm-rnn/npy"],
  [".npy", latin1("\x93NUMPY\x01\0v\0{'descr': '<f4'}"), "a NumPy .npy file", "readNpy of wasm-rnn/npy"],
  ["zip", zipFile({ "readme.txt": "hello" }), "a zip archive", "unpack"],
  ["gzip", new Uint8Array(gzipSync("hello")), "a gzip file", "unpack"],
  ["TensorFlow Lite", latin1("\x1c\0\0\0TFL3\x14\0\x20\0"), "a TensorFlow Lite model"],
  ["Proteus", json(proteus), "JSON of Proteus", "fromProteus"],
  ["RTNeural", json(rtneural), "JSON of RTNeural", "fromRtneural"],
  ["a state_dict as JSON", json({ "gru.weight_hh_l0": [[1]] }), "JSON of RTNeural", "fromRtneural"],
  ["NAM", json(nam), "JSON of NAM", "fromNam"],
  [
    "TensorFlow.js",
    json({ modelTopology: {}, weightsManifest: [] }),
    "a model.json of TensorFlow.js",
    "use fromTfjs of wasm-rnn/keras, or give loadModel of wasm-rnn/load all its files",
  ],
  [
    "ml5",
    json({ embedding: { filename: "embedding", shape: [2, 3] }, Variable: { filename: "Variable", shape: [] } }),
    "a manifest.json of ml5",
    "use fromMl5 of wasm-rnn/text, or give loadModel of wasm-rnn/load all its files",
  ],
  ["model.to_json()", json({ class_name: "Sequential", config: {} }), "JSON of a Keras model", "fromKeras"],
  ["JSON", json({ some: "thing" }), "a JSON file"],
  [
    "JSON, indented, with a byte order mark",
    latin1('\xef\xbb\xbf{\n  "in_shape": [1], "layers": []}'),
    "JSON of RTNeural",
  ],
  ["JSON, broken", latin1('{"layers": [ 1, 2, '), "a JSON file"],
  ["a page", latin1("\n<!DOCTYPE html>\n<html><title>404</title></html>"), "an HTML page", "address"],
  ["SVG", latin1('<?xml version="1.0"?><svg/>'), "an XML file"],
  ["Git LFS", latin1("version https://git-lfs.github.com/spec/v1\noid sha256:1"), "a Git LFS pointer", "git lfs pull"],
];

describe("foreign files are recognised by their first bytes", () => {
  test.each(FILES.map(([what, ...rest]) => [what, rest] as const))("%s", (_, [bytes, name, hint = ""]) => {
    for (const read of [readSafetensors, readCharLM]) {
      refuses(() => read(bytes), FormatError, `bytes: got ${name}`, "expected a safetensors file", hint);
    }
    refuses(() => fromRtneural(bytes), FormatError, `json: got bytes of ${name}`, "expected JSON of RTNeural, parsed");
    refuses(() => fromProteus(bytes), FormatError, `json: got bytes of ${name}`, "expected JSON of Proteus, parsed");
  });

  test("JSON of another program says which function reads it", () => {
    refuses(() => fromRtneural(proteus), FormatError, "json: got JSON of Proteus", "use fromProteus of wasm-rnn/audio");
    refuses(() => fromProteus(rtneural), FormatError, "json: got JSON of RTNeural", "use fromRtneural");
    for (const read of [fromRtneural, fromProteus]) {
      refuses(() => read(nam), FormatError, "json: got JSON of NAM");
      refuses(() => read({ modelTopology: {} }), FormatError, "json: got a model.json of TensorFlow.js");
      refuses(() => read({ class_name: "Model", config: {} }), FormatError, "json: got JSON of a Keras model");
    }
  });

  test("what was not parsed says how", () => {
    for (const read of [fromRtneural, fromProteus]) {
      refuses(() => read("{}"), FormatError, "json: got a string", "JSON.parse(text)");
      refuses(() => read(json(rtneural)), FormatError, "JSON.parse(new TextDecoder().decode(bytes))");
      refuses(() => read(new Uint8Array(9)), FormatError, "json: got bytes");
    }
    refuses(() => readSafetensors(new ArrayBuffer(9) as never), DtypeError, "bytes: got ArrayBuffer", "new Uint8Array");
  });

  test("safetensors files stay what they are, whatever their length spells", () => {
    for (let letters = 0; letters < 600; letters += 8) {
      const bytes = writeSafetensors({}, { pad: "x".repeat(letters) });
      expect(readSafetensors(bytes).metadata.pad).toHaveLength(letters);
    }
  });
});
