// @ricky0123/vad-web, which runs Silero VAD on onnxruntime-web, on wasm-rnn/ort by one line of a bundler's configuration: in
// Chromium it finds the same speech. `npm test` builds dist/ first.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CSP, findBrowser, launch, serveFolder, STRICT, visit, type Visit } from "../helpers/browser.js";
import { bundle, BUNDLERS, type Bundler } from "../helpers/bundlers.js";
import { installOrReport } from "../helpers/installed.js";
import { installedFile, installOnnxRuntime } from "../helpers/onnxruntime.js";
import { install, kilobytes, pack, write } from "../helpers/project.js";
import { speeches } from "../helpers/speech.js";

const MAX_GZIPPED = 120_000; // 110 kB of wasm-rnn/ort, and vad-web

const MODELS = ["legacy", "v5", "v6"] as const;

/** What an app tells of a recording: probabilities of speech, and events with the frame that they came at. */
interface Found {
  readonly probabilities: readonly number[];
  readonly events: readonly string[];
}

/** By the model and the recording; "file" stands for vad-web's reader of whole recordings. */
type Result = Record<string, Found>;

/** The app: vad-web on each recording, frame by frame as its worklet hands them on, and as a whole. */
const APP = `
  import { MicVAD, NonRealTimeVAD } from "@ricky0123/vad-web";

  const OPTIONS = { redemptionMs: 250, minSpeechMs: 150, preSpeechPadMs: 64, submitUserSpeechOnPause: true };
  const paths = new URL("ort/", location.href).href;
  const ortConfig = (ort) => {
    ort.env.logLevel = "error";
    ort.env.wasm.wasmPaths = paths;
  };

  async function live(model, audio) {
    const probabilities = [];
    const events = [];
    const tell = (event) => (audio) => { events.push([probabilities.length, event, audio?.length].join(" ")); };
    const vad = await MicVAD.new({
      ...OPTIONS,
      model,
      startOnLoad: false,
      ortConfig,
      onnxWASMBasePath: paths,
      onFrameProcessed: ({ isSpeech }) => { probabilities.push(isSpeech); },
      onSpeechStart: tell("start"),
      onSpeechRealStart: tell("real start"),
      onSpeechEnd: tell("end"),
      onVADMisfire: tell("misfire"),
    });
    vad.frameProcessor.resume();
    for (let i = 0; i + vad.frameSamples <= audio.length; i += vad.frameSamples) {
      await vad.processFrame(audio.slice(i, i + vad.frameSamples));
    }
    await vad.model.release();
    return { probabilities, events };
  }

  async function whole(audio) {
    const events = [];
    const modelURL = "silero_vad_legacy.onnx";
    const vad = await NonRealTimeVAD.new({ ...OPTIONS, modelURL, ortConfig });
    for await (const { start, end, audio: { length } } of vad.run(audio, 16000)) events.push([start, end, length].join(" "));
    return { probabilities: [], events };
  }

  async function run() {
    const result = {};
    for (const name of await (await fetch("recordings.json")).json()) {
      const audio = new Float32Array(await (await fetch(name + ".f32")).arrayBuffer());
      for (const model of ${JSON.stringify(MODELS)}) result[model + ", " + name] = await live(model, audio);
      result["file, " + name] = await whole(audio);
    }
    return result;
  }

  run()
    .catch((error) => ({ error: String(error.stack ?? error) }))
    .then((result) => { document.querySelector("#result").textContent = JSON.stringify(result); });
`;

const html = (src: string) => `<!doctype html>
  <html lang="en">
    <head><meta charset="utf-8" /><title>Voice activity</title></head>
    <body><pre id="result"></pre><script type="module" src="${src}"></script></body>
  </html>
`;

const [vite, webpack, esbuild] = BUNDLERS as [Bundler, Bundler, Bundler];
const CONFIGURATION = 'export default { resolve: { alias: { "onnxruntime-web": "wasm-rnn/ort" } } };';
const executable = findBrowser("Chromium");
const ready = executable !== undefined && installOrReport("tests/bundlers") && installOnnxRuntime();

