"""Reference numbers from PyTorch: recurrent layers, linear, embedding, losses, optimizers, clipping.

    python3 tests/golden/pytorch.py        writes tests/golden/pytorch.json   (Debian: apt install python3-torch)

Losses with all their options, all optimizers and schedules are in training.py; common.py says how numbers are made.
"""

import numpy as np
import torch
import torch.nn.functional as F

from common import both, build, differentiate, forward, grid, leaf, load, run, snake, write


# ---------------------------------------------------------------------------------------------------------------------
# RNN and LSTM

# inputSize, hiddenSize, numLayers, T, N (None: no batch axis), bias, batchFirst, h0 and c0 given, gradients given
RECURRENT = [
    (1, 2, 1, 3, 1, True, False, True, "output hn cn"),
    (3, 5, 1, 7, 2, True, False, False, "output"),
    (7, 3, 2, 5, 3, True, True, True, "output hn cn"),
    (2, 17, 1, 2, 5, False, False, True, "hn cn"),
    (17, 1, 2, 3, 7, True, True, False, "output hn cn"),
    (5, 7, 3, 5, None, True, False, True, "output hn cn"),
    (3, 2, 3, 7, None, False, True, False, "output hn"),
    (5, 3, 2, 2, 17, False, True, True, "output cn"),
    (2, 3, 3, 17, 1, True, False, False, "output hn cn"),
]
KINDS = [("RNN", {"nonlinearity": "tanh"}), ("RNN", {"nonlinearity": "relu"}), ("LSTM", {})]


def recurrent_case(kind, extra, row, seed):
    d, h, layers, t, n, bias, batch_first, states, given = row
    rng = np.random.RandomState(seed)
    options = {"numLayers": layers, "bias": bias, "batchFirst": batch_first, **extra}
    bound = h**-0.5
    names = [(name, value.shape) for name, value in build(kind, d, h, options, torch.float64).named_parameters()]
    weights = {name: grid(rng, *shape, bound=bound) for name, shape in names}
    batch = [] if n is None else [n]
    sequence = [*batch, t] if batch_first else [t, *batch]
    case = {
        "name": f"{kind} {extra.get('nonlinearity', '')} D{d} H{h} L{layers} T{t} N{n}".replace("  ", " ").replace("NNone", "unbatched"),
        "kind": kind,
        "inputSize": d,
        "hiddenSize": h,
        "options": options,
        "weights": weights,
        "x": grid(rng, *sequence, d),
    }
    lstm = kind == "LSTM"
    if states:
        case["h0"] = grid(rng, layers, *batch, h)
        if lstm:
            case["c0"] = grid(rng, layers, *batch, h)
    shapes = {"output": [*sequence, h], "hn": [layers, *batch, h], "cn": [layers, *batch, h]}
    case["gradients"] = {name: grid(rng, *shapes[name]) for name in given.split() if lstm or name != "cn"}

    def compute(dtype):
        layer = build(kind, d, h, options, dtype)
        parameters = load(layer, weights)
        zeros = np.zeros(shapes["hn"])
        inputs = {"x": case["x"], "h0": case.get("h0", zeros), "c0": case.get("c0", zeros)}
        inputs = {name: leaf(value, dtype) for name, value in inputs.items()}
        return differentiate(forward(layer, **inputs), case["gradients"], parameters, inputs)

    case["expected"] = both(compute)
    return case, compute


def recurrent_cases():
    cases = []
    for k, (kind, extra) in enumerate(KINDS):
        for r, row in enumerate(RECURRENT):
            case, compute = recurrent_case(kind, extra, row, seed=100 * (k + 1) + r)
            if r == 2:
                case["expected32"] = compute(torch.float32)  # PyTorch's own float32 numbers, for comparison
            cases.append(case)
    return cases


# ---------------------------------------------------------------------------------------------------------------------
# Linear, Embedding, losses


