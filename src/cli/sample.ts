// wasm-rnn sample: continues a prompt, and writes the text to stdout as it is generated.

import { randomInt } from "node:crypto";
import { Random } from "../base/random.js";
import type { CharLM, SampleOptions } from "../models/charlm.js";
import { describeCharacters } from "../models/text.js";
import { chooseBuild, type Variant } from "./build.js";
import { readCharacterModel } from "./character-model.js";
import { CliError } from "./errors.js";
import { escapeControls, escapeText, safeJson } from "./escape.js";
import { printAndWait as print } from "./output.js";

/** How to treat characters of the prompt that the model does not know. */
export const UNKNOWN = ["error", "skip", "replace"] as const satisfies readonly SampleOptions["unknown"][];

/** The options of the command line, with defaults. */
export interface SampleCommandOptions {
  prompt: string;
  /** Number of characters to generate after the prompt. */
  length: number;
  temperature: number;
  /** undefined: a random seed. */
  seed?: number;
  unknown: (typeof UNKNOWN)[number];
  /** The file of the characters of a model of TensorFlow.js. */
  vocabulary?: string;
  json: boolean;
  variant?: Variant;
}

/** Characters per write to stdout. */
const CHUNK = 64;

/** Runs the command. Returns the exit code. */
export async function sample(path: string, options: SampleCommandOptions): Promise<number> {
  chooseBuild(options.variant ?? "auto");
  const model = readCharacterModel(path, options.vocabulary);
  try {
    return await write(model, options);
  } finally {
    model.dispose();
  }
}

async function write(model: CharLM, options: SampleCommandOptions): Promise<number> {
  const { prompt, length, temperature, seed = randomInt(2 ** 32), unknown } = options;
  const lacking = model.vocabulary.unknownIn(prompt);
  if (lacking.length > 0) sayUnknown(lacking, unknown);
  const characters = model.generate(prompt, { length, temperature, random: new Random(seed), unknown });
  if (options.json) {
    const text = [...characters].join("");
    await print(`${safeJson({ event: "sample", prompt, unknown: lacking, text, temperature, seed })}\n`);
    return 0;
  }
  // a vocabulary may contain control characters: they are escaped for a terminal, but not for a file or a pipe
  const show = (text: string) => (process.stdout.isTTY ? escapeText(text.replaceAll("\r", "")) : text);
  let chunk = prompt;
  let pending = 0;
  for (const character of characters) {
    chunk += character;
    if (++pending < CHUNK) continue;
    await print(show(chunk));
    chunk = "";
    pending = 0;
  }
  await print(`${show(chunk)}\n`);
  return 0;
}

/** Throws CliError for unknown characters in the prompt, or prints on stderr that they are skipped or replaced. */
function sayUnknown(characters: readonly string[], unknown: SampleCommandOptions["unknown"]): void {
  const said = `the model does not know ${describeCharacters(characters)}`;
  if (unknown === "error") {
    const ways = "--unknown skip leaves such characters out, --unknown replace puts a space in their place";
    throw new CliError(`prompt: ${said}; ${ways}`);
  }
  process.stderr.write(`wasm-rnn: prompt: ${escapeControls(said)}; ${unknown === "skip" ? "left out" : "replaced"}\n`);
}
