// Measures wasm-rnn beside its peers: `npm run bench:peers`, or `npm run bench:peers -- --help`.
//
// Each contestant is a process (bench/worker.ts). First both compute the same task from the same numbers, and their results
// are compared; then they are measured alternately, A B A B, and the figure is the median ratio of neighbours.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { buildInfo } from "../dist/index.js";
import { PEER_CASES, TOY_PEER_CASES, type Sizes } from "./cases.js";
import { describeMachine, median, runWith, showTime, thisMachine, write, type Machine } from "./common.js";
import { draw } from "./draw.js";
import { Contestant } from "./contestant.js";
import { installPeers, installPythons, PEERS, script, type Peer } from "./peers/contestants.js";
import type { Op, Task } from "./worker.js";

const options = new Command("bench:peers")
  .description("Measures wasm-rnn beside its peers, alternately")
  .option("--node <path>", "run everything that is JavaScript with another node binary")
  .option("--threads <n>", "threads of each contestant", (text) => Number(text), 1)
  .option("--rounds <n>", "turns of each contestant", (text) => Number(text), 5)
  .option("--time <ms>", "time of a turn; at least one call", (text) => Number(text), 400)
  .option("--only <text>", 'only rows whose name, "case operation dtype peer", contains this')
  .option("--toy", "toy sizes, one call of each, installed peers only, to check that it works")
  .option("--no-peers", "as if no peer were installed")
  .option("--out <file>", "file to write the figures to, as JSON (default: bench/results/peers.json, peers-2.json ...)")
  .parse()
  .opts<{
    node?: string;
    threads: number;
    rounds: number;
    time: number;
    only?: string;
    toy?: boolean;
    peers: boolean;
    out?: string;
  }>();
const { threads } = options;

/** No new turn after a row has taken BUDGET_MS; a first call is abandoned after LIMIT_MS. */
const BUDGET_MS = 60_000;
const LIMIT_MS = 300_000;

/** Largest difference of results, relative to the largest number, or to 1 if that is smaller. */
const TOLERANCE = { f64: 1e-9, f32: 1e-4 };

/** One contest. */
export interface Row {
  case: string;
  op: Op;
  dtype: "f64" | "f32";
  peer: string;
  /** Medians of the turns' medians of the time of one call, in microseconds. */
  ours_us?: number;
  peer_us?: number;
  /** Median over turns of peer / ours: above 1, wasm-rnn is faster. */
  ratio?: number;
  rounds?: number;
  /** Largest difference of the two results, relative to the largest number; undefined if they cannot be compared. */
  difference?: number;
  note?: string;
  /** Why there are no figures. */
  cannot?: string;
  /** The error, if one was thrown; then there are no figures either. */
  error?: string;
}

export interface PeersResult {
  machine: Machine;
  /** The build of wasm-rnn. */
  variant: string;
  /** Of each contestant; 1 by default. */
  threads?: number;
  versions: Record<string, string>;
  rows: Row[];
}

runWith(options.node, "bench/peers.ts");
if (options.peers && !options.toy) {
  installPeers();
  installPythons();
}

const versions = Object.fromEntries(PEERS.map(({ name, version }) => [name, options.peers ? version() : undefined]));
const result: PeersResult = {
  machine: thisMachine(),
  variant: buildInfo().variant,
  threads,
  versions: Object.fromEntries(Object.entries(versions).filter(([, version]) => version)) as Record<string, string>,
  rows: [],
};
console.log(`${describeMachine(result.machine)}; ${result.variant} build; threads: ${threads}`);

for (const [name, sizes] of Object.entries(options.toy ? TOY_PEER_CASES : PEER_CASES)) {
  const ops = name === "stream" ? (["step"] as const) : (["forward", "forward+backward"] as const);
  for (const op of ops) for (const dtype of ["f64", "f32"] as const) await contests(name, sizes, op, dtype);
}
write(options.out ?? `bench/results/peers${threads > 1 ? `-${threads}` : ""}.json`, result);
const failed = result.rows.filter(({ error }) => error);
for (const row of failed) console.error(`${title(row)}: ${row.error}`);
if (failed.length > 0) process.exitCode = 1;

function title(row: Row): string {
  return `${row.case} ${row.op} ${row.dtype} ${row.peer}`;
}

