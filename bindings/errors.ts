// The errors of the package. Each names the argument, what came, and what was expected, and is thrown before any state
// changes.

/** Characters of a text from outside that an error shows at most. */
const SHOWN = 200;

/**
 * A text from outside as a message or a terminal may have it: at most 200 characters, control characters, format
 * characters (which turn the direction of text) and lone surrogates as \u{hex}.
 */
export function show(text: unknown, most = SHOWN): string {
  const cut = (whole: string) => (whole.length > most ? `${whole.slice(0, most - 3)}...` : whole);
  const escaped = cut(typeof text === "string" ? text : typeof text).replace(
    /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu,
    (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`,
  );
  return cut(escaped);
}

abstract class ArgumentError extends Error {
  /** The argument that was wrong, as the caller knows it. */
  readonly argument: string;
  /** What came. */
  readonly received: string;
  /** What would have been right. */
  readonly expected: string;

  /**
   * Its message is "argument: got received, expected expected".
   *
   * @param argument the argument that was wrong, as the caller knows it
   * @param received what came
   * @param expected what would have been right
   */
  constructor(argument: string, received: string, expected: string) {
    const [shownArgument, shownReceived, shownExpected] = [show(argument), show(received), show(expected, 2 * SHOWN)];
    super(`${shownArgument}: got ${shownReceived}, expected ${shownExpected}`);
    this.argument = shownArgument;
    this.received = shownReceived;
    this.expected = shownExpected;
  }
}

/** A shape or a size does not fit. */
export class ShapeError extends ArgumentError {
  /** Always "ShapeError", also in minified code. */
  override readonly name = "ShapeError";
}

/** A number type (f64, f32, i32) does not fit, or a value that is no tensor came. */
export class DtypeError extends ArgumentError {
  /** Always "DtypeError", also in minified code. */
  override readonly name = "DtypeError";
}

/** A value is outside what an option or an index allows. */
export class ValueError extends ArgumentError {
  /** Always "ValueError", also in minified code. */
  override readonly name = "ValueError";
}

/** A call came at the wrong time, for example `backward` without a `forward` before it. */
export class StateError extends ArgumentError {
  /** Always "StateError", also in minified code. */
  override readonly name = "StateError";
}

/** A layer, an optimizer, a stream or a model was used after its `dispose()`. */
export class DisposedError extends ArgumentError {
  /** Always "DisposedError", also in minified code. */
  override readonly name = "DisposedError";
}

/** More memory than a WebAssembly module can have (4 GiB), or than the engine gives, would be needed. */
export class OutOfMemoryError extends ArgumentError {
  /** Always "OutOfMemoryError", also in minified code. */
  override readonly name = "OutOfMemoryError";
}

/** The engine, or this version of the package, does not have what was asked for. */
export class UnsupportedError extends ArgumentError {
  /** Always "UnsupportedError", also in minified code. */
  override readonly name = "UnsupportedError";
}

/** A file (safetensors, a model's JSON) is broken or of another kind. */
export class FormatError extends ArgumentError {
  /** Always "FormatError", also in minified code. */
  override readonly name = "FormatError";
}
