// Connectionist temporal classification (Graves et al. 2006, "Connectionist Temporal Classification: Labelling Unsegmented
// Sequence Data with Recurrent Neural Networks"): the loss with its gradient, and decoding by a beam search over prefixes.
//
// A path has one class for each step. Its labelling is the path with repeats merged and blanks then removed. With
// y_t = log softmax(logits_t) and the extended target l' = blank l_1 blank l_2 ... blank, L = 2 S + 1 states:
//
//   alpha_t(s) = y_t(l'_s) + log(e^alpha_(t-1)(s) + e^alpha_(t-1)(s-1) + k(s) e^alpha_(t-1)(s-2))
//   beta_t(s)  = log(e^(beta + y)_(t+1)(s) + e^(beta + y)_(t+1)(s+1) + k(s+2) e^(beta + y)_(t+1)(s+2))
//   k(s)       = 1 where l'_s is a label and differs from l'_(s-2), else 0
//   log p      = log(e^alpha_T(L-1) + e^alpha_T(L-2)),   loss = -log p
//   d loss / d logits_t(c) = softmax(logits_t)(c) - sum over s with l'_s = c of e^(alpha_t(s) + beta_t(s) - log p)
//
// All of this is computed in f64 for both types; only the softmax is computed in the type of the logits.

import { scale } from "../elementwise";
import { expShifted, maximum } from "../softmax";
import { exp, expNonPositive, log } from "../math";
import { at, bytes, fitting } from "../simd";

/** What `ctcLoss` takes; bindings/ctc.ts fills it in. */
@unmanaged
export class CtcLoss {
  /** Rows. */
  n: i32;
  classes: i32;
  /** in: [T,n,classes]; row r has inputLengths[r] steps, and those past them are not read. */
  logits: usize;
  /** in: [n,columns] i32; row r has targetLengths[r] labels in [0, classes), none of them blank: the caller checks. */
  targets: usize;
  columns: i32;
  /** in: [n] i32, from 0 to T, and from 0 to columns. */
  inputLengths: usize;
  targetLengths: usize;
  blank: i32;
  /** Whether losses are divided by n and by their target's length (by 1 where that is 0), but not those in `losses`. */
  mean: i32;
  /** Whether a row that has no path has loss and gradient 0, not Infinity and NaN. */
  zeroInfinity: i32;
  /** scratch: `ctcScratch` bytes for the longest row. */
  scratch: usize;
  /** out: [n]. */
  losses: usize;
  /** out: [T,n,classes], zeros at first; the gradient of the returned total. */
  dLogits: usize;
}

/** Numbers in a row of states, all of f64: two before the first and three past the last, so that s - 2 and s + 3 exist. */
// @ts-ignore: decorator
@inline
function strideOf(labels: i32): i32 {
  return 2 * labels + 6;
}

/** Bytes of scratch for rows of up to `steps` steps and `labels` labels: alpha, three rows of states, and two numbers a step. */
export function ctcScratch(steps: i32, labels: i32): usize {
  return fitting(8 * (<u64>strideOf(labels) * (<u64>steps + 4) + 2 * <u64>steps));
}

/** log(x); -Infinity for 0. */
// @ts-ignore: decorator
@inline
function logOf(x: f64): f64 {
  return x == 0 ? -Infinity : log(x);
}

/** log(e^a + e^b + e^c) in each lane; -Infinity where all three are. */
// @ts-ignore: decorator
@inline
function logSum3(a: v128, b: v128, c: v128): v128 {
  // Finite even where a, b and c are -Infinity, so that the differences are no NaN.
  const largest = f64x2.max(f64x2.max(f64x2.max(a, b), c), f64x2.splat(-f64.MAX_VALUE));
  const ab = f64x2.add(expNonPositive<f64>(f64x2.sub(a, largest)), expNonPositive<f64>(f64x2.sub(b, largest)));
  const sum = f64x2.add(ab, expNonPositive<f64>(f64x2.sub(c, largest)));
  const logs = f64x2.splat(logOf(f64x2.extract_lane(sum, 0)));
  return f64x2.add(largest, f64x2.replace_lane(logs, 1, logOf(f64x2.extract_lane(sum, 1))));
}

