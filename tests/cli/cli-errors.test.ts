// Errors of the command line: one clear line on stderr, nothing on stdout, exit code 2 for wrong usage and 1 for other errors,
// and no file changed.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { writeSafetensors } from "../../src/safetensors.js";
import { run, sampleText, snapshot, temporaryFolder } from "../helpers/cli.js";

const SMALL = ["--hidden", "8", "--embedding", "4", "--seq", "10", "--batch", "4"];

/** A small trained model and its state. */
let model: Buffer;
let state: Buffer;
/** The model of another training on the same text. */
let other: Buffer;

/** A folder with valid and invalid files. */
function folderOfFiles(): string {
  const folder = temporaryFolder();
  const file = (name: string, content: string | Uint8Array) => writeFileSync(join(folder, name), content);
  file("book.txt", sampleText(2000));
  file("short.txt", "too short");
  file("empty.txt", "");
  file("nul.txt", `${sampleText(500)}\0${sampleText(500)}`);
  file("latin1.txt", Buffer.from(`${sampleText(500)}é`, "latin1"));
  file("foreign.safetensors", writeSafetensors({ w: { data: Float32Array.of(1), shape: [1] } }, { format: "pt" }));
  file("broken.safetensors", "this is not safetensors at all");
  file("mine.svg", "<svg/>");
  mkdirSync(join(folder, "sub"));
  mkdirSync(join(folder, "dir.safetensors"));
  symlinkSync("book.txt", join(folder, "link.safetensors"));
  if (model !== undefined) {
    file("m.safetensors", model);
    file("m.state.safetensors", state);
    file("cut.safetensors", model.subarray(0, model.length - 1));
    file("cut.state.safetensors", state);
    file("lonely.safetensors", model);
    file("mixed.safetensors", model);
    file("mixed.state.safetensors", model);
    file("other.safetensors", other);
    file("other.state.safetensors", state);
  }
  return folder;
}

