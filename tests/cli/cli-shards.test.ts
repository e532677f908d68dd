// train --shards and --workers, and sweep: results do not depend on the threads that compute them.

import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { folderWithText, jsonLines, ofEvent, run, SMALL, start } from "../helpers/cli.js";

const NAMES = ["m.safetensors", "m.state.safetensors", "m.svg"];

/** The files of a training with more options. */
async function filesOf(folder: string, ...options: string[]): Promise<Buffer[]> {
  const outcome = await run(folder, "train", "book.txt", ...SMALL, "--out", "m.safetensors", "--force", ...options);
  expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
  return NAMES.map((name) => readFileSync(join(folder, name)));
}

describe("shards", () => {
  test("one shard in a thread gives the files of a training without", async () => {
    const folder = folderWithText();
    expect(await filesOf(folder, "--shards", "1", "--workers", "2")).toEqual(await filesOf(folder));
  });

  test.each([
    ["--shards", "2"],
    ["--shards", "2", "--local-steps", "4", "--outer-momentum", "0.9"],
  ])("%s %s %s: the threads change no byte, nor does a stop", async (...cut) => {
    const folder = folderWithText();
    const one = await filesOf(folder, ...cut, "--workers", "1");
    expect(await filesOf(folder, ...cut, "--workers", "2")).toEqual(one);
    expect(await filesOf(folder)).not.toEqual(one);
    await filesOf(folder, ...cut, "--steps", "7");
    for (const more of [["--workers", "1", "--steps", "9"], []]) {
      const resumed = await run(folder, "train", "--resume", "m.safetensors", ...more);
      expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
    }
    expect(NAMES.map((name) => readFileSync(join(folder, name)))).toEqual(one);
  });

  test.each([
    [["--shards", "3"], "--shards 3 does not divide --batch"],
    [["--shards", "0"], "expected a whole number from 1 up"],
    [["--outer-momentum", "0.9", "--shards", "2"], "--outer-momentum needs --local-steps of 2 or more"],
    [["--outer-momentum", "1"], "expected a number in [0, 1)"],
    [["--queue", "redis://localhost", "--workers", "2"], "not with --queue"],
    [["--queue"], "name a queue: --queue redis://host:6379, or set WASM_RNN_QUEUE"],
    [["--queue", "http://localhost"], "queue: got http:"],
  ])("%j is wrong usage", async (options, message) => {
    const folder = folderWithText();
    const { code, stderr } = await run(folder, "train", "book.txt", ...SMALL, ...options);
    expect(stderr).toContain(message);
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    expect(code).toBe(2);
    expect(existsSync(join(folder, "book.safetensors"))).toBe(false);
  });

  test("a resumed training keeps its shards", async () => {
    const folder = folderWithText();
    await filesOf(folder, "--shards", "2", "--steps", "3");
    const { code, stderr } = await run(folder, "train", "--resume", "m.safetensors", "--shards", "4");
    expect([code, stderr]).toEqual([
      2,
      "wasm-rnn: --shards cannot be given with --resume: the training keeps its own\n",
    ]);
  });
});

