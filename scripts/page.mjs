// Bundles the page that trains in a browser (examples/browser) with its texts and the loop that measures the peak. The page
// imports the package's sources, and src/train beside them, so that the bundle has one copy of everything. scripts/site.ts builds it
// and the others as one site.
//
//     node scripts/page.mjs [folder]      static files for any file server, by default in demo/page
//     node scripts/page.mjs --serve       a server that rebuilds and reloads the page on every change

import { copyFileSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";
import { compile } from "../bench/compile.mjs";
import { writePage, writeShared } from "./html.mjs";
import { serveBeside } from "./serve.mjs";
import { codeText, mobyText, namesText } from "./texts.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, "examples/browser");

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

/** What reads files of other programs is a script of its own, which comes when somebody loads one. */
const filesLater = {
  name: "files-later",
  setup(build) {
    build.onResolve({ filter: /^\.\/files\.js$/ }, ({ path, kind }) =>
      kind === "dynamic-import" ? { path, external: true } : undefined,
    );
  },
};

function options(folder, serving) {
  return {
    absWorkingDir: root,
    entryPoints: { main: join(source, "main.ts"), worker: join(source, "worker.ts"), files: join(source, "files.ts") },
    outdir: folder,
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: !serving,
    sourcemap: serving ? "inline" : false,
    legalComments: serving ? "none" : "linked",
    logLevel: "warning",
    plugins: [peaks, filesLater],
    ...(serving && { footer: { js: reload } }),
  };
}

/** Runs in the page only: the worker has no document. */
const reload = `typeof document !== "undefined" && new EventSource("/esbuild").addEventListener("change", () => location.reload());`;

function copy(folder, page) {
  writePage(source, folder, page);
  writeShared(folder);
  copyFileSync(join(source, "moby.safetensors"), join(folder, "moby.safetensors"));
  for (const [name, text] of Object.entries({
    "moby-dick.txt": mobyText,
    "names.txt": namesText,
    "source-code.txt": codeText,
  })) {
    writeFileSync(join(folder, name), text());
  }
}

/** Writes the page into `folder`, where it replaces files of the same names; `page` as of writePage. */
export async function buildPage(folder, page) {
  copy(folder, page);
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
        watchFiles: [join(source, "index.html"), join(root, "examples/site/style.css")],
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
  console.log(`The page is at ${(await serveBeside(port)).url} (Ctrl-C ends it).`);
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
