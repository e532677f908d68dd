// The tables of docs/features.md and docs/hosts.md name tests for their claims. Each named file exists and has the quoted words in
// its titles, and each named script is in package.json.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { testNamed } from "../helpers/project.js";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
const { scripts } = JSON.parse(read("package.json")) as { scripts: object };

/** The cells of a table's rows, without its head. */
const rowsOf = (text: string): string[][] =>
  text
    .split("\n")
    .filter((line) => line.startsWith("| "))
    .map((line) => line.slice(2, -2).split(" | "))
    .slice(2);

const features = rowsOf(read("docs/features.md")).map(([feature, ours]) => [feature!, ours!] as const);
const hosts = rowsOf(read("docs/hosts.md")).flatMap(([host, ...cells]) =>
  cells.filter((cell) => !["-", "same code"].includes(cell.trim())).map((cell) => [host!.trim(), cell.trim()] as const),
);

/** Names in cells that stand for other things. */
const NOT_TESTS = new Set(["--experimental-wasm-relaxed-simd", "auto", "UnsupportedError"]);

/** The texts in a test file's code, without its imports and comments: titles, and what tables put into titles. */
function textsOf(file: string): string {
  const code = read(testNamed(file)).replaceAll(/^import [^;]*;|\/\/[^\n]*|\/\*.*?\*\//gms, "");
  return [...code.matchAll(/"([^"\n]+)"|`([^`]+)`/g)].map(([, plain, template]) => plain ?? template).join("\n");
}

test("there are claims", () => {
  expect(features.length).toBeGreaterThan(30);
  expect(hosts.length).toBeGreaterThan(30);
});

test.each([...features, ...hosts])("%s: %s", (_, claim) => {
  const names = [...claim.matchAll(/`([^`]+)`/g)].map(([, name]) => name!).filter((name) => !NOT_TESTS.has(name));
  const tests = names.filter((name) => name.endsWith(".test.ts"));
  const commands = names.filter((name) => !tests.includes(name));
  expect(names.length).toBeGreaterThan(0);
  for (const command of commands) {
    expect(command).toMatch(/^npm run \S+$/);
    expect(scripts).toHaveProperty([command.slice("npm run ".length)]);
  }
  // after a file: words of titles in it
  for (const [, file, quoted] of claim.matchAll(/`([\w-]+\.test\.ts)`((?:,? "[^"]+")*)/g)) {
    const texts = textsOf(file!);
    for (const [, words] of quoted!.matchAll(/"([^"]+)"/g)) expect(texts).toContain(words!);
  }
});
