// Builds everything under dist/: the wasm modules (wasm.mjs), the bundles, the type declarations. `--wasm` stops after the modules
// for unshared memory and the files in bindings/ that hold them: most tests and the type check need no more.

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";
import { bundledPackages, licenceNotices, NOTICES } from "./licences.mjs";
import { buildShared, buildWasm, shipped } from "./wasm.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const node = (script, ...args) => execFileSync(process.execPath, [script, ...args], { stdio: "inherit" });

/** The loader makes a TextDecoder when it is imported; where the host has none, it gets one that is never called. */
const loaderWithoutTextDecoder = {
  name: "loader-without-text-decoder",
  setup(build) {
    build.onLoad({ filter: /@assemblyscript[/\\]loader[/\\]index\.js$/ }, ({ path }) => ({
      contents: `const TextDecoder = globalThis.TextDecoder ?? class {};\n${readFileSync(path, "utf8")}`,
    }));
  },
};

/** The library's entry points, by name: each file of src/ itself but the command line. package.json's exports have the same. */
const entries = Object.fromEntries(
  readdirSync("src", { withFileTypes: true })
    .filter((file) => file.isFile() && file.name.endsWith(".ts") && file.name !== "cli.ts")
    .map(({ name }) => [name.slice(0, -".ts".length), `src/${name}`])
    .sort(),
);

/**
 * Every entry point counts as using all of the first one, so that what they share becomes one chunk and not one for each
 * combination of entry points that use it: a fresh process starts 10 ms sooner.
 */
const oneChunk = {
  name: "one-chunk",
  setup(build) {
    build.onResolve({ filter: /^entry:/ }, ({ path }) => ({ path: path.slice("entry:".length), namespace: "entry" }));
    build.onLoad({ filter: /./, namespace: "entry" }, ({ path }) => ({
      contents: `import "./${entries.index}"; export * from "./${entries[path]}";`,
      resolveDir: root,
    }));
    // or else the import above would be dropped, since package.json says that importing has no effects
    build.onResolve({ filter: /^\./ }, ({ path, resolveDir }) => {
      if (!resolveDir.includes("node_modules")) {
        return { path: join(resolveDir, path.replace(/\.js$/, ".ts")), sideEffects: true };
      }
    });
  },
};

async function bundle() {
  const common = {
    bundle: true,
    format: "esm",
    target: "es2022",
    outdir: "dist",
    plugins: [loaderWithoutTextDecoder],
    logLevel: "warning",
    metafile: true,
  };
  const library = await esbuild.build({
    ...common,
    platform: "neutral",
    mainFields: ["module", "main"],
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    plugins: [loaderWithoutTextDecoder, oneChunk],
    entryPoints: Object.fromEntries(Object.keys(entries).map((name) => [name, `entry:${name}`])),
  });
  // The declarations have the comments; an app whose bundler does not minify would ship those of the scripts.
  for (const path of readdirSync("dist", { recursive: true }).filter((name) => name.endsWith(".js"))) {
    const file = join("dist", path);
    writeFileSync(file, readFileSync(file, "utf8").replace(/^ *\/\*\*[^]*?\*\/\n/gm, ""));
  }
  const commandLine = await esbuild.build({
    ...common,
    platform: "node",
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none", // they are in the notices
    entryPoints: { cli: "src/cli.ts" },
    banner: {
      js: 'import { createRequire as wasmRnnRequire } from "node:module";\nconst require = wasmRnnRequire(import.meta.url);',
    },
  });
  chmodSync("dist/cli.js", 0o755);
  const packages = bundledPackages([library.metafile, commandLine.metafile]);
  // the wasm modules have code of its standard library, and so does what they are inlined in
  packages.set("node_modules/assemblyscript", new Set(shipped.map((path) => path.replace("build", "dist"))));
  writeFileSync(`dist/${NOTICES}`, `${licenceNotices(packages)}\n`);
  writeFileSync(
    "build/bundled.json",
    JSON.stringify([library.metafile, commandLine.metafile].map(({ outputs }) => outputs)),
  );
}

mkdirSync("build", { recursive: true });
const built = await buildWasm();
if (!process.argv.includes("--wasm")) {
  rmSync("dist", { recursive: true, force: true });
  mkdirSync("dist");
  const shared = buildShared(built); // takes as long as what follows
  console.log("bundles ...");
  await bundle();
  console.log("type declarations ...");
  node("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json");
  for (const [name, source] of Object.entries(entries)) {
    writeFileSync(`dist/${name}.d.ts`, `export * from "./types/${source.replace(/\.ts$/, ".js")}";\n`);
  }
  writeFileSync("dist/types/core.d.ts", "declare const module: WebAssembly.Module;\nexport default module;\n");
  for (const path of shipped) copyFileSync(path, join("dist", path.slice("build/".length)));
  await shared;
}
