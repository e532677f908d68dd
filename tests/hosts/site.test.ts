// The site as `npm run site` builds it, in Chromium and Firefox, at the sizes of a desk and a phone: each page is clicked through, in
// every state nothing overlaps or overflows, axe-core finds nothing, the layout does not move, and it works offline. The lines of code
// that the pages show run. The tests of the front page's trainer are in demo-page.test.ts, those of the models of speech in speech-page.test.ts. Set
// PAGE_SCREENSHOTS to a folder to get screenshots.

import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "puppeteer-core";
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { serveFolder as serveIsolated } from "../../scripts/serve.mjs";
import { buildSite } from "../../scripts/site.js";
import {
  findBrowser,
  findViolations,
  launch,
  nestedWorkers,
  serveFolder,
  watch,
  type BrowserName,
  type Server,
} from "../helpers/browser.js";
import { modelsDirectory } from "../helpers/onnx.js";
import { installedFile, installOnnxRuntime } from "../helpers/onnxruntime.js";
import { root, run } from "../helpers/project.js";

const hasSpeech = installOnnxRuntime();
const hasDtln = existsSync(join(modelsDirectory, "dtln-1"));
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844, isMobile: true, hasTouch: true };

let folder: string;
let server: Server;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "wasm-rnn-site-"));
  await buildSite(join(folder, "some/where"), {
    without: hasSpeech ? ["docs"] : ["docs", "speech"],
    models: hasDtln ? modelsDirectory : undefined,
    address: "https://example.org/net",
  });
  server = await serveFolder(folder);
});

afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const poll = <T>(ask: () => T | Promise<T>) => expect.poll(ask, { timeout: 60_000 });

/** What the pages say of the cores that compute. */
const onCores = (cores: number) => (cores === 1 ? "on one processor core" : `on ${cores} processor cores`);

/** Runs in the page: elements that stand out of the window or of their parents, texts that are cut off, controls that overlap. */
function findFaults(): string[] {
  const name = (element: Element) => `${element.tagName} ${element.id || element.textContent.trim().slice(0, 30)}`;
  const visible = [...document.querySelectorAll<HTMLElement>("body *")].filter(
    (element) => element.checkVisibility({ visibilityProperty: true }) && !element.closest(".unseen, .skip"),
  );
  const faults: string[] = [];
  if (document.documentElement.scrollWidth > innerWidth) faults.push(`the page is ${document.documentElement.scrollWidth} wide`); // prettier-ignore
  for (const element of visible) {
    const { left, right, width } = element.getBoundingClientRect();
    if (width > 0 && (left < -1 || right > innerWidth + 1) && !element.closest(".scroll, pre")) faults.push(`${name(element)} stands out`); // prettier-ignore
    if (element.matches("button, label, dd, dt, summary, nav a, h1, h2, h3, .says") && element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0) faults.push(`${name(element)} is cut off`); // prettier-ignore
  }
  const controls = visible.filter((element) => element.matches("button, select, input:not(.hidden-input), textarea, nav a, h1, h2, dd, pre, canvas.chart")); // prettier-ignore
  const boxes = controls.filter((element) => !element.closest(".scroll")).map((element) => ({ element, box: element.getBoundingClientRect() })); // prettier-ignore
  for (const [i, a] of boxes.entries()) {
    for (const b of boxes.slice(i + 1)) {
      if (a.element.contains(b.element) || b.element.contains(a.element)) continue;
      const [across, down] = [
        Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left),
        Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top),
      ];
      if (across > 1 && down > 1) faults.push(`${name(a.element)} overlaps ${name(b.element)}`);
    }
  }
  return faults;
}

