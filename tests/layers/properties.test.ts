// Properties of recurrent layers of every kind, size and option, on random cases of fast-check: rows are independent, lengths and
// masks skip the steps they say, directions mirror each other, and a sequence may be cut, stepped through or recomputed. The same
// bits where they are promised; sums over rows or steps (gradients of weights) agree to rounding.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { LSTM, Random, type Tensor } from "../../src/index.js";
import "../helpers/close.js";
import { both } from "../helpers/both.js";
import {
  CELL_KINDS,
  KINDS,
  bothPasses,
  finalAsInitial,
  initialAsFinal,
  expectBits,
  withoutUndefined,
  gradientsOf,
  loop,
  makeCell,
  makeRecurrent,
  mapTensors,
  makeInputs,
  rowsOf,
  rowsOfInputs,
  sum,
  type CellKind,
  type Kind,
  type Options,
  type Pass,
  type PassInputs,
  type Recurrent,
  type Steps,
} from "../helpers/recurrent.js";
import { concatenate, range, swap, take } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

/** A layer, and the size of its input. */
interface Drawn {
  readonly kind: Kind;
  readonly t: number;
  readonly n: number;
  readonly d: number;
  readonly h: number;
  readonly numLayers: number;
  readonly bidirectional: boolean;
  readonly bias: boolean;
  /** Where the kind has it. */
  readonly layerNorm: boolean;
  readonly seed: number;
}

const size = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
const any: fc.Arbitrary<Drawn> = fc.record({
  kind: fc.constantFrom(...KINDS),
  t: size(9),
  n: size(7),
  d: size(10),
  h: size(10),
  numLayers: size(3),
  bidirectional: fc.boolean(),
  bias: fc.boolean(),
  layerNorm: fc.boolean(),
  seed: fc.nat(1e6),
});
const oneWay = any.map((each): Drawn => ({ ...each, bidirectional: false }));
const bothWays = any.map((each): Drawn => ({ ...each, bidirectional: true }));

/** A length from 0 to T for every row, in any order. */
function lengthsOf({ seed, t, n }: Drawn): number[] {
  const random = new Random(seed + 1);
  return range(0, n).map(() => random.uint32() % (t + 1));
}

/** [T,N]; some rows are all zeros, some all ones. */
function maskOf({ seed, t, n }: Drawn): Tensor {
  const random = new Random(seed + 2);
  const shares = range(0, n).map(() => [0, 0.3, 0.7, 1][random.uint32() % 4]!);
  return {
    data: Int32Array.from({ length: t * n }, (_, i) => Number(random.uniform() < shares[i % n]!)),
    shape: [t, n],
  };
}

function maskOfLengths(lengths: readonly number[], t: number): Tensor {
  const n = lengths.length;
  const data = Int32Array.from({ length: t * n }, (_, i) => Number(Math.floor(i / n) < lengths[i % n]!));
  return { data, shape: [t, n] };
}

/** All steps, or lengths, or a mask. */
const allSteps = (each: Drawn): Steps[] => [{}, { lengths: lengthsOf(each) }, { mask: maskOf(each) }];

const zeros = ({ data }: Tensor, shape: readonly number[]): Tensor => {
  const size = shape.reduce((product, n) => product * n, 1);
  return { data: data instanceof Float64Array ? new Float64Array(size) : new Float32Array(size), shape };
};

/** The steps of x [*,1,D] put at some of T, between zeros. */
function spread(x: Tensor, at: readonly number[], t: number): Tensor {
  const width = x.shape[2]!;
  const all = zeros(x, [t, 1, width]);
  at.forEach((step, i) => all.data.set(take(x, 0, [i]).data, step * width));
  return all;
}

/** The first axis reversed. */
const reversed = (x: Tensor): Tensor => take(x, 0, range(0, x.shape[0]!).reverse());

