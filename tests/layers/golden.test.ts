// Every file of the external golden data (its own README tells the schema): ../shared/golden beside the package, or
// GOLDEN_DIR. Each folder has a runner of its own in helpers/golden-*.ts.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, test, type RunnerTask } from "vitest";
import type { Dtype } from "../helpers/close.js";
import { checkCoursera } from "../helpers/golden-coursera.js";
import { checkCs231n } from "../helpers/golden-cs231n.js";
import { checkKeras } from "../helpers/golden-keras.js";
import { checkOnnx } from "../helpers/golden-onnx.js";
import { useVariant, variants } from "../helpers/variants.js";

/** Compares the package's results in one number type with those of a parsed file. */
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

describe.each(found > 0 ? variants : [])("%s build", (variant) => {
  useVariant(variant);
  for (const { folder, check, files } of folders) {
    for (const name of files) {
      test(`${folder}/${name}`, () => {
        expect.hasAssertions();
        ran.add(`${variant} ${folder}/${name}`);
        const text = readFileSync(join(directory, folder, name), "utf8");
        for (const dtype of ["f64", "f32"] as const) check(JSON.parse(text) as never, dtype);
      });
    }
  }
});

test("there are files", (context) => {
  context.skip(!existsSync(directory), `No external golden data is at ${directory} (GOLDEN_DIR names another folder).`);
  expect(found).toBeGreaterThan(0);
});

test("no folder was left out", () => {
  const others = listed(directory).filter((name) => name !== "README.md" && !Object.hasOwn(checks, name));
  expect(others).toEqual([]);
});

// eslint-disable-next-line no-empty-pattern -- vitest wants a pattern of fixtures
afterAll(({}, file) => {
  if (found === 0) {
    console.log(`golden data: none (no ${directory}; GOLDEN_DIR names another folder)`);
    return;
  }
  const counts = folders.map(({ folder, missing, files }) => `${folder} ${missing ? "missing" : files.length}`);
  console.log(
    `golden data: ${ran.size / variants.length} of ${found} files ran (${counts.join(", ")}), ` +
      `with each of ${variants.join(", ")}`,
  );
  const filtered = file.tasks.some((task) => isFiltered(task)); // vitest -t
  if (!filtered) expect(ran.size, "files that ran, once for each build").toBe(found * variants.length);
});

function isFiltered(task: RunnerTask): boolean {
  return task.type === "suite" ? task.tasks.some(isFiltered) : task.mode === "skip" && task.result?.state !== "skip";
}
