// The built package in headless Chromium, imported as ES modules with nothing else to load: the course's printed figures
// and training steps of an LSTM, with both builds, bit for bit as in Node. `npm test` makes dist/ first.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBrowser, HOW_TO_GET_A_BROWSER, launch, ON_CI, serve, type Server } from "./helpers/browser.js";
import { golden, halfUnit, part, type Numbers } from "./helpers/close.js";
import { variants, type Variant } from "./helpers/variants.js";

interface Case {
  readonly printed: readonly { tensor: string; index: readonly number[]; values: string }[];
}

/** What browser/checks.js gives. */
interface Results {
  readonly auto: Variant;
  readonly build: { variant: Variant; version: string; hash: string };
  readonly course: Readonly<Record<string, Bits>>;
  readonly training: Readonly<Record<"f64" | "f32", Training>>;
}
interface Training {
  readonly norm: number;
  readonly losses: readonly number[];
  readonly first: Bits;
  readonly last: Bits;
}
type Bits = Readonly<Record<string, { readonly shape: readonly number[]; readonly bits: string }>>;

/** What a page shows, and all that it asked the server for. */
interface Visit {
  readonly results: Results & { error?: { name: string; message: string }; missing?: string[] };
  readonly requests: string[];
  readonly problems: string[];
}

const CSP = "Content-Security-Policy";
const STRICT = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

/** The eight cases with figures that the course prints. */
const cases = Object.fromEntries(
  Object.entries((golden("course") as { coursera: Record<string, Case> }).coursera).filter(
    ([, { printed }]) => printed.length > 0,
  ),
);

const executable = findBrowser();
if (executable === undefined) {
  if (ON_CI) test("there is a browser", () => expect.fail(HOW_TO_GET_A_BROWSER));
  else console.warn(`${HOW_TO_GET_A_BROWSER} The browser tests are skipped.`);
}

