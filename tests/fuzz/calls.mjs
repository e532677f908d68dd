// One input: a valid call of something that the package exports, with hostile parts put in, and what must hold after it.

import { CONSTRUCTORS, Env, FUNCTIONS, METHODS, none, OBJECTS } from "./generators.mjs";
import { clothe, getter, hostileValue, isPlain, isTypedArray, MARK, show } from "./hostile.mjs";
import { POKES } from "./pokes.mjs";
import { READERS } from "./readers.mjs";
import { Victims } from "./canary.mjs";
import { entries, isClass, isInner, isTyped, members, showKey, statics, W } from "./subject.mjs";

// --- what there is -----------------------------------------------------------------------------------------------------

/** Classes that are not exported, but whose objects users have: how one is come by. */
const RETURNED = ["Stream", "LayerStream", "Batches", "ModelStream"];

const BY_LANGUAGE = new Set(["[Symbol.toStringTag]"]);

/** All calls: { name, prepare(env) -> { self, args, run(self, args) } }. Throws where something has no generator. */
export function endpoints() {
  const found = [];
  const missing = [];
  const add = (name, prepare, more) => (prepare ? found.push({ name, prepare, ...more }) : missing.push(name));

  const addFunction = (name, call) => {
    const generate = FUNCTIONS[name];
    const prepare = generate && ((env) => ({ self: undefined, args: generate(env), run: (_, args) => call(...args) }));
    add(name, prepare, { weight: 6 });
  };

  const addMembers = (name, Class) => {
    const object = OBJECTS[name];
    for (const [key, descriptor, owner] of members(Class)) {
      const label = `${name}#${showKey(key)}`;
      if (BY_LANGUAGE.has(showKey(key))) continue;
      const generate = METHODS[name]?.[showKey(key)];
      if (!generate || !object) {
        const blind = object && isInner(String(key));
        add(label, blind && ((env) => blindCall(env, object, key)), { inner: true, owner });
        continue;
      }
      const prepare = (run) => (env) => {
        const self = object(env);
        env.ran = undefined;
        return { self, args: generate(env, self), run };
      };
      if (descriptor.get) add(`${label} (get)`, prepare((self) => Reflect.get(Class.prototype, key, self)), {}); // prettier-ignore
      if (descriptor.set)
        add(
          `${label} (set)`,
          prepare((self, [value]) => descriptor.set.call(self, value)),
        );
      if (typeof descriptor.value === "function") {
        const run = prepare((self, args) => descriptor.value.apply(self, args));
        add(label, run, { weight: generate === none ? 1 : 5 });
      }
    }
  };

  for (const [entry, module] of Object.entries(entries)) {
    for (const [name, value] of Object.entries(module)) {
      const label = `${entry}.${name}`;
      if (isClass(value)) {
        const forge = FORGED[name];
        const hidden = forge !== undefined;
        const prepare = CONSTRUCTORS[name] ?? forge;
        add(`new ${name}`, prepare && ((env) => ({ args: prepare(env), run: (_, given) => new value(...given) })), {
          inner: hidden,
          weight: value.prototype instanceof Error ? 1 : 6,
        });
        for (const [key, descriptor] of statics(value)) {
          if (typeof descriptor.value !== "function") missing.push(`${label}.${showKey(key)}`);
          else addFunction(`${label}.${showKey(key)}`, (...given) => descriptor.value.apply(value, given));
        }
        addMembers(name, value);
      } else if (typeof value === "function") {
        addFunction(label, value);
      } else if (typeof value === "object") {
        for (const key of Reflect.ownKeys(value)) {
          if (typeof value[key] === "function") addFunction(`${label}.${showKey(key)}`, value[key]);
          else if (key !== Symbol.toStringTag && typeof value[key] !== "string")
            missing.push(`${label}.${showKey(key)}`);
        }
      } else {
        missing.push(label);
      }
    }
  }
  for (const name of RETURNED) {
    const env = new Env({
      bool: () => false,
      int: () => 0,
      real: () => 0.5,
      range: (low) => low,
      pick: ([one]) => one,
    });
    const object = OBJECTS[name](env);
    addMembers(name, object.constructor);
    add(`new ${name}`, (env2) => {
      const own = OBJECTS[name](env2);
      return { args: blindArguments(env2, own), run: (_, given) => new own.constructor(...given) };
    }, { inner: true }); // prettier-ignore
    env.dispose();
  }
  for (const [name, reader] of Object.entries(READERS)) found.push({ name, reader, weight: 40 });
  for (const [name, reader] of Object.entries(POKES)) found.push({ name, reader, weight: 6, inner: true });
  for (const name of Object.keys(FUNCTIONS)) {
    if (!found.some((each) => each.name === name)) missing.push(`${name} (has a generator, but is not exported)`);
  }
  if (missing.length > 0) throw new Error(missing.map((name) => `no generator for ${name}`).join("\n"));
  return found;
}

