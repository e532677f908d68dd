// Medians and times, for all hosts.

/** The middle value, or the mean of the middle two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Repeats the call for `ms` milliseconds, at least once; returns the median time of one call, in microseconds. */
export async function medianTime(call: () => unknown, ms: number): Promise<{ us: number; calls: number }> {
  const times: number[] = [];
  const end = performance.now() + ms;
  do {
    const start = performance.now();
    const result = call();
    if (result instanceof Promise) await result;
    times.push(performance.now() - start);
  } while (performance.now() < end);
  return { us: median(times) * 1000, calls: times.length };
}

/** A time with its unit. */
export function showTime(us: number): string {
  if (us < 1000) return `${us.toFixed(1)} us`;
  return us < 1e7 ? `${(us / 1000).toFixed(2)} ms` : `${(us / 1e6).toFixed(2)} s`;
}
