// Hostile values, and valid values in hostile clothes. Each comes with words that say what it is.

import vm from "node:vm";
import { isClass, W } from "./subject.mjs";

const { structuredClone } = globalThis;

/** What hostile getters and functions throw: it must come out of the call as it is. */
export const MARK = Object.assign(new Error("thrown by the caller's own code"), { mark: true });

const foreign = vm.runInNewContext(
  "({ Array, Object, Float64Array, Float32Array, Int32Array, Uint8Array, ArrayBuffer, String, Function, Map, " +
    "SharedArrayBuffer, ...(typeof WebAssembly === 'object' && {}) })",
);

const CONTROL = "\x1b[31m\x00\x07\r\n\x9b2J\u2028\u202e";

export const detach = (buffer) => void structuredClone(buffer, { transfer: [buffer] });

export const isTypedArray = (value) => ArrayBuffer.isView(value) && !(value instanceof DataView);

export function isPlain(value) {
  if (typeof value !== "object" || value === null) return false;
  const proto = Object.getPrototypeOf(value);
  return proto === Object.prototype || proto === null;
}

function revoked() {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

function throwing(target = {}) {
  const trap = () => {
    throw MARK;
  };
  const traps = "get set has ownKeys getOwnPropertyDescriptor getPrototypeOf defineProperty apply construct".split(" ");
  return new Proxy(target, Object.fromEntries(traps.map((name) => [name, trap])));
}

function detached(Kind) {
  const data = new Kind(4);
  detach(data.buffer);
  return data;
}

function nested(depth) {
  let value = [];
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

function circular() {
  const value = [];
  value.push(value);
  return value;
}

const trap = () => {
  throw MARK;
};

const LONG = `${CONTROL}${"x ".repeat(50_000)}`;
const MANY = Object.freeze(Array.from({ length: 100_000 }, () => CONTROL));
const DEEP = nested(20_000);

/** Values that are wrong almost everywhere: [words, how to make one]. */
const VALUES = [
  ...[undefined, null, NaN, -0, 0, 1, -1, 0.5, 3, 7, Infinity, -Infinity, 1e308, 5e-324, true, false].map((value) => [
    Object.is(value, -0) ? "-0" : String(value),
    () => value,
  ]),
  ...[31, 32, 40, 53, 63].flatMap((n) => [
    [`2^${n}`, () => 2 ** n],
    [`-(2^${n})`, () => -(2 ** n)],
    [`2^${n} - 1`, () => 2 ** n - 1],
  ]),
  ...["", "0", "1", "f32", "f64", "i32", "LSTM", "mean", "tanh", "__proto__", "constructor", "length", "toString"].map(
    (value) => [JSON.stringify(value), () => value],
  ),
  ["a string of control characters", () => CONTROL],
  ["a string of 100,000 characters", () => LONG],
  ["a lone surrogate", () => "\ud800"],
  ["10n", () => 10n],
  ["2n ** 64n", () => 2n ** 64n],
  ["Symbol()", () => Symbol("a symbol")],
  ["Symbol.iterator", () => Symbol.iterator],
  ["new Number(2)", () => new Number(2)],
  ["new String('tanh')", () => new String("tanh")],
  ["new Boolean(true)", () => new Boolean(true)],
  ["a function", () => () => 1],
  ["a function that throws", () => trap],
  ["an async function", () => async () => 1],
  ["a class", () => class {}],
  ["Object.create(null)", () => Object.create(null)],
  ["{}", () => ({})],
  ["[]", () => []],
  ["[[]]", () => [[]]],
  ["[1]", () => [1]],
  ["[null]", () => [null]],
  ["[Symbol()]", () => [Symbol("in an array")]],
  ["[10n]", () => [10n]],
  ["a sparse array", () => [, 1, , 2]], // eslint-disable-line no-sparse-arrays
  ["an array of length 2^31", () => Object.assign([], { length: 2 ** 31 })],
  ["an array of length 2^32 - 1", () => Object.assign([], { length: 2 ** 32 - 1 })],
  ["an array of 100,000 strings", () => MANY],
  ["an array nested 20,000 deep", () => DEEP],
  ["an array nested 70 deep", () => nested(70)],
  ["an array in itself", circular],
  ["{ length: 2^53 }", () => ({ length: 2 ** 53, 0: 1 })],
  ["{ length: -1 }", () => ({ length: -1 })],
  ["new Proxy({}, {})", () => new Proxy({}, {})],
  ["new Proxy([], {})", () => new Proxy([], {})],
  ["a revoked Proxy", revoked],
  ["a Proxy that throws", () => throwing()],
  ["a Proxy of an array that throws", () => throwing([])],
  ["a Date", () => new Date(0)],
  ["a RegExp", () => /x/],
  ["a Map", () => new Map([["lr", 1]])],
  ["a Set", () => new Set([1])],
  ["a Promise", () => Promise.resolve(1)],
  ["an ArrayBuffer", () => new ArrayBuffer(16)],
  ["a SharedArrayBuffer", () => new SharedArrayBuffer(16)],
  ["a DataView", () => new DataView(new ArrayBuffer(16))],
  ["a BigInt64Array", () => new BigInt64Array(2)],
  ["a Uint8Array", () => new Uint8Array(4)],
  ["a Float64Array", () => new Float64Array(4)],
  ["a Float32Array", () => new Float32Array(4)],
  ["an Int32Array", () => Int32Array.of(1, -214, 2 ** 30)],
  ["a detached Float64Array", () => detached(Float64Array)],
  ["a detached Uint8Array", () => detached(Uint8Array)],
  ["a foreign Float64Array", () => new foreign.Float64Array(4)],
  ["a foreign array", () => new foreign.Array(1, 2)],
  ["a foreign object", () => new foreign.Object()],
  ["a foreign function", () => foreign.Array],
  ["Object.create(Float32Array.prototype)", () => Object.create(Float32Array.prototype)],
  ["Object.create(Float64Array.prototype)", () => Object.create(Float64Array.prototype)],
  ["Object.create(Int32Array.prototype)", () => Object.create(Int32Array.prototype)],
  ["Object.create(Array.prototype)", () => Object.create(Array.prototype)],
  ["an object whose valueOf throws", () => ({ valueOf: trap, toString: trap, [Symbol.toPrimitive]: trap })],
  ["an object whose toString gives a symbol", () => ({ toString: () => Symbol("text"), valueOf: () => ({}) })],
  ["an object whose valueOf gives 2", () => ({ valueOf: () => 2, toString: () => "2" })],
  ["an object whose toJSON throws", () => ({ toJSON: trap })],
  ["an object with a throwing constructor", () => ({ get constructor() { throw MARK; } })], // prettier-ignore
  ["an object whose constructor has a strange name", () => ({ constructor: { name: CONTROL.repeat(999) } })],
  ["an object whose constructor's name throws", () => ({ constructor: { get name() { throw MARK; } } })], // prettier-ignore
  ["an object with a throwing tag", () => ({ get [Symbol.toStringTag]() { throw MARK; } })], // prettier-ignore
  ["an object that says it is a Float64Array", () => ({ [Symbol.toStringTag]: "Float64Array", length: 4 })],
  ["globalThis", () => globalThis],
  ["a tensor", () => ({ data: new Float64Array(2), shape: [2] })],
  ["a tensor of f32", () => ({ data: new Float32Array(2), shape: [2] })],
  ["a tensor of bad indices", () => ({ data: Int32Array.of(-214, 2 ** 30), shape: [2] })],
  ["a tensor of shape [2^40, 0]", () => ({ data: new Float64Array(0), shape: [2 ** 40, 0] })],
  ["a tensor of shape [0, 2^40]", () => ({ data: new Float32Array(0), shape: [0, 2 ** 40] })],
  ["a tensor of shape [2^53, 2^53]", () => ({ data: new Float64Array(1), shape: [2 ** 53, 2 ** 53] })],
  ["a tensor of shape [-1, -1]", () => ({ data: new Float64Array(1), shape: [-1, -1] })],
  ["a tensor of shape [0.5, 2]", () => ({ data: new Float64Array(1), shape: [0.5, 2] })],
  ["a tensor of 65 axes", () => ({ data: new Float64Array(1), shape: Array(65).fill(1) })],
  ["a tensor of a DataView", () => ({ data: new DataView(new ArrayBuffer(16)), shape: [2] })],
  ["a tensor of numbers in an array", () => ({ data: [1, 2], shape: [2] })],
  ["a tensor without shape", () => ({ data: new Float64Array(1) })],
  ["a tensor of a forged array", () => ({ data: Object.create(Float64Array.prototype), shape: [2] })],
];

/** Objects that only have a class' prototype. */
for (const [name, value] of Object.entries(W)) {
  if (isClass(value)) VALUES.push([`Object.create(${name}.prototype)`, () => Object.create(value.prototype)]);
}

export function hostileValue(r) {
  const [words, make] = r.pick(VALUES);
  return [words, make()];
}

// --- valid values in hostile clothes -----------------------------------------------------------------------------------

/** Other lengths than the true one. */
function lie(r, length) {
  const value = r.pick([
    0,
    1,
    length - 1,
    length + 1,
    length * 2,
    length + 100,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    -1,
    NaN,
    "2",
  ]);
  return value;
}

/** A property that gives another value, or does something, at each read. */
export function getter(object, key, values, act) {
  let reads = 0;
  Object.defineProperty(object, key, {
    configurable: true,
    enumerable: true,
    get() {
      const value = values[Math.min(reads, values.length - 1)];
      reads++;
      act?.(reads);
      if (value === MARK) throw MARK;
      return value;
    },
  });
  return object;
}

/** Indices that are out of range, for whoever reads them once more than they were checked. */
function badIndices(r, data) {
  const bad = Int32Array.from(data);
  const place = r.int(Math.max(1, bad.length));
  bad[place] = r.pick([-1, -214, r.range(-20_000, -1), r.range(5, 60_000), 2 ** 30]);
  return bad;
}

/** Arrays of indices that look right at first. */
function clotheIndices(r, data, act) {
  const bad = badIndices(r, data);
  const { length } = data;
  const words = `with ${bad.find((n, i) => n !== data[i])}`;
  return r.one(
    () => [`${words}, whose length is 0 at first`, getter(bad, "length", r.pick([[0, length], [0, 0, length], [0]]))],
    () => {
      let times = 0;
      bad[Symbol.iterator] = () => (times++ < r.int(2) ? bad : data).values();
      return [`${words}, whose iterator gives others`, bad];
    },
    () => {
      for (const key of ["every", "some", "forEach", "find", "findIndex", "entries", "values", "keys", "reduce"]) {
        bad[key] = (...args) => data[key](...args);
      }
      return [`${words}, whose methods look at others`, bad];
    },
    () => {
      class Sub extends Int32Array {
        static get [Symbol.species]() {
          return Int32Array;
        }
        subarray() {
          return Int32Array.from(bad);
        }
        slice() {
          return Int32Array.from(bad);
        }
        map() {
          return Int32Array.from(bad);
        }
      }
      return ["of a subclass whose parts are others", Sub.from(data)];
    },
    () => {
      const good = Int32Array.from(data);
      good[Symbol.iterator] = function* () {
        yield* data;
        good.set(bad);
      };
      return [`${words} when it was iterated over`, good];
    },
    () => {
      const good = Int32Array.from(data);
      let reads = 0;
      const get = () => {
        if (++reads > r.range(1, 3)) good.set(bad);
        return length;
      };
      Object.defineProperty(good, "length", { configurable: true, get });
      return [`${words} when its length was read`, good];
    },
    () => {
      const good = Int32Array.from(data);
      return [`${words} while the call reads`, good, () => good.set(bad)];
    },
    () => [words, bad],
    () => clotheTyped(r, bad, act),
  );
}

/** Typed arrays. */
function clotheTyped(r, data, act) {
  const Kind = data.constructor;
  const { length } = data;
  const shared = () => {
    const copy = new Kind(new SharedArrayBuffer(data.byteLength));
    copy.set(data);
    return copy;
  };
  return r.one(
    () => ["in a SharedArrayBuffer", shared()],
    () => {
      const value = r.pick([NaN, Infinity, -Infinity, -214, 2 ** 30, -1, length, 1e308, 5e-324]);
      const copy = data.slice();
      if (length > 0) copy[r.int(length)] = value;
      return [`with a number ${value}`, copy];
    },
    () => {
      const copy = data.slice();
      const other = lie(r, length);
      getter(copy, "length", r.pick([[other], [length, other], [other, length], [length, length, other]]));
      return [`whose length says ${String(other)} at some read`, copy];
    },
    () => {
      const copy = data.slice();
      getter(copy, "length", [length], act);
      return ["whose length runs code", copy];
    },
    () => {
      const key = r.pick(["buffer", "byteLength", "byteOffset", "BYTES_PER_ELEMENT", "constructor"]);
      const value = r.pick([0, -8, 2 ** 40, undefined, new ArrayBuffer(8), Int32Array, MARK]);
      return [`whose ${key} is another`, getter(data.slice(), key, r.pick([[value], [data[key], value]]), act)];
    },
    () => {
      const key = r.pick(["set", "slice", "subarray", "fill", "map", "at", "forEach", "every", "values", "join"]);
      const copy = data.slice();
      copy[key] = r.one(
        () => trap,
        () => () => new Kind(length + 7).fill(-214),
        () => () => null,
        () =>
          function (...args) {
            act?.(1);
            return Kind.prototype[key].apply(this, args);
          },
      );
      return [`whose ${key} is another function`, copy];
    },
    () => {
      const copy = data.slice();
      copy[Symbol.iterator] = r.one(
        () => trap,
        () =>
          function* () {
            for (let i = 0; i < length + 5; i++) yield -214;
          },
        () => () => ({ next: () => ({ done: false, value: 10n }) }),
        () =>
          function* () {
            act?.(1);
            yield* Array.from(data);
          },
      );
      const endless = !String(copy[Symbol.iterator]).includes("function*") && copy[Symbol.iterator] !== trap;
      if (endless) {
        let left = 1e6; // no iteration in the package is to be trusted to end
        copy[Symbol.iterator] = () => ({ next: () => ({ done: left-- < 0, value: 10n }) });
      }
      return ["whose iterator is another", copy];
    },
    () => {
      const species = r.pick(["species", "overrides"]);
      class Sub extends Kind {
        static get [Symbol.species]() {
          return species === "species" ? r.pick([Array, Uint8Array, Float32Array, Int32Array]) : Kind;
        }
        slice() {
          if (species === "species") return super.slice();
          act?.(1);
          return new Kind(1);
        }
        subarray(...range) {
          if (species === "species") return super.subarray(...range);
          act?.(1);
          return new Kind(length + 64).fill(-214);
        }
      }
      return [`of a subclass with ${species}`, Sub.from(data)];
    },
    () => {
      const Other = foreign[Kind.name];
      return Other ? ["of another realm", Other.from(data)] : ["copied", data.slice()];
    },
    () => {
      const Other = r.pick([Float64Array, Float32Array, Int32Array, Uint8Array, Uint8ClampedArray, BigInt64Array]);
      const numbers = Other === BigInt64Array ? new Other(length) : Other.from(data);
      return [`as a ${Other.name}`, numbers];
    },
    () => ["longer by one", Kind.from([...data, 0])],
    () => ["shorter by one", data.slice(0, Math.max(0, length - 1))],
    () => ["as an array", Array.from(data)],
    () => ["as an object", { length, ...Array.from(data) }],
    () => ["as a Proxy", new Proxy(data, {})],
    () => {
      const copy = data.slice();
      detach(copy.buffer);
      return ["detached", copy];
    },
    () => {
      const buffer = new ArrayBuffer(data.byteLength, { maxByteLength: data.byteLength + 64 });
      const tracking = new Kind(buffer);
      tracking.set(data);
      const size = r.pick([0, data.byteLength / 2, data.byteLength + 64]);
      const resize = () => buffer.resize(Math.floor(size / 8) * 8);
      if (r.bool()) return ["in a resizable buffer", tracking, resize];
      resize();
      return [`in a buffer resized to ${size} bytes`, tracking];
    },
    () => {
      const wide = new Kind(new ArrayBuffer(data.byteLength + 64), Kind.BYTES_PER_ELEMENT, length);
      wide.set(data);
      return ["in a larger buffer", wide];
    },
    () => [
      "with another prototype",
      Object.setPrototypeOf(data.slice(), r.pick([null, Array.prototype, Object.prototype])),
    ],
    () => {
      const copy = data.slice();
      return ["detached while the call reads", copy, () => detach(copy.buffer)];
    },
  );
}

/** Arrays. */
function clotheArray(r, array, act) {
  const { length } = array;
  return r.one(
    () => {
      const copy = [...array];
      if (length > 0) delete copy[r.int(length)];
      return ["with a hole", copy];
    },
    () => {
      const copy = [...array];
      const at = r.int(Math.max(1, length));
      const [words, value] = hostileValue(r);
      getter(copy, at, r.pick([[value], [array[at], value], [array[at], array[at], value]]));
      return [`whose [${at}] becomes ${words}`, copy];
    },
    () => {
      const copy = [...array];
      const at = r.int(Math.max(1, length));
      return [`whose [${at}] runs code`, getter(copy, at, [array[at]], act)];
    },
    () => {
      let reads = 0;
      const other = lie(r, length);
      const from = r.int(3);
      const get = (target, key, receiver) => {
        if (key !== "length") return Reflect.get(target, key, receiver);
        return reads++ >= from ? other : length;
      };
      return [`a Proxy whose length says ${String(other)} from read ${from} on`, new Proxy([...array], { get })];
    },
    () => {
      const get = (target, key, receiver) => {
        act?.(1);
        return Reflect.get(target, key, receiver);
      };
      return ["a Proxy that runs code", new Proxy([...array], { get })];
    },
    () => {
      const copy = [...array];
      copy[Symbol.iterator] = r.one(
        () => trap,
        () => () => [][Symbol.iterator](),
        () =>
          function* () {
            yield* array;
            yield Symbol("one more");
          },
        () => () => null,
      );
      return ["whose iterator is another", copy];
    },
    () => {
      const copy = [...array];
      const key = r.pick(["map", "every", "slice", "forEach", "join", "entries", "at", "length2", "constructor"]);
      getter(copy, key, [r.pick([trap, null, () => [Symbol("from a method")], () => true, undefined])], act);
      return [`whose ${key} is another`, copy];
    },
    () => {
      class Sub extends Array {
        static get [Symbol.species]() {
          return r.pick([Object, Float64Array, trap]);
        }
      }
      return ["of a subclass with a species", Sub.from(array)];
    },
    () => ["of another realm", foreign.Array.from(array)],
    () => ["longer by one", [...array, array.at(-1)]],
    () => ["shorter by one", array.slice(0, -1)],
    () => ["as a Set", new Set(array)],
    () => ["as an object", { length, ...array }],
    () => ["frozen", Object.freeze([...array])],
    () => {
      const copy = [...array];
      copy.length = r.pick([2 ** 31, 2 ** 32 - 1, length + 3]);
      return [`of length ${copy.length}`, copy];
    },
    () => ["reversed", [...array].reverse()],
    () => ["with an element twice", [...array, ...array.slice(0, 1)]],
    () => ["with another prototype", Object.setPrototypeOf([...array], r.pick([null, Object.prototype]))],
  );
}

/** Records. */
function clotheRecord(r, record, act) {
  const keys = Object.keys(record);
  const key = r.pick(keys.length > 0 ? keys : ["dtype"]);
  const copy = () => Object.defineProperties({}, Object.getOwnPropertyDescriptors({ ...record }));
  const extra = r.pick(["extra", "__proto__", "constructor", "toString", CONTROL, "x".repeat(100_000), "numLayer", ""]);
  return r.one(
    () => {
      const [words, value] = hostileValue(r);
      const values = r.pick([[value], [record[key], value], [record[key], record[key], value], [undefined, value]]);
      return [`whose ${show(key)} becomes ${words}`, getter(copy(), key, values)];
    },
    () => [`whose ${show(key)} runs code`, getter(copy(), key, [record[key]], act)],
    () => [`whose ${show(key)} throws`, getter(copy(), key, r.pick([[MARK], [record[key], MARK]]))],
    () => ["without a prototype", Object.assign(Object.create(null), record)],
    () => ["that inherits everything", Object.create(record)],
    () => {
      const value = r.pick([1, undefined, null, {}]);
      const one = copy();
      Object.defineProperty(one, extra, { value, enumerable: true, configurable: true, writable: true });
      return [`with an entry ${show(extra)}`, one];
    },
    () => {
      const rest = { ...record };
      delete rest[key];
      return [`without ${show(key)}`, rest];
    },
    () => ["with a symbol", { ...record, [Symbol("key")]: 1 }],
    () => ["as a Map", new Map(Object.entries(record))],
    () => ["as entries", Object.entries(record)],
    () => ["of another realm", foreign.Object.assign(new foreign.Object(), record)],
    () => ["frozen", Object.freeze(copy())],
    () => {
      const ownKeys = () => r.pick([[], [CONTROL], [...keys, "extra"], [...keys].reverse()]);
      const getOwnPropertyDescriptor = (target, name) => ({
        value: target[name],
        enumerable: true,
        configurable: true,
        writable: true,
      });
      return ["a Proxy whose keys lie", new Proxy(copy(), { ownKeys, getOwnPropertyDescriptor })];
    },
    () => {
      let reads = 0;
      const from = r.range(1, 6);
      const [words, value] = hostileValue(r);
      const get = (target, name, receiver) => {
        reads++;
        if (reads === from) act?.(reads);
        return reads > from && typeof name === "string" ? value : Reflect.get(target, name, receiver);
      };
      return [`a Proxy that gives ${words} after ${from} reads`, new Proxy(copy(), { get })];
    },
    () => ["a Proxy", new Proxy(copy(), {})],
    () => {
      class Custom {}
      return ["of a class", Object.assign(new Custom(), record)];
    },
  );
}

/** Objects of the package's classes. */
function clotheInstance(r, object, act) {
  return r.one(
    () => ["a Proxy of it", new Proxy(object, {})],
    () => ["an object that inherits from it", Object.create(object)],
    () => ["an object with its prototype", Object.create(Object.getPrototypeOf(object))],
    () => ["a copy of its own properties", { ...object }],
    () => {
      act?.(1);
      return ["itself, after other calls", object];
    },
    () => {
      if (typeof object.dispose === "function") object.dispose();
      return ["disposed", object];
    },
  );
}

/** Functions. */
function clotheFunction(r, original, act) {
  return r.one(
    () => ["that throws", trap],
    () => {
      const [words, value] = hostileValue(r);
      return [`that returns ${words}`, () => value];
    },
    () => {
      const later = async (...args) => original(...args);
      const caught = (...args) => {
        const promise = later(...args);
        promise.catch(() => undefined); // nobody waits for it
        return promise;
      };
      return ["that is async", caught];
    },
    () => {
      const calling = (...args) => {
        act?.(1);
        return original(...args);
      };
      return ["that makes other calls", calling];
    },
    () => ["a Proxy of it", new Proxy(original, {})],
    () => {
      let calls = 0;
      const late = (...args) => {
        if (++calls > 2) throw MARK;
        return original(...args);
      };
      return ["that throws at its third call", late];
    },
  );
}

/** Numbers, strings, flags. */
function clotheScalar(r, value) {
  if (typeof value === "number") {
    return r.one(
      () => ["+ 0.5", value + 0.5],
      () => ["negative", -value],
      () => ["as a Number", new Number(value)],
      () => ["as a string", String(value)],
      () => ["as a BigInt", Number.isInteger(value) ? BigInt(value) : 1n],
      () => ["in an array", [value]],
      () => ["+ 2^32", value + 2 ** 32],
      () => ["+ 1", value + 1],
      () => ["from valueOf", { valueOf: () => value }],
    );
  }
  if (typeof value === "string") {
    return r.one(
      () => ["as a String", new String(value)],
      () => ["in an array", [value]],
      () => ["in upper case", value.toUpperCase()],
      () => ["with a zero behind it", `${value}\0`],
      () => ["from toString", { toString: () => value }],
      () => ["of another realm", new foreign.String(value)],
    );
  }
  return r.one(
    () => ["as a Boolean", new Boolean(value)],
    () => ["as a number", Number(value)],
    () => ["as a string", String(value)],
  );
}

/** [words, value, what is to be run while the call reads another part]. */
export function clothe(r, value, act) {
  if (value instanceof Int32Array && r.bool()) return clotheIndices(r, value, act);
  if (isTypedArray(value)) return clotheTyped(r, value, act);
  if (Array.isArray(value)) return value.length > 1000 ? hostileValue(r) : clotheArray(r, value, act);
  if (isPlain(value)) return clotheRecord(r, value, act);
  if (typeof value === "function") return clotheFunction(r, value, act);
  if (typeof value === "object" && value !== null) return clotheInstance(r, value, act);
  if (["number", "string", "boolean"].includes(typeof value)) return clotheScalar(r, value);
  return hostileValue(r);
}

export function show(key) {
  const text = typeof key === "symbol" ? String(key) : JSON.stringify(key);
  return text.length > 40 ? `${text.slice(0, 40)}...` : text;
}
