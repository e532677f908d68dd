// Shared by the measuring scripts: the machine, medians, other node binaries, files. Does not load wasm-rnn: it also runs in
// the processes of peers.

import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname } from "node:path";

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

/** The middle value, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Repeats the call for `ms` milliseconds, at least once; returns the median time of one call, in microseconds. */
export async function medianTime(call: () => unknown, ms: number): Promise<{ us: number; calls: number }> {
  const times: number[] = [];
  const end = performance.now() + ms;
  do {
    const start = performance.now();
    const result = call();
    if (result instanceof Promise) await result;
    times.push(performance.now() - start);
  } while (performance.now() < end);
  return { us: median(times) * 1000, calls: times.length };
}

/** A time with its unit. */
export function showTime(us: number): string {
  if (us < 1000) return `${us.toFixed(1)} us`;
  return us < 1e7 ? `${(us / 1000).toFixed(2)} ms` : `${(us / 1e6).toFixed(2)} s`;
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
