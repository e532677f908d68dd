// Trainings that are killed at chosen and at random moments, or that find the disk full or broken, lose nothing. `vitest run` of this file
// takes some of the cases, `npm run test:crashes` all of them (CRASH_TESTS=all).

import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Random } from "../../src/base/random.js";
import { finish, run, start, temporaryFolder } from "../helpers/cli.js";
import {
  canMount,
  checkpointIn,
  expectCheckpoint,
  expectRecovery,
  expectSameBits,
  fillDisk,
  makeReference,
  OUTPUTS,
  readOutputs,
  removeFolder,
  runOnBadDisk,
  smallDisk,
  TINY,
  type Reference,
} from "../helpers/crashes.js";

const all = process.env.CRASH_TESTS === "all";
const seed = Number(process.env.CRASH_SEED ?? 1);

/** The number of calls of a training with three checkpoints of three files each, and a lock. */
const RENAMES = 9;
const SYNCS = 19;
const WRITES = 9;

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1);
const some = <T>(cases: T[], quick: T[]) => (all ? cases : quick);

let reference: Reference;
/** Counts the survived kills. */
let [killed, full, broken] = [0, 0, 0];
beforeAll(async () => {
  reference = await makeReference();
});
afterAll(() => {
  removeFolder(reference.folder);
  const kept = "each of them left a whole checkpoint, and reached the bits of a run that was left alone";
  console.log(`seed ${seed}: ${killed} trainings killed, ${full} disks full, ${broken} broken; ${kept}`);
});

/** A folder with the checkpoint after step 16. */
async function begun(training = reference, folder = temporaryFolder()): Promise<string> {
  const outcome = await run(folder, ...training.args, "--steps", "16");
  expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
  expect(checkpointIn(folder)).toEqual({ state: 16, model: 16 });
  return folder;
}

function expectUnchanged(folder: string, before: Record<string, Buffer>): void {
  for (const name of OUTPUTS) expect(readFileSync(join(folder, name)).equals(before[name]!), name).toBe(true);
}

