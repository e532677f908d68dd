// The character model: its gradients, its carried state, evaluation, sampling, and its file.

import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import type { Tensor } from "../../bindings/tensor.js";
import {
  DisposedError,
  DtypeError,
  FormatError,
  ShapeError,
  StateError,
  UnsupportedError,
  ValueError,
} from "../../bindings/errors.js";
import { readSafetensors, writeSafetensors } from "../../src/safetensors.js";
import { countParameters, readCharLM, writeCharLM } from "../../src/models/charlm-file.js";
import { CharLM, CHARLM_CELLS, type CharLMOptions } from "../../src/models/charlm.js";
import { Linear } from "../../src/nn/linear.js";
import { Adam } from "../../src/optim/optimizers.js";
import { Random } from "../../src/base/random.js";
import { valueAndGrad } from "../../src/recording/minimize.js";
import { TextStreams, Vocabulary } from "../../src/models/text.js";
import { houseThatJackBuilt } from "../../examples/browser/texts.js";
import { centralDifferences } from "../helpers/gradient.js";
import { oddities, onlyTyped } from "../helpers/oddities.js";
import { refuses } from "../helpers/refuses.js";

const TEXT = "the whale and the sea, the old ship\nand the 🐋 under the stars. ".repeat(4);
const vocabulary = Vocabulary.fromText(TEXT);
const codes = vocabulary.encode(TEXT);
const SMALL: CharLMOptions = { embeddingDim: 5, hiddenSize: 6, numLayers: 2, dtype: "f64", seed: 3 };

/** An optimizer that leaves the weights alone, so that gradients can be looked at. */
const still = { zeroGrad() {}, step() {} };

function bits(tensors: Record<string, Tensor>): Record<string, number[]> {
  return Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, [...data]]));
}

describe("training", () => {
  test.each(CHARLM_CELLS)("gradients of all parameters are those of the loss, with a carried state (%s)", (cell) => {
    const model = new CharLM(vocabulary, { ...SMALL, cell });
    const streams = new TextStreams(codes, 3, 4);
    const first = streams.window(0);
    const { inputs, targets } = streams.window(1);
    model.trainStep(first.inputs, first.targets, still);
    const carried = model.state;
    for (const { grad } of model.parameters()) grad.data.fill(0);
    model.trainStep(inputs, targets, still);
    const analytic = model.parameters().map(({ grad }) => Float64Array.from(grad.data));
    let compared = 0;
    for (const [index, { name, value }] of model.parameters().entries()) {
      const weights = Float64Array.from(value.data);
      const loss = () => {
        value.data.set(weights);
        model.state = carried;
        return model.trainStep(inputs, targets, still).loss;
      };
      const numeric = centralDifferences(loss, weights);
      value.data.set(weights);
      numeric.forEach((expected, i) => {
        const error = Math.abs((analytic[index]?.[i] ?? NaN) - expected);
        expect(error, `${name}[${i}]`).toBeLessThan(1e-6 * Math.abs(expected) + 1e-9);
        compared++;
      });
    }
    expect(compared).toBe(countParameters(vocabulary.size, model.architecture));
    model.dispose();
  });

  test("in a recorded body trainStep, loadStateDict and dispose are refused; nothing is changed then", () => {
    const model = new CharLM(vocabulary, SMALL);
    const { inputs, targets } = new TextStreams(codes, 2, 5).window(0);
    const optimizer = new Adam(model.parameters(), { lr: 0.1 });
    model.trainStep(inputs, targets, optimizer);
    const state = () => [bits(model.stateDict()), model.parameters().map(({ grad }) => [...grad.data])];
    const before = state();
    const zeros = Object.fromEntries(
      Object.entries(model.stateDict()).map(([name, { data, shape }]) => [name, { data: data.fill(0), shape }]),
    );
    const calls = {
      "CharLM.trainStep": () => model.trainStep(inputs, targets, optimizer),
      "CharLM.loadStateDict": () => model.loadStateDict(zeros),
      "CharLM.dispose": () => model.dispose(),
    };
    for (const [name, call] of Object.entries(calls)) {
      refuses(() => valueAndGrad(call as never), StateError, name, "inside a recorded body");
      expect(state()).toEqual(before);
    }
    model.dispose();
  });

  test("the carried state is the one that a longer window has in its middle", () => {
    const model = new CharLM(vocabulary, SMALL);
    const step = (seqLen: number, index: number) => {
      const { inputs, targets } = new TextStreams(codes, 2, seqLen).window(index);
      return model.trainStep(inputs, targets, still).loss;
    };
    const whole = step(20, 0);
    const end = model.state;
    model.state = undefined;
    const halves = [step(10, 0), step(10, 1)];
    expect(model.state).toEqual(end); // the same bits
    expect(whole).toBeCloseTo(((halves[0] ?? NaN) + (halves[1] ?? NaN)) / 2, 12);
    expect(end?.h.shape).toEqual([2, 2, 6]);
    model.dispose();
  });

  test("clip bounds the norm that the optimizer sees, and tells the one before", () => {
    const model = new CharLM(vocabulary, SMALL);
    const { inputs, targets } = new TextStreams(codes, 2, 8).window(0);
    const norm = () => Math.hypot(...model.parameters().flatMap(({ grad }) => [...grad.data]));
    const zeroGrad = () => model.parameters().forEach(({ grad }) => grad.data.fill(0));
    const seen: number[] = [];
    const watch = { zeroGrad, step: () => void seen.push(norm()) };
    const { gradNorm } = model.trainStep(inputs, targets, watch);
    model.state = undefined;
    expect(model.trainStep(inputs, targets, watch, { clip: 0.01 }).gradNorm).toBe(gradNorm);
    expect(seen[0]).toBeCloseTo(gradNorm, 10);
    expect(seen[1]).toBeCloseTo(0.01, 6);
    model.dispose();
  });

  test.each([
    ["LSTM", "f32"],
    ["LSTM", "f64"],
    ["GRU", "f32"],
    ["RNN", "f64"],
  ] as const)("learns a text by heart and writes it down (%s, %s)", (cell, dtype) => {
    const model = new CharLM(vocabulary, { ...SMALL, cell, hiddenSize: 32, dtype });
    const optimizer = new Adam(model.parameters(), { lr: cell === "RNN" ? 0.01 : 0.02 });
    const streams = new TextStreams(codes, 2, 32);
    for (let epoch = 0; epoch < 100; epoch++) {
      model.state = undefined;
      for (let index = 0; index < streams.wholeWindows; index++) {
        const { inputs, targets } = streams.window(index);
        model.trainStep(inputs, targets, optimizer, { clip: 1 });
      }
    }
    expect(model.evaluate(codes)).toBeLessThan(0.1);
    expect(model.sample(TEXT.slice(0, 20), { length: 40, temperature: 0 })).toBe(
      [...TEXT.slice(20)].slice(0, 40).join(""),
    );
    model.dispose();
  });

  test("the same seed gives the same bits", () => {
    const train = (seed: number) => {
      const model = new CharLM(vocabulary, { ...SMALL, dtype: "f32", seed });
      const optimizer = new Adam(model.parameters());
      const streams = new TextStreams(codes, 2, 16);
      for (let i = 0; i < 5; i++) {
        const { inputs, targets } = streams.window(i % streams.wholeWindows);
        model.trainStep(inputs, targets, optimizer);
      }
      const weights = bits(model.stateDict());
      model.dispose();
      return weights;
    };
    expect(train(1)).toEqual(train(1));
    expect(train(1)).not.toEqual(train(2));
  });
});

