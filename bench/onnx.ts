// Models from ONNX files: time of a frame beside ONNX Runtime, start-up, and sizes of apps. `npm run bench:onnx`, or
// `npm run bench:onnx -- --help`.

import { createRequire } from "node:module";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Command } from "commander";
import { build } from "esbuild";
import type * as Ort from "onnxruntime-common";
import { installedVersion, installPinned } from "../scripts/pinned.js";
import { launch, locateBrowser, missingBrowser, serveFolder, visit } from "../tests/helpers/browser.js";
import { describeMachine, median, runWith, showTime, thisMachine, write, type Machine } from "./common.js";
import type { Orders } from "./onnx/page.js";
import { tasks, type Measured } from "./onnx/tasks.js";
import { measure, onnxRuntime, ours, oursStreamed, ratio, type Contestant, type Times } from "./onnx/turns.js";
import { bundleApp, gzippedSize, startTimes } from "./start.js";

const options = new Command("bench:onnx")
  .description("Measures models from ONNX files beside ONNX Runtime, each on one thread, in turns")
  .option("--node <path>", "run with another node binary")
  .option("--browser", "measure frames in Chromium, too")
  .option("--only <words>", "models with these words in their names")
  .option("--rounds <n>", "rounds, in each of which all run", Number, 9)
  .option("--ms <n>", "milliseconds of each in a round", Number, 200)
  .option("--runs <n>", "fresh processes of each, interleaved", Number, 15)
  .option("--toy", "a frame of each, installed peers only, to check that it works")
  .option("--out <file>", "file to write the figures to, as JSON", "bench/results/onnx.json")
  .parse()
  .opts<{
    node?: string;
    browser?: boolean;
    only?: string;
    rounds: number;
    ms: number;
    runs: number;
    toy?: boolean;
    out: string;
  }>();

/** Frames of a model on one host. */
export interface FrameRow {
  readonly host: string;
  readonly model: string;
  readonly frame: string;
  /** Median times of a frame in microseconds: "ours" by run, "stream", "web", "node". */
  readonly us: Readonly<Record<string, number>>;
  /** By the time of a peer: "ours/web", "stream/node" ... Medians of the rounds, in each of which all ran. */
  readonly ratios: Readonly<Record<string, number>>;
  /** The most that the ratio to each peer may be. */
  readonly most: Measured["most"];
  /** How far outputs are from the reference's, by the largest number. */
  readonly difference: Readonly<Record<string, number>>;
}

/** A figure and what it may be at most, where it is bounded. */
export interface Bounded {
  readonly name: string;
  readonly value: number;
  readonly most?: number;
}

export interface OnnxResult {
  readonly machine: Machine;
  /** Of the peers that are installed. */
  readonly versions: Readonly<Record<string, string>>;
  readonly frames: readonly FrameRow[];
  /** Milliseconds from a fresh process to the first output of Silero VAD, above node that does nothing. */
  readonly starts: readonly Bounded[];
  /** Bytes of apps, gzipped, without models. */
  readonly sizes: readonly Bounded[];
}

runWith(options.node, "bench/onnx.ts");

const FOLDER = "tests/onnxruntime";
if (!options.toy) installPinned(FOLDER);
const [rounds, ms, runs] = options.toy ? [1, 0, 1] : [options.rounds, options.ms, options.runs];
const versions = Object.fromEntries(
  ["onnxruntime-web", "onnxruntime-node"].flatMap((name) => {
    const version = installedVersion(FOLDER, name);
    return version === undefined ? [] : [[name, version]];
  }),
);
const all = tasks().filter(({ name }) => name.toLowerCase().includes((options.only ?? "").toLowerCase()));
const percent = (value: number) => `${(100 * value).toFixed(0)}%`;

const result: OnnxResult = {
  machine: thisMachine(),
  versions,
  frames: [...(await inNode()), ...(options.browser ? await inChromium() : [])],
  starts: starts(),
  sizes: await sizes(),
};
console.log(describeMachine(result.machine));
for (const host of new Set(result.frames.map((row) => row.host))) printFrames(host);
for (const { name, value, most } of result.starts) {
  console.log(`${name}: first output of Silero VAD ${value.toFixed(1)} ms above bare node${bound(value, most)}`);
}
for (const { name, value, most } of result.sizes) console.log(`${name}: ${value} bytes gzipped${bound(value, most)}`);
write(options.out, result);