describe("kill -9", () => {
  test("the training makes as many calls as these tests kill at", async () => {
    const folder = temporaryFolder();
    const log = join(temporaryFolder(), "calls.txt");
    expect((await runOnBadDisk(folder, { log }, reference.args)).code).toBe(0);
    const calls = readFileSync(log, "utf8").trim().split("\n");
    const count = (op: string) => calls.filter((call) => call.startsWith(`${op} `)).length;
    expect(["rename", "sync", "write"].map(count)).toEqual([RENAMES, SYNCS, WRITES]);
    expectSameBits(reference, folder);
  });

  test.each([
    ...some(upTo(RENAMES), [1, 2, 3, 4, 7]).map((n) => ({ op: "rename", n })),
    ...some(upTo(SYNCS), [2, 5, 11]).map((n) => ({ op: "sync", n })),
    ...some(upTo(WRITES), [1, 5]).map((n) => ({ op: "write", n })),
    ...some(upTo(RENAMES), []).map((n) => ({ op: "rename", n, before: true })),
    ...some(upTo(3), [1]).map((n) => ({ op: "create", n })),
    ...some([1], [1]).map((n) => ({ op: "link", n })),
    ...some([1], []).map((n) => ({ op: "unlink", n })),
  ])("at %j, --resume reaches the bits of an uninterrupted run", async (kill) => {
    const folder = temporaryFolder();
    const ended = await runOnBadDisk(folder, { kill }, reference.args);
    expect([ended.signal, ended.stderr]).toEqual(["SIGKILL", ""]);
    expectCheckpoint(folder, ended);
    await expectRecovery(reference, folder);
    killed++;
  });

  test.each(some(upTo(RENAMES), [1, 4]))(
    "killed at rename %i while another training is overwritten: one of the two is complete",
    async (n) => {
      const folder = temporaryFolder();
      const other = [...reference.args, "--seed", "2"];
      expect((await run(folder, ...other)).code).toBe(0);
      const ended = await runOnBadDisk(folder, { kill: { op: "rename", n } }, [...reference.args, "--force"]);
      expect([ended.signal, ended.stderr]).toEqual(["SIGKILL", ""]);
      const { state = 0, model = 0 } = checkpointIn(folder); // whole, of one training or of the other
      expect([state, model].filter((step) => ![16, 32, 47].includes(step))).toEqual([]);
      await expectRecovery(reference, folder);
      killed++;
    },
  );

  test.each(some(upTo(5), [1]))("chain %i of kills at random moments, each followed by --resume", async (chain) => {
    const random = new Random(1000 * seed + chain);
    const long = await makeReference([...TINY, "--epochs", "6"]);
    try {
      const folder = temporaryFolder();
      let kills = 0;
      for (let attempt = 0; kills < (all ? 8 : 3) && attempt < 40; attempt++) {
        const { state = 0 } = checkpointIn(folder);
        const args = state > 0 ? ["train", "--resume", "m.safetensors", "--json"] : long.args;
        const child = start(folder, args);
        let lines = Math.floor(60 * random.uniform());
        const delay = 30 * random.uniform();
        const ended = await finish(child, () => {
          if (lines-- === 0) setTimeout(() => child.kill("SIGKILL"), delay);
        });
        if (child.signalCode === "SIGKILL") kills++;
        else
          expect([ended.code, ended.stderr]).toEqual([
            0,
            expect.stringMatching(/^(wasm-rnn: .* written again .*\n)?$/),
          ]);
        expectCheckpoint(folder, ended, state);
        if (child.signalCode === null) break;
      }
      expect(kills).toBeGreaterThan(0);
      await expectRecovery(long, folder);
      killed += kills;
    } finally {
      removeFolder(long.folder);
    }
  });

  test("killed while resuming, after the state was renamed and before the model was", async () => {
    const folder = await begun();
    const resume = ["train", "--resume", "m.safetensors", "--json"];
    const kill = async (n: number) =>
      expect((await runOnBadDisk(folder, { kill: { op: "rename", n } }, resume)).signal).toBe("SIGKILL");
    await kill(1);
    expect(checkpointIn(folder)).toEqual({ state: 32, model: 16 });
    await kill(1); // the stale lock is moved aside
    expect(checkpointIn(folder)).toEqual({ state: 32, model: 16 });
    await kill(1); // the model is written again
    expect(checkpointIn(folder)).toEqual({ state: 32, model: 32 });
    await expectRecovery(reference, folder);
    killed += 3;
  });
});

describe("a full disk", () => {
  const amounts = Array.from({ length: 31 }, (_, i) => i);
  const few = [0, 4, 11, 17, 25];
  const resume = ["train", "--resume", "m.safetensors", "--json"];

  /** A model whose checkpoint takes 21 pages of 4 KiB. */
  let larger: Reference;
  beforeAll(async () => {
    larger = await makeReference(["--hidden", "24", "--embedding", "8", ...TINY.slice(4)]);
  });
  afterAll(() => removeFolder(larger.folder));

  test.each(canMount ? some(amounts, few) : [])("%i pages free: a complete checkpoint remains", async (pages) => {
    const folder = smallDisk(400);
    await begun(larger, folder);
    const before = readOutputs(folder);
    const ballast = fillDisk(folder, 4096 * pages);
    const ended = await run(folder, ...resume);
    const { state, model } = checkpointIn(folder);
    expect(model).toBe(state);
    expectCheckpoint(folder, ended, 16);
    rmSync(ballast);
    expect(readdirSync(folder).sort()).toEqual(OUTPUTS);
    if (pages < 18) expect(ended.code).toBe(1);
    if (pages > 26) expect(ended.code).toBe(0);
    if (ended.code === 1) {
      expect(ended.stderr).toMatch(/^wasm-rnn: cannot write [^\n]*ENOSPC[^\n]*\n$/);
      expectUnchanged(folder, before);
    }
    await expectRecovery(larger, folder);
    full++;
  });

  test.each(some(canMount ? few : amounts, few))(
    "a disk that accepts %i * 5 kB: a complete checkpoint remains",
    async (amount) => {
      const folder = await begun(larger);
      const before = readOutputs(folder);
      const ended = await runOnBadDisk(folder, { space: 5000 * amount }, resume);
      const { state, model } = checkpointIn(folder);
      expect(model).toBe(state);
      expectCheckpoint(folder, ended, 16);
      expect(readdirSync(folder).sort()).toEqual(OUTPUTS);
      if (ended.code !== 0) {
        expect(ended.code).toBe(1);
        expect(ended.stderr).toMatch(
          /^wasm-rnn: cannot write m\.(state\.safetensors|safetensors|svg): ENOSPC: [^\n]*; --resume m\.safetensors continues from the checkpoint before\n$/,
        );
        if (state === 16) expectUnchanged(folder, before);
      }
      await expectRecovery(larger, folder);
      full++;
    },
  );

  test("if the disk is full at the first checkpoint, no file remains", async () => {
    const folder = temporaryFolder();
    const ended = await runOnBadDisk(folder, { space: 9000 }, reference.args);
    expect([ended.code, readdirSync(folder)]).toEqual([1, []]);
    expect(ended.stderr).toMatch(/^wasm-rnn: cannot write m\.(state\.)?safetensors: ENOSPC: [^\n]*\n$/);
  });

  test("if the disk was full between two renames, the state is newer than the model", async () => {
    const folder = await begun();
    rmSync(join(folder, "m.safetensors"));
    const ended = await runOnBadDisk(folder, { space: 100 }, ["train", "--resume", "m.safetensors"]);
    expect([ended.code, ended.stdout]).toEqual([1, ""]);
    expect(ended.stderr).toMatch(/^wasm-rnn: cannot write m\.safetensors: ENOSPC: [^\n]*\n$/);
    expect(readdirSync(folder).sort()).toEqual(["m.state.safetensors", "m.svg"]);
    await expectRecovery(reference, folder);
  });
});

