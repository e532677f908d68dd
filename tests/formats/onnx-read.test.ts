// The reader of ONNX files: all of ONNX's operator tests and real models, what fields mean, and bytes that are wrong. Files
// are put together byte by byte, with the numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
import { describe, expect, test } from "vitest";
import type { ElementType } from "../../src/base/element.js";
import type { OnnxNode } from "../../src/formats/onnx/model.js";
import { readOnnx, readTensorProto } from "../../src/formats/onnx/read.js";
import { DtypeError, FormatError, UnsupportedError } from "../../src/index.js";
import { millisecondsOf } from "../helpers/formats.js";
import { arrayOf, modelCases, noModels, noOperators, operatorCases } from "../helpers/onnx.js";
import { bytesOf, field, fixedField, join, packed, varint } from "../helpers/protobuf.js";
import { refuses } from "../helpers/refuses.js";

const f32 = (...numbers: number[]) => bytesOf(Float32Array.from(numbers));
const opset = (version: number, domain = "") => field(8, join(field(1, domain), field(2, version)));

/** A model with a graph of these fields. */
const model = (...graph: Uint8Array[]) => join(field(1, 8), opset(17), field(7, join(...graph)));
const value = (name: string, type?: Uint8Array) => join(field(1, name), type ? field(2, type) : join());
const tensorType = (code: number, ...axes: Uint8Array[]) =>
  field(1, join(field(1, code), field(2, join(...axes.map((axis) => field(1, axis))))));
const node = (...fields: Uint8Array[]) => field(1, join(...fields));
const attribute = (name: string, ...fields: Uint8Array[]) => field(5, join(field(1, name), ...fields));

/** The only node's attributes. */
const attributesOf = (...attributes: Uint8Array[]) =>
  readOnnx(model(node(field(4, "Op"), ...attributes))).graph.nodes[0]!.attributes;

describe("files of others", () => {
  test("all operator tests and their tensors are read", (context) => {
    const cases = operatorCases();
    context.skip(cases.length === 0, noOperators);
    const nodes = cases.flatMap(({ model: bytes }) => readOnnx(bytes).graph.nodes);
    expect(nodes.every(({ opType, domain }) => opType !== "" && domain === "")).toBe(true);
    const tensors = cases.flatMap(({ inputs, outputs }) => [...inputs, ...outputs]);
    console.log(`operator tests: ${cases.length} models with ${nodes.length} nodes, ${tensors.length} tensors`);
    for (const { inputs, outputs, model: bytes } of cases) {
      const { graph } = readOnnx(bytes);
      expect(graph.inputs.map(({ dtype }) => dtype)).toEqual(inputs.map(({ dtype }) => dtype));
      expect(graph.outputs.map(({ dtype }) => dtype)).toEqual(outputs.map(({ dtype }) => dtype));
    }
  });

  test("all real models are read, with the inputs and outputs of their cases", (context) => {
    const cases = modelCases();
    context.skip(cases.length === 0, noModels);
    const files = new Map(cases.map((each) => [each.folder, each]));
    for (const { model: bytes, inputs, outputs } of files.values()) {
      const { graph, opsets, producerName } = readOnnx(bytes);
      const open = graph.inputs.filter(({ name }) => !graph.initializers.has(name));
      expect(new Map(open.map(({ name, dtype }) => [name, dtype]))).toEqual(
        new Map([...inputs].map(([name, { dtype }]) => [name, dtype])),
      );
      const names = graph.outputs.map(({ name }) => name);
      for (const name of outputs.keys()) expect(names).toContain(name);
      expect(opsets.get("")).toBeGreaterThanOrEqual(9);
      expect(producerName).not.toBe("");
    }
    const count = (nodes: readonly OnnxNode[]): number =>
      nodes.reduce((sum, { attributes }) => {
        const graphs = [...attributes.values()].flatMap((each) => (each.type === "graph" ? [each.value] : []));
        return sum + 1 + graphs.reduce((inner, graph) => inner + count(graph.nodes), 0);
      }, 0);
    const nodes = [...files.values()].map((each) => count(readOnnx(each.model).graph.nodes));
    console.log(`real models: ${files.size} with ${nodes.reduce((a, b) => a + b)} nodes, ${cases.length} cases`);
    // the README of the models counts them
    const silero = files.get("silero-vad");
    if (silero) expect(count(readOnnx(silero.model).graph.nodes)).toBe(689);
  });
});

