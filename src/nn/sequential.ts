// A chain of layers that is used like one layer.

import { ShapeError, StateError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import type { Lengths } from "../../bindings/memory.js";
import { describe, type FloatDtype, type Tensor, type TensorData } from "../../bindings/tensor.js";
import { checkOptions, lockFields, readList } from "../base/check.js";
import { checkOutside, currentTape } from "../recording/current.js";
import { entriesMeant, Layer, type LoadOptions, type Module, type Parameter } from "./layer.js";
import type { MultiheadAttention } from "./multihead-attention.js";
import { setTraits, traitsOf, type Axes, type Link, type SequenceOptions, type Traits } from "./traits.js";

export type { SequenceOptions };

/**
 * The layers of a chain, by name or in a list, in the order in which they run.
 *
 * @typeParam D the number type
 */
export type LayerList<D extends FloatDtype = FloatDtype> =
  Readonly<Record<string, Module<D> | MultiheadAttention<D>>> | readonly (Module<D> | MultiheadAttention<D>)[];

/**
 * A model that runs one step at a time: a live state, and no allocation in a step.
 *
 * @typeParam D the number type
 */
export interface ModelStream<D extends FloatDtype = FloatDtype> {
  /**
   * Runs one step.
   *
   * @param x the numbers of the step, row by row
   * @returns a live view, valid until the next call of this package
   */
  step(x: ArrayLike<number>): TensorData<D>;
  /** Starts from the beginning of a sequence. */
  reset(): void;
  /** Frees the memory. */
  dispose(): void;
}

/** A layer as a chain uses it. */
interface Part<D extends FloatDtype> extends Omit<Module<D>, "forward" | "backward"> {
  stream?(options: { batchSize?: number | undefined }): ModelStream<D>;
}

interface Entry<D extends FloatDtype> {
  readonly name: string;
  readonly layer: Part<D>;
  readonly traits: Traits;
  /** Runs the layer. */
  readonly link: Link;
}

/**
 * Layers one after the other, used like one layer, as PyTorch's
 * [nn.Sequential](https://docs.pytorch.org/docs/stable/generated/torch.nn.Sequential.html): the output of each is the input of the
 * next. Parameters are named after the layers, `lstm.weight_ih_l0`; those of a list are named `0`, `1` ...
 *
 * Lengths and masks go to the layers that take them. Layers over time that have no `batchFirst` of their own take it from the
 * recurrent layers, and `LastStep` takes `bidirectional` from the nearest recurrent layer before it. `MultiheadAttention` attends from
 * each step of its input to those of its input that take part.
 *
 * @typeParam D the number type
 * @typeParam Layers the layers, as they were given
 */
export class Sequential<
  D extends FloatDtype = FloatDtype,
  Layers extends LayerList<D> = LayerList<D>,
> implements Module<D> {
  /** The layers, in the form in which they were given. */
  readonly layers: Layers;
  readonly #entries: readonly Entry<D>[];
  #training = true;
  /** Whether the passes that the layers saved are of one forward. */
  #whole = true;

  /**
   * Makes a chain of layers, which belong to it from then on. It starts in training mode.
   *
   * @param layers by name or in a list; at least one, each once
   * @throws ValueError (names, layers, `batchFirst` that differs)
   */
  constructor(layers: Layers & LayerList<D>) {
    const list = Array.isArray(layers);
    if (typeof layers !== "object" || layers === null) {
      throw new ValueError("layers", describe(layers), "layers by name, or a list of them");
    }
    const entries: [string, unknown][] = list
      ? readList("layers", layers, "layers").map((layer, i) => [String(i), layer])
      : Object.entries(layers);
    if (entries.length === 0) throw new ValueError("layers", "none", "at least one");
    const seen = new Set<unknown>();
    this.#entries = entries.map(([name, layer]) => {
      if (name === "" || name.includes("."))
        throw new ValueError("layers", `the name ${describe(name)}`, "one without a dot");
      // inherits from a layer or a chain, and is none
      const isForeign =
        (layer instanceof Layer && !Layer.isLayer(layer)) || (layer instanceof Sequential && !(#entries in layer));
      if (isForeign || typeof (layer as Partial<Link> | null | undefined)?.forward !== "function") {
        throw new ValueError(`layers.${name}`, describe(layer), "a layer");
      }
      if (seen.has(layer)) throw new ValueError(`layers.${name}`, "a layer for the second time", "each layer once");
      seen.add(layer);
      const traits = traitsOf(layer as object);
      return { name, layer: layer as Part<D>, traits, link: traits.link ?? (layer as Link) };
    });
    this.layers = Object.freeze(list ? entries.map(([, layer]) => layer) : Object.fromEntries(entries)) as Layers;
    const batchFirst = this.#commonOrder();
    const adopt = ({ batchFirst, bidirectional }: Axes): void => {
      for (const { traits } of this.#entries) {
        traits.adopt?.({ batchFirst, bidirectional });
        bidirectional = traits.bidirectional ?? bidirectional;
      }
    };
    if (batchFirst !== undefined) adopt({ batchFirst, bidirectional: undefined });
    const directions = this.#entries.map(({ traits }) => traits.bidirectional).filter((each) => each !== undefined);
    setTraits(this, {
      takes: ["lengths", "mask"],
      endsTime: this.#entries.some(({ traits }) => traits.endsTime === true),
      batchFirst,
      bidirectional: directions.at(-1),
      adopt,
      layers: this.#entries,
    });
    lockFields(this);
  }

  /** The order of axes on which all layers that have one agree. */
  #commonOrder(): boolean | undefined {
    let first: string | undefined;
    let common: boolean | undefined;
    for (const { name, traits } of this.#entries) {
      const { batchFirst } = traits;
      if (batchFirst === undefined) continue;
      if (common !== undefined && batchFirst !== common) {
        throw new ValueError(`layers.${name}`, `batchFirst ${batchFirst}`, `${common}, as that of ${first}`);
      }
      [first, common] = [first ?? name, batchFirst];
    }
    return common;
  }

  /** Whether the chain is in training mode. */
  get training(): boolean {
    return this.#training;
  }

  /**
   * Runs all layers.
   *
   * @param x the input of the first layer
   * @param options `lengths`, `mask`: for the layers that take them
   * @throws what the layers throw; UnsupportedError (an unknown option)
   */
  forward(
    x: Tensor,
    options: SequenceOptions = {},
  ): {
    /** The output of the last layer. */
    output: Tensor<D>;
    /** The number of valid steps of each row of the output, where lengths were given and the output has steps. */
    lengths?: Lengths;
  } {
    let { lengths, mask } = checkOptions("Sequential.forward", options, ["lengths", "mask"]);
    const saves = this.#training && !currentTape();
    let output = x;
    for (const { layer, link, traits } of this.#entries) {
      const { takes, endsTime } = traits;
      const given: SequenceOptions = {};
      const isTaken = (name: "lengths" | "mask") => (takes ? takes.includes(name) : !(layer instanceof Layer));
      if (lengths !== undefined && isTaken("lengths")) given.lengths = lengths;
      if (mask !== undefined && isTaken("mask")) given.mask = mask;
      const result = Object.keys(given).length > 0 ? link.forward(output, given) : link.forward(output);
      if (saves) this.#whole = false; // until all layers have run
      output = result.output;
      lengths = result.lengths ?? lengths;
      if (endsTime) lengths = mask = undefined;
    }
    if (saves) this.#whole = true;
    const result = { output: output as Tensor<D> };
    return lengths === undefined ? result : { ...result, lengths };
  }

  /**
   * Runs all layers backward, and adds to the gradients of the parameters. It belongs to the latest forward in training mode, and
   * uses it up. Where a layer throws, the layers after it have added to their gradients; another backward needs another forward.
   *
   * @param gradients of the results of forward
   * @param gradients.output in the shape of the output
   * @throws what the layers throw; StateError (the latest forward or backward has failed); UnsupportedError
   */
  backward(gradients: { output: Tensor }): {
    /** The gradient of x; absent if x is indices. */
    x?: Tensor<D>;
  } {
    const given = checkOptions("Sequential.backward", gradients, ["output"]);
    if (!this.#whole) {
      throw new StateError("Sequential.backward", "a forward or backward before it that failed", "another forward");
    }
    let { output } = given;
    for (const [i, { name, link }] of [...this.#entries.entries()].reverse()) {
      const { x } = link.backward({ output });
      this.#whole = i === 0; // not before all layers have run
      if (x) output = x;
      else if (i === 0) return {};
      else throw new UnsupportedError(`layers.${name}`, "a layer whose input has no gradient", "such a layer first");
    }
    return { x: output as Tensor<D> };
  }

  /** The parameters of all layers, named after them, live. */
  parameters(): Parameter<D>[] {
    return this.#entries.flatMap(({ name, layer }) =>
      layer.parameters().map((parameter) => Object.freeze({ ...parameter, name: `${name}.${parameter.name}` })),
    );
  }

  /** Sets all gradients to zero. */
  zeroGrad(): void {
    for (const { layer } of this.#entries) layer.zeroGrad();
  }

  /**
   * Switches all layers to training mode.
   *
   * @returns the chain
   */
  train(): this {
    for (const { layer } of this.#entries) layer.train();
    this.#training = true;
    return this;
  }

  /**
   * Switches all layers to inference mode.
   *
   * @returns the chain
   */
  eval(): this {
    for (const { layer } of this.#entries) layer.eval();
    this.#training = false;
    return this;
  }

  /** Copies of what all layers' `stateDict` have, their names after those of the layers. */
  stateDict(): Record<string, Tensor<D>> {
    return Object.fromEntries(
      this.#entries.flatMap(({ name, layer }) =>
        Object.entries(layer.stateDict()).map(([key, tensor]) => [`${name}.${key}`, tensor] as const),
      ),
    );
  }

  /**
   * Sets all parameters from tensors by name; f32 and f64 convert.
   *
   * @param dict an entry for each entry of `stateDict`, and no other
   * @param options which entries are meant: `prefix`, `rename`
   * @throws ShapeError, DtypeError naming a missing, unknown or misshapen entry, ValueError, StateError, DisposedError; nothing
   *   is changed then
   */
  loadStateDict(dict: Readonly<Record<string, Tensor>>, options: LoadOptions = {}): void {
    checkOutside("Sequential.loadStateDict");
    const meant = entriesMeant(dict, options);
    const { prefix = "" } = options;
    const names = this.#entries.map(({ name }) => name);
    const parts = new Map<string, Record<string, Tensor>>(names.map((name) => [name, {}]));
    for (const [name, key] of meant) {
      const part = parts.get(name.split(".")[0]!);
      if (!part) throw new ShapeError("dict", `an unknown entry "${key}"`, `entries of ${names.join(", ")}`);
      part[`${prefix}${name}`] = dict[key]!;
    }
    const before: [Part<D>, Record<string, Tensor>][] = [];
    try {
      for (const { name, layer } of this.#entries) {
        const own = layer.stateDict();
        const part = parts.get(name)!;
        const start = `${prefix}${name}.`;
        if (layer instanceof Layer || layer instanceof Sequential) layer.loadStateDict(part, { prefix: start });
        else
          layer.loadStateDict(
            Object.fromEntries(Object.entries(part).map(([key, tensor]) => [key.slice(start.length), tensor])),
          );
        before.push([layer, own]);
      }
    } catch (error) {
      for (const [layer, own] of before) layer.loadStateDict(own);
      throw error;
    }
  }

  /**
   * Creates a stream: it runs one step at a time, on a copy of the present weights.
   *
   * @param options the batch size N, 1 by default
   * @throws UnsupportedError naming a layer that looks ahead or has no stream; ShapeError, DisposedError, OutOfMemoryError
   */
  stream(options: { batchSize?: number | undefined } = {}): ModelStream<D> {
    const given = checkOptions("stream", options, ["batchSize"]);
    const streams: ModelStream<D>[] = [];
    const dispose = (): void => streams.forEach((stream) => stream.dispose());
    try {
      for (const { name, layer } of this.#entries) {
        if (typeof layer.stream !== "function") {
          throw new UnsupportedError(`layers.${name}.stream`, describe(layer), "layers that run step by step");
        }
        streams.push(layer.stream(given));
      }
    } catch (error) {
      dispose();
      throw error;
    }
    return Object.freeze({
      step(x: ArrayLike<number>): TensorData<D> {
        let numbers = x;
        for (const stream of streams) numbers = stream.step(numbers);
        return numbers as TensorData<D>;
      },
      reset: () => streams.forEach((stream) => stream.reset()),
      dispose,
    });
  }

  /** Frees the memory of all layers. */
  dispose(): void {
    checkOutside("Sequential.dispose");
    for (const { layer } of this.#entries) layer.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}
