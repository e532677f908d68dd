// The errors of the package. Each names the argument, what came, and what was expected, and is thrown before any state
// changes.

abstract class ArgumentError extends Error {
  /** Its message is "argument: got received, expected expected". */
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
