// The page that bench/onnx.ts --browser opens: measures in it what the file tasks.json says.

import * as ort from "onnxruntime-common"; // onnxruntime-web, by an alias
import { measure, onnxRuntime, ours, oursStreamed, type Task, type Times } from "./turns.js";

/** What the page is to do. */
export interface Orders {
  readonly tasks: readonly Task[];
  readonly rounds: number;
  readonly ms: number;
}

ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
const { tasks, rounds, ms } = (await (await fetch("orders.json")).json()) as Orders;
const results: Times[] = [];
for (const task of tasks) {
  const files = new Map<string, Uint8Array>();
  for (const { file } of task.graphs) files.set(file, new Uint8Array(await (await fetch(file)).arrayBuffer()));
  const contestants = { ours, stream: oursStreamed, web: onnxRuntime(ort, "wasm") };
  results.push(await measure(task, (file) => files.get(file)!, contestants, rounds, ms));
}
document.querySelector("#result")!.textContent = JSON.stringify(results);
