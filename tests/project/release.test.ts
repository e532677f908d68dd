// scripts/release.mjs and scripts/readme.mjs, run in a small repository of their own.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { root } from "../helpers/project.js";
import { goWithout, MISSING_SCRIPT, programs } from "../helpers/tools.js";

const script = (name: string) => `${process.execPath} ${join(root, "scripts", name)}`;
const REPOSITORY = "https://github.com/someone/wasm-rnn";
const AUTHOR = "Some One <some@one.example>";
const FLAGS = ["--repository", REPOSITORY, "--author", AUTHOR];

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "wasm-rnn-release-"));
  const stub = "node -e 0";
  const scripts = {
    ...{ lint: stub, "format:check": stub, test: "node test.js" },
    prepublishOnly: `${script("release.mjs")} --check`,
    prepack: `${script("readme.mjs")} --absolute`,
    postpack: `${script("readme.mjs")} --restore`,
  };
  const manifest = { name: "wasm-rnn", version: "0.1.0", license: "MIT", type: "module", scripts };
  write("package.json", JSON.stringify(manifest));
  write("package-lock.json", JSON.stringify({ version: "0.1.0", lockfileVersion: 3, packages: { "": manifest } }));
  write("test.js", "");
  write(".gitignore", "build/\n*.tgz\n");
  write("CHANGELOG.md", "# Changelog\n\n## 0.2.0\n\nFaster.\n\n## 0.1.0 (not released)\n\nEverything.\n");
  mkdirSync(join(folder, "docs/guides"), { recursive: true });
  write("docs/guides/start.md", "https://cdn.jsdelivr.net/npm/wasm-rnn@0.2.0/dist/index.js\n");
  write("README.md", "[Start](docs/guides/start.md#first), [the licence](https://opensource.org/license/mit)\n");
  git("init", "--quiet", "--initial-branch=main");
  git("config", "user.name", "Some One");
  git("config", "user.email", "some@one.example");
  commit();
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const write = (path: string, text: string) => writeFileSync(join(folder, path), text);
const read = (path: string) => readFileSync(join(folder, path), "utf8");
const git = (...args: string[]) => execFileSync("git", args, { cwd: folder, encoding: "utf8" }).trim();

function commit(): void {
  git("add", "--all");
  git("commit", "--quiet", "--message", "A change");
}

function release(...args: string[]): { status: number | null; output: string } {
  const command = [join(root, "scripts/release.mjs"), ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, { cwd: folder, encoding: "utf8" });
  return { status, output: stdout + stderr };
}

/** Expects a refusal for one reason, which changes nothing. */
function expectRefusal(reason: string, ...args: string[]): void {
  const state = () => [git("rev-parse", "HEAD"), git("status", "--porcelain"), git("tag")];
  const before = state();
  const { status, output } = release(...args);
  expect(output).toBe(`Not released:\n  - ${reason}\n`);
  expect(status).toBe(1);
  expect(state()).toEqual(before);
}

describe("npm run release", () => {
  test("writes the addresses and the version, commits and tags", () => {
    const { status, output } = release(...FLAGS, "--next", "0.2.0");
    expect(output).toContain("Tagged v0.2.0. To publish it: git push --atomic origin HEAD v0.2.0\n");
    expect(status).toBe(0);
    const manifest = JSON.parse(read("package.json")) as Record<string, unknown>;
    expect(manifest).toMatchObject({
      version: "0.2.0",
      author: AUTHOR,
      homepage: `${REPOSITORY}#readme`,
      repository: { type: "git", url: `git+${REPOSITORY}.git` },
      bugs: { url: `${REPOSITORY}/issues` },
    });
    const keys = Object.keys(manifest);
    expect(keys).toEqual([
      ...["name", "version", "license", "author", "homepage", "repository", "bugs", "type", "scripts"],
    ]);
    expect(JSON.parse(read("package-lock.json"))).toMatchObject({
      version: "0.2.0",
      packages: { "": { version: "0.2.0" } },
    });
    expect(git("status", "--porcelain")).toBe("");
    expect(git("log", "-1", "--format=%s")).toBe("Release v0.2.0");
    expect(git("tag", "--list", "--format=%(contents)", "--points-at", "HEAD")).toBe("v0.2.0\n\nFaster.");
    expect(release("--check")).toEqual({ status: 0, output: "" });
  });

  test("asks for what is missing, on a terminal", async (context) => {
    const [terminal] = process.platform === "linux" ? programs("script") : [];
    if (terminal === undefined) goWithout(context, MISSING_SCRIPT);
    const answers = ["someone/wasm-rnn", `${REPOSITORY}.git`, "https://rnn.example", "", AUTHOR];
    const child = spawn(terminal, ["-qec", `${script("release.mjs")} --next 0.2.0`, "/dev/null"], { cwd: folder });
    let stdout = "";
    let asked = 0;
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
      // a question ends with the escape sequence that puts the cursor after it
      const shown = stdout.replaceAll("\u001b", "ESC");
      const questions = shown.match(/^.*(?:Repository|Homepage|Where|Author).*: ESC\[\d+G/gm) ?? [];
      while (asked < questions.length) child.stdin.write(`${answers[asked++]}\r`);
    });
    await once(child, "close");
    expect(stdout).toContain("someone/wasm-rnn cannot be used.");
    expect(stdout).toContain(`Homepage [${REPOSITORY}#readme]: `);
    expect(stdout).toContain("Tagged v0.2.0.");
    expect(JSON.parse(read("package.json"))).toMatchObject({
      homepage: "https://rnn.example",
      bugs: { url: `${REPOSITORY}/issues` },
      author: AUTHOR,
    });
  });

  test("refuses without addresses", () => {
    const { status, output } = release("--next", "0.2.0");
    expect(output.match(/--\w+ is missing/g)).toEqual(
      ["repository", "homepage", "bugs", "author"].map((name) => `--${name} is missing`),
    );
    expect(status).toBe(1);
    expectRefusal(
      "--repository https://gitlab.com/a/b cannot be used",
      ...["--homepage", "https://a.example", "--bugs", "https://a.example", "--author", AUTHOR],
      ...["--repository", "https://gitlab.com/a/b"],
    );
  });

  test("refuses a version without an entry in CHANGELOG.md, or with one that says it is not released", () => {
    write("docs/guides/start.md", "");
    commit();
    expectRefusal('CHANGELOG.md has no section "## 0.1.0" with text', ...FLAGS);
    expectRefusal('CHANGELOG.md has no section "## 0.3.0" with text', ...FLAGS, "--next", "0.3.0");
  });

  test("refuses files that differ, other versions in guides, broken links, a tag that exists", () => {
    const args = [...FLAGS, "--next", "0.2.0"];
    write("new.txt", "");
    expectRefusal("files differ from the last commit: commit them or put them aside", ...args);
    rmSync(join(folder, "new.txt"));
    git("tag", "v0.2.0");
    expectRefusal("there is a tag v0.2.0 already", ...args);
    git("tag", "--delete", "v0.2.0");
    write("docs/guides/start.md", "wasm-rnn@0.1.9/dist/index.js");
    commit();
    expectRefusal("docs/guides/start.md names another version than wasm-rnn@0.2.0", ...args);
    write("docs/guides/start.md", "");
    write("README.md", "![](docs/page.png)");
    commit();
    expectRefusal("README.md links to files that do not exist: docs/page.png", ...args);
  });

  test("puts package.json back where a test fails", () => {
    write("test.js", "process.exit(1)");
    commit();
    const before = read("package.json");
    const { status, output } = release(...FLAGS, "--next", "0.2.0");
    expect(output).toContain("Not released:\n  - Command failed: npm run test");
    expect(status).toBe(1);
    expect(read("package.json")).toBe(before);
    expect(git("status", "--porcelain")).toBe("");
    expect(git("tag")).toBe("");
  });

  test("--dry-run changes nothing", () => {
    expect(release(...FLAGS, "--next", "0.2.0", "--dry-run")).toEqual({
      status: 0,
      output: "Ready: wasm-rnn 0.2.0.\n",
    });
    expect(git("status", "--porcelain") + git("tag")).toBe("");
  });
});

