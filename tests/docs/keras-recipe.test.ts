// The recipe of docs/guides/from-keras.md, on weights of every layout that Keras has: what it makes of CuDNN's is what it
// makes of the plain layer's that Keras itself converts them to.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { GRU, LSTM, RNN, type Tensor } from "../../src/index.js";
import { wave } from "../helpers/tensors.js";

type Recipe = (kind: "RNN" | "LSTM" | "GRU", weights: Tensor[], suffix?: string) => Record<string, Tensor>;

let fromKeras: Recipe;

beforeAll(async () => {
  const guide = readFileSync(fileURLToPath(new URL("../../docs/guides/from-keras.md", import.meta.url)), "utf8");
  const [, code] = /^```js file=keras\.js\n([^]*?)^```$/m.exec(guide)!;
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-keras-"));
  try {
    writeFileSync(join(folder, "keras.mjs"), code!);
    const url = pathToFileURL(join(folder, "keras.mjs")).href;
    ({ fromKeras } = (await import(/* @vite-ignore */ url)) as { fromKeras: Recipe });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const [D, H] = [3, 2];
const GATES = { RNN: 1, LSTM: 4, GRU: 3 } as const;

/**
 * The plain kernel of a CuDNN layer's, as Keras converts it (transform_kernels of keras/engine/saving.py): for each gate's
 * columns k, k.T reshaped to the shape of k in Fortran's order; of the recurrent kernel k.T.
 */
function plain({ data, shape }: Tensor, gates: number, recurrent: boolean): Tensor {
  const [rows, columns] = shape as [number, number];
  const size = columns / gates;
  const out = data.slice();
  for (let gate = 0; gate < gates; gate++) {
    const at = (row: number, column: number) => row * columns + gate * size + column;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < size; column++) {
        if (recurrent) out[at(row, column)] = data[at(column, row)]!;
        else {
          // k.T, [size,rows], read and written column by column: the n-th number of k row by row goes to the n-th place
          const n = column * rows + row;
          out[at(row, column)] = data[at(Math.floor(n / size), n % size)]!;
        }
      }
    }
  }
  return { data: out, shape };
}

const weightsOf = (kind: "RNN" | "LSTM" | "GRU", bias?: number[]) => [
  wave([D, GATES[kind] * H], "f32", 1),
  wave([H, GATES[kind] * H], "f32", 2),
  ...(bias ? [wave(bias, "f32", 3)] : []),
];

describe("U15: CuDNN weights are recognised by the bias's shape, and converted", () => {
  test("LSTM", () => {
    const [kernel, recurrent, bias] = weightsOf("LSTM", [8 * H]) as [Tensor, Tensor, Tensor];
    const both = fromKeras("LSTM", [kernel, recurrent, bias]);
    const none = { data: new Float32Array(4 * H), shape: [4 * H] };
    const part = (from: number) => ({ data: bias.data.slice(from, from + 4 * H), shape: [4 * H] });
    const converted = [plain(kernel, 4, false), plain(recurrent, 4, true)];
    expect(both).toEqual({
      ...fromKeras("LSTM", [...converted, none]),
      bias_ih_l0: part(0),
      bias_hh_l0: part(4 * H),
    });
    using lstm = new LSTM(D, H, { dtype: "f32" });
    lstm.loadStateDict(both);
  });

  test("GRU", () => {
    const [kernel, recurrent, bias] = weightsOf("GRU", [6 * H]) as [Tensor, Tensor, Tensor];
    const converted = [plain(kernel, 3, false), plain(recurrent, 3, true), { data: bias.data, shape: [2, 3 * H] }];
    const both = fromKeras("GRU", [kernel, recurrent, bias], "l0_reverse");
    expect(both).toEqual(fromKeras("GRU", converted, "l0_reverse"));
    expect(Object.keys(both)).toHaveLength(4);
  });

  test("a state_dict for every plain layout", () => {
    for (const [kind, bias] of [
      ["RNN", [H]],
      ["RNN", undefined],
      ["LSTM", [4 * H]],
      ["LSTM", undefined],
      ["GRU", [2, 3 * H]],
      ["GRU", [3 * H]],
      ["GRU", undefined],
    ] as const) {
      using layer = new { RNN, LSTM, GRU }[kind](D, H, { dtype: "f32", bias: bias !== undefined });
      layer.loadStateDict(fromKeras(kind, weightsOf(kind, bias && [...bias])));
    }
  });

  test("any other shape is refused", () => {
    const refused = (kind: "RNN" | "LSTM" | "GRU", weights: Tensor[]) =>
      expect(() => fromKeras(kind, weights)).toThrow(
        `are not the kernel, recurrent kernel and bias of a Keras ${kind}`,
      );
    for (const bias of [[2 * H], [2, H], [H - 1], [1]]) refused("RNN", weightsOf("RNN", bias));
    for (const bias of [[2, 4 * H], [12 * H], [3 * H], [1, 4 * H]]) refused("LSTM", weightsOf("LSTM", bias));
    for (const bias of [[3, 3 * H], [4 * H], [9 * H], [1, 6 * H]]) refused("GRU", weightsOf("GRU", bias));
    refused("GRU", weightsOf("LSTM", [4 * H]));
    refused("LSTM", weightsOf("GRU", [3 * H]));
  });
});
