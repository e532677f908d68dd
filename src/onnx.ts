/**
 * ONNX's recurrent operators RNN, LSTM and GRU: the operator's own tensors in and out.
 *
 * Specification: https://onnx.ai/onnx/operators/ (RNN, LSTM, GRU; layout: opset 14). Gate orders: LSTM i o f c, peepholes
 * i o f, GRU z r h. There is no backward pass.
 *
 * @module wasm-rnn/onnx
 */

import { ShapeError, UnsupportedError, ValueError } from "../bindings/errors.js";
import { currentCore } from "../bindings/instantiate.js";
import { floatDtype, type FloatTensor } from "../bindings/kernels.js";
import { takeTensor, withArena, type Arena } from "../bindings/memory.js";
import { GATES, type Activation, type Cell, type CellKind, type RecurrentWeights } from "../bindings/recurrent.js";
import { describe, showShape, zeros, type FloatDtype, type Tensor } from "../bindings/tensor.js";
import { permute } from "./layout.js";
import { forwardDirection, residentPacking } from "./nn/direction.js";
import { checkOptions } from "./nn/layer.js";
import { activeSteps } from "./nn/sequences.js";

/** The operators. */
export type OnnxOperator = "RNN" | "LSTM" | "GRU";

/** The operators' attributes, by ONNX's names and with its defaults. */
export interface OnnxAttributes {
  /** H, which R says as well: where both do, they must agree. */
  hidden_size?: number;
  /** Whether sequences are read from their start (default "forward"), from their end, or both ways. */
  direction?: "forward" | "reverse" | "bidirectional";
  /** 0 (default): X [T,N,I]; 1: X [N,T,I], and the batch comes first in states and outputs. */
  layout?: number;
  /** For each direction: RNN f; LSTM f g h; GRU f g. Tanh, Sigmoid, Relu or HardSigmoid; by default Sigmoid for gates, else Tanh. */
  activations?: readonly string[];
  /** The slopes of those activations that take one (HardSigmoid: 0.2 by default), in their order. */
  activation_alpha?: readonly number[];
  /** The offsets of those activations that take one (HardSigmoid: 0.5 by default), in their order. */
  activation_beta?: readonly number[];
  /** What goes into an activation is limited to [-clip, clip]; > 0 (default: not limited). */
  clip?: number;
  /** LSTM: whether f is 1 - i: 0 (default) or 1. */
  input_forget?: number;
  /** GRU: whether the reset gate is applied after the recurrent product: 0 (default) or 1. */
  linear_before_reset?: number;
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
  B?: Tensor;
  /** [N], i32: the steps of each row, 0 to T; behind them Y is zeros (default: T). */
  sequence_lens?: Tensor;
  /** First h [D,N,H], or [N,D,H] for layout 1 (default: zeros). */
  initial_h?: Tensor;
  /** LSTM: first c, as initial_h. */
  initial_c?: Tensor;
  /** LSTM: peepholes of i, o, f [D,3*H] (default: zeros). */
  P?: Tensor;
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

const OPERATORS: Readonly<
  Record<CellKind, { activations: readonly string[]; attributes: string[]; inputs: string[] }>
> = {
  RNN: { activations: ["Tanh"], attributes: [], inputs: [] },
  LSTM: { activations: ["Sigmoid", "Tanh", "Tanh"], attributes: ["input_forget"], inputs: ["initial_c", "P"] },
  GRU: { activations: ["Sigmoid", "Tanh"], attributes: ["linear_before_reset"], inputs: [] },
};
const ATTRIBUTES = ["hidden_size", "direction", "layout", "activations", "activation_alpha", "activation_beta", "clip"];
const INPUTS = ["X", "W", "R", "B", "sequence_lens", "initial_h"];

const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  tanh: "tanh",
  sigmoid: "sigmoid",
  relu: "relu",
  hardsigmoid: "hardSigmoid",
};

