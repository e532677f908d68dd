// README.md as npm shows it: links and images that are relative in the repository become absolute. npm runs this before and
// after it packs:
//
//     node scripts/readme.mjs --absolute     rewrites README.md, and keeps the original in build/
//     node scripts/readme.mjs --restore      puts the original back

import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const KEPT = "build/README.md";

/** The address of a repository on GitHub, without ".git", from package.json's field; undefined where there is none. */
export function repositoryAddress({ repository }) {
  const url = typeof repository === "string" ? repository : repository?.url;
  return /^(?:git\+)?(https:\/\/github\.com\/[\w.-]+\/[\w.-]+?)(?:\.git)?$/.exec(url ?? "")?.[1];
}

/**
 * Makes relative links, images, `href` and `src` absolute. Code stays as it is.
 *
 * @param address of the repository, as repositoryAddress returns it
 * @param reference the tag or branch that links lead to
 * @param root the folder that links are relative to
 * @throws Error naming the links that lead to no file
 */
export function absoluteLinks(markdown, address, reference, root = ".") {
  const broken = [];
  const absolute = (link, isImage) => {
    if (/^([a-z][a-z\d+.-]*:|\/\/|#)/i.test(link)) return link;
    const [, path, anchor] = /^(?:\.\/)?([^#]*)(#.*)?$/.exec(link);
    const file = join(root, decodeURI(path));
    if (!existsSync(file)) broken.push(link);
    else if (isImage) return `${address.replace("//github.com/", "//raw.githubusercontent.com/")}/${reference}/${path}`;
    else return `${address}/${statSync(file).isDirectory() ? "tree" : "blob"}/${reference}/${path}${anchor ?? ""}`;
    return link;
  };
  const LINK = /(!?)\[((?:!\[[^\]]*\]\([^)]*\)|[^[\]])*)\]\(([^()\s]+)(?=[\s)])/;
  const REFERENCE = /^(\[[^\]]+\]: +)(\S+)/;
  const ATTRIBUTE = /\b(href|src)="([^"]+)"/;
  const CODE = /^(?:```|~~~)[^]*?^(?:```|~~~)$|`[^`\n]+`/;
  const all = new RegExp([CODE, LINK, REFERENCE, ATTRIBUTE].map(({ source }) => source).join("|"), "gm");
  const rewrite = (text) =>
    text.replace(all, (found, bang, label, link, reference, target, attribute, value) => {
      if (link !== undefined) return `${bang}[${rewrite(label)}](${absolute(link, bang === "!")}`;
      if (target !== undefined) return reference + absolute(target, false);
      if (value !== undefined) return `${attribute}="${absolute(value, attribute === "src")}"`;
      return found; // code
    });
  const result = rewrite(markdown);
  if (broken.length > 0) throw new Error(`README.md links to files that do not exist: ${broken.join(", ")}`);
  return result;
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const manifest = JSON.parse(readFileSync("package.json", "utf8"));
  const address = repositoryAddress(manifest);
  if (process.argv.includes("--restore")) {
    if (existsSync(KEPT)) renameSync(KEPT, "README.md");
  } else if (address === undefined) {
    console.error("README.md keeps its relative links: package.json names no repository.");
  } else if (!existsSync(KEPT)) {
    const text = readFileSync("README.md", "utf8");
    const rewritten = absoluteLinks(text, address, `v${manifest.version}`);
    mkdirSync("build", { recursive: true });
    writeFileSync(KEPT, text);
    writeFileSync("README.md", rewritten);
  }
}