/** One half of the last axis, or the halves swapped. */
const half = (x: Tensor, which: number): Tensor => {
  const axis = x.shape.length - 1;
  const width = x.shape[axis]! / 2;
  return take(x, axis, range(which * width, (which + 1) * width));
};
const halvesSwapped = (x: Tensor): Tensor => {
  const axis = x.shape.length - 1;
  const width = x.shape[axis]! / 2;
  return take(x, axis, [...range(width, 2 * width), ...range(0, width)]);
};

/** States with the directions of every layer swapped. */
const directionsSwapped = (x: Tensor): Tensor => {
  const other = range(0, x.shape[0]!).map((i) => i ^ 1);
  return take(x, 0, other);
};

const turnedRound = (name: string): string => (name.endsWith("_reverse") ? name.slice(0, -8) : `${name}_reverse`);

/** Results for rows without steps: states and their gradients pass through. */
function idle(layer: Recurrent, { x, initial, gradients }: PassInputs): Pass {
  return {
    output: zeros(x, gradients.output.shape),
    hn: initial.h0,
    x: zeros(x, x.shape),
    h0: gradients.hn,
    ...(layer instanceof LSTM && { cn: initial.c0!, c0: gradients.cn! }),
  };
}

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const tolerance = dtype === "f64" ? { rtol: 1e-12, atol: 1e-12 } : { rtol: 2e-4, atol: 2e-4 };

    const make = (each: Drawn, options: Options = {}): Recurrent => {
      const { kind, d, h, numLayers, bidirectional, bias, seed } = each;
      const layerNorm = each.layerNorm && (kind.startsWith("LSTM") || kind === "GRU");
      const all = { numLayers, bidirectional, bias, seed, dtype, ...(layerNorm && { layerNorm }), ...options };
      return makeRecurrent(kind, d, h, all);
    };

    const holds = (numRuns: number, drawn: fc.Arbitrary<Drawn>, body: (each: Drawn) => void): void =>
      fc.assert(fc.property(drawn, body), { seed: 1, numRuns });

    function expectClose(actual: readonly Tensor[], expected: readonly Tensor[]): void {
      expect(actual).toHaveLength(expected.length);
      actual.forEach((gradient, i) => expect(gradient).toBeAllClose(expected[i]!, tolerance));
    }

    test("a padded batch equals its rows one by one", () => {
      holds(50, any, (each) => {
        const { t, n, seed } = each;
        const lengths = lengthsOf(each);
        using layer = make(each);
        using alone = make(each);
        const problem = makeInputs(layer, t, n, seed);
        const batch = bothPasses(layer, problem, { lengths });
        lengths.forEach((length, row) => {
          const own = rowsOfInputs(problem, [row]);
          const where = `row ${row} of ${String(lengths)}`;
          if (length === 0) return expectBits(rowsOf(batch, [row]), idle(layer, own), where);
          const steps = range(0, length);
          const output = take(own.gradients.output, 0, steps);
          const x = take(own.x, 0, steps);
          const pass = bothPasses(alone, { x, initial: own.initial, gradients: { ...own.gradients, output } });
          const padded = { ...pass, output: spread(pass.output, steps, t), x: spread(pass.x, steps, t) };
          expectBits(rowsOf(batch, [row]), padded, where);
        });
        expectClose(gradientsOf(layer), gradientsOf(alone)); // theirs have added up
      });
    });

    test("a masked batch equals its remaining steps, row by row; masked steps repeat the output before them", () => {
      holds(50, oneWay, (each) => {
        const { t, n, seed } = each;
        const mask = maskOf(each);
        using layer = make(each);
        using alone = make(each);
        const problem = makeInputs(layer, t, n, seed);
        const batch = bothPasses(layer, problem, { mask });
        for (const row of range(0, n)) {
          const own = rowsOfInputs(problem, [row]);
          const where = `row ${row}`;
          const steps = range(0, t).filter((step) => mask.data[step * n + row] === 1);
          if (steps.length === 0) {
            expectBits(rowsOf(batch, [row]), idle(layer, own), where);
            continue;
          }
          // of each step, which of those that are left it repeats: -1 is none
          const repeats = range(0, t).map((step) => steps.filter((s) => s <= step).length - 1);
          const width = layer.stateSize;
          const upstream = zeros(own.x, [steps.length, 1, width]); // sums over what repeats the same step
          repeats.forEach((from, step) => {
            if (from < 0) return;
            const target = upstream.data.subarray(from * width, (from + 1) * width);
            target.forEach((g, j) => (target[j] = g + own.gradients.output.data[step * width + j]!));
          });
          const x = take(own.x, 0, steps);
          const pass = bothPasses(alone, {
            x,
            initial: own.initial,
            gradients: { ...own.gradients, output: upstream },
          });
          const output = zeros(own.x, [t, 1, width]);
          repeats.forEach((from, step) => {
            if (from >= 0) output.data.set(take(pass.output, 0, [from]).data, step * width);
          });
          expectBits(rowsOf(batch, [row]), { ...pass, output, x: spread(pass.x, steps, t) }, where);
        }
        expectClose(gradientsOf(layer), gradientsOf(alone));
      });
    });

    test("a mask of zeros at the ends gives the same states as lengths", () => {
      holds(25, any, (each) => {
        const { t, n, seed } = each;
        const lengths = lengthsOf(each);
        using layer = make(each);
        const { x, initial } = makeInputs(layer, t, n, seed);
        const { output: _, ...states } = withoutUndefined(layer.forward(x, { ...initial, lengths }));
        const { output, ...masked } = withoutUndefined(
          layer.forward(x, { ...initial, mask: maskOfLengths(lengths, t) }),
        );
        expect(output.shape[0]).toBe(t);
        expectBits(masked, states, String(lengths));
      });
    });

    test("lengths of T, and masks of ones, change nothing", () => {
      holds(25, any, (each) => {
        const { t, n, seed } = each;
        const lengths = range(0, n).map(() => t);
        using layer = make(each);
        const problem = makeInputs(layer, t, n, seed);
        const whole = bothPasses(layer, problem);
        const gradients = gradientsOf(layer);
        const tensor = { data: Int32Array.from(lengths), shape: [n] };
        for (const steps of [{ lengths }, { lengths: tensor }, { mask: maskOfLengths(lengths, t) }]) {
          layer.zeroGrad();
          expectBits(bothPasses(layer, problem, steps), whole, JSON.stringify(steps));
          gradientsOf(layer).forEach((gradient, i) => expect(gradient).toHaveBits(gradients[i]!));
        }
      });
    });

    test("permuting the batch permutes all results", () => {
      holds(40, any, (each) => {
        const { t, n, seed } = each;
        const random = new Random(seed + 3);
        const order = range(0, n);
        for (let i = n - 1; i > 0; i--) {
          const j = random.uint32() % (i + 1);
          [order[i], order[j]] = [order[j]!, order[i]!];
        }
        using layer = make(each);
        using other = make(each);
        const problem = makeInputs(layer, t, n, seed);
        for (const { lengths, mask } of allSteps(each)) {
          const whole = bothPasses(layer, problem, { lengths, mask });
          const permuted = {
            lengths: (lengths as number[] | undefined) && order.map((row) => (lengths as number[])[row]!),
            mask: mask && take(mask, 1, order),
          };
          expectBits(bothPasses(other, rowsOfInputs(problem, order), permuted), rowsOf(whole, order), String(order));
        }
        expectClose(gradientsOf(other), gradientsOf(layer));
      });
    });

    test("a row alone equals that row of the batch", () => {
      holds(30, any, (each) => {
        const { t, n, seed } = each;
        using layer = make(each);
        using alone = make(each);
        const problem = makeInputs(layer, t, n, seed);
        const whole = bothPasses(layer, problem);
        for (const row of range(0, n)) {
          expectBits(bothPasses(alone, rowsOfInputs(problem, [row])), rowsOf(whole, [row]), `row ${row}`);
        }
        expectClose(gradientsOf(alone), gradientsOf(layer));
      });
    });

    test("batch first", () => {
      holds(25, any, (each) => {
        const { t, n, seed } = each;
        using layer = make(each);
        using other = make(each, { batchFirst: true });
        const problem = makeInputs(layer, t, n, seed);
        const { x, initial, gradients } = problem;
        const swapped = { x: swap(x), initial, gradients: { ...gradients, output: swap(gradients.output) } };
        const flat = (mask: Tensor): Tensor => {
          const { data } = swap({ data: mask.data, shape: [t, n, 1] });
          return { data, shape: [n, t] };
        };
        for (const { lengths, mask } of allSteps(each)) {
          const whole = bothPasses(layer, problem, { lengths, mask });
          const pass = bothPasses(other, swapped, { lengths, mask: mask && flat(mask) });
          expectBits(pass, { ...whole, output: swap(whole.output), x: swap(whole.x) }, "");
        }
      });
    });

    test("without a batch", () => {
      const one = any.map((each): Drawn => ({ ...each, n: 1 }));
      const squeeze = (x: Tensor): Tensor => ({ data: x.data, shape: [x.shape[0]!, x.shape[2]!] });
      holds(25, one, (each) => {
        const { t, seed } = each;
        using layer = make(each);
        const problem = makeInputs(layer, t, 1, seed);
        const { x, initial, gradients } = problem;
        const row = { x: squeeze(x), initial: mapTensors(initial, squeeze), gradients: mapTensors(gradients, squeeze) };
        for (const { lengths, mask } of allSteps(each)) {
          const whole = bothPasses(layer, problem, { lengths, mask });
          const pass = bothPasses(layer, row, { lengths, mask: mask && { data: mask.data, shape: [t] } });
          expectBits(pass, mapTensors(whole, squeeze), "");
        }
      });
    });

    test("goBackwards equals reversing the sequences", () => {
      holds(30, any, (each) => {
        const { t, n, seed } = each;
        using layer = make(each);
        using backwards = make(each, { goBackwards: true });
        const problem = makeInputs(layer, t, n, seed);
        const turned = { ...problem, x: reversed(problem.x) };
        for (const { mask } of [{}, { mask: maskOf(each) }] as Steps[]) {
          const whole = bothPasses(layer, turned, { mask: mask && reversed(mask) });
          expectBits(bothPasses(backwards, problem, { mask }), { ...whole, x: reversed(whole.x) }, "");
        }
        gradientsOf(backwards).forEach((gradient, i) => expect(gradient).toHaveBits(gradientsOf(layer)[i]!));
      });
    });

    test("bidirectional equals two layers, one of them with goBackwards", () => {
      const one = bothWays.map((each): Drawn => ({ ...each, numLayers: 1 }));
      holds(40, one, (each) => {
        const { t, n, seed } = each;
        using layer = make(each);
        using ahead = make(each, { bidirectional: false });
        using back = make(each, { bidirectional: false, goBackwards: true });
        const entries = Object.entries(layer.stateDict());
        const isReverse = ([name]: [string, Tensor]): boolean => name.endsWith("_reverse");
        ahead.loadStateDict(Object.fromEntries(entries.filter((entry) => !isReverse(entry))));
        back.loadStateDict(Object.fromEntries(entries.filter(isReverse).map(([name, x]) => [turnedRound(name), x])));
        const { x, initial, gradients } = makeInputs(layer, t, n, seed);
        const only = (direction: number) => (of: Tensor) => take(of, 0, [direction]);
        for (const steps of allSteps(each)) {
          const whole = bothPasses(layer, { x, initial, gradients }, steps);
          const one = bothPasses(
            ahead,
            {
              x,
              initial: mapTensors(initial, only(0)),
              gradients: { ...mapTensors(gradients, only(0)), output: half(gradients.output, 0) },
            },
            steps,
          );
          const two = bothPasses(
            back,
            {
              x,
              initial: mapTensors(initial, only(1)),
              gradients: { ...mapTensors(gradients, only(1)), output: reversed(half(gradients.output, 1)) },
            },
            steps,
          );
          const { output, hn, cn, x: dx, h0, c0 } = whole;
          expect(half(output, 0)).toHaveBits(one.output);
          expect(half(output, 1)).toHaveBits(reversed(two.output));
          const joined = (of: object) =>
            mapTensors(of, (_, name) => concatenate(one[name as "hn"], two[name as "hn"])) as Partial<Pass>;
          expectBits({ hn, cn }, joined({ hn, cn }), "");
          const expected = { x: sum([[one.x], [two.x]])[0]!, ...joined({ h0, c0 }) };
          if (!steps.mask) expectBits({ x: dx, h0, c0 }, expected, "");
          // masked steps add their gradients to the step that they repeat, in another order
          else for (const [name, of] of Object.entries(expected)) expectClose([whole[name as "x"]], [of]);
        }
        expectClose(gradientsOf(layer), [...gradientsOf(ahead), ...gradientsOf(back)]);
      });
    });

    test("bidirectional: reversing time and swapping the directions changes nothing", () => {
      holds(40, bothWays, (each) => {
        const { t, n, seed, numLayers } = each;
        using layer = make(each);
        using mirror = make(each);
        /** What goes into the layers above has its halves the other way round. */
        const changed = (name: string, x: Tensor): Tensor => (/^weight_ih_l[12]/.test(name) ? halvesSwapped(x) : x);
        const entries = Object.entries(layer.stateDict());
        mirror.loadStateDict(Object.fromEntries(entries.map(([name, x]) => [turnedRound(name), changed(name, x)])));
        const { x, initial, gradients } = makeInputs(layer, t, n, seed);
        const { output, x: dx, ...states } = bothPasses(layer, { x, initial, gradients });
        const pass = bothPasses(mirror, {
          x: reversed(x),
          initial: mapTensors(initial, directionsSwapped),
          gradients: {
            ...mapTensors(gradients, directionsSwapped),
            output: halvesSwapped(reversed(gradients.output)),
          },
        });
        const expected = {
          ...mapTensors(states, directionsSwapped),
          output: halvesSwapped(reversed(output)),
          x: reversed(dx),
        };
        const names = layer.parameters().map(({ name }) => name);
        const theirs = gradientsOf(mirror);
        const ours = gradientsOf(layer).map((gradient, i) => changed(names[i]!, gradient));
        const turned = names.map((name) => theirs[names.indexOf(turnedRound(name))]!);
        if (numLayers === 1) {
          expectBits(pass, expected, "");
          turned.forEach((gradient, i) => expect(gradient).toHaveBits(ours[i]!));
        } else {
          // sums over both halves have another order
          for (const [name, of] of Object.entries(expected)) {
            expect(pass[name as keyof Pass], name).toBeAllClose(of, tolerance);
          }
          expectClose(turned, ours);
        }
      });
    });

    test("two parts of a sequence with the state carried over equal the whole, forward and backward", () => {
      holds(
        40,
        oneWay.map((each) => ({ ...each, t: each.t + 1 })),
        (each) => {
          const { t, n, seed } = each;
          const split = 1 + (seed % (t - 1));
          const lengths = lengthsOf(each);
          using layer = make(each);
          using one = make(each);
          using two = make(each);
          const { x, initial, gradients } = makeInputs(layer, t, n, seed);
          const { output, ...last } = gradients;
          const whole = bothPasses(layer, { x, initial, gradients }, { lengths });
          const early = { lengths: lengths.map((length) => Math.min(length, split)) };
          const late = { lengths: lengths.map((length) => Math.max(length - split, 0)) };
          const part = (of: Tensor, from: number, to: number): Tensor => take(of, 0, range(from, to));
          const a = one.forward(part(x, 0, split), { ...initial, ...early });
          const b = two.forward(part(x, split, t), { ...finalAsInitial(a), ...late });
          const dB = two.backward({ output: part(output, split, t), ...last });
          const dA = one.backward({ output: part(output, 0, split), ...initialAsFinal(dB) });
          const pass = { ...b, ...dA, output: concatenate(a.output, b.output), x: concatenate(dA.x, dB.x) };
          expectBits(pass, whole, `${split} of ${t}`);
          expectClose(sum([gradientsOf(one), gradientsOf(two)]), gradientsOf(layer));
        },
      );
    });

    test("the steps of a stream equal the sequence", () => {
      holds(40, oneWay, (each) => {
        const { t, n, seed } = each;
        using layer = make(each);
        using stream = layer.stream({ batchSize: n });
        const { x, initial } = makeInputs(layer, t, n, seed);
        const { output, hn, cn } = withoutUndefined(layer.forward(x, initial) as Omit<Pass, "x" | "h0">);
        stream.reset(initial);
        for (const step of range(0, t)) {
          const { shape } = take(output, 0, [step]);
          expect({ data: stream.step(take(x, 0, [step]).data), shape }).toHaveBits(take(output, 0, [step]));
        }
        expectBits({ hn: stream.state.h, cn: stream.state.c }, { hn, cn }, "");
      });
    });

    test("a loop over a cell equals the layer, forward and backward", () => {
      const cells = fc.record({ each: oneWay, kind: fc.constantFrom(...CELL_KINDS) });
      fc.assert(
        fc.property(cells, ({ each, kind }: { each: Drawn; kind: CellKind }) => {
          const { t, n, d, h, bias, seed } = each;
          using layer = make({ ...each, kind, numLayers: 1, layerNorm: false });
          using cell = makeCell(kind, d, h, { bias, dtype, seed: seed + 1 });
          const entries = Object.entries(layer.stateDict());
          cell.loadStateDict(Object.fromEntries(entries.map(([name, x]) => [name.slice(0, -3), x])));
          const { x, initial, gradients } = makeInputs(layer, t, n, seed);
          const whole = bothPasses(layer, { x, initial, gradients });
          const flat = (of: Tensor): Tensor => ({ data: of.data, shape: of.shape.slice(1) });
          const pass = loop(cell, {
            x,
            initial: mapTensors(initial, flat),
            gradients: { ...mapTensors(gradients, flat), output: gradients.output },
          });
          const { output, x: dx, ...states } = whole;
          expectBits(pass, { output, x: dx, ...mapTensors(states, flat) }, kind);
          expectClose(gradientsOf(cell), gradientsOf(layer));
        }),
        { seed: 1, numRuns: 40 },
      );
    });

    test("checkpoints change nothing, with any mask and dropout", () => {
      holds(50, any, (each) => {
        const { t, n, seed } = each;
        const dropped = [{}, { dropout: 0.5 }, { recurrentDropout: 0.5 }, { dropout: 0.3, recurrentDropout: 0.3 }];
        const options = dropped[seed % 4]!;
        using layer = make(each, options);
        using other = make(each, { ...options, checkpoint: 1 + (seed % (t + 1)) });
        const problem = makeInputs(layer, t, n, seed);
        for (const steps of allSteps(each)) {
          const whole = bothPasses(layer, problem, steps);
          expectBits(bothPasses(other, problem, steps), whole, `${JSON.stringify(options)} ${JSON.stringify(steps)}`);
        }
        expectClose(gradientsOf(other), gradientsOf(layer));
      });
    });

    test("inference equals training without dropout, and drops nothing", () => {
      holds(40, any, (each) => {
        const { t, n, seed } = each;
        using layer = make(each);
        using other = make(each, { dropout: 0.5, recurrentDropout: 0.5, checkpoint: 2 });
        const { x, initial } = makeInputs(layer, t, n, seed);
        for (const steps of allSteps(each)) {
          const trained = layer.train().forward(x, { ...initial, ...steps });
          expectBits(layer.eval().forward(x, { ...initial, ...steps }), trained, JSON.stringify(steps));
          expectBits(other.eval().forward(x, { ...initial, ...steps }), trained, JSON.stringify(steps));
        }
      });
    });
  });
});
