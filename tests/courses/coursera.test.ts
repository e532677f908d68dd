// The eight functions of the Coursera course "Building a Recurrent Neural Network - Step by Step", against numbers by
// NumPy (tests/golden/course.py) and against the figures that the course prints.
import { describe, expect, test } from "vitest";
import { lstmBackward, lstmForward, rnnBackward, rnnForward, softmax } from "../../src/coursera.js";
import { DtypeError, type Tensor } from "../../src/index.js";
import { type Numbers, type Tensors, golden, halfUnit, part, tensorOf, tensorsOf } from "../helpers/close.js";
import {
  type CourseCase,
  type CourseOptions,
  courseraLibrary as course,
  describeCases,
  need,
  run,
  TOLERANCES,
} from "../helpers/course.js";

interface Printed {
  readonly tensor: string;
  readonly index: readonly number[];
  readonly values: string;
}
interface Case {
  readonly kind: string;
  readonly options: CourseOptions;
  readonly inputs: Readonly<Record<string, Numbers>>;
  readonly params: Readonly<Record<string, Numbers>>;
  readonly gates?: Readonly<Record<string, Numbers>>;
  readonly expected: Readonly<Record<string, Numbers>>;
  readonly printed: readonly Printed[];
}

const data = golden("course") as {
  readonly coursera: Readonly<Record<string, Case>>;
  readonly wrong: { readonly lstm_backward_no_carry: Pick<Case, "expected" | "printed"> };
};

const tensors = ({ inputs, params }: Case): Record<string, Numbers> => ({ ...inputs, ...params });
const pick = (name: string): Case => {
  const found = data.coursera[name];
  if (found === undefined) throw new Error(`course.json has no ${name}`);
  return found;
};
const cases: Record<string, CourseCase> = Object.fromEntries(
  Object.entries(data.coursera).map(([name, each]) => [name, { ...each, tensors: tensors(each) }]),
);
const byKind = (kind: string): [string, Case][] =>
  Object.entries(data.coursera).filter(([, each]) => each.kind === kind);

describeCases(course, cases);

describe("figures printed by the course, to half a unit of the last digit", () => {
  const printed = Object.entries(data.coursera).filter(([, each]) => each.printed.length > 0);

  test("all eight functions have some", () => {
    expect(printed.map(([name]) => name)).toHaveLength(8);
  });

  test.each(printed)("%s", (_, each) => {
    const t = tensorsOf(tensors(each));
    const { results, cache } = course.forward(each.kind, t, each.options);
    const gradients = each.printed.some(({ tensor }) => tensor.startsWith("d"))
      ? course.backward(each.kind, t, cache)
      : {};
    const available: Tensors = { ...(cache as Tensors), ...results, ...gradients }; // caches.x is among the figures
    for (const { tensor, index, values } of each.printed) {
      const figures = values.split(" ");
      expect(list(part(need(available, tensor), index)), `${tensor}[${index.join("][")}]`).toBeAllClose(
        list(figures.map(Number)),
        { atol: halfUnit(figures) },
      );
    }
  });
});

