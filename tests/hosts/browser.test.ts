// The built package in headless Chromium and Firefox: the conformance set in a page, a worker and an audio worklet, with both
// builds. Its digests must equal those of digests.json, which Node gives. No file but the ES modules is loaded. `npm test`
// builds dist/ first.

import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CSP,
  findBrowser,
  launch,
  nestedWorkers,
  serve,
  STRICT,
  visit,
  type Server,
  type Visit,
} from "../helpers/browser.js";
import { expectConformance, type Results } from "../helpers/conformance.js";
import { variants } from "../helpers/variants.js";

/** The result of a page of tests/browser. */
type Shown = Results & { error?: { name: string; message: string }; missing?: string[]; threads?: number };

/** Headers that make a page cross-origin isolated, with the strictest policy under which threads start. */
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  [CSP]: `${STRICT}; worker-src 'self' blob:`,
};

describe.each(["Chromium", "Firefox"] as const)("in %s", (name) => {
  const executable = findBrowser(name);
  if (executable === undefined) return;

  let browser: Browser;
  let plain: Server;
  let strict: Server;
  let forbidding: Server;
  let isolated: Server;

  beforeAll(async () => {
    plain = await serve();
    strict = await serve({ [CSP]: STRICT });
    forbidding = await serve({ [CSP]: "default-src 'self'" });
    isolated = await serve(ISOLATED);
    browser = await launch(name, executable);
  });

  afterAll(async () => {
    await browser?.close();
    await Promise.all([plain, strict, forbidding, isolated].map((server) => server?.close()));
  });

  // a CPU without fused multiply-add cannot run the relaxed build
  describe.each(variants)("%s build", (variant) => {
    function expectRight({ result, problems }: Visit<Shown>): void {
      expect(problems).toEqual([]);
      expect(result.error).toBeUndefined();
      expectConformance(result, variant);
    }

    const open = (server: Server, page: string) => visit<Shown>(browser, server, `${page}.html?variant=${variant}`);

    test.each(["page", "page, strict Content-Security-Policy"])("%s", async (where) => {
      const found = await open(where === "page" ? plain : strict, "page");
      expectRight(found);
      const isChunk = (path: string): boolean => /^dist\/chunks\/[\w-]+\.js$/.test(path);
      expect(found.requests.filter((path) => !isChunk(path)).sort()).toEqual([
        "conformance/conformance.js",
        ...["audio", "coursera", "cs231n", "index", "onnx"].map((entry) => `dist/${entry}.js`),
        "golden/course.json",
        "modules.js",
        `page.html?variant=${variant}`,
        "page.js",
        "report.js",
      ]);
    });

    async function expectTwoThreads(where: string): Promise<void> {
      const found = await visit<Shown>(browser, isolated, `${where}.html?variant=${variant}&threads=2`);
      expectRight(found);
      expect(found.result.threads).toBe(2);
    }

    test("page that is cross-origin isolated: two threads", () => expectTwoThreads("page"));

    test("worker of such a page: two threads", nestedWorkers(name), () => expectTwoThreads("worker"));

    test("page that is not: one thread, whatever it asks for", async () => {
      const found = await visit<Shown>(browser, strict, `page.html?variant=${variant}&threads=2`);
      expectRight(found);
      expect(found.result.threads).toBe(1);
    });

    test("worker", async () => {
      const found = await open(strict, "worker");
      expectRight(found);
      expect(found.requests).toContain("worker.js");
    });

    test("audio worklet, which has no TextDecoder, atob, crypto or performance", async () => {
      const found = await open(strict, "audio-worklet");
      expectRight(found);
      expect(found.result.missing).toEqual(
        expect.arrayContaining(["TextDecoder", "TextEncoder", "atob", "btoa", "fetch", "crypto", "performance"]),
      );
    });
  });

  test("a page that forbids WebAssembly gets an error with the remedy", async () => {
    const { result } = await visit<Shown>(browser, forbidding, "page.html?variant=simd");
    expect(result.error?.name).toBe("UnsupportedError");
    expect(result.error?.message).toMatch(/got .*(WebAssembly|Wasm).*, expected/);
    expect(result.error?.message).toContain("allow 'wasm-unsafe-eval' in the Content-Security-Policy");
    expect(result.error?.message).toContain("a compiled wasm-rnn/core.wasm to initialize() before any other call");
  });
});
