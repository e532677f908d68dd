// Finds and starts the browsers for tests, serves them pages on 127.0.0.1, and says what a page asked for and what went
// wrong in it.

import { readFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import puppeteer, { type Browser, type Page } from "puppeteer-core";
import sirv from "sirv";
import { isExecutable, programOf, programs, reportMissing } from "./tools.js";

export const CSP = "Content-Security-Policy";
/** The policy of a page: WebAssembly, and nothing from elsewhere. */
export const STRICT = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

export type BrowserName = "Chromium" | "Firefox";

interface Kind {
  /** The environment variable that may have its path. */
  readonly variable: string;
  /** The programs' names on PATH. */
  readonly names: readonly string[];
  readonly debian: string;
  /** The applications' names on macOS, and the programs' places on Windows. */
  readonly macOS: readonly string[];
  readonly windows: readonly string[];
  readonly args: readonly string[];
}

const KINDS: Readonly<Record<BrowserName, Kind>> = {
  Chromium: {
    variable: "CHROMIUM_PATH",
    names: ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"],
    debian: "chromium",
    macOS: ["Google Chrome", "Chromium", "Google Chrome for Testing"],
    windows: ["Google\\Chrome\\Application\\chrome.exe", "Chromium\\Application\\chrome.exe"],
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  },
  Firefox: {
    variable: "FIREFOX_PATH",
    names: ["firefox-esr", "firefox"],
    debian: "firefox-esr",
    macOS: ["Firefox"],
    windows: ["Mozilla Firefox\\firefox.exe"],
    args: [],
  },
};

/**
 * The path of a browser, as `locateBrowser` has it; reports where there is none.
 *
 * @throws Error where the variable is set to something that cannot be run
 */
export function findBrowser(name: BrowserName): string | undefined {
  const found = locateBrowser(name);
  if (found === undefined) reportMissing(missingBrowser(name));
  return found;
}

/** What to say where there is no such browser. */
export function missingBrowser(name: BrowserName): string {
  const { variable, debian } = KINDS[name];
  return `No ${name} was found. Install it (Debian: apt-get install ${debian}) or set ${variable}.`;
}

/**
 * The path of a browser: CHROMIUM_PATH or FIREFOX_PATH, else one of the usual names on PATH, else, on macOS and Windows, one of
 * the usual places.
 *
 * @throws Error where the variable is set to something that cannot be run
 */
export function locateBrowser(name: BrowserName): string | undefined {
  const { variable, names, macOS, windows } = KINDS[name];
  const given = programOf(variable);
  if (given !== undefined) return given;
  const places: Partial<Record<NodeJS.Platform, string[]>> = {
    darwin: macOS.flatMap((app) =>
      ["", process.env.HOME ?? ""].map((home) => `${home}/Applications/${app}.app/Contents/MacOS/${program(app)}`),
    ),
    win32: ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"].flatMap((folder) =>
      windows.map((file) => `${process.env[folder]}\\${file}`),
    ),
  };
  return [...programs(...names), ...(places[process.platform] ?? [])].find(isExecutable);
}

/** Firefox.app has a program in small letters; the others are called what their application is. */
const program = (app: string): string => (app === "Firefox" ? "firefox" : app);

export function launch(name: BrowserName, executablePath: string, args: readonly string[] = []): Promise<Browser> {
  const browser = name === "Firefox" ? "firefox" : "chrome";
  const timeout = 90_000; // Firefox took longer than puppeteer's 30 s on a busy machine
  return puppeteer.launch({ browser, executablePath, headless: true, args: [...KINDS[name].args, ...args], timeout });
}

/**
 * Options of a test whose worker starts workers. Firefox 153 under WebDriver blocks for ever in 3 of 100 calls of `new Worker` by a
 * worker, whatever the new one is to run; without WebDriver none of 1,200 did.
 */
export const nestedWorkers = (name: BrowserName): { retry: number } => ({ retry: name === "Firefox" ? 3 : 0 });