describe("lstmBackward carries da and dc through every step", () => {
  // Many published copies of the course's notebook print dx[1][2] = -0.00173313 0.08287442 -0.30545663 -0.43281115. Their
  // loop calls lstm_cell_backward with da[:, :, t] alone and with dc = 0, so that nothing a later step says about a(t)
  // and c(t) reaches step t: what they add up are gradients of T separate one-step networks. Our gradients are those of
  // the whole sequence, as the central differences above show.
  const each = pick("lstm_backward");
  const wrong = data.wrong.lstm_backward_no_carry;

  test("so its numbers differ from the sums of single-step gradients", () => {
    const results = run(course, "lstm", tensorsOf(tensors(each)));
    for (const [name, value] of Object.entries(wrong.expected)) {
      expect(results[name], name).not.toBeAllClose(value, { atol: 0.1 });
    }
    for (const { tensor, index, values } of wrong.printed) {
      const figures = values.split(" ").map(Number);
      expect(list(part(need(results, tensor), index))).not.toBeAllClose(list(figures), { atol: 1e-3 });
    }
  });

  test("and agree with them in the last step that has a gradient: nothing comes after it", () => {
    const { dx } = run(course, "lstm", tensorsOf(tensors(each)));
    const last = ({ shape, data: all }: Numbers): Numbers => {
      const steps = shape.at(-1) as number;
      return list(Array.from(all).filter((_, i) => i % steps === steps - 1));
    };
    expect(last(dx as Tensor)).toBeAllClose(last(wrong.expected.dx as Numbers), TOLERANCES.f64);
  });

  test("and are those single-step gradients where the sequence has one step", () => {
    const t = tensorsOf(tensors(each));
    const firstStep = (name: string): Tensor => {
      const { shape, data: all } = need(t, name);
      const steps = shape.at(-1) as number;
      return { shape: [...shape.slice(0, -1), 1], data: all.filter((_, i) => i % steps === 0) };
    };
    const [x, da] = [firstStep("x"), firstStep("da")];
    const { dx, da0 } = run(course, "lstm", { ...t, x, da });
    const zeros: Tensor = { shape: [5, 10], data: new Float64Array(50) };
    const flat = (tensor: Tensor): Tensor => ({ shape: tensor.shape.slice(0, 2), data: tensor.data });
    const cell = run(course, "lstmCell", {
      ...t,
      xt: flat(x),
      aPrev: need(t, "a0"),
      cPrev: zeros,
      daNext: flat(da),
      dcNext: zeros,
    });
    expect(flat(dx as Tensor)).toBeAllClose(need(cell, "dxt"), TOLERANCES.f64);
    expect(da0).toBeAllClose(need(cell, "daPrev"), TOLERANCES.f64);
  });
});

describe("da for the first few steps only", () => {
  test.each(["rnn tanh softmax", "lstm tanh softmax", "rnn relu softmax", "lstm relu softmax"])("%s", (name) => {
    const each = pick(name);
    const t = tensorsOf(tensors(each));
    const steps = (t.da as Tensor).shape[2] as number;
    for (let given = 1; given < steps; given++) {
      // the same gradients as with zeros for the steps that are left out
      const zeroed = (t.da as Tensor).data.map((value, i) => (i % steps < given ? value : 0));
      const short = zeroed.filter((_, i) => i % steps < given);
      const whole = run(course, each.kind, { ...t, da: { shape: [5, 4, steps], data: zeroed } }, each.options);
      const first = run(course, each.kind, { ...t, da: { shape: [5, 4, given], data: short } }, each.options);
      const { dx, ...rest } = first;
      for (const [gradient, value] of Object.entries(rest))
        expect(value, gradient).toBeAllClose(need(whole, gradient), TOLERANCES.f64);
      const dxWhole = need(whole, "dx").data.filter((_, i) => i % steps < given);
      expect(dx).toBeAllClose({ shape: [3, 4, given], data: dxWhole }, TOLERANCES.f64);
    }
  });

  test("but not for more steps than there are", () => {
    const { kind, options, ...each } = pick("lstm tanh softmax");
    const t = tensorsOf({ ...each.inputs, ...each.params });
    const da: Tensor = { shape: [5, 4, 7], data: new Float64Array(140) };
    expect(() => run(course, kind, { ...t, da }, options)).toThrow(/\bda\b/);
  });
});

describe("without an output layer", () => {
  test.each(Object.entries(data.coursera).filter(([name]) => / (tanh|relu) softmax$/.test(name)))("%s", (_, each) => {
    const { Wya, by, Wy, ...t } = tensorsOf(tensors(each));
    expect(by && (Wya ?? Wy)).toBeDefined(); // the case has one, to be left out
    const results = run(course, each.kind, t, each.options);
    const { ytPred, yPred, y, ...others } = { ...each.expected };
    expect(ytPred ?? yPred ?? y).toBeDefined();
    expect(Object.keys(results).sort()).toEqual(Object.keys(others).sort());
    for (const [name, value] of Object.entries(others)) expect(results[name], name).toBeAllClose(value, TOLERANCES.f64);
  });
});

