// The package in a module worker. It posts { results }, or { error } with the name and message of what was thrown.
import { conform, modules } from "./modules.js";

async function run({ variant, threads, course }) {
  const together = await modules.core.startThreads(threads);
  return { ...conform(modules, variant, course), threads: together };
}

self.onmessage = ({ data }) =>
  run(data).then(
    (results) => self.postMessage({ results }),
    ({ name, message }) => self.postMessage({ error: { name, message } }),
  );
