// Workers on a queue: tasks of an operator, verification, builds, and what is refused.

import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { parseAllDocuments } from "yaml";
import { buildInfo, CharLM, FormatError, tensor, ValueError, Vocabulary } from "../../src/index.js";
import {
  cleanQueue,
  Cluster,
  ClusterError,
  InProcess,
  modelTask,
  queueStatus,
  runWorker,
  shardBatches,
  threads,
  trainShards,
  type ShardedProgress,
} from "../../src/cluster.js";
import { Connection } from "../../src/cluster/connection.js";
import { queueName, readJob, readResult } from "../../src/cluster/protocol.js";
import { Cache, encodeJson, encodeTensors, MissingValue, refOf, Values } from "../../src/cluster/values.js";
import { batches } from "../../src/train.js";
import { BatchNorm1d, Dropout, Linear, mse, Sequential } from "../../src/index.js";
import { charLMShards } from "../../src/train/shard-tasks.js";
import { folderWithText, jsonLines, ofEvent, run, SMALL, temporaryFolder } from "../helpers/cli.js";
import { root } from "../helpers/project.js";
import { freePort, runOn, SERVER, startOn, startWorker, TestServer, until } from "../helpers/redis.js";
import { goWithout, MISSING_REDIS, programs, reportMissing } from "../helpers/tools.js";

/** The build of jobs. */
const { variant, version, hash } = buildInfo();
const build = { variant, version, hash };

if (!SERVER) reportMissing(MISSING_REDIS);

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** As in task.mjs. */
const model = () =>
  new Sequential({
    ...{ hidden: new Linear(2, 5, { seed: 1 }), norm: new BatchNorm1d(5) },
    ...{ dropout: new Dropout(0.2, { seed: 1 }), out: new Linear(5, 1, { seed: 2 }) },
  });
const sums = modelTask({ name: "sums", model, loss: (output, y, { reduction }) => mse(output, y, { reduction }) });

const rows = Array.from({ length: 24 }, (_, i) => ({
  x: tensor([Math.sin(i), Math.cos(3 * i)]),
  y: tensor([Math.sin(i) + Math.cos(3 * i)]),
}));
const training = (more = {}) => ({
  ...{ setup: {}, data: shardBatches(batches(rows, { batchSize: 8 }), 4), batches: 3, epochs: 4 },
  ...{ weights: model().stateDict(), optimizer: { kind: "AdamW" as const, options: { weightDecay: 0.01 } }, lr: 0.02 },
  ...more,
});

async function lastOf(rounds: AsyncIterable<ShardedProgress>): Promise<ShardedProgress> {
  let last: ShardedProgress | undefined;
  for await (last of rounds);
  return last!;
}

describe.skipIf(!SERVER)("a task of the operator", () => {
  test.each([{}, { localSteps: 2, outerMomentum: 0.8 }])(
    "with %o has the same bits in threads and on a queue",
    async (more) => {
      const server = await TestServer.start();
      for (const name of ["a", "b"])
        await startWorker(server.url, temporaryFolder(), "--name", name, "--tasks", file("task.mjs"));
      const here = await lastOf(trainShards(sums, new InProcess([sums]), training(more)));
      const notes: string[] = [];
      const cluster = new Cluster({ queue: server.url, verify: 0.5, onNote: (note) => notes.push(note) });
      expect(await lastOf(cluster.train(sums, training(more)))).toEqual(here);
      expect(notes).toEqual([]);
      expect(here.losses[0]).toBeLessThan(2);
      const { workers, runs, values } = await queueStatus({ queue: server.url });
      expect(workers.map(({ name, tasks, threads }) => [name, tasks, threads])).toEqual(
        ["a", "b"].map((name) => [name, ["charlm", "sums"], 1]),
      );
      expect([runs, values]).toEqual([[], { count: 0, bytes: 0 }]);
    },
  );

  test("on a worker that computes wrongly is found out, and names both", async () => {
    const server = await TestServer.start();
    await startWorker(server.url, temporaryFolder(), "--name", "good", "--tasks", file("task.mjs"));
    await startWorker(server.url, temporaryFolder(), "--name", "bad", "--tasks", file("wrong-task.mjs"));
    const cluster = new Cluster({ queue: server.url, verify: 1 });
    const error: unknown = await lastOf(cluster.train(sums, training())).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(ClusterError);
    expect((error as ClusterError).code).toBe("differ");
    expect((error as Error).message).toMatch(
      /^shard \d of step 1 has other bits on workers (good-\S+ and bad-\S+|bad-\S+ and good-\S+): one/,
    );
  });

  test("that fails says why", async () => {
    const server = await TestServer.start();
    await startWorker(server.url, temporaryFolder(), "--tasks", file("task.mjs"));
    const cluster = new Cluster({ queue: server.url });
    const broken = training({ optimizer: { kind: "AdamW", options: { eps: -1 } }, localSteps: 2 });
    await expect(lastOf(cluster.train(sums, broken))).rejects.toThrow(/eps/);
  });
});

