"""Small networks that PyTorch exports to ONNX, with their outputs and the gradients of their inputs and parameters.

    python3 tests/golden/onnx_networks.py      writes tests/golden/onnx_networks.json

Exported in float64 (fromOnnx computes the same file in f32 as well) and without constant folding, so that initializers keep the
names of the parameters; the recurrent weights are rearranged by nodes of the graph, through which gradients must pass.
common.py says how numbers are made.
"""

import base64
import io
import warnings

import numpy as np
import torch
import torch.nn.functional as F

from common import differentiate, grid, load, run, write


class Recurrent(torch.nn.Module):
    """A recurrent layer and a linear one, with the first state as an input."""

    def __init__(self, kind, d, h, out, **options):
        super().__init__()
        self.rnn = getattr(torch.nn, kind)(d, h, **options)
        self.lstm = kind == "LSTM"
        directions = 2 if options.get("bidirectional") else 1
        self.linear = torch.nn.Linear(directions * h, out)

    def forward(self, x, h0, c0=None):
        y, last = self.rnn(x, (h0, c0) if self.lstm else h0)
        states = last if self.lstm else (last,)
        return (self.linear(y), *states)


class CRNN(torch.nn.Module):
    """Convolutions with normalisation and pooling, an LSTM over the columns, log-probabilities."""

    def __init__(self):
        super().__init__()
        self.a = torch.nn.Conv2d(1, 3, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(3, eps=2**-10)  # attributes are float32
        self.b = torch.nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0), groups=1)
        self.lstm = torch.nn.LSTM(8, 5, bidirectional=True)
        self.linear = torch.nn.Linear(10, 4)

    def forward(self, image):
        x = F.max_pool2d(F.relu(self.norm(self.a(image))), 2, 2)
        x = F.leaky_relu(self.b(x), 0.125)
        x = x.flatten(1, 2).permute(2, 0, 1)
        return F.log_softmax(self.linear(self.lstm(x)[0]), -1)


