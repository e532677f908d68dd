// The page: sound from the microphone goes through the worklet as it comes; a recording goes through it at once when it is chosen, its
// picture is shown, and it is played when that is asked for.

import { byId, element, fail, fillTable, say, show } from "../browser/dom.js";
import { bindToAddress } from "../browser/url.js";
import { FRAME, SAMPLE_RATE } from "./detector.js";
import { DELAY } from "./denoiser.js";
import type { Manifest } from "./manifest.js";
import { frameOf, PROCESSOR, type Frame, type FromProcessor, type Models } from "./protocol.js";
import { LIKELY, segmentsOf } from "./segments.js";
import { recording, uniform } from "./voice.js";
import { Waveform } from "./waveform.js";

/** Frames of the waveform of a microphone: ten seconds. */
const SHOWN = Math.round((10 * SAMPLE_RATE) / FRAME);
/** Stretches of speech that are listed, the latest. */
const MOST = 24;
/** Frames over which the load of a microphone is measured. */
const MEASURED = 94;

const source = byId<HTMLSelectElement>("source");
const file = byId<HTMLInputElement>("file");
const start = byId<HTMLButtonElement>("start");
const noise = byId<HTMLInputElement>("noise");
const seed = byId<HTMLInputElement>("seed");
/** Before or after; there is no choice where no noise is suppressed. */
const heard = byId<HTMLFormElement>("sound").elements.namedItem("heard") as RadioNodeList | null;
const waveform = new Waveform(byId<HTMLCanvasElement>("waveform"));

// --- files -----------------------------------------------------------------------------------------------------------

