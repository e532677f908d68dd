// One pass of modified Gram-Schmidt. Random numbers, norms and the order of passes are in src/nn/init.ts.

/**
 * Subtracts from two vectors p their projections on the orthonormal vectors v_0, v_1 ..., one after the other:
 *
 *   p -= (p v_k) v_k
 *
 * The time goes into the sums p v_k, each a chain of additions in one order (the bits of a plain loop, in both builds). So
 * the two vectors run side by side, and the loop that subtracts one projection sums the next product.
 *
 *   vectors  in: [count,n], f64
 *   pairs    in/out: [n,2], f64, the two vectors interleaved
 */
export function project(count: i32, n: i32, vectors: usize, pairs: usize): void {
  if (count == 0) return;
  const bytes = (<usize>n) << 3;
  let share = f64x2.splat(0);
  for (let i: usize = 0; i < bytes; i += 8) {
    share = f64x2.add(share, f64x2.mul(v128.load(pairs + 2 * i), v128.load64_splat(vectors + i)));
  }
  for (let k = 1; k < count; k++) {
    const v = vectors + bytes;
    let next = f64x2.splat(0);
    for (let i: usize = 0; i < bytes; i += 8) {
      const p = f64x2.sub(v128.load(pairs + 2 * i), f64x2.mul(share, v128.load64_splat(vectors + i)));
      v128.store(pairs + 2 * i, p);
      next = f64x2.add(next, f64x2.mul(p, v128.load64_splat(v + i)));
    }
    share = next;
    vectors = v;
  }
  for (let i: usize = 0; i < bytes; i += 8) {
    const p = f64x2.sub(v128.load(pairs + 2 * i), f64x2.mul(share, v128.load64_splat(vectors + i)));
    v128.store(pairs + 2 * i, p);
  }
}
