// Files that blocks of the guides read and that no block makes, by the name of the guide and of the file.

import { readFileSync } from "node:fs";
import { writeZip } from "../../src/formats/zip.js";
import { makeHdf5 } from "../helpers/make-hdf5.js";
import { root } from "../helpers/project.js";

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

function ramp(...shape: number[]) {
  const size = shape.reduce((a, b) => a * b);
  return { data: Float32Array.from({ length: size }, (_, i) => i / size - 0.5), shape };
}

/** The file that the Keras code of from-keras.md saves, in the form of Keras 3, with ramps as weights. */
function waveOfKeras(): Uint8Array {
  const layer = (class_name: string, config: object) => ({ module: "keras.layers", class_name, config, registered_name: null }); // prettier-ignore
  const layers = [
    layer("InputLayer", { batch_shape: [null, null, 1], dtype: "float32", sparse: false, name: "input_layer" }),
    layer("GRU", {
      name: "gru",
      trainable: true,
      return_sequences: true,
      return_state: false,
      go_backwards: false,
      stateful: false,
      unroll: false,
      zero_output_for_mask: false,
      units: 8,
      activation: "tanh",
      recurrent_activation: "sigmoid",
      use_bias: true,
      dropout: 0,
      recurrent_dropout: 0,
      reset_after: true,
      seed: null,
    }),
    layer("Dense", { name: "dense", trainable: true, units: 1, activation: "linear", use_bias: true }),
  ];
  const config = { name: "sequential", trainable: true, layers, build_input_shape: [null, null, 1] };
  const vars = (...weights: ReturnType<typeof ramp>[]) => ({
    vars: { entries: Object.fromEntries(weights.map((weight, i) => [`${i}`, weight])) },
  });
  const weights = makeHdf5({
    entries: {
      layers: {
        entries: {
          gru: { entries: { cell: { entries: vars(ramp(1, 24), ramp(8, 24), ramp(2, 24)) } } },
          dense: { entries: vars(ramp(8, 1), ramp(1)) },
        },
      },
    },
  });
  const files = {
    "metadata.json": json({ keras_version: "3.8.0" }),
    "config.json": json({ module: "keras", class_name: "Sequential", config, registered_name: null }),
    "model.weights.h5": weights,
  };
  return writeZip(new Map(Object.entries(files)), false);
}

/** The files of a model that TensorFlow.js saved (tests/golden/tfjs_file.mjs). */
function waveOfTfjs(): Record<string, Uint8Array> {
  const text = readFileSync(`${root}/tests/golden/tfjs_file.json`, "utf8");
  const { files } = JSON.parse(text) as { files: { "model.json": object; "weights.bin": string } };
  return {
    "model.json": json(files["model.json"]),
    "weights.bin": new Uint8Array(Buffer.from(files["weights.bin"], "base64")),
  };
}

/** The files of each guide that has some. */
export const given: Readonly<Record<string, Readonly<Record<string, Uint8Array>>>> = {
  "from-keras": { "wave.keras": waveOfKeras() },
  "from-tfjs": waveOfTfjs(),
};
