// npm run test:crashes: all cases of tests/cli/cli-crashes.test.ts; `npx vitest run` of the file runs some of them. Trainings killed at every rename,
// sync and write and at random moments, on disks that are full or broken. `-- --seed N` chooses other moments.

import { spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
const { values } = parseArgs({ options: { seed: { type: "string", default: "1" } } });
const { status } = spawnSync(
  process.execPath,
  ["node_modules/vitest/vitest.mjs", "run", "tests/cli/cli-crashes.test.ts"],
  {
    stdio: "inherit",
    env: { ...process.env, CRASH_TESTS: "all", CRASH_SEED: values.seed },
  },
);
process.exitCode = status ?? 1;
