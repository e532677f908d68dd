// Which build of the core is used: auto, chosen, or given by the host, and the errors of engines that lack a feature. The package
// is imported again where its first use matters. Engines without a feature are simulated by a `WebAssembly` without it, and by
// flags of node where they exist.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { applyPatch, decodeHex, decodeHexHere, moduleBytes as decode } from "../../bindings/hex.js";
import { build, hashes, relaxedPatch, simd } from "../../bindings/wasm.js";
import type { Layer } from "../../src/index.js";
import "../helpers/bits.js";
import { RELAXED, root, run } from "../helpers/project.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { variants, type Variant } from "../helpers/variants.js";

const best: Variant = variants.includes("relaxed") ? "relaxed" : "simd";
const real = WebAssembly;
const moduleBytes = (variant: Variant) => decode(variant, simd, relaxedPatch);

/** The package as a program has it that has just imported it. */
async function fresh() {
  vi.resetModules();
  return import("../../src/index.js");
}

/** The build of a layer of the package that `fresh` gave. */
async function variantOf(layer: Layer): Promise<Variant> {
  const { wasmTensorOf } = await import("../../bindings/memory.js");
  return wasmTensorOf(layer.parameters()[0]!.value)!.arena.core.variant;
}

/** WebAssembly with some of its parts replaced. */
function engine(parts: Record<string, unknown>): void {
  const get = (target: typeof WebAssembly, name: string): unknown =>
    name in parts ? parts[name] : Reflect.get(target, name);
  vi.stubGlobal("WebAssembly", new Proxy(real, { get: get as ProxyHandler<typeof WebAssembly>["get"] }));
}

afterEach(() => {
  vi.unstubAllGlobals();
});

/** An engine without relaxed SIMD: it does not compile the module. */
function withoutRelaxed(): void {
  const relaxed = moduleBytes("relaxed");
  const Module = function (bytes: BufferSource) {
    if ((bytes as Uint8Array).byteLength === relaxed.byteLength) throw new real.CompileError("invalid opcode 0xfd107");
    return new real.Module(bytes);
  };
  Object.defineProperty(Module, Symbol.hasInstance, { value: (value: unknown) => value instanceof real.Module });
  engine({ Module });
}

/** An engine whose relaxed multiply-add rounds twice, in the types named. */
function unfused(...dtypes: ("f64" | "f32")[]): void {
  const madd = {
    f64: (a: number, b: number, c: number) => a * b + c,
    f32: (a: number, b: number, c: number) => Math.fround(Math.fround(a * b) + c),
  };
  const Instance = function (module: WebAssembly.Module, imports: WebAssembly.Imports) {
    const { exports } = new real.Instance(module, imports);
    const replaced = Object.fromEntries(dtypes.map((dtype) => [`madd_${dtype}`, madd[dtype]]));
    return { exports: { ...exports, ...replaced } };
  };
  engine({ Instance });
}

