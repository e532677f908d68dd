// The error of the queue and its workers.

import { ValueError } from "../../bindings/errors.js";
import { describe } from "../../bindings/tensor.js";
import { readList } from "../base/check.js";

/**
 * What went wrong: "missing" packages, a server that is "unreachable" or refuses, a server that is "full", a "shard" that failed, two
 * workers that "differ", a run that was "closed".
 */
export type ClusterErrorCode = "missing" | "unreachable" | "full" | "shard" | "differ" | "closed";

/** An error of the queue or of a worker. Its message is one line, without passwords. */
export class ClusterError extends Error {
  /** Always "ClusterError", also in minified code. */
  override readonly name = "ClusterError";

  /**
   * Creates the error.
   *
   * @param code what kind it is
   * @param message one line
   */
  constructor(
    readonly code: ClusterErrorCode,
    message: string,
  ) {
    super(oneLine(typeof message === "string" ? message : describe(message)));
  }
}

/** A text without control characters, of at most 900 characters. */
function oneLine(text: string): string {
  return text.slice(0, 900).replace(/\p{Cc}+/gu, " ");
}

/** The message of anything thrown, in one line. */
export function messageOf(error: unknown): string {
  return oneLine(error instanceof Error ? error.message || error.name : describe(error));
}

/** The URLs of modules with tasks. */
export function readUrls(tasks: unknown): string[] {
  const isUrl = (url: unknown) => typeof url === "string" || url instanceof URL;
  return readList("tasks", tasks, "URLs of modules").map((url) => {
    if (!isUrl(url)) throw new ValueError("tasks", describe(url), "URLs of modules");
    return String(url);
  });
}
