// Reads files of PyTorch's torch.save and of TorchScript in memory; ../pytorch.ts describes them. Nothing is executed: pickle.ts
// reads names and values, and this file has the closed list of names that mean something.

import { FormatError, UnsupportedError } from "../../bindings/errors.js";
import { MAX_RANK, type Tensor } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { bytesPerElement, type ElementType } from "../base/element.js";
import { takeBytes } from "./arrays.js";
import { hinted, identify } from "./identify.js";
import { quote } from "./json.js";
import { parseDescription } from "./npy.js";
import {
  freshRecord,
  plainInteger,
  readPickle,
  type Kinds,
  type PickledObject,
  type PickleMeanings,
} from "./pickle.js";
import { elements } from "./safetensors-header.js";
import { sizesOf, type StoredTensor } from "./safetensors.js";
import { columnMajor, readNumbers } from "./strided.js";
import { beyondLimit, checkMaxBytes, looksLikeZip, readZip, unzip, type ZipEntry } from "./zip.js";

/** A value of a checkpoint. */
export type TorchValue =
  null | boolean | number | bigint | string | Uint8Array | StoredTensor | PickledObject | TorchValue[] | TorchRecord;

/** A dictionary of a checkpoint: a record without a prototype, so that any name is an ordinary key. */
export interface TorchRecord {
  /** A value by its key. */
  [key: string]: TorchValue;
}

/** Options of `readTorch`. */
export interface TorchOptions {
  /**
   * The most bytes that the files of an archive may have together when inflated, and that all tensors may have together: a view
   * may repeat its numbers, and many may share one storage (default: 1 GiB, or four times the size of the file if that is more).
   */
  maxBytes?: number | undefined;
}

const EXPECTED = "a file of torch.save or TorchScript";

/** The first number in files of torch.save before 1.6. */
const MAGIC = 0x1950a86a20f9469cfc6cn;

const LEGACY_PROTOCOL = 1001;

/** The types of PyTorch's storages, and of its dtypes. */
const STORAGES: ReadonlyMap<string, ElementType> = /* @__PURE__ */ new Map([
  ["Double", "f64"],
  ["Float", "f32"],
  ["Half", "f16"],
  ["BFloat16", "bf16"],
  ["Long", "i64"],
  ["Int", "i32"],
  ["Short", "i16"],
  ["Char", "i8"],
  ["Byte", "u8"],
  ["Bool", "bool"],
  ["Untyped", "u8"],
]);

const DTYPES: ReadonlyMap<string, ElementType> = /* @__PURE__ */ new Map([
  ["torch.float64", "f64"],
  ["torch.float32", "f32"],
  ["torch.float16", "f16"],
  ["torch.bfloat16", "bf16"],
  ["torch.int64", "i64"],
  ["torch.int32", "i32"],
  ["torch.int16", "i16"],
  ["torch.int8", "i8"],
  ["torch.uint64", "u64"],
  ["torch.uint32", "u32"],
  ["torch.uint16", "u16"],
  ["torch.uint8", "u8"],
  ["torch.bool", "bool"],
]);

const KNOWN = "float64, float32, float16, bfloat16, integers or bool";

/** The numbers that tensors share. */
interface Storage {
  readonly key: string;
  readonly type: ElementType;
  /** At least those of `size` numbers. */
  readonly bytes: Uint8Array;
  readonly size: number;
}

/**
 * Reads a checkpoint of PyTorch: the value that was saved. Dictionaries (a `state_dict`) are records without a prototype, keys
 * that are numbers become text; lists, tuples and sets are arrays, None is null, whole numbers beyond 2^53 are bigints, bytes are
 * Uint8Arrays. Objects of unknown classes come as a `PickledObject` with the class's name: nothing is executed. Of a TorchScript
 * archive the tensors come alone, by their names ("lstm.weight_ih_l0"), those of its constants as "CONSTANTS.c0" and so on.
 *
 * Tensors, parameters and NumPy's arrays and numbers: float64, float32 and int32 keep their type, float16 and bfloat16 widen to
 * f32 exactly: these are Tensors. int64 comes as BigInt64Array, int16, int8 and uint8 as the arrays of those names, bool as a
 * Uint8Array. All are row-major and fresh: tensors that share a storage (tied weights in a `state_dict`, views) each get a copy of
 * their own. Only where the file has the very same tensor in two places is it the same record in both.
 *
 * @typeParam T the type that the caller expects; it is not checked here: functions that take tensors check theirs
 * @param bytes the whole file: .pt, .pth, .tar
 * @param options `maxBytes`: a limit against files that expand to much more than they are
 * @throws FormatError, saying what is wrong, or what the file is, for anything that is not a whole valid file, and beyond
 *   `maxBytes`; UnsupportedError for complex, quantised and sparse tensors, values that contain themselves, and PyTorch's form
 *   before 0.1.10; DtypeError where bytes is no Uint8Array, ValueError for options
 */