describe.skipIf(!SERVER)("a worker", () => {
  test("of another version takes no job, and says so; the run says what it waits for", async () => {
    const server = await TestServer.start();
    const folder = folderWithText();
    const other = join(temporaryFolder(), "package");
    cpSync(join(root, "dist"), join(other, "dist"), { recursive: true });
    cpSync(join(root, "package.json"), join(other, "package.json"));
    symlinkSync(join(root, "node_modules"), join(other, "node_modules"));
    for (const name of readdirSync(join(other, "dist"), { recursive: true, encoding: "utf8" })) {
      if (!/\.c?js$/.test(name)) continue;
      const path = join(other, "dist", name);
      writeFileSync(path, readFileSync(path, "utf8").replaceAll(`"${version}"`, '"9.9.9"'));
    }
    const stranger = startOn(server.url, folder, ["worker", "--threads", "1"], {
      program: join(other, "dist/cli.js"),
    });
    let said = "";
    stranger.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
    const child = startOn(server.url, folder, ["train", "book.txt", ...SMALL, "--queue", "--shards", "2"]);
    let asked = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (asked += text));
    child.stdout.resume();
    await until(() => asked.includes("waiting for a worker") && said.includes("takes none of its jobs"), 30);
    expect(asked).toMatch(
      /waiting for a worker with the task charlm and the build \w+ of 0\.\d\.\d \(\w{8}\); there are workers of another build \(worker: \w+ of 9\.9\.9 \(\w{8}\)\)/,
    );
    expect(said).toMatch(/run \w{16} needs the build \w+ of 0\.\d\.\d .*: this worker has \w+ of 9\.9\.9/);
    await startWorker(server.url, folder);
    expect(await new Promise((resolve) => child.on("exit", resolve))).toBe(0);
  });

  test("ends after its jobs at a signal, and at once at a second one", async () => {
    const server = await TestServer.start();
    const controller = new AbortController();
    const done = runWorker({ queue: server.url, threads: 1, signal: controller.signal });
    await until(async () => (await queueStatus({ queue: server.url })).workers.length === 1);
    controller.abort();
    await done;
    expect((await queueStatus({ queue: server.url })).workers).toEqual([]);
    await expect(runWorker({ queue: server.url, threads: 0 })).rejects.toThrow(ValueError);
    await expect(runWorker({ queue: server.url, name: "a b" })).rejects.toThrow(ValueError);
    await expect(runWorker({ queue: server.url, lock: 0 })).rejects.toThrow(ValueError);
    await expect(runWorker({ queue: server.url, tasks: [new URL("data:text/javascript,")] })).rejects.toThrow(
      "a module that exports tasks",
    );
  });

  test("does nothing for a run that has ended, refuses jobs that are none, and goes on", async () => {
    const server = await TestServer.start();
    const folder = folderWithText();
    const child = await startWorker(server.url, folder, "--max-memory", "50");
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
    const connection = await Connection.open({ queue: server.url });
    onTestFinished(() => connection.close());
    const { Queue } = connection.bullmq;
    const queue = new Queue(queueName("charlm", build), connection.shared);
    const vocabulary = Vocabulary.fromText("ab");
    const shards = charLMShards(new CharLM(vocabulary), vocabulary.encode("abababababab"), {
      batch: 1,
      seq: 5,
      shards: 1,
    });
    const bytes = encodeTensors(shards.data[0]!);
    const ref = refOf(bytes);
    const setupBytes = encodeJson(shards.setup);
    const setup = refOf(setupBytes);
    const run = "0123456789abcdef";
    const values = new Values(connection, run, 2 ** 30);
    const job = {
      ...{ run, build, setup, data: ref, model: ref, carried: ref },
      plan: { step: 0, shard: 0, shards: 1, seed: 1, batches: [0] },
    };
    const ask = async (payload: object) => {
      const { id } = await queue.add("shard", payload);
      let failed: string | undefined;
      await until(async () => {
        const found = await queue.getJob(id!);
        failed = found?.failedReason ?? JSON.stringify(found?.returnvalue as unknown);
        return found?.finishedOn !== undefined;
      }, 20);
      return failed;
    };
    expect(await ask(job)).toBe('{"abandoned":true}');
    await connection.redis.set(`${connection.prefix}:run:${run}`, JSON.stringify({ task: "charlm", build }));
    expect(await ask(job)).toBe(`missing ${setup.hash}`);
    await values.put({ ...ref, hash: "0".repeat(64) }, bytes);
    await values.put(ref, bytes);
    await values.put(setup, setupBytes);
    expect(await ask({ ...job, setup: { ...ref, hash: "0".repeat(64) } })).toContain("bytes whose SHA-256 is");
    expect(await ask({ ...job, setup: { ...setup, size: setup.size + 1 } })).toContain(
      `got ${setup.size} bytes, expected ${setup.size + 1}`,
    );
    expect(await ask({ ...job, setup: { ...setup, size: 6e7 } })).toContain(
      "got 60000000 bytes, expected at most 50000000",
    );
    expect(await ask({ ...job, setup: ref })).toMatch(/setup/); // it is no JSON
    expect(await ask({ ...job, build: { ...build, hash: "x" } })).toContain("build");
    expect(await ask({ run: "../x" })).toContain("16 hexadecimal digits");
    expect(await ask({ ...job, plan: { step: -1 } })).toContain("job plan.step");
    await queue.close();
    const outcome = await runOn(server.url, folder, "train", "book.txt", ...SMALL, "--queue");
    expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
    expect(said).toContain("a job failed: ");
  });
});

