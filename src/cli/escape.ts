// Text from outside (file names, arguments, contents of files, messages of errors) on its way to a terminal: characters that
// a terminal obeys instead of showing them are written as escapes. Those that writing systems need, such as joiners, stay.

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

const hex = (character: string) => character.charCodeAt(0).toString(16);

/** As JSON and shells write a character: \u001b. */
const fourDigits = (character: string) => `\\u${hex(character).padStart(4, "0")}`;

const readable = (character: string) => NAMES.get(character) ?? `\\u{${hex(character)}}`;

/** `text` on one line, without characters that a terminal obeys: an escape character becomes \u{1b}, a line feed \n. */
export function escapeControls(text: string): string {
  return text.replace(UNSAFE, readable);
}

/** As escapeControls, but line feeds and tabs stay: for text that people read, such as a sample. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (character) =>
    character === "\n" || character === "\t" ? character : readable(character),
  );
}

/** `value` as JSON on one line whose strings hold no such character either; parsing gives the same value. */
export function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, fourDigits);
}

/** `text` as one word of a POSIX shell; where it has such characters, of bash or zsh. */
export function shellWord(text: string): string {
  const quoted = text.replace(/[\\']/g, "\\$&").replace(UNSAFE, fourDigits);
  if (text.search(UNSAFE) >= 0) return `$'${quoted}'`;
  return /^[\w./@%+=:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
