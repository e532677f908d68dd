"""Reference numbers from PyTorch for what losses count: weight, sampleWeight and lengths; nothing that counts; infinities and
NaN; optimizers whose gradients are infinite.

    python3 tests/golden/losses.py       writes tests/golden/losses.json

PyTorch has neither sampleWeight nor lengths: here its losses of the steps that count are multiplied by their weights, added
and divided. Where it has the same (no sampleWeight), its own function over the steps that count must agree, and mse_loss and
l1_loss with a weight (from PyTorch 2.7 on) divide by the sum of the weights. common.py says how numbers are made; NaN and
infinities are written as text.
"""

import itertools
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from common import both, grid, leaf, plain, run, snake

REDUCTIONS = ["mean", "sum", "none"]
ELEMENTS = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smoothL1": F.smooth_l1_loss,
    "bceWithLogits": F.binary_cross_entropy_with_logits,
}


def class_first(x):
    return torch.movedim(x, -1, min(1, x.dim() - 1)).contiguous()


def sample_weights(shape, options, tensors, dtype):
    """The weight of each step, over the whole of `shape`; 0 past a row's length."""
    weights = torch.ones(shape, dtype=dtype)
    if "sampleWeight" in tensors:
        given = torch.tensor(tensors["sampleWeight"], dtype=dtype)
        weights = weights * given.reshape(given.shape + (1,) * (len(shape) - given.dim()))
    if "lengths" in options:
        lengths = options["lengths"]
        first = options.get("batchFirst", False)
        for row, length in enumerate(lengths):
            (weights[row, length:] if first else weights[length:, row]).fill_(0)
    return weights


def total(losses, weights, divisor, reduction):
    """`losses` have been multiplied by the weights already."""
    losses = torch.where(weights != 0, losses, torch.zeros_like(losses))
    return {"mean": lambda: losses.sum() / divisor, "sum": lambda: losses.sum(), "none": lambda: losses}[reduction]()


def class_loss(kind, x, t, options, tensors):
    weight = torch.tensor(tensors["weight"], dtype=x.dtype) if "weight" in tensors else None
    function = F.cross_entropy if kind == "crossEntropy" else F.nll_loss
    own = {name: options[name] for name in ("ignoreIndex", "labelSmoothing") if name in options}
    soft = t.is_floating_point()
    call = lambda x, t, reduction: function(
        class_first(x), class_first(t) if soft else t, weight=weight, reduction=reduction, **snake(own)
    )
    weights = sample_weights(x.shape[:-1], options, tensors, x.dtype)
    if soft:
        divisor = weights.sum()
    else:
        ignored = t == options.get("ignoreIndex", -100)
        of_class = torch.ones_like(weights) if weight is None else weight[t.where(~ignored, torch.zeros_like(t))]
        divisor = torch.where(ignored, torch.zeros_like(weights), weights * of_class).sum()
    loss = total(weights * call(x, t, "none"), weights, divisor, options["reduction"])
    if "sampleWeight" not in tensors and options["reduction"] != "none":
        torch.testing.assert_close(loss, call(x[weights != 0], t[weights != 0], options["reduction"]))
    return loss


def element_loss(kind, x, t, options, tensors):
    own = {"beta": options["beta"]} if "beta" in options else {}
    positive = {"pos_weight": torch.tensor(tensors["posWeight"], dtype=x.dtype)} if "posWeight" in tensors else {}
    function = ELEMENTS[kind]
    losses = function(x, t, reduction="none", **own, **positive)
    weights = sample_weights(x.shape, options, tensors, x.dtype)
    factors = torch.ones_like(x)
    if "weight" in tensors:
        factors = factors * torch.tensor(tensors["weight"], dtype=x.dtype)
    divisor = (weights if kind == "bceWithLogits" else weights * factors).sum()
    loss = total(weights * factors * losses, weights, divisor, options["reduction"])
    if not tensors and options["reduction"] != "none":
        counts = weights != 0
        torch.testing.assert_close(loss, function(x[counts], t[counts], reduction=options["reduction"], **own))
    if kind == "bceWithLogits" and set(tensors) == {"weight"} and "lengths" not in options and options["reduction"] == "mean":
        torch.testing.assert_close(loss, function(x, t, weight=torch.tensor(tensors["weight"], dtype=x.dtype)))
    return loss