describe("sweep", () => {
  const space = (folder: string, content: unknown) =>
    writeFileSync(join(folder, "space.json"), typeof content === "string" ? content : JSON.stringify(content));
  const base = { hidden: 8, layers: 1, embedding: 4, seq: 10, batch: 4, epochs: 1 };

  test("tries a grid, and its models are those of train", async () => {
    const folder = folderWithText();
    space(folder, { ...base, hidden: [4, 8], lr: [0.002, 0.02] });
    const outcome = await run(folder, "sweep", "space.json", "book.txt", "--json", "--workers", "2");
    expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
    const results = ofEvent(jsonLines(outcome), "result");
    expect(results.map(({ trial }) => trial).sort()).toEqual([1, 2, 3, 4]);
    const losses = results.map(({ validation_loss: loss }) => loss as number);
    expect(losses).toEqual([...losses].sort((a, b) => a - b));
    const csv = readFileSync(join(folder, "space/results.csv"), "utf8").trimEnd().split("\n");
    expect(csv[0]).toBe(
      "rank,trial,step,total_steps,validation_loss,hidden,layers,embedding,seq,batch,epochs,lr,model",
    );
    expect(csv).toHaveLength(5);
    expect(readFileSync(join(folder, "space/results.svg"), "utf8").match(/<polyline/g)).toHaveLength(4);

    expect((await run(folder, "train", "book.txt", ...flags({ ...base, hidden: 8, lr: 0.002 }))).code).toBe(0);
    const same = readFileSync(join(folder, "book.safetensors"));
    const trial = readFileSync(join(folder, "space/3.safetensors"));
    expect(trial.subarray(-4000).equals(same.subarray(-4000))).toBe(true); // the weights; the plans of evaluations may differ

    const again = await run(folder, "sweep", "space.json", "book.txt", "--json");
    expect(ofEvent(jsonLines(again), "evaluation")).toEqual([]);
    expect(ofEvent(jsonLines(again), "result")).toEqual(results);
    space(folder, { ...base, hidden: [6, 8], lr: [0.002, 0.02] });
    expect((await run(folder, "sweep", "space.json", "book.txt")).stderr).toContain("was trained with another hidden");
  });

  const flags = (settings: object) => Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);

  test("draws trials by a seed, and lets the best go on", async () => {
    const folder = folderWithText();
    space(folder, { ...base, hidden: { from: 3, to: 9 }, lr: { from: 0.001, to: 0.1, log: true } });
    const args = ["sweep", "space.json", "book.txt", "--trials", "4", "--seed", "3", "--json"];
    const results = ofEvent(jsonLines(await run(folder, ...args, "--halving", "2")), "result");
    expect(results).toHaveLength(4);
    const share = results.map(({ step, total_steps: total }) => (step as number) / (total as number));
    expect(share[0]).toBe(1);
    expect(share[1]).toBeCloseTo(0.5, 1);
    expect(share[3]).toBeCloseTo(0.25, 1);
    for (const { hidden, lr } of results as unknown as { hidden: number; lr: number }[]) {
      expect(Number.isInteger(hidden) && hidden >= 3 && hidden <= 9).toBe(true);
      expect(lr).toBe(Number(lr.toPrecision(3)));
    }
    const others = ofEvent(jsonLines(await run(folder, ...args, "--out", "other", "--workers", "1")), "result");
    const settingsOf = (rows: typeof results) =>
      rows.map(({ trial, hidden, lr }) => JSON.stringify([trial, hidden, lr])).sort();
    expect(settingsOf(others)).toEqual(settingsOf(results));
  });

  test("killed at a moment and started again, it has the results of an undisturbed one", async () => {
    const args = ["sweep", "space.json", "book.txt", "--workers", "2", "--json"];
    const [undisturbed, killed] = [folderWithText(), folderWithText()];
    for (const folder of [undisturbed, killed]) space(folder, { ...base, hidden: [4, 8], lr: [0.002, 0.02] });
    const wanted = ofEvent(jsonLines(await run(undisturbed, ...args)), "result");
    expect(wanted).toHaveLength(4);
    const child = start(killed, args);
    await once(child.stdout, "data");
    child.kill("SIGKILL");
    await once(child, "exit");
    const again = await run(killed, ...args);
    expect([again.code, again.stderr]).toEqual([0, ""]);
    expect(ofEvent(jsonLines(again), "result")).toEqual(wanted);
    for (const name of ["results.csv", "1.safetensors", "4.safetensors"]) {
      const [one, other] = [undisturbed, killed].map((folder) => readFileSync(join(folder, "space", name)));
      expect(one!.equals(other!), name).toBe(true);
    }
  });

  test.each([
    ["{", "space: got something else"],
    [[1], "expected an object of settings"],
    [{ width: 3 }, 'no setting "width"'],
    [{ hidden: [] }, "hidden cannot be []"],
    [{ hidden: 2.5 }, "hidden cannot be 2.5"],
    [{ lr: { from: 0, to: 1, log: true } }, "lr cannot be"],
    [{ lr: { from: 1, to: 2, step: 1 } }, "lr cannot be"],
    [{ lr: { from: 0.1, to: 0.2 } }, "say with --trials how many to draw"],
  ])("refuses the space %j", async (content, message) => {
    const folder = folderWithText();
    space(folder, content);
    const { code, stderr } = await run(folder, "sweep", "space.json", "book.txt");
    expect(stderr).toContain(message);
    expect(code).toBeGreaterThan(0);
    expect(existsSync(join(folder, "space"))).toBe(false);
  });
});
