// Start-up: time of a fresh process up to its first result, and size of an app's bundle, beside peers.
// `npm run bench:import`, or `npm run bench:import -- --help`.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { CASES, TOY } from "./cases.js";
import { describeMachine, runWith, thisMachine, write, type Machine } from "./common.js";
import { draw } from "./draw.js";
import { installPeers, packageVersion } from "./peers/contestants.js";
import { lstmModel } from "./peers/onnx-model.js";
import { bundleApp, gzippedSize, startTimes } from "./start.js";

const options = new Command("bench:import")
  .description("Measures start-up and bundle sizes beside peers")
  .option("--node <path>", "run with another node binary")
  .option("--runs <n>", "processes of each, interleaved", (text) => Number(text), 15)
  .option("--toy", "one process of each, installed peers only, to check that it works")
  .option("--no-peers", "as if no peer were installed")
  .option("--out <file>", "file to write the figures to, as JSON", "bench/results/import.json")
  .parse()
  .opts<{ node?: string; runs: number; toy?: boolean; peers: boolean; out: string }>();

/** Start of a fresh process. */
export interface Start {
  name: string;
  /** What it does. */
  does: string;
  /** Median time until it exits, in milliseconds, and the difference to `node -e ""`. */
  ms?: number;
  above?: number;
  runs?: number;
  cannot?: string;
}

/** An app of one LSTM, bundled and minified for browsers. */
export interface Bundle {
  name: string;
  /** Bytes of the JavaScript, of the wasm file that it fetches, and of both gzipped. */
  js?: number;
  wasm?: number | "inside" | "none";
  gzipped?: number;
  cannot?: string;
}

export interface ImportResult {
  machine: Machine;
  versions: Record<string, string>;
  starts: Start[];
  bundles: Bundle[];
}

runWith(options.node, "bench/import.ts");
if (options.peers && !options.toy) installPeers();

const { N, T, D, H } = options.toy ? { ...TOY, N: 1 } : CASES.tiny!;
const NOT_INSTALLED = "not installed: npm run bench:import installs it";
const FIRST = `first output of an LSTM, f32, N=${N} T=${T} D=${D} H=${H}`;
const tfjs = (setUp: string) => `
  ${setUp}
  const x = tf.zeros([${N}, ${T}, ${D}]);
  const options = { units: ${H}, returnSequences: true, recurrentActivation: "sigmoid", recurrentInitializer: "glorotUniform" };
  tf.layers.lstm(options).apply(x).dataSync();`;
const onnx = (name: string, provider: string) => `
  import * as ort from "${name}";
  import { readFileSync } from "node:fs";
  ort.env.wasm.numThreads = 1;
  const options = { executionProviders: ["${provider}"], intraOpNumThreads: 1, interOpNumThreads: 1 };
  const session = await ort.InferenceSession.create(readFileSync(process.env.LSTM_ONNX), options);
  const zeros = (...dims) => new ort.Tensor("float32", new Float32Array(dims.reduce((a, b) => a * b)), dims);
  const state = () => zeros(1, ${N}, ${H});
  await session.run({ X: zeros(${T}, ${N}, ${D}), initial_h: state(), initial_c: state() });`;

/** Code of the fresh processes; peers come from bench/node_modules. */
const STARTS: { name: string; needs?: string; does: string; code: string }[] = [
  {
    name: "wasm-rnn",
    does: FIRST,
    code: `
      import { LSTM } from "wasm-rnn";
      const x = { data: new Float32Array(${N * T * D}), shape: [${T}, ${N}, ${D}] };
      new LSTM(${D}, ${H}, { dtype: "f32" }).eval().forward(x);`,
  },
  {
    name: "@tensorflow/tfjs cpu",
    needs: "@tensorflow/tfjs",
    does: FIRST,
    code: tfjs(`import * as tf from "@tensorflow/tfjs"; await tf.setBackend("cpu");`),
  },
  {
    name: "@tensorflow/tfjs wasm",
    needs: "@tensorflow/tfjs-backend-wasm",
    does: FIRST,
    code: tfjs(`
      import * as tf from "@tensorflow/tfjs";
      import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
      setWasmPaths("node_modules/@tensorflow/tfjs-backend-wasm/dist/");
      setThreadsCount(1);
      await tf.setBackend("wasm");`),
  },
  { name: "onnxruntime-web", needs: "onnxruntime-web", does: FIRST, code: onnx("onnxruntime-web", "wasm") },
  { name: "onnxruntime-node", needs: "onnxruntime-node", does: FIRST, code: onnx("onnxruntime-node", "cpu") },
  {
    name: "brain.js",
    needs: "brain.js",
    does: "import alone: it runs no LSTM before training",
    code: `import "brain.js";`,
  },
];

