// Runs the conformance set (tests/conformance) and the command line on dist/ in other runtimes, each in a fresh process with
// a time limit, and prints a table of runtimes and builds. The runtimes come from the npm registry, as
// tests/runtimes/package.json pins them, for Linux on x64; missing ones are installed. Without a network the run is skipped,
// except where CI is set. Fails if a digest or a model trained by the command line differs, if a figure, gradient or loss is
// wrong, or if a build runs on a host that should refuse it, or is refused on a host that should run it.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPinned } from "./pinned.js";

const LIMIT = 60_000;
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const readJson = (name) => JSON.parse(readFileSync(path(name), "utf8"));
const folder = "tests/runtimes";
const inPackage = (name) => path(join(folder, "node_modules", name));
const node = (version) => inPackage(`node-${version}/bin/node`);
const deno = [inPackage("@deno/linux-x64-glibc/deno"), "run", "--allow-all", "--no-config", "--cached-only"];

/** `relaxed`: whether that build should run, on a CPU that has fused multiply-add; undefined if either is accepted. */
const runtimes = [
  { name: "Node 20", command: [node(20)], relaxed: false },
  { name: "Node 20, relaxed SIMD on", command: [node(20), "--experimental-wasm-relaxed-simd"], relaxed: true },
  { name: "Node 22", command: [node(22)], relaxed: true },
  { name: "Node 24", command: [node(24)], relaxed: true },
  { name: "Node 24, FMA off", command: [node(24), "--no-enable-fma3"], relaxed: false },
  { name: "Node 26", command: [node(26)], relaxed: true },
  { name: "Bun", command: [inPackage("@oven/bun-linux-x64/bin/bun")], relaxed: undefined }, // 1.4 does not fuse
  { name: "Deno", command: deno, relaxed: true },
];

try {
  installPinned(path(folder));
} catch (error) {
  if (!["", "0", "false", undefined].includes(process.env.CI)) throw error;
  console.log(`SKIPPED: the runtimes could not be installed from the npm registry: ${error.message}`);
  process.exit();
}

const expected = readJson("tests/conformance/digests.json");

/** Runs a script. Returns its output; throws an Error with stderr if it fails. */
function run([program, ...args], ...more) {
  const options = { encoding: "utf8", timeout: LIMIT, killSignal: "SIGKILL" };
  const { status, signal, error, stdout, stderr } = spawnSync(program, [...args, ...more], options);
  if (status !== 0) throw new Error(`${error?.message ?? signal ?? `exit code ${status}`}\n${stderr}`);
  return stdout;
}

/** Tests one build in one runtime. Returns { auto, unsupported } or { auto, problems, model }. */
function check(command, variant) {
  try {
    const set = JSON.parse(run(command, path("tests/conformance/run.mjs"), variant));
    const { auto, unsupported, variant: ran, failures, digests } = set;
    if (unsupported) return { auto, unsupported };
    const names = new Set([...Object.keys(expected[variant]), ...Object.keys(digests)]);
    const different = [...names].filter((name) => digests[name] !== expected[variant][name]);
    const problems = [
      ...failures,
      ...different.map((name) => `${name}: ${digests[name]}, not ${expected[variant][name]}`),
    ];
    if (ran !== variant) problems.push(`the ${ran} build ran`);
    return { auto, problems, model: trainByCommandLine(command, variant) };
  } catch (error) {
    return { problems: [error.message] };
  }
}

/** Trains and samples by the command line. Returns a digest of the model file and of the sample. */
function trainByCommandLine(command, variant) {
  const [book, model] = ["book.txt", "model.safetensors"].map((name) => join(temporary, name));
  writeFileSync(book, "the whale and the sea and the ship sailed on and on. ".repeat(60));
  const sizes = ["--hidden", "16", "--embedding", "8", "--seq", "20", "--batch", "4"];
  const build = ["--variant", variant];
  run(command, path("dist/cli.js"), "train", book, ...sizes, ...build, "--out", model, "--force");
  const sample = run(
    command,
    path("dist/cli.js"),
    "sample",
    model,
    "--prompt",
    "the ",
    "--length",
    "40",
    "--seed",
    "3",
  );
  return createHash("sha256").update(readFileSync(model)).update(sample).digest("hex");
}

const temporary = mkdtempSync(join(tmpdir(), "wasm-rnn-runtimes-"));
const rows = runtimes.map(({ name, command, relaxed }) => {
  const version = spawnSync(command[0], ["--version"], { encoding: "utf8" }).stdout?.match(/\d+\.\d+\.\d+/)?.[0];
  return { name, version, relaxed, results: { simd: check(command, "simd"), relaxed: check(command, "relaxed") } };
});
rmSync(temporary, { recursive: true });
const runs = (row) => row.results.relaxed.unsupported === undefined;
const fused = /^flags\b.*\bfma\b/m.test(readFileSync("/proc/cpuinfo", "utf8")); // asked of the CPU, not of the package
for (const variant of ["simd", "relaxed"]) {
  const done = rows.map(({ results }) => results[variant]).filter(({ model }) => model !== undefined);
  for (const { model, problems } of done) if (model !== done[0].model) problems.push("the command line: another model");
}
if (!fused) console.log("This CPU has no fused multiply-add: the relaxed build must run nowhere.");

const failures = rows.flatMap((row) => {
  const { name, results } = row;
  const found = Object.entries(results).flatMap(([variant, { problems = [] }]) =>
    problems.map((problem) => `${name}, ${variant}: ${problem}`),
  );
  if (!("problems" in results.simd)) found.push(`${name}: simd does not run: ${results.simd.unsupported}`);
  if (row.relaxed !== undefined && runs(row) !== (row.relaxed && fused)) {
    found.push(`${name}: relaxed ${runs(row) ? "runs" : `does not run: ${results.relaxed.unsupported}`}`);
  }
  const best = runs(row) ? "relaxed" : "simd";
  for (const { auto } of Object.values(results)) {
    if (auto !== undefined && auto !== best) found.push(`${name}: auto is ${auto}`);
  }
  return found;
});

const cell = ({ unsupported, problems = [] }) => {
  if (unsupported) return "does not run";
  return problems.length === 0 ? "same bits" : "DIFFERENT";
};
console.table(
  Object.fromEntries(
    rows.map(({ name, version, results: { simd, relaxed } }) => [
      name,
      { version, simd: cell(simd), relaxed: cell(relaxed), auto: simd.auto },
    ]),
  ),
);
if (failures.length > 0) {
  console.error(failures.join("\n"));
  process.exitCode = 1;
}
