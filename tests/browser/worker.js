// The package in a module worker. An error in here goes to the worker's onerror.
import { conform, modules } from "./modules.js";

self.onmessage = async ({ data: { variant, threads, course } }) => {
  const together = await modules.core.startThreads(threads);
  self.postMessage({ ...conform(modules, variant, course), threads: together });
};