export function readTorch<T = Record<string, Tensor>>(bytes: Uint8Array, options: TorchOptions = {}): T {
  const { maxBytes } = checkOptions("readTorch", options, ["maxBytes"]);
  const file = takeBytes("bytes", bytes);
  const limit = checkMaxBytes(maxBytes, file.length);
  return (looksLikeZip(file) ? readArchive(file, limit) : readLegacy(file, limit)) as T;
}

// --- archives --------------------------------------------------------------------------------------------------------

function readArchive(file: Uint8Array, maxBytes: number): unknown {
  const entries = readZip(file, EXPECTED, maxBytes);
  const pickles = [...entries.keys()].filter((name) => /^([^/]*\/)?data\.pkl$/.test(name));
  const [main] = pickles;
  if (main === undefined || pickles.length > 1) {
    const kind = identify(file);
    const received = main !== undefined || !kind ? `an archive with ${pickles.length} data.pkl` : kind.name;
    throw new FormatError("bytes", received, kind && main === undefined ? hinted(EXPECTED, kind) : EXPECTED);
  }
  const root = main.slice(0, -"data.pkl".length);
  const bigEndian = isBigEndian(file, entries.get(`${root}byteorder`));
  const budget = new Budget(maxBytes);
  const read = (name: string) => {
    const pickle = unzip(file, entries.get(`${root}${name}.pkl`)!);
    const storages = new Map<string, Uint8Array>();
    const storage = (key: string): Uint8Array => {
      const known = storages.get(key);
      if (known) return known;
      const entry = entries.get(`${root}${name}/${key}`);
      if (!entry) throw new FormatError(`storage ${quote(key)}`, "no file in the archive", `${name}/${quote(key)}`);
      const numbers = unzip(file, entry);
      storages.set(key, numbers);
      return numbers;
    };
    const { value, end } = readPickle(`${name}.pkl`, pickle, 0, new Meanings(storage, bigEndian, budget));
    checkEnd(`${name}.pkl`, pickle, end);
    return { value, size: pickle.length };
  };
  if (!entries.has(`${root}constants.pkl`)) return read("data").value;
  const constants = read("constants");
  const data = read("data");
  return namedTensors(data.value, constants.value, data.size + constants.size);
}

function checkEnd(argument: string, bytes: Uint8Array, end: number): void {
  if (end !== bytes.length) throw new FormatError(argument, `${bytes.length} bytes`, `${end}, where its value ends`);
}

function isBigEndian(file: Uint8Array, entry: ZipEntry | undefined): boolean {
  if (!entry) return false;
  const text = String.fromCharCode(...unzip(file, entry).subarray(0, 20));
  if (text !== "little" && text !== "big") throw new FormatError("byteorder", quote(text), '"little" or "big"');
  return text === "big";
}

/** The tensors of TorchScript's modules by their names, as a state_dict has them: those that are attributes themselves. */
function namedTensors(data: unknown, constants: unknown, size: number): Record<string, StoredTensor> {
  const tensors = Object.create(null) as Record<string, StoredTensor>;
  // modules in several places have several names: they could be many more than there are bytes
  let budget = 1_000_000 + 64 * size;
  const collect = (value: unknown, name: string): void => {
    budget -= 1 + name.length;
    if (budget < 0) throw new FormatError("data.pkl", "too many names", "a tree of modules");
    if (typeof value !== "object" || value === null) return;
    if (isTensor(value)) tensors[name] = value;
    const { class: kind, state } = value as Partial<PickledObject>;
    if (typeof kind !== "string" || typeof state !== "object" || state === null || Array.isArray(state)) return;
    for (const [key, part] of Object.entries(state)) collect(part, name === "" ? key : `${name}.${key}`);
  };
  collect(data, "");
  if (Array.isArray(constants)) constants.forEach((value, i) => void collect(value, `CONSTANTS.c${i}`));
  return tensors;
}

