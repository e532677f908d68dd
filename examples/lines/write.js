import { Adam, CharLM, Random, TextStreams, Vocabulary } from "wasm-rnn";

const text = "Row, row, row your boat, gently down the stream.\n".repeat(40);
const vocabulary = Vocabulary.fromText(text);
const model = new CharLM(vocabulary, { cell: "LSTM", hiddenSize: 64, numLayers: 1, dtype: "f32", seed: 1 });
const adam = new Adam(model.parameters(), { lr: 0.01 });
const streams = new TextStreams(vocabulary.encode(text), 8, 32); // 8 places of the text at once, 32 characters each
for (let step = 0; step < 200; step++) {
  const place = step % streams.wholeWindows;
  if (place === 0) model.state = undefined; // the text begins again
  const { inputs, targets } = streams.window(place);
  const { loss } = model.trainStep(inputs, targets, adam, { clip: 5 });
  if (step % 50 === 0) console.log(`step ${step}: ${loss.toFixed(3)} nats per character`);
}
model.warmUp = text.slice(-200); // writing starts from a state that the training has seen
let written = "";
for (const character of model.generate("", { length: 98, temperature: 0.5, random: new Random(7) }))
  written += character;
console.log(written);
