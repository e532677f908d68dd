// The loss curve that a training saves: an SVG document of its own, whatever the history.

import { describe, expect, test } from "vitest";
import { lossCurve } from "../../src/cli/chart.js";

const texts = (svg: string) => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map(([, text]) => text);
const points = (svg: string, name: string) => {
  const [, list] = new RegExp(`<polyline class="${name}"[^>]* points="([^"]*)"`).exec(svg)!;
  return list!.split(" ").filter((point) => point !== "");
};

describe("the loss curve", () => {
  const history = {
    train: Array.from({ length: 1000 }, (_, i) => 1 + 3 * Math.exp(-i / 200)),
    validation: [500, 1000].map((step) => ({ step, loss: 1.2 + 3 * Math.exp(-step / 200) })),
  };
  const svg = lossCurve("whale.safetensors", history);

  test("has a title, a legend, named axes and round ticks", () => {
    expect(texts(svg)).toEqual([
      ...["whale.safetensors", "training", "validation"],
      ...["1.0", "1.5", "2.0", "2.5", "3.0", "3.5", "4.0"],
      ...["0", "100", "200", "300", "400", "500", "600", "700", "800", "900", "1000"],
      ...["step", "loss (nats per character)"],
    ]);
    expect(svg).toContain("prefers-color-scheme: dark");
  });

  test("spans the axes: from the first steps at the top left to the last at the bottom right", () => {
    const training = points(svg, "training").map((point) => point.split(",").map(Number));
    expect(training).toHaveLength(334); // means of three steps
    expect(training[0]).toEqual([expect.closeTo(70 + (3 / 1000) * 790, 2), expect.closeTo(75, -1)]);
    expect(training.at(-1)).toEqual([860, expect.closeTo(440, -1)]);
    expect(points(svg, "validation").map((point) => Number(point.split(",")[0]))).toEqual([465, 860]);
  });

  test.each([
    ["no steps", [], 0],
    ["one step", [3], 2],
    ["one loss throughout", [3, 3, 3], 3],
    ["losses of zero", [0, 0], 2],
    ["losses far apart", [1e300, 1e-300], 2],
  ])("of %s has finite coordinates only", (_, train, count) => {
    const drawn = lossCurve("x", { train, validation: [] });
    expect(drawn).not.toMatch(/NaN|Infinity|undefined/);
    expect(points(drawn, "training")).toHaveLength(count);
  });

  test("escapes its title", () => {
    const drawn = lossCurve('<script>"&\u0000\uffff', history);
    expect(drawn).toContain("&#60;script&#62;&#34;&#38;\ufffd\ufffd");
    expect(drawn).not.toContain("<script");
  });

  test("is the same text for the same history", () => {
    expect(lossCurve("whale.safetensors", structuredClone(history))).toBe(svg);
  });
});
