// The package under test: all entry points, from the sources, and the functions and classes that they export, found by
// enumeration.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

const { exports: listed } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** "./audio" in package.json is src/audio.ts. */
function sourceOf(key) {
  const name = key === "." ? "index" : key.slice(2);
  return [name, join(root, "src", `${name}.ts`)];
}

if (!existsSync(join(root, "bindings/wasm.ts"))) throw new Error("run `npm run build` first");

/** Modules by the name of the entry point: index, audio, coursera ... What "ort" exports is onnxruntime-common's. */
export const entries = {};
for (const key of Object.keys(listed)) {
  if (/\.(wasm|json)$|\*|^\.\/ort$/.test(key)) continue;
  const [name, path] = sourceOf(key);
  entries[name] = await import(pathToFileURL(path).href);
}

/** A file of the sources, for what is not exported. */
export const fromSource = (path) => import(pathToFileURL(join(root, path)).href);

export const { currentCore } = await fromSource("bindings/instantiate.ts");

export const W = entries.index;

export const isClass = (value) =>
  typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value));

const errorClasses = [...Object.values(W), entries.cluster.ClusterError].filter(
  (value) => isClass(value) && value.prototype instanceof Error,
);

/** Whether an error is one of the package's. */
export const isTyped = (error) => errorClasses.some((each) => error instanceof each);

/** The names of methods that TypeScript keeps from users, but JavaScript does not. */
const inner = new Set();
for (const folder of ["src", "bindings"]) {
  for (const path of readdirSync(join(root, folder), { recursive: true })) {
    if (!path.endsWith(".ts") || path.startsWith("wasm")) continue;
    const text = readFileSync(join(root, folder, path), "utf8");
    const modifiers = "(?:(?:override|abstract|readonly|static|async|get|set) |\\*)*";
    for (const [, name] of text.matchAll(new RegExp(`^  (?:protected|private) ${modifiers}(\\w+)[(<]`, "gm"))) {
      inner.add(name);
    }
    for (const [, name] of text.matchAll(new RegExp(`/\\*\\* @internal[^/]*\\*/\\s*${modifiers}(\\w+)[(<]`, "g"))) {
      inner.add(name);
    }
  }
}
export const isInner = (name) => inner.has(name);

/** "forward", "[Symbol.dispose]". */
export function showKey(key) {
  if (typeof key !== "symbol") return key;
  const known = Reflect.ownKeys(Symbol).find((name) => Symbol[name] === key);
  return known ? `[Symbol.${known}]` : `[${key.description}]`;
}

/** The members of a class and of those that it extends: [key, descriptor, class that has it]. */
export function members(Class) {
  const found = new Map();
  for (let proto = Class.prototype; proto && proto !== Object.prototype; proto = Object.getPrototypeOf(proto)) {
    if (proto === Error.prototype) break;
    for (const key of Reflect.ownKeys(proto)) {
      if (key === "constructor" || found.has(key)) continue;
      found.set(key, [key, Object.getOwnPropertyDescriptor(proto, key), proto.constructor.name]);
    }
  }
  return [...found.values()];
}

/** Static members of a class. */
export function statics(Class) {
  return Reflect.ownKeys(Class)
    .filter((key) => !["length", "name", "prototype"].includes(key))
    .map((key) => [key, Object.getOwnPropertyDescriptor(Class, key)]);
}
