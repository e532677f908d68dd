// Each example has a command and a row in examples/README.md, and the other way round. `npm run test:examples` runs them.

import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";

test("examples, their commands and the README's rows agree", () => {
  const files = readdirSync("examples").filter(
    (file) => file.endsWith(".mjs") && !["baselines.mjs", "common.mjs"].includes(file),
  );
  const names = files.map((file) => file.replace(".mjs", "")).sort();
  const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as { scripts: Record<string, string> };
  const commands = Object.entries(scripts).filter(([name]) => name.startsWith("example:"));
  const build = "npm run build && node examples";
  expect(Object.fromEntries(commands)).toEqual(
    Object.fromEntries(names.map((name) => [`example:${name}`, `${build}/${name}.mjs`])),
  );
  const readme = readFileSync("examples/README.md", "utf8");
  const links = [...readme.matchAll(/\[`([\w-]+)`\]\(\1\.mjs\)/g)].map(([, name]) => name!);
  expect(links.sort()).toEqual(names);
  const rows = [...readme.matchAll(/`npm run example:([\w-]+)`/g)].map(([, name]) => name!);
  expect(rows.sort()).toEqual(names);
});
