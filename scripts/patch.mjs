// The difference of two modules, as `applyPatch` of bindings/hex.ts takes it.

// Digits that a copy must have by default. With 24 the relaxed patch is 200 bytes more, gzipped, and takes a quarter of a millisecond less
// to undo.
const SEED = 12;

// Digits that a copy must have more for each character of its skip: far copies and the ways back from them do not repeat.
const COST = 12;

/**
 * `text` as pieces of itself and copies from `base`: "digits,skip,length" joined by ";". A copy starts `skip` past the end
 * of the one before it; both numbers have base 36. Long copies with short skips are taken, so that pieces repeat, and
 * compress.
 *
 * @param {string} base
 * @param {string} text of digits and letters
 * @param {number} seed digits that a copy must have
 */
export function makePatch(base, text, seed = SEED) {
  const places = new Map();
  for (let i = 0; i + seed <= base.length; i++) {
    const digits = base.slice(i, i + seed);
    if (!places.has(digits)) places.set(digits, []);
    places.get(digits).push(i);
  }
  const pieces = [];
  let copied = 0; // end of the copy before, in text
  let expected = 0; // and in base
  const piece = (digits, skip, length) => pieces.push([digits, skip.toString(36), length.toString(36)].join(","));
  for (let at = 0; at < text.length;) {
    let [from, length, best] = [0, 0, 0];
    for (const place of places.get(text.slice(at, at + seed)) ?? []) {
      let n = seed;
      while (at + n < text.length && base[place + n] === text[at + n]) n++;
      const score = n - COST * (place - expected).toString(36).length;
      const nearer = Math.abs(place - expected) < Math.abs(from - expected);
      if (score > best || (score === best && nearer)) [from, length, best] = [place, n, score];
    }
    if (length === 0) {
      at++;
      continue;
    }
    piece(text.slice(copied, at), from - expected, length);
    at += length;
    [copied, expected] = [at, from + length];
  }
  if (copied < text.length) piece(text.slice(copied), 0, 0);
  return pieces.join(";");
}
