// Runs the conformance set (tests/conformance) on dist/ in other runtimes, each in a fresh process with a time limit, and
// prints a table of runtimes and builds. The runtimes come from the npm registry, as tests/runtimes/package.json pins them,
// for Linux on x64; those that are missing are installed. Fails where a digest differs, where a figure, gradient or loss is
// wrong, and where a build runs that should not, or the other way round.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPinned } from "./pinned.js";

const LIMIT = 60_000;
const path = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
const readJson = (name) => JSON.parse(readFileSync(path(name), "utf8"));
const folder = "tests/runtimes";
const inPackage = (name) => path(join(folder, "node_modules", name));
const node = (version) => inPackage(`node-${version}/bin/node`);
const deno = [inPackage("@deno/linux-x64-glibc/deno"), "run", "--allow-read", "--no-config", "--cached-only"];

/** `relaxed`: whether that build should run, on a CPU that has fused multiply-add; undefined where either will do. */
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

installPinned(path(folder));

const expected = readJson("tests/conformance/digests.json");

/** What one runtime makes of one build: { auto, unsupported } or { auto, problems }. */
function run([program, ...args], variant) {
  const script = path("tests/conformance/run.mjs");
  const { status, signal, error, stdout, stderr } = spawnSync(program, [...args, script, variant], {
    encoding: "utf8",
    timeout: LIMIT,
    killSignal: "SIGKILL",
  });
  if (status !== 0) return { problems: [`${error?.message ?? signal ?? `exit code ${status}`}\n${stderr}`] };
  const { auto, unsupported, variant: ran, failures, digests } = JSON.parse(stdout);
  if (unsupported) return { auto, unsupported };
  const names = new Set([...Object.keys(expected[variant]), ...Object.keys(digests)]);
  const different = [...names].filter((name) => digests[name] !== expected[variant][name]);
  const problems = [
    ...failures,
    ...different.map((name) => `${name}: ${digests[name]}, not ${expected[variant][name]}`),
  ];
  if (ran !== variant) problems.push(`the ${ran} build ran`);
  return { auto, problems };
}

const rows = runtimes.map(({ name, command, relaxed }) => {
  const version = spawnSync(command[0], ["--version"], { encoding: "utf8" }).stdout?.match(/\d+\.\d+\.\d+/)?.[0];
  return { name, version, relaxed, results: { simd: run(command, "simd"), relaxed: run(command, "relaxed") } };
});
const runs = (row) => row.results.relaxed.unsupported === undefined;
const fused = rows.some((row) => row.relaxed && runs(row));
if (!fused) console.log("Relaxed SIMD is nowhere fused: this CPU seems to have no fused multiply-add.");

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
