// JSON from hostile files: limits nesting (engines recurse), refuses duplicate keys, and shows values in messages in bounded
// time. The formats themselves are read elsewhere.

import { FormatError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";

/** Levels of arrays and objects at most; the package's formats need 3 or 4. */
const MAX_DEPTH = 64;

/**
 * Parses JSON in which no object has a key twice.
 *
 * @param argument what the text is, for messages
 * @throws FormatError for anything else, and for JSON nested deeper than 64 levels
 */
export function parseJson(argument: string, text: string, expected = "JSON"): unknown {
  checkDepth(argument, text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new FormatError(argument, "something else", expected);
  }
  checkDuplicates(argument, text);
  return value;
}

/**
 * A value of a caller's as JSON.
 *
 * @throws FormatError naming `argument` for what JSON cannot hold: other types, cycles, more than a string has room for
 */
export function writeJson(argument: string, value: unknown, expected = "plain data"): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch {
    // no text
  }
  if (text === undefined) throw new FormatError(argument, `${describe(value)} that is no JSON`, expected);
  return text;
}

/** Refuses deep nesting, on which JSON.parse of some engines overflows the stack. */
function checkDepth(argument: string, text: string): void {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) i = endOfString(text, i);
    else if (code === 0x5b || code === 0x7b) {
      if (++depth > MAX_DEPTH) throw new FormatError(argument, "deeper nesting", `at most ${MAX_DEPTH} levels of JSON`);
    } else if (code === 0x5d || code === 0x7d) depth--;
  }
}

/** Refuses duplicate keys, of which JSON.parse silently keeps the last. The text is valid JSON by now. */
function checkDuplicates(argument: string, json: string): void {
  // For each enclosing object the keys seen so far; undefined for an array.
  const open: (string | Set<string> | undefined)[] = [];
  for (let i = 0; i < json.length; i++) {
    const code = json.charCodeAt(i);
    if (code === 0x5b || code === 0x7b) open.push(undefined);
    else if (code === 0x5d || code === 0x7d) open.pop();
    else if (code === QUOTE) {
      const start = i;
      i = endOfString(json, i);
      let next = i + 1;
      while (json.charCodeAt(next) <= 0x20) next++; // JSON's white space; other control characters cannot occur here
      if (json.charCodeAt(next) !== 0x3a) continue;
      const raw = json.slice(start + 1, i);
      const key = raw.includes("\\") ? (JSON.parse(json.slice(start, i + 1)) as string) : raw;
      const seen = open[open.length - 1];
      if (seen === key || (seen instanceof Set && seen.has(key))) {
        throw new FormatError(argument, `key ${quote(key)} twice`, "each key once");
      }
      if (seen === undefined) open[open.length - 1] = key;
      else if (typeof seen === "string") open[open.length - 1] = new Set([seen, key]);
      else seen.add(key);
    }
  }
}

const QUOTE = 0x22;

/** The index of the closing quote of the string that begins at `start`, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x5c) i++;
    else if (code === QUOTE) return i;
  }
  return text.length;
}

/** A value as JSON, shortened for messages. */
export function quote(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "string") return cut(JSON.stringify(value.slice(0, 100)), value.length > 100);
  if (!Array.isArray(value)) return typeof value === "number" ? `${value}` : describe(value);
  const shown = Math.min(16, value.length); // by index: an array may have lost its methods
  const first = Array.from({ length: shown }, (_, i) =>
    typeof value[i] === "number" ? `${value[i]}` : describe(value[i]),
  );
  const text = `[${first.join(",")}${value.length > 16 ? ",..." : ""}]`;
  return cut(text.slice(0, 100), text.length > 100);
}

function cut(text: string, more: boolean): string {
  return more ? `${text}...` : text;
}

/** Whether a value is a JSON object. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
