// Loaded by all three hosts: the package's entry points, and the conformance set that takes them.
import * as audio from "/dist/audio.js";
import * as coursera from "/dist/coursera.js";
import * as cs231n from "/dist/cs231n.js";
import * as core from "/dist/index.js";
import * as onnx from "/dist/onnx.js";

export { conform } from "/conformance/conformance.js";
export const modules = { core, audio, coursera, cs231n, onnx };
