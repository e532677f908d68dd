// wasm-rnn sweep: trains character models with many settings. Each trial is a training with the files of train, so that it can be
// resumed; trials run side by side, each as jobs of some steps, in threads of this machine or on a queue.

import { existsSync, mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { stopThreads } from "../../bindings/threads.js";
import { Random } from "../base/random.js";
import { isRecord, parseJson } from "../formats/json.js";
import { DEFAULTS, isSettings, type Settings } from "../train/settings.js";
import { ShardedTrainer } from "../train/sharded-trainer.js";
import type { Transport } from "../train/shards.js";
import { comparison, type Point } from "./chart.js";
import { chooseBuild, type Variant } from "./build.js";
import { CliError, messageOf, named, usageError } from "./errors.js";
import { escapeControls, safeJson } from "./escape.js";
import { decodeText, readBytes, readText } from "./files.js";
import { print } from "./output.js";
import { describeLoss, type Reporter } from "./progress.js";
import { checkComputers, note, openTransport, type QueueFlags } from "./queue.js";
import { saveFiles } from "./save-files.js";
import { beginTraining, resumeTraining, type Training, type TrainOptions } from "./setup.js";
import { StopRequest } from "./stop.js";
import { startedThreads, threadsFor } from "./threads.js";
import { drive } from "./train.js";

export interface SweepOptions {
  out?: string | undefined;
  trials?: number | undefined;
  seed?: number | undefined;
  /** The best 1/n of the trials go on with n times the steps. */
  halving?: number | undefined;
  stepsPerJob?: number | undefined;
  workers?: number | undefined;
  threads?: number | undefined;
  queue?: QueueFlags | undefined;
  variant?: Variant | undefined;
  json?: boolean | undefined;
}

/** Trials at the same time, where a queue computes them. */
const AT_ONCE = 32;

type Setting = Exclude<keyof Settings, "evalEvery" | "shards" | "localSteps" | "outerMomentum">;

interface Trial {
  /** From 1. */
  readonly number: number;
  readonly settings: Partial<Settings>;
  readonly model: string;
  step: number;
  totalSteps: number;
  losses: Point[];
}

/** Runs the command. Returns the exit code. */
export async function sweep(spacePath: string, textPath: string, options: SweepOptions): Promise<number> {
  const { variant = "auto", queue, workers, json = false, halving, stepsPerJob = 20 } = options;
  checkComputers(options);
  const space = readSpace(spacePath);
  readText(textPath); // its errors come first
  const folder = options.out ?? basename(spacePath).replace(/(?<=.)\.[^.]*$/, "");
  const drawn = trialsOf(space, options);
  if (!existsSync(folder)) named(folder, () => mkdirSync(folder));
  const digits = String(drawn.length).length;
  const trials = drawn.map((settings, i): Trial => {
    const model = join(folder, `${String(i + 1).padStart(digits, "0")}.safetensors`);
    return { number: i + 1, settings, model, step: 0, totalSteps: 0, losses: [] };
  });
  const stop = new StopRequest();
  const build = chooseBuild(variant);
  const atOnce = queue ? AT_ONCE : (workers ?? Math.min(trials.length, availableParallelism()));
  let transport: Transport | undefined;
  try {
    let threads = queue ? 1 : threadsFor(options.threads, atOnce);
    if (atOnce === 1) threads = await startedThreads(threads);
    transport = await openTransport(queue, build, atOnce, threads);
    const report = (trial: Trial, step: number, loss: number) => {
      if (json) print(`${safeJson({ event: "evaluation", trial: trial.number, step, loss })}\n`);
      else print(`trial ${trial.number}: step ${step}/${trial.totalSteps}: validation loss ${describeLoss(loss)}\n`);
    };
    const own = transport;
    let left: readonly Trial[] = trials;
    const rungs = halving === undefined ? 1 : 1 + Math.floor(Math.log2(trials.length) / Math.log2(halving) + 1e-9);
    for (let rung = 1; rung <= rungs && stop.reason === undefined; rung++) {
      const share = (halving ?? 1) ** (rung - rungs);
      const common = { variant, queue, workers, stepsPerJob, json, force: false };
      await inParallel(left, atOnce, (trial) => {
        if (stop.reason !== undefined) return Promise.resolve();
        return run(trial, { path: textPath, share, rungs, halving }, common, own, stop, report);
      });
      left = ranked(left).slice(0, Math.ceil(left.length / (halving ?? 1)));
    }
    if (stop.reason === undefined) await results(folder, basename(spacePath), trials, json);
  } finally {
    await transport?.close();
    await stopThreads();
    stop.release();
  }
  if (stop.reason !== "signal") return 0;
  note("the same command goes on with the trials");
  return 130;
}

/** Trains a trial to its share of the steps. */
async function run(
  trial: Trial,
  { path, share, rungs, halving = 1 }: { path: string; share: number; rungs: number; halving: number | undefined },
  options: Omit<TrainOptions, "settings">,
  transport: Transport,
  stop: StopRequest,
  report: (trial: Trial, step: number, loss: number) => void,
): Promise<void> {
  const { settings, model } = trial;
  let training: Training | undefined;
  try {
    if (existsSync(model) || existsSync(model.replace(/\.safetensors$/, ".state.safetensors"))) {
      training = await resumeTraining(model, path, { ...options, settings: {} });
      const { settings: own } = training.trainer;
      const other = Object.entries(settings).find(
        ([name, value]) => name !== "batch" && own[name as Setting] !== value,
      );
      if (other) throw new CliError(`${model} was trained with another ${other[0]}: choose another --out`);
    } else {
      training = await beginTraining(path, { ...options, settings, out: model });
      // evaluations at the ends of all rungs, at least ten in all
      const rung = Math.max(1, Math.floor(training.trainer.totalSteps / halving ** (rungs - 1)));
      const parts = Math.max(1, Math.ceil((10 * rung) / training.trainer.totalSteps));
      training.trainer.settings.evalEvery = Math.max(1, Math.floor(rung / parts));
    }
    const { trainer } = training;
    if (!(trainer instanceof ShardedTrainer)) throw new CliError(`${model} is no trial`);
    trainer.transport = transport;
    const { evalEvery } = trainer.settings;
    trial.totalSteps = trainer.totalSteps;
    const wanted =
      share === 1
        ? trainer.totalSteps
        : Math.max(evalEvery, Math.floor((share * trainer.totalSteps) / evalEvery) * evalEvery);
    const silent: Reporter = {
      ...{ start: () => {}, step: () => {}, sample: () => {}, saved: () => {}, end: () => {}, close: () => {} },
      evaluation: (step, loss) => report(trial, step, loss),
    };
    if (trainer.step < wanted) await drive(training, wanted - trainer.step, silent, stop);
    trial.step = trainer.step;
    trial.losses = trainer.history.validation.map(({ step, loss }) => [step, loss]);
  } catch (error) {
    throw error instanceof CliError ? error : new CliError(`trial ${trial.number}: ${messageOf(error)}`);
  } finally {
    training?.outputs.release();
    training?.trainer.dispose();
  }
}

/** Runs `work` for each item, for at most `most` at the same time; after an error, for no more. */
async function inParallel<T>(items: readonly T[], most: number, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items];
  let failed = false;
  const lane = async () => {
    for (let item = waiting.shift(); item !== undefined && !failed; item = waiting.shift()) {
      await work(item).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(most, items.length) }, lane));
  const broken = lanes.find((each) => each.status === "rejected");
  if (broken) throw broken.reason as Error;
}

