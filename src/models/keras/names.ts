// Names of layers, inputs and weights.

import type { KerasLayer, KerasModel } from "../../formats/keras/description.js";

/** Names, each once. */
export function distinct(names: readonly string[]): string[] {
  const used = new Set<string>();
  return names.map((name) => {
    let own = name;
    for (let i = 1; used.has(own); i++) own = `${name}_${i}`;
    used.add(own);
    return own;
  });
}

/** Layers that have weights, each once, with the beginning of the names of their weights. */
export function leavesOf(model: KerasModel): Map<KerasLayer, string> {
  const found = new Map<KerasLayer, string>();
  const add = (layer: KerasLayer, prefix: string): void => {
    if (found.has(layer)) return;
    found.set(layer, prefix);
    if (layer.model) {
      for (const [inner, own] of leavesOf(layer.model)) found.set(inner, own);
      return;
    }
    if (!layer.inner) return;
    const innerName = ({ config, kind }: KerasLayer) => {
      const name = config.get("name");
      return typeof name === "string" ? name : kind.toLowerCase();
    };
    if (!layer.backward) add(layer.inner, prefix);
    else {
      add(layer.inner, `${prefix}/forward_${innerName(layer.inner)}`);
      add(layer.backward, `${prefix}/backward_${innerName(layer.inner)}`);
    }
  };
  for (const { layer } of model.calls) add(layer, layer.name);
  return found;
}

/** The names of all weights: of each layer, its own by Keras' names. None is there twice. */
export function parameterNames(leaves: ReadonlyMap<KerasLayer, string>): Map<KerasLayer, Map<string, string>> {
  const used = new Set<string>();
  const names = new Map<KerasLayer, Map<string, string>>();
  for (const [layer, prefix] of leaves) {
    let own = prefix;
    for (let i = 1; [...layer.weights.keys()].some((name) => used.has(`${own}/${name}`)); i++) own = `${prefix}_${i}`;
    const all = new Map([...layer.weights.keys()].map((name) => [name, `${own}/${name}`]));
    for (const name of all.values()) used.add(name);
    names.set(layer, all);
  }
  return names;
}