function isTensor(value: object): value is StoredTensor {
  const { data, shape } = value as Partial<StoredTensor>;
  return ArrayBuffer.isView(data) && Array.isArray(shape);
}

// --- files of PyTorch before 1.6 -------------------------------------------------------------------------------------

/** Five pickles: a magic number, the version, the system, the value, the storages' keys; then the storages in that order. */
function readLegacy(file: Uint8Array, maxBytes: number): unknown {
  const isTar = String.fromCharCode(...file.subarray(257, 262)) === "ustar";
  if (isTar) throw new UnsupportedError("bytes", "a tar archive of PyTorch before 0.1.10", EXPECTED);
  if (file[0] !== 0x80) {
    const kind = identify(file);
    throw new FormatError("bytes", kind?.name ?? "another beginning", kind ? hinted(EXPECTED, kind) : EXPECTED);
  }
  const magic = readPickle("magic number", file, 0);
  if (magic.value !== MAGIC) throw new FormatError("bytes", "a pickle without PyTorch's magic number", EXPECTED);
  const version = readPickle("protocol version", file, magic.end);
  if (version.value !== LEGACY_PROTOCOL) {
    throw new FormatError("protocol version", quote(version.value), `${LEGACY_PROTOCOL}`);
  }
  const system = readPickle("sys_info", file, version.end);
  // the value comes before the numbers of its tensors, so it is read twice: first for the types of the storages
  const types = new Map<string, { type: ElementType; size: number }>();
  const first = readPickle("value", file, system.end, {
    persistent(id) {
      const reference = storageReference(id);
      if (reference) types.set(reference.key, reference);
      return null;
    },
  });
  const keys = readPickle("storage keys", file, first.end);
  if (!Array.isArray(keys.value)) throw new FormatError("storage keys", quote(keys.value), "a list");
  const storages = new Map<string, Uint8Array>();
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let at = keys.end;
  for (const key of keys.value as unknown[]) {
    const type = typeof key === "string" ? types.get(key) : undefined;
    const argument = `storage ${quote(key)}`;
    if (typeof key !== "string" || !type || storages.has(key)) {
      throw new FormatError(argument, "a key that no tensor has, or twice", "each once");
    }
    const size = at + 8 <= file.length ? Number(view.getBigUint64(at, true)) : NaN;
    if (size !== type.size) throw new FormatError(argument, `${size} numbers`, `${type.size}, as its tensors say`);
    const end = at + 8 + size * bytesPerElement(type.type);
    if (end > file.length) throw new FormatError(argument, `${file.length - at - 8} bytes`, `${end - at - 8}`);
    storages.set(key, file.subarray(at + 8, end));
    at = end;
  }
  checkEnd("bytes", file, at);
  const storage = (key: string): Uint8Array => {
    const numbers = storages.get(key);
    if (!numbers) throw new FormatError(`storage ${quote(key)}`, "no numbers in the file", "some for each storage");
    return numbers;
  };
  // these files are little-endian, whatever machine wrote them
  return readPickle("value", file, system.end, new Meanings(storage, false, new Budget(maxBytes))).value;
}

// --- the names that mean something -----------------------------------------------------------------------------------

/** Counts the bytes of tensors. */
class Budget {
  readonly #maxBytes: number;
  #used = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  take(bytes: number): void {
    this.#used += bytes;
    if (this.#used > this.#maxBytes) throw beyondLimit("tensors", this.#used, this.#maxBytes);
  }
}

