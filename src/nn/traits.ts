// What containers and trainers ask about a layer. Kept beside the layers: users have no need of it.

import type { Lengths } from "../../bindings/memory.js";
import type { Cell } from "../../bindings/recurrent.js";
import type { Tensor } from "../../bindings/tensor.js";
import type { Random } from "../base/random.js";

/** The axes of sequences, as a container tells them to the layers that were not told. */
export interface Axes {
  /** Whether sequences are [N,T,...]. */
  readonly batchFirst: boolean;
  /**
   * Whether the features are those of a bidirectional layer: the second half was read from the end. Undefined where no recurrent
   * layer comes before.
   */
  readonly bidirectional: boolean | undefined;
}

/** What a container is told about its sequences. */
export interface SequenceOptions {
  /** The number of valid steps of each row. */
  lengths?: Lengths | undefined;
  /** Which steps take part, i32 of 1 and 0, as the recurrent layers take it. */
  mask?: Tensor | undefined;
}

/** How a container runs a layer. */
export interface Link {
  forward(x: Tensor, options?: SequenceOptions): { output: Tensor; lengths?: Lengths };
  backward(gradients: { output: Tensor }): { x?: Tensor };
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
  /** The cell of a recurrent layer. */
  readonly cell?: Cell;
  /** Whether a recurrent layer reads sequences from the last step to the first. */
  readonly goBackwards?: boolean;
  /** What a recurrent layer drops in training: numbers between its layers, and units of h. */
  readonly dropouts?: { readonly dropout: number; readonly recurrentDropout: number };
  /** The layers of a chain. */
  readonly layers?: readonly { readonly name: string; readonly layer: object }[];
  /** How a container runs the layer, where not by its `forward` and `backward`. */
  readonly link?: Link;
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
