// Two steps of each cell with one input and one unit, forward and backward, to be followed with a calculator: each line
// computes one number and has it beside it, to six digits. The last lines of a test compare them with the package's.
//
// x_1 and x_2 are the inputs, h_0 (and c_0) the initial state. The loss is L = d_1 h_1 + d_2 h_2 with two constants, so that
// d_1 and d_2 are the gradients of the outputs. d with a name behind it is the derivative of L: dx1 is dL / dx_1.
import { expect, test } from "vitest";
import { GRU, LSTM, RNN, tensor, type Tensor } from "../src/index.js";
import "./helpers/close.js";
import { gradientOf } from "./helpers/golden.js";
import { loop, makeCell, type AnyCell, type Recurrent } from "./helpers/recurrent.js";

const [x1, x2, h0] = [1, -2, 0.5];
const [d1, d2] = [1, 0.5];

/** The number, where it is the one beside it; else the test fails. */
function is(value: number, rounded: number): number {
  expect(value).toBeCloseTo(rounded, 6);
  return value;
}

const tanh = Math.tanh;
/** The slope of tanh where it has the value y. */
const dTanh = (y: number): number => 1 - y * y;
const sigmoid = (a: number): number => 1 / (1 + Math.exp(-a));
/** The slope of the sigmoid where it has the value y. */
const dSigmoid = (y: number): number => y * (1 - y);

test("RNN: h_t = tanh(w x_t + b + u h_(t-1) + e)", () => {
  const [w, u, b, e] = [0.5, -0.4, 0.2, -0.1]; // weight_ih, weight_hh, bias_ih, bias_hh

  // Forward.
  const a1 = is(w * x1 + b + u * h0 + e, 0.4); // 0.5 * 1 + 0.2 - 0.4 * 0.5 - 0.1
  const h1 = is(tanh(a1), 0.379949);
  const a2 = is(w * x2 + b + u * h1 + e, -1.05198);
  const h2 = is(tanh(a2), -0.782575);

  // Backward: the last step first. h_1 has a gradient of its own, d_1, and one through a_2.
  const da2 = is(d2 * dTanh(h2), 0.193788); // 0.5 * (1 - h2 * h2)
  const dx2 = is(da2 * w, 0.096894);
  const dh1 = is(d1 + da2 * u, 0.922485);
  const da1 = is(dh1 * dTanh(h1), 0.789314);
  const dx1 = is(da1 * w, 0.394657);
  const dh0 = is(da1 * u, -0.315725);

  // Both steps use the same weights, so the gradients of the two add up.
  const dw = is(da1 * x1 + da2 * x2, 0.401737);
  const du = is(da1 * h0 + da2 * h1, 0.468287);
  const db = is(da1 + da2, 0.983102); // of both biases

  check(
    "RNN tanh",
    { weight_ih: [w], weight_hh: [u], bias_ih: [b], bias_hh: [e] },
    { h: [h1, h2], dx: [dx1, dx2], dh0 },
    { weight_ih: [dw], weight_hh: [du], bias_ih: [db], bias_hh: [db] },
  );
});

