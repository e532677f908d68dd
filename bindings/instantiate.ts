// The WebAssembly modules: which build is used, and its instance. A core is made at first use, synchronously.

import { instantiateSync } from "@assemblyscript/loader";
import { DtypeError, OutOfMemoryError, StateError, UnsupportedError } from "./errors.js";
import { Heap } from "./heap.js";
import { describe, type FloatDtype } from "./tensor.js";
import { moduleBytes } from "./hex.js";
import { build, hashes, heapBase, recordBytes, relaxedPatch, simd, version, type Exports } from "./wasm.js";

/** The two builds of the core: SIMD, and relaxed SIMD (fused multiply-add). */
export type Variant = "simd" | "relaxed";

/** A module's kernels for one number type: `lstmForward_f64` and `lstmForward_f32` are both `lstmForward` here. */
export type KernelsOf<E> = {
  readonly [Name in keyof E as Name extends `${infer Kernel}_f64` ? Kernel : never]: E[Name];
};

/** A module's kernels by number type. */
export type KernelsByType<E> = Readonly<Record<FloatDtype, KernelsOf<E>>>;

/** The core's. */
export type Kernels = KernelsOf<Exports>;

/** A pass of a layer: it stops when it is ready to compute, gives that as a function, and goes on when this has run. */
export type PassRun<R> = Generator<() => void, R>;

/** A tensor of a graph, and the one whose memory it shares. */
interface GraphValue {
  readonly base: GraphValue | undefined;
}

/** A step of a graph. */
export interface GraphStep {
  readonly operation?: { readonly name: string };
  readonly inputs: readonly GraphValue[];
  readonly outputs: readonly GraphValue[];
}

/** One instance of a build: its kernels and its memory. */
export interface Core {
  readonly variant: Variant;
  readonly kernels: KernelsByType<Exports>;
  readonly memory: WebAssembly.Memory;
  readonly heap: Heap;
  /** The address of the record that the next kernel call takes (record.ts). */
  readonly record: number;
  /** Natural logarithm with the same bits everywhere. */
  readonly log: (x: number) => number;
  /** Starts another module over a shared memory, from its bytes (threads.ts). */
  readonly extend?: (bytes: Uint8Array<ArrayBuffer>, name: string) => KernelsByType<object>;
  /** Runs functions that only call kernels, and do not depend on one another, on several threads where these are there (threads.ts). */
  readonly together?: (runs: readonly (() => void)[]) => void;
  /** Puts a graph's steps in the order of their turns, which are returned: steps of one do not depend on one another (threads.ts). */
  readonly order?: (steps: GraphStep[]) => readonly number[];
  /** Lets the first of the functions of each turn run all of them, and the others nothing. */
  readonly join?: (runs: (() => void)[], turns: readonly number[]) => void;
  /** Runs passes to their ends, and together what they are ready to compute at the same time (threads.ts). */
  readonly passes?: <R>(all: readonly PassRun<R>[]) => R[];
}

/**
 * What startThreads() sets: how many threads work together, the core of objects that are created meanwhile, and the least work of a call
 * that is divided (splits.ts).
 */
export const threading: {
  count: number;
  core?: ((variant: Variant) => Core) | undefined;
  least?: { readonly work: number } | undefined;
} = { count: 1 };

const cores: Partial<Record<Variant, Core>> = {};
let preferred: Variant | undefined; // what "auto" means: found at first use, or given by initialize()
let setting: "auto" | Variant = "auto";

/** The core of objects that are created now. */
export function currentCore(): Core {
  const core = ownCore();
  return threading.core?.(core.variant) ?? core;
}

/** What an exponential costs, in multiply-adds. */
export const EXPONENTIAL = 24;

/**
 * The core of a call that keeps nothing there: that of one thread where the call is too small to be divided, since shared memory is slower.
 *
 * @param work its multiply-adds, or their like
 */
export function coreOfCall(work: number): Core {
  return threading.least && work < threading.least.work ? ownCore() : currentCore();
}

