// Layers, chains and models as ONNX files.

import { UnsupportedError, ValueError } from "../../bindings/errors.js";
import { describe, type FloatDtype } from "../../bindings/tensor.js";
import { checkDtype, checkOptions } from "../base/check.js";
import { PRODUCER, type OnnxGraph, type OnnxValue } from "../formats/onnx/model.js";
import { writeOnnx } from "../formats/onnx/write.js";
import type { Model } from "../graphs/model.js";
import { fileOf } from "../graphs/onnx.js";
import { Layer } from "../nn/layer.js";
import type { Sequential } from "../nn/sequential.js";
import { traitsOf } from "../nn/traits.js";
import { Builder, type Shape, type Value } from "./to-onnx/builder.js";
import { EXPORTERS, type Exporter } from "./to-onnx/layers.js";

/** Options of `toOnnx`. */
export interface ToOnnxOptions {
  /** The version of ONNX's operators, 13 to 22 (default 17; of a model that was read from a file that of the file, and no other). */
  opset?: number | undefined;
  /**
   * The number type of weights, inputs and outputs (default: that of the layers; "f32" where they take both; of a model that was
   * read from a file that of the file, and no other). ONNX Runtime has no RNN, LSTM, GRU and Conv for f64.
   */
  dtype?: FloatDtype | undefined;
}

/** The version of the format of what is written. */
const IR_VERSION = 8;

const DEFAULT_OPSET = 17;

/**
 * Writes a layer, a chain of layers or a model as an ONNX file that computes what `forward` does in inference mode.
 *
 * Inputs and outputs are called as by `forward`: `input` and `output`; of a recurrent layer that is alone h0, c0, hn and cn, too; of
 * `MultiheadAttention` query, key, value, output and weights, of `AdditiveAttention` query, keys, output and weights; a cell takes input, h0 and
 * c0, and gives hn and cn. T and N are open. Sequences have batches, and all steps take part. Indices are int64. What a stateful layer
 * carries from pass to pass is in its inputs and outputs alone. The weights of a model from a file are the present ones.
 *
 * @param model a layer, a `Sequential`, or a `Model`
 * @param options opset, dtype
 * @returns the bytes of the file
 * @throws UnsupportedError naming what ONNX does not have: `projSize` and `layerNorm` of recurrent layers, layers of your own; ValueError,
 *   DisposedError
 */
export function toOnnx(
  model: Layer<FloatDtype, FloatDtype | undefined> | Sequential | Model,
  options: ToOnnxOptions = {},
): Uint8Array<ArrayBuffer> {
  const given = checkOptions("toOnnx", options, ["opset", "dtype"]);
  const { opset = DEFAULT_OPSET, dtype } = given;
  if (!Number.isInteger(opset) || opset < 13 || opset > 22) {
    throw new ValueError("opset", describe(opset), "an integer from 13 to 22");
  }
  if (dtype !== undefined) checkDtype(dtype);
  const file = fileOf(model as Model);
  if (file) {
    const own = file.opsets.get("");
    if (given.opset !== undefined && opset !== own)
      throw new UnsupportedError("opset", `${opset}`, `${own}, the model's own`);
    if (dtype !== undefined) throw new UnsupportedError("dtype", dtype, "none, for a model that was read from a file");
    return writeOnnx(file);
  }
  const parts = partsOf(model, "");
  const builder = new Builder(opset, dtype ?? dtypeOf(parts));
  const graph = parts[0]!.path === "" && parts[0]!.exporter.whole ? whole(builder, parts[0]!) : chain(builder, parts);
  return writeOnnx({
    irVersion: IR_VERSION,
    producerName: PRODUCER,
    producerVersion: "",
    domain: "",
    modelVersion: 0,
    docString: "",
    opsets: new Map([["", opset]]),
    graph,
    functions: [],
    metadata: new Map(),
  });
}

/** A layer of a chain of chains. */
interface Part {
  /** Its name and those of the chains around it: "lstm.", "" for a layer that is alone. */
  readonly path: string;
  readonly layer: never;
  readonly exporter: Exporter<never>;
}

/** The layers in the order in which they run. */
function partsOf(model: unknown, path: string): Part[] {
  const layers = typeof model === "object" && model !== null ? traitsOf(model).layers : undefined;
  if (layers) return layers.flatMap(({ name, layer }) => partsOf(layer, `${path}${name}.`));
  const exporter = EXPORTERS.get(Layer.kindOf(model));
  const place = path === "" ? "model" : `layers.${path.slice(0, -1)}`;
  if (!exporter) throw new UnsupportedError(place, describe(model), "layers of this package, or a chain of them");
  if (path !== "" && !exporter.write) throw new UnsupportedError(place, describe(model), "a layer that takes x alone");
  return [{ path, layer: model as never, exporter }];
}

function dtypeOf(parts: readonly Part[]): FloatDtype {
  for (const { layer } of parts) {
    const { dtype } = layer as Layer<FloatDtype, FloatDtype | undefined>;
    if (dtype !== undefined) return dtype;
  }
  return "f32";
}

/** The graph of a layer with inputs and outputs of its own. */
function whole(builder: Builder, { layer, exporter }: Part): OnnxGraph {
  const { inputs, outputs } = exporter.whole!(builder, layer);
  return builder.graph("layer", inputs.map((input) => ({ ...input, dtype: builder.dtype })), new Map(outputs)); // prettier-ignore
}

/** The graph of layers one after the other. */
function chain(builder: Builder, parts: readonly Part[]): OnnxGraph {
  const dtype = parts[0]!.exporter.indices ? "i64" : builder.dtype;
  const input: OnnxValue = { name: builder.reserve("input"), dtype, shape: inputShape(parts) };
  let value: Value = input;
  for (const { path, layer, exporter } of parts) value = exporter.write!(builder, layer, path, value);
  return builder.graph("chain", [input], new Map([["output", value]]));
}

/** The shape of the input, if a layer tells how many axes there are. */
function inputShape(parts: readonly Part[]): Shape | undefined {
  const known = parts.findIndex(({ exporter }) => exporter.input);
  if (known < 0) return undefined;
  const { layer, exporter } = parts[known]!;
  return parts
    .slice(0, known)
    .reduceRight<Shape>((shape, part) => part.exporter.inputFor?.(part.layer, shape) ?? shape, exporter.input!(layer));
}