/** The latest loss; trials that went further come first. */
function ranked(trials: readonly Trial[]): Trial[] {
  const lossOf = ({ losses }: Trial) => losses.at(-1)?.[1] ?? Infinity;
  return [...trials].sort(
    (a, b) => b.step / b.totalSteps - a.step / a.totalSteps || lossOf(a) - lossOf(b) || a.number - b.number,
  );
}

/** Prints the results, and writes results.csv and results.svg. */
async function results(folder: string, name: string, trials: readonly Trial[], json: boolean): Promise<void> {
  const order = ranked(trials);
  const names = [...new Set(trials.flatMap(({ settings }) => Object.keys(settings)))] as Setting[];
  const rows = order.map(({ number, step, totalSteps, losses, settings, model }, i) => ({
    rank: i + 1,
    trial: number,
    step,
    total_steps: totalSteps,
    validation_loss: losses.at(-1)?.[1],
    ...Object.fromEntries(names.map((setting) => [setting, settings[setting] ?? ""])),
    model: basename(model),
  }));
  const header = Object.keys(rows[0]!);
  const csv = [header, ...rows.map((row) => Object.values(row))].map((cells) => cells.join(",")).join("\n");
  const svg = comparison(
    escapeControls(`${name}: ${trials.length} trials`),
    order.map(({ losses }) => losses),
  );
  const files = [
    { path: join(folder, "results.csv"), bytes: Buffer.from(`${csv}\n`) },
    { path: join(folder, "results.svg"), bytes: Buffer.from(svg) },
  ];
  await saveFiles(files, [], true);
  if (json) {
    for (const row of rows) print(`${safeJson({ event: "result", ...row })}\n`);
    return;
  }
  const shown = rows.map((row) => ({ ...row, validation_loss: row.validation_loss?.toFixed(4) ?? "" }));
  const widths = header.map((key) =>
    Math.max(key.length, ...shown.map((row) => String(row[key as keyof typeof row]).length)),
  );
  const line = (cells: readonly unknown[]) =>
    `${cells.map((cell, i) => String(cell).padStart(widths[i]!)).join("  ")}\n`;
  print(line(header) + shown.map((row) => line(Object.values(row))).join(""));
  print(`files: ${escapeControls(files.map(({ path }) => path).join(", "))}\n`);
}

