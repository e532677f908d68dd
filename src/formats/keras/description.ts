// What every form of a Keras model is read into: layers with their weights, and the calls that connect them.

import type { Tensor } from "../../../bindings/tensor.js";
import type { Config } from "./config.js";

/** A layer. */
export interface KerasLayer {
  readonly name: string;
  /** The name of its class. CuDNNLSTM and CuDNNGRU are read as LSTM and GRU. */
  readonly kind: string;
  readonly config: Config;
  /** By Keras' names: kernel, bias, gamma ... */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** The layer of a wrapper; for Bidirectional the one that reads forward. */
  readonly inner?: KerasLayer | undefined;
  /** Bidirectional: the layer that reads backward. */
  readonly backward?: KerasLayer | undefined;
  /** A model that is used as a layer. */
  readonly model?: KerasModel | undefined;
}

/** A result: of an input of the model, or of a call. */
export interface KerasResult {
  /** The number of the call; -1 - i for input i. */
  readonly call: number;
  /** Which of its results. */
  readonly index: number;
}

/** One use of a layer. */
export interface KerasCall {
  readonly layer: KerasLayer;
  readonly inputs: readonly KerasResult[];
}

/** An input of a model. */
export interface KerasInput {
  readonly name: string;
  /** null for an open axis; undefined where the file says nothing. */
  readonly shape: readonly (number | null)[] | undefined;
}

/** A model: calls are in an order in which each finds its inputs. */
export interface KerasModel {
  readonly name: string;
  readonly inputs: readonly KerasInput[];
  readonly calls: readonly KerasCall[];
  readonly outputs: readonly KerasResult[];
  /** The names of the layers of the outputs. */
  readonly outputNames: readonly string[];
  /** Slope and offset of hard_sigmoid: Keras 3 has another one. */
  readonly hardSigmoid: readonly [number, number];
  /** Whether steps of Bidirectional's sequences that are masked are zeros: TensorFlow.js repeats the output before. */
  readonly zeroMasked: boolean;
}

/** The weights of a file. */
export interface WeightSource {
  /**
   * The weights of a layer.
   *
   * @param path names of the models around it and its own, or of its place
   * @param part of a wrapper
   * @param names the weights that it has, in the order of its class
   */
  take(place: Place, part: "forward" | "backward" | "layer" | undefined, names: readonly string[]): Map<string, Tensor>;
}

/** Where a layer is. */
export interface Place {
  readonly name: string;
  /** Of its class, in snake_case, with a number where there are several: dense_1. */
  readonly numbered: string;
  /** Whether its weights are those of a cell in it. */
  readonly cell: boolean;
  /** Of the model, or of the wrapper, around it. */
  readonly parent: Place | undefined;
  /** Whether it is the layer of a wrapper. */
  readonly wrapped?: boolean;
}
