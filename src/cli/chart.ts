// The loss curve as an SVG document.

import { max, min, nice, ticks, tickStep } from "d3-array";
import { meanLosses, type LossHistory } from "../train/trainer.js";

/** The training curve has at most so many points; in a longer history, each point is the mean of several steps. */
const POINTS = 400;

const [WIDTH, HEIGHT] = [900, 500];
const [LEFT, RIGHT, TOP, BOTTOM] = [70, WIDTH - 40, 75, HEIGHT - 60];

const STYLE = `
text { font: 12px system-ui, sans-serif; fill: #444 }
.title { font-size: 15px; font-weight: 600 }
.background { fill: #fff }
.grid { stroke: #e4e4e4 }
.axis { stroke: #777; fill: none }
.training { stroke: #3b6fd4 }
.validation { stroke: #c2570c }
circle.validation { fill: #fff }
@media (prefers-color-scheme: dark) {
  text { fill: #ccc }
  .background { fill: #16181c }
  .grid { stroke: #30343b }
  .axis { stroke: #888 }
  .training { stroke: #7aa5ff }
  .validation { stroke: #ff9d5c }
  circle.validation { fill: #16181c }
}`;

/** A loss after a step. */
export type Point = readonly [step: number, loss: number];

/** Draws training and validation loss, in nats per character, over steps. The same history gives the same text. */
export function lossCurve(title: string, history: LossHistory): string {
  const training = meanLosses(history.train, POINTS);
  const validation = history.validation.map(({ step, loss }): Point => [step, loss]);
  const losses = [...training, ...validation].map(([, loss]) => loss);
  const middle = (LEFT + RIGHT) / 2;
  const legend = `<g fill="none" stroke-width="2">
<path class="training" d="M${middle - 110},48h24"/>
<path class="validation" d="M${middle + 10},48h24"/>
<circle class="validation" cx="${middle + 22}" cy="48" r="3.5"/>
</g>
${text("", middle - 80, 52, "training", "start")}
${text("", middle + 40, 52, "validation", "start")}`;
  return draw(title, legend, losses, Math.max(1, history.train.length), ({ x, y, line }) => [
    `<polyline class="training" stroke-width="1.5" points="${line(training)}"/>`,
    `<polyline class="validation" stroke-width="2" points="${line(validation)}"/>`,
    validation
      .map(([step, loss]) => `<circle class="validation" stroke-width="2" cx="${x(step)}" cy="${y(loss)}" r="3.5"/>`)
      .join("\n"),
  ]);
}

/** Draws the validation losses of several trainings over steps; that of the first one stands out. */
export function comparison(title: string, trials: readonly (readonly Point[])[]): string {
  const losses = trials.flat().map(([, loss]) => loss);
  const steps = trials.flat().reduce((last, [step]) => Math.max(last, step), 1);
  const middle = (LEFT + RIGHT) / 2;
  const legend = text("", middle, 52, "validation loss of each trial; the best one thick");
  return draw(title, legend, losses, steps, ({ line }) =>
    trials
      .map((points, i) =>
        i === 0
          ? `<polyline class="validation" stroke-width="3" points="${line(points)}"/>`
          : `<polyline class="training" stroke-width="1" points="${line(points)}"/>`,
      )
      .reverse(),
  );
}

interface Scales {
  readonly x: (step: number) => number;
  readonly y: (loss: number) => number;
  readonly line: (points: readonly Point[]) => string;
}

/** Axes of losses over steps, with curves. */
function draw(
  title: string,
  legend: string,
  losses: readonly number[],
  steps: number,
  curves: (scales: Scales) => string[],
): string {
  const [low, high] = range(losses);
  const x = (step: number) => coordinate(LEFT + (step / steps) * (RIGHT - LEFT));
  const y = (loss: number) => coordinate(BOTTOM - ((loss - low) / (high - low)) * (BOTTOM - TOP));
  // a line from a point to itself is a dot, a line of one point is nothing
  const line = (points: readonly Point[]) =>
    points
      .flatMap(([step, loss]) => Array<string>(points.length === 1 ? 2 : 1).fill(`${x(step)},${y(loss)}`))
      .join(" ");
  const decimals = Math.min(20, Math.max(0, -Math.floor(Math.log10(tickStep(low, high, 6)))));
  const middle = (LEFT + RIGHT) / 2;
  const stepTicks = ticks(0, steps, 9).filter(Number.isInteger);

  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img">
<title>${escapeXml(title)}</title>
<style>${STYLE}
</style>
<rect class="background" width="${WIDTH}" height="${HEIGHT}"/>
${text("title", middle, 26, title)}
${legend}
${ticks(low, high, 6)
  .map((loss) => {
    const height = y(loss);
    return `<path class="grid" d="M${LEFT},${height}H${RIGHT}"/>${text("", LEFT - 8, height + 4, loss.toFixed(decimals), "end")}`;
  })
  .join("\n")}
${stepTicks
  .map((step) => `<path class="axis" d="M${x(step)},${BOTTOM}v5"/>${text("", x(step), BOTTOM + 20, String(step))}`)
  .join("\n")}
<path class="axis" d="M${LEFT},${TOP}V${BOTTOM}H${RIGHT}"/>
${text("", middle, HEIGHT - 18, "step")}
<g transform="translate(22 ${(TOP + BOTTOM) / 2}) rotate(-90)">${text("", 0, 0, "loss (nats per character)")}</g>
<g fill="none" stroke-linejoin="round" stroke-linecap="round">
${curves({ x, y, line }).join("\n")}
</g>
</svg>
`;
}

/** Round bounds around the losses, never equal. */
function range(losses: readonly number[]): [number, number] {
  const [low, high] = [min(losses) ?? 0, max(losses) ?? 0];
  if (low < high) return nice(low, high, 6);
  const half = Math.abs(low) / 10 || 1;
  return nice(low - half, high + half, 6);
}

/** Rounded to a hundredth of a pixel. */
function coordinate(value: number): number {
  return Math.round(100 * value) / 100;
}

function text(name: string, x: number, y: number, content: string, anchor = "middle"): string {
  const style = name === "" ? "" : ` class="${name}"`;
  return `<text${style} x="${x}" y="${y}" text-anchor="${anchor}">${escapeXml(content)}</text>`;
}

/** Escapes markup, and replaces the characters that XML does not allow. */
function escapeXml(content: string): string {
  return content
    .replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");
}
