// Threads: startThreads() makes objects that are created from then on work on several cores at once. Their memory is shared by a team of
// threads (team.ts), and their kernels are divided among these (splits.ts). Only what imports this file carries any of it.

import { OutOfMemoryError, ThreadError, ValueError } from "./errors.js";
import {
  byDtype,
  compileBytes,
  coreBytes,
  coreOf,
  currentCore,
  hasTallTiles,
  threading,
  type Core,
  type KernelsByType,
  type Variant,
} from "./instantiate.js";
import { partsBytes } from "./parts-module.js";
import { forSharedMemory, MAX_PAGES } from "./shared.js";
import {
  divide,
  least,
  PART_BYTES,
  PARTS,
  passTogether,
  shareTurns,
  takeTurns,
  together,
  type Waitings,
} from "./splits.js";
import { MAX_THREADS, Team, type Kernel } from "./team.js";
import { describe } from "./tensor.js";
import { heapBase, recordBytes, type Exports } from "./wasm.js";
import { workerStarter, type Helper, type Start } from "./workers.js";

/** A core on shared memory. There is one of each build, which outlives teams, since objects may. */
export class SharedCore {
  readonly core: Core;
  /** The threads that work on it now. */
  team: Team | undefined;
  /** Where the bytes of its modules are in its memory. */
  readonly #modules: [address: number, bytes: number][] = [];
  readonly #handles = new Map<string, Kernel>();
  readonly #waitings: Waitings = {};

  constructor(variant: Variant) {
    const { bytes, pages } = forSharedMemory(coreBytes(variant));
    const memory = new WebAssembly.Memory({ initial: pages, maximum: MAX_PAGES, shared: true });
    const module = compileBytes(bytes, "variant");
    const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
    const extend = (bytes: Uint8Array<ArrayBuffer>, name: string) => this.#extend(bytes, name);
    const all = (runs: readonly (() => void)[]) => together(this.team, this.#waitings, runs);
    const core: Core = {
      ...coreOf(exports, memory),
      extend,
      together: all,
      passes: (of) => passTogether(of, all),
      order: takeTurns,
      join: (runs, turns) => shareTurns(runs, turns, all),
    };
    this.core = { ...core, kernels: this.#kernels(core, bytes, exports) };
    this.#extend(partsBytes(variant), "parts", PARTS);
  }

  /** Starts another module: its kernels. */
  #extend(unshared: Uint8Array<ArrayBuffer>, name: string, prefix = ""): KernelsByType<object> {
    const { memory } = this.core;
    const { bytes } = forSharedMemory(unshared);
    const exports = new WebAssembly.Instance(compileBytes(bytes, name), { env: { memory } }).exports;
    (exports.setScratch as (address: number, tallTiles: boolean) => number)(heapBase, hasTallTiles());
    return this.#kernels(this.core, bytes, exports, prefix);
  }

  /** A module's kernels, which the team divides while there is one; `prefix`: of their names, to the rules of others. */
  #kernels<E extends object>(core: Core, bytes: Uint8Array, exports: E, prefix = ""): KernelsByType<E> {
    const { heap } = core;
    const address = heap.allocate(bytes.length, "module");
    new Uint8Array(core.memory.buffer, address, bytes.length).set(bytes);
    this.#modules.push([address, bytes.length]);
    this.#place();
    const module = this.#modules.length - 1;
    const team = () => this.team;
    return divide(byDtype(exports), module, Object.keys(exports), prefix, this.#handles, core, team, this.#waitings);
  }

  #place(): void {
    this.#modules.forEach(([address, bytes], i) => this.team?.place(i, address, bytes));
  }

  /** Starts threads beside this one. */
  start(count: number, start: Start, timeout: number): Team {
    const changed = () => (threading.count = this.team?.threads ?? 1);
    const team = (this.team = new Team(this.core, recordBytes + PART_BYTES, timeout, changed));
    this.#place();
    team.add(count, start);
    return team;
  }

  async stop(): Promise<void> {
    const { team } = this;
    this.team = undefined;
    await team?.stop();
  }
}

