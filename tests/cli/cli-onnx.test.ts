// wasm-rnn info and bench on ONNX models.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { LSTM } from "../../src/index.js";
import { toOnnx } from "../../src/onnx.js";
import { jsonLines, run, temporaryFolder } from "../helpers/cli.js";
import { graph, node, onnxFile, onnxTensor } from "../helpers/make-onnx.js";

/** Runs a command on a file with these bytes. */
async function runOn(command: string, bytes: Uint8Array, ...options: string[]) {
  const folder = temporaryFolder();
  writeFileSync(join(folder, "x.onnx"), bytes);
  return run(folder, command, "x.onnx", ...options);
}

const BRANCH = graph({}, { b: ["f32", undefined] }, [node("Neg", ["x"], ["b"])], { inner: onnxTensor("f32", [2], [1, 2]) }); // prettier-ignore
const MODEL = onnxFile(
  graph(
    { x: ["f32", ["N", 4]], n: ["i64", []] },
    { y: ["f32", undefined] },
    [
      node("Add", ["x", "w"], ["a"]),
      node("Equal", ["n", "n"], ["same"]),
      node("If", ["same"], ["y"], { then_branch: BRANCH, else_branch: BRANCH }),
    ],
    { w: onnxTensor("f32", [4], [1, 2, 3, 4]), whole: onnxTensor("i64", [3], [1, 2, 3]) },
  ),
);
const UNKNOWN = onnxFile(graph({ x: ["f32", [4]] }, { y: ["f32", [4]] }, [node("Imagine\u001b[2J", ["x"], ["y"])]));

describe("info", () => {
  test("lists inputs, outputs, parameters and operators, those of branches included", async () => {
    const { code, stdout, stderr } = await runOn("info", MODEL);
    expect([code, stderr]).toEqual([0, ""]);
    const lines = stdout.split("\n");
    expect(lines[0]).toBe(`x.onnx: ONNX model, ${MODEL.length} bytes`);
    expect(lines.slice(2)).toEqual([
      "inputs:",
      "  x [N, 4] f32",
      "  n [] i64",
      "outputs:",
      "  y of any shape f32",
      "parameters: 3, 8 numbers",
      "operators: 4, 5 nodes",
      "  Add 1",
      "  Equal 1",
      "  If 1",
      "  Neg 2",
      "unsupported: none; fromOnnx runs it",
      "",
    ]);
    const [line] = jsonLines(await runOn("info", MODEL, "--json"));
    expect(line).toMatchObject({
      event: "info",
      format: "onnx",
      bytes: MODEL.length,
      inputs: [{ name: "x", dtype: "f32", shape: ["N", 4] }, { name: "n", dtype: "i64", shape: [] }],
      operators: { Add: 1, Equal: 1, If: 1, Neg: 2 },
      unsupported: [],
    }); // prettier-ignore
  });

  test("names what is not supported, escaped", async () => {
    const { code, stdout } = await runOn("info", UNKNOWN);
    expect(code).toBe(0);
    expect(stdout).toMatch(/\nunsupported: 1\n {2}node y: Imagine.*\(opset \d+\)\n$/);
    expect(stdout).not.toContain("\u001b");
  });
});

describe("bench", () => {
  const quick = ["--seconds", "0.02"];

  test("times runs and steps", async () => {
    const bytes = toOnnx(new LSTM(4, 3, { dtype: "f32" }));
    const options = ["--shape", "input=1,2,4", "--shape", "h0=1,2,3", "--shape", "c0=1,2,3", "--carry", "hn=h0"];
    const { code, stdout, stderr } = await runOn("bench", bytes, ...options, "--carry", "cn=c0", ...quick);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(
      /^x\.onnx: input \[1, 2, 4\], h0 \[1, 2, 3\], c0 \[1, 2, 3\]; \w+ build, (one thread|\d+ threads)\nload: [\d.e+-]+ ms, first run: [\d.e+-]+ ms\nrun: median .* ms, 95% within .* ms \([\d,]+ calls\)\nstream step: median .*\n$/,
    );
    const [line] = jsonLines(await runOn("bench", MODEL, "--value", "n=7", "--dtype", "f64", "--variant", "simd", "--json", ...quick)); // prettier-ignore
    expect(line).toMatchObject({ event: "bench", shapes: { x: [1, 4], n: [] }, variant: "simd" });
    const { run: times, step } = line as unknown as Record<
      "run" | "step",
      { calls: number; median: number; p95: number }
    >;
    for (const { calls, median, p95 } of [times, step]) {
      expect(calls).toBeGreaterThanOrEqual(3);
      expect(median).toBeGreaterThan(0);
      expect(p95).toBeGreaterThanOrEqual(median);
    }
  });

  test.each<[what: string, bytes: Uint8Array, options: string[], code: number, message: string]>([
    ["a name that no input has", MODEL, ["--shape", "z=1"], 2, "no input is named z: the model has x, n"],
    ["a shape that is none", MODEL, ["--shape", "x=1,a"], 2, "expected whole numbers with commas between them"],
    ["a pair that is none", MODEL, ["--carry", "y"], 2, "expected output=input"],
    ["a value that is none", MODEL, ["--value", "n=many"], 2, "expected a number"],
    ["a shape that does not fit", MODEL, ["--shape", "x=2,5"], 1, "x.onnx: feeds.x: got [2, 5], expected"],
    ["an output that is none", MODEL, ["--carry", "z=x"], 1, "x.onnx: carry"],
    ["an operator that is not there", UNKNOWN, [], 1, "x.onnx: model: got node y: Imagine"],
    ["bytes that are no model", Uint8Array.of(1, 2, 3), [], 1, "x.onnx: "],
  ])("%s", async (_, bytes, options, code, message) => {
    const outcome = await runOn("bench", bytes, ...options, ...quick);
    expect([outcome.code, outcome.stdout]).toEqual([code, ""]);
    expect(outcome.stderr).toMatch(/^wasm-rnn: [^\n]+\n$/);
    expect(outcome.stderr).toContain(message);
  });
});
