// Selects the WebAssembly build for a command.

import { buildInfo, configure } from "../../bindings/instantiate.js";

export const VARIANTS = ["auto", "simd", "relaxed"] as const;

export type Variant = (typeof VARIANTS)[number];

/** The selected build, as a training's state stores it. */
export interface Build {
  variant: "simd" | "relaxed";
  version: string;
  hash: string;
}

/** Selects the build for all objects created later. Throws UnsupportedError if the host cannot run it. */
export function chooseBuild(variant: Variant): Build {
  configure({ variant });
  const { variant: chosen, version, hash } = buildInfo();
  return { variant: chosen, version, hash };
}
