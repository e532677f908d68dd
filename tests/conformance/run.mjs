// The conformance set on dist/, in Node, Bun or Deno. `run.mjs simd` (or relaxed) prints as JSON what conform() gives, or
// { unsupported } where the build does not run here; `run.mjs --write` makes digests.json anew with both.

import { readFileSync, writeFileSync } from "node:fs";
import { argv, versions } from "node:process";
import v8 from "node:v8";
import * as audio from "../../dist/audio.js";
import * as coursera from "../../dist/coursera.js";
import * as cs231n from "../../dist/cs231n.js";
import * as core from "../../dist/index.js";
import * as onnx from "../../dist/onnx.js";
import { conform } from "./conformance.js";

const course = JSON.parse(readFileSync(new URL("../golden/course.json", import.meta.url), "utf8")).coursera;
const run = (variant) => conform({ core, audio, coursera, cs231n, onnx }, variant, course);

if (argv[2] === "--write") {
  if (Number.parseInt(versions.v8, 10) < 12) v8.setFlagsFromString("--experimental-wasm-relaxed-simd"); // Node 20
  const results = ["simd", "relaxed"].map(run);
  const failures = results.flatMap(({ failures }) => failures);
  if (failures.length > 0) throw new Error(failures.join("\n"));
  const sets = Object.fromEntries(results.map(({ variant, digests }) => [variant, digests]));
  writeFileSync(new URL("digests.json", import.meta.url), `${JSON.stringify(sets, null, 2)}\n`);
} else {
  try {
    console.log(JSON.stringify(run(argv[2])));
  } catch (error) {
    if (!(error instanceof core.UnsupportedError)) throw error;
    console.log(JSON.stringify({ auto: core.buildInfo().variant, unsupported: error.message }));
  }
}
