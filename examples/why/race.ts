// RNN, LSTM and GRU on one task: the same sizes, seeds, batches and optimizer, a step of each in turn.

import {
  Adam,
  clipGradNorm,
  crossEntropy,
  type FloatDtype,
  GRU,
  Linear,
  LSTM,
  mse,
  type Parameter,
  Random,
  RNN,
  type Tensor,
} from "../../src/index.js";
import { normsBack, type Recurrent } from "../browser/fading.js";
import type { Batch, Task } from "./tasks.js";

export const CELLS = ["RNN", "LSTM", "GRU"] as const;
export type Cell = (typeof CELLS)[number];

const UNITS = 32;
const ROWS = 32;
const RATE = 0.01;
/** A score from which on a task is solved, and steps over which it is measured. */
export const SOLVED = 0.95;
const MEASURED = 20;

/** How one cell stands. */
export interface Standing {
  cell: Cell;
  /** Of the latest step. */
  loss: number;
  /** 0 for a guess, 1 for all right: over the latest steps. */
  score: number;
  tells: string;
  /** The step at which the score reached SOLVED; undefined while it has not. */
  solvedAt: number | undefined;
}

class Runner {
  readonly #recurrent: Recurrent;
  readonly #head: Linear<FloatDtype>;
  readonly #parameters: Parameter[];
  readonly #adam: Adam;
  #recent: { loss: number; right: number }[] = [];
  #solvedAt: number | undefined;
  #latest: Batch | undefined;

  constructor(
    readonly cell: Cell,
    private readonly task: Task,
    gap: number,
    seed: number,
  ) {
    const options = { dtype: "f32", seed } as const;
    this.#recurrent = new { RNN, LSTM, GRU }[cell](task.inputs, UNITS, options);
    if (cell !== "RNN") keepFor(this.#recurrent, gap);
    this.#head = new Linear(UNITS, task.outputs, { ...options, seed: seed + 1 });
    this.#parameters = [...this.#recurrent.parameters(), ...this.#head.parameters()];
    this.#adam = new Adam(this.#parameters, { lr: RATE });
  }

  advance(batch: Batch, step: number): void {
    this.#latest = batch;
    const { hn } = this.#recurrent.forward(batch.x);
    const last = { data: hn.data, shape: [ROWS, UNITS] };
    const { output } = this.#head.forward(last);
    const { loss, right, gradient } = judge(output, batch.y);
    this.#adam.zeroGrad();
    const dh = this.#head.backward({ output: gradient }).x;
    this.#recurrent.backward({ hn: { data: dh.data, shape: [1, ROWS, UNITS] } });
    clipGradNorm(this.#parameters, 1);
    this.#adam.step();
    this.#recent = [...this.#recent, { loss, right }].slice(-MEASURED);
    if (this.#recent.length === MEASURED && this.standing.score >= SOLVED) this.#solvedAt ??= step;
  }

  get standing(): Standing {
    const mean = (of: "loss" | "right") => this.#recent.reduce((sum, each) => sum + each[of], 0) / this.#recent.length;
    const measured = { loss: mean("loss"), right: mean("right") };
    return {
      cell: this.cell,
      loss: this.#recent.at(-1)!.loss,
      score: Math.max(0, Math.min(1, this.task.score(measured))),
      tells: this.task.tell(measured),
      solvedAt: this.#solvedAt,
    };
  }

  /** By steps back: what is left of the gradient of the latest answer. */
  norms(): number[] {
    const { x, y } = this.#latest!;
    const [steps, , width] = x.shape;
    const inputs = Array.from({ length: steps }, (_, t) => ({
      data: x.data.subarray(t * ROWS * width, (t + 1) * ROWS * width),
      shape: [1, ROWS, width],
    }));
    return normsBack(this.#recurrent, inputs, (h) => {
      const { output } = this.#head.forward({ data: h.data, shape: [ROWS, UNITS] });
      const { data } = this.#head.backward({ output: judge(output, y).gradient }).x;
      return { data, shape: [1, ROWS, UNITS] };
    });
  }

  dispose(): void {
    this.#adam.dispose();
    this.#recurrent.dispose();
    this.#head.dispose();
  }
}

/**
 * Biases with which the forget gates of an LSTM, or the update gates of a GRU, keep a state for about so many steps: Tallec and Ollivier
 * 2018 (https://arxiv.org/abs/1804.11188). Both gates are the second of their cell's order.
 */
function keepFor(layer: Recurrent, steps: number): void {
  const dict = layer.stateDict();
  dict.bias_ih_l0!.data.fill(Math.log(steps + 1), UNITS, 2 * UNITS);
  layer.loadStateDict(dict);
}

function judge(output: Tensor, y: Batch["y"]) {
  if (y.data instanceof Float32Array) {
    const { loss, dPrediction } = mse(output, y);
    return { loss, right: 0, gradient: dPrediction };
  }
  const { loss, dLogits } = crossEntropy(output, y);
  const classes = output.shape[1]!;
  let right = 0;
  y.data.forEach((answer, n) => {
    const own = output.data.subarray(n * classes, (n + 1) * classes);
    if (own.every((value) => value <= own[answer]!)) right += 1 / y.data.length;
  });
  return { loss, right, gradient: dLogits };
}

export class Race {
  step = 0;
  readonly #runners: Runner[];
  readonly #random: Random;

  constructor(
    readonly task: Task,
    readonly gap: number,
    seed: number,
  ) {
    this.#runners = CELLS.map((cell) => new Runner(cell, task, gap, seed));
    this.#random = new Random(seed);
  }

  /** One step of each on the same batch. */
  advance(): void {
    this.step++;
    const batch = this.task.batch(this.gap, ROWS, this.#random);
    for (const runner of this.#runners) runner.advance(batch, this.step);
  }

  get standings(): Standing[] {
    return this.#runners.map(({ standing }) => standing);
  }

  norms(): { cell: Cell; norms: number[] }[] {
    return this.#runners.map((runner) => ({ cell: runner.cell, norms: runner.norms() }));
  }

  dispose(): void {
    for (const runner of this.#runners) runner.dispose();
  }
}
