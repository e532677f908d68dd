// The page: reads the controls, sends messages to the worker, shows its answers. The model is in the worker.

import { LossChart } from "./charts.js";
import { byId, element, fillTable, onCores, show, showShort } from "./dom.js";
import { showCompared, showOwn } from "./gradients.js";
import { troubleOf, WATCHED } from "./divergence.js";
import {
  appendWritten,
  clearActivations,
  onKind,
  setFollowing,
  showFollowing,
  showInspected,
  shownKind,
  showSampled,
} from "./inspection.js";
import { ownEdits, ownText, takeOwnText } from "./own-text.js";
import type { Described, Description, FromWorker, Settings, ToWorker } from "./protocol.js";
import { Stage } from "./stage.js";
import { houseThatJackBuilt, readText } from "./texts.js";
import { bindToAddress } from "./url.js";

/** Milliseconds between two drawings of the figures while training. */
const REDRAW = 250;
const MILESTONES = 8;
/** Milliseconds for which milestones are not announced again: a listener wants to do something else, too. */
const QUIET = 10_000;
/** Milliseconds without an answer after which the page says what the worker is doing. */
const PATIENCE = 600;

const worker = new Worker(new URL("worker.js", document.baseURI), { type: "module", name: "training" });
const lossChart = new LossChart(byId("loss-chart"));
const stage = new Stage();
const input = (id: string) => byId<HTMLInputElement>(id);
const choice = (id: string) => byId<HTMLSelectElement>(id);

/** The worker's training and the text it was made with; undefined before the first. */
let description: Description | undefined;
let madeFrom = "";
/** Whether the model is the one that the page opens with. */
let pretrained = false;
/** The text that the model was made with, in words. */
let about = "";
/** Whether the next live character begins a text. */
let fresh = true;
/** Counts the trainings that were asked for: one whose text comes when another was asked for is not wanted any more. */
let request = 0;
let running = false;
let step = 0;
let comparing = false;

/** Messages of the page while the worker is busy, and on failure. */
const WORDS: Readonly<Record<ToWorker["kind"], { doing?: string; failed: string }>> = {
  create: { doing: "Setting up", failed: "The training could not be set up" },
  open: { doing: "Loading", failed: "The trained network could not be loaded" },
  load: { doing: "Loading", failed: "The model could not be loaded" },
  start: { doing: "Starting", failed: "The training has stopped" },
  pause: { doing: "Pausing after this step", failed: "Pausing failed" },
  step: { doing: "One step", failed: "The step failed" },
  learningRate: { failed: "The learning rate was not taken" },
  sample: { doing: "Writing", failed: "It cannot write this" },
  inspect: { doing: "Reading", failed: "It cannot read this" },
  write: { failed: "It cannot go on writing" },
  fade: { doing: "Measuring gradients", failed: "The gradients could not be measured" },
  compare: { doing: "Comparing", failed: "The comparison failed" },
  save: { doing: "Saving", failed: "The model could not be saved" },
};

let waiting: number | undefined;

function send(message: ToWorker, transfer: Transferable[] = []): void {
  clearError();
  worker.postMessage(message, transfer);
  const { doing } = WORDS[message.kind];
  if (doing === undefined) return; // there is no answer to wait for
  window.clearTimeout(waiting);
  waiting = window.setTimeout(() => (byId("status").textContent = `${doing} …`), PATIENCE);
}

/** The worker has answered: shows the message before again. */
function stopWaiting(): void {
  window.clearTimeout(waiting);
  if (byId("status").textContent !== said) say(said);
}

// --- controls --------------------------------------------------------------------------------------------------------

function readSettings(): Settings {
  const number = (id: string) => input(id).valueAsNumber;
  return {
    cell: choice("cell").value as Settings["cell"],
    hiddenSize: number("hidden"),
    numLayers: number("layers"),
    embeddingDim: number("embedding"),
    learningRate: number("rate"),
    dtype: choice("dtype").value as Settings["dtype"],
    variant: choice("variant").value as Settings["variant"],
    seqLen: number("seq"),
    batchSize: number("batch"),
    seed: number("seed"),
  };
}

