// The training state beside a model, as safetensors: what a training needs, beyond the model's weights, to go on to the
// very same bits. Bytes in, bytes out.
//
//     optimizer.<index>.exp_avg ...   the optimizer's state          h, c              the carried state
//     history.train                   loss of every step             random            the sampler's generator
//     history.validation              [n, 2]: step, loss             metadata          the rest, as JSON

import type { Tensor } from "../../bindings/tensor.js";
import { FormatError } from "../../bindings/errors.js";
import { readSafetensors, writeSafetensors } from "../io/safetensors.js";
import type { Build } from "./build.js";
import { isSettings, type Settings } from "./settings.js";
import type { Trainer } from "./trainer.js";

const FORMAT = "wasm-rnn charlm state";
const VERSION = "1";
const OPTIMIZER = "optimizer.";

/** What identifies a training's surroundings. */
export interface Surroundings {
  build: Build;
  /** SHA-256 of the model file that the state belongs to. */
  modelSha256: string;
  textPath: string;
  textSha256: string;
}

/** A state file's content; restore() puts it into a Trainer made with its settings. */
export interface TrainingState extends Surroundings {
  settings: Settings;
  restore(trainer: Trainer): void;
}

/** The state of `trainer` as a file. Equal states give equal bytes. */
export function writeState(trainer: Trainer, surroundings: Surroundings): Uint8Array<ArrayBuffer> {
  const { model, history } = trainer;
  const tensors: Record<string, Tensor> = {};
  for (const [name, tensor] of Object.entries(trainer.optimizer.stateDict())) tensors[OPTIMIZER + name] = tensor;
  if (model.state !== undefined) Object.assign(tensors, model.state);
  tensors.random = vector(new Int32Array(trainer.random.state)); // the same 32 bits, read as signed
  tensors["history.train"] = vector(Float64Array.from(history.train));
  tensors["history.validation"] = {
    data: Float64Array.from(history.validation.flatMap(({ step, loss }) => [step, loss])),
    shape: [history.validation.length, 2],
  };
  return writeSafetensors(tensors, {
    format: FORMAT,
    version: VERSION,
    settings: JSON.stringify(trainer.settings),
    position: JSON.stringify({ step: trainer.step, ...trainer.position, evaluated: trainer.evaluated }),
    build: JSON.stringify(surroundings.build),
    model_sha256: surroundings.modelSha256,
    text_path: surroundings.textPath,
    text_sha256: surroundings.textSha256,
  });
}

/** Reads what writeState wrote. Throws FormatError for anything else. */
export function readState(bytes: Uint8Array): TrainingState {
  const { tensors, metadata } = readSafetensors(bytes);
  if (metadata.format !== FORMAT) throw new FormatError("format", metadata.format ?? "none", FORMAT);
  if (metadata.version !== VERSION) {
    throw new FormatError("version", metadata.version ?? "none", VERSION);
  }
  const text = (key: string): string => metadata[key] ?? fail(key, "nothing", "a text");
  // states written before there was a choice have no cell
  const settings: unknown = { cell: "LSTM", ...(parse("settings", text("settings")) as object | null) };
  if (!isSettings(settings)) return fail("settings", "something else", "the settings of a training");
  const build = parse("build", text("build"));
  if (!isBuild(build)) return fail("build", "something else", "variant, version and hash");
  const numbers = <T extends Tensor["data"]>(name: string, kind: { new (length: number): T; name: string }): T => {
    const data = tensors[name]?.data;
    return data instanceof kind ? data : fail(`tensor ${name}`, data?.constructor.name ?? "nothing", kind.name);
  };
  const random = numbers("random", Int32Array);
  const losses = numbers("history.train", Float64Array);
  const validation = numbers("history.validation", Float64Array);
  const { step, evaluated } = (parse("position", text("position")) ?? {}) as { step?: unknown; evaluated?: unknown };
  if (step !== losses.length || typeof evaluated !== "number")
    return fail("position", "something else", `step ${losses.length} and the latest evaluation`);

  return {
    settings,
    build,
    modelSha256: text("model_sha256"),
    textPath: text("text_path"),
    textSha256: text("text_sha256"),
    restore(trainer) {
      const optimizer: Record<string, Tensor> = {};
      for (const [name, tensor] of Object.entries(tensors)) {
        if (name.startsWith(OPTIMIZER)) optimizer[name.slice(OPTIMIZER.length)] = tensor;
      }
      trainer.optimizer.loadStateDict(optimizer);
      const { h, c } = tensors;
      trainer.model.state = h === undefined ? undefined : { h, c };
      trainer.random.state = new Uint32Array(random);
      for (const loss of losses) trainer.history.train.push(loss);
      for (let i = 0; i + 1 < validation.length; i += 2) {
        trainer.history.validation.push({ step: validation[i] ?? 0, loss: validation[i + 1] ?? 0 });
      }
      trainer.evaluated = evaluated;
    },
  };
}

function vector(data: Tensor["data"]): Tensor {
  return { data, shape: [data.length] };
}

function parse(key: string, json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return fail(key, "something else", "JSON");
  }
}

function isBuild(value: unknown): value is Build {
  if (typeof value !== "object" || value === null) return false;
  const { variant, version, hash } = value as Partial<Record<keyof Build, unknown>>;
  return (variant === "simd" || variant === "relaxed") && typeof version === "string" && typeof hash === "string";
}

function fail(argument: string, received: string, expected: string): never {
  throw new FormatError(argument, received, expected);
}