/** log(e^a + e^b). */
function logSum(a: f64, b: f64): f64 {
  return f64x2.extract_lane(logSum3(f64x2.splat(a), f64x2.splat(b), f64x2.splat(-Infinity)), 0);
}

/** log k(s) of all states, which are -Infinity at first: 0 where k(s) is 1. */
function skips(labels: i32, targets: usize, k: usize): void {
  for (let i = 1; i < labels; i++) {
    const same = load<i32>(at<i32>(targets, i)) == load<i32>(at<i32>(targets, i - 1));
    if (!same) store<f64>(at<f64>(k, 2 * i + 1), 0);
  }
}

/**
 * Of logit c of x: x - shift - norm, the largest logit and the logarithm of the sum of e^(x - shift). Their sum would lose the
 * digits of the latter where logits are large.
 */
// @ts-ignore: decorator
@inline
function logProbability<T>(x: usize, c: i32, norms: usize): f64 {
  return <f64>load<T>(at<T>(x, c)) - load<f64>(norms) - load<f64>(norms, 8);
}

/** y(l'_s) of all states, x being the logits of a step. */
function emissions<T>(x: usize, norms: usize, blank: i32, labels: i32, targets: usize, y: usize): void {
  const ofBlank = logProbability<T>(x, blank, norms);
  for (let i = 0; i < labels; i++) {
    store<f64>(y, ofBlank);
    store<f64>(y, logProbability<T>(x, load<i32>(at<i32>(targets, i)), norms), 8);
    y += 16;
  }
  store<f64>(y, ofBlank);
}

/** alpha_t from alpha_(t-1), which is one row before. */
function nextAlpha(states: i32, alpha: usize, row: usize, k: usize, y: usize): void {
  for (let s = 0; s < states; s += 2) {
    const a = at<f64>(alpha, s);
    const skipped = f64x2.add(v128.load(a - 16 - row), v128.load(at<f64>(k, s)));
    const sums = logSum3(v128.load(a - row), v128.load(a - 8 - row), skipped);
    v128.store(a, f64x2.add(sums, v128.load(at<f64>(y, s))));
  }
}

/** (beta + y)_t from (beta + y)_(t+1), in place. y becomes each state's share of p: e^(alpha + beta - log p). */
function nextBeta(states: i32, beta: usize, alpha: usize, k: usize, y: usize, logP: f64): void {
  const all = f64x2.splat(logP);
  for (let s = 0; s < states; s += 2) {
    const b = at<f64>(beta, s);
    const skipped = f64x2.add(v128.load(b + 16), v128.load(at<f64>(k, s + 2)));
    const sums = logSum3(v128.load(b), v128.load(b + 8), skipped);
    v128.store(b, f64x2.add(sums, v128.load(at<f64>(y, s))));
    const joint = f64x2.add(v128.load(at<f64>(alpha, s)), sums);
    v128.store(at<f64>(y, s), exp<f64>(f64x2.sub(joint, all)));
  }
}

/** dX -= factor times the sum over the states of each class of their shares. */
function subtractShares<T>(dX: usize, shares: usize, blank: i32, labels: i32, targets: usize, factor: f64): void {
  let blanks: f64 = 0;
  for (let i = 0; i < labels; i++) {
    blanks += load<f64>(shares);
    const d = at<T>(dX, load<i32>(at<i32>(targets, i)));
    store<T>(d, load<T>(d) - <T>(factor * load<f64>(shares, 8)));
    shares += 16;
  }
  const d = at<T>(dX, blank);
  store<T>(d, load<T>(d) - <T>(factor * (blanks + load<f64>(shares))));
}

