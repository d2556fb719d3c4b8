"""What a localiser is trained on, and what is measured of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factories import prepared_arrays, run_config
from localised import localised_config, section

from medseg.config.localiser import LocaliserSection
from medseg.config.schemes import label_scheme
from medseg.core.errors import ConfigError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.data.cache import PreparedArrays
from medseg.training.localiser import (
    Found,
    check_millimetres,
    fine_config,
    found_in,
    least_volume_ml,
    localiser_config,
    localiser_notes,
    measured_section,
    regional,
    shared_budget,
)

OPEN = section(margin_mm=None, least_ml=None)


def with_budget(**budget):
    return localised_config(training={"budget": budget}, localiser=OPEN)


def test_the_budget_is_shared():
    first, rest = shared_budget(with_budget(minutes=10))
    assert (first.minutes, rest.minutes) == (pytest.approx(2), pytest.approx(8))
    for epochs, parts in ((10, (2, 8)), (2, (1, 1)), (1, (1, 1))):
        first, rest = shared_budget(with_budget(epochs=epochs, steps=7))
        assert (first.epochs, rest.epochs) == parts
        assert first.steps == rest.steps == 7
    config = with_budget(minutes=10)
    assert fine_config(config).training.budget.minutes == pytest.approx(8)
    assert fine_config(config).localiser is None


def test_it_learns_the_union_of_all_structures_at_low_resolution():
    labels = {"structures": [{"name": name, "value": value} for value, name in enumerate("abc", start=1)]}
    changes = {"preprocessing": {"spacing": (1.0, 1.0, 2.0), "orientation": "SPL", "crop": "nonzero"}}
    whole = localised_config(labels=labels, loss={"name": "dice_topk"}, **changes)
    coarse = localiser_config(whole)
    assert label_scheme(coarse.labels).targets == ("foreground",)
    assert coarse.labels.regions[0].structures == ("a", "b", "c")
    assert (coarse.preprocessing.orientation, coarse.preprocessing.crop) == ("SPL", "nonzero")
    assert coarse.preprocessing.spacing == (4, 4, 4)
    assert (coarse.loss.name, coarse.localiser) == ("dice_ce", None)
    regions = labels | {"regions": [{"name": "x", "structures": ["a", "b"]}, {"name": "y", "structures": ["b"]}]}
    for apart in (
        localised_config(labels=regions, **changes),
        localised_config(labels=labels, localiser=section(foreground="structures"), **changes),
    ):
        assert localiser_config(apart).labels == apart.labels


def test_weights_of_classes_and_of_another_model_are_not_for_it():
    training = {"budget": {"minutes": 1}, "class_weights": (1.0, 3.0), "init": {"bundle": "somewhere"}}
    coarse = localiser_config(localised_config(training=training))
    assert coarse.training.class_weights is None
    assert coarse.training.init is None


def pair(target: np.ndarray, factor=4) -> tuple[PreparedArrays, PreparedArrays]:
    """A case on a coarse grid and on the fine one of 1 mm."""
    fine = prepared_arrays(target)
    coarse = prepared_arrays(target[(..., *[slice(factor // 2, None, factor)] * 3)])
    grid = fine.network.with_shape(coarse.network.shape)
    return replace(coarse, network=grid, source=fine.network), fine


def boxed(shape, *boxes) -> np.ndarray:
    target = np.zeros(shape, np.uint8)
    for value, box in enumerate(boxes, start=1):
        target[tuple(slice(*edge) for edge in box)] = value
    return target


def test_how_far_structures_reach_beyond_what_was_found():
    target = boxed((32, 24, 16), [(8, 16), (8, 12), (0, 16)], [(16, 19), (5, 12), (3, 9)])
    target[0, 0, 0] = 255  # nobody knows
    coarse, fine = pair(target)
    exact = boxed((8, 6, 4), [(2, 5), (1, 3), (0, 4)])
    assert found_in(exact, coarse, fine, 0.0) == Found((slice(2, 5), slice(1, 3), slice(0, 4)), 0.0)
    low = boxed((8, 6, 4), [(2, 4), (1, 3), (0, 3)])
    assert found_in(low, coarse, fine, 0.0).beyond_mm == pytest.approx(4)  # along k: 16 instead of 12
    shifted = boxed((8, 6, 4), [(4, 7), (1, 3), (0, 4)])
    assert found_in(shifted, coarse, fine, 0.0).beyond_mm == pytest.approx(8)
    masks = np.stack([exact, 0 * exact])
    assert found_in(masks, coarse, fine, 0.0) == found_in(exact, coarse, fine, 0.0)


def test_where_nothing_is_or_nothing_is_found_no_margin_is_needed():
    coarse, fine = pair(boxed((16, 16, 16), [(4, 8), (4, 8), (4, 8)]))
    nothing, something = boxed((4, 4, 4)), boxed((4, 4, 4), [(0, 1), (0, 1), (0, 1)])
    assert found_in(nothing, coarse, fine, 0.0) == Found(None, 0.0)
    assert found_in(something, coarse, fine, 0.1) == Found(None, 0.0)  # 0.064 mL
    assert found_in(something, coarse, fine, 0.06).box is not None
    empty = pair(boxed((16, 16, 16)))
    assert found_in(something, *empty, 0.0) == Found((slice(0, 1),) * 3, 0.0)


def test_the_margin_is_what_the_worst_case_needs_and_two_voxels():
    found = [Found((slice(0, 1),) * 3, beyond) for beyond in (0.0, 3.21, 1.0)] + [Found(None)]
    asked = LocaliserSection.model_validate(OPEN)
    measured = measured_section(asked, found, 0.25)
    assert (measured.margin_mm, measured.least_ml) == (pytest.approx(11.2), pytest.approx(0.25))
    given = asked.model_copy(update={"margin_mm": 1.0, "least_ml": 3.0})
    assert measured_section(given, found, 0.25) == given
    notes = localiser_notes(measured, found, 0.123)
    assert "margin 11.2 mm; structures reach up to 3.21 mm beyond what it found" in notes[0]
    assert "hold 12.3 % of the images" in notes[1]
    assert "finds nothing in 1 of 4 cases" in notes[2]
    assert len(localiser_notes(measured, found[:3], 0.1)) == 2


def test_half_the_smallest_structure_is_plausible():
    first = prepared_arrays(boxed((16, 16, 16), [(0, 4), (0, 4), (0, 4)], [(8, 10), (8, 10), (8, 10)]))
    second = prepared_arrays(boxed((16, 16, 16), [(0, 5), (0, 4), (0, 4)]))
    assert least_volume_ml([first, second], 2) == pytest.approx(0.004)
    assert least_volume_ml([second], 2) == pytest.approx(0.04)
    assert least_volume_ml([prepared_arrays(boxed((8, 8, 8)))], 2) == 0


def test_cases_are_cut_to_their_regions():
    config = localised_config(sampling={"patch": (4, 4, 4)}, preprocessing={"spacing": (1, 1, 1)})
    coarse, fine = pair(boxed((32, 32, 32), [(12, 17), (12, 17), (12, 17)]))
    cut, whole = regional([Found((slice(3, 5),) * 3), Found(None)], [coarse] * 2, [fine] * 2, config)
    assert cut.box == (slice(6, 26),) * 3  # 12 to 20 mm, and 6 mm around it
    assert cut.target.sum() == fine.target.sum()
    assert whole is fine


def test_pictures_have_no_millimetres():
    picture = prepared_arrays(boxed((8, 8, 1)))
    pixels = Geometry(picture.source.shape, picture.source.affine, LengthUnit.PIXEL)
    with pytest.raises(ConfigError, match="a localiser needs images in millimetres"):
        check_millimetres([picture, replace(picture, source=pixels)])
    check_millimetres([picture])


def test_a_run_without_one_is_as_it_was():
    assert run_config().localiser is None