describe("a model", () => {
  test("says all of its fields", () => {
    const bytes = join(
      ...[field(1, 8), field(2, "me"), field(3, "1.2"), field(4, "org.x"), field(5, -3), field(6, "text")],
      field(14, join(field(1, "__proto__"), field(2, "v"))),
      opset(13, "ai.onnx"),
      opset(2, "other"),
      field(
        7,
        join(
          field(2, "g"),
          field(11, value("x", tensorType(1, field(2, "N"), field(1, 4), join(), field(1, -1)))),
          field(11, value("y")),
          field(11, value("z", field(1, field(1, 7)))),
          field(12, value("out")),
          field(5, join(field(1, 2), field(2, 1), field(8, "w"), field(9, f32(1, 2)))),
          node(field(1, "x"), field(1, ""), field(2, "out"), field(3, "n"), field(4, "Add"), field(7, "ai.onnx")),
        ),
      ),
    );
    expect(readOnnx(bytes)).toEqual({
      irVersion: 8,
      producerName: "me",
      producerVersion: "1.2",
      domain: "org.x",
      modelVersion: -3,
      docString: "text",
      opsets: new Map([
        ["", 13],
        ["other", 2],
      ]),
      functions: [],
      metadata: new Map([["__proto__", "v"]]),
      graph: {
        name: "g",
        nodes: [{ name: "n", opType: "Add", domain: "", inputs: ["x", ""], outputs: ["out"], attributes: new Map() }],
        initializers: new Map([["w", { name: "w", dtype: "f32", shape: [2], data: Float32Array.of(1, 2) }]]),
        inputs: [
          { name: "x", dtype: "f32", shape: ["N", 4, "", ""] },
          { name: "y", dtype: undefined, shape: undefined },
          { name: "z", dtype: "i64", shape: undefined },
        ],
        outputs: [{ name: "out", dtype: undefined, shape: undefined }],
      },
    });
  });

  test("skips fields that it does not know, of every type", () => {
    const unknown = [
      field(99, 5),
      field(99, "x"),
      fixedField(99, Float32Array.of(1)),
      fixedField(99, Float64Array.of(1)),
    ];
    const bytes = join(...unknown, model(...unknown, node(...unknown, field(4, "Relu"), ...unknown)), ...unknown);
    expect(readOnnx(bytes)).toEqual(readOnnx(model(node(field(4, "Relu")))));
  });

  test("keeps the highest version of a domain", () => {
    expect(readOnnx(join(opset(9), model(), opset(11, "ai.onnx"))).opsets).toEqual(new Map([["", 17]]));
    refuses(
      () => readOnnx(join(opset(23), model())),
      UnsupportedError,
      "model.opset_import: got opset 23 of ai.onnx",
      "22",
    );
    refuses(() => readOnnx(join(field(8, field(1, "a")), model())), FormatError, "model.opset_import: got no version");
    expect(readOnnx(join(opset(99, "com.x"), model())).opsets.get("com.x")).toBe(99);
  });

  test("has functions, with attributes, defaults and references", () => {
    const inner = node(
      field(1, "a"),
      field(2, "b"),
      field(4, "Elu"),
      attribute("alpha", field(21, "slope"), field(20, 1)),
      attribute("beta", field(21, "other")),
    );
    const defaults = field(11, join(field(1, "slope"), fixedField(2, Float32Array.of(0.5)), field(20, 1)));
    const func = join(
      ...[field(1, "F"), field(10, "my"), field(4, "a"), field(5, "b"), field(6, "other"), defaults],
      field(7, inner.subarray(2)),
      field(9, field(2, 15)),
    );
    const [read] = readOnnx(join(model(), field(25, func))).functions;
    expect(read).toEqual({
      name: "F",
      domain: "my",
      inputs: ["a"],
      outputs: ["b"],
      attributes: new Map([
        ["other", undefined],
        ["slope", { type: "float", value: 0.5 }],
      ]),
      opsets: new Map([["", 15]]),
      nodes: [
        {
          ...{ name: "", opType: "Elu", domain: "", inputs: ["a"], outputs: ["b"] },
          attributes: new Map([
            ["alpha", { type: "reference", value: "slope", of: "float" }],
            ["beta", { type: "reference", value: "other", of: undefined }],
          ]),
        },
      ],
    });
    refuses(() => readOnnx(join(model(), field(25, join()))), FormatError, "model.functions[0]: got no name");
    const overload = join(model(), field(25, join(field(1, "F"), field(13, "v2"))));
    refuses(() => readOnnx(overload), UnsupportedError, 'model.functions[0] "F".overload: got "v2"');
    refuses(() => readOnnx(model(inner)), FormatError, '"Elu".attribute[0] "alpha": got a reference');
  });

  test("without what it needs is refused, and so are other files", () => {
    refuses(() => readOnnx(join()), FormatError, "model: got no ir_version");
    refuses(() => readOnnx(field(1, 8)), FormatError, "model: got no graph");
    refuses(() => readOnnx(join(field(1, 0), field(7, join()))), FormatError, "model.ir_version: got 0");
    const hdf5 = Uint8Array.from(Buffer.from("\x89HDF\r\n\x1a\n", "latin1"));
    refuses(() => readOnnx(hdf5), FormatError, "model: got a length of 8 bytes");
    refuses(() => readOnnx("model" as never), DtypeError, "bytes");
    refuses(() => readOnnx(new ArrayBuffer(3) as never), DtypeError, "new Uint8Array(buffer)");
  });

  test("training info, sparse tensors, and types that are no tensors are refused by name", () => {
    refuses(
      () => readOnnx(join(model(), field(20, join()))),
      UnsupportedError,
      "model.training_info: got training info",
    );
    refuses(() => readOnnx(model(field(15, join()))), UnsupportedError, "model.graph.sparse_initializer");
    for (const [number, name] of [
      [4, "sequence"],
      [5, "map"],
      [7, "opaque"],
      [8, "sparse_tensor"],
      [9, "optional"],
    ] as const) {
      // prettier-ignore
      const bytes = model(field(11, value("x", field(number, join()))));
      refuses(() => readOnnx(bytes), UnsupportedError, `model.graph.input[0] "x".type.${name}_type: got ${name}`);
    }
    const text = model(field(12, value("x", tensorType(8))));
    refuses(() => readOnnx(text), UnsupportedError, 'model.graph.output[0] "x".type: got STRING');
  });
});

