// Builds everything under dist/: the wasm modules (wasm.mjs), the bundles, the type declarations. `--wasm` stops after the modules
// for unshared memory and the files in bindings/ that hold them: most tests and the type check need no more.

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";
import { bundledPackages, licenceNotices, NOTICES } from "./licences.mjs";
import { buildShared, buildWasm, shipped } from "./wasm.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const node = (script, ...args) => execFileSync(process.execPath, [script, ...args], { stdio: "inherit" });

/** The loader creates a TextDecoder when it is imported. On a host without one it gets a class that is never used. */
const loaderWithoutTextDecoder = {
  name: "loader-without-text-decoder",
  setup(build) {
    build.onLoad({ filter: /@assemblyscript[/\\]loader[/\\]index\.js$/ }, ({ path }) => ({
      contents: `const TextDecoder = globalThis.TextDecoder ?? class {};\n${readFileSync(path, "utf8")}`,
    }));
  },
};

/** The library's entry points, by name: each file directly in src/, except the command line. package.json exports the same. */
const entries = Object.fromEntries(
  readdirSync("src", { withFileTypes: true })
    .filter((file) => file.isFile() && file.name.endsWith(".ts") && file.name !== "cli.ts")
    .map(({ name }) => [name.slice(0, -".ts".length), `src/${name}`])
    .sort(),
);

/** Whether a source reaches the graph module. */
function reachesGraph(path, seen = new Set()) {
  if (seen.has(path)) return false;
  seen.add(path);
  if (path === "bindings/graph.ts") return true;
  const imports = readFileSync(path, "utf8").matchAll(/^(?:import|export) (?!type )[^;]*?from "(\.[^"]+)\.js";$/gm);
  return [...imports].some(([, target]) => reachesGraph(posix.join(posix.dirname(path), `${target}.ts`), seen));
}

/** The parts of index.ts that do not. */
const coreParts = () =>
  [...readFileSync("src/index.ts", "utf8").matchAll(/from "\.\/([^"]+)\.js"/g)]
    .map(([, target]) => posix.join("src", `${target}.ts`))
    .filter((path) => !reachesGraph(path));

/**
 * Makes every entry point import all of index.ts, and one more, which is not kept, the parts of it that need no graph module. Shared
 * code then goes into two chunks, rather than one per combination of entry points that use it: a fresh process starts 10 ms
 * sooner. Bundlers leave out the graph's chunk as a whole where nothing uses it.
 */
const CORE = "core-parts";
const twoChunks = {
  name: "two-chunks",
  setup(build) {
    build.onResolve({ filter: /^entry:/ }, ({ path }) => ({ path: path.slice("entry:".length), namespace: "entry" }));
    build.onLoad({ filter: /./, namespace: "entry" }, ({ path }) => ({
      contents:
        path === CORE
          ? coreParts()
              .map((part) => `export * from "./${part}";`)
              .join("\n")
          : `import "./${entries.index}"; export * from "./${entries[path]}";`,
      resolveDir: root,
    }));
    // otherwise esbuild drops the import above, since package.json says that modules have no side effects
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
    plugins: [loaderWithoutTextDecoder, twoChunks],
    entryPoints: Object.fromEntries([...Object.keys(entries), CORE].map((name) => [name, `entry:${name}`])),
  });
  rmSync(`dist/${CORE}.js`);
  delete library.metafile.outputs[`dist/${CORE}.js`];
  // Removes doc comments, which are in the declarations: an app whose bundler does not minify would ship them.
  for (const file of Object.keys(library.metafile.outputs)) {
    writeFileSync(file, readFileSync(file, "utf8").replace(/^ *\/\*\*[^]*?\*\/\n/gm, ""));
  }
  await writeCommonJs(library.metafile.outputs);
  const commandLine = await esbuild.build({
    ...common,
    platform: "node",
    minifyWhitespace: true,
    minifySyntax: true,
    legalComments: "none", // the notices contain them
    entryPoints: { cli: "src/cli.ts" },
    banner: {
      js: 'import { createRequire as wasmRnnRequire } from "node:module";\nconst require = wasmRnnRequire(import.meta.url);',
    },
  });
  chmodSync("dist/cli.js", 0o755);
  const packages = bundledPackages([library.metafile, commandLine.metafile]);
  // the wasm modules contain code of its standard library
  packages.set("node_modules/assemblyscript", new Set(shipped.map((path) => path.replace("build", "dist"))));
  writeFileSync(`dist/${NOTICES}`, `${licenceNotices(packages)}\n`);
  writeFileSync(
    "build/bundled.json",
    JSON.stringify([library.metafile, commandLine.metafile].map(({ outputs }) => outputs)),
  );
}

/**
 * Translates each module of the library to CommonJS, index.js to index.cjs, and writes the modules that Node imports:
 * index.node.js re-exports index.cjs, so that `import` and `require` share one copy of the state. Adds the files to `outputs`.
 */
async function writeCommonJs(outputs) {
  for (const [file, output] of Object.entries(outputs)) {
    const { code } = await esbuild.transform(readFileSync(file, "utf8"), {
      format: "cjs",
      platform: "node", // lists the exported names in a form that Node's `import` finds
      target: "es2022",
    });
    const commonJs = file.replace(/\.js$/, ".cjs");
    writeFileSync(commonJs, code.replace(/(?<=\brequire\("\.[^"]*)\.js(?="\))/g, ".cjs"));
    outputs[commonJs] = output;
  }
  for (const name of Object.keys(entries)) {
    const names = outputs[`dist/${name}.js`].exports;
    writeFileSync(`dist/${name}.node.js`, `export { ${names.sort().join(", ")} } from "./${name}.cjs";\n`);
  }
}

/**
 * The declarations are CommonJS modules: those of ES modules re-export them, so that a class is one type however it is loaded.
 */
function writeDeclarations() {
  node("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json");
  for (const path of readdirSync("dist/types", { recursive: true }).filter((name) => name.endsWith(".d.ts"))) {
    const file = join("dist/types", path);
    const text = readFileSync(file, "utf8").replace(/(?<=\b(?:from|import\() ?"\.[^"]*)\.js(?=")/g, ".cjs");
    writeFileSync(file.replace(/\.ts$/, ".cts"), text);
    rmSync(file);
  }
  for (const [name, source] of Object.entries(entries)) {
    const text = `export * from "./types/${source.replace(/\.ts$/, ".cjs")}";\n`;
    for (const extension of ["ts", "cts"]) writeFileSync(`dist/${name}.d.${extension}`, text);
  }
  const core = "declare const module: WebAssembly.Module;\nexport default module;\n";
  for (const extension of ["ts", "cts"]) writeFileSync(`dist/core.d.${extension}`, core);
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
  writeDeclarations();
  for (const path of shipped) copyFileSync(path, join("dist", path.slice("build/".length)));
  await shared;
}
