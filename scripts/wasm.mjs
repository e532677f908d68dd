// Compiles assembly/ and writes what TypeScript needs of it: bindings/wasm.ts for the core, bindings/wasm-graph.ts and so on for the
// other modules. Each has two builds, SIMD and relaxed SIMD, and each of these one for unshared memory and one for shared. The package
// ships one file of core, backward and training in one, for hosts that forbid compiling: "complete".
//
// Memory: the core's constants, to its heapBase(); those of each other module, which is compiled for the address where the one before
// ends, to its own; the scratch of all; a record (bindings/record.ts); the heap.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { sourcesOf, writeExports } from "./exports.mjs";
import { makePatch } from "./patch.mjs";
import { filesBelow, stage } from "./stage.mjs";

const readJson = (path) => JSON.parse(readFileSync(path, "utf8"));
const { version } = readJson("package.json");
const { version: assemblyscript } = readJson("node_modules/assemblyscript/package.json");

const BUILDS = ["simd", "relaxed"];

/** The file of a module: build/core.wasm, build/graph.relaxed.shared.wasm ... */
const fileOf = (module, build, shared) =>
  `build/${module}${build === "relaxed" ? ".relaxed" : ""}${shared ? ".shared" : ""}.wasm`;

/** The files that the package ships, and their places there. */
export const shipped = Object.fromEntries(
  BUILDS.map((build) => [fileOf("complete", build, false), fileOf("core", build, false).replace("build/", "dist/")]),
);

/** Runs asc in a process of its own, since it takes seconds. `base`: where constants lie; undefined for the core. */
function compile(module, entries, build, shared, id, base) {
  const imported = ["--importMemory", "--zeroFilledMemory"]; // or there would be data segments of zeros
  const all = [
    ...[...entries, "--target", build, "--outFile", fileOf(module, build, shared)],
    ...(shared ? ["--sharedMemory", "--maximumMemory", "65536", "--enable", "threads"] : []),
    ...(shared || base ? imported : []),
    ...(module === "graph" ? ["--use", "SHORT_TILES=1"] : []), // 600 bytes, gzipped, of which { fromOnnx } has few left
    ...(base ? ["--memoryBase", `${base}`] : ["--use", `BUILD_ID=${id}`]),
    ...(module === "parts" ? ["--use", "IN_PARTS=1"] : []),
  ];
  const child = spawn(process.execPath, ["node_modules/assemblyscript/bin/asc.js", ...all], { stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code) => (code === 0 ? resolve() : reject(new Error(`asc ${all.join(" ")}: exit code ${code}`))));
  });
}

/** A number that changes with the sources of the modules, their compiler or its options. */
function buildId() {
  const hash = createHash("sha256").update(assemblyscript);
  for (const path of [...sourcesOf("assembly").sort(), "asconfig.json", "scripts/wasm.mjs"]) {
    hash.update(readFileSync(path, "utf8").replaceAll("\r", ""));
  }
  return hash.digest().readUInt32BE() >>> 1;
}

/** The address past a module's constants. They are those of both builds; the engine may run the SIMD one only. */
function heapBaseOf(module, base = 0) {
  const compiled = new WebAssembly.Module(readFileSync(fileOf(module, "simd", false)));
  const memory = new WebAssembly.Memory({ initial: Math.ceil(base / 65536) + 16 });
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports.heapBase();
}

/** A record, as bindings/record.ts takes it. A loop over names would take 30 times as long as these assignments. */
const recordLines = ({ name, path, f64, i32 }) => [
  `/** \`${name}\` of ${path}. */`,
  `export const ${name[0].toLowerCase()}${name.slice(1)} = {`,
  `  bytes: ${8 * f64.length + 4 * i32.length},`,
  "  write(",
  `    ${f64.length > 0 ? "" : "_"}f64: Float64Array,`,
  "    i32: Int32Array,",
  "    address: number,",
  `    values: Partial<Record<${[...f64, ...i32].map((field) => `"${field}"`).join(" | ")}, number | boolean>>,`,
  "  ): void {",
  ...(f64.length > 0 ? ["    let p = address / 8;"] : []),
  ...f64.map((field) => `    f64[p++] = (values.${field} ?? 0) as number;`),
  `    let q = address / 4${f64.length > 0 ? ` + ${2 * f64.length}` : ""};`,
  ...i32.map((field) => `    i32[q++] = values.${field} as number;`),
  "  },",
  "};",
  "",
];

/** Where the fields of a record are, in bytes from its address, and its own. */
const fieldLines = ({ name, path, f64, i32 }) => [
  `/** \`${name}\` of ${path}. */`,
  `export const ${name[0].toLowerCase()}${name.slice(1)} = {`,
  `  bytes: ${8 * f64.length + 4 * i32.length},`,
  ...f64.map((field, i) => `  ${field}: ${8 * i},`),
  ...i32.map((field, i) => `  ${field}: ${8 * f64.length + 4 * i},`),
  "} as const;",
  "",
];

/** A build's hexadecimal digits. */
const digitsOf = (module, build) => readFileSync(fileOf(module, build, false)).toString("hex");

/** Digits that a module copies from the core at least: gzip does more for shorter pieces. */
const FAR = 64;

