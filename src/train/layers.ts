// The layers of a model: of a container, or of a Module of the caller's.

import { Layer } from "../nn/layer.js";

/**
 * The layers in a model, by their paths: the model itself, those in its `layers`, those in the fields of an object of the caller's, at
 * any depth. Layers in private fields cannot be found.
 */
export function layersOf(model: unknown): [path: string, layer: Layer][] {
  const found: [string, Layer][] = [];
  const seen = new Set<unknown>();
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== "object" || value === null || seen.has(value)) return;
    seen.add(value);
    const { layers } = value as { layers?: unknown };
    const inner = typeof layers === "object" && layers !== null;
    if (value instanceof Layer && !inner) {
      found.push([path, value as Layer]);
      return;
    }
    if (!inner && !isModule(value)) return;
    for (const [name, each] of Object.entries(inner ? layers : value))
      visit(each, path === "" ? name : `${path}.${name}`);
  };
  visit(model, "");
  return found;
}

function isModule(value: object): boolean {
  return typeof (value as { forward?: unknown }).forward === "function";
}
