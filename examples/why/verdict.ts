// The race in words, which come from its figures alone.

import { show, showShare } from "../browser/dom.js";
import type { Cell, Standing } from "./race.js";

const list = (names: readonly string[]): string =>
  names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;

/** Who has solved the task, and who has not. */
export function verdictOf(standings: readonly Standing[], step: number, ended: boolean): string {
  const solved = standings.filter((each) => each.solvedAt !== undefined).sort((a, b) => a.solvedAt! - b.solvedAt!);
  const others = standings.filter((each) => each.solvedAt === undefined).sort((a, b) => b.score - a.score);
  const told = solved.map(({ cell, solvedAt }) => `the ${cell} at step ${show(solvedAt!)}`);
  const under = others.filter(({ score }) => score >= 0.1);
  const idle = others.filter(({ score }) => !(score >= 0.1));
  const open = under.map(({ cell, score }) => `the ${cell} is ${show(100 * score)}% of the way from guessing to all right`); // prettier-ignore
  if (idle.length === standings.length) open.push("none of them has learned anything yet");
  else if (idle.length > 0) {
    open.push(`${list(idle.map(({ cell }) => `the ${cell}`))} ${idle.length > 1 ? "have" : "has"} learned nothing yet`);
  }
  const first =
    solved.length > 0 ? `Solved by ${list(told)}. ` : ended ? `Nobody solved it in ${show(step)} steps. ` : "";
  const rest = others.length > 0 ? `${ended ? "In the end" : `After ${show(step)} steps`} ${list(open)}.` : "";
  const plain = solved.findIndex(({ cell }) => cell === "RNN");
  const moral = !ended
    ? ""
    : solved.length === 0
      ? " Try a smaller gap."
      : plain < 0
        ? " The plain RNN has no gate that could keep a memory open, and did not find another way in this time."
        : plain === 0
          ? " Here a plain RNN was enough, and the fastest: gates help where a memory must be kept for longer, or be left alone by what goes by. Try a larger gap."
          : " The plain RNN got there, too, but later.";
  return (first + rest + moral).trim();
}

/** How much of the gradient each cell has left at the far end. */
export function fadingOf(norms: readonly { cell: Cell; norms: readonly number[] }[], step: number): string {
  const ranked = norms.map(({ cell, norms }) => ({ cell, left: norms.at(-1)!, back: norms.length - 1 })).sort((a, b) => b.left - a.left); // prettier-ignore
  const told = ranked.map(({ cell, left }) => `${showShare(left)} in the ${cell}`);
  return (
    `At step ${show(step)}, of the gradient of the last state this share is left ${ranked[0]!.back} steps back: ${list(told)}. ` +
    `Where little is left, what happened there can hardly be learned.`
  );
}
