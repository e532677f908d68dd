"""Small HDF5 files of h5py in the layouts that Keras and others write, and models of Keras with numbers computed by NumPy.

    python3 tests/golden/hdf5.py       writes tests/golden/hdf5.json

Needs Debian's python3-h5py. A file is written by h5py and the HDF5 library, not by Keras: names and places of weights are those that
Keras 2 and Keras 3 give them. Files are compressed (gzip) and in base64; the times in them differ from run to run.

files: by name, the file and what is expected of it, JSON that is compressed, too: its datasets by path, {"array", "shape", "data" (f64 in
base64)} or {"error": part of the message}, and its attributes by path of the object, lists of strings or of numbers.
models: by name, the file (.h5 or .keras), an input, and the output of NumPy in f64: the equations are below.
"""

import base64
import gzip
import io
import json
import pathlib
import zipfile

import h5py
import numpy as np

rng = np.random.default_rng(7)
NUMBERS = {"f2": "Float32Array", "f4": "Float32Array", "f8": "Float64Array", "i1": "Int32Array", "i2": "Int32Array"}
NUMBERS |= {"i4": "Int32Array", "i8": "Float64Array", "u1": "Int32Array", "u2": "Int32Array"}
NUMBERS |= {"u4": "Float64Array", "u8": "Float64Array"}


def packed(data):
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def grid(*shape):
    """Multiples of 1/64 in [-1, 1]: exact in f16."""
    return np.round(rng.uniform(-1, 1, shape) * 64) / 64


def listed(value):
    """What readers give for an attribute."""
    if isinstance(value, h5py.Empty):
        return []
    return [v.decode() if isinstance(v, bytes) else v for v in np.asarray(value).ravel().tolist()]


class File:
    """A file in memory, and what is expected of it."""

    def __init__(self, **options):
        self.buffer = io.BytesIO()
        self.file = h5py.File(self.buffer, "w", **options)
        self.errors = {}

    def done(self):
        datasets, attributes = {}, {}

        def visit(name, each):
            if each.attrs:
                attributes[name] = {key: listed(value) for key, value in each.attrs.items()}
            if not isinstance(each, h5py.Dataset):
                return
            if name in self.errors:
                datasets[name] = {"error": self.errors[name]}
                return
            data = np.asarray(each[()])
            kind = data.dtype.str[1:]
            datasets[name] = {
                "array": NUMBERS[kind],
                "shape": list(data.shape),
                "data": base64.b64encode(data.astype("<f8").tobytes()).decode(),
            }

        visit("", self.file)
        self.file.visititems(visit)
        self.file.close()
        expected = json.dumps({"datasets": datasets, "attributes": attributes})
        return {"file": packed(self.buffer.getvalue()), "expected": packed(expected.encode())}


def types(**options):
    own = File(**options)
    for order in "<>":
        for kind in NUMBERS:
            data = grid(2, 3) if kind[0] == "f" else rng.integers(-100, 100, (2, 3)) * (1 if kind == "i1" else 5)
            if kind[0] == "u":
                data = abs(data) % 256 if kind == "u1" else abs(data)
            own.file[f"{order}{kind}"] = data.astype(order + kind)
    own.file["scalar"] = np.float32(0.5)
    own.file["none"] = np.zeros((0, 3), "f4")
    own.file["text"] = "no numbers"
    own.errors["text"] = "a dataset of no numbers"
    own.file["extremes"] = np.array([np.inf, -np.inf, 65504, 2**-24, -0.0], "<f2")
    return own.done()


