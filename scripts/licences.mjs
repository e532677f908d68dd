// Licence notices of all bundled code: dist/THIRD-PARTY-LICENSES.txt, from the metafiles of esbuild.

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

export const NOTICES = "THIRD-PARTY-LICENSES.txt";

/** The names of licence files; `licenses` is a folder of them. */
const LICENCE_FILE = /^(licen[cs]es?|copying|notice)([-.].*)?$/i;

/**
 * Packages without licence files, and the package of the same repository whose files apply to them.
 */
const SAME_REPOSITORY = { "@assemblyscript/loader": "assemblyscript" };

/** Packages whose repository has the licence, and the licence that they name: its text is in scripts/licences/. */
const REPOSITORY_LICENCE = { "onnxruntime-common": "MIT" };

/**
 * Finds the packages whose code is in the outputs of a build.
 *
 * @param metafiles esbuild's
 * @returns folder of a package -> the outputs with its code
 */
export function bundledPackages(metafiles) {
  const found = new Map();
  for (const { outputs } of metafiles) {
    for (const [output, { inputs }] of Object.entries(outputs)) {
      for (const [input, { bytesInOutput }] of Object.entries(inputs)) {
        const [folder] = /^.*node_modules\/(@[^/]+\/)?[^/]+(?=\/)/.exec(input) ?? [];
        if (folder === undefined || bytesInOutput === 0) continue;
        found.set(folder, (found.get(folder) ?? new Set()).add(output));
      }
    }
  }
  return found;
}

/**
 * The text of all notices.
 *
 * @param packages folder of a package, relative to `root` -> the files with its code
 * @throws Error naming a package that has no licence file
 */
export function licenceNotices(packages, root = ".") {
  const parts = [...packages].map(([folder, files]) => {
    const { name, version, license, repository } = readManifest(root, folder);
    let texts = licenceTexts(join(root, folder));
    const other = SAME_REPOSITORY[name];
    if (texts.length === 0 && other !== undefined) {
      const sibling = join(folder.slice(0, -name.length), other);
      const from = readManifest(root, sibling);
      if (from.repository?.url !== repository?.url || from.license !== license) {
        throw new Error(`${name} is no longer of the repository and licence of ${other}`);
      }
      texts = licenceTexts(join(root, sibling));
    }
    if (texts.length === 0 && REPOSITORY_LICENCE[name] === license) {
      texts = [readFileSync(new URL(`licences/${name}.txt`, import.meta.url), "utf8").trim()];
    }
    if (texts.length === 0) throw new Error(`${name} ${version} is bundled, and has no licence file in ${folder}`);
    return { name, version, license, files: [...files].sort(), texts };
  });
  parts.sort((a, b) => (a.name < b.name ? -1 : 1));
  const heading = ({ name, version, license, files }) => `${name} ${version} (${license}), in ${files.join(", ")}`;
  return [
    "wasm-rnn contains code of the packages below. Their licences follow, in the same order.",
    parts.map((part) => `- ${heading(part)}`).join("\n"),
    ...parts.map((part) => [RULE, heading(part), RULE, ...part.texts].join("\n\n")),
  ].join("\n\n\n");
}

const RULE = "=".repeat(100);

function readManifest(root, folder) {
  return JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"));
}

/** The non-empty texts of a package's licence files. */
function licenceTexts(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => LICENCE_FILE.test(name))
    .sort()
    .flatMap((name) => {
      const path = join(folder, name);
      const files = statSync(path).isDirectory() ? readdirSync(path).map((each) => join(path, each)) : [path];
      return files.sort().map((file) => readFileSync(file, "utf8").replaceAll("\r", "").trim());
    })
    .filter((text) => text !== "");
}
