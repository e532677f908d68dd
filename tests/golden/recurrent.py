"""Reference numbers from PyTorch for the recurrent layers' variants, and for the cells.

    python3 tests/golden/recurrent.py        writes tests/golden/recurrent.json   (Debian: apt install python3-torch)

Stacks of every kind in one direction and both, with projections, on packed sequences; a GRU that resets before its
recurrent product, from its equations and autograd, since PyTorch has none; cells in a loop of three steps. As in
pytorch.py, everything is computed in float64 and PyTorch's float32 must agree. Inputs are multiples of 1/32, results are
rounded to 10 significant digits: short text, and more than a test asks for.
"""

import numpy as np
import torch

from common import both, build, check_close, differentiate, forward, leaf, load, run, write

# ---------------------------------------------------------------------------------------------------------------------
# What is computed. PyTorch's kind, the options that make it, and how the case is called.

KINDS = [
    ("RNN tanh", "RNN", {"nonlinearity": "tanh"}),
    ("RNN relu", "RNN", {"nonlinearity": "relu"}),
    ("LSTM", "LSTM", {}),
    ("LSTM projected", "LSTM", {"projSize": None}),  # drawn: 1 to H - 1
    ("GRU", "GRU", {}),
]

# numLayers, bidirectional, bias, batchFirst, unbatched, h0 and c0 given, gradients given
STACKS = [
    (1, False, True, False, False, False, "output hn cn"),
    (1, True, True, False, False, True, "output hn cn"),
    (2, True, True, True, False, False, "output"),
    (2, False, False, True, False, True, "hn cn"),
    (3, False, True, False, True, True, "output hn"),
    (3, True, False, False, False, True, "output hn cn"),
    (2, True, True, False, True, False, "output cn"),
    (1, True, False, True, False, True, "output hn cn"),
]

# On packed sequences: numLayers, bidirectional, bias, batchFirst, h0 and c0 given; always all gradients
PACKED = [
    (1, False, True, False, True),
    (1, True, True, True, True),
    (2, True, False, False, True),
    (3, False, True, True, False),
]

# GRU that resets before the product: numLayers, bidirectional, bias, batchFirst, unbatched, lengths
RESET_BEFORE = [
    (1, False, True, False, False, False),
    (1, True, True, False, False, True),
    (2, True, True, True, False, False),
    (2, False, False, False, True, False),
    (3, False, True, False, False, True),
    (2, True, False, True, False, True),
]


def grid(rng, *shape, bound=1.0):
    """Uniform on (-bound, bound), rounded to multiples of 1/32."""
    return np.round(rng.uniform(-bound, bound, shape) * 32) / 32