describe.each<BrowserName>(["Chromium", "Firefox"])("the site in %s", (name) => {
  const executable = findBrowser(name);
  if (executable === undefined) return;

  let browser: Browser;
  let context: BrowserContext | undefined;
  let page: Page;
  let watched: ReturnType<typeof watch>;

  beforeAll(async () => {
    browser = await launch(name, executable, name === "Chromium" ? ["--autoplay-policy=no-user-gesture-required"] : []);
  });
  afterAll(() => browser?.close());
  afterEach(async () => {
    await context?.close();
    context = undefined;
  });

  async function open(
    path: string,
    viewport: typeof DESK | typeof PHONE = DESK,
    scheme: "light" | "dark" = "light",
  ): Promise<void> {
    server.forget();
    context = await browser.createBrowserContext();
    page = await context.newPage();
    watched = watch(page, server);
    await page.setViewport(name === "Firefox" ? { width: viewport.width, height: viewport.height } : viewport);
    if (name === "Chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await page.evaluateOnNewDocument(() => {
      const moved = { by: 0, what: [] as string[] };
      Object.assign(globalThis, { moved });
      if (!PerformanceObserver.supportedEntryTypes.includes("layout-shift")) return;
      const sum = (list: PerformanceObserverEntryList) => {
        for (const entry of list.getEntries()) {
          const each = entry as PerformanceEntry & { value: number; hadRecentInput: boolean; sources: { node?: Element }[] }; // prettier-ignore
          if (each.hadRecentInput) continue;
          moved.by += each.value;
          moved.what.push(
            `${each.value.toFixed(3)} ${each.sources.map(({ node }) => node?.id || node?.nodeName).join()}`,
          );
        }
      };
      new PerformanceObserver(sum).observe({ type: "layout-shift", buffered: true });
    });
    await page.goto(new URL(path, `${server.url}/some/where/`).href);
  }

  const text = (selector: string) => page.$eval(selector, (element) => element.textContent);
  const click = (selector: string) => page.locator(selector).click();

  /** Nothing is wrong with the page as it is now. */
  async function expectWell(state: string): Promise<void> {
    expect(await page.evaluate(findFaults), state).toEqual([]);
    const violations = await findViolations(page);
    expect(violations, state).toEqual([]);
    const moved = await page.evaluate(() => (globalThis as unknown as { moved: { by: number; what: string[] } }).moved);
    expect(moved.by, `${state}: ${moved.what.join("; ")}`).toBeLessThan(0.05);
    expect(watched.problems, state).toEqual([]);
    expect(
      watched.elsewhere.filter((address) => !/^(blob|data):/.test(address)),
      state,
    ).toEqual([]);
    expect(server.refused, state).toEqual([]);
    const { PAGE_SCREENSHOTS: pictures } = process.env;
    if (pictures) await page.screenshot({ path: join(pictures, `${state}-${name}.png`) });
  }

  /** Whether all of an element is in the first screen. */
  const inFirstScreen = (selector: string) =>
    page.$eval(selector, (element) => element.getBoundingClientRect().bottom <= innerHeight && scrollY === 0);

  const isChecked = (selector: string) =>
    page.$eval(selector, (field) => field instanceof HTMLInputElement && field.checked);

  const sizes = [
    ["desk", DESK, "light"],
    ["phone", PHONE, "dark"],
  ] as const;

  test.each(sizes)("it writes at once, learns, and shows earlier samples: %s", async (device, viewport, scheme) => {
    await open("", viewport, scheme);
    await poll(async () => (await text("#stage-text")).length).toBeGreaterThan(150);
    expect(await page.$$eval("#next li", (items) => items.length)).toBe(3);
    for (const selector of ["h1", ".claim p", "#start", "#stage-text"])
      expect(await inFirstScreen(selector), selector).toBe(true);
    expect(await text("#stage-about")).toMatch(/^A network of 91,\d{3} numbers, trained on Moby Dick, writes now/);
    const before = await text("#stage-text");
    await poll(() => text("#stage-text")).not.toBe(before);
    await poll(async () => (await page.$$("#unit-table tbody tr")).length).toBeGreaterThan(4);
    await expectWell(`write-trained-${device}`);

    await page.select("#text-choice", "names");
    expect(await page.evaluate(() => location.hash)).toBe("#text=names");
    await click("#start");
    await poll(() => text("#stage-about")).toMatch(/^A new LSTM on first names: it learns, [1-9]/);
    expect(await text("#start")).toBe("Pause");
    await poll(async () =>
      Number(await page.$eval("#scrub", (scrub) => (scrub as HTMLInputElement).max)),
    ).toBeGreaterThan(3);
    await expectWell(`write-learning-${device}`);
    await page.$eval("#scrub", (scrub) => {
      (scrub as HTMLInputElement).valueAsNumber = 1;
      scrub.dispatchEvent(new Event("input", { bubbles: true }));
    });
    expect(await text("#scrub-at")).toMatch(/^after 5 steps/);
    await click("#start");
    await poll(() => text("#start")).toBe("Resume");
    const [, said] = /step ([\d,]+)\.$/.exec(await text("#status"))!;
    expect(await text("#figure-step")).toBe(said);
    expect(await text("#stage-about")).toContain(`${said} steps`);
    await expectWell(`write-paused-${device}`);
    await click("#reopen");
    await poll(() => text("#stage-about")).toContain("trained on Moby Dick");
    expect(await text("#start")).toBe("Train a new one");
  });

  test.each(sizes)("three cells race: %s", async (device, viewport, scheme) => {
    await open("why/#task=remember&gap=10", viewport, scheme);
    for (const selector of ["h1", ".claim p", "#race", "#lane-GRU"])
      expect(await inFirstScreen(selector), selector).toBe(true);
    await poll(() => text("#verdict")).toMatch(/^Solved by /);
    expect(await text("#example")).toMatch(/^[A-D][a-d]{10}\?$/);
    await poll(() => text("#fading-summary")).toMatch(/^At step \d+, of the gradient .* 11 steps back: /);
    await expectWell(`why-${device}`);
    await page.select("#task", "add");
    expect(await page.evaluate(() => location.hash)).toMatch(/task=add/);
    await poll(() => text("#asks")).toMatch(/^Numbers between 0 and 1/);
    await poll(() => text("#steps")).toMatch(/^Step [1-9]/);
    await click("#race");
    await poll(() => text("#race")).toBe("Race again");
    await expectWell(`why-stopped-${device}`);
  });

  test.each(sizes)("a riff goes through the amplifier: %s", async (device, viewport, scheme) => {
    await open("amp/", viewport, scheme);
    for (const selector of ["h1", ".claim p", "#play", "#scope"])
      expect(await inFirstScreen(selector), selector).toBe(true);
    await poll(() => text("#load")).toMatch(/^[\d.]+ %$/);
    await poll(() => text("#files")).toMatch(/amp\.json.*2\d\.\d kB/);
    await expectWell(`amp-${device}`);
    await click("#play");
    await poll(() => text("#play")).toBe("Stop");
    await click("#on");
    expect(await text("#scope-summary")).toContain("since the amplifier is off");
    await poll(() => text("#status")).toMatch(/^It plays/);
    await click("#play");
    await poll(() => text("#play")).toBe("Play the riff");
    await expectWell(`amp-played-${device}`);
  });

  test.runIf(hasSpeech).each(sizes)(
    "speech is found before anything is pressed, and heard: %s",
    async (device, viewport, scheme) => {
      await open("speech/", viewport, scheme);
      for (const selector of ["h1", ".claim p", "#start", "#waveform"])
        expect(await inFirstScreen(selector), selector).toBe(true);
      await poll(() => text("#status")).toMatch(/^Ready: 9\.0 s of sound, heard by the networks in [\d.]+ s\.$/);
      expect(await text("#spoken")).toMatch(/^4\.\d s$/);
      expect(await page.$$eval("#segments li", (items) => items.length)).toBe(3);
      expect((await page.$("#denoising")) !== null).toBe(hasDtln);
      expect(await text("h1")).toBe(hasDtln ? "Take the noise from a voice" : "It hears when somebody speaks");
      await expectWell(`speech-${device}`);
      await page.focus("#start");
      await page.keyboard.press("Enter");
      await poll(() => text("#start")).toBe("Stop");
      expect(await text("#status")).toMatch(/^It plays/);
      // Firefox has no clock of sound where there is no loudspeaker
      if (name === "Chromium") await poll(() => text("#probability")).toMatch(/^[01]\.\d\d$/);
      if (hasDtln) await page.click("input[value=raw]");
      await expectWell(`speech-playing-${device}`);
      await click("#start");
      await poll(() => text("#status")).toBe("Played.");
      expect(await page.$eval("#now", (element) => (element as HTMLElement).hidden)).toBe(true);
      await page.select("#source", "own");
      await poll(() => text("#status")).toBe("Choose a file of sound.");
      expect(await text("#spoken")).toBe("–"); // not of the sound before
      await expectWell(`speech-file-${device}`);
    },
  );

  test.runIf(name === "Chromium")("addresses keep the sound: the same picture for whoever opens them", async () => {
    /** A canvas whose curve goes up and down, as it is when it does not change any more. */
    const drawn = async (selector: string) => {
      let latest = "";
      await poll(async () => {
        const before = latest;
        const [rows, picture] = await page.$eval(selector, (element) => {
          const canvas = element as HTMLCanvasElement;
          const { data, width, height } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
          const painted = Array.from({ length: height }, (_, y) => data.subarray(4 * width * y, 4 * width * (y + 1)).some((each) => each > 0)); // prettier-ignore
          return [painted.filter(Boolean).length, canvas.toDataURL()] as const;
        });
        latest = picture;
        return rows > 40 && latest === before;
      }).toBe(true);
      return latest;
    };
    const cases: (readonly [path: string, canvas: string, ready: string, others: readonly string[]])[] = [
      ["amp/#riff=5&drive=6", "#scope", "#load", ["riff=5", "riff=6&drive=6"]],
    ];
    if (hasSpeech) cases.push(["speech/#noise=1&seed=4", "#waveform", "#spoken", ["noise=1", "noise=8&seed=4"]]);
    for (const [path, canvas, ready, others] of cases) {
      const pictures: string[] = [];
      for (const each of [path, path, ...others.map((hash) => path.replace(/#.*/, `#${hash}`))]) {
        await open(each);
        await poll(() => text(ready)).not.toBe("–");
        pictures.push(await drawn(canvas));
        await context!.close();
        context = undefined;
      }
      expect(pictures[1], path).toBe(pictures[0]);
      expect(new Set(pictures).size, path).toBe(1 + others.length);
    }
  });

  test("settings of the pages with sound go into their addresses", async () => {
    await open("amp/#amplifier=off&riff=3&drive=99");
    expect(await isChecked("#on")).toBe(false);
    expect(await page.$eval("#riff", (field) => (field as HTMLInputElement).value)).toBe("3");
    await click("#on");
    expect(await page.evaluate(() => location.hash)).toMatch(/^#riff=3/);
    expect(await page.evaluate(() => location.hash)).not.toContain("amplifier");
    if (!hasSpeech) return;
    await open("speech/#heard=raw&source=recorded&seed=2");
    await poll(() => text("#status")).toMatch(/^Ready/);
    if (hasDtln) expect(await isChecked("input[value=raw]")).toBe(true);
    if (hasDtln) await page.click("input[value=clean]");
    await page.select("#source", "microphone");
    expect(await page.evaluate(() => location.hash)).toBe("#source=microphone&seed=2");
    expect(await text("#start")).toBe("Listen");
  });

  test.runIf(name === "Chromium")("the same address gives the same text", async () => {
    const texts: string[] = [];
    for (let i = 0; i < 2; i++) {
      await open("#seed=5&temperature=0.5");
      await poll(async () => (await text("#stage-text")).length).toBeGreaterThan(100);
      texts.push((await text("#stage-text")).slice(0, 100));
      await context!.close();
    }
    expect(texts[0]).toBe(texts[1]);
    await open("#seed=6&temperature=0.5&cell=GRU&hidden=99999");
    await poll(async () => (await text("#stage-text")).length).toBeGreaterThan(100);
    expect((await text("#stage-text")).slice(0, 100)).not.toBe(texts[0]);
    expect(await page.$eval("#cell", (field) => (field as HTMLSelectElement).value)).toBe("GRU");
    expect(await page.$eval("#hidden", (field) => (field as HTMLInputElement).value)).toBe("128"); // out of its range
  });

  test.runIf(name === "Chromium")("a dropped text is learned from", async () => {
    await open("");
    await poll(() => text("#start")).toBe("Train a new one");
    await poll(async () => (await text("#stage-text")).length).toBeGreaterThan(100);
    await page.evaluate(() => {
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File(["The whale is white and wide.\n".repeat(200)], "whale.txt"));
      document.querySelector("main")!.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true })); // prettier-ignore
    });
    await poll(() => text("#stage-about")).toMatch(/^A new LSTM on your text: it learns, [1-9]/);
  });

  test("offline it works after the first load; a new build takes over at the next", async () => {
    const copy = join(folder, "other");
    cpSync(join(folder, "some/where"), copy, { recursive: true });
    await open("../../other/");
    const controlled = () => page.evaluate(async () => (await navigator.serviceWorker.ready).active?.state);
    await poll(controlled).toBe("activated");
    const caches = () => page.evaluate(() => globalThis.caches.keys());
    const [first] = await caches();
    expect(await caches()).toEqual([expect.stringMatching(/^wasm-rnn .*\/other\/ [0-9a-f]{16}$/)]);
    writeFileSync(join(copy, "style.css"), `${readFileSync(join(copy, "style.css"), "utf8")}\n:root { --build: 2; }\n`);
    writeFileSync(join(copy, "sw.js"), readFileSync(join(copy, "sw.js"), "utf8").replace(/BUILD = "\w+"/, 'BUILD = "0123456789abcdef"')); // prettier-ignore
    await page.reload(); // the new worker is found, and fills its cache
    await poll(async () => (await caches()).join()).toMatch(/ 0123456789abcdef$/);
    await poll(caches).not.toContain(first);
    rmSync(copy, { recursive: true, force: true }); // the server has nothing any more
    watched.problems.length = 0;
    await page.reload();
    await poll(async () => (await text("#stage-text")).length).toBeGreaterThan(150);
    expect(await text("#figure-cores")).toBe(onCores(1));
    expect(await page.evaluate(() => getComputedStyle(document.documentElement).getPropertyValue("--build"))).toBe("2");
    await page.goto(`${server.url}/other/why/`);
    await poll(() => text("#steps")).toMatch(/^Step [1-9]/);
    expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(false);
    await poll(() => text("#steps")).toContain(onCores(1));
    expect(watched.problems).toEqual([]);
  });

  const headersDecide =
    "the host's headers decide whether one core computes or all of them, at every load; they learn the same";
  test(headersDecide, nestedWorkers(name), async () => {
    const isolated = await serveIsolated(join(folder, "some/where"));
    onTestFinished(() => isolated.close());
    const learned: string[] = [];
    for (const [base, expected] of [
      [`${server.url}/some/where/`, 1],
      [isolated.url, undefined],
    ] as const) {
      await open(`${base}#text=house&hidden=64&streams=16&window=32`);
      for (const controlled of [false, true]) {
        expect(await page.evaluate(() => navigator.serviceWorker.controller !== null)).toBe(controlled);
        expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(expected === undefined);
        await poll(async () => (await text("#stage-text")).length).toBeGreaterThan(150);
        const cores = expected ?? (await page.evaluate(() => navigator.hardwareConcurrency));
        expect(await text("#figure-cores")).toBe(onCores(cores));
        await click("#start");
        await poll(async () =>
          Number(await page.$eval("#scrub", (scrub) => (scrub as HTMLInputElement).max)),
        ).toBeGreaterThan(2);
        const [at, sample] = await page.$eval("#scrub", (scrub) => {
          (scrub as HTMLInputElement).valueAsNumber = 2;
          scrub.dispatchEvent(new Event("input", { bubbles: true }));
          return ["#scrub-at", "#stage-text"].map((selector) => document.querySelector(selector)!.textContent);
        });
        expect(at).toMatch(/^after 10 steps/);
        learned.push(sample!);
        await poll(() => page.evaluate(async () => (await navigator.serviceWorker.ready).active?.state)).toBe(
          "activated",
        );
        await page.reload();
      }
      await context!.close();
      context = undefined;
    }
    expect(learned).toHaveLength(4);
    expect(learned[0]!.length).toBeGreaterThan(50);
    expect(new Set(learned).size).toBe(1);
  });

  test("the service worker changes no headers, and takes nothing but GETs of its own folder", async () => {
    await open("");
    await poll(() => page.evaluate(async () => (await navigator.serviceWorker.ready).active?.state)).toBe("activated");
    await page.reload();
    const names = await page.evaluate(async () => Object.fromEntries((await fetch("style.css")).headers));
    const direct = Object.fromEntries((await fetch(`${server.url}/some/where/style.css`)).headers);
    for (const name of ["cross-origin-opener-policy", "cross-origin-embedder-policy"]) expect(names).not.toHaveProperty(name); // prettier-ignore
    expect(names["content-type"]).toBe(direct["content-type"]);
    server.forget();
    await page.evaluate(() => fetch("style.css")); // from the cache
    expect(server.requests).toEqual([]);
    await page.evaluate(() => Promise.all([fetch("style.css", { method: "HEAD" }), fetch("../../style.css")]));
    expect([...server.requests].sort()).toEqual(["some/where/style.css", "style.css"]);
  });
});

