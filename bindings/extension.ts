// Modules beside the core: kernels over a core's memory. Only what imports the file that starts one (graph-module.ts and its
// like) carries its bytes.

import { applyPatch, decodeHex } from "./hex.js";
import {
  byDtype,
  compileBytes,
  hasTallTiles,
  type Core,
  type KernelsByType,
  type KernelsOf,
  type Variant,
} from "./instantiate.js";
import { heapBase, relaxedPatch as coreRelaxedPatch, simd as coreDigits } from "./wasm.js";

/** What each module exports beside its kernels. */
interface Common {
  /** The address past its constants. */
  readonly heapBase: () => number;
  readonly setScratch: (address: number, tallTiles: boolean) => number;
}

interface Options<Exports> {
  readonly kernel?: keyof KernelsOf<Exports>;
  readonly instances?: WeakMap<Core, KernelsByType<Exports>>;
}

/**
 * Gives a module's kernels over a core's memory, in the core's build: compiled and instantiated at the first call for a core. It
 * throws UnsupportedError where compiling is forbidden.
 *
 * @param name names the module in errors
 * @param simdPatch the difference of the SIMD build's digits from the core's
 * @param relaxedPatch the difference of the relaxed build's digits from the core's, followed by the SIMD build's
 * @param options.kernel one of its kernels: a core that was given to initialize() may have them itself, since its host may forbid
 *   compiling
 * @param options.instances those that were started, one for each core
 */
export function starter<Exports extends Common>(
  name: string,
  simdPatch: string,
  relaxedPatch: string,
  { kernel, instances = new WeakMap<Core, KernelsByType<Exports>>() }: Options<Exports> = {},
): (core: Core) => KernelsByType<Exports> {
  return (core) => {
    if (kernel && kernel in core.kernels.f64) return core.kernels as unknown as KernelsByType<Exports>;
    let kernels = instances.get(core);
    if (!kernels) {
      const bytes = extensionBytes(core.variant, simdPatch, relaxedPatch);
      kernels = (core.extend?.(bytes, name) ??
        byDtype(instanceOver<Exports>(compileBytes(bytes, name), core.memory))) as KernelsByType<Exports>;
      instances.set(core, kernels);
    }
    return kernels;
  };
}

/** The bytes of a module's build, from the patches of `starter`. */
export function extensionBytes(variant: Variant, simdPatch: string, relaxedPatch: string): Uint8Array<ArrayBuffer> {
  const simd = applyPatch(coreDigits, simdPatch);
  if (variant === "simd") return decodeHex(simd);
  return decodeHex(applyPatch(applyPatch(coreDigits, coreRelaxedPatch) + simd, relaxedPatch));
}

/** An instance over a core's memory. It has the core's scratch: of all instances, one works at a time. */
export function instanceOver<Exports extends Common>(module: WebAssembly.Module, memory: WebAssembly.Memory): Exports {
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  exports.setScratch(heapBase, hasTallTiles());
  return exports;
}
