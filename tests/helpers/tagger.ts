// A model of several layers for tests of training, written as users write one: embedding, two LSTM layers with dropout, dropout, linear.
import { Dropout, Embedding, Linear, LSTM, type FloatDtype, type Parameter, type Tensor } from "../../src/index.js";
import { batches, type BatchesOptions, type Sample } from "../../src/train.js";

export const SYMBOLS = 6;

/** Predicts a class at each step of a sequence of symbols. */
export class Tagger<D extends FloatDtype = "f64"> {
  readonly embedding: Embedding<D>;
  readonly lstm: LSTM<D>;
  readonly dropout: Dropout<D>;
  readonly linear: Linear<D>;

  constructor({ dtype = "f64" as D, seed = 1, dropout = 0.3 } = {}) {
    this.embedding = new Embedding(SYMBOLS, 4, { dtype, seed });
    this.lstm = new LSTM(4, 7, { dtype, seed, numLayers: 2, dropout, recurrentDropout: dropout });
    this.dropout = new Dropout(dropout, { dtype, seed });
    this.linear = new Linear(7, SYMBOLS, { dtype, seed });
  }

  get parts() {
    const { embedding, lstm, dropout, linear } = this;
    return { embedding, lstm, dropout, linear };
  }

  forward(x: Tensor, { lengths }: { lengths?: readonly number[] | undefined } = {}): { output: Tensor } {
    const embedded = this.embedding.forward(x).output;
    const { output } = this.lstm.forward(embedded, { lengths });
    return this.linear.forward(this.dropout.forward(output).output);
  }

  parameters(): Parameter[] {
    return Object.entries(this.parts).flatMap(([prefix, part]) =>
      part.parameters().map((parameter): Parameter => ({ ...parameter, name: `${prefix}.${parameter.name}` })),
    );
  }

  stateDict(): Record<string, Tensor> {
    return Object.fromEntries(
      Object.entries(this.parts).flatMap(([prefix, part]) =>
        Object.entries<Tensor>(part.stateDict()).map(([name, value]) => [`${prefix}.${name}`, value]),
      ),
    );
  }

  loadStateDict(dict: Readonly<Record<string, Tensor>>): void {
    for (const [prefix, part] of Object.entries(this.parts)) {
      const own = Object.entries(dict).filter(([name]) => name.startsWith(`${prefix}.`));
      part.loadStateDict(Object.fromEntries(own.map(([name, value]) => [name.slice(prefix.length + 1), value])));
    }
  }

  train(): this {
    for (const part of Object.values(this.parts)) part.train();
    return this;
  }

  eval(): this {
    for (const part of Object.values(this.parts)) part.eval();
    return this;
  }
}

/** Sequences of differing lengths; the class of a step is the symbol of the step before. */
export function echoes(count: number): Sample[] {
  return Array.from({ length: count }, (_, i) => {
    const x = Int32Array.from({ length: 1 + ((i * 5) % 7) }, (_, t) => (i * 7 + t * t * 3 + t) % SYMBOLS);
    const y = Int32Array.from(x, (_, t) => x[t - 1] ?? 0);
    return { x, y: { data: y, shape: [y.length] } };
  });
}

/** `echoes` in shuffled buckets. */
export function echoBatches(count: number, options: Partial<BatchesOptions> = {}) {
  return batches(echoes(count), { batchSize: 4, shuffle: true, seed: 5, bucket: 2, ...options });
}
