// Matrices with strides, between canaries: the operands of pack and gemm.

import { Buffer, random } from "./helpers";

export const ROWS: i32 = 0; // dense rows
export const COLUMNS: i32 = 1; // dense columns: a transposed operand
export const PADDED: i32 = 2; // rows with a gap behind them
export const GENERAL: i32 = 3; // gaps everywhere

/** A rows x columns matrix of random numbers; the gaps of its layout hold NaN. */
export class Matrix<T> {
  readonly rowStride: i32;
  readonly columnStride: i32;
  readonly buffer: Buffer<T>;

  constructor(
    public readonly rows: i32,
    public readonly columns: i32,
    layout: i32,
    scale: f64 = 1,
  ) {
    const row = layout == ROWS ? columns : layout == COLUMNS ? 1 : layout == PADDED ? columns + 2 : 3 * columns + 1;
    const column = layout == COLUMNS ? rows : layout == GENERAL ? 3 : 1;
    this.rowStride = row;
    this.columnStride = column;
    this.buffer = new Buffer<T>((rows - 1) * row + (columns - 1) * column + 1).fill(<T>NaN);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) this.buffer[i * row + j * column] = <T>(scale * random());
    }
    this.buffer.freeze();
  }

  get(i: i32, j: i32): T {
    return this.buffer[i * this.rowStride + j * this.columnStride];
  }

  set(i: i32, j: i32, value: T): void {
    this.buffer[i * this.rowStride + j * this.columnStride] = value;
    this.buffer.freeze();
  }
}
