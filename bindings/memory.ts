// Tensors in wasm memory and their owners. Their addresses come from heap.ts.

import { DisposedError, DtypeError, OutOfMemoryError, ShapeError, StateError, ValueError } from "./errors.js";
import type { Core } from "./instantiate.js";
import {
  BYTES,
  checkTensor,
  copied,
  describe,
  kindOf,
  lengthOf,
  readNumbers,
  ReadTensor,
  showShape,
  sizeOf,
  type Dtype,
  type Tensor,
  type TensorData,
} from "./tensor.js";

/**
 * Owns tensors in the memory of one core and gives them all back at once: by `dispose()`, or, for an arena that lives
 * on (`finalize`), when neither it nor any of its tensors can be reached any more.
 */
export class Arena {
  readonly core: Core;
  readonly #addresses: number[] = [];
  /** What a finalizer frees: the addresses of this arena, and of those that end with it. Undefined where there is none. */
  readonly #finalized: Set<number[]> | undefined;
  /** The set of the arena that this one ends with. */
  readonly #siblings: Set<number[]> | undefined;
  /** The most bytes that it allocates. */
  limit = Infinity;
  #bytes = 0;
  #disposed = false;

  /**
   * @param finalize for an arena that outlives a call: a finalizer frees it if it is never disposed of, its own, or that of another
   *   such arena, which takes a tenth of the time
   */
  constructor(core: Core, finalize: boolean | Arena = false) {
    this.core = core;
    if (finalize === true) {
      this.#finalized = new Set([this.#addresses]);
      registry.register(this, { core, owned: this.#finalized }, this);
    } else if (finalize) {
      this.#siblings = finalize.#finalized!;
      this.#siblings.add(this.#addresses);
    }
  }

  get disposed(): boolean {
    return this.#disposed;
  }

  /**
   * A tensor that is not initialised.
   *
   * @throws OutOfMemoryError naming `purpose`
   */
  allocate<D extends Dtype>(purpose: string, dtype: D, shape: readonly number[]): WasmTensor<D> {
    return new WasmTensor(this, dtype, shape, this.bytes(purpose, sizeOf(shape) * BYTES[dtype]));
  }

  /** `allocate`, filled with zeros. */
  zeros<D extends Dtype>(purpose: string, dtype: D, shape: readonly number[]): WasmTensor<D> {
    const tensor = this.allocate(purpose, dtype, shape);
    tensor.fill(0);
    return tensor;
  }

  /** Allocates bytes without a type, and returns their address. */
  bytes(purpose: string, bytes: number): number {
    if (this.#disposed) throw new DisposedError(purpose, "a disposed object", "one that is alive");
    if (!(this.#bytes + bytes <= this.limit)) {
      throw new OutOfMemoryError(purpose, `${this.#bytes + bytes} bytes`, `at most ${this.limit} bytes`);
    }
    const pointer = this.core.heap.allocate(bytes, purpose);
    this.#bytes += bytes;
    this.#addresses.push(pointer);
    return pointer;
  }

  /**
   * The tensor itself where it lies in this core's memory already, else a copy of it there.
   *
   * @param pattern as in `checkTensor`
   * @throws DtypeError, ShapeError, OutOfMemoryError naming `argument`
   */
  upload<D extends Dtype>(
    argument: string,
    tensor: Tensor,
    dtype: D,
    pattern: readonly (number | string)[],
  ): WasmTensor<D> {
    if (!(tensor instanceof WasmTensor) || tensor.arena.core !== this.core) {
      return this.copy(argument, tensor, dtype, pattern);
    }
    checkTensor(argument, tensor, dtype, pattern);
    return tensor as WasmTensor<D>;
  }

  /** `upload`, but always a copy, which later changes by the caller cannot reach. */
  copy<D extends Dtype>(
    argument: string,
    tensor: Tensor,
    dtype: D,
    pattern: readonly (number | string)[],
  ): WasmTensor<D> {
    return this.copyChecked(argument, checkTensor(argument, tensor, dtype, pattern), dtype);
  }

  /** `copy` of a tensor that was read and checked (`readTensor`, `checkTensor`). */
  copyChecked<D extends Dtype>(argument: string, { data, shape }: Tensor, dtype: D): WasmTensor<D> {
    const numbers = this.core.heap.holds(data) ? data.slice() : data; // growth would detach a view of this memory
    const copy = this.allocate(argument, dtype, shape);
    copy.set(numbers);
    return copy;
  }

  /** Frees everything; its tensors cannot be used any more. A second call does nothing. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#finalized) registry.unregister(this);
    this.#siblings?.delete(this.#addresses);
    release(this.core, this.#addresses);
  }
}

/**
 * Checks a tensor from outside (`checkTensor`) and copies it to a plain array, for use after more of the caller's code has run.
 *
 * @throws DtypeError, ShapeError
 */
export function takeTensor<D extends Dtype>(
  argument: string,
  tensor: Tensor,
  dtype: D,
  pattern: readonly (number | string)[],
): Tensor<D> {
  const { data, shape } = checkTensor(argument, tensor, dtype, pattern);
  return { data: data.slice() as TensorData<D>, shape };
}

/** The number of valid steps of each row: an array of whole numbers, an Int32Array, or a tensor of i32. */
export type Lengths = Tensor | readonly number[] | Int32Array;

/** A copy of lengths from outside, each read once: n integers from 0 to t. */
export function takeLengths(lengths: Lengths, t: number, n: number, argument = "lengths"): readonly number[] {
  const isList = Array.isArray(lengths) || kindOf(lengths) !== undefined;
  const values = isList
    ? readNumbers(argument, lengths as ArrayLike<number>, n, "one for each row", [])
    : Array.from(takeTensor(argument, lengths as Tensor, "i32", [n]).data);
  values.forEach((length, i) => {
    if (!Number.isInteger(length) || length < 0 || length > t) {
      throw new ValueError(`${argument}[${i}]`, `${length}`, `an integer from 0 to ${t}`);
    }
  });
  return values;
}

/** A copy of a mask from outside, each number of which is 0 or 1. It stands in place of lengths. */
export function takeMask(mask: Tensor, lengths: unknown, shape: readonly number[]): Int32Array {
  if (lengths !== undefined) throw new StateError("mask", "lengths as well", "one of the two");
  const { data } = takeTensor("mask", mask, "i32", shape);
  for (const flag of data) if (flag !== 0 && flag !== 1) throw new ValueError("mask", `${flag}`, "0 or 1");
  return data;
}

/** A tensor that was read, with a copy of numbers that lie in this core's memory: allocating may move that. */
export function steady({ heap }: Core, tensor: Tensor): ReadTensor {
  const { data, shape } = tensor;
  const source = tensor instanceof ReadTensor ? tensor.source : data;
  return new ReadTensor(heap.holds(data) ? data.slice() : data, shape, source);
}

function release({ heap }: Core, addresses: number[]): void {
  for (const address of addresses) heap.free(address);
  addresses.length = 0;
}

const registry = /* @__PURE__ */ new FinalizationRegistry<{ core: Core; owned: Set<number[]> }>(({ core, owned }) =>
  owned.forEach((addresses) => release(core, addresses)),
);

/** Runs `body` with an arena that is disposed of when it returns or throws. */
export function withArena<R>(core: Core, body: (arena: Arena) => R): R {
  const arena = new Arena(core);
  try {
    return body(arena);
  } finally {
    arena.dispose();
  }
}

/** A tensor in wasm memory. */
export class WasmTensor<D extends Dtype = Dtype> implements Tensor<D> {
  readonly #pointer: number;
  #view: TensorData<D> | undefined;

  constructor(
    readonly arena: Arena,
    readonly dtype: D,
    readonly shape: readonly number[],
    pointer: number,
  ) {
    this.#pointer = pointer;
  }

  /**
   * The address.
   *
   * @throws DisposedError after its owner's dispose()
   */
  get pointer(): number {
    if (this.arena.disposed) throw new DisposedError("tensor", "a tensor of a disposed object", "one that is alive");
    return this.#pointer;
  }

  /**
   * A live view of the numbers, created again when the memory has grown: an array kept across a call that allocates may be
   * detached (its length is then 0).
   *
   * @throws DisposedError after its owner's dispose()
   */
  get data(): TensorData<D> {
    const { pointer } = this;
    if (this.#view === undefined || this.#view.buffer.byteLength === 0) {
      const first = pointer / BYTES[this.dtype];
      const all = this.arena.core.heap.view(this.dtype) as TensorData;
      this.#view = all.subarray(first, first + sizeOf(this.shape)) as TensorData<D>;
    }
    return this.#view;
  }

  /**
   * Copies numbers in, as many as the tensor has, converting their type.
   *
   * @throws ShapeError where there are more or fewer, as in an array that has detached since it was checked
   */
  set(numbers: TensorData): void {
    const first = this.pointer / BYTES[this.dtype];
    const size = sizeOf(this.shape);
    const count = lengthOf(numbers);
    if (count !== size) throw new ShapeError("numbers", `${count} (a detached array?)`, `${size}`);
    this.arena.core.heap.view(this.dtype).set(numbers, first);
  }

  fill(value: number): void {
    const first = this.pointer / BYTES[this.dtype];
    this.arena.core.heap.view(this.dtype).fill(value, first, first + sizeOf(this.shape));
  }

  /** A new copy, which belongs to the caller. */
  download(shape: readonly number[] = this.shape): Tensor<D> {
    const first = this.pointer / BYTES[this.dtype];
    const view = (this.arena.core.heap.view(this.dtype) as TensorData).subarray(first, first + sizeOf(this.shape));
    return { data: copied(view) as TensorData<D>, shape: [...shape] };
  }

  /** `count` entries of the first axis from `first` on, in the same memory. */
  slice(first: number, count: number): WasmTensor<D> {
    const shape = this.shape.slice();
    const length = shape[0] ?? 0;
    if (!(Number.isInteger(first) && Number.isInteger(count) && first >= 0 && count >= 0 && first + count <= length)) {
      throw new ShapeError("slice", `${count} from ${first}`, `a part of 0 to ${length}`);
    }
    shape[0] = first; // of the numbers before the part
    const pointer = this.pointer + sizeOf(shape) * BYTES[this.dtype];
    shape[0] = count;
    return new WasmTensor(this.arena, this.dtype, shape, pointer);
  }

  /** The same numbers in another shape of the same size. */
  reshape(shape: readonly number[]): WasmTensor<D> {
    if (sizeOf(shape) !== sizeOf(this.shape)) throw new ShapeError("reshape", showShape(shape), showShape(this.shape));
    return new WasmTensor(this.arena, this.dtype, shape, this.pointer);
  }
}

const LIVE = /* @__PURE__ */ Symbol("a live view: post { data: x.data.slice(), shape: x.shape }");

/** The tensor in wasm memory behind a value from outside; undefined where there is none. */
export let wasmTensorOf: (value: unknown) => WasmTensor | undefined;

/** The tensors in wasm memory whose numbers users see through these views. */
const viewed = /* @__PURE__ */ new WeakMap<object, WasmTensor>();

/** The tensor in wasm memory that a live view shows; undefined for any other array. */
export function viewedTensor(data: object): WasmTensor | undefined {
  return viewed.get(data);
}

/**
 * A tensor in wasm memory as users hold it: `data` is a current view, `shape` cannot change, and nothing else is accessible. The
 * tensor itself would let its holder write anywhere in the memory.
 */
export class LiveTensor<D extends Dtype = Dtype> implements Tensor<D> {
  readonly #tensor: WasmTensor<D>;
  /** The same numbers. Users may put properties on its view, so it is used for nothing else. */
  readonly #shown: WasmTensor<D>;
  #latest: TensorData<D> | undefined;
  readonly shape: readonly number[];
  /** Makes structuredClone and postMessage fail instead of copying half of it; their error shows the symbol's text. */
  protected readonly live = LIVE;

  static {
    wasmTensorOf = (value) =>
      value !== null && typeof value === "object" && #tensor in value ? value.#tensor : undefined;
  }

  constructor(tensor: WasmTensor<D>) {
    if (!(tensor instanceof WasmTensor)) throw new DtypeError("tensor", describe(tensor), "a tensor of this package");
    this.#tensor = tensor;
    this.#shown = tensor.reshape(tensor.shape);
    this.shape = Object.freeze([...tensor.shape]);
    Object.freeze(this);
  }

  /** The current numbers, not a copy. Ask for it again after other calls of this package. */
  get data(): TensorData<D> {
    const { data } = this.#shown;
    if (data !== this.#latest) viewed.set((this.#latest = data), this.#tensor);
    return data;
  }
}
