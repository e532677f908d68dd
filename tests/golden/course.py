"""Reference numbers for the Coursera and CS231n functions: plain NumPy, one step at a time, as the equations read.

    python3 tests/golden/course.py        writes tests/golden/course.json

Results carry the names of the TypeScript functions' results. A case is a forward pass, and a backward pass where a
gradient is among its inputs. `printed` are figures that the course prints, as text, so that their digits count; this
script holds its own results against them before it writes anything.
"""

import json
import pathlib

import numpy as np

# ---------------------------------------------------------------------------------------------------------------------
# Coursera: arrays are (features, batch[, time]); an LSTM's weights act on the concatenation [a_prev; x]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(axis=0))
    return e / e.sum(axis=0)


def relu(z):
    # No number so close to the kink that f32, or a difference quotient, could take the other branch.
    # Exact zeros are cell states that never left zero.
    assert np.abs(z[z != 0]).min() > 5e-3, "choose another seed"
    return np.maximum(z, 0)


# each with its derivative, written in terms of its output
ACTIVATIONS = {"tanh": (np.tanh, lambda a: 1 - a**2), "relu": (relu, lambda a: (a > 0).astype(a.dtype))}
OUTPUTS = {"softmax": softmax, "sigmoid": sigmoid}


def rnn_cell_forward(xt, a_prev, p, activation="tanh", output="softmax"):
    f, _ = ACTIVATIONS[activation]
    a_next = f(p["Wax"] @ xt + p["Waa"] @ a_prev + p["ba"])
    out = {"aNext": a_next}
    if "Wya" in p:
        out["ytPred"] = OUTPUTS[output](p["Wya"] @ a_next + p["by"])
    return out, (a_next, a_prev, xt, p, activation)


def rnn_forward(x, a0, p, activation="tanh", output="softmax"):
    a, steps, caches = a0, [], []
    for t in range(x.shape[2]):
        step, cache = rnn_cell_forward(x[:, :, t], a, p, activation, output)
        a = step["aNext"]
        steps.append(step)
        caches.append(cache)
    out = {"a": over_time(steps, "aNext")}
    if "Wya" in p:
        out["yPred"] = over_time(steps, "ytPred")
    return out, caches


def rnn_cell_backward(da_next, cache):
    a_next, a_prev, xt, p, activation = cache
    _, df = ACTIVATIONS[activation]
    dz = da_next * df(a_next)
    return {
        "dxt": p["Wax"].T @ dz,
        "daPrev": p["Waa"].T @ dz,
        "dWax": dz @ xt.T,
        "dWaa": dz @ a_prev.T,
        "dba": dz.sum(axis=1, keepdims=True),
    }


def rnn_backward(da, caches):
    da_prev, steps = 0, []
    for t in reversed(range(da.shape[2])):
        step = rnn_cell_backward(da[:, :, t] + da_prev, caches[t])
        da_prev = step["daPrev"]
        steps.insert(0, step)
    return {"dx": over_time(steps, "dxt"), "da0": da_prev, **summed(steps, ["dWax", "dWaa", "dba"])}


def lstm_cell_forward(xt, a_prev, c_prev, p, activation="tanh", output="softmax"):
    f, _ = ACTIVATIONS[activation]
    z = np.concatenate([a_prev, xt])
    ft = sigmoid(p["Wf"] @ z + p["bf"])
    it = sigmoid(p["Wi"] @ z + p["bi"])
    cct = f(p["Wc"] @ z + p["bc"])
    ot = sigmoid(p["Wo"] @ z + p["bo"])
    c_next = ft * c_prev + it * cct
    a_next = ot * f(c_next)
    out = {"aNext": a_next, "cNext": c_next}
    if "Wy" in p:
        out["ytPred"] = OUTPUTS[output](p["Wy"] @ a_next + p["by"])
    return out, (z, c_prev, c_next, ft, it, cct, ot, p, activation)


def lstm_forward(x, a0, p, activation="tanh", output="softmax"):
    a, c, steps, caches = a0, np.zeros_like(a0), [], []
    for t in range(x.shape[2]):
        step, cache = lstm_cell_forward(x[:, :, t], a, c, p, activation, output)
        a, c = step["aNext"], step["cNext"]
        steps.append(step)
        caches.append(cache)
    out = {"a": over_time(steps, "aNext"), "c": over_time(steps, "cNext")}
    if "Wy" in p:
        out["y"] = over_time(steps, "ytPred")
    return out, caches


