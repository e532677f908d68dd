// Runs ONNX's recurrent operators on the core, from and to the operators' own tensors.

import { DtypeError, ShapeError, UnsupportedError, ValueError } from "../../bindings/errors.js";
import { currentCore } from "../../bindings/instantiate.js";
import type { FloatTensor } from "../../bindings/kernels.js";
import { withArena, type Arena } from "../../bindings/memory.js";
import {
  GATES,
  type CellActivation,
  type Cell,
  type CellKind,
  type RecurrentWeights,
} from "../../bindings/recurrent.js";
import {
  checkTensor,
  describe,
  readTensor,
  showShape,
  zeros,
  type Dtype,
  type FloatDtype,
  type Tensor,
} from "../../bindings/tensor.js";
import { checkOptions } from "../base/check.js";
import { permute, reshape, select } from "../base/layout.js";
import { numberTypeOf } from "../formats/arrays.js";
import { peepholesFromOnnx, rowsOf } from "../formats/gates.js";
import { forwardDirection, uploadRagged } from "../recurrent/direction.js";
import { activeSteps } from "../recurrent/sequences.js";

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
  /** For each direction: RNN f; LSTM f g h; GRU f g. Tanh, Sigmoid, Relu or HardSigmoid; by default Sigmoid for gates, else Tanh. */
  activations?: readonly string[] | undefined;
  /** The slopes of those activations that take one (HardSigmoid: 0.2 by default), in their order. */
  activation_alpha?: readonly number[] | undefined;
  /** The offsets of those activations that take one (HardSigmoid: 0.5 by default), in their order. */
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

/** The operators' inputs; D: directions, G: 1, 4 or 3 gates, I: size of an input. Of one floating-point type. */
export interface OnnxInputs {
  /** [T,N,I], or [N,T,I] for layout 1. */
  X: Tensor;
  /** Weights [D,G*H,I]; gates i o f c, or z r h. */
  W: Tensor;
  /** Recurrent weights [D,G*H,H]. */
  R: Tensor;
  /** Biases `[D,2*G*H]`, W's and R's (default: zeros). */
  B?: Tensor | undefined;
  /** [N], i32: the steps of each row, 0 to T; past them Y is zero (default: T). */
  sequence_lens?: Tensor | undefined;
  /** First h [D,N,H], or [N,D,H] for layout 1 (default: zeros). */
  initial_h?: Tensor | undefined;
  /** LSTM: first c, as initial_h. */
  initial_c?: Tensor | undefined;
  /** LSTM: peepholes of i, o, f [D,3*H] (default: zeros). */
  P?: Tensor | undefined;
}

/** The operators' outputs, fresh and of the type of X. */
export interface OnnxOutputs {
  /** All h: [T,D,N,H], or [N,T,D,H] for layout 1. */
  Y: Tensor;
  /** The last h: [D,N,H], or [N,D,H] for layout 1. */
  Y_h: Tensor;
  /** LSTM: the last c, as Y_h. */
  Y_c?: Tensor;
}

interface OperatorSpec {
  readonly activations: readonly string[];
  readonly attributes: readonly string[];
  readonly inputs: readonly (keyof OnnxInputs)[];
}

// Maps, so that names from callers do not find the properties that every object has ("constructor").
const OPERATORS: ReadonlyMap<unknown, OperatorSpec> = new Map<CellKind, OperatorSpec>([
  ["RNN", { activations: ["Tanh"], attributes: [], inputs: [] }],
  ["LSTM", { activations: ["Sigmoid", "Tanh", "Tanh"], attributes: ["input_forget"], inputs: ["initial_c", "P"] }],
  ["GRU", { activations: ["Sigmoid", "Tanh"], attributes: ["linear_before_reset"], inputs: [] }],
]);
const ATTRIBUTES = ["hidden_size", "direction", "layout", "activations", "activation_alpha", "activation_beta", "clip"];
const INPUTS: readonly (keyof OnnxInputs)[] = ["X", "W", "R", "B", "sequence_lens", "initial_h"];

const ACTIVATIONS: ReadonlyMap<string, CellActivation> = new Map([
  ["tanh", "tanh"],
  ["sigmoid", "sigmoid"],
  ["relu", "relu"],
  ["hardsigmoid", "hardSigmoid"],
]);

