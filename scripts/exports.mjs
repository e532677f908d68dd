// Reads the kernels of assembly/: writes the functions that the host calls, `name_f64` and `name_f32` for each `name<T>`, and
// tells their signatures and the fields of the records they take.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { posix } from "node:path";

/**
 * The modules in the order of their constants in memory: `main`, with exports beside those of kernels, and files of kernels, all
 * relative to the module's folder; each with those of its exported functions that are not kernels of the module, or in `some`, with
 * those that are.
 */
const modules = {
  core: {
    folder: "assembly",
    main: "index",
    files: {
      "gemm/gemm": ["scratchBytes", "setScratch", "packedSize", "packedBytes", "packWeight", "gemmPacked"],
      activation: ["activateArray"],
      elementwise: [],
      "recurrent/rnn": ["rnnBackward"],
      "recurrent/lstm": ["lstmBackward"],
      "recurrent/gru": ["packedIrz", "packedHh", "packedBias", "gruBackward"],
      linear: ["linearBackward"],
      random: [],
      rows: [],
      softmax: ["maximum", "expShifted"],
      layernorm: ["layerNormBackward"],
    },
  },
  backward: {
    folder: "assembly/backward",
    some: {
      "../recurrent/rnn": ["rnnBackward"],
      "../recurrent/lstm": ["lstmBackward"],
      "../recurrent/gru": ["gruBackward"],
      "../linear": ["linearBackward"],
      "../layernorm": ["layerNormBackward"],
    },
  },
  graph: {
    folder: "assembly/graph",
    files: {
      elementwise: [],
      unary: [],
      matmul: [],
      movement: [],
      reduce: [],
      conv: [],
      pool: [],
      norm: [],
      gru: [],
    },
  },
  layers: {
    folder: "assembly/layers",
    files: {
      steps: [],
      conv: [],
      pool: [],
      "batch-norm": [],
      activation: [],
      ctc: [],
      attention: [],
    },
  },
  training: {
    folder: "assembly/training",
    files: {
      classes: [],
      elementwise: [],
      optim: [],
      orthonormal: [],
    },
  },
  // Recurrent passes once more, as threads run them: compiled with IN_PARTS.
  parts: {
    folder: "assembly/parts",
    some: {
      "../recurrent/rnn": ["rnnForward", "rnnBackward"],
      "../recurrent/lstm": ["lstmForward", "lstmBackward"],
      "../recurrent/gru": ["gruForward", "gruBackward"],
    },
  },
};

/** Types of parameters and results, and what they are in TypeScript; any other type is a record, given by its address. */
const TYPES = { i32: "number", usize: "number", f32: "number", f64: "number", bool: "boolean", void: "void" };

const read = (path) => readFileSync(path, "utf8").replaceAll("\r", "");

/** The exported functions of a source, but for inlined ones: those are parts of kernels. */
function functionsOf(source) {
  const declaration = /(^@inline\n)?^export function (\w+)(<T>)?\(([^)]*)\): (\w+) \{$/gm;
  return [...source.matchAll(declaration)]
    .filter(([, inlined]) => !inlined)
    .map(([, , name, generic, list, result]) => ({
      name,
      types: generic ? ["f64", "f32"] : ["f64"],
      parameters: [...list.matchAll(/(\w+): (\w+)/g)].map(([, parameter, type]) => [parameter, type]),
      result,
    }));
}

const concrete = (declared, type) => (declared === "T" ? type : declared);

function wrapper({ name, types, parameters, result }, type) {
  const list = parameters.map(([parameter, declared]) => `${parameter}: ${concrete(declared, type)}`).join(", ");
  const call = `${name}${types.length > 1 ? `<${type}>` : ""}(${parameters.map(([parameter]) => parameter).join(", ")})`;
  const body = result === "void" ? call : `return ${call}`;
  return `export function ${name}_${type}(${list}): ${concrete(result, type)} {\n  ${body};\n}\n`;
}

