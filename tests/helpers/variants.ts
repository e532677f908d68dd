// Which builds of the core this engine can run, and how a describe block uses one of them.
import { afterAll, beforeAll } from "vitest";
import { UnsupportedError, configure } from "../../src/index.js";

export type Variant = "simd" | "relaxed";

/** "relaxed" is missing where the engine has no relaxed SIMD, or has it without a fused multiply-add. */
export const variants: readonly Variant[] = (["simd", "relaxed"] as const).filter(runs);

function runs(variant: Variant): boolean {
  try {
    configure({ variant });
    return true;
  } catch (error) {
    if (error instanceof UnsupportedError) return false;
    throw error;
  } finally {
    configure({ variant: "auto" });
  }
}

/** Call inside describe: its tests make their objects with this build. */
export function useVariant(variant: Variant): void {
  beforeAll(() => configure({ variant }));
  afterAll(() => configure({ variant: "auto" }));
}
