/** A page's place in the site. */
export interface PageOptions {
  /** Its folder: "" or "why/". */
  folder?: string | undefined;
  /** Where the site will be, for pictures in links to it. */
  address?: string | undefined;
  /** Whether the page is part of the whole site, which works offline. */
  site?: boolean | undefined;
  /** The way to what all pages share (default: that of its folder). */
  up?: string | undefined;
  /** Changes the page's text first. */
  prepare?: ((html: string) => string) | undefined;
}
export const PAGES: Readonly<Record<string, string>>;
export function writePage(source: string, target: string, options?: PageOptions): void;
export function writeShared(target: string): void;
