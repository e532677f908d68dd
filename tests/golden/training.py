"""Reference numbers from PyTorch for training: losses with all options, optimizers with groups and clipping, learning rate
schedules, layer normalisation.

    python3 tests/golden/training.py       writes tests/golden/training.json

common.py says how numbers are made.
"""

import itertools

import numpy as np
import torch
import torch.nn.functional as F

from common import both, grid, leaf, run, snake, write

REDUCTIONS = ["mean", "sum", "none"]

# ---------------------------------------------------------------------------------------------------------------------
# Losses. Classes are the last axis here; PyTorch wants them second. For reduction "none" the gradient is the sum's.


def class_first(x):
    return torch.movedim(x, -1, min(1, x.dim() - 1))


def loss_case(kind, function, prediction, target, options, tensors=None):
    """`options` are plain, `tensors` (weight, pos_weight) are options that hold numbers."""
    tensors = tensors or {}
    integral = np.issubdtype(target.dtype, np.integer)

    def compute(dtype):
        x = leaf(prediction, dtype)
        t = torch.tensor(target) if integral else torch.tensor(target, dtype=dtype)
        given = {name: torch.tensor(value, dtype=dtype) for name, value in tensors.items()}
        loss = function(x, t, **snake(options), **snake(given))
        loss.sum().backward()
        return {"loss": loss.detach(), "gradient": x.grad}

    return {
        "kind": kind,
        "options": options,
        "tensors": tensors,
        "prediction": prediction,
        "target": target,
        "integral": bool(integral),
        "expected": both(compute),
    }


def cross_entropy(x, t, **options):
    classes = t.is_floating_point()
    return F.cross_entropy(class_first(x), class_first(t) if classes else t, **options)


def nll(x, t, **options):
    return F.nll_loss(class_first(x), t, **options)


def class_losses():
    cases = []
    shapes = [((5,), 3), ((3, 2), 7), ((), 5)]
    settings = itertools.product(REDUCTIONS, [False, True], [0, 0.1, 1], ["indices", "ignored", "probabilities"])
    for seed, (reduction, weighted, smoothing, kind) in enumerate(settings):
        rng = np.random.RandomState(1000 + seed)
        shape, classes = shapes[seed % 3]
        options = {"reduction": reduction, **({"labelSmoothing": smoothing} if smoothing else {})}
        tensors = {"weight": np.abs(grid(rng, classes)) + 0.25} if weighted else {}
        x = grid(rng, *shape, classes, bound=3.0)
        if kind == "probabilities":
            target = np.abs(grid(rng, *shape, classes)) / 2
        else:
            target = np.asarray(rng.randint(0, classes, shape))
            if kind == "ignored" and shape:
                ignored = [-100, 1][seed % 2]
                target.ravel()[[0, 3]] = ignored
                if ignored != -100:
                    options["ignoreIndex"] = ignored
        cases.append(loss_case("crossEntropy", cross_entropy, x, target, options, tensors))
    for seed, (reduction, weighted, ignored) in enumerate(itertools.product(REDUCTIONS, [False, True], [-100, 2])):
        rng = np.random.RandomState(1100 + seed)
        shape, classes = shapes[seed % 2]
        target = rng.randint(0, classes, shape)
        target.ravel()[[1, 2]] = ignored
        options = {"reduction": reduction, **({} if ignored == -100 else {"ignoreIndex": ignored})}
        tensors = {"weight": np.abs(grid(rng, classes)) + 0.25} if weighted else {}
        cases.append(loss_case("nll", nll, -np.abs(grid(rng, *shape, classes, bound=3.0)), target, options, tensors))
    return cases


def element_losses():
    cases = []
    kinds = [
        ("mse", F.mse_loss, {}),
        ("l1", F.l1_loss, {}),
        ("smoothL1", F.smooth_l1_loss, {}),
        ("smoothL1", F.smooth_l1_loss, {"beta": 0.5}),
        ("smoothL1", F.smooth_l1_loss, {"beta": 0.0}),
    ]
    for seed, ((kind, function, extra), reduction) in enumerate(itertools.product(kinds, REDUCTIONS)):
        rng = np.random.RandomState(1200 + seed)
        shape = [(7,), (2, 3, 3), (5, 3)][seed % 3]
        prediction, target = grid(rng, *shape, bound=2.0), grid(rng, *shape)
        prediction.ravel()[0] = target.ravel()[0] + 0.5  # where smooth l1 with 0.5 bends
        if extra.get("beta") != 0:  # PyTorch gives -1 there, but 0 for l1
            prediction.ravel()[1] = target.ravel()[1]
        cases.append(loss_case(kind, function, prediction, target, {"reduction": reduction, **extra}))
    weights = [{}, {"weight": (5, 3)}, {"weight": (3,)}, {"weight": (5, 1)}, {"posWeight": (3,)}, {"posWeight": (5, 3), "weight": (1,)}]
    for seed, (shapes, reduction) in enumerate(itertools.product(weights, REDUCTIONS)):
        rng = np.random.RandomState(1300 + seed)
        logits = grid(rng, 5, 3, bound=4.0)
        logits.ravel()[:3] = [40, -40, 0]
        target = rng.randint(0, 2, (5, 3)) * 1.0 if seed % 2 else np.abs(grid(rng, 5, 3))
        tensors = {name: np.abs(grid(rng, *shape)) + 0.25 for name, shape in shapes.items()}
        cases.append(loss_case("bceWithLogits", F.binary_cross_entropy_with_logits, logits, target, {"reduction": reduction}, tensors))
    return cases