/**
 * Runs an operator, forward, as ONNX specifies
 * [RNN](https://onnx.ai/onnx/operators/onnx__RNN.html), [LSTM](https://onnx.ai/onnx/operators/onnx__LSTM.html) and
 * [GRU](https://onnx.ai/onnx/operators/onnx__GRU.html).
 *
 * @param opType the operator
 * @param attributes by ONNX's names; {} for its defaults
 * @param inputs absent ones may be left out or undefined
 * @throws ShapeError, DtypeError, ValueError, UnsupportedError (an attribute or activation that is not known),
 *   OutOfMemoryError
 */
export function onnxRecurrent(opType: OnnxOperator, attributes: OnnxAttributes, inputs: OnnxInputs): OnnxOutputs {
  const operator = OPERATORS.get(opType);
  if (operator === undefined) throw new UnsupportedError("opType", describe(opType), [...OPERATORS.keys()].join(", "));
  const given = checkOptions(opType, attributes, [...ATTRIBUTES, ...operator.attributes]);
  const tensors = checkOptions(opType, inputs, [...INPUTS, ...operator.inputs]);
  const { direction = "forward", layout = 0, hidden_size } = given;
  if (direction !== "forward" && direction !== "reverse" && direction !== "bidirectional") {
    throw new ValueError("direction", describe(direction), '"forward", "reverse" or "bidirectional"');
  }
  checkZeroOrOne("layout", layout);
  const reverse = direction === "bidirectional" ? [false, true] : [direction === "reverse"];
  const d = reverse.length;
  const cells = cellsOf(opType, operator, given, d);
  const core = currentCore();

  // Copy all inputs first: reading one tensor may run code that changes another.
  const copies = new Map<keyof OnnxInputs, Tensor>();
  let type: FloatDtype | undefined;
  for (const name of [...INPUTS, ...operator.inputs]) {
    const value = tensors[name];
    if (value === undefined) continue;
    const { data, dtype: own } = dtypeIn(name, value);
    const plain = readTensor(name, { data, shape: value.shape });
    if (name !== "sequence_lens") type ??= own === "i32" ? undefined : own;
    const expected = name === "sequence_lens" ? "i32" : type;
    if (own !== expected) throw new DtypeError(name, own, expected ?? "f64 or f32");
    copies.set(name, { data: plain.data.slice(), shape: plain.shape });
  }
  const take = (name: keyof OnnxInputs, pattern: readonly (number | string)[]): Tensor | undefined => {
    const copy = copies.get(name);
    return copy && checkTensor(name, copy, name === "sequence_lens" ? "i32" : dtype, pattern);
  };
  const need = (name: "X" | "W" | "R", pattern: readonly (number | string)[]): Tensor =>
    take(name, pattern) ?? missing(name);
  if (!copies.has("X")) throw new DtypeError("X", describe(tensors.X), "a tensor of f64 or f32");
  const dtype = type!;

  const x = need("X", layout ? ["N", "T", "I"] : ["T", "N", "I"]);
  const [t, n, size] = (layout ? [x.shape[1], x.shape[0], x.shape[2]] : x.shape) as [number, number, number];
  if (t === 0) throw new ShapeError("X", showShape(x.shape), "at least one step");
  if (size === 0) throw new ShapeError("X", showShape(x.shape), "at least one input feature");
  const h = need("R", [d, "G*H", "H"]).shape[2]!;
  if (h === 0) throw new ShapeError("R", showShape(copies.get("R")!.shape), "at least one hidden unit");
  const g = GATES[opType] * h;
  const R = need("R", [d, g, h]);
  if (hidden_size !== undefined && hidden_size !== h) {
    throw new ValueError("hidden_size", describe(hidden_size), `${h}, as R has it`);
  }
  const W = need("W", [d, g, size]);
  const B = take("B", [d, 2 * g]);
  const P = take("P", [d, 3 * h]);
  const stateShape = layout ? [n, d, h] : [d, n, h];
  const directionsFirst = (state: Tensor | undefined) => (state && layout ? permute(state, [1, 0, 2]) : state);
  const h0 = directionsFirst(take("initial_h", stateShape));
  const c0 = directionsFirst(take("initial_c", stateShape));
  const batch = { unbatched: false, batchFirst: false, reversed: false, t, n };
  const lengths = take("sequence_lens", [n])?.data as Int32Array | undefined;
  lengths?.forEach((length, row) => {
    if (length < 0 || length > t) {
      throw new ValueError(`sequence_lens[${row}]`, `${length}`, `an integer from 0 to ${t}`);
    }
  });
  const active = activeSteps(batch, lengths, undefined);

  const Y = zeros(dtype, t * d * n * h);
  const Yh = zeros(dtype, d * n * h);
  const Yc = zeros(dtype, opType === "LSTM" ? d * n * h : 0);
  reverse.forEach((reversed, i) => {
    withArena(core, (arena) => {
      const own = (all: Tensor | undefined): Tensor | undefined => all && select(all, i); // this direction's part
      const ragged = uploadRagged(arena, active, reversed, t, n);
      const {
        states,
        h: hn,
        c: cn,
      } = forwardDirection(arena, arena, dtype, {
        cell: cells[i]!,
        weights: uploadWeights(arena, dtype, opType, { W: own(W)!, R: own(R)!, B: own(B), P: own(P) }),
        ragged,
        x: arena.upload("X", layout ? permute(x, [1, 0, 2]) : x, dtype, [t, n, size]),
        mask: undefined,
        initial: { h0: own(h0), c0: own(c0) },
        training: false,
        checkpoint: Infinity,
      });
      const from = states.data;
      for (let row = 0; row < t * n; row++) {
        const packed = ragged ? ragged.indices.packedRows[row]! : row;
        if (packed < 0) continue;
        const step = Math.floor(row / n);
        const to = layout ? ((row % n) * t + step) * d + i : (step * d + i) * n + (row % n);
        Y.set(from.subarray(packed * h, (packed + 1) * h), to * h);
      }
      Yh.set(hn.data, i * n * h);
      if (cn) Yc.set(cn.data, i * n * h);
    });
  });
  const last = (data: typeof Yh) =>
    layout ? permute({ data, shape: [d, n, h] }, [1, 0, 2]) : { data, shape: [d, n, h] };
  const outputs: OnnxOutputs = { Y: { data: Y, shape: layout ? [n, t, d, h] : [t, d, n, h] }, Y_h: last(Yh) };
  if (opType === "LSTM") outputs.Y_c = last(Yc);
  return outputs;
}

