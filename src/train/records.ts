// How a training is laid out as named tensors: state dictionaries under prefixes, random states, lists of numbers. For the files of
// saveTraining and of the command line.

import { FormatError } from "../../bindings/errors.js";
import type { Tensor } from "../../bindings/tensor.js";
import type { Random } from "../base/random.js";

/** Tensors by their names in a file. */
export type Tensors = Readonly<Record<string, Tensor>>;

/** Adds the tensors of a dictionary, with `prefix` before their names. */
export function addPart(tensors: Record<string, Tensor>, prefix: string, dict: Tensors): void {
  for (const [name, tensor] of Object.entries(dict)) tensors[prefix + name] = tensor;
}

/** The tensors whose names start with `prefix`, under their names without it. */
export function part(tensors: Tensors, prefix: string): Record<string, Tensor> {
  const found = Object.create(null) as Record<string, Tensor>;
  for (const [name, tensor] of Object.entries(tensors)) {
    if (name.startsWith(prefix)) found[name.slice(prefix.length)] = tensor;
  }
  return found;
}

/** A tensor of one axis. */
export function vector(data: Tensor["data"]): Tensor {
  return { data, shape: [data.length] };
}

/**
 * The numbers of a tensor in a file, which must be of that type.
 *
 * @throws FormatError
 */
export function numbers<T extends Tensor["data"]>(
  tensors: Tensors,
  name: string,
  kind: { new (length: number): T; name: string },
): T {
  const data = tensors[name]?.data;
  if (data instanceof kind) return data;
  throw new FormatError(`tensor ${name}`, data?.constructor.name ?? "nothing", kind.name);
}

/** The state of a generator: its words as signed integers, since there is no tensor of u32. */
export function wordsOf(random: Random): Tensor {
  return vector(new Int32Array(random.state));
}

/** The state of a generator in a file. */
export function stateIn(tensors: Tensors, name: string): Uint32Array {
  return new Uint32Array(numbers(tensors, name, Int32Array));
}