/** The shared cores that were made, by build. */
export const sharedCores: Partial<Record<Variant, SharedCore>> = {};

/** The teams that work now, and what they were started with. */
let running: { cores: Set<SharedCore>; start: Start; options: { n: number; timeout: number } } | undefined;

/** The latest call: calls take place one after the other. */
let latest: Promise<unknown> | undefined;

/** Options of `startThreads`. */
export interface ThreadOptions {
  /** Milliseconds, at least 1, that are waited for a thread to start, and later for one to finish its part of a call (default 10,000). */
  timeout?: number;
}

/**
 * Starts threads. Objects that are created from then on, by the thread that calls, have memory that all of them share, and their large
 * calls are divided among them; the bits are those of one thread. Objects that were created before keep to one thread. A process ends
 * although threads are waiting.
 *
 * @param n how many threads work together, the caller's included: 1 to 64, by default as many as there are cores
 * @param options the timeout
 * @returns how many do: 1 where the host has no shared memory (a page that is not cross-origin isolated) or allows no workers
 * @throws ValueError; ThreadError where a thread does not start in time; OutOfMemoryError
 */
export function startThreads(n: number = coresHere(), options: ThreadOptions = {}): Promise<number> {
  return inTurn(async () => {
    const { timeout = 10_000 } = options;
    checkWhole("n", n, MAX_THREADS);
    checkWhole("timeout", timeout, 2 ** 31 - 1);
    await stop();
    const start = n > 1 ? await workerStarter() : undefined;
    if (!start) return 1;
    const { variant } = currentCore();
    running = { cores: new Set(), start, options: { n, timeout } };
    try {
      const { team } = shared(variant);
      await allStarted(team!.helpers, timeout);
      threading.core = (of) => shared(of).core;
      threading.least = least;
      return (threading.count = team!.threads);
    } catch (error) {
      await stop();
      if (error instanceof ThreadError || error instanceof OutOfMemoryError) throw error;
      return 1; // the host refuses workers, shared memory, or to compile
    }
  });
}

/**
 * Ends the threads of `startThreads`. Objects that were created with them go on with one.
 */
export function stopThreads(): Promise<void> {
  return inTurn(stop);
}

/** Runs `body` when the calls before have ended. */
function inTurn<R>(body: () => Promise<R>): Promise<R> {
  const result = Promise.resolve(latest).then(body);
  latest = result.catch(() => undefined);
  return result;
}

function checkWhole(argument: string, value: unknown, most: number): void {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > most) {
    throw new ValueError(argument, describe(value), `an integer from 1 to ${most}`);
  }
}

/** The cores of this machine, at most MAX_THREADS; 1 where the host does not tell. */
function coresHere(): number {
  const { navigator, process } = globalThis as {
    navigator?: { hardwareConcurrency?: number };
    process?: { getBuiltinModule?: (name: string) => { availableParallelism(): number } };
  };
  const cores = process?.getBuiltinModule?.("node:os").availableParallelism() ?? navigator?.hardwareConcurrency ?? 1;
  return Math.max(1, Math.min(MAX_THREADS, cores));
}

/** Waits until all workers run; ends them where one does not. */
async function allStarted(helpers: readonly Helper[], timeout: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = () => new ThreadError("threads", `a thread that did not start in ${timeout} ms`, "one that does");
    timer = setTimeout(() => reject(error()), timeout);
  });
  try {
    await Promise.race([late, Promise.all(helpers.map(({ started }) => started))]);
  } catch (error) {
    for (const helper of helpers) helper.terminate(); // one that has not started sees no other end
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function stop(): Promise<void> {
  const stopping = running?.cores ?? [];
  running = undefined;
  threading.count = 1;
  threading.core = threading.least = undefined;
  await Promise.all(Array.from(stopping, (core) => core.stop()));
}

/** The shared core of a build, with threads. */
function shared(variant: Variant): SharedCore {
  const { cores: started, start, options } = running!;
  const core = (sharedCores[variant] ??= new SharedCore(variant));
  if (!started.has(core)) {
    started.add(core);
    core.start(options.n - 1, start, options.timeout);
  }
  return core;
}