test("each page has a title, a description, a picture for links, and no scripts of its own in its text", () => {
  for (const path of ["", "why/", "amp/", ...(hasSpeech ? ["speech/"] : [])]) {
    const html = readFileSync(join(folder, "some/where", path, "index.html"), "utf8");
    expect(html).toMatch(/<title>[^<]{20,70}<\/title>/);
    expect(html).toMatch(/name="description"\s+content="[^"]{60,170}"/);
    const [, picture] = /og:image" content="https:\/\/example\.org\/net\/([^"]+)"/.exec(html)!;
    expect(picture).toBe(`og-${path.replace("/", "") || "write"}.jpg`);
    expect(readdirSync(join(folder, "some/where"))).toContain(picture);
    expect(html).toMatch(/rel="icon" type="image\/svg\+xml" href="\.\.?\/favicon\.svg"/);
    expect(html).not.toMatch(/<script(?![^>]*src=)/);
    expect(html).not.toMatch(/<!-- (head|header|lines|footer|with|end)/);
  }
});

describe("the lines of code that the pages show", () => {
  const lines = (name: string, ...args: string[]) =>
    run(root, process.execPath, [join(root, "examples/lines", name), ...args]);
  const shown = readdirSync(join(root, "examples/lines"));

  test("are about twenty", () => {
    expect(shown).toEqual(["amp.js", "remember.js", "speech.js", "write.js"]);
    for (const name of shown) {
      expect(
        readFileSync(join(root, "examples/lines", name), "utf8")
          .trim()
          .split("\n").length,
      ).toBeLessThanOrEqual(22);
    }
  });

  test("write a rhyme", async () => {
    expect((await lines("write.js")).stdout).toContain(
      "Row, row, row your boat, gently down the stream.\nRow, row, row",
    );
  });

  test("remember a number", async () => {
    expect((await lines("remember.js")).stdout).toMatch(/It remembers\.\n$/);
  });

  test("amplify", async () => {
    const { stdout } = await lines("amp.js", join(root, "examples/amp/amp.json"));
    const [, times] = /^25 times as loud goes in, ([\d.]+) times as loud comes out\./.exec(stdout)!;
    expect(Number(times)).toBeLessThan(15); // it flattens what is loud
    expect(Number(times)).toBeGreaterThan(1.5);
  });

  test.runIf(installOnnxRuntime())("detect speech", async () => {
    const { stdout } = await lines("speech.js", installedFile("@ricky0123/vad-web/dist/silero_vad_v6.onnx"));
    expect(stdout).toBe("Nobody speaks.\n");
  });
});
