// The types of the package as its users see them: dist's declarations, under both module resolutions, with every check on.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const path = (name: string) => fileURLToPath(new URL(name, import.meta.url)).replaceAll("\\", "/");
const [accepted, refused] = [path("accepted.ts"), path("refused.ts")];
const nodenext = { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext };
const bundler = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };

/** Both files as a program; `change` edits their text. */
function programOf(resolution: ts.CompilerOptions, change = (source: string) => source): ts.Program {
  const options: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2022,
    lib: ["lib.es2022.d.ts", "lib.esnext.disposable.d.ts", "lib.dom.d.ts"],
    types: [],
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    skipDefaultLibCheck: true,
    noEmit: true,
    ...resolution,
  };
  const host = ts.createCompilerHost(options);
  const readFile = host.readFile.bind(host);
  host.readFile = (name) => (name === accepted || name === refused ? change(readFile(name)!) : readFile(name));
  return ts.createProgram([accepted, refused], options, host);
}

const errorsOf = (program: ts.Program) =>
  ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const line = file ? file.getLineAndCharacterOfPosition(start!).line + 1 : 0;
    return { file: file?.fileName, line, text: ts.flattenDiagnosticMessageText(messageText, "\n") };
  });

describe("dist's declarations", () => {
  const program = programOf(nodenext);

  test("moduleResolution nodenext: right code compiles, wrong code does not", () => {
    expect(errorsOf(program)).toEqual([]);
  });

  test("moduleResolution bundler: likewise", () => {
    expect(errorsOf(programOf(bundler))).toEqual([]);
  });

  test("each directive in refused.ts stands for one error, on the line after it", () => {
    const lines = readFileSync(refused, "utf8").split("\n");
    const expected = lines.flatMap((line, i) => (line.startsWith("// @ts-expect-error ") ? [i + 2] : []));
    const errors = errorsOf(programOf(nodenext, (source) => source.replaceAll("@ts-expect-error", "")));
    expect(expected.length).toBeGreaterThan(20);
    expect(errors.map(({ file, line }) => [file, line])).toEqual(expected.map((line) => [refused, line]));
  });

  test.each(["RNN", "LSTM", "GRU", "RNNCell", "LSTMCell", "GRUCell", "Linear", "Embedding", "LayerNorm", "Dropout"])(
    "new %s( shows a text, and one for each parameter",
    (name) => {
      const checker = program.getTypeChecker();
      const index = program
        .getSourceFiles()
        .find(({ fileName }) => /dist\/types\/src\/index\.d\.c?ts$/.test(fileName))!;
      const exported = checker.getExportsOfModule(checker.getSymbolAtLocation(index)!).find((s) => s.name === name)!;
      const [signature] = checker.getTypeOfSymbol(checker.getAliasedSymbol(exported)).getConstructSignatures();
      const textOf = (item: ts.Signature | ts.Symbol) => ts.displayPartsToString(item.getDocumentationComment(checker));
      for (const item of [signature!, ...signature!.getParameters()]) expect(textOf(item)).not.toBe("");
    },
  );
});
