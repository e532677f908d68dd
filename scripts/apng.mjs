// Animated PNG of PNG frames, which Chromium makes: https://www.w3.org/TR/png-3/#apng-frame-based-animation. No library: the frames'
// own compressed data are only put into other chunks.

import { crc32 } from "node:zlib";

const SIGNATURE = Buffer.from([137, 80, 78, 71, 13, 10, 26, 10]);

function chunk(type, data) {
  const bytes = Buffer.alloc(12 + data.length);
  bytes.writeUInt32BE(data.length, 0);
  bytes.write(type, 4, "latin1");
  data.copy(bytes, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + data.length)), 8 + data.length);
  return bytes;
}

/** The header of a PNG, and its data. */
function parts(png) {
  let header;
  const data = [];
  for (let at = SIGNATURE.length; at < png.length;) {
    const length = png.readUInt32BE(at);
    const type = png.toString("latin1", at + 4, at + 8);
    const content = png.subarray(at + 8, at + 8 + length);
    if (type === "IHDR") header = content;
    if (type === "IDAT") data.push(content);
    at += 12 + length;
  }
  return { header, data: Buffer.concat(data) };
}

const numbers = (...values) => {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
  return bytes;
};

/**
 * @param frames { png, milliseconds } of one size and colour type; repeated without end
 */
export function animate(frames) {
  const [{ header }] = frames.map(({ png }) => parts(png));
  const chunks = [chunk("IHDR", header), chunk("acTL", numbers(frames.length, 0))];
  let sequence = 0;
  frames.forEach(({ png, milliseconds }, i) => {
    const own = parts(png);
    if (!own.header.equals(header)) throw new Error(`frame ${i} has another size or colour type`);
    const delay = Buffer.from([milliseconds >> 8, milliseconds & 255, 1000 >> 8, 1000 & 255, 0, 0]);
    chunks.push(chunk("fcTL", Buffer.concat([numbers(sequence++, header.readUInt32BE(0), header.readUInt32BE(4), 0, 0), delay]))); // prettier-ignore
    if (i === 0) chunks.push(chunk("IDAT", own.data));
    else chunks.push(chunk("fdAT", Buffer.concat([numbers(sequence++), own.data])));
  });
  return Buffer.concat([SIGNATURE, ...chunks, chunk("IEND", Buffer.alloc(0))]);
}
