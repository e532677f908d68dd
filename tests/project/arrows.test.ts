// Which folder may import which: imports only point down. A change that needs another import adds it to this table.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { describe, expect, test } from "vitest";
import { root } from "../helpers/project.js";

const LAYERS = ["graphs", "recurrent", "nn", "ops", "optim", "formats", "recording", "base"] as const;

/** For each folder of src/, the folders that its files may import beside their own, and bindings/. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  "entry points": ["cli", "cluster", "train", "models", "courses", ...LAYERS],
  cli: ["train", "models", ...LAYERS],
  cluster: ["train", ...LAYERS],
  train: ["models", ...LAYERS],
  models: LAYERS,
  courses: LAYERS,
  graphs: ["recurrent", "nn", "ops", "formats", "recording", "base"],
  recurrent: ["nn", "ops", "formats", "recording", "base"],
  optim: ["nn", "ops", "recording", "base"],
  nn: ["ops", "recording", "base"],
  ops: ["recording", "base"],
  recording: ["base"],
  formats: ["base"],
  base: [],
};

/** Files that may import one more, each with its reason. */
const EXCEPTIONS: readonly { from: string; to: string; reason: string }[] = [
  ...["src/index.ts", "src/audio.ts", "src/cluster.ts", "src/keras.ts", "src/load.ts", "src/npy.ts", "src/onnx.ts"].map(
    (to) => ({
      from: "src/cli/library.ts",
      to,
      reason:
        "commands that few need load the package's own files, so that the command line has no second copy of them",
    }),
  ),
  ...["safetensors", "index", "onnx", "keras", "text", "pytorch", "npy", "audio"].map((name) => ({
    from: "src/models/load.ts",
    to: `src/${name}.ts`,
    reason:
      "loadModel imports the reader of one format when it needs it: the package's own file, of which there is one copy",
  })),
  {
    from: "src/ops/derivatives.ts",
    to: "src/recurrent/operator.backward.ts",
    reason: "one table has the derivatives of all operations, of layers of other rooms too",
  },
];

/** TypeScript files under a folder of the repository, as paths from its root. */
function filesOf(folder: string): string[] {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  return files.filter((path) => path.endsWith(".ts")).map((path) => `${folder}/${path.replaceAll("\\", "/")}`);
}

/** The files of the repository that a file imports, types and dynamic imports included. */
function importsOf(path: string): string[] {
  const { importedFiles } = ts.preProcessFile(readFileSync(join(root, path), "utf8"), true, true);
  const relative = importedFiles.map(({ fileName }) => fileName).filter((name) => name.startsWith("."));
  return relative.map((name) => new URL(name, `file:///${path}`).pathname.slice(1).replace(/\.js$/, ".ts"));
}

/** The folder of src/ in which a file is; "entry points" for those of src/ itself, "bindings" for those of bindings/. */
function roomOf(path: string): string {
  const [top = "", room, file] = path.split("/");
  if (top !== "src") return top;
  return file === undefined ? "entry points" : room!;
}

const sources = [...filesOf("src"), ...filesOf("bindings")];
const imports = new Map(sources.map((path) => [path, importsOf(path)]));

describe("imports", () => {
  test("are found, and are of files that exist", () => {
    const all = [...imports.values()].flat();
    expect(all.length).toBeGreaterThan(300);
    expect(all.filter((path) => !imports.has(path))).toEqual([]);
    expect([...new Set(sources.map(roomOf))].sort()).toEqual(["bindings", ...Object.keys(ALLOWED)].sort());
  });

  test("point down", () => {
    const upwards = sources.flatMap((path) => {
      const room = roomOf(path);
      const allowed = room === "bindings" ? ["bindings"] : [room, ...ALLOWED[room]!, "bindings"];
      return imports
        .get(path)!
        .filter((target) => !allowed.includes(roomOf(target)) || (room === "entry points" && roomOf(target) === room))
        .map((target) => ({ from: path, to: target }));
    });
    expect(upwards).toEqual(EXCEPTIONS.map(({ from, to }) => ({ from, to })));
  });

  test("never lead back to where they started", () => {
    const circles: string[] = [];
    const done = new Set<string>();
    const walk = (path: string, way: readonly string[]): void => {
      if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(" -> "));
      if (done.has(path)) return;
      done.add(path);
      for (const target of imports.get(path)!) walk(target, [...way, path]);
    };
    for (const path of sources) walk(path, []);
    expect(circles).toEqual([]);
  });
});

test("entry points only re-export", () => {
  const own = sources
    .filter((path) => roomOf(path) === "entry points" && path !== "src/cli.ts")
    .flatMap((path) => {
      const file = ts.createSourceFile(path, readFileSync(join(root, path), "utf8"), ts.ScriptTarget.Latest, true);
      const others = file.statements.filter((each) => !ts.isExportDeclaration(each) || !each.moduleSpecifier);
      return others.map((each) => `${path}: ${each.getText().slice(0, 80)}`);
    });
  expect(own).toEqual([]);
});
