// Ends of workers, runs and servers at random moments: the final model is that of an undisturbed run, byte for byte.

import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Redis } from "ioredis";
import { describe, expect, onTestFinished, test } from "vitest";
import { Random } from "../../src/index.js";
import { finish, temporaryFolder } from "../helpers/cli.js";
import { runOn, SERVER, startOn, startWorker, TestServer, Wire } from "../helpers/redis.js";
import { MISSING_REDIS, reportMissing } from "../helpers/tools.js";
import { filesIn, NAMES, undisturbed, wait } from "../helpers/undisturbed.js";

if (!SERVER) reportMissing(MISSING_REDIS);

/** A source of moments; the seed is printed, to try it again. */
function moments(): Random {
  const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`SEED=${seed}`);
  return new Random(seed);
}

describe.skipIf(!SERVER)("the bits of an undisturbed run", () => {
  test("when workers are killed at 40 random moments", async () => {
    const random = moments();
    const { args, files } = await undisturbed("--shards", "4", "--epochs", "4", "--eval-every", "50");
    const server = await TestServer.start();
    const idle = temporaryFolder();
    const workers = await Promise.all([1, 2, 3].map(() => startWorker(server.url, idle)));
    let kills = 0;
    for (let runs = 0; kills < 40 && runs < 20; runs++) {
      const folder = temporaryFolder();
      const child = startOn(server.url, folder, [...args, "--queue"]);
      let ended = false;
      const outcome = finish(child).finally(() => (ended = true));
      while (!ended && kills < 40) {
        await wait(50 + 500 * random.uniform());
        const i = Math.floor(random.uniform() * workers.length);
        workers[i]!.kill("SIGKILL");
        kills++;
        workers[i] = await startWorker(server.url, idle);
      }
      const { code, stderr } = await outcome;
      expect([code, stderr]).toEqual([0, ""]);
      expect(filesIn(folder)).toEqual(files);
    }
    expect(kills).toBe(40);
  });

  test("when the run is killed at 10 random moments, and resumed", async () => {
    const random = moments();
    const cut = ["--shards", "2", "--local-steps", "3", "--outer-momentum", "0.9"];
    const { args, files, text } = await undisturbed(...cut, "--epochs", "6", "--eval-every", "9");
    const server = await TestServer.start();
    const folder = temporaryFolder();
    await startWorker(server.url, folder);
    await startWorker(server.url, folder);
    for (let kills = 0; kills < 10;) {
      const saved = existsSync(join(folder, NAMES[1]!));
      const child = startOn(server.url, folder, saved ? ["train", text, "--resume", NAMES[0]!, "--queue", "--json"] : [...args, "--queue", "--json"]); // prettier-ignore
      const ended = once(child, "exit");
      child.stderr.resume();
      await once(child.stdout, "data"); // it has begun
      child.stdout.resume();
      await Promise.race([wait(1000 * random.uniform()), ended]);
      if (child.exitCode !== null) break; // it was done
      child.kill("SIGKILL");
      await ended;
      kills++;
    }
    const last = await runOn(server.url, folder, "train", text, "--resume", NAMES[0]!, "--queue");
    expect([last.code, last.stderr]).toEqual([0, ""]);
    expect(filesIn(folder)).toEqual(files);
  });

  test("when the server is killed 5 times, with a file that it appends to", async () => {
    const random = moments();
    const { args, files } = await undisturbed("--shards", "4", "--epochs", "6", "--eval-every", "50");
    const server = await TestServer.start("--appendonly", "yes");
    const folder = temporaryFolder();
    await startWorker(server.url, folder);
    await startWorker(server.url, folder);
    const child = startOn(server.url, folder, [...args, "--queue", "--json"]);
    const outcome = finish(child);
    await once(child.stdout, "data");
    for (let kills = 0; kills < 5 && child.exitCode === null; kills++) {
      await wait(300 + 400 * random.uniform());
      await server.kill();
      await wait(200);
      await server.start();
    }
    const { code, stderr } = await outcome;
    expect([code, stderr]).toEqual([0, ""]);
    expect(filesIn(folder)).toEqual(files);
  });

  test("when a server without a file forgets everything", async () => {
    const { args, files } = await undisturbed("--shards", "2", "--epochs", "5", "--eval-every", "50");
    const server = await TestServer.start();
    const folder = temporaryFolder();
    await startWorker(server.url, folder);
    const child = startOn(server.url, folder, [...args, "--queue", "--json"]);
    const outcome = finish(child);
    await once(child.stdout, "data");
    await wait(400);
    await server.kill();
    await server.start();
    const { code, stderr } = await outcome;
    expect([code, stderr]).toEqual([0, ""]);
    expect(filesIn(folder)).toEqual(files);
  });

  test("when a server forgets everything at 100 random moments", async () => {
    const random = moments();
    const { args, files } = await undisturbed("--shards", "2", "--epochs", "5", "--eval-every", "50");
    const server = await TestServer.start();
    const redis = new Redis(server.url);
    onTestFinished(() => redis.disconnect());
    const idle = temporaryFolder();
    await startWorker(server.url, idle);
    await startWorker(server.url, idle);
    let losses = 0;
    for (let runs = 0; losses < 100 && runs < 20; runs++) {
      const folder = temporaryFolder();
      const child = startOn(server.url, folder, [...args, "--queue", "--json", "--verify", "0.05"]);
      const outcome = finish(child);
      await once(child.stdout, "data");
      for (; losses < 100 && child.exitCode === null; losses++) {
        await wait(100 * random.uniform());
        await redis.flushall();
      }
      const { code, stderr } = await outcome;
      expect([code, stderr]).toEqual([0, ""]);
      expect(filesIn(folder)).toEqual(files);
    }
    expect(losses).toBe(100);
  });

  test("when a worker is cut off for longer than its lock, another sleeps, and another is 20 times slower", async () => {
    const { args, files } = await undisturbed("--shards", "4", "--epochs", "4", "--eval-every", "50");
    const server = await TestServer.start();
    const folder = temporaryFolder();
    const wire = await Wire.to(server.port);
    await startWorker(wire.url, folder);
    const [sleeper, slow] = [await startWorker(server.url, folder), await startWorker(server.url, folder)];
    const child = startOn(server.url, folder, [...args, "--queue", "--json"]);
    const outcome = finish(child);
    await once(child.stdout, "data");
    const slowness = setInterval(() => {
      slow.kill("SIGCONT");
      setTimeout(() => slow.kill("SIGSTOP"), 5);
    }, 100);
    for (let i = 0; i < 3 && child.exitCode === null; i++) {
      await wait(200);
      wire.cut = true;
      sleeper.kill("SIGSTOP");
      await wait(2500); // the lock is 1 s
      wire.cut = false;
      sleeper.kill("SIGCONT");
    }
    const { code, stderr } = await outcome;
    clearInterval(slowness);
    expect([code, stderr]).toEqual([0, ""]);
    expect(filesIn(folder)).toEqual(files);
  });
});

