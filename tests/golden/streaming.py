"""Reference numbers from PyTorch for models that run one frame at a time, each in the JSON of the programs that pass such
models around: RTNeural (Keras' arrays; a flat state_dict) and Proteus (SimpleRNN).

    python3 tests/golden/streaming.py      writes tests/golden/streaming.json

common.py says how numbers are made.
"""

import numpy as np
import torch

from common import both, grid, run, write

KINDS = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}
ACTIVATIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: torch.softmax(x, -1),
    "elu": torch.nn.functional.elu,
}
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

# ---------------------------------------------------------------------------------------------------------------------
# Networks: lists of layers with PyTorch's arrays


def recurrent(rng, kind, d, h, layers=1, one_bias=False):
    """`one_bias`: bias_hh is zeros, as in what Keras' LSTM can hold."""
    bound = 2 / np.sqrt(h)
    state = {}
    for layer in range(layers):
        rows = GATES[kind] * h
        state[f"weight_ih_l{layer}"] = grid(rng, rows, d if layer == 0 else h, bound=bound)
        state[f"weight_hh_l{layer}"] = grid(rng, rows, h, bound=bound)
        state[f"bias_ih_l{layer}"] = grid(rng, rows, bound=bound)
        state[f"bias_hh_l{layer}"] = grid(rng, rows, bound=0 if one_bias else bound)
    return {"kind": kind, "d": d, "h": h, "layers": layers, "state": state}


def linear(rng, d, out):
    bound = 2 / np.sqrt(d)
    return {"kind": "linear", "state": {"weight": grid(rng, out, d, bound=bound), "bias": grid(rng, out, bound=bound)}}


def prelu(slope):
    return {"kind": "prelu", "slope": slope}


def activation(name):
    return {"kind": name}


def forward(network, x, skip, dtype):
    """y [T,M] of x [T,D]."""
    x = torch.tensor(x, dtype=dtype)
    y = x
    for layer in network:
        kind = layer["kind"]
        if kind in KINDS:
            module = KINDS[kind](layer["d"], layer["h"], layer["layers"], dtype=dtype)
            module.load_state_dict({name: torch.tensor(value, dtype=dtype) for name, value in layer["state"].items()})
            y, _ = module(y)
        elif kind == "linear":
            weight, bias = (torch.tensor(layer["state"][name], dtype=dtype) for name in ("weight", "bias"))
            y = torch.nn.functional.linear(y, weight, bias)
        elif kind == "prelu":
            y = torch.nn.functional.prelu(y, torch.tensor(layer["slope"], dtype=dtype))
        else:
            y = ACTIVATIONS[kind](y)
    return (y + x[:, 0:skip] if skip else y).detach()


# ---------------------------------------------------------------------------------------------------------------------
# The forms