def rounded(value):
    """Tensors as arrays of 10 significant digits."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    digits = [float(f"{item:.9e}") for item in value.ravel().tolist()]
    return np.array(digits).reshape(tuple(value.shape))


# ---------------------------------------------------------------------------------------------------------------------
# Stacks


def stack_case(name, kind, extra, row, seed, lengths=False, reset_before=False):
    layers, bidirectional, bias, batch_first, unbatched, states, given = row
    rng = np.random.RandomState(seed)
    d, h = rng.randint(1, 5), rng.randint(2, 5 if layers == 1 else 4)
    t, n = rng.randint(3, 6), None if unbatched else rng.randint(2, 5)
    options = {"numLayers": layers, "bidirectional": bidirectional, "bias": bias, "batchFirst": batch_first, **extra}
    p = h
    if "projSize" in options:
        p = options["projSize"] = int(rng.randint(1, h))
    directions = 2 if bidirectional else 1
    module = build(kind, d, h, options, torch.float64)
    shapes = [(key, value.shape) for key, value in module.named_parameters()]
    weights = {key: grid(rng, *shape, bound=1.5 * h**-0.5) for key, shape in shapes}
    batch = [] if n is None else [n]
    sequence = [*batch, t] if batch_first and batch else [t, *batch]
    sizes = {
        "output": [*sequence, directions * p],
        "hn": [layers * directions, *batch, p],
        "cn": [layers * directions, *batch, h],
    }
    lstm = kind == "LSTM"
    case = {
        "name": f"{name}, L{layers} D{d} H{h} T{t} N{n}".replace("NNone", "unbatched"),
        "kind": kind,
        "inputSize": int(d),
        "hiddenSize": int(h),
        "options": {**options, "resetAfter": False} if reset_before else options,
        "weights": weights,
        "x": grid(rng, *sequence, d),
    }
    if states:
        case["h0"] = grid(rng, *sizes["hn"])
        if lstm:
            case["c0"] = grid(rng, *sizes["cn"])
    if lengths:
        case["lengths"] = drawn_lengths(rng, t, n)
    case["gradients"] = {key: grid(rng, *sizes[key]) for key in given.split() if lstm or key != "cn"}

    def compute(dtype, by_hand=reset_before, reset_after=not reset_before):
        zeros = {"h0": np.zeros(sizes["hn"]), "c0": np.zeros(sizes["cn"])}
        inputs = {key: leaf(case.get(key, zeros.get(key)), dtype) for key in ["x", "h0", "c0"]}
        if by_hand:
            parameters = {key: leaf(value, dtype) for key, value in weights.items()}
            results = gru(parameters, inputs["x"], inputs["h0"], options, case.get("lengths"), reset_after)
        else:
            layer = build(kind, d, h, options, dtype)
            parameters = load(layer, weights)
            results = forward(layer, **inputs, lengths=case.get("lengths"), batch_first=batch_first)
        return differentiate(results, case["gradients"], parameters, inputs)

    if reset_before:  # the equations below, with the reset where PyTorch has it, are PyTorch's
        check_close(compute(torch.float64, True, True), compute(torch.float64, False), name)
    case["expected"] = rounded(both(compute))
    return case


def drawn_lengths(rng, t, n):
    """1 to T in any order, T and 1 among them, and not sorted."""
    lengths = [int(length) for length in rng.randint(1, t + 1, n)]
    lengths[0], lengths[-1] = 1, t
    return lengths


# ---------------------------------------------------------------------------------------------------------------------
# The GRU's equations, row by row


def gru_step(x, h, w_ih, w_hh, b_ih, b_hh, reset_after):
    """h' = (1 - z) n + z h for x [D], h [H]; gates r z n."""
    size = h.shape[-1]
    ih, hh = w_ih @ x + b_ih, w_hh @ h + b_hh
    r = torch.sigmoid(ih[:size] + hh[:size])
    z = torch.sigmoid(ih[size : 2 * size] + hh[size : 2 * size])
    if reset_after:
        new = torch.tanh(ih[2 * size :] + r * hh[2 * size :])
    else:
        new = torch.tanh(ih[2 * size :] + b_hh[2 * size :] + w_hh[2 * size :] @ (r * h))
    return (1 - z) * new + z * h


def gru(parameters, x, h0, options, lengths, reset_after):
    """A stack: x [T,N,D] ([N,T,D], [T,D]), h0 [layers * directions,N,H] ([layers * directions,H])."""
    directions = 2 if options["bidirectional"] else 1
    unbatched = x.dim() == 2
    rows = x.unsqueeze(1) if unbatched else x.transpose(0, 1) if options["batchFirst"] else x
    first = h0.unsqueeze(1) if unbatched else h0
    t, n = rows.shape[:2]
    lengths = lengths or [t] * n
    last = {}
    for layer in range(options["numLayers"]):
        halves = []
        for direction in range(directions):
            suffix = f"l{layer}" + ("_reverse" if direction else "")
            index = layer * directions + direction
            w_ih, w_hh = parameters[f"weight_ih_{suffix}"], parameters[f"weight_hh_{suffix}"]
            zeros = torch.zeros(w_ih.shape[0], dtype=x.dtype)
            b_ih, b_hh = parameters.get(f"bias_ih_{suffix}", zeros), parameters.get(f"bias_hh_{suffix}", zeros)
            columns = []
            for row, length in enumerate(lengths):
                h = first[index, row]
                steps = [torch.zeros_like(h)] * t
                for i in reversed(range(length)) if direction else range(length):
                    h = steps[i] = gru_step(rows[i, row], h, w_ih, w_hh, b_ih, b_hh, reset_after)
                last[index, row] = h
                columns.append(torch.stack(steps))
            halves.append(torch.stack(columns, 1))
        rows = torch.cat(halves, -1)
    hn = torch.stack([torch.stack([last[index, row] for row in range(n)]) for index in range(len(h0))])
    if unbatched:
        return {"output": rows.squeeze(1), "hn": hn.squeeze(1)}
    return {"output": rows.transpose(0, 1) if options["batchFirst"] else rows, "hn": hn}


