// The commands of wasm-rnn with their options and help. The one place where an error becomes a line on stderr and an exit
// code. Each command has its own file in this folder.

import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { CHARLM_CELLS } from "../models/charlm.js";
import { DEFAULTS, RANGES, type Range, type Settings } from "../train/settings.js";
import { bench, type BenchOptions } from "./bench.js";
import { chooseBuild, VARIANTS, type Variant } from "./build.js";
import { TARGETS, type Target } from "./conversions.js";
import { convert, printFormats } from "./convert.js";
import { CliError, messageOf, usageError } from "./errors.js";
import { escapeControls } from "./escape.js";
import { info } from "./info.js";
import { parseNumber } from "./numbers.js";
import { guardOutput, print } from "./output.js";
import { clean, QUEUE_VARIABLE, status, worker, type WorkerCommandOptions } from "./queue.js";
import { sample, UNKNOWN, type SampleCommandOptions } from "./sample.js";
import { UNKNOWN_IN_TEXT, type UnknownInText } from "./state-file.js";
import { sweep } from "./sweep.js";
import { THREADS } from "./threads.js";
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

function threadsOption(fallback: string): Option {
  return numeric("--threads <n>", "threads that compute together: they do not change the result", THREADS, fallback);
}

function prefixOption(): Option {
  return new Option("--prefix <name>", "begins all keys on the server (default: wasm-rnn)");
}

function timeoutOption(): Option {
  return numeric("--timeout <seconds>", "time for which the server may be unreachable", RANGES.positive, 30);
}

function verifyOption(): Option {
  return numeric("--verify <x>", "fraction of the shards that two workers compute, to compare their bits", SHARE, 0);
}

const SHARE: Range = { test: (value) => value >= 0 && value <= 1, expected: "a number in [0, 1]" };
const HALVING: Range = {
  test: (value) => Number.isSafeInteger(value) && value >= 2,
  expected: "a whole number from 2 up",
};

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
  from?: string;
  unknown?: UnknownInText;
  steps?: number;
  json?: boolean;
  variant?: Variant;
  force?: boolean;
  workers?: number;
  threads?: number;
  queue?: string | true;
  prefix?: string;
  timeout?: number;
  verify?: number;
}

interface WorkerFlags extends Partial<Omit<WorkerCommandOptions, "url" | "tasks">> {
  queue?: string | true;
  tasks?: readonly string[];
}

interface SweepFlags extends Pick<
  TrainFlags,
  "workers" | "threads" | "queue" | "prefix" | "timeout" | "verify" | "variant" | "json"
> {
  out?: string;
  trials?: number;
  seed?: number;
  halving?: number;
  stepsPerJob?: number;
}

interface SampleFlags {
  prompt?: string;
  length?: number;
  temperature?: number;
  seed?: number;
  unknown?: SampleCommandOptions["unknown"];
  vocabulary?: string;
  json?: boolean;
  variant?: Variant;
}

interface ConvertFlags {
  to?: Target;
  tensor?: string;
  vocabulary?: string;
  opset?: number;
  formats?: boolean;
  force?: boolean;
  json?: boolean;
}

interface BenchFlags extends Partial<Pick<BenchOptions, "dtype" | "seconds" | "threads" | "variant" | "json">> {
  shape?: BenchOptions["shapes"];
  value?: BenchOptions["values"];
  carry?: BenchOptions["carry"];
}

/** An option that may be given often, each time with a name and what belongs to it. */
function pairs<T>(flags: string, description: string, parse: (text: string) => T): Option {
  return new Option(flags, description).argParser((text: string, before: ReadonlyMap<string, T> = new Map()) => {
    const end = text.lastIndexOf("=");
    if (end < 1) throw new InvalidArgumentError(`expected ${/<(.*)>/.exec(flags)![1]!}`);
    return new Map(before).set(text.slice(0, end), parse(text.slice(end + 1)));
  });
}

function shapeOf(text: string): readonly number[] {
  const shape = text === "" ? [] : text.split(",").map((n) => (/^\d{1,9}$/.test(n.trim()) ? Number(n) : NaN));
  if (shape.includes(NaN)) throw new InvalidArgumentError("expected whole numbers with commas between them");
  return shape;
}

