// Reads Python's pickles (protocols 0 to 5) without running anything: a machine with a stack, whose classes and functions are
// names only. torch.ts tells what the names of PyTorch mean; all others become records that say what the pickle asked for.

import { FormatError, UnsupportedError } from "../../bindings/errors.js";
import { quote } from "./json.js";
import { decodeLatin1, decodeUtf8 } from "./utf8.js";

/**
 * A Python object that this package does not know: nothing was called, these are the names and values that the file has. The
 * record has no prototype.
 */
export interface PickledObject {
  /** The class or function by its module and name: "argparse.Namespace". A bare class or function has this key alone. */
  readonly class: string;
  /** The arguments of the call that would make the object. */
  readonly args?: readonly unknown[];
  /** What the object would be given as its attributes. */
  readonly state?: unknown;
  /** The items of a list of this class. */
  readonly items?: unknown[];
  /** The entries of a dictionary of this class. */
  readonly entries?: Record<string, unknown>;
}

/** What a pickle's names and references mean. */
export interface PickleMeanings {
  /** The object of a persistent id; a pickle without a meaning for them is refused. */
  persistent?(id: unknown): unknown;
  /**
   * The result of a call; undefined where the function is unknown.
   *
   * @param name module and name
   */
  call?(name: string, args: readonly unknown[], kinds: Kinds): unknown;
  /** Whether the object takes a state, and did so; else a record keeps it and others ignore it. */
  build?(object: unknown, state: unknown): boolean;
}

/** What the arrays and records of a pickle are in Python. */
export type Kind = "list" | "tuple" | "set" | "dict" | "class" | "object";

/** The kinds of a pickle's arrays and records. */
export interface Kinds {
  get(value: unknown): Kind | undefined;
  /** Marks a fresh array or record. */
  mark<T extends object>(value: T, kind: Kind): T;
  /** The name of a class or function. */
  nameOf(value: unknown): string | undefined;
}

/** Where a pickle's value is nested deepest, at most. */
const MAX_DEPTH = 1000;

/** Bytes of the largest whole number: Python has no limit, but reading takes the square of its length. */
const MAX_INTEGER = 256;

/** The mark that begins a list on the stack. */
const MARK = Symbol("mark");

/** A fresh record without a prototype. */
export function freshRecord(): Record<string, unknown> {
  return Object.create(null) as Record<string, unknown>;
}

/**
 * Reads one pickle. Lists, tuples and sets are arrays, dictionaries are records without a prototype, bytes are Uint8Arrays, None
 * is null; whole numbers beyond 2^53 are bigints. An object that is in two places is the same array or record in both. Time and
 * memory are a small multiple of the pickle's size, but for those of `meanings`.
 *
 * @param argument what the bytes are, for messages
 * @param begin where the pickle begins
 * @returns its value, and where it ends
 * @throws FormatError for anything that is no whole pickle; UnsupportedError for a value that contains itself, for more than 1000
 *   levels, and for keys that are neither text nor numbers
 */
export function readPickle(
  argument: string,
  bytes: Uint8Array,
  begin: number,
  meanings: PickleMeanings = {},
): { value: unknown; end: number } {
  const machine = new Machine(argument, bytes, begin, meanings);
  const value = machine.run();
  checkTree(argument, value);
  return { value, end: machine.at };
}

/** Refuses values that contain themselves, or that are nested deeper than recursion may go. */
function checkTree(argument: string, root: unknown): void {
  const levels = new Map<object, number>(); // 0: being walked
  const open: { value: object; parts: unknown[]; next: number; levels: number }[] = [];
  const enter = (value: unknown): number => {
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return 0;
    const known = levels.get(value);
    if (known === 0) throw new UnsupportedError(argument, "a value that contains itself", "a tree");
    if (known !== undefined) return known;
    levels.set(value, 0);
    open.push({ value, parts: Object.values(value), next: 0, levels: 0 });
    return 0;
  };
  enter(root);
  for (;;) {
    const top = open[open.length - 1];
    if (!top) return;
    if (open.length > MAX_DEPTH || top.levels >= MAX_DEPTH) {
      throw new UnsupportedError(argument, "deeper nesting", `at most ${MAX_DEPTH} levels`);
    }
    if (top.next < top.parts.length) {
      top.levels = Math.max(top.levels, enter(top.parts[top.next++]));
      continue;
    }
    open.pop();
    levels.set(top.value, top.levels + 1);
    const above = open[open.length - 1];
    if (above) above.levels = Math.max(above.levels, top.levels + 1);
  }
}

