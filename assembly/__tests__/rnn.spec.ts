// The simple recurrent network. The tests are in properties.ts.

import {
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
import { RNN } from "./sequence";

describe("rnn", () => {
  test("scalar loops f64", () => naive<f64>(RNN));
  test("scalar loops f32", () => naive<f32>(RNN));
  test("non-linearities f64", () => nonlinearities<f64>(RNN));
  test("non-linearities f32", () => nonlinearities<f32>(RNN));
  test("step by step f64", () => steps<f64>(RNN));
  test("step by step f32", () => steps<f32>(RNN));
  test("weights packed once f64", () => packed<f64>(RNN));
  test("weights packed once f32", () => packed<f32>(RNN));
  test("states elsewhere, and steps in reverse f64", () => placed<f64>(RNN));
  test("rows of a batch f64", () => rows<f64>(RNN));
  test("states elsewhere, and steps in reverse f32", () => placed<f32>(RNN));
  test("rows of a batch f32", () => rows<f32>(RNN));
  test("forward only f64", () => forwardOnly<f64>(RNN));
  test("forward only f32", () => forwardOnly<f32>(RNN));
  test("NaN and infinities f64", () => nan<f64>(RNN));
  test("NaN and infinities f32", () => nan<f32>(RNN));
  test("NaN in one gate f64", () => nanInGate<f64>(RNN));
  test("NaN in one gate f32", () => nanInGate<f32>(RNN));
  test("denormals f64", () => denormals<f64>(RNN));
  test("denormals f32", () => denormals<f32>(RNN));
});