describe.runIf(ready)("vad-web in Chromium", () => {
  const recordings = speeches();
  let folder: string;
  let tarball: string;
  let browser: Browser;
  let reference: Result;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wasm-rnn-vad-"));
    tarball = (await pack(folder)).path;
    browser = await launch("Chromium", executable!);
    reference = (await open(await make("onnxruntime-web", esbuild))).result;
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** An app as it is built by the bundler. Returns the folder of the built site. */
  async function make(name: string, bundler: Bundler, files: Record<string, string> = {}): Promise<string> {
    const project = join(folder, name);
    const modules = join(project, "node_modules");
    mkdirSync(project);
    await install(project, tarball);
    cpSync(installedFile("@ricky0123"), join(modules, "@ricky0123"), { recursive: true });
    symlinkSync(installedFile("onnxruntime-web"), join(modules, "onnxruntime-web"));
    for (const [path, text] of Object.entries({ "src/index.js": APP, "index.html": html("src/index.js"), ...files })) {
      write(project, path, text);
    }
    await bundle(bundler, project);
    if (!bundler.html) write(project, "dist/index.html", html("main.js"));
    const site = join(project, "dist");
    write(site, "recordings.json", JSON.stringify([...recordings.keys()]));
    for (const [recording, audio] of recordings) writeFileSync(join(site, `${recording}.f32`), audio);
    for (const model of MODELS) {
      cpSync(installedFile(`@ricky0123/vad-web/dist/silero_vad_${model}.onnx`), join(site, `silero_vad_${model}.onnx`));
    }
    return site;
  }

  async function open(site: string, headers?: Record<string, string>): Promise<Visit<Result>> {
    if (headers === undefined) symlinkSync(installedFile("onnxruntime-web/dist"), join(site, "ort"));
    const server = await serveFolder(site, headers);
    try {
      const found = await visit<Result>(browser, server, "");
      expect(found.result.error).toBeUndefined();
      return found;
    } finally {
      await server.close();
    }
  }

  test("on onnxruntime-web, the reference, finds phrases with pauses", () => {
    expect(Object.keys(reference)).toHaveLength(4 * recordings.size);
    for (const model of MODELS) {
      const { events, probabilities } = reference[`${model}, a synthetic voice`]!;
      expect(events.filter((event) => event.includes("end"))).toHaveLength(3);
      expect(Math.min(...probabilities)).toBeLessThan(0.1);
      expect(Math.max(...probabilities)).toBeGreaterThan(0.9);
    }
    expect(reference["file, a synthetic voice"]!.events).toHaveLength(3);
  });

  test.each([
    ["esbuild", { ...esbuild, command: [...esbuild.command, "--alias:onnxruntime-web=wasm-rnn/ort"] }, {}],
    ["vite", vite, { "vite.config.js": CONFIGURATION }],
    ["webpack", webpack, { "webpack.config.js": CONFIGURATION }],
  ])("on wasm-rnn/ort, by an alias for %s, finds the same", async (name, bundler, files) => {
    const site = await make(name, bundler, files);
    const scripts = readdirSync(site, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".js"));
    const text = scripts.map((path) => readFileSync(join(site, path), "utf8")).join("\n");
    const gzipped = gzipSync(text, { level: 9 }).length;
    console.log(`vad-web on wasm-rnn/ort by ${name}: ${kilobytes(text.length)}, gzipped ${kilobytes(gzipped)}`);
    expect(gzipped).toBeLessThan(MAX_GZIPPED);
    const { result, requests, problems } = await open(site, { [CSP]: STRICT });
    expect(problems.filter((text) => !text.startsWith("console.log: VAD | debug"))).toEqual([]);
    expect(requests.filter((path) => !/\.(js|onnx|f32|json)$/.test(path))).toEqual([""]);
    expect(Object.keys(result)).toEqual(Object.keys(reference));
    for (const [what, { events, probabilities }] of Object.entries(result)) {
      expect(events, what).toEqual(reference[what]!.events);
      const differences = probabilities.map((p, i) => Math.abs(p - reference[what]!.probabilities[i]!));
      expect(probabilities, what).toHaveLength(reference[what]!.probabilities.length);
      expect(Math.max(0, ...differences), what).toBeLessThan(1e-4);
    }
  });
});
