// Renders bench/results/*.json into bench/README.md and a plot: `npm run bench:report`.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as echarts from "echarts/core";
import { BarChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { SVGRenderer } from "echarts/renderers";
import type { Figure, Machine } from "./bench.js";

echarts.use([BarChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const directory = "bench/results";
const runs = readdirSync(directory)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => {
    const file = readFileSync(join(directory, name), "utf8");
    return { name: name.slice(0, -".json".length), ...(JSON.parse(file) as { machine: Machine; figures: Figure[] }) };
  });

const cell = ({ us, gflops, percent, nsPerElement }: Figure): string => {
  if (nsPerElement !== undefined) return `${nsPerElement.toFixed(2)} ns/element`;
  const time = us < 1000 ? `${us.toFixed(1)} us` : `${(us / 1000).toFixed(2)} ms`;
  return gflops === undefined ? time : `${time}, ${gflops.toFixed(1)} GFLOP/s, ${percent!.toFixed(0)}%`;
};

const lines = [
  "# Measurements",
  "",
  "Made by `npm run bench -- --out bench/results/<name>.json` (other engines by `--node <path>`) and `npm run bench:report`.",
  "Each figure is the median time of one call, warm, on one thread, with what that makes in GFLOP/s and in percent of the",
  "peak: what independent chains of multiply-add in registers reach in the same process and build, measured just before.",
  "Operations are counted as 2 N T G H (D + H) for a forward pass (G = 4 for LSTM, 1 for RNN) and three times that with",
  "backward, dx included. Layers are called as users call them: inputs are copied in and results out.",
  "",
  "tiny: N=1 T=32 D=16 H=32; small: N=10 T=50 D=32 H=64; medium: N=32 T=64 D=128 H=256; large: N=64 T=100 D=256 H=512;",
  "stream: one step, N=1 D=64 H=128; course: N=10 T=7 D=3 H=5 through `wasm-rnn/coursera`; charlm: a training step, N=50",
  "T=50, vocabulary 65, 2 layers of 128, cross-entropy, clipping and Adam.",
];
for (const { name, machine, figures } of runs) {
  lines.push("", `## ${machine.engine}`, "");
  lines.push(
    `${machine.cpu}, ${machine.cores} cores; commit ${machine.commit}; ${machine.date}. Peaks (GFLOP/s, median):`,
  );
  const columns = [...new Set(figures.map(({ variant, dtype }) => `${variant} ${dtype}`))];
  const find = (column: string, figure?: string) =>
    figures.filter((f) => `${f.variant} ${f.dtype}` === column && (figure === undefined || f.name === figure));
  const peaks = columns.map((column) => {
    const all = find(column).flatMap(({ peak }) => peak ?? []);
    return `${column} ${all.sort((a, b) => a - b)[all.length >> 1]!.toFixed(1)}`;
  });
  lines.push(`${peaks.join(", ")}.`, "", `| | ${columns.join(" | ")} |`, `|---|${columns.map(() => "---|").join("")}`);
  for (const figure of new Set(figures.map(({ name }) => name))) {
    lines.push(`| ${figure} | ${columns.map((column) => find(column, figure).map(cell).join()).join(" | ")} |`);
  }
  const shown = [...new Set(figures.filter(({ gflops }) => gflops).map(({ name }) => name))].filter((n) =>
    n.startsWith("LSTM"),
  );
  writeFileSync(`${directory}/${name}.svg`, plot(machine, columns, shown, find));
  lines.push("", `![LSTM, ${machine.engine}](results/${name}.svg)`);
}
writeFileSync("bench/README.md", `${lines.join("\n")}\n`);

/** Bars of GFLOP/s; the axis ends at the highest peak. */
function plot(
  machine: Machine,
  columns: readonly string[],
  names: readonly string[],
  find: (column: string, figure: string) => Figure[],
): string {
  const chart = echarts.init(null, null, { renderer: "svg", ssr: true, width: 1000, height: 440 });
  const all = columns.flatMap((column) => names.flatMap((name) => find(column, name)));
  chart.setOption({
    animation: false,
    title: { text: `LSTM, GFLOP/s; the axis ends at the peak (${machine.engine})`, left: "center" },
    legend: { top: 30 },
    grid: { left: 50, right: 20, top: 70, bottom: 90 },
    xAxis: { type: "category", data: names, axisLabel: { rotate: 20 } },
    yAxis: { type: "value", max: Math.ceil(Math.max(...all.map(({ peak }) => peak!))) },
    series: columns.map((column) => ({
      type: "bar",
      name: column,
      data: names.map((name) => find(column, name)[0]?.gflops?.toFixed(1)),
    })),
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return svg;
}
