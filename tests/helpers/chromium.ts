// Finds and starts a Chromium by playwright, serves it pages on 127.0.0.1, and says what a page asked for: for tests that
// click and wait. browser.ts drives both browsers.

import { accessSync, constants } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium, type Browser } from "playwright-core";
import sirv from "sirv";

export const HOW_TO_GET_A_BROWSER =
  "No Chromium or Chrome was found. Install one (Debian, Ubuntu: sudo apt-get install chromium) or set CHROMIUM_PATH.";

/** Whether this runs on a build server, where a missing browser is a failure. */
export const ON_CI = !["", "0", "false", undefined].includes(process.env.CI);

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

const PLACES: Partial<Record<NodeJS.Platform, (string | undefined)[]>> = {
  darwin: ["Google Chrome", "Chromium", "Google Chrome for Testing"].flatMap((name) => [
    `/Applications/${name}.app/Contents/MacOS/${name}`,
    `${process.env.HOME}/Applications/${name}.app/Contents/MacOS/${name}`,
  ]),
  win32: ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"].flatMap((variable) => [
    `${process.env[variable]}\\Google\\Chrome\\Application\\chrome.exe`,
    `${process.env[variable]}\\Chromium\\Application\\chrome.exe`,
  ]),
};

/**
 * The path of a Chromium: CHROMIUM_PATH, else one of the usual names on PATH, else one of the usual places.
 *
 * @throws Error where CHROMIUM_PATH is set to something that cannot be run
 */
export function findBrowser(): string | undefined {
  const given = process.env.CHROMIUM_PATH;
  if (given) {
    if (!isExecutable(given)) throw new Error(`CHROMIUM_PATH is ${given}, which is no program that can be run`);
    return given;
  }
  const suffix = process.platform === "win32" ? ".exe" : "";
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const onPath = NAMES.flatMap((name) => folders.map((folder) => join(folder, name + suffix)));
  return [...onPath, ...(PLACES[process.platform] ?? [])].find((path) => path !== undefined && isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function launch(executablePath: string): Promise<Browser> {
  const args = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ];
  return chromium.launch({ executablePath, args });
}

export interface Server {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves tests/browser at /, dist and tests/golden under their names, and `files` (paths to JSON values) beside them.
 *
 * @param headers go with every answer
 */
export async function serve(files: Record<string, unknown>, headers: Record<string, string> = {}): Promise<Server> {
  const folder = (path: string) => sirv(fileURLToPath(new URL(path, import.meta.url)), { dev: true });
  const pages = folder("../browser/");
  const folders = { "/dist/": folder("../../dist/"), "/golden/": folder("../golden/") };
  return listen(headers, (request, response) => {
    const path = request.url ?? "/";
    if (path in files) {
      response.setHeader("Content-Type", "application/json").end(JSON.stringify(files[path]));
      return;
    }
    const [prefix, from] = Object.entries(folders).find(([name]) => path.startsWith(name)) ?? ["/", pages];
    request.url = path.slice(prefix.length - 1);
    from(request, response);
  });
}

/** Serves a folder as it is. */
export function serveFolder(path: string, headers: Record<string, string> = {}): Promise<Server> {
  return listen(headers, sirv(path, { dev: true }));
}

async function listen(headers: Record<string, string>, answer: RequestListener): Promise<Server> {
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (request.url === "/favicon.ico") response.writeHead(204).end();
    else answer(request, response);
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error ? reject(error) : resolve()));
        server.closeAllConnections();
      }),
  };
}

/** What a page shows, all that it asked for (paths on the server, other addresses in full), and what went wrong. */
export interface Visit {
  readonly result: unknown;
  readonly requests: string[];
  readonly problems: string[];
}

/** Opens a page in a fresh context and waits until there is JSON in its #result. */
export async function visit(browser: Browser, server: Server, page: string): Promise<Visit> {
  const context = await browser.newContext();
  const requests: string[] = [];
  const problems: string[] = [];
  context.on("request", (request) => requests.push(request.url().replace(`${server.url}/`, "")));
  context.on("requestfailed", (request) => problems.push(`${request.url()}: ${request.failure()?.errorText}`));
  context.on("response", (response) => {
    if (response.status() >= 400) problems.push(`${response.url()}: ${response.status()}`);
  });
  context.on("console", (message) => problems.push(`console.${message.type()}: ${message.text()}`));
  context.on("weberror", (error) => problems.push(`page error: ${String(error.error())}`));
  try {
    const tab = await context.newPage();
    await tab.goto(`${server.url}/${page}`);
    const result = tab.locator("#result:not(:empty)");
    await result.waitFor({ timeout: 30_000 }).catch((error: unknown) => {
      throw new Error([`${page || "the page"} shows no result`, ...problems].join("\n"), { cause: error });
    });
    return { result: JSON.parse((await result.textContent())!) as unknown, requests, problems };
  } finally {
    await context.close();
  }
}
