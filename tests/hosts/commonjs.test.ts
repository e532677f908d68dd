// The packed package under `require`, in the Node that runs the tests. `npm run test:runtimes` repeats this in other versions of
// Node, in Deno and Bun, and tests Jest. `npm test` builds dist/ first.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, type BuildOptions } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { REQUIRE_AND_IMPORT } from "../helpers/commonjs.js";
import { install, pack, root, run, write } from "../helpers/project.js";

let project: string;

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), "wasm-rnn-commonjs-"));
  await install(project, (await pack(project)).path);
  write(project, "both.cjs", REQUIRE_AND_IMPORT);
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

/** Runs both.cjs. Returns the file that `require` loaded and the last loss. */
async function requireAndImport(...flags: string[]): Promise<string[]> {
  const { stdout, stderr } = await run(project, process.execPath, [...flags, "both.cjs"]);
  expect(stderr).toBe("");
  return stdout.trim().split(" ");
}

describe("require and import share one copy of the package", () => {
  test("where Node can require ES modules", async () => {
    const [file, loss] = await requireAndImport();
    expect(file).toBe("index.js");
    expect(Number(loss)).toBeLessThan(0.05);
  });

  test("where Node cannot: the same loss to the last digit", async () => {
    const [file, loss] = await requireAndImport("--no-experimental-require-module");
    expect(file).toBe("index.cjs");
    expect(loss).toBe((await requireAndImport())[1]);
  });
});

