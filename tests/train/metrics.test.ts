// Metrics: accuracy, perplexity, confusion matrices and their report.
import { describe, expect, test } from "vitest";
import { crossEntropy, DtypeError, ShapeError, tensor, UnsupportedError, ValueError } from "../../src/index.js";
import { accuracy, confusionMatrix, perplexity, report } from "../../src/train.js";
import { both } from "../helpers/both.js";
import "../helpers/bits.js";
import { refuses } from "../helpers/refuses.js";
import { useVariant, variants } from "../helpers/variants.js";

const i32 = (values: number[], shape = [values.length]) => tensor(values, shape, "i32");

both("of logits, %s", (dtype) => {
  const logits = tensor([1, 2, 3, 0, -1, 0, 5, 5, 4, NaN, 0, 0], [4, 3], dtype); // 2, 0 (of two equal), 0, none
  const targets = i32([2, 0, 1, 0]);

  test("accuracy is the share of targets that are the first largest", () => {
    expect(accuracy(logits, targets)).toBe(0.5);
    expect(accuracy(logits, i32([2, 2, 0, -100]))).toBe(2 / 3);
    expect(accuracy(logits, i32([2, 2, 0, 7]), { ignoreIndex: 7 })).toBe(2 / 3);
    expect(accuracy(logits, i32([-100, -100, -100, -100]))).toBeNaN();
    expect(accuracy(tensor([0, 1], [2], dtype), i32([1], []))).toBe(1);
  });

  test("accuracy counts valid steps only", () => {
    const steps = tensor([0, 1, 1, 0, 0, 1, 1, 0], [2, 2, 2], dtype); // 1 0 / 1 0
    const right = i32([1, 9, 1, 0], [2, 2]);
    expect(accuracy(steps, right)).toBe(3 / 4);
    expect(accuracy(steps, right, { lengths: [2, 0] })).toBe(1);
    expect(accuracy(steps, right, { lengths: [2, 1] })).toBe(2 / 3);
    expect(accuracy(steps, right, { lengths: Int32Array.of(1, 2), batchFirst: true })).toBe(1);
    expect(accuracy(steps, right, { lengths: i32([0, 0]) })).toBeNaN();
    const one = tensor([0, 1, 1, 0], [2, 2], dtype);
    expect(accuracy(one, i32([1, 5]), { lengths: [1] })).toBe(1);
    const deep = tensor([0, 1, 1, 0, 0, 1, 1, 0], [2, 1, 2, 2], dtype);
    expect(accuracy(deep, i32([1, 0, 9, 9], [2, 1, 2]), { lengths: [1] })).toBe(1);
  });

  test("a confusion matrix has targets in rows and predictions in columns", () => {
    const some = tensor([1, 2, 3, 0, -1, 0, 5, 5, 4], [3, 3], dtype);
    const expected = i32([1, 0, 0, 1, 0, 0, 0, 0, 1], [3, 3]);
    expect(confusionMatrix(some, i32([2, 0, 1]), 3)).toHaveBits(expected);
    expect(confusionMatrix(i32([2, 0, 0]), i32([2, 0, 1]), 3)).toHaveBits(expected);
  });

  test("a confusion matrix refuses logits that cannot be compared", () => {
    refuses(() => confusionMatrix(logits, targets, 3), ValueError, "predicted", "NaN at position 3");
    expect(confusionMatrix(logits, i32([2, 0, 1, -100]), 3).data.reduce((a, b) => a + b)).toBe(3);
    refuses(() => confusionMatrix(logits, targets, 4), ShapeError, "predicted", "[4, 3]");
  });
});

test("confusion matrices of batches add up; the given one stays", () => {
  const first = confusionMatrix(i32([0, 1]), i32([0, 0]), 2);
  const both = confusionMatrix(i32([1, 1, 0]), i32([1, -100, 0]), 2, { previous: first });
  expect(both).toHaveBits(i32([2, 1, 0, 1], [2, 2]));
  expect(first).toHaveBits(i32([1, 1, 0, 0], [2, 2]));
  const valid = confusionMatrix(i32([0, 1, 0, 1], [2, 2]), i32([0, 0, 9, 1], [2, 2]), 2, { lengths: [1, 2] });
  expect(valid).toHaveBits(i32([1, 1, 0, 1], [2, 2]));
});