/** Apps with one LSTM, which can be trained if the peer can train. */
const BUNDLES: { name: string; needs?: string; code: string; wasm: string }[] = [
  { name: "wasm-rnn", code: `import { LSTM } from "wasm-rnn"; globalThis.lstm = new LSTM(2, 3);`, wasm: "inside" },
  {
    name: "@tensorflow/tfjs wasm",
    needs: "@tensorflow/tfjs-backend-wasm",
    code: `
      import { setBackend, variableGrads } from "@tensorflow/tfjs-core";
      import { layers } from "@tensorflow/tfjs-layers";
      import "@tensorflow/tfjs-backend-wasm";
      globalThis.lstm = setBackend("wasm").then(() => [layers.lstm({ units: 3 }), variableGrads]);`,
    wasm: "@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm",
  },
  {
    name: "onnxruntime-web",
    needs: "onnxruntime-web",
    code: `import { InferenceSession } from "onnxruntime-web/wasm"; globalThis.lstm = InferenceSession.create("lstm.onnx");`,
    wasm: "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
  },
  {
    name: "brain.js",
    needs: "brain.js",
    code: `import { recurrent } from "brain.js"; globalThis.lstm = new recurrent.LSTMTimeStep({ inputSize: 2 });`,
    wasm: "none",
  },
];

const PEERS = "bench";
const missing = (needs?: string) => needs !== undefined && !(options.peers && packageVersion(needs) !== undefined);
const names = new Set(
  [...STARTS, ...BUNDLES].flatMap(({ needs }) => (needs === undefined || missing(needs) ? [] : needs)),
);
const versions = Object.fromEntries([...names].map((name) => [name, packageVersion(name)!]));
const result: ImportResult = { machine: thisMachine(), versions, starts: await starts(), bundles: [] };
for (const bundle of BUNDLES) result.bundles.push(await measure(bundle));

console.log(describeMachine(result.machine));
for (const { name, does, ms, above, cannot } of result.starts) {
  console.log(`${name.padEnd(22)} ${cannot ?? `${ms!.toFixed(0)} ms, ${above!.toFixed(0)} above bare node: ${does}`}`);
}
for (const { name, js, wasm, gzipped, cannot } of result.bundles) {
  console.log(`${name.padEnd(22)} ${cannot ?? `bundle ${js} + wasm ${wasm} bytes, gzipped ${gzipped}`}`);
}
write(options.out, result);

/** Starts all of them, interleaved. */
async function starts(): Promise<Start[]> {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-import-"));
  try {
    const model = join(folder, "lstm.onnx");
    if (!missing("onnx-proto")) {
      const shapes = { weightIh: [4 * H, D], weightHh: [4 * H, H], biasIh: [4 * H], biasHh: [4 * H] };
      const weights = Object.entries(shapes).map(([name, shape]) => [name, draw("f32", ...shape).data as Float32Array]);
      writeFileSync(model, await lstmModel(D, H, Object.fromEntries(weights) as Parameters<typeof lstmModel>[2]));
    }
    const env = { ...process.env, LSTM_ONNX: model };
    const there = STARTS.filter(({ needs }) => !missing(needs));
    const runs = options.toy ? 1 : options.runs;
    const programs = there.map(({ code, needs }) => ({ code, folder: needs === undefined ? "." : PEERS }));
    const [base, ...times] = startTimes(programs, runs, env);
    return [
      { name: "node", does: 'nothing: -e ""', ms: base, above: 0, runs },
      ...STARTS.map((start) => {
        const { name, does } = start;
        if (missing(start.needs)) return { name, does, cannot: NOT_INSTALLED };
        const ms = times[there.indexOf(start)]!;
        return { name, does, ms, above: ms - base, runs };
      }),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Bundles as tests/hosts/package.test.ts does. */
async function measure({ name, needs, code, wasm }: (typeof BUNDLES)[number]): Promise<Bundle> {
  if (missing(needs)) return { name, cannot: NOT_INSTALLED };
  const js = await bundleApp({ code, folder: needs ? PEERS : "." });
  if (wasm === "inside" || wasm === "none") return { name, js: js.length, wasm, gzipped: gzippedSize(js) };
  const fetched = readFileSync(join(PEERS, "node_modules", wasm));
  return { name, js: js.length, wasm: fetched.length, gzipped: gzippedSize(js) + gzippedSize(fetched) };
}
