// Scratch for the tests that compute products: importing this file sets it.

import { scratchBytes, setScratch } from "../gemm/gemm";

const block = new StaticArray<u8>(<i32>scratchBytes());

export const scratch = changetype<usize>(block);
setScratch(scratch, true);
