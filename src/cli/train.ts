// wasm-rnn train: runs a training, new or resumed, until it ends or is asked to stop, and saves it. setup.ts sets it up,
// train/trainer.ts computes, progress.ts prints.

import { basename } from "node:path";
import { nextTurn } from "../train/turns.js";
import { lossCurve } from "./chart.js";
import { CliError, messageOf } from "./errors.js";
import { escapeControls, shellWord } from "./escape.js";
import { outputError } from "./output.js";
import { holds } from "./outputs.js";
import { makeReporter, type Reporter } from "./progress.js";
import { beginTraining, describeTraining, resumeTraining, type TrainOptions, type Training } from "./setup.js";
import { writeState } from "./state-file.js";
import { StopRequest } from "./stop.js";

/** Runs the command; `text` is optional with `options.resume`. Returns the exit code. */
export async function train(text: string | undefined, options: TrainOptions): Promise<number> {
  const stop = new StopRequest();
  const reporter = makeReporter(options.json);
  let training: Training | undefined;
  try {
    training =
      options.resume === undefined ? beginTraining(text, options) : await resumeTraining(options.resume, text, options);
    for (const note of training.notes) process.stderr.write(`wasm-rnn: ${escapeControls(note)}\n`);
    reporter.start(describeTraining(training));
    await drive(training, options.steps, reporter, stop);
  } finally {
    reporter.close();
    stop.release();
    training?.outputs.release();
    training?.trainer.dispose();
  }
  if (stop.reason === "signal") return 130;
  if (stop.outputError !== undefined) throw outputError(stop.outputError);
  return 0;
}

/** Trains, evaluates and saves until the training is finished, `steps` steps are done, or a stop is requested. */
async function drive(training: Training, steps = Infinity, reporter: Reporter, stop: StopRequest): Promise<void> {
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
    const result = trainer.advance();
    const now = performance.now();
    stepTime += now - before;
    checkFinite(training, result.loss + result.gradNorm);
    const { step, totalSteps, recentLoss } = trainer;
    const secondsLeft = ((now - started) / 1000 / (step - firstStep)) * (totalSteps - step);
    reporter.step({
      step,
      totalSteps,
      epoch: epoch + 1,
      ...result,
      recentLoss,
      charactersPerSecond: charactersPerSecond(),
      secondsLeft,
    });
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
function checkFinite({ trainer, files, savedStep }: Training, value: number): void {
  if (Number.isFinite(value)) return;
  const kept = savedStep === undefined ? "nothing was saved" : `${files.model} holds step ${savedStep}`;
  throw new CliError(`step ${trainer.step}: the loss is no longer finite; try a smaller --lr or --clip (${kept})`);
}

/** Writes a checkpoint: state, model and curve. On failure the files keep the previous one, which the error names. */
async function save(training: Training, reporter: Reporter): Promise<void> {
  const { trainer, outputs, files, build, id, text, replaces, savedStep } = training;
  const { step } = trainer;
  const { state, model } = writeState(trainer, {
    build,
    trainingId: id,
    textPath: text.path,
    textSha256: text.sha256,
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
