"""Shared by the scripts that compute reference numbers with PyTorch.

Everything is computed in float64. Inputs are multiples of 1/256, hence exact in float32 as well, and `both` checks that
PyTorch's own float32 results stay within a quarter of 1e-4 relative + 1e-6 of the float64 ones: one expectation serves
both types. Options have the names of the TypeScript API.
"""

import json
import pathlib
import re
import warnings

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def grid(rng, *shape, bound=1.0):
    """Uniform on (-bound, bound), rounded to multiples of 1/256."""
    return np.round(rng.uniform(-bound, bound, shape) * 256) / 256


def leaf(array, dtype):
    return torch.tensor(array, dtype=dtype, requires_grad=True)


def snake(options):
    return {re.sub("[A-Z]", lambda c: "_" + c[0].lower(), name): value for name, value in options.items()}


def build(kind, d, h, options, dtype):
    return getattr(torch.nn, kind)(d, h, **snake(options)).to(dtype)


def load(module, weights):
    """Gives a module its weights. Returns its parameters by name."""
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.tensor(weights[name]))
    return parameters


def forward(layer, x, h0, c0, lengths=None, batch_first=False):
    """The results of a recurrent layer; only an LSTM takes c0."""
    lstm = isinstance(layer, torch.nn.LSTM)
    state = (h0, c0) if lstm else h0
    if lengths is None:
        output, last = layer(x, state)
    else:
        packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=batch_first, enforce_sorted=False)
        output, last = layer(packed, state)
        total = x.shape[1 if batch_first else 0]
        output, _ = pad_packed_sequence(output, batch_first=batch_first, total_length=total)
    return {"output": output, "hn": last[0], "cn": last[1]} if lstm else {"output": output, "hn": last}


def differentiate(results, given, parameters, inputs):
    """Results, and the gradients of the sum of results times what is given for them, by name; none for unused inputs."""
    sum((results[name] * torch.tensor(g, dtype=results[name].dtype)).sum() for name, g in given.items()).backward()
    return {
        "forward": {name: value.detach() for name, value in results.items()},
        "backward": {name: value.grad for name, value in inputs.items() if value.grad is not None},
        "parameters": {name: parameter.grad for name, parameter in parameters.items()},
    }


def both(compute):
    """compute(float64), after a check that compute(float32) agrees."""
    expected = compute(torch.float64)
    check_close(compute(torch.float32), expected, "")
    return expected


def check_close(actual, expected, path):
    if isinstance(expected, dict):
        for name in expected:
            check_close(actual[name], expected[name], f"{path}.{name}")
    elif isinstance(expected, list):
        for index, item in enumerate(expected):
            check_close(actual[index], item, f"{path}[{index}]")
    elif expected is not None:
        error = (actual.double() - expected.double()).abs()
        assert (error <= 0.25 * (1e-4 * expected.double().abs() + 1e-6)).all(), (path, error.max().item())


def plain(value):
    """Arrays as {"shape", "data"}, row-major, with the shortest text that reads back as the same number."""
    if isinstance(value, torch.Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        if value.dtype == np.float32:
            data = [float(str(item)) for item in value.ravel()]
        else:
            data = value.ravel().tolist()
        return {"shape": list(value.shape), "data": data}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def write(script, data, summary):
    """Writes `data`, with the versions, beside `script` under its name."""
    path = pathlib.Path(script).with_suffix(".json")
    versions = {"generator": f"tests/golden/{pathlib.Path(script).name}", "torch": torch.__version__, "numpy": np.__version__}
    path.write_text(json.dumps(plain({**versions, **data}), separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path.name}: {summary}, {path.stat().st_size:,} bytes")


def run(main):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        main()
