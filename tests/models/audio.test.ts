// A guitar amplifier's size of model (1 in, LSTM 40, 1 out) on ten seconds of audio, sample by sample: in an audio worklet of
// headless Chromium, at many times real time and with the bits of the whole sequence; and in Node without any allocation.
// `npm test` makes dist/ first. The models themselves are tested in streaming-models.test.ts.

import { createHash } from "node:crypto";
import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { configure, Linear, LSTM, tensor, type NestedNumbers, type Tensor } from "../../src/index.js";
import { findBrowser, launch, serve, visit, type Server } from "../helpers/browser.js";
import { root, run } from "../helpers/project.js";
import { variants, type Variant } from "../helpers/variants.js";

/** Times real time that must be reached, at the latest in the third of three renderings: tests run side by side. */
const MIN_FACTOR = 5;
const RENDERINGS = 3;

interface Rendered {
  readonly error?: { name: string; message: string };
  readonly milliseconds: number;
  readonly sha256: string;
  readonly head: number[];
  /** Of wasm memory, after the first block and after the last. */
  readonly bytes: [number, number];
  readonly sameMemory: boolean;
}

/** The model and its signal, as the page has them. */
const { proteusFile, SAMPLE_RATE, SECONDS, signal } = (await import(
  /* @vite-ignore */ new URL("../browser/streaming-model.js", import.meta.url).href
)) as {
  proteusFile: () => { state_dict: Record<string, NestedNumbers> };
  SAMPLE_RATE: number;
  SECONDS: number;
  signal: () => Float32Array<ArrayBuffer>;
};

/** The model's output, computed by layers over the whole sequence. */
function batch(variant: Variant): Float32Array<ArrayBuffer> {
  configure({ variant });
  try {
    const dict = proteusFile().state_dict;
    const part = (prefix: string): Record<string, Tensor> =>
      Object.fromEntries(
        Object.entries(dict).flatMap(([key, value]) =>
          key.startsWith(prefix) ? [[key.slice(prefix.length), tensor(value, undefined, "f32")]] : [],
        ),
      );
    using lstm = new LSTM(1, 40, { dtype: "f32" });
    using linear = new Linear(40, 1, { dtype: "f32" });
    lstm.loadStateDict(part("rec."));
    linear.loadStateDict(part("lin."));
    const data = signal();
    const x = { data, shape: [data.length, 1] };
    const { output } = linear.eval().forward(lstm.eval().forward(x).output);
    return (output.data as Float32Array<ArrayBuffer>).map((y, t) => y + data[t]!);
  } finally {
    configure({ variant: "auto" });
  }
}

const executable = findBrowser("Chromium");

describe.skipIf(executable === undefined)("in an audio worklet of Chromium", () => {
  let browser: Browser;
  let server: Server;

  beforeAll(async () => {
    server = await serve();
    browser = await launch("Chromium", executable!);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  // a CPU without fused multiply-add does not have the relaxed build
  test.skipIf(!variants.includes("relaxed"))("relaxed build", () => check("relaxed"));
  test("simd build", () => check("simd"));

  async function check(variant: Variant): Promise<void> {
    const expected = batch(variant);
    let factor = 0;
    for (let i = 0; i < RENDERINGS && factor < MIN_FACTOR; i++) factor = await render(variant, expected);
    expect(factor).toBeGreaterThanOrEqual(MIN_FACTOR);
  }

  /** Compares a rendering with the expected output. Returns how many times faster than real time it was. */
  async function render(variant: Variant, expected: Float32Array<ArrayBuffer>): Promise<number> {
    const page = `streaming-worklet.html?variant=${variant}`;
    const { result, problems } = await visit<Rendered>(browser, server, page);
    expect(problems).toEqual([]);
    const { error, milliseconds, sha256, head, bytes, sameMemory } = result;
    expect(error).toBeUndefined();
    expect(head).toEqual([...expected.subarray(0, head.length)]);
    expect(sha256).toBe(createHash("sha256").update(new Uint8Array(expected.buffer)).digest("hex"));
    expect(bytes[1]).toBe(bytes[0]);
    expect(sameMemory).toBe(true);
    const factor = (SECONDS * 1000) / milliseconds;
    console.log(`${variant} build: ${SECONDS} s of audio in ${milliseconds.toFixed(0)} ms, ${factor.toFixed(1)} x`);
    return factor;
  }
});

test("in Node, no step allocates: neither in the JS heap nor in wasm memory", async () => {
  const flags = ["--expose-gc", "--max-semi-space-size=256", "--min-semi-space-size=256"];
  const { stdout } = await run(root, process.execPath, [...flags, "tests/helpers/streaming-loop.mjs"]);
  const { blocks, steps, collections, wasm } = JSON.parse(stdout) as Record<"blocks" | "steps", Growth> & {
    collections: number;
    wasm: number;
  };
  expect([collections, wasm]).toEqual([0, 0]); // else the growth below would not be all of it
  for (const [name, growth] of Object.entries({ blocks, steps })) {
    const each = growth.bytes / growth.steps;
    const factor = (growth.steps / SAMPLE_RATE / growth.milliseconds) * 1000;
    console.log(`Node, ${name}: ${each.toFixed(3)} bytes of JS heap a step, ${factor.toFixed(1)} x real time`);
    expect(each).toBeLessThan(1); // the smallest object has 12 bytes
  }
});

interface Growth {
  readonly bytes: number;
  readonly milliseconds: number;
  readonly steps: number;
}
