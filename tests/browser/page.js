// The package in a page: its modules and nothing else.
import { conform, modules } from "./modules.js";
import { course, show, threads, variant } from "./report.js";

show(async () => {
  const together = await modules.core.startThreads(threads);
  const results = { ...conform(modules, variant, course), threads: together };
  await modules.core.stopThreads();
  return results;
});
