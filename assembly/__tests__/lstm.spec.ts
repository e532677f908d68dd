// Long short-term memory: the tests of properties.ts, and special values of the cell state.

import { RELU, SIGMOID, TANH } from "../activation";
import { forward } from "./calls";
import { expectIntact, expectSameRange, fail } from "./helpers";
import { Naive } from "./naive";
import { chunks, forwardOnly, naive, nan, nanInGate, nonlinearities, packed, placed, rows, steps } from "./properties";
import { Case, CLIPPED, COUPLED, LSTM, MASKED, NORMED, PEEPHOLE, PROJECTED } from "./sequence";

/** An infinity in c0 stays in its unit of c; h stays finite, and the other rows do not change. */
function infinities<T>(): void {
  const flags: StaticArray<i32> = [0, MASKED, PROJECTED, CLIPPED, COUPLED, COUPLED | CLIPPED | MASKED];
  for (let f = 0; f < flags.length; f++) {
    for (let psi = TANH; psi <= SIGMOID; psi++) {
      const training = flags[f] < PEEPHOLE;
      const c = new Case<T>(LSTM, flags[f], 3, 5, 3, 7);
      c.phi = c.psi = psi;
      const before = forward<T>(c, training);
      c.c0[4 * 7 + 6] = <T>Infinity;
      c.c0.freeze();
      const after = forward<T>(c, training);
      for (let s = 1; s <= 3; s++) {
        expectSameRange<T>(`rows 0 to 3, ${c.name}`, after.hs, s * 5 * c.p, before.hs, s * 5 * c.p, 4 * c.p);
        const bounded = psi != RELU;
        if (!bounded && s > 1) continue; // h is infinite, too, and infinities of both signs may be added
        const cell = after.cs[(training ? s * 5 + 4 : 4) * 7 + 6];
        if (cell != <T>Infinity && (training || bounded)) fail(`c is ${cell} after step ${s}, ${c.name}`);
        for (let j = 0; j < c.p; j++) {
          const h = after.hs[(s * 5 + 4) * c.p + j];
          if (bounded ? !isFinite(h) : isNaN(h)) fail(`h is ${h} after step ${s}, ${c.name}`);
        }
      }
      expectIntact(c.name);
    }
  }
}

/** Denormal gates and states, compared with the scalar loops. */
function denormals<T>(): void {
  const c = new Case<T>(LSTM, 0, 2, 3, 2, 5);
  c.c0.randomize(sizeof<T>() == 8 ? 1e-309 : 1e-39).freeze();
  c.biasIh.fill(sizeof<T>() == 8 ? -720 : -96); // every gate is denormal, or nearly
  for (let j = 10; j < 15; j++) c.biasIh[j] = 1;
  c.biasIh.freeze();
  const kept = forward<T>(c);
  const naive = new Naive<T>(c);
  const unit: f64 = sizeof<T>() == 8 ? 5e-324 : 1.4e-45;
  for (let i = 0; i < kept.cs.length; i++) {
    const a = <f64>kept.cs[i];
    const e = naive.cs[i];
    const tolerance = max(8 * unit, abs(e) * (sizeof<T>() == 8 ? 1e-12 : 1e-5));
    if (!(abs(a - e) <= tolerance)) fail(`c: ${a}, not ${e}`);
  }
  expectIntact("denormals");
}

describe("lstm", () => {
  test("scalar loops f64", () => naive<f64>(LSTM));
  test("scalar loops f32", () => naive<f32>(LSTM));
  test("non-linearities f64", () => nonlinearities<f64>(LSTM));
  test("non-linearities f32", () => nonlinearities<f32>(LSTM));
  test("inference in chunks f64", () => chunks<f64>(LSTM));
  test("inference in chunks f32", () => chunks<f32>(LSTM));
  test("step by step f64", () => steps<f64>(LSTM));
  test("step by step f32", () => steps<f32>(LSTM));
  test("weights packed once f64", () => packed<f64>(LSTM));
  test("weights packed once f32", () => packed<f32>(LSTM));
  test("states elsewhere, and steps in reverse f64", () => placed<f64>(LSTM));
  test("rows of a batch f64", () => rows<f64>(LSTM));
  test("states elsewhere, and steps in reverse f32", () => placed<f32>(LSTM));
  test("rows of a batch f32", () => rows<f32>(LSTM));
  test("forward only f64", () => forwardOnly<f64>(LSTM));
  test("forward only f32", () => forwardOnly<f32>(LSTM));
  test("NaN and infinities f64", () => nan<f64>(LSTM));
  test("NaN and infinities f32", () => nan<f32>(LSTM));
  test("NaN in one gate f64", () => nanInGate<f64>(LSTM));
  test("NaN in one gate f32", () => nanInGate<f32>(LSTM));
  test("infinities in c f64", () => infinities<f64>());
  test("infinities in c f32", () => infinities<f32>());
  test("denormals f64", () => denormals<f64>());
  test("denormals f32", () => denormals<f32>());
});

describe("lstm, layer-normalised", () => {
  test("scalar loops f64", () => naive<f64>(LSTM, NORMED));
  test("scalar loops f32", () => naive<f32>(LSTM, NORMED));
  test("non-linearities f64", () => nonlinearities<f64>(LSTM, NORMED));
  test("non-linearities f32", () => nonlinearities<f32>(LSTM, NORMED));
  test("inference in chunks f64", () => chunks<f64>(LSTM, NORMED));
  test("inference in chunks f32", () => chunks<f32>(LSTM, NORMED));
  test("step by step f64", () => steps<f64>(LSTM, NORMED));
  test("step by step f32", () => steps<f32>(LSTM, NORMED));
  test("weights packed once f64", () => packed<f64>(LSTM, NORMED));
  test("weights packed once f32", () => packed<f32>(LSTM, NORMED));
  test("states elsewhere, and steps in reverse f64", () => placed<f64>(LSTM, NORMED));
  test("rows of a batch f64", () => rows<f64>(LSTM, NORMED));
  test("states elsewhere, and steps in reverse f32", () => placed<f32>(LSTM, NORMED));
  test("rows of a batch f32", () => rows<f32>(LSTM, NORMED));
});
