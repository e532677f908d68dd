// Schedules: on an optimizer, saved state, what they refuse; and the cosine. Their numbers are held against PyTorch in
// training.test.ts.
import { describe, expect, test } from "vitest";
import {
  CosineAnnealingLR,
  DtypeError,
  LinearLR,
  Linear,
  ReduceLROnPlateau,
  SGD,
  ShapeError,
  StepLR,
  UnsupportedError,
  ValueError,
  tensor,
  type Parameter,
  type Schedule,
  type Scheduled,
  type Tensor,
} from "../../src/index.js";
import { readSafetensors, writeSafetensors } from "../../src/safetensors.js";
import { cosPi } from "../../src/optim/schedule.js";
import { patient } from "../helpers/clock.js";
import { oddities, onlyTyped } from "../helpers/oddities.js";
import { refuses } from "../helpers/refuses.js";

const groups = (...lrs: unknown[]) => ({ paramGroups: lrs.map((lr) => ({ lr: lr as number })) });
const makers: Readonly<
  Record<string, (optimizer: Scheduled, options?: object) => Schedule & { step(m?: number): void }>
> = {
  StepLR: (optimizer, options) => new StepLR(optimizer, { stepSize: 2, ...options }),
  CosineAnnealingLR: (optimizer, options) => new CosineAnnealingLR(optimizer, { tMax: 5, ...options }),
  LinearLR: (optimizer, options) => new LinearLR(optimizer, options),
  ReduceLROnPlateau: (optimizer, options) => new ReduceLROnPlateau(optimizer, options),
};

test("an optimizer's steps follow its schedule", () => {
  using layer = new Linear(1, 1, { bias: false });
  const [{ value, grad }] = layer.parameters() as [Parameter];
  value.data[0] = 0;
  grad.data[0] = -1;
  using optimizer = new SGD(layer.parameters(), { lr: 1 });
  const schedule = new StepLR(optimizer, { stepSize: 2, gamma: 0.5 });
  for (let epoch = 0; epoch < 6; epoch++) {
    optimizer.step();
    schedule.step();
  }
  expect(value.data[0]).toBe(1 + 1 + 0.5 + 0.5 + 0.25 + 0.25);
  expect(optimizer.lr).toBe(0.125);
});

