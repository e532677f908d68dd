// The section on units: the heat map of a layer's states and gates, what the unit under its cursor does in words, and
// which units follow something readable.

import { byId, element, fillTable, show, visible } from "./dom.js";
import { HeatMap, KINDS } from "./heatmap.js";
import type { Activations, Following, Written } from "./protocol.js";

/** Characters of live text that the map shows. */
const MAPPED = 120;

const heatMap = new HeatMap(showUnit);
const kinds = byId<HTMLSelectElement>("map-kind");
const section = byId("inspection");
/** Whether the map shows the text that is being written, and not one of the person's own. */
let follows = true;
/** Whether the person has chosen a unit. */
let chosen = false;
let seen = false;
new IntersectionObserver(([entry]) => (seen = entry!.isIntersecting)).observe(section);

/** The kind of states or gates that the map shows. */
export const shownKind = (): string => heatMap.kind;

export function onKind(listen: () => void): void {
  kinds.addEventListener("change", () => {
    heatMap.kind = kinds.value;
    if (heatMap.activations) draw(heatMap.activations);
    listen();
  });
}

for (const event of ["pointerdown", "keydown"]) byId("map").addEventListener(event, () => (chosen = true));

/** For another model: the map is empty, and follows the writing. */
export function clearActivations(): void {
  section.hidden = true;
  heatMap.activations = undefined;
  chosen = false;
  fillTable(byId<HTMLTableElement>("unit-table"), [], []);
  byId("unit-note").textContent = "";
  setFollowing(true);
}

export function setFollowing(value: boolean): void {
  follows = value;
  byId("follow").hidden = value;
}

/** A text of the person's own, which the map keeps. */
export function showInspected(activations: Activations): void {
  setFollowing(false);
  draw(activations);
  byId("map-about").textContent = "It reads your text.";
}

/** What is on the stage while a model is trained. */
export function showSampled(activations: Activations, step: number): void {
  if (!follows) return;
  draw(activations);
  byId("map-about").textContent = `The end of what it wrote after ${show(step)} steps.`;
}

/** One more character of live text: a column more on the right. */
export function appendWritten({ characters, kinds, layer }: Written, fresh: boolean): void {
  if (!follows) return;
  const before = heatMap.activations;
  const units = kinds.h!.length / characters.length;
  const goesOn = !fresh && before?.units === units && before.layer === layer;
  const all = [...(goesOn ? before.characters : []), ...characters].slice(-MAPPED);
  const joined = Object.entries(kinds).map(([name, values]) => {
    const earlier = goesOn ? before.kinds[name]! : new Float32Array();
    const both = new Float32Array(earlier.length + values.length);
    both.set(earlier);
    both.set(values, earlier.length);
    return [name, both.slice(-all.length * units)] as const;
  });
  const activations = { characters: all, units, layer, kinds: Object.fromEntries(joined) };
  byId("map-about").textContent = "It follows the text that is being written.";
  if (seen || section.hidden) draw(activations, true);
  else heatMap.activations = activations;
}

function draw(activations: Activations, atEnd = false): void {
  section.hidden = false;
  if (atEnd && !chosen) heatMap.place = activations.characters.length - 1;
  heatMap.show(activations);
  const names = Object.keys(activations.kinds);
  if (names.join() !== [...kinds.options].map(({ value }) => value).join()) {
    kinds.replaceChildren(...names.map((kind) => element("option", KINDS[kind]?.name ?? kind, { value: kind })));
  }
  kinds.value = heatMap.kind;
  byId("kind-note").textContent = KINDS[heatMap.kind]?.does ?? "";
  const scroller = byId("map").closest(".scroll")!;
  if (atEnd && !chosen) scroller.scrollLeft = scroller.scrollWidth;
}

export function showFollowing({ layer, shows, step, length, found }: Following): void {
  const best = found[0];
  const buttons = () => [...byId("unit-table").querySelectorAll("button")];
  const focused = buttons().findIndex((button) => button === document.activeElement);
  fillTable(
    byId<HTMLTableElement>("unit-table"),
    ["property", "correlation", "untrained", "unit"],
    found.map(({ property, correlation, chance }) => [property, correlation.toFixed(2), chance.toFixed(2), ""]),
  );
  byId("unit-table")
    .querySelectorAll("tbody tr")
    .forEach((row, i) => {
      const button = element("button", `Unit ${found[i]!.unit + 1}`, { type: "button" });
      button.addEventListener("click", () => {
        chosen = true;
        heatMap.moveTo(found[i]!.unit, heatMap.place);
      });
      row.lastElementChild!.replaceChildren(button);
    });
  buttons()[focused]?.focus({ preventScroll: true }); // the keyboard stays where it was
  const half = show(Math.floor(length / 2));
  byId("unit-note").textContent =
    `Layer ${layer + 1}, ${KINDS[shows]?.name ?? shows}, after ${show(step)} steps. Each unit is chosen on ${half} characters of text held ` +
    `back from the training, and its correlation measured on the next ${half}. “Untrained” is what the best unit of a new network of ` +
    `the same shape reaches there: that much is chance.`;
  if (best && !chosen && heatMap.activations) heatMap.moveTo(best.unit, heatMap.place);
  else if (best && !chosen) heatMap.unit = best.unit;
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