describe("npm publish", () => {
  const publish = () =>
    spawnSync("npm", ["publish", "--dry-run", "--ignore-scripts=false"], {
      cwd: folder,
      encoding: "utf8",
      shell: process.platform === "win32",
    });

  test("is refused where the addresses are missing and the commit has no tag", () => {
    const { status, stderr } = publish();
    expect(status).not.toBe(0);
    for (const name of ["repository", "homepage", "bugs", "author"]) {
      expect(stderr).toContain(`package.json has no valid ${name}: npm run release asks for it`);
    }
    expect(stderr).toContain("the last commit has no tag v0.1.0");
  });
});

describe("npm pack", () => {
  test("packs a README with absolute links, and puts the file back", () => {
    const before = read("README.md");
    write("package.json", JSON.stringify({ ...(JSON.parse(read("package.json")) as object), repository: REPOSITORY }));
    execFileSync("npm", ["pack", "--ignore-scripts=false"], {
      cwd: folder,
      stdio: "pipe",
      shell: process.platform === "win32",
    });
    expect(read("README.md")).toBe(before);
    const packed = gunzipSync(readFileSync(join(folder, "wasm-rnn-0.1.0.tgz"))).toString();
    expect(packed).toContain(`\0[Start](${REPOSITORY}/blob/v0.1.0/docs/guides/start.md#first), [the licence](https://`);
  });
});

describe("links of the README", () => {
  test("become absolute; code, anchors and absolute links stay", async () => {
    const { absoluteLinks } = (await import(
      /* @vite-ignore */ new URL("../../scripts/readme.mjs", import.meta.url).href
    )) as { absoluteLinks: (markdown: string, address: string, reference: string, root: string) => string };
    write("page.png", "");
    const at = (kind: string) => `https://github.com/o/n/${kind}/v1`;
    const image = "https://raw.githubusercontent.com/o/n/v1/page.png";
    const cases: [string, string][] = [
      ["[`a` and b](CHANGELOG.md)", `[\`a\` and b](${at("blob")}/CHANGELOG.md)`],
      ['[a](./CHANGELOG.md "title")', `[a](${at("blob")}/CHANGELOG.md "title")`],
      ["[guides](docs/guides)", `[guides](${at("tree")}/docs/guides)`],
      ["![The page](page.png)", `![The page](${image})`],
      ["[![The page](page.png)](README.md#top)", `[![The page](${image})](${at("blob")}/README.md#top)`],
      ['<img src="page.png">', `<img src="${image}">`],
      ['<a href="README.md">', `<a href="${at("blob")}/README.md">`],
      ["\n[changes]: CHANGELOG.md", `\n[changes]: ${at("blob")}/CHANGELOG.md`],
    ];
    for (const same of [
      ...["[a](#speed)", "[a](https://a.example/b.md)", "[a](mailto:a@b.example)", "`[a](none.md)`"],
      ...['\n```html\n<a href="none.md">\n[a](none.md)\n```\n', "a[i]"],
    ]) {
      cases.push([same, same]);
    }
    for (const [markdown, expected] of cases) {
      expect(absoluteLinks(markdown, "https://github.com/o/n", "v1", folder)).toBe(expected);
    }
  });
});
