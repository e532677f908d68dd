// The package as users get it: packed, installed into an empty project without a network, imported, type-checked, bundled and
// linted. `npm test` builds dist/ first. Other tests check the results of its functions.

import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { simdPatch as backward } from "../../bindings/wasm-backward.js";
import { simdPatch as graph } from "../../bindings/wasm-graph.js";
import { simdPatch as layers } from "../../bindings/wasm-layers.js";
import { simdPatch as training } from "../../bindings/wasm-training.js";
import { install, kilobytes, pack, RELAXED, root, run, script, write, type Packed } from "../helpers/project.js";

const MB = 1e6;
const MAX_PACKED = 1.2 * MB; // the tarball: the modules' digits and the library once for bundlers, once for Node, once in the command line
const MAX_LSTM_GZIPPED = 40_000; // the size of an app that imports only { LSTM }
const MAX_ONNX_GZIPPED = 90_000; // and only { fromOnnx }

/** A file, or a target per condition. */
type Target = string | { [condition: string]: Target };

const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  version: string;
  bin: Record<string, string>;
  exports: Record<string, Target>;
  typesVersions: Record<string, Record<string, string[]>>;
};

/** Pieces of a module's inlined digits, of its first and second half: a bundle that has some of it has one of these. */
const halves = (digits: string) => [digits.slice(0, digits.length / 2), digits.slice(digits.length / 2)];

/** The empty project; `installed` is the package in it. */
let project: string;
let installed: string;
let packed: Packed;

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), "wasm-rnn-package-"));
  installed = join(project, "node_modules", "wasm-rnn");
  packed = await pack(project);
  await install(project, packed.path);
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

describe("the manifest", () => {
  test("exports the entry points, which are the files of src/ itself, and no other module", () => {
    const names = readdirSync(new URL("../../src", import.meta.url), { withFileTypes: true })
      .filter((file) => file.isFile())
      .map(({ name }) => name.replace(/\.ts$/, ""));
    const modules = names
      .filter((name) => name !== "cli")
      .map((name) => {
        const types = `./dist/${name}.d.ts`;
        const esModule = `./dist/${name}.js`;
        return [
          name === "index" ? "." : `./${name}`,
          {
            module: esModule, // bundlers: one copy, whether the app imports or requires it
            "module-sync": { types, default: esModule }, // Node versions that can require ES modules
            import: { types, node: `./dist/${name}.node.js`, default: esModule },
            require: { types: `./dist/${name}.d.cts`, default: `./dist/${name}.cjs` },
            default: esModule,
          },
        ];
      });
    const { "./ort/*": part, ...others } = manifest.exports;
    const listed = Object.entries(others).filter(([key]) => !/\.(wasm|json)$/.test(key));
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(modules));
    expect(part).toEqual(others["./ort"]); // an alias for onnxruntime-web makes this of onnxruntime-web/wasm
    expect(names).toContain("cli");
    // TypeScript's node10 resolution does not read exports
    const mapped = Object.keys(manifest.exports).filter((key) => key !== "." && !key.endsWith(".json"));
    expect(Object.keys(manifest.typesVersions["*"]!).sort()).toEqual(mapped.map((key) => key.slice(2)).sort());
    expect(manifest.bin).toEqual({ "wasm-rnn": "dist/cli.js" });
  });
});

