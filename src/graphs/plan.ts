// A plan: a graph for given shapes as a list of calls with fixed addresses, and its memory. It is made while it runs for the first
// time, so that questions for numbers are answered as they come; a later run whose answers differ needs another plan.

import type { Core } from "../../bindings/instantiate.js";
import { Arena, withArena, WasmTensor } from "../../bindings/memory.js";
import { BYTES, sizeOf, type Dtype, type TensorData } from "../../bindings/tensor.js";
import { apply, type Movement, type Operation, type Spec } from "../ops/operation.js";
import { Builder, isMovement, located, moveNumbers, type Limits } from "./builder.js";
import { fuse } from "./fuse.js";
import { layOut, wholeCopy } from "./layout.js";
import {
  constant,
  floatOf,
  makeNumbers,
  rootOf,
  Value,
  type Compute,
  type Numbers,
  type Step,
  type ValueSpec,
} from "./value.js";

/** Calls in their order, and the nodes that they are part of. */
interface Calls {
  readonly runs: readonly (() => void)[];
  readonly nodes: readonly (string | undefined)[];
}

function runAll({ runs, nodes }: Calls): void {
  let i = 0;
  try {
    for (; i < runs.length; i++) runs[i]!();
  } catch (error) {
    throw located(nodes[i], error);
  }
}

/** Calls, and the numbers that those after them were planned for. */
interface Segment {
  readonly calls: Calls;
  readonly asked?: Value;
  readonly answer?: Numbers;
}

function sameNumbers(a: Numbers, b: Numbers): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i] && (a[i] === a[i] || b[i] === b[i])) return false;
  return true;
}

/** A plan that has been made. */
export class Plan {
  /** Owns everything. */
  readonly arena: Arena;
  readonly segments: Segment[] = [];
  /** Integers that were fed, and those that the plan holds for. */
  readonly fed: { readonly numbers: Numbers; readonly answer: Numbers }[] = [];
  outputs: readonly Value[] = [];

  constructor(core: Core, limits: Limits) {
    this.arena = new Arena(core, true);
    this.arena.limit = limits.memory;
  }

  /**
   * Runs with what the inputs hold now. Nothing is allocated.
   *
   * @returns whether the plan holds for it
   */
  run(): boolean {
    // by index: iterators would be allocated in steps of a stream
    for (let i = 0; i < this.fed.length; i++) {
      const { numbers, answer } = this.fed[i]!;
      if (!sameNumbers(numbers, answer)) return false;
    }
    for (let i = 0; i < this.segments.length; i++) {
      const { calls, asked, answer } = this.segments[i]!;
      runAll(calls);
      if (asked && !sameNumbers(currentNumbers(asked), answer!)) return false;
    }
    return true;
  }
}

/** The numbers of a value that are among those of its base. */
function partOf(all: Numbers, { offset, size }: Value): Numbers {
  return all.subarray(offset, offset + size);
}

/** The tensor of a value in wasm memory, whose place is known. */
export function tensorOf(value: Value): WasmTensor {
  if (!value.tensor && value.base) {
    const { arena, dtype, pointer } = rootOf(value).tensor!;
    value.tensor = new WasmTensor(arena, dtype, value.shape, pointer + value.offset * BYTES[dtype]);
  }
  return value.tensor!;
}

/** The current numbers of a value whose place is known. */
export function currentNumbers(value: Value): Numbers {
  if (value.inWasm) return value.tensor || value.base ? tensorOf(value).data : value.known!;
  if (!value.numbers && value.base) value.numbers = partOf(currentNumbers(rootOf(value)), value);
  return value.numbers ?? value.known!;
}

/** Makes a plan, and runs it. */
export class Planner extends Builder {
  readonly plan: Plan;
  #steps: Step[] = [];

  constructor(core: Core, limits: Limits) {
    super(core, limits);
    this.plan = new Plan(core, limits);
  }

  override run<Attributes>(
    operation: Operation<Attributes>,
    inputs: readonly Value[],
    attributes: Attributes,
  ): readonly Value[] {
    const fused = fuse(this, { operation, inputs, attributes });
    if (fused) return this.run(fused.operation, fused.inputs, fused.attributes);
    const specs = this.infer(operation, inputs, attributes);
    this.check(specs);
    const movement = isMovement(operation) ? operation : undefined;
    if (movement && !inputs[0]!.inWasm)
      return this.host(inputs, specs, moveNumbers(movement, inputs, specs, attributes));
    if (inputs.every((input) => this.known(input))) return this.#fold(operation, inputs, specs, attributes);
    if (!operation.bind) return [aliasOf(inputs[0]!, specs[0]!)];
    const outputs = specs.map(({ dtype, shape }) => planned(dtype, shape, true));
    if (movement) aliasMoves(movement, inputs, outputs, attributes);
    this.#push({ operation, attributes, inputs, outputs });
    return outputs;
  }

