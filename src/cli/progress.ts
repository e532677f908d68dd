// Reports of a training on stdout: a progress bar on a terminal, plain lines elsewhere, JSON for programs. Warnings and errors
// go to stderr, elsewhere.

import { MultiBar, Presets, type SingleBar } from "cli-progress";
import { escapeControls, escapeText, safeJson } from "./escape.js";
import { print } from "./output.js";
import type { OutputPaths } from "./outputs.js";

export interface StartReport {
  text: string;
  characters: number;
  vocabulary: number;
  trainingCharacters: number;
  validationCharacters: number;
  settings: object;
  /** A description of the model. */
  model: string;
  parameters: number;
  variant: string;
  /** Workers that compute shards, and threads of each; 0 workers: those of a queue. */
  workers: number;
  threads: number;
  /** The step that a resumed training continues from; 0 for a new one. */
  step: number;
  totalSteps: number;
}

export interface StepReport {
  step: number;
  totalSteps: number;
  epoch: number;
  /** This step's loss, and its mean over the latest steps, in nats per character. */
  loss: number;
  recentLoss: number;
  gradNorm: number;
  learningRate: number;
  charactersPerSecond: number;
  secondsLeft: number;
}

export interface EndReport {
  /** "already finished": all steps were done before this run. */
  reason: "finished" | "stopped" | "already finished";
  step: number;
  totalSteps: number;
  trainingLoss: number | undefined;
  validationLoss: number | undefined;
  seconds: number;
  charactersPerSecond: number;
  files: OutputPaths;
  /** The command that continues from here. */
  resume: string | undefined;
}

/** The training loop calls start, then step, evaluation, sample and saved any number of times, then end and close. */
export interface Reporter {
  start(report: StartReport): void;
  step(report: StepReport): void;
  evaluation(step: number, loss: number): void;
  sample(step: number, text: string): void;
  saved(step: number, files: OutputPaths): void;
  end(report: EndReport): void;
  /** Restores the terminal. Also called after an error. */
  close(): void;
}

/** Creates the reporter for stdout. */
export function makeReporter(json: boolean): Reporter {
  return json ? new JsonReporter() : process.stdout.isTTY ? new BarReporter() : new LineReporter();
}

/** Converts nats to bits. */
export function bits(nats: number): number {
  return nats / Math.LN2;
}

/** ", 2 workers with 4 threads each" */
function describeThreads({ workers, threads }: Pick<StartReport, "workers" | "threads">): string {
  const each = threads > 1 ? `${threads} threads` : "";
  if (workers > 1) return `, ${workers} workers${each && ` with ${each} each`}`;
  return each && `, ${each}`;
}

/** "2.003 nats, 2.890 bits per character" */
export function describeLoss(nats: number): string {
  return `${nats.toFixed(3)} nats, ${bits(nats).toFixed(3)} bits per character`;
}

/** "1,234,567" */
export function count(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}

