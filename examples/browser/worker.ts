// The worker: owns the training, runs it in slices between which messages are heard, and answers the page. An error in
// a request is answered by a message, and changes nothing.

import { buildInfo, configure, OutOfMemoryError, Random, readCharLM, type CharLMCell } from "../../src/index.js";
import { nextTurn } from "../../src/train/turns.js";
import { readActivations } from "./activations.js";
import { useAllCores } from "./cores.js";
import { fading } from "./fading.js";
import { measurePeak } from "./peak.js";
import type { Compared, Evaluation, FromWorker, Settings, ToWorker } from "./protocol.js";
import { Training, type Loaded } from "./training.js";
import { followers } from "./units.js";
import { Writer } from "./writer.js";

/** Milliseconds of training between two checks for messages. */
const SLICE = 40;
/** Milliseconds between two reports to the page. */
const REPORT = 100;
/** Steps at which the training writes a sample: often while it learns fast. A step of a big model is a sample's time. */
const isMilestone = (step: number) =>
  step % (step < 20 ? 5 : step < 100 ? 10 : step < 500 ? 25 : step < 2000 ? 100 : 500) === 0;
const isEvaluated = (step: number) => step % (step < 200 ? 20 : 50) === 0;
/** Characters of a sample that the heat map shows, and of the text held back that correlations are measured on. */
const MAPPED = 120;
const CORRELATED = 3000;
/** Milliseconds between two characters that are written live. */
const PACE = 75;
/** Characters that are there at once: an empty page says nothing. */
const BEGUN = 140;
/** Milliseconds of writing after which units are correlated: the writing is what one sees first. */
const FOLLOW = 400;
/** Seconds of a step from which on the person is told. */
const SLOW = 1;

const host = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
};

const send = (message: FromWorker, transfer: Transferable[] = []): void => host.postMessage(message, transfer);

let training: Training | undefined;
/** The text that it was made with. */
let sourceText = "";
let running = false;
/** Raised to end a comparison that is under way. */
let comparison = 0;

/** Losses, evaluations and time since the latest report. */
let losses: number[] = [];
let evaluations: Evaluation[] = [];
let milliseconds = 0;
let reported = 0;
let rate = { charactersPerSecond: 0, gflops: 0 };

/** Writes live while no training runs. */
let writer: Writer | undefined;
let writing = { on: false, temperature: 0.7, layer: 0, shows: "h" };
let ticking: ReturnType<typeof setTimeout> | undefined;
let following: ReturnType<typeof setTimeout> | undefined;

function current(): Training {
  if (training === undefined) throw new Error("There is no model yet.");
  return training;
}

/** Puts a new training in the place of the one there is; `loaded` is a model from a file. */
function begin(settings: Settings, text: string, source: string, loaded?: Loaded, page = false): void {
  // do everything that can throw before the swap, so that the old training continues then
  const { variant, version, threads } = buildInfo();
  const peak = threads * measurePeak(variant, settings.dtype);
  const next = new Training(settings, text, loaded);
  const layer = Math.min(writing.layer, settings.numLayers - 1);
  let sample: Sample;
  try {
    next.evaluate();
    sample = sampleOf(next, layer);
  } catch (error) {
    next.dispose();
    throw error;
  }
  setRunning(false);
  comparison++;
  stopWriting();
  training?.dispose();
  training = next;
  writing.layer = layer;
  sourceText = text;
  [losses, evaluations, milliseconds] = [[], [...next.evaluations], 0];
  rate = { charactersPerSecond: 0, gflops: 0 };
  const seconds = next.flopsPerStep / (peak * 1e9);
  if (seconds > SLOW) {
    next.notes.push(`A step takes ${Math.ceil(seconds)} seconds at least, and everything waits for its end.`);
  }
  send({
    kind: "ready",
    source,
    from: page ? "page" : loaded ? "file" : "new",
    description: {
      settings,
      parameters: next.parameters,
      vocabulary: next.model.vocabulary.size,
      ...next.characters,
      charactersPerStep: next.charactersPerStep,
      flopsPerStep: next.flopsPerStep,
      build: variant,
      version,
      threads,
      peak,
      frequencyLoss: next.frequencyLoss,
      stepsBefore: next.stepsBefore,
      notes: next.notes,
    },
  });
  send({ kind: "milestone", ...sample });
  report(next);
  write();
}