def linear_case(seed, shape, out_features, bias):
    rng = np.random.RandomState(seed)
    weights = {"weight": grid(rng, out_features, shape[-1])}
    if bias:
        weights["bias"] = grid(rng, out_features)
    x, gradient = grid(rng, *shape), grid(rng, *shape[:-1], out_features)

    def compute(dtype):
        leaves = {name: leaf(value, dtype) for name, value in weights.items()}
        inputs = leaf(x, dtype)
        output = F.linear(inputs, leaves["weight"], leaves.get("bias"))
        (output * torch.tensor(gradient, dtype=dtype)).sum().backward()
        parameters = {name: value.grad for name, value in leaves.items()}
        return {"output": output.detach(), "x": inputs.grad, "parameters": parameters}

    return {
        "inFeatures": shape[-1],
        "outFeatures": out_features,
        "options": {"bias": bias},
        "weights": weights,
        "x": x,
        "gradient": gradient,
        "expected": both(compute),
    }


def embedding_case(seed, num, dim, indices, padding_idx=None):
    rng = np.random.RandomState(seed)
    indices = np.array(indices)
    weight, gradient = grid(rng, num, dim), grid(rng, *indices.shape, dim)

    def compute(dtype):
        w = leaf(weight, dtype)
        output = F.embedding(torch.tensor(indices), w, padding_idx=padding_idx)
        (output * torch.tensor(gradient, dtype=dtype)).sum().backward()
        return {"output": output.detach(), "weight": w.grad}

    return {
        "numEmbeddings": num,
        "embeddingDim": dim,
        "options": {} if padding_idx is None else {"paddingIdx": padding_idx},
        "weight": weight,
        "indices": indices,
        "gradient": gradient,
        "expected": both(compute),
    }


def cross_entropy_case(seed, shape, classes, scale=3.0, ignored=(), **options):
    """Classes are the last axis here; PyTorch wants them second. For reduction "none" the gradient is the sum's."""
    rng = np.random.RandomState(seed)
    logits = grid(rng, *shape, classes, bound=scale)
    targets = rng.randint(0, classes, shape)
    targets.ravel()[list(ignored)] = options.get("ignoreIndex", -100)

    def compute(dtype):
        z = leaf(logits, dtype)
        loss = F.cross_entropy(torch.movedim(z, -1, min(1, len(shape))), torch.tensor(targets), **snake(options))
        loss.sum().backward()
        return {"loss": loss.detach(), "dLogits": z.grad}

    return {"options": options, "logits": logits, "targets": targets, "expected": both(compute)}


def mse_case(seed, shape, **options):
    rng = np.random.RandomState(seed)
    prediction, target = grid(rng, *shape), grid(rng, *shape)

    def compute(dtype):
        p = leaf(prediction, dtype)
        loss = F.mse_loss(p, torch.tensor(target, dtype=dtype), **options)
        loss.sum().backward()
        return {"loss": loss.detach(), "dPrediction": p.grad}

    return {"options": options, "prediction": prediction, "target": target, "expected": both(compute)}


# ---------------------------------------------------------------------------------------------------------------------
# Optimizers and clipping: one start and five gradients of two parameters serve every setting

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "weightDecay": 0.05}),
    ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weightDecay": 0.02}),
    ("Adam", {}),
    ("Adam", {"lr": 0.01, "weightDecay": 0.1}),
    ("Adam", {"lr": 0.02, "betas": [0.8, 0.95], "eps": 1e-3}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.9}),
    ("RMSprop", {"eps": 1e-2}),
    ("RMSprop", {"momentum": 0.9}),
    ("RMSprop", {"centered": True}),
    ("RMSprop", {"lr": 0.02, "weightDecay": 0.1}),
    ("RMSprop", {"alpha": 0.95, "momentum": 0.7, "centered": True, "weightDecay": 0.05}),
]


