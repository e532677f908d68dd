// The peers: how each is installed and started, and what it cannot do.

import { spawnSync } from "node:child_process";
import { installedVersion, installPinned } from "../../scripts/pinned.js";
import type { Sizes } from "../cases.js";
import type { Op } from "../worker.js";

const folder = "bench";

export interface Command {
  file: string;
  args: string[];
  /** Variables of the environment to set; undefined: to unset. */
  env?: Record<string, string | undefined>;
}

export interface Peer {
  readonly name: string;
  /** Its version; undefined if it is not installed. */
  readonly version: () => string | undefined;
  /** How to install it. */
  readonly install: string;
  readonly command: (threads: number) => Command;
  /** The reason why it cannot run a case; undefined if it can. */
  readonly cannot: (op: Op, dtype: "f64" | "f32", sizes: Sizes, threads: number) => string | undefined;
  /** The reason why figures beside it, as it is installed, would say nothing. */
  readonly unfit?: () => string | undefined;
  /** A remark on its figures. */
  readonly note?: string;
}

/** Installs the packages of bench/package.json if any is missing. */
export const installPeers = (): void => installPinned(folder);

/** The version of an installed package of bench/package.json. */
export const packageVersion = (name: string): string | undefined => installedVersion(folder, name);

/** The command that runs a script as a contestant with this node binary. */
export function script(path: string, ...args: string[]): Command {
  return { file: process.execPath, args: ["--import", "tsx", path, ...args] };
}

const javaScript = (name: string, file: string, args: string[], cannot: Peer["cannot"], note?: string): Peer => ({
  name: [name, ...args.filter((word) => word !== name)].join(" "),
  version: () => packageVersion(name),
  install: "npm run bench:peers installs it",
  command: () => script(`bench/peers/${file}`, ...args),
  cannot,
  note,
});

/** The environment of a Python with a number of threads. What OpenBLAS takes the CPU for is left to it. */
const blasEnvironment = (threads: number): Record<string, string | undefined> => ({
  ...Object.fromEntries(["OMP", "OPENBLAS", "MKL"].map((name) => [`${name}_NUM_THREADS`, `${threads}`])),
  OPENBLAS_CORETYPE: undefined,
  OPENBLAS_L2_SIZE: undefined,
});

/** Less than this, in GFLOP/s on one thread, is the reference BLAS: figures beside it say nothing. */
const LEAST_GFLOPS = 30;

const DEBIAN = ["python3-numpy", "python3-torch", "libopenblas0-openmp"];
const APT = `apt-get install -y --no-install-recommends ${DEBIAN.join(" ")}`;

interface Python {
  readonly python: string;
  readonly version: string;
  /** Of a product of two f32 matrices of 512 x 512, on one thread. */
  readonly gflops: number;
}

/** The first Python that has a module, with the module's version and its BLAS library. */
function findPython(module: string): Python | undefined {
  const code = [
    `import ${module} as m, json, os, re, time`,
    "a = m.ones((512, 512), dtype=m.float32)",
    "def seconds():",
    "    start = time.perf_counter()",
    "    m.matmul(a, a)",
    "    return time.perf_counter() - start",
    "best = min(seconds() for _ in range(20))",
    "maps = '/proc/self/maps'",
    "loaded = open(maps).read() if os.path.exists(maps) else ''",
    "blas = ', '.join(sorted(set(re.findall('openblas|mkl_core|libblis|libatlas', loaded)))) or 'another BLAS'",
    'print(json.dumps({"version": f"{m.__version__} ({blas})", "gflops": 2 * 512**3 / best / 1e9}))',
  ].join("\n");
  for (const python of ["/usr/bin/python3", "python3"]) {
    const env = { ...process.env, ...blasEnvironment(1) };
    const { status, stdout } = spawnSync(python, ["-c", code], { encoding: "utf8", env });
    if (status === 0) return { python, ...(JSON.parse(stdout) as Omit<Python, "python">) };
  }
  return undefined;
}

const pythons = new Map<string, Python | undefined>();

function pythonWith(module: string): Python | undefined {
  if (!pythons.has(module)) pythons.set(module, findPython(module));
  return pythons.get(module);
}

/** Installs PyTorch, NumPy and OpenBLAS where one is missing and this user may. */
export function installPythons(): void {
  const there = ["numpy", "torch"].map(pythonWith);
  if (there.every((found) => found && found.gflops >= LEAST_GFLOPS) || process.getuid?.() !== 0) return;
  const { status } = spawnSync("sh", ["-c", `apt-get update && ${APT}`], { stdio: "inherit" });
  if (status === 0) pythons.clear();
}

const python = (name: string, module: string): Peer => ({
  name,
  version: () => pythonWith(module)?.version,
  install: APT,
  command: (threads) => ({
    file: pythonWith(module)!.python,
    args: ["bench/peers/python.py", module],
    env: blasEnvironment(threads),
  }),
  unfit: () => {
    const { gflops } = pythonWith(module)!;
    if (gflops >= LEAST_GFLOPS) return undefined;
    return `${gflops.toFixed(0)} GFLOP/s in a product of matrices, without a fast BLAS: ${APT}`;
  },
  cannot: () => undefined,
});

/** Of those that compute on one thread here. */
const alone =
  (cannot: Peer["cannot"]): Peer["cannot"] =>
  (op, dtype, sizes, threads) =>
    threads > 1 ? "computes on one thread in Node" : cannot(op, dtype, sizes, threads);

const noF64 = (dtype: string) => (dtype === "f64" ? "computes in f32 only" : undefined);

const onnx: Peer["cannot"] = (op, dtype) =>
  op === "forward+backward"
    ? "inference only: has no gradients"
    : dtype === "f64"
      ? "its LSTM operator takes f32 only"
      : undefined;

export const PEERS: readonly Peer[] = [
  javaScript(
    "@tensorflow/tfjs",
    "tfjs.ts",
    ["cpu"],
    alone((_, dtype) => noF64(dtype)),
  ),
  javaScript(
    "@tensorflow/tfjs",
    "tfjs.ts",
    ["wasm"],
    alone((_, dtype) => noF64(dtype)),
  ),
  javaScript("onnxruntime-web", "onnx.ts", ["onnxruntime-web"], onnx),
  javaScript("onnxruntime-node", "onnx.ts", ["onnxruntime-node"], onnx),
  javaScript(
    "brain.js",
    "brain.ts",
    [],
    alone(
      (op, dtype, { N }) =>
        noF64(dtype) ??
        (op === "step" ? "keeps no state between calls" : N > 1 ? "one sequence at a time: has no batches" : undefined),
    ),
    "roughly: another network (no cell state; an output layer), and its backward pass updates the weights",
  ),
  python("NumPy", "numpy"),
  python("PyTorch", "torch"),
];
