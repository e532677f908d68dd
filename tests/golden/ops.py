"""Reference numbers from PyTorch for the functions of wasm-rnn/ops: results, and gradients of the inputs.

    python3 tests/golden/ops.py       writes tests/golden/ops.json

A case calls a function with `arguments`, in which the text "$i" stands for input i; integers are i32. common.py says how
numbers are made.
"""

import numpy as np
import torch

from common import both, grid, leaf, run, write


def select_of(x, axis, index):
    return x.select(axis, index)


def permuted(x, axes=None):
    return x.permute(list(range(x.dim()))[::-1] if axes is None else axes)


def reduced(function):
    def reduce(x, axis=None, keep=False):
        axes = list(range(x.dim())) if axis is None else [axis]
        return function(x, axes, keep)

    return reduce


FUNCTIONS = {
    "add": torch.add,
    "sub": lambda a, b: a - b,
    "mul": torch.mul,
    "div": lambda a, b: a / b,
    "neg": torch.neg,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "softmax": lambda x: torch.softmax(x, -1),
    "logSoftmax": lambda x: torch.log_softmax(x, -1),
    "where": lambda c, a, b: torch.where(c != 0, a, b),
    "matmul": torch.matmul,
    "transpose": permuted,
    "reshape": lambda x, shape: x.reshape(shape),
    "concat": torch.cat,
    "stack": torch.stack,
    "slice": lambda x, axis, start, end: x.narrow(axis, start, end - start),
    "select": select_of,
    "sum": reduced(torch.sum),
    "mean": reduced(torch.mean),
    "max": reduced(torch.amax),
}

# function, shapes of the inputs (their numbers: "positive" 1/4 to 2, "coarse" many ties, "integer" 0 or 1), arguments
PAIRS = [[[], []], [[7], []], [[], [3, 5]], [[5, 7], [7]], [[5, 1], [1, 7]], [[2, 1, 3, 1], [5, 1, 4]], [[0, 3], [1, 3]]]
CASES = [
    *[(name, pair, ["$0", "$1"]) for name in ("add", "sub", "mul") for pair in PAIRS],
    *[("div", [a, ("positive", b)], ["$0", "$1"]) for a, b in PAIRS],
    *[(name, [shape], ["$0", 2.5]) for name in ("add", "sub", "mul", "div") for shape in ([], [3, 5])],
    *[(name, [("positive", [3, 5])], [-1.5, "$0"]) for name in ("add", "sub", "mul", "div")],
    *[(name, [shape], ["$0"]) for name in ("neg", "exp", "tanh", "sigmoid", "relu") for shape in ([], [7], [2, 3, 5])],
    *[(name, [("positive", shape)], ["$0"]) for name in ("log", "sqrt") for shape in ([], [7], [2, 3, 5])],
    ("relu", [("coarse", [33])], ["$0"]),
    *[(name, [shape], ["$0"]) for name in ("softmax", "logSoftmax") for shape in ([1], [7], [3, 5], [2, 3, 33])],
    ("where", [("integer", [3, 1]), [3, 5], [5]], ["$0", "$1", "$2"]),
    ("where", [("integer", [2, 3, 5]), [5], [3, 1]], ["$0", "$1", "$2"]),
    ("where", [("integer", [5]), [3, 5]], ["$0", "$1", 0.5]),
    *[
        ("matmul", pair, ["$0", "$1"])
        for pair in (
            [[3, 5], [5, 7]],
            [[2, 3, 5], [5, 7]],
            [[3, 5], [2, 5, 7]],
            [[2, 3, 5], [2, 5, 7]],
            [[2, 1, 3, 5], [4, 5, 2]],
            [[1, 300], [300, 1]],
        )
    ],
    *[("transpose", [[2, 3, 5]], ["$0", *axes]) for axes in ([], [[0, 2, 1]], [[2, 0, 1]], [[-1, 1, 0]])],
    ("reshape", [[2, 3, 5]], ["$0", [6, -1]]),
    ("concat", [[2, 3], [4, 3], [1, 3]], [["$0", "$1", "$2"], 0]),
    ("concat", [[2, 3, 2], [2, 1, 2]], [["$0", "$1"], -2]),
    ("stack", [[2, 3], [2, 3]], [["$0", "$1"], 0]),
    ("stack", [[2, 3], [2, 3]], [["$0", "$1"], -1]),
    ("slice", [[3, 5, 2]], ["$0", 1, 1, 4]),
    ("slice", [[3, 5, 2]], ["$0", -1, 0, 1]),
    ("select", [[3, 5, 2]], ["$0", 1, 4]),
    ("select", [[3, 5, 2]], ["$0", -3, -1]),
    *[
        (name, [(kind, [3, 7, 5])], ["$0", *rest])
        for name, kind in (("sum", "any"), ("mean", "any"), ("max", "any"), ("max", "coarse"))
        for rest in ([], [0], [1], [-1], [1, True])
    ],
]


def numbers(rng, given):
    kind, shape = given if isinstance(given, tuple) else ("any", given)
    if kind == "positive":
        return np.round(rng.uniform(0.25, 2, shape) * 256) / 256
    if kind == "coarse":
        return np.round(rng.uniform(-1, 1, shape) * 2) / 2
    if kind == "integer":
        return rng.integers(0, 2, shape)
    return grid(rng, *shape)


def filled(argument, tensors):
    if isinstance(argument, str):
        return tensors[int(argument[1:])]
    if isinstance(argument, list):
        return [filled(each, tensors) for each in argument]
    return argument


def case(seed, name, shapes, arguments):
    rng = np.random.default_rng(seed)
    inputs = [numbers(rng, each) for each in shapes]

    def call(dtype):
        leaves = [torch.tensor(x) if np.asarray(x).dtype.kind == "i" else leaf(x, dtype) for x in inputs]
        return leaves, FUNCTIONS[name](*filled(arguments, leaves))

    gradient = grid(rng, *call(torch.float64)[1].shape)

    def compute(dtype):
        leaves, result = call(dtype)
        result.backward(torch.tensor(gradient, dtype=dtype))
        return {"result": result.detach(), "gradients": [each.grad for each in leaves]}

    return {
        "function": name,
        "inputs": [torch.tensor(x) for x in inputs],
        "arguments": arguments,
        "gradient": torch.tensor(gradient),
        "expected": both(compute),
    }


def main():
    cases = [case(610 + i, *each) for i, each in enumerate(CASES)]
    write(__file__, {"cases": cases}, f"{len(cases)} cases")


if __name__ == "__main__":
    run(main)