describe("what trainStep refuses", () => {
  const { inputs, targets } = new TextStreams(codes, 2, 4).window(0);
  const size = vocabulary.size;

  /** The call is refused, and gradients, weights and state are as before. */
  function changesNothing(model: CharLM, ...[call, ...refused]: Parameters<typeof refuses>): void {
    for (const { grad } of model.parameters()) grad.data.fill(7);
    const look = () => [model.parameters().map(({ value, grad }) => [[...value.data], [...grad.data]]), model.state];
    const before = look();
    refuses(call, ...refused);
    expect(look()).toEqual(before);
  }

  test("clip, optimizer, codes", () => {
    const model = new CharLM(vocabulary, SMALL);
    const optimizer = new Adam(model.parameters());
    for (const clip of [-1, NaN, "5", null, {}] as number[]) {
      const call = () => model.trainStep(inputs, targets, optimizer, { clip });
      changesNothing(model, call, ValueError, "clip: got", "a number >= 0");
    }
    for (const wrong of [undefined, null, {}, 5, { zeroGrad() {} }, { zeroGrad: 1, step() {} }]) {
      const call = () => model.trainStep(inputs, targets, wrong as unknown as typeof still);
      changesNothing(model, call, ValueError, "optimizer: got", "zeroGrad() and step()");
    }
    for (const code of [-100, -1, size]) {
      const wrong = { data: inputs.data.slice().fill(code, 3, 4), shape: inputs.shape };
      const parts = [`got ${code} at position 3`, `indices from 0 to ${size - 1}`];
      changesNothing(model, () => model.trainStep(inputs, wrong, optimizer), ValueError, "targets", ...parts);
      changesNothing(model, () => model.trainStep(wrong, targets, optimizer), ValueError, "inputs", ...parts);
    }
    const turned = { data: targets.data, shape: [2, 4] };
    changesNothing(model, () => model.trainStep(inputs, turned, optimizer), ShapeError, "targets", "[2, 4]", "[4, 2]");
    const shares = { data: new Float64Array(8 * size), shape: [4, 2, size] };
    changesNothing(model, () => model.trainStep(inputs, shares, optimizer), DtypeError, "targets", "f64", "i32");
    model.trainStep(inputs, targets, optimizer, { clip: 0 });
    model.dispose();
  });

  test.each(CHARLM_CELLS)("a state that is none of its cell (%s)", (cell) => {
    const model = new CharLM(vocabulary, { ...SMALL, cell });
    const zeros = (...shape: number[]) => ({ data: new Float64Array(shape.reduce((a, b) => a * b)), shape });
    const right = zeros(2, 2, 6);
    const wrong = zeros(2, 3, 6);
    const single = { data: new Float32Array(24), shape: [2, 2, 6] };
    const lstm = cell === "LSTM";
    const set = (state: unknown) => {
      model.state = state as typeof model.state;
      return () => model.trainStep(inputs, targets, still);
    };
    for (const state of [null, 5, "x"]) changesNothing(model, set(state), StateError, "state: got");
    const other = lstm ? { h: right } : { h: right, c: right };
    changesNothing(model, set(other), StateError, `state: got ${lstm ? "no c" : "a c"}`, `the state of ${cell} layers`);
    const whole = (h: unknown) => (lstm ? { h, c: right } : { h });
    changesNothing(model, set(whole(wrong)), ShapeError, "state.h: got [2, 3, 6], expected [2, 2, 6]");
    changesNothing(model, set(whole(single)), DtypeError, "state.h: got f32, expected f64");
    changesNothing(model, set(whole(undefined)), DtypeError, "state.h: got undefined");
    if (lstm) changesNothing(model, set({ h: right, c: wrong }), ShapeError, "state.c: got [2, 3, 6]");
    const fromZeros = set(whole(right))().loss;
    expect(set(undefined)().loss).toBe(fromZeros);
    model.dispose();
  });
});

