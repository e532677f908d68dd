// ONNX's recurrent operators as their specification names things: inputs, outputs and attributes, and what the core runs for them.

import { UnsupportedError, ValueError } from "../../bindings/errors.js";
import type { Cell, CellActivation, CellKind } from "../../bindings/recurrent.js";
import { describe } from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";

/** The operators. */
export type OnnxOperator = "RNN" | "LSTM" | "GRU";

/** The operators' attributes, by ONNX's names and with its defaults. */
export interface OnnxAttributes {
  /** H, which R says as well: where both do, they must agree. */
  hidden_size?: number | undefined;
  /** Whether sequences are read from their start (default "forward"), from their end, or both ways. */
  direction?: "forward" | "reverse" | "bidirectional" | undefined;
  /** 0 (default): X [T,N,I]; 1: X [N,T,I], and the batch comes first in states and outputs. */
  layout?: number | undefined;
  /** For each direction: RNN f; LSTM f g h; GRU f g. Tanh, Sigmoid, Relu, HardSigmoid, or Affine as x itself; by default Sigmoid for gates, else Tanh. */
  activations?: readonly string[] | undefined;
  /** The slopes of those activations that take one (HardSigmoid: 0.2 by default; Affine: 1), in their order. */
  activation_alpha?: readonly number[] | undefined;
  /** The offsets of those activations that take one (HardSigmoid: 0.5 by default; Affine: 0), in their order. */
  activation_beta?: readonly number[] | undefined;
  /**
   * Limits the input of every activation to [-clip, clip], as the operators' text says; > 0 (default: no limit). That
   * includes h of the LSTM: H_t = o_t h(clip(C_t)). C_t itself is not limited, neither in Y_c nor for the next step. (ONNX
   * Runtime's CPU kernels do not limit the input of h.)
   */
  clip?: number | undefined;
  /** LSTM: whether f is 1 - i: 0 (default) or 1. */
  input_forget?: number | undefined;
  /** GRU: whether the reset gate is applied after the recurrent product: 0 (default) or 1. */
  linear_before_reset?: number | undefined;
}

/** The operators' inputs, by name. */
export type RecurrentInput = "X" | "W" | "R" | "B" | "sequence_lens" | "initial_h" | "initial_c" | "P";

/** The operators' outputs, by name. */
export type RecurrentOutput = "Y" | "Y_h" | "Y_c";

/** What the operation takes beside tensors. */
export interface RecurrentAttributes {
  readonly kind: CellKind;
  /** The cell of each direction. */
  readonly cells: readonly Cell[];
  /** Whether each direction reads rows from their ends. */
  readonly reverse: readonly boolean[];
  /** Whether the batch is the first axis (layout 1). */
  readonly batchFirst: boolean;
  /** H, if it was given. */
  readonly hiddenSize: number | undefined;
  /** The inputs that are there, in the order of the tensors. */
  readonly inputs: readonly RecurrentInput[];
  /** The outputs that are wanted, in the order of the tensors. */
  readonly outputs: readonly RecurrentOutput[];
}

interface OperatorSpec {
  /** Default activations of a direction. */
  readonly activations: readonly string[];
  readonly attributes: readonly string[];
  /** In the order of a node's. */
  readonly inputs: readonly RecurrentInput[];
  readonly outputs: readonly RecurrentOutput[];
}

const ATTRIBUTES = ["hidden_size", "direction", "layout", "activations", "activation_alpha", "activation_beta", "clip"];
const INPUTS: readonly RecurrentInput[] = ["X", "W", "R", "B", "sequence_lens", "initial_h"];

// Maps, so that names from callers do not find the properties that every object has ("constructor").
const OPERATORS: ReadonlyMap<unknown, OperatorSpec> = /* @__PURE__ */ new Map<CellKind, OperatorSpec>([
  ["RNN", { activations: ["Tanh"], attributes: ATTRIBUTES, inputs: INPUTS, outputs: ["Y", "Y_h"] }],
  [
    "LSTM",
    {
      activations: ["Sigmoid", "Tanh", "Tanh"],
      attributes: [...ATTRIBUTES, "input_forget"],
      inputs: [...INPUTS, "initial_c", "P"],
      outputs: ["Y", "Y_h", "Y_c"],
    },
  ],
  [
    "GRU",
    {
      activations: ["Sigmoid", "Tanh"],
      attributes: [...ATTRIBUTES, "linear_before_reset"],
      inputs: INPUTS,
      outputs: ["Y", "Y_h"],
    },
  ],
]);

const ACTIVATIONS: ReadonlyMap<string, CellActivation> = /* @__PURE__ */ new Map([
  ["tanh", "tanh"],
  ["sigmoid", "sigmoid"],
  ["relu", "relu"],
  ["hardsigmoid", "hardSigmoid"],
  ["affine", "linear"],
]);

/**
 * What an operator has.
 *
 * @throws UnsupportedError where it is no recurrent one
 */
export function recurrentOperator(opType: OnnxOperator): OperatorSpec {
  const operator = OPERATORS.get(opType);
  if (operator === undefined) throw new UnsupportedError("opType", describe(opType), [...OPERATORS.keys()].join(", "));
  return operator;
}

