// What JavaScript lets users do to objects of the package, whatever TypeScript says: properties set, methods replaced,
// classes extended, constructors called that are not exported. The objects may break; no other object may change.

import { CONSTRUCTORS, make, METHODS, OBJECTS } from "./generators.mjs";
import { hostileValue, isTypedArray, MARK } from "./hostile.mjs";
import { isInner, members, showKey, W } from "./subject.mjs";

/** Objects that all layers of a build share: what they are reachable by is found by reachable(), and nothing is set there. */
const shared = new WeakSet();

function ownObjects(value) {
  if (typeof value !== "object" || value === null || isTypedArray(value)) return [];
  return Reflect.ownKeys(value).flatMap((key) => {
    const each = Object.getOwnPropertyDescriptor(value, key)?.value;
    return typeof each === "object" && each !== null ? [each] : [];
  });
}

function everything(root, depth = 5) {
  const found = new Set([root]);
  let level = [root];
  for (let i = 0; i < depth; i++) {
    level = level.flatMap(ownObjects).filter((each) => !found.has(each));
    for (const each of level) found.add(each);
  }
  return found;
}

/** To be called before anything else. */
export function findShared() {
  const [a, b] = [new W.Linear(1, 1, { seed: 1 }), new W.Linear(1, 1, { seed: 1 })];
  const roots = [a, b].map((layer) => everything([layer, layer.parameters()]));
  for (const each of roots[0]) if (roots[1].has(each)) shared.add(each);
  shared.add(globalThis); // a hostile value; what hangs from it is Node's
  for (const layer of [a, b]) layer.dispose();
}

/** Whoever makes an object loop over 2^31 holes of an array waits for it. */
function hostile(r) {
  for (;;) {
    const [words, value] = hostileValue(r);
    if (!/length:? (of )?2\^|of length/.test(words)) return value;
  }
}

const NUMBERS = [0, -1, 1, 2, 3, 0.5, 100, 4096, 1e6, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53, NaN, Infinity];

/** Valid calls that are made after something was done to the object; arguments are made before. */
function plan(call, r, object, name) {
  const methods = METHODS[name];
  const callable = Object.keys(methods).filter((key) => typeof object[key] === "function" && key !== "dispose");
  if (callable.length === 0) return [];
  return Array.from({ length: r.range(1, 3) }, () => {
    const key = r.pick(callable);
    return [key, methods[key](call.env, object)];
  });
}

function carryOut(call, object, steps) {
  for (const [key, args] of steps) {
    call.words.push(`then .${key}()`);
    call.tell(call.words.join("; "));
    const { result } = call.attempt(() => object[key](...args));
    try {
      for (const each of [result, result?.cache]) {
        if (typeof each?.dispose === "function") call.env.own({ dispose: () => call.attempt(() => each.dispose()) });
      }
      if (result instanceof Promise)
        result.catch(() => {}); // what it rejects with is the caller's
      else if (result?.[Symbol.asyncIterator])
        for (const each of [result.next(), result.return()]) each.catch(() => {});
      else if (typeof result?.next === "function")
        call.attempt(() => [...[1, 2].map(() => result.next()), result.return()]);
    } catch {
      // a method that was replaced gave a Proxy that throws
    }
  }
}

/** A value for a property: numbers, hostile ones, those of another object of the class, other functions. */
function valueFor(call, r, old, other) {
  return r.one(
    () => r.pick(NUMBERS),
    () => hostile(r),
    () => other,
    () => other,
    () => (typeof old === "object" && old !== null ? new Proxy(old, {}) : old),
    () => (Array.isArray(old) ? [...old, ...old] : { ...old }),
    () => (typeof old === "object" && old !== null ? Object.create(old) : -Number(typeof old === "number" && old)),
  );
}