function missing(name: string): never {
  throw new ShapeError(name, "none", "a tensor");
}

function checkZeroOrOne(attribute: string, value: number): void {
  if (value !== 0 && value !== 1) throw new ValueError(attribute, describe(value), "0 or 1");
}

/** A caller's array and its number type. */
function dtypeIn(name: keyof OnnxInputs, value: Tensor): { data: Tensor["data"]; dtype: Dtype } {
  const { data } = (value as Tensor | null) ?? {};
  const dtype = numberTypeOf(data);
  if (dtype === "f64" || dtype === "f32" || dtype === "i32") return { data: data as Tensor["data"], dtype };
  throw new DtypeError(
    name,
    dtype ?? describe(value),
    `a tensor of ${name === "sequence_lens" ? "i32" : "f64 or f32"}`,
  );
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
        throw new UnsupportedError("activations", describe(name), "Tanh, Sigmoid, Relu or HardSigmoid");
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

/** One direction's weights in wasm memory, in the core's gate orders. */
function uploadWeights(
  arena: Arena,
  dtype: FloatDtype,
  kind: CellKind,
  { W, R, B, P }: Record<"W" | "R", Tensor> & Partial<Record<"B" | "P", Tensor>>,
): RecurrentWeights {
  const { weightIh, weightHh, biasIh, biasHh } = rowsOf("onnx", kind, { W, R, B });
  const upload = (name: string, x: Tensor): FloatTensor => arena.upload(name, x, dtype, x.shape);
  return {
    weightIh: upload("W", weightIh),
    weightHh: upload("R", weightHh),
    biasIh: biasIh && upload("B", biasIh),
    biasHh: biasHh && upload("B", biasHh),
    peephole: P && upload("P", peepholesFromOnnx(reshape(P, [3, P.data.length / 3]))),
  };
}
