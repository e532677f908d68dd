// Builds everything under dist/: the wasm modules (wasm.mjs), the bundles, the type declarations, each only where something changed.
// `--wasm` stops after the modules for unshared memory and the files in bindings/ that hold them: most tests and the type check
// need no more.

import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";
import { bundledPackages, licenceNotices, NOTICES } from "./licences.mjs";
import { filesBelow, stage } from "./stage.mjs";
import { buildShared, buildWasm, shipped } from "./wasm.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const node = (script, ...args) => execFileSync(process.execPath, [script, ...args], { stdio: "inherit" });

/**
 * What the loader does when it is imported, and would leave in every app: a TextDecoder, which hosts without one do not need here; a
 * polyfill of Object.hasOwn, which our target has; constants that esbuild keeps.
 */
const idleLoader = {
  name: "idle-loader",
  setup(build) {
    const edits = [
      [/new TextDecoder/g, "/* @__PURE__ */ new (globalThis.TextDecoder ?? class {})"],
      [/^Object\.hasOwn = [^]*?^\};?$/m, ""],
      [/ = 1 << (\d+);/g, (_, bit) => ` = ${1 << bit};`],
    ];
    build.onLoad({ filter: /@assemblyscript[/\\]loader[/\\]index\.js$/ }, ({ path }) => {
      let contents = readFileSync(path, "utf8");
      for (const [from, to] of edits) {
        if (contents.search(from) < 0) throw new Error(`${path}: no ${from}`);
        contents = contents.replace(from, to);
      }
      return { contents };
    });
  },
};

/** What the command line and loadModel import when they need it is the library's own file. */
const libraryLater = {
  name: "library-later",
  setup(build) {
    build.onResolve({ filter: /^\.\.\/\w+\.js$/ }, ({ kind, path }) =>
      kind === "dynamic-import" ? { path: path.slice(1), external: true } : undefined,
    );
  },
};

/** The library's entry points, by name: each file directly in src/, except the command line. package.json exports the same. */
const entries = Object.fromEntries(
  readdirSync("src", { withFileTypes: true })
    .filter((file) => file.isFile() && file.name.endsWith(".ts") && file.name !== "cli.ts")
    .map(({ name }) => [name.slice(0, -".ts".length), `src/${name}`])
    .sort(),
);

/** The statements that re-export all of an entry point from `target`, the default export included. */
function reexport(source, target) {
  const [named = ""] = /export \{ default\b[^}]*\} from /.exec(readFileSync(source, "utf8")) ?? [];
  return `export * from "${target}";${named && `\n${named}"${target}";`}`;
}

/** Whether a source reaches the bytes of a module beside core, backward and training. */
function reachesOthers(path, seen = new Set()) {
  if (seen.has(path)) return false;
  seen.add(path);
  if (/^bindings\/(graph|layers)-module\.ts$/.test(path)) return true;
  const imports = readFileSync(path, "utf8").matchAll(/^(?:import|export) (?!type )[^;]*?from "(\.[^"]+)\.js";$/gm);
  return [...imports].some(([, target]) => reachesOthers(posix.join(posix.dirname(path), `${target}.ts`), seen));
}

/** The parts of index.ts that do not. */
const coreParts = () =>
  [...readFileSync("src/index.ts", "utf8").matchAll(/from "\.\/([^"]+)\.js"/g)]
    .map(([, target]) => posix.join("src", `${target}.ts`))
    .filter((path) => !reachesOthers(path));

