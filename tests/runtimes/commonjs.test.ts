// The packed package under `require` and `import` in other runtimes, which tests/runtimes/package.json pins for Linux on x64.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { REQUIRE_AND_IMPORT } from "../helpers/commonjs.js";
import { installOrReport } from "../helpers/installed.js";
import { install, pack, root, run, write } from "../helpers/project.js";

const FOLDER = "tests/runtimes";
const inFolder = (path: string) => join(root, FOLDER, "node_modules", path);
const node = (version: string) => inFolder(`node-${version}/bin/node`);
const [ES_MODULE, COMMONJS] = ["index.js", "index.cjs"];

const RUNTIMES: { name: string; command: string[]; file: string | undefined }[] = [
  { name: "Node 20.9", command: [node("20-9")], file: COMMONJS },
  { name: "Node 20.18", command: [node("20-18")], file: COMMONJS },
  { name: "Node 20", command: [node("20")], file: ES_MODULE },
  { name: "Node 22.11", command: [node("22-11")], file: COMMONJS },
  { name: "Node 22", command: [node("22")], file: ES_MODULE },
  { name: "Node 24", command: [node("24")], file: ES_MODULE },
  { name: "Node 26", command: [node("26")], file: ES_MODULE },
  { name: "Bun", command: [inFolder("@oven/bun-linux-x64/bin/bun")], file: undefined },
  {
    name: "Deno",
    command: [inFolder("@deno/linux-x64-glibc/deno"), "run", "--allow-all", "--cached-only"],
    file: undefined,
  },
];

const ready = installOrReport(FOLDER);

describe.skipIf(!ready)("require and import share one copy of the package", () => {
  let project: string;

  beforeAll(async () => {
    project = mkdtempSync(join(tmpdir(), "wasm-rnn-runtimes-"));
    await install(project, (await pack(project)).path);
    write(project, "both.cjs", REQUIRE_AND_IMPORT);
  });

  afterAll(() => rmSync(project, { recursive: true, force: true }));

  test.each(RUNTIMES)("in $name", async ({ command: [program, ...args], file }) => {
    const { stdout, stderr } = await run(project, program!, [...args, "both.cjs"]);
    const [loaded, loss] = stdout.trim().split(" ");
    if (file !== undefined) expect(loaded).toBe(file);
    expect(Number(loss)).toBeLessThan(0.05);
    expect(stderr).toBe("");
  });
});
