// A CommonJS program that loads the package both ways, and compares.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./project.js";

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { exports: Record<string, unknown> };

/** The names that users import: wasm-rnn, wasm-rnn/audio and so on, without the wasm modules. */
export const ENTRY_POINTS = Object.keys(manifest.exports)
  .filter((path) => !/\.(wasm|json)$/.test(path))
  .map((path) => path.replace(".", "wasm-rnn"));

/** Trains a layer; `LSTM`, `Adam`, `Linear`, `mse` and `tensor` must be defined. Leaves the losses in `losses`. */
export const TRAIN = `
  const lstm = new LSTM(1, 4, { seed: 1 });
  const linear = new Linear(4, 1, { seed: 2 });
  const adam = new Adam([...lstm.parameters(), ...linear.parameters()], { lr: 0.05 });
  const wave = Array.from({ length: 21 }, (_, t) => [Math.sin(t / 3)]);
  const losses = Array.from({ length: 60 }, () => {
    adam.zeroGrad();
    const { output } = lstm.forward(tensor(wave.slice(0, 20)));
    const { loss, dPrediction } = mse(linear.forward(output).output, tensor(wave.slice(1)));
    lstm.backward({ output: linear.backward({ output: dPrediction }).x });
    adam.step();
    return loss;
  });
`;

/**
 * The program: `require` and `import` of each entry point give the same objects, an imported optimizer trains required layers,
 * and an error is an instance of both classes. Prints the file that `require` loads, and the last loss.
 */
export const REQUIRE_AND_IMPORT = `
  const assert = require("node:assert/strict");
  const { readFileSync } = require("node:fs");

  async function main() {
    for (const name of ${JSON.stringify(ENTRY_POINTS)}) {
      const [required, imported] = [require(name), await import(name)];
      const namesOf = (module) =>
        Object.keys(module).filter((key) => !["default", "module.exports", "__esModule"].includes(key)).sort();
      const names = namesOf(imported);
      assert.ok(names.length > 0, name);
      assert.deepEqual(namesOf(required), names, name); // ort has a default, as onnxruntime-web has
      for (const key of names) assert.equal(required[key], imported[key], name + ": " + key);
    }
    const { Linear, LSTM, ShapeError, tensor } = require("wasm-rnn");
    const imported = await import("wasm-rnn");
    const { Adam, mse } = imported;
    ${TRAIN}
    assert.ok(losses.at(-1) < losses[0] / 10, String(losses));
    assert.throws(() => lstm.forward(imported.tensor(1, [1])), ShapeError);
    assert.throws(() => lstm.forward(tensor(1, [1])), imported.ShapeError);
    for (const name of ["core.wasm", "core.relaxed.wasm"]) {
      assert.ok(WebAssembly.validate(readFileSync(require.resolve("wasm-rnn/" + name))) || name === "core.relaxed.wasm");
    }
    console.log(require.resolve("wasm-rnn").split(/[\\\\/]/).at(-1), losses.at(-1));
  }

  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
`;