/**
 * Makes every entry point import all of index.ts, and one more, which is not kept, the parts of it that need core, backward and training alone. Shared
 * code then goes into two chunks, rather than one per combination of entry points that use it: a fresh process starts 10 ms
 * sooner. Bundlers leave out the other modules' chunk as a whole where nothing uses it.
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
          : `import "./${entries.index}"; ${reexport(entries[path], `./${entries[path]}`)}`,
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
    plugins: [idleLoader],
    logLevel: "warning",
    metafile: true,
  };
  const library = await esbuild.build({
    ...common,
    platform: "neutral",
    mainFields: ["module", "main"],
    splitting: true,
    chunkNames: "chunks/[name]-[hash]",
    external: ["node:*", "bullmq", "ioredis"], // of cluster.js alone
    plugins: [idleLoader, libraryLater, twoChunks],
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
    minify: true,
    legalComments: "none", // the notices contain them
    entryPoints: { cli: "src/cli.ts" },
    plugins: [idleLoader, libraryLater],
    banner: {
      js: 'import { createRequire as wasmRnnRequire } from "node:module";\nconst require = wasmRnnRequire(import.meta.url);',
    },
  });
  chmodSync("dist/cli.js", 0o755);
  const packages = bundledPackages([library.metafile, commandLine.metafile]);
  packages.get(`node_modules/${REEXPORTED}`).add(`dist/types/${REEXPORTED}`);
  // the wasm modules contain code of its standard library
  packages.set("node_modules/assemblyscript", new Set(Object.values(shipped)));
  writeFileSync(`dist/${NOTICES}`, `${licenceNotices(packages)}\n`);
  writeFileSync(
    "build/bundled.json",
    JSON.stringify([library.metafile, commandLine.metafile].map(({ outputs }) => outputs)),
  );
}

/** The URL of a CommonJS module, which has no import.meta. */
const OWN_URL = 'const wasmRnnUrl = require("node:url").pathToFileURL(__filename).href;';

/**
 * Translates each module of the library to CommonJS, index.js to index.cjs, and writes the modules that Node imports:
 * index.node.js re-exports index.cjs, so that `import` and `require` share one copy of the state. Adds the files to `outputs`.
 */
async function writeCommonJs(outputs) {
  for (const [file, output] of Object.entries(outputs)) {
    const source = readFileSync(file, "utf8");
    const { code } = await esbuild.transform(source, {
      format: "cjs",
      platform: "node", // lists the exported names in a form that Node's `import` finds
      target: "es2022",
      supported: { "dynamic-import": false }, // it becomes a `require`: of the file that others require, and also in Jest
      define: { "import.meta.url": "wasmRnnUrl" },
      banner: source.includes("import.meta.url") ? OWN_URL : "",
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

/** A package that an entry point re-exports, and which is not installed with this one: its declarations are copied. */
const REEXPORTED = "onnxruntime-common";

/**
 * The declarations are CommonJS modules: those of ES modules re-export them, so that a class is one type however it is loaded.
 */
function writeDeclarations() {
  node("node_modules/typescript/bin/tsc", "-p", "tsconfig.build.json");
  cpSync(`node_modules/${REEXPORTED}/dist/esm`, `dist/types/${REEXPORTED}`, {
    recursive: true,
    filter: (path) => !/\.(js|map|json)$/.test(path),
  });
  for (const path of readdirSync("dist/types", { recursive: true }).filter((name) => name.endsWith(".d.ts"))) {
    const file = join("dist/types", path);
    const copied = `${posix.relative(posix.dirname(path.replaceAll("\\", "/")), REEXPORTED)}/index.js`;
    const text = readFileSync(file, "utf8")
      .replace(new RegExp(`(?<=from ")${REEXPORTED}(?=")`, "g"), copied)
      .replace(/(?<=\b(?:from|import\() ?["']\.[^"']*)\.js(?=["'])/g, ".cjs")
      .replace(/^\/\/# sourceMappingURL=.*$/m, "");
    writeFileSync(file.replace(/\.ts$/, ".cts"), text);
    rmSync(file);
  }
  for (const [name, source] of Object.entries(entries)) {
    const text = `${reexport(source, `./types/${source.replace(/\.ts$/, ".cjs")}`)}\n`;
    for (const extension of ["ts", "cts"]) writeFileSync(`dist/${name}.d.${extension}`, text);
  }
  const core = "declare const module: WebAssembly.Module;\nexport default module;\n";
  for (const extension of ["ts", "cts"]) writeFileSync(`dist/core.d.${extension}`, core);
}

mkdirSync("build", { recursive: true });
await buildWasm();
if (!process.argv.includes("--wasm")) {
  await buildShared();
  const inputs = () =>
    filesBelow(
      ...["bindings", "src", "scripts/build.mjs", "scripts/licences", "scripts/licences.mjs"],
      ...["LICENSE", "package-lock.json", "package.json", "tsconfig.build.json", "tsconfig.json"],
    );
  await stage(
    "dist",
    inputs,
    () => filesBelow("dist", "build/bundled.json"),
    async () => {
      rmSync("dist", { recursive: true, force: true });
      mkdirSync("dist");
      await bundle();
      writeDeclarations();
      for (const [from, to] of Object.entries(shipped)) copyFileSync(from, to);
    },
  );
}
