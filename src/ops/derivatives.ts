// Derivatives by the names of their operations. Graphs import operations alone, and look derivatives up here when they are trained.

import { recurrent } from "../recurrent/operator.backward.js";
import * as conv from "./conv.backward.js";
import * as convert from "./convert.backward.js";
import type { Derivatives } from "./derivative.js";
import * as elementwise from "./elementwise.backward.js";
import * as matmul from "./matmul.backward.js";
import * as movement from "./movement.backward.js";
import * as norm from "./norm.backward.js";
import type { Differentiable } from "./operation.js";
import * as pool from "./pool.backward.js";
import * as reduction from "./reduction.backward.js";
import * as softmax from "./softmax.backward.js";
import * as softmaxAlong from "./softmax-along.backward.js";

/** By names. */
function tableOf(
  all: readonly Pick<Differentiable<never>, "name" | "saves" | "backward">[],
  named: object,
): Derivatives {
  return new Map([...all.map((each) => [each.name, each] as const), ...Object.entries(named)]);
}

/** All of them, one by one: of modules as a whole, bundlers would keep what an app does not use. */
export const derivatives = /* @__PURE__ */ tableOf(
  [
    conv.conv,
    conv.convTranspose,
    convert.convert,
    elementwise.ceil,
    elementwise.equal,
    elementwise.floor,
    elementwise.round,
    elementwise.sign,
    elementwise.neg,
    elementwise.exp,
    elementwise.log,
    elementwise.sqrt,
    elementwise.tanh,
    elementwise.sigmoid,
    elementwise.relu,
    elementwise.abs,
    elementwise.reciprocal,
    elementwise.sin,
    elementwise.cos,
    elementwise.tan,
    elementwise.asin,
    elementwise.acos,
    elementwise.atan,
    elementwise.sinh,
    elementwise.cosh,
    elementwise.asinh,
    elementwise.acosh,
    elementwise.atanh,
    elementwise.leakyRelu,
    elementwise.thresholdedRelu,
    elementwise.shrink,
    elementwise.clip,
    elementwise.hardSigmoid,
    elementwise.hardSwish,
    elementwise.softsign,
    elementwise.elu,
    elementwise.selu,
    elementwise.celu,
    elementwise.softplus,
    elementwise.mish,
    elementwise.erf,
    elementwise.gelu,
    elementwise.geluTanh,
    elementwise.add,
    elementwise.sub,
    elementwise.mul,
    elementwise.div,
    elementwise.minimum,
    elementwise.maximum,
    elementwise.prelu,
    elementwise.pow,
    elementwise.fmod,
    elementwise.mod,
    elementwise.where,
    matmul.matmul,
    movement.transpose,
    movement.expand,
    movement.reshape,
    movement.concat,
    movement.stack,
    movement.slice,
    movement.select,
    movement.box,
    movement.split,
    movement.pad,
    movement.tile,
    movement.strided,
    movement.pick,
    movement.scatter,
    movement.gather,
    norm.batchNorm,
    norm.instanceNorm,
    norm.layerNorm,
    pool.maxPool,
    pool.averagePool,
    pool.globalAveragePool,
    pool.globalMaxPool,
    reduction.sum,
    reduction.mean,
    reduction.max,
    reduction.min,
    reduction.sumSquares,
    reduction.l1,
    reduction.l2,
    reduction.logSumExp,
    reduction.logSum,
    reduction.prod,
    softmax.softmax,
    softmax.logSoftmax,
    softmaxAlong.softmaxAlong,
    softmaxAlong.logSoftmaxAlong,
  ],
  { recurrent },
);
