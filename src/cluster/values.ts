// Values on the server: bytes under their SHA-256. Whoever reads one checks its size before anything is allocated, and its hash.

import { createHash } from "node:crypto";
import { FormatError, ValueError } from "../../bindings/errors.js";
import { describe, type Tensor } from "../../bindings/tensor.js";
import { parseJson, writeJson } from "../formats/json.js";
import { readHeader } from "../formats/safetensors-header.js";
import { readSafetensors, writeSafetensors } from "../formats/safetensors.js";
import type { Tensors } from "../train/records.js";
import type { Json } from "../train/shards.js";
import type { Connection } from "./connection.js";
import { ClusterError, messageOf } from "./errors.js";

/** Names a value. */
export interface Ref {
  /** SHA-256 of its bytes, in hexadecimal digits. */
  readonly hash: string;
  /** Bytes. */
  readonly size: number;
}

/** A value that the server does not have. */
export class MissingValue extends Error {
  constructor(readonly ref: Ref) {
    super(`missing ${ref.hash}`);
  }
}

export function encodeTensors(tensors: Tensors): Uint8Array<ArrayBuffer> {
  return writeSafetensors(tensors);
}

const VIEWS = { F64: Float64Array, F32: Float32Array, I32: Int32Array };

/** The tensors of a value: views of the bytes, where these are aligned as `encodeTensors` aligns them. */
export function decodeTensors(bytes: Uint8Array): Tensors {
  const { entries, dataStart } = readHeader(bytes, bytes.byteLength);
  const tensors = Object.create(null) as Record<string, Tensor>;
  for (const { name, dtype, shape, begin, end } of entries) {
    const View = VIEWS[dtype as keyof typeof VIEWS] as typeof Float64Array | undefined;
    const start = bytes.byteOffset + dataStart + begin;
    if (!View || start % View.BYTES_PER_ELEMENT !== 0) return readSafetensors(bytes).tensors;
    tensors[name] = { data: new View(bytes.buffer, start, (end - begin) / View.BYTES_PER_ELEMENT), shape };
  }
  return tensors;
}

export function encodeJson(json: Json): Uint8Array {
  return new TextEncoder().encode(writeJson("setup", json));
}

export function decodeJson(bytes: Uint8Array): Json {
  return parseJson("setup", new TextDecoder("utf-8", { fatal: true }).decode(bytes)) as Json;
}

export function refOf(bytes: Uint8Array): Ref {
  return { hash: createHash("sha256").update(bytes).digest("hex"), size: bytes.byteLength };
}

/** A reference from outside. */
export function readRef(argument: string, given: unknown): Ref {
  const { hash, size } = (given ?? {}) as Partial<Record<keyof Ref, unknown>>;
  if (typeof hash !== "string" || !/^[0-9a-f]{64}$/.test(hash))
    throw new FormatError(argument, describe(hash), "a SHA-256");
  if (!Number.isSafeInteger(size) || (size as number) < 1)
    throw new FormatError(argument, describe(size), "a size in bytes, 1 or more");
  return { hash, size: size as number };
}

/** The values of a run. */
export class Values {
  readonly #connection: Connection;
  readonly #run: string;
  readonly #maxBytes: number;
  /** Bytes that were sent and received. */
  readonly traffic = { sent: 0, received: 0 };

  constructor(connection: Connection, run: string, maxBytes: number) {
    this.#connection = connection;
    this.#run = run;
    this.#maxBytes = maxBytes;
  }

  #key({ hash }: Ref): string {
    return `${this.#connection.prefix}:value:${this.#run}:${hash}`;
  }

  /** Stores bytes. */
  async put(ref: Ref, bytes: Uint8Array): Promise<void> {
    const { redis, timeToLive } = this.#connection;
    const { buffer, byteOffset, byteLength } = bytes;
    try {
      await redis.set(this.#key(ref), Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength), "PX", timeToLive);
      this.traffic.sent += byteLength;
    } catch (error) {
      throw fullOr(error);
    }
  }

  /** Renews a value's time to live. Returns whether the server has it. */
  async touch(ref: Ref): Promise<boolean> {
    return (await this.#connection.redis.pexpire(this.#key(ref), this.#connection.timeToLive)) === 1;
  }

  /**
   * The bytes of a value.
   *
   * @throws MissingValue, FormatError (other bytes than its hash says), ValueError (too large)
   */
  async get(ref: Ref): Promise<Uint8Array> {
    const { redis } = this.#connection;
    if (ref.size > this.#maxBytes) throw new ValueError("value", `${ref.size} bytes`, `at most ${this.#maxBytes}`);
    const key = this.#key(ref);
    // in one go; no more than the reference says, whatever is there
    const [size, bytes] = await Promise.all([redis.strlen(key), redis.getrangeBuffer(key, 0, ref.size - 1)]);
    if (size === 0 || bytes.byteLength === 0) throw new MissingValue(ref);
    if (size !== ref.size) throw new FormatError(`value ${ref.hash}`, `${size} bytes`, `${ref.size}`);
    this.traffic.received += bytes.byteLength;
    const { hash } = refOf(bytes);
    if (hash !== ref.hash) throw new FormatError(`value ${ref.hash}`, `bytes whose SHA-256 is ${hash}`, "its own");
    // aligned, and without its neighbours in a pool of Node
    return bytes.byteLength === bytes.buffer.byteLength
      ? new Uint8Array(bytes.buffer as ArrayBuffer)
      : new Uint8Array(bytes);
  }

  async remove(refs: readonly Ref[]): Promise<void> {
    if (refs.length > 0) await this.#connection.redis.unlink(refs.map((ref) => this.#key(ref)));
  }
}

/** An error of the server that has no more memory, as such. */
export function fullOr(error: unknown): Error {
  if (/\bOOM\b/.test(messageOf(error))) {
    return new ClusterError(
      "full",
      "the server of the queue has no memory left for more values (OOM): raise its maxmemory",
    );
  }
  return error as Error;
}

/** Decoded values by their hashes: the ones that were used last, up to a number of bytes. */
export class Cache {
  readonly #entries = new Map<string, { size: number; value: Promise<Tensors | Json> }>();
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get<T extends Tensors | Json>({ hash, size }: Ref, kind: string, load: () => Promise<T>): Promise<T> {
    const key = `${kind} ${hash}`;
    const found = this.#entries.get(key);
    if (found) {
      this.#entries.delete(key);
      this.#entries.set(key, found);
      return found.value as Promise<T>;
    }
    const value = load();
    this.set({ hash, size }, kind, value);
    value.catch(() => this.#remove(key));
    return value;
  }

  set({ hash, size }: Ref, kind: string, value: Promise<Tensors | Json>): void {
    const key = `${kind} ${hash}`;
    this.#remove(key);
    this.#entries.set(key, { size, value });
    this.#bytes += size;
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= this.#maxBytes || oldest === key) break;
      this.#remove(oldest);
    }
  }

  #remove(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#bytes -= entry.size;
    this.#entries.delete(key);
  }
}