type Sample = Omit<Extract<FromWorker, { kind: "milestone" }>, "kind">;

function sampleOf(training: Training, layer = writing.layer): Sample {
  const text = training.sample();
  return {
    step: training.stepsBefore + training.step,
    loss: training.evaluations.at(-1)?.loss,
    text,
    activations: readActivations(training.model, [...text].slice(-MAPPED).join("") || " ", layer),
  };
}

/** Writes character by character, unless a training runs. */
function write(): void {
  stopWriting();
  if (!writing.on || running || training === undefined) return;
  writer = new Writer(training.model, writing.temperature, training.settings.seed);
  const tick = (count = 1) => {
    ticking = setTimeout(tick, PACE);
    guarded("write", () => send({ kind: "written", ...writer!.write(writing.layer, count) }));
  };
  tick(BEGUN);
  following = setTimeout(() => guarded("write", follow), FOLLOW);
}

function stopWriting(): void {
  clearTimeout(ticking);
  clearTimeout(following);
  writer?.dispose();
  writer = undefined;
}

/** Looks for units that follow something readable in text that is not trained on. */
function follow(): void {
  const training = current();
  const text = training.heldOut(CORRELATED);
  if (text === "") return;
  const { layer, shows } = writing;
  const own = readActivations(training.model, text, layer);
  const kind = shows in own.kinds ? shows : "h";
  const untrained = training.untrained();
  try {
    const { kinds } = readActivations(untrained, text, layer);
    send({
      kind: "following",
      layer,
      shows: kind,
      step: training.stepsBefore + training.step,
      length: own.characters.length,
      found: followers(own, own.kinds[kind]!, kinds[kind]!),
    });
  } finally {
    untrained.dispose();
  }
}

/** Reads files of any model. One of characters is trained and writes; others are described, and the training goes on. */
async function load(message: Extract<ToWorker, { kind: "load" }>): Promise<void> {
  const { readFiles } = await import("./files.js");
  const read = await readFiles(message.files);
  if ("described" in read) return send({ kind: "described", described: read.described });
  const { bytes } = read;
  // other messages have been answered meanwhile: the model is made anew, with the build that was chosen
  const { settings, text, source } = message;
  withBuild(settings.variant, () => beginWith(bytes, settings, text, source));
}

function beginWith(bytes: Uint8Array, settings: Settings, text: string, source: string, page = false): void {
  const loaded = readCharLM(bytes);
  try {
    const { cell, embeddingDim, hiddenSize, numLayers, dtype } = loaded.model.architecture;
    begin({ ...settings, cell, embeddingDim, hiddenSize, numLayers, dtype }, text, source, loaded, page);
  } catch (error) {
    loaded.model.dispose();
    throw error;
  }
}

function setRunning(value: boolean): void {
  if (running === value) return;
  running = value;
  send({ kind: "running", running });
  if (running) setTimeout(slice);
  write();
}

/** Some steps, and again as long as the training runs. */
function slice(): void {
  if (!running || training === undefined) return;
  guarded("start", () => {
    const end = performance.now() + SLICE;
    do advance(current());
    while (performance.now() < end);
    if (performance.now() - reported >= REPORT) report(current());
  });
  setTimeout(slice);
}

/** A step, with the evaluation and sample that are due after it. */
function advance(training: Training): void {
  const start = performance.now();
  losses.push(training.advance());
  milliseconds += performance.now() - start;
  if (isEvaluated(training.step)) evaluate(training);
  if (isMilestone(training.step)) send({ kind: "milestone", ...sampleOf(training) });
}

function evaluate(training: Training): void {
  const before = training.evaluations.length;
  training.evaluate();
  evaluations.push(...training.evaluations.slice(before));
}

