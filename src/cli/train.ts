// wasm-rnn train: runs a training, new or resumed, until it ends or is asked to stop, and saves it. setup.ts sets it up,
// train/trainer.ts computes, progress.ts prints.

import { basename } from "node:path";
import { ThreadError } from "../../bindings/errors.js";
import { stopThreads } from "../../bindings/threads.js";
import { ShardedTrainer } from "../train/sharded-trainer.js";
import type { Transport } from "../train/shards.js";
import type { StepResult } from "../train/trainer.js";
import { nextTurn } from "../train/turns.js";
import { lossCurve } from "./chart.js";
import { CliError, messageOf } from "./errors.js";
import { escapeControls, shellWord } from "./escape.js";
import { outputError } from "./output.js";
import { holds } from "./outputs.js";
import { makeReporter, type Reporter } from "./progress.js";
import { checkComputers, openTransport, workersFor } from "./queue.js";
import { beginTraining, describeTraining, resumeTraining, type TrainOptions, type Training } from "./setup.js";
import { writeState } from "./state-file.js";
import { StopRequest } from "./stop.js";
import { startedThreads, threadsFor, type Work } from "./threads.js";

/** Runs the command; `text` is optional with `options.resume`. Returns the exit code. */
export async function train(text: string | undefined, options: TrainOptions): Promise<number> {
  const stop = new StopRequest();
  const reporter = makeReporter(options.json);
  let training: Training | undefined;
  let transport: Transport | undefined;
  let [workers, threads] = [1, 1];
  const prepare = async (work: Work) => {
    workers = workersFor(options, work.shards);
    if (workers > 0) threads = threadsFor(options.threads, workers, work);
    if (workers === 1) threads = await startedThreads(threads);
    // workers rest while this process evaluates: it may then have all of their threads
    else if (workers > 1) await startedThreads(Math.min(workers * threads, threadsFor(undefined, 1, work)));
  };
  try {
    checkComputers(options);
    const { resume } = options;
    const own = { ...options, prepare };
    training = await (resume === undefined ? beginTraining(text, own) : resumeTraining(resume, text, own));
    for (const note of training.notes) process.stderr.write(`wasm-rnn: ${escapeControls(note)}\n`);
    if (training.trainer instanceof ShardedTrainer) {
      training.trainer.transport = transport = await openTransport(options.queue, training.build, workers, threads);
    }
    reporter.start(describeTraining(training, { workers, threads }));
    await drive(training, options.steps, reporter, stop);
  } finally {
    reporter.close();
    await transport?.close();
    await stopThreads();
    stop.release();
    training?.outputs.release();
    training?.trainer.dispose();
  }
  if (stop.reason === "signal") return 130;
  if (stop.outputError !== undefined) throw outputError(stop.outputError);
  return 0;
}

