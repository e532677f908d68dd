/// <reference lib="esnext.disposable" preserve="true" />
// A model that runs step by step: outputs are fed back as inputs inside of wasm, and a step allocates nothing.

import { DisposedError, ShapeError, StateError, ValueError } from "../../bindings/errors.js";
import type { Core } from "../../bindings/instantiate.js";
import { Arena, LiveTensor, type WasmTensor } from "../../bindings/memory.js";
import { describe, showShape } from "../../bindings/tensor.js";
import type { StoredTensor } from "../formats/safetensors.js";
import { checkOutside } from "../recording/current.js";
import { checkDeclared, OutputArray, readFed, Slot, type ModelValue, type Tensors } from "./feeds.js";
import { currentNumbers, type Plan } from "./plan.js";
import { Prepared, type Build, type Definition } from "./prepared.js";
import { floatOf, makeNumbers, type Numbers } from "./value.js";

/** Options of `Model.stream`. */
export interface StreamOptions {
  /** For each output that is fed back, the input that it becomes in the next step: `{ stateN: "state" }`. */
  carry?: Readonly<Record<string, string>> | undefined;
  /** Inputs of all steps, such as a sampling rate; a step may replace them for itself and those after it. */
  feeds?: Readonly<Record<string, StoredTensor>> | undefined;
}

/** The numbers of an output, where the user sees them. */
interface Output {
  readonly shape: readonly number[];
  readonly tensor: WasmTensor | undefined;
  readonly array: OutputArray | undefined;
}

/** The shape of a carried input that nobody gave: open axes are those of other inputs with the same name, or 1. */
function zeroShape(
  { name, shape }: ModelValue,
  inputs: readonly ModelValue[],
  shapes: readonly (readonly number[] | undefined)[],
): number[] {
  if (!shape) throw new ValueError("feeds", `no ${name}`, "its state: the model does not say its shape");
  return shape.map((n) => {
    if (typeof n === "number") return n;
    for (let i = 0; i < inputs.length; i++) {
      const axis = n === "" ? -1 : (inputs[i]!.shape?.indexOf(n) ?? -1);
      const length = shapes[i]?.[axis];
      if (length !== undefined) return length;
    }
    return 1;
  });
}

/** A model that runs step by step. `Model.stream` makes it. */
export class ModelStream {
  readonly #core: Core;
  readonly #streamed: Definition;
  readonly #arena: Arena;
  /** For each output the number of the input that it becomes, or -1. */
  readonly #carry: number[];
  readonly #isCarried: boolean[];
  /** The inputs of all steps. */
  readonly #given: readonly (Slot | undefined)[];
  /** The arrays of a step's inputs. */
  readonly #data: (object | undefined)[];
  /** For each input that stays: what it was before a step that replaces it. */
  #kept: readonly (Numbers | undefined)[] = [];
  #prepared: Prepared | undefined;
  #outputs: readonly Output[] | undefined;
  #shown: Tensors | undefined;
  #stepping = false;

  /**
   * @internal
   * @param streamed its weights are the stream's own
   */
  constructor(core: Core, streamed: Definition, { carry = {}, feeds = {} }: StreamOptions) {
    const { inputs, outputs } = streamed;
    this.#core = core;
    this.#streamed = streamed;
    this.#data = inputs.map(() => undefined);
    this.#carry = outputs.map(() => -1);
    this.#isCarried = inputs.map(() => false);
    for (const [record, name] of [
      [carry, "carry"],
      [feeds, "feeds"],
    ] as const) {
      if (record === null || typeof record !== "object") throw new ValueError(name, describe(record), "a record");
    }
    for (const [output, input] of Object.entries(carry)) {
      const from = outputs.findIndex((each) => each.name === output);
      const to = inputs.findIndex((each) => each.name === input);
      if (from < 0) throw new ValueError("carry", output, outputs.map((each) => each.name).join(", "));
      if (to < 0) throw new ValueError(`carry.${output}`, describe(input), inputs.map((each) => each.name).join(", "));
      if (this.#isCarried[to]) throw new ValueError(`carry.${output}`, input, "an input that no other output becomes");
      if (inputs[to]!.dtype !== outputs[from]!.dtype) {
        throw new ValueError(`carry.${output}`, `${input} of ${inputs[to]!.dtype}`, outputs[from]!.dtype);
      }
      this.#carry[from] = to;
      this.#isCarried[to] = true;
    }
    for (const name of Object.keys(feeds)) {
      if (!inputs.some((each) => each.name === name)) {
        throw new ValueError("feeds", name, inputs.map((each) => each.name).join(", "));
      }
    }
    this.#arena = new Arena(core, true);
    for (const weight of streamed.weights.values()) weight.owner = this.#arena;
    try {
      this.#given = inputs.map(({ name, dtype, shape }) => {
        if (!Object.hasOwn(feeds, name)) return undefined;
        const fed = readFed(name, feeds[name], dtype);
        checkDeclared(name, fed.shape, shape);
        const slot = new Slot(this.#arena, name, dtype, fed.shape);
        slot.write(fed.data);
        return slot;
      });
    } catch (error) {
      this.#arena.dispose();
      throw error;
    }
  }

