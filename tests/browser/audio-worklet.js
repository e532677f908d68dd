// The package in an audio worklet, which has no TextDecoder, atob, fetch, crypto or performance. `missing` says which of
// them really were not there.
import { conform, modules } from "./modules.js";

const missing = ["TextDecoder", "TextEncoder", "atob", "btoa", "fetch", "crypto", "performance"].filter(
  (name) => !(name in globalThis),
);

registerProcessor(
  "conformance",
  class extends AudioWorkletProcessor {
    constructor({ processorOptions: { variant, course } }) {
      super();
      try {
        this.port.postMessage({ ...conform(modules, variant, course), missing });
      } catch (error) {
        this.port.postMessage({ error: String(error) });
      }
    }

    process() {
      return false;
    }
  },
);
