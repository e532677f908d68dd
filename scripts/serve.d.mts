/** Serves a folder on 127.0.0.1, cross-origin isolated, until it is closed. */
export function serveFolder(folder: string): Promise<{ url: string; close(): void }>;
