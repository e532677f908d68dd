// Runs the race in slices, between which messages are heard.

import { buildInfo, Random } from "../../src/index.js";
import { nextTurn } from "../../src/train/turns.js";
import { useAllCores } from "../browser/cores.js";
import type { FromWorker, ToWorker } from "./protocol.js";
import { Race } from "./race.js";
import { TASKS } from "./tasks.js";

/** Milliseconds of a slice; seconds of a race at most; steps between two measurements of gradients. */
const SLICE = 60;
const LONGEST = 20;
const MEASURE = 25;

const host = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker): void;
};

const started = useAllCores();

let current = 0;

async function race({ settings: { task: name, gap, seed }, run }: Extract<ToWorker, { kind: "race" }>): Promise<void> {
  current = run;
  await started;
  if (current !== run) return host.postMessage({ kind: "ended", run, because: "stopped" });
  const { threads } = buildInfo();
  const task = TASKS[name];
  host.postMessage({ kind: "example", run, text: task.example(gap, new Random(seed)) });
  const all = new Race(task, gap, seed);
  let [spent, measured] = [0, -MEASURE];
  try {
    for (;;) {
      const start = performance.now();
      do all.advance();
      while (performance.now() < start + SLICE);
      spent += (performance.now() - start) / 1000;
      const { standings, step } = all;
      host.postMessage({ kind: "standings", run, step, seconds: spent, threads, standings });
      const solved = standings.every(({ solvedAt }) => solvedAt !== undefined);
      const ends = solved || spent >= LONGEST;
      if (ends || step >= measured + MEASURE) {
        measured = step;
        host.postMessage({ kind: "norms", run, step, norms: all.norms() });
      }
      if (ends) return host.postMessage({ kind: "ended", run, because: solved ? "solved" : "time" });
      await nextTurn();
      if (current !== run) return host.postMessage({ kind: "ended", run, because: "stopped" });
    }
  } finally {
    all.dispose();
  }
}

host.onmessage = ({ data }) => {
  if (data.kind === "stop") current++;
  else {
    race(data).catch((error: unknown) => {
      host.postMessage({
        kind: "error",
        run: data.run,
        message: error instanceof Error ? error.message : String(error),
      });
    });
  }
};
