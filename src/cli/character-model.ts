// Character models of this package, of ml5 and of TensorFlow.js.

import { identify } from "../formats/identify.js";
import { isRecord } from "../formats/json.js";
import { looksLikeSafetensors } from "../formats/safetensors-header.js";
import { readCharLM } from "../models/charlm-file.js";
import { fromMl5 } from "../models/charlm-ml5.js";
import { charLMFromTfjs } from "../models/charlm-tfjs.js";
import type { CharLM } from "../models/charlm.js";
import { companionsOf, recognise } from "../models/load.js";
import { CliError, named, usageError } from "./errors.js";
import { decodeText, isFolder, readBytes } from "./files.js";
import { readModelFiles } from "./model-files.js";

/** Reads the model at `path`: a file or a folder; `vocabulary` is the file of that of a model of TensorFlow.js. */
export function readCharacterModel(path: string, vocabulary: string | undefined): CharLM {
  const bytes = isFolder(path) ? undefined : readBytes(path, "model");
  const format = bytes && !looksLikeSafetensors(bytes, bytes.length) ? identify(bytes)?.format : undefined;
  if (bytes && format !== "ml5" && format !== "tfjs") {
    refuseVocabulary(path, vocabulary);
    return named(path, () => readCharLM(bytes)).model;
  }
  const { files } = readModelFiles(path);
  const { main, examined } = named(path, () => recognise(files));
  if (main.kind.format === "ml5") {
    refuseVocabulary(path, vocabulary);
    return named(path, () => fromMl5({ ...(files as Record<string, Uint8Array>), "manifest.json": main.bytes }));
  }
  if (vocabulary === undefined) {
    throw usageError(`${path} is ${main.kind.name}, which does not say its characters: give --vocabulary`);
  }
  const characters = readVocabulary(vocabulary);
  const shards = named(path, () => companionsOf(main, examined).map(({ bytes }) => bytes));
  return named(path, () => charLMFromTfjs(main.json as object, shards, { vocabulary: characters }));
}

function refuseVocabulary(path: string, vocabulary: string | undefined): void {
  if (vocabulary !== undefined) throw usageError(`--vocabulary is for models of TensorFlow.js: ${path} has its own`);
}

/**
 * Reads the characters of a vocabulary in the order of their codes: a JSON list of characters, a JSON object of characters and their codes, or a
 * text, whose characters count in the order in which they first come. A line feed at the end of such a text, and nowhere else, is none of them.
 */
export function readVocabulary(path: string): string[] {
  const text = decodeText(path, readBytes(path, "vocabulary"), "vocabulary");
  const json = /^\s*[[{]/.test(text) ? parsed(text) : undefined;
  if (Array.isArray(json) || isRecord(json)) return listed(path, json);
  const characters = [...new Set(text)];
  if (characters.at(-1) === "\n" && text.indexOf("\n") === text.length - 1) characters.pop();
  if (characters.length === 0) throw new CliError(`${path} is not a vocabulary: it has no characters`);
  return characters;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // a text that begins like JSON
  }
}

/** The characters of JSON in the order of their codes. */
function listed(path: string, json: unknown[] | Readonly<Record<string, unknown>>): string[] {
  if (Array.isArray(json)) return json as string[]; // the vocabulary checks what they are
  const entries = Object.entries(json);
  const codes = new Map(entries.map(([character, code]) => [code, character]));
  const characters = entries.map((_, code) => codes.get(code));
  const missing = characters.indexOf(undefined);
  if (missing < 0) return characters as string[];
  throw new CliError(`${path}: no character has the code ${missing}: expected 0 to ${entries.length - 1}, each once`);
}