/** Row r: returns -log p, and writes the gradient times `factor` unless p is 0. */
function rowLoss<T>(c: CtcLoss, r: i32, steps: i32, labels: i32, factor: f64): f64 {
  const classes = c.classes;
  const blank = c.blank;
  const step = bytes<T>(c.n * classes);
  const targets = at<i32>(c.targets, r * c.columns);
  let x = at<T>(c.logits, r * classes);
  let dX = at<T>(c.dLogits, r * classes);

  // Rows of states, by the addresses of state 0; alpha has one more than there are steps: it begins before step 0.
  const states = 2 * labels + 1;
  const row = bytes<f64>(strideOf(labels));
  const y = c.scratch + 16;
  const k = y + row;
  const beta = k + row;
  let alpha = beta + row;
  const norms = c.scratch + <usize>(steps + 4) * row; // shift and norm of each step
  for (let p = c.scratch; p < norms; p += 8) store<f64>(p, -Infinity);

  skips(labels, targets, k);
  store<f64>(alpha, 0);
  for (let t = 0; t < steps; t++) {
    const shift = maximum<T>(classes, x);
    const sum = <f64>expShifted<T>(classes, x, shift, dX);
    const norm = at<f64>(norms, 2 * t);
    store<f64>(norm, <f64>shift);
    store<f64>(norm, log(sum), 8);
    scale<T>(classes, dX, <T>(factor / sum)); // factor softmax(x)
    emissions<T>(x, norm, blank, labels, targets, y);
    alpha += row;
    nextAlpha(states, alpha, row, k, y);
    x += step;
    dX += step;
  }
  const logP = logSum(load<f64>(at<f64>(alpha, states - 1)), load<f64>(at<f64>(alpha, states - 2)));
  if (logP == -Infinity) return Infinity;

  // Past the last step a path stays in the last state: then beta of the last step is 0 in both final states.
  store<f64>(at<f64>(beta, states - 1), 0);
  for (let t = steps - 1; t >= 0; t--) {
    x -= step;
    dX -= step;
    emissions<T>(x, at<f64>(norms, 2 * t), blank, labels, targets, y);
    nextBeta(states, beta, alpha, k, y, logP);
    subtractShares<T>(dX, y, blank, labels, targets, factor);
    alpha -= row;
  }
  return 0 - logP; // not -0
}

/** The losses of all rows with their gradient; returns their sum or, with `mean`, their mean. */
export function ctcLoss<T>(c: CtcLoss): f64 {
  let total: f64 = 0;
  for (let r = 0; r < c.n; r++) {
    const steps = load<i32>(at<i32>(c.inputLengths, r));
    const labels = load<i32>(at<i32>(c.targetLengths, r));
    const factor: f64 = c.mean ? 1 / (<f64>c.n * <f64>max(labels, 1)) : 1;
    let loss = rowLoss<T>(c, r, steps, labels, factor);
    if (!(loss < Infinity)) {
      const none = c.zeroInfinity && loss == Infinity;
      if (none) loss = 0;
      let d = at<T>(c.dLogits, r * c.classes);
      for (let t = 0; t < steps; t++) {
        for (let j = 0; j < c.classes; j++) store<T>(at<T>(d, j), none ? 0 : <T>NaN);
        d += bytes<T>(c.n * c.classes);
      }
    }
    store<T>(at<T>(c.losses, r), <T>loss);
    total += factor * loss;
  }
  return c.mean && c.n == 0 ? NaN : total;
}

/** What `ctcBeam` takes; bindings/ctc.ts fills it in. */
@unmanaged
export class CtcBeam {
  /** in: [steps,classes], `stride` numbers from step to step. */
  logits: usize;
  stride: i32;
  steps: i32;
  classes: i32;
  blank: i32;
  /** How many prefixes are kept, >= 1. */
  width: i32;
  /** scratch: `ctcBeamScratch` bytes. */
  scratch: usize;
  /** out: [1 + steps width], the tree of prefixes; node 0 is the empty one. */
  nodes: usize;
  /** out: [width] i32, the nodes of the prefixes that are left. */
  beams: usize;
  /** out: [width] f64, the logarithms of their probabilities. */
  scores: usize;
}

/** A prefix: that of `parent`, and one more label. */
@unmanaged
class Node {
  /** -1 for the empty prefix. */
  parent: i32;
  /** -1 for the empty prefix. */
  label: i32;
  /** The first of its children and the next of its parent's; 0 for none. */
  child: i32;
  sibling: i32;
  /** Its place among the prefixes that are kept; -1 for none. */
  place: i32;
}

// @ts-ignore: decorator
@inline
function nodeAt(nodes: usize, i: i32): Node {
  return changetype<Node>(nodes + <usize>i * offsetof<Node>());
}

/** Bytes of the tree of `ctcBeam`. */
export function ctcBeamNodes(steps: i32, width: i32): usize {
  return fitting((1 + <u64>steps * <u64>width) * <u64>offsetof<Node>());
}