describe.skipIf(!SERVER)("a clear error and a state that resumes", () => {
  test("when the server's memory is full", async () => {
    const { args, files, text } = await undisturbed(
      "--shards",
      "2",
      "--epochs",
      "1",
      "--eval-every",
      "5",
      "--hidden",
      "100",
    );
    const server = await TestServer.start("--maxmemory", "3mb");
    const folder = temporaryFolder();
    await startWorker(server.url, folder);
    const full = await runOn(server.url, folder, ...args, "--queue");
    expect(full.stderr).toContain("has no memory left for more values (OOM): raise its maxmemory");
    expect(full.stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(full.code).toBe(1);
    const roomy = await TestServer.start();
    await startWorker(roomy.url, folder);
    const again = existsSync(join(folder, NAMES[1]!)) ? ["train", text, "--resume", NAMES[0]!] : args;
    expect(await runOn(roomy.url, folder, ...again, "--queue")).toMatchObject({ code: 0, stderr: "" });
    expect(filesIn(folder)).toEqual(files);
  });

  test("when the server goes away for longer than the timeout", async () => {
    const { args, files, text } = await undisturbed("--shards", "2", "--epochs", "6", "--eval-every", "50");
    const server = await TestServer.start();
    const folder = temporaryFolder();
    await startWorker(server.url, folder);
    const child = startOn(server.url, folder, [...args, "--queue", "--json", "--timeout", "1"]);
    const outcome = finish(child);
    await once(child.stdout, "data");
    await wait(300);
    await server.kill();
    const { code, stderr } = await outcome;
    expect(stderr).toMatch(/^wasm-rnn: the queue at 127\.0\.0\.1:\d+ was unreachable for 1 s: [^\n]+\n$/);
    expect(code).toBe(2);
    await server.start();
    const resumed = await runOn(server.url, folder, "train", text, "--resume", NAMES[0]!, "--queue");
    expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
    expect(filesIn(folder)).toEqual(files);
  });

  test("when the run is stopped by a signal: nothing stays on the server", async () => {
    const { args, files, text } = await undisturbed("--shards", "2", "--epochs", "8", "--eval-every", "50");
    const server = await TestServer.start();
    const folder = temporaryFolder();
    await startWorker(server.url, folder);
    const child = startOn(server.url, folder, [...args, "--queue", "--json"]);
    const outcome = finish(child);
    await once(child.stdout, "data");
    await wait(300);
    child.kill("SIGTERM");
    expect((await outcome).code).toBe(130);
    const status = async () => JSON.parse((await runOn(server.url, folder, "queue", "status", "--json")).stdout) as Record<string, object>; // prettier-ignore
    expect(await status()).toMatchObject({
      runs: [],
      values: { count: 0, bytes: 0 },
      queues: [{ waiting: 0, active: 0 }],
    });
    const resumed = await runOn(server.url, folder, "train", text, "--resume", NAMES[0]!, "--queue");
    expect(resumed.code).toBe(0);
    expect(filesIn(folder)).toEqual(files);
  });
});