# ---------------------------------------------------------------------------------------------------------------------
# Cells

# name, kind, options, unbatched, h (and c) given
CELLS = [
    ("RNNCell", {"nonlinearity": "tanh", "bias": True}, False, True),
    ("RNNCell", {"nonlinearity": "relu", "bias": True}, False, False),
    ("LSTMCell", {"bias": True}, False, True),
    ("LSTMCell", {"bias": False}, True, False),
    ("GRUCell", {"bias": True}, False, True),
    ("GRUCell", {"bias": False}, True, True),
    ("GRUCell", {"bias": True, "resetAfter": False}, False, True),
]


def cell_case(kind, options, unbatched, states, seed):
    """Three steps; gradients of every h, and of the last c."""
    rng = np.random.RandomState(seed)
    d, h, n, t = rng.randint(2, 5), rng.randint(2, 5), rng.randint(2, 4), 3
    batch = [] if unbatched else [n]
    lstm = kind == "LSTMCell"
    by_hand = "resetAfter" in options
    module_options = {key: value for key, value in options.items() if key != "resetAfter"}
    shapes = [(key, v.shape) for key, v in build(kind, d, h, module_options, torch.float64).named_parameters()]
    weights = {key: grid(rng, *shape, bound=1.5 * h**-0.5) for key, shape in shapes}
    case = {
        "kind": kind,
        "inputSize": int(d),
        "hiddenSize": int(h),
        "options": options,
        "weights": weights,
        "x": grid(rng, t, *batch, d),
        "gradients": {"h": grid(rng, t, *batch, h)},
    }
    if states:
        case["h0"] = grid(rng, *batch, h)
    if lstm:
        case["gradients"]["c"] = grid(rng, *batch, h)
        if states:
            case["c0"] = grid(rng, *batch, h)

    def compute(dtype):
        x = leaf(case["x"], dtype)
        h0 = leaf(case.get("h0", np.zeros([*batch, h])), dtype)
        c0 = leaf(case.get("c0", np.zeros([*batch, h])), dtype)
        if by_hand:
            parameters = {key: leaf(value, dtype) for key, value in weights.items()}
            arguments = [parameters[key] for key in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]]
            step = lambda x, h: torch.stack([gru_step(*row, *arguments, False) for row in zip(x, h)])
        else:
            step = build(kind, d, h, module_options, dtype)
            parameters = load(step, weights)
        state, cell, steps = h0, c0, []
        for i in range(t):
            if lstm:
                state, cell = step(x[i], (state, cell))
            else:
                state = step(x[i], state)
            steps.append(state)
        results = {"h": torch.stack(steps), **({"c": cell} if lstm else {})}
        return differentiate(results, case["gradients"], parameters, {"x": x, "h": h0, "c": c0})

    case["expected"] = rounded(both(compute))
    return case


# ---------------------------------------------------------------------------------------------------------------------


def layer_cases():
    cases = []
    for k, (name, kind, extra) in enumerate(KINDS):
        for r, row in enumerate(STACKS):
            cases.append(stack_case(name, kind, extra, row, seed=100 * (k + 1) + r))
        for r, (layers, bidirectional, bias, batch_first, states) in enumerate(PACKED):
            row = (layers, bidirectional, bias, batch_first, False, states, "output hn cn")
            cases.append(stack_case(f"{name}, packed", kind, extra, row, seed=100 * (k + 1) + 50 + r, lengths=True))
    for r, (layers, bidirectional, bias, batch_first, unbatched, lengths) in enumerate(RESET_BEFORE):
        row = (layers, bidirectional, bias, batch_first, unbatched, True, "output hn")
        name = "GRU, reset before" + (", packed" if lengths else "")
        cases.append(stack_case(name, "GRU", {}, row, seed=700 + r, lengths=lengths, reset_before=True))
    return cases


def main():
    data = {"layers": layer_cases(), "cells": [cell_case(*row, seed=800 + r) for r, row in enumerate(CELLS)]}
    write(__file__, data, f"{len(data['layers'])} layers, {len(data['cells'])} cells")


if __name__ == "__main__":
    run(main)
