// Escapes text from outside (file names, arguments, contents of files, error messages) for a terminal: control characters, which
// a terminal obeys instead of showing, become escape sequences. Characters that writing systems need, such as joiners, stay.

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

/** The escape of JSON and shells: \u001b. */
const fourDigits = (character: string) => `\\u${hex(character).padStart(4, "0")}`;

const readable = (character: string) => NAMES.get(character) ?? `\\u{${hex(character)}}`;

/** Escapes all control characters: ESC becomes \u{1b}, a line feed \n. The result is one line. */
export function escapeControls(text: string): string {
  return text.replace(UNSAFE, readable);
}

/** Escapes control characters except line feeds and tabs: for text that people read, such as a sample. */
export function escapeText(text: string): string {
  return text.replace(UNSAFE, (character) =>
    character === "\n" || character === "\t" ? character : readable(character),
  );
}

/** `value` as one line of JSON with escaped control characters. Parsing it gives the same value. */
export function safeJson(value: unknown): string {
  return JSON.stringify(value).replace(UNSAFE, fourDigits);
}

/** Quotes `text` as one word of a POSIX shell; if it contains control characters, of bash or zsh. */
export function shellWord(text: string): string {
  const quoted = text.replace(/[\\']/g, "\\$&").replace(UNSAFE, fourDigits);
  if (text.search(UNSAFE) >= 0) return `$'${quoted}'`;
  return /^[\w./@%+=:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