  /**
   * Runs one step.
   *
   * The first step fixes the shapes. From the second step on with inputs of a kind seen before, nothing is allocated.
   *
   * @param feeds the inputs by name, as `Model.run` takes them; those that are carried, or among the feeds of `stream`, may be left out.
   *   A carried input that is given replaces the state
   * @returns the outputs by name: live views, the same record each time
   * @throws ShapeError, DtypeError, ValueError, StateError, DisposedError, OutOfMemoryError; the state is that of before then
   */
  step(feeds: Readonly<Record<string, StoredTensor>> = {}): Tensors {
    checkOutside("ModelStream.step");
    if (this.#arena.disposed) throw new DisposedError("ModelStream", "a disposed stream", "one that is alive");
    if (this.#stepping) throw new StateError("step", "a call from a getter of feeds", "one step after the other");
    if (feeds === null || typeof feeds !== "object") throw new ValueError("feeds", describe(feeds), "a record");
    this.#stepping = true;
    try {
      return this.#prepared ? this.#next(this.#prepared, feeds) : this.#first(feeds);
    } finally {
      this.#stepping = false;
      for (let i = 0; i < this.#data.length; i++) this.#data[i] = undefined;
    }
  }

  /** Sets the state to that before the first step. */
  reset(): void {
    checkOutside("ModelStream.reset");
    if (this.#arena.disposed) throw new DisposedError("ModelStream", "a disposed stream", "one that is alive");
    const slots = this.#prepared?.slots ?? [];
    for (let i = 0; i < slots.length; i++) if (this.#isCarried[i]) this.#start(slots[i]!, i);
  }

  /** Frees the memory. Views of the outputs cannot be used any more. */
  dispose(): void {
    checkOutside("ModelStream.dispose");
    this.#prepared?.dispose();
    this.#arena.dispose();
  }

  /** `dispose()`, for declarations with `using`. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  #start(slot: Slot, i: number): void {
    const given = this.#given[i];
    if (given) slot.current.set(given.current);
    else slot.current.fill(0);
  }

  #first(feeds: Readonly<Record<string, StoredTensor>>): Tensors {
    const { inputs, limits, weights } = this.#streamed;
    const fed = inputs.map(({ name, dtype, shape }) => {
      const value = feeds[name];
      if (value === undefined) return undefined;
      const read = readFed(name, value, dtype);
      checkDeclared(name, read.shape, shape);
      return read;
    });
    const known = inputs.map((_, i) => fed[i]?.shape ?? this.#given[i]?.shape);
    const shapes = inputs.map((input, i) => {
      if (known[i]) return known[i];
      if (!this.#isCarried[i]) throw new ValueError("feeds", `no ${input.name}`, "one that is not carried");
      return zeroShape(input, inputs, known);
    });
    const build: Build = (builder, values) => this.#streamed.build(builder, values, (name) => weights.get(name)!);
    const prepared = new Prepared(this.#core, limits, build, inputs, shapes);
    try {
      prepared.slots.forEach((slot, i) => {
        this.#start(slot, i);
        this.#data[i] = fed[i]?.data;
      });
      this.#kept = prepared.slots.map(({ dtype, size }, i) =>
        this.#isCarried[i] || this.#given[i] ? makeNumbers(dtype, size) : undefined,
      );
      const shown = this.#run(prepared);
      this.#prepared = prepared;
      return shown;
    } catch (error) {
      prepared.dispose(); // shapes are those of the first step that succeeds
      throw error;
    }
  }

  #next(prepared: Prepared, feeds: Readonly<Record<string, StoredTensor>>): Tensors {
    const { slots } = prepared;
    for (let i = 0; i < slots.length; i++) {
      const slot = slots[i]!;
      const value = feeds[slot.name];
      if (value !== undefined) this.#data[i] = slot.read(value);
      else if (!this.#isCarried[i] && !this.#given[i]) {
        throw new ValueError("feeds", `no ${slot.name}`, "one that is not carried");
      }
    }
    if (this.#arena.disposed) throw new DisposedError("ModelStream", "a disposed stream", "one that is alive");
    return this.#run(prepared);
  }

  /** Takes the inputs that were read, runs, and feeds back. */
  #run(prepared: Prepared): Tensors {
    const { slots } = prepared;
    const data = this.#data;
    const kept = this.#kept;
    for (let i = 0; i < slots.length; i++) if (data[i]) kept[i]?.set(slots[i]!.current);
    let plan: Plan;
    try {
      for (let i = 0; i < slots.length; i++) if (data[i] && !slots[i]!.tensor) slots[i]!.write(data[i]!);
      for (let i = 0; i < slots.length; i++) if (data[i] && slots[i]!.tensor) slots[i]!.write(data[i]!);
      plan = prepared.run();
      if (this.#outputs) this.#checkShapes(plan, this.#outputs);
      else this.#outputs = this.#make(plan, slots);
    } catch (error) {
      for (let i = 0; i < slots.length; i++) if (data[i] && kept[i]) slots[i]!.current.set(kept[i]!);
      throw error;
    }
    const outputs = this.#outputs;
    for (let i = 0; i < outputs.length; i++) {
      const { tensor, array } = outputs[i]!;
      const numbers = currentNumbers(plan.outputs[i]!);
      if (tensor) tensor.data.set(numbers);
      else array!.write(numbers);
    }
    for (let i = 0; i < outputs.length; i++) {
      const to = this.#carry[i]!;
      if (to >= 0) slots[to]!.current.set(currentNumbers(plan.outputs[i]!));
    }
    return (this.#shown ??= this.#show(outputs));
  }

  #checkShapes({ outputs }: Plan, before: readonly Output[]): void {
    for (let i = 0; i < outputs.length; i++) {
      const { shape } = outputs[i]!;
      const expected = before[i]!.shape;
      if (isSame(shape, expected)) continue;
      throw new ShapeError(this.#streamed.outputs[i]!.name, showShape(shape), `${showShape(expected)} as before`);
    }
  }

  /** Places for outputs that stay. */
  #make(plan: Plan, slots: readonly Slot[]): readonly Output[] {
    const { outputs } = this.#streamed;
    this.#carry.forEach((to, i) => {
      const [shape, input] = [plan.outputs[i]!.shape, slots[to]?.shape];
      if (!input || isSame(input, shape)) return;
      const expected = `${showShape(input)}, the shape of the input`;
      throw new ShapeError(`carry.${outputs[i]!.name}`, showShape(shape), expected);
    });
    return outputs.map(({ name, dtype }, i) => {
      const { shape, size } = plan.outputs[i]!;
      const float = floatOf(dtype);
      if (float === dtype) return { shape, tensor: this.#arena.allocate(name, float, shape), array: undefined };
      return { shape, tensor: undefined, array: new OutputArray(dtype, size) };
    });
  }

  #show(outputs: readonly Output[]): Tensors {
    const shown = Object.create(null) as Tensors;
    this.#streamed.outputs.forEach(({ name }, i) => {
      const { tensor, array, shape } = outputs[i]!;
      shown[name] = tensor
        ? new LiveTensor(tensor)
        : Object.freeze({ data: array!.data, shape: Object.freeze([...shape]) });
    });
    return Object.freeze(shown);
  }
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
