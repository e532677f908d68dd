// Makes examples/browser/moby.safetensors, the model that the front page opens with: `npm run pretrain`, some minutes of one core. It
// learns from the whole of Moby Dick but the part that the page holds back, so that what the page measures there is on unseen text.

import { writeFileSync } from "node:fs";
import { splitText, Vocabulary } from "../src/models/text.js";
import { writeCharLM } from "../src/models/charlm-file.js";
import { Trainer } from "../src/train/trainer.js";
import { DEFAULTS } from "../src/train/settings.js";
import { mobyText } from "./texts.mjs";

const TARGET = "examples/browser/moby.safetensors";
const LARGEST = 400_000;
const SETTINGS = { ...DEFAULTS, hidden: 128, layers: 1, embedding: 24, seq: 100, batch: 16, epochs: 8, lr: 0.006 };

const [whole, page] = [mobyText(Infinity), mobyText()];
const vocabulary = Vocabulary.fromText(whole);
const { train, validation } = splitText(vocabulary.encode(page), SETTINGS.validation);
const held = vocabulary.decode(validation);
const rest = whole.slice(page.length);
// the Trainer holds back the end of its text, too: it shall be the same
const codes = vocabulary.encode(rest + vocabulary.decode(train) + held);
const settings = { ...SETTINGS, validation: held.length / codes.length, evalEvery: Infinity };
const trainer = new Trainer(settings, vocabulary, codes);
const began = performance.now();
while (!trainer.finished) {
  trainer.advance();
  if (trainer.step % 100 === 0) {
    const seconds = ((performance.now() - began) / 1000).toFixed(0);
    console.log(`step ${trainer.step} of ${trainer.totalSteps}: ${trainer.recentLoss.toFixed(3)} nats, ${seconds} s`);
  }
}
trainer.noteEvaluation([...trainer.evaluating()].at(-1));
const bytes = writeCharLM(trainer.model, { steps: trainer.step, validation: trainer.validationLoss });
if (bytes.length > LARGEST) throw new Error(`${TARGET}: ${bytes.length} bytes, which are more than ${LARGEST}`);
writeFileSync(TARGET, bytes);
console.log(`${TARGET}: ${bytes.length} bytes, ${trainer.validationLoss?.loss.toFixed(3)} nats on unseen text`);
console.log(trainer.sample());
