"""Outlines of a case whose structures are others by now."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_masks import SCHEME, opened_case
from factories import geometry, label_map, scheme, volume
from review_places import ANNA

from medseg.core.errors import LabelError
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap
from medseg.review.edits import save_version, volumes_ml
from medseg.review.first_version import prediction_version
from medseg.review.kept_outlines import kept_outlines
from medseg.review.outline_reading import empty_labels
from medseg.review.rows import NewVersion

GRID = geometry()
NAMED = scheme("structure 1")


@pytest.fixture
def begun(store, vault):
    """A case that came without outlines, and the version that a reader drew."""
    case = opened_case(volume(GRID), empty_labels(NAMED, GRID), NAMED)
    store.add_case(case.files.record, ANNA)
    base = prediction_version(store, vault, case, ANNA)
    return case, save_version(store, vault, case, base, label_map(GRID, (0, 1)), ANNA)


def named(case, later: LabelScheme):
    """The case with what a model said of it."""
    return replace(case, prediction=Segmentation(label_map(GRID, seed=3), later), scheme=later)


def test_a_version_says_what_its_values_meant(store, begun):
    assert store.structures_of(begun[1]) == {"structure 1": 1}
    assert store.verify().ok


def test_a_drawing_does_not_become_another_structure(store, vault, begun):
    case, drawn = begun
    later = named(case, SCHEME)
    with pytest.raises(LabelError, match="version 1 was drawn with other structures .*: 'structure 1' is none of them"):
        kept_outlines(store, vault, later, drawn)
    assert not kept_outlines(store, vault, later, store.versions()[0]).array.any()
    predicted = prediction_version(store, vault, later, ANNA)
    assert predicted.changed_ml == pytest.approx(predicted.volumes_ml)


def test_more_structures_are_no_obstacle_and_other_values_are(store, vault, begun):
    case, drawn = begun
    more = LabelScheme.from_names({"liver": 2, "structure 1": 1})
    assert np.array_equal(kept_outlines(store, vault, named(case, more), drawn).array, label_map(GRID, (0, 1)).array)
    moved = LabelScheme.from_names({"liver": 1, "structure 1": 2})
    with pytest.raises(LabelError, match="'structure 1' had the value 1 and has 2"):
        kept_outlines(store, vault, named(case, moved), drawn)


def test_of_a_version_that_says_nothing_the_names_are_compared(store, vault, begun):
    case, _ = begun
    labels = LabelMap(label_map(GRID, (0, 1), seed=5).array, GRID)
    volumes = volumes_ml(Segmentation(labels, NAMED))
    old = store.add_version(NewVersion(case.files.name, 0, ANNA.name, vault.put(labels), volumes), ANNA)
    assert kept_outlines(store, vault, case, old).array.any()
    with pytest.raises(LabelError, match="'structure 1' is none of them"):
        kept_outlines(store, vault, named(case, SCHEME), old)
