import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    exclude: ["**/node_modules/**", "tests/runtimes/**"], // `npm run test:runtimes` runs those
    setupFiles: ["tests/setup.ts"],
    reporters: ["default", "./tests/helpers/summary.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
