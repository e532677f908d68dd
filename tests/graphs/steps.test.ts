// A step of a stream allocates nothing, neither in the JS heap nor in wasm memory: each model in a process of its own.
import { existsSync } from "node:fs";
import { expect, test } from "vitest";
import { modelCases, modelsDirectory, noModels } from "../helpers/onnx.js";
import { root, run } from "../helpers/project.js";

async function expectNothing(...folders: readonly string[]): Promise<void> {
  const flags = ["--import", "tsx", "--expose-gc", "--max-semi-space-size=256", "--min-semi-space-size=256"];
  const { stdout } = await run(root, process.execPath, [...flags, "tests/helpers/graph-steps.ts", ...folders]);
  const growths = JSON.parse(stdout) as { name: string; bytes: number; wasm: number; collections: number }[];
  expect(growths.length).toBe(Math.max(1, folders.length));
  for (const { name, bytes, wasm, collections } of growths) {
    console.log(`Node, ${name}: ${bytes.toFixed(3)} bytes of JS heap a step`);
    expect([name, wasm, collections]).toEqual([name, 0, 0]); // else the growth of the heap would not be all of it
    expect(bytes).toBeLessThan(1); // the smallest object has 12 bytes
  }
}

test("of an LSTM with a mask, a branch, integers, comparisons and half precision", () => expectNothing());

const folders = existsSync(modelsDirectory)
  ? [...new Set(modelCases().flatMap(({ carry, folder }) => (carry.size > 0 ? [folder] : [])))]
  : [];

test.skipIf(folders.length === 0).each(folders.length > 0 ? folders : [noModels])("of %s", (folder) =>
  expectNothing(folder),
);
