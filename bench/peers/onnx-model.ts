// An ONNX model of one LSTM node: X [T,N,D], initial_h, initial_c [1,N,H] to Y [T,1,N,H], Y_h, Y_c.

import type { Numbers } from "../worker.js";

/** What is used of onnx-proto. It is not there when types are checked. */
interface OnnxProto {
  onnx: { ModelProto: { encode(model: object): { finish(): Uint8Array } } };
}

const FLOAT = 1; // TensorProto.DataType
const INT = 2; // AttributeProto.AttributeType

/** Rows of gates, from the order i f g o into ONNX's i o f c. */
function reorder(rows: Numbers): Numbers {
  const size = rows.length / 4;
  const [i, f, g, o] = [0, 1, 2, 3].map((gate) => rows.subarray(gate * size, (gate + 1) * size));
  return Float32Array.from([i!, o!, f!, g!].flatMap((gate) => [...gate]));
}

/** @param weights weightIh [4H,D], weightHh [4H,H], biasIh, biasHh [4H] */
export async function lstmModel(d: number, h: number, weights: Record<string, Numbers>): Promise<Uint8Array> {
  const name = "onnx-proto";
  const module = (await import(name)) as { default: OnnxProto };
  const { ModelProto } = module.default.onnx;
  const constant = (key: string, dims: number[], ...values: Numbers[]) => {
    const data = values.map((rows) => new Uint8Array(reorder(rows).buffer));
    return { name: key, dims, dataType: FLOAT, rawData: Buffer.concat(data) };
  };
  const value = (key: string, ...dims: (number | string)[]) => {
    const dim = dims.map((size) => (typeof size === "number" ? { dimValue: size } : { dimParam: size }));
    return { name: key, type: { tensorType: { elemType: FLOAT, shape: { dim } } } };
  };
  const outputs = [value("Y", "T", 1, "N", h), value("Y_h", 1, "N", h), value("Y_c", 1, "N", h)];
  const model = {
    irVersion: 8,
    opsetImport: [{ domain: "", version: 14 }],
    graph: {
      name: "lstm",
      node: [
        {
          opType: "LSTM",
          input: ["X", "W", "R", "B", "", "initial_h", "initial_c"],
          output: outputs.map((output) => output.name),
          attribute: [{ name: "hidden_size", type: INT, i: h }],
        },
      ],
      initializer: [
        constant("W", [1, 4 * h, d], weights.weightIh!),
        constant("R", [1, 4 * h, h], weights.weightHh!),
        constant("B", [1, 8 * h], weights.biasIh!, weights.biasHh!),
      ],
      input: [value("X", "T", "N", d), value("initial_h", 1, "N", h), value("initial_c", 1, "N", h)],
      output: outputs,
    },
  };
  return ModelProto.encode(model).finish();
}
