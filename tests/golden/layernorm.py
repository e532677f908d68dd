"""Reference numbers from PyTorch for layer-normalised LSTM and GRU (Ba, Kiros & Hinton 2016).

    python3 tests/golden/layernorm.py        writes tests/golden/layernorm.json   (Debian: apt install python3-torch)

PyTorch has no such layers: the equations are spelled out, row by row and step by step, with its layer_norm and
autograd; without the normalisation they must give what its own layers do. As in recurrent.py, everything is computed in
float64 and float32 must agree, inputs are multiples of 1/32, and results are rounded to 10 significant digits. The
seeds are ones for which float32 does agree: where a few numbers are nearly the same, normalisation multiplies their
errors.
"""

import numpy as np
import torch
import torch.nn.functional as F

from common import both, build, check_close, differentiate, forward, leaf, load, run, write
from recurrent import drawn_lengths, grid, rounded

EPS = 1e-5

# kind, numLayers, bidirectional, bias, batchFirst, projSize, lengths, h0 and c0 given, gradients given
LAYERS = [
    ("LSTM", 1, False, True, False, 0, False, True, "output hn cn"),
    ("LSTM", 2, True, True, False, 0, False, False, "output"),
    ("LSTM", 2, False, False, True, 0, False, True, "hn cn"),
    ("LSTM", 1, True, True, False, 3, False, True, "output hn cn"),
    ("LSTM", 1, True, True, True, 0, True, True, "output hn cn"),
    ("GRU", 1, False, True, False, 0, False, True, "output hn"),
    ("GRU", 2, True, False, False, 0, False, False, "output hn"),
    ("GRU", 2, False, True, True, 0, True, True, "output hn"),
    ("GRU", 1, True, True, False, 0, True, False, "output"),
]


def normalise(x, gain):
    """gain LN(x); x as it is where there is no gain."""
    return x if gain is None else F.layer_norm(x, x.shape, gain, None, EPS)


def lstm_step(x, h, c, of):
    """One row: x [D], h [P], c [H]. Gates i f g o; the products over all 4H, c on its way to h over H."""
    products = normalise(of["weight_ih"] @ x, of.get("weight_norm_ih"))
    recurrent = normalise(of["weight_hh"] @ h, of.get("weight_norm_hh"))
    i, f, g, o = (products + of["bias_ih"] + recurrent + of["bias_hh"]).chunk(4)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    seen = normalise(c, of.get("weight_norm_c")) + of.get("bias_norm_c", 0)
    h = torch.sigmoid(o) * torch.tanh(seen)
    return (of["weight_hr"] @ h if "weight_hr" in of else h), c


def gru_step(x, h, c, of):
    """One row: x [D], h [H]. Gates r z n; the products over r and z together and over n alone, r after the product."""
    size = h.shape[-1]

    def product(weight, gain, bias, v):
        rz, n = (weight @ v).split([2 * size, size])
        if gain is not None:
            rz, n = normalise(rz, gain[: 2 * size]), normalise(n, gain[2 * size :])
        return torch.cat([rz, n]) + bias

    r, z, n = product(of["weight_ih"], of.get("weight_norm_ih"), of["bias_ih"], x).chunk(3)
    hr, hz, q = product(of["weight_hh"], of.get("weight_norm_hh"), of["bias_hh"], h).chunk(3)
    r, z = torch.sigmoid(r + hr), torch.sigmoid(z + hz)
    return (1 - z) * torch.tanh(n + r * q) + z * h, c


def stack(kind, parameters, x, h0, c0, options, lengths):
    """x [T,N,D] ([N,T,D]), h0 and c0 [layers * directions,N,*]."""
    step = lstm_step if kind == "LSTM" else gru_step
    directions = 2 if options["bidirectional"] else 1
    rows = x.transpose(0, 1) if options["batchFirst"] else x
    t, n = rows.shape[:2]
    last = {}
    for layer in range(options["numLayers"]):
        halves = []
        for direction in range(directions):
            suffix = f"_l{layer}" + ("_reverse" if direction else "")
            of = {key[: -len(suffix)]: value for key, value in parameters.items() if key.endswith(suffix)}
            for name in ["bias_ih", "bias_hh"]:
                of.setdefault(name, torch.zeros(of["weight_ih"].shape[0], dtype=x.dtype))
            index = layer * directions + direction
            columns = []
            for row in range(n):
                length = lengths[row] if lengths else t
                h, c = h0[index, row], c0[index, row]
                steps = [torch.zeros_like(h)] * t
                for i in reversed(range(length)) if direction else range(length):
                    h, c = step(rows[i, row], h, c, of)
                    steps[i] = h
                last[index, row] = h, c
                columns.append(torch.stack(steps))
            halves.append(torch.stack(columns, 1))
        rows = torch.cat(halves, -1)
    ends = [torch.stack([torch.stack([last[i, row][k] for row in range(n)]) for i in range(len(h0))]) for k in range(2)]
    results = {"output": rows.transpose(0, 1) if options["batchFirst"] else rows, "hn": ends[0]}
    return {**results, "cn": ends[1]} if kind == "LSTM" else results


