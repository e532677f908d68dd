// A plugin of typedoc: guides stand under the tasks that they are for, and are called as their headings; where the option editUrl is
// set, each page links to the file that it comes from. Adds landmarks for screen readers.

import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Converter, IndexEvent, PageEvent, ParameterType } from "typedoc";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Documents by task, in the order of the list beside each page. */
export const TASKS = {
  Train: [
    "docs/guides/training.md",
    "docs/guides/concepts.md",
    "docs/guides/series.md",
    "docs/guides/saving.md",
    "docs/guides/command-line.md",
    "docs/guides/operations.md",
    "docs/guides/threads.md",
    "docs/guides/cluster.md",
    "examples/README.md",
  ],
  "Load a model": [
    "docs/guides/files.md",
    "docs/guides/from-keras.md",
    "docs/guides/from-tfjs.md",
    "docs/guides/from-pytorch.md",
    "docs/guides/onnx.md",
    "docs/guides/onnxruntime-web.md",
    "docs/guides/from-brainjs.md",
    "docs/guides/gate-orders.md",
  ],
  Stream: ["docs/guides/streaming.md"],
  Deploy: [
    "docs/guides/bundlers.md",
    "docs/guides/modules.md",
    "docs/guides/workers.md",
    "docs/guides/builds.md",
    "docs/guides/memory.md",
    "docs/hosts.md",
    "docs/guides/determinism.md",
    "RELIABILITY.md",
    "SECURITY.md",
  ],
  Learn: ["docs/guides/courses.md", "docs/features.md", "bench/README.md", "CHANGELOG.md", "CONTRIBUTING.md"],
};

const taskOf = (path) => Object.entries(TASKS).find(([, paths]) => paths.includes(path))?.[0];

const inRoot = (path) => relative(root, path).replaceAll("\\", "/");

export function load(application) {
  application.options.addDeclaration({
    name: "editUrl",
    type: ParameterType.String,
    help: "Where files of the repository are edited: each page links there.",
    defaultValue: "",
  });

  application.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, document) => {
    const path = inRoot(document.project.files.getReflectionPath(document));
    const task = taskOf(path);
    if (task === undefined) throw new Error(`docs/plugin.mjs has no task for ${path}`);
    document.frontmatter.group = task;
    const heading = /^# (.+)$/m.exec(document.content.map(({ text }) => text).join(""))?.[1];
    if (heading !== undefined) document.name = heading.replaceAll("`", "");
  });

  // the words of a guide count as much as those of a comment
  application.renderer.on(IndexEvent.PREPARE_INDEX, (index) => {
    index.searchFieldWeights.document = index.searchFieldWeights.comment;
  });

  application.renderer.on(PageEvent.END, (page) => {
    const edit = application.options.getValue("editUrl");
    const { model, project } = page;
    const first = model === project && page.url === "index.html";
    if (page.contents === undefined) return;
    page.contents = page.contents
      .replace('<div class="col-content">', '<div class="col-content" role="main">')
      .replace('<div class="col-sidebar">', '<div class="col-sidebar" role="complementary" aria-label="This page">');
    if (first) page.contents = page.contents.replace(/<div class="tsd-page-title">.*?<\/div>/s, ""); // docs/start.md has one
    if (edit === "") return;
    const path = first
      ? "docs/start.md"
      : model.isDocument?.()
        ? inRoot(project.files.getReflectionPath(model))
        : model.sources?.[0] && inRoot(model.sources[0].fullFileName);
    if (!path) return; // a list of pages
    const link = `<p class="edit-page"><a href="${edit}/${path}">Edit this page</a></p>`;
    page.contents = page.contents.replace(/(<\/div>\s*<div class="col-sidebar")/, (after) => link + after);
  });
}