describe.each(variants)("perplexity, %s build", (variant) => {
  useVariant(variant);

  test("is e^loss", () => {
    expect(perplexity(0)).toBe(1);
    for (let x = -700; x <= 700; x += 6.7) expect(Math.abs(perplexity(x) / Math.exp(x) - 1)).toBeLessThan(1e-15);
    for (let x = -3; x <= 3; x += 0.01) expect(Math.abs(perplexity(x) / Math.exp(x) - 1)).toBeLessThan(1e-15);
    expect([perplexity(NaN), perplexity(Infinity), perplexity(-Infinity), perplexity(1e4)]).toEqual([
      NaN,
      Infinity,
      0,
      Infinity,
    ]);
  });

  test("of equal logits it is the number of classes", () => {
    const { loss } = crossEntropy(tensor(new Float64Array(70), [10, 7]), i32(new Array<number>(10).fill(3)));
    expect(perplexity(loss)).toBeCloseTo(7, 12);
  });
});

describe("the report", () => {
  // the first two examples of https://scikit-learn.org/stable/modules/generated/sklearn.metrics.classification_report.html
  test("is scikit-learn's", () => {
    const matrix = confusionMatrix(i32([0, 0, 2, 2, 1]), i32([0, 1, 2, 2, 2]), 3);
    expect(report(matrix, ["class 0", "class 1", "class 2"])).toBe(
      [
        "              precision    recall  f1-score   support",
        "",
        "     class 0       0.50      1.00      0.67         1",
        "     class 1       0.00      0.00      0.00         1",
        "     class 2       1.00      0.67      0.80         3",
        "",
        "    accuracy                           0.60         5",
        "   macro avg       0.50      0.56      0.49         5",
        "weighted avg       0.70      0.60      0.61         5",
      ].join("\n"),
    );
  });

  test("numbers classes without names, and fits long ones", () => {
    const matrix = i32([3, 1, 0, 4], [2, 2]);
    expect(report(matrix).split("\n")[2]).toBe("           0       1.00      0.75      0.86         4");
    const lines = report(matrix, ["a class with a long name", "b"]).split("\n");
    expect(lines[2]).toBe("a class with a long name       1.00      0.75      0.86         4");
    expect(new Set(lines.filter((line) => line !== "").map(({ length }) => length)).size).toBe(1);
  });

  test("of nothing is zeros", () => {
    expect(report(i32([0], [1, 1])).split("\n")[4]).toBe("    accuracy                           0.00         0");
  });
});

test("errors name the argument", () => {
  const [two, targets] = [i32([0, 1]), i32([0, 1])];
  const any = (value: unknown) => value as never;
  refuses(() => accuracy(any(1), targets), DtypeError, "predicted");
  refuses(() => accuracy(two, i32([0])), ShapeError, "targets", "[1]", "[2]");
  refuses(() => accuracy(two, tensor([0, 1])), DtypeError, "targets");
  refuses(() => accuracy(tensor([], [2, 0]), targets), ShapeError, "predicted");
  refuses(() => accuracy(tensor(1), targets), ShapeError, "predicted");
  refuses(() => accuracy(two, targets, { ignoreIndex: 0.5 }), ValueError, "ignoreIndex");
  refuses(() => accuracy(two, targets, { lengths: [3] }), ValueError, "lengths[0]");
  refuses(() => accuracy(two, targets, { batchFirst: any(1) }), ValueError, "batchFirst");
  refuses(() => accuracy(two, targets, any({ length: [1] })), UnsupportedError, "length");
  refuses(() => accuracy(i32([0], []), i32([0], []), { lengths: [1] }), ShapeError, "targets");
  refuses(() => confusionMatrix(two, targets, 0), ShapeError, "classes");
  refuses(() => confusionMatrix(two, targets, 5000), ShapeError, "classes", "4096");
  refuses(() => confusionMatrix(two, targets, 1), ValueError, "targets", "1 at position 1");
  refuses(() => confusionMatrix(i32([0, 2]), targets, 2), ValueError, "predicted", "2 at position 1");
  refuses(() => confusionMatrix(i32([0, -1]), targets, 2), ValueError, "predicted", "-1 at position 1");
  refuses(() => confusionMatrix(two, targets, 2, { previous: i32([0]) }), ShapeError, "previous");
  refuses(() => perplexity(any("1")), ValueError, "loss");
  refuses(() => report(i32([1, 2], [1, 2])), ShapeError, "matrix");
  refuses(() => report(i32([], [0, 0])), ShapeError, "matrix");
  refuses(() => report(i32([-1], [1, 1])), ValueError, "matrix", "-1 at position 0");
  refuses(() => report(i32([1], [1, 1]), []), ShapeError, "names");
  refuses(() => report(i32([1], [1, 1]), [any(1)]), ValueError, "names[0]");
});
