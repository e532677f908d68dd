// A model that is a graph: run for shapes as they come, recorded where gradients are wanted, streamed.

import { StateError, ValueError } from "../../bindings/errors.js";
import { startGraph } from "../../bindings/graph-module.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { Arena, LiveTensor, type WasmTensor } from "../../bindings/memory.js";
import { describe, sizeOf, type FloatDtype, type Tensor, type TensorData } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { makeParameter, type Parameter, type WasmParameter } from "../base/parameter.js";
import { checkSealed } from "../base/sealed.js";
import type { StoredTensor } from "../formats/safetensors.js";
import { Layer, LayerMemory, readStateDict, type LoadOptions } from "../nn/layer.js";
import { newRecording } from "../ops/derivative.js";
import { checkOutside, currentTape } from "../recording/current.js";
import { keyOf, type Tape } from "../recording/tape.js";
import {
  checkDeclared,
  download,
  readFed,
  Slot,
  wholeNumbers,
  type Fed,
  type ModelValue,
  type Tensors,
} from "./feeds.js";
import { currentNumbers, type Plan } from "./plan.js";
import { Prepared, type Build, type Definition } from "./prepared.js";
import { Recorder } from "./recorder.js";
import { ModelStream, type StreamOptions } from "./stream.js";
import { constant, floatOf, makeNumbers, Value } from "./value.js";

/** The most shapes of inputs for which plans are kept. */
const MOST_SHAPES = 8;

interface Saved {
  readonly inputs: ReadonlyMap<string, WasmTensor>;
  readonly outputs: ReadonlyMap<string, WasmTensor>;
}

/**
 * A model that was read from a file. `fromOnnx`, `fromTfjs` and `fromKeras` make it.
 *
 * It plans its work for the shapes of the inputs, and keeps the plans of the latest shapes. A new model is in inference mode.
 */
export class Model extends Layer {
  /** The inputs. */
  readonly inputs: readonly ModelValue[];
  /** The outputs. */
  readonly outputs: readonly ModelValue[];
  readonly #memory: LayerMemory<FloatDtype, Saved>;
  readonly #definition: Definition;
  readonly #prepared = new Map<string, Prepared>();
  #uploads: Arena;
  /** The inputs and outputs that callers see. */
  readonly #visible: { readonly inputs: readonly ModelValue[]; readonly outputs: readonly ModelValue[] };
  /** The states after the latest run; before the first one they are zeros. */
  #kept: readonly Fed[] | undefined;
  /** The parameters and statistics, since they were asked for. */
  #live: Map<string, Value> | undefined;

