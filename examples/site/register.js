// Lets the site work offline. Where there are no service workers (http from another host, private windows), it works as before.

navigator.serviceWorker?.register(new URL("sw.js", import.meta.url)).catch(() => {});
