// Prints what files say: names and values that are escaped for a terminal, and shortened where they are long.

import { escapeControls, safeJson } from "./escape.js";
import { print } from "./output.js";
import { count } from "./progress.js";

/** Metadata entries that are printed; --json prints all. */
const LISTED = 100;

/** Characters of a name or value that are printed; --json prints all. */
const SHOWN = 200;

/** A text from a file, escaped for a terminal and shortened if it is long. */
export function show(text: string): string {
  const escaped = escapeControls(text.slice(0, SHOWN));
  return text.length > SHOWN ? `${escaped}...` : escaped;
}

/** A text in quotation marks, shortened if it is long, and then with its length. */
export function value(text: string): string {
  return shortened(JSON.stringify(text.slice(0, SHOWN)), text.length);
}

function shortened(beginning: string, length: number): string {
  const shown = show(beginning);
  return length > SHOWN ? `${shown}... (${count(length)} characters; --json has all)` : shown;
}

export function printLine(line: string): void {
  print(`${line}\n`);
}

/** Prints one object as a line of JSON. */
export function printJson(object: unknown): void {
  printLine(safeJson(object));
}

/** Prints what a file says beside its numbers. Values that are no texts are `plainJson`. */
export function printMetadata(metadata: Readonly<Record<string, unknown>>): void {
  const pairs = Object.entries(metadata);
  printLine(`metadata: ${pairs.length === 0 ? "none" : `${count(pairs.length)} entries`}`);
  for (const [key, each] of pairs.slice(0, LISTED)) {
    const json = typeof each === "string" ? undefined : JSON.stringify(each);
    printLine(
      `  ${show(key)}: ${json === undefined ? value(each as string) : shortened(json.slice(0, SHOWN), json.length)}`,
    );
  }
  if (pairs.length > LISTED) printLine(`  ... and ${count(pairs.length - LISTED)} more; --json has all`);
}