describe("evaluation", () => {
  test("does not depend on how the text is cut, and changes nothing", () => {
    const model = new CharLM(vocabulary, SMALL);
    const { inputs, targets } = new TextStreams(codes, 2, 16).window(0);
    model.trainStep(inputs, targets, still);
    const before = [bits(model.stateDict()), model.state];
    const whole = model.evaluate(codes, { seqLen: 1000 });
    expect(model.evaluate(codes, { seqLen: 7 })).toBeCloseTo(whole, 12);
    expect(model.evaluate(codes)).toBeCloseTo(whole, 12);
    expect([bits(model.stateDict()), model.state]).toEqual(before);
    const values = [...model.evaluating(codes, { seqLen: 7 })];
    expect(values.length).toBe(Math.ceil((codes.length - 1) / 7));
    expect(values.at(-1)).toBeCloseTo(whole, 12);
    model.dispose();
  });

  test("is the mean of -log p over the text", () => {
    const model = new CharLM(vocabulary, SMALL);
    const bias = model.parameters().at(-1)?.value.data;
    for (const { value } of model.parameters()) value.data.fill(0);
    bias?.set(Float64Array.from({ length: vocabulary.size }, (_, i) => Math.log(i + 1)));
    const sum = (vocabulary.size * (vocabulary.size + 1)) / 2;
    const expected =
      codes.subarray(1).reduce((total, code) => total - Math.log((code + 1) / sum), 0) / (codes.length - 1);
    expect(model.evaluate(codes)).toBeCloseTo(expected, 12);
    model.dispose();
  });

  test("texts of one character, and what is no text, are refused", () => {
    const model = new CharLM(vocabulary, SMALL);
    for (const wrong of [[0, 1, 2], new Float64Array(3), "abc", null, { length: 50 }]) {
      refuses(() => model.evaluate(wrong as Int32Array), DtypeError, "codes: got", "an Int32Array");
    }
    for (const code of [-100, -1, vocabulary.size]) {
      refuses(() => model.evaluate(Int32Array.of(0, 1, code)), ValueError, `codes: got ${code} at position 2`);
    }
    expect(() => model.evaluate(codes.subarray(0, 1))).toThrow(ShapeError);
    model.dispose();
  });
});