def case(kind, compute_loss, prediction, target, options, tensors):
    def compute(dtype):
        x = leaf(prediction, dtype)
        t = torch.tensor(target) if np.issubdtype(target.dtype, np.integer) else torch.tensor(target, dtype=dtype)
        loss = compute_loss(kind, x, t, options, tensors)
        loss.sum().backward()
        return {"loss": loss.detach(), "gradient": x.grad}

    return {
        "kind": kind,
        "options": options,
        "tensors": tensors,
        "prediction": prediction,
        "target": target,
        "integral": bool(np.issubdtype(target.dtype, np.integer)),
        "expected": both(compute),
    }


T, N, C = 4, 3, 5
LENGTHS = [[4, 2, 3], [0, 4, 1], [1, 3, 3]]


def steps(batch_first):
    return [N, T] if batch_first else [T, N]


def sample_shapes(shape):
    """Every number of leading axes; axes of 1; all axes."""
    return [None, shape[:1], shape[:2], [1, *shape[1:2]], shape]


def counting(seed, shape, sample_shape, ragged, batch_first, reduction):
    """Options and tensors of what counts."""
    rng = np.random.RandomState(seed)
    options = {"reduction": reduction}
    tensors = {}
    if ragged:
        options["lengths"] = LENGTHS[seed % 3]
    if batch_first:
        options["batchFirst"] = True
    if sample_shape is not None:
        weights = np.abs(grid(rng, *sample_shape)) + 0.25
        weights.ravel()[:: 4 if weights.size > 4 else 9] = 0 if weights.size > 4 else 0.5
        tensors["sampleWeight"] = weights
    return options, tensors


def class_cases():
    cases = []
    settings = itertools.product(range(5), [False, True], [False, True], REDUCTIONS)
    for seed, (sample, ragged, batch_first, reduction) in enumerate(settings):
        rng = np.random.RandomState(2000 + seed)
        shape = [*steps(batch_first), 2] if seed % 5 == 4 else steps(batch_first)
        options, tensors = counting(seed, shape, sample_shapes(shape)[sample], ragged, batch_first, reduction)
        if seed % 2:
            tensors["weight"] = np.abs(grid(rng, C)) + 0.25
        kind = "nll" if seed % 7 == 3 else "crossEntropy"
        if kind == "crossEntropy" and seed % 4 == 1:
            options["labelSmoothing"] = 0.1
        x = grid(rng, *shape, C, bound=3.0)
        if kind == "nll":
            x = -np.abs(x)
        if kind == "crossEntropy" and seed % 3 == 2:
            target = np.abs(grid(rng, *shape, C)) / 2
        else:
            target = rng.randint(0, C, shape)
            target.ravel()[[1, 4]] = -100
        cases.append(case(kind, class_loss, x, target, options, tensors))
    return cases


