// Shared by the kernel tests: guarded buffers, random numbers, comparisons. No kernel is called here.
//
// A kernel test fills `input` and `output` buffers, calls a kernel, compares with a naive loop, and ends with
// `expectIntact`: no canary and no input may have changed. A canary that is read into a result makes it NaN.

import { madd } from "../simd";

export const SIZES: StaticArray<i32> = [1, 2, 3, 5, 7, 17, 33];

/** Canaries on each side of a buffer. An odd number, so buffers are aligned to their numbers and no more. */
const GUARD: i32 = 5;

/** Canaries below memoryBase (as-pect.asconfig.json) detect accesses through the address 0, "none". */
const LOW_MEMORY: usize = 1024;
const LOW_CANARY: u32 = 0x7ff4c0de;
for (let p: usize = 0; p < LOW_MEMORY; p += 4) store<u32>(p, LOW_CANARY);

let watched: Region[] = [];
let serial: u32 = 0;

/** Fails the test with a message. */
export function fail(message: string): void {
  watched = [];
  assert(false, message);
}

/** A buffer between canaries, whatever the type of its numbers. */
class Region {
  /** Address of number 0. */
  p: usize;
  private block: StaticArray<u8>;
  private frozen: StaticArray<u8> | null = null;
  private canary: u64;

  constructor(
    public readonly length: i32,
    private readonly width: i32,
  ) {
    this.block = new StaticArray<u8>((length + 2 * GUARD) * width);
    this.p = changetype<usize>(this.block) + <usize>(GUARD * width);
    // Signalling NaNs: arithmetic on a canary changes its bits. Each buffer has its own, to detect copies from another.
    serial++;
    this.canary = width == 8 ? 0x7ff4c0de_00000000 | (<u64>serial) : 0x7fa00000 | (serial & 0xfffff);
    this.setCanaries();
    watched.push(this);
  }

  protected setCanary(bits: u64): void {
    this.canary = bits;
    this.setCanaries();
  }

  private setCanaries(): void {
    for (let i = 1; i <= GUARD; i++) {
      this.setBits(-i, this.canary);
      this.setBits(this.length - 1 + i, this.canary);
    }
  }

  bits(i: i32): u64 {
    const address = this.p + <usize>(i * this.width);
    return this.width == 8 ? load<u64>(address) : <u64>load<u32>(address);
  }

  setBits(i: i32, bits: u64): void {
    const address = this.p + <usize>(i * this.width);
    if (this.width == 8) store<u64>(address, bits);
    else store<u32>(address, <u32>bits);
  }

  /** From here on the numbers must not change. */
  freeze(): void {
    this.frozen = this.block.slice<StaticArray<u8>>();
  }

  /** The first canary or frozen number that has changed, or length + GUARD if there is none. */
  firstDamage(): i32 {
    const n = this.length;
    for (let i = 1; i <= GUARD; i++) {
      if (this.bits(-i) != this.canary) return -i;
      if (this.bits(n - 1 + i) != this.canary) return n - 1 + i;
    }
    const frozen = this.frozen;
    if (frozen) {
      const before = changetype<usize>(frozen) + <usize>(GUARD * this.width);
      for (let i = 0; i < n * this.width; i++) {
        if (load<u8>(before + i) != load<u8>(this.p + i)) return i / this.width;
      }
    }
    return n + GUARD;
  }
}

/** `length` numbers of T between canaries: number -1 and number `length` are canaries. */
export class Buffer<T> extends Region {
  constructor(length: i32) {
    super(length, sizeof<T>());
  }


  @operator("[]")
  get(i: i32): T {
    assert(<u32>i < <u32>this.length, "the test reads outside a buffer");
    return load<T>(this.p + <usize>i * sizeof<T>());
  }


  @operator("[]=")
  set(i: i32, value: T): void {
    assert(<u32>i < <u32>this.length, "the test writes outside a buffer");
    store<T>(this.p + <usize>i * sizeof<T>(), value);
  }

  fill(value: T): this {
    for (let i = 0; i < this.length; i++) this[i] = value;
    return this;
  }

  randomize(scale: f64): this {
    for (let i = 0; i < this.length; i++) this[i] = <T>(scale * random());
    return this;
  }

  copy(): Buffer<T> {
    const copy = new Buffer<T>(this.length);
    memory.copy(copy.p, this.p, <usize>this.length * sizeof<T>());
    return copy;
  }

  /** Uses this value for canaries instead of a NaN, for kernels that copy a NaN bit by bit. */
  guard(value: T): this {
    this.setCanary(bitsOf<T>(value));
    return this;
  }
}

/** Random numbers in [-scale, scale) that the kernel must not change. */
export function input<T>(length: i32, scale: f64 = 1): Buffer<T> {
  const buffer = state<T>(length, scale);
  buffer.freeze();
  return buffer;
}

