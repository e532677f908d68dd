// The memory of one core: allocate, free, grow, and typed-array views.

import { OutOfMemoryError } from "./errors.js";
import type { Dtype, TensorData } from "./tensor.js";

const PAGE = 65536;
const MAX_PAGES = 65536; // 4 GiB
const ALIGNMENT = 64; // a cache line

/**
 * A first-fit allocator over a WebAssembly memory. Free blocks are kept in order of address and merged with free neighbours, so
 * that freeing everything leaves one block.
 */
export class Heap {
  readonly #memory: WebAssembly.Memory;
  readonly #base: number;
  readonly #used = new Map<number, number>(); // address -> bytes
  #starts: number[] = []; // free blocks, ascending
  #sizes: number[] = [];
  #bytesUsed = 0;
  #views!: Record<Dtype, TensorData>;

  /** @param base first address that may be allocated */
  constructor(memory: WebAssembly.Memory, base: number) {
    this.#memory = memory;
    this.#view();
    const start = (this.#base = Math.ceil(base / ALIGNMENT) * ALIGNMENT);
    const size = memory.buffer.byteLength - start;
    if (size > 0) this.#insert(start, size);
    else this.#grow(PAGE - size);
  }

  /** Bytes that are allocated. */
  get bytesUsed(): number {
    return this.#bytesUsed;
  }

  /** Bytes of the memory. */
  get byteLength(): number {
    return this.#memory.buffer.byteLength;
  }

  /**
   * Allocates `bytes` bytes, aligned to a cache line and not initialised. Growing the memory detaches every typed array
   * on it, unless it is shared: the old ones then go on showing the part that there was.
   *
   * @param purpose what the memory is for; errors name it
   * @throws OutOfMemoryError; nothing is changed then
   */
  allocate(bytes: number, purpose: string): number {
    const size = blockSize(bytes);
    let block = 0;
    while (block < this.#sizes.length && this.#sizes[block]! < size) block++;
    if (block === this.#sizes.length) {
      const last = block - 1;
      const atEnd = last >= 0 && this.#starts[last]! + this.#sizes[last]! === this.byteLength;
      if (!this.#grow(size - (atEnd ? this.#sizes[last]! : 0))) {
        this.#refuse(bytes, purpose);
      }
      block = this.#sizes.length - 1;
    }
    const start = this.#starts[block]!;
    if (this.#sizes[block] === size) {
      this.#remove(block);
    } else {
      this.#starts[block] = start + size;
      this.#sizes[block]! -= size;
    }
    this.#used.set(start, size);
    this.#bytesUsed += size;
    return start;
  }

  /**
   * Refuses blocks that together cannot fit, before the first is allocated.
   *
   * @param sizes bytes of the blocks
   * @throws OutOfMemoryError; nothing is changed then
   */
  checkRoom(sizes: readonly number[], purpose: string): void {
    let bytes = 0;
    for (const size of sizes) bytes += blockSize(size);
    if (this.#base + this.#bytesUsed + bytes > MAX_PAGES * PAGE) this.#refuse(bytes, purpose);
  }

  /** Whether a typed array is a view of this memory, or may be one, since each growth of a shared memory gives it a new buffer. */
  holds({ buffer }: TensorData): boolean {
    return buffer === this.#memory.buffer || !(buffer instanceof ArrayBuffer);
  }

  /** Frees a block of `allocate`. */
  free(address: number): void {
    const size = this.#used.get(address);
    if (size === undefined) throw new Error(`free(${address}): not an allocated address`);
    this.#used.delete(address);
    this.#bytesUsed -= size;
    this.#insert(address, size);
  }

  /** The whole memory as numbers of a type. Growth detaches it or leaves it too short: ask each time. */
  view<D extends Dtype>(dtype: D): D extends "f64" ? Float64Array : D extends "f32" ? Float32Array : Int32Array;
  view(dtype: Dtype): TensorData {
    if (this.#views.f64.byteLength === 0) this.#view(); // detached by growth
    return this.#views[dtype];
  }

  #view(): void {
    const { buffer } = this.#memory;
    this.#views = { f64: new Float64Array(buffer), f32: new Float32Array(buffer), i32: new Int32Array(buffer) };
  }

  /** Adds at least `bytes` at the end, an eighth of the memory if there is room. */
  #grow(bytes: number): boolean {
    const end = this.byteLength;
    const needed = Math.ceil(bytes / PAGE);
    const room = MAX_PAGES - end / PAGE;
    if (!(needed <= room)) return false;
    for (const pages of [Math.min(room, Math.max(needed, Math.ceil(end / PAGE / 8))), needed]) {
      try {
        this.#memory.grow(pages);
        this.#view();
        const start = Math.max(end, this.#base);
        this.#insert(start, this.byteLength - start);
        return true;
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }
    return false;
  }

  #refuse(bytes: number, purpose: string): never {
    const received = `${mebibytes(bytes)} beside ${mebibytes(this.#bytesUsed)} in use`;
    const expected = "at most 4096 MiB in all; dispose() gives memory back";
    throw new OutOfMemoryError(purpose, received, expected);
  }

  #insert(start: number, size: number): void {
    let i = this.#starts.length;
    while (i > 0 && this.#starts[i - 1]! > start) i--;
    const joinsBefore = i > 0 && this.#starts[i - 1]! + this.#sizes[i - 1]! === start;
    const joinsAfter = i < this.#starts.length && start + size === this.#starts[i];
    if (joinsBefore) {
      this.#sizes[i - 1]! += size + (joinsAfter ? this.#sizes[i]! : 0);
      if (joinsAfter) this.#remove(i);
    } else if (joinsAfter) {
      this.#starts[i] = start;
      this.#sizes[i]! += size;
    } else {
      this.#starts.splice(i, 0, start);
      this.#sizes.splice(i, 0, size);
    }
  }

  #remove(i: number): void {
    this.#starts.splice(i, 1);
    this.#sizes.splice(i, 1);
  }
}

function blockSize(bytes: number): number {
  return Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