def parameter_shapes(kind, d, h, options):
    """In the order of the layer's parameters; the gains follow the weights of each direction."""
    gates = (4 if kind == "LSTM" else 3) * h
    shapes = {}
    p = options.get("projSize", h)
    for layer in range(options["numLayers"]):
        for suffix in ["", "_reverse"] if options["bidirectional"] else [""]:
            width = d if layer == 0 else p * (2 if options["bidirectional"] else 1)
            of = {"weight_ih": [gates, width], "weight_hh": [gates, p]}
            if options["bias"]:
                of |= {"bias_ih": [gates], "bias_hh": [gates]}
            if "projSize" in options:
                of["weight_hr"] = [p, h]
            of |= {"weight_norm_ih": [gates], "weight_norm_hh": [gates]}
            if kind == "LSTM":
                of |= {"weight_norm_c": [h], "bias_norm_c": [h]}
            shapes |= {f"{name}_l{layer}{suffix}": shape for name, shape in of.items()}
    return shapes


def layer_case(seed, kind, layers, bidirectional, bias, batch_first, proj_size, lengths, states, given):
    rng = np.random.RandomState(seed)
    lstm = kind == "LSTM"
    d, h = int(rng.randint(2, 5)), int(rng.randint(4, 6))
    t, n = int(rng.randint(3, 6)), int(rng.randint(2, 4))
    options = {"numLayers": layers, "bidirectional": bidirectional, "bias": bias, "batchFirst": batch_first}
    if proj_size:
        options["projSize"] = proj_size
    p = proj_size or h
    shapes = parameter_shapes(kind, d, h, options)
    weights = {name: grid(rng, *shape, bound=1.5 if "norm" in name else 1.0) for name, shape in shapes.items()}
    sequence = [n, t] if batch_first else [t, n]
    directions = 2 if bidirectional else 1
    sizes = {
        "output": [*sequence, directions * p],
        "hn": [layers * directions, n, p],
        "cn": [layers * directions, n, h],
    }
    name = ["bidirectional"] * bidirectional + ["no bias"] * (not bias) + ["batch first"] * batch_first
    name += [f"projected to {proj_size}"] * bool(proj_size) + ["lengths"] * lengths
    case = {
        "name": ", ".join([f"{kind} L{layers} D{d} H{h} T{t} N{n}", *name]),
        "kind": kind,
        "inputSize": d,
        "hiddenSize": h,
        "options": options,
        "weights": weights,
        "x": grid(rng, *sequence, d, bound=2.0),
    }
    if states:
        case["h0"] = grid(rng, *sizes["hn"])
        if lstm:
            case["c0"] = grid(rng, *sizes["cn"])
    if lengths:
        case["lengths"] = drawn_lengths(rng, t, n)
    case["gradients"] = {key: grid(rng, *sizes[key]) for key in given.split()}
    plain = {key: value for key, value in weights.items() if "norm" not in key}

    def compute(dtype, weights=weights, by_hand=True):
        zeros = {"h0": np.zeros(sizes["hn"]), "c0": np.zeros(sizes["cn"])}
        inputs = {key: leaf(case.get(key, zeros.get(key)), dtype) for key in ["x", "h0", "c0"]}
        if by_hand:
            parameters = {key: leaf(value, dtype) for key, value in weights.items()}
            results = stack(kind, parameters, **inputs, options=options, lengths=case.get("lengths"))
        else:
            layer = build(kind, d, h, options, dtype)
            parameters = load(layer, weights)
            results = forward(layer, **inputs, lengths=case.get("lengths"), batch_first=batch_first)
        return differentiate(results, case["gradients"], parameters, inputs)

    check_close(compute(torch.float64, plain), compute(torch.float64, plain, by_hand=False), case["name"])
    case["expected"] = rounded(both(compute))
    return case


def main():
    layers = [layer_case(440 + k, *row) for k, row in enumerate(LAYERS)]
    write(__file__, {"layers": layers}, f"{len(layers)} layers")


if __name__ == "__main__":
    run(main)
