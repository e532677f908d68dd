// Serves built pages on 127.0.0.1 with the headers of cross-origin isolation, without which a browser gives pages one thread.

import { createServer, request as ask } from "node:http";
import sirv from "sirv";

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/** Serves what `answer` answers. */
async function listen(answer) {
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    answer(request, response);
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

/** Serves a folder. */
export function serveFolder(folder) {
  return listen(sirv(folder, { dev: true }));
}

/** Serves what another server on this machine answers. */
export function serveBeside(port) {
  return listen(({ method, url, headers }, response) => {
    const asked = ask({ host: "127.0.0.1", port, method, path: url, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    asked.on("error", () => response.destroy());
    response.on("close", () => asked.destroy()); // of a reload: its stream of changes
    asked.end();
  });
}
