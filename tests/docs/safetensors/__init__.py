"""Stands in for the package safetensors (which Debian does not have) where examples of the documentation are tested: the
format of https://huggingface.co/docs/safetensors, for float32 and int32."""

import json
import struct

import numpy as np

DTYPES = {"F64": np.float64, "F32": np.float32, "I32": np.int32}


def write(tensors, path):
    header, data = {}, b""
    for name, array in tensors.items():
        array = np.ascontiguousarray(array)
        (dtype,) = (key for key, kind in DTYPES.items() if array.dtype == kind)
        begin, data = len(data), data + array.tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, len(data)]}
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def read(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), file.read()
    header.pop("__metadata__", None)
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }
