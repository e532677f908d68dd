// The page of examples/speech: in Chromium with a microphone that plays a file, in Chromium and Firefox with the synthetic voice; its
// models beside recorded numbers; and what its audio worklet allocates. `npm test` builds dist/ first. Set PAGE_SCREENSHOTS to a
// folder to get screenshots.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BLOCK, DELAY, Denoiser } from "../../examples/speech/denoiser.js";
import { Detector, FRAME, SAMPLE_RATE } from "../../examples/speech/detector.js";
import { segmentsOf } from "../../examples/speech/segments.js";
import { recording } from "../../examples/speech/voice.js";
import { buildSpeechPage, wav } from "../../scripts/speech.js";
import { readSafetensors } from "../../src/safetensors.js";
import { findBrowser, launch, serveFolder, visit, watch, type BrowserName, type Server } from "../helpers/browser.js";
import { modelsDirectory, noModels, type Bounds } from "../helpers/onnx.js";
import { installedFile, installOnnxRuntime } from "../helpers/onnxruntime.js";
import { root, run } from "../helpers/project.js";

const ready = installOnnxRuntime();
const hasDtln = existsSync(join(modelsDirectory, "dtln-1"));
const silero = (version: string) => readFileSync(installedFile(`@ricky0123/vad-web/dist/silero_vad_${version}.onnx`));
const dtln = () =>
  [1, 2].map((i) => readFileSync(join(modelsDirectory, `dtln-${i}/model_${i}.onnx`))) as [Buffer, Buffer];

/** When the synthetic voice speaks, in seconds. */
const PHRASES = [
  [1, 2.5],
  [3.5, 4.5],
  [5.5, 7.5],
] as const;

function expectPhrases(found: readonly (readonly [number, number])[]): void {
  expect(found).toHaveLength(PHRASES.length);
  for (const [i, [start, end]] of PHRASES.entries()) {
    expect(Math.abs(found[i]![0] - start)).toBeLessThan(0.25);
    expect(Math.abs(found[i]![1] - end)).toBeLessThan(0.35);
  }
}

/** Blocks of an audio worklet. */
function* blocksOf(samples: Float32Array): Generator<Float32Array> {
  for (let at = 0; at + BLOCK <= samples.length; at += BLOCK) yield samples.slice(at, at + BLOCK);
}

describe.runIf(ready)("the models of the page", () => {
  test.each(["v5", "v6"])("Silero VAD %s tells the phrases of the synthetic voice from noise", (version) => {
    const detector = new Detector(silero(version));
    const probabilities: number[] = [];
    for (const block of blocksOf(recording(SAMPLE_RATE))) {
      if (detector.push(block)) probabilities.push(detector.probability);
    }
    expectPhrases(segmentsOf(probabilities).map(({ start, end }) => [start, end]));
    const noise = probabilities.slice(0, Math.floor((0.9 * SAMPLE_RATE) / FRAME));
    expect(Math.max(...noise)).toBeLessThan(0.1);
  });

  test("DTLN's output is what was recorded", (context) => {
    if (!hasDtln) context.skip(noModels);
    const chain = join(modelsDirectory, "dtln-chain");
    const { tolerance } = JSON.parse(readFileSync(join(chain, "cases.json"), "utf8")) as { tolerance: Bounds };
    const { tensors } = readSafetensors(readFileSync(join(chain, "cases.safetensors")));
    const [input, wanted] = [tensors["in.0.wav"]!.data as Float32Array, tensors["out.0.wav"]!.data as Float64Array];
    const denoiser = new Denoiser(dtln());
    const output = new Float32Array(BLOCK);
    const got: number[] = [];
    for (const block of blocksOf(input)) {
      denoiser.process(block, output);
      got.push(...output);
    }
    const largest = wanted.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
    expect(largest).toBeGreaterThan(0.01);
    for (let i = 0; i < wanted.length - DELAY; i++) {
      expect(Math.abs(got[i]! - wanted[i]!)).toBeLessThanOrEqual(tolerance.abs + tolerance.rel * largest);
    }
  });

  test("in Node, a block allocates nothing: neither in the JS heap nor in wasm memory", async () => {
    const program = ["--import", "tsx", "tests/helpers/speech-loop.ts", ...(hasDtln ? [modelsDirectory] : [])];
    const { stdout } = await run(root, process.execPath, program);
    const { blocks, bytes, wasm } = JSON.parse(stdout) as Record<"blocks" | "bytes" | "wasm", number>;
    expect(wasm).toBe(0);
    console.log(
      `Node: ${(bytes / blocks).toFixed(3)} bytes of JS heap a block, with ${hasDtln ? "both models" : "Silero VAD alone"}`,
    );
    expect(bytes / blocks).toBeLessThan(12); // the smallest object: some calls box a number before V8 has compiled them
  });
});

