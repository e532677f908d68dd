// What users see of a queue. No type here is of the packages that a queue needs: they need not be installed.

/** How to reach a queue. */
export interface QueueOptions {
  /** The server: redis://[user:password@]host[:port][/database], or rediss:// for TLS. */
  queue: string;
  /** Precedes all keys on the server (default "wasm-rnn"). */
  prefix?: string | undefined;
  /** Seconds for which the server may be unreachable (default 30). */
  timeout?: number | undefined;
  /** Seconds for which the server keeps values that nobody asks for (default 3600). */
  timeToLive?: number | undefined;
}

/** The build that a run needs: shards of two builds need not have the same bits. */
export interface Build {
  /** Which of the two builds of the core. */
  readonly variant: "simd" | "relaxed";
  /** The version of the package. */
  readonly version: string;
  /** SHA-256 of the WebAssembly module. */
  readonly hash: string;
}

/** A worker that has given a sign of life. */
export interface WorkerStatus {
  /** Its name and a random number. */
  readonly id: string;
  /** The name that it was given. */
  readonly name: string;
  /** Its build. */
  readonly build: Build;
  /** The tasks that it takes. */
  readonly tasks: readonly string[];
  /** Jobs that it computes at the same time. */
  readonly threads: number;
}

/** A run that has given a sign of life. */
export interface RunStatus {
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** Its task. */
  readonly task: string;
  /** The build that its workers need. */
  readonly build: Build;
}

/** What is on the server. */
export interface QueueStatus {
  /** Those that are alive. */
  readonly workers: readonly WorkerStatus[];
  /** Those that are alive. */
  readonly runs: readonly RunStatus[];
  /** Jobs by queue: one for each task and build. */
  readonly queues: readonly {
    /** The task and a hash of the build. */
    readonly name: string;
    /** Jobs that no worker has taken. */
    readonly waiting: number;
    /** Jobs that are computed. */
    readonly active: number;
    /** Jobs whose results the run has not taken. */
    readonly completed: number;
    /** Jobs that failed. */
    readonly failed: number;
  }[];
  /** Values and their bytes. */
  readonly values: {
    /** How many. */
    readonly count: number;
    /** Their size. */
    readonly bytes: number;
  };
}
