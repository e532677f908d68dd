// Renders bench/results/*.json into bench/README.md, plots, and the README's table of peers: `npm run bench:report`.

import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as echarts from "echarts/core";
import { BarChart } from "echarts/charts";
import { GridComponent, LegendComponent, TitleComponent } from "echarts/components";
import { SVGRenderer } from "echarts/renderers";
import { format, resolveConfig } from "prettier";
import type { BenchResult, Figure } from "./bench.js";
import { median, showTime, type Machine } from "./common.js";
import type { Bundle, ImportResult } from "./import.js";
import type { Bounded, FrameRow, OnnxResult } from "./onnx.js";
import type { PeersResult, Row } from "./peers.js";
import type { Scaling } from "./scaling.js";

echarts.use([BarChart, GridComponent, LegendComponent, TitleComponent, SVGRenderer]);

const directory = "bench/results";
const read = (name: string) => JSON.parse(readFileSync(join(directory, name), "utf8")) as unknown;
const others = ["peers.json", "import.json", "onnx.json", "peers-2.json"];
const runs = readdirSync(directory)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => ({ name: name.slice(0, -".json".length), ...(read(name) as BenchResult) }))
  .filter(({ figures }) => (figures as unknown) !== undefined); // else a file of another script
const [peers, imports, onnx, peersOfTwo] = others.map((name) =>
  existsSync(join(directory, name)) ? read(name) : undefined,
) as [PeersResult?, ImportResult?, OnnxResult?, PeersResult?];

const cell = ({ us, gflops, percent, nsPerElement }: Figure): string => {
  if (nsPerElement !== undefined) return `${nsPerElement.toFixed(2)} ns/element`;
  return gflops === undefined ? showTime(us) : `${showTime(us)}, ${gflops.toFixed(1)} GFLOP/s, ${percent!.toFixed(0)}%`;
};

