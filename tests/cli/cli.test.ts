// The command line: training, its output and files, sampling, help. Resuming is in cli-resume.test.ts, errors are in
// cli-errors.test.ts.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readSafetensors } from "../../src/safetensors.js";
import { writeCharLM } from "../../src/models/charlm-file.js";
import { CharLM } from "../../src/models/charlm.js";
import { Random } from "../../src/base/random.js";
import { Vocabulary } from "../../src/models/text.js";
import { CLI, folderWithText, jsonLines, ofEvent, run, sampleText, SMALL, temporaryFolder } from "../helpers/cli.js";
import { goWithout, MISSING_SCRIPT, programs } from "../helpers/tools.js";

describe("train", () => {
  test("--json: only JSON lines on stdout, a falling loss, files", async () => {
    const folder = folderWithText();
    const outcome = await run(
      folder,
      "train",
      "book.txt",
      ...SMALL,
      "--epochs",
      "4",
      "--json",
      "--out",
      "m.safetensors",
    );
    expect(outcome.stderr).toBe("");
    expect(outcome.code).toBe(0);
    const lines = jsonLines(outcome);
    expect(lines[0]).toMatchObject({ event: "start", characters: 6000, step: 0 });
    expect(lines[0]?.settings).toMatchObject({ hidden: 16, layers: 2, seq: 10, batch: 8, dtype: "f32" });

    const steps = ofEvent(lines, "step");
    const total = lines[0]?.totalSteps;
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: steps.length }, (_, i) => i + 1));
    expect(steps.length).toBe(total);
    const losses = steps.map(({ loss }) => loss as number);
    const uniform = Math.log(lines[0]?.vocabulary as number);
    expect(losses[0]).toBeGreaterThan(0.8 * uniform);
    expect(losses.at(-1)).toBeLessThan(0.7 * uniform);
    for (const { loss, bits, charactersPerSecond, secondsLeft, learningRate } of steps) {
      expect(bits as number).toBeCloseTo((loss as number) / Math.log(2), 10);
      expect(charactersPerSecond).toBeGreaterThan(0);
      expect(secondsLeft).toBeGreaterThanOrEqual(0);
      expect(learningRate).toBeGreaterThan(0);
    }
    expect(steps.at(-1)?.secondsLeft).toBe(0);

    const evaluations = ofEvent(lines, "evaluation");
    expect(evaluations.length).toBeGreaterThanOrEqual(10);
    expect(evaluations.at(-1)?.step).toBe(total);
    expect(ofEvent(lines, "sample").length).toBe(evaluations.length);
    expect([...(ofEvent(lines, "sample")[0]?.text as string)].length).toBe(200);
    expect(lines.at(-1)).toMatchObject({ event: "end", reason: "finished", validationLoss: evaluations.at(-1)?.loss });
    expect(readdirSync(folder).sort()).toEqual(["book.txt", "m.safetensors", "m.state.safetensors", "m.svg"]);
  });

  test("plain lines if stdout is not a terminal", async () => {
    const folder = folderWithText();
    const { code, stdout, stderr } = await run(folder, "train", "book.txt", ...SMALL);
    expect([code, stderr]).toEqual([0, ""]);
    for (const control of ["\x1b", "\r"]) expect(stdout).not.toContain(control);
    expect(stdout).toMatch(
      /^step \d+\/\d+ \(\d+%\): loss \d\.\d+ nats, \d\.\d+ bits per character, [\d,]+ chars\/s, \d+:\d\d left$/m,
    );
    expect(stdout).toMatch(/^step \d+: validation loss \d\.\d+ nats, \d\.\d+ bits per character$/m);
    expect(stdout).toMatch(/^step \d+: sample\n {4}\| /m);
    expect(stdout).toMatch(/^files: book\.safetensors, book\.state\.safetensors, book\.svg$/m); // named after the text
  });

  test.skipIf(process.platform !== "linux")("a progress bar on a terminal", (context) => {
    const [script] = programs("script");
    if (script === undefined) goWithout(context, MISSING_SCRIPT);
    const folder = folderWithText();
    const command = `'${process.execPath}' '${CLI}' train book.txt ${SMALL.join(" ")}`;
    const { stdout, status } = spawnSync(script, ["-qec", command, "/dev/null"], { cwd: folder, encoding: "utf8" });
    expect(status).toBe(0);
    expect(stdout).toMatch(/[█░]{12} \d+\/\d+ \| \d\.\d+ nats, \d\.\d+ bits\/char \| [\d,]+ chars\/s \| \d+:\d\d left/);
    expect(stdout).toMatch(/step \d+: sample\r\n {4}\| /);
    expect(stdout).toContain("files: book.safetensors");
  });

  test("the model holds weights, architecture and vocabulary; equal trainings give equal bytes", async () => {
    const [a, b] = [folderWithText(), folderWithText()];
    const args = ["train", "book.txt", ...SMALL, "--out", "m.safetensors"];
    expect((await run(a, ...args)).code).toBe(0);
    expect((await run(b, ...args)).code).toBe(0);
    const model = readFileSync(join(a, "m.safetensors"));
    expect(model.equals(readFileSync(join(b, "m.safetensors")))).toBe(true);
    expect(readFileSync(join(a, "m.svg")).equals(readFileSync(join(b, "m.svg")))).toBe(true);

    const { tensors, metadata } = readSafetensors(model);
    const vocabulary = [...new Set(sampleText(6000))].sort((x, y) => (x.codePointAt(0) ?? 0) - (y.codePointAt(0) ?? 0));
    expect(JSON.parse(metadata.vocabulary ?? "")).toEqual(vocabulary);
    expect(metadata.format).toBe("wasm-rnn charlm");
    expect(JSON.parse(metadata.architecture ?? "")).toMatchObject({ embeddingDim: 8, hiddenSize: 16, numLayers: 2 });
    expect(Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]))).toEqual({
      "embedding.weight": [vocabulary.length, 8],
      "lstm.weight_ih_l0": [64, 8],
      "lstm.weight_hh_l0": [64, 16],
      "lstm.bias_ih_l0": [64],
      "lstm.bias_hh_l0": [64],
      "lstm.weight_ih_l1": [64, 16],
      "lstm.weight_hh_l1": [64, 16],
      "lstm.bias_ih_l1": [64],
      "lstm.bias_hh_l1": [64],
      "linear.weight": [vocabulary.length, 16],
      "linear.bias": [vocabulary.length],
    });
    expect(tensors["linear.bias"]?.data).toBeInstanceOf(Float32Array);

    const svg = readFileSync(join(a, "m.svg"), "utf8");
    for (const word of ["<svg", "training", "validation", ">step<", "loss (nats per character)"])
      expect(svg).toContain(word);
  });

  test.each(["GRU", "RNN"])("--cell %s, resumed", async (cell) => {
    const [whole, pieces] = [folderWithText(2000), temporaryFolder()];
    const args = ["train", join(whole, "book.txt"), ...SMALL, "--cell", cell.toLowerCase(), "--out", "m.safetensors"];
    expect(await run(whole, ...args)).toMatchObject({ code: 0, stderr: "" });
    expect(await run(pieces, ...args, "--steps", "9")).toMatchObject({ code: 0, stderr: "" });
    expect(await run(pieces, "train", "--resume", "m.safetensors")).toMatchObject({ code: 0, stderr: "" });
    for (const name of ["m.safetensors", "m.state.safetensors"]) {
      expect(readFileSync(join(pieces, name)).equals(readFileSync(join(whole, name))), name).toBe(true);
    }
    const { tensors, metadata } = readSafetensors(readFileSync(join(whole, "m.safetensors")));
    expect(JSON.parse(metadata.architecture ?? "")).toMatchObject({
      layers: ["embedding", cell.toLowerCase(), "linear"],
    });
    expect(tensors[`${cell.toLowerCase()}.weight_hh_l1`]?.shape).toEqual([cell === "GRU" ? 48 : 16, 16]);
    expect((await run(whole, "info", "m.safetensors")).stdout).toContain(`2 x ${cell} 16`);
    expect((await run(whole, "sample", "m.safetensors", "--length", "20")).code).toBe(0);
  });

  test("--dtype f64, --validation 0, --eval-every", async () => {
    const folder = folderWithText();
    const options = [
      ...SMALL,
      "--dtype",
      "f64",
      "--validation",
      "0",
      "--eval-every",
      "20",
      "--json",
      "--out",
      "m.safetensors",
    ];
    const outcome = await run(folder, "train", "book.txt", ...options);
    expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
    const lines = jsonLines(outcome);
    expect(ofEvent(lines, "evaluation")).toEqual([]);
    expect(ofEvent(lines, "sample").map(({ step }) => step)).toEqual([20, 40, 60, lines[0]?.totalSteps]);
    const { tensors } = readSafetensors(readFileSync(join(folder, "m.safetensors")));
    expect(tensors["lstm.weight_hh_l0"]?.data).toBeInstanceOf(Float64Array);
  });

  test("--variant selects the build, or reports that the host cannot run it", async () => {
    const folder = folderWithText();
    for (const variant of ["simd", "relaxed", "auto"]) {
      const out = `${variant}.safetensors`;
      const args = ["train", "book.txt", ...SMALL, "--steps", "3", "--json", "--variant", variant, "--out", out];
      const outcome = await run(folder, ...args);
      if (variant === "relaxed" && outcome.code === 1) {
        expect(outcome.stderr).toMatch(/^wasm-rnn: [^\n]*relaxed[^\n]*\n$/); // no relaxed SIMD, or not fused
        continue;
      }
      expect([outcome.code, outcome.stderr]).toEqual([0, ""]);
      if (variant !== "auto") expect(jsonLines(outcome)[0]?.variant).toBe(variant);
    }
  });

  test("a text too short for --batch lowers the batch size, with a warning", async () => {
    const folder = folderWithText(400);
    const outcome = await run(folder, "train", "book.txt", "--hidden", "8", "--seq", "50", "--batch", "50", "--json");
    expect(outcome.code).toBe(0);
    expect(outcome.stderr).toBe(
      "wasm-rnn: the text is too short for --batch 50 with --seq 50: training with --batch 7\n",
    );
    expect(jsonLines(outcome)[0]?.settings).toMatchObject({ batch: 7 });
  });

  test("existing files are kept without --force, and replaced with it", async () => {
    const folder = folderWithText();
    const args = ["train", "book.txt", ...SMALL, "--out", "m.safetensors"];
    writeFileSync(join(folder, "m.safetensors"), "something of mine");
    expect((await run(folder, ...args)).code).toBe(1);
    expect(readFileSync(join(folder, "m.safetensors"), "utf8")).toBe("something of mine");
    expect((await run(folder, ...args, "--force")).code).toBe(0);
    expect((await run(folder, "info", "m.safetensors")).code).toBe(0);
  });
});

