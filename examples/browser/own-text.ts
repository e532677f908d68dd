// The person's own text: that of its field, or a pasted one that is too long for a field.

import { byId, show } from "./dom.js";

/** Characters from which on a text is kept beside its field: to lay out a megabyte stops the page for a second. */
const LONG = 200_000;
/** Of a long text, shown in the field. */
const BEGINNING = 2000;

const field = byId<HTMLTextAreaElement>("own-text");
let long: string | undefined;
let edits = 0;

export function ownText(): string {
  return long ?? field.value;
}

/** Another number for every text: cheaper to compare than texts. */
export function ownEdits(): number {
  return edits;
}

function keep(text: string | undefined): void {
  long = text;
  edits++;
  byId("own-text-note").textContent =
    text === undefined ? "" : `${show(text.length)} characters, of which the field shows the beginning.`;
}

/** Takes a text in place of the field's. */
export function takeOwnText(text: string): void {
  const isLong = text.length >= LONG;
  field.value = isLong ? `${text.slice(0, BEGINNING)} …` : text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  if (isLong) keep(text);
}

/** Takes a long text that is pasted or dropped. */
function take(event: Event, data: DataTransfer | null): void {
  const text = data?.getData("text/plain") ?? "";
  if (text.length < LONG) return;
  event.preventDefault();
  takeOwnText(text);
}

field.addEventListener("input", () => keep(undefined));
field.addEventListener("paste", (event) => take(event, event.clipboardData));
field.addEventListener("drop", (event) => take(event, event.dataTransfer));
