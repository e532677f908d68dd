// The line charts: losses by step, and gradients by steps back. Drawn by echarts in the colours of the style sheet, which
// change with the colour scheme; each has its numbers in words and in a table beside it, which main.ts writes.

import { LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { darkScheme } from "./dom.js";
import type { Evaluation, Fading } from "./protocol.js";

echarts.use([LineChart, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent, CanvasRenderer]);

/** Points of the training curve at most; beyond, each is the mean over as many steps as it takes. */
const POINTS = 500;

/** A chart that fits its element, and is drawn anew when the colours change. */
abstract class Chart {
  #chart: echarts.ECharts | undefined;

  constructor(private readonly holder: HTMLElement) {
    darkScheme.addEventListener("change", () => this.#chart && this.draw());
  }

  /** Made when it is first drawn, since it wants to know its size. */
  protected get chart(): echarts.ECharts {
    if (this.#chart === undefined) {
      const chart = (this.#chart = echarts.init(this.holder));
      new ResizeObserver(() => chart.resize()).observe(this.holder);
    }
    return this.#chart;
  }

  abstract draw(): void;

  /** A colour of the style sheet. */
  protected color(name: string): string {
    return getComputedStyle(this.holder).getPropertyValue(`--${name}`).trim();
  }

  /** What both charts have. */
  protected base() {
    const [text, line, panel] = [this.color("muted"), this.color("line"), this.color("panel")];
    const axis = {
      axisLabel: { color: text },
      nameTextStyle: { color: text },
      axisLine: { lineStyle: { color: line } },
      splitLine: { lineStyle: { color: line } },
      nameLocation: "middle",
    };
    return {
      axis,
      options: {
        animation: false,
        grid: { left: 54, right: 16, top: 34, bottom: 44 },
        legend: { top: 0, left: 0, textStyle: { color: text }, itemWidth: 18, type: "scroll" },
        tooltip: {
          trigger: "axis",
          confine: true,
          backgroundColor: panel,
          borderColor: line,
          textStyle: { color: this.color("text"), fontSize: 13 },
        },
      },
    };
  }
}

export class LossChart extends Chart {
  readonly training: number[] = [];
  readonly validation: Evaluation[] = [];
  /** The loss of guessing by frequencies, a line to pass. */
  frequencyLoss = 0;

  clear(frequencyLoss: number): void {
    this.training.length = this.validation.length = 0;
    this.frequencyLoss = frequencyLoss;
    this.draw();
  }

  draw(): void {
    const { axis, options } = this.base();
    const guess = { yAxis: this.frequencyLoss, name: "guessing by frequency" };
    this.chart.setOption({
      ...options,
      tooltip: { ...options.tooltip, valueFormatter: (value: unknown) => format(value, 3) },
      xAxis: { ...axis, type: "value", name: "step", nameGap: 28, min: 0, max: Math.max(10, this.training.length) },
      yAxis: { ...axis, type: "value", name: "loss, nats per character", nameGap: 36, min: 0 },
      series: [
        {
          name: "training",
          type: "line",
          showSymbol: false,
          lineStyle: { width: 1.5, color: this.color("series-1") },
          itemStyle: { color: this.color("series-1") },
          data: means(this.training),
          markLine: {
            silent: true,
            symbol: "none",
            data: this.frequencyLoss > 0 ? [guess] : [],
            lineStyle: { color: this.color("muted"), type: "dashed" },
            label: { formatter: "{b}", position: "insideEndTop", color: this.color("muted") },
          },
        },
        {
          name: "validation",
          type: "line",
          symbol: "circle",
          symbolSize: this.validation.length > 40 ? 3 : 6,
          lineStyle: { width: 2, color: this.color("series-2") },
          itemStyle: { color: this.color("series-2") },
          data: this.validation.map(({ step, loss }) => [step, loss]),
        },
      ],
    });
  }
}

/** [step, mean loss] of at most POINTS groups of steps; the step is the group's last. */
function means(losses: readonly number[]): [number, number][] {
  const group = Math.max(1, Math.ceil(losses.length / POINTS));
  const points: [number, number][] = [];
  for (let start = 0; start < losses.length; start += group) {
    const part = losses.slice(start, start + group);
    points.push([start + part.length, part.reduce((sum, loss) => sum + loss, 0) / part.length]);
  }
  return points;
}

export class FadingChart extends Chart {
  curves: Fading[] = [];

  draw(): void {
    const { axis, options } = this.base();
    const colors = [1, 2, 3, 4].map((i) => this.color(`series-${i}`));
    const smallest = Math.min(1e-3, ...this.curves.flatMap(({ norms }) => norms));
    const power = (value: number) => {
      const exponent = Math.round(Math.log10(value));
      return exponent === 0 ? "1" : `1e${exponent}`;
    };
    this.chart.setOption(
      {
        ...options,
        grid: { ...options.grid, left: 60 },
        tooltip: { ...options.tooltip, valueFormatter: (value: unknown) => exponential(value) },
        xAxis: { ...axis, type: "value", name: "steps back", nameGap: 28, min: 0, max: "dataMax" },
        yAxis: {
          ...axis,
          type: "log",
          name: "gradient, relative",
          nameGap: 42,
          min: 10 ** Math.max(-16, Math.floor(Math.log10(smallest))),
          axisLabel: { ...axis.axisLabel, formatter: power },
        },
        series: this.curves.map(({ label, norms }, i) => ({
          name: label,
          type: "line",
          showSymbol: false,
          lineStyle: {
            width: 2,
            color: this.#colorOf(label, colors, i),
            type: label.endsWith("new") ? "dashed" : "solid",
          },
          itemStyle: { color: this.#colorOf(label, colors, i) },
          data: norms.map((norm, back) => [back, Math.max(norm, 1e-16)]),
        })),
      },
      { replaceMerge: ["series"] },
    );
  }

  /** One colour for each cell, and one for the model of the page. */
  #colorOf(label: string, colors: readonly string[], index: number): string {
    const cell = ["LSTM", "RNN", "GRU"].findIndex((name) => label.startsWith(name));
    return label.startsWith("this") ? colors[3]! : (colors[cell] ?? colors[index % colors.length]!);
  }
}

function format(value: unknown, digits: number): string {
  return typeof value === "number" ? value.toFixed(digits) : "";
}

function exponential(value: unknown): string {
  return typeof value === "number" ? value.toPrecision(2) : "";
}
