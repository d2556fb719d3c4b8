from xml.etree import ElementTree as ET

import pytest

from medseg.render.paired_plot import paired_plot


def dots(text):
    drawing = ET.fromstring(text)  # noqa: S314 - our own text
    return [(float(one.get("cx")), float(one.get("cy"))) for one in drawing.iter("circle")]


def test_equal_scores_lie_on_the_diagonal():
    text = paired_plot("liver", (1, 2, 3), [(0.5, 0.5, "a"), (0.9, 0.9, "b"), (0.5, 0.9, "c")], ("A", "<B>"))
    (x0, y0), (x1, y1), above = dots(text)
    assert x1 - x0 == pytest.approx((y0 - y1) * 240 / 230, rel=1e-2)  # the panel is nearly square
    assert above == (x0, y1)
    assert "across: A · up: &lt;B&gt;" in text


def test_no_case_and_one_value_draw_the_frame():
    assert dots(paired_plot("liver", (1, 2, 3), [], ("A", "B"))) == []
    assert len(dots(paired_plot("liver", (1, 2, 3), [(0.5, 0.5, "a")], ("A", "B")))) == 1
