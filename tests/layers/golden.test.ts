// Every file of the external golden data (its own README tells the schema): ../shared/golden beside the package, or
// GOLDEN_DIR. Each folder has a runner of its own in helpers/golden-*.ts.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test } from "vitest";
import type { Dtype } from "../helpers/close.js";
import { checkCoursera } from "../helpers/golden-coursera.js";
import { checkCs231n } from "../helpers/golden-cs231n.js";
import { checkKeras } from "../helpers/golden-keras.js";
import { checkOnnx } from "../helpers/golden-onnx.js";
import { useVariant, variants } from "../helpers/variants.js";

/** Holds one number type against a file of the folder, as it was parsed. */
type Check = (file: never, dtype: Dtype) => void;
const checks: Readonly<Record<string, Check>> = {
  coursera: checkCoursera,
  cs231n: checkCs231n,
  onnx: checkOnnx,
  tfjs: checkKeras,
};

const root = fileURLToPath(new URL("../..", import.meta.url));
const directory = resolve(root, process.env.GOLDEN_DIR ?? "../shared/golden");
const listed = (path: string): string[] => (existsSync(path) ? readdirSync(path).sort() : []);
const folders = Object.entries(checks).map(([folder, check]) => {
  const path = join(directory, folder);
  return { folder, check, missing: !existsSync(path), files: listed(path).filter((name) => name !== "README.md") };
});
const found = folders.reduce((sum, { files }) => sum + files.length, 0);
const ran = new Set<string>();
let registered = 0;

describe.each(found > 0 ? variants : [])("%s build", (variant) => {
  useVariant(variant);
  for (const { folder, check, files } of folders) {
    for (const name of files) {
      registered++;
      test(`${folder}/${name}`, () => {
        expect.hasAssertions();
        const text = readFileSync(join(directory, folder, name), "utf8");
        for (const dtype of ["f64", "f32"] as const) check(JSON.parse(text) as never, dtype);
        ran.add(`${variant} ${folder}/${name}`);
      });
    }
  }
});

test("no file was left out", (context) => {
  expect(registered).toBe(found * variants.length);
  context.skip(!existsSync(directory), `No external golden data is at ${directory} (GOLDEN_DIR names another folder).`);
  if (existsSync(directory)) expect(found).toBeGreaterThan(0);
});

test("no folder was left out", () => {
  const others = listed(directory).filter((name) => name !== "README.md" && !Object.hasOwn(checks, name));
  expect(others).toEqual([]);
});

afterAll(() => {
  if (found === 0) {
    console.log(`golden data: none (no ${directory}; GOLDEN_DIR names another folder)`);
    return;
  }
  const counts = folders.map(({ folder, missing, files }) => `${folder} ${missing ? "missing" : files.length}`);
  console.log(
    `golden data: ${ran.size / variants.length} of ${found} files ran (${counts.join(", ")}), ` +
      `with each of ${variants.join(", ")}`,
  );
});
