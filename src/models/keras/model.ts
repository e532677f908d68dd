// A model that runs, of the description of a Keras model.

import type { FloatDtype, Tensor } from "../../../bindings/tensor.js";
import { checkCount, checkDtype, checkOptions } from "../../base/check.js";
import { Random } from "../../base/random.js";
import { sealed } from "../../base/sealed.js";
import type { KerasLayer, KerasModel } from "../../formats/keras/description.js";
import { RECURRENT } from "../../formats/keras/weights.js";
import { DEFAULT_LIMITS } from "../../graphs/builder.js";
import { Model } from "../../graphs/model.js";
import type { Definition } from "../../graphs/prepared.js";
import { Recorder } from "../../graphs/recorder.js";
import { constant, type Numbers, type Value } from "../../graphs/value.js";
import type { Context, Flow } from "./flow.js";
import { checkKind, computeModel } from "./layers.js";
import { distinct, leavesOf, parameterNames } from "./names.js";
import { stateKey, stateNames } from "./recurrent.js";

/** Options of `fromTfjs` and `fromKeras`. */
export interface KerasOptions {
  /** The type in which numbers are computed, given and returned (default "f32"). */
  dtype?: FloatDtype | undefined;
  /** The most bytes of memory that a plan may take (default 1 GiB). */
  maxMemory?: number | undefined;
  /** The seed of dropout in training; a different one in each run by default. */
  seed?: number | undefined;
}

/** A state that stays from run to run. */
interface State {
  readonly key: string;
  readonly units: number;
}

function statesOf(leaves: Iterable<KerasLayer>): State[] {
  const states = new Map<string, State>();
  const add = (layer: KerasLayer, part: string) => {
    if (!RECURRENT.has(layer.kind) || !layer.config.flag("stateful", false)) return;
    for (const name of stateNames(layer.kind)) {
      const key = stateKey(layer, name, part);
      states.set(key, { key, units: layer.config.count("units") });
    }
  };
  const parts = new Set<KerasLayer>();
  const all = [...leaves];
  for (const { inner, backward } of all) {
    if (!inner || !backward) continue;
    add(inner, "forward");
    add(backward, "backward");
    parts.add(inner).add(backward);
  }
  for (const layer of all) if (!parts.has(layer)) add(layer, "");
  return [...states.values()];
}

/** Whether an input goes into embeddings alone. */
function isIndex(model: KerasModel, input: number): boolean {
  const isInput = ({ call }: { call: number }) => call === -1 - input;
  const users = model.calls.filter(({ inputs }) => inputs.some(isInput));
  return users.length > 0 && users.every(({ layer }) => layer.kind === "Embedding") && !model.outputs.some(isInput);
}

/** What a model was made of, for writing. */
export interface Origin {
  readonly description: KerasModel;
  /** Of each layer, the names of its weights in the state_dict. */
  readonly names: ReadonlyMap<KerasLayer, ReadonlyMap<string, string>>;
}

const origins = /* @__PURE__ */ new WeakMap<Model, Origin>();

/** What a model was made of; undefined for models that no reader of Keras made. */
export function originOf(model: Model): Origin | undefined {
  return origins.get(model);
}

/** Checks options. */
export function checkKerasOptions(owner: string, options: KerasOptions) {
  const known = ["dtype", "maxMemory", "seed"] as const;
  const { dtype = "f32", maxMemory = DEFAULT_LIMITS.memory, seed } = checkOptions(owner, options, [...known]);
  checkDtype(dtype);
  checkCount("maxMemory", maxMemory, 1);
  return { dtype, maxMemory, random: new Random(seed) };
}

/**
 * Makes a model.
 *
 * @throws UnsupportedError naming a layer that is not known
 */
export function makeKerasModel(description: KerasModel, options: ReturnType<typeof checkKerasOptions>): Model {
  const { dtype, maxMemory, random } = options;
  const leaves = leavesOf(description);
  for (const layer of leaves.keys()) if (!layer.model) checkKind(layer);
  const names = parameterNames(leaves);
  const weights = new Map<string, Value>();
  const statistics = new Set<string>();
  for (const [layer, own] of names) {
    for (const [name, key] of own) {
      weights.set(key, weightValue(layer.weights.get(name)!, dtype));
      if (name.startsWith("moving_")) statistics.add(key);
    }
  }
  const states = statesOf(leaves.keys());
  const inputNames = distinct(description.inputs.map(({ name }) => name));
  const inputs = description.inputs.map(({ shape }, i) => {
    const whole = isIndex(description, i);
    const own = shape?.map((n, axis) => n ?? (axis === 0 ? "batch" : ""));
    return { name: inputNames[i]!, dtype: whole ? ("i32" as const) : dtype, shape: own, whole };
  });
  const stateInputs = states.map(({ key, units }) => ({ name: `state ${key}`, dtype, shape: ["batch", units] }));
  const outputs = distinct(description.outputNames).map((name) => ({ name, dtype, shape: undefined }));
  const stateOutputs = stateInputs.map(({ name, shape }) => ({ name: `next ${name}`, dtype, shape }));
  const definition: Definition = {
    inputs: [...inputs.map(({ name, dtype: own, shape }) => ({ name, dtype: own, shape })), ...stateInputs],
    outputs: [...outputs, ...stateOutputs],
    weights,
    statistics,
    limits: { ...DEFAULT_LIMITS, memory: maxMemory },
    states: states.length,
    whole: new Set(inputs.filter(({ whole }) => whole).map(({ name }) => name)),
    build(builder, feeds, weight) {
      const count = inputs.length;
      const keyOf = (layer: KerasLayer, name: string) => names.get(layer)?.get(name);
      const context: Context = {
        builder,
        training: model.training && builder instanceof Recorder,
        random,
        hardSigmoid: description.hardSigmoid,
        zeroMasked: description.zeroMasked,
        weight(layer, name) {
          const key = keyOf(layer, name);
          return key === undefined ? undefined : weight(key);
        },
        update(layer, name, numbers: Numbers) {
          weight(keyOf(layer, name)!).tensor?.data.set(numbers);
        },
        statistic(layer, name) {
          const value = weight(keyOf(layer, name)!);
          if (!(builder instanceof Recorder)) return value;
          return builder.constant(value.dtype, value.shape, builder.numbers(value));
        },
        states: new Map(states.map(({ key }, i) => [key, feeds[count + i]!])),
      };
      const flows = feeds.slice(0, count).map((value): Flow => ({ value }));
      const results = computeModel(context, description, flows).map(({ value }) => value);
      return [...results, ...states.map(({ key }) => context.states.get(key)!)];
    },
  };
  const model = new Model(sealed(definition), dtype);
  origins.set(model, { description, names });
  return model;
}

/** A weight in the type that is computed in. */
function weightValue({ data, shape }: Tensor, dtype: FloatDtype): Value {
  return constant(dtype, shape, dtype === "f64" ? Float64Array.from(data) : Float32Array.from(data));
}
