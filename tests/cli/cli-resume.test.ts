// Stopping a training by signals or --steps, and resuming it: the result has the same bits as without a stop.

import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { finish, folderWithText, jsonLines, ofEvent, run, SMALL, start, temporaryFolder } from "../helpers/cli.js";

function sameFiles(a: string, b: string): void {
  for (const name of ["m.safetensors", "m.state.safetensors", "m.svg"]) {
    expect(readFileSync(join(a, name)).equals(readFileSync(join(b, name))), name).toBe(true);
  }
}

describe("resume", () => {
  const args = ["train", "book.txt", ...SMALL, "--epochs", "2", "--out", "m.safetensors"];

  test("a training in parts gives the bytes of an uninterrupted one", async () => {
    const [whole, pieces] = [folderWithText(), temporaryFolder()];
    expect((await run(whole, ...args)).code).toBe(0);
    // the text has the same path for both, since the state stores it
    const book = join(whole, "book.txt");
    const first = await run(pieces, "train", book, ...args.slice(2), "--steps", "13");
    expect([first.code, first.stderr]).toEqual([0, ""]);
    expect(first.stdout).toContain("stopped after step 13 of");
    expect(first.stdout).toContain("continue with: wasm-rnn train --resume m.safetensors");
    let runs = 0;
    for (;;) {
      const next = await run(pieces, "train", "--resume", "m.safetensors", "--steps", "50", "--json");
      expect([next.code, next.stderr]).toEqual([0, ""]);
      runs++;
      if (jsonLines(next).at(-1)?.reason === "finished") break;
    }
    expect(runs).toBeGreaterThan(1);
    sameFiles(whole, pieces);

    const before = readFileSync(join(pieces, "m.state.safetensors"));
    const again = await run(pieces, "train", "--resume", "m.safetensors");
    expect([again.code, again.stderr]).toEqual([0, ""]);
    expect(again.stdout).toContain("already finished");
    expect(readFileSync(join(pieces, "m.state.safetensors")).equals(before)).toBe(true);

    const longer = await run(pieces, "train", "--resume", "m.safetensors", "--epochs", "3", "--json");
    expect(longer.code).toBe(0);
    expect(longer.stderr).toBe(
      "wasm-rnn: 3 epochs instead of 2: the learning rate follows the new plan from here on\n",
    );
    const steps = ofEvent(jsonLines(longer), "step");
    expect(steps.length).toBe((jsonLines(longer)[0]?.totalSteps as number) / 3);
  });

  test.each(["SIGINT", "SIGTERM"] as const)(
    "%s saves, prints how to continue, and the resumed training has the same bits",
    async (signal) => {
      const [whole, stopped] = [folderWithText(), temporaryFolder()];
      const long = [...SMALL, "--epochs", "8", "--out", "m.safetensors", "--json"];
      const book = join(whole, "book.txt");
      expect((await run(whole, "train", book, ...long)).code).toBe(0);

      const child = start(stopped, ["train", book, ...long]);
      let steps = 0;
      const outcome = await finish(child, (line) => {
        if (line.includes('"event":"step"') && ++steps === 5) child.kill(signal);
      });
      expect(outcome.code).toBe(130);
      expect(outcome.stderr).toBe("wasm-rnn: stopping after this step and saving; a second signal stops at once\n");
      const end = jsonLines(outcome).at(-1);
      expect(end).toMatchObject({ event: "end", reason: "stopped", resume: "wasm-rnn train --resume m.safetensors" });
      expect(end?.step).toBeLessThan(end?.totalSteps as number);
      expect(readdirSync(stopped).sort()).toEqual(["m.safetensors", "m.state.safetensors", "m.svg"]);

      expect((await run(stopped, "train", "--resume", "m.safetensors")).code).toBe(0);
      sameFiles(whole, stopped);
    },
  );

  test("a stop in the middle of an evaluation does not change a bit", async () => {
    const folders = [folderWithText(40_000), temporaryFolder()] as const;
    const book = join(folders[0], "book.txt");
    const args = [
      "train",
      book,
      ...SMALL,
      "--validation",
      "0.9",
      "--eval-every",
      "4",
      "--json",
      "--out",
      "m.safetensors",
    ];
    expect((await run(folders[0], ...args, "--steps", "12")).code).toBe(0);
    const child = start(folders[1], [...args, "--steps", "12"]);
    const outcome = await finish(child, (line) => {
      if (line.includes('"event":"step","step":4,')) child.kill("SIGINT");
    });
    expect(outcome.code).toBe(130);
    const lines = jsonLines(outcome);
    expect(lines.at(-1)?.step).toBe(4);
    expect(ofEvent(lines, "evaluation")).toEqual([]);
    expect((await run(folders[1], "train", "--resume", "m.safetensors", "--steps", "8")).code).toBe(0);
    sameFiles(...folders);
  });

  test("a second signal ends at once, and leaves no half-written file", async () => {
    const folder = folderWithText();
    const child = start(folder, [
      "train",
      "book.txt",
      ...SMALL,
      "--epochs",
      "1000",
      "--json",
      "--out",
      "m.safetensors",
    ]);
    const outcome = await finish(child, (line) => {
      if (!line.includes('"event":"step"')) return;
      child.kill("SIGINT");
      setTimeout(() => child.kill("SIGINT"), 5);
    });
    expect(outcome.code).toBe(130);
    expect(readdirSync(folder).filter((name) => !/^(book\.txt|m\.(state\.)?safetensors|m\.svg)$/.test(name))).toEqual(
      [],
    );
  });

  test("a text that was moved can be named", async () => {
    const folder = folderWithText();
    expect((await run(folder, ...args, "--steps", "5")).code).toBe(0);
    renameSync(join(folder, "book.txt"), join(folder, "moved.txt"));
    const lost = await run(folder, "train", "--resume", "m.safetensors");
    expect([lost.code, lost.stdout]).toEqual([1, ""]);
    expect(lost.stderr).toMatch(/^wasm-rnn: the text of this training cannot be read: .*; name it if it moved\n$/);
    expect((await run(folder, "train", "moved.txt", "--resume", "m.safetensors", "--steps", "1")).code).toBe(0);
    expect((await run(folder, "train", "--resume", "m.safetensors", "--steps", "1")).code).toBe(0);
  });

  test("another build continues, with a warning", async () => {
    const folder = folderWithText();
    expect((await run(folder, ...args, "--steps", "5")).code).toBe(0);
    const path = join(folder, "m.state.safetensors");
    const bytes = readFileSync(path);
    const at = bytes.indexOf('\\"hash\\":\\"') + '\\"hash\\":\\"'.length;
    bytes[at] = bytes[at] === 48 ? 49 : 48;
    writeFileSync(path, bytes);
    const { code, stderr } = await run(folder, "train", "--resume", "m.safetensors", "--steps", "1");
    expect(code).toBe(0);
    expect(stderr).toMatch(
      /^wasm-rnn: the build differs \(was .*, is .*\): the last bits of the results may differ too\n$/,
    );
  });
});
