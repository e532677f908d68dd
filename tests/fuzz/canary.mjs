// Layers that no call touches: after each call they must have their weights and give their bits. They lie on both sides of a
// hole in the heap, where the next call's results are allocated; large ones follow it.

import { currentCore, W } from "./subject.mjs";

const bytesOf = (data) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

class Canary {
  constructor(layer, x) {
    this.layer = layer.eval();
    this.x = x;
    this.parameters = layer.parameters();
    this.before = this.parameters.flatMap(({ value, grad }) => [value.data.slice(), grad.data.slice()]);
    this.bytes = this.before.map(bytesOf);
    this.output = layer.forward(x).output.data;
  }

  /** Words for what has changed, or undefined. */
  changed(run) {
    for (let i = 0; i < this.before.length; i++) {
      const { name, value, grad } = this.parameters[i >> 1];
      const { data } = i % 2 ? grad : value;
      if (!bytesOf(data).equals(this.bytes[i])) {
        const at = data.findIndex((number, place) => !Object.is(number, this.before[i][place]));
        return `${i % 2 ? "the gradient" : "the weights"} of another layer (${name}[${at}]) changed`;
      }
    }
    if (!run) return undefined;
    const { data } = this.layer.forward(this.x).output;
    return bytesOf(data).equals(bytesOf(this.output)) ? undefined : "another layer gives other bits";
  }
}

const FENCE = 64;
const PAINT = 0xa5;

/** Paints bytes behind each block of a heap, which nobody may write to. */
class Fences {
  #ends = new Map();
  #broken;

  constructor(heap) {
    this.heap = heap;
    const { allocate, free } = heap;
    heap.allocate = (bytes, purpose) => {
      const address = allocate.call(heap, bytes + FENCE, purpose);
      const end = address + bytes;
      this.#bytes(end).fill(PAINT);
      this.#ends.set(address, [end, purpose]);
      return address;
    };
    heap.free = (address) => {
      this.#look(address);
      this.#ends.delete(address);
      free.call(heap, address);
    };
  }

  #bytes(end) {
    return new Uint8Array(this.heap.view("i32").buffer, end, FENCE);
  }

  #look(address) {
    const [end, purpose] = this.#ends.get(address) ?? [];
    if (end === undefined) return;
    const at = this.#bytes(end).findIndex((byte) => byte !== PAINT);
    if (at >= 0) this.#broken ??= `${at} bytes behind ${purpose} something was written`;
  }

  broken() {
    for (const address of this.#ends.keys()) this.#look(address);
    const broken = this.#broken;
    this.#broken = undefined;
    return broken;
  }
}

/** One build's canaries, and the bytes that are in use with them alone. */
class Aviary {
  constructor(variant) {
    W.configure({ variant });
    this.heap = currentCore().heap;
    this.fences = new Fences(this.heap);
    const make = (dtype, sizes) =>
      sizes.map(([d, h]) => {
        const data = (dtype === "f64" ? Float64Array : Float32Array).from(
          { length: 3 * d },
          (_, i) => (i % 7) / 8 - 0.3,
        );
        return new Canary(new W.LSTM(d, h, { dtype, seed: d + h, bidirectional: h === 3 }), { data, shape: [3, d] });
      });
    const before = ["f64", "f32"].flatMap((dtype) => make(dtype, [[2, 3]]));
    const hole = new W.Embedding(1, 16384, { dtype: "f64", seed: 1 });
    const behind = ["f64", "f32"].flatMap((dtype) => make(dtype, [[5, 5], [16, 24]])); // prettier-ignore
    hole.dispose();
    this.canaries = [...before, ...behind];
    this.bytes = this.heap.bytesUsed;
    this.turn = 0;
  }

  changed() {
    const broken = this.fences.broken();
    if (broken) return broken;
    const turn = this.turn++; // small ones run in turn, a large one now and then
    const runs = turn % 32 === 31 ? 2 + ((turn >> 5) % (this.canaries.length - 2)) : turn % 2;
    for (const [i, canary] of this.canaries.entries()) {
      const change = canary.changed(i === runs);
      if (change) return change;
    }
    return undefined;
  }
}

/** All builds that run here. */
export function aviaries() {
  const made = [];
  for (const variant of ["simd", "relaxed"]) {
    try {
      made.push(new Aviary(variant));
    } catch (error) {
      if (error.name !== "UnsupportedError") throw error;
    }
  }
  W.configure({ variant: "auto" });
  return made;
}

/** Layers that are made while a call reads its arguments, in memory that it may take for its own. */
export class Victims {
  layers = [];

  make(r) {
    for (let i = r.range(4, 12); i > 0; i--) {
      const layer = new W.Linear(r.range(1, 6), r.range(1, 6), { seed: i, dtype: r.pick(["f64", "f32"]) });
      const parameters = layer.parameters();
      this.layers.push({ layer, parameters, before: parameters.map(({ value }) => value.data.slice()) });
    }
  }

  changed() {
    for (const { parameters, before } of this.layers) {
      for (const [i, { value }] of parameters.entries()) {
        if (!bytesOf(value.data).equals(bytesOf(before[i]))) return "the weights of a layer made meanwhile changed";
      }
    }
    return undefined;
  }

  dispose() {
    for (const { layer } of this.layers) layer.dispose();
  }
}
