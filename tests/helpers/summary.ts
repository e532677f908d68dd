// A reporter for vitest: prints at the end of a run the tests skipped for lack of a tool, and how to install it (tools.ts), then
// the tests that failed with the first line of why, so that the last lines of a log suffice. Where WASM_RNN_COUNTS names a file, a
// line with the numbers of tests goes there, too, which .ci/run adds up.

import { appendFileSync } from "node:fs";
import { relative } from "node:path";
import type { Reporter, TestCase, TestModule, Vitest } from "vitest/node";

export default class Summary implements Reporter {
  #vitest: Vitest | undefined;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const { testNamePattern, root } = this.#vitest!.config;
    const chosen = testNamePattern !== undefined; // by -t: the others are skipped because they were not asked for
    const lines = [...describeSkipped(tests, root, chosen), ...describeFailed(modules, tests, root)];
    if (lines.length > 0) this.#vitest!.logger.log(`\n${lines.join("\n")}\n`);
    const counts = process.env.WASM_RNN_COUNTS;
    if (!counts) return;
    const state = (wanted: string) => tests.filter((test) => test.result().state === wanted).length;
    const broken = modules.filter((module) => module.errors().length > 0).length; // files that could not be loaded
    const numbers = { passed: state("passed"), failed: state("failed") + broken, skipped: state("skipped") };
    appendFileSync(counts, `${JSON.stringify({ name: "vitest", ...numbers })}\n`);
  }
}

/** What was skipped: the notes with the files that have them, then the tests that say nothing in files without a note. */
function describeSkipped(tests: readonly TestCase[], root: string, chosen: boolean): string[] {
  const skipped = tests.filter((test) => test.result().state === "skipped");
  const fileOf = (test: TestCase) => relative(root, test.module.moduleId);
  const notes = new Map<string, Set<string>>();
  for (const test of skipped) {
    const result = test.result();
    if (result.state !== "skipped" || !result.note) continue;
    if (!notes.has(result.note)) notes.set(result.note, new Set());
    notes.get(result.note)!.add(fileOf(test));
  }
  const noted = new Set([...notes.values()].flatMap((files) => [...files]));
  const others = chosen ? [] : skipped.filter((test) => !noted.has(fileOf(test)));
  if (notes.size === 0 && others.length === 0) return [];
  const count = skipped.filter((test) => noted.has(fileOf(test))).length;
  const lines = [...notes].flatMap(([note, files]) => [`  - ${note}`, `    Needed by ${[...files].join(", ")}`]);
  if (notes.size > 0) lines.unshift(`Skipped for want of these${chosen ? "" : `, ${countOf(count)}`}:`);
  if (others.length > 0) {
    const files = [...new Set(others.map(fileOf))].join(", ");
    lines.push(`Skipped as not for this engine, CPU or system, ${countOf(others.length)}: ${files}`);
  }
  return lines;
}

/** The files that could not be loaded and the tests that failed, each with the first line of why. */
function describeFailed(modules: readonly TestModule[], tests: readonly TestCase[], root: string): string[] {
  const failed = [
    ...modules.map((module) => ({ name: "", module, errors: module.errors() })),
    ...tests.map((test) => ({ name: ` > ${test.fullName}`, module: test.module, errors: test.result().errors ?? [] })),
  ].filter(({ errors }) => errors.length > 0);
  const lines = failed.flatMap(({ name, module, errors }) => [
    `  - ${relative(root, module.moduleId)}${name}`,
    `    ${errors[0]!.message.split("\n", 1)[0]!.slice(0, 200)}`,
  ]);
  return lines.length > 0 ? ["Failed:", ...lines] : [];
}

const countOf = (count: number): string => `${count} ${count === 1 ? "test" : "tests"}`;