def element_cases():
    cases = []
    settings = itertools.product(range(5), [False, True], [False, True], REDUCTIONS, ELEMENTS)
    for seed, (sample, ragged, batch_first, reduction, kind) in enumerate(settings):
        rng = np.random.RandomState(3000 + seed)
        shape = [steps(batch_first), [*steps(batch_first), 3], [*steps(batch_first), 2, 1]][seed // 4 % 3]
        options, tensors = counting(seed, shape, sample_shapes(shape)[sample], ragged, batch_first, reduction)
        if seed // 2 % 2:
            weight_shape = [shape, shape[-1:], [*shape[:-1], 1], [1] * len(shape)][seed // 8 % 4]
            tensors["weight"] = np.abs(grid(rng, *weight_shape)) + 0.25
        if kind == "bceWithLogits" and seed % 3 == 0:
            tensors["posWeight"] = np.abs(grid(rng, *shape[-1:])) + 0.25
        if kind == "smoothL1" and seed % 3 == 1:
            options["beta"] = 0.5
        x, target = grid(rng, *shape, bound=2.0), grid(rng, *shape)
        if kind == "bceWithLogits":
            target = np.abs(target)
        cases.append(case(kind, element_loss, x, target, options, tensors))
    return cases


# ---------------------------------------------------------------------------------------------------------------------
# Nothing counts, or what counts has the weight 0; NaN and infinities.


def special(kind, function, prediction, target, options, tensors=None):
    tensors = tensors or {}
    x = leaf(np.asarray(prediction, dtype=float), torch.float64)
    t = torch.tensor(target) if isinstance(target[0], int) else torch.tensor(target, dtype=torch.float64)
    given = {name: torch.tensor(value, dtype=torch.float64) for name, value in tensors.items()}
    loss = function(x, t, **snake(options), **given)
    loss.sum().backward()
    return {
        "kind": kind,
        "options": options,
        "tensors": {name: {"shape": [len(value)], "data": list(value)} for name, value in tensors.items()},
        "prediction": texts(x.detach()),
        "target": texts(t),
        "integral": isinstance(target[0], int),
        "expected": {"loss": texts(loss.detach()), "gradient": texts(x.grad)},
    }


def texts(tensor):
    data = [value if math.isfinite(value) else str(value) for value in tensor.flatten().tolist()]
    return {"shape": list(tensor.shape), "data": data}


def specials():
    inf, nan = math.inf, math.nan
    cases = []
    scores = [[1, 2, 3], [0.5, -1, 1]]
    for reduction in REDUCTIONS:
        for name, function in (("crossEntropy", F.cross_entropy), ("nll", F.nll_loss)):
            cases.append(special(name, function, scores, [-100, -100], {"reduction": reduction}))
            cases.append(special(name, function, scores, [0, 0], {"reduction": reduction}, {"weight": [0.0, 2.0, 3.0]}))
        smooth = {"reduction": reduction, "labelSmoothing": 0.1}
        cases.append(special("crossEntropy", F.cross_entropy, scores, [-100, -100], smooth))
    x = [nan, inf, -inf, inf, -inf, 1, 1, 1, 1e30, 0, -2]
    t = [0.0, 0.0, 0.0, inf, inf, nan, -inf, inf, 0.0, 0.0, 1.0]
    for reduction in REDUCTIONS:
        for kind, extra in (("mse", {}), ("l1", {}), ("smoothL1", {}), ("smoothL1", {"beta": 2.5})):
            cases.append(special(kind, ELEMENTS[kind], x, t, {"reduction": reduction, **extra}))
        labels = [1.0, 1.0, 0.0, 0.0, 0.0, 0.5, 0.0, 1.0, 0.0, 1.0, 0.0]
        logits = [nan, inf, inf, -inf, -700, 1, 2000, 2000, 1e30, 0, -2]
        cases.append(special("bceWithLogits", ELEMENTS["bceWithLogits"], logits, labels, {"reduction": reduction}))
    return cases


# ---------------------------------------------------------------------------------------------------------------------
# Optimizers: one parameter, gradients that are infinite, NaN or too large to square, then zeros.

OPTIMIZERS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.5}),
    ("SGD", {"momentum": 0.5, "nesterov": True}),
    ("SGD", {"momentum": 0.5, "dampening": 0.25, "maximize": True}),
    ("SGD", {"momentum": 0.5, "dampening": 1.0}),
    ("SGD", {"weightDecay": 0.5}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "maximize": True}),
    ("Adam", {"weightDecay": 0.5}),
    ("AdamW", {}),
    ("AdamW", {"weightDecay": 0.0}),
    ("RMSprop", {}),
    ("RMSprop", {"centered": True, "momentum": 0.5}),
    ("RMSprop", {"weightDecay": 0.5}),
    ("Adagrad", {}),
    ("Adagrad", {"weightDecay": 0.5}),
]
START = [1.0, -2.0, 0.5, 3.0, math.inf, -math.inf, math.nan, 0.0]
GRADIENTS = [
    [math.inf, -math.inf, math.nan, 1e150, 1.0, 1.0, 1.0, 0.0],
    [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0],
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [math.inf, math.inf, 1.0, 1.0, math.inf, math.inf, 1.0, 1.0],
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
]


def infinite_gradients(kind, options):
    p = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    optimizer = getattr(torch.optim, kind)([p], lr=0.1, **snake(options))
    values = []
    for gradient in GRADIENTS:
        p.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        values.append(texts(p.detach()))
    return {"kind": kind, "options": options, "values": values}


def main():
    data = {
        "losses": plain([*class_cases(), *element_cases()]),
        "specials": specials(),
        "optimizers": {
            "start": texts(torch.tensor(START)),
            "gradients": [texts(torch.tensor(each, dtype=torch.float64)) for each in GRADIENTS],
            "traces": [infinite_gradients(kind, options) for kind, options in OPTIMIZERS],
        },
    }
    versions = {"generator": "tests/golden/losses.py", "torch": torch.__version__, "numpy": np.__version__}
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({**versions, **data}, separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path.name}: {len(data['losses'])} losses, {len(data['specials'])} specials, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    run(main)
