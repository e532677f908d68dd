// The peers: how each is installed and started, and what it cannot do.

import { spawnSync } from "node:child_process";
import { installedVersion, installPinned } from "../../scripts/pinned.js";
import type { Sizes } from "../cases.js";
import type { Op } from "../worker.js";

const folder = "bench";

export interface Command {
  file: string;
  args: string[];
  env?: Record<string, string>;
}

export interface Peer {
  readonly name: string;
  /** Its version; undefined if it is not installed. */
  readonly version: () => string | undefined;
  /** How to install it. */
  readonly install: string;
  readonly command: () => Command;
  /** The reason why it cannot run a case; undefined if it can. */
  readonly cannot: (op: Op, dtype: "f64" | "f32", sizes: Sizes) => string | undefined;
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

const ONE_THREAD = { OMP_NUM_THREADS: "1", OPENBLAS_NUM_THREADS: "1", MKL_NUM_THREADS: "1" };

/** The first Python that has a module, with the module's version and its BLAS library. */
function findPython(module: string): { python: string; version: string } | undefined {
  const code = [
    `import ${module}, os, re`,
    "maps = '/proc/self/maps'",
    "loaded = open(maps).read() if os.path.exists(maps) else ''",
    "blas = ', '.join(sorted(set(re.findall('openblas|mkl_core|libblis|libatlas', loaded)))) or 'another BLAS'",
    `print(f"{${module}.__version__} ({blas})")`,
  ].join("\n");
  for (const python of ["/usr/bin/python3", "python3"]) {
    const { status, stdout } = spawnSync(python, ["-c", code], {
      encoding: "utf8",
      env: { ...process.env, ...ONE_THREAD },
    });
    if (status === 0) return { python, version: stdout.trim() };
  }
  return undefined;
}

const python = (name: string, module: string): Peer => {
  let found: ReturnType<typeof findPython>;
  return {
    name,
    version: () => (found ??= findPython(module))?.version,
    install: "apt-get install -y --no-install-recommends python3-numpy python3-torch libopenblas0-openmp",
    command: () => ({ file: found!.python, args: ["bench/peers/python.py", module], env: ONE_THREAD }),
    cannot: () => undefined,
  };
};

const noF64 = (dtype: string) => (dtype === "f64" ? "computes in f32 only" : undefined);

const onnx: Peer["cannot"] = (op, dtype) =>
  op === "forward+backward"
    ? "inference only: has no gradients"
    : dtype === "f64"
      ? "its LSTM operator takes f32 only"
      : undefined;

export const PEERS: readonly Peer[] = [
  javaScript("@tensorflow/tfjs", "tfjs.ts", ["cpu"], (_, dtype) => noF64(dtype)),
  javaScript("@tensorflow/tfjs", "tfjs.ts", ["wasm"], (_, dtype) => noF64(dtype)),
  javaScript("onnxruntime-web", "onnx.ts", ["onnxruntime-web"], onnx),
  javaScript("onnxruntime-node", "onnx.ts", ["onnxruntime-node"], onnx),
  javaScript(
    "brain.js",
    "brain.ts",
    [],
    (op, dtype, { N }) =>
      noF64(dtype) ??
      (op === "step" ? "keeps no state between calls" : N > 1 ? "one sequence at a time: has no batches" : undefined),
    "roughly: another network (no cell state; an output layer), and its backward pass updates the weights",
  ),
  python("NumPy", "numpy"),
  python("PyTorch", "torch"),
];