/** What a persistent id says of a storage; undefined for other references of old files. */
function storageReference(
  id: unknown,
): { key: string; type: ElementType; size: number; name: string; view: unknown } | undefined {
  if (!Array.isArray(id)) throw new FormatError("persistent id", quote(id), "a tuple");
  const [what, kind, key, , size, view] = id as unknown[];
  if (what === "module") return undefined; // a class's source
  const name = (kind as PickledObject | null | undefined)?.class;
  if (what !== "storage" || typeof name !== "string" || typeof key !== "string" || !isCount(size)) {
    throw new FormatError("persistent id", quote(id), "('storage', its class, its key, a device, its size)");
  }
  const [, known] = /^torch\.(?:cuda\.|storage\.)?_?(\w+)Storage$/.exec(name) ?? [];
  const type = STORAGES.get(known ?? "");
  if (!type) throw new UnsupportedError(`storage ${quote(key)}`, name, `storages of ${KNOWN}`);
  return { key, type, size, name, view };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Functions and references of PyTorch's and NumPy's pickles. */
class Meanings implements PickleMeanings {
  readonly #storage: (key: string) => Uint8Array;
  readonly #bigEndian: boolean;
  readonly #budget: Budget;
  /** Storages by the records that stand for them. */
  readonly #storages = new Map<unknown, Storage>();

  constructor(storage: (key: string) => Uint8Array, bigEndian: boolean, budget: Budget) {
    this.#storage = storage;
    this.#bigEndian = bigEndian;
    this.#budget = budget;
  }

  persistent(id: unknown): unknown {
    const reference = storageReference(id);
    if (!reference) return (id as unknown[])[1];
    const { key, type, size, name, view } = reference;
    const width = bytesPerElement(type);
    const whole = this.#storage(key);
    if (size * width > whole.length) {
      throw new FormatError(`storage ${quote(key)}`, `${whole.length} bytes`, `${size * width} for ${size} of ${type}`);
    }
    const record = Object.assign(freshRecord(), { class: name });
    this.#storages.set(record, { key, type, ...part(key, whole, size, width, view) });
    return record;
  }

  call(name: string, args: readonly unknown[], kinds: Kinds): unknown {
    const [first, second] = args;
    switch (name) {
      case "torch._utils._rebuild_tensor":
        return this.#tensor(args);
      case "torch._utils._rebuild_tensor_v2":
        checkPlain(args[6]);
        return this.#tensor(args);
      case "torch._utils._rebuild_tensor_v3": {
        checkPlain(args[7]);
        const dtype = kinds.nameOf(args[6]) ?? quote(args[6]);
        const type = DTYPES.get(dtype);
        if (!type) throw new UnsupportedError("tensor dtype", dtype, KNOWN);
        return this.#tensor(args, type);
      }
      case "torch._utils._rebuild_parameter":
      case "torch._utils._rebuild_parameter_with_state":
      case "torch.jit._pickle.restore_type_tag":
      case "torch.jit._pickle.build_intlist":
      case "torch.jit._pickle.build_doublelist":
      case "torch.jit._pickle.build_boollist":
      case "torch.jit._pickle.build_tensorlist":
      case "torch.Size":
        if (first === undefined) throw new FormatError(name, "no argument", "one");
        return first;
      case "torch._tensor._rebuild_from_type_v2": {
        // a subclass of Tensor, or one with attributes: how it is made, its class, the arguments, attributes
        const made = kinds.nameOf(first);
        if (made === name || made === undefined || !Array.isArray(args[2])) {
          throw new FormatError(name, quote(made), "a function that makes a tensor, and its arguments");
        }
        return this.call(made, args[2], kinds);
      }
      case "torch.device":
        return args.map((each) => (typeof each === "string" || typeof each === "number" ? each : "")).join(":");
      case "numpy.core.multiarray.scalar":
      case "numpy._core.multiarray.scalar":
        return numpyScalar(first, second);
      default:
        if (/^torch\._utils\._rebuild_\w*tensor/.test(name) || name === "torch.jit._pickle.build_tensor_from_id") {
          throw new UnsupportedError("tensor", name, "dense tensors of real numbers");
        }
        if (name === "torch.storage._load_from_bytes") {
          throw new UnsupportedError("storage", `a file within the file (${name})`, "torch.save of the value itself");
        }
        return undefined;
    }
  }

  build(object: unknown, state: unknown): boolean {
    const { class: name } = (object ?? {}) as Partial<PickledObject>;
    if (typeof name !== "string" || !/^numpy\._?core\.multiarray\._reconstruct$/.test(name)) return false;
    const tensor = numpyArray(state);
    if (!tensor) return false;
    const record = object as Record<string, unknown>;
    delete record.class;
    delete record.args;
    Object.assign(record, tensor);
    return true;
  }

  /** A tensor of a storage: (storage, offset, size, stride, ...). */
  #tensor(args: readonly unknown[], as?: ElementType): StoredTensor {
    const storage = this.#storages.get(args[0]);
    if (!storage) throw new FormatError("tensor", "no storage", "one of the file's");
    const argument = `tensor of storage ${quote(storage.key)}`;
    const offset = args[1];
    const [shape, strides] = [sizesOf(args[2]), sizesOf(args[3])];
    if (!isCount(offset)) throw new FormatError(`${argument} offset`, quote(offset), "a whole number >= 0");
    if (shape === undefined || shape.length > MAX_RANK || Number.isNaN(elements(shape))) {
      const expected = `at most ${MAX_RANK} whole numbers >= 0, fewer than 2^53 elements`;
      throw new FormatError(`${argument} size`, quote(args[2]), expected);
    }
    if (strides?.length !== shape.length) {
      throw new FormatError(`${argument} stride`, quote(args[3]), `${shape.length} whole numbers >= 0`);
    }
    const type = as ?? storage.type;
    const width = bytesPerElement(type);
    const size = as ? Math.floor(storage.bytes.length / width) : storage.size;
    const count = elements(shape);
    const end = count === 0 ? 0 : shape.reduce((sum, steps, axis) => sum + (steps - 1) * strides[axis]!, offset) + 1;
    if (!(end <= size)) throw new FormatError(argument, `numbers up to the ${end}th`, `the ${size} that it has`);
    this.#budget.take(count * (type === "f16" || type === "bf16" ? 4 : width));
    const bytes = storage.bytes.subarray(offset * width, end * width);
    return { data: readNumbers(type, bytes, { bigEndian: this.#bigEndian, strides, shape, count }), shape };
  }
}

/** A storage, or the part of it that old files may name: (key, offset, size). */
function part(
  key: string,
  whole: Uint8Array,
  size: number,
  width: number,
  view: unknown,
): Pick<Storage, "bytes" | "size"> {
  if (!Array.isArray(view)) return { bytes: whole.subarray(0, size * width), size };
  const [, offset, length] = view as unknown[];
  if (!isCount(offset) || !isCount(length) || offset + length > size) {
    throw new FormatError(`storage ${quote(key)} view`, quote(view), `a part of its ${size} numbers`);
  }
  return { bytes: whole.subarray(offset * width, (offset + length) * width), size: length };
}

/** Refuses tensors whose numbers stand for others: negated, conjugated. */
function checkPlain(metadata: unknown): void {
  if (typeof metadata !== "object" || metadata === null) return;
  const set = Object.entries(metadata).filter(([, value]) => value === true);
  if (set.length > 0) throw new UnsupportedError("tensor", `one marked ${quote(set[0]![0])}`, "plain numbers");
}

// --- NumPy -----------------------------------------------------------------------------------------------------------

/** The type of a pickled numpy.dtype; undefined for one that is not read. */
function numpyType(dtype: unknown): { type: ElementType; bigEndian: boolean } | undefined {
  const { class: name, args, state } = (dtype ?? {}) as Partial<PickledObject>;
  const description = args?.[0];
  if (name !== "numpy.dtype" || typeof description !== "string") return undefined;
  try {
    const { type } = parseDescription("numpy.dtype", description);
    return { type, bigEndian: Array.isArray(state) && state[1] === ">" };
  } catch {
    return undefined;
  }
}

function bytesOfPickle(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  return typeof value === "string" ? Uint8Array.from(value, (character) => character.charCodeAt(0)) : undefined;
}

/** A number or boolean of NumPy; undefined for other types. */
function numpyScalar(dtype: unknown, value: unknown): number | bigint | boolean | undefined {
  const known = numpyType(dtype);
  const bytes = bytesOfPickle(value);
  if (!known || bytes?.length !== bytesPerElement(known.type)) return undefined;
  const [number = 0] = readNumbers(known.type, bytes, { bigEndian: known.bigEndian, shape: [], count: 1 });
  if (known.type === "bool") return number !== 0;
  return typeof number === "bigint" ? plainInteger(number) : number;
}

/** An array of NumPy: (version, shape, dtype, whether in Fortran's order, bytes); undefined for other types. */
function numpyArray(state: unknown): StoredTensor | undefined {
  if (!Array.isArray(state)) return undefined;
  const [, size, dtype, fortran, raw] = state as unknown[];
  const [known, bytes, shape] = [numpyType(dtype), bytesOfPickle(raw), sizesOf(size)];
  if (!known || !bytes || !shape || shape.length > MAX_RANK) return undefined;
  const count = elements(shape);
  if (count * bytesPerElement(known.type) !== bytes.length) return undefined;
  const strides = fortran === true && count > 0 ? columnMajor(shape) : undefined;
  return { data: readNumbers(known.type, bytes, { bigEndian: known.bigEndian, strides, shape, count }), shape };
}
