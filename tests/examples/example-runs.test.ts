// The examples run as documented, and learn: in their quick form, which ends in seconds. What they reach in full is in
// examples/README.md.

import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { root, run } from "../helpers/project.js";

/** By name: whether a score is better when it is higher, and how many of the baselines the quick form beats. */
const EXAMPLES = {
  "classify-names": { better: "higher", beaten: 2, of: 2 },
  "classify-mails": { better: "higher", beaten: 1, of: 2 },
  forecast: { better: "lower", beaten: 3, of: 3 },
  "write-names": { better: "lower", beaten: 3, of: 3 },
  "split-words": { better: "higher", beaten: 2, of: 3 },
  pronounce: { better: "lower", beaten: 1, of: 1 },
  "spell-sounds": { better: "lower", beaten: 1, of: 1 },
} as const;
const names = Object.keys(EXAMPLES) as (keyof typeof EXAMPLES)[];

async function quick(name: string): Promise<string> {
  const { stdout, stderr } = await run(root, process.execPath, [`examples/${name}.mjs`, "--quick"]);
  expect(stderr).toBe("");
  return stdout;
}

/** The numbers that the pattern's group has, each of them finite. */
function numbers(output: string, pattern: RegExp): number[] {
  const found = [...output.matchAll(pattern)].map(([, number]) => Number(number));
  for (const number of found) expect(Number.isFinite(number)).toBe(true);
  return found;
}

describe("examples", () => {
  test("all are run here", () => {
    const files = readdirSync("examples").filter(
      (file) => file.endsWith(".mjs") && !["baselines.mjs", "common.mjs"].includes(file),
    );
    expect([...names].sort()).toEqual(files.map((file) => file.replace(".mjs", "")).sort());
  });

  test.each(names)("%s learns more than its baselines know", async (name) => {
    const output = await quick(name);
    const losses = numbers(output, /^training step \d+\/\d+: loss (.+)$/gm);
    expect(losses).toHaveLength(10);
    expect(losses.at(-1)).toBeLessThan(0.8 * losses[0]!);
    const scores = numbers(output, /^held-out .+: ([\d.]+)$/gm);
    expect(scores).toHaveLength(1);
    const { better, beaten, of } = EXAMPLES[name];
    const baselines = numbers(output, /^baseline, .+: ([\d.]+)/gm);
    expect(baselines).toHaveLength(of);
    for (const baseline of baselines.slice(0, beaten)) {
      if (better === "higher") expect(scores[0]).toBeGreaterThan(baseline);
      else expect(scores[0]).toBeLessThan(baseline);
    }
  });

  test("the same seed gives the same run", async () => {
    const [one, two] = [await quick("classify-names"), await quick("classify-names")];
    expect(one.replace(/^time: .+$/m, "")).toBe(two.replace(/^time: .+$/m, ""));
  });
});
