// The package in an audio worklet, which has no TextDecoder, atob, fetch, crypto or performance. `missing` says which of
// them really were not there.
import * as core from "/dist/index.js";
import * as coursera from "/dist/coursera.js";
import { runChecks } from "./checks.js";

const missing = ["TextDecoder", "TextEncoder", "atob", "btoa", "fetch", "crypto", "performance"].filter(
  (name) => !(name in globalThis),
);

registerProcessor(
  "checks",
  class extends AudioWorkletProcessor {
    constructor({ processorOptions: { variant, cases } }) {
      super();
      try {
        this.port.postMessage({ ...runChecks({ core, coursera }, variant, cases), missing });
      } catch (error) {
        this.port.postMessage({ error: String(error) });
      }
    }

    process() {
      return false;
    }
  },
);
