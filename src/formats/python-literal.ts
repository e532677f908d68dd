// Literals of Python in files: the header of a .npy file is the text of a dictionary.

import { FormatError } from "../../bindings/errors.js";
import { quote } from "./json.js";

/** Levels of brackets at most. */
const MAX_DEPTH = 32;

/** A value: tuples and lists are arrays, dictionaries are Maps; None is null. */
export type PythonLiteral = null | boolean | number | string | PythonLiteral[] | Map<PythonLiteral, PythonLiteral>;

const TOKEN =
  /\s*(?:([[\]{}(),:])|(-?\d+)L?(?![\w.])|(True|False|None)(?!\w)|[uUbB]?'([^'\\\n]*)'|[uUbB]?"([^"\\\n]*)")/y;

const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/**
 * Parses a literal of whole numbers, True, False, None, strings without escapes, tuples, lists and dictionaries.
 *
 * @param argument what the text is, for messages
 * @throws FormatError for anything else, for a key that comes twice, and for more than 32 levels of brackets
 */
export function parsePython(argument: string, text: string): PythonLiteral {
  let at = 0;
  const broken = (received: string) =>
    new FormatError(
      argument,
      `${received} at character ${at}`,
      "a Python literal of numbers, strings, tuples, lists, dictionaries",
    );
  const next = (): RegExpExecArray => {
    TOKEN.lastIndex = at;
    const token = TOKEN.exec(text);
    if (!token) throw broken(quote(text.slice(at, at + 20)));
    at = TOKEN.lastIndex;
    return token;
  };
  const peek = (): string => {
    const before = at;
    const [, bracket = ""] = next();
    at = before;
    return bracket;
  };
  const value = (depth: number): PythonLiteral => {
    const [, bracket, number, word, single, double] = next();
    if (number !== undefined) return Number(number);
    if (word !== undefined) return word === "None" ? null : word === "True";
    if (bracket === undefined) return single ?? double ?? "";
    const closing = CLOSING[bracket];
    if (closing === undefined) throw broken(quote(bracket));
    if (depth === MAX_DEPTH) throw broken("deeper nesting");
    const items: PythonLiteral[] = [];
    const pairs = new Map<PythonLiteral, PythonLiteral>();
    let commas = 0;
    while (peek() !== closing) {
      const item = value(depth + 1);
      items.push(item);
      if (bracket === "{") {
        if (next()[1] !== ":") throw broken("no colon");
        if (pairs.has(item)) throw broken(`key ${quote(item)} twice`);
        pairs.set(item, value(depth + 1));
      }
      if (peek() !== ",") break;
      next();
      commas++;
    }
    if (next()[1] !== closing) throw broken("another bracket");
    if (bracket === "{") return pairs;
    return bracket === "(" && items.length === 1 && commas === 0 ? items[0]! : items; // (1) is a number
  };
  const result = value(0);
  if (text.slice(at).trim() !== "") throw broken(quote(text.slice(at, at + 20)));
  return result;
}