  /** @internal */
  constructor(definition: Definition, dtype: FloatDtype) {
    checkSealed("Model", definition, "fromOnnx, fromTfjs or fromKeras");
    const memory = new LayerMemory<FloatDtype, Saved>("Model", dtype);
    super(memory);
    memory.training = false;
    this.#memory = memory;
    this.#definition = definition;
    const shown = (values: readonly ModelValue[]) =>
      Object.freeze(values.map(({ name, dtype: own, shape }) => Object.freeze({ name, dtype: own, shape: shape && Object.freeze([...shape]) }))); // prettier-ignore
    const { states = 0 } = definition;
    const visible = (values: readonly ModelValue[]) => values.slice(0, values.length - states);
    this.#visible = { inputs: visible(definition.inputs), outputs: visible(definition.outputs) };
    this.inputs = shown(this.#visible.inputs);
    this.outputs = shown(this.#visible.outputs);
    startGraph(memory.arena.core);
    this.#uploads = new Arena(memory.arena.core, true);
    for (const value of definition.weights.values()) this.#own(value);
  }

  /**
   * Runs the model.
   *
   * In `minimize` and `valueAndGrad` the run is recorded: its floating-point inputs and its parameters get gradients. So it is in
   * training mode, for `backward`, once an optimizer was made or `valueAndGrad` was called: they bring the derivatives along, which
   * an app that only runs models does without.
   *
   * @param feeds the inputs by name: f64 f32 i64 (BigInt64Array; Int32Array and plain arrays of whole numbers do) u64 i32 u32 i16 u16 i8
   *   u8, bool (Uint8Array), f16 and bf16 (Uint16Array of their bits). Other keys are ignored
   * @returns the outputs by name, fresh
   * @throws ShapeError, DtypeError, ValueError naming the input or the node; StateError where a stateful model gets another batch;
   *   UnsupportedError, OutOfMemoryError, DisposedError
   */
  run(feeds: Readonly<Record<string, StoredTensor>>): Tensors {
    this.#memory.checkAlive();
    const given = this.#read(feeds);
    this.#memory.checkAlive(); // code of the caller's has run
    const fed = this.#withStates(given);
    const tape = currentTape() || this.training ? newRecording() : undefined;
    if (tape) return this.#record(fed, tape);
    const prepared = this.#prepare(fed.map(({ shape }) => shape));
    writeAll(prepared.slots, fed);
    return this.#results(prepared.run());
  }

  /**
   * Runs a model with one input and one output.
   *
   * @param x the input
   * @returns the output, whatever its name in the file is
   * @throws StateError for another model; and as `run`
   */
  forward(x: Tensor): {
    /** The model's output. */
    output: Tensor;
  } {
    const [name, output] = this.#single("forward");
    return { output: this.run({ [name]: x })[output] as Tensor };
  }

  /**
   * The way back of the latest `run` or `forward` in training mode, after an optimizer was made.
   *
   * @param gradients those of the outputs, by name; with one input and one output `output`
   * @returns those of the inputs, by name; with one input and one output `x`. Those of the parameters are added to
   * @throws StateError, UnsupportedError naming an operator without a derivative; ShapeError, DtypeError
   */
  backward(gradients: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
    if (gradients === null || typeof gradients !== "object") {
      throw new ValueError("gradients", describe(gradients), "a record of tensors by name");
    }
    if (this.inputs.length > 1 || this.outputs.length > 1 || !Object.hasOwn(gradients, "output")) {
      return this.#memory.runBackward(gradients);
    }
    const [name, output] = this.#single("backward");
    const results = this.#memory.runBackward<Record<string, Tensor>>({ [output]: gradients.output });
    return results[name] ? { x: results[name] } : {};
  }

  /**
   * A stream of the model, which runs it step by step and feeds outputs back as inputs, on a copy of the weights.
   *
   * @param options see {@link StreamOptions}
   * @throws ValueError, ShapeError, DtypeError, StateError, DisposedError
   */
  stream(options: StreamOptions = {}): ModelStream {
    checkOutside("Model.stream");
    this.#memory.checkAlive();
    const weights = new Map([...this.#definition.weights].map(([name, value]) => [name, this.#frozen(name, value)]));
    const given = checkOptions("stream", options, ["carry", "feeds"]);
    const { inputs, outputs, states = 0 } = this.#definition;
    if (states > 0) {
      const own = outputs.slice(-states).map(({ name }, i) => [name, inputs[inputs.length - states + i]!.name]);
      given.carry = { ...given.carry, ...(Object.fromEntries(own) as Record<string, string>) };
    }
    return new ModelStream(this.#memory.arena.core, { ...this.#definition, weights }, given);
  }

  /** Sets the states that a model keeps from call to call to zero: those of stateful layers of Keras. Models of ONNX files keep none. */
  resetState(): void {
    this.#memory.checkAlive();
    this.#kept = undefined;
  }

  override train(): this {
    this.parameters();
    return super.train();
  }

  override parameters(): Parameter[] {
    this.#memory.checkAlive();
    if (!this.#live) {
      const { arena, parameters, buffers } = this.#memory;
      const live = new Map<string, Value>();
      const made: WasmParameter[] = [];
      const kept: (typeof buffers)[number][] = [];
      for (const [name, frozen] of this.#definition.weights) {
        const dtype = floatOf(frozen.dtype)!;
        const value = new Value(frozen.dtype, frozen.shape);
        if (this.#definition.statistics?.has(name)) {
          value.tensor = arena.allocate(name, dtype, frozen.shape);
          kept.push({ name, value: new LiveTensor(value.tensor as FloatTensor) });
        } else {
          const parameter = makeParameter(arena, name, dtype, frozen.shape);
          parameter.grad.fill(0);
          made.push(parameter);
          value.tensor = parameter.value;
        }
        value.tensor.set(frozen.known as TensorData);
        live.set(name, value);
      }
      this.#forget();
      this.#live = live;
      parameters.push(...made);
      buffers.push(...kept);
    }
    return super.parameters();
  }

  override dispose(): void {
    super.dispose();
    this.#forget();
  }

  /** The value of a parameter as it is now. */
  #frozen(name: string, value: Value): Value {
    const live = this.#live?.get(name);
    return constant(value.dtype, value.shape, live ? live.tensor!.data.slice() : value.known!);
  }

  #weight(name: string): Value {
    return this.#live?.get(name) ?? this.#definition.weights.get(name)!;
  }

  /** Ends all plans, and what they share. */
  #forget(): void {
    for (const prepared of this.#prepared.values()) prepared.dispose();
    this.#prepared.clear();
    this.#uploads.dispose();
    this.#uploads = new Arena(this.#memory.arena.core, true);
  }

  #read(feeds: Readonly<Record<string, StoredTensor>>): Fed[] {
    if (feeds === null || typeof feeds !== "object") {
      throw new ValueError("feeds", describe(feeds), "a record of tensors by name");
    }
    return this.#visible.inputs.map(({ name, dtype, shape }) => {
      if (!Object.hasOwn(feeds, name)) throw new ValueError("feeds", `no ${name}`, this.#names());
      const whole = this.#definition.whole?.has(name) === true;
      const fed = readFed(name, whole ? wholeNumbers(`feeds.${name}`, feeds[name]) : feeds[name], dtype);
      checkDeclared(name, fed.shape, shape);
      return fed;
    });
  }

  /** The inputs with the states. */
  #withStates(fed: readonly Fed[]): readonly Fed[] {
    const { inputs, states = 0 } = this.#definition;
    if (states === 0) return fed;
    const batch = fed[0]!.shape[0] ?? 1;
    const kept = this.#kept?.[0]?.shape[0];
    if (kept !== undefined && kept !== batch) {
      throw new StateError("run", `a batch of ${batch}`, `${kept} rows, as before, or resetState() first`);
    }
    const zeroState = ({ dtype, shape }: ModelValue): Fed => {
      const own = [batch, ...(shape as number[]).slice(1)];
      return { data: makeNumbers(dtype, sizeOf(own)), shape: own };
    };
    return [...fed, ...(this.#kept ?? inputs.slice(-states).map(zeroState))];
  }

  #names(): string {
    return this.#visible.inputs.map(({ name }) => name).join(", ");
  }

  #single(call: string): [input: string, output: string] {
    const [input, output] = [this.inputs[0], this.outputs[0]];
    if (input && output && this.inputs.length === 1 && this.outputs.length === 1) return [input.name, output.name];
    const received = `a model with ${this.inputs.length} inputs and ${this.outputs.length} outputs`;
    throw new StateError(call, received, "one of each; run takes and returns records");
  }

