// The layers module's CTC: the loss and its gradient against a sum over all paths, and against the recursions as plain loops of
// probabilities for longer rows; the beam search against the probability of every labelling.

import { CtcBeam, ctcBeam, ctcBeamNodes, ctcBeamScratch, CtcLoss, ctcLoss, ctcScratch } from "../layers/ctc";
import { Buffer, expectClose, expectIntact, fail, given, input, output, randomBits, SIZES, wide } from "./helpers";

/** softmax over `classes` numbers. */
function naiveSoftmax(x: StaticArray<f64>, classes: i32): StaticArray<f64> {
  const y = new StaticArray<f64>(x.length);
  for (let r = 0; r < x.length; r += classes) {
    let largest = -Infinity;
    for (let j = r; j < r + classes; j++) largest = max(largest, x[j]);
    let sum: f64 = 0;
    for (let j = r; j < r + classes; j++) sum += Math.exp(x[j] - largest);
    for (let j = r; j < r + classes; j++) y[j] = Math.exp(x[j] - largest) / sum;
  }
  return y;
}

/** The path with repeats merged and blanks removed. */
function labelling(path: StaticArray<i32>, blank: i32): i32[] {
  const labels: i32[] = [];
  for (let t = 0; t < path.length; t++) {
    if (path[t] != blank && (t == 0 || path[t] != path[t - 1])) labels.push(path[t]);
  }
  return labels;
}

function same(a: i32[], b: i32[]): bool {
  if (a.length != b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] != b[i]) return false;
  return true;
}

/** The path with this number, of classes^steps. */
function pathOf(code: i32, steps: i32, classes: i32): StaticArray<i32> {
  const path = new StaticArray<i32>(steps);
  for (let t = 0; t < steps; t++) {
    path[t] = code % classes;
    code /= classes;
  }
  return path;
}

/** Of one row: p, and for each step and class the sum of the probabilities of the target's paths through it. */
class Reference {
  p: f64 = 0;
  through: StaticArray<f64>;

  constructor(size: i32) {
    this.through = new StaticArray<f64>(size);
  }
}

/** By all classes^steps paths. y [steps,classes] are probabilities. */
function byPaths(y: StaticArray<f64>, steps: i32, classes: i32, target: i32[], blank: i32): Reference {
  const reference = new Reference(y.length);
  const paths = <i32>Math.pow(classes, steps);
  for (let code = 0; code < paths; code++) {
    const path = pathOf(code, steps, classes);
    if (!same(labelling(path, blank), target)) continue;
    let p: f64 = 1;
    for (let t = 0; t < steps; t++) p *= y[t * classes + path[t]];
    reference.p += p;
    for (let t = 0; t < steps; t++) reference.through[t * classes + path[t]] += p;
  }
  return reference;
}

/** By the recursions of the paper, over probabilities. */
function byStates(y: StaticArray<f64>, steps: i32, classes: i32, target: i32[], blank: i32): Reference {
  const states = 2 * target.length + 1;
  const labels = new StaticArray<i32>(states).fill(blank);
  for (let i = 0; i < target.length; i++) labels[2 * i + 1] = target[i];
  const skip = (labels: StaticArray<i32>, s: i32): bool => (s & 1) == 1 && s > 1 && labels[s] != labels[s - 2];
  const alpha = new StaticArray<f64>(steps * states);
  const beta = new StaticArray<f64>(steps * states);
  for (let t = 0; t < steps; t++) {
    for (let s = 0; s < states; s++) {
      let sum: f64 = t == 0 && s < 2 ? 1 : 0;
      if (t > 0) {
        const before = (t - 1) * states + s;
        sum = alpha[before];
        if (s > 0) sum += alpha[before - 1];
        if (skip(labels, s)) sum += alpha[before - 2];
      }
      alpha[t * states + s] = sum * y[t * classes + labels[s]];
    }
  }
  for (let t = steps - 1; t >= 0; t--) {
    for (let s = 0; s < states; s++) {
      let sum: f64 = t == steps - 1 && s >= states - 2 ? 1 : 0;
      for (let r = s; t < steps - 1 && r < min(s + 3, states); r++) {
        if (r < s + 2 || skip(labels, r)) sum += beta[(t + 1) * states + r] * y[(t + 1) * classes + labels[r]];
      }
      beta[t * states + s] = sum;
    }
  }
  const reference = new Reference(y.length);
  if (steps == 0) reference.p = target.length == 0 ? 1 : 0;
  for (let t = 0; t < steps; t++) {
    let p: f64 = 0;
    for (let s = 0; s < states; s++) {
      const share = alpha[t * states + s] * beta[t * states + s];
      p += share;
      reference.through[t * classes + labels[s]] += share;
    }
    reference.p = p;
  }
  return reference;
}

