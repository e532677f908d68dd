"""Values of transcendental functions, from mpmath with 60 digits and more.

    python3 tests/golden/functions.py       writes tests/golden/functions.json

For each function, numbers of f64 (`x`, and `other` for a second operand) with the value as the sum `y` + `rest`; and numbers of f32
(`narrow`) with theirs, rounded to f64. Beside random numbers there are those with the largest errors of some 30,000.
"""

import json
import pathlib
import random
import struct

import mpmath
from mpmath import mpf

mpmath.mp.prec = 1400  # the quadrant of 1e308

FUNCTIONS = {
    "exp": mpmath.exp,
    "log": mpmath.log,
    "tanh": mpmath.tanh,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": mpmath.tan,
    "asin": mpmath.asin,
    "acos": mpmath.acos,
    "atan": mpmath.atan,
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "asinh": mpmath.asinh,
    "acosh": mpmath.acosh,
    "atanh": mpmath.atanh,
    "erf": mpmath.erf,
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "mish": lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    "pow": lambda x, y: x**y,
}

HARD = {
    "sin": [-6.653204078528403e69, -1.5213857996593547e67, -1.8011400532936195e27, 30763666572596.03, 9.216407107689761e53],
    "cos": [-4.43528741646448e86, -1.2591679260258968e28, -1.0399796360771366e25, -3339990666043613.0, 2.3788926898012018e69],
    "tan": [-6.574581813452407e45, -6.530817258703555e25, -7.167632177206045e24, -458570424892969.9, 1.3568273752816604e47],
    "asin": [-0.462648831454065, -0.41745462371456876, -0.4080852619366335, -0.3845447467665189, 0.3881398429562225],
    "acos": [0.5596679477981729, 0.5633891647160797, 0.6403282442791293, 0.6691942725981209, 0.6732420058046692],
    "atan": [-0.5005668111364258, -0.4771938954656626, -0.47470066157937735, -0.43121085280121096, 0.4171406150754521],
    "sinh": [-0.457591053796391, -0.3651415449933782, -0.34802662399172857, -0.015534199109531844, 0.06184768293551963],
    "cosh": [-2.496977171884463, -2.478637371612162, -2.4268200976433394, -1.0879620236278174, 2.3027380367780976],
    "asinh": [-0.24009228699702012, -0.2397383956653334, -0.12422926968770176, 0.23612913910286748, 0.4618046015957904],
    "acosh": [1.0000000000011668, 1.0000000000022593, 1.0074035681868017, 1.007538213417482, 1.027273168212535],
    "atanh": [-0.11339309735322467, -0.03095932150118747, -2.267261309157845e-05, 0.00021762151753707546, 0.12341748759546851],
    "erf": [-1.0775877804451697, -1.0222517046127986, -0.9581132104968915, 1.0022868367, 1.067583865476879],
    "softplus": [-17.642269552019204, -5.194450612612244, -1.2666764946216003, -1.038967838058209, 0.0001298552823890117],
    "mish": [-30.488212609176315, -29.788795583682344, -27.66584176350773, -10.751085462968803, -3.4105013523477408],
    "log": [0.7053342510398539, 0.7058320379382212, 1.2798752031675822, 1.282539063670088, 1.283703435366154],
}


def single(x):
    return struct.unpack("f", struct.pack("f", x))[0]


def inputs(name, draw, top):
    """Random numbers from the function's domain; `top` is the largest power of 2."""
    sign = draw.choice([-1, 1])
    small = sign * 2 ** draw.uniform(-40, 0)
    unit = draw.uniform(-1, 1)
    large = sign * 2 ** draw.uniform(0, top)
    if name in ("sin", "cos", "tan"):
        near = draw.randrange(1, 1000000) * 1.5707963267948966
        return [small, 3 * unit, 1e6 * unit, sign * near, large]
    if name in ("asin", "acos", "atanh"):
        return [small, unit, 1 - abs(small)]
    if name == "acosh":
        return [1 + abs(small), 1 + 3 * abs(unit), abs(large)]
    if name in ("atan", "asinh"):
        return [small, 3 * unit, large]
    if name == "log":
        return [abs(small), 1 + unit / 3, abs(large)]
    bound = top * 0.69
    return [small, 3 * unit, bound * unit]


def of(name, bits, convert):
    """Numbers of a type, with the values."""
    draw = random.Random(name)
    numbers = [] if bits == 24 else list(HARD.get(name, []))
    others = []
    top = 1023 if bits == 53 else 127
    for _ in range(16):
        if name == "pow":
            x = 2 ** draw.uniform(-top, top) if draw.random() < 0.5 else draw.uniform(0.5, 2)
            y = draw.choice([draw.uniform(-1, 1) * top * 0.69 / float(mpmath.log(x)), draw.uniform(-8, 8), 0.5, 2, 3, -1, -0.5])
            numbers.append(x)
            others.append(y)
        else:
            numbers += inputs(name, draw, top)
    numbers = [convert(x) for x in numbers]
    others = [convert(y) for y in others]
    rows = [(row, FUNCTIONS[name](*(mpf(each) for each in row))) for row in zip(numbers, *([others] if others else []))]
    rows = [(row, y) for row, y in rows if y == 0 or mpf(2) ** -top < abs(y) < mpf(2) ** top]
    return [row[0] for row, _ in rows], [row[1] for row, _ in rows if others], [y for _, y in rows]


def case(name):
    x, other, values = of(name, 53, float)
    narrow, narrow_other, narrow_values = of(name, 24, single)
    y = [float(value) for value in values]
    return {
        "function": name,
        "x": x,
        "other": other,
        "y": y,
        "rest": [float(value - mpf(rounded)) for value, rounded in zip(values, y)],
        "narrow": narrow,
        "narrowOther": narrow_other,
        "narrowY": [float(value) for value in narrow_values],
    }


def main():
    path = pathlib.Path(__file__).with_suffix(".json")
    cases = [case(name) for name in FUNCTIONS]
    data = {"generator": "tests/golden/functions.py", "mpmath": mpmath.__version__, "cases": cases}
    path.write_text(json.dumps(data, separators=(",", ":"), allow_nan=False) + "\n")
    print(f"{path.name}: {len(cases)} functions, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
