// The examples' quick forms, seconds each: `npm run test:examples`, not `npm test`.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/examples/**/*.test.ts"],
    reporters: ["default", "./tests/helpers/summary.ts"],
    testTimeout: 300_000,
  },
});
