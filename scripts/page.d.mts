import type { PageOptions } from "./html.mjs";

export function buildPage(folder: string, page?: PageOptions): Promise<void>;
