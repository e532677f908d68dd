# NumPy or PyTorch (the argument) as a contestant of bench/peers.ts; the protocol is that of bench/worker.ts.

import json
import sys
from statistics import median
from time import perf_counter

import numpy as np


def numpy_lstm(task, read):
    """The textbook's loops over time: one product of [1, x, h] with one matrix for each step. Gates i f g o."""
    sizes = task["sizes"]
    N, T, D, H = sizes["N"], sizes["T"], sizes["D"], sizes["H"]
    x, d_output = read("x", (T, N, D)), read("dOutput", (T, N, H))
    W = np.concatenate(
        [read("biasIh", (1, 4 * H)) + read("biasHh", (1, 4 * H)), read("weightIh", (4 * H, D)).T, read("weightHh", (4 * H, H)).T]
    )
    dtype = x.dtype
    zeros = np.zeros((N, H), dtype)

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    def forward(x, h, c):
        T = len(x)
        hin = np.empty((T, N, 1 + D + H), dtype)
        gates = np.empty((T, N, 4 * H), dtype)
        cs = np.empty((T + 1, N, H), dtype)
        phi = np.empty((T, N, H), dtype)
        output = np.empty((T, N, H), dtype)
        cs[0] = c
        for t in range(T):
            hin[t, :, 0] = 1
            hin[t, :, 1 : 1 + D] = x[t]
            hin[t, :, 1 + D :] = h
            a = hin[t].dot(W)
            gates[t, :, : 2 * H] = sigmoid(a[:, : 2 * H])
            gates[t, :, 2 * H : 3 * H] = np.tanh(a[:, 2 * H : 3 * H])
            gates[t, :, 3 * H :] = sigmoid(a[:, 3 * H :])
            i, f, g, o = (gates[t, :, k * H : (k + 1) * H] for k in range(4))
            cs[t + 1] = f * cs[t] + i * g
            phi[t] = np.tanh(cs[t + 1])
            h = output[t] = o * phi[t]
        return output, (hin, gates, cs, phi)

    def backward(d_output, cache):
        hin, gates, cs, phi = cache
        d_x = np.empty((T, N, D), dtype)
        d_W = np.zeros_like(W)
        d_h, d_c = zeros, zeros
        d_a = np.empty((N, 4 * H), dtype)
        for t in reversed(range(T)):
            i, f, g, o = (gates[t, :, k * H : (k + 1) * H] for k in range(4))
            d_h = d_output[t] + d_h
            d_c = d_c + d_h * o * (1 - phi[t] ** 2)
            d_a[:, :H] = d_c * g * i * (1 - i)
            d_a[:, H : 2 * H] = d_c * cs[t] * f * (1 - f)
            d_a[:, 2 * H : 3 * H] = d_c * i * (1 - g**2)
            d_a[:, 3 * H :] = d_h * phi[t] * o * (1 - o)
            d_c = d_c * f
            d_W += hin[t].T.dot(d_a)
            d_hin = d_a.dot(W.T)
            d_x[t] = d_hin[:, 1 : 1 + D]
            d_h = d_hin[:, 1 + D :]
        return d_x, d_W, d_h

    if task["op"] == "step":
        state = [zeros, zeros]

        def step():
            output, (_, _, cs, _) = forward(x, *state)
            state[:] = output[0], cs[1]
            return output

        return step, lambda output: {"output": output}
    if task["op"] == "forward":
        return lambda: forward(x, zeros, zeros)[0], lambda output: {"output": output}

    def both():
        output, cache = forward(x, zeros, zeros)
        return output, backward(d_output, cache)

    def results(result):
        output, (d_x, d_W, d_h) = result
        assert d_W.dtype == d_h.dtype == dtype
        return {
            "output": output, "dX": d_x, "dH0": d_h, "dBias": d_W[0], "dWeightIh": d_W[1 : 1 + D].T, "dWeightHh": d_W[1 + D :].T,
        }  # fmt: skip

    return both, results


def torch_lstm(task, read):
    import torch

    torch.set_num_threads(task["threads"])
    sizes = task["sizes"]
    N, T, D, H = sizes["N"], sizes["T"], sizes["D"], sizes["H"]
    x, d_output = torch.tensor(read("x", (T, N, D))), torch.tensor(read("dOutput", (T, N, H)))
    shapes = {"weightIh": (4 * H, D), "weightHh": (4 * H, H), "biasIh": (4 * H,), "biasHh": (4 * H,)}
    module = (torch.nn.LSTMCell if task["op"] == "step" else torch.nn.LSTM)(D, H).to(x.dtype)
    with torch.no_grad():
        for parameter, (name, shape) in zip(module.parameters(), shapes.items()):
            parameter.copy_(torch.tensor(read(name, shape)))
    if task["op"] == "step":
        row = x[0]
        state = [torch.zeros(N, H, dtype=x.dtype), torch.zeros(N, H, dtype=x.dtype)]

        def step():
            with torch.no_grad():
                state[:] = module(row, state)
            return state[0]

        return step, lambda output: {"output": output.numpy()}
    if task["op"] == "forward":

        def forward():
            with torch.no_grad():
                return module(x)[0]

        return forward, lambda output: {"output": output.numpy()}
    h0, c0 = (torch.zeros(1, N, H, dtype=x.dtype, requires_grad=True) for _ in range(2))
    x.requires_grad_()

    def both():
        output, _ = module(x, (h0, c0))
        return output, *torch.autograd.grad(output, [x, h0, c0, *module.parameters()], d_output)

    names = ["output", "dX", "dH0", "dC0", "dWeightIh", "dWeightHh", "dBias"]
    return both, lambda result: {name: tensor.detach().numpy() for name, tensor in zip(names, result)}


def timed(call):
    start = perf_counter()
    result = call()
    return result, perf_counter() - start


def main():
    def answer(message):
        print(json.dumps(message), flush=True)

    task = json.loads(sys.stdin.readline())
    dtype = np.float64 if task["dtype"] == "f64" else np.float32

    def read(name, shape):
        return np.fromfile(f"{task['folder']}/{name}.raw").astype(dtype).reshape(shape)

    call, results = {"numpy": numpy_lstm, "torch": torch_lstm}[sys.argv[1]](task, read)
    result, first = timed(call)
    if task["op"] == "step":
        for _ in range(2):
            result = call()
    arrays = results(result)
    for name, array in arrays.items():
        assert array.dtype == dtype, name
        array.astype(np.float64).tofile(f"{task['folder']}/{task['name']}.{name}.raw")
    answer({"firstMs": first * 1000, "results": list(arrays)})
    del result, arrays
    for line in sys.stdin:
        end = perf_counter() + json.loads(line)["run"] / 1000
        times = []
        while not times or perf_counter() < end:
            times.append(timed(call)[1])
        answer({"us": median(times) * 1e6, "calls": len(times)})


main()
