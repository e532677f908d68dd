// The sizes measured, and the count of their floating-point operations.

/** Sizes of a sequence: N rows, T steps, D inputs, H units. */
export interface Sizes {
  readonly N: number;
  readonly T: number;
  readonly D: number;
  readonly H: number;
}

export const CASES: Readonly<Record<string, Sizes>> = {
  tiny: { N: 1, T: 32, D: 16, H: 32 },
  small: { N: 10, T: 50, D: 32, H: 64 },
  medium: { N: 32, T: 64, D: 128, H: 256 },
  large: { N: 64, T: 100, D: 256, H: 512 },
};

/** One step of layer.stream(). */
export const STREAM: Sizes = { N: 1, T: 1, D: 64, H: 128 };

/** The sizes of the Coursera exercise. */
export const COURSE: Sizes = { N: 10, T: 7, D: 3, H: 5 };

/** A training step of a character model. */
export const CHARLM = { N: 50, T: 50, vocabulary: 65, layers: 2, H: 128 };

/** Toy sizes, for a test that the scripts run. */
export const TOY: Sizes = { N: 2, T: 3, D: 4, H: 5 };

/** M, N, K of products [M,K] [K,N]. */
export const GEMMS: readonly (readonly [number, number, number])[] = [
  [32, 128, 128],
  [32, 1024, 256],
  [64, 2048, 512],
  [512, 512, 512],
  [2048, 1024, 128],
];

/** 2 N T G H (D + H) for a forward pass, G = 4 (LSTM), 3 (GRU) or 1 (RNN); three times that with backward, dx included. */
export function flops(gates: number, { N, T, D, H }: Sizes, backward: boolean): number {
  return 2 * N * T * gates * H * (D + H) * (backward ? 3 : 1);
}

/** Small layers, to see whether the cost of a step and row stays the same as T and N grow. */
export const SCALING: readonly Sizes[] = [
  ...[10, 30, 100, 300, 1000, 3000, 10_000].map((T) => ({ N: 1, T, D: 16, H: 32 })),
  ...[1, 2, 4, 8, 16, 32, 64, 128, 256].map((N) => ({ N, T: 50, D: 16, H: 32 })),
];

/** Sizes for wasm-rnn and its peers, through the layer; `stream` is one step with carried state. */
export const PEER_CASES: Readonly<Record<string, Sizes>> = { ...CASES, course: COURSE, stream: STREAM };
export const TOY_PEER_CASES: Readonly<Record<string, Sizes>> = {
  tiny: { ...TOY, N: 1 },
  stream: { ...TOY, N: 1, T: 1 },
};