class Decoder(torch.nn.Module):
    """A step of a decoder with attention over masked keys."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 4)
        self.gru = torch.nn.GRU(4 + 5, 5)
        self.query = torch.nn.Linear(5, 6)
        self.key = torch.nn.Linear(5, 6, bias=False)
        self.score = torch.nn.Linear(6, 1)
        self.out = torch.nn.Linear(10, 7)

    def forward(self, token, hidden, keys, lengths):
        scores = self.score(torch.tanh(self.query(hidden[0]).unsqueeze(1) + self.key(keys))).squeeze(2)
        past = torch.arange(keys.shape[1]).unsqueeze(0) >= lengths.unsqueeze(1)
        weights = F.softmax(scores.masked_fill(past, -1e9), 1)
        context = torch.bmm(weights.unsqueeze(1), keys).squeeze(1)
        x = torch.cat([self.embedding(token), context], 1).unsqueeze(0)
        y, hidden = self.gru(x, hidden)
        return F.log_softmax(self.out(torch.cat([y[0], context], 1)), 1), hidden


class Enhancer(torch.nn.Module):
    """What networks for audio are made of: strided and transposed convolutions with skips, gates, norms, squared magnitudes."""

    def __init__(self):
        super().__init__()
        self.down = torch.nn.Conv2d(2, 4, (1, 5), stride=(1, 2), padding=(0, 2), groups=2)
        self.act = torch.nn.PReLU()
        self.depth = torch.nn.Conv2d(4, 4, (3, 3), padding=(0, 1), dilation=(2, 1), groups=4)
        self.norm = torch.nn.BatchNorm2d(4, eps=2**-10)
        self.gru = torch.nn.GRU(4, 4, batch_first=True)
        self.up = torch.nn.ConvTranspose2d(4, 2, (1, 5), stride=(1, 2), padding=(0, 2), groups=2)

    def forward(self, x):
        power = torch.log(torch.sqrt(x.pow(2).sum(1, keepdim=True) + 1e-6))
        x = torch.cat([x, power - power.mean(3, keepdim=True)], 1)[:, :2]
        skip = self.act(self.down(x))
        y = self.norm(self.depth(F.pad(skip, [0, 0, 4, 0])))
        a, b = torch.chunk(y, 2, dim=1)
        y = torch.stack([a * torch.sigmoid(b), b - a], 2).reshape(y.shape)
        energy = y.pow(2).mean(-1).transpose(1, 2)
        gate = torch.sigmoid(self.gru(energy)[0]).transpose(1, 2).unsqueeze(-1)
        return torch.clamp(torch.tanh(self.up(y * gate + skip)), -0.9, 0.9)


def numbers(rng, module):
    """Weights for a module: multiples of 1/256; running statistics that are no fixed points."""
    weights = {name: grid(rng, *value.shape, bound=0.5) for name, value in module.named_parameters()}
    buffers = {
        name: np.abs(grid(rng, *value.shape)) + 0.5
        for name, value in module.named_buffers()
        if value.dtype == torch.float64
    }
    return weights, buffers


def case(name, module, opset, inputs, outputs, rng, axes=None):
    """Exports a module and computes it."""
    module = module.double().eval()
    weights, buffers = numbers(rng, module)
    parameters = load(module, weights)
    with torch.no_grad():
        for key, value in module.named_buffers():
            if key in buffers:
                value.copy_(torch.tensor(buffers[key]))
    given = {
        key: torch.tensor(value, requires_grad=value.dtype == np.float64) for key, value in inputs.items()
    }
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's notes on what it takes as constant
        torch.onnx.export(
            module,
            tuple(given.values()),
            file,
            opset_version=opset,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes=axes,
        )
    results = module(*given.values())
    results = dict(zip(outputs, results if isinstance(results, tuple) else (results,)))
    seeds = {key: grid(rng, *value.shape) for key, value in results.items()}
    leaves = {key: value for key, value in given.items() if value.requires_grad}
    return {
        "name": name,
        "opset": opset,
        "file": base64.b64encode(file.getvalue()).decode(),
        "inputs": inputs,
        "seeds": seeds,
        **differentiate(results, seeds, parameters, leaves),
    }


def main():
    rng = np.random.default_rng(1313)
    t, n = 4, 2
    cases = []
    for name, kind, opset, options in [
        ("lstm", "LSTM", 13, {}),
        ("lstm-2l-bi", "LSTM", 11, {"num_layers": 2, "bidirectional": True}),
        ("gru", "GRU", 15, {}),
        ("gru-2l-bi", "GRU", 13, {"num_layers": 2, "bidirectional": True}),
        ("rnn-tanh", "RNN", 9, {}),
        ("rnn-relu-2l", "RNN", 11, {"num_layers": 2, "nonlinearity": "relu"}),
    ]:
        state = (options.get("num_layers", 1) * (2 if options.get("bidirectional") else 1), n, 3)
        inputs = {"x": grid(rng, t, n, 5), "h0": grid(rng, *state)}
        outputs = ["y", "hn"]
        if kind == "LSTM":
            inputs["c0"] = grid(rng, *state)
            outputs.append("cn")
        cases.append(case(name, Recurrent(kind, 5, 3, 2, **options), opset, inputs, outputs, rng))
    cases.append(case("crnn", CRNN(), 13, {"image": grid(rng, 2, 1, 8, 12)}, ["y"], rng))
    decoder = {
        "token": np.array([3, 6]),
        "hidden": grid(rng, 1, n, 5),
        "keys": grid(rng, n, 6, 5),
        "lengths": np.array([6, 3]),
    }
    cases.append(case("decoder", Decoder(), 13, decoder, ["scores", "next"], rng))
    cases.append(case("enhancer", Enhancer(), 11, {"x": grid(rng, 1, 2, 5, 17)}, ["y"], rng))
    write(__file__, {"cases": cases}, f"{len(cases)} networks")


run(main)
