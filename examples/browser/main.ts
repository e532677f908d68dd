// The page: reads the controls, talks to the worker, shows what comes back. Nothing here computes with the model.

import { FadingChart, LossChart } from "./charts.js";
import { byId, element, fillTable, show, showShort, visible } from "./dom.js";
import { HeatMap, KINDS } from "./heatmap.js";
import type { Activations, Compared, Description, Fading, FromWorker, Settings, ToWorker } from "./protocol.js";
import { houseThatJackBuilt, mobyDick } from "./texts.js";
import { followers } from "./units.js";

/** Milliseconds between two drawings of the figures while training. */
const REDRAW = 250;
const MILESTONES = 8;

const worker = new Worker(new URL("worker.js", document.baseURI), { type: "module", name: "training" });
const lossChart = new LossChart(byId("loss-chart"));
const fadingChart = new FadingChart(byId("fading-chart"));
const heatMap = new HeatMap(showUnit);
const input = (id: string) => byId<HTMLInputElement>(id);
const choice = (id: string) => byId<HTMLSelectElement>(id);

/** What the training in the worker is like, and what it was made with; undefined before the first. */
let description: Description | undefined;
let madeFrom = "";
/** What the training that was asked for last is to be made with. */
let asked = "";
let running = false;
let step = 0;
let comparing = false;

function send(message: ToWorker, transfer: Transferable[] = []): void {
  worker.postMessage(message, transfer);
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

let moby: Promise<string> | undefined;

async function chosenText(): Promise<string> {
  switch (choice("text-choice").value) {
    case "moby":
      moby ??= mobyDick();
      moby.catch(() => (moby = undefined)); // another try may do
      return moby;
    case "house":
      return houseThatJackBuilt();
    default:
      return byId<HTMLTextAreaElement>("own-text").value;
  }
}

/** Everything that another training would be made from, to see whether something has changed. */
function signature(): string {
  const { learningRate: _, ...settings } = readSettings();
  const text = choice("text-choice").value;
  return JSON.stringify([settings, text, text === "own" ? byId<HTMLTextAreaElement>("own-text").value : ""]);
}

/** A new training with what the controls say, where they make sense. */
async function create(start = false): Promise<void> {
  const form = byId<HTMLFormElement>("settings");
  if (!form.checkValidity()) form.querySelector("details")!.open = true; // what is wrong may be in there
  if (!form.reportValidity()) return;
  clearError();
  asked = signature();
  try {
    send({ kind: "create", settings: readSettings(), text: await chosenText(), start });
  } catch (error) {
    showError(error instanceof Error ? error.message : String(error));
  }
}

function showChanged(): void {
  const own = choice("text-choice").value === "own";
  byId("own-text-label").hidden = !own;
  byId("changed").hidden = signature() === madeFrom || description === undefined;
}

byId("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  clearError();
  if (running) return send({ kind: "pause" });
  // before the first step, what was changed can be taken without asking
  if (step === 0 && signature() !== madeFrom) void create(true);
  else send({ kind: "start" });
});
byId("settings").addEventListener("input", showChanged);
byId("step").addEventListener("click", () => send({ kind: "step" }));
byId("reset").addEventListener("click", () => void create());
input("rate").addEventListener("change", () => {
  const value = input("rate").valueAsNumber;
  if (description && value > 0) send({ kind: "learningRate", value });
});
byId("save").addEventListener("click", () => send({ kind: "save" }));
input("file").addEventListener("change", () => {
  const file = input("file").files?.[0];
  input("file").value = ""; // the same file can be chosen again
  if (file === undefined) return;
  clearError();
  void (async () => {
    const [bytes, text] = [await file.arrayBuffer(), await chosenText()];
    send({ kind: "load", bytes, settings: readSettings(), text }, [bytes]);
  })().catch((error: unknown) => showError(String(error)));
});
byId("sampling").addEventListener("submit", (event) => {
  event.preventDefault();
  clearError();
  const seed = input("draw").value === "" ? undefined : input("draw").valueAsNumber;
  const [length, temperature] = [input("length").valueAsNumber, input("temperature").valueAsNumber];
  send({ kind: "sample", prompt: input("prompt").value, length, temperature, seed });
});
byId("inspecting").addEventListener("submit", (event) => {
  event.preventDefault();
  clearError();
  send({ kind: "inspect", text: input("inspected").value, layer: Number(choice("layer").value) });
});
choice("layer").addEventListener("change", () => byId<HTMLFormElement>("inspecting").requestSubmit());
choice("map-kind").addEventListener("change", () => {
  heatMap.kind = choice("map-kind").value;
  if (heatMap.activations) showActivations(heatMap.activations);
});
byId("fade").addEventListener("click", () => send({ kind: "fade" }));
byId("compare").addEventListener("click", () => {
  clearError();
  if (comparing) {
    setComparing(false);
    return send({ kind: "pause" });
  }
  if (!input("compare-steps").reportValidity()) return;
  setComparing(true);
  send({ kind: "compare", steps: input("compare-steps").valueAsNumber });
});