/** Values of a setting: fixed ones, or a range to draw from. */
type Values = readonly (string | number)[] | { readonly from: number; readonly to: number; readonly log: boolean };

const WHOLE: ReadonlySet<string> = new Set(["hidden", "layers", "embedding", "seq", "batch", "epochs", "seed"]);

/** Reads the settings to try. */
function readSpace(path: string): ReadonlyMap<Setting, Values> {
  const text = decodeText(path, readBytes(path, "space"), "space");
  const json = named(path, () => parseJson("space", text));
  if (!isRecord(json)) throw new CliError(`${path}: expected an object of settings`);
  const space = new Map<Setting, Values>();
  for (const [name, given] of Object.entries(json)) {
    if (!Object.hasOwn(DEFAULTS, name)) {
      throw new CliError(`${path}: no setting ${JSON.stringify(name)}: expected ${Object.keys(DEFAULTS).join(", ")}`);
    }
    const refuse = (value: unknown): never => {
      throw new CliError(`${path}: ${name} cannot be ${JSON.stringify(value)}`);
    };
    const check = (value: unknown) =>
      isSettings({ ...DEFAULTS, evalEvery: 1, [name]: value }) ? (value as string | number) : refuse(value);
    if (isRecord(given)) {
      const { from, to, log = false, ...rest } = given;
      const isRange = typeof from === "number" && typeof to === "number" && from < to && typeof log === "boolean";
      if (!isRange || Object.keys(rest).length > 0 || (log && from <= 0)) return refuse(given);
      check(from);
      check(to);
      space.set(name as Setting, { from, to, log });
    } else if (Array.isArray(given)) space.set(name as Setting, given.length > 0 ? given.map(check) : refuse(given));
    else space.set(name as Setting, [check(given)]);
  }
  return space;
}

/** The settings of all trials: each combination once, or as many draws as are wanted. */
function trialsOf(space: ReadonlyMap<Setting, Values>, { trials, seed = 1 }: SweepOptions): Partial<Settings>[] {
  if (trials === undefined) {
    let grid: Partial<Settings>[] = [{}];
    for (const [name, values] of space) {
      if (!Array.isArray(values)) throw usageError(`${name} is a range: say with --trials how many to draw`);
      grid = grid.flatMap((settings) =>
        (values as readonly unknown[]).map((value) => ({ ...settings, [name]: value })),
      );
      if (grid.length > 10_000) throw usageError("the grid has more than 10,000 trials: draw some with --trials");
    }
    return grid;
  }
  const random = new Random(seed);
  return Array.from({ length: trials }, () =>
    Object.fromEntries(Array.from(space, ([name, values]) => [name, draw(name, values, random)])),
  );
}

function draw(name: Setting, values: Values, random: Random): string | number {
  const u = random.uniform();
  if (!("from" in values)) return values[Math.floor(u * values.length)]!;
  const { from, to, log } = values;
  if (WHOLE.has(name) && !log) return Math.floor(from + u * (to - from + 1));
  const value = log ? from * 2 ** (u * Math.log2(to / from)) : from + u * (to - from);
  // of few digits: engines may differ in the last ones
  return WHOLE.has(name) ? Math.round(value) : Number(value.toPrecision(3));
}
