// The built package in headless Chromium and Firefox, in a page, a worker and an audio worklet, imported as ES modules with
// nothing else to load: the conformance set with both builds, whose digests must be those of digests.json, which are
// Node's. `npm test` makes dist/ first.

import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBrowser, howToGet, launch, ON_CI, serve, type Server } from "./helpers/browser.js";
import { expectConformance, type Results } from "./helpers/conformance.js";
import { variants, type Variant } from "./helpers/variants.js";

/** What a page shows, all that it asked the server for, and what went wrong on the way. */
interface Visit {
  readonly results: Results & { error?: { name: string; message: string }; missing?: string[] };
  readonly requests: readonly string[];
  readonly problems: readonly string[];
}

const CSP = "Content-Security-Policy";
const STRICT = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

describe.each(["Chromium", "Firefox"] as const)("in %s", (name) => {
  const executable = findBrowser(name);
  if (executable === undefined) {
    if (!ON_CI) console.warn(`${howToGet(name)} Its tests are skipped.`);
    test.skipIf(!ON_CI)("there is one", () => expect.fail(howToGet(name)));
    return;
  }

  let browser: Browser;
  let plain: Server;
  let strict: Server;
  let forbidding: Server;

  beforeAll(async () => {
    plain = await serve();
    strict = await serve({ [CSP]: STRICT });
    forbidding = await serve({ [CSP]: "default-src 'self'" });
    browser = await launch(name, executable);
  });

  afterAll(async () => {
    await browser?.close();
    await Promise.all([plain, strict, forbidding].map((server) => server?.close()));
  });

  async function visit(server: Server, page: string, variant: Variant): Promise<Visit> {
    const context = await browser.createBrowserContext(); // with a cache of its own
    const problems: string[] = [];
    server.forget();
    try {
      const tab = await context.newPage();
      tab.on("requestfailed", (request) => problems.push(`${request.url()}: ${request.failure()?.errorText}`));
      tab.on("console", (message) => problems.push(`console.${message.type()}: ${message.text()}`));
      tab.on("pageerror", (error) => problems.push(`page error: ${String(error)}`));
      await tab.goto(`${server.url}/${page}.html?variant=${variant}`);
      const text = await tab
        .waitForFunction(() => document.querySelector("#result")?.textContent, { timeout: 60_000 })
        .then((handle) => handle.jsonValue())
        .catch((error: unknown) => {
          throw new Error([`${page}.html shows no result`, ...problems, ...server.refused].join("\n"), {
            cause: error,
          });
        });
      const results = JSON.parse(text!) as Visit["results"];
      return { results, requests: [...server.requests], problems: [...problems, ...server.refused] };
    } finally {
      await context.close();
    }
  }

  // a CPU without fused multiply-add does not have the relaxed build
  describe.each(variants)("%s build", (variant) => {
    function expectRight({ results, problems }: Visit): void {
      expect(problems).toEqual([]);
      expect(results.error).toBeUndefined();
      expectConformance(results, variant);
    }

    test.each(["page", "page, strict Content-Security-Policy"])("%s", async (where) => {
      const found = await visit(where === "page" ? plain : strict, "page", variant);
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

    test("worker", async () => {
      const found = await visit(strict, "worker", variant);
      expectRight(found);
      expect(found.requests).toContain("worker.js");
    });

    test("audio worklet, which has no TextDecoder, atob, crypto or performance", async () => {
      const found = await visit(strict, "audio-worklet", variant);
      expectRight(found);
      expect(found.results.missing).toEqual(
        expect.arrayContaining(["TextDecoder", "TextEncoder", "atob", "btoa", "fetch", "crypto", "performance"]),
      );
    });
  });

  test("a page that forbids WebAssembly gets an error that says so", async () => {
    const { results } = await visit(forbidding, "page", "simd");
    expect(results.error?.name).toBe("UnsupportedError");
    expect(results.error?.message).toMatch(/WebAssembly|Wasm/);
  });
});
