// Numeric derivatives, for tests of analytic ones.

/**
 * d loss / d values by central differences of fourth order: (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12 h. The error of
 * the formula is about h^4, so that h = 1e-4 leaves only the rounding of loss: some 1e-12 of it. Changes `values` in
 * place while it runs and restores them.
 */
export function centralDifferences(loss: () => number, values: Float64Array, h = 1e-4): Float64Array {
  const gradient = new Float64Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number;
    const at = (step: number): number => {
      values[i] = value + step;
      return loss();
    };
    gradient[i] = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h);
    values[i] = value;
  }
  return gradient;
}
