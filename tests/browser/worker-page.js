// Starts worker.js and waits for its answer.
import { course, show, threads, variant } from "./report.js";

show(
  () =>
    new Promise((resolve, reject) => {
      const worker = new Worker("worker.js", { type: "module" });
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
      worker.postMessage({ variant, threads, course });
    }),
);
