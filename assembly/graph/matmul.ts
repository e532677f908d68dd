// Matrix products of stacks of matrices, whose leading axes broadcast.

import { gemm, gemmPacked, OVERWRITE, packWeight } from "../gemm/gemm";
import { bytes } from "../simd";

/** Arguments of `matmul`. */
@unmanaged
export class Product {
  /** in: matrices [m,k]; element (i, j) is number i * aRow + j * aColumn. */
  a: usize;
  /** in: matrices [k,n]; element (i, j) is number i * bRow + j * bColumn. */
  b: usize;
  /** b as `matmulPack` packs it, one matrix for all of a, whose rows are dense then; or 0. */
  panels: usize;
  /** in: [n], that each row starts from; or 0: zeros. */
  bias: usize;
  /** out: matrices [m,n], dense, one after the other; must not overlap a or b. */
  out: usize;
  /** in: [rank,4] i32, outermost axis first: length (>= 1), and how many numbers apart the matrices of a and of b are. */
  axes: usize;
  /** >= 1. */
  rank: i32;
  m: i32;
  n: i32;
  /** >= 1. */
  k: i32;
  aRow: i32;
  aColumn: i32;
  bRow: i32;
  bColumn: i32;
}

function walk<T>(s: Product, rank: i32, axis: usize, a: usize, b: usize, out: usize): usize {
  const length = load<i32>(axis);
  for (let i = 0; i < length; i++) {
    if (rank > 1) {
      out = walk<T>(s, rank - 1, axis + 16, a, b, out);
    } else {
      const start = s.bias ? s.bias : OVERWRITE;
      if (s.panels) gemmPacked<T>(s.m, s.n, s.k, a, s.aRow, s.panels, start, out, s.n);
      else gemm<T>(s.m, s.n, s.k, a, s.aRow, s.aColumn, b, s.bRow, s.bColumn, start, out, s.n);
      out += <usize>s.m * bytes<T>(s.n);
    }
    a += bytes<T>(load<i32>(axis, 4));
    b += bytes<T>(load<i32>(axis, 8));
  }
  return out;
}

/** Packs b, one matrix for all of a, whose rows are dense. */
export function matmulPack<T>(s: Product): void {
  packWeight<T>(s.k, s.n, s.b, s.bRow, s.bColumn, s.panels);
}

/** out = bias + a b. */
export function matmul<T>(s: Product): void {
  walk<T>(s, s.rank, s.axes, s.a, s.b, s.out);
}