  #prepare(shapes: readonly (readonly number[])[]): Prepared {
    const key = shapes.join(";");
    let prepared = this.#prepared.get(key);
    if (prepared) this.#prepared.delete(key);
    else {
      const { limits, inputs } = this.#definition;
      const build: Build = (builder, values) => this.#definition.build(builder, values, (name) => this.#weight(name));
      prepared = new Prepared(this.#memory.arena.core, limits, build, inputs, shapes);
    }
    this.#prepared.set(key, prepared);
    if (this.#prepared.size > MOST_SHAPES) {
      const [oldest] = this.#prepared.keys();
      this.#prepared.get(oldest!)!.dispose();
      this.#prepared.delete(oldest!);
    }
    return prepared;
  }

  #results(plan: Pick<Plan, "outputs">): Tensors {
    const results = Object.create(null) as Tensors;
    const all = this.#definition.outputs.map(({ dtype }, i) => {
      const value = plan.outputs[i]!;
      return download(value, currentNumbers(value), dtype);
    });
    const { outputs } = this.#visible;
    outputs.forEach(({ name }, i) => {
      results[name] = all[i]!;
    });
    if (all.length > outputs.length) this.#kept = all.slice(outputs.length);
    return results;
  }

  /** A run that is recorded. */
  #record(fed: readonly Fed[], tape: Tape): Tensors {
    this.parameters();
    const { core } = this.#memory.arena;
    const { inputs: specs, limits } = this.#definition;
    const visible = this.#visible;
    const floats = visible.inputs.flatMap(({ name, dtype }, i) =>
      dtype === "f64" || dtype === "f32"
        ? [[name, { data: fed[i]!.data, shape: fed[i]!.shape } as Tensor] as const]
        : [],
    );
    return this.#memory.runForward(
      Object.fromEntries(floats),
      (_inputs, saved) => {
        saved.limit = limits.memory;
        const recorder = new Recorder(core, limits, saved, tape);
        const slots = specs.map(({ name, dtype }, i) => new Slot(saved, name, dtype, fed[i]!.shape));
        writeAll(slots, fed);
        const values = slots.map(({ dtype, shape, tensor, numbers }) => {
          const value = new Value(dtype, shape);
          value.tensor = tensor;
          value.known = numbers;
          return value;
        });
        const results = this.#definition.build(recorder, values, (name) => this.#weight(name));
        const tensors = <T>(list: readonly T[], of: (each: T, i: number) => [string, WasmTensor | undefined]) =>
          new Map(list.map(of).filter((pair): pair is [string, WasmTensor] => pair[1] !== undefined));
        return {
          result: this.#results({ outputs: results }),
          values: {
            inputs: tensors(slots.slice(0, visible.inputs.length), ({ name, tensor }) => [name, tensor]),
            outputs: tensors(visible.outputs, ({ name }, i) => [name, results[i]!.tensor]),
          },
        };
      },
      ({ inputs, outputs: tensors }, gradients, scratch) => {
        const seeds = [...tensors].flatMap(([name, tensor]) => {
          const gradient = Object.hasOwn(gradients, name) ? gradients[name] : undefined;
          if (gradient === undefined) return [];
          const own: FloatTensor = scratch.upload(name, gradient, tensor.dtype as FloatDtype, tensor.shape);
          return [[keyOf(tensor), own, 1] as const];
        });
        const wanted = new Set<object>([...inputs.values(), ...this.#memory.parameters.map(({ value }) => value)]);
        const names = [...inputs.keys()];
        const found = tape.backward({ loss: 0, terms: [{ weight: 1, gradients: seeds }] }, wanted, [
          ...inputs.values(),
        ]);
        return Object.fromEntries(names.map((name, i) => [name, found[i]]));
      },
    );
  }

  override loadStateDict(dict: Readonly<Record<string, Tensor>>, options: LoadOptions = {}): void {
    if (this.#live) {
      super.loadStateDict(dict, options);
      return;
    }
    checkOutside("Model.loadStateDict");
    this.#memory.checkAlive();
    const { weights } = this.#definition;
    const state = [...weights].map(([name, value]) => ({ name, value }));
    const copies = readStateDict(state, dict, options);
    this.#forget();
    state.forEach(({ name, value: { dtype, shape } }, i) => {
      const numbers = makeNumbers(dtype, copies[i]!.length);
      numbers.set(copies[i]!);
      weights.set(name, this.#own(constant(dtype, shape, numbers)));
    });
  }

  override stateDict(): Record<string, Tensor<FloatDtype>> {
    if (this.#live) return super.stateDict();
    this.#memory.checkAlive();
    const entries = [...this.#definition.weights].map(([name, { known, shape }]) => [name, { data: known!.slice(), shape: [...shape] }] as const); // prettier-ignore
    return Object.fromEntries(entries) as Record<string, Tensor<FloatDtype>>;
  }

  /** Uploads of a constant belong to the model: all plans share them. */
  #own(value: Value): Value {
    value.owner = this.#uploads;
    return value;
  }
}

/** Copies all inputs in; integers first, which are checked as they are copied. */
export function writeAll(slots: readonly Slot[], fed: readonly Fed[]): void {
  for (const wasm of [false, true]) {
    slots.forEach((slot, i) => {
      if ((slot.tensor !== undefined) === wasm) slot.write(fed[i]!.data);
    });
  }
}
