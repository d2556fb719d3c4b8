import re

import numpy as np
import pytest

from medseg.render.heat_table import heat_table


def test_cells_are_shares_of_their_row():
    text = heat_table("is", ["a", "b"], ["x", "y"], np.array([[3, 1], [0, 0]]))
    assert re.findall(r"<td[^>]*>([^<]*)</td>", text) == ["75.0", "25.0", "", ""]
    assert 'title="a → x: 3 of 4"' in text
    shades = [float(one) for one in re.findall(r"rgba\(0,114,178,([\d.]+)\)", text)]
    assert shades[0] == pytest.approx(3 * shades[1])


def test_nearly_nothing_and_nearly_all_are_told_from_nothing_and_all():
    text = heat_table("is", ["a", "b"], ["x", "y"], np.array([[999_999, 1], [5, 0]]))
    assert re.findall(r"<td[^>]*>([^<]+)</td>", text) == ["&gt;99.9", "&lt;0.1", "100.0"]


def test_many_columns_are_named_upright_and_names_are_escaped():
    names = [f"<{n}>" for n in range(12)]
    text = heat_table("<is>", names, names, np.eye(12, dtype=np.int64))
    assert text.count('class="up"') == 12
    assert "<3>" not in text
    assert 'class="up"' not in heat_table("is", names[:3], names[:3], np.eye(3, dtype=np.int64))
