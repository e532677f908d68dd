// Streaming models of layers of one's own, and as files: the bits of whole sequences, strides, and what is refused. RTNeural's
// conv2d and NAM's WaveNet beside plain loops.
import { describe, expect, test } from "vitest";
import {
  fromNam,
  fromProteus,
  fromRtneural,
  StreamingModel,
  toProteus,
  toRtneural,
  toSequential,
} from "../../src/audio.js";
import {
  Activation,
  Adam,
  BatchNorm1d,
  Conv1d,
  DtypeError,
  Dropout,
  Embedding,
  FormatError,
  GRU,
  LayerNorm,
  Linear,
  LSTM,
  mse,
  PReLU,
  Random,
  RNN,
  Sequential,
  ShapeError,
  UnsupportedError,
  ValueError,
  type Tensor,
} from "../../src/index.js";
import "../helpers/bits.js";
import { both } from "../helpers/both.js";
import { refuses } from "../helpers/refuses.js";
import { heapOf, wave } from "../helpers/tensors.js";
import { useVariant, variants } from "../helpers/variants.js";

type Dtype = "f32" | "f64";

/** The outputs of frames that have one, [T',M]. */
function outputsOf(model: StreamingModel, x: Tensor): Tensor {
  const d = model.inputSize;
  const y: number[] = [];
  for (let at = 0; at < x.data.length; at += d) {
    const out = model.step(x.data.slice(at, at + d));
    if (model.ready) y.push(...out);
  }
  const data = model.dtype === "f64" ? Float64Array.from(y) : Float32Array.from(y);
  return { data, shape: [y.length / model.outputSize, model.outputSize] };
}

/** Numbers in nested arrays, seeded. */
function nested(random: Random, ...shape: number[]): never {
  const [n, ...rest] = shape;
  const value = n === undefined ? random.uniform() - 0.5 : Array.from({ length: n }, () => nested(random, ...rest));
  return value as never;
}

/** Gives batch norms statistics that are not 0 and 1. */
function warm(chain: Sequential, x: Tensor): void {
  for (let i = 0; i < 3; i++) chain.forward(x);
  chain.eval();
}

const chains: Readonly<Record<string, (dtype: Dtype) => Sequential>> = {
  "convolutions, LSTM": (dtype) =>
    new Sequential([
      new Conv1d(2, 4, 3, { padding: "causal", dilation: 2, groups: 2, dtype, seed: 1 }),
      new BatchNorm1d(4, { dtype }),
      new Activation("sigmoid"),
      new Conv1d(4, 6, 2, { padding: "causal", stride: 3, bias: false, dtype, seed: 2 }),
      new PReLU(6, { dtype }),
      new LSTM(6, 5, { numLayers: 2, dtype, seed: 3 }),
      new Dropout(0.5, { dtype }),
      new Linear(5, 2, { dtype, seed: 4 }),
    ]),
  "GRU without biases": (dtype) =>
    new Sequential({
      gru: new GRU(2, 3, { bias: false, dtype, seed: 1 }),
      tanh: new Activation("tanh"),
      chain: new Sequential([new Linear(3, 3, { bias: false, dtype, seed: 2 }), new Activation("softmax")]),
    }),
};