function bound(value: number, most: number | undefined): string {
  return most === undefined ? "" : `, at most ${most}: ${value <= most ? "met" : "NOT MET"}`;
}

/** A table: times of a frame, ratios to each peer, and the bound of the better of ours. */
function printFrames(host: string): void {
  console.log(`\nFrames, ${host}`);
  for (const { model, frame, us, ratios, most, difference } of result.frames.filter((row) => row.host === host)) {
    const times = Object.entries(us).map(([name, time]) => `${name} ${showTime(time)}`);
    console.log(`  ${model} (${frame}): ${times.join(", ")}`);
    for (const peer of ["web", "node"] as const) {
      if (us[peer] === undefined) continue;
      const [run, stream] = [ratios[`ours/${peer}`]!, ratios[`stream/${peer}`]!];
      const met = Math.min(run, stream) <= most[peer] ? "met" : "NOT MET";
      console.log(
        `    of ${peer}: run ${percent(run)}, stream ${percent(stream)}, at most ${percent(most[peer])}: ${met}`,
      );
    }
    const far = Object.entries(difference).filter(([, each]) => each > 1e-4);
    for (const [name, each] of far)
      console.log(`    ${name}: outputs are ${each.toExponential(1)} away from the peer's`);
  }
}

function rowOf(host: string, { name: model, frame, most }: Measured, times: Times): FrameRow {
  const names = Object.keys(times.us);
  const pairs = ["ours", "stream"].flatMap((own) =>
    ["web", "node"].filter((peer) => names.includes(peer)).map((peer) => [own, peer] as const),
  );
  return {
    host,
    model,
    frame,
    us: Object.fromEntries(names.map((name) => [name, median(times.us[name]!)])),
    ratios: Object.fromEntries(pairs.map(([own, peer]) => [`${own}/${peer}`, ratio(times, own, peer)])),
    most,
    difference: times.difference,
  };
}

async function inNode(): Promise<FrameRow[]> {
  const require = createRequire(resolve(FOLDER, "index.js"));
  const contestants: Record<string, Contestant> = { ours, stream: oursStreamed };
  // onnxruntime-node first: both register "cpu" with the same onnxruntime-common, where the first that comes stays
  const peers = { node: ["onnxruntime-node", "cpu"], web: ["onnxruntime-web", "wasm"] } as const;
  for (const [short, [name, provider]] of Object.entries(peers)) {
    if (versions[name] !== undefined) contestants[short] = onnxRuntime(require(name) as typeof Ort, provider);
  }
  const rows: FrameRow[] = [];
  for (const task of all) {
    rows.push(rowOf(`Node ${process.versions.node}`, task, await measure(task, readFileSync, contestants, rounds, ms)));
  }
  return rows;
}

