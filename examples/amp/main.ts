// The page of the amplifier: a riff in a loop or a guitar goes through the worklet; what it costs is measured as it plays.

import { byId, fail, fillTable, say, show } from "../browser/dom.js";
import { bindToAddress } from "../browser/url.js";
import { RIFF, riff, SAMPLE_RATE } from "./guitar.js";
import { PROCESSOR, type FromProcessor, type ToProcessor } from "./protocol.js";
import { Scope } from "./scope.js";

/** Samples of the scope, and of reports over which the load is measured. */
const SHOWN = 1024;
const MEASURED = 10;
/** Where the picture of the silent page is taken from, in seconds. */
const PICTURED = 3.45;

const play = byId<HTMLButtonElement>("play");
const live = byId<HTMLButtonElement>("live");
const on = byId<HTMLInputElement>("on");
const number = byId<HTMLInputElement>("riff");
const drive = byId<HTMLInputElement>("drive");
const level = byId<HTMLInputElement>("level");
const scope = new Scope(byId<HTMLCanvasElement>("scope"));

const decibels = (field: HTMLInputElement) => 10 ** (field.valueAsNumber / 20);

/** The worklet with its model in a context; `hear` gets its reports. */
async function makeNode(context: BaseAudioContext, model: unknown, hear: (report: FromProcessor) => void) {
  await context.audioWorklet.addModule("worklet.js");
  const node = new AudioWorkletNode(context, PROCESSOR, {
    ...{ outputChannelCount: [1], channelCount: 1, channelCountMode: "explicit" as const },
    processorOptions: { model, on: on.checked },
  });
  node.port.onmessage = ({ data }: MessageEvent<FromProcessor>) => hear(data);
  node.onprocessorerror = () => fail("The model cannot run", "the audio worklet has stopped");
  return node;
}

// --- figures ---------------------------------------------------------------------------------------------------------

let reports: { samples: number; milliseconds: number }[] = [];

function take(report: FromProcessor): void {
  if ("error" in report) return fail("The model cannot run", report.error);
  reports = [...reports, report].slice(-MEASURED);
  const samples = reports.reduce((sum, each) => sum + each.samples, 0);
  const spent = reports.reduce((sum, each) => sum + each.milliseconds, 0);
  byId("load").textContent = `${show((100 * spent * SAMPLE_RATE) / (1000 * samples), 1)} %`;
}

/** What the page has fetched: scripts/site.ts has measured it. */
async function showFiles(): Promise<void> {
  const files = (await (await fetch("files.json")).json()) as { name: string; bytes: number; gzipped: number }[];
  const whats: Readonly<Record<string, string>> = {
    "amp.json": "the model: an LSTM of 16 units, 1,233 numbers",
    "worklet.js": "wasm-rnn/audio with its WebAssembly, and the worklet",
    "main.js": "the page",
  };
  const kilobytes = (bytes: number) => `${show(bytes / 1000, 1)} kB`;
  fillTable(
    byId<HTMLTableElement>("files"),
    ["File", "What it is", "Size", "Gzipped"],
    files.map(({ name, bytes, gzipped }) => [name, whats[name] ?? "", kilobytes(bytes), kilobytes(gzipped)]),
  );
}

// --- sound -----------------------------------------------------------------------------------------------------------

let end: (() => void) | undefined;

/** What the picture shows. */
function showSays(): void {
  byId("scope-says").textContent = on.checked
    ? ": the amplifier flattens what is loud, and that is its sound."
    : ": the guitar as it is, since the amplifier is off.";
}

function showState(): void {
  play.textContent = end === undefined ? "Play the riff" : "Stop";
  live.disabled = number.disabled = end !== undefined;
}

function stop(): void {
  end?.();
  end = undefined;
  showState();
}

