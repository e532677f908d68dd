// Measures the site's pages in Chromium: first contentful paint, shifts of the layout, and on the front page, while a network is trained,
// how long a click takes until the next frame. `npm run measure:site`; exits with 1 where a limit is missed.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBrowser, launch, serveFolder } from "../tests/helpers/browser.js";
import { buildSite } from "./site.js";

const [PAINT, INTERACTION, SHIFT] = [1000, 200, 0.05];

const executable = findBrowser("Chromium");
if (executable === undefined) process.exit(1);
const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-measure-"));
await buildSite(folder, { without: ["docs"], models: process.env.MODELS_DIR });
const server = await serveFolder(folder);
const browser = await launch("Chromium", executable);

function report(what, value, limit, unit) {
  const missed = value > limit;
  if (missed) process.exitCode = 1;
  console.log(`${what.padEnd(44)} ${value.toFixed(unit ? 0 : 3)} ${unit}${missed ? `  MISSED: at most ${limit}` : ""}`);
}

try {
  for (const path of ["", "why/", "speech/", "amp/"]) {
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    await page.setViewport({ width: 390, height: 844 });
    await page.evaluateOnNewDocument(() => {
      globalThis.shift = 0;
      const add = (list) =>
        list.getEntries().forEach((each) => each.hadRecentInput || (globalThis.shift += each.value));
      new globalThis.PerformanceObserver(add).observe({ type: "layout-shift", buffered: true });
    });
    await page.goto(`${server.url}/${path}`);
    await new Promise((resolve) => setTimeout(resolve, 3000));
    const name = path || "front page";
    const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
    report(`${name}: first contentful paint`, paint, PAINT, "ms");
    report(`${name}: shifts of the layout`, await page.evaluate(() => globalThis.shift), SHIFT, "");
    if (path === "") {
      await page.click("#start");
      await page.waitForFunction(() =>
        globalThis.document.querySelector("#stage-about").textContent.includes("it learns, "),
      );
      const slowest = await page.evaluate(async () => {
        const times = [];
        for (let i = 0; i < 20; i++) {
          const start = performance.now();
          globalThis.document.querySelector("#setup > summary").click();
          await new Promise((resolve) => globalThis.requestAnimationFrame(() => setTimeout(resolve)));
          times.push(performance.now() - start);
          await new Promise((resolve) => setTimeout(resolve, 150));
        }
        return times.sort((a, b) => a - b)[Math.floor(0.98 * times.length)];
      });
      report(`${name}: slowest click to frame while training`, slowest, INTERACTION, "ms");
    }
    await context.close();
  }
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}
