/** What scripts/speech.mjs tells the page of its files: manifest.json. */
export interface Manifest {
  readonly models: {
    readonly silero: string;
    readonly dtln?: readonly [string, string];
  };
  /** A recording of speech. */
  readonly recorded?: string;
  readonly files: readonly {
    readonly name: string;
    readonly what: string;
    readonly bytes: number;
    readonly gzipped: number;
  }[];
  readonly licences: readonly { readonly of: string; readonly text: string }[];
}
