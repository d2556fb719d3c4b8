import math
from xml.etree import ElementTree as ET

from medseg.render.reliability_plot import reliability_plot

BINS = [(0.1, 0.0, 1000), (math.nan, math.nan, 0), (0.9, 0.5, 10)]


def parsed(text):
    return ET.fromstring(text)  # noqa: S314 - our own text


def test_bins_without_a_voxel_are_not_drawn():
    drawing = parsed(reliability_plot("liver", (1, 2, 3), BINS, "ECE 0.1"))
    dots = [(float(one.get("cx")), float(one.get("cy"))) for one in drawing.iter("circle")]
    assert len(dots) == 2
    assert dots[0][0] < dots[1][0]
    assert dots[0][1] > dots[1][1]  # 0 lies below one half
    assert "said 0.9, true 0.5, 10 voxels" in "".join(drawing.itertext())
    bars = [float(one.get("height")) for one in drawing.iter("rect")]
    assert len(bars) == 2
    assert bars[0] > bars[1] > 0


def test_no_voxel_at_all_still_draws_the_frame():
    drawing = parsed(reliability_plot("liver", (1, 2, 3), [(math.nan, math.nan, 0)] * 3, "no ECE"))
    assert list(drawing.iter("circle")) == []
    assert "liver" in "".join(drawing.itertext())