describe("a broken disk", () => {
  test("short writes are continued", async () => {
    const folder = temporaryFolder();
    const ended = await runOnBadDisk(folder, { short: 100 }, reference.args);
    expect([ended.code, ended.stderr]).toEqual([0, ""]);
    expectSameBits(reference, folder);
  });

  const failures: [op: string, code: string][] = [
    ["write", "EIO"],
    ["sync", "EIO"],
    ["close", "EDQUOT"],
    ["read", "EIO"],
    ["create", "EMFILE"],
    ["rename", "EIO"],
    ["rename", "EACCES"],
    ["sync", "ENOSPC"],
    ["close", "EIO"],
  ];

  test.each(some(failures, failures.slice(0, 6)))(
    "%s fails with %s: one line, and the last checkpoint remains",
    async (op, code) => {
      const folder = await begun();
      const before = readOutputs(folder);
      // the first synced or created file is the lock
      const n = op === "sync" || op === "create" ? 2 : 1;
      const ended = await runOnBadDisk(folder, { error: { op, n, code } }, [
        "train",
        "--resume",
        "m.safetensors",
        "--json",
      ]);
      expect(ended.code).toBe(1);
      expect(ended.stderr).toMatch(/^wasm-rnn: cannot write m\.state\.safetensors: [^\n]*\n$/);
      expect(ended.stderr).toContain(`${code}: injected`);
      expectUnchanged(folder, before);
      expect(readdirSync(folder).sort()).toEqual(OUTPUTS);
      await expectRecovery(reference, folder);
      broken++;
    },
  );

  test("a disk that returns other bytes", async () => {
    const folder = await begun();
    const before = readOutputs(folder);
    const ended = await runOnBadDisk(folder, { corrupt: 1 }, ["train", "--resume", "m.safetensors"]);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toBe(
      "wasm-rnn: cannot write m.state.safetensors: the disk returned other bytes than were written; " +
        "--resume m.safetensors continues from the checkpoint before\n",
    );
    expectUnchanged(folder, before);
    await expectRecovery(reference, folder);
    broken++;
  });

  test("the folder cannot be synced after the state was renamed: --resume writes the older model again", async () => {
    const folder = await begun();
    // the lock, three files, then the folder
    const ended = await runOnBadDisk(folder, { error: { op: "sync", n: 5, code: "EIO" } }, [
      "train",
      "--resume",
      "m.safetensors",
    ]);
    expect([ended.code, checkpointIn(folder)]).toEqual([1, { state: 32, model: 16 }]);
    expect(existsSync(join(folder, "m.svg"))).toBe(true);
    await expectRecovery(reference, folder);
    broken++;
  });
});
