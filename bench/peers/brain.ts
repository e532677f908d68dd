// brain.js as a contestant. It computes a different network (no cell state, an output layer of D units, weights of its own,
// and training updates them): times can be compared roughly, results cannot.

import { reader, serve } from "../worker.js";

/** The part of its interface that is used; the package is not installed when types are checked. */
interface Brain {
  recurrent: { LSTMTimeStep: new (options: object) => LSTMTimeStep };
}
interface LSTMTimeStep {
  initialize(): void;
  trainPattern(input: Float32Array[]): number;
  runArrayOfArray(input: Float32Array[]): Float32Array;
}

const name = "brain.js";

await serve<unknown>(async (task) => {
  const { op, sizes } = task;
  const { T, D, H } = sizes;
  const brain = (await import(name)) as Brain;
  const net = new brain.recurrent.LSTMTimeStep({ inputSize: D, hiddenLayers: [H], outputSize: D });
  const x = Float32Array.from(reader(task)("x"));
  const sequence = Array.from({ length: T }, (_, t) => x.slice(t * D, (t + 1) * D));
  net.initialize();
  net.trainPattern(sequence); // it does not run untrained
  const call = op === "forward" ? () => net.runArrayOfArray(sequence) : () => net.trainPattern(sequence);
  return { call, results: () => ({}) };
});
