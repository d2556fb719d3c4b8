from __future__ import annotations

import numpy as np
import pytest
from factories import geometry, label_map, scheme, volume

from medseg.core.case import Case, CaseId
from medseg.core.errors import DataError
from medseg.core.volume import LabelMap, Volume
from medseg.planning.fingerprint import fingerprint


def case(codes="RAS", seed=0) -> Case:
    grid = geometry(codes=codes)
    return Case(CaseId(f"c{seed}"), volume(grid, ("CT",), seed=seed), label_map(grid, seed=seed))


def test_grids_are_measured_along_right_anterior_superior():
    one = fingerprint([case("RAS"), case("SRA"), case("IPL")], scheme())
    np.testing.assert_allclose(one.spacings, np.tile(geometry().spacing, (3, 1)))
    assert one.shapes.tolist() == [[7, 8, 9]] * 3


def test_intensities_come_from_inside_the_structures():
    grid = geometry(shape=(10, 10, 10))
    labels = np.zeros(grid.shape, np.uint8)
    labels[2:5, 2:5, 2:5] = 1
    image = np.where(labels, 40, -1000).astype(np.int16)[None]
    measured = fingerprint([Case(CaseId("a"), Volume(image, grid, ("CT",)), LabelMap(labels, grid))], scheme())
    assert set(measured.foreground["CT"].tolist()) == {40.0}
    assert measured.voxels == {"one": 27, "two": 0}


def test_zero_borders_are_noticed():
    grid = geometry(shape=(10, 10, 10))
    image = np.zeros((1, *grid.shape), np.float32)
    image[0, 2:7] = 1
    measured = fingerprint([Case(CaseId("a"), Volume(image, grid), label_map(grid))], scheme())
    assert measured.nonzero_share == pytest.approx(0.5)


def test_nothing_to_measure_is_an_error():
    grid = geometry()
    with pytest.raises(DataError, match="no labelled case to plan from"):
        fingerprint([Case(CaseId("a"), volume(grid))], scheme())
    empty = LabelMap(np.zeros(grid.shape, np.uint8), grid)
    with pytest.raises(DataError, match="no case holds any of the structures one, two"):
        fingerprint([Case(CaseId("a"), volume(grid), empty)], scheme())


def test_values_that_are_not_finite_do_not_count():
    grid = geometry(shape=(4, 4, 4))
    labels = np.ones(grid.shape, np.uint8)
    image = np.full((1, *grid.shape), 40, np.float32)
    image[0, 0], image[0, 1] = np.nan, np.inf
    measured = fingerprint([Case(CaseId("a"), Volume(image, grid, ("CT",)), LabelMap(labels, grid))], scheme())
    assert measured.foreground["CT"].tolist() == [40.0] * 32


@pytest.mark.parametrize(("channel", "air", "tissue"), [("CT", -1000, 40), ("T1", 3, 400)])
@pytest.mark.parametrize(("place", "is_outside"), [(slice(22, 26), False), (slice(2, 5), True)])
def test_structures_in_air_are_noticed(channel, air, tissue, place, is_outside):
    grid = geometry(shape=(48, 48, 48))
    image = np.full((1, *grid.shape), air, np.int16)
    image[0, 16:32, 16:32, 16:32] = tissue
    labels = np.zeros(grid.shape, np.uint8)
    labels[place, place, place] = 1
    one = Case(CaseId("a"), Volume(image, grid, (channel,)), LabelMap(labels, grid))
    assert fingerprint([one], scheme()).air_is_background is not is_outside