describe.each(variants)("%s build", (variant) => {
  useVariant(variant);

  both("%s", (dtype) => {
    const x = wave([23, 2], dtype);

    test.each(Object.keys(chains))("%s: a stream of layers has the bits of forward, and so has its file", (name) => {
      const chain = chains[name]!(dtype);
      warm(chain, x);
      const expected = chain.forward(x).output;
      using model = StreamingModel.from(chain);
      const text = toRtneural(model);
      chain.dispose();
      expect([model.dtype, model.inputSize, model.outputSize]).toEqual([dtype, 2, expected.shape[1]]);
      expect(outputsOf(model, x)).toHaveBits(expected);
      model.reset();
      expect(outputsOf(model, x)).toHaveBits(expected);
      using read = fromRtneural(JSON.parse(text), { dtype });
      expect(outputsOf(read, x)).toHaveBits(expected);
      expect(toRtneural(read)).toBe(text);
    });

    test("ELU: a stream of layers has the bits of forward, its file is a rounding away", () => {
      using chain = new Sequential([new Linear(2, 5, { dtype, seed: 1 }), new Activation("elu")]);
      const expected = chain.forward(x).output;
      using model = StreamingModel.from(chain);
      expect(outputsOf(model, x)).toHaveBits(expected);
      using read = fromRtneural(JSON.parse(toRtneural(model)), { dtype });
      const { data } = outputsOf(read, x);
      const epsilon = dtype === "f64" ? 2 ** -52 : 2 ** -23;
      expected.data.forEach((y, i) => expect(Math.abs(data[i]! - y)).toBeLessThanOrEqual(2 * epsilon * Math.abs(y)));
      expect(Math.min(...data)).toBeLessThan(-0.1);
    });

    test.each(Object.keys(chains))("%s: toSequential gives the chain back, of layers and of a file", (name) => {
      using chain = chains[name]!(dtype);
      warm(chain, x);
      const expected = chain.forward(x).output;
      using model = StreamingModel.from(chain);
      using back = toSequential(model);
      expect(back.forward(x).output).toHaveBits(expected);
      using stream = StreamingModel.from(back);
      expect(toRtneural(stream)).toBe(toRtneural(model));
      using read = fromRtneural(JSON.parse(toRtneural(model)), { dtype });
      using trained = toSequential(read);
      expect(trained.forward(x).output).toHaveBits(expected);
      using adam = new Adam(trained.parameters(), { lr: 0.01 });
      const target = wave([...expected.shape], dtype);
      const losses = [1, 2, 3].map(() => adam.minimize(() => mse(trained.forward(x).output, target)).loss);
      expect(losses[2]).toBeLessThan(losses[0]!);
    });

    test.each([
      ["RNN", RNN],
      ["LSTM", LSTM],
      ["GRU", GRU],
    ] as const)("Proteus: %s and back", (_, Kind) => {
      using recurrent = new Kind(2, 3, { numLayers: 2, dtype, seed: 1 });
      using linear = new Linear(3, 2, { dtype, seed: 2 });
      using model = StreamingModel.from([recurrent, linear]);
      const expected = linear.forward(recurrent.forward(x).output).output;
      expect(outputsOf(model, x)).toHaveBits(expected);
      using read = fromProteus(JSON.parse(toProteus(model)), { dtype });
      expect(outputsOf(read, x)).toHaveBits(expected);
      expect(toProteus(read)).toBe(toProteus(model));
    });

    test("layers that no file has run, too", () => {
      const chain = new Sequential([
        new LayerNorm(2, { dtype }),
        new GRU(2, 3, { resetAfter: false, dtype, seed: 1 }),
        new Activation("leakyRelu"),
      ]);
      using model = StreamingModel.from(chain.eval());
      expect(outputsOf(model, x)).toHaveBits(chain.forward(x).output);
      refuses(() => toRtneural(model), UnsupportedError, "layers.0", "RTNeural");
      refuses(() => toProteus(model), UnsupportedError, "layers.0", "Proteus");
      chain.dispose();
    });

    test("a convolution without padding: zeros until its window is full, then the latest", () => {
      using conv = new Conv1d(2, 3, 3, { dilation: 2, stride: 2, dtype, seed: 1 });
      using model = StreamingModel.from(conv);
      const { output } = conv.forward(x);
      let latest = [0, 0, 0];
      expect(model.ready).toBe(false);
      for (let t = 0; t < 23; t++) {
        const y = [...model.step(x.data.slice(2 * t, 2 * t + 2))];
        expect(model.ready).toBe(t >= 4 && t % 2 === 0);
        if (model.ready) latest = [...output.data.slice(3 * (t / 2 - 2), 3 * (t / 2 - 1))];
        expect(y).toEqual(latest);
      }
      model.reset();
      expect(model.ready).toBe(false);
      expect([...model.step([1, 1])]).toEqual([0, 0, 0]);
      refuses(() => toRtneural(model), UnsupportedError, "a convolution without padding");
    });

    test.each([
      ["valid", 1, 1, 1],
      ["valid", 2, 2, 3],
      ["same", 1, 1, 3],
      ["same", 3, 2, 4],
    ] as const)(
      "conv2d, %s, stride %i, dilation %i, %i taps over features",
      (padding, stride, dilation, featureTaps) => {
        const [T, F, C, O, K] = [9, 7, 2, 3, 3];
        const random = new Random(7);
        const kernel: number[][][][] = nested(random, K, featureTaps, C, O);
        const bias: number[] = nested(random, O);
        // TensorFlow's padding
        const outputs = padding === "valid" ? Math.ceil((F - featureTaps + 1) / stride) : Math.ceil(F / stride);
        const around = padding === "valid" ? 0 : Math.max(0, (outputs - 1) * stride + featureTaps - F);
        const left = Math.floor(around / 2);
        const statistics = [nested(random, O), nested(random, O), nested(random, O), [0.5, 1, 2]];
        const file = {
          in_shape: [null, T, F, C],
          layers: [
            {
              type: "conv2d",
              activation: "",
              shape: [null, T, outputs, O],
              ...{ kernel_size_time: K, kernel_size_feature: featureTaps, dilation, strides: stride, padding },
              ...{ num_filters_in: C, num_features_in: F, num_filters_out: O },
              weights: [kernel, bias],
            },
            {
              type: "batchnorm2d",
              activation: "",
              shape: [null, T, outputs, O],
              ...{ num_filters_in: O, num_features_in: outputs, epsilon: 0.25 },
              weights: statistics,
            },
          ],
        };
        using model = fromRtneural(file, { dtype });
        const input = wave([T, F * C], dtype);
        const got = outputsOf(model, input);
        const want: number[] = [];
        for (let t = 0; t < T; t++) {
          for (let f = 0; f < outputs; f++) {
            for (let o = 0; o < O; o++) {
              let sum = bias[o]!;
              for (let k = 0; k < K; k++) {
                for (let j = 0; j < featureTaps; j++) {
                  const [time, feature] = [t - (K - 1 - k) * dilation, f * stride + j - left];
                  if (time < 0 || feature < 0 || feature >= F) continue;
                  for (let c = 0; c < C; c++) sum += kernel[k]![j]![c]![o]! * input.data[(time * F + feature) * C + c]!;
                }
              }
              const [gamma, beta, mean, variance] = statistics.map((each: number[]) => each[o]!) as [number, number, number, number]; // prettier-ignore
              want.push((gamma * (sum - mean)) / Math.sqrt(variance + 0.25) + beta);
            }
          }
        }
        const tolerance = dtype === "f64" ? 1e-12 : 1e-5;
        expect(got).toBeAllClose(
          { data: Float64Array.from(want), shape: [T, outputs * O] },
          { atol: tolerance, rtol: 0 },
        );
        model.reset();
        expect(outputsOf(model, input)).toHaveBits(got);
        using read = fromRtneural(JSON.parse(toRtneural(model)), { dtype });
        expect(outputsOf(read, input)).toHaveBits(got);
      },
    );

    test("WaveNet of NAM beside plain loops", () => {
      const { file, run } = waveNet();
      using model = fromNam(file, { dtype });
      const input = wave([60, 1], dtype);
      const got = outputsOf(model, input);
      const tolerance = dtype === "f64" ? 1e-13 : 1e-6;
      expect(got).toBeAllClose(
        { data: Float64Array.from(run(input.data)), shape: [60, 1] },
        { atol: tolerance, rtol: 0 },
      );
      model.reset();
      expect(outputsOf(model, input)).toHaveBits(got);
      refuses(() => toRtneural(model), UnsupportedError, "a WaveNet");
    });
  });
});

