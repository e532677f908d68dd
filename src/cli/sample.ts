// wasm-rnn sample: lets a model write on from a prompt, to stdout, as it comes.

import { randomInt } from "node:crypto";
import { readCharLM } from "../models/charlm-file.js";
import { Random } from "../random.js";
import { chooseBuild, type Variant } from "./build.js";
import { named } from "./errors.js";
import { readBytes } from "./files.js";
import { printAndWait as print } from "./output.js";

/** What the command line gave, or the defaults. */
export interface SampleCommandOptions {
  prompt: string;
  /** Characters to write after the prompt. */
  length: number;
  temperature: number;
  /** Left out: another one each time. */
  seed?: number;
  json: boolean;
  variant?: Variant;
}

/** Characters written to stdout at once. */
const CHUNK = 64;

/** Runs the command. Returns the exit code. */
export async function sample(path: string, options: SampleCommandOptions): Promise<number> {
  chooseBuild(options.variant ?? "auto");
  const bytes = readBytes(path, "model");
  const { model } = named(path, () => readCharLM(bytes));
  const { prompt, length, temperature, seed = randomInt(2 ** 32) } = options;
  const characters = model.generate(prompt, { length, temperature, random: new Random(seed) });
  if (options.json) {
    const text = [...characters].join("");
    await print(`${JSON.stringify({ event: "sample", prompt, text, temperature, seed })}\n`);
    return 0;
  }
  let chunk = prompt;
  let pending = 0;
  for (const character of characters) {
    chunk += character;
    if (++pending < CHUNK) continue;
    await print(chunk);
    chunk = "";
    pending = 0;
  }
  await print(`${chunk}\n`);
  model.dispose();
  return 0;
}