function writeSettings(settings: Settings): void {
  choice("cell").value = settings.cell;
  choice("dtype").value = settings.dtype;
  input("hidden").valueAsNumber = settings.hiddenSize;
  input("layers").valueAsNumber = settings.numLayers;
  input("embedding").valueAsNumber = settings.embeddingDim;
}

/** The page's own texts, and their files. */
const TEXTS: Readonly<Record<string, { name: string; file?: string }>> = {
  moby: { name: "Moby Dick", file: "moby-dick.txt" },
  names: { name: "first names", file: "names.txt" },
  code: { name: "source code", file: "source-code.txt" },
  house: { name: "a nursery rhyme" },
  own: { name: "your text" },
};
const downloads = new Map<string, Promise<string>>();

async function chosenText(chosen = choice("text-choice").value): Promise<string> {
  const { file } = TEXTS[chosen]!;
  if (file === undefined) return chosen === "house" ? houseThatJackBuilt() : ownText();
  const text = downloads.get(file) ?? readText(file);
  downloads.set(file, text);
  text.catch(() => downloads.delete(file)); // another try may do
  return text;
}

/** Which text is chosen, and where it is the person's own, in which version. */
function chosenSource(): string {
  const text = choice("text-choice").value;
  return text === "own" ? `own ${ownEdits()}` : text;
}

/** Everything that a training is made from, by default another one now, to see whether something has changed. */
function signature({ learningRate: _, ...settings } = readSettings(), source = chosenSource()): string {
  return JSON.stringify([settings, source]);
}

/** Whether all fields are valid; else names and focuses the first that is not. */
function valid(fields: Iterable<HTMLInputElement>): boolean {
  clearError();
  const wrong = [...fields].find((field) => !field.validity.valid);
  if (wrong === undefined) return true;
  wrong.closest("details")?.setAttribute("open", "");
  showError(`${wrong.labels?.[0]?.firstChild?.textContent?.trim()}: ${wrong.validationMessage}`);
  wrong.focus({ preventScroll: true });
  wrong.scrollIntoView({ block: "center" }); // not under the message, which sticks to the top
  return false;
}

const inputsOf = (form: string) => byId(form).querySelectorAll("input");

/** Starts a new training with the controls' settings, if they are valid. */
async function create(start = false): Promise<void> {
  if (!valid(inputsOf("settings"))) return;
  await ask(async () => {
    const [settings, source] = [readSettings(), chosenSource()];
    const text = await chosenText();
    return () => send({ kind: "create", settings, text, source, start });
  });
}

/** Sends the message of `prepare`, unless another training has been requested meanwhile. */
async function ask(prepare: () => Promise<() => void>): Promise<void> {
  const mine = ++request;
  try {
    const sendIt = await prepare();
    if (mine === request) sendIt();
  } catch (error) {
    if (mine === request) showError(error instanceof Error ? error.message : String(error));
  }
}

function showChanged(): void {
  byId("own").hidden = choice("text-choice").value !== "own";
  byId("changed").hidden = signature() === madeFrom || description === undefined || pretrained;
}

