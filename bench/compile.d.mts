export function compile(source: string, variant: "simd" | "relaxed"): Buffer<ArrayBuffer>;
