// Text from outside (file names, arguments, contents of files, messages of errors) on its way to a terminal: characters that
// a terminal obeys instead of showing them are written as escapes.

/**
 * C0 and C1 controls, DEL, the marks and overrides of text direction, the line separators of Unicode, and halves of
 * surrogate pairs.
 */
const UNSAFE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\p{Cs}]/gu;

const NAMES = new Map([
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** `text` on one line, without characters that a terminal obeys: an escape character becomes the six characters \u001b. */
export function escapeControls(text: string): string {
  return text.replace(UNSAFE, (character) => NAMES.get(character) ?? unicodeEscape(character));
}

/** As escapeControls, but line feeds and tabs stay: for text that people read, such as a sample. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (character) =>
    character === "\n" || character === "\t" ? character : (NAMES.get(character) ?? unicodeEscape(character)),
  );
}

/** `value` as JSON on one line whose strings hold no such character either; parsing gives the same value. */
export function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, unicodeEscape);
}
