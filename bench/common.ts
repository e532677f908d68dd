// Shared by the measuring scripts: the machine, other node binaries, files, medians. Does not load wasm-rnn: it also runs in
// the processes of peers.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname } from "node:path";

export { median, medianTime, showTime } from "./timing.js";

/** The machine, engine, commit and date of a run. */
export interface Machine {
  cpu: string;
  cores: number;
  engine: string;
  commit: string;
  date: string;
}

export function thisMachine(): Machine {
  return {
    cpu: cpus()[0]!.model,
    cores: cpus().length,
    engine: `Node ${process.versions.node}, V8 ${process.versions.v8}`,
    commit: execFileSync("git", ["describe", "--always", "--dirty"], { encoding: "utf8" }).trim(),
    date: new Date().toISOString().slice(0, 10),
  };
}

export function describeMachine(machine: Machine): string {
  return Object.entries(machine)
    .map(([key, value]) => `${key}: ${value}`)
    .join("; ");
}

/** If `node` is given, runs this script with that binary instead, and exits with its status. */
export function runWith(node: string | undefined, script: string): void {
  if (node === undefined) return;
  const words = process.argv.slice(2);
  const rest = words.filter((word, i) => !/^--node(=|$)/.test(word) && words[i - 1] !== "--node");
  const { status, error } = spawnSync(node, ["--import", "tsx", script, ...rest], { stdio: "inherit" });
  if (error) throw error;
  process.exit(status ?? 1);
}

/** Writes a result as JSON, and prints the path. */
export function write(out: string, result: object): void {
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, `${JSON.stringify(result, null, 2)}\n`);
  console.log(`Written to ${out}`);
}
