"""Small files of NumPy, pickle and PyTorch, with the values in them.

    python3 tests/golden/files.py       writes tests/golden/files.json

Each case has the file's bytes (base64) and what this package makes of it: {"value": ...} or {"error": part of the message}.
Values: {"tensor": [class of the array, shape, its bytes]}, {"record": [[key, value] ...]}, {"array": [...]}, {"bytes": ...},
{"bigint": "..."}, {"number": "nan"}; others stand for themselves. Names of storages in PyTorch's old files are addresses: they
and those of TorchScript differ from run to run.
"""

import argparse
import base64
import collections
import io
import json
import pathlib
import pickle
import time
import warnings
import zipfile

import numpy as np
import torch

torch.manual_seed(1)
time.localtime = lambda *_: time.struct_time((1980, 1, 1, 0, 0, 0, 0, 1, 0))  # equal files each time

ARRAYS = {
    "float64": "Float64Array",
    "float32": "Float32Array",
    "int64": "BigInt64Array",
    "int32": "Int32Array",
    "int16": "Int16Array",
    "int8": "Int8Array",
    "uint64": "BigUint64Array",
    "uint32": "Uint32Array",
    "uint16": "Uint16Array",
    "uint8": "Uint8Array",
    "bool": "Uint8Array",
}


def text(data):
    return base64.b64encode(data).decode()


def array_value(array):
    array = np.asarray(array)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    array = array.astype(array.dtype.newbyteorder("="))
    return {"tensor": [ARRAYS[array.dtype.name], list(array.shape), text(array.tobytes())]}


def value(x):
    if isinstance(x, torch.Tensor):
        x = x.detach()
        return array_value((x.float() if x.dtype == torch.bfloat16 else x).numpy())
    if isinstance(x, np.ndarray):
        return array_value(x)
    if isinstance(x, np.generic):
        return value(x.item())
    if isinstance(x, dict):
        return {"record": [[key if isinstance(key, str) else repr(key), value(item)] for key, item in x.items()]}
    if isinstance(x, (list, tuple, set, frozenset)):
        return {"array": [value(item) for item in x]}
    if isinstance(x, (bytes, bytearray)):
        return {"bytes": text(bytes(x))}
    if isinstance(x, float) and not np.isfinite(x):
        return {"number": repr(x)}
    if isinstance(x, int) and not isinstance(x, bool) and abs(x) >= 2**53:
        return {"bigint": str(x)}
    return x


cases = {"npy": {}, "npz": {}, "pickle": {}, "torch": {}}


def add(kind, name, data, *, error=None, **result):
    case = {"bytes": text(data), **({"error": error} if error else {"value": value(result["value"])})}
    assert name not in cases[kind], name
    cases[kind][name] = case


# --- NumPy -----------------------------------------------------------------------------------------------------------


def npy(array, version=None, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, **options)
    return file.getvalue()


