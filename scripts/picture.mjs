// Makes docs/page.png, the README's picture of the page: its model trains for some hundred steps in Chromium, then writes.
// `npm run docs:picture`; takes a minute or two.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBrowser, launch, serveFolder } from "../tests/helpers/browser.js";
import { buildPage } from "./page.mjs";

const STEPS = 600;

const executable = findBrowser("Chromium");
if (executable === undefined) process.exit(1);
const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-picture-"));
await buildPage(folder);
const server = await serveFolder(folder);
const browser = await launch("Chromium", executable);
try {
  const page = await browser.newPage();
  await page.setViewport({ width: 1200, height: 900 });
  await page.goto(server.url);
  await page.locator("#start").click();
  await page.waitForFunction(
    (steps) => Number(globalThis.document.querySelector("#figure-step").textContent.replaceAll(",", "")) >= steps,
    { timeout: 600_000 },
    STEPS,
  );
  await page.locator("#start").click();
  await page.locator("#write").click();
  await page.waitForSelector("#sample", { visible: true });
  await page.evaluate(() => globalThis.document.querySelector("#training-title").scrollIntoView());
  await page.screenshot({ path: "docs/page.png" });
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}
