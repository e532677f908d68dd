// Rules for the workflows of GitHub Actions.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../helpers/project.js";

const folder = join(root, ".github/workflows");

describe.each(readdirSync(folder))("%s", (name) => {
  const text = readFileSync(join(folder, name), "utf8");

  test("pins each action by its commit, with the version beside it", () => {
    const actions = [...text.matchAll(/\buses: *(.*)/g)].map(([, action]) => action!);
    expect(actions.length).toBeGreaterThan(0);
    for (const action of actions) expect(action).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  test("gives its token no more than read access by default", () => {
    expect(text).toMatch(/^permissions:\n {2}contents: read\n\n/m);
  });
});