describe("auto", () => {
  test("is relaxed if multiply-add is fused, else simd", async () => {
    const { buildInfo, Linear } = await fresh();
    expect(buildInfo().variant).toBe(best);
    using layer = new Linear(2, 2);
    expect(await variantOf(layer)).toBe(best);
  });

  test("is simd where there is no relaxed SIMD; an explicit relaxed is refused", async () => {
    withoutRelaxed();
    const { buildInfo, configure, Linear, UnsupportedError } = await fresh();
    expect(buildInfo().variant).toBe("simd");
    refuses(() => configure({ variant: "relaxed" }), UnsupportedError, "variant", "invalid opcode");
    expect(buildInfo().variant).toBe("simd");
    using layer = new Linear(3, 2);
    expect(layer.forward(wave([4, 3], "f64")).output.shape).toEqual([4, 2]);
  });

  test.skipIf(best === "simd").each([[["f64", "f32"]], [["f64"]], [["f32"]]] as ("f64" | "f32")[][][])(
    "is simd where relaxed multiply-add is not fused in %j; an explicit relaxed is refused",
    async (dtypes) => {
      unfused(...dtypes);
      const { buildInfo, configure, UnsupportedError, initialize, Linear } = await fresh();
      refuses(() => initialize(moduleBytes("relaxed")), UnsupportedError, "not fused");
      expect(buildInfo().variant).toBe("simd");
      refuses(() => configure({ variant: "relaxed" }), UnsupportedError, "variant", "not fused", '"simd" or "auto"');
      expect(buildInfo().variant).toBe("simd");
      configure({ variant: "simd" });
      configure({ variant: "auto" });
      using layer = new Linear(3, 2);
      expect(await variantOf(layer)).toBe("simd");
    },
  );

  test("an engine without WebAssembly is reported at first use, not before", async () => {
    vi.stubGlobal("WebAssembly", undefined);
    const { buildInfo, configure, initialize, Linear, Random, tensor, crossEntropy, UnsupportedError } = await fresh();
    expect(tensor([1, 2]).shape).toEqual([2]);
    configure({ variant: "auto" });
    for (const call of [
      () => buildInfo(),
      () => configure({ variant: "simd" }),
      () => configure({ variant: "relaxed" }),
      () => initialize(new Uint8Array(8)),
      () => new Linear(2, 2),
      () => new Random(1).normal(),
      () => crossEntropy(tensor([1, 2]), tensor(0, [], "i32")),
    ]) {
      refuses(call, UnsupportedError, "an engine without WebAssembly", "an engine with WebAssembly and SIMD");
    }
  });

  test("an engine that forbids compiling is reported", async () => {
    const Module = function () {
      throw new EvalError("code generation is forbidden");
    };
    engine({ Module });
    const { buildInfo, UnsupportedError } = await fresh();
    refuses(buildInfo, UnsupportedError, "code generation is forbidden");
  });
});

describe("buildInfo", () => {
  test.each(variants)("%s: version and digest", async (variant) => {
    const { buildInfo, configure } = await fresh();
    configure({ variant });
    const { version } = JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as { version: string };
    const file = `${root}/build/complete${variant === "relaxed" ? ".relaxed" : ""}.wasm`; // what the package ships
    const hash = createHash("sha256").update(readFileSync(file)).digest("hex");
    expect(buildInfo()).toEqual({ variant, version, hash, threads: 1 });
    expect(hashes[variant]).toBe(hash);
  });

  test("the two builds differ", () => {
    expect(hashes.simd).not.toBe(hashes.relaxed);
  });
});

describe("configure", () => {
  test("refuses anything but a build, and changes nothing", async () => {
    const { buildInfo, configure, UnsupportedError } = await fresh();
    configure({ variant: "simd" });
    for (const variant of ["SIMD", "fast", "", "toString", null, undefined, 1, {}]) {
      refuses(
        () => configure({ variant: variant as "simd" }),
        UnsupportedError,
        "variant",
        '"auto", "simd" or "relaxed"',
      );
      expect(buildInfo().variant).toBe("simd");
    }
    for (const options of [undefined, null, "simd", 3]) {
      refuses(() => configure(options as never), UnsupportedError, "variant");
    }
  });

  test.skipIf(best === "simd")("counts for objects made from then on; the others keep their build", async () => {
    const { buildInfo, configure, LSTM, Adam } = await fresh();
    const [x, output] = [wave([7, 3, 20], "f64"), wave([7, 3, 30], "f64", 1)];
    const make = (variant: Variant | "auto") => {
      configure({ variant });
      return new LSTM(20, 30, { seed: 1 });
    };
    const train = (layer: InstanceType<typeof LSTM>) => {
      using optimizer = new Adam(layer.parameters());
      const forward = layer.forward(x);
      const backward = layer.backward({ output });
      optimizer.step();
      return { forward, backward, weights: layer.stateDict() };
    };
    const expected = { simd: train(make("simd")), relaxed: train(make("relaxed")) };
    expect(expected.simd.forward.output).not.toHaveBits(expected.relaxed.forward.output);
    const [simd, relaxed, auto] = [make("simd"), make("relaxed"), make("auto")];
    for (const variant of ["auto", "simd", "relaxed"] as const) {
      configure({ variant });
      expect(buildInfo().variant).toBe(variant === "auto" ? "relaxed" : variant);
      expect(simd.forward(x)).toEqual(expected.simd.forward);
      expect(relaxed.forward(x)).toEqual(expected.relaxed.forward);
      expect(auto.forward(x)).toEqual(expected.relaxed.forward);
    }
    configure({ variant: "relaxed" });
    expect(train(simd)).toEqual(expected.simd);
    configure({ variant: "simd" });
    expect(train(relaxed)).toEqual(expected.relaxed);
  });
});

