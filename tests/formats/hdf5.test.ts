// HDF5 files of h5py in the old and the latest layouts, and models of Keras in such files, beside NumPy's numbers (tests/golden/hdf5.py).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readHdf5, type Hdf5Group } from "../../src/formats/hdf5.js";
import { Random } from "../../src/index.js";
import { fromKeras, readKerasWeights, Sequential } from "../../src/keras.js";
import "../helpers/close.js";
import { root } from "../helpers/project.js";

interface Numbers {
  readonly array: string;
  readonly shape: readonly number[];
  /** f64 in base64. */
  readonly data: string;
}

interface Expected {
  readonly datasets: Readonly<Record<string, Numbers | { readonly error: string }>>;
  readonly attributes: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>>;
}

interface Plain {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

interface Golden {
  readonly files: Readonly<Record<string, { readonly file: string; readonly expected: string }>>;
  readonly models: Readonly<Record<string, { readonly file: string; readonly input: Plain; readonly output: Plain }>>;
}

const { files, models } = JSON.parse(readFileSync(join(root, "tests/golden/hdf5.json"), "utf8")) as Golden;
const unpack = (text: string): Uint8Array => new Uint8Array(gunzipSync(Buffer.from(text, "base64")));
const bytesOf = (name: string) => unpack(files[name]!.file);

/** All objects by path; the root is "". */
function* objectsOf(group: Hdf5Group, path = ""): Generator<[string, Hdf5Group]> {
  yield [path, group];
  for (const [name, inner] of group.groups) yield* objectsOf(inner, path === "" ? name : `${path}/${name}`);
}

describe("files of h5py", () => {
  test.each(Object.keys(files))("%s", (name) => {
    const file = readHdf5("bytes", bytesOf(name));
    const { datasets, attributes } = JSON.parse(new TextDecoder().decode(unpack(files[name]!.expected))) as Expected;
    const found = new Map<string, unknown>();
    for (const [path, group] of objectsOf(file)) {
      if (group.attributes.size > 0) found.set(path, Object.fromEntries(group.attributes));
    }
    expect([...found.keys()].sort()).toEqual(Object.keys(attributes).sort());
    for (const [path, own] of found) expect(own).toEqual(attributes[path]);

    const all = [...objectsOf(file)].flatMap(([path, group]) =>
      [...group.datasets].map(([own, dataset]) => [path === "" ? own : `${path}/${own}`, dataset] as const),
    );
    expect(all.map(([path]) => path).sort()).toEqual(Object.keys(datasets).sort());
    for (const [path, dataset] of all) {
      const want = datasets[path]!;
      if ("error" in want) {
        expect(() => dataset.read(), path).toThrow(want.error);
        continue;
      }
      const { data, shape } = dataset.read();
      const bytes = new Uint8Array(Buffer.from(want.data, "base64"));
      expect([shape, data.constructor.name], path).toEqual([want.shape, want.array]);
      expect(Float64Array.from(data as Float64Array), path).toEqual(new Float64Array(bytes.buffer));
    }
  });
});

describe("models in files of h5py", () => {
  test.each(Object.keys(models))("%s", (name) => {
    const { file, input, output } = models[name]!;
    for (const dtype of ["f32", "f64"] as const) {
      using model = fromKeras(unpack(file), { dtype });
      // the hard_sigmoid of Keras 3 is none of this package's layers
      expect(model instanceof Sequential).toBe(name === "keras2.h5");
      const data = dtype === "f64" ? Float64Array.from(input.data) : Float32Array.from(input.data);
      const got = model.forward({ data, shape: input.shape }).output;
      const want = { data: Float64Array.from(output.data), shape: output.shape };
      expect({ data: Float64Array.from(got.data), shape: got.shape }).toBeAllClose(want, { atol: dtype === "f64" ? 1e-12 : 1e-6, rtol: 0 }); // prettier-ignore
    }
  });
});

test("names that mean something in JavaScript are names", () => {
  const weights = readKerasWeights(bytesOf("names"));
  expect(Object.getPrototypeOf(weights)).toBeNull();
  expect(Object.keys(weights).sort()).toEqual(["0", "1", "__proto__", "constructor", "toString"]);
  for (const layer of Object.keys(weights)) {
    const own = weights[layer]!;
    expect(Object.getPrototypeOf(own)).toBeNull();
    expect(Object.keys(own)).toEqual([`${layer}/__proto__`, `${layer}/valueOf`]);
    expect(own[`${layer}/__proto__`]).toEqual({ data: Float32Array.of(1, 2), shape: [2] });
  }
  expect(({} as Record<string, unknown>)["constructor/valueOf"]).toBeUndefined();
});

describe("files of h5py that are none any more", () => {
  const ERRORS = ["FormatError", "UnsupportedError", "DtypeError", "ShapeError", "ValueError", "OutOfMemoryError"];
  function readAll(bytes: Uint8Array): void {
    try {
      for (const [, group] of objectsOf(readHdf5("bytes", bytes))) {
        for (const dataset of group.datasets.values()) dataset.read();
      }
    } catch (error) {
      expect(ERRORS).toContain((error as Error).constructor.name);
    }
  }
  const names = ["layouts", "layouts, latest", "attributes, latest", "40 links, latest", "40 links in their order"];
  test.each(names)("%s", (name) => {
    const bytes = bytesOf(name);
    for (let i = 0; i < 40; i++) readAll(bytes.slice(0, Math.floor((i * bytes.length) / 40)));
    const random = new Random(11);
    for (let i = 0; i < 100; i++) {
      const copy = bytes.slice();
      for (let k = 0; k <= i % 3; k++) copy[random.uint32() % copy.length]! ^= 1 << (random.uint32() % 8);
      readAll(copy);
    }
    // zeros and ones in place of counts and addresses of every structure
    const text = Buffer.from(bytes).toString("latin1");
    for (const { index } of text.matchAll(/BTHD|BTLF|BTIN|FRHP|FHIB|FAHD|FADB/g)) {
      for (let k = index + 4; k < Math.min(index + 144, bytes.length); k += 5) {
        const copy = bytes.slice();
        copy[k] = k % 2 ? 255 : 0;
        readAll(copy);
      }
      if (text.indexOf(text.slice(index, index + 4)) < index) break; // the first of each will do
    }
  });
});
