// npm run release: prepares a release, but does not publish it. Asks for the package's addresses if package.json has none, checks
// version and changelog, runs the tests, commits and tags. Pushing the tag starts .github/workflows/publish.yml.
//
//     npm run release -- --help
//     node scripts/release.mjs --check       fails if the package is not ready; `npm publish` runs this first

import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline/promises";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { absoluteLinks, repositoryAddress } from "./readme.mjs";

const VERSION = /^\d+\.\d+\.\d+(-[\w.]+)?$/;
const TESTS = ["lint", "format:check", "test"];

const git = (...args) => execFileSync("git", args, { encoding: "utf8" }).trim();
const readManifest = () => JSON.parse(readFileSync("package.json", "utf8"));

const isAddress = (text) => URL.canParse(text) && new URL(text).protocol === "https:";

/** The fields to ask for: the question, a default from earlier answers, and the form in package.json. */
const FIELDS = {
  repository: {
    question: "Repository on GitHub (https://github.com/OWNER/NAME)",
    isValid: (text) => repositoryAddress({ repository: text }) !== undefined,
    read: repositoryAddress,
    write: (text) => ({ type: "git", url: `git+${repositoryAddress({ repository: text })}.git` }),
  },
  homepage: {
    question: "Homepage",
    suggestion: ({ repository }) => `${repository}#readme`,
    isValid: isAddress,
    read: ({ homepage }) => homepage,
    write: (text) => text,
  },
  bugs: {
    question: "Where bugs are reported",
    suggestion: ({ repository }) => `${repository}/issues`,
    isValid: isAddress,
    read: ({ bugs }) => bugs?.url,
    write: (text) => ({ url: text }),
  },
  author: {
    question: "Author (Name <mail> (address))",
    isValid: (text) => /^[^<>()\s][^<>()]*(<[^<>\s]+@[^<>\s]+>)?\s*(\(https?:[^()\s]+\))?$/.test(text),
    read: ({ author }) => (typeof author === "string" ? author : author?.name),
    write: (text) => text,
  },
};