def layouts(**options):
    own = File(**options)
    x = grid(7, 5).astype("f4")
    make = own.file.create_dataset
    make("contiguous", data=x)
    make("chunked", data=x, chunks=(3, 2))
    make("one chunk", data=x, chunks=(7, 5))
    make("one deflated chunk", data=x, chunks=(7, 5), compression="gzip")
    make("deflate", data=x, chunks=(3, 2), compression="gzip", compression_opts=9)
    make("shuffle", data=x, chunks=(4, 4), compression="gzip", shuffle=True)
    make("shuffle alone", data=x, chunks=(4, 4), shuffle=True)
    make("fletcher32", data=x, chunks=(4, 4), fletcher32=True)
    make("all filters", data=x.astype(">f8"), chunks=(2, 5), compression="gzip", shuffle=True, fletcher32=True)
    make("three axes", data=grid(5, 4, 3).astype("f2"), chunks=(2, 2, 2), compression="gzip", shuffle=True)
    make("many chunks", data=grid(600).astype("f4"), chunks=(5,))
    make("nothing written", shape=(2, 3), dtype="f4")
    make("filled", shape=(2, 3), dtype="f4", fillvalue=1.5)
    make("filled chunks", shape=(4, 4), dtype="<i2", fillvalue=-3, chunks=(2, 2))[0:2, 2:4] = 7
    compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    compact.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((4,))
    h5py.h5d.create(own.file.id, b"compact", h5py.h5t.IEEE_F64BE, space, compact).write(
        h5py.h5s.ALL, h5py.h5s.ALL, grid(4)
    )
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_chunk((2,))
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    space = h5py.h5s.create_simple((5,))
    h5py.h5d.create(own.file.id, b"early", h5py.h5t.IEEE_F32LE, space, early).write(h5py.h5s.ALL, h5py.h5s.ALL, grid(5))
    make("lzf", data=x, chunks=(4, 4), compression="lzf")
    own.errors["lzf"] = "filter 32000"
    make("grows", data=x, chunks=(4, 4), maxshape=(None, 5))
    make("many pages", data=np.arange(1100, dtype="f4"), chunks=(1,))
    if options.get("libver") == "latest":
        own.errors["grows"] = "chunks of a dataset that may grow"
        own.errors["many pages"] = "an array of 1100 chunks"
    return own.done()


def attributes(**options):
    """As Keras 2 writes them, and as users do."""
    own = File(**options)
    attrs = own.file.attrs
    attrs["fixed"] = np.bytes_("abc")
    attrs["padded"] = np.array([b"a", b"long name", b""])
    attrs["variable"] = "gr\u00fc\u00df dich \u2603"
    attrs["list"] = ["x", "", "y/kernel:0"]
    attrs["numbers"] = np.array([1, -2, 3], ">i4")
    attrs["float"] = 0.25
    attrs["empty"] = h5py.Empty("f4")
    attrs["long"] = "0123456789" * 500
    for i in range(3):
        attrs[f"layer_names{i}"] = np.array([f"layer_{i}_{k}".encode() for k in range(40)])
    for i in range(20):
        group = own.file.create_group(f"g{i}")
        for k in range(i):
            group.attrs[f"a{k}"] = k if k % 2 else f"text {k}"
    return own.done()


def split(**options):
    """Names of more than 64 kB, split as Keras does: HDF5_OBJECT_HEADER_LIMIT is 64512."""
    own = File(**options)
    names = np.array([f"layer_{i:04}_with_a_long_name_{'x' * 60}".encode() for i in range(900)])
    count = next(n for n in range(1, 10) if all(part.nbytes <= 64512 for part in np.array_split(names, n)))
    for i, part in enumerate(np.array_split(names, count)):
        own.file.attrs[f"layer_names{i}"] = part
    return own.done()


