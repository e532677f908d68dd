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

/** Any thrown value's message, on one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  const line = text.trim().replace(/\s*\n\s*/g, " ");
  return error instanceof OutOfMemoryError ? `not enough memory: ${line}` : line;
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