/** Row r of logits [T,n,classes]. */
function rowOf(logits: StaticArray<f64>, r: i32, n: i32, classes: i32, steps: i32): StaticArray<f64> {
  const row = new StaticArray<f64>(steps * classes);
  for (let t = 0; t < steps; t++)
    for (let j = 0; j < classes; j++) row[t * classes + j] = logits[(t * n + r) * classes + j];
  return row;
}

class Batch<T> {
  logits: Buffer<T>;
  targets: Buffer<i32>;
  inputLengths: Buffer<i32>;
  targetLengths: Buffer<i32>;
  losses: Buffer<T>;
  dLogits: Buffer<T>;
  total: f64 = 0;

  constructor(
    public readonly steps: i32,
    public readonly n: i32,
    public readonly classes: i32,
    public readonly columns: i32,
    public readonly blank: i32,
    bound: f64,
  ) {
    this.logits = input<T>(steps * n * classes, bound);
    this.targets = new Buffer<i32>(n * columns).fill(-5); // past a target's length there may be anything
    this.inputLengths = new Buffer<i32>(n);
    this.targetLengths = new Buffer<i32>(n);
    this.losses = output<T>(n);
    this.dLogits = new Buffer<T>(steps * n * classes);
    for (let r = 0; r < n; r++) {
      this.inputLengths[r] = r == 0 ? steps : <i32>(randomBits() % <u64>(steps + 1));
      this.targetLengths[r] = classes == 1 ? 0 : r == 0 ? columns : <i32>(randomBits() % <u64>(columns + 1));
      for (let i = 0; i < this.targetLengths[r]; i++) {
        const label = <i32>(randomBits() % <u64>(classes - 1));
        const repeat = i > 0 && randomBits() % 3 == 0;
        this.targets[r * columns + i] = repeat ? this.targets[r * columns + i - 1] : label < blank ? label : label + 1;
      }
    }
  }

  targetOf(r: i32): i32[] {
    const target: i32[] = [];
    for (let i = 0; i < this.targetLengths[r]; i++) target.push(this.targets[r * this.columns + i]);
    return target;
  }

  run(mean: bool, zeroInfinity: bool): void {
    this.targets.freeze();
    this.inputLengths.freeze();
    this.targetLengths.freeze();
    this.dLogits.fill(0);
    this.losses.fill(<T>NaN);
    const scratch = output<f64>(<i32>ctcScratch(this.steps, this.columns) / 8);
    const c = new CtcLoss();
    c.n = this.n;
    c.classes = this.classes;
    c.logits = this.logits.p;
    c.targets = this.targets.p;
    c.columns = this.columns;
    c.inputLengths = this.inputLengths.p;
    c.targetLengths = this.targetLengths.p;
    c.blank = this.blank;
    c.mean = mean;
    c.zeroInfinity = zeroInfinity;
    c.scratch = scratch.p;
    c.losses = this.losses.p;
    c.dLogits = this.dLogits.p;
    this.total = ctcLoss<T>(c);
  }

