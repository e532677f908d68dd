// Scratch for the tests that compute products: importing this file sets it.

import { gemmScratchBytes, setGemmScratch } from "../gemm/gemm";

const block = new StaticArray<u8>(<i32>gemmScratchBytes());

export const scratch = changetype<usize>(block);
setGemmScratch(scratch);
