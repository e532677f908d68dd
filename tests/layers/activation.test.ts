// Activation and PReLU: PyTorch's numbers (tests/golden/layers.py), finite differences, special values, errors.
import { describe, expect, test } from "vitest";
import { currentCore } from "../../bindings/instantiate.js";
import {
  Activation,
  DisposedError,
  DtypeError,
  PReLU,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
  tensor,
  type ActivationName,
} from "../../src/index.js";
import { patient } from "../helpers/clock.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { casesOf, checkGradients, runCase } from "../helpers/layers.js";
import { compare, tolerances } from "../helpers/pytorch.js";
import { refuses } from "../helpers/refuses.js";
import { wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

const NAMES: readonly ActivationName[] = [
  "tanh",
  "relu",
  "sigmoid",
  "hardSigmoid",
  "elu",
  "leakyRelu",
  "softmax",
  "logSoftmax",
  "linear",
];

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    test.each(casesOf("Activation", "PReLU"))("PyTorch: %s", (_, each) => {
      compare(runCase(each, dtype), each.expected, tolerances[dtype]);
    });

    test.each(NAMES)("%s: NaN in, NaN out; any shape; all memory comes back", (name) => {
      const { heap } = currentCore();
      const { bytesUsed } = heap;
      const layer = new Activation(name);
      expect([layer.dtype, layer.activation, layer.parameters(), layer.stateDict()]).toEqual([undefined, name, [], {}]);
      const broken = wave([3, 5], dtype);
      broken.data[7] = NaN;
      const { output } = layer.forward(broken);
      expect(output.data[7]).toBeNaN();
      expect(output.data[2]).not.toBeNaN();
      for (const shape of [[0], [2, 0, 3], [1], [2, 0], [2, 3, 4, 5]]) {
        expect(layer.forward(wave(shape, dtype)).output.shape).toEqual(shape);
        expect(layer.backward({ output: wave(shape, dtype) }).x.shape).toEqual(shape);
      }
      const axis = name === "softmax" || name === "logSoftmax";
      if (axis) refuses(() => layer.forward(wave([], dtype)), ShapeError, "x: got [], expected at least one axis");
      else expect(layer.forward(wave([], dtype)).output.shape).toEqual([]);
      layer.forward(wave([4], dtype));
      refuses(() => layer.backward({ output: wave([5], dtype) }), ShapeError, "output");
      refuses(() => layer.forward(tensor([1], [1], "i32")), DtypeError, "x");
      refuses(
        () =>
          layer
            .eval()
            .train()
            .backward({} as never),
        DtypeError,
        "output",
      );
      layer.dispose();
      expect(heap.bytesUsed).toBe(bytesUsed);
      refuses(() => layer.forward(wave([1], dtype)), DisposedError, "Activation");
    });

    test("infinities, and numbers next to 0", () => {
      const of = (name: ActivationName, x: number): number =>
        new Activation(name).forward(tensor([x], [1], dtype)).output.data[0]!;
      expect([of("elu", -Infinity), of("elu", Infinity), of("elu", 0)]).toEqual([-1, Infinity, 0]);
      expect(of("elu", -1e-6) / -1e-6).toBeCloseTo(1 - 5e-7 + 1e-12 / 6, dtype === "f64" ? 15 : 6);
      expect([of("leakyRelu", -Infinity), of("leakyRelu", 3)]).toEqual([-Infinity, 3]);
      expect([of("hardSigmoid", -9), of("hardSigmoid", 9), of("hardSigmoid", 0)]).toEqual([0, 1, 0.5]);
    });

    test.each([...NAMES, "PReLU" as const])("%s: rows of no numbers take no time, however many", (name) => {
      const layer = name === "PReLU" ? new PReLU(1, { dtype }) : new Activation(name);
      const x = { data: wave([0], dtype).data, shape: [2 ** 31 - 1, 0] };
      const start = performance.now();
      expect(layer.forward(x).output.shape).toEqual(x.shape);
      expect(layer.backward({ output: x }).x.shape).toEqual(x.shape);
      expect(performance.now() - start).toBeLessThan(patient(500));
      layer.dispose();
    });

    test("PReLU: the slope at first, and at 0", () => {
      using layer = new PReLU(2, { dtype, init: 0.5 });
      const [weight] = layer.parameters();
      expect(Array.from(weight!.value.data)).toEqual([0.5, 0.5]);
      expect(Array.from(new PReLU().parameters()[0]!.value.data)).toEqual([0.25]);
      const { output } = layer.forward(tensor([-2, 0, 3, -4], [2, 2], dtype));
      expect(Array.from(output.data)).toEqual([-1, 0, 3, -2]);
      const { x } = layer.backward({ output: tensor([1, 1, 1, 1], [2, 2], dtype) });
      expect(Array.from(x.data)).toEqual([0.5, 0.5, 1, 0.5]); // at 0 the slope, as in PyTorch
      expect(Array.from(weight!.grad.data)).toEqual([-2, -4]);
      refuses(() => layer.forward(wave([4, 3], dtype)), ShapeError, "x: got [4, 3], expected [..., 2]");
      refuses(() => layer.forward(wave([2], dtype === "f64" ? "f32" : "f64")), DtypeError, "x");
      refuses(() => layer.backward({ output: x }), StateError, "PReLU.backward");
    });
  });

  test.each(NAMES)("finite differences: %s", (name) => {
    using layer = new Activation(name);
    checkGradients(layer, [5, 3, 4], undefined);
  });

  test.each([1, 4])("finite differences: PReLU of %i", (count) => {
    using layer = new PReLU(count);
    checkGradients(layer, [5, 3, 4], undefined);
  });
});

test("the constructors refuse", () => {
  refuses(() => new Activation("gelu" as never), ValueError, 'activation: got "gelu", expected "tanh", "relu"');
  refuses(() => new Activation(undefined as never), ValueError, "activation");
  refuses(() => new PReLU(0), ShapeError, "numParameters");
  refuses(() => new PReLU(1, { init: NaN }), ValueError, "init");
  refuses(() => new PReLU(1, { slope: 1 } as never), UnsupportedError, "slope");
});