/** The model that the page opens with; a new one where its file cannot be had. */
async function reopen(): Promise<void> {
  const mine = ++request;
  try {
    const response = await fetch("moby.safetensors");
    if (!response.ok) throw new Error(`moby.safetensors could not be read: status ${response.status}`);
    const [bytes, text] = await Promise.all([response.arrayBuffer(), chosenText("moby")]);
    if (mine === request) send({ kind: "open", bytes: new Uint8Array(bytes), settings: readSettings(), text }, [bytes]);
  } catch (error) {
    if (mine !== request) return;
    await create();
    showError(`${WORDS.open.failed}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Has the worker write live, with the settings of the page. */
function sendWriting(): void {
  fresh = true;
  const temperature = input("warmth").validity.valid ? input("warmth").valueAsNumber : 0.7;
  worker.postMessage({ kind: "write", on: true, temperature, layer: Number(choice("layer").value || 0), shows: shownKind() } satisfies ToWorker); // prettier-ignore
}

byId("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) return send({ kind: "pause" });
  // before the first step, changed settings apply without asking; the model that the page opens with stays as it is
  if (pretrained) byId("reopen").hidden = false; // at once, since it moves what is below
  if (pretrained || (step === 0 && signature() !== madeFrom)) void create(true);
  else if (valid(inputsOf("settings"))) send({ kind: "start" });
});
byId("settings").addEventListener("input", showChanged);
for (const each of ["text-choice", "own-text"]) byId(each).addEventListener("input", showChanged);
byId("reopen").addEventListener("click", () => void reopen());
input("warmth").addEventListener("change", () => {
  stage.restart();
  sendWriting();
});
byId("step").addEventListener("click", () => send({ kind: "step" }));
byId("reset").addEventListener("click", () => void create());
input("rate").addEventListener("change", () => {
  if (description && valid([input("rate")])) send({ kind: "learningRate", value: input("rate").valueAsNumber });
});
byId("save").addEventListener("click", () => send({ kind: "save" }));
input("file").addEventListener("change", () => {
  const files = [...(input("file").files ?? [])];
  input("file").value = ""; // the same file can be chosen again
  load(files);
});
// files are dropped anywhere; a text goes where it is dropped
document.addEventListener("dragover", (event) => {
  if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
});
document.addEventListener("drop", (event) => {
  const files = [...(event.dataTransfer?.files ?? [])];
  if (files.length === 0) return;
  event.preventDefault();
  if (files.length === 1 && isText(files[0]!)) void takeText(files[0]!);
  else load(files);
});

/** Whether a file is one to learn from: models have other names. */
function isText({ name, type }: File): boolean {
  return /\.(txt|md|csv|html?|[cm]?[jt]sx?|py|c|h|cpp|java|rs|go|tex)$/i.test(name) || type === "text/plain";
}

async function takeText(file: File): Promise<void> {
  const text = await file.text();
  choice("text-choice").value = "own";
  takeOwnText(text);
  await create(true);
}

/** Has the worker load a model of these files. */
function load(chosen: readonly File[]): void {
  if (chosen.length === 0 || !valid(inputsOf("settings"))) return;
  void ask(async () => {
    const [settings, source] = [readSettings(), chosenSource()];
    const entries = chosen.map(async (file) => {
      const bytes = new Uint8Array(await file.arrayBuffer());
      return [file.webkitRelativePath || file.name, bytes] as const;
    });
    const [read, text] = await Promise.all([Promise.all(entries), chosenText()]);
    const files = Object.fromEntries(read);
    const buffers = read.map(([, { buffer }]) => buffer);
    return () => send({ kind: "load", files, settings, text, source }, buffers);
  });
}

byId("sampling").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!valid(inputsOf("sampling"))) return;
  const seed = input("draw").value === "" ? undefined : input("draw").valueAsNumber;
  const [length, temperature] = [input("length").valueAsNumber, input("temperature").valueAsNumber];
  send({ kind: "sample", prompt: input("prompt").value, length, temperature, seed });
});
byId("inspecting").addEventListener("submit", (event) => {
  event.preventDefault();
  send({ kind: "inspect", text: input("inspected").value, layer: Number(choice("layer").value) });
});
choice("layer").addEventListener("change", sendWriting);
onKind(sendWriting);
byId("follow").addEventListener("click", () => {
  setFollowing(true);
  fresh = true;
});
byId("fade").addEventListener("click", () => send({ kind: "fade" }));
byId("compare").addEventListener("click", () => {
  if (comparing) {
    setComparing(false);
    return send({ kind: "pause" });
  }
  if (!valid([input("compare-steps")])) return;
  setComparing(true);
  send({ kind: "compare", steps: input("compare-steps").valueAsNumber });
});

// --- messages --------------------------------------------------------------------------------------------------------

function showError(message: string): void {
  byId("error").textContent = message;
  byId("error").hidden = false;
}

function clearError(): void {
  byId("error").hidden = true;
  byId("error").textContent = "";
}

/** The latest message, which is shown again after those about waiting. */
let said = "";

function say(message: string): void {
  said = message;
  byId("status").textContent = message;
}

worker.onerror = (event) => showError(`The worker failed: ${event.message || "it could not be loaded"}`);
worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
  stopWaiting();
  switch (data.kind) {
    case "ready":
      return showReady(data.description, data.source, data.from);
    case "progress":
      return takeProgress(data);
    case "running":
      return showRunning(data.running);
    case "milestone":
      return showMilestone(data);
    case "described":
      return showDescribed(data.described);
    case "sample":
      return showSample(data);
    case "activations":
      return showInspected(data.activations);
    case "written":
      stage.write(data);
      appendWritten(data, fresh);
      fresh = false;
      return;
    case "following":
      return showFollowing(data);
    case "fading":
      return showOwn(data);
    case "comparing":
      return showComparing(data);
    case "compared":
      setComparing(false);
      say("The comparison is done.");
      return showCompared(data.results);
    case "saved":
      return download(data.bytes, data.step);
    case "error":
      if (data.during === "compare") setComparing(false);
      return showError(`${WORDS[data.during].failed}: ${data.message}`);
  }
};

/** Names and texts of a file are put in as text only. */
function showDescribed({ format, facts, total, numbers, rows }: Described): void {
  byId("described").hidden = false;
  byId("described-title").textContent = `The file is ${format}: ${show(total)} parts, ${show(numbers)} numbers`;
  byId("described-facts").replaceChildren(...facts.map((fact) => element("li", fact)));
  fillTable(byId<HTMLTableElement>("described-table"), ["name", "shape", "type"], rows);
  say(`The file is ${format}, which does not write: it is described below, and the training is as it was.`);
}

function showReady(ready: Description, source: string, from: "new" | "file" | "page"): void {
  description = ready;
  pretrained = from === "page";
  const loaded = from === "file";
  const text = TEXTS[source.split(" ")[0]!]?.name ?? "a text";
  about =
    from === "new" ? `a new ${ready.settings.cell} on ${text}` : pretrained ? "" : `a model from a file, on ${text}`;
  byId("reopen").hidden = pretrained;
  byId("described").hidden = true;
  setComparing(false);
  if (loaded) writeSettings(ready.settings);
  madeFrom = signature(ready.settings, source);
  stage.clear(ready.frequencyLoss);
  fresh = true;
  showChanged();
  step = 0;
  figures = { charactersPerSecond: 0, gflops: 0 };
  lossChart.clear(ready.frequencyLoss);
  byId("milestones").replaceChildren();
  const { settings, parameters, vocabulary, training, validation, build, version, threads, notes } = ready;
  const { cell, hiddenSize, numLayers, dtype } = settings;
  byId("model-facts").textContent =
    `${numLayers} × ${cell} of ${hiddenSize} units, ${dtype}: ${show(parameters)} parameters; an alphabet of ${vocabulary}; ` +
    `${show(training)} characters to learn from, ${show(validation)} to check.`;
  byId("build-facts").textContent = `wasm-rnn ${version}, ${build === "relaxed" ? "relaxed SIMD" : "SIMD"} build.`;
  byId("figure-cores").textContent = onCores(threads);
  choice("layer").replaceChildren(
    ...Array.from({ length: numLayers }, (_, i) => element("option", `${i + 1}`, { value: `${i}` })),
  );
  clearActivations();
  showOwn(undefined);
  const past = loaded ? `Model loaded, after ${show(ready.stepsBefore)} steps. Adam starts afresh.` : "Ready.";
  say(pretrained ? "" : [past, ...notes].join(" "));
  showStart();
  for (const id of ["figure-loss", "figure-validation", "figure-rate", "figure-gflops"]) byId(id).textContent = "–";
  showFigures();
}

/** The latest figures, drawn by showFigures. */
let figures = { charactersPerSecond: 0, gflops: 0 };
let drawn = 0;
let due: number | undefined;

function takeProgress(progress: Extract<FromWorker, { kind: "progress" }>): void {
  step = progress.step;
  for (const loss of progress.losses) lossChart.training.push(loss);
  lossChart.validation.push(...progress.evaluations);
  figures = progress;
  showStart();
  const wait = Math.max(0, drawn + REDRAW - performance.now());
  due ??= window.setTimeout(showFigures, wait);
}

/** Steps of the model, with those before it was loaded. */
const trained = () => step + (description?.stepsBefore ?? 0);

function showStart(): void {
  byId("start").textContent = running ? "Pause" : pretrained ? "Train a new one" : step > 0 ? "Resume" : "Start";
}

/** What is on the stage, in words that stay true while it changes. */
function showStage(loss: number | undefined): void {
  if (description === undefined) return;
  const { parameters, frequencyLoss, charactersPerStep } = description;
  const name = about.charAt(0).toUpperCase() + about.slice(1);
  byId("stage-about").textContent = pretrained
    ? `A network of ${show(parameters)} numbers, trained on Moby Dick, writes now. Nothing is sent anywhere.`
    : `${name}: ${running ? "it learns, " : ""}${show(trained())} steps, ${showShort(trained() * charactersPerStep)} characters read.`;
  byId("stage-figures").replaceChildren(
    element("span", loss === undefined ? "" : `Loss ${loss.toFixed(2)} nats a character`),
    element("span", `guessing by frequency ${frequencyLoss.toFixed(2)}`),
    element("span", figures.charactersPerSecond > 0 ? `${showShort(figures.charactersPerSecond)} characters learned a second` : ""), // prettier-ignore
  );
}

function showFigures(): void {
  if (description === undefined) return;
  drawn = performance.now();
  window.clearTimeout(due);
  due = undefined;
  const { training, validation } = lossChart;
  const recent = training.slice(-20);
  const loss = recent.reduce((sum, each) => sum + each, 0) / recent.length;
  const checked = validation.at(-1);
  showStage(recent.length > 0 ? loss : checked?.loss);
  byId("figure-step").textContent = show(trained());
  byId("figure-epoch").textContent =
    `${((step * description.charactersPerStep) / description.training).toFixed(2)} passes over the text`;
  if (recent.length > 0) byId("figure-loss").textContent = loss.toFixed(3);
  if (checked) {
    byId("figure-validation").textContent = checked.loss.toFixed(3);
    byId("figure-bits").textContent = `${(checked.loss / Math.LN2).toFixed(2)} bits a character`;
  }
  if (figures.gflops > 0) {
    const share = figures.gflops / description.peak;
    byId("figure-rate").textContent = showShort(figures.charactersPerSecond);
    byId("figure-gflops").textContent = figures.gflops.toFixed(1);
    byId<HTMLMeterElement>("figure-meter").value = share;
    byId("figure-peak").textContent = `${show(100 * share)}% of the peak of ${description.peak.toFixed(0)}`;
  } else {
    byId("figure-peak").textContent = `the peak is ${description.peak.toFixed(0)}`;
  }
  lossChart.draw();
  const trouble = troubleOf(training, description.frequencyLoss);
  byId("diverging").hidden = trouble === undefined;
  byId("diverging").textContent = trouble
    ? `For ${WATCHED} steps the loss has been above that of guessing by frequency` +
      (trouble === "rising"
        ? ", and it does not fall. The learning rate is probably too large: take a smaller one, and reset."
        : ". It falls slowly: a larger learning rate may be faster, or the model needs more steps.")
    : "";
  byId("loss-summary").textContent =
    recent.length === 0
      ? `No step on this page yet. ${checked ? `On unseen text the loss is ${checked.loss.toFixed(2)} nats per character. ` : ""}` +
        `Guessing by the characters' frequencies gives ${description.frequencyLoss.toFixed(2)}.`
      : `After ${show(step)} steps here the training loss is ${loss.toFixed(3)}, down from ${training[0]!.toFixed(3)}` +
        `${checked ? `; on unseen text ${checked.loss.toFixed(3)}` : ""}. ` +
        `Guessing by the characters' frequencies gives ${description.frequencyLoss.toFixed(2)}.`;
  const every = Math.max(1, Math.ceil(validation.length / 12));
  const rows = validation.filter((_, i) => i % every === 0 || i === validation.length - 1);
  const near = (at: number) => training[Math.min(Math.max(0, at - 1), training.length - 1)]?.toFixed(3) ?? "–";
  fillTable(
    byId<HTMLTableElement>("loss-table"),
    ["step", "training", "validation"],
    rows.map((row) => [show(row.step), near(row.step), row.loss.toFixed(3)]),
  );
}

function showRunning(value: boolean): void {
  running = value;
  if (!running) showFigures(); // at once, so that they agree with the message
  showStart();
  if (!running) stage.restart();
  fresh = true;
  if (running) setComparing(false);
  const notes = step === 0 ? (description?.notes ?? []) : []; // "Ready", which said them, is gone at once
  say(running ? ["Training.", ...notes].join(" ") : `Paused at step ${show(trained())}.`);
}

let announced = -Infinity;

function showMilestone({ step, loss, text, activations }: Extract<FromWorker, { kind: "milestone" }>): void {
  const item = element("li");
  const title = `Step ${show(step)}${loss === undefined ? "" : `, validation loss ${loss.toFixed(2)}`}`;
  item.append(element("strong", title), element("pre", text.trim(), { class: "text" }));
  const list = byId("milestones");
  list.prepend(item);
  while (list.children.length > MILESTONES) list.lastElementChild!.remove();
  stage.add({ step, loss, text }, running);
  if (running) showSampled(activations, step);
  if (running && performance.now() - announced > QUIET) {
    announced = performance.now();
    byId("announcement").textContent = `It has reached step ${show(step)}${loss === undefined ? "" : `, with a validation loss of ${loss.toFixed(2)}`}.`; // prettier-ignore
  }
}

/** Characters that are listed. */
const LISTED = 20;

function showSample({ prompt, text, skipped }: Extract<FromWorker, { kind: "sample" }>): void {
  byId("sample").hidden = false;
  byId("sample").textContent = prompt + text;
  const more = skipped.length > LISTED ? ` and ${show(skipped.length - LISTED)} more` : "";
  byId("skipped").hidden = skipped.length === 0;
  byId("skipped").textContent =
    skipped.length === 0
      ? ""
      : `The model has not read these characters of the beginning, which it does not know: ${skipped.slice(0, LISTED).join(" ")}${more}.`;
}

function download(bytes: ArrayBuffer, step: number): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  element("a", "", { href: url, download: `charlm-${step}.safetensors` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  say(`Saved after step ${show(step)}.`);
}

// --- comparison ------------------------------------------------------------------------------------------------------

function setComparing(value: boolean): void {
  comparing = value;
  byId("compare").textContent = value ? "Stop the comparison" : "Train an RNN, a GRU and an LSTM, and compare";
  byId("comparing").hidden = !value;
  byId<HTMLProgressElement>("comparing-share").value = 0;
  byId("comparing-at").textContent = "";
}

function showComparing({ cell, step, steps }: Extract<FromWorker, { kind: "comparing" }>): void {
  byId<HTMLProgressElement>("comparing-share").value = (["RNN", "GRU", "LSTM"].indexOf(cell) + step / steps) / 3;
  byId("comparing-at").textContent = `${cell}: step ${show(step)} of ${show(steps)}`;
}

bindToAddress({
  text: choice("text-choice"),
  cell: choice("cell"),
  hidden: input("hidden"),
  layers: input("layers"),
  rate: input("rate"),
  dtype: choice("dtype"),
  build: choice("variant"),
  embedding: input("embedding"),
  window: input("seq"),
  streams: input("batch"),
  seed: input("seed"),
  temperature: input("warmth"),
});
void reopen();
sendWriting();
