// Tests that install much: `npm run test:runtimes`, not `npm test`.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/runtimes/**/*.test.ts"],
    reporters: ["default", "./tests/helpers/summary.ts"],
    testTimeout: 120_000,
    hookTimeout: 120_000,
  },
});