function valueOf(text: string): number {
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(value)) throw new InvalidArgumentError("expected a number");
  return value;
}

/** Runs the command line `args`. Returns the exit code; failures are thrown. */
async function run(args: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = new Command("wasm-rnn")
    .description(
      "Trains character-level language models on text files, samples from them, and describes, converts and times model files.",
    )
    .option("-V, --version", "print the version");
  program.on("option:version", () => {
    print(`${chooseBuild("auto").version}\n`);
    throw new CommanderError(0, "version", "");
  });

  program
    .command("train")
    .description("train a model, new or from a file, on a text file (UTF-8), or continue a training that was stopped")
    .argument("[text]", "the text; may be left out with --resume")
    .option("--out <file>", "model file, NAME.safetensors (default: named after the text, in the current folder)")
    .option("--resume <model>", "continue the training of this model; the result has the same bits as without a stop")
    .option("--from <model>", "begin with the weights, architecture and vocabulary of this model, not with a new one")
    .addOption(
      new Option(
        "--unknown <what>",
        "with --from: how to treat characters of the text that the model does not know (default: error)",
      ).choices(UNKNOWN_IN_TEXT),
    )
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
    .addOption(
      numeric("--shards <n>", "parts of each batch whose gradients are added: they decide the result", RANGES.count, 1),
    )
    .addOption(
      numeric("--local-steps <n>", "steps that each shard takes before the weights are averaged", RANGES.count, 1),
    )
    .addOption(
      numeric(
        "--outer-momentum <x>",
        "Nesterov momentum of the averaged changes; 0.9 as in DiLoCo",
        RANGES.fraction,
        0,
      ),
    )
    .addOption(
      numeric(
        "--workers <n>",
        "workers that compute shards at the same time: they do not change the result",
        RANGES.count,
        "min(shards, cores)",
      ),
    )
    .addOption(threadsOption("cores / workers, or 1 for a training of about a second"))
    .option("--queue [url]", `have shards computed by workers on this queue (default: ${QUEUE_VARIABLE})`)
    .addOption(verifyOption())
    .addOption(prefixOption())
    .addOption(timeoutOption())
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
from a training that had this number of epochs from the start.
--from trains a copy of a model on another text. The model decides --cell, --hidden, --layers, --embedding and --dtype. A smaller
--lr keeps more of what it knows. --unknown error lists characters of the text that the model does not know and ends; skip
leaves them out of the text; extend adds them to the model, with the weights of a new one of this --seed. The new model's
metadata have the training_id and the SHA-256 of the first one.`,
    )
    .action(async (text: string | undefined, flags: TrainFlags) => {
      const { out, resume, from, unknown, steps, json = false, variant, force = false, ...more } = flags;
      const { workers, threads, queue: url, prefix, timeout, verify, ...settings } = more;
      const queue = url === undefined ? undefined : { url, prefix, timeout, verify };
      exitCode = await train(text, {
        settings,
        out,
        resume,
        from,
        unknown,
        steps,
        json,
        variant,
        force,
        workers,
        threads,
        queue,
      });
    });

  program
    .command("worker")
    .description("compute shards of trainings that run elsewhere, on any number of machines")
    .option("--queue <url>", `the queue, redis://host:6379 or rediss://host:6379 (default: ${QUEUE_VARIABLE})`)
    .addOption(numeric("--threads <n>", "shards computed at the same time", RANGES.count, "the machine's cores"))
    .option("--name <name>", 'a name for "wasm-rnn queue status" (default: worker)')
    .option("--tasks <files...>", "modules that export tasks, beside the character models")
    .addOption(numeric("--max-memory <MB>", "memory that a model or value may take", RANGES.count, 4295))
    .addOption(numeric("--lock <seconds>", "silence after which a shard is another worker's", RANGES.positive, 30))
    .addOption(prefixOption())
    .addOption(timeoutOption())
    .addOption(variantOption())
    .addHelpText(
      "after",
      `
Takes the shards of runs that have the same build as this worker. Ctrl-C, SIGTERM and SIGHUP end it after the shards that it has;
a worker that is killed costs the run the time of its shards, which other workers get after --lock seconds. Nothing that comes from
the queue is executed. A URL with a password belongs into the environment variable ${QUEUE_VARIABLE}, not on the command line.`,
    )
    .action(async ({ queue = true, tasks = [], ...flags }: WorkerFlags) => {
      exitCode = await worker({ ...flags, url: queue, tasks });
    });

  program
    .command("sweep")
    .description("train character models with many settings, and compare them")
    .argument("<space>", "a JSON file: lists or ranges of settings")
    .argument("<text>", "the text to train on")
    .option("--out <folder>", "folder of models and results (default: named after the file of the space)")
    .addOption(numeric("--trials <n>", "trials drawn from ranges and lists", RANGES.count, "all of a grid"))
    .addOption(numeric("--seed <n>", "seed of the draws", RANGES.seed, 1))
    .addOption(
      numeric(
        "--halving <n>",
        "successive halving: the best 1/n of the trials go on with n times the steps",
        HALVING,
        "off",
      ),
    )
    .addOption(numeric("--steps-per-job <n>", "steps of a trial between two looks at the queue", RANGES.count, 20))
    .addOption(numeric("--workers <n>", "workers that compute trials", RANGES.count, "min(trials, cores)"))
    .addOption(threadsOption("cores / workers"))
    .option("--queue [url]", `have trials computed by workers on this queue (default: ${QUEUE_VARIABLE})`)
    .addOption(verifyOption())
    .addOption(prefixOption())
    .addOption(timeoutOption())
    .addOption(variantOption())
    .option("--json", "print JSON, one object per line")
    .addHelpText(
      "after",
      `
The space is an object of settings of train, in their long names: {"hidden": [64, 128], "lr": {"from": 0.001, "to": 0.01, "log": true},
"epochs": 2}. A list is tried in turn, a range is drawn from (with --trials), anything else is fixed. Each trial writes the files of
train, so that a sweep that was stopped goes on where it was when the same command is given again; its models have the bits of train
with these settings. results.csv and results.svg have all trials, the best first.`,
    )
    .action(async (space: string, text: string, { queue: url, prefix, timeout, verify, ...flags }: SweepFlags) => {
      const queue = url === undefined ? undefined : { url, prefix, timeout, verify };
      exitCode = await sweep(space, text, { ...flags, queue });
    });

  const queueCommand = program.command("queue").description("show or remove what is on the server of a queue");
  queueCommand
    .command("status")
    .description("workers, runs, jobs and values")
    .option("--queue <url>", `the queue (default: ${QUEUE_VARIABLE})`)
    .addOption(prefixOption())
    .addOption(timeoutOption())
    .option("--json", "print JSON")
    .action(async ({ queue = true, json = false, ...flags }: WorkerFlags & { json?: boolean }) => {
      exitCode = await status({ ...flags, url: queue }, json);
    });
  queueCommand
    .command("clean")
    .description("remove what runs that have ended have left")
    .option("--queue <url>", `the queue (default: ${QUEUE_VARIABLE})`)
    .addOption(prefixOption())
    .addOption(timeoutOption())
    .option("--all", "remove everything, of living runs too")
    .action(async ({ queue = true, all = false, ...flags }: WorkerFlags & { all?: boolean }) => {
      exitCode = await clean({ ...flags, url: queue }, all);
    });

  program
    .command("sample")
    .description("generate text from a prompt")
    .argument("<model>", "the model file; of ml5 and TensorFlow.js also its folder")
    .option("--prompt <text>", "text to continue (default: none)")
    .addOption(
      new Option(
        "--unknown <what>",
        "how to treat characters of the prompt that the model does not know (default: error)",
      ).choices(UNKNOWN),
    )
    .option("--vocabulary <file>", "the characters of a model of TensorFlow.js, which does not say them itself")
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
      const { prompt = "", length = 400, temperature = 1, unknown = "error", json = false, ...others } = flags;
      exitCode = await sample(model, { prompt, length, temperature, unknown, json, ...others });
    });

  program
    .command("info")
    .description("list the contents of a model file, of any format that this package reads")
    .argument("<model>", "the file; of TensorFlow.js and ml5 also its folder")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
