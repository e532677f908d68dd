"""Reference numbers from PyTorch for layers over time: Conv1d, pools, BatchNorm1d, PReLU, activations.

    python3 tests/golden/layers.py        writes tests/golden/layers.json   (Debian: apt install python3-torch)

PyTorch has channels before time, this package after it: inputs and outputs are transposed here. A row of a ragged batch is run
alone, without its padding; past its end there are zeros. As in recurrent.py, everything is computed in float64 and float32 must
agree, inputs are multiples of 1/32, and results are rounded to 10 significant digits.
"""

import warnings

import numpy as np
import torch
import torch.nn.functional as F

from common import both, leaf, load, run, write
from recurrent import grid, rounded

# in, out, kernelSize, options, T, N, lengths, batchFirst
CONVOLUTIONS = [
    (3, 4, 3, {}, 6, 2, None, False),
    (3, 5, 3, {"padding": 2}, 5, 3, None, True),
    (2, 3, 4, {"padding": "same"}, 6, 2, None, False),
    (2, 3, 3, {"padding": "same", "dilation": 2}, 7, 2, [7, 4], True),
    (4, 6, 3, {"padding": "causal", "dilation": 2}, 6, 2, None, False),
    (3, 2, 3, {"stride": 2, "padding": 1}, 9, 3, [9, 1, 6], False),
    (2, 4, 2, {"stride": 3, "padding": "causal"}, 8, 3, [3, 8, 0], True),
    (6, 4, 3, {"groups": 2, "padding": 1}, 5, 2, None, False),
    (4, 4, 3, {"groups": 4, "padding": "causal", "stride": 2}, 7, 2, [7, 5], False),
    (3, 6, 2, {"groups": 3, "dilation": 3, "bias": False}, 8, 2, [8, 5], True),
    (5, 3, 1, {"bias": False}, 4, 2, None, False),
    (2, 3, 5, {"padding": 1}, 4, None, None, False),
    (9, 17, 3, {"padding": "same"}, 11, 3, None, False),
]

# kind, kernelSize, options, C, T, N, lengths, batchFirst
POOLS = [
    ("MaxPool1d", 2, {}, 3, 7, 2, None, False),
    ("MaxPool1d", 3, {"stride": 1, "padding": 1}, 5, 6, 3, [6, 1, 4], True),
    ("MaxPool1d", 4, {"stride": 3, "padding": 2}, 2, 9, None, None, False),
    ("AvgPool1d", 2, {}, 3, 7, 2, None, True),
    ("AvgPool1d", 3, {"stride": 2, "padding": 1}, 5, 8, 3, [8, 0, 3], False),
    ("AvgPool1d", 5, {"stride": 1, "padding": 2}, 2, 6, None, None, False),
]

# numFeatures, options, shape of x, lengths, batches before, inference
NORMS = [
    (3, {}, [7, 4, 3], None, 0, False),
    (5, {"momentum": 0.3, "eps": 0.01}, [6, 5], None, 1, False),
    (4, {"affine": False}, [3, 5, 4], [5, 2, 0], 2, False),
    (3, {"momentum": None}, [6, 4, 3], [1, 4, 3, 0, 4, 2], 2, False),
    (3, {}, [5, 4, 3], None, 2, True),
    (4, {"affine": False}, [3, 4], None, 1, True),
]

# numParameters, shape of x
PRELUS = [(1, [5, 3, 4]), (4, [5, 3, 4]), (7, [7])]

ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "hardSigmoid": lambda x: torch.clamp(0.2 * x + 0.5, 0, 1),
    "elu": F.elu,
    "leakyRelu": F.leaky_relu,
    "softmax": lambda x: F.softmax(x, -1),
    "logSoftmax": lambda x: F.log_softmax(x, -1),
    "linear": lambda x: x,
}


def shape_of(t, n, c, batch_first):
    return [t, c] if n is None else [n, t, c] if batch_first else [t, n, c]


def row_by_row(layer, x, lengths, batch_first):
    """layer([1,C,T]) -> [1,O,T'] for each row alone; the outputs of the longest row, zeros past those of the others."""
    rows = x[None] if x.dim() == 2 else x if batch_first else x.transpose(0, 1)
    ends = lengths or [rows.shape[1]] * rows.shape[0]
    outputs = [layer(row[:end].T[None])[0].T if end else None for row, end in zip(rows, ends)]
    most = layer(rows[:1].transpose(1, 2)).shape[2]
    width = next(output for output in outputs if output is not None).shape[1]
    empty = torch.zeros(0, width, dtype=x.dtype)
    outputs = [empty if output is None else output for output in outputs]
    y = torch.stack([F.pad(output, (0, 0, 0, most - output.shape[0])) for output in outputs])
    counts = [output.shape[0] for output in outputs]
    return (y[0] if x.dim() == 2 else y if batch_first else y.transpose(0, 1)), counts


def result(output, gradient, parameters, x, **more):
    (output * torch.tensor(gradient, dtype=output.dtype)).sum().backward()
    return {
        "forward": {"output": output.detach()},
        "backward": {"x": x.grad},
        "parameters": {name: parameter.grad for name, parameter in parameters.items()},
        **more,
    }


def finish(case, compute, shape, rng):
    """Draws the gradient of an output in `shape`, and computes."""
    case["gradients"] = {"output": grid(rng, *shape)}
    case["expected"] = rounded(both(lambda dtype: compute(dtype, case["gradients"]["output"])))
    return case


