// The site works offline after the first load. Answers GETs of its own folder from the cache of its build, and fills it; a new build
// has another cache, takes over at the next load, and deletes the older ones. It changes no headers: the pages are the server's.
//
// scripts/site.ts puts the build's hash and the files of the pages in the place of the two lines below.

const BUILD = "";
const FILES = [];

/** Other sites may live in other folders of this origin, and have caches of their own. */
const prefix = `wasm-rnn ${self.registration.scope} `;
const name = prefix + BUILD;

self.addEventListener("install", (event) => {
  const fill = async () => {
    const cache = await caches.open(name);
    // past the HTTP cache, which may have files of an older build
    await cache.addAll(FILES.map((file) => new Request(new URL(file, self.registration.scope), { cache: "reload" })));
    await self.skipWaiting();
  };
  event.waitUntil(fill());
});

self.addEventListener("activate", (event) => {
  const older = async () => {
    const names = (await caches.keys()).filter((each) => each.startsWith(prefix) && each !== name);
    await Promise.all(names.map((each) => caches.delete(each)));
  };
  event.waitUntil(older());
});

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const inside = request.url.startsWith(self.registration.scope);
  if (request.method !== "GET" || !inside || request.headers.has("range")) return;
  const answer = async () => {
    const cache = await caches.open(name);
    const kept = await cache.match(request, { ignoreSearch: request.mode === "navigate" });
    if (kept) return kept;
    const response = await fetch(request);
    if (response.status === 200 && response.type === "basic") await cache.put(request, response.clone());
    return response;
  };
  event.respondWith(answer());
});