def lstm_cell_backward(da_next, dc_next, cache):
    z, c_prev, c_next, ft, it, cct, ot, p, activation = cache
    f, df = ACTIVATIONS[activation]
    h = f(c_next)
    dc = dc_next + da_next * ot * df(h)
    gates = {  # gradients of each gate's input
        "f": dc * c_prev * ft * (1 - ft),
        "i": dc * cct * it * (1 - it),
        "c": dc * it * df(cct),
        "o": da_next * h * ot * (1 - ot),
    }
    dz = sum(p["W" + g].T @ d for g, d in gates.items())
    n_a = len(c_prev)
    out = {"dxt": dz[n_a:], "daPrev": dz[:n_a], "dcPrev": dc * ft}
    for g, d in gates.items():
        out["dW" + g] = d @ z.T
        out["db" + g] = d.sum(axis=1, keepdims=True)
    return out


LSTM_PARAMETER_GRADIENTS = ["dWf", "dbf", "dWi", "dbi", "dWc", "dbc", "dWo", "dbo"]


def lstm_backward(da, caches):
    da_prev, dc_prev, steps = 0, 0, []
    for t in reversed(range(da.shape[2])):
        step = lstm_cell_backward(da[:, :, t] + da_prev, dc_prev, caches[t])
        da_prev, dc_prev = step["daPrev"], step["dcPrev"]
        steps.insert(0, step)
    return {"dx": over_time(steps, "dxt"), "da0": da_prev, **summed(steps, LSTM_PARAMETER_GRADIENTS)}


def lstm_backward_no_carry(da, caches):
    """WRONG on purpose: every step by itself, nothing handed to the step before. Widely published."""
    steps = [lstm_cell_backward(da[:, :, t], 0, caches[t]) for t in range(da.shape[2])]
    return {"dx": over_time(steps, "dxt"), "da0": steps[0]["daPrev"], **summed(steps, LSTM_PARAMETER_GRADIENTS)}


def over_time(steps, name):
    return np.stack([step[name] for step in steps], axis=2)


def summed(steps, names):
    return {name: sum(step[name] for step in steps) for name in names}


# ---------------------------------------------------------------------------------------------------------------------
# CS231n: arrays are (batch[, time], features), weights (in, out), an LSTM's 4H columns in the order i f o g


def cs_rnn_step_forward(x, prev_h, Wx, Wh, b):
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return {"nextH": next_h}, (x, prev_h, Wx, Wh, next_h)


def cs_rnn_step_backward(dnext_h, cache):
    x, prev_h, Wx, Wh, next_h = cache
    dz = dnext_h * (1 - next_h**2)
    return {"dx": dz @ Wx.T, "dprevH": dz @ Wh.T, "dWx": x.T @ dz, "dWh": prev_h.T @ dz, "db": dz.sum(axis=0)}


def cs_rnn_forward(x, h0, Wx, Wh, b):
    h, hs, cache = h0, [], []
    for t in range(x.shape[1]):
        step, step_cache = cs_rnn_step_forward(x[:, t], h, Wx, Wh, b)
        h = step["nextH"]
        hs.append(h)
        cache.append(step_cache)
    return {"h": np.stack(hs, axis=1)}, cache


def cs_rnn_backward(dh, cache):
    dprev_h, steps = 0, []
    for t in reversed(range(dh.shape[1])):
        step = cs_rnn_step_backward(dh[:, t] + dprev_h, cache[t])
        dprev_h = step["dprevH"]
        steps.insert(0, step)
    return {"dx": np.stack([s["dx"] for s in steps], axis=1), "dh0": dprev_h, **summed(steps, ["dWx", "dWh", "db"])}


def cs_lstm_step_forward(x, prev_h, prev_c, Wx, Wh, b):
    zi, zf, zo, zg = np.split(x @ Wx + prev_h @ Wh + b, 4, axis=1)
    i, f, o, g = sigmoid(zi), sigmoid(zf), sigmoid(zo), np.tanh(zg)
    next_c = f * prev_c + i * g
    next_h = o * np.tanh(next_c)
    return {"nextH": next_h, "nextC": next_c}, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c)


def cs_lstm_step_backward(dnext_h, dnext_c, cache):
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, next_c = cache
    dc = dnext_c + dnext_h * o * (1 - np.tanh(next_c) ** 2)
    di, df, do, dg = dc * g, dc * prev_c, dnext_h * np.tanh(next_c), dc * i
    dz = np.concatenate([di * i * (1 - i), df * f * (1 - f), do * o * (1 - o), dg * (1 - g**2)], axis=1)
    return {
        "dx": dz @ Wx.T,
        "dprevH": dz @ Wh.T,
        "dprevC": dc * f,
        "dWx": x.T @ dz,
        "dWh": prev_h.T @ dz,
        "db": dz.sum(axis=0),
    }