export interface Server {
  readonly url: string;
  /** Requests, and those that failed, since the latest `forget()`. */
  readonly requests: readonly string[];
  readonly refused: readonly string[];
  forget(): void;
  close(): Promise<void>;
}

/**
 * Serves tests/browser at /, and dist, tests/conformance and tests/golden under their names.
 *
 * @param headers go with every answer
 */
export function serve(headers?: Record<string, string>): Promise<Server> {
  const folder = (path: string) => sirv(fileURLToPath(new URL(path, import.meta.url)), { dev: true });
  const folders: Readonly<Record<string, ReturnType<typeof sirv>>> = {
    dist: folder("../../dist/"),
    conformance: folder("../conformance/"),
    golden: folder("../golden/"),
  };
  const pages = folder("../browser/");
  return listen((request, response) => {
    const [, first = "", ...rest] = request.url!.split("/");
    if (first in folders) request.url = `/${rest.join("/")}`;
    (folders[first] ?? pages)(request, response);
  }, headers);
}

/** Serves a folder as it is. */
export function serveFolder(path: string, headers?: Record<string, string>): Promise<Server> {
  return listen(sirv(path, { dev: true }), headers);
}

async function listen(answer: RequestListener, headers: Record<string, string> = {}): Promise<Server> {
  const requests: string[] = [];
  const refused: string[] = [];
  const server = createServer((request, response) => {
    const path = request.url!.slice(1);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (path === "favicon.ico") {
      response.writeHead(204).end();
      return;
    }
    requests.push(path);
    response.on("finish", () => {
      if (response.statusCode >= 400) refused.push(`${path}: ${response.statusCode}`);
    });
    answer(request, response);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  return {
    requests,
    refused,
    forget: () => {
      requests.length = 0;
      refused.length = 0;
    },
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}

/** Requests of a tab and its workers to other servers, and their errors. Both lists grow. */
export function watch(tab: Page, server: Server): { readonly elsewhere: string[]; readonly problems: string[] } {
  const elsewhere: string[] = [];
  const problems: string[] = [];
  tab.on("request", (request) => {
    if (!request.url().startsWith(`${server.url}/`)) elsewhere.push(request.url());
  });
  tab.on("requestfailed", (request) => problems.push(`${request.url()}: ${request.failure()?.errorText}`));
  tab.on("console", (message) => problems.push(`console.${message.type()}: ${message.text()}`));
  tab.on("pageerror", (error) => problems.push(`page error: ${String(error)}`));
  return { elsewhere, problems };
}

/** What axe-core finds wrong with a page as it is now: the rules, and the elements that break them. */
export async function findViolations(page: Page): Promise<{ id: string; where: string[] }[]> {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8"));
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: { id: string; nodes: { html: string }[] }[] }> } }; // prettier-ignore
    const { violations } = await axe.run();
    return violations.map(({ id, nodes }) => ({ id, where: nodes.map(({ html }) => html.slice(0, 90)) }));
  });
}

/** The text of a page, its requests (paths on the server, other addresses in full), and its errors. */
export interface Visit<Result> {
  readonly result: Result;
  readonly requests: readonly string[];
  readonly problems: readonly string[];
}

/** Opens a page in a context of its own, hence with an empty cache, and waits until there is JSON in its #result. */
export async function visit<Result>(browser: Browser, server: Server, page: string): Promise<Visit<Result>> {
  const context = await browser.createBrowserContext();
  server.forget();
  try {
    const tab = await context.newPage();
    const { elsewhere, problems } = watch(tab, server);
    await tab.goto(`${server.url}/${page}`);
    const text = await tab
      .waitForFunction(() => document.querySelector("#result")?.textContent, { timeout: 60_000 })
      .then((handle) => handle.jsonValue())
      .catch((error: unknown) => {
        const seen = [`${page || "the page"} shows no result`, ...problems, ...server.refused];
        throw new Error(seen.join("\n"), { cause: error });
      });
    return {
      result: JSON.parse(text!) as Result,
      requests: [...server.requests, ...elsewhere],
      problems: [...problems, ...server.refused],
    };
  } finally {
    await context.close();
  }
}