def convolution(seed, c, o, taps, options, t, n, lengths, batch_first):
    rng = np.random.RandomState(seed)
    groups, dilation, stride = (options.get(name, 1) for name in ["groups", "dilation", "stride"])
    weights = {"weight": grid(rng, o, c // groups, taps)}
    if options.get("bias", True):
        weights["bias"] = grid(rng, o)
    x = grid(rng, *shape_of(t, n, c, batch_first), bound=2.0)
    padding = options.get("padding", 0)
    spare = (taps - 1) * dilation

    def build(dtype):
        own = "same" if padding == "same" else 0 if padding == "causal" else padding
        layer = torch.nn.Conv1d(c, o, taps, stride, own, dilation, groups, "bias" in weights).to(dtype)
        parameters = load(layer, weights)
        return (lambda rows: layer(F.pad(rows, (spare, 0)))) if padding == "causal" else layer, parameters

    def compute(dtype, gradient):
        layer, parameters = build(dtype)
        given = leaf(x, dtype)
        output, counts = row_by_row(layer, given, lengths, batch_first)
        return result(output, gradient, parameters, given, counts=torch.tensor(counts))

    shape = row_by_row(build(torch.float64)[0], torch.tensor(x), lengths, batch_first)[0].shape
    case = {"name": f"Conv1d({c}, {o}, {taps}), {options}, T{t} N{n}" + (", lengths" if lengths else ""), "kind": "Conv1d"}
    case |= {"arguments": [c, o, taps], "options": {**options, "batchFirst": batch_first}, "weights": weights, "x": x}
    if lengths:
        case["lengths"] = lengths
    return finish(case, compute, shape, rng)


def pool(seed, kind, taps, options, c, t, n, lengths, batch_first):
    rng = np.random.RandomState(seed)
    x = grid(rng, *shape_of(t, n, c, batch_first), bound=2.0)
    layer = getattr(torch.nn, kind)(taps, **options)

    def compute(dtype, gradient):
        given = leaf(x, dtype)
        output, counts = row_by_row(layer, given, lengths, batch_first)
        return result(output, gradient, {}, given, counts=torch.tensor(counts))

    shape = row_by_row(layer, torch.tensor(x), lengths, batch_first)[0].shape
    case = {"name": f"{kind}({taps}), {options}, T{t} N{n}" + (", lengths" if lengths else ""), "kind": kind}
    case |= {"arguments": [taps], "options": {**options, "batchFirst": batch_first}, "weights": {}, "x": x}
    if lengths:
        case["lengths"] = lengths
    return finish(case, compute, shape, rng)


def norm(seed, c, options, shape, lengths, batches, inference):
    rng = np.random.RandomState(seed)
    weights = {} if options.get("affine") is False else {"weight": grid(rng, c), "bias": grid(rng, c)}
    before = [grid(rng, *shape, bound=2.0) for _ in range(batches)]
    x = grid(rng, *shape, bound=2.0)
    valid = np.ones(shape[:-1], dtype=bool)
    if lengths:
        valid = np.arange(shape[1])[None] < np.array(lengths)[:, None]

    def compute(dtype, gradient):
        layer = torch.nn.BatchNorm1d(c, **options).to(dtype)
        parameters = load(layer, weights)
        for batch in before:
            layer(torch.tensor(batch, dtype=dtype).reshape(-1, c))
        if inference:
            layer.eval()
        given = leaf(x, dtype)
        output = torch.zeros(shape, dtype=dtype)
        output[torch.tensor(valid)] = layer(given[torch.tensor(valid)])
        buffers = {name: buffer.clone() for name, buffer in layer.named_buffers()}
        buffers["num_batches_tracked"] = buffers["num_batches_tracked"].to(dtype)
        return result(output, gradient, parameters, given, buffers=buffers)

    words = [f"BatchNorm1d({c}), {options}, {shape}", *["lengths"] * bool(lengths), *["inference"] * inference]
    case = {"name": ", ".join(words), "kind": "BatchNorm1d", "arguments": [c], "options": {**options, "batchFirst": True}}
    case |= {"weights": weights, "x": x, "before": before, "inference": inference}
    if lengths:
        case["lengths"] = lengths
    return finish(case, compute, shape, rng)


def prelu(seed, count, shape):
    rng = np.random.RandomState(seed)
    weights = {"weight": grid(rng, count)}
    x = grid(rng, *shape, bound=2.0)

    def compute(dtype, gradient):
        layer = torch.nn.PReLU(count).to(dtype)
        parameters = load(layer, weights)
        given = leaf(x, dtype)
        rows = given.reshape(-1, shape[-1])  # PyTorch's channels are axis 1
        return result(layer(rows).reshape(shape), gradient, parameters, given)

    case = {"name": f"PReLU({count}), {shape}", "kind": "PReLU", "arguments": [count], "options": {}}
    return finish({**case, "weights": weights, "x": x}, compute, shape, rng)


def activation(seed, name, function):
    rng = np.random.RandomState(seed)
    shape = [5, 3, 4]
    x = grid(rng, *shape, bound=4.0)

    def compute(dtype, gradient):
        given = leaf(x, dtype)
        return result(function(given), gradient, {}, given)

    case = {"name": name, "kind": "Activation", "arguments": [name], "weights": {}, "x": x}
    return finish(case, compute, shape, rng)


def main():
    warnings.filterwarnings("ignore", "Using padding='same'")  # it is slow, no more
    cases = [convolution(700 + k, *row) for k, row in enumerate(CONVOLUTIONS)]
    cases += [pool(720 + k, *row) for k, row in enumerate(POOLS)]
    cases += [norm(740 + k, *row) for k, row in enumerate(NORMS)]
    cases += [prelu(760 + k, *row) for k, row in enumerate(PRELUS)]
    cases += [activation(780 + k, *row) for k, row in enumerate(ACTIVATIONS.items())]
    write(__file__, {"layers": cases}, f"{len(cases)} layers")


if __name__ == "__main__":
    run(main)