def large():
    own = File(libver="latest")
    own.file.attrs["model_config"] = "{" + "0123456789" * 8000 + "}"  # fixed strings of this size need the latest form
    own.file.attrs["bytes"] = np.bytes_("abcdefghij" * 8000)
    for i in range(12):
        own.file.attrs[f"more{i}"] = np.bytes_("x" * 1000 * i + "y")
    many = own.file.create_group("many")  # a heap with blocks of blocks
    for i in range(170):
        many.attrs[f"a{i}"] = np.bytes_(f"{i}" * (3900 // len(str(i))))
    return own.done()


def groups(count, **options):
    own = File(**options)
    order = {"track_order": True} if options.pop("track_order", False) else {}
    parent = own.file.create_group("parent", **order)
    for i in rng.permutation(count):
        parent[f"name of group {i}"] = np.float32(i)
    own.file["nested/one/two/three"] = np.arange(3, dtype="f4")
    own.file["soft"] = h5py.SoftLink("/nested/one")
    own.file["external"] = h5py.ExternalLink("other.h5", "/x")
    return own.done()


def names():
    """Names that mean something in JavaScript."""
    own = File()
    for layer in ["__proto__", "constructor", "toString", "1", "0"]:
        group = own.file.create_group(layer)
        group.attrs["weight_names"] = [f"{layer}/__proto__".encode(), f"{layer}/valueOf".encode()]
        group[f"{layer}/__proto__"] = np.float32([1, 2])
        group[f"{layer}/valueOf"] = np.float32([3])
    own.file.attrs["layer_names"] = [name.encode() for name in own.file]
    own.file.attrs["__proto__"] = "own"
    return own.done()


# --- models -------------------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, kernel, recurrent, bias):
    """Gates i f c o; all states."""
    h = c = np.zeros((x.shape[0], recurrent.shape[0]))
    states = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=-1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states, 1)


def gru(x, kernel, recurrent, bias):
    """Gates z r h, reset_after; the last state."""
    h = np.zeros((x.shape[0], recurrent.shape[0]))
    for t in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, t] @ kernel + bias[0], 3, axis=-1)
        hz, hr, hh = np.split(h @ recurrent + bias[1], 3, axis=-1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * np.tanh(xh + r * hh)
    return h


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def model_file(data, x, y):
    as_json = lambda a: {"shape": list(a.shape), "data": a.ravel().tolist()}  # noqa: E731
    return {"file": packed(data), "input": as_json(x), "output": as_json(y)}


def keras2():
    """Bidirectional(LSTM(4)), Dense(3, softmax) of a Sequential, as Keras 2 saves it to .h5."""
    d, h, u = 3, 4, 3
    halves = [[grid(d, 4 * h), grid(h, 4 * h), grid(4 * h)] for _ in range(2)]
    kernel, bias = grid(2 * h, u), grid(u)
    inner = {"name": "lstm", "trainable": True, "units": h, "activation": "tanh", "recurrent_activation": "sigmoid"}
    inner |= {"use_bias": True, "return_sequences": False, "go_backwards": False, "stateful": False, "dropout": 0.0}
    layers = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, None, d], "name": "in", "dtype": "float32"}},
        {
            "class_name": "Bidirectional",
            "config": {"name": "both", "layer": {"class_name": "LSTM", "config": inner}, "merge_mode": "concat"},
        },
        {"class_name": "Dense", "config": {"name": "dense", "units": u, "activation": "softmax", "use_bias": True}},
    ]
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["backend"] = "tensorflow"
        config = {"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}}
        file.attrs["model_config"] = json.dumps(config).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"both", b"dense"]
        group.attrs["backend"] = b"tensorflow"
        own = {
            "both": [
                (f"both/{part}_lstm/lstm_cell/{name}:0", value)
                for part, values in zip(["forward", "backward"], halves)
                for name, value in zip(["kernel", "recurrent_kernel", "bias"], values)
            ],
            "dense": [("dense/kernel:0", kernel), ("dense/bias:0", bias)],
        }
        for layer, weights in own.items():
            part = group.create_group(layer)
            part.attrs["weight_names"] = [name.encode() for name, _ in weights]
            for name, value in weights:
                part.create_dataset(name, data=value.astype("f4"))
    x = grid(2, 5, d)
    last = [lstm(x[:, ::step], *values)[:, -1] for step, values in zip([1, -1], halves)]
    return model_file(buffer.getvalue(), x, softmax(np.concatenate(last, -1) @ kernel + bias))


