import numpy as np

from medseg.render.sheet import Pane, sheet
from medseg.render.slices import Letters


def pane(rows=100, columns=120):
    return Pane(np.zeros((rows, columns, 3), np.uint8), Letters("R", "L", "A", "P"))


def test_a_long_legend_takes_more_lines_and_ends():
    few = sheet([pane()], [("a", (1, 2, 3))])
    many = sheet([pane()], [(f"structure number {index}", (1, 2, 3)) for index in range(100)])
    more = sheet([pane()], [(f"structure number {index}", (1, 2, 3)) for index in range(1000)])
    assert few.height < many.height == more.height
    assert few.width == more.width == 140


def test_names_from_outside_are_tamed():
    picture = sheet([pane()], [("two\nlines " + "x" * 10_000, (1, 2, 3))], "note")
    assert picture.width == 140


def test_letters_are_drawn_only_where_they_fit():
    thin = np.asarray(sheet([pane(rows=20)], [], ""))
    assert (thin[10:30, 65:75] == 0).all()  # no A and P in the middle
    assert (thin[10:30, 10:25] > 200).any()  # but R at the left
