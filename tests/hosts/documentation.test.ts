// The documentation of the site, in Chromium: it starts with tasks, its search finds words of guides and of the reference, each page
// leads to its file, and versions lead to each other. Nothing is asked of another host.

import { cpSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { addVersions, buildDocs } from "../../scripts/site.js";
import { findBrowser, findViolations, launch, serveFolder, watch, type Server } from "../helpers/browser.js";
import { root } from "../helpers/project.js";

const EDIT = "https://example.org/net/edit/main";
const executable = findBrowser("Chromium");

describe.runIf(executable !== undefined)("the documentation", () => {
  let folder: string;
  let server: Server;
  let browser: Browser;
  let page: Page;
  let watched: ReturnType<typeof watch>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wasm-rnn-documentation-"));
    const docs = join(folder, "site/docs");
    await buildDocs(docs, { edit: EDIT });
    cpSync(docs, join(folder, "releases/0.1.0"), { recursive: true });
    cpSync(docs, join(folder, "releases/0.10.0"), { recursive: true });
    rmSync(join(folder, "releases/0.1.0/documents/Threads.html")); // of a later version
    addVersions(docs, join(folder, "releases"));
    server = await serveFolder(join(folder, "site"));
    browser = await launch("Chromium", executable!);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  beforeEach(async () => {
    page = await browser.newPage();
    watched = watch(page, server);
  });
  afterEach(() => page.close());

  const open = (path: string) => page.goto(`${server.url}/docs/${path}`);
  const texts = (selector: string) => page.$$eval(selector, (items) => items.map((item) => item.textContent.trim()));

  test("starts with tasks, on the page and in the list beside it", async () => {
    await open("");
    expect(await texts("h1")).toHaveLength(1);
    expect((await texts("h2")).slice(0, 4)).toEqual(["Train", "Load a model", "Stream", "Deploy"]);
    await page.waitForSelector("#tsd-nav-container .tsd-accordion");
    const tasks = await texts("#tsd-nav-container > li > details > summary");
    expect(tasks).toEqual(["Train", "Load a model", "Stream", "Deploy", "Learn", "Modules"]);
  });

  test.each([
    ["structuredClone", /^Workers$/],
    ["crossEntropy", /crossEntropy/],
    ["gate orders", /Gate orders and equations/],
  ])("the search finds %s", async (words, found) => {
    await open("");
    await page.click("#tsd-search-trigger");
    await page.type("#tsd-search-input", words);
    await expect.poll(() => texts("#tsd-search-results li"), { timeout: 20_000 }).toContainEqual(expect.stringMatching(found)); // prettier-ignore
    await page.keyboard.press("Escape");
    expect(watched.elsewhere).toEqual([]);
  });

  test.each([
    ["", "docs/start.md"],
    ["documents/Training.html", "docs/guides/training.md"],
    ["documents/The_command_line.html", "docs/guides/command-line.md"],
    ["documents/Examples.html", "examples/README.md"],
    ["classes/wasm-rnn.LSTM.html", "src/recurrent/layers.ts"],
  ])("docs/%s leads to its file", async (path, file) => {
    await open(path);
    expect(await page.$eval(".edit-page a", (link) => link.href)).toBe(`${EDIT}/${file}`);
    expect(existsSync(join(root, file))).toBe(true);
  });

  test("versions lead to each other, and to the pages of the site", async () => {
    const choose = async (name: string) => {
      await page.waitForSelector("#version");
      const value = await page.$$eval("#version option", (options, name) => (options.find(({ label }) => label.startsWith(name)) as HTMLOptionElement).value, name); // prettier-ignore
      await Promise.all([page.waitForNavigation(), page.select("#version", value)]);
    };
    const chosen = () => page.$eval("#version", (select) => (select as HTMLSelectElement).selectedOptions[0]!.label);
    await open("documents/Training.html");
    await page.waitForSelector("#version");
    expect(await texts("#version option")).toEqual([expect.stringMatching(/^newest/), "0.10.0", "0.1.0"]);
    await choose("0.1.0");
    expect(page.url()).toBe(`${server.url}/docs/0.1.0/documents/Training.html`);
    await page.waitForSelector("#version");
    expect(await chosen()).toBe("0.1.0");
    const links = await page.$$eval("#tsd-toolbar-links a", (all) => all.map(({ href }) => href));
    expect(links).toContain(`${server.url}/why/`);
    await choose("0.10.0");
    expect(page.url()).toBe(`${server.url}/docs/0.10.0/documents/Training.html`);
    await open("documents/Threads.html");
    await choose("0.1.0");
    expect(page.url()).toBe(`${server.url}/docs/0.1.0/`);
    await choose("newest");
    expect(page.url()).toBe(`${server.url}/docs/`);
    expect(watched.elsewhere).toEqual([]);
  });

  const sizes = [
    [390, "dark"],
    [1280, "light"],
  ] as const;
  // but: what typedoc's markup has, links in the summaries of its accordions, and headings of a class
  const pages = [
    ["", ["nested-interactive"]],
    ["documents/Training.html", ["nested-interactive"]],
    ["classes/wasm-rnn.LSTM.html", ["heading-order", "nested-interactive"]],
  ] as const;
  const cases = sizes.flatMap(([width, scheme]) => pages.map(([path, but]) => [path, width, scheme, but] as const));

  test.each(cases)(
    "docs/%s at %i pixels, %s: no overflow, and nothing for axe-core",
    async (path, width, scheme, but) => {
      await page.setViewport({ width, height: 800 });
      await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await open(path);
      await page.waitForSelector("#version");
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
      const { left, right } = await page.$eval(
        "#version",
        (select) => select.getBoundingClientRect().toJSON() as DOMRect,
      );
      expect(left).toBeGreaterThan(0);
      expect(right).toBeLessThan(width);
      const violations = await findViolations(page);
      expect(violations.filter(({ id }) => !(but as readonly string[]).includes(id))).toEqual([]);
      expect(watched.problems).toEqual([]);
      const { PAGE_SCREENSHOTS: pictures } = process.env;
      if (pictures)
        await page.screenshot({ path: join(pictures, `documentation-${path.replaceAll("/", "-")}-${width}.png`) });
    },
  );
});
