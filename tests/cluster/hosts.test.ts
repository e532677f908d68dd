// Runs, workers and a server on hosts of their own, whose cables are pulled out: the bits of an undisturbed run.

import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { finish, temporaryFolder } from "../helpers/cli.js";
import { missingHosts, startHosts } from "../helpers/hosts.js";
import { SERVER, startOn, startWorkerOn, TestServer } from "../helpers/redis.js";
import { MISSING_REDIS, reportMissing } from "../helpers/tools.js";
import { filesIn, undisturbed, wait } from "../helpers/undisturbed.js";

const missing = missingHosts();
if (!SERVER) reportMissing(MISSING_REDIS);
if (missing?.tool) reportMissing(missing.note);
else if (missing) test("there may be hosts", (context) => context.skip(missing.note));

describe.skipIf(!SERVER || missing)("hosts", () => {
  test("that are cut off for longer than the lock and come back, and one that does not", async () => {
    const { args, files } = await undisturbed("--shards", "4", "--epochs", "5", "--eval-every", "50");
    const [at, here, ...others] = startHosts(5);
    const server = await TestServer.startOn(at);
    const folder = temporaryFolder();
    await Promise.all(others.map((host) => startWorkerOn(host, server.url, folder)));
    const child = startOn(server.url, folder, [...args, "--queue", "--json"], { host: here });
    const outcome = finish(child);
    await once(child.stdout, "data");
    const [first, second, third] = others;
    // the lock is 1 s; without the server or the run nothing is computed
    for (const cut of [[first!], [first!, second!], [at!], [here!, first!], [third!]]) {
      await wait(200);
      expect(child.exitCode).toBeNull();
      for (const host of cut) host.plugged = false;
      await wait(2500);
      if (!cut.includes(third!)) for (const host of cut) host.plugged = true;
    }
    const { code, stderr } = await outcome;
    expect([code, stderr]).toEqual([0, ""]);
    expect(filesIn(folder)).toEqual(files);
  });

  test("cannot use a server that they do not reach: one line, exit code 2, within the timeout", async () => {
    const [at, here] = startHosts(2);
    const server = await TestServer.startOn(at);
    at!.plugged = false;
    const started = Date.now();
    const outcome = await finish(startOn(server.url, temporaryFolder(), ["worker", "--timeout", "1"], { host: here }));
    expect(outcome).toMatchObject({ code: 2 });
    expect(outcome.stderr).toMatch(/^wasm-rnn: the queue at 10\.77\.0\.1:6379 cannot be used: [^\n]+\n$/);
    expect(Date.now() - started).toBeLessThan(10_000);
  });
});
