// The section on fading gradients: curves of the page's model and of the three cells side by side, in a chart, in a
// sentence and in tables.

import { FadingChart, type Curve } from "./charts.js";
import { byId, element, fillTable, show, showShare } from "./dom.js";
import type { Compared, FromWorker } from "./protocol.js";

/** Each cell's colour of the style sheet; the page's own model has the fourth. */
const COLORS = { LSTM: "series-1", RNN: "series-2", GRU: "series-3" };
/** Steps back that the table has, and the one that the sentence compares. */
const PLACES = [1, 5, 10, 20, 30, 60];
const COMPARED = 30;

const chart = new FadingChart(byId("fading-chart"));
/** Of the page's model, where it was asked for. */
let own: Curve | undefined;
let compared: readonly Compared[] = [];

export function showOwn(curve: Extract<FromWorker, { kind: "fading" }> | undefined): void {
  own = curve && {
    name: "this model",
    label: `this model: ${curve.cell}, step ${show(curve.step)}`,
    color: "series-4",
    dashed: false,
    norms: curve.norms,
  };
  draw();
}

export function showCompared(results: readonly Compared[]): void {
  compared = results;
  byId("comparison").hidden = false;
  fillTable(
    byId<HTMLTableElement>("comparison-table"),
    ["cell", "parameters", "seconds", "validation loss"],
    results.map(({ cell, parameters, seconds, loss }) => [cell, show(parameters), seconds.toFixed(1), loss.toFixed(3)]),
  );
  draw();
}

function draw(): void {
  const curves = compared.flatMap(({ cell, steps, before, after }): Curve[] => {
    const of = { name: cell, color: COLORS[cell] };
    return [
      { ...of, label: `${cell}, new`, dashed: true, norms: before },
      { ...of, label: `${cell}, after ${show(steps)} steps`, dashed: false, norms: after },
    ];
  });
  if (own) curves.unshift(own);
  byId("fading-figure").hidden = curves.length === 0;
  if (curves.length === 0) return;
  chart.curves = curves;
  chart.draw();
  fillTable(
    byId<HTMLTableElement>("fading-table"),
    ["model", ...PLACES.map((back) => `${back} back`)],
    curves.map(({ label, norms }) => [label, ...PLACES.map((back) => showShare(norms[back]))]),
  );
  byId("fading-summary").replaceChildren(...sentences().map((text) => element("p", text)));
}

/** The chart in words. */
function sentences(): string[] {
  const all: string[] = [];
  if (own) all.push(`${capital(own.label)}: ${reach(own.norms)}.`);
  if (compared.length === 0) return all;
  const back = Math.min(COMPARED, ...compared.map(({ before }) => before.length - 1));
  const ranked = (when: "before" | "after") =>
    [...compared]
      .sort((a, b) => b[when][back]! - a[when][back]!)
      .map((each) => `${each.cell} ${showShare(each[when][back])}`)
      .join(", ");
  all.push(
    `${back} steps back this share of the gradient is left, the most first: ${ranked("before")} in the new models, dashed; ` +
      `${ranked("after")} after ${show(compared[0]!.steps)} steps of training.`,
  );
  return all;
}

function reach(norms: readonly number[]): string {
  const below = norms.findIndex((norm) => norm < 0.01);
  return below < 0 ? `above 1% for all ${norms.length - 1} steps` : `below 1% from ${below} steps back`;
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
