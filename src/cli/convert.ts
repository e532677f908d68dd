// wasm-rnn convert: reads a model or tensors in one format and writes them in another; conversions.ts says which.

import { basename, dirname, join } from "node:path";
import type { StoredTensor } from "../formats/safetensors.js";
import { writeSafetensors } from "../formats/safetensors.js";
import { encodeUtf8 } from "../formats/utf8.js";
import type { Model } from "../graphs/model.js";
import { writeCharLM } from "../models/charlm-file.js";
import type { CharLM } from "../models/charlm.js";
import type { LoadedFormat, LoadedModel } from "../models/load.js";
import type { StreamingModel } from "../models/streaming.js";
import type { Sequential } from "../nn/sequential.js";
import { readCharacterModel } from "./character-model.js";
import { CONVERSIONS, conversionLines, METADATA, NOT_TENSORS, RESET_AFTER, SOURCES, TARGETS, WIDTH, type Target } from "./conversions.js"; // prettier-ignore
import { CliError, namedLater, usageError } from "./errors.js";
import { escapeControls, shellWord } from "./escape.js";
import { isFolder } from "./files.js";
import { loadAudio, loadIndex, loadKeras, loadLoad, loadNpy, loadOnnx } from "./library.js";
import { readModelFiles } from "./model-files.js";
import { count } from "./progress.js";
import { saveFiles, type NewFile } from "./save-files.js";
import { printJson, printLine } from "./show.js";

/** The options of the command line. */
export interface ConvertOptions {
  /** The format of the output; undefined: its name says it. */
  to?: Target;
  /** The tensor of a .npy file; undefined: the only one. */
  tensor?: string;
  /** The file of the characters of a text model of TensorFlow.js, which then is a character model. */
  vocabulary?: string;
  /** The version of ONNX's operators; undefined: that of `toOnnx`. */
  opset?: number;
  force: boolean;
}

/** Prints which formats become which others. Returns the exit code. */
export function printFormats(json: boolean): number {
  if (json) printJson({ event: "formats", from: Object.fromEntries(SOURCES.map((each) => [each, CONVERSIONS[each]])) });
  else for (const line of conversionLines()) printLine(line);
  return 0;
}

/** What a conversion has done. */
export interface Converted {
  readonly from: LoadedFormat;
  readonly to: Target;
  readonly files: readonly NewFile[];
  readonly lost: readonly string[];
}

/** Runs the command. Returns the exit code. */
export async function convert(
  input: string,
  output: string,
  options: ConvertOptions & { json: boolean },
): Promise<number> {
  const { from, to, files, lost } = await convertFiles(input, output, options);
  const paths = files.map(({ path }) => path);
  const size = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  if (options.json) printJson({ event: "convert", from, to, files: paths, bytes: size, lost });
  else {
    printLine(
      `${shellWord(input)}: ${from}, written as ${to}: ${paths.map(shellWord).join(", ")}, ${count(size)} bytes`,
    );
    for (const each of lost) printLine(`lost: ${escapeControls(each)}`);
  }
  return 0;
}

/** Converts the model at `input`, and writes the files of `output`. */
export async function convertFiles(input: string, output: string, options: ConvertOptions): Promise<Converted> {
  const to = targetOf(output, options.to);
  const { vocabulary } = options;
  if (options.tensor !== undefined && to !== "npy")
    throw usageError("--tensor is for .npy files, which have one tensor");
  if (options.opset !== undefined && to !== "onnx") throw usageError("--opset is for ONNX files");
  const { files: read, paths } = readModelFiles(input);
  const model = vocabulary === undefined ? read : characterFile(input, vocabulary);
  const { loadModel } = await loadLoad();
  const loaded = await namedLater(input, () => loadModel(model));
  try {
    const { format: from } = loaded;
    const conversion = CONVERSIONS[from][to];
    if ("reason" in conversion) throw new CliError(`${input}: ${from} does not become ${to}: ${conversion.reason}`);
    const files = await namedLater(input, () => WRITERS[to](loaded, output, options));
    const lost = lostOf(loaded, conversion.lost);
    const json = files.at(-1)!.bytes;
    if (to === "tfjs" && Buffer.from(json).includes('"reset_after":true')) lost.push(RESET_AFTER);
    await saveFiles(files, vocabulary === undefined ? paths : [...paths, vocabulary], options.force);
    return { from, to, files, lost };
  } finally {
    loaded.model?.dispose();
  }
}