describe("attributes", () => {
  const tensor = join(field(2, 7), field(7, 5)); // i64 []

  test("of every type", () => {
    const graph = join(field(2, "sub"), field(12, value("o")));
    const read = attributesOf(
      attribute("f", fixedField(2, Float32Array.of(0.1)), field(20, 1)),
      attribute("i", field(3, -1), field(20, 2)),
      attribute("max", field(3, 2n ** 63n - 1n), field(20, 2)),
      attribute("min", field(3, -(2n ** 63n)), field(20, 2)),
      attribute("s", field(4, "\u00e9"), field(20, 3)),
      attribute("t", field(5, tensor), field(20, 4)),
      attribute("g", field(6, graph), field(20, 5)),
      attribute("floats", fixedField(7, Float32Array.of(1)), field(7, f32(2, 3)), field(20, 6)),
      attribute("ints", field(8, 1), packed(8, [-2, 300]), field(20, 7)),
      attribute("strings", field(9, "a"), field(9, ""), field(20, 8)),
      attribute("tensors", field(10, tensor), field(20, 9)),
      attribute("graphs", field(11, graph), field(20, 10)),
    );
    const five = { name: "", dtype: "i64", shape: [], data: BigInt64Array.of(5n) };
    const outputs = [{ name: "o", dtype: undefined, shape: undefined }];
    const sub = { name: "sub", nodes: [], initializers: new Map(), inputs: [], outputs };
    expect(read).toEqual(
      new Map<string, unknown>([
        ["f", { type: "float", value: Math.fround(0.1) }],
        ["i", { type: "int", value: -1 }],
        ["max", { type: "int", value: 2 ** 63 }],
        ["min", { type: "int", value: -(2 ** 63) }],
        ["s", { type: "string", value: "\u00e9" }],
        ["t", { type: "tensor", value: five }],
        ["g", { type: "graph", value: sub }],
        ["floats", { type: "floats", value: [1, 2, 3] }],
        ["ints", { type: "ints", value: [1, -2, 300] }],
        ["strings", { type: "strings", value: ["a", ""] }],
        ["tensors", { type: "tensors", value: [five] }],
        ["graphs", { type: "graphs", value: [sub] }],
      ]),
    );
  });

  test("a type without a value is zero or empty; a value without a type says it itself", () => {
    expect(
      attributesOf(attribute("i", field(20, 2)), attribute("s", field(20, 3)), attribute("ints", field(20, 7))),
    ).toEqual(
      new Map<string, unknown>([
        ["i", { type: "int", value: 0 }],
        ["s", { type: "string", value: "" }],
        ["ints", { type: "ints", value: [] }],
      ]),
    );
    expect(attributesOf(attribute("i", field(3, 0))).get("i")).toEqual({ type: "int", value: 0 });
    refuses(() => attributesOf(attribute("i", field(3, 0), field(4, "x"))), FormatError, '"i": got values');
    refuses(() => attributesOf(attribute("i")), FormatError, '"i": got no value');
    refuses(() => attributesOf(attribute("t", field(20, 4))), FormatError, '"t": got no value, expected a tensor');
  });

  test("what is wrong is named by node and attribute", () => {
    const where = 'model.graph.node[0] "Op".attribute[0] "a"';
    refuses(
      () => attributesOf(attribute("a", field(20, 14))),
      UnsupportedError,
      `${where}: got an attribute of type 14`,
    );
    refuses(() => attributesOf(attribute("a", field(14, join()))), UnsupportedError, `${where}.tp: got a type`);
    refuses(() => attributesOf(attribute("a", field(22, join()))), UnsupportedError, `${where}.sparse_tensor`);
    refuses(() => attributesOf(attribute("a", field(3, "x"))), FormatError, `${where}.i: got bytes, expected a varint`);
    refuses(() => attributesOf(attribute("a", field(4, 1))), FormatError, `${where}.s: got a varint, expected bytes`);
    refuses(() => attributesOf(attribute("a", field(7, "abcde"))), FormatError, `${where}.floats: got 5 bytes`);
    refuses(() => attributesOf(attribute("a", field(4, Uint8Array.of(0xff)))), FormatError, `${where}.s`, "UTF-8");
    refuses(() => attributesOf(attribute("")), FormatError, "attribute[0]: got no name");
    const twice = attribute("a", field(3, 1));
    refuses(() => attributesOf(twice, twice), FormatError, 'attribute[1] "a": got a second');
    refuses(() => readOnnx(model(node(field(3, "n")))), FormatError, 'model.graph.node[0] "n": got no op_type');
    refuses(() => readOnnx(model(node(field(4, "F"), field(8, "x")))), UnsupportedError, '"F".overload: got "x"');
    refuses(() => readOnnx(model(field(11, join()))), FormatError, "model.graph.input[0]: got no name");
  });
});

