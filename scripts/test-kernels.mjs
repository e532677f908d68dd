// Runs the as-pect tests of assembly/__tests__ twice: with SIMD, and with relaxed SIMD where the engine has it.
// Fails where a test fails, and where a file or a build has run none. Where WASM_RNN_COUNTS names a file, a line with the
// numbers of tests of each build goes there, too, which .ci/run adds up.

import { spawn } from "node:child_process";
import { appendFileSync, readdirSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

process.chdir(dirname(dirname(fileURLToPath(import.meta.url))));
await import("../as-pect.config.js"); // turns relaxed SIMD on where that takes a flag

const specs = readdirSync("assembly/__tests__").filter((name) => name.endsWith(".spec.ts"));

/** A function that is one f32x4.relaxed_madd. */
// prettier-ignore
const relaxedModule = new Uint8Array([
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  0x41, 0, 0xfd, 0x11, 0x41, 0, 0xfd, 0x11, 0x41, 0, 0xfd, 0x11, 0xfd, 0x85, 0x02, 0x0b,
]);

/** Runs all files, and tells whether all went well. The report is printed in one piece: builds run side by side. */
function run(build, config) {
  return new Promise((resolve) => {
    const asp = "node_modules/@as-pect/cli/lib/test.js";
    const child = spawn(process.execPath, [asp, "--as-config", config], {
      env: { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: "1" } : {}) },
    });
    let report = "";
    child.stdout.on("data", (data) => (report += data));
    child.stderr.on("data", (data) => (report += data));
    child.on("close", (code) => {
      const plain = stripVTControlCharacters(report);
      const reports = [...plain.matchAll(/^\S+ \S+\.spec\.ts Pass: (\d+) \/ (\d+)/gm)];
      const files = reports.map(([, , count]) => Number(count));
      const tests = files.reduce((sum, count) => sum + count, 0);
      const tested = files.filter((count) => count > 0).length;
      const complete = tests > 0 && tested === specs.length;
      const passed = code === 0 && complete;
      const passes = reports.reduce((sum, [, count]) => sum + Number(count), 0);
      const counts = { name: `kernels, ${build}`, passed: passes, failed: tests - passes, skipped: 0 };
      const file = process.env.WASM_RNN_COUNTS;
      if (file) appendFileSync(file, `${JSON.stringify(counts)}\n`);
      // Without as-pect's logo.
      console.log(report.slice(Math.max(0, report.search(/^.*(✔|❌|ERROR|FAILURE)/m))).trimEnd());
      if (!complete) console.log(`${tested} of ${specs.length} files have run tests`);
      console.log(`kernels, ${build}: ${tests} tests in ${tested} files ${passed ? "passed" : "FAILED"}\n`);
      resolve(passed);
    });
  });
}

const runs = [run("SIMD", "as-pect.asconfig.json")];
if (WebAssembly.validate(relaxedModule)) {
  runs.push(run("relaxed SIMD", "assembly/__tests__/relaxed.asconfig.json"));
} else {
  console.log("This engine has no relaxed SIMD: the kernels are tested without it alone.");
}
if (!(await Promise.all(runs)).every(Boolean)) process.exitCode = 1;