  /** Compares all results with those of `paths`, or of states. */
  check(what: string, paths: bool): void {
    const logits = wide<T>(this.logits);
    for (let flags = 0; flags < 4; flags++) {
      const mean = (flags & 1) == 1;
      const zeroInfinity = (flags & 2) == 2;
      this.run(mean, zeroInfinity);
      const losses = new StaticArray<f64>(this.n);
      const gradient = new StaticArray<f64>(this.dLogits.length);
      let total: f64 = 0;
      for (let r = 0; r < this.n; r++) {
        const steps = this.inputLengths[r];
        const target = this.targetOf(r);
        const y = naiveSoftmax(rowOf(logits, r, this.n, this.classes, steps), this.classes);
        const reference = paths
          ? byPaths(y, steps, this.classes, target, this.blank)
          : byStates(y, steps, this.classes, target, this.blank);
        const factor: f64 = mean ? 1 / <f64>(this.n * max(target.length, 1)) : 1;
        const none = reference.p == 0;
        losses[r] = none ? (zeroInfinity ? 0 : Infinity) : -Math.log(reference.p);
        total += factor * losses[r];
        for (let t = 0; t < steps; t++) {
          for (let j = 0; j < this.classes; j++) {
            const i = t * this.classes + j;
            const d = none ? (zeroInfinity ? 0 : NaN) : factor * (y[i] - reference.through[i] / reference.p);
            gradient[(t * this.n + r) * this.classes + j] = d;
          }
        }
      }
      expectClose<T>(`${what}, losses`, this.losses, losses, 4);
      expectClose<T>(`${what}, gradient`, this.dLogits, gradient, 4);
      expectClose<f64>(`${what}, total`, given<f64>([this.total]), [total], sizeof<T>() == 8 ? 4 : 1e8);
    }
    expectIntact(what);
  }
}

function againstPaths<T>(): void {
  for (let steps = 0; steps < 6; steps++) {
    for (let classes = 1; classes < 5; classes++) {
      for (let columns = 0; columns < 4; columns++) {
        const blank = <i32>(randomBits() % <u64>classes);
        new Batch<T>(steps, 2, classes, columns, blank, 2).check(
          `${steps} steps, ${classes} classes, ${columns} labels`,
          true,
        );
      }
    }
  }
}

function againstStates<T>(): void {
  for (let i = 0; i < SIZES.length; i++) {
    const steps = SIZES[i];
    for (let classes = 2; classes < 36; classes += 3) {
      const columns = <i32>(randomBits() % <u64>(steps + 2)) / 2;
      const blank = <i32>(randomBits() % <u64>classes);
      new Batch<T>(steps, 3, classes, columns, blank, 3).check(
        `${steps} steps, ${classes} classes, ${columns} labels`,
        false,
      );
    }
  }
}

/** A class that no path of the target uses may be impossible; one that every path needs makes the loss infinite. */
function impossible<T>(): void {
  const batch = new Batch<T>(3, 1, 3, 1, 0, 1);
  batch.targets[0] = 1;
  batch.logits = given<T>([0, 1, <T>-Infinity, 0, 1, <T>-Infinity, 0, 1, <T>-Infinity]);
  batch.check("a class of probability 0 that is not in the target", true);
  batch.targets = given<i32>([2]);
  batch.check("a label of probability 0", true);
  batch.logits = given<T>([0, 1, 2, 0, <T>NaN, 2, 0, 1, 2]);
  batch.run(false, true);
  for (let i = 0; i < 9; i++) if (batch.dLogits[i] == batch.dLogits[i]) fail("the gradient of NaN is a number");
  if (batch.total == batch.total || batch.losses[0] == batch.losses[0]) fail("the loss of NaN is a number");
  expectIntact("NaN");
}

/** log p stays finite where p itself would be far below the smallest number. */
function long<T>(): void {
  const steps = 2000;
  const batch = new Batch<T>(steps, 1, 5, 1, 0, 0);
  batch.targetLengths = given<i32>([0]);
  batch.run(false, false);
  expectClose<T>("all blank", batch.losses, [<f64>steps * Math.log(5)]);
  expectIntact("long");
}

/** The labels of a node, from the empty prefix on. */
function prefixOf(nodes: Buffer<i32>, node: i32): i32[] {
  const labels: i32[] = [];
  for (; node > 0; node = nodes[5 * node]) labels.unshift(nodes[5 * node + 1]);
  return labels;
}

