// Whether a training gets anywhere.

/** Steps over which the loss is looked at. */
export const WATCHED = 20;
/** Steps that a new model may need to learn the characters' frequencies. */
const GRACE = 40;

/**
 * @param losses of all steps
 * @param frequencyLoss of always guessing by the characters' frequencies
 * @returns "rising" or "slow" where the loss of the latest steps is above that; undefined where nothing is wrong
 */
export function troubleOf(losses: readonly number[], frequencyLoss: number): "rising" | "slow" | undefined {
  const recent = losses.slice(-WATCHED);
  if (recent.length < WATCHED || recent.some((loss) => loss <= frequencyLoss)) return undefined;
  const mean = (of: readonly number[]) => of.reduce((sum, loss) => sum + loss, 0) / of.length;
  if (mean(recent.slice(WATCHED / 2)) >= mean(recent.slice(0, WATCHED / 2)) || mean(recent) > losses[0]!)
    return "rising";
  return losses.length >= GRACE + WATCHED ? "slow" : undefined;
}
