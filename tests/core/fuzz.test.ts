// The fuzzer (tests/fuzz) finds no fault in 1,000 inputs. CI and `npm run fuzz` run many more.

import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { root } from "../helpers/project.js";

test("1,000 hostile inputs: typed errors, and no other object changes", () => {
  const args = ["--import", "tsx", "tests/fuzz/main.mjs", "--inputs", "1000", "--seed", "1"];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8" });
  expect(status, stdout + stderr).toBe(0);
  expect(stdout).toContain("1000 inputs, seed 1");
});