describe("sampling", () => {
  /** A model of three characters whose next one is always drawn from (0.6, 0.3, 0.1). */
  function threeCharacters(): CharLM {
    const model = new CharLM(new Vocabulary(["a", "b", "c"]), { embeddingDim: 1, hiddenSize: 1, numLayers: 1 });
    for (const { value } of model.parameters()) value.data.fill(0);
    model
      .parameters()
      .at(-1)
      ?.value.data.set([Math.log(0.6), Math.log(0.3), Math.log(0.1)]);
    return model;
  }

  /** How often each character comes in 20,000. */
  function frequencies(model: CharLM, temperature: number): number[] {
    const text = model.sample("a", { length: 20_000, temperature, random: new Random(5) });
    return ["a", "b", "c"].map((character) => (text.split(character).length - 1) / 20_000);
  }

  test("draws from softmax(logits / temperature)", () => {
    const model = threeCharacters();
    for (const temperature of [1, 0.5, 2]) {
      const powers = [0.6, 0.3, 0.1].map((p) => p ** (1 / temperature));
      const sum = powers.reduce((a, b) => a + b);
      for (const [i, frequency] of frequencies(model, temperature).entries()) {
        expect(Math.abs(frequency - (powers[i] ?? NaN) / sum)).toBeLessThan(0.015); // four standard deviations
      }
    }
    expect(frequencies(model, 0)).toEqual([1, 0, 0]);
    expect(frequencies(model, 1e-300)).toEqual([1, 0, 0]);
    for (const frequency of frequencies(model, 1e300)) expect(frequency).toBeCloseTo(1 / 3, 1);
    model.dispose();
  });

  test("steps through the same states as a whole sequence", () => {
    const model = new CharLM(vocabulary, { ...SMALL, seed: 9 });
    const prompt = TEXT.slice(0, 30);
    const written = model.sample(prompt, { length: 10, temperature: 0 });
    // greedy choice, the slow way: the whole text so far again for each character
    let text = prompt;
    for (let i = 0; i < 10; i++) {
      const candidates = vocabulary.characters.map((character) => {
        const all = vocabulary.encode(text + character);
        return -model.evaluate(all, { seqLen: 1000 }) * (all.length - 1);
      });
      text += vocabulary.characters[candidates.indexOf(Math.max(...candidates))] ?? "";
    }
    expect(prompt + written).toBe(text);
    model.dispose();
  });

  test("an empty prompt starts from a newline, or else the first character", () => {
    const model = new CharLM(vocabulary, SMALL);
    const options = { length: 20, temperature: 0 };
    expect(model.sample("", options)).toBe(model.sample("\n", options));
    model.dispose();
    const three = threeCharacters();
    expect(three.sample("", options)).toBe(three.sample("a", options));
    three.dispose();
  });

  test("training goes on undisturbed while characters are taken", () => {
    const model = new CharLM(vocabulary, SMALL);
    const { inputs, targets } = new TextStreams(codes, 2, 16).window(0);
    const characters = model.generate("the", { length: 3, random: new Random(1) });
    characters.next();
    const { loss } = model.trainStep(inputs, targets, still);
    characters.next();
    model.state = undefined;
    expect(model.trainStep(inputs, targets, still).loss).toBe(loss);
    expect([...characters].length).toBe(1);
    model.dispose();
  });

  test("refuses what makes no sense", () => {
    const model = new CharLM(vocabulary, SMALL);
    expect(() => model.sample("X", { length: 1 })).toThrow('prompt: got unknown characters: "X" (U+0058)');
    for (const length of [-1, 1.5, NaN]) expect(() => model.sample("the", { length })).toThrow(ValueError);
    for (const temperature of [-1, NaN]) {
      expect(() => model.sample("the", { length: 1, temperature })).toThrow(ValueError);
    }
    for (const temperature of [null, "", [], "0.5", true] as unknown[] as number[]) {
      refuses(
        () => model.sample("the", { length: 1, temperature }),
        ValueError,
        "temperature: got",
        "a number from 0 up",
      );
    }
    for (const prompt of [5, null, undefined, ["t", "h"], {}] as string[]) {
      refuses(() => model.sample(prompt, { length: 1 }), ValueError, "prompt: got", "a string");
    }
    for (const random of [{}, null, 5, () => 0.5] as Random[]) {
      refuses(() => model.sample("the", { length: 1, random }), ValueError, "random: got", "a Random");
    }
    // at the call, before the first character is taken
    refuses(() => model.generate("the", { length: -1 }), ValueError, "length");
    refuses(() => model.generate("X", { length: 1 }), ValueError, "prompt");
    model.parameters().at(-1)?.value.data.set([NaN]);
    expect(() => model.sample("the", { length: 1 })).toThrow(StateError);
    const dict = model.stateDict();
    const { inputs, targets } = new TextStreams(codes, 2, 4).window(0);
    model.dispose();
    for (const use of [
      () => model.sample("the", { length: 1 }),
      () => model.generate("the", { length: 1 }),
      () => model.parameters(),
      () => model.stateDict(),
      () => model.loadStateDict(dict),
      () => model.trainStep(inputs, targets, still),
      () => model.evaluate(codes),
      () => writeCharLM(model, { steps: 1 }),
    ]) {
      refuses(use, DisposedError);
    }
    for (const wrong of [undefined, null, 5, "abc", ["a"], { size: 3 }]) {
      refuses(() => new CharLM(wrong as unknown as Vocabulary), ValueError, "vocabulary: got", "a Vocabulary");
    }
    expect(() => new CharLM(new Vocabulary([]))).toThrow(ValueError);
    expect(() => new CharLM(vocabulary, { hiddenSize: 0 })).toThrow(ShapeError);
    refuses(
      () => new CharLM(vocabulary, { embeddingSize: 5 } as object),
      UnsupportedError,
      "embeddingSize",
      "embeddingDim",
    );
    expect(() => new CharLM(vocabulary, { cell: "lstm" as "LSTM" })).toThrow(
      'cell: got "lstm", expected LSTM, GRU, RNN',
    );
  });
});

describe("sampling after a warm-up", () => {
  const RHYME = houseThatJackBuilt();
  const LINES = RHYME.split("\n").filter((line) => line !== "");

  /** A model that has learned the rhyme in part, with a seed. */
  function trained(seed: number): CharLM {
    const known = Vocabulary.fromText(RHYME);
    const options = { embeddingDim: 16, hiddenSize: 48, numLayers: 2, dtype: "f32", seed } as const;
    const model = new CharLM(known, options);
    const optimizer = new Adam(model.parameters(), { lr: 0.01 });
    const streams = new TextStreams(known.encode(RHYME), 8, 64);
    for (let step = 0; step < 150; step++) {
      const index = step % streams.wholeWindows;
      if (index === 0) model.state = undefined;
      const { inputs, targets } = streams.window(index);
      model.trainStep(inputs, targets, optimizer, { clip: 5 });
    }
    optimizer.dispose();
    return model;
  }

  test("without a prompt, every sample starts as a line of the training text does", () => {
    const warmUp = RHYME.slice(-200);
    for (const seed of [1, 4]) {
      const model = trained(seed);
      const draw = (start: string) => {
        model.warmUp = start;
        return Array.from({ length: 20 }, (_, i) =>
          model.sample("", { length: 50, temperature: 0.5, random: new Random(i) }),
        );
      };
      /** Nats per character of a sample after the warm-up, by the model itself. */
      const surprise = (sample: string) => {
        const total = (text: string) => {
          const all = model.vocabulary.encode(text);
          return model.evaluate(all, { seqLen: 1000 }) * (all.length - 1);
        };
        return (total(warmUp + sample) - total(warmUp)) / 50;
      };
      const isLineStart = (sample: string) => LINES.some((line) => line.startsWith(sample.trimStart().slice(0, 8)));
      const measure = (samples: string[]) => ({
        strange: samples.filter((sample) => !isLineStart(sample)).length,
        surprise: samples.reduce((sum, sample) => sum + surprise(sample), 0) / samples.length,
      });
      const [cold, warm] = [measure(draw("")), measure(draw(warmUp))];
      expect(cold.strange).toBeGreaterThanOrEqual(10); // the fault: a zero state and one newline
      expect(warm.strange).toBe(0);
      expect(warm.surprise).toBeLessThan(0.2);
      expect(cold.surprise).toBeGreaterThan(2 * warm.surprise);
      model.dispose();
    }
  });

  test("the model reads the warm-up up to its last line's start, then the prompt", () => {
    const model = new CharLM(vocabulary, SMALL);
    for (const { value } of model.parameters()) for (let i = 0; i < value.data.length; i++) value.data[i]! *= 3;
    const from = (warmUp: string, prompt: string) => {
      model.warmUp = warmUp;
      return model.sample(prompt, { length: 300, random: new Random(2) });
    };
    for (const [warmUp, read] of [
      ["the old ship\nand ", "the old ship\n"],
      ["the old ship\n", "the old ship\n"],
      ["the\nold ship and the sea", "the\nold ship and the "], // less than half would be left of its lines
      ["\n\nunderthestars", "\n\nunderthestars"], // nor of its words
      ["the", "the"],
      ["", ""],
    ] as const) {
      expect(from(warmUp, "the sea")).toBe(from("", `${read}the sea`));
      expect(from(warmUp, "")).toBe(from("", read));
    }
    expect(from("the old ship\n", "t")).not.toBe(from("", "t"));
    model.warmUp = "the 🐋\n";
    const characters = model.generate("", { length: 10, random: new Random(3) });
    const expected = model.sample("", { length: 10, random: new Random(3) });
    model.warmUp = ""; // what was read at the call counts
    expect([...characters].join("")).toBe(expected);
    model.dispose();
  });
});