async function expectRefusal(folder: string, args: readonly string[], code: number, message: RegExp): Promise<void> {
  const before = snapshot(folder);
  const outcome = await run(folder, ...args);
  expect(outcome.stderr).toMatch(message);
  expect(outcome.stderr).toMatch(/^wasm-rnn: [^\n]+\n$/);
  expect(outcome.stdout).toBe("");
  expect(outcome.code).toBe(code);
  expect(snapshot(folder)).toEqual(before);
}

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "wasm-rnn-cli-"));
  try {
    writeFileSync(join(folder, "book.txt"), sampleText(2000));
    const text = join(folder, "book.txt"); // gone when the model is resumed
    expect((await run(folder, "train", text, ...SMALL, "--steps", "5", "--out", "m.safetensors")).code).toBe(0);
    model = readFileSync(join(folder, "m.safetensors"));
    state = readFileSync(join(folder, "m.state.safetensors"));
    const seed = ["--seed", "2", "--steps", "5", "--out", "o.safetensors"];
    expect((await run(folder, "train", text, ...SMALL, ...seed)).code).toBe(0);
    other = readFileSync(join(folder, "o.safetensors"));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const train = (...args: string[]) => ["train", ...args];
const onBook = (...args: string[]) => ["train", "book.txt", ...SMALL, ...args];
const TOO_LARGE = /about .* of memory to train; WebAssembly has 4 GiB/;

describe("wrong usage: exit code 2", () => {
  test.each<[args: string[], message: RegExp]>([
    [[], /name a command: train, sample, info, convert, bench, worker, sweep or queue/],
    [["trian", "book.txt"], /unknown command 'trian' \(Did you mean train\?\)/],
    [["--no-such"], /unknown option '--no-such'/],
    [train(), /name a text to train on/],
    [train("book.txt", "more.txt"), /too many arguments/],
    [onBook("--hiden", "8"), /unknown option '--hiden' \(Did you mean --hidden\?\)/],
    [onBook("--hidden"), /'--hidden <n>' argument missing/],
    ...["0", "-1", "1.5", "abc", "", "NaN", "Infinity", "0x10", "1e999"].map((value): [string[], RegExp] => [
      onBook("--hidden", value),
      /'--hidden <n>' argument .* expected a whole number from 1/,
    ]),
    ...["layers", "embedding", "seq", "batch", "epochs", "steps", "eval-every"].map((name): [string[], RegExp] => [
      onBook(`--${name}`, "0"),
      new RegExp(`'--${name} <n>' .* expected a whole number from 1`),
    ]),
    [onBook("--lr", "0"), /expected a number above 0/],
    [onBook("--clip", "-1"), /expected a number above 0/],
    [onBook("--seed", "-1"), /expected a whole number from 0 to 4294967295/],
    [onBook("--seed", "4294967296"), /expected a whole number from 0 to 4294967295/],
    [onBook("--validation", "1"), /expected a number in \[0, 1\)/],
    [onBook("--dtype", "f16"), /Allowed choices are f32, f64/],
    [onBook("--variant", "fast"), /Allowed choices are auto, simd, relaxed/],
    [onBook("--epochs", "9007199254740991"), /--epochs 9007199254740991 is too many/],
    [onBook("--out", "m.bin"), /m\.bin: expected a model's file name, NAME\.safetensors/],
    [onBook("--out", "new.state.safetensors"), /expected a model's file name/],
    [onBook("--out", "link.safetensors", "--force"), /link\.safetensors is the text to train on/],
    [
      train("--resume", "m.safetensors", "--hidden", "16", "--eval-every", "3"),
      /--hidden, --eval-every cannot be given with --resume/,
    ],
    [train("--resume", "m.safetensors", "--out", "new.safetensors"), /--out cannot be given with --resume/],
    [train("--resume", "book.txt"), /expected a model's file name/],
    [["sample"], /missing required argument 'model'/],
    ...["-1", "NaN", "warm", "Infinity"].map((value): [string[], RegExp] => [
      ["sample", "m.safetensors", "--temperature", value],
      /expected a number from 0 up/,
    ]),
    [["sample", "m.safetensors", "--length", "-1"], /expected a whole number from 0 up/],
    [["info"], /missing required argument 'model'/],
  ])("%j", async (args, message) => {
    await expectRefusal(folderOfFiles(), args, 2, message);
  });
});

describe("other errors: exit code 1", () => {
  test.each<[args: string[], message: RegExp]>([
    [train("nowhere.txt"), /no such file: nowhere\.txt/],
    [train("sub"), /sub is a folder, not a text file/],
    [train("/dev/null"), /\/dev\/null is not a regular file/],
    [train("empty.txt"), /empty\.txt is empty/],
    [train("short.txt"), /short\.txt is too short: it has 9 characters to train on, one window of --seq 50 needs 51/],
    [train("book.txt", "--seq", "1901"), /book\.txt is too short/],
    [train("book.txt", "--seq", "1000000000"), /book\.txt is too short/],
    [train("nul.txt"), /nul\.txt is not a text: it has NUL characters/],
    [train("latin1.txt"), /latin1\.txt is not a text: it is not valid UTF-8/],
    [train("book.txt", "--out", "nowhere/m.safetensors"), /no such folder: nowhere/],
    [train("book.txt", "--out", "book.txt/m.safetensors"), /book\.txt is not a folder/],
    [train("book.txt", "--out", "/proc/m.safetensors"), /cannot write in \/proc: /],
    [train("book.txt", "--out", "foreign.safetensors"), /foreign\.safetensors exists; --force overwrites it/],
    [train("book.txt", "--out", "m.safetensors"), /m\.safetensors exists; .* --resume m\.safetensors continues it/],
    [train("book.txt", "--out", "mine.safetensors"), /mine\.svg exists; --force overwrites it/],
    [train("book.txt", "--out", "dir.safetensors", "--force"), /dir\.safetensors exists and is not a regular file/],
    [train("book.txt", "--hidden", "1e9"), TOO_LARGE],
    [train("book.txt", "--hidden", "9007199254740991"), TOO_LARGE],
    [train("book.txt", "--layers", "1e12"), TOO_LARGE],
    [train("book.txt", "--embedding", "1e9", "--batch", "1000"), TOO_LARGE],
    [train("--resume", "nowhere.safetensors"), /no such file: nowhere\.safetensors/],
    [train("--resume", "lonely.safetensors"), /no such file: lonely\.state\.safetensors/],
    [train("--resume", "foreign.safetensors"), /no such file: foreign\.state\.safetensors/],
    [
      train("--resume", "mixed.safetensors"),
      /mixed\.state\.safetensors: format: got wasm-rnn charlm, expected wasm-rnn charlm state/,
    ],
    [
      train("--resume", "cut.safetensors"),
      /cut\.safetensors and cut\.state\.safetensors do not belong together: move it away/,
    ],
    [train("--resume", "other.safetensors"), /other\.safetensors and other\.state\.safetensors do not belong together/],
    [
      train("--resume", "m.safetensors"),
      /the text of this training cannot be read: no such file: .*; name it if it moved/,
    ],
    [train("short.txt", "--resume", "m.safetensors"), /short\.txt is not the text that this training began on/],
    [train("nowhere.txt", "--resume", "m.safetensors"), /no such file: nowhere\.txt/],
    [["sample", "nowhere.safetensors"], /no such file: nowhere\.safetensors/],
    [["sample", "sub"], /sub is a folder without a model \(model\.json of TensorFlow\.js, manifest\.json of ml5\)/],
    [["sample", "broken.safetensors"], /broken\.safetensors: header: got a length of \d+ bytes/],
    [["sample", "cut.safetensors"], /cut\.safetensors: /],
    [["sample", "empty.txt"], /empty\.txt: bytes: got 0, expected at least the 8/],
    [["sample", "foreign.safetensors"], /foreign\.safetensors: format: got pt, expected wasm-rnn charlm/],
    [
      ["sample", "m.state.safetensors"],
      /m\.state\.safetensors: format: got wasm-rnn charlm state, expected wasm-rnn charlm/,
    ],
    [
      ["sample", "m.safetensors", "--prompt", "the \u{1F433}"],
      /prompt: the model does not know "\u{1F433}" \(U\+1F433\); --unknown skip leaves such characters out, --unknown replace/u,
    ],
    [["info", "nowhere.safetensors"], /no such file: nowhere\.safetensors/],
    [["info", "book.txt"], /book\.txt: files: got bytes of an unknown kind, expected a model of ONNX, /],
  ])("%j", async (args, message) => {
    await expectRefusal(folderOfFiles(), args, 1, message);
  });

  test("info names the format of a file of another program", async () => {
    const { code, stdout, stderr } = await run(folderOfFiles(), "info", "foreign.safetensors");
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^foreign\.safetensors: safetensors file, \d+ bytes$/m);
    expect(stdout).toMatch(/^ {2}w \[1\] F32$/m);
  });

  test("--epochs below the step that the training has reached", async () => {
    const folder = folderOfFiles();
    const args = ["train", "book.txt", ...SMALL, "--epochs", "2", "--out", "n.safetensors"];
    expect((await run(folder, ...args)).code).toBe(0);
    const resume = ["train", "--resume", "n.safetensors", "--epochs", "1"];
    await expectRefusal(folder, resume, 2, /--epochs 1 ends before step \d+, which the training has reached/);
  });

  test("a loss that is not finite leaves the saved files unchanged", async () => {
    const folder = folderOfFiles();
    const args = [
      "train",
      "book.txt",
      ...SMALL,
      "--lr",
      "1e30",
      "--clip",
      "1e300",
      "--epochs",
      "20",
      "--out",
      "n.safetensors",
    ];
    const { code, stderr } = await run(folder, ...args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^wasm-rnn: step \d+: the loss is no longer finite; try a smaller --lr or --clip \(.*\)\n$/);
  });

  test("an inconsistent state", async () => {
    const folder = folderOfFiles();
    const text = state.toString("latin1");
    for (const [found, put] of [
      ['\\"hidden\\":8', '\\"hidden\\":0'],
      ['\\"step\\":5', '\\"step\\":6'],
      ['"history.train"', '"history_train"'],
    ] as const) {
      expect(text).toContain(found);
      writeFileSync(join(folder, "m.state.safetensors"), Buffer.from(text.replace(found, put), "latin1"));
      await expectRefusal(folder, ["train", "book.txt", "--resume", "m.safetensors"], 1, /m\.state\.safetensors: /);
    }
  });
});
