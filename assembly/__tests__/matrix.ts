// Matrices with strides, between canaries: the operands of pack and gemm.

import { Buffer, random } from "./helpers";

export const ROWS: i32 = 0; // dense rows
export const COLUMNS: i32 = 1; // dense columns: a transposed operand
export const PADDED: i32 = 2; // dense rows with a gap behind each
export const SPREAD: i32 = 3; // rows with gaps everywhere
export const TRANSPOSED: i32 = 4; // columns with gaps everywhere
export const LAYOUTS: i32 = 5;

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
    let row = layout == ROWS ? columns : columns + 2;
    let column = 1;
    if (layout == COLUMNS) {
      row = 1;
      column = rows;
    } else if (layout == SPREAD) {
      row = 2 * columns + 1;
      column = 2;
    } else if (layout == TRANSPOSED) {
      row = 2;
      column = 2 * rows + 1;
    }
    this.rowStride = row;
    this.columnStride = column;
    this.buffer = new Buffer<T>((rows - 1) * row + (columns - 1) * column + 1).fill(<T>NaN);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) this.buffer[i * row + j * column] = <T>(scale * random());
    }
    this.buffer.freeze();
  }

  /** The same numbers in dense rows. */
  dense(): Matrix<T> {
    const copy = new Matrix<T>(this.rows, this.columns, ROWS);
    for (let i = 0; i < this.rows; i++) {
      for (let j = 0; j < this.columns; j++) copy.buffer[i * this.columns + j] = this.get(i, j);
    }
    copy.buffer.freeze();
    return copy;
  }

  get(i: i32, j: i32): T {
    return this.buffer[i * this.rowStride + j * this.columnStride];
  }

  set(i: i32, j: i32, value: T): void {
    this.buffer[i * this.rowStride + j * this.columnStride] = value;
    this.buffer.freeze();
  }
}