// --- messages --------------------------------------------------------------------------------------------------------

const DURING: Readonly<Record<ToWorker["kind"], string>> = {
  create: "The training could not be set up",
  load: "The model could not be loaded",
  start: "The training has stopped",
  pause: "Pausing failed",
  step: "The step failed",
  learningRate: "The learning rate was not taken",
  sample: "It cannot write this",
  inspect: "It cannot read this",
  fade: "The gradients could not be measured",
  compare: "The comparison failed",
  save: "The model could not be saved",
};

function showError(message: string): void {
  byId("error").textContent = message;
  byId("error").hidden = false;
}

function clearError(): void {
  byId("error").hidden = true;
  byId("error").textContent = "";
}

function say(message: string): void {
  byId("status").textContent = message;
}

worker.onerror = (event) => showError(`The worker failed: ${event.message || "it could not be loaded"}`);
worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
  switch (data.kind) {
    case "ready":
      return showReady(data.description, data.loaded);
    case "progress":
      return takeProgress(data);
    case "running":
      return showRunning(data.running);
    case "milestone":
      return showMilestone(data);
    case "sample":
      byId("sample").hidden = false;
      byId("sample").textContent = data.prompt + data.text;
      return;
    case "activations":
      return showActivations(data.activations);
    case "fading":
      fadingChart.curves = [...fadingChart.curves.filter(({ label }) => !label.startsWith("this")), data.curve];
      return showFading();
    case "comparing":
      byId<HTMLProgressElement>("comparing").value =
        (["RNN", "GRU", "LSTM"].indexOf(data.cell) + data.step / data.steps) / 3;
      return;
    case "compared":
      return showComparison(data.results);
    case "saved":
      return download(data.bytes, data.step);
    case "error":
      if (data.during === "compare") setComparing(false);
      return showError(`${DURING[data.during]}: ${data.message}`);
  }
};

function showReady(ready: Description, loaded: boolean): void {
  description = ready;
  setComparing(false);
  if (loaded) writeSettings(ready.settings);
  madeFrom = loaded ? signature() : asked;
  showChanged();
  step = 0;
  figures = { charactersPerSecond: 0, gflops: 0 };
  byId("start").textContent = "Start";
  lossChart.clear(ready.frequencyLoss);
  byId("milestones").replaceChildren();
  const { settings, parameters, vocabulary, training, validation, build, version, notes } = ready;
  const { cell, hiddenSize, numLayers, dtype } = settings;
  byId("model-facts").textContent =
    `${numLayers} × ${cell} of ${hiddenSize} units, ${dtype}: ${show(parameters)} parameters, ${vocabulary} different ` +
    `characters; ${show(training)} characters to learn from, ${show(validation)} to check.`;
  byId("build-facts").textContent = `wasm-rnn ${version}, ${build === "relaxed" ? "relaxed SIMD" : "SIMD"} build.`;
  choice("layer").replaceChildren(
    ...Array.from({ length: numLayers }, (_, i) => element("option", `${i + 1}`, { value: `${i}` })),
  );
  byId("inspection").hidden = true;
  heatMap.activations = undefined;
  fadingChart.curves = fadingChart.curves.filter(({ label }) => !label.startsWith("this"));
  showFading();
  const past = loaded ? `Model loaded, after ${show(ready.stepsBefore)} steps. Adam starts anew.` : "Ready.";
  say([past, ...notes].join(" "));
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
  if (!running && step > 0) byId("start").textContent = "Go on";
  const wait = Math.max(0, drawn + REDRAW - performance.now());
  due ??= window.setTimeout(showFigures, wait);
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
  byId("figure-step").textContent = show(step);
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
    byId("figure-peak").textContent = `${show(100 * share)}% of the peak, ${description.peak.toFixed(0)}`;
  } else {
    byId("figure-peak").textContent = `peak: ${description.peak.toFixed(0)}`;
  }
  lossChart.draw();
  byId("loss-summary").textContent =
    recent.length === 0
      ? `Before the first step the loss on unseen text is ${checked ? checked.loss.toFixed(2) : "unknown"} nats per character; ` +
        `guessing by the characters' frequencies gives ${description.frequencyLoss.toFixed(2)}.`
      : `After ${show(step)} steps the training loss is ${loss.toFixed(3)}, down from ${training[0]!.toFixed(3)}` +
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
  if (!running) showFigures(); // at once, so that they agree with what is said
  byId("start").textContent = running ? "Pause" : step > 0 ? "Go on" : "Start";
  if (running) setComparing(false);
  say(running ? "Training." : `Paused at step ${show(step)}.`);
}

