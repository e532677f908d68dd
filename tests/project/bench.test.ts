// The benchmarks run on toy sizes, and write results of the right form. No time is checked and nothing is installed: for
// missing peers the results say how to install them.

import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import type { BenchResult } from "../../bench/bench.js";
import { PEER_CASES } from "../../bench/cases.js";
import type { ImportResult } from "../../bench/import.js";
import type { PeersResult } from "../../bench/peers.js";
import type { OnnxResult } from "../../bench/onnx.js";
import { PEERS } from "../../bench/peers/contestants.js";

const ENGINE = { engine: expect.stringContaining(process.versions.node) as string };

/** Runs a script on toy sizes. Returns the results that it wrote. */
function toy(script: string, ...options: string[]): unknown {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-bench-"));
  try {
    const out = join(folder, "toy.json");
    const args = ["--import", "tsx", `bench/${script}.ts`, "--toy", "--out", out, ...options];
    execFileSync(process.execPath, args, { stdio: "pipe" });
    return JSON.parse(readFileSync(out, "utf8"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("bench --toy", () => {
  const { machine, figures, scalings } = toy("bench") as BenchResult;
  expect(machine).toMatchObject(ENGINE);
  const names = new Set(figures.map(({ name }) => name));
  for (const kind of ["LSTM", "GRU", "RNN"]) {
    for (const size of ["tiny", "small", "medium", "large"]) {
      expect(names).toContain(`${kind} ${size} forward`);
      expect(names).toContain(`${kind} ${size} forward+backward`);
    }
  }
  for (const name of ["LSTM medium bidirectional forward+backward", "LSTM medium ragged forward+backward"]) {
    expect(names).toContain(name);
  }
  for (const name of [
    "LSTM stream step",
    "course LSTM forward+backward",
    "charlm training step",
    "exp of 4096",
    "ops.sum [3,5] over rows",
  ]) {
    expect(names).toContain(name);
  }
  for (const { us, runs, gflops, peak, nsPerElement } of figures) {
    expect(us).toBeGreaterThan(0);
    expect(runs).toBeGreaterThan(0);
    if (nsPerElement === undefined) expect(gflops! / peak!).toBeGreaterThan(0);
  }
  expect(scalings.length).toBeGreaterThan(0);
  for (const { nsPerStepRow, runs, kept, designed, D, H } of scalings) {
    expect(nsPerStepRow).toBeGreaterThan(0);
    expect(runs).toBeGreaterThan(0);
    expect(designed).toBe(7 * H + D);
    expect(kept / designed).toBeGreaterThan(1);
    expect(kept / designed).toBeLessThan(1.05);
  }
});

test("peers --toy with the peers that are there: they compute the same", () => {
  const { machine, variant, versions, rows } = toy("peers", "--only", "f32") as PeersResult;
  expect(machine).toMatchObject(ENGINE);
  expect(["simd", "relaxed"]).toContain(variant);
  expect(new Set(rows.map(({ peer }) => peer))).toEqual(new Set(PEERS.map(({ name }) => name)));
  expect(rows).toHaveLength(3 * PEERS.length); // tiny forward, tiny forward+backward, stream step
  for (const { peer, ours_us, peer_us, ratio, rounds, difference, cannot, error, note } of rows) {
    expect(error).toBeUndefined();
    if (versions[peer] === undefined) expect(cannot).toContain("not installed: ");
    if (cannot !== undefined) {
      expect([ours_us, peer_us, ratio, rounds]).toEqual([undefined, undefined, undefined, undefined]);
      continue;
    }
    expect(rounds).toBe(1);
    expect(ratio).toBeCloseTo(peer_us! / ours_us!, 10);
    if (note === undefined) expect(difference).toBeLessThan(1e-5);
  }
});

test("peers --toy without peers: every row says how to install them", () => {
  const { versions, rows } = toy("peers", "--no-peers") as PeersResult;
  expect(versions).toEqual({});
  expect(rows).toHaveLength(2 * 3 * PEERS.length);
  for (const { peer, cannot } of rows) {
    const how = /^(NumPy|PyTorch)$/.test(peer) ? "apt-get install" : "npm run bench:peers installs it";
    expect(cannot).toContain(`not installed: ${how}`);
  }
});

test("onnx --toy with the peers and models that are there", () => {
  const { machine, versions, frames, starts, sizes } = toy("onnx") as OnnxResult;
  expect(machine).toMatchObject(ENGINE);
  const peers = ["node", "web"].filter((short) => versions[`onnxruntime-${short}`] !== undefined);
  for (const { us, ratios, most, difference } of frames) {
    expect(Object.keys(us)).toEqual(["ours", "stream", ...peers]);
    for (const time of Object.values(us)) expect(time).toBeGreaterThan(0);
    expect(Object.keys(ratios)).toHaveLength(2 * peers.length);
    for (const peer of peers) {
      expect(ratios[`ours/${peer}`]).toBeCloseTo(us.ours! / us[peer]!, 6); // one round
      expect(most[peer as "web" | "node"]).toBeGreaterThan(0);
    }
    for (const each of Object.values(difference)) expect(each).toBeLessThan(1e-4);
  }
  for (const { value } of sizes) expect(value).toBeGreaterThan(0);
  for (const { value } of starts) expect(value).toSatisfy(Number.isFinite); // differences of times, which noise makes negative
  expect(sizes.filter(({ most }) => most !== undefined)).toHaveLength(3);
});

test("a peer that cannot do something says why", () => {
  for (const { name, cannot } of PEERS) {
    const refuses = (op: "forward" | "forward+backward" | "step", dtype: "f64" | "f32", size = "small") =>
      cannot(op, dtype, PEER_CASES[size]!, 1) !== undefined;
    const one = cannot("forward", "f32", PEER_CASES.tiny!, 2) !== undefined;
    expect(one, `${name}, two threads`).toBe(/tfjs|brain/.test(name));
    expect(refuses("forward", "f64"), name).toBe(!/NumPy|PyTorch/.test(name));
    expect(refuses("forward", "f32"), name).toBe(name === "brain.js");
    expect(refuses("forward", "f32", "tiny"), name).toBe(false);
    expect(refuses("forward+backward", "f32", "tiny"), name).toBe(name.startsWith("onnxruntime"));
    expect(refuses("step", "f32", "stream"), name).toBe(name === "brain.js");
  }
});

test.each([
  ["with the peers that are there", []],
  ["without peers", ["--no-peers"]],
])("import --toy %s", (_, options) => {
  const { machine, versions, starts, bundles } = toy("import", ...options) as ImportResult;
  expect(machine).toMatchObject(ENGINE);
  if (options.length > 0) expect(versions).toEqual({});
  const [node, ours, ...peers] = starts;
  expect([node!.name, ours!.name]).toEqual(["node", "wasm-rnn"]);
  expect(node!.above).toBe(0);
  expect(peers).toHaveLength(5);
  for (const { ms, above, runs, cannot } of starts) {
    if (cannot === undefined) expect(above).toBeCloseTo(ms! - node!.ms!, 10);
    expect(runs).toBe(cannot === undefined ? 1 : undefined);
  }
  expect(bundles.map(({ name }) => name)).toEqual(["wasm-rnn", "@tensorflow/tfjs wasm", "onnxruntime-web", "brain.js"]);
  expect(bundles[0]!.wasm).toBe("inside");
  expect(bundles[0]!.gzipped).toBeLessThan(bundles[0]!.js!);
  for (const { gzipped, cannot } of [...bundles, ...peers.map(({ ms, cannot }) => ({ gzipped: ms, cannot }))]) {
    expect(gzipped === undefined).toBe(cannot !== undefined);
    if (options.length === 0 || cannot === undefined) continue;
    expect(cannot).toBe("not installed: npm run bench:import installs it");
  }
});

test("bench:report: what the READMEs say is what the results have", () => {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-bench-"));
  try {
    const written = ["README.md", "bench/README.md"];
    const isSource = (path: string) => !path.split(/[\\/]/).includes("node_modules");
    for (const path of ["bench", "README.md", "package.json", ".prettierrc.json"]) {
      cpSync(path, join(folder, path), { recursive: true, filter: isSource });
    }
    for (const path of ["node_modules", "dist", "src", "tests"]) symlinkSync(resolve(path), join(folder, path));
    execFileSync(process.execPath, ["--import", "tsx", "bench/report.ts"], { cwd: folder, stdio: "pipe" });
    for (const path of written) expect(readFileSync(join(folder, path), "utf8")).toBe(readFileSync(path, "utf8"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});