def keras3():
    """A functional model of twelve layers, as Keras 3 saves it to .keras: more groups than an object header holds."""
    d, h = 3, 4
    x = grid(2, 5, d)
    tensor = lambda name: {  # noqa: E731
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 5, d], "dtype": "float32", "keras_history": [name, 0, 0]},
    }
    layers = [
        {
            "module": "keras.layers",
            "class_name": "InputLayer",
            "config": {"batch_shape": [None, None, d], "dtype": "float32", "sparse": False, "name": "in"},
            "name": "in",
            "inbound_nodes": [],
        }
    ]
    groups = {}

    def add(kind, name, config, group, values):
        previous = layers[-1]["name"]
        layers.append(
            {
                "module": "keras.layers",
                "class_name": kind,
                "config": {"name": name, "trainable": True, **config},
                "registered_name": None,
                "name": name,
                "inbound_nodes": [{"args": [tensor(previous)], "kwargs": {}}],
            }
        )
        groups.update({f"{path}/vars/{i}": value for path, own in values.items() for i, value in enumerate(own)})
        if not values:
            groups[f"{group}/vars"] = None

    y = x
    for i in range(9):
        kernel, bias = grid(d, d), grid(d)
        group = "layers/dense" + (f"_{i}" if i else "")
        add("Dense", f"step_{i}", {"units": d, "activation": "tanh"}, group, {group: [kernel, bias]})
        y = np.tanh(y @ kernel + bias)
    weights = [grid(d, 3 * h), grid(h, 3 * h), grid(2, 3 * h)]
    config = {"units": h, "reset_after": True, "recurrent_activation": "sigmoid"}
    add("GRU", "gru", config, "layers/gru", {"layers/gru/cell": weights})
    y = gru(y, *weights)
    add("Dropout", "dropout", {"rate": 0.5, "noise_shape": None}, "layers/dropout", {})
    kernel, bias = grid(h, 2), grid(2)
    add("Dense", "out", {"units": 2, "activation": "hard_sigmoid"}, "layers/dense_9", {"layers/dense_9": [kernel, bias]})
    y = np.clip((y @ kernel + bias) / 6 + 0.5, 0, 1)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        # Keras 3 keeps the order in which groups are made
        parent = file.create_group("layers", track_order=True)
        for path, value in groups.items():
            names = path.split("/")[1:]
            group = parent
            for name in names if value is None else names[:-1]:
                group = group[name] if name in group else group.create_group(name, track_order=True)
            if value is not None:
                group.create_dataset(names[-1], data=value.astype("f4"))
        file.create_group("vars")
    config = {"name": "functional", "trainable": True, "layers": layers}
    config |= {"input_layers": [["in", 0, 0]], "output_layers": [["out", 0, 0]]}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        texts = {
            "metadata.json": json.dumps({"keras_version": "3.5.0"}),
            "config.json": json.dumps({"module": "keras.src.models.functional", "class_name": "Functional", "config": config}),
            "model.weights.h5": buffer.getvalue(),
        }
        for name, content in texts.items():
            zipped.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return model_file(archive.getvalue(), x, y)


def main():
    latest = {"libver": "latest"}
    files = {
        "types": types(),
        "types, latest": types(**latest),
        "layouts": layouts(),
        "layouts, latest": layouts(**latest),
        "attributes": attributes(),
        "attributes, latest": attributes(**latest),
        "attributes in their order": attributes(track_order=True),
        "split names": split(),
        "split names, latest": split(**latest),
        "large attributes": large(),
        "names": names(),
    }
    for count in [3, 40, 300]:
        files[f"{count} links"] = groups(count)
        files[f"{count} links, latest"] = groups(count, **latest)
        files[f"{count} links in their order"] = groups(count, track_order=True)
    path = pathlib.Path(__file__).parent / "hdf5.json"
    versions = {"h5py": h5py.__version__, "hdf5": h5py.version.hdf5_version, "numpy": np.__version__}
    content = {"versions": versions, "files": files, "models": {"keras2.h5": keras2(), "keras3.keras": keras3()}}
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
