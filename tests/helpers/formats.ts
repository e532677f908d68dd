// Files for tests of readers: made byte by byte, without the writers under test, or mutated.

/** A safetensors file from its header and data. */
export function safetensorsFile(header: unknown, data: ArrayLike<number> = []): Uint8Array {
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const bytes = Buffer.alloc(8 + json.length + data.length);
  bytes.writeBigUInt64LE(BigInt(json.length));
  json.copy(bytes, 8);
  bytes.set(data, 8 + json.length);
  return new Uint8Array(bytes);
}

/** A zip archive of stored files, its directory at the end. */
export function zipFile(files: Readonly<Record<string, Uint8Array | string>>): Uint8Array {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let offset = 0;
  for (const [name, content] of Object.entries(files)) {
    const data = Buffer.from(content);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt32LE(data.length, 18);
    local.writeUInt32LE(data.length, 22);
    local.writeUInt16LE(name.length, 26);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt32LE(data.length, 20);
    central.writeUInt32LE(data.length, 24);
    central.writeUInt16LE(name.length, 28);
    central.writeUInt32LE(offset, 42);
    parts.push(local, Buffer.from(name), data);
    directory.push(central, Buffer.from(name));
    offset += 30 + name.length + data.length;
  }
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Object.keys(files).length, 10);
  end.writeUInt32LE(Buffer.concat(directory).length, 12);
  end.writeUInt32LE(offset, 16);
  return new Uint8Array(Buffer.concat([...parts, ...directory, end]));
}

/** Milliseconds of a call, the least of a few; errors are ignored. */
export function millisecondsOf(call: () => unknown, times = 3): number {
  let least = Infinity;
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    try {
      call();
    } catch {
      // other tests check the error
    }
    least = Math.min(least, performance.now() - start);
  }
  return least;
}