describe("prompts with unknown characters", () => {
  const options = { length: 20, temperature: 0 } as const;
  const texts = (model: CharLM, prompt: string, unknown: "error" | "skip" | "replace") =>
    model.sample(prompt, { ...options, unknown });

  test("an error lists each of them once", () => {
    const model = new CharLM(vocabulary, SMALL);
    const call = (prompt: string) => () => model.sample(prompt, options);
    const expected = 'expected only characters of the vocabulary (or the option unknown: "skip" or "replace")';
    refuses(
      call("the Quay, Quick"),
      ValueError,
      'prompt: got unknown characters: "Q" (U+0051), "y" (U+0079)',
      expected,
    );
    refuses(
      call("\u0007\u200b\u0301\ud800\t"),
      ValueError,
      '"\\u{7}" (U+0007)',
      '"\\u{200b}"',
      '"\\u{301}"',
      '"\\u{d800}"',
      '"\\t"',
    );
    const many = String.fromCodePoint(...Array.from({ length: 100 }, (_, i) => 0x4e00 + i));
    const listed = Array.from(many.slice(0, 20), (character) => `"${character}"`).join(", ");
    refuses(call(many + many), ValueError, `got unknown characters: ${listed} and 80 more, expected`);
    const wide = String.fromCodePoint(...Array.from({ length: 100 }, (_, i) => 0xe0000 + i));
    try {
      call(wide)();
      expect.unreachable();
    } catch (error) {
      const { received } = error as ValueError;
      expect(received.length).toBeLessThanOrEqual(200);
      expect(received).toMatch(
        /^unknown characters: ("\\u\{e00[0-9a-f]{2}\}", )+"\\u\{e00[0-9a-f]{2}\}" and \d+ more$/,
      );
    }
    model.dispose();
  });

  test("skip leaves them out, replace puts a space or the first character in their place", () => {
    const model = new CharLM(vocabulary, SMALL);
    expect(texts(model, "the Queen", "skip")).toBe(texts(model, "the ueen", "error"));
    expect(texts(model, "the Queen", "replace")).toBe(texts(model, "the  ueen", "error"));
    expect(texts(model, "QQ", "skip")).toBe(texts(model, "", "error"));
    model.warmUp = "the sea\n";
    expect(texts(model, "the Queen", "skip")).toBe(texts(model, "the ueen", "error"));
    model.dispose();
    const three = new CharLM(new Vocabulary(["b", "a", "c"]), SMALL);
    expect(texts(three, "a🐋c", "replace")).toBe(texts(three, "abc", "error"));
    for (const unknown of ["ignore", "", null, 5, 5n, Symbol("x"), ["skip"]] as unknown[] as "skip"[]) {
      refuses(
        () => three.sample("a", { ...options, unknown }),
        ValueError,
        "unknown: got",
        '"error", "skip" or "replace"',
      );
    }
    three.dispose();
  });
});

