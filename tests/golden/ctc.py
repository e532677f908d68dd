"""Reference numbers from PyTorch for ctcLoss: ctc_loss of log_softmax(logits), its gradient with respect to the logits.

    python3 tests/golden/ctc.py       writes tests/golden/ctc.json

common.py says how numbers are made. All is computed in float64 alone: PyTorch's ctc_loss in float32 adds up logarithms in
float32, with errors of 4e-6. Numbers that are not finite are written as text. Input lengths of 0 are left out: there PyTorch
1.13 reads memory that it has not written.
"""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F

from common import grid, leaf, run, write


def case(seed, steps, rows, classes, columns, reduction, zero_infinity, ragged, impossible=False):
    rng = np.random.RandomState(4000 + seed)
    blank = [0, classes - 1, classes // 2][seed % 3]
    logits = grid(rng, steps, rows, classes, bound=3.0)
    labels = [label for label in range(classes) if label != blank]
    targets = rng.choice(labels, (rows, columns))
    if columns > 1:
        targets[0, 1] = targets[0, 0]
    target_lengths = np.arange(rows) % (columns + 1) if ragged else np.full(rows, columns)
    # As many steps as the labels and the blanks between equal ones need, or, for one row, one less.
    needed = [
        length + int((targets[row, 1:length] == targets[row, : max(length - 1, 0)]).sum()) if length > 0 else 1
        for row, length in enumerate(target_lengths)
    ]
    input_lengths = np.array([max(1, min(steps, n + row % 3)) for row, n in enumerate(needed)]) if ragged else np.full(rows, steps)
    if impossible:
        longest = int(np.argmax(needed))
        input_lengths[longest] = needed[longest] - 1

    x = leaf(logits, torch.float64)
    loss = F.ctc_loss(
        F.log_softmax(x, -1),
        torch.tensor(targets),
        torch.tensor(input_lengths),
        torch.tensor(target_lengths),
        blank=blank,
        reduction=reduction,
        zero_infinity=zero_infinity,
    )
    loss.sum().backward()
    return {
        "logits": logits,
        "targets": targets,
        "options": {
            "reduction": reduction,
            "zeroInfinity": zero_infinity,
            "blank": blank,
            "inputLengths": input_lengths.tolist(),
            "targetLengths": target_lengths.tolist(),
        },
        "expected": {"loss": texts(loss.detach()), "gradient": texts(x.grad)},
    }


def texts(tensor):
    data = [value if math.isfinite(value) else str(value) for value in tensor.flatten().tolist()]
    return {"shape": list(tensor.shape), "data": data}


def main():
    shapes = [(1, 1, 2, 1), (5, 3, 4, 2), (7, 4, 3, 3), (12, 5, 6, 4), (17, 3, 9, 7), (6, 2, 3, 0), (33, 2, 5, 16)]
    settings = itertools.product(shapes, ["mean", "sum", "none"], [False, True])
    cases = [case(seed, *shape, reduction, False, ragged) for seed, (shape, reduction, ragged) in enumerate(settings)]
    for seed, (reduction, zero_infinity) in enumerate(itertools.product(["mean", "sum", "none"], [False, True])):
        cases.append(case(100 + seed, 7, 4, 4, 3, reduction, zero_infinity, True, impossible=True))
    write(__file__, {"cases": cases}, f"{len(cases)} cases")


run(main)