def cs_lstm_forward(x, h0, Wx, Wh, b):
    h, c, hs, cache = h0, np.zeros_like(h0), [], []
    for t in range(x.shape[1]):
        step, step_cache = cs_lstm_step_forward(x[:, t], h, c, Wx, Wh, b)
        h, c = step["nextH"], step["nextC"]
        hs.append(h)
        cache.append(step_cache)
    return {"h": np.stack(hs, axis=1)}, cache


def cs_lstm_backward(dh, cache):
    dprev_h, dprev_c, steps = 0, 0, []
    for t in reversed(range(dh.shape[1])):
        step = cs_lstm_step_backward(dh[:, t] + dprev_h, dprev_c, cache[t])
        dprev_h, dprev_c = step["dprevH"], step["dprevC"]
        steps.insert(0, step)
    return {"dx": np.stack([s["dx"] for s in steps], axis=1), "dh0": dprev_h, **summed(steps, ["dWx", "dWh", "db"])}


# ---------------------------------------------------------------------------------------------------------------------
# Cases


def draw(seed, **shapes):
    """np.random.seed(seed), then one randn per entry, in the order given."""
    np.random.seed(seed)
    return {name: np.random.randn(*shape) for name, shape in shapes.items()}


def coursera_case(kind, drawn, printed=(), scale=1.0, **options):
    p = {name: scale * value for name, value in drawn.items() if name[0] == "W" or name[0] == "b"}
    inputs = {name: value for name, value in drawn.items() if name not in p}
    case = {"kind": kind, "options": options, "inputs": inputs, "params": p}
    if kind == "rnnCell":
        expected, cache = rnn_cell_forward(inputs["xt"], inputs["aPrev"], p, **options)
        if "daNext" in inputs:
            expected.update(rnn_cell_backward(inputs["daNext"], cache))
    elif kind == "rnn":
        expected, caches = rnn_forward(inputs["x"], inputs["a0"], p, **options)
        if "da" in inputs:
            expected.update(rnn_backward(inputs["da"], caches))
    elif kind == "lstmCell":
        expected, cache = lstm_cell_forward(inputs["xt"], inputs["aPrev"], inputs["cPrev"], p, **options)
        if "daNext" in inputs:
            expected.update(lstm_cell_backward(inputs["daNext"], inputs["dcNext"], cache))
        case["gates"] = dict(zip(["ft", "it", "cct", "ot"], cache[3:7]))
    elif kind == "lstm":
        expected, caches = lstm_forward(inputs["x"], inputs["a0"], p, **options)
        if "da" in inputs:
            expected.update(lstm_backward(inputs["da"], caches))
    case["expected"] = expected
    case["printed"] = check_printed(printed, {**expected, **inputs})
    return case


def cs231n_case(kind, drawn):
    weights = [drawn[name] for name in ["Wx", "Wh", "b"]]
    if kind == "rnnStep":
        expected, cache = cs_rnn_step_forward(drawn["x"], drawn["prevH"], *weights)
        expected.update(cs_rnn_step_backward(drawn["dnextH"], cache))
    elif kind == "rnn":
        expected, cache = cs_rnn_forward(drawn["x"], drawn["h0"], *weights)
        expected.update(cs_rnn_backward(drawn["dh"], cache))
    elif kind == "lstmStep":
        expected, cache = cs_lstm_step_forward(drawn["x"], drawn["prevH"], drawn["prevC"], *weights)
        expected.update(cs_lstm_step_backward(drawn["dnextH"], drawn["dnextC"], cache))
    elif kind == "lstm":
        expected, cache = cs_lstm_forward(drawn["x"], drawn["h0"], *weights)
        expected.update(cs_lstm_backward(drawn["dh"], cache))
    return {"kind": kind, "inputs": drawn, "expected": expected}


def check_printed(printed, results):
    """Each figure to half a unit of the last printed digit. NumPy prints a row with one number of decimals and drops
    trailing zeros, so the longest figure of a row tells how many there are."""
    for name, index, text in printed:
        row = np.ravel(results[name][tuple(index)])
        decimals = max(len(figure.split(".")[1]) for figure in text.split())
        figures = np.array([float(figure) for figure in text.split()])
        assert row.shape == figures.shape, (name, index)
        assert np.abs(row - figures).max() <= 0.5 * 10.0**-decimals, (name, index, row, figures)
    return [{"tensor": name, "index": index, "values": text} for name, index, text in printed]