describe("the tarball", () => {
  test("is small", () => {
    console.log(`packed ${kilobytes(packed.size)}, unpacked ${kilobytes(packed.unpackedSize)}`);
    expect(packed.size).toBeLessThan(MAX_PACKED);
  });

  test("holds the build and its types, and no sources", () => {
    const files = packed.files.map(({ path }) => path);
    expect(files).toEqual(
      expect.arrayContaining([
        ...["README.md", "CHANGELOG.md", "RELIABILITY.md", "SECURITY.md", "LICENSE"],
        "dist/types/src/index.d.cts",
      ]),
    );
    const expected = [/^package\.json$/, /^(README|CHANGELOG|RELIABILITY|SECURITY)\.md$/, /^LICENSE$/, /^dist\//];
    expect(files.filter((path) => !expected.some((pattern) => pattern.test(path)))).toEqual([]);
    expect(files.filter((path) => /\.[cm]?ts$/.test(path) && !/\.d\.c?ts$/.test(path))).toEqual([]);
    expect(files.filter((path) => /test|assembly|\.map$|tsbuildinfo/.test(path))).toEqual([]);
    const targets = (entry: Target): string[] =>
      typeof entry === "string" ? [entry] : Object.values(entry).flatMap(targets);
    const mapped = Object.values(manifest.typesVersions["*"]!).flat();
    for (const target of [...Object.values(manifest.exports).flatMap(targets), ...mapped]) {
      expect(files).toContain(target.replace("./", ""));
    }
  });

  test("names no path of the machine that built it", () => {
    const places = [root.replace(/[/\\]$/, ""), join(homedir(), "/"), /\/(home|Users)\/\w/, /[A-Z]:\\\w/];
    const hits = packed.files.flatMap(({ path }) => {
      const text = readFileSync(join(installed, path), "latin1");
      return places.filter((place) => text.match(place)).map((place) => `${path}: ${place}`);
    });
    expect(hits).toEqual([]);
  });

  test("passes publint and attw, in all resolution modes", async () => {
    const tarball = readFileSync(packed.path);
    const { messages, pkg } = await publint({ pack: { tarball: new Uint8Array(tarball).buffer }, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg as never))).toEqual([]);
    const attw = join(root, "node_modules/@arethetypeswrong/cli/dist/index.js");
    await run(project, process.execPath, [attw, packed.path, "--profile", "strict", "--no-emoji"]);
  });
});