/** A WaveNet of two stacks, with a gate and without, and what it computes. */
function waveNet() {
  const random = new Random(3);
  const weights: number[] = [];
  const take = (...shape: number[]): never => {
    const value = nested(random, ...shape);
    weights.push(...([value] as unknown[]).flat(Infinity as 1) as unknown as number[]); // prettier-ignore
    return value;
  };
  const config = [
    { input_size: 1, condition_size: 1, channels: 3, head_size: 2, kernel_size: 3, dilations: [1, 4], activation: "Tanh", gated: true, head_bias: false }, // prettier-ignore
    { input_size: 3, condition_size: 1, channels: 2, head_size: 1, kernel_size: 2, dilations: [2, 3], activation: "ReLU", gated: false, head_bias: true }, // prettier-ignore
  ];
  const stacks = config.map((each) => {
    const { channels: c, input_size: inputs, kernel_size: taps, dilations, gated, head_size: head, head_bias } = each;
    const outputs = gated ? 2 * c : c;
    const rechannel: number[][] = take(c, inputs);
    const layers = dilations.map((dilation) => ({
      dilation,
      weight: take(outputs, c, taps) as number[][][],
      bias: take(outputs) as number[],
      mixin: take(outputs, 1) as number[][],
      out: take(c, c) as number[][],
      outBias: take(c) as number[],
    }));
    const headWeight: number[][] = take(head, c);
    return { ...each, rechannel, layers, headWeight, headBias: head_bias ? (take(head) as number[]) : [0, 0] };
  });
  weights.push(0.75);
  const dot = (a: readonly number[], b: readonly number[]) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
  const run = (samples: ArrayLike<number>): number[] => {
    const input = Array.from(samples);
    let x = input.map((value) => [value]);
    let head: number[][] | undefined;
    for (const { rechannel, layers, channels, gated, activation, headWeight, headBias } of stacks) {
      x = x.map((frame) => rechannel.map((row) => dot(row, frame)));
      for (const { dilation, weight, bias, mixin, out, outBias } of layers) {
        const z = x.map((_, t) =>
          weight.map((channelsOf, o) => {
            let sum = bias[o]! + mixin[o]![0]! * input[t]!;
            channelsOf.forEach((taps, i) =>
              taps.forEach((w, k) => (sum += w * (x[t - (taps.length - 1 - k) * dilation]?.[i] ?? 0))),
            );
            return sum;
          }),
        );
        const act = (value: number) => (activation === "Tanh" ? Math.tanh(value) : Math.max(0, value));
        const a = z.map((frame) =>
          frame.slice(0, channels).map((v, i) => act(v) * (gated ? 1 / (1 + Math.exp(-frame[channels + i]!)) : 1)),
        );
        head = head ? head.map((frame, t) => frame.map((v, i) => v + a[t]![i]!)) : a;
        x = x.map((frame, t) => frame.map((v, i) => v + dot(out[i]!, a[t]!) + outBias[i]!));
      }
      head = head!.map((frame) => headWeight.map((row, i) => dot(row, frame) + headBias[i]!));
    }
    return head!.map(([value]) => 0.75 * value!);
  };
  return { file: { version: "0.5.4", architecture: "WaveNet", config: { layers: config, head: null }, weights }, run };
}

