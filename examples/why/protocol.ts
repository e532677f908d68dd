// Messages between the page of the race and its worker.

import type { Cell, Standing } from "./race.js";
import type { TaskName } from "./tasks.js";

export interface Settings {
  task: TaskName;
  gap: number;
  seed: number;
}

export type ToWorker = { kind: "race"; settings: Settings; run: number } | { kind: "stop" };

/** `run` is the number of the race that was asked for. */
export type FromWorker =
  | { kind: "example"; run: number; text: string }
  | { kind: "standings"; run: number; step: number; seconds: number; threads: number; standings: Standing[] }
  | { kind: "norms"; run: number; step: number; norms: { cell: Cell; norms: number[] }[] }
  | { kind: "ended"; run: number; because: "solved" | "time" | "stopped" }
  | { kind: "error"; run: number; message: string };
