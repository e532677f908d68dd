// Layers, losses, optimizers and clipping against PyTorch (tests/golden/pytorch.py).
import { describe, expect, test } from "vitest";
import {
  Adam,
  Embedding,
  Linear,
  RMSprop,
  SGD,
  type Parameter,
  type Tensor,
  clipGradNorm,
  clipGradValue,
  crossEntropy,
  mse,
} from "../../src/index.js";
import { both } from "../helpers/both.js";
import { type Numbers, golden, tensorOf, tensorsOf } from "../helpers/close.js";
import {
  type Expected,
  type LayerCase,
  type NumbersOf,
  compare,
  compareEach,
  gradients,
  runLayer,
  tolerances,
} from "../helpers/pytorch.js";
import { useVariant, variants } from "../helpers/variants.js";

type Options = Readonly<Record<string, unknown>>;

interface RecurrentCase extends LayerCase {
  /** PyTorch's own, in float32. */
  readonly expected32?: Expected;
}
interface Trace {
  readonly kind: "SGD" | "Adam" | "RMSprop";
  readonly options: Options;
  readonly expected: { readonly values: readonly (readonly Numbers[])[]; readonly state: NumbersOf };
}
interface Clip {
  readonly limit: number;
  readonly expected: { readonly norm: Numbers | null; readonly gradients: readonly Numbers[] };
}
interface Golden {
  readonly recurrent: readonly RecurrentCase[];
  readonly linear: readonly {
    readonly inFeatures: number;
    readonly outFeatures: number;
    readonly options: { readonly bias: boolean };
    readonly weights: NumbersOf;
    readonly x: Numbers;
    readonly gradient: Numbers;
    readonly expected: { readonly output: Numbers; readonly x: Numbers; readonly parameters: NumbersOf };
  }[];
  readonly embedding: readonly {
    readonly numEmbeddings: number;
    readonly embeddingDim: number;
    readonly options: { readonly paddingIdx?: number };
    readonly weight: Numbers;
    readonly indices: Numbers;
    readonly gradient: Numbers;
    readonly expected: { readonly output: Numbers; readonly weight: Numbers };
  }[];
  readonly crossEntropy: readonly {
    readonly options: Options;
    readonly logits: Numbers;
    readonly targets: Numbers;
    readonly expected: { readonly loss: Numbers; readonly dLogits: Numbers };
  }[];
  readonly mse: readonly {
    readonly options: Options;
    readonly prediction: Numbers;
    readonly target: Numbers;
    readonly expected: { readonly loss: Numbers; readonly dPrediction: Numbers };
  }[];
  readonly optimizers: {
    readonly start: readonly [Numbers, Numbers];
    readonly gradients: readonly (readonly [Numbers, Numbers])[];
    readonly traces: readonly Trace[];
  };
  readonly clip: {
    readonly gradients: readonly [Numbers, Numbers];
    readonly norm: readonly Clip[];
    readonly value: readonly Clip[];
  };
}

