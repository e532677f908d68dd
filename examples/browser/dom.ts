// Small helpers for the page's elements.

/** The element with this id, which index.html has. */
export function byId<E extends HTMLElement = HTMLElement>(id: string): E {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`index.html has no #${id}`);
  return found as E;
}

/** A number as people read it: 12,345 or, with digits, 1.234. */
export function show(value: number, digits = 0): string {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A number with three significant digits, in thousands or millions where it is large. */
export function showShort(value: number): string {
  return value.toLocaleString("en", { notation: "compact", maximumSignificantDigits: 3 });
}

/** How many cores of the processor compute. */
export function onCores(threads: number): string {
  return threads === 1 ? "on one processor core" : `on ${threads} processor cores`;
}

/** A share of 1 with two digits, as a power of ten where it is small. */
export function showShare(value: number | undefined): string {
  if (value === undefined) return "–";
  return value < 0.001 ? value.toExponential(1) : value.toPrecision(2);
}

export function element<K extends keyof HTMLElementTagNameMap>(
  name: K,
  text = "",
  attributes: Record<string, string> = {},
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

/** Puts rows into a table: the first column's cells are headers of their rows. */
export function fillTable(
  table: HTMLTableElement,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): void {
  const headRow = element("tr");
  headRow.append(...head.map((text) => element("th", text, { scope: "col" })));
  const bodyRows = rows.map(([first = "", ...rest]) => {
    const row = element("tr");
    row.append(element("th", first, { scope: "row" }), ...rest.map((text) => element("td", text)));
    return row;
  });
  const [thead, tbody] = [element("thead"), element("tbody")];
  thead.append(headRow);
  tbody.append(...bodyRows);
  table.replaceChildren(thead, tbody);
}

/** Puts a text into the page's line of news. */
export function say(text: string): void {
  byId("status").textContent = text;
}

/** Shows what has failed, and why. */
export function fail(what: string, error: unknown): void {
  byId("error").hidden = false;
  byId("error").textContent = `${what}: ${error instanceof Error ? error.message : String(error)}`;
  say("");
}

/** A character as it can be seen. */
export function visible(character: string): string {
  return character === " " ? "space" : character === "\n" ? "newline" : character === "\t" ? "tab" : character;
}

export const darkScheme = matchMedia("(prefers-color-scheme: dark)");
