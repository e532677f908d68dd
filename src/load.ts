/**
 * Any model file, by its content: `loadModel` tells the format and imports the reader of that one alone.
 *
 *     format           file                                                    gives
 *     "wasm-rnn"       .safetensors of writeCharLM                             model: CharLM
 *     "onnx"           .onnx                                                   model: Model
 *     "keras"          .keras of Keras 3                                       model: Sequential or Model
 *     "keras-h5"       .h5 of Keras 2 with the model                           model: Sequential or Model
 *     "tfjs"           model.json of TensorFlow.js with its files of weights   model: Sequential or Model
 *     "ml5"            manifest.json, vocab.json and variables of ml5          model: CharLM
 *     "rtneural"       JSON of RTNeural                                        model: StreamingModel
 *     "proteus"        JSON of Proteus                                         model: StreamingModel
 *     "nam"            .nam                                                    model: StreamingModel
 *     "safetensors"    .safetensors                                            tensors
 *     "pytorch"        .pt, .pth, .tar of torch.save                           tensors
 *     "keras-weights"  .h5, .weights.h5 of Keras with weights alone            tensors
 *     "npy", "npz"     .npy, .npz of NumPy                                     tensors
 *
 * @module wasm-rnn/load
 */

export {
  loadModel,
  type Loaded,
  type LoadedCharLM,
  type LoadedFormat,
  type LoadedGraph,
  type LoadedModel,
  type LoadedStreamingModel,
  type LoadedTensors,
  type ModelFiles,
} from "./models/load.js";
