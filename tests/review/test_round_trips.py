"""Prediction, drawing, saving, export: equal in data and in place, whatever the orientation and whatever the file."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from dicom_factories import OBLIQUE, Grid, only_series
from drawn_masks import body_of, mask_grant, masks, opened_case, shown, stream_of
from factories import geometry, label_map, scheme
from hypothesis import given
from hypothesis import strategies as st
from review_places import ANNA, CASE, KEY
from seg_factories import HEADER, source_series

from medseg.core.geometry import Geometry
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.io.dicom_read import read_series
from medseg.io.dicom_result import read_source
from medseg.io.dicom_seg_file import SegmentationForm
from medseg.io.dicom_seg_write import write_segmentation
from medseg.io.formats import read_label_map, read_volume, write_labels
from medseg.io.label_files import read_outlines
from medseg.io.studies import find_series
from medseg.review.drafts import Drafts
from medseg.review.edits import save_version
from medseg.review.first_version import prediction_version
from medseg.review.masks import edited_labels, read_mask, receive_mask
from medseg.review.open_case import OpenCase
from medseg.review.store import open_store
from medseg.review.vault import Vault

SCHEME = scheme("liver", "left kidney", "cyst")


def stored_image(path, grid: Geometry, slope: float, intercept: float) -> None:
    """An image in a file of nibabel's own making, with values that are scaled when they are read."""
    image = nib.Nifti1Image(np.random.default_rng(0).integers(0, 1000, grid.shape).astype(np.int16), grid.affine)
    image.header.set_slope_inter(slope, intercept)
    image.set_sform(grid.affine, 2)
    nib.save(image, path)


def reviewed(folder, case: OpenCase, target: str | None = None) -> tuple[np.ndarray, LabelMap | MultiLabelMap]:
    """What was drawn in the browser, and what the vault has of it after a save."""
    with open_store(folder / "review", KEY) as store:
        vault, drafts = Vault(folder / "review"), Drafts(folder / "review", KEY)
        store.add_case(case.files.record, ANNA)
        base = prediction_version(store, vault, case, ANNA)
        labels = shown(case, folder / "shown", target)
        drawn = np.array(labels.array())
        drawn[1:4, 2:5, 1:3] = 1
        drawn[4:6, 0:2, 2:4] = 0
        receive_mask(mask_grant(labels, base), stream_of(body_of(labels, drawn)), 1, drafts)
        version = save_version(store, vault, case, base, drafts.get(CASE, ANNA).labels, ANNA)
        return drawn, vault.get(version.sha256, case.volume.geometry)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "PIR", "SAL", "LIA", "ASR", "IPL"])
@pytest.mark.parametrize(("degrees", "slope", "intercept"), [(0, 1, 0), (15, 2, -100)])
def test_nifti_in_any_orientation_oblique_and_scaled(tmp_path, codes, degrees, slope, intercept):
    grid = geometry(codes=codes, oblique_degrees=degrees)
    stored_image(tmp_path / "image.nii.gz", grid, slope, intercept)
    image = read_volume(tmp_path / "image.nii.gz")
    drawn, labels = reviewed(tmp_path, opened_case(image, label_map(image.geometry, (0, 1, 2, 3)), SCHEME))
    write_labels(tmp_path / "out.nii.gz", labels)
    written = nib.load(tmp_path / "out.nii.gz")
    assert np.array_equal(np.asanyarray(written.dataobj), drawn)
    assert np.abs(written.affine - nib.load(tmp_path / "image.nii.gz").affine).max() < 1e-3
    assert read_label_map(tmp_path / "out.nii.gz").geometry.is_close(image.geometry)


@pytest.mark.parametrize("form", [SegmentationForm.BINARY, SegmentationForm.LABELMAP])
@pytest.mark.parametrize("grid", [Grid(), OBLIQUE])
def test_a_dicom_series_and_its_segmentation(tmp_path, form, grid):
    source = source_series(tmp_path, grid)
    image = read_series(only_series(tmp_path / "source"))
    drawn, labels = reviewed(tmp_path, opened_case(image, label_map(image.geometry, (0, 1, 2, 3)), SCHEME))
    write_segmentation(tmp_path / "seg.dcm", Segmentation(labels, SCHEME), source, HEADER, form)
    found = read_outlines(tmp_path / "seg.dcm", image.geometry, SCHEME)
    assert np.array_equal(found.labels.array, drawn)
    assert np.abs(found.geometry.affine - image.geometry.affine).max() < 1e-3


def test_a_dicom_series_with_structures_that_overlap(tmp_path):
    source = source_series(tmp_path, OBLIQUE)
    image = read_series(only_series(tmp_path / "source"))
    case = opened_case(image, masks(image.geometry, SCHEME.names), SCHEME)
    drawn, labels = reviewed(tmp_path, case, "cyst")
    write_segmentation(tmp_path / "seg.dcm", Segmentation(labels, SCHEME), source, HEADER, SegmentationForm.BINARY)
    found = read_outlines(tmp_path / "seg.dcm", image.geometry)
    for structure, mask in found.masks():
        before = case.prediction.labels.array[SCHEME.names.index(structure.name)]
        assert np.array_equal(mask, drawn.astype(bool) if structure.name == "cyst" else before)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["RAS", "LPS", "PIR", "SLA"]), st.floats(-30, 30))
def test_whatever_is_drawn_arrives(tmp_path_factory, seed, codes, degrees):
    grid, rng = geometry((5, 6, 7), codes=codes, oblique_degrees=degrees), np.random.default_rng(seed)
    image = read_back(tmp_path_factory.mktemp("image"), grid)
    case = opened_case(image, label_map(image.geometry, (0, 1, 2, 3), seed), SCHEME)
    labels = shown(case, tmp_path_factory.mktemp("shown"))
    drawn = rng.integers(0, 4, grid.shape).astype(np.uint8)
    edited = edited_labels(labels, read_mask(stream_of(body_of(labels, drawn)), labels.served.grid))
    assert np.array_equal(edited.array, drawn)
    assert edited.geometry is case.prediction.labels.geometry


def read_back(folder, grid: Geometry):
    stored_image(folder / "image.nii", grid, 1, 0)
    return read_volume(folder / "image.nii")


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["dicom_studies", "brain_tumor_progression"])
def test_a_public_series(tmp_path, real_data, folder):
    series = next(one for one in find_series(real_data / folder).series if one.problem is None)
    image = read_series(series)
    i, j, k = np.ogrid[tuple(slice(n) for n in image.geometry.shape)]
    predicted = LabelMap((i // 16 + j // 16 + k) % 4, image.geometry)
    drawn, labels = reviewed(tmp_path, opened_case(image, predicted, SCHEME))
    write_labels(tmp_path / "out.nii.gz", labels)
    write_segmentation(tmp_path / "seg.dcm", Segmentation(labels, SCHEME), read_source(series), HEADER)
    for found in (read_label_map(tmp_path / "out.nii.gz"), read_outlines(tmp_path / "seg.dcm", None, SCHEME).labels):
        assert np.array_equal(found.array, drawn)
        assert np.abs(found.geometry.affine - image.geometry.affine).max() < 1e-3
