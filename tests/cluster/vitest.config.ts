// Workers on a queue, with a real server, real processes and their ends: `npm run test:cluster`, not `npm test`.

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/cluster/**/*.test.ts"],
    reporters: ["default", "./tests/helpers/summary.ts"],
    testTimeout: 150_000,
    hookTimeout: 30_000,
    maxWorkers: 2,
  },
});
