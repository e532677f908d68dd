// The choice of the WebAssembly build for a command, and what it tells about itself.

import { buildInfo, configure } from "../../bindings/instantiate.js";

export const VARIANTS = ["auto", "simd", "relaxed"] as const;

export type Variant = (typeof VARIANTS)[number];

/** The build that computes, as stored beside a training. */
export interface Build {
  variant: "simd" | "relaxed";
  version: string;
  hash: string;
}

/** Picks the build for everything made from now on. Throws UnsupportedError where the host cannot run it. */
export function chooseBuild(variant: Variant): Build {
  configure({ variant });
  const { variant: chosen, version, hash } = buildInfo();
  return { variant: chosen, version, hash };
}