class Machine implements Kinds {
  at: number;
  readonly #argument: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #meanings: PickleMeanings;
  readonly #kinds = new Map<unknown, Kind>();
  readonly #classes = new Map<string, PickledObject>();
  readonly #memo = new Map<number, unknown>();
  readonly #marks: number[] = [];
  #stack: unknown[] = [];

  constructor(argument: string, bytes: Uint8Array, begin: number, meanings: PickleMeanings) {
    this.#argument = argument;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#meanings = meanings;
    this.at = begin;
  }

  get(value: unknown): Kind | undefined {
    return this.#kinds.get(value);
  }

  mark<T extends object>(value: T, kind: Kind): T {
    this.#kinds.set(value, kind);
    return value;
  }

  nameOf(value: unknown): string | undefined {
    return this.#kinds.get(value) === "class" ? (value as PickledObject).class : undefined;
  }

  run(): unknown {
    for (;;) {
      const start = this.at;
      const code = this.#bytes[this.#skip(1)]!;
      if (code === 0x2e) return this.#pop(); // STOP
      const operation = OPERATIONS[code];
      if (!operation) {
        throw new FormatError(this.#argument, `byte ${code} at byte ${start}`, "an operation of a pickle");
      }
      operation(this);
    }
  }

  broken(received: string, expected = "a whole pickle"): FormatError {
    return new FormatError(this.#argument, `${received} before byte ${this.at}`, expected);
  }

  // --- the file ---

  /** Moves on by `count` bytes, which must be there; returns where they begin. */
  #skip(count: number): number {
    const begin = this.at;
    if (!(count <= this.#bytes.length - begin)) {
      throw new FormatError(this.#argument, `an end at byte ${this.#bytes.length}`, `${count} more bytes at ${begin}`);
    }
    this.at += count;
    return begin;
  }

  u8(): number {
    return this.#bytes[this.#skip(1)]!;
  }

  u16(): number {
    return this.#view.getUint16(this.#skip(2), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#skip(4), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  u64(): number {
    return Number(this.#view.getBigUint64(this.#skip(8), true));
  }

  f64(): number {
    return this.#view.getFloat64(this.#skip(8), false);
  }

  raw(count: number): Uint8Array {
    const begin = this.#skip(count);
    return this.#bytes.subarray(begin, begin + count);
  }

  utf8(count: number): string {
    return decodePython(this.raw(count), this.#argument);
  }

  latin1(count: number): string {
    return decodeLatin1(this.raw(count));
  }

  /** The text up to the next line break. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0) throw this.broken("a line without an end");
    return decodeLatin1(this.raw(end + 1 - this.at)).slice(0, -1);
  }

  integer(count: number): number | bigint {
    if (count > MAX_INTEGER)
      throw new UnsupportedError(this.#argument, `an integer of ${count} bytes`, `at most ${MAX_INTEGER}`);
    const digits = this.raw(count);
    let value = 0n;
    for (let i = count - 1; i >= 0; i--) value = (value << 8n) | BigInt(digits[i]!);
    return plainInteger(count > 0 && digits[count - 1]! > 127 ? value - (1n << BigInt(8 * count)) : value);
  }

  // --- the stack ---

  push(value: unknown): void {
    this.#stack.push(value);
  }

  #pop(): unknown {
    if (this.#stack.length === 0) throw this.broken("an empty stack");
    const value = this.#stack.pop();
    if (value === MARK) throw this.broken("a mark");
    return value;
  }

  pop(): unknown {
    return this.#pop();
  }

  /** Drops what is on top: a value, or a mark. */
  drop(): void {
    if (this.#stack.length === 0) throw this.broken("an empty stack");
    if (this.#stack.pop() === MARK) this.#marks.pop();
  }

  top(): unknown {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  setMark(): void {
    this.#marks.push(this.#stack.length);
    this.#stack.push(MARK);
  }

  /** The values above the last mark, which goes. */
  popMark(): unknown[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.broken("no mark");
    const values = this.#stack.splice(mark + 1);
    this.#stack.pop();
    return values;
  }

  popSome(count: number): unknown[] {
    const values: unknown[] = [];
    for (let i = 0; i < count; i++) values.push(this.#pop());
    return values.reverse();
  }

  put(index: number): void {
    this.#memo.set(index, this.top());
  }

  memoize(): void {
    this.#memo.set(this.#memo.size, this.top());
  }

  recall(index: number): void {
    if (!this.#memo.has(index)) throw this.broken(`no entry ${index} of the memo`);
    this.push(this.#memo.get(index));
  }

  // --- objects ---

  list(items: unknown[], kind: "list" | "tuple" | "set"): void {
    this.push(this.mark(items, kind));
  }

  dict(pairs: readonly unknown[]): void {
    const record = this.mark(freshRecord(), "dict");
    this.#set(record, pairs);
    this.push(record);
  }

  #set(record: Record<string, unknown>, pairs: readonly unknown[]): void {
    if (pairs.length % 2 === 1) throw this.broken("a key without a value");
    for (let i = 0; i < pairs.length; i += 2) record[this.#key(pairs[i])] = pairs[i + 1];
  }

  /** A key as text: Python's own, but for text, which is itself. */
  #key(key: unknown): string {
    if (typeof key === "string") return key;
    if (typeof key === "number" || typeof key === "bigint") return `${key}`;
    if (key === null) return "None";
    if (typeof key === "boolean") return key ? "True" : "False";
    const kind = this.#kinds.get(key);
    if (kind === "class") return (key as PickledObject).class;
    throw new UnsupportedError(`${this.#argument} key`, `a ${kind ?? "value"}`, "text or a number");
  }

  append(items: readonly unknown[]): void {
    const target = this.top();
    const kind = this.#kinds.get(target);
    if (kind === "list" || kind === "set") for (const item of items) (target as unknown[]).push(item);
    else if (kind === "object") {
      const object = target as { items?: unknown[] };
      object.items ??= [];
      for (const item of items) object.items.push(item);
    } else throw this.broken("items of something else", "a list");
  }

  setItems(pairs: readonly unknown[]): void {
    const target = this.top();
    const kind = this.#kinds.get(target);
    if (kind === "dict") this.#set(target as Record<string, unknown>, pairs);
    else if (kind === "object") {
      const object = target as { entries?: Record<string, unknown> };
      object.entries ??= this.mark(freshRecord(), "dict");
      this.#set(object.entries, pairs);
    } else throw this.broken("entries of something else", "a dictionary");
  }

  global(module: unknown, name: unknown): void {
    if (typeof module !== "string" || typeof name !== "string") throw this.broken("a class without a name", "text");
    const full = `${module}.${name}`;
    let record = this.#classes.get(full);
    if (!record) {
      record = this.mark(Object.assign(freshRecord(), { class: full }), "class");
      this.#classes.set(full, record);
    }
    this.push(record);
  }

  /** A call of a function or class: what it means, or a record of it. */
  call(callee: unknown, args: unknown): void {
    const name = this.nameOf(callee);
    if (name === undefined) throw this.broken("a call of something else", "a class or function by its name");
    if (!Array.isArray(args)) throw this.broken("arguments that are no tuple", "a tuple");
    const result = this.#meanings.call?.(name, args, this) ?? callStandard(name, args, this);
    if (result !== undefined) {
      this.push(result);
      return;
    }
    if ((name === "copy_reg._reconstructor" || name === "copyreg._reconstructor") && this.nameOf(args[0])) {
      this.call(args[0], []);
    } else this.push(this.mark(Object.assign(freshRecord(), { class: name, args }), "object"));
  }

  build(state: unknown): void {
    const target = this.top();
    if (this.#meanings.build?.(target, state)) return;
    if (this.#kinds.get(target) === "object") (target as { state?: unknown }).state = state;
    // attributes of a dictionary or of a tensor are dropped
  }

  persistent(id: unknown): void {
    if (!this.#meanings.persistent) throw new UnsupportedError(this.#argument, "a persistent id", "a pickle without");
    this.push(this.#meanings.persistent(id));
  }

  unsupported(what: string): never {
    throw new UnsupportedError(this.#argument, what, "a pickle of values");
  }
}

/** Calls of Python's own library. */
function callStandard(name: string, args: readonly unknown[], kinds: Kinds): unknown {
  const plain = name.replace(/^(__builtin__|builtins|_collections)\./, "").replace(/^collections\./, "");
  const [first, second] = args;
  switch (plain) {
    case "OrderedDict":
    case "defaultdict":
    case "Counter":
    case "dict": {
      const record = kinds.mark(freshRecord(), "dict");
      const entries = plain === "defaultdict" ? second : first;
      if (kinds.get(entries) === "dict") Object.assign(record, entries);
      else if (Array.isArray(entries)) {
        for (const pair of entries as unknown[]) {
          if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string") return undefined;
          record[pair[0]] = pair[1];
        }
      } else if (entries !== undefined) return undefined;
      return record;
    }
    case "set":
    case "frozenset":
    case "list":
    case "tuple":
      if (first !== undefined && !Array.isArray(first)) return undefined;
      return kinds.mark([...((first as unknown[] | undefined) ?? [])], plain === "frozenset" ? "set" : plain);
    case "_codecs.encode": // bytes in protocols below 3
      if (typeof first !== "string" || second !== "latin1") return undefined;
      return Uint8Array.from(first, (character) => character.charCodeAt(0));
    case "bytes":
      return args.length === 0 ? new Uint8Array(0) : undefined;
    case "bytearray":
      return args.length === 0 ? new Uint8Array(0) : first instanceof Uint8Array ? first.slice() : undefined;
    default:
      return undefined;
  }
}

/** A whole number: a bigint where a number could not hold it. */
export function plainInteger(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** What each byte does. */
const OPERATIONS: readonly (((m: Machine) => void) | undefined)[] = /* @__PURE__ */ (() => {
  const table: (((m: Machine) => void) | undefined)[] = new Array<undefined>(256).fill(undefined);
  const define = (code: string | number, operation: (m: Machine) => void) => {
    table[typeof code === "string" ? code.charCodeAt(0) : code] = operation;
  };
  define(0x80, (m) => {
    const version = m.u8();
    if (version > 5) m.unsupported(`protocol ${version}`);
  });
  define(0x95, (m) => void m.u64()); // FRAME
  define("(", (m) => m.setMark());
  define("0", (m) => m.drop());
  define("1", (m) => void m.popMark());
  define("2", (m) => m.push(m.top()));

  define("N", (m) => m.push(null));
  define(0x88, (m) => m.push(true));
  define(0x89, (m) => m.push(false));
  define("I", (m) => {
    const text = m.line();
    m.push(text === "00" || text === "01" ? text === "01" : parseInteger(m, text));
  });
  define("L", (m) => m.push(parseInteger(m, m.line().replace(/L$/, ""))));
  define("J", (m) => m.push(m.i32()));
  define("K", (m) => m.push(m.u8()));
  define("M", (m) => m.push(m.u16()));
  define(0x8a, (m) => m.push(m.integer(m.u8())));
  define(0x8b, (m) => m.push(m.integer(m.u32())));
  define("F", (m) => m.push(parseFloating(m, m.line())));
  define("G", (m) => m.push(m.f64()));

  define("S", (m) => m.push(parseString(m, m.line())));
  define("T", (m) => m.push(m.latin1(m.u32())));
  define("U", (m) => m.push(m.latin1(m.u8())));
  define("V", (m) => m.push(unescapeUnicode(m.line())));
  define("X", (m) => m.push(m.utf8(m.u32())));
  define(0x8c, (m) => m.push(m.utf8(m.u8())));
  define(0x8d, (m) => m.push(m.utf8(m.u64())));
  define("B", (m) => m.push(m.raw(m.u32()).slice()));
  define("C", (m) => m.push(m.raw(m.u8()).slice()));
  define(0x8e, (m) => m.push(m.raw(m.u64()).slice()));
  define(0x96, (m) => m.push(m.raw(m.u64()).slice()));

  define("]", (m) => m.list([], "list"));
  define("l", (m) => m.list(m.popMark(), "list"));
  define("a", (m) => m.append(m.popSome(1)));
  define("e", (m) => m.append(m.popMark()));
  define(")", (m) => m.list([], "tuple"));
  define("t", (m) => m.list(m.popMark(), "tuple"));
  define(0x85, (m) => m.list(m.popSome(1), "tuple"));
  define(0x86, (m) => m.list(m.popSome(2), "tuple"));
  define(0x87, (m) => m.list(m.popSome(3), "tuple"));
  define("}", (m) => m.dict([]));
  define("d", (m) => m.dict(m.popMark()));
  define("s", (m) => m.setItems(m.popSome(2)));
  define("u", (m) => m.setItems(m.popMark()));
  define(0x8f, (m) => m.list([], "set"));
  define(0x90, (m) => m.append(m.popMark()));
  define(0x91, (m) => m.list(m.popMark(), "set"));

  define("p", (m) => m.put(Number(m.line())));
  define("q", (m) => m.put(m.u8()));
  define("r", (m) => m.put(m.u32()));
  define(0x94, (m) => m.memoize());
  define("g", (m) => m.recall(Number(m.line())));
  define("h", (m) => m.recall(m.u8()));
  define("j", (m) => m.recall(m.u32()));

  define("c", (m) => m.global(m.line(), m.line()));
  define(0x93, (m) => {
    const [module, name] = m.popSome(2);
    m.global(module, name);
  });
  define("R", (m) => {
    const [callee, args] = m.popSome(2);
    m.call(callee, args);
  });
  define(0x81, (m) => {
    const [callee, args] = m.popSome(2);
    m.call(callee, args);
  });
  define(0x92, (m) => {
    const [callee, args, keywords] = m.popSome(3);
    if (!Array.isArray(args)) throw m.broken("arguments that are no tuple", "a tuple");
    m.call(callee, m.mark([...(args as unknown[]), keywords], "tuple"));
  });
  define("i", (m) => {
    m.global(m.line(), m.line());
    const callee = m.pop();
    m.call(callee, m.mark(m.popMark(), "tuple"));
  });
  define("o", (m) => {
    const [callee, ...args] = m.popMark();
    m.call(callee, m.mark(args, "tuple"));
  });
  define("b", (m) => m.build(m.pop()));
  define("P", (m) => m.persistent(m.line()));
  define("Q", (m) => m.persistent(m.pop()));
  for (const code of [0x82, 0x83, 0x84]) define(code, (m) => m.unsupported("a code of the extension registry"));
  for (const code of [0x97, 0x98]) define(code, (m) => m.unsupported("a buffer outside the pickle"));
  return table;
})();

// --- text ------------------------------------------------------------------------------------------------------------

function parseInteger(m: Machine, text: string): number | bigint {
  if (!/^[+-]?\d{1,600}$/.test(text)) throw m.broken(`the integer ${quote(text)}`, "up to 600 digits");
  return plainInteger(BigInt(text.replace("+", "")));
}

function parseFloating(m: Machine, text: string): number {
  if (text.length <= 400 && /^[+-]?\d*\.?\d*(e[+-]?\d+)?$/i.test(text) && /\d/.test(text)) return Number(text);
  const [, sign, word] = /^([+-]?)(inf|nan)$/.exec(text) ?? [];
  if (word === undefined) throw m.broken(`the number ${quote(text)}`, "a number");
  return word === "nan" ? NaN : sign === "-" ? -Infinity : Infinity;
}

const ESCAPES: ReadonlyMap<string, string> = /* @__PURE__ */ new Map([
  ["n", "\n"],
  ["t", "\t"],
  ["r", "\r"],
  ["\\", "\\"],
  ["'", "'"],
  ['"', '"'],
]);

/** A string in quotes, as Python 2's repr. */
function parseString(m: Machine, text: string): string {
  const [, , body] = /^(['"])([^]*)\1$/.exec(text) ?? [];
  if (body === undefined) throw m.broken(`the string ${quote(text)}`, "a string in quotes");
  return body.replace(/\\(?:x([0-9a-fA-F]{2})|([^]))/g, (whole, hex: string | undefined, one: string | undefined) =>
    hex === undefined ? (ESCAPES.get(one ?? "") ?? whole) : String.fromCharCode(parseInt(hex, 16)),
  );
}

/** Latin-1 with \u and \U for other characters. */
function unescapeUnicode(text: string): string {
  return text.replace(/\\(?:u([0-9a-fA-F]{4})|U00([0-9a-fA-F]{6}))/g, (whole, short?: string, long?: string) => {
    const code = parseInt(short ?? long ?? "", 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

/** UTF-8 in which lone surrogates are allowed, as Python writes them ("surrogatepass"). */
function decodePython(bytes: Uint8Array, argument: string): string {
  let text = "";
  let from = 0;
  for (let at = bytes.indexOf(0xed); at >= 0; at = bytes.indexOf(0xed, at + 1)) {
    const [, second = 0, third = 0] = bytes.subarray(at, at + 3);
    if (second < 0xa0 || second > 0xbf || third < 0x80 || third > 0xbf) continue;
    text += decodeUtf8(bytes.subarray(from, at), argument);
    text += String.fromCharCode(0xd000 | ((second & 0x3f) << 6) | (third & 0x3f));
    from = at + 3;
  }
  return text + decodeUtf8(bytes.subarray(from), argument);
}
