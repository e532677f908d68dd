// The files of a model on the disk: one, or a model.json of TensorFlow.js or a manifest.json of ml5 with the files that it names.

import { readdirSync } from "node:fs";
import { basename, dirname, isAbsolute, join, normalize, sep } from "node:path";
import { MAX_FILES, pathsOf, recognise, type ModelFiles } from "../models/load.js";
import { CliError, messageOf, named } from "./errors.js";
import { isFolder, readBytes } from "./files.js";

/** The files of a model, as they were read. */
export interface FoundModel {
  /** As `loadModel` takes them. */
  readonly files: ModelFiles;
  /** Where they are; the first one is the model. */
  readonly paths: readonly string[];
  /** Bytes of all files. */
  readonly size: number;
}

/** Reads the model at `path`: a file or a folder. */
export function readModelFiles(path: string): FoundModel {
  const main = isFolder(path) ? mainIn(path) : path;
  const bytes = readBytes(main, "model");
  const companions = named(main, () => pathsOf(recognise(bytes).main));
  if (companions.length === 0) return { files: bytes, paths: [main], size: bytes.length };
  if (companions.length >= MAX_FILES) throw new CliError(`${main}: names more than ${MAX_FILES - 1} files`);
  const files = Object.create(null) as Record<string, Uint8Array>;
  files[basename(main)] = bytes;
  const paths = [main];
  let size = bytes.length;
  for (const name of new Set(companions)) {
    const own = normalize(name);
    if (isAbsolute(name) || own.split(sep)[0] === "..")
      throw new CliError(`${main}: names ${name}, which is not in its folder`);
    const at = join(dirname(main), own);
    try {
      files[name] = readBytes(at, "model");
    } catch (error) {
      throw new CliError(`${main} names ${name}: ${messageOf(error)}`);
    }
    paths.push(at);
    size += files[name].length;
  }
  return { files, paths, size };
}

/** The file in a folder that names the others. */
function mainIn(folder: string): string {
  let names: string[];
  try {
    names = readdirSync(folder).filter((name) => /\.json$/i.test(name)).sort(); // prettier-ignore
  } catch (error) {
    throw new CliError(`cannot read ${folder}: ${messageOf(error)}`);
  }
  const found = names.map((name) => join(folder, name)).filter((path) => !isFolder(path) && namesFiles(path));
  const [main, other] = found;
  if (main === undefined) throw new CliError(`${folder} is a folder without a model (model.json of TensorFlow.js, manifest.json of ml5)`); // prettier-ignore
  if (other !== undefined) throw new CliError(`${folder} is a folder with several models: name one, such as ${main}`);
  return main;
}

function namesFiles(path: string): boolean {
  const bytes = readBytes(path, "model");
  try {
    return pathsOf(recognise(bytes).main).length > 0;
  } catch {
    return false; // another file
  }
}
