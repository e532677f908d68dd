// The conformance set in this process, on the built package (`npm test` builds dist/ first), and that it detects errors. Browsers run
// it in browser.test.ts, other runtimes in `npm run test:runtimes`.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { digests, expectConformance, type Results } from "../helpers/conformance.js";
import type { Numbers } from "../helpers/close.js";
import { variants, type Variant } from "../helpers/variants.js";

interface Conformance {
  conform: (modules: Modules, variant: Variant, course: object) => Results;
  digest: (values: readonly (Numbers | number)[]) => string;
  Fnv: new () => { add(bytes: Uint8Array): void; toString(): string };
}
type Modules = Readonly<Record<"core" | "audio" | "coursera" | "cs231n" | "onnx", Record<string, unknown>>>;

const load = (path: string): Promise<unknown> => import(/* @vite-ignore */ new URL(path, import.meta.url).href);
const { conform, digest, Fnv } = (await load("../conformance/conformance.js")) as Conformance;
const [core, audio, coursera, cs231n, onnx] = (await Promise.all(
  ["index", "audio", "coursera", "cs231n", "onnx"].map((name) => load(`../../dist/${name}.js`)),
)) as Record<string, unknown>[];
const modules = { core, audio, coursera, cs231n, onnx } as Modules;
const golden = readFileSync(new URL("../golden/course.json", import.meta.url), "utf8");
const { coursera: course } = JSON.parse(golden) as { coursera: object };

describe.each(variants)("%s build", (variant) => {
  test("the digests equal those of digests.json, the figures those of the course", () => {
    expectConformance(conform(modules, variant, course), variant);
  });

  test("the digests are the same with two threads", async () => {
    const threads = core as { startThreads: (n: number) => Promise<number>; stopThreads: () => Promise<void> };
    try {
      expect(await threads.startThreads(2)).toBe(2);
      expectConformance(conform(modules, variant, course), variant);
    } finally {
      await threads.stopThreads();
    }
  });

  test("the last bit of one number changes its digests, and no others", () => {
    type Nudged = { data: Float64Array | Float32Array };
    const nudged = (...args: unknown[]): unknown => {
      const result = (core!.softmax as (...args: unknown[]) => Nudged)(...args);
      result.data[0]! *= 1 + 2 ** (result.data instanceof Float32Array ? -23 : -52);
      return result;
    };
    const { failures, digests: found } = conform({ ...modules, core: { ...core, softmax: nudged } }, variant, course);
    expect(failures).toEqual([]);
    const changed = Object.keys(found).filter((name) => found[name] !== digests[variant][name]);
    expect(changed).toEqual(["losses, f64", "losses, f32"]);
  });

  test("reports a wrong figure, a wrong gradient and a loss that does not fall", () => {
    const changed = structuredClone(course) as Record<string, { printed: { values: string }[] }>;
    const [figure] = changed.rnn_cell_forward!.printed;
    figure!.values = figure!.values.replace("0.59584544", "0.59584546");
    const broken = {
      ...core,
      gradCheck: () => ({ ok: false, worst: { name: "x", index: 3, analytic: 1, numeric: 2 } }),
      clipGradNorm: () => 0,
    };
    const { failures } = conform({ ...modules, core: broken }, variant, changed);
    expect(failures).toEqual([
      expect.stringMatching(/^rnn_cell_forward: aNext\[4\] is 0\.5958454361/),
      ...["RNN", "LSTM", "GRU", "GRU after"].map((name) => `${name}: the gradient of x[3] is 1, not 2`),
      ...["f64", "f32"].map((dtype) => expect.stringContaining(`training in ${dtype}`) as string),
    ]);
  });
});

test.each([
  ["", "cbf29ce484222325"],
  ["a", "af63dc4c8601ec8c"],
  ["foobar", "85944171f73967e8"],
])("FNV-1a of %j", (text, expected) => {
  const hash = new Fnv();
  hash.add(new Uint8Array(Buffer.from(text)));
  expect(hash.toString()).toBe(expected);
});

test("a digest distinguishes shapes, types and signed zeros", () => {
  const values: (Numbers | number)[] = [
    { shape: [2, 1], data: new Float64Array(2) },
    { shape: [1, 2], data: new Float64Array(2) },
    { shape: [2], data: new Float64Array(2) },
    { shape: [2], data: new Float32Array(2) },
    { shape: [2], data: Float64Array.of(0, -0) },
    0,
    -0,
  ];
  expect(new Set(values.map((value) => digest([value]))).size).toBe(values.length);
});
