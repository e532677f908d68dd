// Draws frames: least to largest sample of each, before and after suppression, where there is speech, and how likely it is.

import { painter, type Draw } from "../browser/painter.js";
import type { Frame } from "./protocol.js";
import { LIKELY } from "./segments.js";

export class Waveform {
  #frames: readonly Frame[] = [];
  #columns = 1;
  #position: number | undefined;
  readonly #redraw: () => void;

  constructor(canvas: HTMLCanvasElement) {
    this.#redraw = painter(canvas, (...args) => this.#draw(...args));
  }

  /**
   * @param frames of which the latest are shown
   * @param columns as many as there is room for
   * @param position the frame that is heard, if one is
   */
  show(frames: readonly Frame[], columns: number, position?: number): void {
    this.#frames = frames;
    this.#columns = columns;
    this.#position = position;
    this.#redraw();
  }

  #draw(...[paint, clientWidth, clientHeight, color]: Parameters<Draw>): void {
    const [raw, clean, text] = [color("--raw"), color("--clean"), color("--text")];
    const width = clientWidth / this.#columns;
    const shown = this.#frames.slice(-this.#columns);
    const loudest = shown.reduce((most, each) => Math.max(most, each.rawHigh, -each.rawLow), 0.05);
    const y = (sample: number) => (clientHeight / 2) * (1 - (0.95 * sample) / loudest);
    const bar = (x: number, low: number, high: number) =>
      paint.fillRect(x, y(high), Math.max(1, width - 0.25), Math.max(1, y(low) - y(high)));
    paint.fillStyle = color("--speech");
    for (const [i, { probability }] of shown.entries()) {
      if (probability >= LIKELY) paint.fillRect(i * width, 0, width + 0.5, clientHeight);
    }
    for (const [i, frame] of shown.entries()) {
      paint.fillStyle = raw;
      bar(i * width, frame.rawLow, frame.rawHigh);
      paint.fillStyle = clean;
      bar(i * width, frame.cleanLow, frame.cleanHigh);
    }
    paint.strokeStyle = text;
    paint.lineWidth = 1.5;
    paint.beginPath();
    for (const [i, { probability }] of shown.entries()) {
      paint.lineTo((i + 0.5) * width, 3 + (clientHeight - 6) * (1 - probability));
    }
    paint.stroke();
    if (this.#position !== undefined) {
      paint.fillStyle = text;
      paint.fillRect((this.#position - this.#frames.length + shown.length) * width, 0, 2, clientHeight);
    }
  }
}