def log_softmax_case(seed, *shape, scale):
    x = grid(np.random.RandomState(seed), *shape, bound=scale)
    return {"x": x, "expected": both(lambda dtype: F.log_softmax(torch.tensor(x, dtype=dtype), dim=-1))}


# ---------------------------------------------------------------------------------------------------------------------
# Optimizers: one start and five gradients of four parameters, which groups split into two and two

SHAPES, STEPS = [(3, 5), (3,), (2, 3), (2,)], 5
ADAM_OPTIONS = [
    {},
    {"lr": 0.01, "weightDecay": 0.1},
    {"lr": 0.02, "betas": [0.8, 0.95], "eps": 1e-3},
    {"lr": 0.02, "amsgrad": True},
    {"lr": 0.02, "amsgrad": True, "weightDecay": 0.1, "maximize": True},
]
# kind, options, options of each of two groups (None: no groups), clipping before each step
OPTIMIZERS = [
    ("SGD", {"lr": 0.1, "maximize": True, "weightDecay": 0.1}, None, None),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True}, None, None),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weightDecay": 0.1}, None, {"norm": 0.5}),
    ("SGD", {"lr": 0.1}, [{"lr": 0.01}, {"momentum": 0.9, "weightDecay": 0.1}], {"value": 0.25}),
    *[(kind, options, None, None) for kind in ["Adam", "AdamW"] for options in ADAM_OPTIONS],
    ("Adam", {}, [{"lr": 0.01, "betas": [0.8, 0.9]}, {"weightDecay": 0.1, "amsgrad": True}], {"norm": 1.0, "normType": 1}),
    ("AdamW", {"lr": 0.02}, [{"weightDecay": 0.0}, {"weightDecay": 0.5, "eps": 1e-2}], {"norm": 0.3, "normType": "inf"}),
    ("AdamW", {"lr": 0.02}, None, {"value": 0.25}),
    ("RMSprop", {"maximize": True}, None, None),
    ("RMSprop", {"momentum": 0.5, "centered": True, "weightDecay": 0.1}, None, {"norm": 0.5}),
    ("RMSprop", {"alpha": 0.9}, [{"centered": True}, {"lr": 0.02, "momentum": 0.9}], None),
    ("Adagrad", {}, None, None),
    ("Adagrad", {"lr": 0.1, "lrDecay": 0.1}, None, None),
    ("Adagrad", {"lr": 0.1, "weightDecay": 0.1, "eps": 1e-3}, None, {"norm": 0.5}),
    ("Adagrad", {"lr": 0.1, "initialAccumulatorValue": 0.5, "maximize": True}, None, None),
    ("Adagrad", {"lr": 0.1}, [{"lrDecay": 0.5}, {"lr": 0.05, "weightDecay": 0.1}], {"value": 0.25}),
]


def clip_gradients(parameters, clipping):
    if clipping is None:
        return
    if "value" in clipping:
        torch.nn.utils.clip_grad_value_(parameters, clipping["value"])
    else:
        torch.nn.utils.clip_grad_norm_(parameters, clipping["norm"], norm_type=float(clipping.get("normType", 2)))


def optimizer_traces():
    rng = np.random.RandomState(1400)
    start = [grid(rng, *shape) for shape in SHAPES]
    gradients = [[grid(rng, *shape) for shape in SHAPES] for _ in range(STEPS)]
    for gradient in gradients[1]:
        gradient *= 2  # so that amsgrad's largest average is not the last
    gradients[1][0][0, 0] = gradients[1][1][0] = 0.0

    def trace(kind, options, groups, clipping):
        def compute(dtype):
            parameters = [leaf(value, dtype) for value in start]
            given = parameters
            if groups:
                given = [{"params": parameters[2 * i : 2 * i + 2], **snake(group)} for i, group in enumerate(groups)]
            optimizer = getattr(torch.optim, kind)(given, **snake(options))
            values = []
            for step in gradients:
                for parameter, gradient in zip(parameters, step):
                    parameter.grad = torch.tensor(gradient, dtype=dtype)
                clip_gradients(parameters, clipping)
                optimizer.step()
                values.append([parameter.detach().clone() for parameter in parameters])
            state = {
                f"{index}.{name}": torch.as_tensor(value).clone()
                for index, entries in optimizer.state_dict()["state"].items()
                for name, value in entries.items()
                if value is not None
            }
            return {"values": values, "state": state}

        return {"kind": kind, "options": options, "groups": groups, "clipping": clipping, "expected": both(compute)}

    return {"start": start, "gradients": gradients, "traces": [trace(*row) for row in OPTIMIZERS]}


# ---------------------------------------------------------------------------------------------------------------------
# Schedules: the learning rates of two groups, when the schedules are made and after each of 30 steps

