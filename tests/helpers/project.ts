// The package as users get it: packed, and installed into an empty project outside the repository.

import { execFile } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** The path of the one test file of that name, which pages give without its folder. */
export function testNamed(file: string): string {
  const found = readdirSync(join(root, "tests"), { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.split("/").at(-1) === file);
  if (found.length !== 1) throw new Error(`${found.length} test files are named ${file}`);
  return `tests/${found[0]!}`;
}

/** Node 20 has relaxed SIMD behind a flag. */
export const RELAXED = Number.parseInt(process.versions.v8, 10) < 12 ? ["--experimental-wasm-relaxed-simd"] : [];

export interface Packed {
  /** Where the tarball is. */
  path: string;
  size: number;
  unpackedSize: number;
  files: { path: string }[];
}

/** Packs the built package into a tarball in the folder. */
export async function pack(folder: string): Promise<Packed> {
  const { stdout } = await run(root, "npm", ["pack", "--ignore-scripts", "--json", "--pack-destination", folder]);
  const [report] = JSON.parse(stdout) as [Omit<Packed, "path"> & { filename: string }];
  return { ...report, path: join(folder, report.filename) };
}

/** Makes an empty project of the folder, with the package as all that is installed in it, from a tarball alone. */
export async function install(project: string, tarball: string): Promise<void> {
  write(project, "package.json", '{ "name": "empty", "private": true, "type": "module" }\n');
  await run(project, "npm", ["install", tarball, "--ignore-scripts", "--no-audit", "--no-fund", "--offline"]);
}

export function write(project: string, path: string, text: string): void {
  const target = join(project, path);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, text);
}

/** Runs a module in the project. Returns its output. */
export async function script(project: string, source: string, flags: readonly string[] = []): Promise<string> {
  const name = `script-${scripts++}.mjs`;
  write(project, name, source);
  const { stdout } = await run(project, process.execPath, [...flags, name]);
  return stdout.trim();
}
let scripts = 0;

/** Runs a program to its end. A failure's message has all that it printed. */
export function run(
  folder: string,
  file: string,
  args: readonly string[],
): Promise<{ stdout: string; stderr: string }> {
  // as from a shell: not as from within an npm script
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(npm_|INIT_CWD$)/i.test(name)));
  const shell = process.platform === "win32" && !file.endsWith(".exe");
  return new Promise((resolve, reject) => {
    execFile(file, args, { cwd: folder, env, shell, maxBuffer: 64e6 }, (error, stdout, stderr) => {
      if (error) reject(new Error([`${file} ${args.join(" ")}: ${error.code}`, stdout, stderr].join("\n")));
      else resolve({ stdout, stderr });
    });
  });
}

export function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(1)} kB`;
}
