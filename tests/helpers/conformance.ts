// The results of the conformance set, and the expected ones.
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { variants, type Variant } from "./variants.js";

/** The result of conform() in conformance/conformance.js. */
export interface Results {
  readonly auto: Variant;
  readonly variant: Variant;
  readonly failures: readonly string[];
  readonly digests: Digests;
}
export type Digests = Readonly<Record<string, string>>;

export const digests = JSON.parse(
  readFileSync(new URL("../conformance/digests.json", import.meta.url), "utf8"),
) as Readonly<Record<Variant, Digests>>;

/** Nothing wrong, the digests of the file, and the build that was asked for; "auto" is as in this process. */
export function expectConformance({ auto, variant, failures, digests: found }: Results, asked: Variant): void {
  expect({ auto, variant, failures }).toEqual({
    auto: variants.includes("relaxed") ? "relaxed" : "simd",
    variant: asked,
    failures: [],
  });
  expect(found).toEqual(digests[asked]);
}
