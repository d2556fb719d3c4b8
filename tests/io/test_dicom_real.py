"""Every DICOM series of the public data, against SimpleITK and highdicom."""

from __future__ import annotations

from collections import Counter

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from medseg.io.dicom_read import read_series
from medseg.io.studies import Series, find_series

pytestmark = pytest.mark.real_data

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
FOLDERS = ("dicom_studies", "brain_tumor_progression", "ct_abdomen", "rtutils_tests/mock_data", "highdicom_test_files")
DCMQI = ("dcmqi/paramaps", "dcmqi/segmentations", "dcmqi/sr-example")
COPIES = ("rtutils_tests/oriented_data", "rtutils_tests/one_slice_data", "rtutils_tests/empty")
"""These share series UIDs; each is a folder of its own."""


def all_series(root) -> list[Series]:
    return [series for folder in (*FOLDERS, *DCMQI, *COPIES) for series in find_series(root / folder).series]


def by_simpleitk(series: Series) -> tuple[np.ndarray, np.ndarray]:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in series.files])
    image = reader.Execute() if len(series.files) > 1 else sitk.ReadImage(str(series.files[0]))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T.copy(), LPS_TO_RAS @ affine


def by_highdicom(series: Series, codes: str) -> tuple[np.ndarray, np.ndarray]:
    if len(series.files) == 1:
        volume = highdicom.imread(series.files[0]).get_volume(apply_real_world_transform=False)
    else:
        volume = highdicom.get_volume_from_series([pydicom.dcmread(path) for path in series.files])
    volume = volume.to_patient_orientation(codes)
    return volume.array, LPS_TO_RAS @ volume.affine


def corners(affine, shape):
    points = [
        [*(index * (size - 1) for index, size in zip(corner, shape, strict=True)), 1] for corner in np.ndindex(2, 2, 2)
    ]
    return (affine @ np.array(points).T)[:3]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_every_series_agrees_with_two_other_readers(real_data):
    usable = [series for series in all_series(real_data) if series.problem is None]
    for series in usable:
        volume = read_series(series)
        affine, shape = volume.geometry.affine, volume.geometry.shape
        array, theirs = by_simpleitk(series)
        np.testing.assert_allclose(volume.array[0], array, rtol=1e-6, err_msg=series.description)
        if len(series.files) > 1 or series.frames == 1:
            np.testing.assert_allclose(corners(affine, shape), corners(theirs, shape), atol=1e-3)
        if shape[2] > 1 and pydicom.dcmread(series.files[0]).SOPClassUID:  # ct_abdomen's was emptied
            array, theirs = by_highdicom(series, volume.geometry.axis_codes)
            np.testing.assert_allclose(volume.array[0], array, rtol=1e-6)
            np.testing.assert_allclose(corners(affine, shape), corners(theirs, shape), atol=1e-3)
    assert len(usable) == 29


def test_what_is_refused_and_why(real_data):
    problems = Counter(series.problem for series in all_series(real_data) if series.problem)
    assert problems == {
        "a segmentation, not an image": 18,
        "a colour image; only greyscale is read": 5,
        "a structured report, not an image": 3,
        "contours (RT structure set), not an image": 3,
        "annotations, not an image": 1,
        "a table of real world values, not an image": 1,
        "25 frames without a position each": 1,
        "no position, orientation and pixel spacing in the patient": 1,
    }


def test_spacing_of_the_tumour_study_is_not_slice_thickness(real_data):
    study = find_series(real_data / "brain_tumor_progression")
    assert len(study.series) == 10
    assert study.unreadable == 0
    for series in study.series:
        assert pydicom.dcmread(series.files[0]).SliceThickness == 5
        assert series.geometry.spacing[2] == pytest.approx(6.5, abs=1e-3)


def test_one_patient_one_frame_of_reference(real_data):
    study = find_series(real_data / "brain_tumor_progression").series
    assert len({series.patient for series in study}) == 1
    assert len({series.study_uid for series in study}) == 1