const data = golden("pytorch") as Golden;
const title = (options: Options): string =>
  Object.entries(options)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ") || "defaults";

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const close = tolerances[dtype];
    const make = (numbers: Numbers): Tensor => tensorOf(numbers, dtype);

    describe("RNN and LSTM", () => {
      const titled = data.recurrent.map((each) => [`${each.name}: ${title(each.options)}`, each] as const);
      test.each(titled)("%s", (_, each) => {
        const results = runLayer(each, dtype);
        compare(results, each.expected, close);
        if (dtype === "f32" && each.expected32) compare(results, each.expected32, close);
      });
    });

    test.each(data.linear)("Linear $inFeatures to $outFeatures, x $x.shape, bias $options.bias", (each) => {
      const layer = new Linear(each.inFeatures, each.outFeatures, { ...each.options, dtype });
      layer.loadStateDict(tensorsOf(each.weights, dtype));
      expect(layer.forward(make(each.x)).output).toBeAllClose(each.expected.output, close);
      expect(layer.backward({ output: make(each.gradient) }).x).toBeAllClose(each.expected.x, close);
      compareEach(gradients(layer.parameters()), each.expected.parameters, close);
      layer.dispose();
    });

    test.each(data.embedding)("Embedding $numEmbeddings x $embeddingDim, $options", (each) => {
      const layer = new Embedding(each.numEmbeddings, each.embeddingDim, { ...each.options, dtype });
      layer.loadStateDict({ weight: make(each.weight) });
      expect(layer.forward(tensorOf(each.indices, "i32")).output).toBeAllClose(each.expected.output); // copies
      expect(layer.backward({ output: make(each.gradient) })).toEqual({});
      compareEach(gradients(layer.parameters()), { weight: each.expected.weight }, close);
      layer.dispose();
    });

    test.each(data.crossEntropy)("crossEntropy $logits.shape, $options", ({ logits, targets, options, expected }) => {
      const { loss, dLogits } = crossEntropy(
        make(logits),
        tensorOf(targets, "i32"),
        options as Parameters<typeof crossEntropy>[2],
      );
      expect(loss).toBeAllClose(expected.loss, close);
      expect(typeof loss).toBe(options.reduction === "none" ? "object" : "number");
      expect(dLogits).toBeAllClose(expected.dLogits, close);
    });

    test.each(data.mse)("mse $prediction.shape, $options", ({ prediction, target, options, expected }) => {
      const { loss, dPrediction } = mse(make(prediction), make(target), options as Parameters<typeof mse>[2]);
      expect(loss).toBeAllClose(expected.loss, close);
      expect(typeof loss).toBe(options.reduction === "none" ? "object" : "number");
      expect(dPrediction).toBeAllClose(expected.dPrediction, close);
    });

    /** A layer whose weight and bias serve as the two parameters. */
    const twoParameters = ([weight, bias]: readonly [Numbers, Numbers]): Linear<typeof dtype> => {
      const [outFeatures, inFeatures] = weight.shape as [number, number];
      const layer = new Linear(inFeatures, outFeatures, { dtype });
      layer.loadStateDict({ weight: make(weight), bias: make(bias) });
      return layer;
    };
    const setGradients = (parameters: readonly Parameter[], values: readonly Numbers[]): void => {
      parameters.forEach(({ grad }, i) => grad.data.set((values[i] as Numbers).data));
    };

    describe("optimizers", () => {
      const { start, gradients: steps, traces } = data.optimizers;
      const optimizer = ({ kind, options }: Trace, parameters: Parameter[]): SGD | Adam | RMSprop => {
        switch (kind) {
          case "SGD":
            return new SGD(parameters, options);
          case "Adam":
            return new Adam(parameters, options);
          case "RMSprop":
            return new RMSprop(parameters, options);
        }
      };

      test.each(traces.map((trace) => [`${trace.kind}, ${title(trace.options)}`, trace] as const))("%s", (_, trace) => {
        const layer = twoParameters(start);
        const parameters = layer.parameters();
        const each = optimizer(trace, parameters);
        steps.forEach((values, step) => {
          each.zeroGrad();
          setGradients(parameters, values);
          each.step();
          const expected = trace.expected.values[step] as readonly Numbers[];
          parameters.forEach(({ name, value }, i) => {
            expect(value, `${name} after step ${step + 1}`).toBeAllClose(expected[i] as Numbers, close);
          });
        });
        layer.dispose();
      });

      test.each(traces.map((trace) => [`${trace.kind}, ${title(trace.options)}`, trace] as const))(
        "%s: state, and going on from it",
        (_, trace) => {
          const layer = twoParameters(start);
          const parameters = layer.parameters();
          let each = optimizer(trace, parameters);
          steps.forEach((values) => {
            // a new optimizer for every step, from the state of the one before
            const state = each.stateDict();
            each = optimizer(trace, parameters);
            each.loadStateDict(state);
            setGradients(parameters, values);
            each.step();
          });
          (trace.expected.values.at(-1) as readonly Numbers[]).forEach((expected, i) => {
            expect(parameters[i]?.value).toBeAllClose(expected, close);
          });
          const state = each.stateDict();
          for (const [key, expected] of Object.entries(trace.expected.state)) {
            if (trace.kind === "RMSprop" && key.endsWith(".step")) continue; // PyTorch counts, and never uses it
            const got = state[key];
            expect(got, key).toBeDefined();
            // PyTorch's step is a scalar of shape []; only its value counts here
            if (key.endsWith(".step")) expect(Number(got?.data[0]), key).toBe(expected.data[0]);
            else expect(got, key).toBeAllClose(expected, close);
          }
          layer.dispose();
        },
      );
    });

    describe("clipping", () => {
      test.each(data.clip.norm)("clipGradNorm to $limit", ({ limit, expected }) => {
        const layer = twoParameters(data.clip.gradients);
        setGradients(layer.parameters(), data.clip.gradients);
        expect(clipGradNorm(layer.parameters(), limit)).toBeAllClose(expected.norm as Numbers, close);
        layer.parameters().forEach(({ grad, name }, i) => {
          expect(grad, name).toBeAllClose(expected.gradients[i] as Numbers, close);
        });
        layer.dispose();
      });

      test.each(data.clip.value)("clipGradValue to $limit", ({ limit, expected }) => {
        const layer = twoParameters(data.clip.gradients);
        setGradients(layer.parameters(), data.clip.gradients);
        clipGradValue(layer.parameters(), limit);
        layer.parameters().forEach(({ grad, name }, i) => {
          expect(grad, name).toBeAllClose(expected.gradients[i] as Numbers, close);
        });
        layer.dispose();
      });
    });
  });
});

test("the golden data cover every option", () => {
  for (const kind of ["RNN tanh", "RNN relu", "LSTM"]) {
    const cases = data.recurrent.filter(({ name }) => name.startsWith(kind));
    const has = (holds: (each: LayerCase) => boolean): void => expect(cases.some(holds), kind).toBe(true);
    for (const layers of [1, 2, 3]) has(({ options }) => options.numLayers === layers);
    for (const yes of [true, false]) {
      has(({ options }) => options.bias === yes);
      has(({ options }) => options.batchFirst === yes);
      has(({ h0 }) => (h0 !== undefined) === yes);
      has(({ x }) => (x.shape.length === 2) === yes);
    }
    for (const name of kind === "LSTM" ? ["output", "hn", "cn"] : ["output", "hn"]) {
      has(({ gradients }) => name in gradients);
      has(({ gradients }) => !(name in gradients));
    }
  }
});
