// Starts worker.js and waits for its answer.
import { course, show, threads, variant } from "./report.js";

show(
  () =>
    new Promise((resolve, reject) => {
      const worker = new Worker("worker.js", { type: "module" });
      worker.onmessage = ({ data: { results, error } }) => (error ? reject(error) : resolve(results));
      worker.onerror = ({ message }) => reject(new Error(message || "the worker could not be loaded"));
      worker.postMessage({ variant, threads, course });
    }),
);