/**
 * Checks an operator's attributes.
 *
 * @param inputs, outputs of the node that are there, of those of `recurrentOperator`
 * @throws ValueError, UnsupportedError (an attribute or activation that is not known)
 */
export function recurrentAttributes(
  opType: OnnxOperator,
  attributes: OnnxAttributes,
  inputs: readonly RecurrentInput[],
  outputs: readonly RecurrentOutput[],
): RecurrentAttributes {
  const operator = recurrentOperator(opType);
  const given = checkOptions(opType, attributes, operator.attributes);
  const { direction = "forward", layout = 0, hidden_size: hiddenSize } = given;
  if (direction !== "forward" && direction !== "reverse" && direction !== "bidirectional") {
    throw new ValueError("direction", describe(direction), '"forward", "reverse" or "bidirectional"');
  }
  checkZeroOrOne("layout", layout);
  const reverse = direction === "bidirectional" ? [false, true] : [direction === "reverse"];
  const cells = cellsOf(opType, operator, given, reverse.length);
  return { kind: opType, cells, reverse, batchFirst: layout === 1, hiddenSize, inputs, outputs };
}

function checkZeroOrOne(attribute: string, value: number): void {
  if (value !== 0 && value !== 1) throw new ValueError(attribute, describe(value), "0 or 1");
}

/** The cells of the directions. */
function cellsOf(kind: CellKind, operator: OperatorSpec, attributes: OnnxAttributes, d: number): Cell[] {
  const {
    activations,
    activation_alpha,
    activation_beta,
    clip,
    input_forget = 0,
    linear_before_reset = 0,
  } = attributes;
  checkZeroOrOne("input_forget", input_forget);
  checkZeroOrOne("linear_before_reset", linear_before_reset);
  if (clip !== undefined && !(typeof clip === "number" && clip > 0)) {
    throw new ValueError("clip", describe(clip), "a number > 0");
  }
  const defaults = operator.activations;
  const count = d * defaults.length;
  const names: readonly unknown[] =
    activations === undefined ? [...defaults, ...defaults] : listOf("activations", activations, `${count} names`);
  if (activations !== undefined && names.length !== count) {
    throw new ValueError("activations", `${names.length} names`, `${count} names`);
  }
  const alphas = scalesOf("activation_alpha", activation_alpha, count);
  const betas = scalesOf("activation_beta", activation_beta, count);
  // alpha and beta list values for those activations that have parameters, in order.
  let taken = 0;
  return Array.from({ length: d }, (_, i): Cell => {
    let hard: readonly [number, number] | undefined;
    const codes = defaults.map((_, k) => {
      const name = names[i * defaults.length + k];
      const code = typeof name === "string" ? ACTIVATIONS.get(name.toLowerCase()) : undefined;
      if (code === undefined) {
        throw new UnsupportedError("activations", describe(name), "Tanh, Sigmoid, Relu, HardSigmoid or Affine");
      }
      if (code === "linear") {
        const [slope, offset] = [alphas[taken] ?? 1, betas[taken] ?? 0];
        taken++;
        if (slope === 1 && offset === 0) return code;
        throw new UnsupportedError("activation_alpha", `${slope} and ${offset} of Affine`, "1 and 0: x itself");
      }
      if (code !== "hardSigmoid") return code;
      const own = [alphas[taken] ?? 0.2, betas[taken] ?? 0.5] as const;
      taken++;
      if (hard && (hard[0] !== own[0] || hard[1] !== own[1])) {
        const received = `${own.join(", ")} beside ${hard.join(", ")}`;
        throw new UnsupportedError("activation_alpha", received, "one pair for a direction");
      }
      hard = own;
      return code;
    });
    const [f, second, third] = codes as [CellActivation, CellActivation, CellActivation];
    const common = { kind, clip, ...(hard && { hard }) };
    if (kind === "RNN") return { ...common, phi: f };
    if (kind === "GRU") return { ...common, sigma: f, phi: second, resetAfter: linear_before_reset === 1 };
    return { ...common, sigma: f, phi: second, psi: third, coupled: input_forget === 1 };
  });
}

/** A copy of a list; refuses more entries than there can be activations. */
function listOf(attribute: string, list: unknown, expected: string): unknown[] {
  if (!Array.isArray(list)) throw new ValueError(attribute, describe(list), expected);
  const { length } = list;
  if (!(length <= 6)) throw new ValueError(attribute, `${length} entries`, expected);
  return Array.from({ length }, (_, i): unknown => list[i]);
}

function scalesOf(attribute: "activation_alpha" | "activation_beta", list: unknown, count: number): number[] {
  if (list === undefined) return [];
  const expected = `at most ${count} finite numbers`;
  const scales = listOf(attribute, list, expected);
  for (const scale of scales) {
    if (!Number.isFinite(scale)) throw new ValueError(attribute, describe(scale), expected);
  }
  if (scales.length > count) throw new ValueError(attribute, `${scales.length} numbers`, expected);
  return scales as number[];
}
