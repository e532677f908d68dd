// The line charts: losses by step, and gradients by steps back. Drawn by echarts in the colours of the style sheet, which
// change with the colour scheme; each has its numbers in words and in a table beside it.

import { LineChart } from "echarts/charts";
import { GridComponent, LegendComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { CanvasRenderer } from "echarts/renderers";
import { meanLosses } from "../../src/train/trainer.js";
import { darkScheme, showShare } from "./dom.js";
import type { Evaluation } from "./protocol.js";

echarts.use([LineChart, GridComponent, LegendComponent, MarkLineComponent, TooltipComponent, CanvasRenderer]);

/** Points of the training curve at most; beyond, each is the mean over as many steps as it takes. */
const POINTS = 500;

/** A chart that fits its element, and is redrawn when the colours change. */
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

  /** Options of both charts. */
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
        legend: {
          top: 0,
          left: 0,
          textStyle: { color: text },
          padding: [3, 0],
          itemWidth: 14,
          itemHeight: 4,
          itemGap: 9, // four entries fit beside each other on a phone
          icon: "roundRect",
        },
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
      tooltip: {
        ...options.tooltip,
        formatter: (hovered: Hovered[]) => {
          const rows = hovered.map(
            ({ marker, seriesName, value }) => `${marker}${seriesName}: <b>${value[1].toFixed(3)}</b>`,
          );
          return [`step ${hovered[0]!.value[0]}`, ...rows].join("<br>");
        },
      },
      xAxis: { ...axis, type: "value", name: "step", nameGap: 28, min: 0, ...ticks(this.training.length) },
      yAxis: { ...axis, type: "value", name: "loss, nats per character", nameGap: 36, min: 0 },
      series: [
        {
          name: "training",
          type: "line",
          symbol: "none",
          lineStyle: { width: 1.5, color: this.color("series-1") },
          itemStyle: { color: this.color("series-1") },
          data: meanLosses(this.training, POINTS),
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

/** Curves of a race: a score in percent by step, of each that runs. */
export class RaceChart extends Chart {
  #curves: { name: string; color: string; points: [step: number, score: number][] }[] = [];

  clear(runners: readonly { name: string; color: string }[]): void {
    this.#curves = runners.map((each) => ({ ...each, points: [] }));
    this.draw();
  }

  /** One score for each. */
  add(step: number, scores: readonly number[]): void {
    this.#curves.forEach(({ points }, i) => points.push([step, scores[i]!]));
    this.draw();
  }

  draw(): void {
    const { axis, options } = this.base();
    const steps = this.#curves[0]?.points.at(-1)?.[0] ?? 0;
    this.chart.setOption({
      ...options,
      tooltip: { ...options.tooltip, valueFormatter: (value: unknown) => `${Number(value).toFixed(0)}%` },
      xAxis: { ...axis, type: "value", name: "step", nameGap: 28, min: 0, ...ticks(steps) },
      yAxis: { ...axis, type: "value", name: "percent of the way", nameGap: 36, min: 0, max: 100 },
      series: this.#curves.map(({ name, color, points }) => ({
        name,
        type: "line",
        symbol: "none",
        lineStyle: { width: 2, color: this.color(color) },
        itemStyle: { color: this.color(color) },
        data: points,
      })),
    });
  }
}

/** The end of an axis that holds `steps`, and how far its ticks are apart: six at most, each 1, 2 or 5 times a power of 10. */
function ticks(steps: number): { max: number; interval: number } {
  const least = Math.max(10, steps) / 6;
  const power = 10 ** Math.floor(Math.log10(least));
  const interval = [1, 2, 5, 10].map((times) => times * power).find((each) => each >= least)!;
  return { max: Math.max(1, Math.ceil(steps / interval)) * interval, interval };
}

/** How gradients fade in one model, at one time of its training. */
export interface Curve {
  /** Of the legend, which curves of a kind share. */
  name: string;
  /** The curve's label. */
  label: string;
  /** Custom property of the style sheet without its dashes. */
  color: string;
  dashed: boolean;
  /** By steps back. */
  norms: readonly number[];
}

/** Gradients below are not drawn: they are nothing beside those of nearer steps. */
const SMALLEST = 1e-12;

export class FadingChart extends Chart {
  curves: readonly Curve[] = [];

  draw(): void {
    const { curves } = this;
    const { axis, options } = this.base();
    this.chart.setOption(
      {
        ...options,
        grid: { ...options.grid, left: 64 },
        tooltip: {
          ...options.tooltip,
          formatter: (hovered: Hovered[]) => {
            const rows = hovered.map(
              ({ marker, seriesIndex, value }) =>
                `${marker}${curves[seriesIndex]!.label}: <b>${showShare(value[1])}</b>`,
            );
            return [`${hovered[0]!.value[0]} steps back`, ...rows].join("<br>");
          },
        },
        xAxis: { ...axis, type: "value", name: "steps back", nameGap: 28, min: 0, max: "dataMax" },
        yAxis: {
          ...axis,
          type: "log",
          name: "share of the gradient",
          nameGap: 46,
          min: SMALLEST,
          interval: 2,
          axisLabel: {
            ...axis.axisLabel,
            formatter: (value: number) => (value < 1 ? value.toExponential() : `${value}`),
          },
        },
        series: curves.map(({ name, color, dashed, norms }) => ({
          name,
          type: "line",
          symbol: "none",
          lineStyle: { width: 2, color: this.color(color), type: dashed ? "dashed" : "solid" },
          itemStyle: { color: this.color(color) },
          data: norms.map((norm, back) => [back, norm]),
        })),
      },
      { replaceMerge: ["series"] },
    );
  }
}

/** The part of echarts' data on a point under the pointer that is used. */
interface Hovered {
  seriesName: string;
  seriesIndex: number;
  value: [number, number];
  /** A dot in the series' colour, as HTML. */
  marker: string;
}