describe("loadModel takes the reader of one format, of the copy that the app has", () => {
  const USE = `
    const files = { onnx: toOnnx(new Linear(2, 3, { dtype: "f32", seed: 1 })), npy: writeNpy({ data: Float32Array.of(1), shape: [1] }) };
    const text = writeCharLM(new CharLM(new Vocabulary("ab"), { hiddenSize: 2, seed: 1 }), { steps: 1 });
    const one = await loadModel(files.onnx);
    const two = await loadModel(text);
    const three = await loadModel({ "folder/a.npy": files.npy });
    const error = await loadModel(new Uint8Array(3)).catch((reason) => reason);
    console.log(one.model instanceof Model, two.model instanceof CharLM, three.tensors.array.data[0], error instanceof FormatError);
  `;
  const NAMES = `const names = () => Object.keys(require.cache).map((path) => path.split(/[\\\\/]/).at(-1)).filter((name) => !/^chunk-|use\\.cjs$/.test(name)).sort();`; // prettier-ignore

  test("as ES modules, and as CommonJS in a Node that can require ES modules and in one that cannot", async () => {
    const names = { "wasm-rnn": "CharLM, FormatError, Linear, Vocabulary, writeCharLM", "wasm-rnn/load": "loadModel", "wasm-rnn/npy": "writeNpy", "wasm-rnn/onnx": "Model, toOnnx" }; // prettier-ignore
    const entries = Object.entries(names);
    const imports = entries.map(([from, list]) => `import { ${list} } from "${from}";`);
    const requires = entries.map(([from, list]) => `const { ${list} } = require("${from}");`);
    write(project, "use.mjs", [...imports, USE].join("\n"));
    write(project, "use.cjs", [...requires, `(async () => {${USE}})();`].join("\n"));
    for (const args of [["use.mjs"], ["use.cjs"]]) {
      for (const flags of [[], ["--no-experimental-require-module"]]) {
        const { stdout, stderr } = await run(project, process.execPath, [...flags, ...args]);
        expect([args, flags, stdout, stderr]).toEqual([args, flags, "true true 1 true\n", ""]);
      }
    }
  });

  test("and no other reader", async () => {
    write(
      project,
      "alone.use.cjs",
      `${NAMES}
      const { loadModel } = require("wasm-rnn/load");
      const before = names();
      const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (), }".padEnd(117) + "\\n";
      const bytes = Uint8Array.from(Buffer.from("\\x93NUMPY\\x01\\0\\x76\\0" + header + "\\0\\0\\0\\0", "latin1"));
      loadModel(bytes).then(({ format }) => console.log(JSON.stringify([before, names(), format])));`,
    );
    const { stdout } = await run(project, process.execPath, ["--no-experimental-require-module", "alone.use.cjs"]);
    expect(JSON.parse(stdout)).toEqual([["load.cjs"], ["load.cjs", "npy.cjs"], "npy"]);
    const text = readFileSync(join(project, "node_modules/wasm-rnn/dist/load.js"), "utf8");
    const eager = [...text.matchAll(/^import (?:[^;]* from )?"([^"]+)";$/gm)].map(([, from]) => from!);
    expect(eager.length).toBeGreaterThan(0);
    expect(eager.filter((from) => !from.startsWith("./chunks/"))).toEqual([]);
    const later = [...text.matchAll(/\bimport\("([^"]+)"\)/g)].map(([, from]) => from!).sort();
    expect(later).toEqual(["audio", "index", "keras", "npy", "onnx", "pytorch", "safetensors", "text"].map((name) => `./${name}.js`)); // prettier-ignore
  });
});

describe("a bundle of an app that requires the package and imports it", () => {
  test.each<[string, BuildOptions]>([
    ["for browsers", { platform: "browser", format: "iife" }],
    ["for Node", { platform: "node", format: "cjs" }],
  ])("%s has one copy, of the ES modules", async (_, options) => {
    const { outputFiles, metafile } = await build({
      ...options,
      stdin: {
        contents: `
          import { Adam } from "wasm-rnn";
          console.log(Adam === require("wasm-rnn").Adam);
        `,
        resolveDir: project,
      },
      absWorkingDir: project,
      bundle: true,
      write: false,
      metafile: true,
      logLevel: "silent",
    });
    expect(Object.keys(metafile.inputs).filter((path) => /\.cjs$|\.node\.js$/.test(path))).toEqual([]);
    write(project, "bundle.cjs", outputFiles[0]!.text);
    expect((await run(project, process.execPath, ["bundle.cjs"])).stdout).toBe("true\n");
  });
});

describe("TypeScript 6", () => {
  const TYPES = `
    import { Adam, LSTM, tensor, type Tensor } from "wasm-rnn";
    import { fromRtneural } from "wasm-rnn/audio";
    import { softmax } from "wasm-rnn/coursera";
    import { rnnForward } from "wasm-rnn/cs231n";
    import { loadModel, type LoadedModel } from "wasm-rnn/load";
    import { onnxRecurrent } from "wasm-rnn/onnx";
    import { add } from "wasm-rnn/ops";
    import { readSafetensors } from "wasm-rnn/safetensors";
    import core from "wasm-rnn/core.wasm";

    export const lstm = new LSTM(3, 4);
    export const module: WebAssembly.Module = core;
    export const output: Tensor = softmax(lstm.forward(tensor([[[1, 2, 3]]])).output);
    export const others = [fromRtneural, rnnForward, onnxRecurrent, add, readSafetensors];
    export const optimizer = new Adam(lstm.parameters());
    export const loading: Promise<LoadedModel> = loadModel(new Uint8Array());
    export const sizes = loading.then((loaded) => (loaded.format === "npy" ? Object.keys(loaded.tensors).length : loaded.format === "onnx" ? loaded.model.inputs.length : 0));

    // @ts-expect-error an option that does not exist
    new LSTM(3, 4, { layers: 2 });
  `;

  test.concurrent.each([
    ["node16", { module: "node16" }],
    ["node10", { module: "commonjs", moduleResolution: "node10", ignoreDeprecations: "6.0" }],
  ])("checks CommonJS files with module resolution %s", async (name, options) => {
    write(project, `${name}/layer.cts`, TYPES);
    const files = ["layer.cts"];
    if (name !== "node10") {
      // a class is one type, whether imported or required
      write(
        project,
        `${name}/train.mts`,
        `import { SGD } from "wasm-rnn";
        import { lstm } from "./layer.cjs";
        export const sgd = new SGD(lstm.parameters(), { lr: 0.1 });
        `,
      );
      files.push("train.mts");
    }
    const compilerOptions = {
      strict: true,
      noEmit: true,
      esModuleInterop: true,
      skipLibCheck: false,
      target: "es2022",
      types: [],
      ...options,
    };
    write(project, `${name}/tsconfig.json`, JSON.stringify({ compilerOptions, files }));
    await run(project, process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", name]);
  });
});
