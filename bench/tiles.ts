// Micro-kernels of other shapes than that of assembly/gemm/microkernel.ts, to find the fastest for an engine: rows x vectors of
// accumulators, on panels in L1. Their source is generated here, since they differ in the counts alone.

import { mkdirSync, writeFileSync } from "node:fs";
import { instantiate, type Dtype, type Variant } from "./peak.js";

/** Steps of k: KC of assembly/gemm/gemm.ts. */
const K = 256;
const CALLS = 100;
const SHAPES = [
  [4, 2],
  [5, 2],
  [6, 2],
  [3, 3],
  [3, 4],
  [2, 4],
] as const;

function source(): string {
  const lines = [
    "// @ts-ignore: decorator",
    "@inline",
    "function madd<T>(a: v128, b: v128, c: v128): v128 {",
    "  if (ASC_FEATURE_RELAXED_SIMD) return v128.relaxed_madd<T>(a, b, c);",
    "  return v128.add<T>(v128.mul<T>(a, b), c);",
    "}",
  ];
  for (const [rows, vectors] of SHAPES) {
    const each = (count: number, line: (i: number) => string) =>
      Array.from({ length: count }, (_, i) => line(i)).join("");
    const all = (line: (i: number, j: number) => string) => each(rows, (i) => each(vectors, (j) => line(i, j)));
    for (const [type, size] of [
      ["f64", 8],
      ["f32", 4],
    ] as const) {
      lines.push(
        `export function tile${rows}x${vectors}_${type}(k: i32, a: usize, b: usize, c: usize): void {`,
        all((i, j) => `let c${i}${j} = v128.load(c, ${16 * (i * vectors + j)});`),
        "do {",
        each(vectors, (j) => `const b${j} = v128.load(b, ${16 * j});`),
        each(rows, (i) => {
          const products = each(vectors, (j) => `c${i}${j} = madd<${type}>(a${i}, b${j}, c${i}${j});`);
          return `const a${i} = v128.load${8 * size}_splat(a + ${size * i}); ${products}\n`;
        }),
        `a += ${size * rows}; b += ${16 * vectors};`,
        "} while (--k);",
        all((i, j) => `v128.store(c, c${i}${j}, ${16 * (i * vectors + j)});`),
        "}",
      );
    }
  }
  return lines.join("\n");
}

export interface Tile {
  name: string;
  flops: number;
  run: () => void;
}

/** The tiles of a build, compiled. */
export function tilesOf(variant: Variant): (dtype: Dtype) => Tile[] {
  mkdirSync("build", { recursive: true });
  writeFileSync("build/tiles.ts", source());
  const exports = instantiate<Record<string, (k: number, a: number, b: number, c: number) => void>>(
    "build/tiles.ts",
    variant,
  );
  return (dtype) =>
    SHAPES.map(([rows, vectors]) => {
      const kernel = exports[`tile${rows}x${vectors}_${dtype}`]!;
      return {
        name: `tile ${rows} x ${vectors}`,
        flops: CALLS * K * rows * vectors * 2 * (dtype === "f64" ? 2 : 4),
        run: () => {
          for (let i = 0; i < CALLS; i++) kernel(K, 4096, 20480, 1024);
        },
      };
    });
}
