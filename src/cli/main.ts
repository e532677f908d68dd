// The commands of wasm-rnn with their options and help. The one place where an error becomes a line on stderr and an exit
// code. Each command has its own file in this folder.

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { CHARLM_CELLS } from "../models/charlm.js";
import { DEFAULTS, RANGES, type Range, type Settings } from "../train/settings.js";
import { chooseBuild, VARIANTS, type Variant } from "./build.js";
import { CliError, messageOf, usageError } from "./errors.js";
import { escapeControls } from "./escape.js";
import { info } from "./info.js";
import { parseNumber } from "./numbers.js";
import { guardOutput, print } from "./output.js";
import { sample, UNKNOWN, type SampleCommandOptions } from "./sample.js";
import { train } from "./train.js";

/** An option that takes a number in `range`. */
function numeric(flags: string, description: string, range: Range, fallback?: number | string): Option {
  const described = fallback === undefined ? description : `${description} (default: ${fallback})`;
  return new Option(flags, described).argParser((text: string) => {
    try {
      return parseNumber(text, range);
    } catch (error) {
      throw new InvalidArgumentError(messageOf(error));
    }
  });
}

function variantOption(): Option {
  return new Option("--variant <build>", "WebAssembly build (default: auto, the fastest that runs here)").choices(
    VARIANTS,
  );
}

function cellOption(): Option {
  const description = `kind of the recurrent layers: ${CHARLM_CELLS.join(", ")} (default: ${DEFAULTS.cell})`;
  return new Option("--cell <kind>", description).argParser((text: string) => {
    const cell = CHARLM_CELLS.find((kind) => kind === text.toUpperCase());
    if (cell === undefined) throw new InvalidArgumentError(`expected one of ${CHARLM_CELLS.join(", ")}`);
    return cell;
  });
}

/** The options of `train` as commander passes them: settings and other options in one object. */
interface TrainFlags extends Partial<Settings> {
  out?: string;
  resume?: string;
  steps?: number;
  json?: boolean;
  variant?: Variant;
  force?: boolean;
}

interface SampleFlags {
  prompt?: string;
  length?: number;
  temperature?: number;
  seed?: number;
  unknown?: SampleCommandOptions["unknown"];
  json?: boolean;
  variant?: Variant;
}

