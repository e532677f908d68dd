import { defineConfig } from "vitest/config";

/** Tests that measure time or wait for a page: nothing else runs beside them. */
const ALONE = ["tests/models/audio.test.ts", "tests/hosts/demo-page.test.ts"];

export default defineConfig({
  test: {
    setupFiles: ["tests/setup.ts"],
    reporters: ["default", "./tests/helpers/summary.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: "together",
          include: ["tests/**/*.test.ts"],
          exclude: ["**/node_modules/**", "tests/runtimes/**", "tests/examples/**", ...ALONE], // npm run test:runtimes, test:examples
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      { extends: true, test: { name: "alone", include: ALONE, maxWorkers: 1, sequence: { groupOrder: 1 } } },
    ],
  },
});
