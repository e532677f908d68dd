// How long fresh processes take, and how large apps are.

import { spawnSync } from "node:child_process";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { median } from "./common.js";

/** A module that a process runs, and the folder that it runs in. */
export interface Program {
  readonly code: string;
  readonly folder: string;
}

/**
 * Runs each program `runs` times, in turns, after once that fills the system's file cache unless there is one run only.
 *
 * @returns median times until exit in milliseconds: of `node -e ""`, and of each program
 */
export function startTimes(programs: readonly Program[], runs: number, env = process.env): [bare: number, ...number[]] {
  const time = (args: string[], cwd: string) => {
    const start = performance.now();
    const { status, stderr } = spawnSync(process.execPath, args, { cwd, env, encoding: "utf8" });
    const ms = performance.now() - start;
    if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}: ${stderr}`);
    return ms;
  };
  const rounds = Array.from({ length: runs + Number(runs > 1) }, () => [
    time(["-e", ""], "."),
    ...programs.map(({ code, folder }) => time(["--input-type=module", "-e", code], folder)),
  ]).slice(-runs);
  const medianOf = (i: number) => median(rounds.map((round) => round[i]!));
  return [medianOf(0), ...programs.map((_, i) => medianOf(i + 1))];
}

/** The JavaScript of an app for browsers, bundled and minified. */
export async function bundleApp({ code, folder }: Program): Promise<Uint8Array> {
  const { outputFiles } = await build({
    stdin: { contents: code, resolveDir: folder },
    bundle: true,
    minify: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    external: ["fs", "path", "os", "util", "crypto", "worker_threads", "perf_hooks", "node:*"], // never reached in a page
    define: { "process.env.NODE_ENV": '"production"' },
    write: false,
    logLevel: "error",
  });
  return outputFiles[0]!.contents;
}

export const gzippedSize = (bytes: Uint8Array): number => gzipSync(bytes, { level: 9 }).length;
