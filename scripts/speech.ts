// Builds the page of examples/speech: speech detection by Silero VAD, of vad-web's package, and noise suppression by DTLN, whose
// files no package has: a folder like MODELS_DIR gives them, and a recorded voice. Without it the page does without.
//
//     npm run build:speech -- [--models <folder>] [<target>]      static files for any file server, by default in demo/speech
//     npm run dev:speech -- [--models <folder>]                   and serves them

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { Command } from "commander";
import type { Manifest } from "../examples/speech/manifest.js";
import { readSafetensors } from "../src/safetensors.js";
import { bundlePage } from "./bundle.js";
import { writePage, writeShared, type PageOptions } from "./html.mjs";
import { installPinned } from "./pinned.js";
import { serveFolder } from "./serve.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(root, "examples/speech");
const packages = join(root, "tests/onnxruntime");
const SAMPLE_RATE = 16000;

/** A file of the page, where it comes from, and what it is. */
interface Part {
  readonly name: string;
  readonly from: string;
  readonly what: string;
}

const SCRIPTS = [
  { name: "main.js", what: "the page" },
  { name: "worklet.js", what: "wasm-rnn/onnx with its WebAssembly, fft.js, both loops" },
];
const SILERO = { name: "silero_vad.onnx", what: "Silero VAD 6: speech detection" };
const DTLN = [
  { name: "dtln_1.onnx", folder: "dtln-1", file: "model_1.onnx", what: "DTLN, first stage: masks the spectrum" },
  { name: "dtln_2.onnx", folder: "dtln-2", file: "model_2.onnx", what: "DTLN, second stage: masks the signal" },
] as const;

/** A recorded voice in noise: the frames that a case of Silero VAD was recorded with. */
function recordedVoice(folder: string): Float32Array {
  const { steps } = JSON.parse(readFileSync(join(folder, "cases.json"), "utf8")) as { steps: number };
  const { tensors } = readSafetensors(readFileSync(join(folder, "cases.safetensors")));
  return Float32Array.from(Array.from({ length: steps }, (_, i) => [...tensors[`in.${i}.input`]!.data]).flat());
}

/** A WAV file of 16 bits. */
export function wav(samples: Float32Array): Buffer {
  const bytes = Buffer.alloc(44 + 2 * samples.length);
  bytes.write("RIFF", 0);
  bytes.writeUInt32LE(bytes.length - 8, 4);
  bytes.write("WAVEfmt ", 8);
  [16, 0x10001, SAMPLE_RATE, 2 * SAMPLE_RATE, 0x100002].forEach((value, i) => bytes.writeUInt32LE(value, 16 + 4 * i));
  bytes.write("data", 36);
  bytes.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((sample, i) => bytes.writeInt16LE(Math.round(32767 * Math.max(-1, Math.min(1, sample))), 44 + 2 * i));
  return bytes;
}

const read = (...path: string[]) => readFileSync(join(...path), "utf8").trim();

/** fft.js has its licence in its README. */
const fftLicence = () => {
  const readme = read(root, "node_modules/fft.js/README.md");
  return readme.slice(readme.search(/^#+ LICENSE/m)).replace(/^#+ /, "");
};

/** Keeps of a page what is true with DTLN's files, or without them. */
const keepTrue = (html: string, dtln: boolean) =>
  html.replace(/<!-- with dtln -->([^]*?)(?:<!-- without dtln -->([^]*?))?<!-- end -->/g, dtln ? "$1" : "$2");

/** Writes the page into `target`, where it replaces files of the same names; `page` as of writePage. */
export async function buildSpeechPage(
  target: string,
  models?: string,
  page: PageOptions = { folder: "speech/", up: "./" },
): Promise<void> {
  installPinned(packages);
  mkdirSync(target, { recursive: true });
  const dtln = models !== undefined && DTLN.every(({ folder, file }) => existsSync(join(models, folder, file)));
  writePage(source, target, { ...page, prepare: (html) => keepTrue(html, dtln) });
  if (page.up === "./") writeShared(target);
  await bundlePage(source, target, { main: "main.ts", worklet: "worklet.ts" });
  const copies: Part[] = [
    { name: "speech.css", from: join(source, "speech.css"), what: "" },
    { ...SILERO, from: join(packages, "node_modules/@ricky0123/vad-web/dist/silero_vad_v6.onnx") },
  ];
  if (dtln)
    for (const { name, what, folder, file } of DTLN) copies.push({ name, what, from: join(models, folder, file) });
  for (const { name, from } of copies) copyFileSync(from, join(target, name));
  const voice = models && join(models, "silero-vad-legacy");
  const recorded = voice !== undefined && existsSync(voice);
  if (recorded) writeFileSync(join(target, "recorded.wav"), wav(recordedVoice(voice)));
  const described = [...SCRIPTS, ...copies.filter(({ what }) => what !== "")];
  if (recorded) described.push({ name: "recorded.wav", what: "a recorded voice, if it is chosen" });
  const manifest: Manifest = {
    models: { silero: SILERO.name, ...(dtln && { dtln: [DTLN[0].name, DTLN[1].name] }) },
    ...(recorded && { recorded: "recorded.wav" }),
    files: described.map(({ name, what }) => {
      const bytes = readFileSync(join(target, name));
      return { name, what, bytes: bytes.length, gzipped: gzipSync(bytes, { level: 9 }).length };
    }),
    licences: [
      { of: "wasm-rnn", text: read(root, "LICENSE") },
      { of: "Silero VAD", text: read(source, "licences/silero-vad.txt") },
      ...(dtln ? [{ of: "DTLN", text: read(models, "dtln-1/LICENSE.txt") }] : []),
      { of: "fft.js", text: fftLicence() },
      ...(recorded
        ? [{ of: "The recorded voice (tests/data/test.wav of Silero VAD)", text: read(voice, "LICENSE.txt") }]
        : []),
    ],
  };
  writeFileSync(join(target, "manifest.json"), JSON.stringify(manifest));
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const command = new Command("build:speech")
    .description("Builds the page of examples/speech")
    .argument("[target]", "folder to write to", join(root, "demo/speech"))
    .option("--models <folder>", "folder with DTLN's files and a recorded voice: dtln-1/model_1.onnx ...")
    .option("--serve", "serve the page")
    .parse();
  const { models, serve } = command.opts<{ models?: string; serve?: boolean }>();
  const target = resolve(command.processedArgs[0] as string);
  await buildSpeechPage(target, models);
  console.log(`The page is in ${relative(process.cwd(), target)}.`);
  if (serve) console.log(`It is at ${(await serveFolder(target)).url} (Ctrl-C ends it).`);
}
