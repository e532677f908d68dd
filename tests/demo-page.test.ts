// The page of examples/browser, built as for a file server, in headless Chromium: trained, paused, sampled, saved and
// loaded by clicks and keys as a person does, in both colour schemes and on a phone. `npm test` makes dist/ first.
// PAGE_SCREENSHOTS names a folder for pictures of it.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import esbuild from "esbuild";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type * as activations from "../examples/browser/activations.js";
import type * as fading from "../examples/browser/fading.js";
import type * as trainings from "../examples/browser/training.js";
import type * as coursera from "wasm-rnn/coursera";
import type * as core from "wasm-rnn";
import { readCharLM } from "../src/models/charlm-file.js";
import { findBrowser, HOW_TO_GET_A_BROWSER, launch, ON_CI, serveFolder, type Server } from "./helpers/chromium.js";

const executable = findBrowser();
if (executable === undefined) {
  if (ON_CI) test("there is a browser", () => expect.fail(HOW_TO_GET_A_BROWSER));
  else console.warn(`${HOW_TO_GET_A_BROWSER} The tests of the page are skipped.`);
}

/** Waits until what is asked again and again is as expected. */
const poll = <T>(ask: () => Promise<T>) => expect.poll(ask, { timeout: 60_000 });

/** What goes before the worker's code to make it an engine that refuses relaxed SIMD. */
const withoutRelaxed = `
{
  const Module = WebAssembly.Module;
  const fused = [0xfd, 0x85, 0x02]; // f32x4.relaxed_madd
  WebAssembly.Module = class extends Module {
    constructor(bytes) {
      const code = new Uint8Array(bytes.buffer ?? bytes);
      if (code.some((_, at) => fused.every((byte, i) => code[at + i] === byte))) {
        throw new WebAssembly.CompileError("relaxed SIMD is not there");
      }
      super(bytes);
    }
  };
}
`;

/** In the page: the contrast (WCAG 2) of every piece of text that is seen with what is behind it. */
function measureContrasts(): { text: string; ratio: number }[] {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true })!;
  const luminance = (color: string): number => {
    paint.fillStyle = color;
    paint.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...paint.getImageData(0, 0, 1, 1).data].map((value) =>
      value <= 10 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4,
    ) as [number, number, number];
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element: Element | null): string => {
    for (let at = element; at !== null; at = at.parentElement) {
      const { backgroundColor } = getComputedStyle(at);
      if (backgroundColor !== "rgba(0, 0, 0, 0)") return backgroundColor;
    }
    return "white";
  };
  return [...document.querySelectorAll<HTMLElement>("body *")].flatMap((element) => {
    const text = [...element.childNodes].map((node) => (node.nodeType === 3 ? node.textContent : "")).join("");
    const seen = text.trim() !== "" || element.matches("input, select, textarea");
    if (!seen || element.matches("option, noscript") || !element.checkVisibility()) return [];
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    return [{ text: `${element.id || element.tagName}: ${text.trim().slice(0, 40)}`, ratio }];
  });
}

/** Small enough for a step to take a millisecond or two. */
const SMALL = { "#hidden": "24", "#embedding": "8", "#seq": "24", "#batch": "8" };
const PHONE = { width: 360, height: 740 };
const DESK = { width: 1280, height: 900 };

