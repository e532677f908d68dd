// Reads a PyTorch state_dict in JSON.

import { ShapeError, UnsupportedError } from "../../../bindings/errors.js";
import { GATES, type CellKind } from "../../../bindings/recurrent.js";
import { describe, type FloatDtype, type Tensor } from "../../../bindings/tensor.js";
import { quote } from "../json.js";
import { checkLayerCount, type ConvolutionLayer, type StreamingLayer } from "./description.js";
import { numbers } from "./json.js";

/** What a state_dict does not tell of a convolution. */
export interface ConvolutionForm {
  /** Frames from one output to the next (default 1). */
  stride?: number | undefined;
  /** Frames from one tap to the next (default 1). */
  dilation?: number | undefined;
  /** Groups of channels (default: as many as the size before makes them; 1 for the first module). */
  groups?: number | undefined;
  /** "valid" (default): the first whole window has the first output; "causal": zeros come before the first frame. */
  padding?: "valid" | "causal" | undefined;
}

/** A state_dict of nested arrays. Every entry must be used: see `checkAllTaken`. */
export class StateDict {
  readonly #left: Set<string>;

  constructor(
    readonly path: string,
    readonly entries: Readonly<Record<string, unknown>>,
    readonly dtype: FloatDtype,
  ) {
    this.#left = new Set(Object.keys(entries));
  }

  has(key: string): boolean {
    return Object.hasOwn(this.entries, key);
  }

  /** The names of all modules, in the file's order. */
  modules(): string[] {
    return [...new Set(Object.keys(this.entries).map((key) => key.slice(0, Math.max(0, key.lastIndexOf(".")))))];
  }

  /** A stack of RNN, LSTM or GRU layers; arguments that are undefined follow from the shapes. */
  recurrent(
    prefix: string,
    kind: CellKind | undefined,
    hiddenSize: number | undefined,
    inputSize: number | undefined,
  ): StreamingLayer & { type: CellKind } {
    const hh = this.#read(`${prefix}weight_hh_l0`, [undefined, hiddenSize]).shape as [number, number];
    const h = hiddenSize ?? hh[1];
    const kinds = Object.keys(GATES) as CellKind[];
    const type = kind ?? kinds.find((each) => GATES[each] * h === hh[0]);
    if (type === undefined) {
      throw new ShapeError(this.#place(`${prefix}weight_hh_l0`), `${hh[0]} rows`, `1, 3 or 4 times ${h}`);
    }
    const g = GATES[type] * h;
    const state: Record<string, Tensor> = {};
    const bias = this.has(`${prefix}bias_ih_l0`);
    let width = inputSize;
    let layer = 0;
    for (; layer === 0 || this.has(`${prefix}weight_hh_l${layer}`); layer++) {
      checkLayerCount(this.path, layer + 1);
      const take = (name: string, pattern: readonly (number | undefined)[]) =>
        (state[`${name}_l${layer}`] = this.#take(`${prefix}${name}_l${layer}`, pattern));
      const ih = take("weight_ih", [g, layer === 0 ? width : h]);
      width ??= ih.shape[1]!;
      take("weight_hh", [g, h]);
      if (bias) for (const name of ["bias_ih", "bias_hh"]) take(name, [g]);
    }
    return { type, inputSize: width!, hiddenSize: h, numLayers: layer, state };
  }

  /** A linear module. */
  linear(
    prefix: string,
    inFeatures: number | undefined,
    outFeatures: number | undefined,
  ): StreamingLayer & { type: "dense" } {
    const weight = this.#take(`${prefix}weight`, [outFeatures, inFeatures]);
    const bias = this.has(`${prefix}bias`) ? this.#take(`${prefix}bias`, [weight.shape[0]]) : undefined;
    return { type: "dense", weight, bias };
  }

  /** Whether a module has the weight of a convolution: three axes. */
  isConvolution(prefix: string): boolean {
    const given = this.has(`${prefix}weight`) ? this.entries[`${prefix}weight`] : undefined;
    return Array.isArray(given) && Array.isArray(given[0]) && Array.isArray(given[0][0]);
  }

  /**
   * A convolution over time.
   *
   * @param channels of its input; undefined: as many as its weight and groups say
   */
  convolution(prefix: string, channels: number | undefined, form: ConvolutionForm = {}): ConvolutionLayer {
    const { stride = 1, dilation = 1, padding = "valid" } = form;
    const weight = this.#take(`${prefix}weight`, [undefined, undefined, undefined]);
    const [out, width] = weight.shape as [number, number, number];
    const groups = form.groups ?? (channels === undefined ? 1 : Math.max(1, Math.floor(channels / width)));
    const place = this.#place(`${prefix}weight`);
    if (channels !== undefined && width * groups !== channels) {
      throw new ShapeError(place, `${width} inputs of each of ${groups} groups`, `${channels} in all`);
    }
    if (out % groups !== 0) throw new ShapeError(place, `${out} outputs`, `a multiple of groups, ${groups}`);
    const bias = this.has(`${prefix}bias`) ? this.#take(`${prefix}bias`, [out]) : undefined;
    return { type: "conv1d", weight, bias, stride, dilation, groups, causal: padding === "causal" };
  }

  checkAllTaken(): void {
    for (const key of this.#left) {
      throw new UnsupportedError(this.path, `an entry ${describe(key)}`, "no other entries");
    }
  }

  #take(key: string, pattern: readonly (number | undefined)[]): Tensor {
    this.#left.delete(key);
    return this.#read(key, pattern);
  }

  #read(key: string, pattern: readonly (number | undefined)[]): Tensor {
    return numbers(this.#place(key), this.has(key) ? this.entries[key] : undefined, pattern, this.dtype);
  }

  #place(key: string): string {
    return `${this.path}[${quote(key)}]`;
  }
}
