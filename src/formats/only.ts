// The option `only` of readers of several tensors.

import { ValueError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";
import { quote } from "./json.js";

/**
 * Selects the tensors to read.
 *
 * @param name as the file has it
 */
export type NameFilter = (name: string) => boolean;

/**
 * The option `only` as a function that selects entries.
 *
 * @throws ValueError; the function throws one that names names which are not among the entries
 */
export function checkOnly(
  only: readonly string[] | NameFilter | undefined,
): <Entry extends { readonly name: string }>(entries: readonly Entry[]) => readonly Entry[] {
  if (only === undefined) return (entries) => entries;
  if (typeof only === "function") return (entries) => entries.filter(({ name }) => only(name));
  const expected = "an array of names, or a function of a name";
  if (!Array.isArray(only)) throw new ValueError("only", describe(only), expected);
  const names = new Set<string>();
  for (let i = 0; i < only.length; i++) {
    const name: unknown = only[i];
    if (typeof name !== "string") throw new ValueError(`only[${i}]`, describe(name), "a name");
    names.add(name);
  }
  return (entries) => {
    const chosen = entries.filter(({ name }) => names.has(name));
    if (chosen.length === names.size) return chosen;
    for (const { name } of chosen) names.delete(name);
    const missing = [...names].slice(0, 5).map(quote).join(", ");
    const known = entries.slice(0, 5).map(({ name }) => quote(name));
    const more = entries.length > known.length ? ", ..." : "";
    throw new ValueError(
      "only",
      `${missing}${names.size > 5 ? ", ..." : ""}`,
      `names in the file: ${known.join(", ")}${more}`,
    );
  };
}