function report(training: Training): void {
  if (losses.length > 0 && milliseconds > 0) {
    const stepsPerSecond = (1000 * losses.length) / milliseconds;
    rate = {
      charactersPerSecond: stepsPerSecond * training.charactersPerStep,
      gflops: (stepsPerSecond * training.flopsPerStep) / 1e9,
    };
  }
  send({ kind: "progress", step: training.step, losses, evaluations, ...rate });
  [losses, evaluations, milliseconds] = [[], [], 0];
  reported = performance.now();
}

/** Trains a new model of each cell for `steps` steps on the same text, and sends the results. */
async function compare(steps: number): Promise<void> {
  const { settings } = current();
  setRunning(false);
  stopWriting();
  const own = ++comparison;
  const results: Compared[] = [];
  for (const cell of ["RNN", "GRU", "LSTM"] as CharLMCell[]) {
    const contestant = new Training({ ...settings, cell }, sourceText);
    try {
      const before = fading(contestant);
      let seconds = 0;
      while (contestant.step < steps) {
        const start = performance.now();
        do contestant.advance();
        while (contestant.step < steps && performance.now() < start + SLICE);
        seconds += (performance.now() - start) / 1000;
        send({ kind: "comparing", cell, step: contestant.step, steps });
        await nextTurn();
        if (own !== comparison) return;
      }
      contestant.evaluate();
      const after = fading(contestant);
      const loss = contestant.evaluations.at(-1)?.loss ?? NaN;
      results.push({ cell, parameters: contestant.parameters, steps, loss, seconds, before, after });
    } finally {
      contestant.dispose();
    }
  }
  send({ kind: "compared", results });
  write();
}

/** Runs `work` with the build that was chosen; where that fails, the build stays the one of the training there is. */
function withBuild(variant: Settings["variant"], work: () => void): void {
  configure({ variant });
  try {
    work();
  } catch (error) {
    configure({ variant: training?.settings.variant ?? "auto" });
    throw error;
  }
}

function answer(message: ToWorker): void | Promise<void> {
  switch (message.kind) {
    case "create":
      withBuild(message.settings.variant, () => begin(message.settings, message.text, message.source));
      return setRunning(message.start);
    case "open": {
      const { bytes, settings, text } = message;
      return withBuild(settings.variant, () => beginWith(bytes, settings, text, "moby", true));
    }
    case "load":
      return load(message);
    case "start":
      current();
      comparison++;
      return setRunning(true);
    case "pause":
      report(current());
      comparison++;
      return setRunning(false);
    case "step":
      setRunning(false);
      advance(current());
      report(current());
      return write();
    case "learningRate":
      current().learningRate = message.value;
      return;
    case "sample": {
      const { prompt, length, temperature, seed } = message;
      const { model } = current();
      const skipped = model.vocabulary.unknownIn(prompt);
      const text = model.sample(prompt, { length, temperature, random: new Random(seed), unknown: "skip" });
      return send({ kind: "sample", prompt, text, skipped });
    }
    case "inspect":
      return send({ kind: "activations", activations: readActivations(current().model, message.text, message.layer) });
    case "write": {
      const { kind: _, ...wanted } = message;
      writing = wanted;
      return write();
    }
    case "fade": {
      const training = current();
      const { cell } = training.model.architecture;
      return send({ kind: "fading", cell, step: training.stepsBefore + training.step, norms: fading(training) });
    }
    case "compare":
      return compare(message.steps);
    case "save": {
      const training = current();
      const bytes = training.file().buffer;
      return send({ kind: "saved", bytes, step: training.stepsBefore + training.step }, [bytes]);
    }
  }
}

/** Runs `work`; sends an error as a message, and stops a running training. */
function guarded(during: ToWorker["kind"], work: () => void | Promise<void>): void {
  const fail = (error: unknown) => {
    if (during === "start") setRunning(false);
    if (during === "write") stopWriting();
    const message = error instanceof Error ? error.message : String(error);
    const hint = error instanceof OutOfMemoryError ? ". Take fewer units, layers or streams, or a shorter window." : "";
    send({ kind: "error", during, message: message + hint });
  };
  try {
    work()?.catch(fail);
  } catch (error) {
    fail(error);
  }
}

const started = useAllCores();
host.onmessage = ({ data }) => void started.then(() => guarded(data.kind, () => answer(data)));