/** Bytes of scratch of `ctcBeam`. */
export function ctcBeamScratch(classes: i32, width: i32): usize {
  return fitting(<u64>width * (8 * <u64>classes + 6 * 8 + 3 * 4) + 8 * <u64>classes);
}

/** Whether candidate p comes after q: it has the lower score or, of equal ones, the higher number. */
// @ts-ignore: decorator
@inline
function isWorse(scores: usize, p: i32, q: i32): bool {
  const a = load<f64>(at<f64>(scores, p));
  const b = load<f64>(at<f64>(scores, q));
  return a < b || (a == b && p > q);
}

/** Puts candidate q into a heap [size] whose place i is free; no child is better than its parent. */
function siftDown(heap: usize, size: i32, i: i32, q: i32, scores: usize): void {
  for (let child = 2 * i + 1; child < size; child = 2 * i + 1) {
    if (child + 1 < size && isWorse(scores, load<i32>(at<i32>(heap, child + 1)), load<i32>(at<i32>(heap, child))))
      child++;
    const other = load<i32>(at<i32>(heap, child));
    if (!isWorse(scores, other, q)) break;
    store<i32>(at<i32>(heap, i), other);
    i = child;
  }
  store<i32>(at<i32>(heap, i), q);
}

function siftUp(heap: usize, i: i32, q: i32, scores: usize): void {
  while (i > 0) {
    const parent = load<i32>(at<i32>(heap, (i - 1) >> 1));
    if (!isWorse(scores, q, parent)) break;
    store<i32>(at<i32>(heap, i), parent);
    i = (i - 1) >> 1;
  }
  store<i32>(at<i32>(heap, i), q);
}

/** The best `width` of `count` candidates with a score above -Infinity, in a heap with the worst on top; returns how many there are. */
function best(count: i32, width: i32, scores: usize, heap: usize): i32 {
  let size = 0;
  for (let q = 0; q < count; q++) {
    if (!(load<f64>(at<f64>(scores, q)) > -Infinity)) continue;
    if (size < width) siftUp(heap, size++, q, scores);
    else if (isWorse(scores, load<i32>(heap), q)) siftDown(heap, size, 0, q, scores);
  }
  return size;
}

/** The child of node `parent` with this label; `added` where there was none. */
function childOf(nodes: usize, parent: i32, label: i32, added: i32): i32 {
  const above = nodeAt(nodes, parent);
  let i = above.child;
  while (i && nodeAt(nodes, i).label != label) i = nodeAt(nodes, i).sibling;
  if (i) return i;
  const node = nodeAt(nodes, added);
  node.parent = parent;
  node.label = label;
  node.child = 0;
  node.sibling = above.child;
  above.child = added;
  return added;
}

/** Writes log softmax(x) [classes] to y, in f64. */
function logProbabilities<T>(classes: i32, x: usize, y: usize): void {
  const shift = maximum<T>(classes, x);
  const norm = log(<f64>expShifted<T>(classes, x, shift, y));
  for (let j = 0; j < classes; j++) store<f64>(at<f64>(y, j), <f64>load<T>(at<T>(x, j)) - <f64>shift - norm);
}

/**
 * Searches for the labellings of highest probability (Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech
 * Recognition using Bi-Directional Recurrent DNNs"). Of each prefix it keeps the probabilities of the paths that end in a blank, b, and of the
 * others, n. After a step with log-probabilities y:
 *
 *   b'(prefix)         = (b + n)(prefix) y(blank)
 *   n'(prefix)         = n(prefix) y(its last label)
 *   n'(prefix + label) = (b + n)(prefix) y(label), or b(prefix) y(label) where label is the last of the prefix; added to the
 *                        line above where prefix + label is kept, too
 *
 * and the `width` prefixes with the highest b' + n' are kept. If no prefix is ever left out, the results are exact.
 *
 * Returns how many prefixes are left, in no order: 0 where a step's log-probabilities are NaN.
 */
export function ctcBeam<T>(c: CtcBeam): i32 {
  return search(c, sizeof<T>() == 8);
}

