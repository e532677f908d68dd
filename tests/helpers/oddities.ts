// Values that no function expects, and the check that a call with them ends with a result or a typed error.
import { expect } from "vitest";
import { runInNewContext } from "node:vm";
import * as errors from "../../bindings/errors.js";

const classes = Object.values(errors).filter((each): each is typeof errors.ValueError => typeof each === "function");

/** A proxy's answers to every question: another one each time. */
function changing(target: object): object {
  let reads = 0;
  const get = (of: object, key: PropertyKey): unknown =>
    ++reads % 3 === 0 ? undefined : reads % 3 === 1 ? Reflect.get(of, key) : 7n;
  return new Proxy(target, { get });
}

/** Values of all types, each with its name. */
export function oddities(): [name: string, value: unknown][] {
  const detached = new Int32Array(4);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const lying = Object.defineProperty(Int32Array.of(0, 1), "length", { value: 2 ** 40 });
  return [
    ...[undefined, null, true, false, NaN, Infinity, -Infinity, -0, -1, 0, 0.5, 1, 2 ** 31, 2 ** 53, 1e308].map(
      (value): [string, unknown] => [String(value), value],
    ),
    ["an empty string", ""],
    ["a string", "1"],
    ["a long string", "x".repeat(100_000)],
    ["a lone surrogate", "\ud800"],
    ["a BigInt", 5n],
    ["a symbol", Symbol("s")],
    ["a record", {}],
    ["an array", []],
    ["an array of mixed types", [1n, Symbol("s"), null, "", {}]],
    ["an array without a prototype", Object.setPrototypeOf([1, 2], null)],
    ["a record without a prototype", Object.create(null)],
    ["a function", () => 1],
    ["a sparse array", Object.assign([], { length: 2 ** 32 - 1 })],
    ["a huge length", { length: 2 ** 40 }],
    ["a length that is no number", { length: 5n }],
    ["a typed array's prototype", Object.create(Int32Array.prototype)],
    ["a float array", new Float64Array(3)],
    ["a BigInt array", new BigInt64Array(3)],
    ["a DataView", new DataView(new ArrayBuffer(8))],
    ["a detached array", detached],
    ["a length that lies", lying],
    ["a foreign array", runInNewContext("Int32Array.of(0, 1, 0)")],
    ["a shared array", new Int32Array(new SharedArrayBuffer(16))],
    ["a changing array", changing([0, 1, 2])],
    ["a changing record", changing({})],
    ["a String object", Object("ab")],
    ["an iterable whose iterator is none", { [Symbol.iterator]: () => 5 }],
    [
      "a name that throws",
      Object.defineProperty({}, "constructor", {
        get: () => {
          throw new TypeError("no name");
        },
      }),
    ],
  ].map(([name, value]) => [name as string, value]);
}

/** The call gives a result, or throws an error of the package whose message is not endless. */
export function onlyTyped(call: () => unknown, label: string): void {
  try {
    call();
  } catch (error) {
    expect(
      classes.some((each) => error instanceof each),
      `${label}: ${String(error)}`,
    ).toBe(true);
    expect((error as Error).message.length, label).toBeLessThan(1000);
  }
}
