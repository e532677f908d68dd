// Makes the README's picture, docs/page.png, an animation of the front page: the trained network writes, then a new one learns. And the
// pictures that links to the site show, examples/site/og-*.jpg. `npm run docs:picture`; takes a minute or two, in Chromium. MODELS_DIR is
// the folder with DTLN's files, without which the page of speech shows no noise suppression.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findBrowser, launch, serveFolder } from "../tests/helpers/browser.js";
import { animate } from "./apng.mjs";
import { buildSite } from "./site.js";

const LARGEST = 1_500_000;
/** Frames of the network that writes, and steps after which there is one of that which learns. */
const WRITING = 8;
const LEARNING = [5, 10, 20, 40, 70, 100, 150, 200, 300, 400, 600, 800, 1000, 1300];

const executable = findBrowser("Chromium");
if (executable === undefined) process.exit(1);
const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-picture-"));
await buildSite(folder, { without: ["docs"], models: process.env.MODELS_DIR });
const server = await serveFolder(folder);
const browser = await launch("Chromium", executable);
const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
try {
  const page = await browser.newPage();
  // what links show
  await page.setViewport({ width: 1200, height: 630 });
  const pages = { write: ["", 3000], why: ["why/", 9000], speech: ["speech/", 6000], amp: ["amp/", 3000] };
  for (const [name, [path, milliseconds]] of Object.entries(pages)) {
    await page.goto(`${server.url}/${path}`);
    await wait(milliseconds);
    await page.screenshot({ path: `examples/site/og-${name}.jpg`, type: "jpeg", quality: 72 });
  }

  await page.setViewport({ width: 760, height: 600 });
  await page.goto(server.url);
  await page.waitForSelector("#next li");
  const { top, bottom } = await page.evaluate(() => ({
    top: globalThis.document.querySelector("h1").getBoundingClientRect().top - 10,
    bottom: globalThis.document.querySelector("#stage").getBoundingClientRect().bottom + 10,
  }));
  const frames = [];
  const take = async (milliseconds) => {
    const clip = { x: 0, y: top, width: 760, height: bottom - top };
    frames.push({ png: Buffer.from(await page.screenshot({ clip })), milliseconds });
  };
  for (let i = 0; i < WRITING; i++) {
    await take(250);
    await wait(150);
  }
  await page.locator("#start").click();
  for (const step of LEARNING) {
    await page.waitForFunction(
      (least) => globalThis.document.querySelector("#scrub-at").textContent.replace(/\D*([\d,]+) steps.*/, "$1").replaceAll(",", "") >= least, // prettier-ignore
      { timeout: 600_000 },
      step,
    );
    await take(step < 100 ? 500 : 800);
  }
  frames.at(-1).milliseconds = 2500;
  const bytes = animate(frames);
  if (bytes.length > LARGEST) throw new Error(`docs/page.png: ${bytes.length} bytes, which are more than ${LARGEST}`);
  writeFileSync("docs/page.png", bytes);
  console.log(`docs/page.png: ${frames.length} frames, ${bytes.length} bytes`);
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}