/** Sets properties of the object, or of what belongs to it. */
function setProperties(call, r, object, name) {
  const twin = OBJECTS[name](call.env);
  const restore = [];
  for (let count = r.range(1, 2); count > 0; count--) {
    let [target, other, path] = [object, twin, ""];
    for (let depth = r.pick([0, 0, 0, 1, 2]); depth > 0; depth--) {
      const keys = Reflect.ownKeys(target).filter((key) => {
        const value = Object.getOwnPropertyDescriptor(target, key)?.value;
        return typeof value === "object" && value !== null && !shared.has(value) && !isTypedArray(value);
      });
      if (keys.length === 0) break;
      const key = r.pick(keys);
      [target, other, path] = [target[key], other?.[key], `${path}.${showKey(key)}`];
    }
    const keys = Reflect.ownKeys(target).filter((key) => key !== "length");
    for (
      let proto = Object.getPrototypeOf(target);
      proto && proto !== Object.prototype;
      proto = Object.getPrototypeOf(proto)
    ) {
      if (Array.isArray(target)) break;
      keys.push(...Reflect.ownKeys(proto).filter((key) => key !== "constructor" && !restore.includes(key)));
    }
    if (keys.length === 0) continue;
    const key = r.pick(keys);
    if (key === "dispose") continue; // the fuzzer's own way to clear up
    if (target instanceof W.Random && typeof target[key] === "function") continue; // normal() would not end
    const own = Object.getOwnPropertyDescriptor(target, key);
    let old;
    let twins;
    try {
      old = target[key];
      twins = other?.[key];
    } catch {
      continue;
    }
    let value = valueFor(call, r, old, twins);
    if (typeof old === "function") {
      value = r.one(
        () => () => undefined,
        () => (body) => body?.({}, {}),
        () =>
          (...args) =>
            old.apply(
              r.pick([object, twin]),
              args.map((arg) => r.pick([arg, arg, 1, undefined])),
            ),
        () => hostile(r),
        () => () => {
          throw MARK;
        },
      );
    }
    restore.push(() => (own ? Object.defineProperty(target, key, own) : delete target[key]));
    call.words.push(`${path}.${showKey(key)} = ${typeof value === "number" ? value : typeof value}`);
    try {
      if (r.bool(0.7)) target[key] = value;
      else {
        let reads = 0;
        Object.defineProperty(target, key, {
          configurable: true,
          get() {
            if (reads++ === 1) call.act();
            return reads > 1 ? value : old;
          },
        });
      }
    } catch {
      call.words.push("(refused)");
    }
  }
  if (r.bool(0.15)) {
    try {
      const proto = Object.getPrototypeOf(object);
      Object.setPrototypeOf(object, OBJECTS[r.pick(Object.keys(OBJECTS))](call.env).constructor.prototype);
      restore.push(() => Object.setPrototypeOf(object, proto));
      call.words.push("with the prototype of another class");
    } catch {
      // it is frozen
    }
  }
  return () => {
    for (const undo of restore.reverse()) {
      try {
        undo();
      } catch {
        // it is frozen by now
      }
    }
  };
}

/** A class that extends one of the package's and replaces what TypeScript calls protected. */
function extended(call, r, name) {
  const Class = W[name];
  const inner = members(Class).filter(([key, { value }]) => typeof value === "function" && key !== "dispose");
  class Sub extends Class {}
  for (let count = r.range(1, 2); count > 0; count--) {
    const [key, { value: original }] = r.pick(inner);
    if (name === "Random" || (!isInner(String(key)) && r.bool(0.7))) continue; // normal() would not end
    call.words.push(`overrides ${showKey(key)}`);
    const smaller = (arg) => {
      if (Array.isArray(arg)) return arg.map(smaller);
      if (typeof arg === "number") return r.pick([1, 1, arg, arg * 2]);
      return arg;
    };
    Sub.prototype[key] = r.one(
      () => () => undefined,
      () =>
        function (...args) {
          return original.apply(this, args.map(smaller));
        },
      () =>
        function (...args) {
          call.act();
          return original.apply(this, args);
        },
      () =>
        function (...args) {
          const result = original.apply(this, args);
          return Array.isArray(result) ? [...result].reverse() : result;
        },
      () =>
        function (...args) {
          const result = original.apply(this, args);
          return Array.isArray(result) ? result.slice(1) : hostile(r);
        },
      () => (body) => body?.({}, {}),
    );
  }
  return Sub;
}

function poke(name) {
  return (call, r) => {
    const { env } = call;
    call.forged = true;
    call.touched = true; // the object may change as it likes
    call.lenient = true;
    if (W[name] && CONSTRUCTORS[name] && r.bool(0.25)) {
      const args = CONSTRUCTORS[name](env);
      const model = make(env, name);
      const steps = plan(call, r, model, name);
      const Sub = extended(call, r, name);
      call.tell(call.words.join("; "));
      const { result } = call.attempt(() => new Sub(...args));
      if (!result) return;
      const dispose = W[name].prototype.dispose;
      const made = result instanceof W[name]; // a constructor may return something else
      if (dispose && made) env.own({ dispose: () => dispose.call(result) });
      carryOut(call, result, steps);
      return;
    }
    const object = OBJECTS[name](env);
    const steps = plan(call, r, object, name);
    let restore;
    try {
      restore = setProperties(call, r, object, name);
    } catch {
      return; // a Proxy that was put there at the first round cannot be looked into at the second
    }
    call.self = object;
    try {
      carryOut(call, object, steps);
    } finally {
      restore();
    }
  };
}

