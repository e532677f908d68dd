// ONNX's operators of its own domain (https://onnx.ai/onnx/operators/), by name.

import type { Operators } from "../node.js";
import { arithmetic } from "./arithmetic.js";
import { control } from "./control.js";
import { einsum } from "./einsum.js";
import { indexing } from "./indexing.js";
import { layers } from "./layers.js";
import { losses } from "./losses.js";
import { movement } from "./movement.js";
import { norms } from "./norms.js";
import { ordering } from "./ordering.js";
import { quantization } from "./quantized.js";
import { recurrent } from "./recurrent.js";
import { reduction } from "./reduction.js";
import { signal } from "./signal.js";
import { windows } from "./windows.js";

export const operators: Operators = {
  ...arithmetic,
  ...control,
  ...einsum,
  ...indexing,
  ...layers,
  ...losses,
  ...movement,
  ...norms,
  ...ordering,
  ...quantization,
  ...recurrent,
  ...reduction,
  ...signal,
  ...windows,
};