describe("wrong types", () => {
  const { inputs, targets } = new TextStreams(codes, 2, 4).window(0);

  test.each(oddities())("%s gives a result or a typed error, and changes nothing", (_, value) => {
    const odd = value as never;
    const model = new CharLM(vocabulary, SMALL);
    const before = bits(model.stateDict());
    const figures = { steps: 1, validation: { loss: 1, step: 1 } };
    const sizes = { embeddingDim: 1, hiddenSize: 1, numLayers: 1 };
    const calls: Record<string, () => unknown> = {
      "new CharLM": () => new CharLM(odd).dispose(),
      "new CharLM: options": () => new CharLM(vocabulary, odd).dispose(),
      "new CharLM: cell": () => new CharLM(vocabulary, { cell: odd }).dispose(),
      "new CharLM: dtype": () => new CharLM(vocabulary, { dtype: odd }).dispose(),
      "new CharLM: seed": () => new CharLM(vocabulary, { seed: odd }).dispose(),
      "trainStep: inputs": () => model.trainStep(odd, targets, still),
      "trainStep: targets": () => model.trainStep(inputs, { data: odd, shape: [4, 2] }, still),
      "trainStep: optimizer": () => model.trainStep(inputs, targets, odd),
      "trainStep: clip": () => model.trainStep(inputs, targets, still, { clip: odd }),
      state: () => {
        model.state = odd;
        model.trainStep(inputs, targets, still);
      },
      "state.h": () => {
        model.state = { h: odd, c: odd };
        model.trainStep(inputs, targets, still);
      },
      "evaluate: codes": () => model.evaluate(odd),
      "evaluate: seqLen": () => model.evaluate(codes, { seqLen: odd }),
      "sample: prompt": () => model.sample(odd, { length: 1 }),
      "sample: length": () => model.generate("a", { length: odd }).next(),
      "sample: temperature": () => model.sample("a", { length: 1, temperature: odd }),
      "sample: random": () => model.sample("a", { length: 1, random: odd }),
      "sample: unknown": () => model.sample("a", { length: 1, unknown: odd }),
      warmUp: () => (model.warmUp = odd),
      isCharLM: () => CharLM.isCharLM(odd),
      "writeCharLM: model": () => writeCharLM(odd, figures),
      "writeCharLM: training": () => writeCharLM(model, odd),
      "writeCharLM: steps": () => writeCharLM(model, { steps: odd }),
      "writeCharLM: validation": () => writeCharLM(model, { steps: 1, validation: odd }),
      "writeCharLM: loss": () => writeCharLM(model, { steps: 1, validation: { loss: odd, step: 1 } }),
      "countParameters: vocabularySize": () => expect(countParameters(odd, sizes)).not.toBeNaN(),
      "countParameters: sizes": () => countParameters(3, odd),
      "countParameters: cell": () => countParameters(3, { ...sizes, cell: odd }),
      "countParameters: hiddenSize": () => expect(countParameters(3, { ...sizes, hiddenSize: odd })).not.toBeNaN(),
    };
    for (const [name, call] of Object.entries(calls)) {
      onlyTyped(call, name);
      model.warmUp = "";
      model.state = undefined;
    }
    expect(bits(model.stateDict())).toEqual(before);
    model.dispose();
  });

  test("counts and files say what is wrong", () => {
    const sizes = { embeddingDim: 4, hiddenSize: 5, numLayers: 1 };
    const missing = undefined as never;
    refuses(() => countParameters(-1, sizes), ValueError, "vocabularySize: got", "an integer >= 0");
    refuses(() => countParameters(3, missing), ValueError, "sizes: got undefined, expected an object");
    refuses(() => countParameters(3, {} as never), ValueError, "sizes.embeddingDim: got undefined");
    refuses(() => countParameters(3, { ...sizes, numLayers: 0 }), ValueError, "sizes.numLayers: got number 0");
    refuses(() => countParameters(3, { ...sizes, cell: "constructor" as never }), ValueError, "sizes.cell: got");
    refuses(() => writeCharLM({} as never, { steps: 1 }), ValueError, "model: got Object, expected a CharLM");
    const forged = Object.create(CharLM.prototype) as CharLM;
    refuses(() => writeCharLM(forged, { steps: 1 }), ValueError, "model: got CharLM, expected a CharLM");
  });

  test("nothing that sampling relies on can be set", () => {
    const model = new CharLM(vocabulary, SMALL);
    const open = model as unknown as Record<string, unknown>;
    for (const name of ["vocabulary", "architecture"]) expect(() => (open[name] = {})).toThrow(TypeError);
    expect(() => ((model.architecture as { embeddingDim: number }).embeddingDim = 0)).toThrow(TypeError);
    expect(() => (CHARLM_CELLS as string[]).push("constructor")).toThrow(TypeError);
    model.dispose();
  });
});