/** Runs a search over row `r` of logits [steps,rows,classes]; checks each probability that is left against all paths. */
function expectSearch<T>(steps: i32, classes: i32, width: i32, exact: bool): i32 {
  const what = `${steps} steps, ${classes} classes, width ${width}`;
  const rows = 2;
  const logits = input<T>(steps * rows * classes, 2);
  const blank = <i32>(randomBits() % <u64>classes);
  const nodes = new Buffer<i32>(<i32>ctcBeamNodes(steps, width) / 4).fill(-77);
  const scratch = output<f32>(<i32>ctcBeamScratch(classes, width) / 4);
  const beams = new Buffer<i32>(width).fill(-1);
  const scores = output<f64>(width);
  const c = new CtcBeam();
  c.logits = logits.p + <usize>classes * sizeof<T>();
  c.stride = rows * classes;
  c.steps = steps;
  c.classes = classes;
  c.blank = blank;
  c.width = width;
  c.scratch = scratch.p;
  c.nodes = nodes.p;
  c.beams = beams.p;
  c.scores = scores.p;
  const count = ctcBeam<T>(c);
  expectIntact(what);
  if (count < 1 || count > width) fail(`${what}: ${count} prefixes`);
  const y = naiveSoftmax(rowOf(wide<T>(logits), 1, rows, classes, steps), classes);
  const tolerance = sizeof<T>() == 8 ? 1e-12 : 1e-5;
  let sum: f64 = 0;
  for (let i = 0; i < count; i++) {
    const labels = prefixOf(nodes, beams[i]);
    const p = byPaths(y, steps, classes, labels, blank).p;
    const found = Math.exp(scores[i]);
    if (found > p + tolerance) fail(`${what}: [${labels}] has ${found}, more than ${p}`);
    if (exact && abs(found - p) > tolerance) fail(`${what}: [${labels}] has ${found}, expected ${p}`);
    for (let j = 0; j < i; j++)
      if (beams[j] == beams[i] || same(prefixOf(nodes, beams[j]), labels)) fail(`${what}: a prefix twice`);
    sum += found;
  }
  if (exact && abs(sum - 1) > tolerance) fail(`${what}: probabilities add up to ${sum}`);
  return count;
}

function searches<T>(): void {
  for (let steps = 0; steps < 6; steps++) {
    for (let classes = 1; classes < 4; classes++) {
      expectSearch<T>(steps, classes, 64, true);
      for (let width = 1; width < 8; width++) {
        const count = expectSearch<T>(steps, classes, width, false);
        if (steps > 3 && classes > 2 && count != width) fail(`${count} of ${width} prefixes are left`);
      }
    }
  }
}

/** Where all probabilities are equal, those of the lowest numbers are kept; NaN leaves none. */
function equalAndNaN<T>(): void {
  const steps = 2;
  const width = 2;
  const nodes = new Buffer<i32>(5 * (1 + steps * width)).fill(-77);
  const scratch = output<f32>(<i32>ctcBeamScratch(4, width) / 4);
  const c = new CtcBeam();
  const logits = new Buffer<T>(steps * 4);
  c.logits = logits.p;
  c.stride = 4;
  c.steps = steps;
  c.classes = 4;
  c.blank = 3;
  c.width = width;
  c.scratch = scratch.p;
  c.nodes = nodes.p;
  const beams = new Buffer<i32>(width).fill(-1);
  const scores = output<f64>(width);
  c.beams = beams.p;
  c.scores = scores.p;
  for (let i = 0; i < logits.length; i++) logits[i] = 1;
  if (ctcBeam<T>(c) != 2) fail("two prefixes should be left");
  for (let i = 0; i < 2; i++) {
    const labels = prefixOf(nodes, beams[i]);
    if (labels.length != 1 || labels[0] > 1) fail(`[${labels}] is left`);
  }
  logits[5] = <T>NaN;
  if (ctcBeam<T>(c) != 0) fail("NaN should leave no prefix");
  expectIntact("equal");
}

describe("layers: ctc", () => {
  test("loss and gradient against all paths f64", () => againstPaths<f64>());
  test("loss and gradient against all paths f32", () => againstPaths<f32>());
  test("loss and gradient against the recursions f64", () => againstStates<f64>());
  test("loss and gradient against the recursions f32", () => againstStates<f32>());
  test("probabilities of 0, NaN f64", () => impossible<f64>());
  test("probabilities of 0, NaN f32", () => impossible<f32>());
  test("long rows f64", () => long<f64>());
  test("long rows f32", () => long<f32>());
  test("beam search against all paths f64", () => searches<f64>());
  test("beam search against all paths f32", () => searches<f32>());
  test("beam search: equal probabilities, NaN f64", () => equalAndNaN<f64>());
  test("beam search: equal probabilities, NaN f32", () => equalAndNaN<f32>());
});