// --- calls of what TypeScript hides ------------------------------------------------------------------------------------

/** Things that an inner function may take for one of its own arguments. */
function blindArguments(env, self) {
  const { r } = env;
  const reachable = [self];
  for (const key of Reflect.ownKeys(self)) {
    const { value } = Object.getOwnPropertyDescriptor(self, key);
    if (typeof value === "object" && value !== null) reachable.push(value);
  }
  const one = () =>
    r.one(
      () => hostileValue(r)[1],
      () => r.pick(reachable),
      () => r.range(-2, 5),
      () => "weight",
      () => ({ data: new Float64Array(4), shape: [2, 2] }),
      () => [["weight", [r.range(1, 3), r.pick([2, -1, 2 ** 40, NaN])]]],
      () => () => ({ result: 1, tape: r.pick([undefined, {}, { x: 1 }, []]) }),
      () => () => r.real(),
      () => env.own(new W.Linear(2, 2)).parameters()[0],
      () => ({ batchSize: 2 }),
      () => ({ cell: { kind: "LSTM" }, t: 2, n: 1e6, rows: 1e6, x: 0 }),
    );
  return Array.from({ length: r.int(6) }, one);
}

function blindCall(env, object, key) {
  const self = object(env);
  return { self, args: blindArguments(env, self), run: (own, args) => own[key](...args) };
}

/** Parts of a forged cache. */
function forgedCache(env) {
  const { r } = env;
  const layer = env.own(new W.LSTMCell(2, 2, { seed: 1 }));
  const result = layer.forward({ data: new Float64Array(2), shape: [2] });
  env.own(result.cache);
  const { owner = layer, pass = {} } = result.cache;
  return [r.pick([owner, layer, {}]), r.pick([layer.arena, {}]), r.pick([pass, { ...pass, n: 1e5 }, {}])];
}

/** Arguments of constructors that are not for users. */
const FORGED = {
  CellCache: forgedCache,
  Model(env) {
    const model = OBJECTS.Model(env);
    const { inputs, outputs } = model;
    const forged = { inputs, outputs, weights: new Map(), limits: { memory: 1e9, iterations: 1e9 }, build: () => [] };
    return [env.r.pick([model, forged, { ...model }]), env.r.pick(["f32", "f64", undefined])];
  },
  StreamingModel: (env) => blindArguments(env, OBJECTS.StreamingModel(env)),
};

// --- hostile parts -----------------------------------------------------------------------------------------------------

/** Paths of all parts of arguments: the arguments, entries of records and arrays, to a depth of 4. */
function partsOf(value, path, parts, hostile) {
  if (path.length > 0) parts.push(path);
  if (path.length > 4 || typeof value !== "object" || value === null || hostile.has(value)) return parts;
  if (isTypedArray(value)) return parts;
  if (Array.isArray(value)) {
    if (value.length > 1000) return parts;
    for (let i = 0; i < Math.min(value.length, 6); i++) partsOf(value[i], [...path, i], parts, hostile);
  } else if (isPlain(value)) {
    for (const key of Object.keys(value)) partsOf(value[key], [...path, key], parts, hostile);
  }
  return parts;
}

/** `root` with the part at `path` replaced; the objects on the way are copied. */
function replaced(root, [key, ...rest], change) {
  const copy = Array.isArray(root)
    ? [...root]
    : Object.defineProperties({}, Object.getOwnPropertyDescriptors({ ...root }));
  const value = rest.length > 0 ? replaced(root[key], rest, change) : change(root[key]);
  Object.defineProperty(copy, key, { value, enumerable: true, configurable: true, writable: true });
  return copy;
}

