// Compiles AssemblyScript that is not part of the package: for the measurements, and for the page that shows the peak.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** The bytes of a source file (its path in the repository), compiled for a build. */
export function compile(source, variant) {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-compile-"));
  try {
    const out = join(folder, "out.wasm");
    const features = variant === "relaxed" ? ["--enable", "relaxed-simd"] : [];
    // prettier-ignore
    execFileSync(process.execPath, ["node_modules/assemblyscript/bin/asc.js", source, "-o", relative(root, out), "-O3",
      "--config", "none", "--runtime", "stub", "--use", "abort=", "--enable", "simd", ...features],
      { cwd: root, stdio: "inherit" });
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