/** Tensors and parameters that a user makes by the constructors of those that the package gives. */
function forgeTensor(call, r) {
  const { env } = call;
  call.forged = true;
  call.touched = true;
  call.lenient = true;
  const layer = env.own(new W.Linear(2, 2, { seed: 1, dtype: r.pick(["f64", "f32"]) }));
  const [real] = layer.parameters();
  const size = r.pick([4, 4, 1e4, 2 ** 40, -1]);
  const pointer = r.pick([0, 8, 1024, 65536, 80_000, 100_000, -8, 2 ** 31]);
  call.words.push(`a tensor of ${size} numbers at ${pointer}`);
  call.tell(call.words.join("; "));
  const { result: forged } = call.attempt(() =>
    r.one(
      () => new real.value.constructor(real.value.arena, real.value.dtype, [size], pointer),
      () => Object.assign(Object.create(real.value), { shape: [size], pointer }),
      () =>
        Object.setPrototypeOf(
          { arena: real.value.arena, dtype: layer.dtype, shape: [size] },
          real.value.constructor.prototype,
        ),
      () =>
        new Proxy(real.value, { get: (target, key) => (key === "shape" ? [size] : Reflect.get(target, key, target)) }),
    ),
  );
  if (!forged) return;
  const parameters = [
    { name: "forged", value: r.pick([forged, real.value]), grad: r.pick([forged, real.grad, forged]) },
  ];
  for (let count = 2; count > 0; count--) {
    call.attempt(() =>
      r.one(
        () => {
          const one = env.own(
            new W[r.pick(["SGD", "Adam", "RMSprop", "Adagrad"])](parameters, { lr: 1, weightDecay: 1 }),
          );
          one.step();
          one.zeroGrad();
        },
        () => W.clipGradValue(parameters, 1e-3),
        () => W.clipGradNorm(parameters, 1e-3),
        () => W.init.constant(parameters[0], 7),
        () => W.init.constant(forged, 7),
        () => layer.forward(forged),
        () => layer.backward({ output: forged }),
        () => W.gradCheck(() => 1, parameters),
        () => layer.loadStateDict({ weight: forged, bias: layer.stateDict().bias }),
        () => forged.fill?.(7),
        () => forged.set?.(new Float64Array(4).fill(7)),
        () => forged.copyFrom?.(real.value),
        () => forged.slice?.(0, 1).fill(7),
        () => forged.reshape?.([2, 2]).set([7, 7, 7, 7]),
      ),
    );
  }
}

/** What belongs to an object that was disposed of, and to a layer's earlier passes. */
function afterwards(call, r) {
  const { env } = call;
  call.touched = true;
  call.lenient = true;
  const name = r.pick(Object.keys(OBJECTS));
  const object = OBJECTS[name](env);
  if (typeof object.dispose !== "function") return;
  const steps = plan(call, r, object, name);
  const parameters = object.parameters?.() ?? [];
  const views = parameters.map(({ value }) => value);
  object.dispose();
  call.victims.make(r);
  call.words.push(`${name} after dispose()`);
  carryOut(call, object, steps);
  if (views.length === 0) return;
  const view = r.pick(views);
  call.attempt(() => W.init.constant(view, 7));
  call.attempt(() => view.data.fill(7));
  call.attempt(() => new W.SGD(parameters));
  call.attempt(() => W.clipGradNorm(parameters, 1));
}

export const POKES = {
  ...Object.fromEntries(
    Object.keys(OBJECTS)
      .filter((name) => name !== "TextStreams") // its sizes are public, and a window of 2^53 columns takes its time
      .map((name) => [`properties: ${name}`, poke(name)]),
  ),
  "properties: forged tensors": forgeTensor,
  "properties: after dispose()": afterwards,
};

/**
 * Ways from objects that users have to what no user should have: a build's memory, its kernels, its allocator.
 *
 * @returns one path for each
 */
export function reachable(env) {
  const found = new Map();
  for (const [name, one] of Object.entries(OBJECTS)) {
    const root = one(env);
    const queue = [[root, name]];
    if (typeof root.parameters === "function") queue.push([root.parameters()[0], `${name}.parameters()[0]`]);
    const seen = new Set();
    for (let i = 0; i < queue.length && i < 2000; i++) {
      const [value, path] = queue[i];
      if (value === undefined || seen.has(value) || isTypedArray(value)) continue;
      seen.add(value);
      if (value instanceof globalThis.WebAssembly.Memory) found.set("WebAssembly.Memory", path);
      const { name: kind } = value.constructor ?? {};
      if (typeof kind === "string" && !["Object", "Array", "Map", "Set"].includes(kind) && !W[kind]) {
        if (!found.has(kind)) found.set(kind, path);
      }
      for (const key of Reflect.ownKeys(value)) {
        const each = Object.getOwnPropertyDescriptor(value, key)?.value;
        if (typeof each === "object" && each !== null) queue.push([each, `${path}.${showKey(key)}`]);
        if (typeof each === "function" && /^\d|wasm/.test(each.name)) found.set("kernels", `${path}.${showKey(key)}`);
      }
    }
  }
  return found;
}
