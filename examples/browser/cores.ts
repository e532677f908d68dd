// The processor's cores in the worker of a page: it computes with all of them where the page is cross-origin isolated, else with one.

import { startThreads } from "../../src/index.js";

/** Starts a thread for each core; of what is created before it has settled, one thread computes. */
export async function useAllCores(): Promise<void> {
  await startThreads().catch(() => 1); // a thread that does not start: the page works with one
}