/** Runs the command line `args`. Returns the exit code; failures are thrown. */
async function run(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command("wasm-rnn")
    .description("Trains character-level language models on text files, and samples from them.")
    .option("-V, --version", "print the version");
  program.on("option:version", () => {
    print(`${chooseBuild("auto").version}\n`);
    throw new CommanderError(0, "version", "");
  });

  program
    .command("train")
    .description("train a model on a text file (UTF-8), or continue a training that was stopped")
    .argument("[text]", "the text; may be left out with --resume")
    .option("--out <file>", "model file, NAME.safetensors (default: named after the text, in the current folder)")
    .option("--resume <model>", "continue the training of this model; the result has the same bits as without a stop")
    .addOption(cellOption())
    .addOption(numeric("--hidden <n>", "units of each recurrent layer", RANGES.count, DEFAULTS.hidden))
    .addOption(numeric("--layers <n>", "recurrent layers", RANGES.count, DEFAULTS.layers))
    .addOption(numeric("--embedding <n>", "length of a character's vector", RANGES.count, DEFAULTS.embedding))
    .addOption(
      numeric(
        "--seq <n>",
        "characters in a window: backpropagation through time goes no further back",
        RANGES.count,
        DEFAULTS.seq,
      ),
    )
    .addOption(
      numeric("--batch <n>", "batch size: parts of the text that train in parallel", RANGES.count, DEFAULTS.batch),
    )
    .addOption(numeric("--epochs <n>", "passes over the text", RANGES.count, DEFAULTS.epochs))
    .addOption(numeric("--lr <x>", "highest learning rate of Adam", RANGES.positive, DEFAULTS.lr))
    .addOption(numeric("--clip <x>", "clip the gradients to this total norm", RANGES.positive, DEFAULTS.clip))
    .addOption(new Option("--dtype <type>", `number type (default: ${DEFAULTS.dtype})`).choices(["f32", "f64"]))
    .addOption(numeric("--seed <n>", "seed of weights and samples", RANGES.seed, DEFAULTS.seed))
    .addOption(
      numeric(
        "--validation <x>",
        "fraction of the text, at its end, kept for validation",
        RANGES.fraction,
        DEFAULTS.validation,
      ),
    )
    .addOption(
      numeric("--eval-every <n>", "steps between evaluations, samples and saves", RANGES.count, "a tenth of the steps"),
    )
    .addOption(numeric("--steps <n>", "stop and save after this many steps in this run", RANGES.count))
    .addOption(variantOption())
    .option("--json", "print JSON, one object per line")
    .option("--force", "overwrite files that exist")
    .addHelpText(
      "after",
      `
Writes NAME.safetensors (the model), NAME.state.safetensors (the state that --resume reads) and NAME.svg (the loss curve) at
every evaluation and at the end. Each file is replaced atomically: if the training is killed, --resume continues from the
latest evaluation. Ctrl-C, SIGTERM and SIGHUP finish the current step, save, and print how to continue. A second Ctrl-C or
SIGTERM stops at once.
The learning rate rises during the first steps and then falls linearly until the last planned step. --resume accepts no other
setting than --epochs, which changes the plan: from there on the learning rate follows the new plan, so the result differs
from a training that had this number of epochs from the start.`,
    )
    .action(async (text: string | undefined, flags: TrainFlags) => {
      const { out, resume, steps, json = false, variant, force = false, ...settings } = flags;
      exitCode = await train(text, { settings, out, resume, steps, json, variant, force });
    });

  program
    .command("sample")
    .description("generate text from a prompt")
    .argument("<model>", "the model file")
    .option("--prompt <text>", "text to continue (default: none)")
    .addOption(
      new Option(
        "--unknown <what>",
        "how to treat characters of the prompt that the model does not know (default: error)",
      ).choices(UNKNOWN),
    )
    .addOption(numeric("--length <n>", "characters to generate", RANGES.length, 400))
    .addOption(
      numeric(
        "--temperature <x>",
        "1: the model's probabilities; below 1: likelier characters more often; 0: always the likeliest",
        RANGES.temperature,
        1,
      ),
    )
    .addOption(numeric("--seed <n>", "seed of the random choices", RANGES.seed, "another one each time"))
    .addOption(variantOption())
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The model first reads the end of its training text, which its file contains, up to the start of the last line, then the
prompt. Without a prompt it therefore begins a new line. If the file does not contain that text, it reads a newline first,
or the first character of its vocabulary if it knows no newline.
--unknown error lists unknown characters and ends; skip leaves them out; replace puts a space in their place, or the first
character of the vocabulary if the model knows no space. skip and replace print the characters concerned on stderr.`,
    )
    .action(async (model: string, flags: SampleFlags) => {
      const { prompt = "", length = 400, temperature = 1, seed, unknown = "error", json = false, variant } = flags;
      exitCode = await sample(model, { prompt, length, temperature, seed, unknown, json, variant });
    });

  program
    .command("info")
    .description("list the contents of a model file or another safetensors file: names, dtypes, shapes, metadata")
    .argument("<model>", "the file")
    .option("--json", "print JSON")
    .action((model: string, { json = false }: { json?: boolean }) => {
      exitCode = info(model, { json });
    });

  // commander copies settings to a command only when it is created: these come later, so each command gets them
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ writeOut: print, outputError: () => {} });
  }
  if (args.length === 0) throw usageError("name a command: train, sample or info (wasm-rnn --help)");
  try {
    await program.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw usageError(messageOf(error).replace(/^error: /, ""));
  }
  return exitCode;
}

/** Runs the program: prints an error as one line on stderr. Returns the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  guardOutput();
  try {
    return await run(args);
  } catch (error) {
    process.stderr.write(`wasm-rnn: ${escapeControls(messageOf(error))}\n`);
    return error instanceof CliError ? error.exitCode : 1;
  }
}