/** A function's property of the exports, in TypeScript. */
function signature(name, { parameters, result }, type) {
  const list = parameters.map(
    ([parameter, declared]) => `${parameter}: ${TYPES[concrete(declared, type)] ?? "number"}`,
  );
  return `  readonly ${name}: (${list.join(", ")}) => ${TYPES[concrete(result, type)]};`;
}

/** All sources but the tests, by their paths. */
export function sourcesOf(folder) {
  const names = readdirSync(folder, { recursive: true }).map((name) => name.replaceAll("\\", "/"));
  return names.filter((name) => /^(?!__tests__\/).*\.ts$/.test(name)).map((name) => `${folder}/${name}`);
}

/** The record class `name`: its file, and its fields in order, of f64 and after them of 4 bytes. */
function recordOf(name) {
  const head = `@unmanaged\nexport class ${name} {\n`;
  const path = sourcesOf("assembly").find((each) => read(each).includes(head));
  if (!path) throw new Error(`scripts/exports.mjs: no @unmanaged class ${name} in assembly/`);
  const [body] = read(path).split(head)[1].split("\n}\n");
  const fields = [...body.matchAll(/^ {2}(\w+): (\w+);$/gm)].map(([, field, type]) => ({ field, type }));
  const ofType = (...types) => fields.filter(({ type }) => types.includes(type)).map(({ field }) => field);
  const [f64, i32] = [ofType("f64"), ofType("i32", "usize")];
  if (fields.map(({ field }) => field).join() !== [...f64, ...i32].join()) {
    throw new Error(`${path}: ${name} must have fields of f64, then of i32 and usize, and no others`);
  }
  return { name, path, f64, i32 };
}

function writeModule({ folder, main, files, some }) {
  const kernels = [];
  const imports = [];
  for (const [file, named] of Object.entries(files ?? some)) {
    const all = functionsOf(read(posix.join(folder, `${file}.ts`)));
    const unknown = named.filter((name) => !all.some((kernel) => kernel.name === name));
    if (unknown.length) throw new Error(`scripts/exports.mjs: ${folder}/${file}.ts has no ${unknown.join(", ")}`);
    const exported = all.filter(({ name }) => named.includes(name) === (files === undefined));
    imports.push(`import { ${exported.map(({ name }) => name).join(", ")} } from "./${file}";`);
    kernels.push(...exported);
  }
  const types = kernels.flatMap(({ parameters }) => parameters.map(([, type]) => type));
  const records = [...new Set(types)].filter((type) => type !== "T" && !TYPES[type]).map(recordOf);
  for (const { name, path } of records) {
    imports.push(`import { ${name} } from "./${posix.relative(folder, path).replace(/\.ts$/, "")}";`);
  }
  const common = `export * from "./${posix.relative(folder, "assembly/module")}";`;
  const wrappers = kernels.flatMap((kernel) => kernel.types.map((type) => wrapper(kernel, type)));
  const head = "// Generated by scripts/exports.mjs from the kernels' signatures: do not edit.\n";
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/exports.ts`, [head, ...imports, "", common, "", ...wrappers].join("\n"));
  const others = ["assembly/module", ...(main ? [`${folder}/${main}`] : [])];
  const signatures = [
    ...others.flatMap((path) => functionsOf(read(`${path}.ts`))).map((each) => signature(each.name, each, "f64")),
    ...kernels.flatMap((kernel) => kernel.types.map((type) => signature(`${kernel.name}_${type}`, kernel, type))),
  ];
  return { entry: `${folder}/${main ?? "exports"}.ts`, signatures, records };
}

/**
 * Writes exports.ts of each module. A kernel without a type parameter is one of f64.
 *
 * @returns for each module, its entry, the signatures of its functions and the records that they take
 */
export function writeExports() {
  return Object.fromEntries(Object.entries(modules).map(([name, module]) => [name, writeModule(module)]));
}