def npz(arrays, save=np.savez):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def numpy_cases():
    for kind in "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8".split():
        numbers = np.arange(-5, 7).reshape(2, 3, 2) if kind[0] != "u" else np.arange(12).reshape(2, 3, 2)
        array = (numbers * (1.25 if kind[0] == "f" else 1)).astype(kind)
        if kind in ("i8", "u8"):
            array[0, 0] = np.iinfo(kind).min, np.iinfo(kind).max
        add("npy", kind, npy(array), value=array)
        big = array.astype(array.dtype.newbyteorder(">"))
        add("npy", f"{kind}, big-endian, Fortran order", npy(np.asfortranarray(big)), value=array)
    add("npy", "bool", npy(np.array([[True, False, True]])), value=np.array([[True, False, True]]))
    for version in (1, 0), (2, 0), (3, 0):
        array = np.array([1.5, np.nan, -np.inf, -0.0], np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            add("npy", f"version {version[0]}", npy(array, version), value=array)
    add("npy", "a scalar", npy(np.array(2.5)), value=np.array(2.5))
    add("npy", "no rows", npy(np.zeros((0, 3), np.int32)), value=np.zeros((0, 3), np.int32))
    add("npy", "no columns, Fortran order", npy(np.zeros((3, 0), order="F")), value=np.zeros((3, 0)))
    add("npy", "long axis", npy(np.zeros((123456, 0))), value=np.zeros((123456, 0)))
    add("npy", "objects", npy(np.array([None, {}], object)), error='dtype: got "|O"')
    add("npy", "complex", npy(np.array([1j])), error='dtype: got "<c16"')
    add("npy", "text", npy(np.array(["abc"])), error='dtype: got "<U3"')
    add("npy", "byte strings", npy(np.array([b"abc"])), error='dtype: got "|S3"')
    add("npy", "a structure", npy(np.zeros(2, "i4,f4")), error="dtype: got a structured one")
    add("npy", "a date", npy(np.array(["2020-01-01"], "M8[D]")), error='dtype: got "<M8[D]"')
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b.c": np.arange(4, dtype=np.int64), "größe": np.array(1, np.float16)}
    odd = {"__proto__": np.array([1, 2], np.int32), "constructor": np.zeros((0, 2), np.float32), "x/y": np.ones(200)}
    add("npz", "stored", npz(arrays), value=arrays)
    add("npz", "deflated", npz({**arrays, **odd}, np.savez_compressed), value={**arrays, **odd})
    add("npz", "odd names", npz(odd), value=odd)
    add("npz", "empty", npz({}), value={})
    add("npz", "with objects", npz({"a": np.ones(2), "o": np.array([{}])}), error='array "o" dtype')
    streamed = io.BytesIO()
    streamed.seekable = lambda: False  # sizes after the files
    with zipfile.ZipFile(streamed, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(zipfile.ZipInfo("a.npy"), "w", force_zip64=True) as file:
            np.save(file, np.arange(50.0))
    add("npz", "streamed", streamed.getvalue(), value={"a": np.arange(50.0)})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr(zipfile.ZipInfo("a.npy"), npy(np.ones(3)), zipfile.ZIP_BZIP2)
    add("npz", "bzip2", packed.getvalue(), error="compression 12")


# --- pickle ----------------------------------------------------------------------------------------------------------

shared = [1, 2]
plain = {
    "numbers": [0, 1, -1, 255, 256, 65535, 65536, -(2**31), 2**31, 2**53 - 1, 2**53, -(2**64), 2**200],
    "floats": [0.1, -0.0, 1e300, float("inf"), float("-inf"), float("nan")],
    "text": ["", "abc", "größe \U0001F40B \n \\ ' \"", "x" * 300, "\ud800"],
    "bytes": [b"", b"\x00\xff", bytes(range(256)) * 2],
    "words": [None, True, False],
    "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
    "nested": {"a": {"b": [{"c": ()}]}, 3: "three", 2.5: "x", "__proto__": 1, True: "yes", None: "none"},
    "shared": [shared, shared],
    "sets": [set(), {7}, frozenset([8])],
    "ordered": collections.OrderedDict(z=1, a=2),
}


class Strange(list):
    pass


class Mapped(dict):
    pass


def named(name, **more):
    return {"class": name, **more}


def pickle_cases():
    for protocol in range(6):
        add("pickle", f"protocol {protocol}", pickle.dumps(plain, protocol), value=plain)
    add("pickle", "a bytearray", pickle.dumps(bytearray(b"ab"), 5), value=b"ab")
    options = argparse.Namespace(lr=0.1, name="x")
    state = {"lr": 0.1, "name": "x"}
    for protocol in 2, 4:
        want = named("argparse.Namespace", args=[], state=state)
        add("pickle", f"an unknown object, protocol {protocol}", pickle.dumps(options, protocol), value=want)
    add("pickle", "an old object", pickle.dumps(options, 0), value=named("argparse.Namespace", args=[], state=state))
    strange = Strange([1, 2])
    add("pickle", "a list of an unknown class", pickle.dumps(strange, 2), value=named("__main__.Strange", args=[], items=[1, 2]))
    add("pickle", "a dict of an unknown class", pickle.dumps(Mapped(a=1), 2), value=named("__main__.Mapped", args=[], entries={"a": 1}))
    add("pickle", "a function", pickle.dumps(np.load), value=named("numpy.load"))
    evil = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00ls\x85R."
    add("pickle", "a call", evil, value=named("os.system", args=["ls"]))
    self = []
    self.append(self)
    add("pickle", "a list in itself", pickle.dumps(self), error="a value that contains itself")
    mutual = {}
    mutual["a"] = [mutual]
    add("pickle", "a cycle", pickle.dumps(mutual), error="a value that contains itself")
    add("pickle", "a tuple as key", pickle.dumps({(1, 2): 3}), error="a tuple")
    defaults = collections.defaultdict(list, a=[1])
    add("pickle", "a defaultdict", pickle.dumps(defaults, 2), value=dict(defaults))
    add("pickle", "a counter", pickle.dumps(collections.Counter("aab"), 2), value={"a": 2, "b": 1})


# --- PyTorch ---------------------------------------------------------------------------------------------------------


def save(x, **options):
    file = io.BytesIO()
    torch.save(x, file, **options)
    return file.getvalue()


class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(3, 4, bidirectional=True)
        self.head = torch.nn.Linear(8, 2)
        self.register_buffer("mean", torch.arange(3.0))

    def forward(self, x):
        return self.head(self.rnn(x - self.mean)[0]) + torch.tensor([0.5, -0.5])


def script(module):
    """Without the debugging files, which have paths of this machine."""
    file, result = io.BytesIO(), io.BytesIO()
    torch.jit.save(module, file)
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(result, "w") as target:
        for info in source.infolist():
            if not info.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(info.filename), source.read(info))
    return result.getvalue()


def big_endian(data, sizes):
    """The file as a big-endian machine writes it: sizes of numbers by the storage's key."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(file, "w") as target:
        for info in source.infolist():
            content = source.read(info)
            if "/data/" in info.filename:
                dtype = f"u{sizes[info.filename.split('/')[-1]]}"
                content = np.frombuffer(content, dtype).byteswap().tobytes()
            target.writestr(zipfile.ZipInfo(info.filename), content)
        target.writestr(zipfile.ZipInfo("archive/byteorder"), "big")
    return file.getvalue()


def deflate(data):
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(file, "w") as target:
        for info in source.infolist():
            target.writestr(zipfile.ZipInfo(info.filename), source.read(info), zipfile.ZIP_DEFLATED)
    return file.getvalue()


def torch_cases():
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 4
    weight = torch.nn.Parameter(torch.randn(3, 2))
    tensors = collections.OrderedDict(
        f64=torch.tensor([1.5, -0.0, float("nan")], dtype=torch.float64),
        f32=base,
        f16=base.half(),
        bf16=base.bfloat16(),
        i64=torch.tensor([2**62, -(2**63), 7]),
        i32=torch.tensor([[1], [-(2**31)]], dtype=torch.int32),
        i16=torch.tensor([-32768, 5], dtype=torch.int16),
        i8=torch.tensor([-128], dtype=torch.int8),
        u8=torch.tensor([255, 0], dtype=torch.uint8),
        bool=torch.tensor([True, False]),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 4),
        parameter=weight,
        transposed=base.t(),
        column=base[:, 2],
        part=base[1:3, ::2],
        expanded=base[0].expand(3, 6),
        single=base[:1, 1:2].t(),
        diagonal=torch.diagonal(base),
    )
    tied = {"a.weight": weight, "b.weight": weight, "c": base, "d": base}
    for name, options in ("zip", {}), ("old", {"_use_new_zipfile_serialization": False}):
        add("torch", f"all tensors, {name}", save(tensors, **options), value=tensors)
        add("torch", f"tied, {name}", save(tied, **options), value=tied)
        add("torch", f"plain values, {name}", save(plain, **options), value=plain)
        add("torch", f"a tensor alone, {name}", save(base, **options), value=base)
    add("torch", "protocol 4", save({"x": base}, pickle_protocol=4), value={"x": base})
    module = Tagger()
    names = dict(module.state_dict())
    add("torch", "a state_dict", save(module.state_dict()), value=names)
    wrapped = torch.nn.Sequential(collections.OrderedDict(module=module))
    add("torch", "a state_dict of DataParallel", save({"model": wrapped.state_dict(), "epoch": 3}), value={"model": dict(wrapped.state_dict()), "epoch": 3})
    odd = {
        "args": argparse.Namespace(lr=0.5),
        "device": torch.device("cuda:0"),
        "size": base.shape,
        "dtype": torch.float16,
        "best": np.float64(0.75),
        "count": np.int64(5),
        "flag": np.bool_(True),
        "array": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "half": np.arange(3, dtype=np.float16),
        "empty": np.zeros((0, 2)),
    }
    read = {
        **odd,
        "args": named("argparse.Namespace", args=[], state={"lr": 0.5}),
        "device": "cuda:0",
        "size": [4, 6],
        "dtype": named("torch.float16"),
    }
    add("torch", "values of other libraries", save(odd), value=read)
    add("torch", "values of other libraries, old", save(odd, _use_new_zipfile_serialization=False), value=read)
    scripted = torch.jit.script(module)
    add("torch", "TorchScript", script(scripted), value=names)
    traced = torch.jit.trace(module, torch.zeros(2, 1, 3))
    constant = torch.tensor([0.5, -0.5])
    add("torch", "TorchScript, traced", script(traced), value={**names, "CONSTANTS.c0": constant})
    swapped = {"a": base.double(), "b": base.half(), "c": torch.tensor([1, -2]), "d": torch.tensor([True, False])}
    add("torch", "big-endian", big_endian(save(swapped), {"0": 8, "1": 2, "2": 8, "3": 1}), value=swapped)
    add("torch", "deflated", deflate(save(tensors)), value=tensors)
    add("torch", "complex", save({"x": torch.tensor([1j])}), error="torch.ComplexFloatStorage")
    add("torch", "complex, old", save({"x": torch.tensor([1j])}, _use_new_zipfile_serialization=False), error="torch.ComplexFloatStorage")
    quantised = torch.quantize_per_tensor(base, 0.5, 0, torch.qint8)
    add("torch", "quantised", save({"x": quantised}), error="torch.QInt8Storage")
    add("torch", "sparse", save({"x": torch.eye(2).to_sparse()}), error="_rebuild_sparse_tensor")
    add("torch", "a cycle", save(cycle()), error="a value that contains itself")
    add("torch", "an expanded tensor", save(torch.zeros(1).expand(1 << 20, 1 << 15)), error="maxBytes")
    add("torch", "a plain pickle", pickle.dumps({"a": 1}, 2), error="a pickle without PyTorch's magic number")


def cycle():
    value = {"a": 1}
    value["self"] = value
    return value


warnings.simplefilter("ignore")
numpy_cases()
pickle_cases()
torch_cases()
path = pathlib.Path(__file__).with_suffix(".json")
versions = {"generator": "tests/golden/files.py", "torch": torch.__version__, "numpy": np.__version__}
path.write_text(json.dumps({**versions, **cases}, separators=(",", ":"), allow_nan=False) + "\n")
print(f"{path.name}: {sum(map(len, cases.values()))} files, {path.stat().st_size:,} bytes")