/** "1:05", "2:00:09" */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const pad = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${pad(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(whole % 60)}`;
}

/** Prints one JSON object per line, and nothing else. */
class JsonReporter implements Reporter {
  #print(event: string, fields: object): void {
    print(`${safeJson({ event, ...fields })}\n`);
  }

  start(report: StartReport): void {
    this.#print("start", report);
  }

  step({ recentLoss: _, ...report }: StepReport): void {
    this.#print("step", { ...report, bits: bits(report.loss) });
  }

  evaluation(step: number, loss: number): void {
    this.#print("evaluation", { step, loss, bits: bits(loss) });
  }

  sample(step: number, text: string): void {
    this.#print("sample", { step, text });
  }

  saved(step: number, files: OutputPaths): void {
    this.#print("saved", { step, ...files });
  }

  end(report: EndReport): void {
    this.#print("end", report);
  }

  close(): void {}
}

/** Prints plain lines, for steps about one in two seconds. */
class LineReporter implements Reporter {
  #printed = -Infinity;

  protected print(line: string): void {
    print(`${line}\n`);
  }

  start(report: StartReport): void {
    const { characters, vocabulary, validationCharacters, totalSteps } = report;
    this.print(`text: ${escapeControls(report.text)}, ${count(characters)} characters, ${count(vocabulary)} different`);
    this.print(`split: ${count(report.trainingCharacters)} to train on, ${count(validationCharacters)} for validation`);
    this.print(
      `model: ${report.model}, ${count(report.parameters)} parameters, ${report.variant} build${describeThreads(report)}`,
    );
    this.print(`steps: ${count(totalSteps)}${report.step > 0 ? `, continuing after step ${count(report.step)}` : ""}`);
  }

  step(report: StepReport): void {
    const now = performance.now();
    if (now - this.#printed < 2000 && report.step < report.totalSteps) return;
    this.#printed = now;
    const { step, totalSteps } = report;
    const percent = Math.floor((100 * step) / totalSteps);
    const speed = `${count(report.charactersPerSecond)} chars/s, ${duration(report.secondsLeft)} left`;
    this.print(`step ${step}/${totalSteps} (${percent}%): loss ${describeLoss(report.recentLoss)}, ${speed}`);
  }

  evaluation(step: number, loss: number): void {
    this.print(`step ${step}: validation loss ${describeLoss(loss)}`);
  }

  sample(step: number, text: string): void {
    const shown = process.stdout.isTTY ? escapeText(text.replaceAll("\r\n", "\n")) : text;
    this.print(`step ${step}: sample\n${shown.replace(/^/gm, "    | ")}`);
  }

  saved(): void {}

  end(report: EndReport): void {
    this.close();
    const { step, totalSteps, validationLoss, files } = report;
    if (report.reason === "already finished") {
      this.print(`already finished: all ${totalSteps} steps are done (a larger --epochs continues)`);
      return;
    }
    const speed = `${duration(report.seconds)}, ${count(report.charactersPerSecond)} chars/s`;
    this.print(`${report.reason} after step ${step} of ${totalSteps} (${speed})`);
    if (report.trainingLoss !== undefined) this.print(`training loss ${describeLoss(report.trainingLoss)}`);
    if (validationLoss !== undefined) this.print(`validation loss ${describeLoss(validationLoss)}`);
    this.print(`files: ${[files.model, files.state, files.curve].map(escapeControls).join(", ")}`);
    if (report.resume !== undefined) this.print(`continue with: ${report.resume}`);
  }

  close(): void {}
}

/** Prints a progress bar for the steps, and everything else as lines above it. */
class BarReporter extends LineReporter {
  readonly #bars = new MultiBar(
    {
      stream: process.stdout,
      format: "{bar} {value}/{total} | {loss} nats, {bits} bits/char | {speed} chars/s | {left} left",
      barsize: 12, // 80 columns with the other fields
      fps: 5,
      gracefulExit: false, // stop.ts handles signals
    },
    Presets.shades_classic,
  );
  #bar: SingleBar | undefined;

  protected override print(line: string): void {
    if (this.#bar === undefined) super.print(line);
    else this.#bars.log(`\x1b[?7h${line}\x1b[?7l\n`); // the bars switch off line wrapping
  }

  override start(report: StartReport): void {
    super.start(report);
    const fields = { loss: "-", bits: "-", speed: "-", left: "-" };
    this.#bar = this.#bars.create(report.totalSteps, report.step, fields);
  }

  override step(report: StepReport): void {
    this.#bar?.update(report.step, {
      loss: report.recentLoss.toFixed(3),
      bits: bits(report.recentLoss).toFixed(3),
      speed: count(report.charactersPerSecond),
      left: duration(report.secondsLeft),
    });
  }

  override close(): void {
    if (this.#bar === undefined) return;
    this.#bar = undefined;
    this.#bars.update(); // prints the queued lines
    this.#bars.stop();
  }
}