test("LSTM: c_t = f c_(t-1) + i g, h_t = o tanh(c_t)", () => {
  const c0 = -0.5;
  // For each gate the weights of x and of h, and the sum of its biases (bias_hh is 0 here).
  const [wi, ui, bi] = [0.5, -0.4, 0.1];
  const [wf, uf, bf] = [-0.3, 0.2, 1];
  const [wg, ug, bg] = [0.8, 0.6, -0.2];
  const [wo, uo, bo] = [0.4, -0.5, 0.3];

  // Forward, step 1.
  const i1 = is(sigmoid(wi * x1 + ui * h0 + bi), 0.598688); // sigmoid(0.5 - 0.2 + 0.1)
  const f1 = is(sigmoid(wf * x1 + uf * h0 + bf), 0.689974);
  const g1 = is(tanh(wg * x1 + ug * h0 + bg), 0.716298);
  const o1 = is(sigmoid(wo * x1 + uo * h0 + bo), 0.610639);
  const c1 = is(f1 * c0 + i1 * g1, 0.083851);
  const t1 = is(tanh(c1), 0.083655);
  const h1 = is(o1 * t1, 0.051083);

  // Forward, step 2.
  const i2 = is(sigmoid(wi * x2 + ui * h1 + bi), 0.28487);
  const f2 = is(sigmoid(wf * x2 + uf * h1 + bf), 0.833441);
  const g2 = is(tanh(wg * x2 + ug * h1 + bg), -0.943538);
  const o2 = is(sigmoid(wo * x2 + uo * h1 + bo), 0.371557);
  const c2 = is(f2 * c1 + i2 * g2, -0.1989);
  const t2 = is(tanh(c2), -0.196318);
  const h2 = is(o2 * t2, -0.072943);

  // Backward, step 2: from h_2 to c_2, from both to the gates' sums, from those to x_2, h_1 and c_1.
  const dc2 = is(d2 * o2 * dTanh(t2), 0.178619);
  const dai2 = is(dc2 * g2 * dSigmoid(i2), -0.034333); // c_2 has i_2 times g_2
  const daf2 = is(dc2 * c1 * dSigmoid(f2), 0.002079); // and f_2 times c_1
  const dag2 = is(dc2 * i2 * dTanh(g2), 0.005584);
  const dao2 = is(d2 * t2 * dSigmoid(o2), -0.02292); // h_2 is o_2 times t_2
  const dx2 = is(dai2 * wi + daf2 * wf + dag2 * wg + dao2 * wo, -0.022492);
  const dh1 = is(d1 + dai2 * ui + daf2 * uf + dag2 * ug + dao2 * uo, 1.02896);

  // Backward, step 1: c_1 has a gradient through h_1 and one through c_2 = f_2 c_1 + ...
  const dc1 = is(dh1 * o1 * dTanh(t1) + dc2 * f2, 0.772794);
  const dai1 = is(dc1 * g1 * dSigmoid(i1), 0.132997);
  const daf1 = is(dc1 * c0 * dSigmoid(f1), -0.082654);
  const dag1 = is(dc1 * i1 * dTanh(g1), 0.225278);
  const dao1 = is(dh1 * t1 * dSigmoid(o1), 0.020466);
  const dx1 = is(dai1 * wi + daf1 * wf + dag1 * wg + dao1 * wo, 0.279703);
  const dh0 = is(dai1 * ui + daf1 * uf + dag1 * ug + dao1 * uo, 0.055205);
  const dc0 = is(dc1 * f1, 0.533208);

  // The gradients of the weights, gate by gate, in the order i f g o.
  const dwi = is(dai1 * x1 + dai2 * x2, 0.201663);
  const dwf = is(daf1 * x1 + daf2 * x2, -0.086812);
  const dwg = is(dag1 * x1 + dag2 * x2, 0.214111);
  const dwo = is(dao1 * x1 + dao2 * x2, 0.066307);
  const dui = is(dai1 * h0 + dai2 * h1, 0.064744);
  const duf = is(daf1 * h0 + daf2 * h1, -0.041221);
  const dug = is(dag1 * h0 + dag2 * h1, 0.112924);
  const duo = is(dao1 * h0 + dao2 * h1, 0.009062);
  const dbi = is(dai1 + dai2, 0.098663);
  const dbf = is(daf1 + daf2, -0.080575);
  const dbg = is(dag1 + dag2, 0.230862);
  const dbo = is(dao1 + dao2, -0.002455);

  check(
    "LSTM",
    {
      weight_ih: [wi, wf, wg, wo],
      weight_hh: [ui, uf, ug, uo],
      bias_ih: [bi, bf, bg, bo],
      bias_hh: [0, 0, 0, 0],
    },
    { h: [h1, h2], dx: [dx1, dx2], dh0, c0, cn: c2, dc0 },
    {
      weight_ih: [dwi, dwf, dwg, dwo],
      weight_hh: [dui, duf, dug, duo],
      bias_ih: [dbi, dbf, dbg, dbo],
      bias_hh: [dbi, dbf, dbg, dbo],
    },
  );
});