describe.skipIf(!SERVER)("a queue that cannot be used", () => {
  const fails = async (url: string, ...more: string[]) => {
    const folder = folderWithText();
    const started = Date.now();
    for (const args of [["train", "book.txt", ...SMALL, "--queue"], ["worker"], ["queue", "status"]]) {
      const { code, stderr, stdout } = await runOn(url, folder, ...args, "--timeout", "2", ...more);
      expect(stderr.trimEnd().split("\n")).toHaveLength(1);
      expect(stderr).toMatch(/^wasm-rnn: the queue at 127\.0\.0\.1:\d+ cannot be used: /);
      expect(code).toBe(2);
      expect(stdout + stderr).not.toContain("secret");
      if (args[0] === "train") said = stderr;
    }
    expect(Date.now() - started).toBeLessThan(3 * 10_000);
    return said;
  };
  let said = "";

  test("by its password", async () => {
    const server = await TestServer.start("--requirepass", "right-secret");
    expect(await fails(server.url.replace("//", "//:wrong-secret@"))).toContain("refuses the user or password");
    expect(await fails(server.url)).toContain("refuses the user or password");
    const url = server.url.replace("//", "//:right-secret@");
    const folder = folderWithText();
    const worker = startOn(url, folder, ["worker", "--threads", "1"]);
    let output = "";
    for (const stream of [worker.stdout, worker.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    const { code, stdout, stderr } = await runOn(
      url,
      folder,
      "train",
      "book.txt",
      ...SMALL,
      "--queue",
      "--shards",
      "2",
    );
    expect([code, stderr]).toEqual([0, ""]);
    worker.kill("SIGTERM");
    await new Promise((resolve) => worker.on("exit", resolve));
    expect(output + stdout).not.toContain("secret");
    const { stdout: status } = await runOn(url, folder, "queue", "status");
    expect(status).toContain("values: 0");
    expect(status).not.toContain("secret");
  });

  test("since nobody is there, or does not answer", async () => {
    expect(await fails(`redis://127.0.0.1:${await freePort()}`)).toContain("ECONNREFUSED");
    const silent = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void silent.close());
    await until(() => silent.listening);
    expect(await fails(`redis://127.0.0.1:${(silent.address() as AddressInfo).port}`)).toContain(
      "no answer within 2 s",
    );
  });

  test("without TLS where it is wanted, and with it where it is not", async (context) => {
    const server = await TestServer.start();
    expect(await fails(server.url.replace("redis:", "rediss:"))).toMatch(/TLS|closed|answer/);
    const [openssl] = programs("openssl");
    if (!openssl) goWithout(context, "No openssl was found. Install it (Debian: apt-get install openssl).");
    const folder = temporaryFolder();
    const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")];
    const made = spawnSync(openssl, [
      "req",
      "-x509",
      "-newkey",
      "rsa:2048",
      "-nodes",
      "-keyout",
      key,
      "-out",
      certificate,
      "-subj",
      "/CN=localhost",
    ]);
    expect(made.status).toBe(0);
    const port = await freePort();
    await TestServer.start(
      "--tls-port",
      String(port),
      "--tls-cert-file",
      certificate,
      "--tls-key-file",
      key,
      "--tls-ca-cert-file",
      certificate,
      "--tls-auth-clients",
      "no",
    );
    expect(await fails(`redis://127.0.0.1:${port}`)).toMatch(/rediss:|answer|ECONNRESET/);
    expect(await fails(`rediss://127.0.0.1:${port}`)).toMatch(/self-signed|SELF_SIGNED/);
  });
});

describe.skipIf(!SERVER)("the server", () => {
  test("is cleaned of what dead runs have left", async () => {
    const server = await TestServer.start();
    const folder = folderWithText();
    const child = startOn(server.url, folder, ["train", "book.txt", ...SMALL, "--queue"]);
    await until(async () => (await queueStatus({ queue: server.url })).values.count === 4, 20);
    child.kill("SIGKILL");
    const { runs } = await queueStatus({ queue: server.url });
    expect(runs).toHaveLength(1);
    await cleanQueue({ queue: server.url });
    expect((await queueStatus({ queue: server.url })).values.count).toBe(4); // it may still live
    const { stdout } = await runOn(server.url, folder, "queue", "clean", "--all");
    expect(stdout).toMatch(/^\d+ keys removed\n$/);
    const { runs: none, queues, values, workers } = await queueStatus({ queue: server.url });
    expect({ none, queues, values, workers }).toEqual({
      none: [],
      queues: [],
      values: { count: 0, bytes: 0 },
      workers: [],
    });
  });

  test("serves a sweep, whose results are those of threads", async () => {
    const server = await TestServer.start();
    const folder = folderWithText();
    const space = { hidden: [4, 8], lr: [0.002, 0.02], layers: 1, embedding: 4, seq: 10, batch: 4, epochs: 1 };
    writeFileSync(join(folder, "space.json"), JSON.stringify(space));
    await startWorker(server.url, folder);
    const args = ["sweep", "space.json", "book.txt", "--json"];
    const there = await runOn(server.url, folder, ...args, "--queue", "--out", "there");
    const here = await run(folder, ...args, "--workers", "1", "--out", "here");
    expect([there.code, there.stderr]).toEqual([0, ""]);
    expect(ofEvent(jsonLines(there), "result")).toEqual(ofEvent(jsonLines(here), "result"));
    for (let i = 1; i <= 4; i++) {
      const bytes = ["here", "there"].map((name) => readFileSync(join(folder, name, `${i}.safetensors`)));
      expect(bytes[0]!.equals(bytes[1]!)).toBe(true);
    }
  });

  test("holds values that are checked when they are read", async () => {
    const server = await TestServer.start();
    const connection = await Connection.open({ queue: server.url, timeToLive: 1 });
    onTestFinished(() => connection.close());
    const values = new Values(connection, "0123456789abcdef", 100);
    const bytes = Uint8Array.of(1, 2, 3);
    const ref = refOf(bytes);
    await expect(values.get(ref)).rejects.toThrow(MissingValue);
    await values.put(ref, bytes);
    expect(await values.get(ref)).toEqual(bytes);
    await expect(values.get({ ...ref, size: 4 })).rejects.toThrow(FormatError);
    await expect(values.get({ ...ref, size: 101 })).rejects.toThrow(ValueError);
    const other = refOf(Uint8Array.of(9));
    await values.put({ ...other, size: 3 }, bytes);
    await expect(values.get({ ...other, size: 3 })).rejects.toThrow("bytes whose SHA-256 is");
    expect([await values.touch(ref), values.traffic.sent]).toEqual([true, 6]);
    await until(
      async () =>
        !(await values.touch({ ...other, size: 3 })) ||
        (await new Promise((resolve) => setTimeout(() => resolve(false), 1200))),
      10,
    );
    await values.remove([ref]);
    await expect(values.get(ref)).rejects.toThrow(MissingValue);
  });
});

describe("without a server", () => {
  test("threads have the bits of this process, and end", async () => {
    const built = (await import(/* @vite-ignore */ new URL("../../dist/cluster.js", import.meta.url).href)) as {
      threads: typeof threads;
    };
    const transport = built.threads({ workers: 2, tasks: [new URL("task.mjs", import.meta.url)] });
    const here = await lastOf(trainShards(sums, new InProcess([sums]), training({ localSteps: 3 })));
    expect(await lastOf(trainShards(sums, transport, training({ localSteps: 3 })))).toEqual(here);
    const broken = training({ optimizer: { kind: "SGD", options: { momentum: -1 } }, localSteps: 2 });
    await expect(lastOf(trainShards(sums, transport, broken))).rejects.toThrow(/momentum/);
    await transport.close();
    expect(() => threads({ workers: 0 })).toThrow(ValueError);
  });

  test("the cache keeps what was used last", async () => {
    const cache = new Cache(10);
    const loads: string[] = [];
    const get = (hash: string, size = 4) =>
      cache.get({ hash, size }, "json", () => {
        loads.push(hash);
        return hash === "bad" ? Promise.reject(new Error("bad")) : Promise.resolve(hash);
      });
    for (const hash of ["a", "b", "a", "c", "a", "b"]) expect(await get(hash)).toBe(hash);
    expect(loads).toEqual(["a", "b", "c", "b"]);
    await expect(get("bad")).rejects.toThrow("bad");
    await expect(get("bad")).rejects.toThrow("bad");
    expect(await get("large", 100)).toBe("large");
    expect(loads.slice(4)).toEqual(["bad", "bad", "large"]);
  });

  const ref = { hash: "a".repeat(64), size: 3 };
  const plan = { step: 0, shard: 0, shards: 2, seed: 1, batches: [0, 1] };
  const local = { optimizer: { kind: "Adam" }, rates: [0.1, 0.2], clip: null };
  const job = { run: "0123456789abcdef", build, setup: ref, data: ref, model: ref, carried: ref, plan };

  test("jobs and results are read", () => {
    expect(readJob(job)).toEqual(job);
    expect(readJob({ ...job, not: "worker", plan: { ...plan, local } })).toMatchObject({ not: "worker" });
    expect(readResult({ worker: "a", values: ref, carried: ref })).toEqual({ worker: "a", values: ref, carried: ref });
    expect(readResult({ abandoned: true })).toBe("abandoned");
  });

  test.each<[unknown]>(
    [
      ...[null, 3, [], {}, { ...job, run: "xyz" }, { ...job, not: 3 }, { ...job, build: { ...build, variant: "x" } }],
      ...[
        { ...job, data: { hash: "A".repeat(64), size: 3 } },
        { ...job, model: { ...ref, size: -1 } },
        { ...job, carried: null },
      ],
      ...[null, { ...plan, shards: 1.5 }, { ...plan, batches: [] }, { ...plan, batches: [-1] }].map((odd) => ({
        ...job,
        plan: odd,
      })),
      ...[
        3,
        { ...local, rates: [1] },
        { ...local, clip: "1" },
        { ...local, optimizer: "Adam" },
        { ...local, rates: [1, null] },
      ].map((odd) => ({
        ...job,
        plan: { ...plan, local: odd },
      })),
    ].map((odd): [unknown] => [odd]),
  )("what is no job is refused: %#", (odd) => {
    expect(() => readJob(odd)).toThrow(FormatError);
  });

  test.each([null, 3, {}, { worker: 1 }, { worker: "a", values: ref }])("what is no result is refused: %#", (odd) => {
    expect(() => readResult(odd)).toThrow(FormatError);
  });

  test("options that are none are refused, without a word of the password", async () => {
    const open = async (options: object) =>
      new Cluster({ queue: "redis://:secret@127.0.0.1:1", ...options }).connect("charlm");
    await expect(open({ queue: "redis//:secret@x" })).rejects.toThrow("queue: got no URL");
    await expect(open({ prefix: "a:b" })).rejects.toThrow(ValueError);
    await expect(open({ timeout: 0 })).rejects.toThrow(ValueError);
    await expect(open({ timeToLive: -1 })).rejects.toThrow(ValueError);
    await expect(open({ timeout: 1 })).rejects.not.toThrow(/secret/);
    expect(() => new Cluster({ queue: "redis://x", verify: 2 })).toThrow(ValueError);
    expect(() => new Cluster({ queue: "redis://x", other: 2 } as never)).toThrow("other");
  });
});

describe("the examples", () => {
  const read = (name: string) =>
    parseAllDocuments(readFileSync(join(root, "examples/cluster", name), "utf8")).map((document) => {
      expect(document.errors).toEqual([]);
      return document.toJS() as Record<string, never>;
    });

  test("are YAML, and their commands are those of the command line", async () => {
    const [compose] = read("compose.yaml");
    expect(Object.keys(compose!.services!)).toEqual(["queue", "worker", "train"]);
    const kinds = read("kubernetes.yaml").map(({ apiVersion, kind }) => `${String(apiVersion)} ${String(kind)}`);
    expect(kinds).toEqual(["apps/v1 Deployment", "v1 PersistentVolumeClaim", "batch/v1 Job"]);
    const text = ["compose.yaml", "kubernetes.yaml"]
      .map((name) => readFileSync(join(root, "examples/cluster", name), "utf8"))
      .join("\n");
    const used = new Set(text.match(/--(?!appendonly|maxmemory-policy|requirepass|build|scale|from-)[a-z][a-z-]+/g));
    const { stdout } = await run(temporaryFolder(), "train", "--help");
    const { stdout: worker } = await run(temporaryFolder(), "worker", "--help");
    for (const flag of used) expect(stdout + worker, flag).toContain(`${flag} `);
  });
});