describe.each(Object.entries(makers))("%s", (name, make) => {
  test("its state is tensors, which a file keeps", () => {
    const one = groups(0.1, 0.2);
    const schedule = make(one);
    for (let epoch = 0; epoch < 3; epoch++) schedule.step(1);
    const state = schedule.stateDict();
    const { tensors } = readSafetensors(writeSafetensors(state));
    const two = groups(7, 8);
    const other = make(two);
    other.loadStateDict(tensors);
    expect(other.stateDict()).toEqual(state);
    expect(other.lastEpoch).toBe(3);
    expect(other.lastLr).toEqual(schedule.lastLr);
    expect(two).toEqual(one);
  });

  test("loadStateDict is strict, and all or nothing", () => {
    const optimizer = groups(0.1, 0.2);
    const schedule = make(optimizer);
    schedule.step(1);
    const before = [structuredClone(schedule.stateDict()), structuredClone(optimizer)];
    const good = { ...schedule.stateDict(), last_epoch: tensor(9), _last_lr: tensor([0.5, 0.25]) };
    const { _last_lr, ...without } = good;
    const cases: [unknown, new (...args: never[]) => Error, string][] = [
      [without, ShapeError, 'no entry "_last_lr"'],
      [{ ...good, gamma: tensor(1) }, ShapeError, 'unknown entry "gamma"'],
      [{ ...good, _last_lr: tensor([1]) }, ShapeError, '"_last_lr"'],
      [{ ...good, _last_lr: tensor([1, -1]) }, ValueError, '"_last_lr"'],
      [{ ...good, _last_lr: tensor([1, 1], [2], "f32") }, DtypeError, '"_last_lr"'],
      [{ ...good, last_epoch: tensor(-1) }, ValueError, '"last_epoch"'],
      [{ ...good, last_epoch: tensor(0.5) }, ValueError, '"last_epoch"'],
      [{ ...good, last_epoch: 3 }, DtypeError, '"last_epoch"'],
      [null, DtypeError, "dict"],
    ];
    if (name === "ReduceLROnPlateau") {
      cases.push([{ ...good, best: tensor(NaN) }, ValueError, '"best"']);
      cases.push([{ ...good, cooldown_counter: tensor(1.5) }, ValueError, '"cooldown_counter"']);
    }
    for (const [dict, error, part] of cases) {
      refuses(() => schedule.loadStateDict(dict as Record<string, Tensor>), error, part);
      expect([schedule.stateDict(), optimizer]).toEqual(before);
    }
    schedule.loadStateDict(good);
    expect(optimizer).toEqual(groups(0.5, 0.25));
    expect(_last_lr.data).toEqual(Float64Array.of(0.5, 0.25));
  });

  test("what it refuses", () => {
    for (const optimizer of [null, undefined, {}, { paramGroups: [] }, { paramGroups: 1 }, 3]) {
      refuses(() => make(optimizer as never), ValueError, "optimizer", "paramGroups");
    }
    for (const group of [null, undefined, 5, "lr"]) {
      const optimizer = { paramGroups: [{ lr: 0.1 }, group] };
      refuses(() => make(optimizer as never), ValueError, "paramGroups[1]: got", "an object with lr");
    }
    refuses(() => make(groups(0.1), { verbose: true }), UnsupportedError, name, "verbose");
    for (const lr of [-1, NaN, Infinity, "1", undefined]) {
      refuses(() => make(groups(0.1, lr)), ValueError, "paramGroups[1].lr");
      const optimizer = groups(0.1, 0.2);
      const schedule = make(optimizer);
      optimizer.paramGroups[1]!.lr = lr as number;
      const before = structuredClone(optimizer);
      refuses(() => schedule.step(1), ValueError, "paramGroups[1].lr");
      expect(optimizer).toEqual(before);
      expect(schedule.lastEpoch).toBe(0);
    }
  });
});

test.each([
  ["StepLR", { stepSize: 0 }, "stepSize"],
  ["StepLR", { stepSize: 1.5 }, "stepSize"],
  ["StepLR", { stepSize: undefined }, "stepSize"],
  ["StepLR", { gamma: -1 }, "gamma"],
  ["CosineAnnealingLR", { tMax: 0 }, "tMax"],
  ["CosineAnnealingLR", { tMax: "5" }, "tMax"],
  ["CosineAnnealingLR", { etaMin: -1 }, "etaMin"],
  ["LinearLR", { startFactor: 0 }, "startFactor"],
  ["LinearLR", { startFactor: 1.1 }, "startFactor"],
  ["LinearLR", { endFactor: -0.1 }, "endFactor"],
  ["LinearLR", { endFactor: NaN }, "endFactor"],
  ["LinearLR", { totalIters: 0 }, "totalIters"],
  ["ReduceLROnPlateau", { mode: "least" }, "mode"],
  ["ReduceLROnPlateau", { thresholdMode: "relative" }, "thresholdMode"],
  ["ReduceLROnPlateau", { factor: 1 }, "factor"],
  ["ReduceLROnPlateau", { patience: -1 }, "patience"],
  ["ReduceLROnPlateau", { threshold: -1 }, "threshold"],
  ["ReduceLROnPlateau", { cooldown: 0.5 }, "cooldown"],
  ["ReduceLROnPlateau", { minLr: -1 }, "minLr"],
  ["ReduceLROnPlateau", { minLr: [0, NaN] }, "minLr"],
  ["ReduceLROnPlateau", { eps: null }, "eps"],
])("%s refuses %o", (name, options, argument) => {
  const optimizer = groups(0.1, 0.2);
  refuses(() => makers[name]!(optimizer, options), ValueError, argument);
  expect(optimizer).toEqual(groups(0.1, 0.2));
});

test("ReduceLROnPlateau: minLr of another count, a metric that is none", () => {
  refuses(() => new ReduceLROnPlateau(groups(1, 2), { minLr: [0] }), ShapeError, "minLr: got 1 numbers", "2 groups");
  const schedule = new ReduceLROnPlateau(groups(1));
  for (const metric of [undefined, "1", null]) refuses(() => schedule.step(metric as never), ValueError, "metric");
  expect(schedule.lastEpoch).toBe(0);
});