describe("sample and info", () => {
  test("sample is deterministic with a seed, starts with the prompt, and has the given length", async () => {
    const folder = folderWithText();
    expect((await run(folder, "train", "book.txt", ...SMALL, "--epochs", "3", "--out", "m.safetensors")).code).toBe(0);
    const sample = (...args: string[]) => run(folder, "sample", "m.safetensors", ...args);

    const first = await sample("--prompt", "the 🐋", "--length", "300", "--seed", "7", "--temperature", "0.8");
    expect([first.code, first.stderr]).toEqual([0, ""]);
    expect(first.stdout.startsWith("the 🐋")).toBe(true);
    expect([...first.stdout].length).toBe([..."the 🐋"].length + 300 + 1);
    const again = await sample("--prompt", "the 🐋", "--length", "300", "--seed", "7", "--temperature", "0.8");
    expect(again.stdout).toBe(first.stdout);
    const other = await sample("--prompt", "the 🐋", "--length", "300", "--seed", "8", "--temperature", "0.8");
    expect(other.stdout).not.toBe(first.stdout);

    const likeliest = await sample("--temperature", "0", "--length", "50");
    expect((await sample("--temperature", "0", "--length", "50", "--seed", "3")).stdout).toBe(likeliest.stdout);
    expect((await sample("--prompt", "sea", "--length", "0")).stdout).toBe("sea\n");

    const json = jsonLines(await sample("--json", "--seed", "7", "--length", "20", "--prompt", "sea"));
    expect(json).toMatchObject([{ event: "sample", prompt: "sea", seed: 7 }]);
    expect([...(json[0]?.text as string)].length).toBe(20);
    const unseeded = jsonLines(await sample("--json", "--length", "20"));
    expect(jsonLines(await sample("--json", "--length", "20", "--seed", String(unseeded[0]?.seed)))[0]?.text).toBe(
      unseeded[0]?.text,
    );

    const info = await run(folder, "info", "m.safetensors");
    expect([info.code, info.stderr]).toEqual([0, ""]);
    for (const words of [
      "2 x LSTM 16",
      "f32",
      "trained steps: 213",
      "validation loss:",
      "lstm.weight_hh_l1 [64, 16]",
    ]) {
      expect(info.stdout).toContain(words);
    }
    expect(jsonLines(await run(folder, "info", "m.safetensors", "--json"))).toMatchObject([
      { event: "info", training: { steps: 213 }, architecture: { hiddenSize: 16 } },
    ]);
  });

  test("sample reads the end of the training text first, and accepts prompts with unknown characters", async () => {
    const folder = temporaryFolder();
    const model = new CharLM(Vocabulary.fromText("the sea \nold ship"), { embeddingDim: 4, hiddenSize: 8, seed: 2 });
    for (const { value } of model.parameters()) for (let i = 0; i < value.data.length; i++) value.data[i]! *= 4;
    const follow = (prompt: string) => model.sample(prompt, { length: 100, random: new Random(5) });
    const cold = follow("");
    model.warmUp = "the old ship\nthe sea";
    const warm = follow("");
    expect(warm).not.toBe(cold);
    const [skipped, replaced] = [follow("the s"), follow("the  s")];
    expect(skipped).not.toBe(replaced);
    writeFileSync(join(folder, "m.safetensors"), writeCharLM(model, { steps: 1 }));
    model.dispose();
    const sample = (...args: string[]) =>
      run(folder, "sample", "m.safetensors", "--seed", "5", "--length", "100", ...args);

    expect(await sample()).toEqual({ code: 0, stdout: `${warm}\n`, stderr: "" });
    expect(await sample("--prompt", "the Us")).toEqual({
      code: 1,
      stdout: "",
      stderr:
        'wasm-rnn: prompt: the model does not know "U" (U+0055); --unknown skip leaves such characters out, ' +
        "--unknown replace puts a space in their place\n",
    });
    expect(await sample("--prompt", "the Us", "--unknown", "skip")).toEqual({
      code: 0,
      stdout: `the Us${skipped}\n`,
      stderr: 'wasm-rnn: prompt: the model does not know "U" (U+0055); left out\n',
    });
    const json = await sample("--prompt", "the Us", "--unknown", "replace", "--json");
    expect(json.stderr).toBe('wasm-rnn: prompt: the model does not know "U" (U+0055); replaced\n');
    expect(jsonLines(json)).toMatchObject([{ event: "sample", prompt: "the Us", unknown: ["U"], text: replaced }]);
    const wrong = await sample("--unknown", "ignore");
    expect([wrong.code, wrong.stdout]).toEqual([2, ""]);
    expect(wrong.stderr).toContain("error, skip, replace");
  });

  test("a reader that closes the pipe is not an error", () => {
    const folder = folderWithText();
    const node = `'${process.execPath}' '${CLI}'`;
    const pipe = (command: string) =>
      spawnSync("bash", ["-c", `${node} ${command} | head -c 1; echo " \${PIPESTATUS[0]}"`], {
        cwd: folder,
        encoding: "utf8",
      });
    const train = pipe(`train book.txt ${SMALL.join(" ")} --epochs 20 --out m.safetensors`);
    expect([train.stdout, train.stderr]).toEqual(["t 0\n", ""]);
    expect(existsSync(join(folder, "m.state.safetensors"))).toBe(true); // the finished steps are saved
    const sample = pipe("sample m.safetensors --length 100000 --prompt sea");
    expect([sample.stdout, sample.stderr]).toEqual(["s 0\n", ""]);
  });
});

describe("help", () => {
  test("--help and --version", async () => {
    const folder = temporaryFolder();
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
      version: string;
    };
    expect(await run(folder, "--version")).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
    for (const args of [["--help"], ["train", "--help"], ["sample", "--help"], ["info", "--help"], ["help", "train"]]) {
      const { code, stdout, stderr } = await run(folder, ...args);
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toMatch(/^Usage: wasm-rnn/);
    }
    const { stdout } = await run(folder, "train", "--help");
    for (const name of ["hidden", "layers", "embedding", "seq", "batch", "epochs", "lr", "clip", "dtype", "seed"]) {
      expect(stdout).toContain(`--${name} `);
    }
    expect((await run(folder, "sample", "--help")).stdout).toContain("it reads a newline first");
  });

  test("the bundle imports nothing but modules of Node", () => {
    const folder = temporaryFolder();
    cpSync(CLI, join(folder, "cli.mjs"));
    const { status, stdout } = spawnSync(process.execPath, ["cli.mjs", "--help"], { cwd: folder, encoding: "utf8" });
    expect([status, stdout.slice(0, 15)]).toEqual([0, "Usage: wasm-rnn"]);
  });
});
