import math
import re
from xml.etree import ElementTree as ET

import pytest

from medseg.render.interval_plot import Estimate, interval_plot


def estimate(name, value, low=math.nan, high=math.nan):
    return Estimate(name, value, low, high, f"n of {name}", (10, 20, 30), f"<{name}>")


def parsed(text):
    return ET.fromstring(text)  # noqa: S314 - our own text


def dots(text):
    return [float(one.get("cx")) for one in parsed(text).iter("circle")]


def test_dots_stand_between_the_ends_of_their_intervals():
    text = interval_plot([estimate("F", 0.8, 0.7, 0.85), estimate("M", 0.9)], "mean Dice")
    lines = [one for one in parsed(text).iter("line") if one.get("class") == "median"]
    assert len(lines) == 3  # one interval with its two ends
    low, high = float(lines[0].get("x1")), float(lines[0].get("x2"))
    assert low < dots(text)[0] < high
    assert dots(text)[0] == pytest.approx(low + 2 / 3 * (high - low), abs=0.2)
    assert "n of M" in text
    assert "&lt;F&gt;" in text


def test_a_mark_is_always_to_be_seen():
    text = interval_plot([estimate("a", 5.0, 4.0, 6.0)], "difference", mark=0.0)
    (mark,) = (one for one in parsed(text).iter("line") if one.get("class") == "strong dashed")
    assert float(mark.get("x1")) < dots(text)[0]
    assert float(mark.get("x1")) >= 200


def test_plots_may_share_an_axis():
    one, other = [estimate("a", 0.5, 0.4, 0.6)], [estimate("b", 0.9, 0.8, 1.0)]
    alone, shared = interval_plot(one, "x"), interval_plot(one, "x", others=other)
    assert dots(shared)[0] < dots(alone)[0]
    ticks = [
        re.findall(r'class="tick"[^>]*>([\d.]+)<', interval_plot(a, "x", others=b))
        for a, b in ((one, other), (other, one))
    ]
    assert ticks[0] == ticks[1]


def test_rows_without_a_value_keep_their_note():
    text = interval_plot([estimate("few", math.nan)], "mean Dice")
    assert dots(text) == []
    assert "n of few" in text