def rnn_shapes(*order, n_x=3, n_a=5, n_y=2):
    shapes = {"Wax": (n_a, n_x), "Waa": (n_a, n_a), "Wya": (n_y, n_a), "ba": (n_a, 1), "by": (n_y, 1)}
    return {name: shapes[name] for name in order or shapes}


def lstm_shapes(n_x=3, n_a=5, n_y=2):
    shapes = {}
    for gate in "fioc":
        shapes.update({"W" + gate: (n_a, n_a + n_x), "b" + gate: (n_a, 1)})
    return {**shapes, "Wy": (n_y, n_a), "by": (n_y, 1)} if n_y else shapes


def course_cases():
    """The eight functions on the course's own draws: n_x = 3, n_a = 5, n_y = 2, 10 examples."""
    forward, backward = ["Waa", "Wax", "Wya", "ba", "by"], ["Wax", "Waa", "Wya", "ba", "by"]
    state = (5, 10)
    return {
        "rnn_cell_forward": coursera_case(
            "rnnCell",
            draw(1, xt=(3, 10), aPrev=state, **rnn_shapes(*forward)),
            [
                ["aNext", [4], "0.59584544 0.18141802 0.61311866 0.99808218 0.85016201 0.99980978 -0.18887155 0.99815551 0.6531151 0.82872037"],
                ["ytPred", [1], "0.9888161 0.01682021 0.21140899 0.36817467 0.98988387 0.88945212 0.36920224 0.9966312 0.9982559 0.17746526"],
            ],
        ),
        "rnn_forward": coursera_case(
            "rnn",
            draw(1, x=(3, 10, 4), a0=state, **rnn_shapes(*forward)),
            [
                ["a", [4, 1], "-0.99999375 0.77911235 -0.99861469 -0.99833267"],
                ["yPred", [1, 3], "0.79560373 0.86224861 0.11118257 0.81515947"],
                ["x", [1, 3], "-1.1425182 -0.34934272 -0.20889423 0.58662319"],
            ],
        ),
        "lstm_cell_forward": coursera_case(
            "lstmCell",
            draw(1, xt=(3, 10), aPrev=state, cPrev=state, **lstm_shapes()),
            [
                ["aNext", [4], "-0.66408471 0.0036921 0.02088357 0.22834167 -0.85575339 0.00138482 0.76566531 0.34631421 -0.00215674 0.43827275"],
                ["cNext", [2], "0.63267805 1.00570849 0.35504474 0.20690913 -1.64566718 0.11832942 0.76449811 -0.0981561 -0.74348425 -0.26810932"],
                ["ytPred", [1], "0.79913913 0.15986619 0.22412122 0.15606108 0.97057211 0.31146381 0.00943007 0.12666353 0.39380172 0.07828381"],
            ],
        ),
        "lstm_forward": coursera_case(
            "lstm",
            draw(1, x=(3, 10, 7), a0=state, **lstm_shapes()),
            [
                ["a", [4, 3, 6], "0.172117767533"],
                ["y", [1, 4, 3], "0.95087346185"],
                ["c", [1, 2, 1], "-0.855544916718"],
            ],
        ),
        "rnn_cell_backward": coursera_case(
            "rnnCell",
            draw(1, xt=(3, 10), aPrev=state, **rnn_shapes(*backward), daNext=state),
            [
                ["dxt", [1, 2], "-1.3872130506"],
                ["daPrev", [2, 3], "-0.152399493774"],
                ["dWax", [3, 1], "0.410772824935"],
                ["dWaa", [1, 2], "1.15034506685"],
                ["dba", [4], "0.20023491"],
            ],
        ),
        "rnn_backward": coursera_case(
            "rnn",
            draw(1, x=(3, 10, 4), a0=state, **rnn_shapes(*backward), da=(5, 10, 4)),
            [
                ["dx", [1, 2], "-2.07101689 -0.59255627 0.02466855 0.01483317"],
                ["da0", [2, 3], "-0.314942375127"],
                ["dWax", [3, 1], "11.2641044965"],
                ["dWaa", [1, 2], "2.30333312658"],
                ["dba", [4], "-0.74747722"],
            ],
        ),
        "lstm_cell_backward": coursera_case(
            "lstmCell",
            draw(1, xt=(3, 10), aPrev=state, cPrev=state, **lstm_shapes(), daNext=state, dcNext=state),
            [
                ["dxt", [1, 2], "3.23055911511"],
                ["daPrev", [2, 3], "-0.0639621419711"],
                ["dcPrev", [2, 3], "0.797522038797"],
                ["dWf", [3, 1], "-0.147954838164"],
                ["dWi", [1, 2], "1.05749805523"],
                ["dWc", [3, 1], "2.30456216369"],
                ["dWo", [1, 2], "0.331311595289"],
                ["dbf", [4], "0.18864637"],
                ["dbi", [4], "-0.40142491"],
                ["dbc", [4], "0.25587763"],
                ["dbo", [4], "0.13893342"],
            ],
        ),
        "lstm_backward": coursera_case(
            "lstm",
            draw(1, x=(3, 10, 7), a0=state, **lstm_shapes(n_y=0), da=(5, 10, 4)),
            [
                ["dx", [1, 2], "0.00218254 0.28205375 -0.48292508 -0.43281115"],
                ["da0", [2, 3], "0.312770310257"],
                ["dWf", [3, 1], "-0.0809802310938"],
                ["dWi", [1, 2], "0.40512433093"],
                ["dWc", [3, 1], "-0.0793746735512"],
                ["dWo", [1, 2], "0.038948775763"],
                ["dbf", [4], "-0.15745657"],
                ["dbi", [4], "-0.50848333"],
                ["dbc", [4], "-0.42510818"],
                ["dbo", [4], "-0.17958196"],
            ],
        ),
    }


