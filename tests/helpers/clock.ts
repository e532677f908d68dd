// Limits of time that hold on slow and busy machines, too.

/** Milliseconds of a loop on a machine for which limits are written. */
const USUAL = 25;

/** A fixed amount of work. */
function work(): number {
  let sum = 0;
  for (let i = 0; i < 25_000_000; i++) sum = (sum + (i & 7)) | 0;
  return sum;
}

/** So many milliseconds, or more where this machine is slower than usual now: in proportion to the time of a loop. */
export function patient(milliseconds: number): number {
  const start = performance.now();
  work();
  return milliseconds * Math.max(1, (performance.now() - start) / USUAL);
}
