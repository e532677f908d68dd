// Threads that share the memory of a core: the caller's, which drives, and workers that instantiate the same modules over it. They run
// lists of kernel calls that do not depend on one another; nothing is reduced across threads, so bits do not depend on their number.
//
// A list is published in a control block in the shared memory. Every thread, the driver too, claims calls one by one until none is left:
// a worker that starts late, sleeps or has died takes none, and the others do its share. The driver returns when all calls are done.

import { ThreadError } from "./errors.js";
import { heapBase } from "./wasm.js";
import { hasTallTiles, type Core } from "./instantiate.js";
import type { Helper, Start } from "./workers.js";

/** A kernel: the function here, and its place among those of its module, by which workers find it. */
export interface Kernel {
  readonly module: number;
  readonly index: number;
  readonly run: (...args: number[]) => unknown;
}

/** A call of a kernel. */
export type Call = readonly [kernel: Kernel, ...args: number[]];

/** The most threads, and so the most calls of a list. */
export const MAX_THREADS = 64;

/** Loads of a flag before a thread sleeps: some 100 us, more than the time between two passes of a step of training. */
const SPINS = 100_000;

/** Milliseconds that the driver sleeps at a time. */
const LONGEST_WAIT = 100;

// The control block, in numbers of 4 bytes; calls of 16 f64 each, and records past it.
export const LEFT = 0; // calls that nobody has claimed; -1: workers return
export const DONE = 16; // calls that are done, in another cache line
const SLEEPING = 32; // workers that wait for LEFT
const WAITING = 33; // whether the driver waits for DONE
const FAILED = 34; // calls that threw
const MODULES = 48; // address and bytes of each
const CALLS = 64;
const CALL = 32;
const headerBytes = () => 4 * (CALLS + MAX_THREADS * CALL); // a function: an app without threads carries none of it

/**
 * The program of a worker: a function of its task, in JavaScript, since a worker has no module of its own. It compiles a module when it
 * first claims a call of it.
 */
export const worker = (): string => `({ memory, control, scratch, tallTiles }) => {
  const ints = new Int32Array(memory.buffer), numbers = new Float64Array(memory.buffer), at = control / 4, modules = [];
  const load = (module) => {
    const start = ints[at + ${MODULES} + 2 * module] >>> 0, size = ints[at + ${MODULES} + 2 * module + 1];
    const bytes = new Uint8Array(memory.buffer, start, size).slice();
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes), { env: { memory } });
    exports.setScratch(scratch, tallTiles);
    return (modules[module] = Object.values(exports));
  };
  for (;;) {
    let left = 0;
    for (let i = 0; i < ${SPINS} && left === 0; i++) left = Atomics.load(ints, at + ${LEFT});
    if (left < 0) return;
    if (left === 0) {
      Atomics.add(ints, at + ${SLEEPING}, 1);
      Atomics.wait(ints, at + ${LEFT}, 0);
      Atomics.sub(ints, at + ${SLEEPING}, 1);
    } else if (Atomics.compareExchange(ints, at + ${LEFT}, left, left - 1) === left) {
      const call = (control + ${4 * CALLS}) / 8 + ${CALL / 2} * (left - 1);
      try {
        const [module, kernel, count] = numbers.subarray(call, call + 3);
        (modules[module] ?? load(module))[kernel](...numbers.subarray(call + 3, call + 3 + count));
      } catch {
        Atomics.add(ints, at + ${FAILED}, 1);
      }
      Atomics.add(ints, at + ${DONE}, 1);
      if (Atomics.load(ints, at + ${WAITING})) Atomics.notify(ints, at + ${DONE});
    }
  }
}`;

/** Threads over one core's memory. */
export class Team {
  readonly #core: Core;
  /** The address of the control block. */
  readonly control: number;
  readonly #scratch: number;
  readonly #records: number;
  readonly #timeout: number;
  readonly #ints: Int32Array;
  readonly #numbers: Float64Array;
  readonly #at: number;
  readonly #mayWait: boolean;
  /** The workers that are alive. */
  readonly #helpers = new Set<Helper>();
  /** Those that were started. */
  readonly #started: Helper[] = [];
  readonly #changed: () => void;

