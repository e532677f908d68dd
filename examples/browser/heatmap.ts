// The heat map of units: a canvas with a column for each character and a row for each unit, a cursor for pointer
// and arrow keys, and the text in the colours of the unit under the cursor.

import { byId, darkScheme, visible } from "./dom.js";
import type { Activations } from "./protocol.js";

const COLUMN = 15;
const HEAD = 22;

/** Names of the kinds, what each does, and the range of their colours; that of c depends on its values. */
export const KINDS: Readonly<Record<string, { name: string; does: string; low: number }>> = {
  h: {
    name: "hidden state h",
    low: -1,
    does: "What the layer says to the next one, and to itself at the next character.",
  },
  c: {
    name: "cell state c",
    low: -1,
    does: "The memory of an LSTM: it changes only by what the gates let in and out.",
  },
  i: { name: "input gate i", low: 0, does: "How much of the candidate is written into the memory: 0 keeps it out." },
  f: { name: "forget gate f", low: 0, does: "How much of the memory is kept: 1 keeps all of it, 0 clears it." },
  g: { name: "candidate g", low: -1, does: "What would be written into the memory, if the input gate lets it in." },
  o: { name: "output gate o", low: 0, does: "How much of the memory is shown as the hidden state." },
  r: { name: "reset gate r", low: 0, does: "How much of the state before counts for the candidate: 0 starts afresh." },
  z: {
    name: "update gate z",
    low: 0,
    does: "How much of the state before is kept: 1 keeps it, 0 takes the candidate.",
  },
  n: { name: "candidate n", low: -1, does: "The new state, as far as the update gate lets it in." },
};

type Color = readonly [number, number, number];

/** Luminance (WCAG 2) of a ground on which black and white have the same contrast. */
const EQUAL = Math.sqrt(1.05 * 0.05) - 0.05;

export class HeatMap {
  activations: Activations | undefined;
  kind = "h";
  /** Unit and character under the cursor. */
  unit = 0;
  place = 0;
  readonly #canvas = byId<HTMLCanvasElement>("map");
  readonly #readout = byId("map-readout");
  readonly #text = byId("map-text");

