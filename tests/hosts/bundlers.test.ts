// The packed package in small apps, built by several bundlers with default configuration and opened in headless Chromium: the same
// bits as in Node, requests only for scripts, under a strict Content-Security-Policy, and no unused code in the bundle.
// `npm test` builds dist/ first. tests/bundlers/package.json lists the bundlers.

import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CSP, findBrowser, launch, serveFolder, STRICT, visit } from "../helpers/browser.js";
import { bundle, BUNDLERS, bundlerVersion } from "../helpers/bundlers.js";
import { installOrReport } from "../helpers/installed.js";
import { install, kilobytes, pack, RELAXED, script, write } from "../helpers/project.js";
import { variants } from "../helpers/variants.js";

/** Maximal size of all scripts of the app, gzipped, in bytes. */
const MAX_GZIPPED: Record<string, number> = {
  vite: 42_000,
  webpack: 42_000,
  esbuild: 42_000,
  rollup: 47_000, // not minified
  parcel: 70_000, // keeps the chunk of all operations and losses
};

/** Parts that the app does not use: a file of the package, and a name in it that bundling keeps. */
const UNUSED = [
  ["cli.js", "commander"],
  ["onnx.js", "linear_before_reset"],
  ["coursera.js", "Wax"],
  ["cs231n.js", "dprevH"],
  ["chunks", "__metadata__"], // safetensors
  ["chunks", "exp_avg"],
  ["chunks", "cooldown_counter"],
] as const;

/** Trains an LSTM with each build. Returns all results in hexadecimal digits. */
const COMPUTE = `
  import { configure, LSTM } from "wasm-rnn";

  const wave = (...shape) => {
    const size = shape.reduce((a, b) => a * b);
    return { data: Float64Array.from({ length: size }, (_, i) => ((i * 37) % 101) / 50 - 1), shape };
  };
  const hex = ({ data }) =>
    Array.from(new Uint8Array(data.slice().buffer), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const bits = (tensors) => Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, hex(tensor)]));

  export function compute() {
    return ${JSON.stringify(variants)}.map((variant) => {
      configure({ variant });
      const lstm = new LSTM(7, 9, { numLayers: 2, bidirectional: true, seed: 1 });
      const forward = lstm.forward(wave(5, 3, 7));
      const backward = lstm.backward(forward);
      const weights = lstm.parameters().map(({ name, grad }) => [name, grad]);
      return { ...bits(forward), ...bits(backward), ...bits(Object.fromEntries(weights)) };
    });
  }
`;

const SHOW = (result: string) => `document.querySelector("#result").textContent = JSON.stringify(${result});`;

const IN_PAGE = {
  "src/compute.js": COMPUTE,
  "src/index.js": `import { compute } from "./compute.js"; ${SHOW("compute()")}`,
};

const IN_WORKER = {
  "src/compute.js": COMPUTE,
  "src/worker.js": 'import { compute } from "./compute.js"; postMessage(compute());',
  "src/index.js": `
    const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }) => { ${SHOW("data")} };
  `,
};

const html = (src: string, head = "") => `<!doctype html>
  <html lang="en">
    <head><meta charset="utf-8" /><title>An LSTM</title>${head}</head>
    <body><pre id="result"></pre><script type="module" src="${src}"></script></body>
  </html>
`;

const executable = findBrowser("Chromium");
const ready = executable !== undefined && installOrReport("tests/bundlers");

describe.skipIf(!ready)("an app that trains an LSTM", () => {
  let folder: string;
  let tarball: string;
  let browser: Browser;
  let inNode: unknown;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wasm-rnn-bundlers-"));
    tarball = (await pack(folder)).path;
    const project = await create("node", IN_PAGE);
    const source = 'import { compute } from "./src/compute.js"; console.log(JSON.stringify(compute()));';
    inNode = JSON.parse(await script(project, source, RELAXED));
    browser = await launch("Chromium", executable!);
  });

  afterAll(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function create(name: string, files: Record<string, string>): Promise<string> {
    const project = join(folder, name);
    mkdirSync(project);
    await install(project, tarball);
    for (const [path, text] of Object.entries(files)) write(project, path, text);
    return project;
  }

  /** Opens index.html of a folder. Expects the same bits as in Node, and requests only for scripts. Returns their paths. */
  async function expectSameBits(site: string, policy = STRICT): Promise<string[]> {
    const server = await serveFolder(site, { [CSP]: policy });
    try {
      const { result, requests, problems } = await visit(browser, server, "");
      expect(problems).toEqual([]);
      expect(result).toEqual(inNode);
      const [page, ...scripts] = requests;
      expect(page).toBe("");
      expect(scripts.filter((path) => !/^[\w./-]+\.js$/.test(path))).toEqual([]);
      return scripts;
    } finally {
      await server.close();
    }
  }

  test("has something to compute", () => {
    const [simd, relaxed] = inNode as Record<string, string>[];
    expect(Object.keys(simd!)).toHaveLength(6 + 16);
    for (const [name, digits] of Object.entries(simd!)) expect(digits, name).toMatch(/[1-9a-f]/);
    if (variants.includes("relaxed")) expect(relaxed!.output).not.toBe(simd!.output);
  });

  describe.each(BUNDLERS)("made by $name", (bundler) => {
    let site: string;

    async function make(name: string, files: Record<string, string>): Promise<string> {
      const project = await create(name, { "index.html": html("src/index.js"), ...files });
      await bundle(bundler, project);
      if (!bundler.html) write(project, "dist/index.html", html("main.js"));
      return join(project, "dist");
    }

    beforeAll(async () => {
      site = await make(bundler.name, IN_PAGE);
    });

    test("computes in a page", async () => {
      expect(await expectSameBits(site)).toHaveLength(1);
    });

    test.runIf(bundler.workers)("computes in a worker", async () => {
      const scripts = await expectSameBits(await make(`${bundler.name}-worker`, IN_WORKER));
      expect(scripts.length).toBeGreaterThan(1);
    });

    test("is small, and contains no unused code", () => {
      const text = scriptsIn(site);
      const gzipped = gzipSync(text, { level: 9 }).length;
      const title = `${bundler.name} ${bundlerVersion(bundler.name)}`;
      console.log(`${title}: ${kilobytes(text.length)}, gzipped ${kilobytes(gzipped)}`);
      expect(gzipped).toBeLessThan(MAX_GZIPPED[bundler.name]!);
      expect(text).toContain("weight_ih"); // bundling keeps such names: those of unused parts must not be found
      for (const [file, name] of UNUSED) {
        expect(scriptsIn(join(folder, "node/node_modules/wasm-rnn/dist", file)), file).toContain(name);
        expect(text.includes(name), `${name} of ${file}`).toBe(false);
      }
    });
  });

  test("computes in a page without a bundler, by an import map", async () => {
    const map = JSON.stringify({ imports: { "wasm-rnn": "/node_modules/wasm-rnn/dist/index.js" } });
    const head = `<script type="importmap">${map}</script>`;
    const project = await create("import-map", { ...IN_PAGE, "index.html": html("src/index.js", head) });
    const hash = createHash("sha256").update(map).digest("base64"); // the map is an inline script
    const scripts = await expectSameBits(project, `${STRICT} 'sha256-${hash}'`);
    expect(scripts).toContain("node_modules/wasm-rnn/dist/index.js");
  });
});

/** The text of a script, or of all scripts in a folder. */
function scriptsIn(path: string): string {
  if (path.endsWith(".js")) return readFileSync(path, "utf8");
  const names = readdirSync(path, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".js"));
  return names.map((name) => readFileSync(join(path, name), "utf8")).join("\n");
}