/** All contests of one case: one process of wasm-rnn, one of each peer in turn. */
async function contests(name: string, sizes: Sizes, op: Op, dtype: "f64" | "f32"): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-peers-"));
  let ours: Contestant | undefined;
  try {
    for (const peer of PEERS) {
      const row: Row = { case: name, op, dtype, peer: peer.name, note: peer.note };
      if (options.only !== undefined && !title(row).includes(options.only)) continue;
      if (!versions[peer.name]) row.cannot = `not installed: ${peer.install}`;
      else row.cannot = peer.cannot(op, dtype, sizes, threads) ?? (options.toy ? undefined : peer.unfit?.());
      if (row.cannot === undefined) {
        if (!ours) {
          writeArrays(folder, sizes);
          ours = new Contestant(script("bench/ours.ts"), { op, dtype, sizes, threads, folder, name: "ours" });
        }
        await contest(row, peer, ours, { op, dtype, sizes, threads, folder, name: "peer" });
      }
      result.rows.push(row);
      const figures =
        row.ratio && `${row.ratio.toFixed(2)}x (${showTime(row.peer_us!)}; ours ${showTime(row.ours_us!)})`;
      console.log(`${title(row).padEnd(56)} ${figures ?? row.error ?? `cannot: ${row.cannot}`}`);
    }
  } finally {
    ours?.stop();
    rmSync(folder, { recursive: true });
  }
}

/** Inputs of both contestants; weights are distributed as layers initialise them. */
function writeArrays(folder: string, { N, T, D, H }: Sizes): void {
  const bound = 1 / Math.sqrt(H);
  const arrays = {
    x: draw("f64", T, N, D).data,
    dOutput: draw("f64", T, N, H).data,
    weightIh: draw("f64", 4 * H, D).data.map((w) => w * bound),
    weightHh: draw("f64", 4 * H, H).data.map((w) => w * bound),
    biasIh: draw("f64", 4 * H).data.map((b) => b * bound),
    biasHh: draw("f64", 4 * H).data.map((b) => b * bound),
  };
  for (const [name, values] of Object.entries(arrays)) writeFileSync(join(folder, `${name}.raw`), values);
}

/** One contest; fills the row. */
async function contest(row: Row, peer: Peer, ours: Contestant, task: Task): Promise<void> {
  const start = performance.now();
  const theirs = new Contestant(peer.command(threads), task);
  try {
    const mine = await ours.ready(LIMIT_MS);
    const ready = await theirs.ready(LIMIT_MS);
    if (ready === undefined || mine === undefined) {
      row.cannot = `one call takes longer than ${LIMIT_MS / 1000} s`;
      return;
    }
    if (ready.results.length > 0) row.difference = compare(task, ready.results);
    const turns: [ours: number, peer: number][] = [];
    if (ready.firstMs > BUDGET_MS / 3) {
      turns.push([await ours.run(options.time), ready.firstMs * 1000]); // too long to need warming up
    }
    const [rounds, time] = options.toy ? [1, 0] : [options.rounds, options.time];
    if (!options.toy && ready.firstMs < 2000) for (const each of [ours, theirs]) await each.run(300); // warms up
    while (turns.length < rounds && (turns.length === 0 || performance.now() - start < BUDGET_MS)) {
      turns.push([await ours.run(time), await theirs.run(time)]);
    }
    row.ours_us = median(turns.map(([us]) => us));
    row.peer_us = median(turns.map(([, us]) => us));
    row.ratio = median(turns.map(([a, b]) => b / a));
    row.rounds = turns.length;
  } catch (error) {
    row.error = (error as Error).message;
  } finally {
    theirs.stop();
  }
}

/** The largest difference of the two results; throws if it is above the tolerance. */
function compare({ folder, dtype }: Task, names: readonly string[]): number {
  const differences = names.map((name) => {
    const read = (who: string) =>
      new Float64Array(new Uint8Array(readFileSync(join(folder, `${who}.${name}.raw`))).buffer);
    const [a, b] = [read("ours"), read("peer")];
    const scale = a.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
    const difference = a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0) / scale;
    if (a.length !== b.length || !(difference <= TOLERANCE[dtype])) {
      throw new Error(`computes something else: ${name} differs by ${difference} (${a.length}, ${b.length} numbers)`);
    }
    return difference;
  });
  return Math.max(...differences);
}