describe.skipIf(executable === undefined)("the page in Chromium", () => {
  let folder: string;
  let server: Server;
  /** Where the page is on the server: below its root, as on a server that has other pages, too. */
  let home: string;
  let browser: Browser;
  let page: Page;
  /** What the console says, what fails to load, and what is asked of others. */
  let problems: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wasm-rnn-page-"));
    const { buildPage } = (await import(/* @vite-ignore */ new URL("../scripts/page.mjs", import.meta.url).href)) as {
      buildPage: (folder: string) => Promise<void>;
    };
    await buildPage(join(folder, "some/where"));
    server = await serveFolder(folder);
    home = `${server.url}/some/where/`;
    browser = await launch(executable!);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  afterEach(async () => {
    await page?.context().close();
    expect(problems).toEqual([]);
  });

  /** Opens the page and waits until it is ready; `worker` goes before the worker's own code. */
  async function open(colorScheme: "light" | "dark" = "light", viewport = DESK, worker = ""): Promise<void> {
    const context = await browser.newContext({ colorScheme, viewport, acceptDownloads: true });
    problems = [];
    context.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) problems.push(`console.${message.type()}: ${message.text()}`);
    });
    context.on("weberror", (error) => problems.push(`page error: ${String(error.error())}`));
    context.on("request", (request) => {
      if (!/^(blob|data):/.test(request.url()) && !request.url().startsWith(home)) problems.push(request.url());
    });
    context.on("response", (response) => {
      if (response.status() >= 400) problems.push(`${response.url()}: ${response.status()}`);
    });
    page = await context.newPage();
    if (worker) {
      await page.route("**/worker.js", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, body: worker + (await response.text()) });
      });
    }
    await page.goto(home);
    await poll(async () => (await text("#status")) + (await text("#error"))).not.toBe("");
  }

  const focused = () => page.evaluate(() => document.activeElement?.id);
  const text = async (selector: string): Promise<string> => (await page.textContent(selector)) ?? "";
  const number = async (selector: string): Promise<number> => Number((await text(selector)).replaceAll(",", ""));

  async function shot(name: string): Promise<void> {
    const { PAGE_SCREENSHOTS: pictures } = process.env;
    if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  }

  /** A new training with the small settings, and others on top. */
  async function small(others: Record<string, string> = {}): Promise<void> {
    if (!(await page.isVisible("#embedding"))) await page.click("summary:has-text('More settings')");
    for (const [selector, value] of Object.entries(SMALL)) await page.fill(selector, value);
    for (const [selector, value] of Object.entries(others)) await page.selectOption(selector, value);
    await page.click("#reset");
    await poll(() => text("#model-facts")).toContain("of 24 units");
  }

  async function trainTo(step: number): Promise<void> {
    await page.click("#start");
    await poll(() => number("#figure-step")).toBeGreaterThanOrEqual(step);
    await page.click("#start");
    await poll(() => text("#start")).toBe("Resume");
  }

  async function sample(): Promise<string> {
    await page.fill("#draw", "7");
    await page.fill("#length", "60");
    const before = await page.evaluate(() => {
      const element = document.querySelector("#sample")!;
      element.textContent = "";
      return element.textContent;
    });
    expect(before).toBe("");
    await page.click("#write");
    await poll(() => text("#sample")).not.toBe("");
    return text("#sample");
  }

  test("trains 200 steps: the loss falls, the page stays awake, pause stops it", async () => {
    await open();
    await small();
    await page.evaluate(() => {
      const watch = { frames: 0, longest: 0 };
      let last = performance.now();
      const frame = () => {
        const now = performance.now();
        watch.longest = Math.max(watch.longest, now - last);
        last = now;
        watch.frames++;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
      Object.assign(globalThis, { watch, longTasks: 0 });
    });
    await poll(() => number("#figure-validation")).toBeGreaterThan(3); // the worker tells it when it is ready
    const untrained = await number("#figure-validation");
    await trainTo(200);
    const watch = await page.evaluate(
      () => (globalThis as unknown as { watch: { frames: number; longest: number } }).watch,
    );
    expect(watch.frames).toBeGreaterThan(10);
    expect(watch.longest).toBeLessThan(500); // drawing the chart takes tens of milliseconds on a busy machine

    expect(await number("#figure-loss")).toBeLessThan(untrained - 0.7);
    expect(await number("#figure-validation")).toBeLessThan(untrained - 0.7);
    expect(await number("#figure-gflops")).toBeGreaterThan(0);
    expect(await text("#figure-peak")).toMatch(/^\d+% of the peak of \d+$/);
    expect(await text("#loss-summary")).toMatch(
      /^After [\d,]+ steps the training loss is \d\.\d+, down from \d\.\d+; on/,
    );
    expect(await page.locator("#loss-table tbody tr").count()).toBeGreaterThan(5);
    expect(await page.locator("#milestones li strong").allTextContents()).toEqual(
      expect.arrayContaining([expect.stringContaining("Step 0,"), expect.stringContaining("Step 100,")]),
    );

    const paused = await number("#figure-step");
    await page.waitForTimeout(400);
    expect(await number("#figure-step")).toBe(paused);
    await page.click("#step");
    await poll(() => number("#figure-step")).toBe(paused + 1);
    await page.click("#reset");
    await poll(() => number("#figure-step")).toBe(0);
    expect(await text("#figure-loss")).toBe("–");
  });

  test("a model that is saved and loaded writes the same, here and in the command line's reader", async () => {
    await open();
    await small({ "#cell": "GRU" });
    await trainTo(30);
    const steps = await number("#figure-step");
    const written = await sample();
    expect([...written].length).toBe(60);
    expect(await sample()).toBe(written);
    const waiting = page.waitForEvent("download");
    await page.click("#save");
    const download = await waiting;
    expect(download.suggestedFilename()).toBe(`charlm-${steps}.safetensors`);
    const file = join(folder, "saved.safetensors");
    await download.saveAs(file);
    const { model, training } = readCharLM(readFileSync(file));
    expect(model.architecture).toEqual({ cell: "GRU", embeddingDim: 8, hiddenSize: 24, numLayers: 1, dtype: "f32" });
    expect(training.steps).toBe(steps);
    model.dispose();

    await page.selectOption("#cell", "LSTM");
    await page.click("#reset");
    await poll(() => text("#model-facts")).toContain("LSTM");
    expect(await sample()).not.toBe(written);
    await page.setInputFiles("#file", file);
    await poll(() => text("#status")).toContain(`Model loaded, after ${steps} steps`);
    expect(await page.inputValue("#cell")).toBe("GRU");
    expect(await sample()).toBe(written);

    // what is no model is refused, and the model stays
    const broken = join(folder, "broken.safetensors");
    writeFileSync(broken, "no safetensors at all");
    await page.setInputFiles("#file", broken);
    await poll(() => text("#error")).toMatch(/^The model could not be loaded: /);
    expect(await page.isVisible("#error")).toBe(true);
    expect(await sample()).toBe(written);
    expect(await page.isVisible("#error")).toBe(false);
  });

  test("says what is wrong: characters, texts, settings", async () => {
    await open();
    await page.fill("#prompt", "鯨");
    await page.click("#write");
    await poll(() => text("#error")).toContain('got "鯨" (U+9BE8) at position 0');
    await page.selectOption("#text-choice", "own");
    expect(await page.isVisible("#changed")).toBe(true);
    await page.fill("#own-text", "too short");
    await page.click("#reset");
    await poll(() => text("#error")).toContain("The text has 9 characters");
    await page.fill("#own-text", "to be or not to be, ".repeat(60));
    await page.fill("#hidden", "0");
    await page.click("#reset");
    expect(await text("#error")).toBe("Hidden units: Value must be greater than or equal to 1.");
    expect(await focused()).toBe("hidden");
    await page.fill("#hidden", "4096");
    await page.click("#start");
    expect(await text("#error")).toBe("Hidden units: Value must be less than or equal to 1024.");
    await page.fill("#hidden", "24");
    await page.click("summary:has-text('More settings')");
    await page.fill("#seq", "");
    await page.click("summary:has-text('More settings')");
    await page.click("#start");
    expect(await text("#error")).toBe("Window: Please fill out this field.");
    expect(await focused()).toBe("seq");
    await page.fill("#seq", "64");
    await page.click("#start"); // takes what was changed, since no step was done
    await poll(() => text("#model-facts")).toContain("of 24 units");
    await poll(() => number("#figure-step")).toBeGreaterThan(0);
    expect(await page.isVisible("#changed")).toBe(false);
  });

  test("takes a text of megabytes without stopping the page", async () => {
    await open();
    await page.selectOption("#text-choice", "own");
    const blocked = await page.evaluate(async () => {
      const data = new DataTransfer();
      data.setData("text/plain", "The whale is white and wide.\n".repeat(150_000));
      const start = performance.now();
      const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
      document.querySelector("#own-text")!.dispatchEvent(event);
      await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
      return performance.now() - start;
    });
    expect(blocked).toBeLessThan(1000); // in the field, it takes six times as long
    expect(await text("#own-text-note")).toBe("4,350,000 characters, of which the field shows the beginning.");
    await page.click("#reset");
    await poll(() => text("#model-facts")).toContain("an alphabet of 14; 4,132,500 characters to learn from");
    await page.fill("#own-text", "something else");
    expect(await text("#own-text-note")).toBe("");
    expect(await page.isVisible("#changed")).toBe(true);
  });

  test("says that the learning rate is too large, and takes none that is out of range", async () => {
    await open();
    await page.fill("#rate", "1");
    await page.press("#rate", "Tab");
    await page.click("#start");
    await page.waitForSelector("#diverging:visible");
    await page.fill("#rate", "10");
    await page.press("#rate", "Tab");
    await poll(() => text("#error")).toBe("Learning rate: Value must be less than or equal to 1.");
    expect(await text("#start")).toBe("Pause");
    await page.fill("#rate", "0.01");
    await page.press("#rate", "Tab");
    await page.click("#reset");
    await poll(() => page.isVisible("#diverging")).toBe(false);
    expect(await page.isVisible("#error")).toBe(false);
  });

  test("says that a step takes long and that memory does not suffice, and goes on with less", async () => {
    await open();
    await page.click("summary:has-text('More settings')");
    await page.fill("#hidden", "1024");
    await page.fill("#seq", "512");
    await page.fill("#batch", "256");
    await page.selectOption("#dtype", "f64");
    await page.click("#start");
    await poll(() => text("#status")).toMatch(/^Ready\. A step takes \d+ seconds at least/);
    await poll(() => text("#error")).toMatch(
      /^The training has stopped: .* MiB .*Take fewer units, layers or streams, or a shorter window\.$/,
    );
    await small();
    await trainTo(20);
  });

  test("shows the build that was chosen, and trains in it", async () => {
    await open();
    await small({ "#variant": "simd" });
    expect(await text("#build-facts")).toMatch(/^wasm-rnn \S+, SIMD build\.$/);
    await trainTo(20);
    const simd = await sample();
    await page.selectOption("#variant", "relaxed");
    await page.click("#reset");
    await poll(() => text("#build-facts")).toMatch(/, relaxed SIMD build\.$/);
    await trainTo(20);
    expect((await sample()).length).toBe(simd.length);
  });

  test("says that a build does not run, and keeps the one that does", async () => {
    // Chromium has no switch against relaxed SIMD: this stands in for an engine without
    await open("light", DESK, withoutRelaxed);
    await small();
    expect(await text("#build-facts")).toMatch(/, SIMD build\.$/);
    await page.selectOption("#variant", "relaxed");
    await page.click("#reset");
    await poll(() => text("#error")).toMatch(/^The training could not be set up: variant: .*relaxed/);
    expect(await text("#build-facts")).toMatch(/, SIMD build\.$/);
    expect((await sample()).length).toBe(60);
    await page.selectOption("#variant", "auto");
    await trainTo(20);
  });

  test("says that there is no WebAssembly", async () => {
    await open("light", DESK, "delete globalThis.WebAssembly;\n");
    expect(await text("#error")).toMatch(/^The training could not be set up: .*an engine without WebAssembly/);
  });

  test("announces its progress politely", async () => {
    await open();
    await small();
    await page.evaluate(() => {
      const said: string[] = [];
      const status = document.querySelector("#status")!;
      new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
      Object.assign(globalThis, { said });
    });
    await trainTo(600);
    const said = await page.evaluate(() => (globalThis as unknown as { said: string[] }).said);
    expect(said[0]).toBe("Training.");
    expect(said.at(-1)).toMatch(/^Paused at step [\d,]+\.$/);
    expect(said.length).toBeLessThanOrEqual(5); // five milestones passed by, in a second or a few
  });

  test("moves the heat map along with its cursor", async () => {
    await open("light", PHONE);
    await small();
    await page.click("#inspect");
    await page.waitForSelector("#map-text span");
    await page.focus("#map");
    const visible = () =>
      page.evaluate(() => {
        const [column, scroller] = ["#map-column", ".scroll:has(#map)"].map((selector) =>
          document.querySelector(selector)!.getBoundingClientRect(),
        );
        return column!.left >= scroller!.left && column!.right <= scroller!.right + 1;
      });
    await page.keyboard.press("End");
    expect(await text("#map-readout")).toContain("character 108 “.”");
    expect(await visible()).toBe(true);
    await page.keyboard.press("Home");
    expect(await visible()).toBe(true);
  });

  test("a message about a field does not hide it on a phone", async () => {
    await open("light", PHONE);
    await page.fill("#hidden", "4096");
    await page.click("#reset");
    expect(await focused()).toBe("hidden");
    const apart = await page.evaluate(() => {
      const [message, field] = ["error", "hidden"].map((id) => document.getElementById(id)!.getBoundingClientRect());
      return field!.top - message!.bottom;
    });
    expect(apart).toBeGreaterThan(0);
  });

  test("shows units by pointer and keys, and how gradients fade", async () => {
    await open();
    await small();
    await trainTo(100);
    await page.click("#inspect");
    await page.waitForSelector("#map-text span");
    expect(await page.locator("#map-kind option").allTextContents()).toEqual([
      "hidden state h",
      "cell state c",
      "input gate i",
      "forget gate f",
      "candidate g",
      "output gate o",
    ]);
    await page.focus("#map");
    for (const key of ["ArrowDown", "ArrowDown", "ArrowRight"]) await page.keyboard.press(key);
    expect(await text("#map-readout")).toMatch(/^Unit 3 of 24, character 2 “a”: hidden state h = -?\d\.\d{3}$/);
    await page.selectOption("#map-kind", "f");
    expect(await text("#map-readout")).toMatch(/forget gate f = \d\.\d{3}$/);
    await page.hover("#map", { position: { x: 20, y: 40 } });
    expect(await text("#map-readout")).toMatch(/^Unit 2 of 24, character 2/);
    await page.click("#unit-table button >> nth=0");

    await page.click("#fade");
    await poll(() => page.locator("#fading-table tbody tr").count()).toBe(1);
    await page.fill("#compare-steps", "40");
    await page.click("#compare");
    await page.waitForSelector("#comparison-table tbody tr", { timeout: 60_000 });
    expect(await page.locator("#comparison-table tbody th").allTextContents()).toEqual(["RNN", "GRU", "LSTM"]);
    expect(await page.locator("#fading-table tbody tr").count()).toBe(7);
    expect(await text("#fading-summary")).toMatch(
      /^This model: LSTM, step \d+: below 1% from \d+ steps back\.30 steps back an LSTM's gradient is \d+ \w+ times that of an RNN when both are new, and [\d.]+( \w+)? times after 40 steps/,
    );
    await shot("units-and-gradients");
  });

  test("trains with the keyboard alone", async () => {
    await open();
    await page.focus("#text-choice");
    const visited: (string | undefined)[] = [];
    for (let i = 0; i < 12; i++) {
      visited.push(await focused());
      if (visited.at(-1) === "start") break;
      await page.keyboard.press("Tab");
    }
    expect(visited).toEqual(["text-choice", "cell", "hidden", "layers", "rate", "dtype", "variant", "", "start"]);
    await page.keyboard.press("Enter");
    await poll(() => text("#start")).toBe("Pause");
    await page.keyboard.press("Enter");
    await poll(() => text("#start")).toBe("Resume");
  });

  test("shows where the keyboard is, everywhere", async () => {
    await open();
    await small();
    await page.click("#write");
    await page.click("#inspect");
    await page.waitForSelector("#map-text span");
    await page.fill("#compare-steps", "5");
    await page.click("#compare");
    await page.waitForSelector("#comparison-table tbody tr");
    await page.focus("#text-choice");
    const visited: string[] = [];
    for (;;) {
      const { name, outlined } = await page.evaluate(() => {
        const element = document.activeElement!;
        const label = (element as HTMLInputElement).labels?.[0];
        const outlined = [element, element.closest(".scroll"), label].some(
          (each) => each && getComputedStyle(each).outlineStyle === "solid",
        );
        return { name: element === document.body ? "" : element.id || element.textContent.trim(), outlined };
      });
      if (name === "") break; // all round
      visited.push(name);
      expect(outlined, name).toBe(true);
      await page.keyboard.press("Tab");
    }
    expect(visited).toEqual(expect.arrayContaining(["file", "sample", "map", "fade", "compare", "inspect"]));
  });

  test.each([
    ["light", "desk", DESK],
    ["dark", "desk", DESK],
    ["light", "phone", PHONE],
    ["dark", "phone", PHONE],
  ] as const)("%s, %s: all fits, and labels are there", async (scheme, device, viewport) => {
    await open(scheme, viewport);
    const { PAGE_SCREENSHOTS: pictures } = process.env;
    if (!pictures) await small();
    await trainTo(pictures ? 600 : 40);
    await page.fill("#prompt", "The whale");
    await page.click("#write");
    await page.click("#inspect");
    await page.waitForSelector("#map-text span");
    await page.fill("#compare-steps", pictures ? "300" : "5");
    await page.click("#compare");
    await page.waitForSelector("#comparison-table tbody tr", { timeout: 110_000 });
    const { scroll, inner, background } = await page.evaluate(() => ({
      scroll: document.documentElement.scrollWidth,
      inner: innerWidth,
      background: getComputedStyle(document.body).backgroundColor,
    }));
    expect(scroll).toBeLessThanOrEqual(inner);
    expect(background).toBe(scheme === "dark" ? "rgb(16, 18, 23)" : "rgb(245, 246, 248)");
    const unnamed = await page.evaluate(() =>
      [...document.querySelectorAll<HTMLElement>("input, select, textarea, button, [role=img], meter, progress")]
        .filter((element) => {
          const labels = (element as HTMLInputElement).labels?.length ?? 0;
          const named = element.getAttribute("aria-label") ?? element.getAttribute("aria-labelledby");
          return labels === 0 && !named && element.textContent?.trim() === "";
        })
        .map(({ id, tagName }) => `${tagName} ${id}`),
    );
    expect(unnamed).toEqual([]);
    const contrasts = await page.evaluate(measureContrasts);
    expect(contrasts.length).toBeGreaterThan(100);
    expect(contrasts.filter(({ ratio }) => ratio < 4.5)).toEqual([]);
    await shot(`${scheme}-${device}`);
  });
});