async function download(path: string): Promise<ArrayBuffer> {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path}: status ${response.status}`);
  return response.arrayBuffer();
}

function showFiles({ files, licences }: Manifest): void {
  const kilobytes = (bytes: number) => `${show(bytes / 1000)} kB`;
  const rows = files.map(({ name, what, bytes, gzipped }) => [name, what, kilobytes(bytes), kilobytes(gzipped)]);
  fillTable(byId<HTMLTableElement>("files"), ["File", "What it is", "Size", "Gzipped"], rows);
  byId("licences").replaceChildren(
    ...licences.map(({ of, text }) => {
      const details = element("details");
      details.append(element("summary", of), element("pre", text, { class: "text" }));
      return details;
    }),
  );
}

async function loadModels({ silero, dtln }: Manifest["models"]): Promise<Models> {
  const [first, ...others] = await Promise.all([silero, ...(dtln ?? [])].map(download));
  const bytes = others.map((each) => new Uint8Array(each));
  return { silero: new Uint8Array(first!), dtln: dtln && [bytes[0]!, bytes[1]!] };
}

// --- worklet ---------------------------------------------------------------------------------------------------------

/** The worklet in a context; `hear` gets each frame. */
async function makeNode(
  context: BaseAudioContext,
  models: Models,
  hear: (frame: Frame) => void,
): Promise<AudioWorkletNode> {
  await context.audioWorklet.addModule("worklet.js");
  const node = new AudioWorkletNode(context, PROCESSOR, {
    ...{ numberOfOutputs: 2, outputChannelCount: [1, 1], channelCount: 1, channelCountMode: "explicit" as const },
    processorOptions: models,
  });
  node.port.onmessage = ({ data }: MessageEvent<FromProcessor>) => {
    if (data instanceof Float32Array) hear(frameOf(data));
    else fail("The models cannot run", data.error);
  };
  node.onprocessorerror = () => fail("The models cannot run", "the audio worklet has stopped");
  return node;
}

/** Sound before and after suppression, of which the person chooses one. */
function connectChoice(context: AudioContext, raw: AudioNode, clean: AudioNode, outputs: [number, number]): void {
  const gains = [raw, clean].map((node, i) => {
    const gain = new GainNode(context);
    node.connect(gain, outputs[i]);
    gain.connect(context.destination);
    return gain;
  });
  const choose = () => {
    const chosen = heard?.value ?? "clean";
    for (const [i, gain] of gains.entries()) gain.gain.value = chosen === ["raw", "clean"][i] ? 1 : 0;
  };
  const form = byId("sound");
  form.addEventListener("input", choose);
  context.addEventListener(
    "statechange",
    () => context.state === "closed" && form.removeEventListener("input", choose),
  );
  choose();
}

// --- figures ---------------------------------------------------------------------------------------------------------

function showProbability(probability: number): void {
  byId("probability").textContent = show(probability, 2);
  byId("now").hidden = false;
  byId<HTMLMeterElement>("meter").value = probability;
}

/** @param milliseconds that both models took for so many frames */
function showLoad(frames: number, milliseconds: { readonly detecting: number; readonly denoising: number }): void {
  const time = (frames * FRAME * 1000) / SAMPLE_RATE;
  const percent = (part: number) => `${show((100 * part) / time, 1)} %`;
  byId("detecting").textContent = percent(milliseconds.detecting);
  if (heard) byId("denoising").textContent = percent(milliseconds.denoising);
}

const sumOf = (frames: readonly Frame[]) => ({
  detecting: frames.reduce((sum, each) => sum + each.detecting, 0),
  denoising: frames.reduce((sum, each) => sum + each.denoising, 0),
});

function showFrames(frames: readonly Frame[]): void {
  const segments = segmentsOf(frames.map(({ probability }) => probability));
  const spoken = segments.reduce((sum, each) => sum + each.end - each.start, 0);
  byId("spoken").textContent = `${show(spoken, 1)} s`;
  byId("whole").textContent = `of ${show((frames.length * FRAME) / SAMPLE_RATE, 1)} s`;
  byId("segments").replaceChildren(
    ...segments.slice(-MOST).map(({ start, end }) => element("li", `${show(start, 1)} to ${show(end, 1)} s`)),
  );
  const silent = frames.filter(({ probability }) => probability < LIKELY / 5);
  const loudest = (low: "rawLow" | "cleanLow", high: "rawHigh" | "cleanHigh") =>
    silent.reduce((sum, each) => sum + Math.max(each[high], -each[low]), 0);
  const [raw, clean] = [loudest("rawLow", "rawHigh"), loudest("cleanLow", "cleanHigh")];
  if (heard)
    byId("suppressed").textContent = raw > 0 ? `${show(20 * Math.log10(clean / raw || Number.EPSILON))} dB` : "–";
}

// --- sound -----------------------------------------------------------------------------------------------------------

/** A recording that has gone through the worklet. */
interface Processed {
  readonly rendered: AudioBuffer;
  readonly frames: readonly Frame[];
}

/** What ends the sound that runs; undefined while none does. */
let end: (() => void) | undefined;
/** Counts the sounds that were asked for: what an earlier one gives is dropped. */
let asked = 0;
let processed: Processed | undefined;

/** Forgets the figures and the picture of a sound. */
function clear(): void {
  processed = undefined;
  for (const id of ["spoken", "detecting", "denoising", "suppressed"]) {
    const tile = document.getElementById(id);
    if (tile) tile.textContent = "–";
  }
  byId("whole").textContent = "\u00a0";
  byId("segments").replaceChildren();
  showSilence();
  waveform.show([], 1);
}

/** Nothing sounds. */
function showSilence(): void {
  byId("now").hidden = true;
  byId<HTMLMeterElement>("meter").value = 0;
}

function showState(): void {
  start.textContent = end !== undefined ? "Stop" : source.value === "microphone" ? "Listen" : "Play";
  start.disabled = end === undefined && source.value !== "microphone" && processed === undefined;
  for (const field of [source, file, noise, seed]) field.disabled = end !== undefined;
}

/** Goes on until it is stopped. */
async function listen(models: Models): Promise<void> {
  clear();
  let stopped = false;
  const streamed = navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  end = () => {
    stopped = true;
    say("Stopped.");
  };
  showState();
  const stream = await streamed;
  const release = () => stream.getTracks().forEach((track) => track.stop());
  if (stopped) return release();
  const context = new AudioContext({ sampleRate: SAMPLE_RATE, latencyHint: "interactive" });
  end = () => {
    stopped = true;
    release();
    void context.close();
    say("Stopped.");
  };
  const frames: Frame[] = [];
  const node = await makeNode(context, models, (frame) => {
    if (stopped) return;
    frames.push(frame);
    showProbability(frame.probability);
    waveform.show(frames, SHOWN);
    if (frames.length % 16 !== 0) return;
    showFrames(frames);
    const measured = frames.slice(-MEASURED);
    showLoad(measured.length, sumOf(measured));
  });
  if (stopped) return;
  new MediaStreamAudioSourceNode(context, { mediaStream: stream }).connect(node);
  connectChoice(context, node, node, [0, 1]);
  say("Listening.");
}

/** All of a recording through the worklet, as fast as it goes. */
async function process(models: Models, samples: Float32Array<ArrayBuffer>): Promise<Processed> {
  const offline = new OfflineAudioContext({
    ...{ numberOfChannels: 2, sampleRate: SAMPLE_RATE },
    length: samples.length + DELAY,
  });
  const frames: Frame[] = [];
  const wanted = Math.floor((samples.length + DELAY) / FRAME);
  let done: () => void;
  const heardAll = new Promise<void>((resolve) => (done = resolve));
  const node = await makeNode(offline, models, (frame) => {
    frames.push(frame);
    if (frames.length === wanted) done();
  });
  const buffer = new AudioBuffer({ length: samples.length, sampleRate: SAMPLE_RATE });
  buffer.copyToChannel(samples, 0);
  const player = new AudioBufferSourceNode(offline, { buffer });
  player.connect(node);
  const merger = new ChannelMergerNode(offline, { numberOfInputs: 2 });
  for (const channel of [0, 1]) node.connect(merger, channel, channel);
  merger.connect(offline.destination);
  player.start();
  const rendered = await offline.startRendering();
  await heardAll; // messages come after
  return { rendered, frames };
}

function play({ rendered, frames }: Processed): void {
  const context = new AudioContext({ sampleRate: SAMPLE_RATE });
  const player = new AudioBufferSourceNode(context, { buffer: rendered });
  const splitter = new ChannelSplitterNode(context, { numberOfOutputs: 2 });
  player.connect(splitter);
  connectChoice(context, splitter, splitter, [0, 1]);
  let playing = true;
  end = () => {
    playing = false;
    void context.close();
    showSilence();
    waveform.show(frames, frames.length);
    say("Played.");
  };
  player.onended = () => playing && finish();
  player.start();
  const follow = () => {
    if (!playing) return;
    const position = Math.min(frames.length - 1, Math.floor((context.currentTime * SAMPLE_RATE) / FRAME));
    waveform.show(frames, frames.length, position);
    showProbability(frames[position]!.probability);
    requestAnimationFrame(follow);
  };
  if (context.state === "running") follow();
  else context.onstatechange = follow;
  say(heard ? "It plays. Switch between before and after." : "It plays.");
  showState();
}

/** A recording at the models' rate. */
async function decode(bytes: ArrayBuffer): Promise<Float32Array<ArrayBuffer>> {
  const context = new OfflineAudioContext({ length: 1, sampleRate: SAMPLE_RATE });
  const decoded = await context.decodeAudioData(bytes);
  const samples = new Float32Array(decoded.length);
  for (let channel = 0; channel < decoded.numberOfChannels; channel++) {
    for (const [i, sample] of decoded.getChannelData(channel).entries()) {
      samples[i]! += sample / decoded.numberOfChannels;
    }
  }
  return samples;
}

/** The synthetic voice, in as much noise as was chosen. */
function noisyVoice(): Float32Array<ArrayBuffer> {
  const random = uniform(7);
  const loudness = noise.valueAsNumber / 100;
  return recording(SAMPLE_RATE, seed.valueAsNumber).map((sample) => sample + loudness * (random() + random() - 1));
}

/** Samples of the sound that is chosen; undefined before there is a file. */
async function chosen(recorded: string | undefined): Promise<Float32Array<ArrayBuffer> | undefined> {
  if (source.value === "synthetic") return noisyVoice();
  if (source.value === "recorded") return decode(await download(recorded!));
  const [own] = file.files!;
  return own && decode(await own.arrayBuffer());
}

/** Puts the chosen sound through the worklet, and shows what comes of it. */
async function prepare(models: Models, recorded: string | undefined): Promise<void> {
  const mine = ++asked;
  if (source.value === "recorded" && recorded === undefined) source.value = "synthetic"; // an address of a page that has one
  byId("error").hidden = true;
  clear();
  showState();
  if (source.value === "microphone") return say("Ready to listen.");
  say("Working …");
  const began = performance.now();
  const samples = await chosen(recorded);
  if (mine !== asked) return;
  if (samples === undefined) return say("Choose a file of sound.");
  const result = await process(models, samples);
  if (mine !== asked) return;
  processed = result;
  const { frames } = result;
  waveform.show(frames, frames.length);
  showFrames(frames);
  showLoad(frames.length, sumOf(frames));
  const took = (performance.now() - began) / 1000;
  say(`Ready: ${show(samples.length / SAMPLE_RATE, 1)} s of sound, heard by the networks in ${show(took, 1)} s.`);
  showState();
}

function finish(): void {
  end?.();
  end = undefined;
  showState();
}

// --- the page --------------------------------------------------------------------------------------------------------

async function main(): Promise<void> {
  const manifest = (await (await fetch("manifest.json")).json()) as Manifest;
  const recordedOption = document.querySelector<HTMLOptionElement>("option[value=recorded]")!;
  recordedOption.hidden = recordedOption.disabled = manifest.recorded === undefined;
  const toggle = () => {
    byId("file-field").hidden = source.value !== "own";
    for (const each of document.querySelectorAll<HTMLElement>(".synthetic")) each.hidden = source.value !== "synthetic";
  };
  source.addEventListener("input", toggle);
  bindToAddress({ source, noise, seed, ...(heard && { heard }) });
  toggle();
  showFiles(manifest);
  const models = await loadModels(manifest.models);
  const sayWhy = (error: unknown) => {
    finish();
    fail(source.value === "microphone" ? "The microphone cannot be used" : "The sound cannot be used", error);
  };
  const prepareAgain = () => {
    if (end !== undefined) finish();
    prepare(models, manifest.recorded).catch(sayWhy);
  };
  for (const field of [source, file, noise, seed]) {
    field.addEventListener("change", () => field.validity.valid && prepareAgain());
  }
  window.addEventListener("hashchange", prepareAgain);
  byId("sound").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("error").hidden = true;
    if (end !== undefined) finish();
    else if (source.value === "microphone") listen(models).catch(sayWhy);
    else if (processed) play(processed);
  });
  await prepare(models, manifest.recorded).catch(sayWhy);
}

main().catch((error: unknown) => fail("The page could not load", error));