async function inChromium(): Promise<FrameRow[]> {
  const executable = locateBrowser("Chromium");
  if (executable === undefined) throw new Error(missingBrowser("Chromium"));
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-onnx-"));
  const modules = resolve(FOLDER, "node_modules");
  try {
    await build({
      entryPoints: ["bench/onnx/page.ts"],
      bundle: true,
      format: "esm",
      target: "es2022",
      outdir: folder,
      alias: { "onnxruntime-common": join(modules, "onnxruntime-web/dist/ort.wasm.min.mjs") },
      logLevel: "error",
    });
    cpSync(join(modules, "onnxruntime-web/dist"), join(folder, "ort"), { recursive: true });
    const files = new Map(
      all.flatMap(({ graphs }) => graphs.map(({ file }) => file)).map((file, i) => [file, `${i}.onnx`]),
    );
    for (const [file, name] of files) cpSync(file, join(folder, name));
    const renamed = all.map((task) => ({
      ...task,
      graphs: task.graphs.map((graph) => ({ ...graph, file: files.get(graph.file)! })),
    }));
    writeFileSync(join(folder, "orders.json"), JSON.stringify({ tasks: renamed, rounds, ms } satisfies Orders));
    writeFileSync(
      join(folder, "index.html"),
      '<!doctype html><pre id="result"></pre><script type="module" src="page.js"></script>',
    );
    const server = await serveFolder(folder);
    const browser = await launch("Chromium", executable);
    try {
      const { result } = await visit<Times[]>(browser, server, "");
      const version = (await browser.version()).replace("HeadlessChrome/", "Chromium ");
      return result.map((times, i) => rowOf(version, all[i]!, times));
    } finally {
      await browser.close();
      await server.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Silero VAD from its file to its first output. */
function starts(): Bounded[] {
  const silero = all.find(({ name }) => name.startsWith("Silero VAD v"));
  if (silero === undefined) return [];
  const file = JSON.stringify(resolve(silero.graphs[0]!.file));
  const onnx = (name: string, provider: string) => `
    import * as ort from "${name}";
    import { readFileSync } from "node:fs";
    ort.env.wasm.numThreads = 1;
    const options = { executionProviders: ["${provider}"], intraOpNumThreads: 1, interOpNumThreads: 1 };
    const session = await ort.InferenceSession.create(readFileSync(${file}), options);
    const zeros = (...dims) => new ort.Tensor("float32", new Float32Array(dims.reduce((a, b) => a * b)), dims);
    const sr = new ort.Tensor("int64", [16000n], []);
    await session.run({ input: zeros(1, 576), state: zeros(2, 1, 128), sr });`;
  const own = `
    import { readFileSync } from "node:fs";
    import { fromOnnx } from "wasm-rnn/onnx";
    const zeros = (...shape) => ({ data: new Float32Array(shape.reduce((a, b) => a * b)), shape });
    const sr = { data: BigInt64Array.of(16000n), shape: [] };
    fromOnnx(readFileSync(${file})).run({ input: zeros(1, 576), state: zeros(2, 1, 128), sr });`;
  const programs = [
    { name: "wasm-rnn/onnx", code: own, folder: ".", most: 30 },
    { name: "wasm-rnn/ort", code: onnx("wasm-rnn/ort", "wasm"), folder: "." },
    ...Object.keys(versions).map((name) => ({
      name,
      code: onnx(name, name.endsWith("web") ? "wasm" : "cpu"),
      folder: FOLDER,
    })),
  ];
  const [bare, ...times] = startTimes(programs, runs);
  return programs.map(({ name, most }: { name: string; most?: number }, i) => ({
    name,
    value: times[i]! - bare,
    most,
  }));
}

async function sizes(): Promise<Bounded[]> {
  const apps: (Omit<Bounded, "value"> & { code: string; wasm?: string })[] = [
    {
      name: "app that runs a file by wasm-rnn/onnx",
      code: `
        import { fromOnnx } from "wasm-rnn/onnx";
        globalThis.run = (bytes, feeds) => fromOnnx(bytes).run(feeds);
        globalThis.stream = (bytes, carry) => fromOnnx(bytes).stream({ carry });`,
      most: 90_000,
    },
    {
      name: "app that runs a file by wasm-rnn/ort",
      code: `
        import * as ort from "wasm-rnn/ort";
        globalThis.run = async (path, data, dims) =>
          (await ort.InferenceSession.create(path)).run({ input: new ort.Tensor("float32", data, dims) });`,
      most: 110_000,
    },
    {
      name: "app with an LSTM",
      code: 'import { LSTM } from "wasm-rnn"; globalThis.lstm = new LSTM(2, 3);',
      most: 40_000,
    },
  ];
  const own = await Promise.all(
    apps.map(async ({ code, ...app }) => ({ ...app, value: gzippedSize(await bundleApp({ code, folder: "." })) })),
  );
  if (versions["onnxruntime-web"] === undefined) return own;
  const code =
    'import * as ort from "onnxruntime-web/wasm"; globalThis.run = (path) => ort.InferenceSession.create(path);';
  const wasm = readFileSync(join(FOLDER, "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm"));
  const value = gzippedSize(await bundleApp({ code, folder: FOLDER })) + gzippedSize(wasm);
  return [...own, { name: "app that runs a file by onnxruntime-web/wasm", value }];
}