def optimizer_traces():
    rng = np.random.RandomState(900)
    shapes, steps = [(5, 7), (5,)], 5
    start = [grid(rng, *shape) for shape in shapes]
    gradients = [[grid(rng, *shape) for shape in shapes] for _ in range(steps)]
    gradients[1][0][0, 0] = gradients[1][1][0] = 0.0

    def trace(kind, options):
        def compute(dtype):
            parameters = [leaf(value, dtype) for value in start]
            optimizer = getattr(torch.optim, kind)(parameters, **snake(options))
            values = []
            for step in gradients:
                for parameter, gradient in zip(parameters, step):
                    parameter.grad = torch.tensor(gradient, dtype=dtype)
                optimizer.step()
                values.append([parameter.detach().clone() for parameter in parameters])
            state = {
                f"{index}.{name}": torch.as_tensor(value)
                for index, entries in optimizer.state_dict()["state"].items()
                for name, value in entries.items()
                if value is not None
            }
            return {"values": values, "state": state}

        return {"kind": kind, "options": options, "expected": both(compute)}

    return {"start": start, "gradients": gradients, "traces": [trace(*row) for row in OPTIMIZERS]}


def clip_cases():
    rng = np.random.RandomState(901)
    gradients = [grid(rng, 5, 7), grid(rng, 5)]

    def clip(limit, function):
        def compute(dtype):
            parameters = [leaf(np.zeros_like(g), dtype) for g in gradients]
            for parameter, g in zip(parameters, gradients):
                parameter.grad = torch.tensor(g, dtype=dtype)
            norm = function(parameters, limit)
            return {"norm": norm, "gradients": [parameter.grad for parameter in parameters]}

        return {"limit": limit, "expected": both(compute)}

    return {
        "gradients": gradients,
        "norm": [clip(limit, torch.nn.utils.clip_grad_norm_) for limit in [0.5, 2.0, 100.0]],
        "value": [clip(limit, torch.nn.utils.clip_grad_value_) for limit in [0.25, 2.0]],
    }


# ---------------------------------------------------------------------------------------------------------------------


def main():
    data = {
        "recurrent": recurrent_cases(),
        "linear": [
            linear_case(501, (5, 3), 7, True),
            linear_case(502, (3, 17), 2, False),
            linear_case(503, (2, 5, 3), 17, True),
            linear_case(504, (7, 1, 5), 1, False),
            linear_case(505, (7,), 3, True),
        ],
        "embedding": [
            embedding_case(601, 5, 3, [0, 4, 4, 1, 4]),
            embedding_case(602, 7, 5, [[6, 0, 6], [3, 3, 3]]),
            embedding_case(603, 5, 2, [[2, 1, 2], [0, 2, 1]], padding_idx=2),
        ],
        "crossEntropy": [
            cross_entropy_case(701, (7,), 5),
            cross_entropy_case(702, (5,), 3, reduction="sum"),
            cross_entropy_case(703, (3,), 17, reduction="none"),
            cross_entropy_case(704, (5, 3), 7, reduction="mean"),
            cross_entropy_case(705, (2, 3), 2, reduction="sum"),
            cross_entropy_case(706, (3, 5), 3, reduction="none"),
            cross_entropy_case(707, (7,), 5, ignored=[1, 4]),
            cross_entropy_case(708, (5, 3), 7, ignored=[0, 7, 14], ignoreIndex=0),
            cross_entropy_case(709, (5, 3), 7, ignored=[2, 3], ignoreIndex=6, reduction="sum"),
            cross_entropy_case(710, (3, 2), 5, ignored=[5], ignoreIndex=-1, reduction="none"),
            cross_entropy_case(711, (5,), 3, scale=1000.0),
        ],
        "mse": [
            mse_case(801, (5, 3)),
            mse_case(802, (7,), reduction="mean"),
            mse_case(803, (2, 3, 5), reduction="sum"),
            mse_case(804, (3, 2), reduction="none"),
        ],
        "optimizers": optimizer_traces(),
        "clip": clip_cases(),
    }
    write(__file__, data, f"{len(data['recurrent'])} recurrent cases")


if __name__ == "__main__":
    run(main)
