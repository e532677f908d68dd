// What the tables of docs/features.md and of the README claim is shown by the tests that they name: files that are there, with
// those words in a title, and scripts of package.json.
import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");
const { scripts } = JSON.parse(read("package.json")) as { scripts: object };

/** The cells of a table's rows, without its head. */
const rowsOf = (text: string): string[][] =>
  text
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.slice(2, -2).split(" | "))
    .slice(2);

const features = rowsOf(read("docs/features.md")).map(([feature, ours]) => [feature!, ours!] as const);
const [, where] = /## Where it runs(.*?)\n## /s.exec(read("README.md"))!;
const hosts = rowsOf(where!).flatMap(([host, ...cells]) =>
  cells.filter((cell) => !["-", "same code"].includes(cell.trim())).map((cell) => [host!.trim(), cell.trim()] as const),
);

test("there are claims", () => {
  expect(features.length).toBeGreaterThan(30);
  expect(hosts.length).toBeGreaterThan(30);
});

test.each([...features, ...hosts])("%s: %s", (_, claim) => {
  const names = [...claim.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
  expect(names.length).toBeGreaterThan(0);
  for (const [, script] of names.join("\n").matchAll(/^npm run (\S+)$/gm)) expect(scripts).toHaveProperty([script!]);
  const tests = names.filter((name) => name.endsWith(".test.ts")).map((name) => `tests/${name}`);
  for (const file of tests) expect(existsSync(new URL(`../${file}`, import.meta.url)), file).toBe(true);
  const sources = tests.map(read).join("\n");
  for (const [, words] of claim.matchAll(/"([^"]+)"/g)) if (tests.length > 0) expect(sources).toContain(words!);
});