type Modules = typeof activations & typeof fading & typeof trainings & typeof coursera & typeof core;

describe("what the page computes beside the package", () => {
  let modules: Modules;
  let folder: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wasm-rnn-page-"));
    const names = ["activations", "fading", "training"].map((name) => `./examples/browser/${name}.ts`);
    const outfile = join(folder, "modules.mjs");
    const resolveDir = fileURLToPath(new URL("..", import.meta.url));
    const contents = [...names, "wasm-rnn", "wasm-rnn/coursera"].map((name) => `export * from "${name}";`).join("\n");
    await esbuild.build({ stdin: { contents, resolveDir }, outfile, bundle: true, format: "esm", target: "es2022" });
    modules = (await import(/* @vite-ignore */ pathToFileURL(outfile).href)) as Modules;
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const TEXT = "the cat sat on the mat and the dog sat on the log. ".repeat(12);

  /** [rows, columns] turned. */
  const turned = (data: ArrayLike<number>, rows: number, columns: number) =>
    Float64Array.from({ length: rows * columns }, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!);

  test("gates and states of an LSTM are those of the course's function, in both layers", () => {
    const { CharLM, lstmForward, readActivations, Vocabulary } = modules;
    const [D, H] = [5, 4];
    const model = new CharLM(Vocabulary.fromText(TEXT), { embeddingDim: D, hiddenSize: H, numLayers: 2, seed: 3 });
    const text = TEXT.slice(0, 30);
    const T = text.length;
    const dict = model.stateDict();
    const table = dict["embedding.weight"]!.data;
    const codes = model.vocabulary.encode(text);
    let x = Float64Array.from({ length: T * D }, (_, i) => table[codes[Math.floor(i / D)]! * D + (i % D)]!);
    for (const layer of [0, 1]) {
      const width = layer === 0 ? D : H;
      const of = (name: string) => dict[`lstm.${name}_l${layer}`]!.data;
      const weights = Object.fromEntries(
        ["i", "f", "c", "o"].flatMap((gate, index) => {
          const W = new Float64Array(H * (H + width));
          for (let row = 0; row < H; row++) {
            const from = index * H + row;
            W.set(of("weight_hh").subarray(from * H, (from + 1) * H), row * (H + width));
            W.set(of("weight_ih").subarray(from * width, (from + 1) * width), row * (H + width) + H);
          }
          const b = Float64Array.from(
            { length: H },
            (_, row) => of("bias_ih")[index * H + row]! + of("bias_hh")[index * H + row]!,
          );
          return [
            [`W${gate}`, { data: W, shape: [H, H + width] }],
            [`b${gate}`, { data: b, shape: [H, 1] }],
          ];
        }),
      );
      // the course has (features, batch, time)
      const input = { data: turned(x, T, width), shape: [width, 1, T] };
      const zero = { data: new Float64Array(H), shape: [H, 1] };
      const { a, c, caches } = lstmForward(input, zero, weights as unknown as Parameters<typeof lstmForward>[2]);
      const { ft, it: update, cct, ot } = caches;
      const { kinds, characters, units } = readActivations(model, text, layer);
      expect([characters.join(""), units, Object.keys(kinds)]).toEqual([text, H, ["h", "c", "i", "f", "g", "o"]]);
      for (const [kind, expected] of Object.entries({ h: a, c, i: update, f: ft, g: cct, o: ot })) {
        expect(expected.data.length, kind).toBe(T * H);
        const reference = turned(expected.data, H, T);
        kinds[kind]!.forEach((value, i) => expect(Math.abs(value - reference[i]!), `${kind} ${i}`).toBeLessThan(1e-6));
      }
      x = turned(a.data, H, T);
    }
    model.dispose();
  });

  test("gates of a GRU give its next state", () => {
    const { CharLM, readActivations, Vocabulary } = modules;
    const model = new CharLM(Vocabulary.fromText(TEXT), { cell: "GRU", embeddingDim: 5, hiddenSize: 4, seed: 3 });
    const { kinds, units } = readActivations(model, TEXT.slice(0, 20), 1);
    const { h, z, n } = kinds as Record<"h" | "z" | "n", Float32Array>;
    for (let i = units; i < h.length; i++) {
      expect(h[i]).toBeCloseTo((1 - z[i]!) * n[i]! + z[i]! * h[i - units]!, 5);
    }
    model.dispose();
  });

  test.each([
    ["RNN", 1],
    ["GRU", 2],
    ["LSTM", 1],
    ["LSTM", 2],
  ] as const)("gradients of %s, %i layers, fade as the cells' backward passes have it", (kind, numLayers) => {
    const { crossEntropy, fading, GRUCell, Linear, LSTMCell, RNNCell, Training } = modules;
    const [D, H, N] = [5, 6, 32];
    const training = new Training(
      // prettier-ignore
      { cell: kind, hiddenSize: H, numLayers, embeddingDim: D, learningRate: 0.01, dtype: "f64", variant: "auto",
        seqLen: 16, batchSize: 4, seed: 2 },
      TEXT,
    );
    for (let i = 0; i < 20; i++) training.advance();
    const norms = fading(training);
    expect(norms.length).toBe(61);

    const dict = training.model.stateDict();
    const cells = Array.from({ length: numLayers }, (_, layer) => {
      const cell = new { RNN: RNNCell, GRU: GRUCell, LSTM: LSTMCell }[kind](layer === 0 ? D : H, H) as core.LSTMCell;
      const names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
      const of = (name: string) => dict[`${kind.toLowerCase()}.${name}_l${layer}`]!;
      cell.loadStateDict(Object.fromEntries(names.map((name) => [name, of(name)])));
      return cell;
    });
    const linear = new Linear(H, training.model.vocabulary.size);
    linear.loadStateDict({ weight: dict["linear.weight"]!, bias: dict["linear.bias"]! });
    const { inputs, next } = training.excerpts(N, 61);
    const table = dict["embedding.weight"]!.data;
    const zeros = (): core.Tensor => ({ data: new Float64Array(N * H), shape: [N, H] });
    const pick = ({ h, c }: { h?: core.Tensor; c?: core.Tensor }) => (kind === "LSTM" ? { h, c } : { h });
    const states = cells.map(() => pick({ h: zeros(), c: zeros() }));
    const caches = norms.map((_, t) => {
      const row = (n: number) => inputs.data[t * N + n]! * D;
      const data = Float64Array.from({ length: N * D }, (_, i) => table[row(Math.floor(i / D)) + (i % D)]!);
      let x: core.Tensor = { data, shape: [N, D] };
      return cells.map((cell, layer) => {
        const { h, c, cache } = cell.forward(x, states[layer]);
        states[layer] = pick({ h, c });
        x = h;
        return cache;
      });
    });
    const { dLogits } = crossEntropy(linear.forward(states.at(-1)!.h!).output, next);
    /** What flows into each layer's state from the steps after it. */
    const gradients = cells.map(() => pick({ h: zeros(), c: zeros() }));
    gradients.at(-1)!.h = linear.backward({ output: dLogits }).x;
    const expected = caches.reverse().map((step) => {
      let logs = 0;
      for (let n = 0; n < N; n++) {
        const own = gradients.flatMap(({ h }) => [...h!.data.subarray(n * H, (n + 1) * H)]);
        logs += Math.log(Math.hypot(...own));
      }
      let above: core.Tensor | undefined; // what the layer above gives to the output of this one
      for (let layer = numLayers - 1; layer >= 0; layer--) {
        const gradient = gradients[layer]!;
        const data = Float64Array.from(gradient.h!.data, (value, i) => value + (above?.data[i] ?? 0));
        const { x, h, c } = cells[layer]!.backward({ ...gradient, h: { data, shape: [N, H] } }, step[layer]!);
        gradients[layer] = pick({ h, c });
        above = x;
      }
      return Math.exp(logs / N);
    });
    norms.forEach((norm, back) => expect(norm * expected[0]!).toBeCloseTo(expected[back]!, 12));
    expect(norms[60]).toBeLessThan(0.1);
    training.dispose();
  });

  test("an LSTM starts with open forget gates, and its gradients fade slower than those of an RNN", () => {
    const { fading, LSTM, Training } = modules;
    // prettier-ignore
    const settings = { hiddenSize: 32, numLayers: 1, embeddingDim: 8, learningRate: 0.005, dtype: "f32",
      variant: "auto", seqLen: 32, batchSize: 8, seed: 1 } as const;
    const [rnn, lstm] = (["RNN", "LSTM"] as const).map((cell) => new Training({ ...settings, cell }, TEXT));
    const own = lstm!.model.stateDict();
    const layer = new LSTM(8, 32, { dtype: "f32", unitForgetBias: true }).stateDict();
    for (const name of ["bias_ih_l0", "bias_hh_l0"]) expect(own[`lstm.${name}`]).toEqual(layer[name]);
    const [fast, slow] = [fading(rnn!), fading(lstm!)];
    expect(slow[10]! / fast[10]!).toBeGreaterThan(5);
    expect(slow[30]! / fast[30]!).toBeGreaterThan(1e4);
    rnn!.dispose();
    lstm!.dispose();
  });

  test("a loss that is no number ends the training with advice", () => {
    const { Training } = modules;
    // prettier-ignore
    const training = new Training(
      { cell: "RNN", hiddenSize: 4, numLayers: 1, embeddingDim: 3, learningRate: 1e38, dtype: "f32", variant: "auto",
        seqLen: 16, batchSize: 4, seed: 2 },
      TEXT,
    );
    expect(() => {
      for (let i = 0; i < 50; i++) training.advance();
    }).toThrow("The loss is not finite any more. Reset, and take a smaller learning rate.");
    training.dispose();
  });
});