describe("licence notices", () => {
  const NOTICES = "dist/THIRD-PARTY-LICENSES.txt";

  test("exist for every package with code in dist, in the bundled version", () => {
    expect(packed.files.map(({ path }) => path)).toContain(NOTICES);
    const text = readFileSync(join(installed, NOTICES), "utf8");
    const listed = [...text.matchAll(/^- (\S+ \S+) \(\S+\), in dist\//gm)].map(([, name]) => name!);

    type Outputs = Record<string, { inputs: Record<string, { bytesInOutput: number }> }>;
    const builds = JSON.parse(readFileSync(join(root, "build/bundled.json"), "utf8")) as Outputs[];
    const outputs = builds.flatMap((build) => Object.entries(build));
    const folders = outputs.flatMap(([output, { inputs }]) => {
      expect(existsSync(join(root, output)), `${output}: of the build that is tested`).toBe(true);
      return Object.entries(inputs)
        .filter(([path, { bytesInOutput }]) => path.includes("node_modules/") && bytesInOutput > 0)
        .map(([path]) => path.replace(/(.*node_modules\/(?:@[^/]+\/)?[^/]+).*/, "$1"));
    });
    const bundled = [...new Set([...folders, "node_modules/assemblyscript"])].map((folder) => {
      const { name, version } = JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8")) as {
        name: string;
        version: string;
      };
      return `${name} ${version}`;
    });
    expect(bundled.length).toBeGreaterThan(1);
    expect(listed).toEqual(bundled.sort());

    const sections = text.split(/\n={100}\n/).slice(1);
    expect(sections).toHaveLength(2 * listed.length);
    for (const [i, name] of listed.entries()) {
      expect(sections[2 * i]!.trim().startsWith(`${name} (`), name).toBe(true);
      expect(sections[2 * i + 1], name).toMatch(
        /Permission (is hereby granted|to use)|Apache License|Redistribution and use/i,
      );
      expect(sections[2 * i + 1], name).toMatch(/copyright/i);
    }
  });

  test("cover all bundled code, including the imports of the command line", () => {
    const text = readFileSync(join(installed, NOTICES), "utf8");
    const cli = readFileSync(join(installed, "dist/cli.js"), "utf8");
    // a word from the code of each library, which minifying leaves: cli.js contains it exactly if it contains the library
    const words = {
      commander: "_actionHandler",
      "cli-progress": "barCompleteChar",
      "signal-exit": "signal-exit emitter",
      "write-file-atomic": "tmpfileCreated",
      "d3-array": "Math.sqrt(50)",
    };
    for (const [name, word] of Object.entries(words)) {
      expect(new RegExp(`^- ${name} `, "m").test(text), name).toBe(cli.includes(word));
    }
    expect(text).toMatch(/^- @assemblyscript\/loader .*dist\/chunks\/.*$/m);
  });

  test("missing from a package: the build fails and names it", async () => {
    const { bundledPackages, licenceNotices } = (await import(
      /* @vite-ignore */ new URL("../../scripts/licences.mjs", import.meta.url).href
    )) as {
      bundledPackages: (metafiles: object[]) => Map<string, Set<string>>;
      licenceNotices: (packages: Map<string, Set<string>>, root: string) => string;
    };
    const manifest = (name: string) => JSON.stringify({ name, version: "1.2.3", license: "MIT" });
    write(project, "bundled/node_modules/@a/b/package.json", manifest("@a/b"));
    write(project, "bundled/node_modules/c/package.json", manifest("c"));
    write(project, "bundled/node_modules/c/LICENCE.md", "Of c.\n");
    const inputs = {
      "src/x.ts": { bytesInOutput: 9 },
      "node_modules/@a/b/lib/x.js": { bytesInOutput: 5 },
      "node_modules/@a/b/node_modules/c/x.js": { bytesInOutput: 0 }, // imported, and dropped
      "node_modules/c/x.js": { bytesInOutput: 1 },
    };
    const packages = bundledPackages([{ outputs: { "dist/y.js": { inputs } } }]);
    expect([...packages].map(([folder, files]) => [folder, ...files])).toEqual([
      ["node_modules/@a/b", "dist/y.js"],
      ["node_modules/c", "dist/y.js"],
    ]);
    const notices = () => licenceNotices(packages, join(project, "bundled"));
    expect(notices).toThrow("@a/b 1.2.3 is bundled, and has no licence file");
    write(project, "bundled/node_modules/@a/b/LICENSE", " \n");
    expect(notices).toThrow("@a/b 1.2.3 is bundled, and has no licence file");
    write(project, "bundled/node_modules/@a/b/LICENSE", "Of b.\n");
    expect(notices()).toContain("- @a/b 1.2.3 (MIT), in dist/y.js\n- c 1.2.3 (MIT), in dist/y.js");
    expect(notices()).toMatch(/Of b\.[^]*Of c\./);
  });
});

describe("an empty project", () => {
  test("gets no other package", () => {
    const names = readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith("."));
    expect(names).toEqual(["wasm-rnn"]);
    const lock = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8")) as { packages: object };
    expect(Object.keys(lock.packages)).toEqual(["", "node_modules/wasm-rnn"]);
  });

  test("imports every entry point and trains", async () => {
    const output = await script(
      project,
      `
      import { readFileSync } from "node:fs";
      import { fileURLToPath, pathToFileURL } from "node:url";
      import { Adam, clipGradNorm, crossEntropy, Embedding, Linear, LSTM, tensor } from "wasm-rnn";
      import * as coursera from "wasm-rnn/coursera";
      import * as cs231n from "wasm-rnn/cs231n";
      import { readSafetensors, writeSafetensors } from "wasm-rnn/safetensors";
      ${STEP}
      const losses = Array.from({ length: 20 }, step);
      const { tensors } = readSafetensors(writeSafetensors(lstm.stateDict()));
      lstm.loadStateDict(tensors);
      const column = tensor([[1], [2]]);
      const wasm = ["core.wasm", "core.relaxed.wasm"].map((name) =>
        readFileSync(fileURLToPath(import.meta.resolve("wasm-rnn/" + name))).subarray(0, 4).toString("hex"));
      console.log(JSON.stringify({
        losses: [losses[0], losses.at(-1)],
        softmax: [...coursera.softmax(column).data],
        h: cs231n.rnnStepForward(column, tensor([[0], [0]]), tensor([[1]]), tensor([[1]]), tensor([0])).nextH.data[1],
        keys: Object.keys(tensors),
        wasm,
      }));
    `,
    );
    const { losses, softmax, h, keys, wasm } = JSON.parse(output) as {
      losses: [number, number];
      softmax: number[];
      h: number;
      keys: string[];
      wasm: string[];
    };
    expect(losses[1]).toBeLessThan(losses[0] / 2);
    expect(softmax[0]).toBeCloseTo(1 / (1 + Math.E), 14);
    expect(h).toBeCloseTo(Math.tanh(2), 14);
    expect(keys.sort()).toEqual(["bias_hh_l0", "bias_ih_l0", "weight_hh_l0", "weight_ih_l0"]);
    expect(wasm).toEqual(["0061736d", "0061736d"]);
  });

  test.each(["core.wasm", "core.relaxed.wasm"])("initialize() accepts %s, as bytes and as a module", async (name) => {
    const start = async (given: string) =>
      script(
        project,
        `
          import { readFileSync } from "node:fs";
          import { fileURLToPath, pathToFileURL } from "node:url";
          import { Adam, buildInfo, clipGradNorm, crossEntropy, Embedding, initialize, Linear, LSTM, tensor } from "wasm-rnn";
          const bytes = readFileSync(fileURLToPath(import.meta.resolve("wasm-rnn/${name}")));
          initialize(${given});
          ${STEP}
          console.log(buildInfo().variant, step(), step());
        `,
        RELAXED,
      );
    const outputs = await Promise.all(["bytes", "new WebAssembly.Module(bytes)"].map(start));
    const [variant, first, second] = outputs[0]!.split(" ") as [string, string, string];
    expect(variant).toBe(name === "core.wasm" ? "simd" : "relaxed");
    expect(Number(second)).toBeLessThan(Number(first));
    expect(outputs[1]).toBe(outputs[0]);
  });

  test("runs the command line by npx", async () => {
    const help = await run(project, "npx", ["--offline", "wasm-rnn", "--help"]);
    expect(help.stdout).toMatch(/^Usage: wasm-rnn /);
    for (const command of ["train", "sample", "info"]) expect(help.stdout).toContain(`  ${command} `);
    const version = await run(project, "npx", ["--offline", "wasm-rnn", "--version"]);
    expect(version.stdout.trim()).toBe(manifest.version);
  });

  test("trains and samples by the command line, which contains its dependencies", async () => {
    write(project, "book.txt", "the whale and the sea and the ship ".repeat(100));
    const cli = (...args: string[]) => run(project, process.execPath, [join(installed, "dist/cli.js"), ...args]);
    const sizes = ["--hidden", "8", "--embedding", "4", "--seq", "10", "--batch", "4", "--epochs", "1"];
    await cli("train", "book.txt", ...sizes, "--out", "whale.safetensors");
    const files = ["whale.safetensors", "whale.state.safetensors", "whale.svg"];
    expect(readdirSync(project)).toEqual(expect.arrayContaining(files));
    const { stdout } = await cli("sample", "whale.safetensors", "--prompt", "the ", "--length", "20");
    expect(stdout).toMatch(/^the [a-z ]{20}\n$/);
  });

  test.concurrent.each([
    ["nodenext", "nodenext"],
    ["bundler", "esnext"],
  ])("type-checks under moduleResolution %s", async (moduleResolution, module) => {
    const folder = `types-${moduleResolution}`;
    write(project, `${folder}/app.ts`, TYPESCRIPT);
    write(
      project,
      `${folder}/tsconfig.json`,
      JSON.stringify({
        compilerOptions: {
          strict: true,
          exactOptionalPropertyTypes: true,
          noEmit: true,
          skipLibCheck: false,
          target: "es2022",
          types: [],
          moduleResolution,
          module,
        },
        files: ["app.ts"],
      }),
    );
    await run(project, process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", folder]);
  });
});

describe("a program that runs an LSTM", () => {
  test("compiles the core's module alone", async () => {
    const output = await script(
      project,
      `
      import { Session } from "node:inspector";
      const urls = [];
      const session = new Session();
      session.connect();
      session.on("Debugger.scriptParsed", ({ params }) => urls.push(params.url));
      session.post("Debugger.enable");
      const { LSTM, tensor } = await import("wasm-rnn");
      new LSTM(1, 2).forward(tensor([[[1]]]));
      console.log(JSON.stringify(urls));
    `,
    );
    const urls = JSON.parse(output) as string[];
    expect(urls.filter((url) => url.startsWith("wasm://"))).toHaveLength(1); // the core
  });
});

describe("the wasm modules", () => {
  test.each(["core.wasm", "core.relaxed.wasm"])("%s is valid and has no imports", (name) => {
    const bytes = readFileSync(join(installed, "dist", name));
    expect(WebAssembly.validate(bytes)).toBe(true);
    expect(WebAssembly.Module.imports(new WebAssembly.Module(bytes))).toEqual([]);
  });
});

describe("a host without TextDecoder, TextEncoder, atob, btoa, Buffer, crypto, performance", () => {
  test.each(["simd", "relaxed"])("gives the same results: %s build", async (variant) => {
    const forward = `
      configure({ variant: "${variant}" });
      const lstm = new LSTM(3, 5, { numLayers: 2, seed: 1 });
      const { output } = lstm.forward(tensor([[[1, 2, 3]], [[4, 5, 6]]]));
      const file = writeSafetensors({ ...lstm.stateDict(), "größe": output });
      console.log(String(softmax(readSafetensors(file).tensors["größe"]).data));
    `;
    const poor = script(
      project,
      `
        const names = ["TextDecoder", "TextEncoder", "atob", "btoa", "Buffer", "crypto", "performance"];
        for (const name of names) delete globalThis[name];
        const { configure, LSTM, tensor } = await import("wasm-rnn");
        const { softmax } = await import("wasm-rnn/coursera");
        const { readSafetensors, writeSafetensors } = await import("wasm-rnn/safetensors");
        await import("wasm-rnn/cs231n");
        await import("wasm-rnn/audio");
        const there = names.filter((name) => name in globalThis);
        if (there.length > 0) throw new Error("still there: " + there);
        ${forward}
      `,
      RELAXED,
    );
    const rich = script(
      project,
      `
        import { configure, LSTM, tensor } from "wasm-rnn";
        import { softmax } from "wasm-rnn/coursera";
        import { readSafetensors, writeSafetensors } from "wasm-rnn/safetensors";
        ${forward}
      `,
      RELAXED,
    );
    expect((await poor).split(",")).toHaveLength(10);
    expect(await poor).toBe(await rich);
  });
});

describe("a bundle", () => {
  test("of { LSTM } alone is small, and contains no course, file format, optimizer or command line", async () => {
    const { text, inputs } = await bundle('import { LSTM } from "wasm-rnn"; globalThis.lstm = new LSTM(2, 3);');
    const size = gzipSync(text, { level: 9 }).length;
    console.log(`{ LSTM } bundled and minified ${kilobytes(text.length)}, gzipped ${kilobytes(size)}`);
    expect(size).toBeLessThanOrEqual(MAX_LSTM_GZIPPED);
    expect(inputs.filter((path) => !/wasm-rnn\/dist\/(index|chunks\/[\w-]+)\.js$|^<stdin>$/.test(path))).toEqual([]);
    expect(text).toContain("weight_ih"); // bundling does not change strings: those of unused modules must not be found
    for (const name of [
      "Wax",
      "softmax",
      "safetensors",
      "exp_avg",
      "square_avg",
      "fanIn",
      "cooldown_counter",
      "in_skip",
      "commander",
      "process.",
    ]) {
      expect(text.includes(name), name).toBe(false);
    }
  });

  test("of layers, losses and optimizers brings core and training and no byte of another module; operations and layers bring their own", async () => {
    const app = (from: string) =>
      `import { Adam, logSoftmax, LSTM, mse, softmax, tensor, valueAndGrad } from ${JSON.stringify(from)};
       const lstm = new LSTM(1, 2);
       const x = tensor([[[1]], [[2]]]);
       lstm.backward({ output: mse(lstm.forward(x).output, tensor([1, 2, 3, 4], [2, 1, 2])).dPrediction });
       new Adam(lstm.parameters()).step();
       valueAndGrad(() => mse(softmax(logSoftmax(x)), x), [x]);`;
    /** Of the modules beside the core, those whose digits are in a bundle, as a whole or in part. */
    const modules = ({ text }: { text: string }) =>
      Object.entries({ backward, graph, layers, training }).flatMap(([name, digits]) => {
        const found = halves(digits).filter((each) => text.includes(each)).length;
        return found === 0 ? [] : [found === 2 ? name : `a part of ${name}`];
      });
    expect(modules(await bundle(app("wasm-rnn")))).toEqual(["backward", "training"]);
    const main = join(root, "src/index.ts");
    expect(modules(await bundle(app(main)))).toEqual(["backward", "training"]);
    const uses = async (module: string, name: string) =>
      bundle(`${app(main)} import { ${name} } from ${JSON.stringify(module)}; globalThis.used = ${name};`);
    const derivatives = await uses(join(root, "src/ops/derivatives.ts"), "derivatives");
    expect(derivatives.text).toContain("matmul");
    expect(modules(derivatives)).toEqual(["backward", "training"]);
    expect(modules(await uses(join(root, "src/ops.ts"), "add"))).toEqual(["backward", "graph", "training"]);
    expect(modules(await uses("wasm-rnn/ops", "add"))).toEqual(["backward", "graph", "training"]);
    expect(modules(await uses(main, "Conv1d"))).toEqual(["backward", "layers", "training"]);
  });

  test("of { fromOnnx } alone is small, and contains no derivative and no module but core and graph", async () => {
    const { text } = await bundle('import { fromOnnx } from "wasm-rnn/onnx"; globalThis.read = fromOnnx;');
    const size = gzipSync(text, { level: 9 }).length;
    console.log(`{ fromOnnx } bundled and minified ${kilobytes(text.length)}, gzipped ${kilobytes(size)}`);
    expect(size).toBeLessThanOrEqual(MAX_ONNX_GZIPPED);
    for (const digits of [backward, layers, training]) {
      for (const each of halves(digits)) expect(text.includes(each)).toBe(false);
    }
    for (const name of ["in a call with a gradient", "gradient of the loss", "exp_avg"]) {
      expect(text.includes(name), name).toBe(false);
    }
    expect(readFileSync(join(root, "src/ops/conv.backward.ts"), "utf8")).toContain("in a call with a gradient");
  });

  test("of all entry points runs without any global of the host", async () => {
    const { text } = await bundle(`
      import { LSTM, tensor } from "wasm-rnn";
      import { softmax } from "wasm-rnn/coursera";
      import { rnnStepForward } from "wasm-rnn/cs231n";
      import { writeSafetensors } from "wasm-rnn/safetensors";
      const { output } = new LSTM(1, 2, { seed: 1 }).forward(tensor([[[1]]]));
      globalThis.answer = [typeof rnnStepForward, writeSafetensors({ y: softmax(output) }).length].join(" ");
    `);
    const output = await script(
      project,
      `
      import vm from "node:vm";
      const context = vm.createContext({});
      vm.runInContext(${JSON.stringify(text)}, context);
      console.log(context.answer);
    `,
    );
    expect(output).toMatch(/^function \d+$/);
  });
});

/** Trains a small model; the program must import the names. */
const STEP = `
  const embedding = new Embedding(5, 3, { seed: 1 });
  const lstm = new LSTM(3, 8, { seed: 2 });
  const linear = new Linear(8, 5, { seed: 3 });
  const parameters = [embedding, lstm, linear].flatMap((layer) => layer.parameters());
  const adam = new Adam(parameters, { lr: 0.05 });
  const x = tensor([0, 1, 2, 3, 4, 0, 2, 4], [4, 2], "i32");
  const y = tensor([2, 3, 4, 0, 0, 2, 4, 1], [4, 2], "i32");
  function step() {
    adam.zeroGrad();
    const { output } = lstm.forward(embedding.forward(x).output);
    const { loss, dLogits } = crossEntropy(linear.forward(output).output, y);
    embedding.backward({ output: lstm.backward({ output: linear.backward({ output: dLogits }).x }).x });
    clipGradNorm(parameters, 5);
    adam.step();
    return loss;
  }
`;

/** A program that uses the types correctly and, with @ts-expect-error, wrongly. */
const TYPESCRIPT = `
  import { Adam, configure, crossEntropy, initialize, LSTM, ShapeError, tensor } from "wasm-rnn";
  import type { LSTMOptions, Parameter, Tensor, Variant } from "wasm-rnn";
  import { fromProteus, fromRtneural, type StreamingModel } from "wasm-rnn/audio";
  import { lstmForward, type LstmParameters } from "wasm-rnn/coursera";
  import { rnnForward } from "wasm-rnn/cs231n";
  import { readSafetensors, writeSafetensors } from "wasm-rnn/safetensors";
  import core from "wasm-rnn/core.wasm";
  import relaxed from "wasm-rnn/core.relaxed.wasm";

  initialize(core);
  const other: WebAssembly.Module = relaxed;
  const variant: Variant = "simd";
  configure({ variant });
  const options: LSTMOptions = { numLayers: 2, dtype: "f32", seed: 1 };
  const lstm = new LSTM(3, 4, options);
  const x: Tensor = tensor([[[1, 2, 3]]], undefined, "f32");
  const { output, hn, cn } = lstm.forward(x, { h0: { data: new Float32Array(8), shape: [2, 1, 4] } });
  const total: number = crossEntropy(output, tensor([[1]], [1, 1], "i32")).loss;
  const each: Tensor = crossEntropy(output, tensor([[1]], [1, 1], "i32"), { reduction: "none" }).loss;
  const gradients: { x: Tensor; h0: Tensor; c0: Tensor } = lstm.backward({ output, hn, cn });
  const parameters: Parameter[] = lstm.parameters();
  new Adam(parameters, { lr: 0.1, betas: [0.9, 0.99] }).step();
  const file: Uint8Array = writeSafetensors(lstm.stateDict(), { made: "here" });
  lstm.loadStateDict(readSafetensors(file).tensors);
  const h: Tensor = rnnForward(x, x, x, x, x).h;
  const model: StreamingModel = fromRtneural({}, { dtype: "f32", modules: ["lstm", "tanh"] });
  fromProteus(JSON.parse("{}")).process(new Float32Array(128), new Float32Array(128));
  const frame: Float64Array | Float32Array = model.step([1]);
  const y: Tensor | undefined = lstmForward(x, x, {} as LstmParameters).y;
  const message = (error: unknown): string => (error instanceof ShapeError ? error.argument : "");
  const number: number | undefined = output.data[0];
  export { each, frame, gradients, h, message, number, other, total, y };

  // @ts-expect-error an option that does not exist
  new LSTM(3, 4, { layers: 2 });
  // @ts-expect-error no size
  new LSTM(3);
  // @ts-expect-error a wrong build
  configure({ variant: "fast" });
  // @ts-expect-error a loss that is a number has no shape
  crossEntropy(output, x).loss.shape;
  // @ts-expect-error an internal class is not exported
  import { Arena } from "wasm-rnn";
  // @ts-expect-error internal modules cannot be imported
  import {} from "wasm-rnn/dist/index.js";
`;

// --------------------------------------------------------------------------------------------------------------------

/** Bundles a program of the project for browsers, minified; `inputs` are the files whose code it contains. */
async function bundle(source: string): Promise<{ text: string; inputs: string[] }> {
  const { outputFiles, metafile } = await build({
    stdin: { contents: source, resolveDir: project },
    absWorkingDir: project,
    bundle: true,
    minify: true,
    format: "iife",
    platform: "browser",
    target: "es2022",
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  const [output] = Object.values(metafile.outputs);
  const inputs = Object.entries(output!.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  return { text: outputFiles[0]!.text, inputs: inputs.map(([path]) => path) };
}