function showMilestone({ step, loss, text }: { step: number; loss: number | undefined; text: string }): void {
  const item = element("li");
  const title = `Step ${show(step)}${loss === undefined ? "" : `, validation loss ${loss.toFixed(2)}`}`;
  item.append(element("strong", title), element("pre", text.trim(), { class: "text" }));
  const list = byId("milestones");
  list.prepend(item);
  while (list.children.length > MILESTONES) list.lastElementChild!.remove();
  if (running) say(`Training. ${title}.`);
}

function download(bytes: ArrayBuffer, step: number): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: "application/octet-stream" }));
  element("a", "", { href: url, download: `charlm-${step}.safetensors` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  say(`Saved after step ${show(step)}.`);
}

// --- units -----------------------------------------------------------------------------------------------------------

function showActivations(activations: Activations): void {
  byId("inspection").hidden = false;
  heatMap.show(activations);
  choice("map-kind").replaceChildren(
    ...Object.keys(activations.kinds).map((kind) => element("option", KINDS[kind]?.name ?? kind, { value: kind })),
  );
  choice("map-kind").value = heatMap.kind;
  const found = followers(activations, heatMap.values);
  fillTable(
    byId<HTMLTableElement>("unit-table"),
    ["property", "unit", "correlation", "show"],
    found.map(({ property, unit, correlation }) => [property, `${unit + 1}`, correlation.toFixed(2), ""]),
  );
  byId("unit-table")
    .querySelectorAll("tbody tr")
    .forEach((row, i) => {
      const button = element("button", `Unit ${found[i]!.unit + 1}`, { type: "button" });
      button.addEventListener("click", () => heatMap.moveTo(found[i]!.unit, heatMap.place));
      row.lastElementChild!.replaceChildren(button);
    });
  showUnit();
}

/** Says what the unit under the cursor does. */
function showUnit(): void {
  const { activations, unit, kind, values } = heatMap;
  if (!activations) return;
  const { characters, units } = activations;
  const own = characters.map((character, place) => ({ character, place, value: values[place * units + unit] ?? 0 }));
  const sorted = [...own].sort((a, b) => b.value - a.value);
  const tell = ({ character, place, value }: (typeof own)[number]) =>
    `“${visible(character)}” (${place + 1}): ${value.toFixed(2)}`;
  byId("unit-title").textContent = `Unit ${unit + 1} over the text`;
  const mean = own.reduce((sum, { value }) => sum + value, 0) / own.length;
  byId("unit-summary").textContent =
    `${KINDS[kind]?.name ?? kind}: mean ${mean.toFixed(2)}; highest after ${sorted.slice(0, 3).map(tell).join(", ")}; ` +
    `lowest after ${sorted.slice(-3).reverse().map(tell).join(", ")}.`;
}

// --- gradients -------------------------------------------------------------------------------------------------------

function setComparing(value: boolean): void {
  comparing = value;
  byId("compare").textContent = value ? "Stop the comparison" : "Train an RNN, a GRU and an LSTM, and compare";
  byId("comparing").hidden = !value;
  byId<HTMLProgressElement>("comparing").value = 0;
}

function showComparison(results: readonly Compared[]): void {
  setComparing(false);
  fadingChart.curves = [
    ...fadingChart.curves.filter(({ label }) => label.startsWith("this")),
    ...results.flatMap(({ before, after }) => [before, after]),
  ];
  showFading();
  byId("comparison").hidden = false;
  fillTable(
    byId<HTMLTableElement>("comparison-table"),
    ["cell", "parameters", "steps", "seconds", "validation loss"],
    results.map(({ cell, parameters, steps, seconds, loss }) => [
      cell,
      show(parameters),
      show(steps),
      seconds.toFixed(1),
      loss.toFixed(3),
    ]),
  );
  say("The comparison is done.");
}

function showFading(): void {
  const { curves } = fadingChart;
  byId("fading-figure").hidden = curves.length === 0;
  if (curves.length === 0) return;
  fadingChart.draw();
  const places = [1, 5, 10, 20, 40, 60];
  const at = (curve: Fading, back: number) => curve.norms[back];
  fillTable(
    byId<HTMLTableElement>("fading-table"),
    ["model", ...places.map((back) => `${back} back`)],
    curves.map((curve) => [curve.label, ...places.map((back) => at(curve, back)?.toPrecision(2) ?? "–")]),
  );
  const sentence = (curve: Fading) => {
    const below = curve.norms.findIndex((norm) => norm < 0.01);
    return `${curve.label}: ${below < 0 ? `above 1% for ${curve.norms.length - 1} steps` : `below 1% from ${below} steps back`}`;
  };
  byId("fading-summary").textContent = `${curves.map(sentence).join("; ")}.`;
}

void create();
