// Errors of commands: a message of one line and an exit code. main.ts prints them.

import { OutOfMemoryError } from "../../bindings/errors.js";

/** An error that is printed as one line. Exit code 2: wrong usage of the command; 1: any other error. */
export class CliError extends Error {
  override name = "CliError";

  constructor(
    message: string,
    readonly exitCode: 1 | 2 = 1,
  ) {
    super(message);
  }
}

/** An error in the arguments, independent of any file. */
export function usageError(message: string): CliError {
  return new CliError(message, 2);
}

/** Maximal length of a message in characters: longer ones are cut in the middle. */
const MAX_MESSAGE = 4000;

/**
 * The message of any thrown value, of bounded length. Joins several lines into one, but not those of a CliError, where a line
 * feed is part of a file name. Takes time linear in the message's length.
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

/** The code of a system error, such as ENOENT, or undefined. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

/** Runs `work`. If it throws, puts `path` before the error's message. */
export function named<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new CliError(`${path}: ${messageOf(error)}`);
  }
}

/** As `named`, for work that takes time. */
export async function namedLater<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw new CliError(`${path}: ${messageOf(error)}`);
  }
}
