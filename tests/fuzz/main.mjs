// The fuzzer: see usage below. Each input has a number; it follows from the seed and the number alone.

import { fork } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { clearInterval, setInterval } from "node:timers";
import { parseArgs } from "node:util";

const USAGE = `npm run fuzz -- [--inputs N] [--seed S] [--jobs J] [--only K] [--json]

  --inputs N   how many inputs (default 20000)
  --seed S     a number or any text (default 1)
  --jobs J     processes (default 1)
  --only K     only input K, with all that is known about it
  --match RE   only calls whose name matches
  --json       the report as one line of JSON
`;

const { values: options } = parseArgs({
  options: {
    inputs: { type: "string", default: "20000" },
    seed: { type: "string", default: "1" },
    jobs: { type: "string", default: "1" },
    only: { type: "string" },
    match: { type: "string", default: "" },
    json: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
if (options.help) {
  console.log(USAGE);
  process.exit(0);
}

/** A process that says nothing for so long hangs. */
const PATIENCE = 30_000;

const inputs = Number(options.inputs);
const jobs = Number(options.jobs);
const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-fuzz-"));
const v8 = Number.parseInt(process.versions.v8, 10);
const execArgv = [
  ...process.execArgv.filter((flag) => flag !== "--expose-gc"),
  "--expose-gc",
  ...(v8 < 12 ? ["--experimental-wasm-relaxed-simd"] : []),
];

const counts = new Map();
const findings = new Map();
const covered = new Set();
let done = 0;

function note(finding) {
  const { kind, endpoint, detail, place, k } = finding;
  const general = detail.replaceAll(/-?\d+(\.\d+)?/g, "0").replaceAll(/"[^"]*"/g, '""');
  const where = place === "outside" || place === "" ? endpoint : place;
  const key = [kind, where, /message/.test(kind) ? "" : general.slice(0, 60)].join("|");
  const known = findings.get(key);
  if (known) {
    known.count++;
    known.endpoints.add(endpoint);
    if (k < known.k) Object.assign(known, finding);
  } else {
    findings.set(key, { ...finding, count: 1, endpoints: new Set([endpoint]) });
    if (!options.json) console.error(`\ninput ${k}: ${kind}: ${detail.slice(0, 200)} (${endpoint})`);
  }
}

/** The process that runs every jobs-th input from `job` on. */
function start(job, from) {
  const place = join(folder, `at-${job}`);
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(new URL("worker.mjs", import.meta.url)), [], { execArgv, silent: true });
    let stderr = "";
    let latest = performance.now();
    let finished = false;
    let setUp = false;
    const at = () => /^(\d+) ?([^:]*):? ?(.*)/.exec(readFileSync(place, "utf8"));
    const watch = setInterval(() => {
      if (performance.now() - latest > PATIENCE) child.kill("SIGKILL");
    }, 500);
    child.stderr.on("data", (text) => (stderr = (stderr + text).slice(-4000)));
    child.stdout.on("data", (text) => process.stderr.write(text));
    child.on("message", (message) => {
      latest = performance.now();
      setUp = true;
      if (message.covered) covered.add(message.covered);
      if (message.finding) note(message.finding);
      if (message.counts) for (const [name, n] of message.counts) counts.set(name, (counts.get(name) ?? 0) + n);
      if (message.done) progress((done += message.done));
      finished ||= message.finished ?? false;
    });
    child.on("exit", (code, signal) => {
      clearInterval(watch);
      if (finished) return resolve();
      if (!setUp) return reject(new Error(stderr));
      const [, number, endpoint, input] = at();
      const k = Number(number);
      if (code !== 75) {
        const memory = /heap limit|out of memory/i.test(stderr);
        const detail = memory
          ? "the process ran out of memory"
          : signal
            ? `hung for ${PATIENCE / 1000} s, or was killed (${signal})`
            : `exit code ${code}: ${stderr}`;
        note({ kind: "crash", endpoint, detail, place: "", input, k });
      }
      if (options.only !== undefined || k + jobs >= inputs) return resolve();
      start(job, k + jobs).then(resolve, reject);
    });
    writeFileSync(place, `${from} before its call`);
    const { seed, only, match } = options;
    child.send({ seed, from, step: jobs, to: inputs, only, match, place });
  });
}

let shown = 0;
function progress(count) {
  if (options.json || performance.now() - shown < 1000) return;
  shown = performance.now();
  const line = `${count} of ${inputs} inputs, ${findings.size} findings`;
  process.stderr.write(process.stderr.isTTY ? `\r${line}` : count % 5000 < 500 ? `${line}\n` : "");
}

const t0 = performance.now();
try {
  const from = options.only === undefined ? 0 : Number(options.only);
  const starts = options.only === undefined ? Array.from({ length: jobs }, (_, job) => job) : [from];
  await Promise.all(starts.map((first, job) => start(job, first)));
} catch (error) {
  console.error(error.message);
  process.exit(2);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const seconds = (performance.now() - t0) / 1000;
if (process.stderr.isTTY && !options.json) process.stderr.write("\r\x1b[K");

const list = [...findings.values()].sort((a, b) => a.kind.localeCompare(b.kind) || b.count - a.count);
if (options.json) {
  const all = list.map((each) => ({ ...each, endpoints: [...each.endpoints] }));
  console.log(
    JSON.stringify({
      seed: options.seed,
      inputs: done,
      seconds,
      covered: covered.size,
      counts: Object.fromEntries(counts),
      findings: all,
    }),
  );
} else {
  for (const { kind, detail, place, input, k, count, endpoints } of list) {
    const names = [...endpoints];
    const shownNames = names.slice(0, 4).join(", ") + (names.length > 4 ? ` and ${names.length - 4} more` : "");
    console.log(`${kind}: ${detail}${place ? ` (${place})` : ""}`);
    console.log(`  in ${shownNames}; ${count} inputs, the first ${k}: ${input.slice(0, 600)}`);
    console.log(
      `  npm run fuzz -- --seed ${options.seed} --only ${k}${options.match ? ` --match '${options.match}'` : ""}\n`,
    );
  }
  const groups = [...counts].sort(([a], [b]) => a.localeCompare(b));
  for (const [name, n] of groups) console.log(`${String(n).padStart(8)}  ${name}`);
  console.log(
    `${String(covered.size).padStart(8)}  functions, constructors, methods, readers and kinds of objects covered`,
  );
  console.log(`${done} inputs, seed ${options.seed}, ${seconds.toFixed(1)} s, ${list.length} kinds of findings`);
}
process.exitCode = list.length > 0 ? 1 : 0;