EPOCHS = 30
METRICS = [5, 4, 3.9999, 3.9998, 3, 3, 3, 3, 3, 2.9, 2.95, 2.9, 2.9, 2.9, 2.9, 2.5, 2.6, 2.7, 2.4, 2.4, 2.4, 2.4, 2.4, 2.4, 2.3, 2.3, 2.3, 2.3, 2.3, 2.3]
SCHEDULES = [
    [("StepLR", {"stepSize": 7})],
    [("StepLR", {"stepSize": 1, "gamma": 0.9})],
    [("CosineAnnealingLR", {"tMax": 10})],
    [("CosineAnnealingLR", {"tMax": 7, "etaMin": 0.01})],
    [("CosineAnnealingLR", {"tMax": 1})],
    [("CosineAnnealingLR", {"tMax": 50, "etaMin": 0.05})],
    [("LinearLR", {})],
    [("LinearLR", {"startFactor": 0.1, "endFactor": 0.8, "totalIters": 13})],
    [("LinearLR", {"startFactor": 1.0, "endFactor": 0.0, "totalIters": 20})],
    [("LinearLR", {"startFactor": 0.25, "totalIters": 4}), ("CosineAnnealingLR", {"tMax": 12})],
    [("StepLR", {"stepSize": 5, "gamma": 0.5}), ("LinearLR", {"totalIters": 8})],
    [("ReduceLROnPlateau", {"patience": 2})],
    [("ReduceLROnPlateau", {"factor": 0.5, "patience": 1, "threshold": 0.1, "cooldown": 3})],
    [("ReduceLROnPlateau", {"factor": 0.5, "patience": 0, "threshold": 0.2, "thresholdMode": "abs", "minLr": [0.02, 0.001]})],
    [("ReduceLROnPlateau", {"mode": "max", "patience": 3, "minLr": 0.005})],
    [("ReduceLROnPlateau", {"mode": "max", "factor": 0.5, "patience": 1, "thresholdMode": "abs", "eps": 0.001})],
]


def schedule_case(specification):
    parameters = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": parameters[:1]}, {"params": parameters[1:], "lr": 0.02}], lr=0.1)
    rates = lambda: [group["lr"] for group in optimizer.param_groups]
    schedules = []
    for kind, options in specification:
        named = {("T_max" if name == "t_max" else name): value for name, value in snake(options).items()}
        schedules.append(getattr(torch.optim.lr_scheduler, kind)(optimizer, **named))
    expected = [rates()]
    for epoch in range(EPOCHS):
        optimizer.step()
        for (kind, _), schedule in zip(specification, schedules):
            schedule.step(*([METRICS[epoch]] if kind == "ReduceLROnPlateau" else []))
        expected.append(rates())
    return {"schedules": [{"kind": kind, "options": options} for kind, options in specification], "expected": expected}


# ---------------------------------------------------------------------------------------------------------------------


def layer_norm_case(seed, leading, normalized, eps=1e-5, affine=True, scale=2.0, offset=0.0):
    rng = np.random.RandomState(seed)
    x, gradient = grid(rng, *leading, *normalized, bound=scale) + offset, grid(rng, *leading, *normalized)
    weights = {"weight": grid(rng, *normalized), "bias": grid(rng, *normalized)} if affine else {}

    def compute(dtype):
        leaves = {name: leaf(value, dtype) for name, value in weights.items()}
        inputs = leaf(x, dtype)
        output = F.layer_norm(inputs, normalized, leaves.get("weight"), leaves.get("bias"), eps)
        (output * torch.tensor(gradient, dtype=dtype)).sum().backward()
        parameters = {name: value.grad for name, value in leaves.items()}
        return {"output": output.detach(), "x": inputs.grad, "parameters": parameters}

    return {
        "normalizedShape": normalized,
        "options": {"eps": eps, "elementwiseAffine": affine},
        "weights": weights,
        "x": x,
        "gradient": gradient,
        "expected": both(compute),
    }


def main():
    data = {
        "losses": [*class_losses(), *element_losses()],
        "logSoftmax": [
            log_softmax_case(1001, 7, scale=3.0),
            log_softmax_case(1002, 2, 3, 5, scale=3.0),
            log_softmax_case(1003, 5, 3, scale=1000.0),
        ],
        "optimizers": optimizer_traces(),
        "schedules": {"metrics": METRICS, "cases": [schedule_case(each) for each in SCHEDULES]},
        "layerNorm": [
            layer_norm_case(1501, (5,), (7,)),
            layer_norm_case(1502, (), (5,)),
            layer_norm_case(1503, (2, 3), (17,), eps=0.1),
            layer_norm_case(1504, (3,), (2, 5)),
            layer_norm_case(1505, (2, 2), (9,), affine=False),
            layer_norm_case(1506, (3,), (33,), offset=1.0),
            layer_norm_case(1507, (3,), (1,), eps=0.1),
        ],
    }
    write(__file__, data, f"{len(data['losses'])} losses, {len(OPTIMIZERS)} traces, {len(SCHEDULES)} schedules")


if __name__ == "__main__":
    run(main)
