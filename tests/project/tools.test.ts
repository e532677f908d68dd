// How tests find tools that a machine may lack (helpers/tools.ts, helpers/browser.ts), and what a run reports without them.

import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { locateBrowser } from "../helpers/browser.js";
import { root } from "../helpers/project.js";
import { findPython, programs } from "../helpers/tools.js";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wasm-rnn-tools-"));
  for (const name of ["PYTHON_PATH", "CHROMIUM_PATH", "FIREFOX_PATH"]) vi.stubEnv(name, "");
});

afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** Creates a program that exits with 0. */
function program(path: string): string {
  const target = join(folder, path);
  mkdirSync(join(target, ".."), { recursive: true });
  writeFileSync(target, "#!/bin/sh\n");
  chmodSync(target, 0o755);
  return target;
}

describe.runIf(process.platform === "linux")("a tool is looked for", () => {
  test("on PATH, and nowhere else", () => {
    vi.stubEnv("PATH", folder);
    expect(locateBrowser("Chromium")).toBeUndefined();
    expect(locateBrowser("Firefox")).toBeUndefined();
    expect(findPython([])).toBeUndefined();
    const [chromium, firefox, python] = ["chromium", "firefox", "python3"].map(program);
    expect(locateBrowser("Chromium")).toBe(chromium);
    expect(locateBrowser("Firefox")).toBe(firefox);
    expect(findPython(["torch"])).toBe(python);
  });

  test("in every folder of PATH, in order", () => {
    const found = ["a/python3", "b/python3"].map(program);
    vi.stubEnv("PATH", ["", join(folder, "a"), join(folder, "none"), join(folder, "b")].join(delimiter));
    expect(programs("python3", "python4")).toEqual(found);
    writeFileSync(join(folder, "a/python3"), "#!/bin/sh\nexit 1\n"); // one without the module
    expect(findPython(["torch"])).toBe(found[1]);
  });

  test("in an environment variable, which must name a program", () => {
    vi.stubEnv("PATH", folder);
    program("python3");
    const other = program("other");
    vi.stubEnv("PYTHON_PATH", other);
    vi.stubEnv("CHROMIUM_PATH", other);
    expect(findPython([])).toBe(other);
    expect(locateBrowser("Chromium")).toBe(other);
    vi.stubEnv("FIREFOX_PATH", join(folder, "none"));
    expect(() => locateBrowser("Firefox")).toThrow(`FIREFOX_PATH is ${join(folder, "none")}`);
  });
});

describe("a run without a tool", () => {
  const source = `
    import { describe, test } from "vitest";
    import { findBrowser } from "./helpers/browser.js";
    import { goWithout, missingPython } from "./helpers/tools.js";

    const executable = findBrowser("Firefox");
    describe.skipIf(executable === undefined)("in a browser", () => {
      test("one", () => {});
      test("two", () => {});
    });
    test("in Python", (context) => goWithout(context, missingPython(["torch"])));
    test("without either", () => {});
  `;

  /** Runs the file above in a project with links to the helpers. */
  function runWithout(ci: string): { status: number | null; output: string; counts: string } {
    mkdirSync(join(folder, "tests"));
    for (const name of ["node_modules", "tests/helpers", "src", "bindings", "scripts"]) {
      symlinkSync(join(root, name), join(folder, name));
    }
    writeFileSync(join(folder, "tests/some.test.ts"), source);
    const config = `export default { test: {
      include: ["tests/*.test.ts"], reporters: ["default", "./tests/helpers/summary.ts"] } };`;
    writeFileSync(join(folder, "vitest.config.mjs"), config);
    const empty = join(folder, "empty");
    mkdirSync(empty);
    const env = { PATH: empty, CI: ci, WASM_RNN_COUNTS: join(folder, "counts"), NO_COLOR: "1" };
    const vitest = join(root, "node_modules/vitest/vitest.mjs");
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--preserve-symlinks", vitest, "run"], {
      cwd: folder,
      env,
      encoding: "utf8",
      timeout: 100_000,
    });
    return { status, output: stdout + stderr, counts: readFileSync(join(folder, "counts"), "utf8") };
  }

  test("passes, and reports what was skipped and how to install it", () => {
    const { status, output, counts } = runWithout("");
    expect(output).toContain(
      [
        "Skipped for want of these, 4 tests:",
        "  - No Firefox was found. Install it (Debian: apt-get install firefox-esr) or set FIREFOX_PATH.",
        "    Needed by tests/some.test.ts",
        "  - No python3 with torch was found. Install it (Debian: apt-get install python3-torch) or set PYTHON_PATH.",
        "    Needed by tests/some.test.ts",
      ].join("\n"),
    );
    expect(status).toBe(0);
    expect(JSON.parse(counts)).toEqual({ name: "vitest", passed: 1, failed: 0, skipped: 4 });
  });

  test("fails on a build server", () => {
    const { status, output, counts } = runWithout("true");
    expect(output).toContain("Error: No Firefox was found.");
    expect(output).toContain("Error: No python3 with torch was found.");
    expect(output).toMatch(/\nFailed:\n {2}- tests\/some\.test\.ts > .*\n {4}No Firefox was found\. Install it/);
    expect(status).toBe(1);
    expect(JSON.parse(counts)).toEqual({ name: "vitest", passed: 1, failed: 2, skipped: 2 });
  });
});
