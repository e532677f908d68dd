// The inlined modules: the SIMD one in hexadecimal digits, since gzip finds repeated bytes in them wherever they stand (two
// thirds of what base64 takes in a compressed bundle), and the relaxed one as a patch of those digits (a tenth of a second
// module).

import { relaxedPatch, simd } from "./wasm.js";

/** A module's bytes. */
export function moduleBytes(variant: "simd" | "relaxed"): Uint8Array<ArrayBuffer> {
  return decodeHex(variant === "simd" ? simd : applyPatch(simd, relaxedPatch));
}

/** What scripts/patch.mjs took apart. */
export function applyPatch(base: string, patch: string): string {
  let end = 0;
  const pieces = patch.split(";").map((piece) => {
    const [digits, skip, length] = piece.split(",") as [string, string, string];
    const start = end + Number.parseInt(skip, 36);
    end = start + Number.parseInt(length, 36);
    return digits + base.slice(start, end);
  });
  return pieces.join("");
}

/** What engines may have. */
interface Decoders {
  Uint8Array: { fromHex?: (text: string) => Uint8Array<ArrayBuffer> };
  Buffer?: { from(text: string, encoding: "hex"): Uint8Array<ArrayBuffer> };
}

/**
 * Bytes of lower-case hexadecimal digits: by the engine where it can (30 times faster in a fresh process), else by a loop,
 * since an AudioWorklet has no Buffer.
 */
export function decodeHex(text: string): Uint8Array<ArrayBuffer> {
  const { Uint8Array: array, Buffer: buffer } = globalThis as unknown as Decoders;
  return array.fromHex?.(text) ?? buffer?.from(text, "hex") ?? decodeHexHere(text);
}

/** `decodeHex` without the engine's help. */
export function decodeHexHere(text: string): Uint8Array<ArrayBuffer> {
  const digit = (i: number) => {
    const code = text.charCodeAt(i);
    return code < 58 ? code - 48 : code - 87; // 0-9, a-f
  };
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = 16 * digit(2 * i) + digit(2 * i + 1);
  return bytes;
}
