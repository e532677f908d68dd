// What docs/features.md claims is shown by the tests that it names: files that are there, with those words in a title.
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const table = readFileSync(new URL("../docs/features.md", import.meta.url), "utf8");
const rows = table
  .split("\n")
  .filter((line) => line.startsWith("| "))
  .map((line) => line.split(" | "))
  .slice(2)
  .map(([feature, ours]) => [feature!.replace(/^\| /, ""), ours!] as const);

test("there are features", () => expect(rows.length).toBeGreaterThan(30));

test.each(rows)("%s", (_, ours) => {
  const files = [...ours.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
  expect(files.length).toBeGreaterThan(0);
  const tests = files.filter((name) => name.endsWith(".test.ts")).map((name) => new URL(name, import.meta.url));
  for (const file of tests) expect(existsSync(file), String(file)).toBe(true);
  const sources = tests.map((file) => readFileSync(file, "utf8")).join("\n");
  for (const [, words] of ours.matchAll(/"([^"]+)"/g)) if (tests.length > 0) expect(sources).toContain(words!);
});