describe("input is read once", () => {
  const { inputs, targets } = new TextStreams(codes, 2, 4).window(0);

  test("codes are checked after the copy: lengths that lie, shared memory, other realms", () => {
    const victim = new Linear(64, 64, { seed: 1 });
    const before = bits(victim.stateDict());
    const expected = new CharLM(vocabulary, SMALL);
    const { loss } = expected.trainStep(inputs, targets, still);
    const lying = (code: number) => {
      const data = Int32Array.from(targets.data).fill(code, 0, 1);
      let reads = 0;
      return Object.defineProperty(data, "length", { get: () => (reads++ ? 8 : 0) });
    };
    const model = new CharLM(vocabulary, SMALL);
    for (const code of [-20000, -214, -100, -1, vocabulary.size, 60000, 2 ** 31 - 1]) {
      for (const name of ["inputs", "targets"]) {
        const wrong = { data: lying(code), shape: targets.shape };
        const call = () =>
          name === "inputs" ? model.trainStep(wrong, targets, still) : model.trainStep(inputs, wrong, still);
        refuses(call, ValueError, `${name}: got ${code} at position 0`);
      }
      const text = Int32Array.from(codes).fill(code, 5, 6);
      Object.defineProperty(text, "length", { value: 4 });
      refuses(() => model.evaluate(text), ValueError, `codes: got ${code} at position 5`);
    }
    const shared = new Int32Array(new SharedArrayBuffer(4 * inputs.data.length));
    shared.set(inputs.data);
    const foreign = runInNewContext("(list) => Int32Array.from(list)") as (list: unknown) => Int32Array;
    for (const data of [shared, foreign(inputs.data)]) {
      model.state = undefined;
      expect(model.trainStep({ data, shape: inputs.shape }, targets, still).loss).toBe(loss);
    }
    expect(model.evaluate(foreign(codes))).toBe(expected.evaluate(codes));
    expect(bits(victim.stateDict())).toEqual(before);
    for (const each of [victim, expected, model]) each.dispose();
  });

  test("a text that changes while it is evaluated is refused at its next window", () => {
    const model = new CharLM(vocabulary, SMALL);
    const text = Int32Array.from(codes);
    const values = model.evaluating(text, { seqLen: 7 });
    values.next();
    text.fill(-100);
    refuses(() => values.next(), ValueError, "got -100 at position 0");
    model.dispose();
  });

  test("a state is read once, and checked as it was read", () => {
    const model = new CharLM(vocabulary, SMALL);
    const good = { data: new Float64Array(24), shape: [2, 2, 6] };
    const bad = { data: new Float64Array(1), shape: [1] };
    let reads = 0;
    model.state = {
      get h() {
        return reads++ ? bad : good;
      },
      c: good,
    };
    model.trainStep(inputs, targets, still);
    expect(reads).toBe(1);
    model.dispose();
  });

  test("an optimizer or a getter that disposes of the model: a typed error", () => {
    const make = () => new CharLM(vocabulary, SMALL);
    const dispose = (model: CharLM) => model.dispose();
    const inBody = make();
    const disposing = { zeroGrad: () => dispose(inBody), step() {} };
    refuses(
      () => inBody.trainStep(inputs, targets, disposing),
      StateError,
      "dispose: got a call inside a recorded body",
    );
    inBody.dispose();
    for (const attempt of [
      (model: CharLM) =>
        model.trainStep(inputs, targets, {
          get zeroGrad() {
            dispose(model);
            return () => {};
          },
          step() {},
        }),
      (model: CharLM) =>
        model.trainStep({ data: inputs.data, get shape() { dispose(model); return inputs.shape; } }, targets, still), // prettier-ignore
      (model: CharLM) => {
        const zeros = { data: new Float64Array(24), shape: [2, 2, 6] };
        model.state = {
          get h() {
            dispose(model);
            return zeros;
          },
          c: zeros,
        };
        model.trainStep(inputs, targets, still);
      },
      (model: CharLM) => {
        const values = model.evaluating(codes, { seqLen: 7 });
        values.next();
        dispose(model);
        values.next();
      },
      (model: CharLM) => {
        const characters = model.generate("the", { length: 5 });
        characters.next();
        dispose(model);
        characters.next();
      },
      (model: CharLM) => {
        const characters = model.generate("the", { length: 5 });
        dispose(model);
        characters.next();
      },
    ]) {
      refuses(() => attempt(make()), DisposedError, "CharLM: got a disposed model");
    }
    const model = make();
    const last = model.trainStep(inputs, targets, { zeroGrad() {}, step: () => dispose(model) });
    expect(last.loss).toBeGreaterThan(0);
    const looping = make();
    const again = { zeroGrad: () => void looping.trainStep(inputs, targets, still), step() {} };
    refuses(() => looping.trainStep(inputs, targets, again), StateError, "inside a recorded body");
    looping.dispose();
  });

  test("draws of a subclass of Random are checked, and what only looks like one is refused", () => {
    const model = new CharLM(vocabulary, SMALL);
    for (const draw of [NaN, 1, -0.5, "0.5", 1n, undefined]) {
      class Loaded extends Random {
        override uniform(): number {
          return draw as number;
        }
      }
      const random = new Loaded(1);
      refuses(() => model.sample("the", { length: 1, random }), ValueError, "random: got a draw of", "draws in [0, 1)");
    }
    const forged = Object.create(Random.prototype) as Random;
    refuses(() => model.sample("the", { length: 1, random: forged }), ValueError, "random: got Random");
    model.dispose();
  });
});

