// What a command says when it cannot do its work: one line on stderr and an exit code. Nothing here prints.

import { OutOfMemoryError } from "../../bindings/errors.js";

/** A failure to be told in one line. Exit code 2: the command was called wrongly; 1: the rest. */
export class CliError extends Error {
  override name = "CliError";

  constructor(
    message: string,
    readonly exitCode: 1 | 2 = 1,
  ) {
    super(message);
  }
}

/** The command line asks for something that makes no sense, whatever is on the disk. */
export function usageError(message: string): CliError {
  return new CliError(message, 2);
}

/** Characters of a message at most: a long argument or file name is cut in its middle. */
const MAX_MESSAGE = 4000;

/**
 * Any thrown value's message, of bounded length. Messages of several lines are joined into one; those of CliError stay as
 * they are, since a line feed in them is part of a file's name. Time is linear in the message's length.
 */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  const line = error instanceof CliError ? text : joinLines(text);
  const whole = error instanceof OutOfMemoryError ? `not enough memory: ${line}` : line;
  if (whole.length <= MAX_MESSAGE) return whole;
  return `${whole.slice(0, MAX_MESSAGE - 1000)} ... ${whole.slice(-1000)}`;
}

function joinLines(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "").join(" ");
}

/** The system's name of an error (ENOENT ...), or undefined. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** Runs `work`, naming `path` in whatever it complains about. */
export function named<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new CliError(`${path}: ${messageOf(error)}`);
  }
}