describe("caches", () => {
  test.each(byKind("lstmCell"))("%s: the gates", (_, each) => {
    const { cache } = course.forward(each.kind, tensorsOf(tensors(each)), each.options);
    expect(Object.keys(each.gates ?? {})).toEqual(["ft", "it", "cct", "ot"]);
    for (const [name, value] of Object.entries(each.gates ?? {})) {
      expect((cache as Tensors)[name], name).toBeAllClose(value, TOLERANCES.f64);
    }
  });

  test.each([...byKind("rnn"), ...byKind("lstm")])("%s: x is the input", (_, each) => {
    const { cache } = course.forward(each.kind, tensorsOf(tensors(each)), each.options);
    expect((cache as Tensors).x).toBeAllClose(each.inputs.x as Numbers);
  });
});

describe("types", () => {
  const { inputs, params } = pick("rnn_forward");

  test("the results' fields can be used as they are declared", () => {
    const { x, a0, ...p } = tensorsOf({ ...inputs, ...params });
    const { Wax, Waa, Wya, ba, by } = p as Record<"Wax" | "Waa" | "Wya" | "ba" | "by", Tensor>;
    const { a, yPred, caches } = rnnForward(x as Tensor, a0 as Tensor, { Wax, Waa, Wya, ba, by });
    const { dx, da0, dWax, dWaa, dba } = rnnBackward(a, caches);
    expect([yPred?.shape, dx.shape, da0.shape, dWax.shape, dWaa.shape, dba.shape].map(String)).toEqual([
      "2,10,4",
      "3,10,4",
      "5,10",
      "5,3",
      "5,5",
      "5,1",
    ]);
    const lstm = tensorsOf(pick("lstm_backward").params);
    const { Wf, bf, Wi, bi, Wc, bc, Wo, bo } = lstm as Record<
      "Wf" | "bf" | "Wi" | "bi" | "Wc" | "bc" | "Wo" | "bo",
      Tensor
    >;
    const forward = lstmForward(x as Tensor, a0 as Tensor, { Wf, bf, Wi, bi, Wc, bc, Wo, bo });
    expect(forward.y).toBeUndefined();
    expect(lstmBackward(forward.a, forward.caches).dWo.shape).toEqual([5, 8]);
  });

  test("numbers that are no floats, and an option that does not exist, are refused", () => {
    const t = tensorsOf({ ...inputs, ...params });
    const x = tensorOf(inputs.x as Numbers, "i32");
    expect(() => run(course, "rnn", { ...t, x })).toThrow(DtypeError);
    expect(() => run(course, "rnn", { ...t, x })).toThrow(/\bx\b/);
    expect(() => run(course, "rnn", t, { activation: "gelu" } as never)).toThrow(/activation/);
    expect(() => run(course, "rnn", t, { output: "tanh" } as never)).toThrow(/output/);
  });

  test("a missing parameter is named", () => {
    const { Waa, ...rnn } = tensorsOf({ ...inputs, ...params });
    expect(Waa).toBeDefined();
    expect(() => run(course, "rnn", rnn)).toThrow(/\bWaa\b/);
    const { bo, ...lstm } = tensorsOf(tensors(pick("lstm_forward")));
    expect(bo).toBeDefined();
    expect(() => run(course, "lstm", lstm)).toThrow(/\bbo\b/);
  });
});

describe("softmax", () => {
  test("is over axis 0", () => {
    const x = tensorOf({ shape: [2, 3], data: [1, 2, 3, 1, 0, 5] });
    const p = 1 / (1 + Math.exp(-2));
    expect(softmax(x)).toBeAllClose({ shape: [2, 3], data: [0.5, p, 1 - p, 0.5, 1 - p, p] }, { rtol: 1e-14 });
  });

  test("takes large and infinite numbers", () => {
    const x = tensorOf({ shape: [3, 2], data: [1000, -1000, 1000, -1000, -Infinity, -Infinity] });
    expect(softmax(x)).toBeAllClose({ shape: [3, 2], data: [0.5, 0.5, 0.5, 0.5, 0, 0] }, { rtol: 1e-15 });
  });

  test("keeps f32", () => {
    const result = softmax(tensorOf({ shape: [2, 1], data: [0, Math.log(3)] }, "f32"));
    expect(result.data).toBeInstanceOf(Float32Array);
    expect(result).toBeAllClose({ shape: [2, 1], data: [0.25, 0.75] }, { rtol: 1e-6 });
  });
});

function list(values: readonly number[]): Numbers {
  return { shape: [values.length], data: values };
}
