// The WebAssembly modules: which build is used, and its instance. A core is made at first use, synchronously.

import { instantiateSync } from "@assemblyscript/loader";
import { StateError, UnsupportedError, DtypeError } from "./errors.js";
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

/** The core's. */
export type Kernels = KernelsOf<Exports>;

/** One instance of a build: its kernels and its memory. */
export interface Core {
  readonly variant: Variant;
  readonly kernels: Readonly<Record<FloatDtype, Kernels>>;
  readonly memory: WebAssembly.Memory;
  readonly heap: Heap;
  /** The address of the record that the next kernel call takes (record.ts). */
  readonly record: number;
  /** Natural logarithm with the same bits everywhere. */
  readonly log: (x: number) => number;
}

const cores: Partial<Record<Variant, Core>> = {};
let preferred: Variant | undefined; // what "auto" means: found at first use, or given by initialize()
let setting: "auto" | Variant = "auto";

/** The core of objects that are created now. */
export function currentCore(): Core {
  if (setting !== "auto") return (cores[setting] ??= instantiate(compile(setting)));
  if (preferred) return cores[preferred]!;
  const core = tryRelaxed() ?? (cores.simd ??= instantiate(compile("simd")));
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
  if (variant !== "auto") cores[variant] ??= instantiate(compile(variant));
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
  const core = instantiate(module, (given) => instantiateSync(given).exports);
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
} {
  const { variant } = currentCore();
  return { variant, version, hash: hashes[variant] };
}

function tryRelaxed(): Core | undefined {
  try {
    return (cores.relaxed ??= instantiate(compile("relaxed")));
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined;
    throw error;
  }
}

function compile(variant: Variant): WebAssembly.Module {
  return compileBytes(moduleBytes(variant, simd, relaxedPatch), "variant");
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
      "an engine that has this build's WebAssembly features and may compile; where that is forbidden, allow " +
        "'wasm-unsafe-eval' in the Content-Security-Policy, or give a compiled wasm-rnn/core.wasm to initialize() " +
        "before any other call",
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

/** Makes a core; `load` instantiates the module, of this package's own bytes by default, which import nothing. */
function instantiate(module: WebAssembly.Module, load: (module: WebAssembly.Module) => object = ownExports): Core {
  const exports = exportsOf(module, load);
  const variant: Variant = exports.RELAXED.value ? "relaxed" : "simd";
  if (variant === "relaxed" && !isFused(exports)) {
    throw new UnsupportedError("variant", "an engine whose relaxed multiply-add is not fused", '"simd" or "auto"');
  }
  return coreOf(exports, exports.memory);
}

/** A core over an instance of the module and its memory. Past both modules' constants come scratch, record and heap. */
export function coreOf(exports: Exports, memory: WebAssembly.Memory): Core {
  const record = exports.setScratch(heapBase);
  return {
    variant: exports.RELAXED.value ? "relaxed" : "simd",
    kernels: byDtype(exports),
    memory,
    heap: new Heap(memory, record + recordBytes),
    record,
    log: exports.log,
  };
}

function ownExports(module: WebAssembly.Module): object {
  return new WebAssembly.Instance(module).exports;
}

function exportsOf(
  module: WebAssembly.Module,
  load: (module: WebAssembly.Module) => object,
): Exports & { memory: WebAssembly.Memory } {
  const refuse = (what: string): never => {
    throw new UnsupportedError("module", what, "core.wasm or core.relaxed.wasm of this package");
  };
  let exports: Exports & { memory: WebAssembly.Memory };
  try {
    exports = load(module) as typeof exports;
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
export function byDtype<E extends object>(exports: E): Readonly<Record<FloatDtype, KernelsOf<E>>> {
  const kernels: Record<FloatDtype, Record<string, unknown>> = { f64: {}, f32: {} };
  for (const [name, value] of Object.entries(exports)) {
    const [kernel, dtype] = name.split("_");
    if (dtype) kernels[dtype as FloatDtype][kernel!] = value;
  }
  return kernels as Record<FloatDtype, KernelsOf<E>>;
}