  override host(inputs: readonly Value[], specs: readonly ValueSpec[], compute: Compute): readonly Value[] {
    this.check(specs);
    if (inputs.every((input) => this.known(input))) {
      this.accountFor(specs);
      const numbers = specs.map(({ dtype, shape }) => makeNumbers(dtype, sizeOf(shape)));
      compute(
        inputs.map((input) => this.known(input)!),
        numbers,
      );
      return specs.map(({ dtype, shape }, i) => constant(dtype, shape, numbers[i]!));
    }
    return this.#pushHost(
      inputs,
      specs.map(({ dtype, shape }) => planned(dtype, shape)),
      compute,
    );
  }

  override hostToWasm(inputs: readonly Value[], shape: readonly number[], compute: Compute): Value {
    const output = new Value("i32", shape, true);
    this.check([output]);
    if (inputs.every((input) => this.known(input))) {
      this.accountFor([output]);
      const numbers = makeNumbers("i32", output.size);
      compute(
        inputs.map((input) => this.known(input)!),
        [numbers],
      );
      output.known = numbers;
      return output;
    }
    return this.#pushHost(inputs, [output], compute)[0]!;
  }

  #pushHost(inputs: readonly Value[], outputs: readonly Value[], compute: Compute): readonly Value[] {
    const sources = sourcesOf(inputs);
    for (const output of outputs) output.sources = sources;
    this.#push({ compute, inputs, outputs });
    return outputs;
  }

  override known(value: Value): Numbers | undefined {
    if (value.known) return value.known;
    const root = rootOf(value);
    if (!root.known && !this.#compute(root)) return undefined;
    return (value.known ??= partOf(root.known!, value));
  }

  /** Computes a value in JavaScript, and what it is computed from, if that is known. */
  #compute(root: Value): boolean {
    if (!root.sources || !root.step?.compute) return false;
    for (const source of root.sources) if (!source.known) return false;
    const wanted = [root];
    while (wanted.length > 0) {
      const value = wanted[wanted.length - 1]!;
      const { inputs, outputs, compute } = value.step!;
      const before = wanted.length;
      if (!value.known)
        for (const input of inputs) if (!input.known && !rootOf(input).known) wanted.push(rootOf(input));
      if (wanted.length > before) continue;
      wanted.pop();
      if (value.known) continue;
      this.accountFor(outputs);
      const numbers = outputs.map(({ dtype, size }) => makeNumbers(dtype, size));
      compute!(
        inputs.map((input) => this.known(input)!),
        numbers,
      );
      outputs.forEach((output, i) => (output.known = numbers[i]));
    }
    return true;
  }

  override numbers(value: Value): Numbers {
    const known = this.known(value);
    if (known) return known;
    const sources = sourcesOf([value]);
    if (sources) {
      for (const source of sources) {
        if (source.known) continue;
        source.known = source.numbers!.slice();
        this.plan.fed.push({ numbers: source.numbers!, answer: source.known });
      }
      return this.known(value)!;
    }
    if (value.base) return partOf(this.numbers(rootOf(value)), value);
    const calls = this.#bind(undefined);
    runAll(calls);
    value.known = currentNumbers(value).slice();
    this.plan.segments.push({ calls, asked: value, answer: value.known });
    return value.known;
  }

  /** Ends the plan: it has run. */
  finish(outputs: readonly Value[]): Plan {
    const { plan } = this;
    const calls = this.#bind(outputs);
    runAll(calls);
    plan.segments.push({ calls });
    plan.outputs = outputs;
    return plan;
  }

  #push(call: Omit<Step, "where">): void {
    const step: Step = { ...call, where: this.where };
    if (step.outputs.every(({ size, base }) => size === 0 || base)) return;
    for (const output of step.outputs) output.step = step;
    this.#steps.push(step);
  }

  /** Computes what is fixed. */
  #fold<Attributes>(
    operation: Operation<Attributes>,
    inputs: readonly Value[],
    specs: readonly ValueSpec[],
    attributes: Attributes,
  ): readonly Value[] {
    if (!operation.bind) return [constant(specs[0]!.dtype, specs[0]!.shape, this.known(inputs[0]!)!)];
    this.accountFor(specs);
    return withArena(this.core, (arena) => {
      arena.limit = this.limits.memory;
      const tensors = inputs.map((input) => input.tensor ?? this.#upload(arena, input));
      const results = apply(arena, operation, tensors, attributes);
      return specs.map(({ dtype, shape }, i) => constant(dtype, shape, results[i]!.download().data));
    });
  }

  #upload(arena: Arena, value: Value): WasmTensor {
    const data = this.known(value) as TensorData;
    return arena.copyChecked("a constant", { data, shape: value.shape }, floatOf(value.dtype) ?? "i32");
  }

  /** The tensor of an input of an operation; numbers that are known are uploaded once. */
  #input(value: Value): WasmTensor {
    if (!value.tensor && this.known(value)) value.tensor = this.#upload(value.owner ?? this.plan.arena, value);
    return tensorOf(value);
  }

  /** Gives all pending steps their memory, and binds them. */
  #bind(outputs: readonly Value[] | undefined): Calls {
    const { plan } = this;
    const { steps, turns, blocks, bytes } = layOut(this.#steps, outputs, this.core);
    this.#steps = [];
    this.account(bytes);
    for (const step of steps) this.accountFor(step.outputs.filter(({ inWasm, base }) => !inWasm && !base));
    const start = plan.arena.bytes("a plan", bytes);
    for (const [value, { place }] of blocks) {
      const dtype: Dtype = floatOf(value.dtype) ?? "i32";
      value.tensor = new WasmTensor(plan.arena, dtype, value.shape, start + place);
    }
    const runs = steps.map(({ operation, attributes, compute, inputs, outputs: results, where }) => {
      for (const each of results) {
        if (!each.inWasm && !each.base) each.numbers = makeNumbers(each.dtype, each.size);
      }
      if (!operation) return this.#bindHost(compute!, inputs, results);
      const constants = inputs.map((input) => this.known(input) !== undefined);
      const tensors = inputs.map((input) => this.#input(input));
      try {
        return operation.bind!(plan.arena, tensors, results.map(tensorOf), attributes, constants);
      } catch (error) {
        throw located(where, error);
      }
    });
    if (turns) this.core.join!(runs, turns);
    return { runs, nodes: steps.map(({ where }) => where) };
  }

  #bindHost(compute: Compute, inputs: readonly Value[], outputs: readonly Value[]): () => void {
    const places = [
      inputs.map((each) => this.known(each) ?? currentNumbers(each)),
      outputs.map(currentNumbers),
    ] as const;
    const views: { list: Numbers[]; i: number; tensor: WasmTensor }[] = [];
    [inputs, outputs].forEach((values, k) =>
      values.forEach((value, i) => {
        if (value.inWasm && !(k === 0 && this.known(value)))
          views.push({ list: places[k]!, i, tensor: tensorOf(value) });
      }),
    );
    const [from, to] = places;
    return () => {
      for (let i = 0; i < views.length; i++) {
        const view = views[i]!;
        view.list[view.i] = view.tensor.data; // growth of the memory moves it
      }
      compute(from, to);
    };
  }
}