test("GRU: n = tanh(w_n x_t + b_n + r (u_n h_(t-1) + e_n)), h_t = (1 - z) n + z h_(t-1)", () => {
  const [wr, ur, br] = [0.5, -0.4, 0.1];
  const [wz, uz, bz] = [-0.3, 0.2, 0.6];
  const [wn, un, bn, en] = [0.8, 0.6, -0.2, 0.3]; // n has two biases: r scales e_n, and not b_n

  // Forward, step 1. q is the sum that r scales.
  const r1 = is(sigmoid(wr * x1 + ur * h0 + br), 0.598688); // sigmoid(0.5 - 0.2 + 0.1)
  const z1 = is(sigmoid(wz * x1 + uz * h0 + bz), 0.598688);
  const q1 = is(un * h0 + en, 0.6);
  const n1 = is(tanh(wn * x1 + bn + r1 * q1), 0.743925);
  const h1 = is((1 - z1) * n1 + z1 * h0, 0.59789);

  // Forward, step 2.
  const r2 = is(sigmoid(wr * x2 + ur * h1 + br), 0.242475);
  const z2 = is(sigmoid(wz * x2 + uz * h1 + bz), 0.789111);
  const q2 = is(un * h1 + en, 0.658734);
  const n2 = is(tanh(wn * x2 + bn + r2 * q2), -0.927511);
  const h2 = is((1 - z2) * n2 + z2 * h1, 0.276201);

  // Backward, step 2: from h_2 to n_2 and z_2, from n_2 to r_2 and q_2, from all to x_2 and h_1.
  const dan2 = is(d2 * (1 - z2) * dTanh(n2), 0.014733);
  const daz2 = is(d2 * (h1 - n2) * dSigmoid(z2), 0.126924);
  const dar2 = is(dan2 * q2 * dSigmoid(r2), 0.001783);
  const dq2 = is(dan2 * r2, 0.003572);
  const dx2 = is(dar2 * wr + daz2 * wz + dan2 * wn, -0.0254);
  const dh1 = is(d1 + d2 * z2 + dar2 * ur + daz2 * uz + dq2 * un, 1.421371);

  // Backward, step 1.
  const dan1 = is(dh1 * (1 - z1) * dTanh(n1), 0.254732);
  const daz1 = is(dh1 * (h0 - n1) * dSigmoid(z1), -0.0833);
  const dar1 = is(dan1 * q1 * dSigmoid(r1), 0.036721);
  const dq1 = is(dan1 * r1, 0.152505);
  const dx1 = is(dar1 * wr + daz1 * wz + dan1 * wn, 0.247137);
  const dh0 = is(dh1 * z1 + dar1 * ur + daz1 * uz + dq1 * un, 0.911112);

  // The gradients of the weights, gate by gate, in the order r z n.
  const dwr = is(dar1 * x1 + dar2 * x2, 0.033156);
  const dwz = is(daz1 * x1 + daz2 * x2, -0.337149);
  const dwn = is(dan1 * x1 + dan2 * x2, 0.225266);
  const dur = is(dar1 * h0 + dar2 * h1, 0.019426);
  const duz = is(daz1 * h0 + daz2 * h1, 0.034237);
  const dun = is(dq1 * h0 + dq2 * h1, 0.078389);
  const dbr = is(dar1 + dar2, 0.038504);
  const dbz = is(daz1 + daz2, 0.043624);
  const dbn = is(dan1 + dan2, 0.269466);
  const den = is(dq1 + dq2, 0.156078);

  check(
    "GRU",
    { weight_ih: [wr, wz, wn], weight_hh: [ur, uz, un], bias_ih: [br, bz, bn], bias_hh: [0, 0, en] },
    { h: [h1, h2], dx: [dx1, dx2], dh0 },
    { weight_ih: [dwr, dwz, dwn], weight_hh: [dur, duz, dun], bias_ih: [dbr, dbz, dbn], bias_hh: [dbr, dbz, den] },
  );
});

interface Results {
  readonly h: number[];
  readonly dx: number[];
  readonly dh0: number;
  /** LSTM. */
  readonly c0?: number;
  readonly cn?: number;
  readonly dc0?: number;
}

type Weights = Readonly<Record<"weight_ih" | "weight_hh" | "bias_ih" | "bias_hh", number[]>>;

/** Compares results and gradients with those of a layer, and of a cell in a loop. */
function check(kind: "RNN tanh" | "LSTM" | "GRU", weights: Weights, expected: Results, gradients: Weights): void {
  using layer = { "RNN tanh": new RNN(1, 1), LSTM: new LSTM(1, 1), GRU: new GRU(1, 1) }[kind];
  using cell = makeCell(kind, 1, 1);
  load(layer, weights, "_l0");
  load(cell, weights, "");
  const x = tensor([x1, x2], [2, 1, 1]);
  const output = tensor([d1, d2], [2, 1, 1]);
  const state = {
    h0: tensor([h0], [1, 1, 1]),
    ...(expected.c0 !== undefined && { c0: tensor([expected.c0], [1, 1, 1]) }),
  };
  const results = { ...layer.forward(x, state), ...layer.backward({ output }) };
  const initial = { h0: tensor([h0], [1, 1]), ...(expected.c0 !== undefined && { c0: tensor([expected.c0], [1, 1]) }) };
  const looped = loop(cell, { x, initial, gradients: { output } });
  for (const { output, hn, cn, x, h0, c0 } of [results as typeof looped, looped]) {
    near(output, expected.h);
    near(hn, expected.h.slice(1));
    near(x, expected.dx);
    near(h0, [expected.dh0]);
    if (kind !== "LSTM") continue;
    near(cn!, [expected.cn!]);
    near(c0!, [expected.dc0!]);
  }
  for (const [name, values] of Object.entries(gradients)) {
    near(gradientOf(layer, `${name}_l0`), values);
    near(gradientOf(cell, name), values);
  }
}

function load(owner: Recurrent | AnyCell, weights: Weights, suffix: string): void {
  owner.loadStateDict(
    Object.fromEntries(
      Object.entries(weights).map(([name, values]) => [
        name + suffix,
        tensor(values, name.startsWith("weight") ? [values.length, 1] : [values.length]),
      ]),
    ),
  );
}

function near({ data }: Tensor, expected: number[]): void {
  expect({ data, shape: [data.length] }).toBeAllClose({ data: expected, shape: [expected.length] }, { atol: 1e-15 });
}
