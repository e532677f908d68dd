// The gated recurrent unit, r after and before the recurrent product. The tests are in properties.ts.

import {
  chunks,
  denormals,
  forwardOnly,
  naive,
  nan,
  nanInGate,
  nonlinearities,
  packed,
  placed,
  rows,
  steps,
} from "./properties";
import { GRU, NORMED } from "./sequence";

describe("gru", () => {
  test("scalar loops f64", () => naive<f64>(GRU));
  test("scalar loops f32", () => naive<f32>(GRU));
  test("non-linearities f64", () => nonlinearities<f64>(GRU));
  test("non-linearities f32", () => nonlinearities<f32>(GRU));
  test("inference in chunks f64", () => chunks<f64>(GRU));
  test("inference in chunks f32", () => chunks<f32>(GRU));
  test("step by step f64", () => steps<f64>(GRU));
  test("step by step f32", () => steps<f32>(GRU));
  test("weights packed once f64", () => packed<f64>(GRU));
  test("weights packed once f32", () => packed<f32>(GRU));
  test("states elsewhere, and steps in reverse f64", () => placed<f64>(GRU));
  test("rows of a batch f64", () => rows<f64>(GRU));
  test("states elsewhere, and steps in reverse f32", () => placed<f32>(GRU));
  test("rows of a batch f32", () => rows<f32>(GRU));
  test("forward only f64", () => forwardOnly<f64>(GRU));
  test("forward only f32", () => forwardOnly<f32>(GRU));
  test("NaN and infinities f64", () => nan<f64>(GRU));
  test("NaN and infinities f32", () => nan<f32>(GRU));
  test("NaN in one gate f64", () => nanInGate<f64>(GRU));
  test("NaN in one gate f32", () => nanInGate<f32>(GRU));
  test("denormals f64", () => denormals<f64>(GRU));
  test("denormals f32", () => denormals<f32>(GRU));
});

describe("gru, layer-normalised", () => {
  test("scalar loops f64", () => naive<f64>(GRU, NORMED));
  test("scalar loops f32", () => naive<f32>(GRU, NORMED));
  test("non-linearities f64", () => nonlinearities<f64>(GRU, NORMED));
  test("non-linearities f32", () => nonlinearities<f32>(GRU, NORMED));
  test("inference in chunks f64", () => chunks<f64>(GRU, NORMED));
  test("inference in chunks f32", () => chunks<f32>(GRU, NORMED));
  test("step by step f64", () => steps<f64>(GRU, NORMED));
  test("step by step f32", () => steps<f32>(GRU, NORMED));
  test("weights packed once f64", () => packed<f64>(GRU, NORMED));
  test("weights packed once f32", () => packed<f32>(GRU, NORMED));
  test("states elsewhere, and steps in reverse f64", () => placed<f64>(GRU, NORMED));
  test("rows of a batch f64", () => rows<f64>(GRU, NORMED));
  test("states elsewhere, and steps in reverse f32", () => placed<f32>(GRU, NORMED));
  test("rows of a batch f32", () => rows<f32>(GRU, NORMED));
});