Of safetensors, NumPy's arrays (.npy, .npz), PyTorch's checkpoints and weights of Keras: names, dtypes, shapes and metadata. Of
an ONNX model: inputs, outputs, parameters, operators, and what of them is not supported. Of models of TensorFlow.js, Keras,
RTNeural, Proteus, Neural Amp Modeler and ml5: inputs, outputs, layers with the shapes of their weights, metadata, and what of
them is not supported. The content of a file decides what it is, not its name.`,
    )
    .action(async (model: string, { json = false }: { json?: boolean }) => {
      exitCode = await info(model, { json });
    });

  program
    .command("convert")
    .description("write a model or tensors in another format")
    .argument("[in]", "the file; of TensorFlow.js and ml5 also its folder")
    .argument("[out]", "the file to write; a folder for TensorFlow.js")
    .addOption(
      new Option("--to <format>", "the format to write (default: by the ending of the output)").choices(TARGETS),
    )
    .option("--vocabulary <file>", "the characters of a text model of TensorFlow.js, which becomes a character model")
    .option("--tensor <name>", "the tensor to write to a .npy file (default: the only one)")
    .addOption(numeric("--opset <n>", "version of ONNX's operators, 13 to 22", RANGES.count, "17, or the file's own"))
    .option("--force", "overwrite files that exist")
    .option("--formats", "print which formats become which others, and what is lost")
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      `
The content of the input decides its format. That of the output follows from its ending: .onnx, .safetensors, .npz, .npy (one
tensor), model.json or a folder (TensorFlow.js: model.json and weights.bin); --to rtneural and --to proteus write .json. What the
new file does not have is printed, a line for each. Character models become probabilities of the next character in
TensorFlow.js, with a vocabulary.json beside them for sample --vocabulary, and logits in ONNX. Files are replaced atomically.`,
    )
    .action(async (input: string | undefined, output: string | undefined, flags: ConvertFlags) => {
      const { formats = false, force = false, json = false, ...others } = flags;
      if (formats) exitCode = printFormats(json);
      else if (input === undefined || output === undefined) throw usageError("name a file to read and one to write");
      else exitCode = await convert(input, output, { ...others, force, json });
    });

  program
    .command("bench")
    .description("time the runs of an ONNX model, and the steps of its stream")
    .argument("<model>", "the file")
    .addOption(pairs("--shape <input=n,n>", "the shape of an input (default: as declared, open axes being 1)", shapeOf))
    .addOption(pairs("--value <input=x>", "all numbers of an input (default: random, of whole numbers 0)", valueOf))
    .addOption(pairs("--carry <output=input>", "an output that a stream feeds back as an input", (text) => text))
    .addOption(
      new Option("--dtype <type>", "type in which numbers are computed (default: the file's)").choices(["f32", "f64"]),
    )
    .addOption(numeric("--seconds <x>", "time of each of the two measurements", RANGES.positive, 1))
    .addOption(threadsOption("the machine's cores"))
    .addOption(variantOption())
    .option("--json", "print JSON")
    .addHelpText(
      "after",
      "\n--shape, --value and --carry are given once for each input: --shape input=1,512 --value sr=16000",
    )
    .action(async (model: string, flags: BenchFlags) => {
      const { shape, value, carry, dtype, seconds = 1, threads, variant, json = false } = flags;
      const options = { dtype, seconds, threads, variant, json };
      exitCode = await bench(model, { shapes: shape ?? new Map(), values: value ?? new Map(), carry: carry ?? new Map(), ...options }); // prettier-ignore
    });

  // commander copies settings to a command only when it is created: these come later, so each command gets them
  for (const command of [program, ...program.commands, ...queueCommand.commands]) {
    command.exitOverride().configureOutput({ writeOut: print, outputError: () => {} });
  }
  if (args.length === 0)
    throw usageError("name a command: train, sample, info, convert, bench, worker, sweep or queue (wasm-rnn --help)");
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
