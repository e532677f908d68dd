// Masks of dropout.

import { ValueError } from "../../bindings/errors.js";
import { describe, type TensorData } from "../../bindings/tensor.js";
import type { Random } from "./random.js";

export function checkProbability(argument: string, p: number): void {
  if (typeof p !== "number" || !(p >= 0 && p <= 1))
    throw new ValueError(argument, describe(p), `0 <= ${argument} <= 1`);
}

/** Fills a mask: 0 with probability p, else 1 / (1 - p). One draw of 32 bits for each number; none for p = 0. */
export function fillMask(data: TensorData, p: number, random: Random): void {
  const threshold = p * 2 ** 32;
  const kept = p === 1 ? 0 : 1 / (1 - p);
  if (p === 0) data.fill(1);
  // a product: a branch takes twice the time
  else for (let i = 0; i < data.length; i++) data[i] = Number(random.uint32() >= threshold) * kept;
}
