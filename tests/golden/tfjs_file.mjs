// Writes tfjs_file.json: the files of a model that TensorFlow.js 4.22 saved, an input, and what its predict gives for it.
// Run: node tests/golden/tfjs_file.mjs <folder with node_modules/@tensorflow/tfjs, such as bench> [output]
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";

const [, , folder = "bench", output = "tests/golden/tfjs_file.json"] = process.argv;
const tf = createRequire(join(resolve(folder), "package.json"))("@tensorflow/tfjs");
await tf.setBackend("cpu");

const ramp = (shape) => {
  const size = shape.reduce((a, b) => a * b);
  return tf.tensor(Array.from({ length: size }, (_, i) => i / size - 0.5), shape); // prettier-ignore
};
const model = tf.sequential({
  layers: [
    tf.layers.gru({ units: 8, returnSequences: true, inputShape: [null, 1] }),
    tf.layers.dense({ units: 1, activation: "tanh" }),
  ],
});
model.setWeights(model.getWeights().map(({ shape }) => ramp(shape)));
const x = ramp([1, 5, 1]);
const files = {};
await model.save(
  tf.io.withSaveHandler(async ({ weightData, weightSpecs, ...rest }) => {
    files["model.json"] = { ...rest, weightsManifest: [{ paths: ["weights.bin"], weights: weightSpecs }] };
    files["weights.bin"] = Buffer.from(weightData).toString("base64");
    return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: "JSON" } };
  }),
);
const tensor = (t) => ({ data: Array.from(t.dataSync()), shape: t.shape });
writeFileSync(output, `${JSON.stringify({ files, x: tensor(x), y: tensor(model.predict(x)) })}\n`);