function ownCore(): Core {
  if (setting !== "auto") return (cores[setting] ??= instantiate(setting));
  if (preferred) return cores[preferred]!;
  const core = tryRelaxed() ?? (cores.simd ??= instantiate("simd"));
  preferred = core.variant;
  return core;
}

/**
 * Chooses the build of objects created from now on. An object keeps the build that was selected when it was created, and one
 * call takes objects of one build only.
 *
 * @param options the build
 * @param options.variant "auto" (the default): relaxed SIMD where the engine has it with a fused multiply-add, else SIMD
 * @throws UnsupportedError where an explicit variant does not run here; the choice is then unchanged
 */
export function configure(options: { variant: "auto" | Variant }): void {
  const { variant } = options ?? {};
  if (variant !== "auto" && variant !== "simd" && variant !== "relaxed") {
    throw new UnsupportedError("variant", describe(variant), '"auto", "simd" or "relaxed"');
  }
  if (variant !== "auto") cores[variant] ??= instantiate(variant);
  setting = variant;
}

/**
 * Uses a given module (`wasm-rnn/core.wasm` or `wasm-rnn/core.relaxed.wasm`) in place of the inlined bytes, for hosts that
 * forbid compiling at run time. Call it before anything else; "auto" then means this build.
 *
 * @param moduleOrBytes a compiled module, or its bytes, which are compiled synchronously
 * @throws StateError after first use; UnsupportedError where the module is not of this package or does not run here;
 *   DtypeError where it is neither
 */
export function initialize(moduleOrBytes: WebAssembly.Module | BufferSource): void {
  if (cores.simd || cores.relaxed) {
    throw new StateError("initialize()", "a call after first use", "a call before any other of the package");
  }
  checkEngine("moduleOrBytes");
  const bytes = bytesOf(moduleOrBytes);
  if (!bytes && !isModule(moduleOrBytes)) {
    throw new DtypeError("moduleOrBytes", describe(moduleOrBytes), "a WebAssembly.Module or its bytes");
  }
  const module = bytes ? compileBytes(bytes, "moduleOrBytes") : moduleOrBytes;
  const core = checkedCore(exportsOf(module));
  cores[core.variant] = core;
  preferred = core.variant;
}

/**
 * The build of objects that are created now. Where two hashes agree, the same calls give the same bits.
 *
 * @throws UnsupportedError where the engine has no WebAssembly SIMD
 */
export function buildInfo(): {
  /** Which of the two builds. */
  variant: Variant;
  /** The version of the package. */
  version: string;
  /** SHA-256 of the module, in hexadecimal digits. */
  hash: string;
  /** How many threads work together: 1, unless startThreads() has started more. */
  threads: number;
} {
  const { variant } = ownCore();
  return { variant, version, hash: hashes[variant], threads: threading.count };
}

