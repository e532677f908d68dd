// Builds the site: static files that work from any folder of any file server. The front page, the race, speech, the amplifier, and the
// documentation; a service worker with which they work offline.
//
//     npm run site -- [--address <url>] [--models <folder>] [--versions <folder>] [--quick] [<target>]     by default in demo/site
//
// --quick leaves out the documentation and the speech page, whose model comes with large packages.

import { createHash } from "node:crypto";
import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { Command } from "commander";
import { Application } from "typedoc";
import { bundlePage } from "./bundle.js";
import { writePage, type PageOptions } from "./html.mjs";
import { buildPage } from "./page.mjs";
import { serveFolder } from "./serve.mjs";
import { buildSpeechPage } from "./speech.js";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const examples = join(root, "examples");

/** Files of the pages that everybody gets for later: not the documentation, and no models of sound before they are used. */
const isKept = (path: string) => !/^docs\/|\.(onnx|wav|jpg)$|^sw\.js$/.test(path);

export interface SiteOptions {
  /** Where the site will be, for the pictures that links to it show. */
  address?: string;
  /** As of buildSpeechPage. */
  models?: string;
  /** Where files of the repository are edited: documents have a link there. */
  edit?: string;
  /** A folder with the documentation of releases, a folder for each, called as the version: `typedoc --out <folder>/1.2.3`. */
  versions?: string;
  /** Parts to leave out: those that take long to build, or packages. */
  without?: readonly ("docs" | "speech")[];
}

/** Writes the site into `target`, which is emptied. */
export async function buildSite(
  target: string,
  { address, models, edit, versions, without = [] }: SiteOptions = {},
): Promise<void> {
  rmSync(target, { recursive: true, force: true });
  const page = (folder: string) => ({ folder, address, site: true });
  await buildPage(target, page(""));
  copyFileSync(join(examples, "site/register.js"), join(target, "register.js"));
  await bundle("why", target, { main: "main.ts", worker: "worker.ts" }, ["why.css"], page("why/"));
  await bundle("amp", target, { main: "main.ts", worklet: "worklet.ts" }, ["amp.css", "amp.json"], page("amp/"));
  writeSizes(join(target, "amp"), ["amp.json", "worklet.js", "main.js"]);
  if (!without.includes("speech")) await buildSpeechPage(join(target, "speech"), models, page("speech/"));
  if (!without.includes("docs")) await buildDocs(join(target, "docs"), { edit, versions });
  writeServiceWorker(target);
}

async function bundle(
  name: string,
  target: string,
  entries: Record<string, string>,
  files: readonly string[],
  page: PageOptions,
): Promise<void> {
  const [source, folder] = [join(examples, name), join(target, name)];
  writePage(source, folder, page);
  for (const file of files) copyFileSync(join(source, file), join(folder, file));
  await bundlePage(source, folder, entries);
}

/** Sizes of downloads, which the page shows. */
function writeSizes(folder: string, names: readonly string[]): void {
  const sizes = names.map((name) => {
    const bytes = readFileSync(join(folder, name));
    return { name, bytes: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
  });
  writeFileSync(join(folder, "files.json"), JSON.stringify(sizes));
}

/** Versions of the documentation, as docs/site.js reads them beside each: the name, and the way there. */
type Versions = { name: string; path: string }[];

/** Writes guides and reference into `target`. */
export async function buildDocs(
  target: string,
  { edit, versions }: Pick<SiteOptions, "edit" | "versions">,
): Promise<void> {
  const sources = {
    disableSources: false,
    disableGit: true,
    sourceLinkTemplate: `${edit}/{path}`,
    gitRevision: "main",
  };
  const application = await Application.bootstrapWithPlugins({
    options: join(root, "typedoc.json"),
    out: target,
    ...(edit !== undefined && { ...sources, basePath: root }),
  });
  if (edit !== undefined) application.options.setValue("editUrl", edit);
  const project = await application.convert();
  if (project === undefined) throw new Error("typedoc found errors");
  await application.generateDocs(project, target);
  addVersions(target, versions);
}

/**
 * Puts the documentation of releases beside that of this build; each has a list of all.
 *
 * @param folder has the documentation of each release in a folder called as its version
 */
export function addVersions(target: string, folder: string | undefined): void {
  const releases = folder === undefined ? [] : readdirSync(folder, { withFileTypes: true }).filter((each) => each.isDirectory()).map(({ name }) => name); // prettier-ignore
  releases.sort((a, b) => b.localeCompare(a, "en", { numeric: true }));
  const list = (here: string | undefined): Versions => {
    const up = here === undefined ? "./" : "../";
    return [
      { name: "newest", path: here === undefined ? "" : up },
      ...releases.map((name) => ({ name, path: name === here ? "" : `${up}${name}/` })),
    ];
  };
  for (const name of releases) {
    cpSync(join(folder!, name), join(target, name), { recursive: true });
    writeFileSync(join(target, name, "versions.json"), JSON.stringify(list(name)));
  }
  writeFileSync(join(target, "versions.json"), JSON.stringify(list(undefined)));
}

const filesOf = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => statSync(join(folder, path)).isFile())
    .map((path) => path.replaceAll("\\", "/"))
    .sort();

/** The service worker, with the hash of everything that the site has. */
function writeServiceWorker(target: string): void {
  const hash = createHash("sha256");
  const files = filesOf(target);
  for (const path of files) hash.update(path).update(readFileSync(join(target, path)));
  const kept = files.filter(isKept).map((path) => path.replace(/(^|\/)index\.html$/, "$1"));
  const code = readFileSync(join(examples, "site/sw.js"), "utf8")
    .replace('const BUILD = "";', `const BUILD = "${hash.digest("hex").slice(0, 16)}";`)
    .replace("const FILES = [];", `const FILES = ${JSON.stringify(kept)};`)
    .replace(/\/\/\n\/\/ scripts\/site\.ts puts[^\n]*\n/, "");
  writeFileSync(join(target, "sw.js"), code);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const command = new Command("site")
    .description("Builds the site")
    .argument("[target]", "folder to write to, which is emptied", join(root, "demo/site"))
    .option("--address <url>", "where the site will be")
    .option("--models <folder>", "folder with DTLN's files and a recorded voice, for the speech page")
    .option("--edit <url>", "where files of the repository are edited, for links in the documentation")
    .option("--versions <folder>", "folder with the documentation of releases, a folder for each")
    .option("--quick", "without the documentation and the speech page")
    .option("--serve", "serve the site")
    .parse();
  const { serve, quick, ...options } = command.opts<SiteOptions & { serve?: boolean; quick?: boolean }>();
  const target = resolve(command.processedArgs[0] as string);
  await buildSite(target, { ...options, without: quick ? ["docs", "speech"] : [] });
  console.log(`The site is in ${relative(process.cwd(), target)}: ${filesOf(target).length} files.`);
  if (serve) console.log(`It is at ${(await serveFolder(target)).url} (Ctrl-C ends it).`);
}
