// The packed package in tests that Jest runs: with its defaults, in jsdom, as ES modules, with ts-jest. tests/jest/package.json
// pins Jest.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ENTRY_POINTS, TRAIN } from "../helpers/commonjs.js";
import { installOrReport } from "../helpers/installed.js";
import { install, pack, root, run, write } from "../helpers/project.js";

const FOLDER = "tests/jest";
const inFolder = (path: string) => join(root, FOLDER, "node_modules", path);

/** The part that all tests for Jest share. */
const BODY = `
  test("trains", () => {
    ${TRAIN}
    expect(losses[losses.length - 1]).toBeLessThan(losses[0] / 10);
    expect(linear.stateDict().weight.data).toBeInstanceOf(Float64Array);
    expect(() => lstm.forward(tensor(1, [1]))).toThrow(ShapeError);
    expect(() => lstm.forward(tensor(1, [1]))).toThrow(Error);
    const file = writeSafetensors(lstm.stateDict());
    expect(Object.keys(readSafetensors(file).tensors)).toHaveLength(4);
  });
`;

const REQUIRE = `
  const { Adam, Linear, LSTM, mse, ShapeError, tensor } = require("wasm-rnn");
  const { readSafetensors, writeSafetensors } = require("wasm-rnn/safetensors");
  test.each(${JSON.stringify(ENTRY_POINTS)})("loads %s", (name) => {
    const values = Object.values(require(name));
    expect(values.length).toBeGreaterThan(0);
    expect(values.every((value) => value !== undefined)).toBe(true);
  });
  ${BODY}
`;

const IMPORT = `
  import { Adam, Linear, LSTM, mse, ShapeError, tensor } from "wasm-rnn";
  import { readSafetensors, writeSafetensors } from "wasm-rnn/safetensors";
  ${BODY}
`;

const TYPESCRIPT = `
  import type { Tensor } from "wasm-rnn";
  import { fromRtneural } from "wasm-rnn/audio";
  import { softmax } from "wasm-rnn/coursera";
  import { rnnForward } from "wasm-rnn/cs231n";
  import { onnxRecurrent } from "wasm-rnn/onnx";
  ${IMPORT.replace("losses[losses.length - 1]", "losses[losses.length - 1] as number").replaceAll(".weight.", ".weight!.")}
  test("has types", () => {
    const output: Tensor = softmax(tensor([[1], [2]]));
    expect(output.shape).toEqual([2, 1]);
    for (const name of [fromRtneural, rnnForward, onnxRecurrent]) expect(typeof name).toBe("function");
    // @ts-expect-error an option that does not exist
    expect(() => new LSTM(3, 4, { layers: 2 })).toThrow();
  });
`;

const ready = installOrReport(FOLDER);

describe.skipIf(!ready)("Jest", () => {
  let project: string;
  let tarball: string;

  beforeAll(async () => {
    project = mkdtempSync(join(tmpdir(), "wasm-rnn-jest-"));
    tarball = (await pack(project)).path;
    await install(project, tarball);
  });

  afterAll(() => rmSync(project, { recursive: true, force: true }));

  /** Runs Jest on one test file in the project. Returns the numbers of tests. */
  async function jest(
    file: string,
    text: string,
    config: object = {},
    { nodeFlags = [], args = [] }: { nodeFlags?: string[]; args?: string[] } = {},
  ): Promise<{ numPassedTests: number; numTotalTests: number }> {
    write(project, "package.json", JSON.stringify({ name: "app", private: true, ...config }));
    write(project, file, text);
    const command = [...nodeFlags, inFolder("jest/bin/jest.js"), file, "--json", ...args];
    const { stdout } = await run(project, process.execPath, command);
    return JSON.parse(stdout) as { numPassedTests: number; numTotalTests: number };
  }

  test("with its defaults", async () => {
    const tests = ENTRY_POINTS.length + 1;
    expect(await jest("defaults.test.js", REQUIRE)).toMatchObject({ numPassedTests: tests, numTotalTests: tests });
  });

  test("in jsdom", async () => {
    const tests = ENTRY_POINTS.length + 1;
    const args = ["--env", inFolder("jest-environment-jsdom")];
    expect(await jest("page.test.js", REQUIRE, {}, { args })).toMatchObject({
      numPassedTests: tests,
      numTotalTests: tests,
    });
  });

  test("as ES modules", async () => {
    const nodeFlags = ["--experimental-vm-modules", "--no-warnings"];
    const result = await jest("modules.test.js", IMPORT, { type: "module" }, { nodeFlags });
    expect(result).toMatchObject({ numPassedTests: 1, numTotalTests: 1 });
  });

  test.each([
    ["node10", { module: "commonjs", moduleResolution: "node10" }],
    ["node16", { module: "node16", moduleResolution: "node16", isolatedModules: false }],
  ])("by ts-jest, module resolution %s", async (name, options) => {
    const compilerOptions = {
      ...options,
      strict: true,
      noUncheckedIndexedAccess: false,
      esModuleInterop: true,
      target: "es2022",
      lib: ["es2022", "dom"],
      types: [],
    };
    write(project, "tsconfig.json", JSON.stringify({ compilerOptions }));
    const globals = `declare const test: (name: string, body: () => void) => void;
      // eslint-disable-next-line
      declare const expect: (value: unknown) => any;`;
    const transform = { "^.+\\.ts$": inFolder("ts-jest") };
    const result = await jest(`${name}.test.ts`, globals + TYPESCRIPT, { jest: { transform } });
    expect(result).toMatchObject({ numPassedTests: 2, numTotalTests: 2 });
  });
});
