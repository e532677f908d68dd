// Modules that scripts/page.mjs makes while it bundles.

declare module "peak:simd" {
  const bytes: Uint8Array<ArrayBuffer>;
  export default bytes;
}
declare module "peak:relaxed" {
  const bytes: Uint8Array<ArrayBuffer>;
  export default bytes;
}
