// Finds and starts the browsers for tests, and serves them the built package on 127.0.0.1.

import { accessSync, constants } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import puppeteer, { type Browser } from "puppeteer-core";
import sirv from "sirv";

/** Whether this runs on a build server, where a missing browser is a failure. */
export const ON_CI = !["", "0", "false", undefined].includes(process.env.CI);

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

export function howToGet(name: BrowserName): string {
  const { debian, variable } = KINDS[name];
  return `No ${name} was found. Install one (Debian: sudo apt-get install ${debian}) or set ${variable}.`;
}

/**
 * The path of a browser: CHROMIUM_PATH or FIREFOX_PATH, else one of the usual names on PATH, else one of the usual places.
 *
 * @throws Error where the variable is set to something that cannot be run
 */
export function findBrowser(name: BrowserName): string | undefined {
  const { variable, names, macOS, windows } = KINDS[name];
  const given = process.env[variable];
  if (given) {
    if (!isExecutable(given)) throw new Error(`${variable} is ${given}, which is no program that can be run`);
    return given;
  }
  const suffix = process.platform === "win32" ? ".exe" : "";
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const onPath = names.flatMap((program) => folders.map((folder) => join(folder, program + suffix)));
  const places: Partial<Record<NodeJS.Platform, string[]>> = {
    darwin: macOS.flatMap((app) =>
      ["", process.env.HOME ?? ""].map((home) => `${home}/Applications/${app}.app/Contents/MacOS/${program(app)}`),
    ),
    win32: ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"].flatMap((folder) =>
      windows.map((file) => `${process.env[folder]}\\${file}`),
    ),
  };
  return [...onPath, ...(places[process.platform] ?? [])].find(isExecutable);
}

/** Firefox.app has a program in small letters; the others are called what their application is. */
const program = (app: string): string => (app === "Firefox" ? "firefox" : app);

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

export function launch(name: BrowserName, executablePath: string): Promise<Browser> {
  const browser = name === "Firefox" ? "firefox" : "chrome";
  return puppeteer.launch({ browser, executablePath, headless: true, args: [...KINDS[name].args] });
}

export interface Server {
  readonly url: string;
  /** What was asked for, and what could not be given, since the latest `forget()`. */
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
export async function serve(headers: Record<string, string> = {}): Promise<Server> {
  const folder = (path: string) => sirv(fileURLToPath(new URL(path, import.meta.url)), { dev: true });
  const folders: Readonly<Record<string, ReturnType<typeof sirv>>> = {
    dist: folder("../../dist/"),
    conformance: folder("../conformance/"),
    golden: folder("../golden/"),
  };
  const pages = folder("../browser/");
  const requests: string[] = [];
  const refused: string[] = [];
  const server = createServer((request, response) => {
    const path = (request.url ?? "/").slice(1);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (path === "favicon.ico") {
      response.writeHead(204).end();
      return;
    }
    requests.push(path);
    response.on("finish", () => {
      if (response.statusCode >= 400) refused.push(`${path}: ${response.statusCode}`);
    });
    const [first = "", ...rest] = path.split("/");
    if (first in folders) request.url = `/${rest.join("/")}`;
    (folders[first] ?? pages)(request, response);
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