describe.skipIf(executable === undefined)("in Chromium", () => {
  let browser: Browser;
  let plain: Server;
  let strict: Server;
  let forbidding: Server;

  beforeAll(async () => {
    const files = { "/cases.json": cases };
    plain = await serve(files);
    strict = await serve(files, { [CSP]: STRICT });
    forbidding = await serve(files, { [CSP]: "default-src 'self'" });
    browser = await launch(executable!);
  });

  afterAll(async () => {
    await browser?.close();
    await Promise.all([plain, strict, forbidding].map((server) => server?.close()));
  });

  async function visit(server: Server, page: string, variant: Variant): Promise<Visit> {
    const context = await browser.newContext();
    const requests: string[] = [];
    const problems: string[] = [];
    context.on("request", (request) => requests.push(request.url().replace(`${server.url}/`, "")));
    context.on("requestfailed", (request) => problems.push(`${request.url()}: ${request.failure()?.errorText}`));
    context.on("response", (response) => {
      if (response.status() >= 400) problems.push(`${response.url()}: ${response.status()}`);
    });
    context.on("console", (message) => problems.push(`console.${message.type()}: ${message.text()}`));
    context.on("weberror", (error) => problems.push(`page error: ${String(error.error())}`));
    try {
      const tab = await context.newPage();
      await tab.goto(`${server.url}/${page}.html?variant=${variant}`);
      const result = tab.locator("#result:not(:empty)");
      await result.waitFor({ timeout: 30_000 }).catch((error: unknown) => {
        throw new Error([`${page}.html shows no result`, ...problems].join("\n"), { cause: error });
      });
      return { results: JSON.parse((await result.textContent())!) as Visit["results"], requests, problems };
    } finally {
      await context.close();
    }
  }

  // a CPU without fused multiply-add does not have the relaxed build
  for (const variant of ["simd", "relaxed"] as const) {
    describe.skipIf(!variants.includes(variant))(`${variant} build`, () => {
      let inNode: Results;

      beforeAll(async () => {
        inNode = await runInNode(variant);
      });

      test.each(["page", "page, strict Content-Security-Policy"])("%s", async (name) => {
        const server = name === "page" ? plain : strict;
        const { results, requests, problems } = await visit(server, "page", variant);
        expect(problems).toEqual([]);
        expectRight(results, inNode);
        const [modules, others] = [requests.filter(isModule), requests.filter((path) => !isModule(path))];
        expect(others.sort()).toEqual([
          "cases.json",
          "checks.js",
          `page.html?variant=${variant}`,
          "page.js",
          "report.js",
        ]);
        expect(modules.filter((path) => !path.includes("chunks")).sort()).toEqual([
          "dist/coursera.js",
          "dist/index.js",
        ]);
      });

      test("worker", async () => {
        const { results, requests, problems } = await visit(strict, "worker", variant);
        expect(problems).toEqual([]);
        expectRight(results, inNode);
        expect(requests).toContain("worker.js");
      });

      test("audio worklet, which has no TextDecoder, atob, crypto or performance", async () => {
        const { results, problems } = await visit(strict, "audio-worklet", variant);
        expect(problems).toEqual([]);
        expectRight(results, inNode);
        expect(results.missing).toEqual(
          expect.arrayContaining(["TextDecoder", "TextEncoder", "atob", "btoa", "fetch", "crypto", "performance"]),
        );
      });

      /** The figures, and the same bits as in Node. */
      function expectRight(results: Visit["results"], node: Results): void {
        expect(results.error).toBeUndefined();
        expect(results.build).toEqual(node.build);
        expect(results.build.variant).toBe(variant);
        expect(results.auto).toBe(node.auto);
        expect(Object.keys(results.course)).toHaveLength(8);
        for (const [name, { printed }] of Object.entries(cases)) {
          for (const { tensor, index, values } of printed) {
            const figures = values.split(" ");
            const actual = part(decode(results.course[name]!, tensor), index);
            expect({ shape: [actual.length], data: actual }, `${name} ${tensor}[${index.join("][")}]`).toBeAllClose(
              { shape: [figures.length], data: figures.map(Number) },
              { atol: halfUnit(figures) },
            );
          }
        }
        expect(results.course).toEqual(node.course);
        for (const dtype of ["f64", "f32"] as const) {
          const { norm, losses, first, last } = results.training[dtype];
          expect(norm).toBeGreaterThan(0.125); // the gradients were clipped
          expect(
            losses.every((loss, i) => i === 0 || loss < losses[i - 1]!),
            String(losses),
          ).toBe(true);
          expect({ norm, losses, first, last }).toEqual(node.training[dtype]);
        }
      }
    });
  }

  test("a page that forbids WebAssembly gets an error that says so", async () => {
    const { results } = await visit(forbidding, "page", "simd");
    expect(results.error?.name).toBe("UnsupportedError");
    expect(results.error?.message).toMatch(/WebAssembly|Wasm/);
  });
});

const isModule = (path: string): boolean => /^dist\/(chunks\/)?[\w-]+\.js$/.test(path);

/** The same checks on the same files, in this process. */
async function runInNode(variant: Variant): Promise<Results> {
  const load = (path: string): Promise<unknown> => import(/* @vite-ignore */ new URL(path, import.meta.url).href);
  const [core, coursera, checks] = await Promise.all(
    ["../dist/index.js", "../dist/coursera.js", "./browser/checks.js"].map(load),
  );
  const { configure } = core as { configure: (options: { variant: "auto" }) => void };
  const { runChecks } = checks as { runChecks: (modules: unknown, variant: Variant, cases: unknown) => Results };
  try {
    return runChecks({ core, coursera }, variant, cases);
  } finally {
    configure({ variant: "auto" });
  }
}

/** A tensor of numbers in f64. */
function decode(tensors: Bits, name: string): Numbers {
  const found = tensors[name];
  if (found === undefined) throw new Error(`the results have no ${name}`);
  return { shape: found.shape, data: new Float64Array(new Uint8Array(Buffer.from(found.bits, "hex")).buffer) };
}