test("an lr that would become infinite: nothing is changed", () => {
  const optimizer = groups(1e-9, 0.1);
  const schedule = new StepLR(optimizer, { stepSize: 1, gamma: 1e308 });
  schedule.step();
  const before = [structuredClone(optimizer), structuredClone(schedule.stateDict())];
  refuses(() => schedule.step(), ValueError, "paramGroups[0].lr", "Infinity");
  expect([optimizer, schedule.stateDict()]).toEqual(before);
});

test.each<[string, object]>([
  ["StepLR", { stepSize: 1 }],
  ["CosineAnnealingLR", {}],
  ["LinearLR", {}],
  ["ReduceLROnPlateau", { patience: 0 }],
])("%s: a group that refuses its lr: nothing is changed", (name, options) => {
  const optimizer = groups(0.1, 0.2);
  const schedule = makers[name]!(optimizer, options);
  schedule.step(1);
  const good = { ...schedule.stateDict(), last_epoch: tensor(9), _last_lr: tensor([0.5, 0.25]) };
  Object.freeze(optimizer.paramGroups[1]);
  const before = [structuredClone(optimizer), structuredClone(schedule.stateDict())];
  for (const call of [() => schedule.step(2), () => schedule.loadStateDict(good)]) {
    refuses(call, ValueError, "paramGroups[1].lr", "a group that refuses it");
    expect([optimizer, schedule.stateDict()]).toEqual(before);
  }
});

test("LinearLR goes down to 0, and no further", () => {
  for (let totalIters = 1; totalIters < 200; totalIters++) {
    const optimizer = groups(0.1);
    const schedule = new LinearLR(optimizer, { startFactor: 29 / 30, endFactor: 0, totalIters });
    for (let epoch = 0; epoch < totalIters + 2; epoch++) schedule.step();
    expect(optimizer.paramGroups[0]!.lr).toBeCloseTo(0, 15);
  }
});

test("ReduceLROnPlateau: NaN is no improvement", () => {
  const optimizer = groups(1);
  const schedule = new ReduceLROnPlateau(optimizer, { patience: 2 });
  for (let epoch = 0; epoch < 3; epoch++) schedule.step(NaN);
  expect(optimizer.paramGroups[0]!.lr).toBe(0.1);
});

test("the cosine", () => {
  for (const [x, exact] of [[0, 1], [0.5, 0], [1, -1], [1.5, 0], [2, 1], [1e6 + 1, -1], [7.5, 0]] as const) expect(Math.abs(cosPi(x) - exact), `${x}`).toBe(0); // prettier-ignore
  expect(cosPi(1 / 3)).toBeCloseTo(0.5, 15);
  let worst = 0;
  for (let i = 0; i <= 20000; i++)
    worst = Math.max(worst, Math.abs(cosPi(i / 10007) - Math.cos((i / 10007) * Math.PI)));
  expect(worst).toBeLessThan(8e-16); // Math.cos gets (i / 10007) pi rounded: up to 4.4e-16 of that
});