  /** `onUnit` hears of another unit under the cursor. */
  constructor(private readonly onUnit: () => void) {
    const at = (event: PointerEvent) => {
      if (!this.activations) return;
      const box = this.#canvas.getBoundingClientRect();
      const unit = Math.floor((event.clientY - box.top - HEAD) / this.#row);
      this.moveTo(unit, Math.floor((event.clientX - box.left) / COLUMN));
    };
    this.#canvas.addEventListener("pointermove", at);
    this.#canvas.addEventListener("pointerdown", at);
    this.#canvas.addEventListener("keydown", (event) => {
      const moves: Record<string, [number, number]> = {
        ArrowUp: [-1, 0],
        ArrowDown: [1, 0],
        ArrowLeft: [0, -1],
        ArrowRight: [0, 1],
        PageUp: [-10, 0],
        PageDown: [10, 0],
        Home: [0, -Infinity],
        End: [0, Infinity],
      };
      const move = moves[event.key];
      if (move === undefined) return;
      event.preventDefault();
      this.moveTo(this.unit + move[0], this.place + move[1]);
      const scroller = this.#canvas.closest(".scroll")!;
      scroller.scrollLeft = (this.place + 0.5) * COLUMN - scroller.clientWidth / 2;
      scroller.scrollTop = HEAD + (this.unit + 0.5) * this.#row - scroller.clientHeight / 2;
    });
    darkScheme.addEventListener("change", () => this.draw());
  }

  get values(): Float32Array {
    return this.activations?.kinds[this.kind] ?? new Float32Array();
  }

  show(activations: Activations): void {
    this.activations = activations;
    if (!(this.kind in activations.kinds)) this.kind = "h";
    this.draw();
    this.moveTo(this.unit, this.place, true);
  }

  moveTo(unit: number, place: number, again = false): void {
    const { activations } = this;
    if (!activations) return;
    const { units, characters } = activations;
    const before = this.unit;
    this.unit = Math.min(units - 1, Math.max(0, unit));
    this.place = Math.min(characters.length - 1, Math.max(0, place));
    const value = this.values[this.place * units + this.unit] ?? NaN;
    const name = KINDS[this.kind]?.name ?? this.kind;
    const character = visible(characters[this.place] ?? "");
    this.#readout.textContent = `Unit ${this.unit + 1} of ${units}, character ${this.place + 1} “${character}”: ${name} = ${value.toFixed(3)}`;
    this.#drawCursor();
    if (again || before !== this.unit) {
      this.#colorText();
      this.onUnit();
    }
  }

  /** Height of a unit's row. */
  get #row(): number {
    return Math.max(3, Math.min(16, Math.floor(420 / (this.activations?.units ?? 1))));
  }

  /** The range of the colours. */
  get #range(): { low: number; high: number } {
    const low = KINDS[this.kind]?.low ?? -1;
    if (this.kind !== "c") return { low, high: 1 };
    let largest = 1e-9;
    for (const value of this.values) largest = Math.max(largest, Math.abs(value));
    return { low: -largest, high: largest };
  }

  /** The colour of a value, by the style sheet's colours of the scheme there is. */
  #colors(): (value: number) => Color {
    const { low, high } = this.#range;
    const style = getComputedStyle(this.#canvas);
    const [negative, zero, positive] = ["negative", "zero", "positive"].map((name) =>
      channels(style.getPropertyValue(`--${name}`)),
    ) as [Color, Color, Color];
    return (value) => {
      const share = low < 0 ? value / high : (value - low) / (high - low);
      const end = share < 0 ? negative : positive;
      const weight = Math.min(1, Math.abs(share));
      return [0, 1, 2].map((i) => Math.round(zero[i]! + (end[i]! - zero[i]!) * weight)) as unknown as Color;
    };
  }

  /** Draws everything but the cursor. */
  draw(): void {
    const { activations } = this;
    if (!activations) return;
    const { units, characters } = activations;
    const columns = characters.length;
    const cells = new ImageData(columns, units);
    const { values } = this;
    const { low, high } = this.#range;
    const colorOf = this.#colors();
    const palette = Array.from({ length: 257 }, (_, i) => colorOf(low + ((high - low) * i) / 256));
    for (let unit = 0; unit < units; unit++) {
      for (let place = 0; place < columns; place++) {
        const share = ((values[place * units + unit] ?? 0) - low) / (high - low);
        const color = palette[Math.round(256 * Math.min(1, Math.max(0, share)))]!;
        cells.data.set([...color, 255], 4 * (unit * columns + place));
      }
    }
    const small = new OffscreenCanvas(columns, units);
    small.getContext("2d")!.putImageData(cells, 0, 0);

    const ratio = Math.min(2, devicePixelRatio || 1);
    const [width, height] = [columns * COLUMN, HEAD + units * this.#row];
    const canvas = this.#canvas;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    const picture = canvas.getContext("2d")!;
    picture.scale(ratio, ratio);
    picture.imageSmoothingEnabled = false;
    picture.drawImage(small, 0, HEAD, width, height - HEAD);
    picture.font = "13px ui-monospace, monospace";
    picture.textAlign = "center";
    picture.fillStyle = getComputedStyle(canvas).color;
    characters.forEach((character, i) => {
      const sign = character === " " ? "·" : character === "\n" ? "↵" : character;
      picture.fillText(sign, (i + 0.5) * COLUMN, HEAD - 7);
    });
    this.#colorText();
    this.#drawCursor();
    const name = KINDS[this.kind]?.name ?? this.kind;
    canvas.setAttribute(
      "aria-label",
      `Heat map: ${name} of ${units} units (rows) over ${columns} characters (columns). Arrow keys move a cursor whose value is read below.`,
    );
  }

  /** Two frames that lie over the canvas. */
  #drawCursor(): void {
    const row = this.#row;
    byId("map-row").style.cssText = `top: ${HEAD + this.unit * row - 1}px; height: ${row + 2}px`;
    byId("map-column").style.cssText = `left: ${this.place * COLUMN}px; width: ${COLUMN}px`;
  }

  /** The text with each character on the colour of the unit's value there. */
  #colorText(): void {
    const { activations, values } = this;
    if (!activations) return;
    const colorOf = this.#colors();
    this.#text.replaceChildren(
      ...activations.characters.map((character, place) => {
        const color = colorOf(values[place * activations.units + this.unit] ?? 0);
        const span = document.createElement("span");
        span.textContent = character === "\n" ? "↵\n" : character;
        span.style.backgroundColor = `rgb(${color.join(" ")})`;
        span.style.color = luminance(color) > EQUAL ? "#000" : "#fff";
        return span;
      }),
    );
  }
}

/** Red, green and blue of #rrggbb. */
function channels(hex: string): Color {
  return [1, 3, 5].map((start) => parseInt(hex.trim().slice(start, start + 2), 16)) as unknown as Color;
}

/** Relative luminance, as WCAG 2 defines it. */
function luminance(color: Color): number {
  const [r, g, b] = color.map((channel) =>
    channel <= 10 ? channel / 255 / 12.92 : ((channel / 255 + 0.055) / 1.055) ** 2.4,
  ) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
