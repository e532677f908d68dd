// The errors of the package. Each names the argument, what came, and what was expected, and is thrown before any state
// changes.

abstract class ArgumentError extends Error {
  constructor(
    /** The argument that was wrong, as the caller knows it. */
    readonly argument: string,
    /** What came. */
    readonly received: string,
    /** What would have been right. */
    readonly expected: string,
  ) {
    super(`${argument}: got ${received}, expected ${expected}`);
  }
}

/** A shape or a size does not fit. */
export class ShapeError extends ArgumentError {
  override readonly name = "ShapeError";
}

/** A number type does not fit, or a value that is no tensor came. */
export class DtypeError extends ArgumentError {
  override readonly name = "DtypeError";
}

/** A value is outside what an option or an index allows. */
export class ValueError extends ArgumentError {
  override readonly name = "ValueError";
}

/** A call came at the wrong time, for example `backward` without a `forward` before it. */
export class StateError extends ArgumentError {
  override readonly name = "StateError";
}

/** The object was used after `dispose()`. */
export class DisposedError extends ArgumentError {
  override readonly name = "DisposedError";
}

/** The memory that a WebAssembly module can have (4 GiB) would not do. */
export class OutOfMemoryError extends ArgumentError {
  override readonly name = "OutOfMemoryError";
}

/** The engine, or this version of the package, does not have what was asked for. */
export class UnsupportedError extends ArgumentError {
  override readonly name = "UnsupportedError";
}

/** A file is broken or of another kind. */
export class FormatError extends ArgumentError {
  override readonly name = "FormatError";
}