/** The text of a version's section in CHANGELOG.md; undefined if there is none, or if its heading says "not released". */
function changelogEntry(version) {
  const sections = readFileSync("CHANGELOG.md", "utf8").split(/^## /m).slice(1);
  const heading = new RegExp(`^\\[?v?${version.replaceAll(".", "\\.")}\\]?(?![^\\n]*not released)[^\\n]*\\n`, "i");
  const section = sections.find((text) => heading.test(text));
  return section?.replace(heading, "").trim() || undefined;
}

/** The pages that load another version of the package from a content delivery network. */
function otherVersions(version) {
  const guides = existsSync("docs/guides") ? readdirSync("docs/guides").map((name) => join("docs/guides", name)) : [];
  return ["README.md", ...guides].filter((page) =>
    [...readFileSync(page, "utf8").matchAll(/wasm-rnn@(\d+\.\d+\.\d+[-\w.]*)/g)].some(([, found]) => found !== version),
  );
}

/** The reasons against a release of the package; empty if it is ready. */
function problems(manifest) {
  const { version } = manifest;
  const found = [];
  for (const [name, { isValid, read }] of Object.entries(FIELDS)) {
    const value = read(manifest);
    if (value === undefined || !isValid(value))
      found.push(`package.json has no valid ${name}: npm run release asks for it`);
  }
  if (!VERSION.test(version)) found.push(`package.json has the version ${version}, which is not of the form 1.2.3`);
  if (changelogEntry(version) === undefined) found.push(`CHANGELOG.md has no section "## ${version}" with text`);
  for (const page of otherVersions(version)) found.push(`${page} names another version than wasm-rnn@${version}`);
  const address = repositoryAddress(manifest);
  try {
    if (address !== undefined) absoluteLinks(readFileSync("README.md", "utf8"), address, `v${version}`);
  } catch (error) {
    found.push(error.message);
  }
  return found;
}

/** Prints the reasons, and exits with 1. */
function refuse(reasons) {
  console.error(["Not released:", ...reasons.map((reason) => `  - ${reason}`)].join("\n"));
  process.exit(1);
}

const isDirty = () => git("status", "--porcelain") !== "";
const hasTag = (tag) => git("tag", "--list", tag) !== "";

/** Checks that the package is ready, and that the files are those of the tagged commit. */
function check() {
  const manifest = readManifest();
  const found = problems(manifest);
  const tag = `v${manifest.version}`;
  // `prepack`, which changes README.md, runs later
  if (isDirty()) found.push("files differ from the last commit");
  if (!git("tag", "--points-at", "HEAD").split("\n").includes(tag)) found.push(`the last commit has no tag ${tag}`);
  if (found.length > 0) refuse(found);
}

/** Completes package.json from flags, from what it has, and from questions on a terminal. */
async function complete(manifest, flags) {
  const terminal = process.stdin.isTTY ? createInterface({ input: process.stdin, output: process.stdout }) : undefined;
  const answers = {};
  const missing = [];
  try {
    for (const [name, { question, suggestion, isValid, read, write }] of Object.entries(FIELDS)) {
      let answer = flags[name] ?? read(manifest);
      const proposed = answers.repository && suggestion?.(answers);
      while (terminal !== undefined && (answer === undefined || !isValid(answer))) {
        if (answer !== undefined) console.log(`${answer} cannot be used.`);
        answer = (await terminal.question(`${question}${proposed ? ` [${proposed}]` : ""}: `)).trim() || proposed;
      }
      answer ??= proposed;
      if (answer === undefined || !isValid(answer)) {
        missing.push(answer === undefined ? `--${name} is missing` : `--${name} ${answer} cannot be used`);
        continue;
      }
      answers[name] = name === "repository" ? repositoryAddress({ repository: answer }) : answer;
      manifest[name] = write(answer);
    }
  } finally {
    terminal?.close();
  }
  if (missing.length > 0) refuse(missing);
}

/** Moves the addresses after the licence. */
function ordered({ repository, homepage, bugs, author, ...rest }) {
  const fields = Object.entries(rest);
  const place = fields.findIndex(([name]) => name === "license") + 1;
  fields.splice(place, 0, ...Object.entries({ author, homepage, repository, bugs }));
  return Object.fromEntries(fields);
}

async function release() {
  const program = new Command("npm run release --")
    .description("Checks the package, completes package.json, commits and tags. Asks for what is missing.")
    .option("--repository <address>", "https://github.com/OWNER/NAME")
    .option("--homepage <address>", "by default the repository's README")
    .option("--bugs <address>", "by default the repository's issues")
    .option("--author <author>", '"Name <mail> (address)"')
    .option("--next <version>", "the version to release, by default the one in package.json")
    .option("--dry-run", "only check: write, test, commit and tag nothing");
  const { next, dryRun, ...flags } = program.parse().opts();
  const manifest = readManifest();
  manifest.version = next ?? manifest.version;
  const tag = `v${manifest.version}`;
  if (isDirty()) refuse(["files differ from the last commit: commit or stash them"]);
  await complete(manifest, flags);
  const found = problems(manifest);
  if (hasTag(tag)) found.push(`there is a tag ${tag} already`);
  if (found.length > 0) refuse(found);
  if (dryRun) {
    console.log(`Ready: ${manifest.name} ${manifest.version}.`);
    return;
  }
  const before = readFileSync("package.json", "utf8");
  const after = `${JSON.stringify(ordered(manifest), null, 2)}\n`;
  const lock = existsSync("package-lock.json") ? readFileSync("package-lock.json", "utf8") : undefined;
  writeFileSync("package.json", after);
  if (lock !== undefined) {
    const renewed = JSON.parse(lock);
    renewed.version = renewed.packages[""].version = manifest.version;
    writeFileSync("package-lock.json", `${JSON.stringify(renewed, null, 2)}\n`);
  }
  try {
    for (const script of TESTS) {
      console.log(`npm run ${script} ...`);
      execFileSync("npm", ["run", script], { stdio: "inherit", shell: process.platform === "win32" });
    }
  } catch (error) {
    writeFileSync("package.json", before);
    if (lock !== undefined) writeFileSync("package-lock.json", lock);
    refuse([error.message]);
  }
  const files = ["package.json", ...(lock === undefined ? [] : ["package-lock.json"])];
  git("add", ...files);
  if (isDirty()) git("commit", "--quiet", "--message", `Release ${tag}`);
  git("tag", "--annotate", tag, "--message", `${tag}\n\n${changelogEntry(manifest.version)}`);
  console.log(`Tagged ${tag}. To publish it: git push --atomic origin HEAD ${tag}`);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  if (process.argv.includes("--check")) check();
  else {
    await release().catch((error) => {
      if (error.code !== "ABORT_ERR") throw error; // Ctrl-D or Ctrl-C at a question
      refuse(["stopped"]);
    });
  }
}