describe("initialize", () => {
  const bytesOf = (variant: Variant): Uint8Array<ArrayBuffer> => moduleBytes(variant);
  const padded = (bytes: Uint8Array): Uint8Array => {
    const larger = new Uint8Array(bytes.length + 20).fill(255);
    larger.set(bytes, 7);
    return larger.subarray(7, 7 + bytes.length);
  };
  const forms: Record<string, (variant: Variant) => unknown> = {
    bytes: bytesOf,
    "an ArrayBuffer": (variant) => bytesOf(variant).buffer,
    "a DataView": (variant) => new DataView(bytesOf(variant).buffer),
    "a part of a larger array": (variant) => padded(bytesOf(variant)),
    "a compiled module": (variant) => new WebAssembly.Module(bytesOf(variant)),
    "the file beside the package": (variant) =>
      readFileSync(`${root}/build/core${variant === "relaxed" ? ".relaxed" : ""}.wasm`),
  };

  describe.each(variants)("%s", (variant) => {
    test.each(Object.keys(forms))("takes %s, and auto means that build", async (form) => {
      const { buildInfo, configure, initialize, Linear, UnsupportedError } = await fresh();
      const given = forms[form]!(variant);
      // a host that forbids to compile: what is inlined cannot be used
      if (given instanceof WebAssembly.Module) {
        const Module = function () {
          throw new real.CompileError("forbidden");
        };
        Object.defineProperty(Module, Symbol.hasInstance, { value: (value: unknown) => value instanceof real.Module });
        engine({ Module });
      }
      initialize(given as WebAssembly.Module);
      expect(buildInfo().variant).toBe(variant);
      using layer = new Linear(3, 2, { seed: 1 });
      expect(layer.forward(wave([4, 3], "f64")).output.shape).toEqual([4, 2]);
      configure({ variant });
      expect(buildInfo().variant).toBe(variant);
      if (!(given instanceof WebAssembly.Module)) return;
      const other = variant === "simd" ? "relaxed" : "simd";
      refuses(() => configure({ variant: other }), UnsupportedError, "forbidden");
      expect(buildInfo().variant).toBe(variant);
    });
  });

  test("is refused after first use of any kind", async () => {
    const uses: ((library: Awaited<ReturnType<typeof fresh>>) => unknown)[] = [
      ({ buildInfo }) => buildInfo(),
      ({ configure }) => configure({ variant: "simd" }),
      ({ initialize }) => initialize(bytesOf("simd")),
      ({ Linear }) => new Linear(2, 2).dispose(),
      ({ Random }) => new Random(1).normal(),
      ({ mse, tensor }) => mse(tensor(1), tensor(2)),
    ];
    for (const use of uses) {
      const library = await fresh();
      use(library);
      const { variant } = library.buildInfo();
      refuses(() => library.initialize(bytesOf("simd")), library.StateError, "initialize()", "after first use");
      expect(library.buildInfo().variant).toBe(variant);
    }
  });

  // (module), and with more sections: a type, a function that traps, what it is exported as
  const header = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const type = [1, 4, 1, 0x60, 0, 0];
  const code = [10, 5, 1, 3, 0, 0, 11];
  const exported = (name: string): number[] => [7, name.length + 4, 1, name.length, ...Buffer.from(name), 0, 0];
  const foreign: Record<string, number[]> = {
    "an empty module": header,
    "a module with imports": [...header, ...type, 2, 7, 1, 1, 97, 1, 98, 0, 0],
    "a module that traps when it starts": [...header, ...type, 3, 2, 1, 0, 8, 1, 0, ...code],
    "a module with a function of a known name": [...header, ...type, 3, 2, 1, 0, ...exported("madd_f64"), ...code],
    "a module with a function for a constant": [...header, ...type, 3, 2, 1, 0, ...exported("RELAXED"), ...code],
  };
  const broken: Record<string, number[]> = {
    "no bytes": [],
    zeros: new Array<number>(100).fill(0),
    text: [...Buffer.from("<!doctype html><title>404</title>")],
    "a module cut short": Array.from(bytesOf("simd").subarray(0, 20_000)),
  };

  test.each([
    ...Object.entries(foreign).map(([name, bytes]) => [name, bytes, "core.wasm or core.relaxed.wasm"] as const),
    ...Object.entries(broken).map(([name, bytes]) => [name, bytes, "moduleOrBytes"] as const),
  ])("refuses %s; the right one goes in then", async (_, bytes, part) => {
    const { buildInfo, initialize, UnsupportedError } = await fresh();
    const given = Uint8Array.from(bytes);
    refuses(() => initialize(given), UnsupportedError, part);
    if (WebAssembly.validate(given)) refuses(() => initialize(new WebAssembly.Module(given)), UnsupportedError, part);
    initialize(bytesOf("simd"));
    expect(buildInfo().variant).toBe("simd");
  });

  test("refuses a module of another version, which may have other kernels", async () => {
    const { buildInfo, initialize, UnsupportedError } = await fresh();
    const bytes = bytesOf("simd");
    const leb = (value: number): number[] => (value < 64 ? [value] : [(value & 127) | 128, ...leb(value >> 7)]);
    const constant = Buffer.from([0x41, ...leb(build), 0x0b]); // i32.const, end
    const at = Buffer.from(bytes).indexOf(constant);
    expect(at).toBeGreaterThan(0);
    bytes[at + 1]! ^= 1;
    refuses(() => initialize(bytes), UnsupportedError, "module", "another version");
    initialize(bytesOf("simd"));
    expect(buildInfo().variant).toBe("simd");
  });

  test("refuses anything but a module or bytes", async () => {
    const { buildInfo, initialize, DtypeError } = await fresh();
    for (const value of [
      undefined,
      null,
      "core.wasm",
      3,
      {},
      [0, 0x61, 0x73, 0x6d],
      Promise.resolve(),
      new URL("file:///core.wasm"),
    ]) {
      refuses(() => initialize(value as never), DtypeError, "moduleOrBytes", "a WebAssembly.Module or its bytes");
    }
    expect(buildInfo().variant).toBe(best);
  });
});