/** Where the core's gates lie among ONNX's. */
const ORDER: Readonly<Record<CellKind, readonly number[]>> = { RNN: [0], LSTM: [0, 2, 3, 1], GRU: [1, 0, 2] };
const PEEPHOLES = [0, 2, 1];

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
  if (!Object.hasOwn(OPERATORS, opType)) {
    throw new UnsupportedError("opType", describe(opType), Object.keys(OPERATORS).join(", "));
  }
  const operator = OPERATORS[opType];
  checkOptions(opType, attributes, [...ATTRIBUTES, ...operator.attributes]);
  checkOptions(opType, inputs, [...INPUTS, ...operator.inputs]);
  const { direction = "forward", layout = 0 } = attributes;
  if (direction !== "forward" && direction !== "reverse" && direction !== "bidirectional") {
    throw new ValueError("direction", describe(direction), '"forward", "reverse" or "bidirectional"');
  }
  checkFlag("layout", layout);
  const reverse = direction === "bidirectional" ? [false, true] : [direction === "reverse"];
  const d = reverse.length;
  const core = currentCore();
  const dtype = floatDtype("X", inputs.X);
  const take = (name: keyof OnnxInputs, pattern: (number | string)[]) => {
    const value = inputs[name];
    return value === undefined ? undefined : takeTensor(name, value, dtype, pattern);
  };

  const x = take("X", layout ? ["N", "T", "I"] : ["T", "N", "I"])!;
  const [t, n, size] = (layout ? [x.shape[1], x.shape[0], x.shape[2]] : x.shape) as [number, number, number];
  if (t === 0) throw new ShapeError("X", showShape(x.shape), "at least one step");
  if (size === 0) throw new ShapeError("X", showShape(x.shape), "at least one input feature");
  const R = inputs.R === undefined ? missing("R") : take("R", [d, "G*H", "H"])!;
  const h = R.shape[2]!;
  const g = GATES[opType] * h;
  if (h === 0) throw new ShapeError("R", showShape(R.shape), "at least one hidden unit");
  take("R", [d, g, h]);
  if (attributes.hidden_size !== undefined && attributes.hidden_size !== h) {
    throw new ValueError("hidden_size", describe(attributes.hidden_size), `${h}, as R has it`);
  }
  const W = inputs.W === undefined ? missing("W") : take("W", [d, g, size])!;
  const B = take("B", [d, 2 * g]);
  const P = take("P", [d, 3 * h]);
  const stateShape = layout ? [n, d, h] : [d, n, h];
  const directionsFirst = (state: Tensor | undefined) => (state && layout ? permute(state, [1, 0, 2]) : state);
  const h0 = directionsFirst(take("initial_h", stateShape));
  const c0 = directionsFirst(take("initial_c", stateShape));
  const cells = reverse.map((_, i) => cellOf(opType, attributes, i, d));
  const batch = { unbatched: false, batchFirst: false, backwards: false, t, n };
  const active = activeSteps(batch, inputs.sequence_lens, undefined);

  const Y = zeros(dtype, t * d * n * h);
  const Yh = zeros(dtype, d * n * h);
  const Yc = zeros(dtype, opType === "LSTM" ? d * n * h : 0);
  reverse.forEach((backwards, i) => {
    withArena(core, (arena) => {
      const part = (of: Tensor | undefined, count: number) => of?.data.subarray(i * count, (i + 1) * count);
      const state = (of: Tensor | undefined) => of && { data: part(of, n * h)!, shape: [n, h] };
      const packing = residentPacking(arena, active, backwards, t, n);
      const {
        states,
        h: hn,
        c: cn,
      } = forwardDirection(arena, arena, dtype, {
        cell: cells[i]!,
        weights: weightsOf(arena, dtype, opType, h, {
          W: part(W, g * size)!,
          R: part(R, g * h)!,
          B: part(B, 2 * g),
          P: part(P, 3 * h),
        }),
        packing,
        x: arena.upload("X", layout ? permute(x, [1, 0, 2]) : x, dtype, [t, n, size]),
        mask: undefined,
        first: { h0: state(h0), c0: state(c0) },
        keep: false,
        every: Infinity,
      });
      const from = states.data;
      for (let row = 0; row < t * n; row++) {
        const place = packing ? packing.packing.place[row]! : row;
        if (place < 0) continue;
        const step = Math.floor(row / n);
        const to = layout ? ((row % n) * t + step) * d + i : (step * d + i) * n + (row % n);
        Y.set(from.subarray(place * h, (place + 1) * h), to * h);
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

function checkFlag(attribute: string, value: number): void {
  if (value !== 0 && value !== 1) throw new ValueError(attribute, describe(value), "0 or 1");
}

/** The cell of direction i of d. */
function cellOf(kind: CellKind, attributes: OnnxAttributes, i: number, d: number): Cell {
  const { activations, clip, input_forget = 0, linear_before_reset = 0 } = attributes;
  checkFlag("input_forget", input_forget);
  checkFlag("linear_before_reset", linear_before_reset);
  if (clip !== undefined && !(typeof clip === "number" && clip > 0)) {
    throw new ValueError("clip", describe(clip), "a number > 0");
  }
  const defaults = OPERATORS[kind].activations;
  const names: readonly string[] = activations ?? (d === 2 ? [...defaults, ...defaults] : defaults);
  if (!Array.isArray(names) || names.length !== d * defaults.length) {
    throw new ValueError("activations", describe(names), `${d * defaults.length} names`);
  }
  // Values of alpha and beta belong to those activations that take them, in their order.
  let hard: readonly [number, number] | undefined;
  let taken = 0;
  const codes = names.map((name, at) => {
    const code = typeof name === "string" ? ACTIVATIONS[name.toLowerCase()] : undefined;
    if (code === undefined) {
      throw new UnsupportedError("activations", describe(name), "Tanh, Sigmoid, Relu or HardSigmoid");
    }
    if (code === "hardSigmoid") {
      const own = [parameterOf("activation_alpha", taken, 0.2), parameterOf("activation_beta", taken, 0.5)] as const;
      taken++;
      if (Math.floor(at / defaults.length) === i) {
        if (hard && (hard[0] !== own[0] || hard[1] !== own[1])) {
          throw new UnsupportedError(
            "activation_alpha",
            `${own.join(", ")} beside ${hard.join(", ")}`,
            "one pair for a direction",
          );
        }
        hard = own;
      }
    }
    return code;
  });
  function parameterOf(name: "activation_alpha" | "activation_beta", at: number, byDefault: number): number {
    const value = attributes[name]?.[at];
    if (value === undefined) return byDefault;
    if (typeof value !== "number" || !Number.isFinite(value))
      throw new ValueError(name, describe(value), "finite numbers");
    return value;
  }
  const [f, second, third] = codes.slice(i * defaults.length, (i + 1) * defaults.length) as [
    Activation,
    Activation,
    Activation,
  ];
  const common = { kind, clip, ...(hard && { hard }) };
  if (kind === "RNN") return { ...common, phi: f };
  if (kind === "GRU") return { ...common, sigma: f, phi: second, resetAfter: linear_before_reset === 1 };
  return { ...common, sigma: f, phi: second, psi: third, coupled: input_forget === 1 };
}

/** One direction's weights in the core's gate orders. */
function weightsOf(
  arena: Arena,
  dtype: FloatDtype,
  kind: CellKind,
  h: number,
  { W, R, B, P }: Record<"W" | "R", Tensor["data"]> & Partial<Record<"B" | "P", Tensor["data"]>>,
): RecurrentWeights {
  const g = ORDER[kind].length * h;
  const upload = (name: string, blocks: Tensor["data"], order: readonly number[], shape: number[]): FloatTensor => {
    const data = blocks.slice();
    const size = data.length / order.length;
    order.forEach((from, to) => data.set(blocks.subarray(from * size, (from + 1) * size), to * size));
    return arena.upload(name, { data, shape }, dtype, shape);
  };
  return {
    weightIh: upload("W", W, ORDER[kind], [g, W.length / g]),
    weightHh: upload("R", R, ORDER[kind], [g, h]),
    biasIh: B && upload("B", B.subarray(0, g), ORDER[kind], [g]),
    biasHh: B && upload("B", B.subarray(g), ORDER[kind], [g]),
    peephole: P && upload("P", P, PEEPHOLES, [3, h]),
  };
}
