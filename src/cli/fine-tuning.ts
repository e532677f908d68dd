// wasm-rnn train --from: the model that a training begins with, and the codes of its text.

import type { Tensor } from "../../bindings/tensor.js";
import { readCharLM } from "../models/charlm-file.js";
import { CharLM } from "../models/charlm.js";
import { describeCharacters, Vocabulary } from "../models/text.js";
import { CliError, named } from "./errors.js";
import { sha256 } from "./files.js";
import { count } from "./progress.js";
import { idOfModel, type Origin, type UnknownInText } from "./state-file.js";

/** The first model of a training. */
export interface Base {
  /** The caller's to dispose of. */
  readonly model: CharLM;
  /** Of the text's characters that the model knows. */
  readonly codes: Int32Array;
  readonly origin: Origin;
  /** Lines for the user. */
  readonly notes: readonly string[];
}

/** Reads a model from the bytes of the file at `path`, for a training on the text of `textPath`. */
export function readBase(
  { path, bytes }: { path: string; bytes: Uint8Array },
  { path: textPath, text }: { path: string; text: string },
  unknown: UnknownInText,
  seed: number,
): Base {
  const { model: read } = named(path, () => readCharLM(bytes));
  let model = read;
  try {
    const lacking = read.vocabulary.unknownIn(text);
    const said = `${path} does not know ${describeCharacters(lacking)}`;
    if (lacking.length > 0 && unknown === "error") {
      const ways = "--unknown skip leaves such characters out, --unknown extend adds them to the model";
      throw new CliError(`${textPath}: ${said}; ${ways}`);
    }
    if (lacking.length > 0 && unknown === "extend") {
      model = extended(read, lacking, seed);
      read.dispose();
    }
    const codes = codesOf(text, model.vocabulary);
    const notes: string[] = [];
    if (model !== read) notes.push(`${said}: ${lacking.length} added to the vocabulary`);
    else if (lacking.length > 0)
      notes.push(`${said}: ${count(charactersIn(text) - codes.length)} left out of the text`);
    const { id, step } = idOfModel(bytes) ?? {};
    return { model, codes, origin: { sha256: sha256(bytes), trainingId: id, step, unknown }, notes };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** The codes of a text without the characters that the vocabulary lacks. */
export function codesOf(text: string, vocabulary: Vocabulary): Int32Array {
  const lacking = vocabulary.unknownIn(text);
  if (lacking.length === 0) return vocabulary.encode(text);
  const all = new Vocabulary([...vocabulary.characters, ...lacking]);
  return all.encode(text).filter((code) => code < vocabulary.size);
}

/** The characters of a text in which surrogates come in pairs. */
function charactersIn(text: string): number {
  return text.length - (text.match(/[\ud800-\udbff]/g)?.length ?? 0);
}

/** Entries of a state dict with a row for each character. */
const BY_CHARACTER = ["embedding.weight", "linear.weight", "linear.bias"];

/** A copy of a model that knows more characters: their rows of the embedding and of the linear layer are those of a new model. */
function extended(model: CharLM, characters: readonly string[], seed: number): CharLM {
  const sorted = [...characters].sort((a, b) => a.codePointAt(0)! - b.codePointAt(0)!);
  const vocabulary = new Vocabulary([...model.vocabulary.characters, ...sorted]);
  const larger = new CharLM(vocabulary, { ...model.architecture, seed });
  try {
    const rows = larger.stateDict();
    const state: Record<string, Tensor> = model.stateDict();
    for (const name of BY_CHARACTER) {
      rows[name]!.data.set(state[name]!.data); // the first rows
      state[name] = rows[name]!;
    }
    larger.loadStateDict(state);
    larger.warmUp = model.warmUp;
    return larger;
  } catch (error) {
    larger.dispose();
    throw error;
  }
}
