// Reads files of Proteus, NeuralPi and their training program: sizes in model_data, PyTorch's arrays in state_dict.

import { ShapeError, UnsupportedError } from "../../../bindings/errors.js";
import { describe, type FloatDtype } from "../../../bindings/tensor.js";
import { assemble, type NetworkDescription } from "./description.js";
import { parsed, record, size } from "./json.js";
import { StateDict } from "./state-dict.js";

/**
 * The network of a parsed file.
 *
 * @throws FormatError, ShapeError, UnsupportedError
 */
export function readProteus(json: unknown, dtype: FloatDtype): NetworkDescription {
  const file = parsed(json, "JSON of Proteus");
  const data = record("model_data", file.model_data);
  const { model = "SimpleRNN", unit_type: unit, output_size: outputSize = 1, num_layers: numLayers = 1 } = data;
  if (model !== "SimpleRNN") throw new UnsupportedError("model_data.model", describe(model), '"SimpleRNN"');
  if (unit !== "LSTM" && unit !== "GRU" && unit !== "RNN") {
    throw new UnsupportedError("model_data.unit_type", describe(unit), '"LSTM", "GRU" or "RNN"');
  }
  const dict = new StateDict("state_dict", record("state_dict", file.state_dict), dtype);
  const inputSize = size("model_data.input_size", data.input_size);
  const rec = dict.recurrent("rec.", unit, size("model_data.hidden_size", data.hidden_size), inputSize);
  if (rec.numLayers !== size("model_data.num_layers", numLayers)) {
    throw new ShapeError("model_data.num_layers", describe(numLayers), `${rec.numLayers}, as state_dict has them`);
  }
  const lin = dict.linear("lin.", rec.hiddenSize, size("model_data.output_size", outputSize));
  dict.checkAllTaken();
  return assemble(dtype, inputSize, [rec, lin], { path: "model_data.skip", count: data.skip });
}
