// Configurations of Keras' layers: JSON whose keys are in snake_case (Keras, files of TensorFlow.js) or camelCase.

import { FormatError, UnsupportedError } from "../../../bindings/errors.js";
import { isRecord, quote } from "../json.js";

/** A JSON object. */
export type Json = Readonly<Record<string, unknown>>;

/** The other spelling of a key: returnSequences of return_sequences. */
function camelCase(key: string): string {
  return key.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

/** The value of a key in either spelling; undefined where there is none, or null. */
export function get(object: Json, key: string): unknown {
  for (const name of [key, camelCase(key)]) {
    if (Object.hasOwn(object, name)) return object[name] ?? undefined;
  }
  return undefined;
}

/** The configuration of one layer, with messages that name it. */
export class Config {
  constructor(
    readonly where: string,
    readonly json: Json,
  ) {}

  refuse(key: string, expected: string): never {
    throw new FormatError(`${this.where}.${key}`, quote(get(this.json, key)), expected);
  }

  unsupported(key: string, expected: string): never {
    throw new UnsupportedError(`${this.where}.${key}`, quote(get(this.json, key)), expected);
  }

  get(key: string): unknown {
    return get(this.json, key);
  }

  flag(key: string, otherwise: boolean): boolean {
    const value = this.get(key) ?? otherwise;
    return typeof value === "boolean" ? value : this.refuse(key, "true or false");
  }

  number(key: string, otherwise?: number): number {
    const value = this.get(key) ?? otherwise;
    return typeof value === "number" && Number.isFinite(value) ? value : this.refuse(key, "a finite number");
  }

  /** A whole number from `least` on. */
  count(key: string, otherwise?: number, least = 1): number {
    const value = this.number(key, otherwise);
    return Number.isSafeInteger(value) && value >= least && value < 2 ** 31
      ? value
      : this.refuse(key, `an integer >= ${least}`);
  }

  /** One whole number, alone or in a list of one. */
  single(key: string, otherwise?: number): number {
    const value = this.get(key) ?? otherwise;
    const [own, ...more] = Array.isArray(value) ? (value as unknown[]) : [value];
    if (more.length > 0 || !Number.isSafeInteger(own) || (own as number) < 1 || (own as number) >= 2 ** 31) {
      this.refuse(key, "one integer >= 1");
    }
    return own as number;
  }

  /** A list of whole numbers, or one. */
  integers(key: string, otherwise?: readonly number[] | number): readonly number[] {
    const value = this.get(key) ?? otherwise;
    const list = Array.isArray(value) ? (value as unknown[]) : [value];
    if (list.length === 0 || list.length > 8 || !list.every(Number.isSafeInteger)) this.refuse(key, "integers");
    return list as number[];
  }

  choice<Choice extends string>(key: string, choices: readonly Choice[], otherwise: Choice): Choice {
    const value = this.get(key) ?? otherwise;
    return choices.includes(value as Choice) ? (value as Choice) : this.unsupported(key, choices.join(", "));
  }

  /** The name of an activation in lower case, without underscores; null, a name, or a function that was serialized. */
  activation(key: string, otherwise = "linear"): string {
    let value: unknown = this.get(key) ?? otherwise;
    if (isRecord(value)) {
      const kind = get(value, "class_name");
      const inner = get(value, "config");
      value = kind === "function" ? (typeof inner === "string" ? inner : get(value, "registered_name")) : kind;
    }
    return typeof value === "string"
      ? value.replaceAll("_", "").toLowerCase()
      : this.refuse(key, "the name of an activation");
  }
}

/** The object of a key. */
export function recordOf(where: string, object: Json, key: string): Json {
  const value = get(object, key);
  if (!isRecord(value)) throw new FormatError(`${where}.${key}`, quote(value), "an object");
  return value;
}

/** The list of a key. */
export function listOf(where: string, object: Json, key: string): readonly unknown[] {
  const value = get(object, key);
  if (!Array.isArray(value)) throw new FormatError(`${where}.${key}`, quote(value), "a list");
  return value;
}

/** The string of a key. */
export function textOf(where: string, object: Json, key: string): string {
  const value = get(object, key);
  if (typeof value !== "string") throw new FormatError(`${where}.${key}`, quote(value), "a string");
  return value;
}
