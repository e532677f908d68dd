// The page of examples/browser, built as static files, in headless Chromium: clicks and keys train, pause, sample, save and load,
// in both colour schemes and on a phone. `npm test` builds dist/ first. Set PAGE_SCREENSHOTS to a folder to get screenshots.

import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Browser, KeyInput, Page } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { writeNpz } from "../../src/formats/npy.js";
import { CharLM } from "../../src/models/charlm.js";
import { readCharLM, writeCharLM } from "../../src/models/charlm-file.js";
import { Vocabulary } from "../../src/models/text.js";
import { graph, node, onnxFile, onnxTensor } from "../helpers/make-onnx.js";
import { findBrowser, launch, serveFolder, watch, type Server } from "../helpers/browser.js";

const executable = findBrowser("Chromium");

/** Calls a function repeatedly until its result is as expected. */
const poll = <T>(ask: () => T | Promise<T>) => expect.poll(ask, { timeout: 60_000 });

/** Code to put before the worker's own: makes WebAssembly refuse relaxed SIMD. */
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

/** Runs in the page: the contrast (WCAG 2) of each visible text with its background. */
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

/** Settings with which a step takes one or two milliseconds. */
const SMALL = { "#hidden": "24", "#embedding": "8", "#seq": "24", "#batch": "8" };
const PHONE = { width: 360, height: 740 };
const DESK = { width: 1280, height: 900 };