def variant_cases():
    """Both activations with both outputs, forward and backward: n_x = 3, n_a = 5, n_y = 2, 4 examples, 6 steps."""
    cases, state = {}, (5, 4)
    for activation, output, seed, steps in [
        ("tanh", "softmax", 2, 6),
        ("tanh", "sigmoid", 5, 4),  # da for the first 4 of 6 steps
        ("relu", "softmax", 3, 6),
        ("relu", "sigmoid", 7, 4),
    ]:
        options = {"activation": activation, "output": output, "scale": 0.5}
        for name, kind, shapes in [
            ("rnn_cell", "rnnCell", dict(xt=(3, 4), aPrev=state, **rnn_shapes(), daNext=state)),
            ("rnn", "rnn", dict(x=(3, 4, 6), a0=state, **rnn_shapes(), da=(5, 4, steps))),
            ("lstm_cell", "lstmCell", dict(xt=(3, 4), aPrev=state, cPrev=state, **lstm_shapes(), daNext=state, dcNext=state)),
            ("lstm", "lstm", dict(x=(3, 4, 6), a0=state, **lstm_shapes(), da=(5, 4, steps))),
        ]:
            cases[f"{name} {activation} {output}"] = coursera_case(kind, draw(seed, **shapes), **options)
    return cases


def wrong_case():
    """Not gradients of anything: what lstm_backward gives where da and dc are not carried to the step before."""
    drawn = draw(1, x=(3, 10, 7), a0=(5, 10), **lstm_shapes(n_y=0), da=(5, 10, 4))
    expected = lstm_backward_no_carry(drawn["da"], lstm_forward(drawn["x"], drawn["a0"], drawn)[1])
    printed = [["dx", [1, 2], "-0.00173313 0.08287442 -0.30545663 -0.43281115"]]
    return {"expected": expected, "printed": check_printed(printed, expected)}


def cs231n_cases():
    n, t, d, h = 2, 7, 3, 5
    rnn = {"Wx": (d, h), "Wh": (h, h), "b": (h,)}
    lstm = {"Wx": (d, 4 * h), "Wh": (h, 4 * h), "b": (4 * h,)}
    x, step, state, sequence = (n, t, d), (n, d), (n, h), (n, t, h)
    return {
        "rnn_step": cs231n_case("rnnStep", draw(51, x=step, prevH=state, **rnn, dnextH=state)),
        "rnn": cs231n_case("rnn", draw(52, x=x, h0=state, **rnn, dh=sequence)),
        "lstm_step": cs231n_case("lstmStep", draw(53, x=step, prevH=state, prevC=state, **lstm, dnextH=state, dnextC=state)),
        "lstm": cs231n_case("lstm", draw(54, x=x, h0=state, **lstm, dh=sequence)),
    }


def tensors(value):
    """Arrays as {"shape", "data"}, row-major; json writes the shortest text that reads back as the same f64."""
    if isinstance(value, np.ndarray):
        return {"shape": list(value.shape), "data": value.ravel().tolist()}
    return {key: tensors(item) for key, item in value.items()} if isinstance(value, dict) else value


def main():
    data = {
        "generator": "tests/golden/course.py",
        "numpy": np.__version__,
        "coursera": {**course_cases(), **variant_cases()},
        "wrong": {"lstm_backward_no_carry": wrong_case()},
        "cs231n": cs231n_cases(),
    }
    path = pathlib.Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(tensors(data), separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path.name}: {len(data['coursera'])} + {len(data['cs231n'])} cases, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