/** Trains, evaluates and saves until the training is finished, `steps` steps are done, or a stop is requested. */
export async function drive(
  training: Training,
  steps = Infinity,
  reporter: Reporter,
  stop: StopRequest,
): Promise<void> {
  const { trainer, files, outputs } = training;
  const firstStep = trainer.step;
  const alreadyFinished = trainer.finished && !trainer.evaluationDue;
  const started = performance.now();
  let stepTime = 0; // milliseconds in training steps, without evaluations and saves
  const charactersPerSecond = () => (1000 * (trainer.step - firstStep) * trainer.charactersPerStep) / (stepTime || 1);

  for (;;) {
    if (trainer.evaluationDue) {
      if (!(await evaluate(training, reporter, stop))) break;
      await save(training, reporter);
    }
    if (trainer.finished || trainer.step - firstStep >= steps || stop.reason !== undefined) break;
    const { epoch } = trainer.position;
    const before = performance.now();
    let results: StepResult[];
    try {
      results = await trainer.advanceRound();
    } catch (error) {
      if (error instanceof ThreadError) throw new CliError(`${messageOf(error)}; ${keptBy(training)}`); // some weights have changed
      // the round was not taken: what came before it need not be lost
      if (savedStepIsOld(training)) await save(training, reporter);
      throw error;
    }
    const now = performance.now();
    stepTime += now - before;
    const { step, totalSteps, recentLoss } = trainer;
    for (const [i, result] of results.entries()) {
      checkFinite(training, result.loss + result.gradNorm);
      const secondsLeft = ((now - started) / 1000 / (step - firstStep)) * (totalSteps - step);
      reporter.step({
        step: step - results.length + 1 + i,
        totalSteps,
        epoch: epoch + 1,
        ...result,
        recentLoss,
        charactersPerSecond: charactersPerSecond(),
        secondsLeft,
      });
    }
    outputs.touch();
    await nextTurn(); // lets signal handlers run
  }

  if (training.savedStep !== trainer.step) await save(training, reporter);
  if (alreadyFinished) {
    const curve = drawCurve(training); // the run that finished may have been killed before it wrote the curve
    if (!holds(outputs.targets.curve, curve)) await outputs.save({ curve });
  }
  const finished = trainer.finished && !trainer.evaluationDue;
  reporter.end({
    reason: alreadyFinished ? "already finished" : finished ? "finished" : "stopped",
    step: trainer.step,
    totalSteps: trainer.totalSteps,
    trainingLoss: trainer.step > 0 ? trainer.recentLoss : undefined,
    validationLoss: trainer.validationLoss?.loss,
    seconds: (performance.now() - started) / 1000,
    charactersPerSecond: charactersPerSecond(),
    files,
    resume: finished ? undefined : `wasm-rnn train --resume ${shellWord(files.model)}`,
  });
}

/** Whether steps have been taken since the files were written. */
function savedStepIsOld({ trainer, savedStep }: Training): boolean {
  return trainer.step > (savedStep ?? 0);
}

/** Reports and records the validation loss and a sample. Returns false, and records nothing, if a stop was requested. */
async function evaluate(training: Training, reporter: Reporter, stop: StopRequest): Promise<boolean> {
  const { trainer, outputs } = training;
  let loss: number | undefined;
  for (loss of trainer.evaluating()) {
    outputs.touch();
    await nextTurn();
    if (stop.reason !== undefined) return false;
  }
  if (loss !== undefined) {
    checkFinite(training, loss);
    reporter.evaluation(trainer.step, loss);
  }
  trainer.noteEvaluation(loss);
  reporter.sample(trainer.step, trainer.sample());
  return true;
}

/** Throws if a loss is not finite, so that the files keep the last good state. */
function checkFinite(training: Training, value: number): void {
  if (Number.isFinite(value)) return;
  const { trainer } = training;
  const kept = keptBy(training);
  throw new CliError(`step ${trainer.step}: the loss is no longer finite; try a smaller --lr or --clip (${kept})`);
}

function keptBy({ files, savedStep }: Training): string {
  return savedStep === undefined ? "nothing was saved" : `${files.model} holds step ${savedStep}`;
}

/** Writes a checkpoint: state, model and curve. On failure the files keep the previous one, which the error names. */
async function save(training: Training, reporter: Reporter): Promise<void> {
  const { trainer, outputs, files, build, id, origin, text, replaces, savedStep } = training;
  const { step } = trainer;
  const { state, model } = writeState(trainer, {
    build,
    trainingId: id,
    textPath: text.path,
    textSha256: text.sha256,
    origin,
    replaces,
  });
  try {
    await outputs.save({ state, model, curve: drawCurve(training) });
  } catch (error) {
    if (savedStep === undefined) throw error;
    throw new CliError(`${messageOf(error)}; --resume ${files.model} continues from the checkpoint before`);
  }
  training.replaces = undefined;
  training.savedStep = step;
  reporter.saved(step, files);
}

function drawCurve({ trainer, files }: Training): Buffer {
  const title = escapeControls(`${basename(files.model)}: loss by step`);
  return Buffer.from(lossCurve(title, trainer.history));
}
