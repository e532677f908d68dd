// The state of a page in its address: whoever opens it has the same settings and seed.

/** A field of a form, or radio buttons of one name. */
type Field = HTMLInputElement | HTMLSelectElement | RadioNodeList;

const elementsOf = (field: Field): Element[] => (field instanceof RadioNodeList ? ([...field] as Element[]) : [field]);
const isCheckbox = (field: Field): field is HTMLInputElement =>
  field instanceof HTMLInputElement && field.type === "checkbox";

const valueOf = (field: Field): string => (isCheckbox(field) ? (field.checked ? "on" : "off") : field.value);

function setValue(field: Field, value: string): void {
  if (isCheckbox(field)) {
    if (value === "on" || value === "off") field.checked = value === "on";
  } else field.value = value; // radio buttons stay as they are where none has such a value
}

/** A select without such an option has no value, an input may be out of its range. */
const isValid = (field: Field): boolean =>
  field instanceof RadioNodeList || (field.value !== "" && field.validity.valid);

/** Fields that begin with what the address says where it is valid, and write there what is not their default. */
export function bindToAddress(fields: Readonly<Record<string, Field>>): void {
  const defaults = Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, valueOf(field)]));
  const read = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const [name, field] of Object.entries(fields)) {
      setValue(field, defaults[name]!);
      setValue(field, given.get(name) ?? defaults[name]!);
      if (!isValid(field)) setValue(field, defaults[name]!);
      elementsOf(field)[0]!.dispatchEvent(new Event("input", { bubbles: true }));
    }
  };
  const write = () => {
    const changed = Object.entries(fields)
      .map(([name, field]) => [name, valueOf(field)] as [string, string])
      .filter(([name, value]) => value !== "own" && value !== defaults[name]);
    const hash = new URLSearchParams(changed).toString();
    history.replaceState(history.state, "", hash === "" ? location.pathname + location.search : `#${hash}`);
  };
  read();
  for (const field of Object.values(fields)) {
    for (const each of elementsOf(field)) each.addEventListener("change", write);
  }
  window.addEventListener("hashchange", read);
}
