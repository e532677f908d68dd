// Changes of JSON: as a value, and as text.

const { structuredClone } = globalThis;

const nest = (depth) => JSON.parse(`${"[".repeat(depth)}${"]".repeat(depth)}`);

/** Values that do not belong where they are put. */
export const PARTS = [
  null,
  true,
  false,
  ...[0, -0, 1, 2, 3, -1, 0.5, 1e308, 5e-324, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53 - 1, 2 ** 53, 1e21],
  ...["", "0", "f32", "F32", "LSTM", "lstm", "tanh", "constructor", "__proto__", "toString", "\u0000\u001b[2J", "1e3"],
  ...["x".repeat(3000), "\ud800", "\u{1f600}"],
];

/** One of them, or an array or object. */
export function part(r) {
  if (r.bool(0.7)) return r.pick(PARTS);
  return r.one(
    () => [],
    () => ({}),
    () => [[]],
    () => [null],
    () => nest(r.pick([10, 100, 6000])),
    () => JSON.parse('{"__proto__":{"type":"lstm"}}'),
    () => ({ constructor: 1 }),
  );
}

/** All places in parsed JSON: [holder, key]. */
function places(value, found = [], depth = 0) {
  if (typeof value !== "object" || value === null || depth > 8) return found;
  for (const key of Object.keys(value).slice(0, 40)) {
    found.push([value, key]);
    places(value[key], found, depth + 1);
  }
  return found;
}

export function put(holder, key, value) {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}

/** Changes parsed JSON in place. */
export function mutateJson(r, value) {
  const all = places(value);
  if (all.length === 0) return;
  const [holder, key] = r.pick(all);
  const old = holder[key];
  r.one(
    () => put(holder, key, part(r)),
    () => put(holder, key, part(r)),
    () => (Array.isArray(holder) ? holder.splice(Number(key), 1) : delete holder[key]),
    () =>
      Array.isArray(holder)
        ? holder.push(holder[0])
        : put(holder, r.pick(["extra", "__proto__", "skip", "shape"]), part(r)),
    () => put(holder, key, [old]),
    () => put(holder, key, Array.isArray(old) ? old[0] : old),
    () => {
      const [otherHolder, other] = r.pick(all);
      try {
        put(holder, key, structuredClone(otherHolder[other]));
      } catch {
        // too deep to be copied
      }
    },
    () => typeof old === "number" && put(holder, key, r.pick([old + 1, -old, old / 2, old * 2 ** 32, `${old}`, Infinity, NaN])), // prettier-ignore
    () => typeof old === "string" && put(holder, key, r.pick([old.toUpperCase(), `${old}\0`, old.slice(1), [old]])),
    () => Array.isArray(old) && put(holder, key, r.pick([[...old].reverse(), [...old, ...old], old.slice(1), { ...old, length: old.length }])), // prettier-ignore
  );
}

/** Changes the text of JSON. */
export function mutateText(r, text) {
  const tokens = [...text.matchAll(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|[{}[\],:]|true|false|null/g)];
  if (tokens.length === 0) return text;
  const token = r.pick(tokens);
  const [before, after] = [text.slice(0, token.index), text.slice(token.index + token[0].length)];
  const entry = r.pick(
    [...text.matchAll(/"[^"]*":(\[[^[\]]*\]|\{[^{}]*\}|"[^"]*")/g)].map(([each]) => each).concat('"a":"b"'),
  );
  if (r.bool(0.15)) {
    const arrays = [...text.matchAll(/:(\[[^[\]]*\]|"[^"]*")/g)];
    if (arrays.length > 0) {
      const { index, 0: old } = r.pick(arrays);
      const depth = r.pick([1, 2, 100, 3000, 6000]);
      const deep = r.bool()
        ? `${"[".repeat(depth)}${"]".repeat(depth)}`
        : `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
      return `${text.slice(0, index)}:${deep}${text.slice(index + old.length)}`;
    }
  }
  const value = r.one(
    () => JSON.stringify(r.pick(PARTS)),
    () => {
      const depth = r.pick([2, 100, 6000]);
      return r.bool() ? `${"[".repeat(depth)}${"]".repeat(depth)}` : `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
    },
    () => "",
    () => `${token[0]}${token[0]}`,
    () => r.pick(["1e0", "1.0", "-0", "1E400", "01", "0x1", "2.5e1", "18446744073709551615", "9007199254740993"]),
    () => r.pick(['"F32"', '"F64"', '"I32"', '"F16"', '"BF16"', '"I64"', '"U8"', '"BOOL"', '"I16"', '"I8"', '"F8_E4M3"', '"f32"']), // prettier-ignore
    () => r.pick([" ", "\t", "\n", "\u00a0", "\ufeff", "/**/", ","]) + token[0],
    () => (token[0] === "{" ? `{${entry},` : token[0]),
    () => (token[0].startsWith('"') ? `"\\u0061${token[0].slice(2)}` : token[0]),
    () => r.pick(tokens)[0],
    () => r.pick(["[", "{", "]", "}", '"', "\\", "[".repeat(3000), '{"a":'.repeat(500)]),
  );
  return before + value + after;
}