describe.each<BrowserName>(["Chromium", "Firefox"])("in %s", (name) => {
  const executable = findBrowser(name);
  if (executable === undefined || !ready) return;

  let folder: string;
  let server: Server;
  let browser: Browser;
  let page: Page;
  let watched: ReturnType<typeof watch>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wasm-rnn-speech-"));
    await buildSpeechPage(join(folder, "page"), hasDtln ? modelsDirectory : undefined);
    await buildWorklet(join(folder, "page"));
    const sound = join(folder, "microphone.wav");
    writeFileSync(sound, wav(recording(SAMPLE_RATE)));
    server = await serveFolder(join(folder, "page"));
    const fake = ["ui-for-media-stream", "device-for-media-stream"].map((each) => `--use-fake-${each}`);
    browser = await launch(
      name,
      executable,
      name === "Chromium" ? [...fake, `--use-file-for-fake-audio-capture=${sound}`] : [],
    );
    page = await browser.newPage();
    watched = watch(page, server);
    await page.setViewport({ width: 1280, height: 1000 });
    await page.goto(server.url);
    await page.waitForFunction(() => document.querySelector("#status")!.textContent.startsWith("Ready"), {
      timeout: 60_000,
    });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const text = (selector: string) => page.$eval(selector, (element) => element.textContent);
  const shows = (selector: string, pattern: RegExp) =>
    expect.poll(() => text(selector), { timeout: 60_000 }).toMatch(pattern);
  const number = async (selector: string) => Number.parseFloat((await text(selector)).replace("−", "-"));

  async function shot(what: string): Promise<void> {
    const { PAGE_SCREENSHOTS: pictures } = process.env;
    if (pictures) await page.screenshot({ path: join(pictures, `speech-${what}-${name}.png`), fullPage: true });
  }

  /** Stretches of speech that the page lists. */
  const segments = () =>
    page.$$eval("#segments li", (items) =>
      items.map((item) => item.textContent.match(/[\d.]+/g)!.map(Number) as [number, number]),
    );

  test("a recording: its phrases, the noise between them, and the load", async () => {
    expectPhrases(await segments());
    expect(await number("#detecting")).toBeGreaterThan(0);
    expect(await number("#detecting")).toBeLessThan(50);
    if (hasDtln) {
      expect(await number("#denoising")).toBeLessThan(100);
      expect(await number("#suppressed")).toBeLessThan(-10);
    } else expect(await page.$("#denoising")).toBeNull();
    await page.click("#start");
    await shows("#status", /^It plays/);
    await shot("recording");
    await page.click("#start");
    await shows("#status", /^Played/);
    expect(watched.problems).toEqual([]);
    expect(watched.elsewhere.filter((address) => !address.startsWith("data:"))).toEqual([]);
  });

  test.runIf(name === "Chromium")("a microphone, as it comes: speech is seen, heard after and before", async () => {
    await page.select("#source", "microphone");
    await shows("#status", /^Ready to listen/);
    expect(await segments()).toEqual([]); // those of the recording are gone
    await page.click("#start");
    await shows("#status", /^Listening/);
    await expect.poll(() => number("#probability"), { timeout: 30_000, interval: 20 }).toBeGreaterThan(0.9);
    await expect.poll(async () => (await segments()).length, { timeout: 30_000 }).toBeGreaterThan(1);
    await expect.poll(() => number("#detecting"), { timeout: 30_000 }).toBeLessThan(50);
    if (hasDtln) await page.click("input[value=raw]");
    await shot("microphone");
    await page.click("#start");
    await shows("#status", /^Stopped/);
    expect(watched.problems).toEqual([]);
  });

  test("files, their sizes, and licences are shown", async () => {
    const table = await text("#files");
    for (const file of ["worklet.js", "silero_vad.onnx", ...(hasDtln ? ["dtln_1.onnx", "dtln_2.onnx"] : [])]) {
      expect(table).toContain(file);
    }
    const licences = await text("#licences");
    for (const owner of ["Silero Team", "Fedor Indutny", ...(hasDtln ? ["Nils L. Westhausen"] : [])])
      expect(licences).toContain(owner);
  });

  test("ten seconds in an audio worklet leave wasm memory as it is", async () => {
    const { result, problems } = await visit<{
      error?: string;
      bytes: [number, number];
      sameMemory: boolean;
      blocks: number;
    }>(browser, server, "allocation.html");
    expect(problems).toEqual([]);
    expect(result).toEqual({
      bytes: [result.bytes[0], result.bytes[0]],
      sameMemory: true,
      blocks: (10 * SAMPLE_RATE) / BLOCK,
    });
  });
});

/** Adds a page that renders ten seconds through a worklet with both models, which looks at the memory after the first block and the last. */
async function buildWorklet(target: string): Promise<void> {
  await build({
    entryPoints: { allocation: join(root, "tests/browser/speech-worklet.ts") },
    outdir: target,
    bundle: true,
    format: "esm",
    target: "es2022",
    logLevel: "silent",
  });
  writeFileSync(
    join(target, "allocation.html"),
    `<!doctype html><meta charset="utf-8" /><title>Allocation</title><pre id="result"></pre><script type="module" src="allocation-page.js"></script>`,
  );
  writeFileSync(
    join(target, "allocation-page.js"),
    `
    const { models } = await (await fetch("manifest.json")).json();
    const load = async (path) => new Uint8Array(await (await fetch(path)).arrayBuffer());
    const [silero, ...dtln] = await Promise.all([models.silero, ...(models.dtln ?? [])].map(load));
    const context = new OfflineAudioContext({ length: ${10 * SAMPLE_RATE}, sampleRate: ${SAMPLE_RATE} });
    await context.audioWorklet.addModule("allocation.js");
    const node = new AudioWorkletNode(context, "allocation", { processorOptions: { silero, dtln, blocks: ${(10 * SAMPLE_RATE) / BLOCK} } });
    const answer = new Promise((resolve) => { node.port.onmessage = ({ data }) => resolve(data); });
    const noise = new AudioBuffer({ length: ${10 * SAMPLE_RATE}, sampleRate: ${SAMPLE_RATE} });
    noise.copyToChannel(Float32Array.from({ length: noise.length }, (_, i) => ((i * 7919) % 1000) / 5000 - 0.1), 0);
    const source = new AudioBufferSourceNode(context, { buffer: noise });
    source.connect(node).connect(context.destination);
    source.start();
    await context.startRendering();
    document.querySelector("#result").textContent = JSON.stringify(await answer);
    `,
  );
}
