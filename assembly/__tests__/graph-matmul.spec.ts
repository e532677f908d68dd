// The graph module's products of stacks of matrices, against the core's gemm of each pair and a naive loop.

import { gemm, OVERWRITE } from "../gemm/gemm";
import { nr } from "../gemm/microkernel";
import { matmul, matmulPack, Product } from "../graph/matmul";
import { Buffer, expectClose, expectIntact, expectSame, input, output, SIZES } from "./helpers";
import "./scratch";

/** Stacks [p,q]: a has matrices for both axes, or repeats along one or both, as b does. */
function stacks<T>(m: i32, k: i32, n: i32, transposed: i32, biased: bool): void {
  const p = 2;
  const q = 3;
  for (let repeated = 0; repeated < 16; repeated++) {
    const axes = new Buffer<i32>(8);
    const sizes: StaticArray<i32> = [p, q];
    const counts: StaticArray<i32> = [1, 1];
    for (let axis = 1; axis >= 0; axis--) {
      axes[4 * axis] = sizes[axis];
      axes[4 * axis + 3] = 0;
      for (let operand = 0; operand < 2; operand++) {
        const repeats = repeated & (1 << (2 * axis + operand));
        axes[4 * axis + 1 + operand] = repeats ? 0 : counts[operand] * (operand ? k * n : m * k);
        if (!repeats) counts[operand] *= sizes[axis];
      }
    }
    axes.freeze();
    const a = input<T>(counts[0] * m * k);
    const b = input<T>(counts[1] * k * n);
    const out = output<T>(p * q * m * n);
    const bias = input<T>(n);
    const s = new Product();
    s.bias = biased ? bias.p : 0;
    s.a = a.p;
    s.b = b.p;
    s.out = out.p;
    s.axes = axes.p;
    s.rank = 2;
    s.m = m;
    s.n = n;
    s.k = k;
    s.aRow = transposed & 1 ? 1 : k;
    s.aColumn = transposed & 1 ? m : 1;
    s.bRow = transposed & 2 ? 1 : n;
    s.bColumn = transposed & 2 ? k : 1;
    s.panels = 0;
    if (counts[1] == 1 && !(transposed & 1)) {
      const panels = output<T>(k * ((n + nr<T>() - 1) / nr<T>()) * nr<T>());
      s.panels = panels.p;
      matmulPack<T>(s);
      panels.freeze();
    }
    matmul<T>(s);
    const same = output<T>(p * q * m * n);
    const naive = new StaticArray<f64>(p * q * m * n);
    for (let i = 0; i < p * q; i++) {
      const firstA = (i / q) * axes[1] + (i % q) * axes[5];
      const firstB = (i / q) * axes[2] + (i % q) * axes[6];
      gemm<T>(
        m,
        n,
        k,
        a.p + <usize>firstA * sizeof<T>(),
        s.aRow,
        s.aColumn,
        b.p + <usize>firstB * sizeof<T>(),
        s.bRow,
        s.bColumn,
        biased ? bias.p : OVERWRITE,
        same.p + <usize>(i * m * n) * sizeof<T>(),
        n,
      );
      for (let r = 0; r < m; r++) {
        for (let c = 0; c < n; c++) {
          let sum: f64 = biased ? <f64>bias[c] : 0;
          for (let l = 0; l < k; l++) {
            sum += <f64>a[firstA + r * s.aRow + l * s.aColumn] * <f64>b[firstB + l * s.bRow + c * s.bColumn];
          }
          naive[(i * m + r) * n + c] = sum;
        }
      }
    }
    const what = `[${m},${k}] [${k},${n}], repeated ${repeated}, transposed ${transposed}, bias ${biased}`;
    expectSame<T>(what, out, same);
    expectClose<T>(what, out, naive, 10);
    expectIntact(what);
  }
}

function sizes<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    const m = SIZES[i];
    const k = SIZES[(i + 2) % SIZES.length];
    const n = SIZES[(i + 5) % SIZES.length];
    for (let transposed = 0; transposed < 4; transposed++) {
      stacks<T>(m, k, n, transposed, false);
      stacks<T>(m, k, n, transposed, true);
    }
  }
}

describe("graph: matmul", () => {
  test("stacks of every size f64", () => sizes<f64>());
  test("stacks of every size f32", () => sizes<f32>());
});
