"""Reference numbers from PyTorch for whole networks, trained for a few steps: a siamese network, a decoder with attention in a
loop over a cell, convolution with batch normalisation before a ragged GRU, and CTC.

    python3 tests/golden/networks.py       writes tests/golden/networks.json

common.py says how numbers are made. Ragged convolutions are computed row by row, since PyTorch has no lengths there.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence

from common import grid, run, write

STEPS = 3


def parameters_of(rng, shapes):
    return {name: grid(rng, *shape, bound=0.5) for name, shape in shapes.items()}


def gru_shapes(prefix, d, h):
    shapes = {"weight_ih_l0": [3 * h, d], "weight_hh_l0": [3 * h, h], "bias_ih_l0": [3 * h], "bias_hh_l0": [3 * h]}
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def train(name, weights, inputs, loss_of, buffers=()):
    """`STEPS` steps of SGD; the losses, the last gradients, and the parameters after them."""
    p = {key: torch.tensor(value, dtype=torch.float64, requires_grad=True) for key, value in weights.items()}
    state = {key: torch.tensor(value, dtype=torch.float64) for key, value in buffers}
    optimizer = torch.optim.SGD(list(p.values()), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(p, state)
        loss.backward()
        losses.append(loss.item())
        optimizer.step()
    array = lambda tensor: tensor.detach().numpy()
    return {
        "name": name,
        "weights": weights,
        "inputs": inputs,
        "losses": np.array(losses),
        "gradients": {key: array(value.grad) for key, value in p.items()},
        "values": {**{key: array(value) for key, value in p.items()}, **{key: array(value) for key, value in state.items()}},
    }


def gru(p, prefix, x, lengths=None):
    """The last state of a GRU over x [T,N,D]; by PyTorch's own function, since the module copies its weights."""
    weights = [p[f"{prefix}.{name}_l0"] for name in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]]
    h0 = torch.zeros(1, x.shape[1], weights[1].shape[1], dtype=x.dtype)
    if lengths is None:
        return torch._VF.gru(x, h0, weights, True, 1, 0.0, True, False, False)[1][0]
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
    hn = torch._VF.gru(packed.data, packed.batch_sizes, h0, weights, True, 1, 0.0, True, False)[1][0]
    return hn[packed.unsorted_indices]


def siamese(rng):
    weights = parameters_of(rng, {**gru_shapes("gru", 3, 4), "linear.weight": [2, 4], "linear.bias": [2]})
    inputs = {"a": grid(rng, 5, 3, 3), "b": grid(rng, 4, 3, 3)}
    a, b = (torch.tensor(inputs[key]) for key in "ab")

    def loss_of(p, _):
        encode = lambda x: F.linear(gru(p, "gru", x), p["linear.weight"], p["linear.bias"])
        return F.mse_loss(encode(a), encode(b)) + 0.5 * F.l1_loss(encode(a), encode(b))

    return train("siamese", weights, inputs, loss_of)


def decoder(rng):
    v, e, h, k, a = 6, 3, 4, 5, 3
    shapes = {
        "embedding.weight": [v, e],
        "cell.weight_ih": [4 * h, e + k],
        "cell.weight_hh": [4 * h, h],
        "cell.bias_ih": [4 * h],
        "cell.bias_hh": [4 * h],
        "attention.weight_query": [a, h],
        "attention.weight_key": [a, k],
        "attention.bias": [a],
        "attention.v": [a],
        "head.weight": [v, h + k],
        "head.bias": [v],
    }
    weights = parameters_of(rng, shapes)
    inputs = {"keys": grid(rng, 6, 2, k), "targets": rng.integers(0, v, (4, 2))}
    keys, targets, lengths = torch.tensor(inputs["keys"]), torch.tensor(inputs["targets"]), [6, 4]
    taking = torch.arange(6)[None] < torch.tensor(lengths)[:, None]  # [N,T]

    def loss_of(p, _):
        state = c = torch.zeros(2, h, dtype=torch.float64)
        previous = torch.zeros(2, dtype=torch.long)
        logits = []
        for t in range(len(targets)):
            query = F.linear(state, p["attention.weight_query"])
            projected = F.linear(keys, p["attention.weight_key"], p["attention.bias"])
            scores = (torch.tanh(query[None] + projected) @ p["attention.v"]).T
            attention = torch.softmax(scores.masked_fill(~taking, -torch.inf), 1)
            context = torch.einsum("nt,tnk->nk", attention, keys)
            x = torch.cat([p["embedding.weight"][previous], context], 1)
            gates = F.linear(x, p["cell.weight_ih"], p["cell.bias_ih"])
            gates = gates + F.linear(state, p["cell.weight_hh"], p["cell.bias_hh"])
            i, f, g, o = gates.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(c)
            logits.append(F.linear(torch.cat([state, context], 1), p["head.weight"], p["head.bias"]))
            previous = targets[t]
        return F.cross_entropy(torch.stack(logits).flatten(0, 1), targets.flatten())

    return train("decoder", weights, {**inputs, "lengths": np.array(lengths)}, loss_of)


