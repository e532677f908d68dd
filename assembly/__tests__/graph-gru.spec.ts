// The gated recurrent unit of few units: the bits of gruForward, one direction and two.

import { gruSmall } from "../graph/gru";
import { bytes, lanes } from "../simd";
import { Call, Kept, packOnce } from "./calls";
import { expectIntact, expectSame, output } from "./helpers";
import "./scratch";
import { Case, GRU, NO_BIAS, RESET_AFTER } from "./sequence";

/** A call of one of `directions`, whose states lie between those of the other; `states`: of all. */
function place<T>(c: Case<T>, states: usize, direction: i32, directions: i32, chunk: i32, packed: usize): Call<T> {
  const call = new Kept<T>(c, false, chunk).call(packed);
  const s = call.s;
  s.hs = states + <usize>(direction - 1) * bytes<T>(c.n * c.h);
  s.h0 = c.h0.p;
  s.reversed = direction;
  s.others = directions - 1;
  return call;
}

function sameBits<T>(): void {
  for (let t = 1; t <= 7; t += 2) {
    for (let n = 1; n <= 3; n++) {
      for (let groups = 1; groups <= 5; groups++) {
        for (let d = 1; d <= 17; d += 4) {
          for (let directions = 1; directions <= 2; directions++) {
            const flags = RESET_AFTER | (d & 4 ? NO_BIAS : 0);
            const h = groups * lanes<T>();
            const chunk = min(t, 1 + groups);
            const one = new Case<T>(GRU, flags, t, n, d, h);
            const two = new Case<T>(GRU, flags, t, n, d, h);
            const packedOne = packOnce<T>(one);
            const packedTwo = packOnce<T>(two);
            const expected = output<T>(t * directions * n * h);
            const states = output<T>(t * directions * n * h);
            for (let small = 0; small < 2; small++) {
              const to = small ? states.p : expected.p;
              const first = place<T>(one, to, 0, directions, chunk, packedOne.p);
              const second = place<T>(two, to, 1, directions, chunk, packedTwo.p);
              const other = directions == 2 ? changetype<usize>(second.s) : 0;
              if (small) {
                gruSmall<T>(changetype<usize>(first.s), other);
              } else {
                first.forward();
                if (other) second.forward();
              }
            }
            const what = `T ${t}, N ${n}, D ${d}, H ${h}, ${directions} directions, chunks of ${chunk}`;
            expectSame<T>(what, states, expected);
            expectIntact(what);
          }
        }
      }
    }
  }
}

describe("gru of few units", () => {
  test("has the bits of the other f64", () => sameBits<f64>());
  test("has the bits of the other f32", () => sameBits<f32>());
});
