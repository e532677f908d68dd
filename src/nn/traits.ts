// What containers and trainers ask about a layer. Kept beside the layers: users have no need of it.

import type { Tensor } from "../../bindings/tensor.js";
import type { Random } from "../base/random.js";

/** The axes of sequences, as a container tells them to the layers that were not told. */
export interface Axes {
  /** Whether sequences are [N,T,...]. */
  readonly batchFirst: boolean;
  /** Whether the features are those of a bidirectional layer: the second half was read from the end. */
  readonly bidirectional: boolean;
}

/** What is known about a layer. */
export interface Traits {
  /** Which of these options `forward` takes. */
  readonly takes?: readonly ("lengths" | "mask")[];
  /** Whether the axis of time ends here, so that what follows has no lengths. */
  readonly endsTime?: boolean;
  /** The order of the axes that the layer was made for; undefined where it takes the container's, or has none. */
  readonly batchFirst?: boolean | undefined;
  /** Whether the output has two directions; undefined where the layer is not recurrent. */
  readonly bidirectional?: boolean | undefined;
  /** Tells the axes to a layer that was not told. */
  readonly adopt?: (axes: Axes) => void;
  /** Generators whose state decides how training goes on, by name. */
  readonly randoms?: Readonly<Record<string, Random>>;
  /** What a stateful layer carries over to its next pass, as its `resetState` takes it. */
  readonly carried?: () => Readonly<Record<string, Tensor | undefined>>;
}

const traits = /* @__PURE__ */ new WeakMap<object, Traits>();

/** Notes the traits of a layer. */
export function setTraits(layer: object, own: Traits): void {
  traits.set(layer, own);
}

/** The traits of a layer, or none. */
export function traitsOf(layer: object): Traits {
  return traits.get(layer) ?? {};
}