describe("tensors", () => {
  /** Types by their numbers, the field of numbers that are not raw, and some numbers. */
  const types: readonly (readonly [ElementType, number, number, readonly (number | bigint)[]])[] = [
    ["f32", 1, 4, [0.5, -1e30]],
    ["u8", 2, 5, [0, 255]],
    ["i8", 3, 5, [-128, 127]],
    ["u16", 4, 5, [0, 65535]],
    ["i16", 5, 5, [-32768, 32767]],
    ["i32", 6, 5, [-(2 ** 31), 2 ** 31 - 1]],
    ["i64", 7, 7, [-(2n ** 63n), 2n ** 63n - 1n]],
    ["bool", 9, 5, [0, 1]],
    ["f16", 10, 5, [0, 0xffff]],
    ["f64", 11, 10, [0.1, -1e300]],
    ["u32", 12, 11, [0, 2 ** 32 - 1]],
    ["u64", 13, 11, [0n, 2n ** 64n - 1n]],
    ["bf16", 16, 5, [0, 0xffff]],
  ];

  test.each(types)("of %s: raw, one by one, packed", (dtype, code, source, numbers) => {
    const data = arrayOf(dtype, numbers);
    const head = join(packed(1, [1, 2]), field(2, code), field(8, "t"));
    const expected = { name: "t", dtype, shape: [1, 2], data };
    expect(readTensorProto(join(field(9, bytesOf(data)), head))).toEqual(expected);
    const floats = dtype === "f32" || dtype === "f64";
    const single = (at: number) =>
      floats ? fixedField(source, data.slice(at, at + 1) as Float32Array) : field(source, numbers[at]!);
    const whole = floats ? field(source, bytesOf(data)) : packed(source, numbers);
    expect(readTensorProto(join(head, whole))).toEqual(expected);
    expect(readTensorProto(join(single(0), head, single(1)))).toEqual(expected);
    // one more, one less, another type's field
    refuses(() => readTensorProto(join(head, whole, single(0))), FormatError, "more than 2 numbers");
    refuses(() => readTensorProto(join(head, single(0))), FormatError, "got 1 numbers in");
    refuses(() => readTensorProto(head), FormatError, 'tensor "t": got');
    refuses(() => readTensorProto(join(head, field(9, bytesOf(data.slice(1))))), FormatError, "bytes, expected");
    refuses(() => readTensorProto(join(head, field(9, bytesOf(data)), whole)), FormatError, "raw_data and numbers");
  });

  test("numbers out of range are refused", () => {
    const one = (code: number, source: number, number: number | bigint) =>
      readTensorProto(join(field(2, code), field(source, number)));
    for (const [dtype, code, source, [least, most]] of types) {
      if (dtype === "f32" || dtype === "f64" || dtype === "i64" || dtype === "u64") continue;
      refuses(
        () => one(code, source, BigInt(least!) - 1n),
        FormatError,
        `tensor.${source === 5 ? "int32" : "uint64"}_data`,
      );
      refuses(() => one(code, source, BigInt(most!) + 1n), FormatError);
    }
    refuses(() => readTensorProto(join(field(2, 9), field(9, Uint8Array.of(2)))), FormatError, "BOOL: 0 or 1");
  });

  test("scalars, empty tensors, and shapes that lie", () => {
    expect(readTensorProto(join(field(2, 1), field(9, f32(7))))).toMatchObject({ shape: [], data: Float32Array.of(7) });
    expect(readTensorProto(join(field(1, 0), field(1, 2 ** 50), field(2, 1)))).toMatchObject({ shape: [0, 2 ** 50] });
    const shaped = (...dims: (number | bigint)[]) =>
      readTensorProto(join(packed(1, dims), field(2, 1), field(4, f32(1))));
    refuses(() => shaped(2 ** 40), FormatError, "tensor: got shape [1099511627776]");
    refuses(() => shaped(2 ** 40, 2 ** 40), FormatError, "tensor: got shape [1099511627776, 1099511627776]");
    refuses(() => shaped(-1), FormatError, "tensor.dims: got -1");
    refuses(() => shaped(2n ** 62n), FormatError, "tensor.dims: got 46116860184273");
    refuses(() => shaped(...Array<number>(65).fill(1)), FormatError, "tensor.dims: got more axes");
    refuses(() => readTensorProto(join(packed(1, [2 ** 40]), field(2, 1), field(9, f32(1)))), FormatError, "4 bytes");
    refuses(() => readTensorProto(join(field(1, 1), field(9, f32(1)))), FormatError, "tensor: got no data_type");
  });

  test("data elsewhere, and types that are not read, are refused", () => {
    const external = join(field(2, 1), field(8, "w"), field(13, join(field(1, "location"), field(2, "w.bin"))));
    refuses(() => readTensorProto(external), UnsupportedError, 'tensor "w".external_data: got data in another file');
    refuses(() => readTensorProto(join(field(2, 1), field(14, 1))), UnsupportedError, "tensor.data_location");
    refuses(() => readTensorProto(join(field(2, 1), field(3, join()))), UnsupportedError, "tensor.segment");
    expect(readTensorProto(join(field(2, 1), field(14, 0), field(9, f32(1)))).data).toEqual(Float32Array.of(1));
    for (const [code, name] of [
      [8, "STRING"],
      [14, "COMPLEX64"],
      [15, "COMPLEX128"],
      [17, "type 17"],
    ] as const) {
      // prettier-ignore
      refuses(() => readTensorProto(field(2, code)), UnsupportedError, `tensor: got ${name}`);
    }
  });

  test("an initializer of such a type is an error only where it is used", () => {
    const text = field(5, join(field(1, 1), field(2, 8), field(6, "x"), field(8, "s")));
    expect(readOnnx(model(text)).graph.initializers).toEqual(new Map());
    const taken = node(field(1, "s"), field(4, "Identity"));
    for (const use of [taken, field(12, value("s")), node(field(4, "If"), attribute("then_branch", field(6, taken)))]) {
      refuses(() => readOnnx(model(text, use)), UnsupportedError, 'model.graph.initializer[0] "s": got STRING');
    }
    const one = (name: string) => field(5, join(field(2, 1), field(8, name), field(9, f32(1))));
    refuses(() => readOnnx(model(one("w"), one("w"))), FormatError, 'model.graph.initializer: got a second "w"');
    refuses(() => readOnnx(model(one(""))), FormatError, "model.graph.initializer[0]: got no name");
  });

  test("are the reader's own, whatever happens to the file", () => {
    const bytes = join(packed(1, [2]), field(2, 1), field(9, f32(1, 2)));
    const { data } = readTensorProto(bytes);
    bytes.fill(0);
    expect(data).toEqual(Float32Array.of(1, 2));
  });
});