/** Random numbers in [-scale, scale) that the kernel may change. */
export function state<T>(length: i32, scale: f64 = 1): Buffer<T> {
  return new Buffer<T>(length).randomize(scale);
}

/** NaNs, to detect a kernel that reads its output before it writes it. */
export function output<T>(length: i32): Buffer<T> {
  return new Buffer<T>(length).fill(<T>NaN);
}

/** The given values. */
export function given<T>(values: T[]): Buffer<T> {
  const buffer = new Buffer<T>(values.length);
  for (let i = 0; i < values.length; i++) buffer[i] = values[i];
  return buffer;
}

/** Fails if a canary or frozen number has changed in any buffer made since the last call. */
export function expectIntact(what: string): void {
  for (let i = 0; i < watched.length; i++) {
    const region = watched[i];
    const at = region.firstDamage();
    if (at < region.length + GUARD) fail(`${what}: number ${at} of a buffer of ${region.length} was written`);
  }
  watched = [];
  for (let p: usize = 0; p < LOW_MEMORY; p += 4) {
    if (load<u32>(p) != LOW_CANARY) {
      store<u32>(p, LOW_CANARY);
      fail(`${what}: address ${p} was written`);
    }
  }
}

let seed: u64 = 0x9e3779b97f4a7c15;

/** 64 random bits (Marsaglia's xorshift). */
export function randomBits(): u64 {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

/** Uniform in [-1, 1). */
export function random(): f64 {
  return <f64>((<i64>randomBits()) >> 11) * (1.0 / 4503599627370496.0);
}

/** The bits of a number; the same for all NaNs. */
export function bitsOf<T>(x: T): u64 {
  if (isFloat<T>() && x != x) return u64.MAX_VALUE;
  if (sizeof<T>() == 8) return reinterpret<u64>(<f64>x);
  return <u64>reinterpret<u32>(<f32>x);
}

/** Fails if two buffers differ in a bit; any NaN equals any other. */
export function expectSame<T>(what: string, actual: Buffer<T>, expected: Buffer<T>): void {
  if (actual.length != expected.length) fail(`${what}: ${actual.length} numbers, expected ${expected.length}`);
  expectSameRange<T>(what, actual, 0, expected, 0, actual.length);
}

/** `expectSame` for `count` numbers. */
export function expectSameRange<T>(
  what: string,
  actual: Buffer<T>,
  first: i32,
  expected: Buffer<T>,
  firstExpected: i32,
  count: i32,
): void {
  for (let i = 0; i < count; i++) {
    const a = actual[first + i];
    const e = expected[firstExpected + i];
    if (bitsOf<T>(a) != bitsOf<T>(e)) fail(`${what}: number ${first + i} is ${a}, expected ${e} to the bit`);
  }
}

/**
 * Fails if a number differs from `expected` by more than 1e-12 (f64) or 1e-5 (f32), times |expected| if that is above 1.
 *
 * @param condition the factor by which the computation amplifies rounding errors; multiplies the tolerance
 */
export function expectClose<T>(what: string, actual: Buffer<T>, expected: StaticArray<f64>, condition: f64 = 1): void {
  if (actual.length != expected.length) fail(`${what}: ${actual.length} numbers, expected ${expected.length}`);
  const tolerance = condition * (sizeof<T>() == 8 ? 1e-12 : 1e-5);
  for (let i = 0; i < actual.length; i++) {
    const a = <f64>actual[i];
    const e = expected[i];
    if (a == e || (a != a && e != e)) continue;
    if (!(abs(a - e) <= tolerance * max(1, abs(e)))) fail(`${what}: number ${i} is ${a}, expected ${e}`);
  }
}

/** The numbers in f64, for naive loops. */
export function wide<T>(buffer: Buffer<T>): StaticArray<f64> {
  const values = new StaticArray<f64>(buffer.length);
  for (let i = 0; i < buffer.length; i++) values[i] = <f64>buffer[i];
  return values;
}

/** a * b + c as the build computes it: rounded twice, or fused. */
export function maddScalar<T>(a: T, b: T, c: T): T {
  const v = madd<T>(v128.splat<T>(a), v128.splat<T>(b), v128.splat<T>(c));
  return <T>(sizeof<T>() == 8 ? f64x2.extract_lane(v, 0) : f32x4.extract_lane(v, 0));
}

let ownedEnd: usize = 0;

/** Address of the last `size` bytes of the memory: an access past them traps. Valid until the next allocation. */
export function endOfMemory(size: usize): usize {
  if ((<usize>memory.size()) << 16 != ownedEnd) {
    memory.grow(1);
    ownedEnd = (<usize>memory.size()) << 16;
  }
  return ownedEnd - size;
}
