"""Versions that are saved, what they measure, and structures as they were."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from drawn_masks import SCHEME, masks, opened_case, small_case
from factories import full_disk, geometry, label_map, scheme, volume
from hypothesis import given
from hypothesis import strategies as st
from review_places import ANNA, BERT, CASE

from medseg.core.errors import GeometryError, InputError, LabelError, OutputError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.labels import LabelScheme, Region
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.review.case_files import CaseFiles
from medseg.review.edits import changed_ml, reverted, save_version, volumes_ml
from medseg.review.first_version import image_digest, prediction_version
from medseg.review.label_stream import labels_digest
from medseg.review.records import Act, CaseName, CaseRecord, ModelStamp, Origin

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture
def begun(store, vault):
    """A case whose prediction is version 0."""
    case = small_case()
    store.add_case(case.files.record, ANNA)
    return case, prediction_version(store, vault, case, ANNA)


def edited(case, value=2) -> LabelMap:
    array = np.array(case.prediction.labels.array)
    array[1:4, 2:5, 3] = value
    return LabelMap(array, case.volume.geometry)


def test_a_saved_version_says_what_it_holds_and_what_changed(store, vault, begun):
    case, base = begun
    labels = edited(case)
    version = save_version(store, vault, case, base, labels, ANNA)
    voxel_ml = 1.0 * 1.5 * 2.5 / 1000
    assert (version.case, version.number, version.parent, version.author) == (CASE, 1, 0, ANNA.name)
    assert version.sha256 == labels_digest(labels)
    assert version.input_sha256 == base.input_sha256 == image_digest(case.volume)
    before = case.prediction.labels.array
    for name, value in (("liver", 1), ("spleen", 2)):
        assert version.volumes_ml[name] == pytest.approx((labels.array == value).sum() * voxel_ml)
        assert version.changed_ml[name] == pytest.approx(
            ((labels.array == value) != (before == value)).sum() * voxel_ml
        )
    assert np.array_equal(vault.get(version.sha256, case.volume.geometry).array, labels.array)
    assert store.versions(CASE) == [base, version]
    entries = [one for one in store.entries() if one.act == Act.SAVED]
    assert [(one.who, one.facts["version"]) for one in entries] == [(ANNA.name, 0), (ANNA.name, 1)]
    assert entries[1].facts["changed_ml"] == pytest.approx(sum(version.changed_ml.values()))


def test_the_prediction_stays(store, vault, begun):
    case, base = begun
    save_version(store, vault, case, base, edited(case, 0), ANNA)
    assert np.array_equal(vault.get(base.sha256).array, case.prediction.labels.array)
    assert prediction_version(store, vault, case, BERT) == base


def test_saving_twice_is_saving_once(store, vault, begun):
    case, base = begun
    first = save_version(store, vault, case, base, edited(case), ANNA)
    assert save_version(store, vault, case, base, edited(case), ANNA) == first
    second = save_version(store, vault, case, first, edited(case, 1), ANNA)
    back = save_version(store, vault, case, second, edited(case), ANNA)
    assert [one.parent for one in store.versions(CASE)] == [None, 0, 1, 2]
    assert back.sha256 == first.sha256


def test_nothing_changed_is_nothing_saved(store, vault, begun):
    case, base = begun
    with pytest.raises(InputError, match="nothing was changed since version 0"):
        save_version(store, vault, case, base, case.prediction.labels, ANNA)
    assert store.versions(CASE) == [base]


def test_two_readers_who_save_at_once_get_two_versions(store, vault, begun):
    case, base = begun
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(save_version, store, vault, case, base, edited(case, n % 2), (ANNA, BERT)[n % 2])
            for n in range(8)
        ]
        saved = {job.result().number for job in jobs}
    versions = store.versions(CASE)
    assert {one.author for one in versions[1:]} == {ANNA.name, BERT.name}
    assert saved <= {one.number for one in versions}
    for one in versions[1:]:
        assert np.array_equal(vault.get(one.sha256).array, edited(case, int(one.author == BERT.name)).array)
    assert store.verify().ok


def test_what_cannot_be_kept_leaves_the_versions_as_they_were(store, vault, begun):
    case, base = begun
    with full_disk(200), pytest.raises(OutputError, match="cannot"):
        save_version(store, vault, case, base, edited(case), ANNA)
    assert store.versions(CASE) == [base]
    assert save_version(store, vault, case, base, edited(case), ANNA).number == 1


def test_labels_that_are_not_the_cases_are_refused(store, vault, begun):
    case, base = begun
    grid = case.volume.geometry
    wrong = [
        (replace(base, case=CaseName("case-9")), edited(case), InputError, "version 0 is not of case"),
        (base, label_map(geometry((7, 8, 8))), GeometryError, "image and outlines lie on different grids"),
        (base, edited(case, 7), LabelError, "a value that is no structure's"),
        (base, LabelMap(np.full(grid.shape, -1), grid), LabelError, "a value that is no structure's"),
        (base, masks(grid), LabelError, "not of the structures"),
    ]
    for version, labels, error, message in wrong:
        with pytest.raises(error, match=message):
            save_version(store, vault, case, version, labels, ANNA)
    overlapping = opened_case(case.volume, masks(grid))
    for labels, message in ((label_map(grid), "no label map"), (masks(grid, ("a", "b")), "not of the structures")):
        with pytest.raises(LabelError, match=message):
            save_version(store, vault, overlapping, base, labels, ANNA)


def test_values_that_the_prediction_held_may_stay(store, vault):
    grid = geometry()
    labelled = LabelScheme(SCHEME.structures, ignore=9)
    case = opened_case(volume(grid), label_map(grid, (0, 1, 2, 5, 9)), labelled)
    store.add_case(case.files.record, ANNA)
    base = prediction_version(store, vault, case, ANNA)
    array = np.array(case.prediction.labels.array)
    array[array == 1] = 2
    assert save_version(store, vault, case, base, LabelMap(array, grid), ANNA).number == 1
    array[array == 2] = 5
    with pytest.raises(LabelError, match="no structure's"):
        save_version(store, vault, case, base, LabelMap(array, grid), ANNA)


def test_masks_that_overlap_are_saved(store, vault):
    grid = geometry()
    case = opened_case(volume(grid), masks(grid))
    store.add_case(case.files.record, ANNA)
    base = prediction_version(store, vault, case, ANNA)
    array = np.array(case.prediction.labels.array)
    array[1] = False
    version = save_version(store, vault, case, base, MultiLabelMap(array, grid, SCHEME.names), ANNA)
    assert version.volumes_ml["spleen"] == 0
    assert version.changed_ml["liver"] == 0
    assert version.changed_ml["spleen"] == pytest.approx(base.volumes_ml["spleen"])


def test_pictures_have_no_millilitres():
    grid = Geometry.from_spacing((4, 4, 1), unit=LengthUnit.PIXEL)
    labels = label_map(grid)
    assert volumes_ml(Segmentation(labels, SCHEME)) == {}
    assert changed_ml(labels, label_map(grid, seed=1), SCHEME) == {}


@given(SEEDS, SEEDS, st.booleans())
def test_what_changed_is_what_only_one_of_both_holds(one, other, overlap):
    grid = geometry()
    make = (lambda seed: masks(grid, seed=seed)) if overlap else (lambda seed: label_map(grid, seed=seed))
    labels, before = make(one), make(other)
    changed = changed_ml(labels, before, SCHEME)
    for name in SCHEME.targets:
        differing = SCHEME.mask(labels, name) ^ SCHEME.mask(before, name)
        assert changed[name] == pytest.approx(differing.sum() * 3.75 / 1000)
    assert changed == changed_ml(before, labels, SCHEME)
    assert set(changed_ml(labels, labels, SCHEME).values()) == {0}


@given(SEEDS, SEEDS, st.permutations(("one", "two", "three")), st.booleans())
def test_all_structures_reverted_are_the_original(one, other, order, overlap):
    grid, labelled = geometry(), scheme("one", "two", "three")
    if overlap:
        labels, original = (masks(grid, labelled.names, seed) for seed in (one, other))
    else:
        labels, original = (label_map(grid, (0, 1, 2, 3), seed) for seed in (one, other))
    for target in order:
        changed = reverted(labels, original, labelled, target)
        assert np.array_equal(labelled.mask(changed, target), labelled.mask(original, target))
        untouched = ~(labelled.mask(labels, target) | labelled.mask(original, target))
        assert np.array_equal(changed.array[..., untouched], labels.array[..., untouched]) or overlap
        labels = changed
    assert np.array_equal(labels.array, original.array)


def test_a_region_is_reverted_with_all_its_structures():
    grid = geometry()
    labelled = LabelScheme(
        scheme("one", "two", "three").structures, (Region("both", ("one", "two")), Region("three", ("three",)))
    )
    labels, original = (label_map(grid, (0, 1, 2, 3), seed) for seed in (0, 1))
    changed = reverted(labels, original, labelled, "both")
    for value in (1, 2):
        assert np.array_equal(changed.array == value, original.array == value)
    assert np.array_equal(reverted(changed, original, labelled, "three").array, original.array)


def test_reverting_needs_the_same_kind_and_a_target():
    grid = geometry()
    for labels, original in ((masks(grid), label_map(grid)), (label_map(grid), masks(grid))):
        with pytest.raises(LabelError, match="cannot be reverted to a label map"):
            reverted(labels, original, SCHEME, "liver")
    with pytest.raises(LabelError, match="no outlines of 'heart'"):
        reverted(masks(grid), masks(grid), SCHEME, "heart")
    with pytest.raises(LabelError, match="no structure 'heart'"):
        reverted(label_map(grid), label_map(grid), SCHEME, "heart")


def test_a_later_prediction_becomes_a_version_of_its_own(store, vault, begun):
    case, base = begun
    saved = save_version(store, vault, case, base, edited(case), ANNA)
    record = CaseRecord(CASE, Origin.FOLDER, ModelStamp("newer model"))
    again = replace(
        opened_case(case.volume, label_map(case.volume.geometry, seed=9)),
        files=CaseFiles(CASE, Origin.FOLDER, (), record),
    )
    store.add_case(record, ANNA)
    version = prediction_version(store, vault, again, BERT)
    assert (version.number, version.parent, version.author) == (2, 0, "newer model")
    assert version.changed_ml["liver"] > 0
    assert prediction_version(store, vault, again, BERT) == version
    assert store.versions(CASE) == [base, saved, version]


def test_the_digest_of_an_image_tells_voxels_types_channels_and_grids_apart():
    image = volume()
    other = [
        volume(seed=1),
        volume(dtype=np.int32),
        volume(channels=("ct",)),
        volume(geometry(oblique_degrees=1)),
        volume(channels=("image", "second")),
    ]
    digests = {image_digest(one) for one in (image, *other)}
    assert len(digests) == 6
    swapped = replace(image, array=np.asfortranarray(image.array.astype(">i2")))
    assert image_digest(swapped) == image_digest(image) in digests