/** The declarations that all generated files have: exports and records of a module, and its bytes. */
function moduleLines(module, { signatures, records }, globals) {
  const [simd, relaxed] = BUILDS.map((build) => digitsOf(module, build));
  const digits =
    module === "core"
      ? [
          "/** The SIMD build, in hexadecimal digits. */",
          `export const simd: string = "${simd}";`, // by its type alone in the package's declarations
        ]
      : [
          "/** The SIMD build's digits, as their difference from the core's (scripts/patch.mjs). */",
          `export const simdPatch: string = "${makePatch(digitsOf("core", "simd"), simd, FAR)}";`,
        ];
  return [
    "// Generated by scripts/wasm.mjs from assembly/: do not edit.",
    "",
    "/** The exports of both builds. */",
    "export type Exports = {",
    ...globals.map((name) => `  readonly ${name}: WebAssembly.Global;`),
    ...signatures,
    "}",
    "",
    ...records.flatMap(recordLines),
    "",
    ...digits,
    ...(module === "core"
      ? ["/** The difference of the relaxed build's digits from those. */"]
      : ["/** The relaxed build's digits, as their difference from the core's relaxed build's, followed by those. */"]),
    `export const relaxedPatch: string = "${makePatch(module === "core" ? simd : digitsOf("core", "relaxed") + simd, relaxed)}";`,
    "",
  ];
}

/**
 * Calls `visit` with each module's name, entry and address of its constants, undefined for the core, which is known once those before are
 * compiled. Returns the address past all constants.
 */
async function place(modules, visit) {
  let base;
  for (const [name, { entry }] of Object.entries(modules)) {
    await visit(name, [entry], base);
    base = heapBaseOf(base ? name : "complete", base);
  }
  return base;
}

/** Compiles all modules for unshared memory and writes the generated files. */
async function compileAll(modules) {
  const { core, ...others } = modules;
  const id = buildId();
  const complete = [core, modules.backward, modules.training].map(({ entry }) => entry);
  await Promise.all(BUILDS.map((build) => compile("complete", complete, build, false, id)));
  const end = await place(modules, (name, entries, base) =>
    Promise.all(BUILDS.map((build) => compile(name, entries, build, false, id, base))),
  );
  const records = Object.values(modules).flatMap((each) => each.records);
  const lines = [
    ...moduleLines("core", core, ["RELAXED", "BUILD"]),
    "/** Address past the constants of all modules, and bytes of the largest record. */",
    `export const heapBase = ${end};`,
    `export const recordBytes = ${Math.max(...records.map(({ f64, i32 }) => 8 * f64.length + 4 * i32.length))};`,
    "",
    "/** SHA-256 of the builds that the package ships, in hexadecimal. */",
    'export const hashes: Readonly<Record<"simd" | "relaxed", string>> = {',
    ...BUILDS.map((build) => {
      const digest = createHash("sha256").update(readFileSync(fileOf("complete", build, false)));
      return `  ${build}: "${digest.digest("hex")}",`;
    }),
    "};",
    "",
    "/** The BUILD of both builds. */",
    `export const build = ${id};`,
    "",
    `export const version = "${version}";`,
    "",
  ];
  writeFileSync("bindings/wasm.ts", lines.join("\n"));
  for (const [name, each] of Object.entries(others)) {
    writeFileSync(`bindings/wasm-${name}.ts`, moduleLines(name, each, []).join("\n"));
  }
  const unique = new Map(records.map((record) => [record.name, record]));
  const head = [
    "// Generated by scripts/wasm.mjs from assembly/: do not edit. A file of its own, without the bytes of modules.",
    "",
  ];
  writeFileSync(FIELDS, [...head, ...[...unique.values()].flatMap(fieldLines)].join("\n"));
}

const FIELDS = "bindings/wasm-fields.ts";

const inputs = () => [
  ...sourcesOf("assembly"),
  ...["asconfig.json", "node_modules/assemblyscript/package.json"],
  ...filesBelow("scripts").filter((path) => /\b(exports|patch|wasm)\.mjs$/.test(path)),
];

/** Makes the modules for unshared memory and the generated files. */
export async function buildWasm() {
  const modules = writeExports();
  const names = Object.keys(modules);
  const outputs = () => [
    ...BUILDS.flatMap((build) => ["complete", ...names].map((name) => fileOf(name, build, false))),
    ...names.map((name) => (name === "core" ? "bindings/wasm.ts" : `bindings/wasm-${name}.ts`)),
    FIELDS,
  ];
  await stage(
    `wasm modules of version ${version}`, // which the generated files have in them
    inputs,
    () => filesBelow(...outputs()),
    () => compileAll(modules),
  );
}

/**
 * Makes the modules for shared memory, after `buildWasm`. `startThreads` derives
 * the same from the inlined bytes; tests compare the two.
 */
export async function buildShared() {
  const modules = writeExports();
  const id = buildId();
  const outputs = () => filesBelow("build").filter((path) => path.endsWith(".shared.wasm"));
  await stage("wasm modules for shared memory", inputs, outputs, async () => {
    const compiling = [];
    await place(modules, (name, entries, base) => {
      compiling.push(...BUILDS.map((build) => compile(name, entries, build, true, id, base)));
    });
    await Promise.all(compiling);
  });
}
