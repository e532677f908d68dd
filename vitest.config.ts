import { defineConfig } from "vitest/config";

// `npm test` runs the project "quick", `npm run test:slow` "slow", `npm run test:crashes` "crashes". `vitest run <file>` finds a file in any of them.

/** Browsers, bundlers, packed packages, guides and benchmarks; streams of real models in a process each. */
const SLOW = [
  "tests/hosts/**/*.test.ts",
  "tests/docs/**/*.test.ts",
  "tests/project/bench.test.ts",
  "tests/graphs/steps.test.ts",
];
const CRASHES = ["tests/cli/cli-crashes.test.ts"];
const ELSEWHERE = ["**/node_modules/**", "tests/runtimes/**", "tests/examples/**", "tests/cluster/**"]; // npm run test:runtimes, ...
/** Tests that measure time or wait for a page: nothing else runs beside them. */
const ALONE = ["tests/models/audio.test.ts"];
const SLOW_ALONE = ["tests/hosts/demo-page.test.ts"];

let order = 0;
const project = (name: string, maxWorkers: number, include: string[], exclude: string[] = []) => ({
  extends: true as const,
  test: { name, include, exclude: [...ELSEWHERE, ...exclude], maxWorkers, sequence: { groupOrder: order++ } },
});

export default defineConfig({
  test: {
    setupFiles: ["tests/setup.ts"],
    reporters: ["default", "./tests/helpers/summary.ts"],
    testTimeout: 300_000,
    hookTimeout: 600_000,
    projects: [
      project("quick", 2, ["tests/**/*.test.ts"], [...SLOW, ...CRASHES, ...ALONE]),
      project("quick, alone", 1, ALONE),
      project("slow", 2, SLOW, SLOW_ALONE),
      project("slow, alone", 1, SLOW_ALONE),
      project("crashes", 2, CRASHES),
    ],
  },
});