function tryRelaxed(): Core | undefined {
  try {
    return (cores.relaxed ??= instantiate("relaxed"));
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

/** The bytes of a build of the core. */
export function coreBytes(variant: Variant): Uint8Array<ArrayBuffer> {
  return moduleBytes(variant, simd, relaxedPatch);
}

/** A copy of the bytes in an ArrayBuffer or view of any realm; undefined for anything else. */
function bytesOf(value: unknown): Uint8Array<ArrayBuffer> | undefined {
  try {
    if (!ArrayBuffer.isView(value)) return new Uint8Array(ArrayBuffer.prototype.slice.call(value as ArrayBuffer, 0));
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength).slice();
  } catch {
    return undefined;
  }
}

/** Whether a value is a module of any realm. */
function isModule(value: unknown): value is WebAssembly.Module {
  if (value instanceof WebAssembly.Module) return true;
  try {
    WebAssembly.Module.imports(value as WebAssembly.Module);
    return true;
  } catch {
    return false;
  }
}

/** Compiles synchronously; an UnsupportedError names `argument`. */
export function compileBytes(bytes: Uint8Array<ArrayBuffer>, argument: string): WebAssembly.Module {
  checkEngine(argument);
  try {
    return new WebAssembly.Module(bytes);
  } catch (error) {
    // Engines word a ban on compiling differently, so every message has the advice.
    throw new UnsupportedError(
      argument,
      messageOf(error),
      "an engine with this build's WebAssembly features that may compile: allow 'wasm-unsafe-eval' in the " +
        "Content-Security-Policy, or give a compiled wasm-rnn/core.wasm to initialize() before any other call",
    );
  }
}

function checkEngine(argument: string): void {
  if (typeof WebAssembly === "undefined") {
    throw new UnsupportedError(argument, "an engine without WebAssembly", "an engine with WebAssembly and SIMD");
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : describe(error);
}

/** Makes a core of this package's own bytes, which import nothing. */
function instantiate(variant: Variant): Core {
  const module = compileBytes(coreBytes(variant), "variant");
  let instance: WebAssembly.Instance;
  try {
    instance = new WebAssembly.Instance(module);
  } catch (error) {
    throw new OutOfMemoryError("memory", messageOf(error), "room for it");
  }
  return checkedCore(instance.exports as CoreExports);
}

type CoreExports = Exports & { memory: WebAssembly.Memory };

function checkedCore(exports: CoreExports): Core {
  if (exports.RELAXED.value && !isFused(exports)) {
    throw new UnsupportedError("variant", "an engine whose relaxed multiply-add is not fused", '"simd" or "auto"');
  }
  return coreOf(exports, exports.memory);
}

/** A module with a 64-bit table. */
const TABLE_64 = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 4, 4, 1, 0x70, 4, 1];

/**
 * Whether the relaxed build computes products in tiles of 6 rows: 10% faster where the engine keeps the order of loads, half as fast where
 * it does not and runs out of registers. Engines of the first kind (V8 from 13 on, SpiderMonkey) are those that know 64-bit tables. A
 * wrong answer costs speed, never bits.
 */
export function hasTallTiles(): boolean {
  return WebAssembly.validate(new Uint8Array(TABLE_64));
}

/** A core over an instance of the module and its memory. Past all modules' constants come scratch, record and heap. */
export function coreOf(exports: Exports, memory: WebAssembly.Memory): Core {
  const record = exports.setScratch(heapBase, hasTallTiles());
  return {
    variant: exports.RELAXED.value ? "relaxed" : "simd",
    kernels: byDtype(exports),
    memory,
    heap: new Heap(memory, record + recordBytes),
    record,
    log: exports.log,
  };
}

/** The exports of a module from outside. */
function exportsOf(module: WebAssembly.Module): CoreExports {
  const refuse = (what: string): never => {
    throw new UnsupportedError("module", what, "core.wasm or core.relaxed.wasm of this package");
  };
  let exports: CoreExports;
  try {
    exports = instantiateSync(module).exports as unknown as CoreExports;
  } catch (error) {
    return refuse(messageOf(error));
  }
  const { RELAXED, BUILD, memory } = exports;
  const constants = [RELAXED, BUILD].every((each) => each instanceof WebAssembly.Global);
  if (!constants || !(memory instanceof WebAssembly.Memory)) refuse("a module of another kind");
  if (BUILD.value !== build) refuse("a module of another version");
  return exports;
}

/** Whether multiply-add is fused: (1 + e) (1 + e) - (1 + 2e) is then e^2, which a rounded product loses. */
function isFused(exports: Exports): boolean {
  const [e64, e32] = [2 ** -30, 2 ** -13];
  return (
    exports.madd_f64(1 + e64, 1 + e64, -(1 + 2 * e64)) === e64 * e64 &&
    exports.madd_f32(1 + e32, 1 + e32, -(1 + 2 * e32)) === e32 * e32
  );
}

/** A module's kernels by number type. */
export function byDtype<E extends object>(exports: E): KernelsByType<E> {
  const kernels: Record<FloatDtype, Record<string, unknown>> = { f64: {}, f32: {} };
  for (const [name, value] of Object.entries(exports)) {
    const [kernel, dtype] = name.split("_");
    if (dtype) kernels[dtype as FloatDtype][kernel!] = value;
  }
  return kernels as KernelsByType<E>;
}
