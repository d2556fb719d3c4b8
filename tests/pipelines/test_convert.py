"""Outlines in any form become any other, on the same voxels."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_factories import MARKER, OBLIQUE, Grid, write_series

from medseg.batch.outputs import ResultForm
from medseg.core.errors import GeometryError, InputError, StudyError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.io.dicom_seg_read import read_fractional
from medseg.io.formats import read_label_map, read_volume, write_label_map
from medseg.io.label_files import read_outlines
from medseg.io.slicer_nrrd import write_slicer_nrrd
from medseg.pipelines.convert import ConvertOptions, convert

GRID = Grid(columns=14, rows=12, slices=6, tilt_degrees=OBLIQUE.tilt_degrees)
SHAPE = (GRID.columns, GRID.rows, GRID.slices)
SCHEME = LabelScheme.from_names({"liver": 1, "spleen": 2})
IN_FOLDER = {ResultForm.STL: "surfaces", ResultForm.CAPTURE: "capture"}


def labels() -> np.ndarray:
    """Two blocks, one with a hole."""
    array = np.zeros(SHAPE, np.uint8)
    array[2:8, 2:8, 1:5] = 1
    array[4:6, 4:6, 2:4] = 0
    array[10:12, 3:9, 2:5] = 2
    return array


@pytest.fixture
def series(tmp_path) -> Path:
    write_series(tmp_path / "ct", GRID)
    return tmp_path / "ct"


@pytest.fixture
def outlines(tmp_path) -> Path:
    """The blocks, under their names."""
    write_slicer_nrrd(tmp_path / "a.seg.nrrd", Segmentation(LabelMap(labels(), Geometry(SHAPE, GRID.affine)), SCHEME))
    return tmp_path / "a.seg.nrrd"


def converted(source: Path, target: Path, series: Path, *forms: ResultForm) -> Path:
    (path,) = convert(source, target, ConvertOptions(forms, series, smooth=False)).outputs
    return path


KINDS = {
    "seg": ("b.dcm", ResultForm.SEG),
    "seg-labelmap": ("b.dcm", ResultForm.SEG_LABELMAP),
    "seg-fractional": ("b.dcm", ResultForm.SEG_FRACTIONAL),
    "rtstruct": ("b.dcm", ResultForm.RTSTRUCT),
    "nrrd": ("b.seg.nrrd", ResultForm.NRRD),
    "obj": ("b.obj", ResultForm.OBJ),
    "stl": ("surfaces", ResultForm.STL),
}


@pytest.mark.parametrize("first", KINDS)
@pytest.mark.parametrize("second", KINDS)
def test_any_form_becomes_any_other(tmp_path, series, outlines, first, second):
    name, form = KINDS[first]
    once = converted(outlines, tmp_path / "once" / name, series, form)
    name, form = KINDS[second]
    twice = converted(once, tmp_path / "twice" / name, series, form)
    grid = Geometry(SHAPE, GRID.affine)
    found = read_outlines(twice, grid, SCHEME)
    assert found.geometry.is_close(grid)
    np.testing.assert_array_equal(found.labels.array, labels())


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".seg.nrrd", ".obj", ".dcm"])
def test_the_suffix_tells_the_form(tmp_path, series, outlines, suffix):
    output = converted(outlines, tmp_path / "out" / f"b{suffix}", series)
    found = read_outlines(output, Geometry(SHAPE, GRID.affine))
    assert sorted(mask.sum() for _, mask in found.masks()) == [36, 136]


def test_label_maps_get_names_from_a_file(tmp_path, series):
    write_label_map(tmp_path / "a.nii.gz", LabelMap(labels(), Geometry(SHAPE, GRID.affine)))
    (tmp_path / "labels.json").write_text(json.dumps({"liver": 1, "spleen": 2}))
    done = convert(tmp_path / "a.nii.gz", tmp_path / "b.dcm", ConvertOptions((), series, tmp_path / "labels.json"))
    assert done.voxels == {"liver": 136, "spleen": 36}
    assert [one.SegmentLabel for one in pydicom.dcmread(tmp_path / "b.dcm").SegmentSequence] == ["liver", "spleen"]


def test_several_forms_go_into_a_folder(tmp_path, series, outlines):
    forms = (ResultForm.REPORT, ResultForm.CAPTURE, ResultForm.NIFTI, ResultForm.PROBABILITIES, ResultForm.STL)
    done = convert(outlines, tmp_path / "all", ConvertOptions(forms, series))
    assert {path.name for path in done.outputs} == {path.name for path in (tmp_path / "all").iterdir()}
    assert {path.name for path in done.outputs} == {
        "seg.dcm", "report.dcm", "capture", "labels.nii.gz", "probabilities.nii.gz", "surfaces"
    }  # fmt: skip
    report, seg = (pydicom.dcmread(tmp_path / "all" / name) for name in ("report.dcm", "seg.dcm"))
    assert str(seg.SOPInstanceUID) in str(report)
    assert len(list((tmp_path / "all" / "capture").iterdir())) == GRID.slices
    assert read_volume(tmp_path / "all" / "probabilities.nii.gz").array.max() == 1


@pytest.mark.parametrize("forms", [(ResultForm.STL,), (ResultForm.NRRD, ResultForm.STL), (ResultForm.CAPTURE,)])
def test_a_folder_that_holds_something_is_not_replaced(tmp_path, series, forms):
    (tmp_path / "data").mkdir()
    for name in ("a.nii.gz", "b.nii.gz"):
        write_label_map(tmp_path / "data" / name, LabelMap(labels(), Geometry(SHAPE, GRID.affine)))
    with pytest.raises(InputError, match="holds something, which the result would replace"):
        convert(tmp_path / "data" / "a.nii.gz", tmp_path / "data", ConvertOptions(forms, series))
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["a.nii.gz", "b.nii.gz"]
    (tmp_path / "empty").mkdir()
    assert convert(tmp_path / "data" / "a.nii.gz", tmp_path / "empty", ConvertOptions(forms, series)).outputs


def test_results_refer_to_the_series_and_its_patient(tmp_path, series, outlines):
    seg = pydicom.dcmread(converted(outlines, tmp_path / "b.dcm", series))
    one = pydicom.dcmread(next(series.iterdir()))
    assert (seg.StudyInstanceUID, seg.PatientID) == (one.StudyInstanceUID, one.PatientID)
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == one.SeriesInstanceUID
    again = pydicom.dcmread(converted(outlines, tmp_path / "c.dcm", series))
    assert again.SOPInstanceUID == seg.SOPInstanceUID


def test_segmentations_have_a_frame_for_every_slice_if_wanted(tmp_path, series, outlines):
    few = pydicom.dcmread(converted(outlines, tmp_path / "b.dcm", series))
    convert(outlines, tmp_path / "c.dcm", ConvertOptions(source=series, all_frames=True))
    assert (few.NumberOfFrames, pydicom.dcmread(tmp_path / "c.dcm").NumberOfFrames) == (7, 2 * GRID.slices)


def test_probabilities_are_kept(tmp_path, series, outlines):
    one = converted(outlines, tmp_path / "b.dcm", series, ResultForm.SEG_FRACTIONAL)
    maps = converted(one, tmp_path / "c.nii.gz", series, ResultForm.PROBABILITIES)
    expected, _ = read_fractional(one, Geometry(SHAPE, GRID.affine))
    np.testing.assert_allclose(read_volume(maps).array, expected.array, atol=1e-6)


def test_structures_that_overlap_stay_so(tmp_path, series):
    masks = np.stack([labels() > 0, labels() == 1])
    both = MultiLabelMap(masks, Geometry(SHAPE, GRID.affine), ("body", "liver"))
    scheme = LabelScheme(LabelScheme.from_names({"body": 1, "liver": 2}).structures, overlapping=True)
    write_slicer_nrrd(tmp_path / "a.seg.nrrd", Segmentation(both, scheme))
    seg = converted(tmp_path / "a.seg.nrrd", tmp_path / "b.dcm", series)
    rtstruct = converted(seg, tmp_path / "c.dcm", series, ResultForm.RTSTRUCT)
    found = read_outlines(rtstruct, Geometry(SHAPE, GRID.affine))
    np.testing.assert_array_equal([mask for _, mask in found.masks()], masks)


def test_an_image_of_any_format_gives_the_grid(tmp_path, series, outlines):
    rtstruct = converted(outlines, tmp_path / "b.dcm", series, ResultForm.RTSTRUCT)
    image = tmp_path / "image.nii"
    write_label_map(image, LabelMap(labels() * 0, Geometry(SHAPE, GRID.affine)))
    convert(rtstruct, tmp_path / "c.nii.gz", ConvertOptions(source=image))
    np.testing.assert_array_equal(read_label_map(tmp_path / "c.nii.gz").array != 0, labels() != 0)


def test_wrong_requests_are_one_sentence(tmp_path, series, outlines):
    rtstruct = converted(outlines, tmp_path / "b.dcm", series, ResultForm.RTSTRUCT)
    write_series(tmp_path / "two" / "one", GRID)
    write_series(tmp_path / "two" / "other", GRID)
    write_series(tmp_path / "elsewhere", replace(GRID, origin=(500.0, 0.0, 0.0)))
    wrong = [
        ((rtstruct, tmp_path / "c.nii.gz", ConvertOptions()), InputError, "name the image that it was drawn on"),
        ((outlines, tmp_path / "c.dcm", ConvertOptions()), InputError, "name it by --source"),
        ((outlines, tmp_path / "c.xyz", ConvertOptions()), InputError, "tells no form"),
        ((outlines, outlines, ConvertOptions()), InputError, "would replace its input"),
        ((tmp_path / "nowhere", tmp_path / "c.nii", ConvertOptions()), InputError, "does not exist"),
        ((outlines, tmp_path / "c.dcm", ConvertOptions(source=tmp_path / "two")), StudyError, "2 usable DICOM series"),
        ((outlines, tmp_path / "c.dcm", ConvertOptions(source=tmp_path / "elsewhere")), GeometryError, "mm"),
        ((outlines, tmp_path / "c.dcm", ConvertOptions((ResultForm.CAPTURE,))), InputError, "--source"),
    ]
    before = sorted(tmp_path.rglob("*"))
    for arguments, kind, sentence in wrong:
        with pytest.raises(kind, match=sentence) as told:
            convert(*arguments)
        assert MARKER not in str(told.value)
    assert sorted(tmp_path.rglob("*")) == before