function mutate(call, r, args, words) {
  const parts = partsOf(args, [], [], call.hostile);
  if (parts.length === 0) return args;
  const path = r.pick(parts);
  const at = `args${path.map((key) => `[${show(key)}]`).join("")}`;
  let later;
  const changed = replaced(args, path, (value) => {
    if (r.bool(0.35) || call.hostile.has(value)) {
      const [what, hostile] = hostileValue(r);
      words.push(`${at} = ${what}`);
      call.note(what);
      if (typeof hostile === "object" && hostile !== null) call.hostile.add(hostile);
      return hostile;
    }
    const [what, clothed, run] = clothe(r, value, call.act);
    words.push(`${at} ${what}`);
    call.note(what);
    if (typeof clothed === "object" && clothed !== null) call.hostile.add(clothed);
    later = run;
    return clothed;
  });
  if (!later) return changed;
  // something happens to the part while another one is read
  const around = path.slice(0, -1);
  return around.length === 0
    ? changed
    : replaced(changed, around, (record) => {
        if (call.hostile.has(record)) return record;
        const key = r.pick(Object.keys(record));
        words.push(`when ${show(key)} is read`);
        if (typeof record !== "object" || Array.isArray(record)) return record;
        return getter(record, key, [record[key]], later);
      });
}

// --- one call ----------------------------------------------------------------------------------------------------------

const MAX_MESSAGE = 1000;
const CONTROL = /[\x00-\x1f\x7f-\x9f]/; // eslint-disable-line no-control-regex
const BRAND =
  /private (member|method|field|name|element)|Private element|Receiver|incompatible receiver|Value of "this" must be|this is not a typed array|Illegal invocation|Class constructor|Object must be an instance/;
const PROXY = /proxy that has been revoked|on proxy: /;
const CLASS = /^Class constructors? .*cannot be invoked without 'new'/;

/** Where in the package an error was thrown. */
export function placeOf(error) {
  const frame = /(?:src|bindings|assembly)\/[\w/.-]+:\d+/.exec(String(error?.stack ?? ""));
  return frame ? frame[0] : "outside";
}

export class Call {
  findings = [];
  words = [];
  touched = false;
  forged = false;
  lenient = false;
  patience = 2; // seconds
  victims = new Victims();
  hostile = new WeakSet(); // parts that were put in
  #acting = false;
  #acts = 0;

  /**
   * @param tell is called with words for the input before the call
   * @param cpu  process.cpuUsage() of not long ago
   */
  constructor(r, endpoint, tell, cpu) {
    this.r = r;
    this.tell = tell;
    this.cpu = cpu;
    this.endpoint = endpoint;
    this.env = new Env(r);
    this.act = () => this.#act();
  }

  /** Remembers what makes an error of the language's own right. */
  note(what) {
    if (/Object\.create|inherits|its prototype|another prototype|Proxy|copy of its own|other calls|disposed/.test(what))
      this.forged = true;
    if (/other calls|disposed/.test(what)) this.touched = true;
  }

  found(kind, detail, error) {
    this.findings.push({
      endpoint: this.endpoint.name,
      kind,
      detail,
      place: error ? placeOf(error) : "",
      input: this.words.join("; "),
    });
  }

  /** Calls from inside a getter. */
  #act() {
    if (this.#acting || this.#acts > 2) return;
    this.#acting = true;
    this.#acts++;
    const { r } = this;
    const targets = [this.self, ...this.env.made].filter((each) => typeof each === "object" && each !== null);
    const target = r.pick(targets.length > 0 ? targets : [{}]);
    const call = (name, ...args) => {
      if (typeof target[name] !== "function") return;
      this.touched = true;
      this.words.push(`calls ${target.constructor.name}.${name} meanwhile`);
      target[name](...args);
    };
    const x = () => {
      const d = target.inputSize ?? target.inFeatures ?? 2;
      return { data: target.dtype === "f32" ? new Float32Array(d) : new Float64Array(d), shape: [1, d] };
    };
    try {
      r.one(
        () => {
          call("dispose");
          this.victims.make(r);
        },
        () => {
          for (const each of targets) if (typeof each.dispose === "function") each.dispose();
          this.touched = true;
          this.words.push("disposes of everything meanwhile");
          this.victims.make(r);
        },
        () => call("forward", x()),
        () => call("backward", {}),
        () => call("step", [0.5]),
        () => call("zeroGrad"),
        () => call("reset"),
        () => call("eval"),
        () => call("loadStateDict", {}),
        () => {
          this.words.push("makes layers meanwhile");
          this.victims.make(r);
        },
        () => {
          this.words.push("grows the memory meanwhile");
          const layer = new W.Embedding(1, 2 ** r.range(14, 18), { dtype: "f32", seed: 1 });
          layer.dispose();
        },
        () => {
          this.words.push("configures another build meanwhile");
          W.configure({ variant: r.pick(["simd", "relaxed"]) });
        },
      );
    } catch (error) {
      if (error !== MARK && !isTyped(error) && !this.lenient)
        this.found("untyped", `meanwhile ${show(`${error}`)}`, error);
    } finally {
      this.#acting = false;
    }
  }