def keras(network, x, extra=None):
    """RTNeural's JSON, as its exporter writes a Keras model: an activation goes with the dense layer before it."""
    layers = []
    size = x.shape[1]

    def add(kind, weights, name=""):
        layers.append({"type": kind, "activation": name, "shape": [None, None, size], "weights": weights})

    for layer in network:
        kind = layer["kind"]
        if kind in KINDS:
            assert layer["layers"] == 1
            size = layer["h"]
            ih, hh, bias_ih, bias_hh = (keras_gates(kind, layer["state"][name + "_l0"])
                                        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
            assert kind == "GRU" or not bias_hh.any()
            bias = np.stack([bias_ih, bias_hh]) if kind == "GRU" else bias_ih
            add(kind.lower(), [ih.T.tolist(), hh.T.tolist(), bias.tolist()], "tanh")
        elif kind == "linear":
            size = layer["state"]["weight"].shape[0]
            add("time-distributed-dense" if layers else "dense",
                [layer["state"]["weight"].T.tolist(), layer["state"]["bias"].tolist()])
        elif kind == "prelu":
            add("prelu", [[layer["slope"].tolist()]])
        elif layers and layers[-1]["type"].endswith("dense") and layers[-1]["activation"] == "":
            layers[-1]["activation"] = kind
        else:
            add("activation", [], kind)
    return {"in_shape": [None, None, x.shape[1]], "layers": layers, **(extra or {})}


def keras_gates(kind, rows):
    """PyTorch's r z n is Keras' z r h; i f g o is i f c o."""
    if kind != "GRU":
        return rows
    r, z, n = np.split(rows, 3)
    return np.concatenate([z, r, n])


def state_dict(network, names):
    return {
        f"{name}.{key}": value.tolist()
        for name, layer in zip(names, network)
        for key, value in layer.get("state", {}).items()
    }


def proteus(network, x, skip):
    rec, lin = network
    return {
        "model_data": {
            "model": "SimpleRNN",
            "input_size": x.shape[1],
            "skip": skip,
            "output_size": lin["state"]["weight"].shape[0],
            "unit_type": rec["kind"],
            "num_layers": rec["layers"],
            "hidden_size": rec["h"],
            "bias_fl": True,
        },
        "state_dict": state_dict(network, ["rec", "lin"]),
    }


# ---------------------------------------------------------------------------------------------------------------------


def case(name, form, json, network, x, skip=0, options=None):
    """`form` says which function reads `json`; cases of one `network` have the same numbers in other forms."""
    return {
        "name": name,
        "form": form,
        "options": options or {},
        "json": json,
        "x": x,
        "y": both(lambda dtype: forward(network, x, skip, dtype)),
    }


def cases():
    rng = np.random.RandomState(1)
    x = grid(rng, 40, 1)
    twin = [recurrent(rng, "LSTM", 1, 7, one_bias=True), linear(rng, 7, 1)]
    yield case("LSTM 7, in_skip", "rtneural", keras(twin, x, {"in_skip": 1}), twin, x, 1)
    yield case("LSTM 7, skip", "proteus", proteus(twin, x, 1), twin, x, 1)
    twin = [recurrent(rng, "GRU", 1, 6), linear(rng, 6, 1)]
    yield case("GRU 6", "rtneural", keras(twin, x), twin, x)
    yield case("GRU 6", "proteus", proteus(twin, x, 0), twin, x)
    yield case("GRU 6, state_dict", "rtneural", state_dict(twin, ["gru", "dense"]), twin, x)

    x = grid(rng, 20, 3, bound=2)
    network = [
        linear(rng, 3, 5), activation("elu"), recurrent(rng, "LSTM", 5, 4, one_bias=True), recurrent(rng, "GRU", 4, 5),
        linear(rng, 5, 4), activation("sigmoid"), linear(rng, 4, 6), prelu(grid(rng, 6)), linear(rng, 6, 3),
        activation("relu"), linear(rng, 3, 4), prelu(np.array([0.25])), linear(rng, 4, 3), activation("softmax"),
        activation("tanh"),
    ]
    yield case("all layers", "rtneural", keras(network, x), network, x)
    network = [
        recurrent(rng, "LSTM", 3, 4), recurrent(rng, "LSTM", 4, 5, layers=3), linear(rng, 5, 3), activation("tanh"),
        linear(rng, 3, 2),
    ]
    names = ["lstm", "lstm2", "a.b", "tanh", "out"]
    yield case("state_dict, modules named", "rtneural", state_dict(network, names), network, x, 0, {"modules": names})
    network = [recurrent(rng, "RNN", 3, 4), recurrent(rng, "GRU", 4, 2)]
    yield case("state_dict, no linear module", "rtneural", state_dict(network, ["one", "two"]), network, x)
    network = [recurrent(rng, "LSTM", 3, 5, layers=2), linear(rng, 5, 2)]
    yield case("LSTM, 2 layers, 2 of 3 inputs skip", "proteus", proteus(network, x, 2), network, x, 2)
    network = [recurrent(rng, "GRU", 3, 5), linear(rng, 5, 2)]
    yield case("GRU, 1 input skips to 2 outputs", "proteus", proteus(network, x, 1), network, x, 1)
    network = [recurrent(rng, "RNN", 3, 5), linear(rng, 5, 1)]
    yield case("RNN", "proteus", proteus(network, x, 0), network, x)


def main():
    all_cases = list(cases())
    write(__file__, {"cases": all_cases}, f"{len(all_cases)} cases")


if __name__ == "__main__":
    run(main)
