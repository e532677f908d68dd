// The page of the race: reads the controls, draws what the worker reports.

import { FadingChart, RaceChart } from "../browser/charts.js";
import { byId, fillTable, onCores, show, showShare } from "../browser/dom.js";
import { bindToAddress } from "../browser/url.js";
import type { FromWorker, ToWorker } from "./protocol.js";
import { CELLS, SOLVED, type Cell } from "./race.js";
import { TASKS, type TaskName } from "./tasks.js";
import { fadingOf, verdictOf } from "./verdict.js";

const COLORS: Readonly<Record<Cell, string>> = { LSTM: "series-1", RNN: "series-2", GRU: "series-3" };
/** Steps back of the table. */
const PLACES = [1, 5, 10, 20, 40, 80];

const worker = new Worker(new URL("worker.js", document.baseURI), { type: "module", name: "race" });
const task = byId<HTMLSelectElement>("task");
const gap = byId<HTMLInputElement>("gap");
const seed = byId<HTMLInputElement>("seed");
const scores = new RaceChart(byId("race-chart"));
const fading = new FadingChart(byId("fading-chart"));

let run = 0;
let running = false;
let last: Extract<FromWorker, { kind: "standings" }> | undefined;

const send = (message: ToWorker) => worker.postMessage(message);

function fail(message: string): void {
  byId("error").hidden = false;
  byId("error").textContent = message;
  setRunning(false);
}

function setRunning(value: boolean): void {
  running = value;
  byId("race").textContent = value ? "Stop" : "Race again";
}

function begin(): void {
  if (!gap.validity.valid || !seed.validity.valid) return;
  byId("error").hidden = true;
  run++;
  last = undefined;
  scores.clear(CELLS.map((cell) => ({ name: cell, color: COLORS[cell] })));
  fading.curves = [];
  fading.draw();
  byId("fading-summary").textContent = "";
  fillTable(byId<HTMLTableElement>("fading-table"), [], []);
  byId("verdict").textContent = "They start.";
  byId("asks").textContent = TASKS[task.value as TaskName].asks;
  setRunning(true);
  showLanes();
  send({
    kind: "race",
    settings: { task: task.value as TaskName, gap: gap.valueAsNumber, seed: seed.valueAsNumber },
    run,
  });
}

function showLanes(): void {
  for (const cell of CELLS) {
    const standing = last?.standings.find((each) => each.cell === cell);
    const lane = byId(`lane-${cell}`);
    const solvedAt = standing?.solvedAt;
    lane.querySelector<HTMLElement>(".fill")!.style.width = `${100 * (standing?.score ?? 0)}%`;
    lane.querySelector(".says")!.textContent =
      solvedAt !== undefined ? `solved at step ${show(solvedAt)}` : (standing?.tells ?? "at the start");
    lane.classList.toggle("solved", solvedAt !== undefined);
  }
  byId("steps").textContent = last
    ? `Step ${show(last.step)}, ${show(last.seconds, 1)} s ${onCores(last.threads)}`
    : "Step 0";
}

worker.onerror = (event) => fail(`The worker failed: ${event.message || "it could not be loaded"}`);
worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
  if (data.run !== run) return; // of a race before
  switch (data.kind) {
    case "example":
      byId("example").textContent = data.text;
      return;
    case "standings":
      last = data;
      scores.add(data.step, data.standings.map(({ score }) => 100 * score)); // prettier-ignore
      byId("verdict").textContent = verdictOf(data.standings, data.step, false);
      return showLanes();
    case "norms":
      fading.curves = data.norms.map(({ cell, norms }) => ({ name: cell, label: cell, color: COLORS[cell], dashed: false, norms })); // prettier-ignore
      fading.draw();
      byId("fading-summary").textContent = fadingOf(data.norms, data.step);
      return fillTable(
        byId<HTMLTableElement>("fading-table"),
        ["cell", ...PLACES.filter((back) => back <= gap.valueAsNumber).map((back) => `${back} back`)],
        data.norms.map(({ cell, norms }) => [cell, ...PLACES.filter((back) => back <= gap.valueAsNumber).map((back) => showShare(norms[back]))]), // prettier-ignore
      );
    case "ended": {
      setRunning(false);
      if (last) byId("verdict").textContent = verdictOf(last.standings, last.step, data.because !== "stopped");
      return;
    }
    case "error":
      return fail(`The race failed: ${data.message}`);
  }
};

byId("controls").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!running) return begin();
  send({ kind: "stop" });
});
gap.addEventListener("input", () => (byId("gap-value").textContent = gap.value));
for (const field of [task, gap, seed]) field.addEventListener("change", begin);
byId("solved-from").textContent = `${100 * SOLVED}%`;
bindToAddress({ task, gap, seed });
window.addEventListener("hashchange", begin);
begin();