describe("broken bytes", () => {
  test("lengths that lie, tags and numbers that break off", () => {
    const lie = (size: number | bigint) => join(field(1, 8), varint(7 * 8 + 2), varint(size), Uint8Array.of(1));
    refuses(() => readOnnx(lie(5)), FormatError, "model.graph: got a length of 5 bytes, expected at most the 1");
    for (const size of [2 ** 32, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n])
      refuses(() => readOnnx(lie(size)), FormatError, "model.graph");
    // a length beyond the message that holds it, though not beyond the file
    refuses(
      () => readOnnx(join(field(1, 8), field(7, join(varint(2 * 8 + 2), varint(3))), field(2, "abc"))),
      FormatError,
      "model.graph.name: got a length of 3 bytes, expected at most the 0",
    );
    refuses(() => readOnnx(Uint8Array.of(0x08, 0x80)), FormatError, "model.ir_version: got its end within a number");
    refuses(() => readOnnx(Uint8Array.of(0x08, ...Array<number>(9).fill(0xff), 2)), FormatError, "more than 64 bits");
    refuses(() => readOnnx(Uint8Array.of(0x08, ...Array<number>(11).fill(0x80), 0)), FormatError, "more than 64 bits");
    refuses(() => readOnnx(Uint8Array.of(0x00, 1)), FormatError, "model: got a broken tag");
    refuses(() => readOnnx(join(varint(2n ** 40n), varint(1))), FormatError, "a broken tag");
    for (const wire of [3, 4]) refuses(() => readOnnx(varint(99 * 8 + wire)), FormatError, "a group");
    for (const wire of [6, 7]) refuses(() => readOnnx(varint(99 * 8 + wire)), FormatError, `type ${wire}`);
    refuses(() => readOnnx(join(varint(99 * 8 + 5), Uint8Array.of(1, 2))), FormatError, "a length of 4 bytes");
    refuses(() => readOnnx(join(varint(99 * 8 + 1), Uint8Array.of(1, 2))), FormatError, "a length of 8 bytes");
  });

  test("every beginning of a file is refused or read, with a typed error", () => {
    const whole = model(
      field(5, join(packed(1, [2]), field(2, 1), field(8, "w"), field(4, f32(1, 2)))),
      node(field(4, "Op"), attribute("g", field(6, node(field(4, "In"), attribute("ints", packed(8, [1, 2])))))),
    );
    let refused = 0;
    for (let size = 0; size < whole.length; size++) {
      try {
        readOnnx(whole.subarray(0, size));
      } catch (error) {
        expect(error).toBeInstanceOf(FormatError);
        refused++;
      }
    }
    expect(refused).toBe(whole.length);
  });

  test("graphs nested in graphs have a limit", () => {
    const nested = (depth: number): Uint8Array =>
      depth === 0 ? join() : node(field(4, "If"), attribute("g", field(6, nested(depth - 1))));
    expect(readOnnx(model(nested(30))).graph.nodes).toHaveLength(1);
    refuses(() => readOnnx(model(nested(40))), FormatError, "deeper nesting", "at most 100 levels");
    refuses(() => readOnnx(model(nested(3000))), FormatError, "deeper nesting");
  });

  test("take time in proportion to their size", () => {
    // many messages, many fields, many numbers; an error at the end of each
    const many = (part: Uint8Array, count: number) =>
      Uint8Array.from({ length: count * part.length }, (_, i) => part[i % part.length]!);
    const files = (count: number) => [
      model(many(node(field(4, "A"), attribute("a", field(3, 1))), count), node()),
      model(node(many(field(1, ""), count * 8))),
      model(field(5, join(many(field(7, 1), count * 8), field(2, 7), field(1, count * 8 + 1)))),
      model(many(field(15_000, 1), count * 8), node()),
    ];
    for (const [small, large] of files(1000).map((file, i) => [file, files(64_000)[i]!] as const)) {
      const ratio = millisecondsOf(() => readOnnx(large)) / millisecondsOf(() => readOnnx(small), 20);
      expect(ratio).toBeLessThan(1000); // 64 where all is even, 4096 for the square; a busy machine disturbs both
    }
  });
});