/** A text model of TensorFlow.js as a file of this package. */
function characterFile(input: string, vocabulary: string): Uint8Array {
  const model = readCharacterModel(input, vocabulary);
  try {
    return writeCharLM(model, { steps: 0 });
  } finally {
    model.dispose();
  }
}

// --- the output ------------------------------------------------------------------------------------------------------

const ENDINGS: readonly (readonly [ending: RegExp, target: Target])[] = [
  [/\.onnx$/i, "onnx"],
  [/\.safetensors$/i, "safetensors"],
  [/\.npz$/i, "npz"],
  [/\.npy$/i, "npy"],
  [/(^|[/\\])model\.json$/, "tfjs"],
];

/** The format of the output. */
function targetOf(output: string, to: Target | undefined): Target {
  const isFolderName = /[/\\]$/.test(output) || isFolder(output);
  const ending = isFolderName ? "tfjs" : ENDINGS.find(([pattern]) => pattern.test(output))?.[1];
  if (to === undefined && ending === undefined) {
    const known = ".onnx, .safetensors, .npz, .npy, model.json or a folder (TensorFlow.js)";
    throw usageError(
      `${output}: its ending does not say the format: expected ${known}, or --to ${TARGETS.join(" | ")}`,
    );
  }
  if (isFolderName && to !== undefined && to !== "tfjs")
    throw usageError(`${output} is a folder: --to ${to} writes a file`);
  return to ?? ending!;
}

/** What is lost, as the table says, of what the file has. */
function lostOf(loaded: LoadedModel, lost: readonly string[]): string[] {
  const keys = Object.keys(loaded.metadata);
  const shown = keys.slice(0, 10).join(", ") + (keys.length > 10 ? " ..." : "");
  return lost.flatMap((each) => {
    if (each === WIDTH) return (loaded.model as CharLM).architecture.dtype === "f64" ? [each] : [];
    if (each !== METADATA && each !== NOT_TENSORS) return [each];
    return keys.length === 0 ? [] : [`${each}: ${shown}`];
  });
}

// --- writers ---------------------------------------------------------------------------------------------------------

type Writer = (loaded: LoadedModel, output: string, options: ConvertOptions) => Promise<readonly NewFile[]>;

const WRITERS: Readonly<Record<Target, Writer>> = {
  async onnx(loaded, output, { opset }) {
    const { toOnnx } = await loadOnnx();
    const model = loaded.format === "onnx" ? loaded.model : await layersOf(loaded, false);
    try {
      return [{ path: output, bytes: toOnnx(model, { opset }) }];
    } finally {
      if (model !== loaded.model) model.dispose();
    }
  },

  async tfjs(loaded, output) {
    const { toTfjs } = await loadKeras();
    const isModel = isKeras(loaded.format);
    const model = isModel ? (loaded.model as Model) : await layersOf(loaded, true);
    try {
      const isFile = /\.json$/i.test(output);
      const folder = isFile ? dirname(output) : output;
      const { "model.json": json, "weights.bin": weights } = toTfjs(model);
      const files: NewFile[] = [{ path: join(folder, "weights.bin"), bytes: weights }];
      if (isCharacters(loaded)) {
        const { characters } = (loaded.model as CharLM).vocabulary;
        files.push({ path: join(folder, "vocabulary.json"), bytes: encodeUtf8(JSON.stringify(characters)) });
      }
      // the last one, since it names the first
      files.push({ path: join(folder, isFile ? basename(output) : "model.json"), bytes: json });
      return files;
    } finally {
      if (model !== loaded.model) model.dispose();
    }
  },

  async safetensors(loaded, output) {
    if (loaded.format === "ml5") {
      const { writeCharLM } = await loadIndex();
      return [{ path: output, bytes: writeCharLM(loaded.model, { steps: 0 }) }];
    }
    const keepsMetadata = loaded.format === "wasm-rnn" || loaded.format === "safetensors";
    const metadata = keepsMetadata ? (loaded.metadata as Record<string, string>) : {};
    return [{ path: output, bytes: writeSafetensors(await tensorsOf(loaded), metadata) }];
  },

  async npz(loaded, output) {
    const { writeNpz } = await loadNpy();
    return [{ path: output, bytes: writeNpz(await tensorsOf(loaded)) }];
  },

  async npy(loaded, output, { tensor }) {
    const { writeNpy } = await loadNpy();
    return [{ path: output, bytes: writeNpy(oneOf(await tensorsOf(loaded), tensor)) }];
  },

  async rtneural(loaded, output) {
    const { toRtneural } = await loadAudio();
    return [{ path: output, bytes: encodeUtf8(toRtneural(await streamingOf(loaded))) }];
  },

  async proteus(loaded, output) {
    const { toProteus } = await loadAudio();
    return [{ path: output, bytes: encodeUtf8(toProteus(await streamingOf(loaded))) }];
  },
};

