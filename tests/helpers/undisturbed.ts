// A small training, and its files where nothing disturbs it: what trainings of the same command on a queue are compared with.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { folderWithText, run } from "./cli.js";

/** The files of the training: model, state, curve. */
export const NAMES = ["m.safetensors", "m.state.safetensors", "m.svg"];
const SIZES = ["--hidden", "12", "--layers", "1", "--embedding", "6", "--seq", "10", "--batch", "8", "--seed", "1"];
const OUT = ["--out", "m.safetensors"];

export const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The arguments of a training, its files after a run with one worker, and the file with its text. */
export async function undisturbed(...options: string[]): Promise<{ args: string[]; files: Buffer[]; text: string }> {
  const folder = folderWithText();
  const text = join(folder, "book.txt");
  const args = ["train", text, ...SIZES, ...OUT, ...options];
  const { code, stderr } = await run(folder, ...args, "--workers", "1");
  expect([code, stderr]).toEqual([0, ""]);
  return { args, files: filesIn(folder), text };
}

export const filesIn = (folder: string) => NAMES.map((name) => readFileSync(join(folder, name)));
