// What the documentation has beside what typedoc makes: links to the pages of the site, and a choice of versions.

const toolbar = document.querySelector("#tsd-toolbar-links");
const base = new URL(document.documentElement.dataset.base ?? "./", location.href);

/** A choice of the versions that versions.json beside this one lists; leads to the same page where the other version has it. */
async function addVersions() {
  const response = await fetch(new URL("versions.json", base));
  if (!response.ok) return;
  const versions = await response.json();
  // the pages of the site are beside the documentation of the newest version
  const newest = new URL(versions[0].path, base);
  for (const [path, text] of Object.entries({
    "": "Write",
    "why/": "Why LSTM?",
    "speech/": "Speech",
    "amp/": "Guitar",
  })) {
    const link = document.createElement("a");
    link.href = new URL(`../${path}`, newest).href;
    link.textContent = text;
    toolbar?.append(link);
  }
  const select = document.createElement("select");
  select.id = "version";
  select.ariaLabel = "Version of the documentation";
  for (const { name, path } of versions) select.append(new Option(name, path, path === "", path === ""));
  select.addEventListener("change", async () => {
    const other = new URL(select.value, base);
    const same = new URL(location.href.slice(base.href.length), other);
    const found = await fetch(same, { method: "HEAD" }).catch(() => undefined);
    location.href = found?.ok ? same.href : other.href;
  });
  const title = document.querySelector(".tsd-page-toolbar .title");
  title?.after(select);
}

void addVersions().catch(() => {}); // opened from a folder: there is one version
