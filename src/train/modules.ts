// The layers and containers that a model consists of.

import { Layer } from "../nn/layer.js";

/**
 * What a model consists of, by path; a container comes before its layers. The layers of a container are in its `layers`, those of a
 * `Module` of the caller's in its fields. Private fields cannot be seen.
 */
export function modulesOf(model: object): [path: string, part: object][] {
  const found: [string, object][] = [];
  const seen = new Set<unknown>();
  const visit = (part: object, path: string): void => {
    if (seen.has(part)) return;
    seen.add(part);
    found.push([path, part]);
    if (part instanceof Layer) return;
    const { layers } = part as { layers?: unknown };
    for (const [name, each] of Object.entries(isObject(layers) ? layers : part) as [string, unknown][]) {
      if (isObject(each) && typeof each.forward === "function") visit(each, path === "" ? name : `${path}.${name}`);
    }
  };
  visit(model, "");
  return found;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
