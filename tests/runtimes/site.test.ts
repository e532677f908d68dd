// The site of guides and API reference (`npm run docs`): its search finds words of guides and of comments, in Chromium.

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBrowser, launch, serveFolder } from "../helpers/browser.js";
import { root } from "../helpers/project.js";

const executable = findBrowser("Chromium");

describe.skipIf(executable === undefined)("the search of the site", () => {
  let folder: string;
  let server: Awaited<ReturnType<typeof serveFolder>>;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wasm-rnn-site-"));
    execFileSync(process.execPath, [join(root, "node_modules/typedoc/bin/typedoc"), "--out", folder], { cwd: root });
    server = await serveFolder(folder);
    browser = await launch("Chromium", executable!);
    page = await browser.newPage();
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each([
    ["a word of a guide", "structuredClone", "Workers"],
    ["a symbol", "ReduceLROnPlateau", "wasm-rnn.ReduceLROnPlateau"],
    ["a word of a comment", "Nesterov", "wasm-rnn.SGDOptions.nesterov"],
  ])("finds %s", async (_, word, expected) => {
    await page.goto(server.url);
    await page.click("#tsd-search-trigger");
    await page.type("#tsd-search-input", word);
    const first = await page.waitForSelector("#tsd-search-results li a");
    const found = await page.$$eval("#tsd-search-results li", (items) => items.map((item) => item.textContent?.trim()));
    expect(found).toContain(expected);
    await Promise.all([page.waitForNavigation(), first!.click()]);
    expect((await page.$eval("body", (body) => body.textContent ?? "")).toLowerCase()).toContain(word.toLowerCase());
  });
});