describe.skipIf(executable === undefined)("the page in Chromium", () => {
  let folder: string;
  let server: Server;
  let browser: Browser;
  let page: Page;
  /** The page's path on the server: not the root, as on a server with other pages. */
  let home: string;
  /** The folder to which the page saves. */
  let downloads: string;
  let watched: ReturnType<typeof watch> | undefined;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "wasm-rnn-page-"));
    const { buildPage } = (await import(
      /* @vite-ignore */ new URL("../../scripts/page.mjs", import.meta.url).href
    )) as {
      buildPage: (folder: string) => Promise<void>;
    };
    await buildPage(join(folder, "some/where"));
    server = await serveFolder(folder);
    browser = await launch("Chromium", executable!);
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  afterEach(async () => {
    if (!page.isClosed()) await page.browserContext().close();
    expect(server.refused).toEqual([]);
    expect(server.requests.filter((path) => !path.startsWith(home))).toEqual([]);
    expect(watched?.problems).toEqual([]);
    expect(watched?.elsewhere.filter((address) => !/^(blob|data):/.test(address))).toEqual([]);
  });

  /** Opens the page and waits until it is ready; `worker` is put before the worker's code. */
  async function open(colorScheme: "light" | "dark" = "light", viewport = DESK, worker = ""): Promise<void> {
    home = worker ? "some/where-else/" : "some/where/";
    if (worker) {
      cpSync(join(folder, "some/where"), join(folder, home), { recursive: true });
      const script = join(folder, home, "worker.js");
      writeFileSync(script, worker + readFileSync(script, "utf8"));
    }
    downloads = mkdtempSync(join(folder, "downloads-"));
    const downloadBehavior = { policy: "allow", downloadPath: downloads } as const;
    const context = await browser.createBrowserContext({ downloadBehavior });
    server.forget();
    page = await context.newPage();
    watched = watch(page, server);
    await page.setViewport(viewport);
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: colorScheme }]);
    await page.goto(`${server.url}/${home}`);
    await poll(async () => (await text("#model-facts")) + (await text("#error"))).not.toBe("");
  }

  const click = (selector: string) => page.locator(selector).click();
  /** Sets the values of fields at once, not key by key; for a select, the value of one of its options. */
  const fill = (selector: string, value: string) => page.locator(selector).fill(value, { typingThreshold: 0 });
  const press = async (selector: string, key: KeyInput) => (await page.$(selector))!.press(key);
  const visible = (selector: string) => page.waitForSelector(selector, { visible: true, timeout: 110_000 });
  const isVisible = async (selector: string) => (await page.$(selector))!.isVisible();
  const focused = () => page.evaluate(() => document.activeElement?.id);
  const texts = (selector: string) => page.$$eval(selector, (found) => found.map((each) => each.textContent));
  const text = (selector: string) => page.$eval(selector, (element) => element.textContent);
  const number = async (selector: string): Promise<number> => Number((await text(selector)).replaceAll(",", ""));
  const upload = async (...files: string[]) => (await page.$("input#file"))!.uploadFile(...files);

  async function shot(name: string): Promise<void> {
    const { PAGE_SCREENSHOTS: pictures } = process.env;
    if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  }

  /** Unfolds the settings. */
  async function settings(): Promise<void> {
    if (!(await page.$("#setup[open]"))) await click("#setup > summary");
  }

  /** Starts a new training with the small settings and those given. */
  async function small(others: Record<string, string> = {}): Promise<void> {
    await settings();
    if (!(await page.$("#settings details[open] #embedding"))) await click("summary ::-p-text(More settings)");
    for (const [selector, value] of Object.entries(SMALL)) await fill(selector, value);
    for (const [selector, value] of Object.entries(others)) await fill(selector, value);
    await click("#reset");
    await poll(() => text("#model-facts")).toContain("of 24 units");
  }

  /** Records all texts of the status from now on. */
  async function listen(): Promise<() => Promise<string[]>> {
    await page.evaluate(() => {
      const said: string[] = [];
      const status = document.querySelector("#status")!;
      new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
      Object.assign(globalThis, { said });
    });
    return () => page.evaluate(() => (globalThis as unknown as { said: string[] }).said);
  }

  async function trainTo(step: number): Promise<void> {
    await click("#start");
    await poll(() => number("#figure-step")).toBeGreaterThanOrEqual(step);
    await click("#start");
    await poll(() => text("#start")).toBe("Resume");
  }

  async function sample(): Promise<string> {
    await fill("#draw", "7");
    await fill("#length", "60");
    const before = await page.evaluate(() => {
      const element = document.querySelector("#sample")!;
      element.textContent = "";
      return element.textContent;
    });
    expect(before).toBe("");
    await click("#write");
    await poll(() => text("#sample")).not.toBe("");
    return text("#sample");
  }

  test("trains 200 steps: the loss falls, the page stays responsive, pause stops it", async () => {
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
      Object.assign(globalThis, { watch });
    });
    await poll(() => number("#figure-validation")).toBeGreaterThan(3); // the worker reports it when it is ready
    const untrained = await number("#figure-validation");
    await trainTo(205);
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
      /^After [\d,]+ steps here the training loss is \d\.\d+, down from \d\.\d+; on/,
    );
    expect((await texts("#loss-table tbody tr")).length).toBeGreaterThan(5);
    const milestones = await texts("#milestones li strong");
    expect(milestones).toHaveLength(8);
    for (const each of milestones) expect(each).toMatch(/^Step [\d,]+, validation loss \d\.\d\d$/);

    const paused = await number("#figure-step");
    await sleep(400);
    expect(await number("#figure-step")).toBe(paused);
    await click("#step");
    await poll(() => number("#figure-step")).toBe(paused + 1);
    await click("#reset");
    await poll(() => number("#figure-step")).toBe(0);
    expect(await text("#figure-loss")).toBe("–");
  });

  test("a saved and loaded model generates the same text, in the page and by readCharLM", async () => {
    await open();
    await small({ "#cell": "GRU" });
    await trainTo(30);
    const steps = await number("#figure-step");
    const written = await sample();
    expect([...written].length).toBe(60);
    expect(await sample()).toBe(written);
    await click("#save");
    const saved = `charlm-${steps}.safetensors`;
    await poll(() => readdirSync(downloads)).toEqual([saved]); // it has another name until it is complete
    const file = join(downloads, saved);
    const { model, training } = readCharLM(readFileSync(file));
    expect(model.architecture).toEqual({ cell: "GRU", embeddingDim: 8, hiddenSize: 24, numLayers: 1, dtype: "f32" });
    expect(training.steps).toBe(steps);
    model.dispose();

    await fill("#cell", "LSTM");
    await click("#reset");
    await poll(() => text("#model-facts")).toContain("LSTM");
    expect(await sample()).not.toBe(written);
    await upload(file);
    await poll(() => text("#status")).toContain(`Model loaded, after ${steps} steps`);
    expect(await page.$eval("select#cell", ({ value }) => value)).toBe("GRU");
    expect(await sample()).toBe(written);

    // a file that is not a model is refused, and the model is kept
    const broken = join(folder, "broken.safetensors");
    writeFileSync(broken, "no safetensors at all");
    await upload(broken);
    await poll(() => text("#error")).toMatch(/^The model could not be loaded: /);
    expect(await isVisible("#error")).toBe(true);
    expect(await sample()).toBe(written);
    expect(await isVisible("#error")).toBe(false);
  });

  test("files of other programs: a model of characters writes, others are described, by choice and by drop", async () => {
    await open();
    await small({ "#text-choice": "house" });
    const own = await sample();
    const put = (name: string, bytes: Uint8Array) => {
      const path = join(mkdtempSync(join(folder, "files-")), name);
      writeFileSync(path, bytes);
      return path;
    };
    const hidden = async () => !(await isVisible("#described"));
    expect(await hidden()).toBe(true);

    // names are text alone
    const name = '<img src="x" onerror="document.title=1">';
    const one = onnxTensor("f32", [2, 3], [1, 2, 3, 4, 5, 6]);
    const nodes = [node("MatMul", ["x", name], ["y"])];
    await upload(put("any.bin", onnxFile(graph({ x: ["f32", ["n", 2]] }, { y: ["f32", ["n", 3]] }, nodes, { [name]: one })))); // prettier-ignore
    await poll(() => text("#described-title")).toBe("The file is an ONNX model: 1 parts, 6 numbers");
    expect(await texts("#described-table tbody tr > *")).toEqual([name, "[2, 3]", "f32"]);
    expect(await texts("#described-facts li")).toContain("Inputs: x f32 [n, 2]. Outputs: y f32 [n, 3].");
    expect(await page.$$("#described img")).toEqual([]);
    expect(await page.title()).not.toBe("1");
    expect(await sample()).toBe(own); // the training is as it was
    await shot("described");

    const arrays = writeNpz({ weights: { data: Float64Array.of(1, 2), shape: [2] }, n: { data: Uint8Array.of(3), shape: [] } }); // prettier-ignore
    await page.evaluate(
      (bytes) => {
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([Uint8Array.from(bytes)], "arrays.npz"));
        const over = new DragEvent("dragover", { dataTransfer, bubbles: true, cancelable: true });
        document.querySelector("main")!.dispatchEvent(over);
        if (!over.defaultPrevented) throw new Error("a drop is not taken");
        document.querySelector("main")!.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true })); // prettier-ignore
      },
      [...arrays],
    );
    await poll(() => text("#described-title")).toBe("The file is arrays of NumPy: 2 parts, 3 numbers");
    expect(await texts("#described-table tbody tr > *")).toEqual(["weights", "[2]", "f64", "n", "[]", "u8"]);

    const net = { in_shape: [null, null, 1], layers: [{ type: "dense", activation: "", shape: [null, null, 1], weights: [[[3]], [1]] }] }; // prettier-ignore
    await upload(put("net.json", Buffer.from(JSON.stringify(net))));
    await poll(() => text("#described-title")).toBe("The file is a model of RTNeural: 2 parts, 2 numbers");
    expect(await texts("#described-table tbody th")).toEqual(["0 dense.weight", "0 dense.bias"]);

    // a model of several files: one that is missing is named
    const characters = [..."abcdefghijklmnopqrstuvwxyz ,.\n"];
    const [v, h] = [characters.length, 2];
    const cell = "rnnlm/multi_rnn_cell/cell_0/basic_lstm_cell";
    const shapes = { embedding: [v, 3], [`${cell}/kernel`]: [3 + h, 4 * h], [`${cell}/bias`]: [4 * h], "rnnlm/softmax_w": [h, v], "rnnlm/softmax_b": [v] }; // prettier-ignore
    const variables = Object.entries(shapes).map(([key, shape], i) => ({ key, shape, filename: `variable${i}` }));
    const manifest = Object.fromEntries(variables.map(({ key, ...entry }) => [key, entry]));
    const zeros = (shape: readonly number[]) => new Uint8Array(4 * shape.reduce((a, b) => a * b, 1));
    const paths = [
      put("manifest.json", Buffer.from(JSON.stringify(manifest))),
      put("vocab.json", Buffer.from(JSON.stringify(Object.fromEntries(characters.map((each, i) => [each, i]))))),
      ...variables.map(({ filename, shape }) => put(filename, zeros(shape))),
    ];
    await upload(...paths.slice(0, -1));
    await poll(() => text("#error")).toContain('a manifest.json of ml5, without "variable4"');
    expect(await sample()).toBe(own);
    await upload(...paths);
    await poll(() => text("#status")).toContain("Model loaded, after 0 steps");
    expect(await text("#model-facts")).toContain("1 × LSTM of 2 units, f32");
    expect(await hidden()).toBe(true);
    const written = await sample();
    expect([...written].every((each) => characters.includes(each))).toBe(true);
    expect([...written].length).toBe(60);
  });

  test("a model that cannot generate text is not loaded, and the running training continues", async () => {
    await open();
    await small({ "#text-choice": "house" });
    const model = new CharLM(Vocabulary.fromText("This is the house that Jack built.\n"), {
      hiddenSize: 8,
      dtype: "f32",
    });
    model.parameters()[0]!.value.data.fill(NaN);
    const file = join(folder, "not-finite.safetensors");
    writeFileSync(file, writeCharLM(model, { steps: 10 }));
    model.dispose();
    await click("#start");
    await poll(() => number("#figure-step")).toBeGreaterThan(0);
    await upload(file);
    await poll(() => text("#error")).toBe(
      "The model could not be loaded: model: got outputs that are not finite, expected finite weights",
    );
    const refused = await number("#figure-step");
    await poll(() => number("#figure-step")).toBeGreaterThan(refused);
    await click("#start");
    await poll(() => text("#start")).toBe("Resume");
    expect(await text("#model-facts")).toContain("of 24 units");
    expect((await sample()).length).toBe(60);
  });

  test("a text that arrives late does not replace a later choice", async () => {
    await open();
    const held: (() => Promise<void>)[] = [];
    page.on("request", (request) => {
      const go = () => request.continue();
      if (request.url().endsWith("/moby-dick.txt")) held.push(go);
      else void go();
    });
    await page.setRequestInterception(true);
    await page.reload();
    await poll(() => held.length).toBe(1);
    await small({ "#text-choice": "house" });
    const house = await text("#model-facts");
    await click("#start");
    await poll(() => number("#figure-step")).toBeGreaterThan(0);
    await held[0]!();
    await poll(() =>
      page.evaluate(() => performance.getEntriesByName(new URL("moby-dick.txt", document.baseURI).href).length),
    ).toBe(1);
    await sleep(500); // setting up takes 50 ms
    expect(await text("#start")).toBe("Pause");
    expect(await text("#model-facts")).toBe(house);
    expect(await isVisible("#changed")).toBe(false);

    // a training that was requested before another text was chosen keeps its own text
    await page.evaluate(async () => {
      const select = document.querySelector<HTMLSelectElement>("#text-choice")!;
      const reset = document.querySelector<HTMLButtonElement>("#reset")!;
      reset.click();
      await new Promise((resolve) => setTimeout(resolve)); // the request is on its way to the worker
      select.value = "own";
      select.dispatchEvent(new Event("input", { bubbles: true }));
      document.querySelector<HTMLTextAreaElement>("#own-text")!.value = "too short";
      reset.click();
    });
    await poll(() => text("#error")).toContain("The text has 9 characters");
    expect(await text("#model-facts")).toBe(house);
    expect(await isVisible("#changed")).toBe(true);
  });

  test("generates a line without a prompt, and lists unknown characters of a prompt", async () => {
    await open();
    await small({ "#text-choice": "house" });
    await fill("#hidden", "48");
    await fill("#rate", "0.01");
    await trainTo(150);
    const lines = ["This is the ", "That "];
    for (let seed = 0; seed < 20; seed++) {
      await fill("#draw", `${seed}`);
      await fill("#length", "30");
      await fill("#temperature", "0.5");
      await page.evaluate(() => (document.querySelector("#sample")!.textContent = ""));
      await click("#write");
      await poll(() => text("#sample")).not.toBe("");
      const written = (await text("#sample")).trimStart();
      expect(
        lines.some((line) => written.startsWith(line)),
        written,
      ).toBe(true);
    }
    const without = await sample();
    expect(await isVisible("#skipped")).toBe(false);
    await fill("#prompt", "鯨é鯨");
    expect(await sample()).toBe(`鯨é鯨${without}`);
    expect(await text("#skipped")).toBe(
      "The model has not read these characters of the beginning, which it does not know: 鯨 é.",
    );
    await fill("#prompt", "This");
    expect(await sample()).toMatch(/^This/);
    expect(await isVisible("#skipped")).toBe(false);
  });

  test("reports invalid texts and settings", async () => {
    await open();
    await small();
    await fill("#text-choice", "own");
    expect(await isVisible("#changed")).toBe(true);
    await fill("#own-text", "too short");
    await click("#reset");
    await poll(() => text("#error")).toContain("The text has 9 characters");
    await fill("#own-text", "to be or not to be, ".repeat(60));
    await fill("#hidden", "0");
    await click("#reset");
    expect(await text("#error")).toBe("Hidden units: Value must be greater than or equal to 1.");
    expect(await focused()).toBe("hidden");
    await fill("#hidden", "4096");
    await click("#start");
    expect(await text("#error")).toBe("Hidden units: Value must be less than or equal to 1024.");
    await fill("#hidden", "24");
    await fill("#seq", "");
    await click("summary ::-p-text(More settings)");
    await click("#start");
    expect(await text("#error")).toBe("Window: Please fill out this field.");
    expect(await focused()).toBe("seq");
    await fill("#seq", "64");
    await click("#start"); // uses the changed settings, since no step was done
    await poll(() => text("#model-facts")).toContain("of 24 units");
    await poll(() => number("#figure-step")).toBeGreaterThan(0);
    expect(await isVisible("#changed")).toBe(false);
  });

  test("accepts a text of megabytes without blocking the page", async () => {
    await open();
    await small();
    await fill("#text-choice", "own");
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
    await click("#reset");
    await poll(() => text("#model-facts")).toContain("an alphabet of 14; 4,132,500 characters to learn from");
    await fill("#own-text", "something else");
    expect(await text("#own-text-note")).toBe("");
    expect(await isVisible("#changed")).toBe(true);
  });

  test("reports that the learning rate is too large, and refuses one out of range", async () => {
    await open();
    await small();
    await fill("#rate", "1");
    await press("#rate", "Tab");
    await click("#start");
    await visible("#diverging");
    await fill("#rate", "10");
    await press("#rate", "Tab");
    await poll(() => text("#error")).toBe("Learning rate: Value must be less than or equal to 1.");
    expect(await text("#start")).toBe("Pause");
    await fill("#rate", "0.01");
    await press("#rate", "Tab");
    await click("#reset");
    await poll(() => isVisible("#diverging")).toBe(false);
    expect(await isVisible("#error")).toBe(false);
  });

  test("reports a slow step and too little memory, and continues with smaller settings", async () => {
    await open();
    await settings();
    await click("summary ::-p-text(More settings)");
    await fill("#hidden", "1024");
    await fill("#seq", "512");
    await fill("#batch", "256");
    await fill("#dtype", "f64");
    const listened = await listen();
    await click("#start");
    await poll(() => text("#error")).toMatch(
      /^The training has stopped: .* MiB .*Take fewer units, layers or streams, or a shorter window\.$/,
    );
    expect(await listened()).toContainEqual(expect.stringMatching(/^Training\. A step takes \d+ seconds at least/));
    await small();
    await trainTo(20);
  });

  test("shows the selected build, and trains with it", async () => {
    await open();
    await small({ "#variant": "simd" });
    expect(await text("#build-facts")).toMatch(/^wasm-rnn \S+, SIMD build\.$/);
    await trainTo(20);
    const simd = await sample();
    await fill("#variant", "relaxed");
    await click("#reset");
    await poll(() => text("#build-facts")).toMatch(/, relaxed SIMD build\.$/);
    await trainTo(20);
    expect((await sample()).length).toBe(simd.length);
  });

  test("reports that a build cannot run, and keeps the one that can", async () => {
    // Chromium has no switch that disables relaxed SIMD: this simulates an engine without it
    await open("light", DESK, withoutRelaxed);
    await small();
    expect(await text("#build-facts")).toMatch(/, SIMD build\.$/);
    await fill("#variant", "relaxed");
    await click("#reset");
    await poll(() => text("#error")).toMatch(/^The training could not be set up: variant: .*relaxed/);
    expect(await text("#build-facts")).toMatch(/, SIMD build\.$/);
    expect((await sample()).length).toBe(60);
    await fill("#variant", "auto");
    await trainTo(20);
  });

  test("reports that there is no WebAssembly", async () => {
    await open("light", DESK, "delete globalThis.WebAssembly;\n");
    await poll(() => text("#error")).toMatch(
      /^The trained network could not be loaded: .*an engine without WebAssembly/,
    );
  });

  test("announces its progress to screen readers, but not too often", async () => {
    await open();
    await small();
    const listened = await listen();
    await trainTo(600);
    const said = await listened();
    expect(said[0]).toBe("Training.");
    expect(said.at(-1)).toMatch(/^Paused at step [\d,]+\.$/);
    expect(said.length).toBeLessThanOrEqual(5); // five milestones in a few seconds
  });

  test("scrolls the heat map with its cursor", async () => {
    await open("light", PHONE);
    await small();
    await click("#inspect");
    await poll(() => text("#map-about")).toBe("It reads your text.");
    await page.focus("#map");
    const isInside = () =>
      page.evaluate(() => {
        const [column, scroller] = ["#map-column", ".scroll:has(#map)"].map((selector) =>
          document.querySelector(selector)!.getBoundingClientRect(),
        );
        return column!.left >= scroller!.left && column!.right <= scroller!.right + 1;
      });
    await page.keyboard.press("End");
    expect(await text("#map-readout")).toContain("character 108 “.”");
    expect(await isInside()).toBe(true);
    await page.keyboard.press("Home");
    expect(await isInside()).toBe(true);
  });

  test("a message does not cover its field on a phone", async () => {
    await open("light", PHONE);
    await settings();
    await fill("#hidden", "4096");
    await click("#reset");
    expect(await focused()).toBe("hidden");
    const apart = await page.evaluate(() => {
      const [message, field] = ["error", "hidden"].map((id) => document.getElementById(id)!.getBoundingClientRect());
      return field!.top - message!.bottom;
    });
    expect(apart).toBeGreaterThan(0);
  });

  test("shows units by pointer and keys, and vanishing gradients", async () => {
    await open();
    await small();
    await trainTo(100);
    await click("#inspect");
    await poll(() => text("#map-about")).toBe("It reads your text.");
    expect(await texts("#map-kind option")).toEqual([
      "hidden state h",
      "cell state c",
      "input gate i",
      "forget gate f",
      "candidate g",
      "output gate o",
    ]);
    await page.focus("#map");
    const keys = ["Home", "PageUp", "PageUp", "PageUp", "ArrowDown", "ArrowDown", "ArrowRight"] as const;
    for (const key of keys) await page.keyboard.press(key);
    expect(await text("#map-readout")).toMatch(/^Unit 3 of 24, character 2 “a”: hidden state h = -?\d\.\d{3}$/);
    await fill("#map-kind", "f");
    expect(await text("#map-readout")).toMatch(/forget gate f = \d\.\d{3}$/);
    const { x, y } = await (await page.$("#map"))!.clickablePoint({ x: 20, y: 40 });
    await page.mouse.move(x, y);
    expect(await text("#map-readout")).toMatch(/^Unit 2 of 24, character 2/);
    await click("#unit-table button");

    await click("#fade");
    await poll(() => texts("#fading-table tbody tr")).toHaveLength(1);
    await fill("#compare-steps", "40");
    await click("#compare");
    await visible("#comparison-table tbody tr");
    expect(await texts("#comparison-table tbody th")).toEqual(["RNN", "GRU", "LSTM"]);
    expect(await texts("#fading-table tbody tr")).toHaveLength(7);
    expect(await text("#fading-summary")).toMatch(
      /^This model: LSTM, step \d+: below 1% from \d+ steps back\.30 steps back this share of the gradient is left, the most first: (\w+ [\d.e-]+, ){2}\w+ [\d.e-]+ in the new models/,
    );
    await shot("units-and-gradients");
  });

  test("trains with the keyboard alone", async () => {
    await open();
    await page.focus("#stage-text");
    const visited: (string | undefined)[] = [];
    for (let i = 0; i < 12; i++) {
      visited.push(await focused());
      if (visited.at(-1) === "start") break;
      await page.keyboard.press("Tab");
    }
    expect(visited).toEqual(["stage-text", "start"]);
    await page.keyboard.press("Enter");
    await poll(() => text("#start")).toBe("Pause");
    await page.keyboard.press("Enter");
    await poll(() => text("#start")).toBe("Resume");
  });

  test("shows the keyboard focus everywhere", async () => {
    await open();
    await small();
    await click("#write");
    await click("#inspect");
    await poll(() => text("#map-about")).toBe("It reads your text.");
    await fill("#compare-steps", "5");
    await click("#compare");
    await visible("#comparison-table tbody tr");
    await page.focus(".skip");
    await page.keyboard.press("Tab");
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
      if (name === "") break; // back at the start
      visited.push(name);
      expect(outlined, name).toBe(true);
      await page.keyboard.press("Tab");
    }
    expect(visited).toEqual(expect.arrayContaining(["start", "file", "sample", "map", "fade", "compare", "inspect"]));
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
    await fill("#prompt", "The whale");
    await click("#write");
    await click("#inspect");
    await poll(() => text("#map-about")).toBe("It reads your text.");
    await fill("#compare-steps", pictures ? "300" : "5");
    await click("#compare");
    await visible("#comparison-table tbody tr");
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
