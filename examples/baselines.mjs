// What simple rules reach on the data of the examples: they count in the data to train on.

/**
 * The more frequent class, 0 or 1, of the items with the same key.
 *
 * @template Item
 * @param {readonly Item[]} train
 * @param {readonly Item[]} items
 * @param {(item: Item) => string} keyOf
 * @param {(item: Item) => number} classOf
 */
export function majority(train, items, keyOf, classOf) {
  /** @type {Map<string, number>} how many are of class 1, less those of class 0 */
  const counts = new Map();
  for (const item of train) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 2 * classOf(item) - 1);
  return items.map((item) => ((counts.get(keyOf(item)) ?? 0) > 0 ? 1 : 0));
}

/**
 * The more probable class, 0 or 1, if each word is drawn on its own (naive Bayes; each count raised by one).
 *
 * @param {{ x: Int32Array, y: number }[]} train
 * @param {{ x: Int32Array }[]} items
 * @param {number} words
 */
export function naiveBayes(train, items, words) {
  const counts = [0, 1].map(() => new Float64Array(words).fill(1));
  for (const { x, y } of train) for (const word of x) counts[y][word]++;
  const [total0, total1] = counts.map((all) => all.reduce((a, b) => a + b));
  const share = train.filter(({ y }) => y === 1).length / train.length;
  return items.map(({ x }) => {
    let odds = Math.log(share / (1 - share));
    for (const word of x) odds += Math.log(counts[1][word] / total1 / (counts[0][word] / total0));
    return odds > 0 ? 1 : 0;
  });
}

/**
 * Nats per symbol of texts, the first symbols left out, where a symbol depends on `order` symbols before it alone. Each symbol
 * counts once more than it was seen: none has the probability 0.
 *
 * @param {readonly Int32Array[]} train
 * @param {readonly Int32Array[]} texts
 * @param {number} order
 * @param {number} symbols
 */
export function countingModel(train, texts, order, symbols) {
  /** @type {Map<string, number>} */
  const counts = new Map();
  const keys = (/** @type {Int32Array} */ text, /** @type {number} */ i) => {
    const context = text.slice(Math.max(0, i - order), i).join();
    return [context, `${context}>${text[i]}`];
  };
  for (const text of train) {
    for (let i = 1; i < text.length; i++) {
      for (const key of keys(text, i)) counts.set(key, (counts.get(key) ?? 0) + 1);
    }
  }
  let [nats, all] = [0, 0];
  for (const text of texts) {
    for (let i = 1; i < text.length; i++, all++) {
      const [context, these] = keys(text, i).map((key) => counts.get(key) ?? 0);
      nats -= Math.log((these + 1) / (context + symbols));
    }
  }
  return nats / all;
}

/**
 * A letter stands for the sound that is most often in its place, in words of as many sounds as letters.
 *
 * @param {{ letters: Int32Array, sounds: number[] }[]} train
 * @param {{ letters: Int32Array }[]} words
 */
export function mostFrequentSounds(train, words) {
  const counts = Array.from("abcdefghijklmnopqrstuvwxyz", () => /** @type {number[]} */ (Array(39).fill(0)));
  for (const { letters, sounds } of train) {
    if (letters.length === sounds.length) letters.forEach((letter, i) => counts[letter][sounds[i]]++);
  }
  return words.map(({ letters }) => [...letters].map((l) => counts[l].indexOf(Math.max(...counts[l]))));
}
