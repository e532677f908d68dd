// Steps of the build that are skipped where their results are there already.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";

/** All files at and below the paths; none for a path that is missing. */
export function filesBelow(...paths) {
  return paths.flatMap((path) => {
    if (!existsSync(path)) return [];
    return statSync(path).isDirectory() ? filesBelow(...readdirSync(path).map((name) => `${path}/${name}`)) : [path];
  });
}

function digest(paths) {
  const hash = createHash("sha256");
  for (const path of paths.sort()) {
    const bytes = readFileSync(path);
    hash.update(`${path}\n${bytes.length}\n`).update(bytes);
  }
  return hash.digest("hex");
}

/**
 * Calls `make`, unless the files that it reads and those that it writes are as they were after its last call.
 *
 * @param name of a file in build/ that keeps their digests
 * @param inputs tells the paths of what is read
 * @param outputs tells the paths of what is written
 */
export async function stage(name, inputs, outputs, make) {
  const record = `build/${name}.digest`;
  const read = digest(inputs()); // before `make`: what is edited meanwhile may have come too late
  const state = () => `${read} ${digest(outputs())}\n`;
  if (existsSync(record) && readFileSync(record, "utf8") === state()) return;
  console.log(`${name} ...`);
  await make();
  writeFileSync(record, state());
}
