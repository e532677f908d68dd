// A Redis-compatible server for a test, and processes that work on it.

import { spawn, type ChildProcess, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { CLI, finish, type Outcome } from "./cli.js";
import type { Host } from "./hosts.js";
import { programs } from "./tools.js";

/** The server's program; undefined where there is none. */
export const SERVER = programs("redis-server", "valkey-server")[0];

/** A port that nobody listens to. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

const wait = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Waits until `test` is true. */
export async function until(test: () => boolean | Promise<boolean>, seconds = 60): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !(await test()); await wait(20)) {
    if (Date.now() > end) throw new Error(`not within ${seconds} s`);
  }
}

/** A server, which ends with the test. */
export class TestServer {
  readonly #command: readonly [program: string, args: readonly string[]];
  readonly #socket: string;
  #process: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    readonly folder: string,
    options: readonly string[],
    host?: Host,
    readonly address = host?.address ?? "127.0.0.1",
  ) {
    this.#socket = join(folder, "socket"); // is there for all hosts
    const own = ["--port", String(port), "--bind", address, "--unixsocket", this.#socket, "--dir", folder];
    const args = [...own, "--save", "", "--loglevel", "warning", ...options];
    this.#command = host ? host.command(SERVER!, ["--protected-mode", "no", ...args]) : [SERVER!, args];
  }

  static start(...options: string[]): Promise<TestServer> {
    return TestServer.startOn(undefined, ...options);
  }

  static async startOn(host: Host | undefined, ...options: string[]): Promise<TestServer> {
    const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-redis-"));
    const server = new TestServer(host ? 6379 : await freePort(), folder, options, host);
    onTestFinished(async () => {
      await server.kill();
      rmSync(folder, { recursive: true, force: true });
    });
    await server.start();
    return server;
  }

  get url(): string {
    return `redis://${this.address}:${this.port}`;
  }

  async start(): Promise<void> {
    rmSync(this.#socket, { force: true });
    this.#process = spawn(...this.#command, { stdio: "ignore" });
    await until(() => canConnect(this.#socket));
  }

  async kill(): Promise<void> {
    const child = this.#process;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }
}

async function canConnect(path: string): Promise<boolean> {
  const socket = connect(path);
  return new Promise((resolve) => {
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}

/** A way to the server that can be cut: packets then wait. */
export class Wire {
  readonly #sockets = new Set<Socket>();
  #cut = false;

  private constructor(readonly server: Server) {}

  static async to(port: number): Promise<Wire> {
    const wire: Wire = new Wire(
      createServer((near) => {
        const far = connect(port, "127.0.0.1");
        for (const [from, to] of [
          [near, far],
          [far, near],
        ] as const) {
          wire.#sockets.add(from);
          if (wire.#cut) from.pause();
          from.on("data", (data) => to.write(data));
          from.on("close", () => (wire.#sockets.delete(from), to.destroy()));
          from.on("error", () => to.destroy());
        }
        if (wire.#cut) for (const socket of [near, far]) socket.pause();
      }).listen(0, "127.0.0.1"),
    );
    await once(wire.server, "listening");
    onTestFinished(() => {
      for (const socket of wire.#sockets) socket.destroy();
      wire.server.close();
    });
    return wire;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  set cut(cut: boolean) {
    this.#cut = cut;
    for (const socket of this.#sockets) {
      if (cut) socket.pause();
      else socket.resume();
    }
  }
}

/** Starts `wasm-rnn ...args` with the URL of a queue in its environment; it is killed when the test is over. */
export function startOn(
  url: string,
  folder: string,
  args: readonly string[],
  { program = CLI, host }: { program?: string; host?: Host | undefined } = {},
): ChildProcessWithoutNullStreams {
  const command = [program, ...args];
  const child = spawn(...(host?.command(process.execPath, command) ?? [process.execPath, command]), {
    cwd: folder,
    env: { ...process.env, WASM_RNN_QUEUE: url },
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

/** Runs `wasm-rnn ...args` to its end. */
export function runOn(url: string, folder: string, ...args: string[]): Promise<Outcome> {
  return finish(startOn(url, folder, args));
}

/** Starts a worker, and waits until it takes jobs. */
export function startWorker(url: string, folder: string, ...args: string[]): Promise<ChildProcessWithoutNullStreams> {
  return startWorkerOn(undefined, url, folder, ...args);
}

/** Starts a worker on a host. */
export async function startWorkerOn(
  host: Host | undefined,
  url: string,
  folder: string,
  ...args: string[]
): Promise<ChildProcessWithoutNullStreams> {
  const child = startOn(url, folder, ["worker", "--threads", "1", "--lock", "1", ...args], { host });
  child.stderr.resume();
  await once(child.stdout, "data");
  child.stdout.resume();
  return child;
}