/** A value that a step computes; one without numbers is known. */
function planned(dtype: ValueSpec["dtype"], shape: readonly number[], inWasm?: boolean): Value {
  const value = new Value(dtype, shape, inWasm);
  if (value.size === 0) value.known = makeNumbers(dtype, 0);
  return value;
}

/** The same numbers in another shape. */
function aliasOf(base: Value, { dtype, shape }: ValueSpec, offset = 0): Value {
  const value = new Value(dtype, shape, base.inWasm);
  value.base = base;
  value.offset = offset;
  return value;
}

/** Lets results that are neighbours in an input be where they are there. */
function aliasMoves<A>(
  operation: Movement<A>,
  inputs: readonly Value[],
  outputs: readonly Value[],
  attributes: A,
): void {
  const moves = operation.moves(
    inputs as readonly unknown[] as Spec[],
    outputs as readonly unknown[] as Spec[],
    attributes,
  );
  outputs.forEach((output, i) => {
    const own = moves.filter((move) => move.output === i);
    const [move] = own;
    if (own.length !== 1 || !move || wholeCopy(move, output.size) !== 0) return;
    output.base = inputs[move.input]!;
    output.offset = move.from;
  });
}

/** The most integers that a value is known by. */
const MOST_SOURCES = 64;

/** The integers, fed and few, from which values are computed; undefined where there are others. */
function sourcesOf(values: readonly Value[]): ReadonlySet<Value> | undefined {
  let all: ReadonlySet<Value> | undefined;
  for (const value of values) {
    if (value.known) continue;
    const { sources } = rootOf(value);
    if (!sources) return undefined;
    if (all && all !== sources) all = new Set([...all, ...sources]);
    else all = sources;
    if (all.size > MOST_SOURCES) return undefined;
  }
  return all ?? NO_SOURCES;
}

const NO_SOURCES: ReadonlySet<Value> = /* @__PURE__ */ new Set();