describe("other processes", () => {
  const node = async (flags: readonly string[], code: string): Promise<string> =>
    (await run(root, process.execPath, [...flags, "--import", "tsx", "--input-type=module", "-e", code])).stdout;
  const probe = `
    import { buildInfo, configure, UnsupportedError, LSTM } from "./src/index.ts";
    const { variant } = buildInfo();
    let explicit = "runs";
    try { configure({ variant: "relaxed" }); } catch (error) { explicit = error instanceof UnsupportedError ? "refused" : String(error); }
    configure({ variant: "auto" });
    const { output } = new LSTM(2, 3, { seed: 1 }).forward({ data: new Float64Array(8).fill(0.5), shape: [4, 1, 2] });
    console.log(variant, explicit, output.data.length);`;

  const refusals = `
    import { buildInfo, configure, LSTM } from "./src/index.ts";
    const calls = [
      () => buildInfo(),
      () => configure({ variant: "simd" }),
      () => configure({ variant: "relaxed" }),
      () => new LSTM(2, 3),
    ];
    for (const call of calls) {
      try { call(); console.log("nothing"); } catch (error) { console.log(error.name, error.argument, error.message); }
    }`;

  test.runIf(RELAXED.length > 0)("an engine without relaxed SIMD", async () => {
    expect(await node([], probe)).toBe("simd refused 12\n");
  });

  test.skipIf(best === "simd")("an engine with it", async () => {
    expect(await node(RELAXED, probe)).toBe("relaxed runs 12\n");
  });

  // switches of V8's, for x64 alone: nothing below --enable-sse4-1 has WebAssembly SIMD
  const x64 = test.runIf(process.arch === "x64");

  x64("an engine whose CPU has no fused multiply-add", async () => {
    expect(await node([...RELAXED, "--no-enable-fma3"], probe)).toBe("simd refused 12\n");
  });

  x64("an engine without SIMD says so at first use, whatever the use is", async () => {
    expect(await node(["--no-enable-sse4-1"], refusals)).toMatch(
      /^(UnsupportedError variant .*Wasm SIMD unsupported.*\n){4}$/,
    );
  });

  test("importing compiles nothing", async () => {
    const code = `
      const { Module, Instance } = WebAssembly;
      WebAssembly.Module = WebAssembly.Instance = function () { throw new Error("compiled"); };
      const { tensor, configure, buildInfo } = await import("./src/index.ts");
      configure({ variant: "auto" });
      tensor([1, 2]);
      Object.assign(WebAssembly, { Module, Instance });
      console.log(buildInfo().version);`;
    expect(await node([], code)).toMatch(/^\d+\.\d+\.\d+/);
  });
});

