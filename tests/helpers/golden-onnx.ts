// Runs the golden files of ONNX's operators RNN, LSTM and GRU.
import { expect } from "vitest";
import { onnxRecurrent, type OnnxAttributes, type OnnxInputs, type OnnxOperator } from "../../src/onnx.js";
import { type Dtype, type Numbers, type Tolerance, tensorOf } from "./close.js";
import { TOLERANCES } from "./course.js";

interface OnnxFile {
  readonly case: string;
  readonly op_type: OnnxOperator;
  readonly attributes: OnnxAttributes;
  /** Names in the operator's order; "" is absent, or not asked for. */
  readonly node_inputs: readonly string[];
  readonly node_outputs: readonly string[];
  readonly inputs: Readonly<Record<string, Numbers & { readonly dtype: string }>>;
  readonly outputs: Readonly<Record<string, Numbers>>;
  readonly tolerance: Tolerance;
}

export function checkOnnx(file: OnnxFile, dtype: Dtype): void {
  const inputs = Object.fromEntries(
    Object.entries(file.inputs).map(([name, value]) => [
      name,
      tensorOf(value, value.dtype === "int32" ? "i32" : dtype),
    ]),
  );
  expect(Object.keys(inputs)).toEqual(file.node_inputs.filter(Boolean));
  const outputs = onnxRecurrent(file.op_type, file.attributes, inputs as unknown as OnnxInputs);
  const asked = file.node_outputs.filter(Boolean);
  expect(Object.keys(file.outputs)).toEqual(asked);
  for (const name of asked) {
    const output = outputs[name as keyof typeof outputs];
    expect(output, name).toBeAllClose(file.outputs[name]!, toleranceOf(file, dtype));
  }
}

/** ONNX's own tests are in f32, and come with a tolerance for it; the others in f64. */
function toleranceOf(file: OnnxFile, dtype: Dtype): Tolerance {
  if (!file.case.startsWith("test_")) return TOLERANCES[dtype];
  return dtype === "f32" ? file.tolerance : { atol: 2e-7 };
}
