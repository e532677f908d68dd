// Computes a graph at once and records it, so that gradients find their way back.

import { UnsupportedError } from "../../bindings/errors.js";
import type { Core } from "../../bindings/instantiate.js";
import { Arena, type WasmTensor } from "../../bindings/memory.js";
import type { Dtype, TensorData } from "../../bindings/tensor.js";
import { derivativeOf } from "../ops/derivative.js";
import { apply, record, type Derivative, type Operation } from "../ops/operation.js";
import type { Tape } from "../recording/tape.js";
import { Builder, isMovement, moveNumbers, type Limits } from "./builder.js";
import { constant, floatOf, makeNumbers, Value, type Compute, type Numbers, type ValueSpec } from "./value.js";

export class Recorder extends Builder {
  /**
   * @param arena owns all tensors; it must live until the way back is over
   * @param tape records in it
   */
  constructor(
    core: Core,
    limits: Limits,
    readonly arena: Arena,
    readonly tape: Tape,
  ) {
    super(core, limits);
  }

  override run<Attributes>(
    operation: Operation<Attributes>,
    inputs: readonly Value[],
    attributes: Attributes,
  ): readonly Value[] {
    const specs = this.infer(operation, inputs, attributes);
    this.check(specs);
    if (isMovement(operation) && !inputs[0]!.inWasm) {
      return this.host(inputs, specs, moveNumbers(operation, inputs, specs, attributes));
    }
    if (!operation.bind && !inputs[0]!.inWasm) {
      return [constant(specs[0]!.dtype, specs[0]!.shape, this.numbers(inputs[0]!))];
    }
    const tensors = inputs.map((input) => this.#tensor(input));
    this.accountFor(specs);
    const results = apply(this.arena, operation, tensors, attributes);
    this.#record(tensors, results, attributes, (scratch, call) => {
      const derivative = derivativeOf(operation);
      if (!derivative) throw new UnsupportedError(operation.name, "a gradient", "an operation that has a derivative");
      return derivative.backward(scratch, call);
    });
    return results.map((tensor, i) => {
      const value = new Value(specs[i]!.dtype, specs[i]!.shape, true);
      value.tensor = tensor;
      return value;
    });
  }

  override host(inputs: readonly Value[], specs: readonly ValueSpec[], compute: Compute): readonly Value[] {
    this.check(specs);
    this.accountFor(specs);
    const outputs = specs.map(({ dtype, shape }) => new Value(dtype, shape));
    const numbers = outputs.map(({ dtype, size }) => makeNumbers(dtype, size));
    compute(inputs.map((input) => this.numbers(input)), numbers); // prettier-ignore
    outputs.forEach((output, i) => {
      output.known = numbers[i];
    });
    const from = inputs.filter(({ tensor, known }) => tensor && !known);
    const to = outputs.filter(({ inWasm }) => inWasm);
    if (from.length > 0 && to.length > 0) {
      const where = this.where ?? "operator";
      this.#record(from.map((each) => this.#tensor(each)), to.map((each) => this.#tensor(each)), undefined, () => {
        throw new UnsupportedError(where, "a gradient", "an operator that has a derivative");
      }); // prettier-ignore
    }
    return outputs;
  }

  override hostToWasm(inputs: readonly Value[], shape: readonly number[], compute: Compute): Value {
    const output = new Value("i32", shape, true);
    this.check([output]);
    this.accountFor([output]);
    output.known = makeNumbers("i32", output.size);
    compute(inputs.map((input) => this.numbers(input)), [output.known]); // prettier-ignore
    return output;
  }

  override known(value: Value): Numbers | undefined {
    return value.known;
  }

  override numbers(value: Value): Numbers {
    return value.known ?? value.numbers ?? value.tensor!.data.slice();
  }

  #tensor(value: Value): WasmTensor {
    const dtype: Dtype = floatOf(value.dtype) ?? "i32";
    return (value.tensor ??= this.arena.copyChecked(
      "a constant",
      { data: value.known as TensorData, shape: value.shape },
      dtype,
    ));
  }

  #record<Attributes>(
    inputs: readonly WasmTensor[],
    outputs: readonly WasmTensor[],
    attributes: Attributes,
    backward: Derivative<Attributes>["backward"],
  ): void {
    record(this.tape, new Arena(this.core), { backward }, { inputs, outputs, attributes }, inputs, outputs);
  }
}