describe("the patch from the SIMD to the relaxed module", () => {
  test.each(["simd", "relaxed"] as const)("gives the %s module as it was built", (variant) => {
    const name = variant === "simd" ? "core" : "core.relaxed";
    expect(
      Buffer.compare(moduleBytes(variant), readFileSync(new URL(`../../build/${name}.wasm`, import.meta.url))),
    ).toBe(0);
  });

  test("works for any two texts", async () => {
    const { makePatch } = (await import(
      /* @vite-ignore */ new URL("../../scripts/patch.mjs", import.meta.url).href
    )) as {
      makePatch: (base: string, text: string) => string;
    };
    const digits = fc.array(fc.constantFrom("0011223344556677", "89abcdef89abcdef", "5", "a"), { maxLength: 12 });
    fc.assert(
      fc.property(digits, digits, (base, text) => {
        expect(applyPatch(base.join(""), makePatch(base.join(""), text.join("")))).toBe(text.join(""));
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});

describe("tiles of 6 rows", () => {
  test("are for V8 from 13 on", async () => {
    await fresh();
    const { hasTallTiles } = await import("../../bindings/instantiate.js");
    expect(hasTallTiles()).toBe(Number.parseInt(process.versions.v8) >= 13);
  });

  test.each(variants)("change no bit of a layer: %s build", async (variant) => {
    const results = [];
    for (const tall of [false, true]) {
      engine({ validate: () => tall });
      const { configure, LSTM } = await fresh();
      configure({ variant });
      const layer = new LSTM(5, 9, { seed: 1 }).train();
      const { output } = layer.forward(wave([4, 13, 5], "f64"));
      layer.backward({ output: wave([4, 13, 9], "f64") });
      results.push([output.data, ...layer.parameters().map(({ grad }) => grad.data.slice())]);
    }
    expect(results[1]).toEqual(results[0]);
  });
});

test("decodeHex decodes what Buffer encodes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const text = Buffer.from(bytes).toString("hex");
      expect(decodeHexHere(text)).toEqual(bytes);
      expect([...decodeHex(text)]).toEqual([...bytes]);
    }),
    { seed: 1 },
  );
});
