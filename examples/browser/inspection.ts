// The section on units: the heat map of a layer's states and gates, what the unit under its cursor does in words, and
// which units follow something readable.

import { byId, element, fillTable, visible } from "./dom.js";
import { HeatMap, KINDS } from "./heatmap.js";
import type { Activations } from "./protocol.js";
import { followers } from "./units.js";

const heatMap = new HeatMap(showUnit);
const kinds = byId<HTMLSelectElement>("map-kind");

kinds.addEventListener("change", () => {
  heatMap.kind = kinds.value;
  if (heatMap.activations) showActivations(heatMap.activations);
});

/** Clears the section, for another model. */
export function hideActivations(): void {
  byId("inspection").hidden = true;
  heatMap.activations = undefined;
}

export function showActivations(activations: Activations): void {
  byId("inspection").hidden = false;
  heatMap.show(activations);
  kinds.replaceChildren(
    ...Object.keys(activations.kinds).map((kind) => element("option", KINDS[kind]?.name ?? kind, { value: kind })),
  );
  kinds.value = heatMap.kind;
  const found = followers(activations, heatMap.values);
  fillTable(
    byId<HTMLTableElement>("unit-table"),
    ["property", "correlation", "unit"],
    found.map(({ property, correlation }) => [property, correlation.toFixed(2), ""]),
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
