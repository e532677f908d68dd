// The loss curve as an SVG, drawn by echarts without a browser. Loaded only where a training saves its files.

import { LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import type { LossHistory } from "../train/trainer.js";

echarts.use([LineChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

/** Points of the training curve at most; beyond, each is the mean over as many steps as it takes. */
const POINTS = 400;

/** Draws training and validation loss, in nats per character, by step. Equal histories give equal text. */
export function lossCurve(title: string, history: LossHistory): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 900, height: 500 });
  chart.setOption({
    animation: false,
    title: { text: title, left: "center", top: 10, textStyle: { fontSize: 15 } },
    legend: { top: 36 },
    grid: { left: 70, right: 40, top: 75, bottom: 60 },
    xAxis: { type: "value", name: "step", nameLocation: "middle", nameGap: 30, min: 0, max: history.train.length },
    yAxis: { type: "value", name: "loss (nats per character)", nameLocation: "middle", nameGap: 45, scale: true },
    series: [
      { name: "training", type: "line", showSymbol: false, lineStyle: { width: 1.5 }, data: means(history.train) },
      {
        name: "validation",
        type: "line",
        symbolSize: 7,
        data: history.validation.map(({ step, loss }) => [step, loss]),
      },
    ],
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  const names = new Map<string, string>(); // echarts numbers its classes through all charts of a process
  return svg.replace(/\bzr\d+-(?:cls-)?\w+/g, (name) => {
    if (!names.has(name)) names.set(name, `c${names.size}`);
    return names.get(name) ?? name;
  });
}

/** [step, mean loss] of at most POINTS groups of steps; the step is the group's last. */
function means(losses: readonly number[]): [number, number][] {
  const group = Math.ceil(losses.length / POINTS);
  const points: [number, number][] = [];
  for (let start = 0; start < losses.length; start += group) {
    const part = losses.slice(start, start + group);
    points.push([start + part.length, part.reduce((sum, loss) => sum + loss, 0) / part.length]);
  }
  return points;
}
