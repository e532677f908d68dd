// What the pages of the site share: the head, the links at their top and end, and the lines of code that each shows. An index.html has
// the comments <!-- head -->, <!-- header -->, <!-- lines file.js --> and <!-- footer text -->, in whose place they go.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const examples = join(root, "examples");
const { version, repository } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Pages by their folder of the site, "" for the front page. */
export const PAGES = { "": "Write", "why/": "Why LSTM?", "speech/": "Speech", "amp/": "Guitar" };

const escape = (text) => text.replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`);

/** The address of the repository; undefined while package.json has none. */
function repositoryOf() {
  const address = process.env.SITE_REPOSITORY || (repository?.url ?? repository);
  return address?.replace(/^git\+/, "").replace(/\.git$/, "");
}

function head(html, { up, name, address, site }) {
  const title = /<title>([^<]*)<\/title>/.exec(html)[1];
  const description = /name="description"\s+content="([^"]*)"/.exec(html)[1];
  const own = `og-${name}.jpg`;
  const picture = existsSync(join(examples, "site", own)) ? own : "og-write.jpg";
  const base = address === undefined ? up : `${address.replace(/\/?$/, "/")}`;
  return [
    `<meta charset="utf-8" />`,
    `<meta name="viewport" content="width=device-width, initial-scale=1" />`,
    `<meta name="color-scheme" content="light dark" />`,
    `<meta http-equiv="Content-Security-Policy" content="default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data:" />`,
    `<meta property="og:type" content="website" />`,
    `<meta property="og:title" content="${title}" />`,
    `<meta property="og:description" content="${description}" />`,
    `<meta property="og:image" content="${base}${picture}" />`,
    `<meta name="twitter:card" content="summary_large_image" />`,
    `<link rel="icon" type="image/svg+xml" href="${up}favicon.svg" />`,
    `<link rel="stylesheet" href="${up}style.css" />`,
    ...(site ? [`<script type="module" src="${up}register.js"></script>`] : []),
  ].join("\n    ");
}

/** A page of its own has no others beside it. */
function header({ up, folder, site }) {
  const links = (site ? Object.entries(PAGES) : []).map(
    ([path, text]) => `<a href="${up}${path}"${path === folder ? ' aria-current="page"' : ""}>${text}</a>`,
  );
  return [
    `<a class="skip" href="#main">To the page</a>`,
    `<nav class="site" aria-label="Site">`,
    `  <a class="home" href="${up}">wasm-rnn</a>`,
    ...links.map((link) => `  ${link}`),
    ...(site ? [`  <a href="${up}docs/">Guides</a>`] : []),
    `</nav>`,
  ].join("\n    ");
}

function footer(text, { up, site }) {
  const code = repositoryOf();
  const links = [
    ...(code ? [`<a href="${escape(code)}#readme">README</a>`] : []),
    `<a href="https://www.npmjs.com/package/wasm-rnn">npm</a>`,
    ...(site ? [`<a href="${up}docs/">Guides and reference</a>`] : []),
  ];
  return [
    `<footer>`,
    text.trim(),
    `<p>wasm-rnn ${version} trains and runs recurrent networks where JavaScript runs: ${links.join(" · ")}</p>`,
    `</footer>`,
  ].join("\n      ");
}

const lines = (file) =>
  `<pre class="text code" tabindex="0" aria-label="Code"><code>${escape(readFileSync(join(examples, "lines", file), "utf8").trimEnd())}</code></pre>`;

/**
 * Writes index.html of a folder of examples/ into `target`.
 *
 * @param options.folder the page's folder of the site: "" or "why/"
 * @param options.address of the site, for pictures in links to it
 * @param options.prepare changes the page's text first
 * @param options.site whether the page is part of the whole site, which works offline
 */
export function writePage(
  source,
  target,
  { folder = "", address, site = false, up = folder === "" ? "./" : "../", prepare = (html) => html } = {},
) {
  mkdirSync(target, { recursive: true });
  const html = prepare(readFileSync(join(source, "index.html"), "utf8"));
  const options = { folder, up, address, site, name: folder.replace("/", "") || "write" };
  const made = html
    .replace("<!-- head -->", () => head(html, options))
    .replace("<!-- header -->", () => header(options))
    .replace(/<!-- lines (\S+) -->/, (_, file) => lines(file))
    .replace(/<!-- footer([^]*?)-->/, (_, text) => footer(text, options));
  writeFileSync(join(target, "index.html"), made);
}

/** Puts what all pages share where `up` of writePage leads. */
export function writeShared(target) {
  mkdirSync(target, { recursive: true });
  for (const name of [
    "style.css",
    "favicon.svg",
    ...Object.keys(PAGES).map((path) => `og-${path.replace("/", "") || "write"}.jpg`),
  ]) {
    const from = join(examples, "site", name);
    if (existsSync(from)) copyFileSync(from, join(target, name));
  }
}
