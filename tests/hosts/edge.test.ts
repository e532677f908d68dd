// Hosts that forbid compiling at run time, as edge runtimes do: contexts in which V8 refuses to compile WebAssembly (and eval),
// and which receive a compiled module. `npm test` builds dist/ first.

import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import vm from "node:vm";
import { MessageChannel, moveMessagePortToContext } from "node:worker_threads";
import { build } from "esbuild";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import * as here from "../../src/index.js";
import { refuses } from "../helpers/refuses.js";
import { useVariant, variants, type Variant } from "../helpers/variants.js";

type Library = typeof here;

interface Host {
  readonly rnn: Library;
  readonly WebAssembly: typeof WebAssembly;
  readonly EvalError: typeof EvalError;
  /** A module compiled outside. */
  readonly give: (variant: Variant) => Promise<WebAssembly.Module>;
}

const dist = fileURLToPath(new URL("../../dist/", import.meta.url));
const bytesOf = (variant: Variant): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(readFileSync(`${dist}core${variant === "relaxed" ? ".relaxed" : ""}.wasm`));

let text: string;
let host: Host;

beforeAll(async () => {
  const { outputFiles } = await build({
    entryPoints: [`${dist}index.js`],
    bundle: true,
    format: "iife",
    globalName: "rnn",
    write: false,
  });
  text = outputFiles[0]!.text;
});

beforeEach(() => {
  const context = vm.createContext({}, { codeGeneration: { strings: false, wasm: false } });
  const evaluate = (code: string): unknown => vm.runInContext(code, context);
  evaluate(text);
  const give = async (variant: Variant): Promise<WebAssembly.Module> => {
    const { port1, port2 } = new MessageChannel();
    const port = moveMessagePortToContext(port2, context); // messages arrive as instances of the context's own classes
    const receive = evaluate("(port) => new Promise((resolve) => { port.onmessage = ({ data }) => resolve(data); })");
    const received = (receive as (at: typeof port) => Promise<WebAssembly.Module>)(port);
    port.start();
    port1.postMessage(new WebAssembly.Module(bytesOf(variant)));
    return received.finally(() => port1.close());
  };
  host = evaluate("({ rnn, WebAssembly, EvalError })") as Host;
  host = { ...host, give };
});

/** A training step in both number types: all its results, as text. */
function train(rnn: Library): string {
  return JSON.stringify(
    (["f64", "f32"] as const).map((dtype) => {
      const values = Array.from({ length: 24 }, (_, i) => ((i * 37) % 101) / 50 - 1);
      const lstm = new rnn.LSTM(3, 5, { numLayers: 2, bidirectional: true, dtype, seed: 1 });
      const linear = new rnn.Linear(10, 2, { dtype, seed: 2 });
      const adam = new rnn.Adam([...lstm.parameters(), ...linear.parameters()]);
      const { output, hn, cn } = lstm.forward(rnn.tensor(values, [4, 2, 3], dtype));
      const { loss, dLogits } = rnn.crossEntropy(
        linear.forward(output).output,
        rnn.tensor([0, 1, 1, 0, 1, 0, 0, 1], [4, 2], "i32"),
      );
      const { x, h0, c0 } = lstm.backward({ output: linear.backward({ output: dLogits }).x });
      adam.step();
      const tensors = { output, hn, cn, x, h0, c0, ...lstm.stateDict(), ...linear.stateDict() };
      return [loss, ...Object.entries(tensors).map(([name, { data }]) => [name, ...data])];
    }),
  );
}

test("the host forbids bytes and eval, in every way there is", async () => {
  const { CompileError } = host.WebAssembly;
  const bytes = bytesOf("simd");
  expect(WebAssembly.validate(bytes)).toBe(true);
  expect(() => new host.WebAssembly.Module(bytes)).toThrow(CompileError);
  await expect(host.WebAssembly.compile(bytes)).rejects.toBeInstanceOf(CompileError);
  await expect(host.WebAssembly.instantiate(bytes)).rejects.toBeInstanceOf(CompileError);
  expect(() => (host.rnn.tensor.constructor as (code: string) => unknown)("return 1")).toThrow(host.EvalError);
});

test("without a module, the first use throws that compiling is forbidden, with the remedy; initialize() then accepts a module", async () => {
  const { rnn } = host;
  expect(rnn.tensor([1, 2]).shape).toEqual([2]);
  rnn.configure({ variant: "auto" });
  for (const use of [
    () => new rnn.LSTM(2, 3),
    () => new rnn.Random(1).normal(),
    () => rnn.buildInfo(),
    () => rnn.configure({ variant: "simd" }),
    () => rnn.configure({ variant: "relaxed" }),
    () => rnn.initialize(bytesOf("simd")),
  ]) {
    const advice = ["'wasm-unsafe-eval'", "a compiled wasm-rnn/core.wasm to initialize() before any other call"];
    refuses(use, rnn.UnsupportedError, "Wasm code generation disallowed by embedder", ...advice);
  }
  rnn.initialize(await host.give("simd"));
  expect(rnn.buildInfo().variant).toBe("simd");
});

describe.each(variants)("a module given to initialize(): %s", (variant) => {
  useVariant(variant);

  test("layers, losses and optimizers give the same bits as on a host that allows compiling", async () => {
    const { rnn } = host;
    rnn.initialize(await host.give(variant));
    expect(rnn.buildInfo()).toEqual(here.buildInfo());
    expect(train(rnn)).toBe(train(here));
  });

  test("the other build is refused, and nothing changes", async () => {
    const { rnn } = host;
    rnn.initialize(await host.give(variant));
    const other = variant === "simd" ? "relaxed" : "simd";
    refuses(() => rnn.configure({ variant: other }), rnn.UnsupportedError, "variant", "disallowed by embedder");
    refuses(() => rnn.initialize(bytesOf(other)), rnn.StateError, "after first use");
    expect(train(rnn)).toBe(train(here));
  });
});