describe("what comes from outside", () => {
  test.each(oddities())("%s gives a schedule or a typed error", (_, value) => {
    const odd = value as never;
    for (const [name, make] of Object.entries(makers)) {
      onlyTyped(() => make(odd), `${name}: optimizer`);
      onlyTyped(() => make({ paramGroups: odd }), `${name}: paramGroups`);
      onlyTyped(() => make({ paramGroups: [odd] }), `${name}: a group`);
      onlyTyped(() => make(groups(odd)), `${name}: lr`);
      onlyTyped(() => make(groups(1), odd), `${name}: options`);
      for (const option of ["stepSize", "gamma", "tMax", "etaMin", "startFactor", "endFactor", "totalIters", "mode"]) {
        onlyTyped(() => make(groups(1), { [option]: odd }), `${name}: ${option}`);
      }
      for (const option of ["factor", "patience", "threshold", "thresholdMode", "cooldown", "minLr", "eps"]) {
        onlyTyped(() => make(groups(1), { [option]: odd }), `${name}: ${option}`);
      }
      const schedule = make(groups(0.1));
      const before = schedule.stateDict();
      onlyTyped(() => schedule.loadStateDict(odd), `${name}: dict`);
      for (const entry of Object.keys(before)) {
        const call = () => schedule.loadStateDict({ ...before, last_epoch: tensor(9), [entry]: odd });
        onlyTyped(call, `${name}: ${entry}`);
      }
      expect(schedule.stateDict()).toEqual(before);
    }
  });

  test("a list of groups with a length and nothing in it takes no time", () => {
    const paramGroups = Object.assign([], { length: 2 ** 32 - 1 });
    const start = performance.now();
    refuses(() => new StepLR({ paramGroups }, { stepSize: 1 }), ValueError, "paramGroups: got an array of length");
    refuses(
      () => new ReduceLROnPlateau(groups(1), { minLr: paramGroups }),
      ShapeError,
      "minLr: got 4294967295 numbers",
    );
    expect(performance.now() - start).toBeLessThan(patient(500));
  });

  test("nothing but the public methods of a schedule can be reached", () => {
    for (const make of Object.values(makers)) {
      const schedule = make(groups(0.1));
      expect(Reflect.ownKeys(schedule)).toEqual([]);
      const names = new Set<PropertyKey>();
      for (let at = schedule as object; at !== Object.prototype; at = Object.getPrototypeOf(at) as object) {
        for (const name of Reflect.ownKeys(at)) names.add(name);
      }
      expect([...names].sort()).toEqual(["constructor", "lastEpoch", "lastLr", "loadStateDict", "stateDict", "step"]);
    }
  });

  test("a group whose lr cannot be read is refused, with the cause", () => {
    const broken = Object.create(SGD.prototype) as { lr: number };
    for (const [name, make] of Object.entries(makers)) {
      refuses(() => make({ paramGroups: [broken] }), ValueError, "paramGroups[0].lr: got a group that cannot be read");
      const optimizer = groups(0.1, 0.2);
      const schedule = make(optimizer);
      const before = schedule.stateDict();
      const cause = new Error(name);
      Object.defineProperty(optimizer.paramGroups[1], "lr", {
        configurable: true,
        get: () => {
          throw cause;
        },
      });
      expect(() => schedule.step(1)).toThrow(expect.objectContaining({ name: "ValueError", cause }));
      Object.defineProperty(optimizer.paramGroups[1], "lr", { value: before._last_lr!.data[1], writable: true });
      expect(schedule.stateDict()).toEqual(before);
    }
  });

  test("a learning rate is read once at each step", () => {
    let reads = -100;
    let lr = 1;
    const group = {
      get lr() {
        return ++reads > 1 ? (5n as unknown as number) : lr;
      },
      set lr(value: number) {
        lr = value;
      },
    };
    const schedule = new ReduceLROnPlateau({ paramGroups: [group] }, { patience: 0 });
    reads = 0;
    schedule.step(NaN);
    expect(schedule.lastEpoch).toBe(1);
  });

  test("a state dict whose getter detaches an earlier array changes nothing", () => {
    const optimizer = groups(0.1, 0.2);
    const schedule = new StepLR(optimizer, { stepSize: 1 });
    const before = [structuredClone(optimizer), schedule.stateDict()];
    const dict: Record<string, Tensor> = { ...schedule.stateDict(), last_epoch: tensor(7), _last_lr: tensor([5, 6]) };
    const { base_lrs: last } = dict;
    Object.defineProperty(dict, "base_lrs", {
      enumerable: true,
      get: () => {
        structuredClone(dict._last_lr!.data.buffer, { transfer: [dict._last_lr!.data.buffer as ArrayBuffer] });
        return { data: new Float64Array(1), shape: [2] };
      },
    });
    refuses(() => schedule.loadStateDict(dict), ShapeError, 'dict["base_lrs"]');
    expect([optimizer, schedule.stateDict()]).toEqual(before);
    expect(last!.data.length).toBe(2);
  });
});
