"""Every segmentation of the public data: dcmqi's against their NRRDs, highdicom's against highdicom."""

from __future__ import annotations

from collections import Counter

import highdicom
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_factories import only_series
from seg_factories import HEADER, found_labels, voxel_counts

from medseg.core.errors import DataError
from medseg.core.geometry import Geometry
from medseg.core.volume import MultiLabelMap
from medseg.io.dicom_result import read_source
from medseg.io.dicom_seg_file import SegmentationForm, is_segmentation
from medseg.io.dicom_seg_read import read_fractional, read_segmentation
from medseg.io.dicom_seg_write import write_segmentation
from medseg.io.studies import find_series

pytestmark = pytest.mark.real_data
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
READ = (
    *("seg_image_ct_binary.dcm", "seg_image_ct_binary_fractional.dcm", "seg_image_ct_binary_overlap.dcm"),
    *("seg_image_ct_binary_single_frame.dcm", "seg_image_ct_true_fractional.dcm"),
)


def nrrd(path) -> tuple[np.ndarray, Geometry]:
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image).T
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return array, Geometry(array.shape, LPS_TO_RAS @ affine)


@pytest.mark.parametrize(
    ("name", "label", "voxels"),
    [
        ("liver.dcm", "liver_seg.nrrd", 107098),
        ("sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd", 630),
        ("sparse-labelmap-ppv5.dcm", "sparse_labelmap_ppv5_seg.nrrd", 630),
        ("23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd", 322),
    ],
)
def test_dcmqi_golden_label_maps(real_data, name, label, voxels):
    folder = real_data / "dcmqi" / "segmentations"
    values, grid = nrrd(folder / label)
    on_grid, by_itself = read_segmentation(folder / name, grid), read_segmentation(folder / name)
    assert voxel_counts(on_grid) == voxel_counts(by_itself) == {"Liver": voxels}
    np.testing.assert_array_equal(on_grid.labels.array == 1, values == 1)
    assert by_itself.geometry.is_close(grid, 1e-3)
    assert on_grid.scheme.structures[0].colour == (221, 130, 101)


def test_dcmqi_golden_overlaps(real_data):
    folder = real_data / "dcmqi" / "segmentations"
    read = read_segmentation(folder / "partial_overlaps.dcm")
    assert isinstance(read.labels, MultiLabelMap)
    assert list(voxel_counts(read).values()) == [9602, 11888, 10743, 6693, 4713]
    theirs = {}
    for number in (1, 2, 3):
        values, grid = nrrd(folder / f"partial_overlaps-{number}.nrrd")
        theirs |= {int(value): values == value for value in np.unique(values) if value}
        assert read.geometry.is_close(grid, 1e-3)
    for number, mask in enumerate(read.labels.array, start=1):
        np.testing.assert_array_equal(mask, theirs[number])


@pytest.mark.parametrize("name", READ)
def test_highdicom_files_read_as_by_highdicom(real_data, name):
    path = real_data / "highdicom_test_files" / name
    read = read_segmentation(path)
    seg = highdicom.seg.segread(path)
    volume = seg.get_volume(allow_missing_positions=True, rescale_fractional=True)
    volume = volume.to_patient_orientation(read.geometry.axis_codes)
    assert read.geometry.is_close(Geometry(volume.array.shape[:3], LPS_TO_RAS @ volume.affine), 1e-2)
    for index, (_, mask) in enumerate(read.masks()):
        np.testing.assert_array_equal(mask, volume.array[..., index] > 0.5)
    if seg.segmentation_type.value == "FRACTIONAL":
        probabilities, _ = read_fractional(path)
        np.testing.assert_allclose(np.moveaxis(probabilities.array, 0, -1), volume.array, atol=1e-6)


def test_what_is_refused_and_why(real_data):
    refused = Counter()
    for path in sorted((real_data / "highdicom_test_files").glob("*.dcm")):
        if is_segmentation(path) and path.name not in READ:
            with pytest.raises(DataError) as caught:
                read_segmentation(path)
            refused[str(caught.value)] += 1
    assert refused == {
        "a segmentation of a slide in tiles; only those of images in the patient are read": 6,
        "a segmentation without position, orientation and pixel spacing in the patient": 1,
    }


@pytest.mark.parametrize("form", SegmentationForm)
@pytest.mark.parametrize("folder", ["dcmqi/segmentations/24x38x3/multiframe", "dcmqi/segmentations/ct-3slice"])
def test_results_on_real_sources(real_data, tmp_path, folder, form):
    source = read_source(only_series(real_data / folder))
    segmentation = found_labels(source)
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, form)
    np.testing.assert_array_equal(
        read_segmentation(tmp_path / "seg.dcm", source.geometry).labels.array, segmentation.labels.array
    )


def test_results_on_every_usable_study(real_data, tmp_path):
    usable = [
        series
        for folder in ("dicom_studies", "brain_tumor_progression", "rtutils_tests/mock_data")
        for series in find_series(real_data / folder).series
        if series.problem is None
    ]
    for series in usable:
        source = read_source(series)
        segmentation = found_labels(source)
        write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER, SegmentationForm.LABELMAP)
        assert voxel_counts(read_segmentation(tmp_path / "seg.dcm")) == voxel_counts(segmentation)
    assert len(usable) >= 10
