// The README's JavaScript runs as printed, and its training example learns.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const readme = readFileSync("README.md", "utf8");
const blocks = [...readme.matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code!);

/** Runs a module at the package's root, where `wasm-rnn` means the built package itself. */
function run(code: string): string {
  return execFileSync(process.execPath, ["--input-type=module"], { input: code, encoding: "utf8" });
}

describe("README", () => {
  test("has examples", () => {
    expect(blocks.length).toBeGreaterThanOrEqual(3);
  });

  test.each(blocks.map((code) => [code.trim().split("\n").at(-2)!.trim(), code]))("example: %s", (_, code) => {
    expect(run(code)).not.toBe("");
  });

  test("the training example learns", () => {
    const losses = [...run(blocks[0]!).matchAll(/step \d+: loss ([\d.]+)/g)].map(([, loss]) => Number(loss));
    expect(losses).toHaveLength(4);
    expect(losses.at(-1)).toBeLessThan(1e-4);
    expect(losses.at(-1)).toBeLessThan(losses[0]!);
  });
});
