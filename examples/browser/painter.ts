// Canvases that are drawn anew when their numbers, their size or the colours change, at most once a frame.

import { darkScheme } from "./dom.js";

/** Draws a canvas of so many CSS pixels; `color` gives the value of a custom property of CSS. */
export type Draw = (
  paint: CanvasRenderingContext2D,
  width: number,
  height: number,
  color: (property: string) => string,
) => void;

/** Returns a function that has the canvas drawn with the next frame. */
export function painter(canvas: HTMLCanvasElement, draw: Draw): () => void {
  let asked = false;
  const redraw = (): void => {
    asked = false;
    const { clientWidth: width, clientHeight: height } = canvas;
    canvas.width = Math.round(width * devicePixelRatio);
    canvas.height = Math.round(height * devicePixelRatio);
    const paint = canvas.getContext("2d")!;
    paint.scale(devicePixelRatio, devicePixelRatio);
    const style = getComputedStyle(canvas);
    draw(paint, width, height, (property) => style.getPropertyValue(property).trim());
  };
  const later = (): void => {
    if (!asked) requestAnimationFrame(redraw);
    asked = true;
  };
  new ResizeObserver(later).observe(canvas);
  darkScheme.addEventListener("change", later);
  return later;
}
