// Bundles the scripts of a page of examples/.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Writes a script into `target` for each entry: its name and its file in `source`. */
export async function bundlePage(
  source: string,
  target: string,
  entries: Readonly<Record<string, string>>,
): Promise<void> {
  await esbuild.build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(Object.entries(entries).map(([entry, file]) => [entry, join(source, file)])),
    outdir: target,
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "linked",
    logLevel: "warning",
    logOverride: { "ignored-bare-import": "silent" }, // of dist/, which a bundler does not show for an installed package
  });
}