  /** Words for an input that is a file. */
  describe(value) {
    let text;
    try {
      text =
        value instanceof Uint8Array
          ? JSON.stringify(Buffer.from(value).toString("latin1")).replaceAll(/[^ -~]/g, "?")
          : JSON.stringify(value, (_, part) => (isTypedArray(part) ? `${part.constructor.name} ${[...part]}` : part));
    } catch (error) {
      text = `(${error.message})`;
    }
    this.words.push(text.length > 1500 ? `${text.slice(0, 1500)}...` : text);
    this.tell(this.words.join("; "));
  }

  /** Calls a reader: { result } or { error }, which has been judged; time and what is watched are checked. */
  attempt(read) {
    const before = this.lenient ? [] : this.#remember();
    const t0 = performance.now();
    try {
      return this.#accepted(t0, read());
    } catch (error) {
      return this.#refused(before, t0, error);
    }
  }

  /** As `attempt`, of a reader that gives a promise. */
  async attemptLater(read) {
    const before = this.#remember();
    const t0 = performance.now();
    try {
      return this.#accepted(t0, await read());
    } catch (error) {
      return this.#refused(before, t0, error);
    }
  }

  #accepted(t0, result) {
    this.outcome ??= "accepted";
    this.#checkTime(t0);
    return { result };
  }

  #refused(before, t0, error) {
    this.outcome = this.#judge(error, false, false);
    this.#checkTime(t0, error);
    this.#checkUnchanged(before, error);
    return { error };
  }

  #remember() {
    return this.env.watched.map(([name, numbers]) => [name, numbers, numbers().map((data) => data.slice())]);
  }

  #checkTime(t0, error) {
    if (performance.now() - t0 < 1000 * this.patience) return;
    const { user, system } = process.cpuUsage(this.cpu); // the machine may have had other things to do
    const seconds = Math.min((user + system) / 1e6, (performance.now() - t0) / 1000);
    if (seconds > this.patience) this.found("slow", `${seconds.toFixed(1)} s`, error);
  }

  async run() {
    const { r, env, endpoint } = this;
    if (endpoint.reader) {
      await endpoint.reader(this, r);
      return this.outcome;
    }
    const { self, args, run } = endpoint.prepare(env);
    this.self = self;
    const before = this.#remember();
    let given = args;
    let on = self;
    const foreignThis = self !== undefined && r.bool(0.08);
    if (foreignThis) {
      this.forged = true;
      on = r.one(
        () => undefined,
        () => ({}),
        () => Object.create(Object.getPrototypeOf(self)),
        () => Object.create(self),
        () => new Proxy(self, {}),
        () => env.own(new W.Linear(2, 2)),
        () => 5,
        () => OBJECTS[r.pick(Object.keys(OBJECTS))](env),
        () => OBJECTS[r.pick(Object.keys(OBJECTS))](env),
      );
      this.words.push(`this is ${typeof on === "object" ? "another object" : typeof on}`);
    } else if (args.length > 0 && !r.bool(0.05)) {
      for (let count = r.pick([1, 1, 1, 2, 3]); count > 0; count--) {
        try {
          given = mutate(this, r, given, this.words);
        } catch {
          break; // a part that is hostile already cannot be looked into
        }
      }
      if (r.bool(0.05)) given = r.bool() ? given.slice(0, -1) : [...given, hostileValue(r)[1]];
    }
    // a text of 2^53 characters is valid, and takes its time
    if (/#sample/.test(endpoint.name) && /length.*2\^/.test(this.words.join())) given = args;
    const plain = given === args && !foreignThis;
    this.tell(this.words.join("; "));
    const t0 = performance.now();
    let outcome;
    let error;
    try {
      const result = run(on, given);
      if (result instanceof Promise) this.#takeResult(await result);
      else if (result?.[Symbol.asyncIterator]) await this.#takeSome(result);
      else this.#takeResult(result);
      outcome = "accepted";
    } catch (thrown) {
      error = thrown;
      outcome = this.#judge(thrown, foreignThis, plain);
    }
    this.#checkTime(t0, error);
    if (error !== undefined && !this.touched) this.#checkUnchanged(before, error);
    return outcome;
  }

  #takeResult(result) {
    if (typeof result !== "object" || result === null) return;
    if (typeof result.next === "function" && typeof result.return === "function") {
      for (let i = 0; i < 4; i++) {
        if (result.next().done) break;
        if (this.r.bool(0.2)) this.act();
      }
      result.return();
      return;
    }
    if (typeof result.close === "function") this.env.own({ dispose: () => void result.close() });
    for (const each of [result, result.cache, result.model]) {
      if (typeof each?.dispose !== "function" || this.env.made.includes(each)) continue;
      this.env.own(this.endpoint.inner ? { dispose: () => this.attempt(() => each.dispose()) } : each);
    }
  }

  /** Takes some values of an asynchronous generator. */
  async #takeSome(generator) {
    for (let i = 0; i < 4; i++) {
      if ((await generator.next()).done) return;
      if (this.r.bool(0.2)) this.act();
    }
    await generator.return();
  }

  #judge(error, foreignThis, plain) {
    if (error === MARK || error?.cause === MARK) return "the caller's own error";
    if (isTyped(error)) {
      if (this.lenient) return error.name;
      const texts =
        error instanceof entries.cluster.ClusterError
          ? [error.message, error.code]
          : [error.message, error.argument, error.received, error.expected];
      if (texts.some((text) => typeof text !== "string")) this.found("message", "a part of it is no string", error);
      else if (error.message.length > MAX_MESSAGE) this.found("long message", `${error.message.length} characters`, error);
      else if (texts.some((text) => CONTROL.test(text))) this.found("raw message", JSON.stringify(error.message.slice(0, 80)), error); // prettier-ignore
      if (plain && !MAY_REFUSE.test(this.endpoint.name) && !this.endpoint.inner)
        this.found("refused", error.message, error);
      return error.name;
    }
    if (
      error instanceof TypeError &&
      (foreignThis || this.forged || this.endpoint.inner) &&
      BRAND.test(error.message)
    ) {
      return "TypeError of the language (this)";
    }
    if (foreignThis && error instanceof TypeError) return "TypeError of the language (this)";
    // no user is promised anything of what TypeScript hides, but that nothing else changes
    if ((this.endpoint.inner || this.lenient) && !(error instanceof globalThis.WebAssembly.RuntimeError))
      return "an error of an inner function";
    // What the caller's own Proxy, or a class given as a function, throws by itself.
    if (error instanceof TypeError && PROXY.test(error.message)) return "TypeError of a Proxy";
    if (error instanceof TypeError && CLASS.test(error.message)) return "the caller's own error";
    const kind = error instanceof globalThis.WebAssembly.RuntimeError ? "trap" : "untyped";
    const text = error instanceof Error ? `${error.name}: ${error.message}` : `threw ${typeof error}`;
    this.found(kind, text.slice(0, 160), error);
    return kind;
  }

  #checkUnchanged(before, error) {
    if (error === MARK && CALLBACKS.test(this.endpoint.name)) return;
    for (const [name, numbers, old] of before) {
      let now;
      try {
        now = numbers();
      } catch {
        return; // disposed of
      }
      const same = now.length === old.length && now.every((data, i) => Buffer.from(bytes(data)).equals(bytes(old[i])));
      if (!same) this.found("changed", `${name} changed although the call threw ${error?.name ?? "something"}`, error);
    }
  }

  dispose() {
    this.victims.dispose();
    this.env.dispose();
  }
}

const bytes = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength);

/** Valid calls that may be refused all the same. */
const MAY_REFUSE =
  /initialize|#stream|new GRU|configure|#backward|clip|toOnnx|CharLM#(evaluating|generate)|train.fit|Model#forward|cluster.(runWorker|queueStatus|cleanQueue|serveThread)|Cluster#/;

/** Calls that call the caller's functions in the middle of their work. */
const CALLBACKS = /trainStep|gradCheck/;
