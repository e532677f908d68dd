// The top of the page: the text that is being written, character by character or sample by sample, what may come next, and a
// scrubber over the samples of earlier steps.

import { byId, element, show, visible } from "./dom.js";
import type { Written } from "./protocol.js";

/** Characters of live text that are kept, and samples; then every other one is dropped. */
const KEPT = 900;
const SAMPLES = 400;

type Bar = readonly [name: string, share: number, value: string];

export interface Sample {
  step: number;
  loss: number | undefined;
  text: string;
}

const text = byId("stage-text");
const bars = byId("next");
const scrubber = byId<HTMLInputElement>("scrub");

export class Stage {
  #samples: Sample[] = [];
  /** The sample on show; undefined for the live text. */
  #shown: Sample | undefined;
  #live = "";
  /** Bars of the characters that may come next: name, share of the width, and value. */
  #next: Bar[] = [];
  /** The loss of guessing by frequency. */
  #guessed = 0;

  constructor() {
    scrubber.addEventListener("input", () => {
      // the right end is what is written now
      const sample = this.#samples[scrubber.valueAsNumber];
      this.#shown = sample;
      this.#draw();
    });
  }

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** For another model; `guessed` is the loss of guessing by frequency. */
  clear(guessed: number): void {
    this.#guessed = guessed;
    this.#next = [];
    this.#samples = [];
    this.#shown = undefined;
    this.#live = "";
    this.#draw();
  }

  /** The live text starts anew: from other weights, or by another temperature. */
  restart(): void {
    this.#live = "";
  }

  /** @param latest whether the sample is to be seen, unless an earlier one is chosen */
  add(sample: Sample, latest: boolean): void {
    const follows = this.#atEnd;
    this.#samples.push(sample);
    if (this.#samples.length > SAMPLES) this.#samples = this.#samples.filter((_, i) => i % 2 === 0);
    if (!this.#samples.includes(this.#shown!)) this.#shown = undefined;
    if (latest && follows) {
      this.#shown = sample;
      this.#live = "";
    }
    this.#draw();
  }

  write({ characters, next }: Written): void {
    if (this.#live === "" && this.#atEnd) this.#shown = undefined;
    this.#live = (this.#live + characters.join("")).slice(-KEPT);
    this.#next = next.map(({ character, share }) => [visible(character), share, `${show(100 * share)}%`]);
    if (this.#shown === undefined) this.#draw();
  }

  /** Whether what is written now is on show, and not an earlier sample. */
  get #atEnd(): boolean {
    return this.#shown === undefined || this.#shown === this.#samples.at(-1);
  }

  #draw(): void {
    const shown = this.#shown;
    const last = this.#samples.length - 1;
    const at = shown ? this.#samples.indexOf(shown) : last + 1;
    scrubber.max = `${Math.max(1, last + 1)}`;
    scrubber.disabled = last < 1;
    if (document.activeElement !== scrubber || this.#atEnd) scrubber.valueAsNumber = last < 1 ? 1 : at;
    byId("scrub-at").textContent = shown
      ? `after ${show(shown.step)} steps${shown.loss === undefined ? "" : `, loss ${shown.loss.toFixed(2)}`}`
      : last < 1
        ? "none yet"
        : "now";
    const lines = shown ? shown.text.trimStart() : this.#live;
    text.replaceChildren(lines, ...(shown ? [] : [element("span", "", { class: "caret" })]));
    text.scrollTop = shown ? 0 : text.scrollHeight;
    // what comes next belongs to the live text; a sample has the loss that the network had then
    byId("next-title").textContent = shown ? "Loss, nats a character" : "Likely next";
    drawBars(shown ? this.#lossBars(shown.loss) : this.#next);
  }

  #lossBars(loss: number | undefined): Bar[] {
    if (loss === undefined) return [];
    const most = Math.max(loss, this.#guessed);
    return [
      ["here", loss / most, loss.toFixed(2)],
      ["a guess", this.#guessed / most, this.#guessed.toFixed(2)],
    ];
  }
}

function drawBars(all: readonly Bar[]): void {
  bars.replaceChildren(
    ...all.map(([name, share, value]) => {
      const bar = element("li");
      const fill = element("span", "", { class: "bar" });
      fill.style.width = `${100 * share}%`;
      bar.append(element("b", name), fill, element("span", value, { class: "share" }));
      return bar;
    }),
  );
}
