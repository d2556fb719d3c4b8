"""Channels brought onto one grid, or refused with numbers."""

from __future__ import annotations

import numpy as np
import pytest
from factories import ALL_ORIENTATIONS, geometry, run_config, volume
from image_readers import picture_grid

from medseg.core.errors import GeometryError
from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.data.joining import Joining, Placement, join, placement
from medseg.phantom.sequences import Head, head_grid, take_sequence

GRID = geometry((12, 14, 10))
ONTO_T1 = Joining(reference="T1")


def moved(grid: Geometry, *steps: float) -> Geometry:
    affine = grid.affine.copy()
    affine[:3, 3] += steps
    return Geometry(grid.shape, affine)


def parts(other: Geometry, **changes: Volume) -> dict[str, Volume]:
    return {"T1": volume(GRID), "T2": volume(other, seed=1)} | changes


def test_one_grid_needs_no_reference():
    joined = join(parts(GRID), Joining())
    assert joined.moved == {}
    assert (joined.volume.channels, joined.volume.array.dtype) == (("T1", "T2"), np.int16)


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS[::7])
def test_the_reference_gives_the_grid_wherever_it_stands(codes):
    both = {"T2": volume(GRID.reoriented(codes), seed=1), "T1": volume(GRID)}
    joined = join(both, ONTO_T1)
    assert joined.volume.geometry.is_close(GRID)
    assert joined.volume.channels == ("T2", "T1")
    assert np.array_equal(joined.volume.array[0], both["T2"].reoriented("RAS").array[0])
    assert joined.moved == {}


@pytest.mark.parametrize("shift", [0.002, 0.3, 40.0])
def test_without_a_reference_any_shift_is_refused(shift):
    message = rf"^channels 'T1' and 'T2' lie on different grids: .* up to {shift:.3g} mm apart; set preprocessing\.ref"
    with pytest.raises(GeometryError, match=message):
        join(parts(moved(GRID, shift, 0, 0)), Joining())


def test_a_shift_of_less_than_a_thousandth_is_one_grid():
    shifted = parts(moved(GRID, 0.0009, 0, 0))
    assert join(shifted, Joining()).moved == join(shifted, ONTO_T1).moved == {}


def test_the_others_are_resampled_to_where_they_lie():
    """The same head, taken on a turned grid and resampled, is the head as taken on the reference's grid."""
    head, rng = Head.draw(np.random.default_rng(0)), np.random.default_rng(1)
    own = head_grid((44, 52, 26), (1.8, 1.8, 2.8), (6.0, -4.0, 7.0)).reoriented("LSA")
    taken = {"T1": take_sequence(head, "T2", head_grid(), rng), "T2": take_sequence(head, "T2", own, rng)}
    joined = join(taken, ONTO_T1)
    assert joined.volume.geometry.is_close(head_grid())
    assert set(joined.moved) == {"T2"}
    assert joined.moved["T2"].covered > 0.8
    one, other = joined.volume.array[:, 4:-4, 4:-4, 4:-4]
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.85
    crooked = {**taken, "T2": Volume(taken["T2"].array, moved(own, 12, 0, 0), ("T2",))}
    one, other = join(crooked, ONTO_T1).volume.array[:, 4:-4, 4:-4, 4:-4]
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] < 0.6


@pytest.mark.parametrize(
    ("steps", "covered", "distance"), [((0, 0, 0), 1.0, 0.0), ((6, 0, 0), 0.5, 6.0), ((0, 21, 25), 0.0, 32.6)]
)
def test_placement(steps, covered, distance):
    found = placement(GRID, moved(GRID, *steps))
    assert found == Placement(pytest.approx(covered, abs=0.02), pytest.approx(distance, abs=0.1))


def test_channels_that_hardly_meet_are_refused_with_numbers():
    message = (
        r"^channel 'T2' does not lie on 'T1' \(it covers 17% of it, 10 mm between their centres\); check that both"
    )
    with pytest.raises(GeometryError, match=message):
        join(parts(moved(GRID, 10, 0, 0)), ONTO_T1)


def test_frames_of_reference_that_differ():
    frames = {"T1": "1.2.3", "T2": "1.2.4"}
    message = r"^channels 'T1' and 'T2' lie on different grids in different frames of reference"
    with pytest.raises(GeometryError, match=message):
        join(parts(moved(GRID, 1, 0, 0)), ONTO_T1, frames)
    assert join(parts(GRID), ONTO_T1, frames).moved == {}, "on one grid somebody registered them"
    assert set(join(parts(moved(GRID, 1, 0, 0)), ONTO_T1, {"T1": "1.2.3", "T2": ""}).moved) == {"T2"}


def test_pictures_have_no_place_in_a_patient():
    one, other = (Volume(np.zeros((1, n, 8, 1)), picture_grid(n, 8)) for n in (6, 7))
    with pytest.raises(GeometryError, match=r"^channels 'T1' and 'T2' lie on different grids: shapes .* \(7, 8, 1\)$"):
        join({"T1": one, "T2": other}, ONTO_T1)


def test_as_a_configuration_says():
    channels = [{"name": "T1"}, {"name": "T2", "optional": True}]
    config = run_config(channels=channels, preprocessing={"reference": "T1"})
    assert Joining.of(config) == Joining(frozenset({"T2"}), "T1")
