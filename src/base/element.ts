// Numbers of every type that files hold: their arrays, and the exact conversions of half precision.

/** The typed array of each type: f16 and bf16 as their bits, bool as 0 and 1. */
export interface ElementArrays {
  /** 64-bit floating point. */
  f64: Float64Array;
  /** 32-bit floating point. */
  f32: Float32Array;
  /** IEEE half precision, as bits. */
  f16: Uint16Array;
  /** The upper half of an f32, as bits. */
  bf16: Uint16Array;
  /** 64-bit integers. */
  i64: BigInt64Array;
  /** 32-bit integers. */
  i32: Int32Array;
  /** 16-bit integers. */
  i16: Int16Array;
  /** 8-bit integers. */
  i8: Int8Array;
  /** 64-bit integers without a sign. */
  u64: BigUint64Array;
  /** 32-bit integers without a sign. */
  u32: Uint32Array;
  /** 16-bit integers without a sign. */
  u16: Uint16Array;
  /** 8-bit integers without a sign. */
  u8: Uint8Array;
  /** 0 or 1. */
  bool: Uint8Array;
}

/** A type of numbers. */
export type ElementType = keyof ElementArrays;

/** The typed array of a type; of any by default. */
export type ElementData<E extends ElementType = ElementType> = ElementArrays[E];

type ElementArray = new (source: number | ArrayBuffer) => ElementData;

/** The class of each type's arrays. */
export const ELEMENT_ARRAYS: Readonly<Record<ElementType, ElementArray & { readonly BYTES_PER_ELEMENT: number }>> = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  i16: Int16Array,
  i8: Int8Array,
  u64: BigUint64Array,
  u32: Uint32Array,
  u16: Uint16Array,
  u8: Uint8Array,
  bool: Uint8Array,
};

/** Bytes of one number. */
export function bytesPerElement(dtype: ElementType): number {
  return ELEMENT_ARRAYS[dtype].BYTES_PER_ELEMENT;
}

// --- half precision --------------------------------------------------------------------------------------------------

// The bits are mapped, not the numbers: that keeps what a NaN carries.

/** Writes the bits of f16 or bf16 as those of f32, exactly. */
export function widenBits(dtype: "f16" | "bf16", halves: Uint16Array, bits: Int32Array): void {
  const widen = dtype === "f16" ? f16ToF32Bits : bf16ToF32Bits;
  for (let i = 0; i < bits.length; i++) bits[i] = widen(halves[i]!);
}

/** Writes the bits of f32 as those of the nearest f16 or bf16, ties to even; beyond the largest they are infinite. */
export function narrowBits(dtype: "f16" | "bf16", bits: Uint32Array, halves: Uint16Array): void {
  const narrow = dtype === "f16" ? f32ToF16Bits : f32ToBf16Bits;
  for (let i = 0; i < halves.length; i++) halves[i] = narrow(bits[i]!);
}

/** The numbers of f16 or bf16 bits as f32, exactly. */
export function widenHalf(dtype: "f16" | "bf16", halves: Uint16Array): Float32Array<ArrayBuffer> {
  const numbers = new Float32Array(halves.length);
  widenBits(dtype, halves, new Int32Array(numbers.buffer));
  return numbers;
}

/** f32 numbers as the bits of the nearest f16 or bf16. */
export function narrowToHalf(dtype: "f16" | "bf16", numbers: Float32Array): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(numbers.length);
  narrowBits(dtype, new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length), halves);
  return halves;
}

const word = /* @__PURE__ */ new ArrayBuffer(4);
const single = /* @__PURE__ */ new Float32Array(word);
const singleBits = /* @__PURE__ */ new Int32Array(word);

/** The nearest number that f16 or bf16 has. */
export function roundToHalf(dtype: "f16" | "bf16", x: number): number {
  single[0] = x;
  const bits = singleBits[0]!;
  singleBits[0] = dtype === "f16" ? f16ToF32Bits(f32ToF16Bits(bits)) : bf16ToF32Bits(f32ToBf16Bits(bits) & 0xffff);
  return single[0];
}

function bf16ToF32Bits(half: number): number {
  return half << 16;
}

function f32ToBf16Bits(bits: number): number {
  // a NaN stays one where its upper bits alone would be infinity's
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | ((bits & 0x7f0000) === 0 ? 0x40 : 0);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function f16ToF32Bits(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0x1f) return sign | 0x7f800000 | (fraction << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // moves the leading one of a subnormal to bit 10
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

function f32ToF16Bits(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7c00 | ((size >> 13) & 0x3ff || 0x200); // a NaN
  if (size >= 0x47800000) return sign | 0x7c00; // 2^16
  const exponent = size >> 23;
  // of a subnormal f16 the last bit is 2^-24, whatever the number's own exponent
  const dropped = Math.min(Math.max(13, 126 - exponent), 25);
  const fraction = exponent < 113 ? (size & 0x7fffff) | 0x800000 : size - (112 << 23);
  const half = fraction >> dropped;
  const rest = fraction & ((1 << dropped) - 1);
  const tie = 1 << (dropped - 1);
  return sign | (half + Number(rest > tie || (rest === tie && (half & 1) === 1)));
}
