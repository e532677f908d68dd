// Blocks that run in both number types.

import { describe, test } from "vitest";

/** A describe block for f64 and one for f32: `both("... %s", (dtype) => { ... })`. */
export const both = describe.each(["f64", "f32"] as const);

/** A test for f64 and one for f32. */
export const testBoth = test.each(["f64", "f32"] as const);