  /**
   * @param recordBytes bytes of the largest record
   * @param timeout milliseconds that the driver waits for a call that a worker has claimed
   * @param changed is called when workers have ended
   */
  constructor(core: Core, recordBytes: number, timeout: number, changed: () => void) {
    const { heap, record, memory } = core;
    this.#core = core;
    this.#timeout = timeout;
    this.#changed = changed;
    this.#records = Math.ceil(recordBytes / 64) * 64;
    this.#scratch = Math.ceil((record - heapBase) / 64) * 64; // as much as the core itself has
    this.control = heap.allocate(headerBytes() + (MAX_THREADS + 1) * this.#records, "threads");
    this.#ints = new Int32Array(memory.buffer);
    this.#numbers = new Float64Array(memory.buffer);
    this.#at = this.control / 4;
    this.#ints.fill(0, this.#at, this.#at + CALLS);
    this.#mayWait = mayWait();
  }

  /** How many threads work together. */
  get threads(): number {
    return 1 + this.#helpers.size;
  }

  /** The workers that were started. */
  get helpers(): readonly Helper[] {
    return this.#started;
  }

  /**
   * Adds workers.
   *
   * @param start starts one; it throws where the host allows none
   */
  add(count: number, start: Start): void {
    const { heap, memory } = this.#core;
    for (let i = 0; i < count; i++) {
      const scratch = heap.allocate(this.#scratch, "scratch of a thread");
      try {
        const helper = start(worker(), { memory, control: this.control, scratch, tallTiles: hasTallTiles() });
        this.#helpers.add(helper);
        this.#started.push(helper);
        void helper.ended.then(() => {
          if (this.#helpers.delete(helper)) this.#changed();
          heap.free(scratch);
        });
      } catch (error) {
        heap.free(scratch);
        throw error;
      }
    }
  }

  /** Tells workers where a module's bytes are in the memory. */
  place(module: number, address: number, bytes: number): void {
    this.#ints[this.#at + MODULES + 2 * module] = address;
    this.#ints[this.#at + MODULES + 2 * module + 1] = bytes;
  }

  /** Address `i` of MAX_THREADS + 1 at which the largest record has room. */
  record(i: number): number {
    return this.control + headerBytes() + i * this.#records;
  }

  /**
   * Runs at most MAX_THREADS calls, in any order and at the same time.
   *
   * @throws ThreadError where a call of a worker failed or was not done in time: the team is then of no use any more
   */
  run(calls: readonly Call[]): void {
    const count = calls.length;
    const [ints, numbers, at] = [this.#ints, this.#numbers, this.#at];
    for (let i = 0; i < count; i++) {
      const [{ module, index }, ...args] = calls[i]!;
      const call = (at + CALLS + CALL * i) / 2;
      numbers[call] = module;
      numbers[call + 1] = index;
      numbers[call + 2] = args.length;
      numbers.set(args, call + 3);
    }
    ints[at + DONE] = 0;
    Atomics.store(ints, at + LEFT, count);
    if (Atomics.load(ints, at + SLEEPING) > 0) Atomics.notify(ints, at + LEFT);
    try {
      for (let left; (left = Atomics.load(ints, at + LEFT)) > 0;) {
        if (Atomics.compareExchange(ints, at + LEFT, left, left - 1) !== left) continue;
        Atomics.add(ints, at + DONE, 1); // as far as the others are concerned
        const [kernel, ...args] = calls[left - 1]!;
        kernel.run(...args);
      }
    } finally {
      this.#waitFor(count);
    }
  }

  #waitFor(count: number): void {
    const [ints, at] = [this.#ints, this.#at];
    let waited = 0;
    let before: number | undefined;
    for (let done; (done = Atomics.load(ints, at + DONE)) < count;) {
      for (let i = 0; i < SPINS && Atomics.load(ints, at + DONE) === done; i++);
      if (Atomics.load(ints, at + DONE) !== done) continue;
      const now = Date.now();
      waited += Math.min(Math.max(0, now - (before ?? now)), LONGEST_WAIT); // not while the process or the machine was stopped
      before = now;
      if (waited > this.#timeout)
        throw this.#failure(`${count - done} parts of a call not done after ${this.#timeout} ms`);
      if (!this.#mayWait) continue;
      Atomics.store(ints, at + WAITING, 1);
      Atomics.wait(ints, at + DONE, done, LONGEST_WAIT);
      Atomics.store(ints, at + WAITING, 0);
    }
    if (ints[at + FAILED]! > 0) throw this.#failure("a call that failed in a thread");
  }

  #failure(received: string): ThreadError {
    for (const helper of this.#helpers) helper.terminate();
    this.#helpers.clear(); // the caller goes on alone
    this.#changed();
    return new ThreadError(
      "threads",
      received,
      "all to be done: the objects go on with one thread, startThreads() starts others",
    );
  }

  /** Ends the workers, and frees what they used. */
  async stop(): Promise<void> {
    Atomics.store(this.#ints, this.#at + LEFT, -1);
    Atomics.notify(this.#ints, this.#at + LEFT);
    this.#helpers.clear();
    for (const helper of this.#started) helper.keep();
    await Promise.all(this.#started.map(({ ended }) => ended));
    this.#core.heap.free(this.control);
  }
}

/** Whether this thread may sleep: a page's main thread may not. */
function mayWait(): boolean {
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0);
    return true;
  } catch {
    return false;
  }
}