describe("files", () => {
  test.each([
    ["LSTM", "f32"],
    ["LSTM", "f64"],
    ["GRU", "f32"],
    ["RNN", "f64"],
  ] as const)("a model comes back as it was (%s, %s)", (cell, dtype) => {
    const model = new CharLM(vocabulary, { ...SMALL, cell, dtype });
    const training = { steps: 12, validation: { loss: 1.25, step: 10 } };
    const bytes = writeCharLM(model, training);
    const read = readCharLM(bytes);
    expect(read.training).toEqual(training);
    expect(read.model.architecture).toEqual(model.architecture);
    expect(read.model.architecture.cell).toBe(cell);
    expect(Object.keys(model.stateDict())).toContain(`${cell.toLowerCase()}.weight_hh_l1`);
    expect(read.model.vocabulary.characters).toEqual(vocabulary.characters);
    expect(bits(read.model.stateDict())).toEqual(bits(model.stateDict()));
    expect([...writeCharLM(read.model, training)]).toEqual([...bytes]);
    expect(readCharLM(writeCharLM(model, { steps: 0 })).training).toEqual({ steps: 0 });
    model.dispose();
    read.model.dispose();
  });

  test("the warm-up text comes back, and only characters of the vocabulary can be one", () => {
    const model = new CharLM(vocabulary, SMALL);
    expect(model.warmUp).toBe("");
    expect(readSafetensors(writeCharLM(model, { steps: 1 })).metadata).not.toHaveProperty("warm_up");
    const text = "under the 🐋\nstars";
    model.warmUp = text;
    const bytes = writeCharLM(model, { steps: 1 });
    const read = readCharLM(bytes).model;
    expect(read.warmUp).toBe(text);
    expect([...writeCharLM(read, { steps: 1 })]).toEqual([...bytes]);
    read.dispose();
    for (const wrong of [undefined, null, 5, 5n, Symbol("x"), ["t"], Object.create(null), "X", "e".repeat(1001)]) {
      const set = () => (model.warmUp = wrong as string);
      refuses(set, ValueError, "warmUp: got", "at most 1000 characters of the vocabulary");
    }
    expect(model.warmUp).toBe(text);
    model.warmUp = "🐋".repeat(1000);
    const { tensors, metadata } = readSafetensors(bytes);
    for (const wrong of ["Q", "e".repeat(1001)]) {
      const changed = writeSafetensors(tensors, { ...metadata, warm_up: wrong });
      refuses(() => readCharLM(changed), FormatError, "metadata warm_up: got", "of the vocabulary");
    }
    model.dispose();
  });

  test("the state dict is strict, and changes nothing when it refuses", () => {
    const model = new CharLM(vocabulary, SMALL);
    const dict = model.stateDict();
    const before = bits(dict);
    const { "linear.bias": bias, ...rest } = dict;
    expect(() => model.loadStateDict(rest)).toThrow('no entry "linear.bias"');
    expect(() => model.loadStateDict({ ...dict, "lstm.bias": bias as Tensor })).toThrow('unknown entry "lstm.bias"');
    const zeros = { data: new Float64Array(vocabulary.size * 5), shape: [vocabulary.size, 5] };
    const misshapen = { ...dict, "embedding.weight": zeros, "linear.bias": { data: new Float64Array(1), shape: [1] } };
    expect(() => model.loadStateDict(misshapen)).toThrow("linear.bias");
    expect(bits(model.stateDict())).toEqual(before);
    model.dispose();
  });

  test("figures that could not be read again are not written", () => {
    const model = new CharLM(vocabulary, SMALL);
    const write = (training: unknown) => () => writeCharLM(model, training as Parameters<typeof writeCharLM>[1]);
    for (const training of [undefined, null, 5]) refuses(write(training), ValueError, "training: got", "an object");
    for (const steps of [undefined, NaN, -5, 1.5, "7", 2 ** 53]) {
      refuses(write({ steps }), ValueError, "training.steps: got", "an integer >= 0");
      const validation = { loss: 1, step: steps };
      refuses(write({ steps: 3, validation }), ValueError, "training.validation.step: got");
    }
    for (const loss of [undefined, NaN, Infinity, "1"]) {
      const validation = { loss, step: 3 };
      refuses(write({ steps: 3, validation }), ValueError, "training.validation.loss: got", "a finite number");
    }
    refuses(write({ steps: 3, validation: null }), ValueError, "training.validation: got null");
    const training = { steps: 0, validation: { loss: 0, step: 0 } };
    const read = readCharLM(write(training)());
    expect(read.training).toEqual(training);
    read.model.dispose();
    model.dispose();
  });

  test("anything else is refused", () => {
    const model = new CharLM(vocabulary, SMALL);
    const { tensors, metadata } = readSafetensors(writeCharLM(model, { steps: 1 }));
    model.dispose();
    const change = (key: string, value: string | undefined) => {
      const { [key]: _, ...rest } = metadata;
      return () => readCharLM(writeSafetensors(tensors, value === undefined ? rest : { ...rest, [key]: value }));
    };
    expect(change("format", undefined)).toThrow("format: got none, expected wasm-rnn charlm");
    expect(change("format", "pt")).toThrow(FormatError);
    expect(change("version", "3")).toThrow("version: got 3, expected 1 or 2");
    expect(change("dtype", "f16")).toThrow("dtype: got f16");
    expect(change("architecture", "{")).toThrow("metadata architecture: got something else, expected JSON");
    for (const architecture of ["null", "[]", "{}", '{"embeddingDim":5,"hiddenSize":6,"numLayers":1e999}']) {
      expect(change("architecture", architecture)).toThrow(FormatError);
    }
    for (const layers of [undefined, "lstm", ["embedding", "lstmx", "linear"], ["embedding", "gru", "linear"]]) {
      const sizes = { layers, embeddingDim: 5, hiddenSize: 6, numLayers: 2 };
      expect(change("architecture", JSON.stringify(sizes)), String(layers)).toThrow(FormatError);
    }
    const huge = JSON.stringify({
      layers: ["embedding", "lstm", "linear"],
      embeddingDim: 1e9,
      hiddenSize: 1e9,
      numLayers: 1e9,
    });
    expect(change("architecture", huge)).toThrow("tensors: got");
    for (const list of ["1", "[]", "[1]"]) expect(change("vocabulary", list)).toThrow(FormatError);
    expect(change("vocabulary", '["ab"]')).toThrow(ValueError);
    expect(change("vocabulary", '["a"]')).toThrow("tensors: got");
    expect(change("trained_steps", "many")).toThrow("metadata trained_steps: got many");
    for (const steps of ["-5", "1.5", "NaN", "1e300", ""]) {
      refuses(change("trained_steps", steps), FormatError, "metadata trained_steps", "an integer >= 0");
    }
    refuses(change("validation_step", "-1"), FormatError, "metadata validation_step", "an integer >= 0");
    refuses(change("validation_loss", "NaN"), FormatError, "metadata validation_loss", "a finite number");
    const { "linear.bias": bias, ...rest } = tensors;
    const renamed = writeSafetensors({ ...rest, "linear.bia": bias as Tensor }, metadata);
    expect(() => readCharLM(renamed)).toThrow("linear.bia");
  });
});
