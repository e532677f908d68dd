// Starts workers that run a program (team.ts): threads of Node, or workers of the web from a Blob.

/** What a worker is given. */
export interface WorkerTask {
  memory: WebAssembly.Memory;
  /** The address of the control block. */
  control: number;
  /** The address of the worker's scratch. */
  scratch: number;
  /** As hasTallTiles() tells. */
  tallTiles: boolean;
}

/** A worker. */
export interface Helper {
  /** Settles when the program runs, or cannot. */
  readonly started: Promise<void>;
  /** Settles when the worker has ended. */
  readonly ended: Promise<void>;
  /** Keeps the process alive until the worker has ended; a worker that has started does not by itself. */
  keep(): void;
  terminate(): void;
}

/** Starts a worker; it throws where the host refuses one. */
export type Start = (program: string, task: WorkerTask) => Helper;

/** What is used of node:worker_threads. */
interface NodeWorker {
  on(event: "message" | "error" | "exit", listener: (value: unknown) => void): void;
  ref(): void;
  unref(): void;
  terminate(): unknown;
}
interface NodeThreads {
  Worker: new (code: string, options: object) => NodeWorker;
}

interface Host {
  process?: { versions?: { node?: string }; type?: string; getBuiltinModule?: (name: string) => unknown };
  crossOriginIsolated?: boolean;
}

/** What starts workers on this host; undefined where there is no shared memory or there are no workers. */
export async function workerStarter(): Promise<Start | undefined> {
  const { process, crossOriginIsolated } = globalThis as Host;
  if (typeof SharedArrayBuffer === "undefined" || crossOriginIsolated === false) return undefined;
  if (process?.versions?.node && process.type !== "renderer") {
    const name = "node:worker_threads"; // a literal would make bundlers for browsers look for it
    const threads: unknown =
      process.getBuiltinModule?.(name) ?? (await import(/* webpackIgnore: true */ /* @vite-ignore */ name));
    return (program, task) => nodeWorker(threads as NodeThreads, program, task);
  }
  return typeof Worker === "undefined" || typeof Blob === "undefined" ? undefined : webWorker;
}

function nodeWorker(threads: NodeThreads, program: string, workerData: WorkerTask): Helper {
  const code =
    `const { parentPort, workerData } = require("node:worker_threads");\n` +
    `parentPort.postMessage("started");\n(${program})(workerData);`;
  // Neither options of the process nor its environment: they might load files into each worker.
  const worker = new threads.Worker(code, { eval: true, workerData, execArgv: [], env: {}, name: "wasm-rnn" });
  const ended = new Promise<void>((resolve) => worker.on("exit", () => resolve()));
  const started = new Promise<void>((resolve, reject) => {
    worker.on("message", () => {
      worker.unref();
      resolve();
    });
    worker.on("error", reject);
    worker.on("exit", () => reject(new Error("the worker has ended")));
  });
  started.catch(() => undefined); // startThreads() tells
  return { started, ended, keep: () => worker.ref(), terminate: () => void worker.terminate() };
}

function webWorker(program: string, task: WorkerTask): Helper {
  const code = `onmessage = ({ data }) => { postMessage("started"); (${program})(data); postMessage("ended"); close(); };`;
  const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
  let end!: () => void;
  const ended = new Promise<void>((resolve) => (end = resolve));
  const worker = new Worker(url);
  const started = new Promise<void>((resolve, reject) => {
    worker.onmessage = ({ data }) => {
      if (data === "ended") end();
      else resolve();
    };
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message || "the worker could not be started"));
      end();
    };
  });
  const settled = () => URL.revokeObjectURL(url);
  started.then(settled, settled);
  worker.postMessage(task);
  const terminate = () => {
    worker.terminate();
    setTimeout(end, 0); // no event tells
  };
  return { started, ended, keep: () => undefined, terminate };
}
