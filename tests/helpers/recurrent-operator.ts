// ONNX's recurrent operators, bound for tests.
import { currentCore } from "../../bindings/instantiate.js";
import { Arena, type WasmTensor } from "../../bindings/memory.js";
import type { FloatDtype, Tensor } from "../../src/index.js";
import {
  recurrentAttributes,
  recurrentOperator,
  type OnnxAttributes,
  type OnnxOperator,
  type RecurrentInput,
  type RecurrentOutput,
} from "../../src/recurrent/operator-attributes.js";
import { recurrent } from "../../src/recurrent/operator.js";

/** Tensors by the operators' names. */
export type Inputs = Partial<Record<RecurrentInput, Tensor>>;

/** The number type of a call. */
export const dtypeOf = ({ X }: Inputs): FloatDtype => (X!.data instanceof Float64Array ? "f64" : "f32");

/** A bound call; inputs are tensors in wasm memory, to be overwritten between runs. */
export class Bound {
  readonly arena = new Arena(currentCore());
  readonly scratch = new Arena(currentCore());
  readonly inputs: Partial<Record<RecurrentInput, WasmTensor>>;
  readonly outputs: Partial<Record<RecurrentOutput, WasmTensor>>;
  readonly run: () => void;

  constructor(
    kind: OnnxOperator,
    given: OnnxAttributes,
    inputs: Inputs,
    constant: readonly RecurrentInput[] = [],
    wanted: readonly RecurrentOutput[] = recurrentOperator(kind).outputs,
  ) {
    const { arena, scratch } = this;
    const names = Object.keys(inputs) as RecurrentInput[];
    const attributes = recurrentAttributes(kind, given, names, wanted);
    const specs = names.map((name) => (name === "sequence_lens" ? "i32" : dtypeOf(inputs)));
    const tensors = names.map((name, i) => arena.copy(name, inputs[name]!, specs[i]!, inputs[name]!.shape));
    const results = recurrent.infer(tensors, attributes).map(({ dtype, shape }) => {
      const result = arena.allocate("result", dtype, shape);
      result.fill(NaN);
      return result;
    });
    this.inputs = Object.fromEntries(names.map((name, i) => [name, tensors[i]!]));
    this.outputs = Object.fromEntries(wanted.map((name, i) => [name, results[i]!]));
    const fixed = names.map((name) => constant.includes(name));
    try {
      this.run = recurrent.bind!(scratch, tensors, results, attributes, fixed);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  set(inputs: Inputs): void {
    for (const [name, value] of Object.entries(inputs)) this.inputs[name as RecurrentInput]!.set(value.data);
  }

  results(): Record<string, Tensor> {
    return Object.fromEntries(Object.entries(this.outputs).map(([name, value]) => [name, value.download()]));
  }

  [Symbol.dispose](): void {
    this.scratch.dispose();
    this.arena.dispose();
  }
}
