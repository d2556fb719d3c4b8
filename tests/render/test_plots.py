import math
import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from medseg.render.plots import Dot, Group, bland_altman, nice_ticks, number, swarm


def group(*values, name="liver"):
    return Group(name, (10, 20, 30), tuple(Dot(value, f"case {index}") for index, value in enumerate(values)))


def parsed(text):
    return ET.fromstring(text)  # noqa: S314 - our own text


def circles(text):
    return [(float(c.get("cx")), float(c.get("cy")), c.find("title").text) for c in parsed(text).iter("circle")]


def test_dots_stand_at_their_values_and_tell_their_case():
    dots = circles(swarm([group(0.0, 0.5, 1.0)], "Dice", highest=1.0))
    x = [x for x, _, _ in dots]
    assert x[1] == pytest.approx((x[0] + x[2]) / 2)
    assert dots[0][2] == "case 0"


def test_dots_at_one_place_do_not_hide_each_other():
    dots = circles(swarm([group(*[0.5] * 5), group(*[0.5] * 100)], "Dice", highest=1.0))
    assert len({(x, y) for x, y, _ in dots}) == 105
    assert max(y for _, y, _ in dots[:5]) < min(y for _, y, _ in dots[5:])


def test_infinite_distances_have_a_lane():
    text = swarm([group(1.0, 2.0, math.inf)], "HD95, mm")
    assert "∞" in text
    x = [x for x, _, _ in circles(text)]
    assert x[2] > x[1]
    assert "∞" not in swarm([group(1.0)], "HD95, mm")


@pytest.mark.parametrize("groups", [[], [group()], [group(0.0)], [group(math.inf)]])
def test_little_data_is_drawn(groups):
    assert parsed(swarm(groups, "Dice")).tag.endswith("svg")


def test_the_box_is_numpys_quartiles():
    values = [0.1, 0.2, 0.35, 0.5, 0.8]
    text = swarm([group(*values)], "Dice", highest=1.0)
    rect = next(parsed(text).iter("rect"))
    first, third = np.percentile(values, (25, 75))
    dots = circles(text)
    scale = (dots[4][0] - dots[0][0]) / 0.7
    assert float(rect.get("width")) == pytest.approx((third - first) * scale, abs=0.2)


def test_limits_of_agreement_are_1_96_standard_deviations():
    differences = np.array([0.5, -0.2, 0.1, 0.9])
    text = bland_altman(group(*differences), [10.0, 20.0, 30.0, 40.0], "mL")
    bias, spread = differences.mean(), 1.96 * differences.std(ddof=1)
    said = f"bias {number(bias)}, limits {number(bias - spread)} to {number(bias + spread)} mL"
    assert said in parsed(text).find("title").text


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0]])
def test_a_single_or_perfect_measurement_is_drawn(values):
    assert len(circles(bland_altman(group(*values), [5.0] * len(values), "mL"))) == len(values)


def test_names_are_escaped_and_cut():
    text = swarm([group(0.5, name="<b>&" + "x" * 50)], "a < b")
    assert re.search(r"&lt;b&gt;&amp;x+…<title>&lt;b&gt;&amp;x{50}</title>", text)
    assert "a &lt; b" in text


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0, 6.3, [0, 2, 4, 6]), (-3, 3, [-2, 0, 2]), (0, 1200, [0, 500, 1000])],
)
def test_ticks_are_round(low, high, expected):
    assert nice_ticks(low, high) == expected


def test_numbers_have_three_digits_or_all_before_the_point():
    assert [number(value) for value in (0.12345, 12.345, 1234.5, -0.5)] == [
        "0.123",
        "12.3",
        "1234",
        "\N{MINUS SIGN}0.5",
    ]
