// The errors of the package. Each names the argument, what was received and what was expected, and is thrown before any
// state changes.

/** The most characters of a text from outside that an error shows. */
const SHOWN = 200;

/**
 * A text from outside, made safe for messages and terminals: at most 200 characters; control characters, format characters
 * (which change the direction of text) and lone surrogates are escaped as \u{hex}.
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
  /** The argument that is wrong, by the caller's name for it. */
  readonly argument: string;
  /** The value that was received. */
  readonly received: string;
  /** The values that are allowed. */
  readonly expected: string;

  /**
   * Creates the error; its message is "argument: got received, expected expected".
   *
   * @param argument the argument that is wrong, by the caller's name for it
   * @param received the value that was received
   * @param expected the values that are allowed
   */
  constructor(argument: string, received: string, expected: string) {
    const [shownArgument, shownReceived, shownExpected] = [show(argument), show(received), show(expected, 2 * SHOWN)];
    super(`${shownArgument}: got ${shownReceived}, expected ${shownExpected}`);
    this.argument = shownArgument;
    this.received = shownReceived;
    this.expected = shownExpected;
  }
}

/** A shape or a size is wrong. */
export class ShapeError extends ArgumentError {
  /** Always "ShapeError", also in minified code. */
  override readonly name = "ShapeError";
}

/** A number type (f64, f32, i32) is wrong, or the value is no tensor. */
export class DtypeError extends ArgumentError {
  /** Always "DtypeError", also in minified code. */
  override readonly name = "DtypeError";
}

/** An option or an index is out of range. */
export class ValueError extends ArgumentError {
  /** Always "ValueError", also in minified code. */
  override readonly name = "ValueError";
}

/** A method was called at the wrong time, for example `backward` without `forward`. */
export class StateError extends ArgumentError {
  /** Always "StateError", also in minified code. */
  override readonly name = "StateError";
}

/** A layer, an optimizer, a stream or a model was used after its `dispose()`. */
export class DisposedError extends ArgumentError {
  /** Always "DisposedError", also in minified code. */
  override readonly name = "DisposedError";
}

/** The call needs more memory than a WebAssembly module can have (4 GiB), or than the engine provides. */
export class OutOfMemoryError extends ArgumentError {
  /** Always "OutOfMemoryError", also in minified code. */
  override readonly name = "OutOfMemoryError";
}

/** This engine, or this version of the package, does not support the request. */
export class UnsupportedError extends ArgumentError {
  /** Always "UnsupportedError", also in minified code. */
  override readonly name = "UnsupportedError";
}

/** A thread of startThreads() failed, or did not finish its part in time. */
export class ThreadError extends ArgumentError {
  /** Always "ThreadError", also in minified code. */
  override readonly name = "ThreadError";
}

/** A file (safetensors, a model's JSON) is corrupt, or of another format. */
export class FormatError extends ArgumentError {
  /** Always "FormatError", also in minified code. */
  override readonly name = "FormatError";
}
