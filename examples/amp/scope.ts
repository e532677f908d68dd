// Draws sound before and after the amplifier, as an oscilloscope does.

import { painter } from "../browser/painter.js";

export class Scope {
  #before: Float32Array = new Float32Array(2);
  #after: Float32Array = new Float32Array(2);
  readonly #redraw: () => void;

  constructor(canvas: HTMLCanvasElement) {
    this.#redraw = painter(canvas, (paint, width, height, color) => {
      paint.lineWidth = 2;
      for (const [samples, property] of [
        [this.#before, "--before"],
        [this.#after, "--after"],
      ] as const) {
        paint.strokeStyle = color(property);
        paint.beginPath();
        samples.forEach((sample, i) => {
          const y = (height / 2) * (1 - 0.95 * Math.max(-1, Math.min(1, sample)));
          paint.lineTo((i / (samples.length - 1)) * width, y);
        });
        paint.stroke();
      }
    });
  }

  show(before: Float32Array, after: Float32Array): void {
    this.#before = before;
    this.#after = after;
    this.#redraw();
  }
}