def convolution(rng):
    shapes = {"conv.weight": [4, 2, 3], "conv.bias": [4], "norm.weight": [4], "norm.bias": [4]}
    weights = parameters_of(rng, {**shapes, **gru_shapes("gru", 4, 3), "head.weight": [3, 3], "head.bias": [3]})
    lengths = [7, 3, 5]
    inputs = {"x": grid(rng, 7, 3, 2), "targets": rng.integers(0, 3, 3)}
    x, targets = torch.tensor(inputs["x"]), torch.tensor(inputs["targets"])
    buffers = [("norm.running_mean", np.zeros(4)), ("norm.running_var", np.ones(4))]

    def loss_of(p, state):
        rows = []
        for row, length in enumerate(lengths):
            own = x[:length, row].T[None]  # [1,C,T]
            rows.append(F.conv1d(own, p["conv.weight"], p["conv.bias"], padding=1)[0].T)
        joined = F.batch_norm(
            torch.cat(rows),
            state["norm.running_mean"],
            state["norm.running_var"],
            p["norm.weight"],
            p["norm.bias"],
            training=True,
        )
        parts = torch.relu(joined).split(lengths)
        hidden = torch.nn.utils.rnn.pad_sequence(parts)
        return F.cross_entropy(F.linear(gru(p, "gru", hidden, lengths), p["head.weight"], p["head.bias"]), targets)

    return train("convolution", weights, {**inputs, "lengths": np.array(lengths)}, loss_of, buffers)


def ctc(rng):
    shapes = {"conv.weight": [4, 2, 2], "conv.bias": [4], "head.weight": [5, 4], "head.bias": [5]}
    weights = parameters_of(rng, shapes)
    inputs = {"x": grid(rng, 12, 2, 2), "targets": rng.integers(1, 5, (2, 3))}
    x, targets = torch.tensor(inputs["x"]), torch.tensor(inputs["targets"])
    input_lengths, target_lengths = [12, 8], [3, 2]

    def loss_of(p, _):
        rows = [
            F.conv1d(x[:length, row].T[None], p["conv.weight"], p["conv.bias"], stride=2)[0].T
            for row, length in enumerate(input_lengths)
        ]
        hidden = torch.tanh(torch.nn.utils.rnn.pad_sequence(rows))
        logits = F.linear(hidden, p["head.weight"], p["head.bias"])
        lengths = [len(row) for row in rows]
        return F.ctc_loss(F.log_softmax(logits, 2), targets, torch.tensor(lengths), torch.tensor(target_lengths))

    lengths = {"lengths": np.array(input_lengths), "targetLengths": np.array(target_lengths)}
    return train("ctc", weights, {**inputs, **lengths}, loss_of)


def main():
    rng = np.random.default_rng(12)
    networks = [make(rng) for make in [siamese, decoder, convolution, ctc]]
    write(__file__, {"networks": networks}, f"{len(networks)} networks")


if __name__ == "__main__":
    run(main)