const lines = [
  "# Measurements",
  "",
  "Made by `npm run bench -- --out bench/results/<name>.json` (other engines by `--node <path>`) and `npm run bench:report`.",
  "The machine is shared and slow for minutes at a time, so these figures were made with `--best`: each is the fastest median of",
  "several runs. A median is the time of one call, warm, on one thread; beside it stand GFLOP/s and percent of the peak, the",
  "highest rate that independent chains of multiply-add in registers reached for the same build and type.",
  "Operations are counted as 2 N T G H (D + H) for a forward pass (G = 4 for LSTM, 3 for GRU, 1 for RNN) and three times that with",
  "backward, dx included. Layers are called as users call them: inputs are copied in, and results are copied out.",
  "",
  "tiny: N=1 T=32 D=16 H=32; small: N=10 T=50 D=32 H=64; medium: N=32 T=64 D=128 H=256; large: N=64 T=100 D=256 H=512;",
  "stream: one step, N=1 D=64 H=128; course: N=10 T=7 D=3 H=5 through `wasm-rnn/coursera`; charlm: a training step, N=50",
  "T=50, vocabulary 65, 2 layers of 128, cross-entropy, clipping and Adam. Ragged: medium with lengths uniform in 1..64,",
  "counting real steps only. Tiles: micro-kernels of rows x vectors, with operands in L1 (ours: 4 x 2, and 6 x 2 where the engine compiles it well).",
];
for (const { name, machine, figures, scalings } of runs) {
  compareWithHighestPeak(figures);
  lines.push("", `## ${machine.engine}`, "");
  lines.push(`${describe(machine)} Peaks (GFLOP/s):`);
  const columns = [...new Set(figures.map(({ variant, dtype }) => `${variant} ${dtype}`))];
  const find = (column: string, figure?: string) =>
    figures.filter((f) => `${f.variant} ${f.dtype}` === column && (figure === undefined || f.name === figure));
  const peaks = columns.map((column) => {
    const all = find(column).flatMap(({ peak }) => peak ?? []);
    return `${column} ${all.sort((a, b) => a - b)[all.length >> 1]!.toFixed(1)}`;
  });
  lines.push(`${peaks.join(", ")}.`, "");
  const rows = [...new Set(figures.map(({ name }) => name))];
  lines.push(
    ...table(["", ...columns], rows, (figure) => columns.map((column) => find(column, figure).map(cell).join())),
  );
  const shown = [...new Set(figures.filter(({ gflops }) => gflops).map(({ name }) => name))].filter((n) =>
    n.startsWith("LSTM"),
  );
  writeFileSync(`${directory}/${name}.svg`, plot(machine, columns, shown, find));
  lines.push("", `![LSTM, ${machine.engine}](results/${name}.svg)`);
  if (scalings?.length) lines.push(...scalingSection(machine, scalings));
}
if (peers) lines.push(...peersSection(peers));
if (peersOfTwo) lines.push(...peersSection(peersOfTwo));
if (imports) lines.push(...importSection(imports));
if (onnx) lines.push(...onnxSection(onnx));
if (existsSync("bench/analysis.md")) lines.push("", readFileSync("bench/analysis.md", "utf8").trim());
await save("bench/README.md", lines.join("\n"));
const readme = readFileSync("README.md", "utf8");
await save(
  "README.md",
  readme.replace(/(?<=\n## Beside peers\n\n)(?:\|.*\n)+/, () => `${peersTable(peers!, imports!).join("\n")}\n`),
);

async function save(file: string, text: string): Promise<void> {
  writeFileSync(file, await format(text, { ...(await resolveConfig(file)), filepath: file }));
}

/** The README's table of peers: sizes and start-up measured by bench/import.ts, speed by bench/peers.ts, and abilities. */
function peersTable({ rows, versions }: PeersResult, { starts, bundles }: ImportResult): string[] {
  const abilities: [name: string, f64: string, trains: string, onnx: string][] = [
    ["wasm-rnn", "yes", "yes", "graphs"],
    ["@tensorflow/tfjs wasm", "no", "yes", "no"],
    ["onnxruntime-web", "no", "no", "all"],
    ["brain.js", "no", "yes", "no"],
  ];
  const speed = (peer: string, name: string): string => {
    const all = rows.filter((row) => `${row.case} ${row.op} ${row.dtype}` === name);
    if (peer === "wasm-rnn") return showTime(median(all.flatMap(({ ours_us }) => ours_us ?? [])));
    const ratio = all.find((row) => row.peer === peer)?.ratio;
    return ratio === undefined ? "-" : `${ratio < 10 ? ratio.toFixed(1) : ratio.toFixed(0)}x`;
  };
  return table(
    [
      ...[
        "",
        "app with an LSTM, gzipped",
        "start to first output",
        "inference",
        "training step",
        "one step of a stream",
      ],
      ...["f64", "trains", "ONNX"],
    ],
    abilities,
    ([name, ...able]) => {
      const start = starts.find((each) => each.name === name && each.does.startsWith("first output"));
      return [
        sizes(bundles.find((bundle) => bundle.name === name)!)[2]!,
        start?.above === undefined ? "-" : ms(start.above),
        ...["medium forward f32", "medium forward+backward f32", "stream step f32"].map((row) => speed(name, row)),
        ...able,
      ];
    },
    ([name]) => (versions[name] ? `${name} ${versions[name]}` : name),
  );
}

/** Compares figures with the highest peak measured for their build and type, the one least disturbed. */
function compareWithHighestPeak(figures: Figure[]): void {
  for (const figure of figures) {
    if (figure.gflops === undefined) continue;
    const like = figures.filter(({ variant, dtype }) => variant === figure.variant && dtype === figure.dtype);
    figure.peak = Math.max(...like.map(({ peak }) => peak ?? 0));
    figure.percent = (100 * figure.gflops) / figure.peak;
  }
}

function describe({ cpu, cores, commit, date }: Machine): string {
  return `${cpu}, ${cores} cores; commit ${commit}; ${date}.`;
}

/** A table; its first column has the names of the rows. */
function table<R>(
  head: readonly string[],
  rows: readonly R[],
  cells: (row: R) => string[],
  title: (row: R) => string = String,
): string[] {
  const line = (words: readonly string[]) => `| ${words.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map((row) => line([title(row), ...cells(row)]))];
}

/** Time and memory per step and row. */
function scalingSection(machine: Machine, all: readonly Scaling[]): string[] {
  const variants = [...new Set(all.map(({ variant }) => variant))];
  const rows = all.filter(({ variant }) => variant === variants[0]);
  const cells = ({ T, N, kept, designed }: Scaling) => [
    ...variants.map((v) => {
      const { nsPerStepRow } = all.find((row) => row.variant === v && row.T === T && row.N === N)!;
      return `${(nsPerStepRow / 1000).toFixed(2)} us`;
    }),
    `${kept.toFixed(1)} (${designed})`,
  ];
  const { D, H } = all[0]!;
  return [
    ...["", `### Long sequences, large batches: ${machine.engine}`, ""],
    `LSTM forward+backward, f64, D=${D} H=${H}: time of one call divided by T N, and the numbers that the forward pass saves for`,
    "the backward pass in wasm memory, divided by T N; in parentheses the same by design, 7 H + D (gates 4 H, c, psi(c), h, x).",
    "The difference is initial states and alignment, once per call.",
    "",
    ...table(["", ...variants, "saved (by design)"], rows, cells, ({ T, N }) => `T=${T} N=${N}`),
  ];
}

/** One row for each case, operation and number type, one column for each peer; reasons and remarks are footnotes. */
function peersSection({ machine, variant, versions, rows: all, threads = 1 }: PeersResult): string[] {
  const alone = threads === 1;
  const rows = all.filter(({ peer }) => alone || all.some((row) => row.peer === peer && row.ratio !== undefined));
  const notes: string[] = [];
  const footnote = (note: string): string => {
    if (!notes.includes(note)) notes.push(note);
    return ` [^${label(notes.indexOf(note))}]`;
  };
  const label = (i: number) => (alone ? `${i + 1}` : `${threads}-threads-${i + 1}`);
  const peer = ({ ratio, peer_us, note, cannot, error }: Row): string => {
    if (ratio === undefined) return `-${footnote(cannot ?? `failed: ${error!.split("\n")[0]}`)}`;
    const times = ratio < 10 ? ratio.toFixed(2) : ratio.toFixed(0);
    return `${times}x (${showTime(peer_us!)})${note ? footnote(note) : ""}`;
  };
  const columns = [...new Set(rows.map((row) => row.peer))];
  const titles = [...new Set(rows.map((row) => `${row.case} ${row.op} ${row.dtype}`))];
  const cells = (title: string) => {
    const those = rows.filter((row) => `${row.case} ${row.op} ${row.dtype}` === title);
    const ours = those.flatMap(({ ours_us }) => ours_us ?? []);
    return [
      ours.length > 0 ? showTime(median(ours)) : "",
      ...columns.map((column) =>
        those
          .filter((row) => row.peer === column)
          .map(peer)
          .join(),
      ),
    ];
  };
  const body = table(["", "wasm-rnn", ...columns], titles, cells);
  return [
    ...["", `## Beside peers${alone ? "" : `, ${threads} threads`}`, ""],
    `\`npm run bench:peers${alone ? "" : ` -- --threads ${threads}`}\`. ${machine.engine}, ${variant} build; ${describe(machine)}`,
    "",
    `${alone ? "One thread" : `${threads} threads`} each, one process each, warm, measured alternately. 3x: the peer takes three times as long as wasm-rnn (median`,
    "ratio of neighbouring turns); below 1 the peer is faster. In parentheses: the time of one call of the peer, or of its first",
    "call if that takes more than 20 s. All but brain.js compute the same LSTM from the same numbers; outputs and gradients of x,",
    "weights and biases were compared before timing. Peers read and return tensors of their own; wasm-rnn copies inputs in and",
    "results out. Course sizes run through the layer here.",
    "",
    `Versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}.`,
    ...["", ...body, ""],
    ...notes.flatMap((note, i) => [...(i === 0 ? [] : [""]), `[^${label(i)}]: ${note}`]),
  ];
}

function importSection({ machine, starts, bundles }: ImportResult): string[] {
  return [
    ...["", "## Start-up and size", ""],
    `\`npm run bench:import\`. ${machine.engine}; ${describe(machine)}`,
    "",
    "Time of a fresh process until it exits, median of interleaved runs:",
    "",
    ...table(
      ["", "total", 'above `node -e ""`', ""],
      starts,
      (start) => (start.cannot ? ["-", "-", start.cannot] : [ms(start.ms), ms(start.above), start.does]),
      ({ name }) => name,
    ),
    "",
    "An app with one LSTM, bundled for browsers and minified by esbuild, and the wasm file that it fetches:",
    "",
    ...table(["", "JavaScript", "wasm", "both gzipped"], bundles, sizes, ({ name }) => name),
  ];
}

/** A bundle's JavaScript, its wasm file, and both gzipped. */
function sizes({ cannot, js, wasm, gzipped }: Bundle): string[] {
  const kB = (bytes?: number | string) => (typeof bytes === "number" ? `${(bytes / 1000).toFixed(0)} kB` : bytes!);
  return cannot ? ["-", "-", cannot] : [js, wasm, gzipped].map(kB);
}

function ms(value?: number): string {
  return `${value!.toFixed(0)} ms`;
}

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

/** Models from ONNX files: a table of frames for each host, start-up and sizes. */
function onnxSection({ machine, versions, frames, starts, sizes }: OnnxResult): string[] {
  const percent = (share: number) => `${(100 * share).toFixed(0)}%`;
  const peers = ["web", "node"] as const;
  const cells = ({ us, ratios, most }: FrameRow) => [
    showTime(us.ours!),
    showTime(us.stream!),
    ...peers.map((peer) =>
      us[peer] === undefined
        ? "-"
        : `${showTime(us[peer])}: ${percent(ratios[`ours/${peer}`]!)}, ${percent(ratios[`stream/${peer}`]!)} (${percent(most[peer])})`,
    ),
  ];
  const bounded = (all: readonly Bounded[], show: (value: number) => string) =>
    all.map(
      ({ name, value, most }) => `- ${name}: ${show(value)}${most === undefined ? "" : ` (at most ${show(most)})`}`,
    );
  return [
    ...["", "## Models from ONNX files", "", describe(machine), ""],
    `A frame is what a model takes at once; DTLN's is both of its graphs. In turns with ${Object.entries(versions)
      .map((pair) => pair.join(" "))
      .join(
        " and ",
      )}, one thread each; states are carried from frame to frame. Beside a peer's time: the share that \`run\` takes of it, and`,
    "`stream`; in parentheses the most that it may be.",
    ...[...new Set(frames.map(({ host }) => host))].flatMap((host) => [
      ...["", `### ${host}`, ""],
      ...table(
        ["", "run", "stream", "onnxruntime-web", "onnxruntime-node"],
        frames.filter((row) => row.host === host),
        cells,
        ({ model, frame }) => `${model} (${frame})`,
      ),
    ]),
    ...["", "From a fresh process to the first output of Silero VAD, above node that does nothing:", ""],
    ...bounded(starts, (value) => ms(value)),
    ...["", "Apps, bundled, minified and gzipped, without models:", ""],
    ...bounded(sizes, (value) => `${(value / 1000).toFixed(1)} kB`),
  ];
}