/** @param make the source of the sound, and what ends it */
async function run(
  model: unknown,
  make: (context: AudioContext) => Promise<{ source: AudioNode; done: () => void }>,
): Promise<void> {
  const context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
  end = () => void context.close();
  showState();
  reports = [];
  const { source, done } = await make(context);
  const node = await makeNode(context, model, take);
  const [before, after] = [0, 1].map(() => new AnalyserNode(context, { fftSize: SHOWN }));
  const [gain, volume] = [new GainNode(context), new GainNode(context)];
  source.connect(gain).connect(before!);
  gain.connect(node).connect(after!);
  after!.connect(volume).connect(context.destination);
  const turn = () => {
    gain.gain.value = decibels(drive);
    volume.gain.value = decibels(level);
    node.port.postMessage({ on: on.checked } satisfies ToProcessor);
  };
  const fields = [drive, level, on];
  for (const field of fields) field.addEventListener("input", turn);
  turn();
  let playing = true;
  end = () => {
    playing = false;
    for (const field of fields) field.removeEventListener("input", turn);
    done();
    void context.close();
    say("");
  };
  const [a, b] = [new Float32Array(SHOWN), new Float32Array(SHOWN)];
  const follow = () => {
    if (!playing) return;
    before!.getFloatTimeDomainData(a);
    after!.getFloatTimeDomainData(b);
    scope.show(a, b);
    requestAnimationFrame(follow);
  };
  follow();
}

const chosenRiff = () => riff(number.valueAsNumber);

const riffSource = (context: AudioContext) => {
  const buffer = new AudioBuffer({ length: Math.round(RIFF * SAMPLE_RATE), sampleRate: SAMPLE_RATE });
  buffer.copyToChannel(chosenRiff(), 0);
  const source = new AudioBufferSourceNode(context, { buffer, loop: true });
  source.start();
  return Promise.resolve({ source, done: () => source.stop() });
};

const guitarSource = async (context: AudioContext) => {
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const source = new MediaStreamAudioSourceNode(context, { mediaStream: stream });
  return { source, done: () => stream.getTracks().forEach((track) => track.stop()) };
};

/** Counts pictures: an earlier one that ends later is not shown. */
let pictures = 0;

/** The riff through the model at once, as the fields say, for a picture and a first figure of the load. */
async function picture(model: unknown): Promise<void> {
  const mine = ++pictures;
  const samples = chosenRiff().map((sample) => sample * decibels(drive));
  const context = new OfflineAudioContext({ numberOfChannels: 1, length: samples.length, sampleRate: SAMPLE_RATE });
  const node = await makeNode(context, model, take);
  const buffer = new AudioBuffer({ length: samples.length, sampleRate: SAMPLE_RATE });
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(node).connect(context.destination);
  source.start();
  const after = (await context.startRendering()).getChannelData(0);
  const at = Math.round(PICTURED * SAMPLE_RATE);
  if (end === undefined && mine === pictures) scope.show(samples.slice(at, at + SHOWN), after.slice(at, at + SHOWN));
}

async function main(): Promise<void> {
  on.addEventListener("input", showSays);
  bindToAddress({ riff: number, drive, level, amplifier: on });
  const response = await fetch("amp.json");
  if (!response.ok) throw new Error(`amp.json could not be read: status ${response.status}`);
  const model: unknown = await response.json();
  const begin = (what: string, make: Parameters<typeof run>[1], says: string) => {
    byId("error").hidden = true;
    say(says);
    run(model, make).catch((error: unknown) => {
      stop();
      fail(what, error);
    });
  };
  play.addEventListener("click", () => {
    if (end !== undefined) {
      stop();
      pictureAgain(); // of the settings as they are now
    } else begin("The riff cannot be played", riffSource, "It plays. Switch the amplifier off and on.");
  });
  live.addEventListener("click", () => begin("Your guitar cannot be heard", guitarSource, "It listens."));
  const pictureAgain = () => {
    if (end !== undefined || !number.validity.valid) return;
    picture(model).catch((error: unknown) => fail("The riff cannot be shown", error));
  };
  for (const field of [number, drive, on]) field.addEventListener("change", pictureAgain);
  window.addEventListener("hashchange", () => {
    if (end !== undefined) stop(); // it may be of another riff
    pictureAgain();
  });
  play.disabled = live.disabled = false;
  await Promise.all([picture(model), showFiles()]);
}

main().catch((error: unknown) => fail("The page could not load", error));
