// The measuring script runs to its end on toy sizes, and what it writes has the right form. Nothing is timed here.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Figure, Machine } from "../bench/bench.js";

test("bench --toy", () => {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-bench-"));
  try {
    const out = join(folder, "toy.json");
    execFileSync(process.execPath, ["--import", "tsx", "bench/bench.ts", "--toy", "--out", out], { stdio: "pipe" });
    const { machine, figures } = JSON.parse(readFileSync(out, "utf8")) as { machine: Machine; figures: Figure[] };
    expect(machine).toMatchObject({ engine: expect.stringContaining(process.versions.node) as string });
    const names = new Set(figures.map(({ name }) => name));
    for (const kind of ["LSTM", "RNN"]) {
      for (const size of ["tiny", "small", "medium", "large"]) {
        expect(names).toContain(`${kind} ${size} forward`);
        expect(names).toContain(`${kind} ${size} forward+backward`);
      }
    }
    for (const name of ["LSTM stream step", "course LSTM forward+backward", "charlm training step", "exp of 4096"]) {
      expect(names).toContain(name);
    }
    for (const { us, runs, gflops, peak, nsPerElement } of figures) {
      expect(us).toBeGreaterThan(0);
      expect(runs).toBeGreaterThan(0);
      if (nsPerElement === undefined) expect(gflops! / peak!).toBeGreaterThan(0);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