/** `ctcBeam`, with logits of f64 or f32. */
function search(c: CtcBeam, isF64: bool): i32 {
  const classes = c.classes;
  const blank = c.blank;
  const width = c.width;
  const nodes = c.nodes;
  const y = c.scratch; // [classes]
  const scores = at<f64>(y, classes); // [width,classes], of candidates; those of `blank` are the prefixes as they are
  const sameB = at<f64>(scores, width * classes); // b' and n' of the prefixes as they are
  const sameN = at<f64>(sameB, width);
  let b = at<f64>(sameN, width);
  let n = at<f64>(b, width);
  let nextB = at<f64>(n, width);
  let nextN = at<f64>(nextB, width);
  const heap = at<f64>(nextN, width);
  let kept = at<i32>(heap, width); // nodes
  let nextKept = at<i32>(kept, width);

  const root = nodeAt(nodes, 0);
  root.parent = -1;
  root.label = -1;
  root.child = 0;
  root.sibling = 0;
  root.place = 0;
  store<f64>(b, 0);
  store<f64>(n, -Infinity);
  store<i32>(kept, 0);
  let count = 1;
  let size = 1; // of the tree
  let x = c.logits;
  for (let t = 0; t < c.steps && count > 0; t++) {
    if (isF64) logProbabilities<f64>(classes, x, y);
    else logProbabilities<f32>(classes, x, y);
    x += <usize>c.stride * (isF64 ? 8 : 4);

    for (let i = 0; i < count; i++) {
      const ofB = load<f64>(at<f64>(b, i));
      const ofN = load<f64>(at<f64>(n, i));
      const both = logSum(ofB, ofN);
      const last = nodeAt(nodes, load<i32>(at<i32>(kept, i))).label;
      const own = at<f64>(scores, i * classes);
      for (let j = 0; j < classes; j++) store<f64>(at<f64>(own, j), both + load<f64>(at<f64>(y, j)));
      store<f64>(at<f64>(sameB, i), load<f64>(at<f64>(own, blank)));
      let same = -Infinity;
      if (last >= 0) {
        store<f64>(at<f64>(own, last), ofB + load<f64>(at<f64>(y, last)));
        same = ofN + load<f64>(at<f64>(y, last));
      }
      store<f64>(at<f64>(sameN, i), same);
    }
    for (let i = 0; i < count; i++) {
      const node = nodeAt(nodes, load<i32>(at<i32>(kept, i)));
      const parent = node.parent < 0 ? -1 : nodeAt(nodes, node.parent).place;
      const same = at<f64>(sameN, i);
      if (parent >= 0) {
        const extended = at<f64>(scores, parent * classes + node.label);
        store<f64>(same, logSum(load<f64>(same), load<f64>(extended)));
        store<f64>(extended, -Infinity);
      }
      store<f64>(at<f64>(scores, i * classes + blank), logSum(load<f64>(at<f64>(sameB, i)), load<f64>(same)));
    }

    const left = best(count * classes, width, scores, heap);
    for (let i = 0; i < count; i++) nodeAt(nodes, load<i32>(at<i32>(kept, i))).place = -1;
    for (let place = 0; place < left; place++) {
      const q = load<i32>(at<i32>(heap, place));
      const i = q / classes;
      const label = q % classes;
      let node = load<i32>(at<i32>(kept, i));
      if (label == blank) {
        store<f64>(at<f64>(nextB, place), load<f64>(at<f64>(sameB, i)));
        store<f64>(at<f64>(nextN, place), load<f64>(at<f64>(sameN, i)));
      } else {
        node = childOf(nodes, node, label, size);
        if (node == size) size++;
        store<f64>(at<f64>(nextB, place), -Infinity);
        store<f64>(at<f64>(nextN, place), load<f64>(at<f64>(scores, q)));
      }
      nodeAt(nodes, node).place = place;
      store<i32>(at<i32>(nextKept, place), node);
    }
    count = left;
    let swapped = b;
    b = nextB;
    nextB = swapped;
    swapped = n;
    n = nextN;
    nextN = swapped;
    swapped = kept;
    kept = nextKept;
    nextKept = swapped;
  }
  for (let i = 0; i < count; i++) {
    store<i32>(at<i32>(c.beams, i), load<i32>(at<i32>(kept, i)));
    store<f64>(at<f64>(c.scores, i), logSum(load<f64>(at<f64>(b, i)), load<f64>(at<f64>(n, i))));
  }
  return count;
}
