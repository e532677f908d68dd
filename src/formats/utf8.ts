// Texts of binary files, strict UTF-8 and Latin-1, in plain TypeScript: some hosts that read weights, such as an AudioWorklet,
// have no TextDecoder.

import { FormatError } from "../../bindings/errors.js";

/** Characters per call of String.fromCharCode: far below every engine's limit on arguments. */
const CHUNK = 4096;

/**
 * Decodes `bytes` as UTF-8. Strict, as TextDecoder with `fatal`: overlong forms, surrogates, values above U+10FFFF and
 * broken sequences throw a FormatError that names `argument` and the byte's offset. A byte order mark is kept.
 */
export function decodeUtf8(bytes: Uint8Array, argument: string): string {
  let text = "";
  let units: number[] = [];
  for (let i = 0; i < bytes.length;) {
    const first = bytes[i] ?? 0;
    const extra = first < 0x80 ? 0 : first < 0xc2 ? -1 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : -1;
    let code = extra <= 0 ? first : first & (0x3f >> extra);
    for (let k = 1; k <= extra; k++) {
      const next = bytes[i + k] ?? 0;
      if ((next & 0xc0) !== 0x80) throw broken(argument, i);
      code = (code << 6) | (next & 0x3f);
    }
    const overlong = (extra === 2 && code < 0x800) || (extra === 3 && code < 0x10000);
    if (extra < 0 || overlong || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
      throw broken(argument, i);
    }
    if (code < 0x10000) units.push(code);
    else units.push(0xd7c0 + (code >> 10), 0xdc00 | (code & 0x3ff));
    i += extra + 1;
    if (units.length >= CHUNK) {
      text += String.fromCharCode(...units);
      units = [];
    }
  }
  return text + String.fromCharCode(...units);
}

function broken(argument: string, place: number): FormatError {
  return new FormatError(argument, `a broken sequence at byte ${place}`, "UTF-8");
}

/** Each byte as the character of its number. */
export function decodeLatin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return text;
}

/** Encodes `text` as UTF-8. A lone surrogate, which UTF-8 cannot hold, throws a FormatError that names its index. */
export function encodeUtf8(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(3 * text.length); // one UTF-16 unit takes at most three bytes
  let size = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i) ?? 0;
    if (code < 0x80) bytes[size++] = code;
    else if (code < 0x800) {
      bytes[size++] = 0xc0 | (code >> 6);
      bytes[size++] = 0x80 | (code & 0x3f);
    } else if (code < 0x10000) {
      if (code >= 0xd800 && code <= 0xdfff)
        throw new FormatError("text", `a lone surrogate at index ${i}`, "Unicode characters");
      bytes[size++] = 0xe0 | (code >> 12);
      bytes[size++] = 0x80 | ((code >> 6) & 0x3f);
      bytes[size++] = 0x80 | (code & 0x3f);
    } else {
      bytes[size++] = 0xf0 | (code >> 18);
      bytes[size++] = 0x80 | ((code >> 12) & 0x3f);
      bytes[size++] = 0x80 | ((code >> 6) & 0x3f);
      bytes[size++] = 0x80 | (code & 0x3f);
      i++; // the low surrogate
    }
  }
  return bytes.slice(0, size);
}
