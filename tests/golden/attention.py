"""Reference numbers from PyTorch for attention layers: nn.MultiheadAttention, and additive attention made of its functions.

    python3 tests/golden/attention.py       writes tests/golden/attention.json

common.py says how numbers are made. Masks are of 1 for what takes part; PyTorch's key_padding_mask is the opposite. Every row
has a key that takes part: PyTorch gives NaN where there is none.
"""

import itertools

import numpy as np
import torch

from common import both, differentiate, grid, leaf, load, run, write


def masked(rng, rows, steps, kind):
    """The option as the layers take it, and the keys that take part."""
    if kind is None:
        return {}, np.ones((rows, steps), dtype=int)
    if kind == "lengths":
        lengths = [1 + (row + steps - 1) % steps for row in range(rows)]
        return {"lengths": lengths}, np.array([[int(t < n) for t in range(steps)] for n in lengths])
    mask = rng.randint(0, 2, (rows, steps))
    mask[:, -1] = 1
    return {"mask": mask}, mask


def shape(steps, rows, size, batch_first):
    if rows == 0:
        return (steps, size)
    return (rows, steps, size) if batch_first else (steps, rows, size)


def multihead(seed, embed, heads, options, rows, queries, keys, kind, inputs, causal):
    """rows 0 is one sequence [T,E]; inputs is the number of tensors that are given: 1 is self-attention."""
    rng = np.random.RandomState(5000 + seed)
    batch_first = options["batchFirst"]
    parts = {"in_proj_weight": (3 * embed, embed), "in_proj_bias": (3 * embed,), "out_proj.weight": (embed, embed), "out_proj.bias": (embed,)}
    weights = {
        name: grid(rng, *axes, bound=0.5) for name, axes in parts.items() if options["bias"] or not name.endswith("bias")
    }
    arrays = {
        name: grid(rng, *shape(steps, rows, embed, batch_first))
        for name, steps in [("query", queries), ("key", keys), ("value", keys)][:inputs]
    }
    option, taking = masked(rng, max(rows, 1), keys, kind)
    gradients = {
        "output": grid(rng, *arrays["query"].shape),
        "weights": grid(rng, *((queries, keys) if rows == 0 else (rows, queries, keys))),
    }

    def compute(dtype):
        module = torch.nn.MultiheadAttention(embed, heads, bias=options["bias"], batch_first=batch_first).to(dtype)
        parameters = load(module, weights)
        given = {name: leaf(array, dtype) for name, array in arrays.items()}
        query = given["query"]
        key = given.get("key", query)
        output, averaged = module(
            query,
            key,
            given.get("value", key),
            key_padding_mask=None if kind is None else torch.tensor(taking[0] if rows == 0 else taking) == 0,
            attn_mask=torch.ones(queries, keys, dtype=torch.bool).triu(1) if causal else None,
        )
        return differentiate({"output": output, "weights": averaged}, gradients, parameters, given)

    return {
        "embedDim": embed,
        "numHeads": heads,
        "options": options,
        "weights": weights,
        "inputs": arrays,
        "forward": {**option, **({"causal": True} if causal else {})},
        "gradients": gradients,
        "expected": both(compute),
    }


def additive(seed, sizes, rows, steps, batch_first, kind, given):
    rng = np.random.RandomState(6000 + seed)
    query, key, hidden = sizes
    weights = {
        "weight_query": grid(rng, hidden, query),
        "weight_key": grid(rng, hidden, key),
        "bias": grid(rng, hidden),
        "v": grid(rng, hidden),
    }
    arrays = {"query": grid(rng, rows, query), "keys": grid(rng, *shape(steps, rows, key, batch_first))}
    option, taking = masked(rng, rows, steps, kind)
    gradients = {"output": grid(rng, rows, key), "weights": grid(rng, rows, steps)}
    gradients = {name: gradients[name] for name in given}

    def compute(dtype):
        parameters = {name: leaf(array, dtype) for name, array in weights.items()}
        inputs = {name: leaf(array, dtype) for name, array in arrays.items()}
        keys = inputs["keys"] if batch_first else inputs["keys"].transpose(0, 1)
        hidden = torch.tanh(
            (inputs["query"] @ parameters["weight_query"].T)[:, None]
            + keys @ parameters["weight_key"].T
            + parameters["bias"]
        )
        scores = (hidden @ parameters["v"]).masked_fill(torch.tensor(taking) == 0, -torch.inf)
        attention = scores.softmax(-1)
        output = (attention[:, None] @ keys)[:, 0]
        return differentiate({"output": output, "weights": attention}, gradients, parameters, inputs)

    return {
        "sizes": sizes,
        "batchFirst": batch_first,
        "weights": weights,
        "inputs": arrays,
        "forward": option,
        "gradients": gradients,
        "expected": both(compute),
    }


def main():
    kinds = [None, "lengths", "mask"]
    shapes = [(4, 1, 2, 3, 3), (6, 3, 1, 5, 4), (6, 2, 0, 4, 4), (8, 4, 3, 2, 7), (5, 5, 2, 1, 1)]
    heads = []
    for seed, ((embed, count, rows, queries, keys), kind, inputs) in enumerate(itertools.product(shapes, kinds, [1, 2, 3])):
        options = {"bias": seed % 4 != 3, "batchFirst": rows > 0 and seed % 2 == 1}
        own = queries if inputs == 1 else keys
        # A causal mask with one of keys may leave a row without any.
        heads.append(multihead(seed, embed, count, options, rows, queries, own, kind, inputs, kind is None and seed % 2 == 0))
    sizes = [((3, 4, 5), 2, 6), ((2, 3, 2), 1, 1), ((7, 1, 3), 3, 4)]
    given = [("output", "weights"), ("output",), ("weights",)]
    settings = itertools.product(sizes, [False, True], kinds)
    additives = [
        additive(seed, list(size), rows, steps, batch_first, kind, given[seed % 3])
        for seed, ((size, rows, steps), batch_first, kind) in enumerate(settings)
    ]
    write(__file__, {"multihead": heads, "additive": additives}, f"{len(heads)} and {len(additives)} cases")


run(main)