const isKeras = (format: LoadedFormat): boolean => format === "tfjs" || format === "keras" || format === "keras-h5";
const isCharacters = ({ format }: LoadedModel): boolean => format === "wasm-rnn" || format === "ml5";

const CHAIN = "a model whose layers form a chain that this package has, without masks, states that stay, several inputs or other options"; // prettier-ignore

/** The layers of a model, as a chain that is the caller's; with `softmax` character models give probabilities. */
async function layersOf(loaded: LoadedModel, softmax: boolean): Promise<Sequential> {
  const { Sequential } = await loadIndex();
  if (isCharacters(loaded)) return chainOfCharLM(loaded.model as CharLM, softmax);
  const { model } = loaded;
  if (model instanceof Sequential) return model;
  if (isKeras(loaded.format)) throw new CliError(`a graph of layers; expected ${CHAIN}`);
  const { toSequential } = await loadAudio();
  return toSequential(model as StreamingModel);
}

/** The layers of a character model under the names of its weights. */
async function chainOfCharLM(model: CharLM, softmax: boolean): Promise<Sequential> {
  const { Activation, Embedding, GRU, Linear, LSTM, RNN, Sequential } = await loadIndex();
  const { cell, embeddingDim, hiddenSize, dtype, numLayers, ...variant } = model.architecture;
  const { size } = model.vocabulary;
  const options = { dtype, seed: 0 };
  const recurrent = new { LSTM, GRU, RNN }[cell](embeddingDim, hiddenSize, { ...options, numLayers, ...variant });
  const chain = new Sequential({
    embedding: new Embedding(size, embeddingDim, options),
    [cell.toLowerCase()]: recurrent,
    linear: new Linear(hiddenSize, size, options),
    ...(softmax && { softmax: new Activation("softmax") }),
  });
  chain.loadStateDict(model.stateDict());
  return chain.eval();
}

async function streamingOf(loaded: LoadedModel): Promise<StreamingModel> {
  if (!isKeras(loaded.format)) return loaded.model as StreamingModel;
  const { StreamingModel } = await loadAudio();
  return StreamingModel.from(await layersOf(loaded, false));
}

/** All tensors by name. */
async function tensorsOf(loaded: LoadedModel): Promise<Readonly<Record<string, StoredTensor>>> {
  if (loaded.tensors) return loaded.tensors;
  if (!["rtneural", "proteus", "nam"].includes(loaded.format)) return (loaded.model as Model | CharLM).stateDict();
  const chain = await layersOf(loaded, false);
  try {
    return chain.stateDict();
  } finally {
    chain.dispose();
  }
}

function oneOf(tensors: Readonly<Record<string, StoredTensor>>, name: string | undefined): StoredTensor {
  const names = Object.keys(tensors);
  const shown = names.slice(0, 20).join(", ") + (names.length > 20 ? ` and ${names.length - 20} more` : "");
  if (name !== undefined && !Object.hasOwn(tensors, name)) throw new CliError(`no tensor ${name}: it has ${shown}`);
  if (name === undefined && names.length !== 1) {
    throw new CliError(`a .npy file has one tensor: choose one of ${names.length} by --tensor: ${shown}`);
  }
  return tensors[name ?? names[0]!]!;
}
