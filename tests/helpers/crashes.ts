// Trainings that are killed or find the disk full, and what must hold after: the files are a whole checkpoint, a resumed
// training reaches the bits of one that was left alone, and nothing else lies about.

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { readState } from "../../src/cli/state-file.js";
import { readCharLM } from "../../src/models/charlm-file.js";
import { CLI, finish, jsonLines, ofEvent, run, sampleText, temporaryFolder, type Outcome } from "./cli.js";

export const OUTPUTS = ["m.safetensors", "m.state.safetensors", "m.svg"];

/** A training that takes half a second, with 47 steps and checkpoints after 16, 32 and 47. */
export const TINY = ["--hidden", "4", "--embedding", "2", "--layers", "1", "--seq", "10", "--batch", "4"];
const INTERVAL = 16;

/** A text and the files of a training on it that nothing interrupted. */
export interface Reference {
  folder: string;
  /** Arguments that begin the training. */
  args: string[];
  files: Record<string, Buffer>;
  interval: number;
}

/** Trains without interruption. The folder is the caller's to remove. */
export async function makeReference(sizes: string[] = TINY): Promise<Reference> {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-crash-"));
  writeFileSync(join(folder, "book.txt"), sampleText(2000));
  const args = ["train", join(folder, "book.txt"), ...sizes, "--eval-every", String(INTERVAL), "--json"];
  args.push("--out", "m.safetensors");
  const outcome = await run(folder, ...args);
  expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
  return { folder, args, files: readOutputs(folder), interval: INTERVAL };
}

/** The results of a child, and the signal that ended it. */
export interface Ending extends Outcome {
  signal: NodeJS.Signals | null;
}

const FAULTS = new URL("fs-faults.mjs", import.meta.url).href;

/** Starts the command line on a disk with `faults` (see fs-faults.mjs). */
export function startOnBadDisk(folder: string, faults: object, args: readonly string[]) {
  const env = { ...process.env, FS_FAULTS: JSON.stringify(faults) };
  return spawn(process.execPath, ["--import", FAULTS, CLI, ...args], { cwd: folder, env });
}

/** Runs the command line on a disk with `faults`. */
export async function runOnBadDisk(folder: string, faults: object, args: readonly string[]): Promise<Ending> {
  const child = startOnBadDisk(folder, faults, args);
  const outcome = await finish(child);
  return { ...outcome, signal: child.signalCode };
}

export function readOutputs(folder: string): Record<string, Buffer> {
  return Object.fromEntries(OUTPUTS.map((name) => [name, readFileSync(join(folder, name))]));
}

/** The steps whose checkpoint the files hold, each checked to be whole; undefined for a file that is not there. */
export function checkpointIn(folder: string): { state: number | undefined; model: number | undefined } {
  const read = (name: string) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name)) : undefined);
  const [model, state] = [read("m.safetensors"), read("m.state.safetensors")];
  const steps: { state: number | undefined; model: number | undefined } = { state: undefined, model: undefined };
  if (state !== undefined) steps.state = readState(state).step; // checks the hash of the tensors
  if (model !== undefined) {
    const { model: network, training } = readCharLM(model);
    network.dispose();
    steps.model = training.steps;
  }
  const curve = read("m.svg");
  if (curve !== undefined) expect(curve.toString().trimEnd().endsWith("</svg>")).toBe(true);
  return steps;
}

/** Checks the files of an interrupted run: a whole checkpoint, at most one interval older than its last step. */
export function expectCheckpoint(folder: string, ended: Outcome, before = 0): void {
  const lines = ended.stdout.slice(0, ended.stdout.lastIndexOf("\n") + 1); // the last one may be cut
  const events = lines === "" ? [] : jsonLines({ ...ended, stdout: lines });
  const step = Number(ofEvent(events, "step").at(-1)?.step ?? before);
  const saved = Number(ofEvent(events, "saved").at(-1)?.step ?? before);
  const { state = 0, model = 0 } = checkpointIn(folder);
  expect(state).toBeGreaterThanOrEqual(saved);
  expect(state).toBeGreaterThanOrEqual(step - INTERVAL);
  expect(model).toBeLessThanOrEqual(state);
}

/** Resumes, or begins again where there is no checkpoint yet, and checks the bits and the folder. */
export async function expectRecovery(reference: Reference, folder: string): Promise<void> {
  const begun = existsSync(join(folder, "m.state.safetensors"));
  const again = begun ? ["train", "--resume", "m.safetensors"] : reference.args;
  const outcome = await run(folder, ...again);
  expect(outcome.stderr).toMatch(/^(wasm-rnn: m\.safetensors was missing or older than the latest checkpoint: .*\n)?$/);
  expect(outcome.code).toBe(0);
  expectSameBits(reference, folder);
}

/** The files are those of the reference, and no others lie beside them. */
export function expectSameBits({ files }: Reference, folder: string): void {
  for (const name of OUTPUTS) expect(readFileSync(join(folder, name)).equals(files[name]!), name).toBe(true);
  expect(readdirSync(folder).sort()).toEqual(OUTPUTS);
}

function mount(folder: string, kilobytes: number): boolean {
  return spawnSync("mount", ["-t", "tmpfs", "-o", `size=${kilobytes}k`, "tmpfs", folder]).status === 0;
}

/** Whether this process may mount disks (root, on Linux). */
export const canMount = ((): boolean => {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return false;
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-disk-"));
  try {
    return mount(folder, 4) && spawnSync("umount", [folder]).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
})();

/** A folder that is a disk of its own, of `kilobytes`. */
export function smallDisk(kilobytes: number): string {
  const folder = temporaryFolder();
  expect(mount(folder, kilobytes)).toBe(true);
  onTestFinished(() => {
    spawnSync("umount", [folder]); // before the folder is removed: hooks run in reverse order
  });
  return folder;
}

/** Fills the disk at `folder` with a file until `free` bytes are left, in pages of 4 KiB. */
export function fillDisk(folder: string, free: number): string {
  const path = join(folder, "ballast");
  const { stdout } = spawnSync("df", ["-B1", "--output=avail", folder], { encoding: "utf8" });
  const size = Number(stdout.split("\n")[1]) - free;
  writeFileSync(path, Buffer.alloc(size));
  expect(statSync(path).size).toBe(size);
  return path;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}