describe("refuses", () => {
  test("layers that are none, or do not go together", () => {
    refuses(() => StreamingModel.from([] as never), ValueError, "layers");
    refuses(() => StreamingModel.from(null as never), ValueError, "layers");
    refuses(() => StreamingModel.from([{}] as never), ValueError, "layers.0");
    refuses(() => StreamingModel.from([new Activation("tanh")] as never), ValueError, "at least one that has a size");
    using f64 = new Linear(2, 2);
    using f32 = new Linear(2, 2, { dtype: "f32" });
    using other = new Linear(3, 2);
    using embedding = new Embedding(3, 2);
    using both = new GRU(2, 2, { bidirectional: true });
    using same = new Conv1d(2, 2, 3, { padding: "same" });
    refuses(() => StreamingModel.from([f64, f64]), ValueError, "layers.1", "second time");
    refuses(() => StreamingModel.from([f64, f32]), DtypeError, "layers.1", "f32");
    refuses(() => StreamingModel.from([f64, other]), ShapeError, "layers.1", "3 numbers");
    refuses(() => StreamingModel.from([embedding, f64]), UnsupportedError, "layers.0", "indices");
    refuses(() => StreamingModel.from(both), UnsupportedError, "stream", "bidirectional");
    refuses(() => StreamingModel.from(same), UnsupportedError, "padding", "same");
    refuses(() => toRtneural({} as never), ValueError, "model");
    using model = StreamingModel.from(f64);
    refuses(() => toProteus(model), UnsupportedError, "model: got layers dense");
  });

  const lstm = () => ({
    architecture: "LSTM",
    config: { input_size: 1, hidden_size: 2, num_layers: 1 },
    weights: Array.from({ length: 8 * 3 + 8 + 4 + 3 }, (_, i) => i / 50),
  });

  test("models that are no chain of layers", () => {
    const pedal = { model_data: { model: "SimpleRNN", input_size: 1, output_size: 1, hidden_size: 1, num_layers: 1, unit_type: "RNN", skip: 1 }, state_dict: { "rec.weight_ih_l0": [[1]], "rec.weight_hh_l0": [[1]], "lin.weight": [[1]] } }; // prettier-ignore
    using skipped = fromProteus(pedal);
    refuses(() => toSequential(skipped), UnsupportedError, "model", "a skip connection");
    const amp = (h0: number) => ({ version: "0.5.4", architecture: "LSTM", config: { input_size: 1, hidden_size: 1, num_layers: 1 }, weights: [...Array<number>(12).fill(0.5), h0, 0, 1, 0] }); // prettier-ignore
    using started = fromNam(amp(0.25));
    refuses(() => toSequential(started), UnsupportedError, "model", "states that do not start as zeros");
    using silent = fromNam(amp(0));
    expect(Object.keys(toSequential(silent).layers)).toEqual(["lstm_0", "dense_1"]);
    using gru = new GRU(2, 3, { resetAfter: false, seed: 1 });
    using foreign = StreamingModel.from(gru);
    refuses(() => toSequential(foreign), UnsupportedError, "layers");
    for (const value of [undefined, null, 1, {}, gru]) refuses(() => toSequential(value as never), ValueError, "model");
  });

  test("files of NAM", () => {
    const bytes = (value: unknown) => new Uint8Array(Buffer.from(JSON.stringify(value)));
    using parsed = fromNam(lstm());
    using read = fromNam(bytes(lstm()));
    expect([...parsed.step([0.5])]).toEqual([...read.step([0.5])]);
    refuses(() => toRtneural(parsed), UnsupportedError, "states that do not start as zeros");
    refuses(() => toProteus(parsed), UnsupportedError, "states that do not start as zeros");
    refuses(() => fromNam({ ...lstm(), architecture: "ConvNet" }), UnsupportedError, "architecture", "ConvNet");
    refuses(() => fromNam({ ...lstm(), weights: lstm().weights.slice(1) }), ShapeError, "weights", "38 numbers");
    refuses(() => fromNam({ ...lstm(), weights: [...lstm().weights, 1] }), ShapeError, "weights", "40 numbers");
    refuses(() => fromNam({ ...lstm(), weights: lstm().weights.map(String) }), FormatError, "weights[0]");
    refuses(() => fromNam(JSON.stringify(lstm())), FormatError, "json: got a string");
    refuses(() => fromNam(new Uint8Array([0x89, 0x48])), FormatError, "json");
    const huge = { ...lstm(), config: { input_size: 1, hidden_size: 2 ** 40, num_layers: 900 } };
    refuses(() => fromNam(huge), ShapeError, "weights", "39 numbers");
    const hole = { ...huge, weights: Object.assign([1], { length: 2 ** 32 - 1 }) };
    hole.config = { input_size: 1, hidden_size: 2 ** 14, num_layers: 1 };
    refuses(() => fromNam(hole), FormatError, "weights[1]: got undefined");
    const { file } = waveNet();
    const [first, second] = file.config.layers;
    const changed = (change: object) => ({
      ...file,
      config: { ...file.config, layers: [{ ...first, ...change }, second] },
    });
    refuses(() => fromNam(changed({ activation: "Fasttanh" })), UnsupportedError, "config.layers[0].activation");
    refuses(() => fromNam(changed({ bottleneck: 2 })), UnsupportedError, "config.layers[0]", "bottleneck");
    refuses(() => fromNam(changed({ head_size: 3 })), ShapeError, "config.layers[1].channels");
    refuses(() => fromNam(changed({ dilations: [1, 2 ** 40] })), UnsupportedError, "numbers of earlier frames");
  });

  test("files that are cut off or have bits flipped", () => {
    const whole = new Uint8Array(Buffer.from(JSON.stringify(lstm())));
    const random = new Random(5);
    for (let i = 0; i < 400; i++) {
      const bytes = i % 2 ? whole.slice(0, random.uint32() % whole.length) : whole.slice();
      if (i % 2 === 0) bytes[random.uint32() % bytes.length]! ^= 1 << (random.uint32() % 8);
      try {
        fromNam(bytes).dispose();
      } catch (error) {
        expect(
          [FormatError, ShapeError, UnsupportedError].some((kind) => error instanceof kind),
          String(error),
        ).toBe(true);
      }
    }
  });

  test("sizes that the numbers of a file do not have", () => {
    using probe = new Linear(1, 1);
    const { byteLength } = heapOf(probe);
    const conv = {
      type: "conv1d",
      activation: "",
      shape: [1],
      kernel_size: [2],
      dilation: [1],
      weights: [[[[1]], [[1]]], [0]],
    };
    const read = (change: object, inputs: unknown[] = [1]) => () => fromRtneural({ in_shape: inputs, layers: [{ ...conv, ...change }] }); // prettier-ignore
    refuses(read({ dilation: [2 ** 40] }), UnsupportedError, "layers: got convolutions over");
    refuses(read({ kernel_size: 3 }), ShapeError, "layers[0].weights[0]", "got 2");
    refuses(read({ groups: 2 }), ShapeError, "layers[0].groups");
    refuses(read({ dilation: 0.5 }), FormatError, "layers[0].dilation");
    const two = { type: "conv2d", kernel_size_time: 1, kernel_size_feature: 1, strides: 1, padding: "same", num_filters_in: 1, num_filters_out: 1, weights: [[[[[1]]]], [0]] }; // prettier-ignore
    const size = 3e8;
    refuses(read({ ...two, num_features_in: size, shape: [null, null, size, 1] }, [null, null, size, 1]), UnsupportedError, "in_shape"); // prettier-ignore
    refuses(read({ ...two, num_features_in: 2, shape: [null, null, 1, 1] }, [null, null, 2, 1]), ShapeError, "layers[0].shape"); // prettier-ignore
    const gates = Array.from({ length: 40 }, (_, i) => ({ type: "gated_activation", shape: [2 ** (39 - i)] }));
    refuses(() => fromRtneural({ in_shape: [2 ** 40], layers: gates }), UnsupportedError, "in_shape");
    const torch = { weight: [[[1, 2]], [[3, 4]]] };
    refuses(() => fromRtneural(torch, { convolutions: { a: {} } }), ValueError, "convolutions");
    refuses(() => fromRtneural(torch, { convolutions: { "": { groups: 3 } } }), ShapeError, 'json["weight"]');
    refuses(() => fromRtneural(torch, { convolutions: { "": { stride: 0 } } }), ShapeError, 'convolutions[""].stride');
    refuses(() => fromRtneural(torch, { convolutions: { "": { step: 0 } as never } }), UnsupportedError, "step");
    expect(heapOf(probe).byteLength).toBe(byteLength);
  });
});
