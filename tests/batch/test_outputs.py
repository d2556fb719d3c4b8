"""A result in all its forms, and what each of them needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pydicom
import pytest
from batch_studies import FITS, write_study
from dicom_factories import only_series
from factories import geometry, label_map, scheme
from PIL import Image

from medseg.batch.outputs import (
    Product,
    ResultForm,
    completed,
    paths_of,
    thumbnail,
    voxel_counts,
    write_form,
    write_forms,
    write_thumbnail,
)
from medseg.core.errors import InputError
from medseg.core.labels import LabelScheme, Structure
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap, Volume
from medseg.io.dicom_read import read_series
from medseg.io.dicom_result import Algorithm, ResultHeader, read_source
from medseg.io.formats import read_label_map, read_volume

VALUES = LabelScheme((Structure("liver", 3, (1, 2, 3)), Structure("spleen", 7, (4, 5, 6))))


def header(form: ResultForm) -> ResultHeader:
    number = 100 + list(ResultForm).index(form)
    return ResultHeader(
        f"1.2.3.{number}", f"1.2.3.{number}.1", number, str(form), Algorithm("tiny", "1"), datetime.now(UTC)
    )


def product(folder) -> Product:
    """A result on a CT series: a block of the value 3, a smaller one of the value 7."""
    write_study(folder / "in")
    series = only_series(folder / "in")
    volume = read_series(series)
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[2:9, 3:9, 2:8] = 3
    labels[3:5, 4:6, 3:5] = 7
    maps = np.stack([labels == 3, labels == 7]).astype(np.float16)
    probabilities = Volume(maps, volume.geometry, VALUES.names)
    segmentation = Segmentation(LabelMap(labels, volume.geometry), VALUES)
    return Product(segmentation, volume, probabilities, read_source(series), header)


def test_a_report_brings_the_segmentation_that_it_refers_to():
    assert completed((ResultForm.REPORT,)) == (ResultForm.SEG, ResultForm.REPORT)
    assert completed((ResultForm.REPORT, ResultForm.SEG_LABELMAP)) == (ResultForm.SEG_LABELMAP, ResultForm.REPORT)
    assert completed((ResultForm.NIFTI, ResultForm.SEG, ResultForm.NIFTI)) == (ResultForm.SEG, ResultForm.NIFTI)
    assert [form for form in ResultForm if form.is_dicom] == list(ResultForm)[:6]


def test_what_is_written_is_what_was_named(tmp_path):
    made, forms = product(tmp_path), completed(tuple(ResultForm))
    (tmp_path / "out").mkdir()
    write_forms(tmp_path / "out", made, forms)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*paths_of(forms), "surfaces.mtl"}
    assert np.array_equal(read_label_map(tmp_path / "out" / "labels.nii.gz").array, made.segmentation.labels.array)
    probabilities = read_volume(tmp_path / "out" / "probabilities.nii.gz").array
    assert np.array_equal(probabilities, made.probabilities.array)


def everything(dataset, keyword: str) -> list[object]:
    return [element.value for element in dataset.iterall() if element.keyword == keyword]


@pytest.mark.parametrize(("form", "numbers"), [(ResultForm.SEG, {1, 2}), (ResultForm.SEG_LABELMAP, {3, 7})])
def test_a_report_refers_to_the_segments_that_lie_beside_it(tmp_path, form, numbers):
    made = product(tmp_path)
    write_forms(tmp_path, made, completed((form, ResultForm.REPORT)))
    (path,) = tmp_path.glob("seg*.dcm")
    segmentation, report = pydicom.dcmread(path), pydicom.dcmread(tmp_path / "report.dcm")
    assert segmentation.SOPInstanceUID == header(form).instance_uid
    assert {int(one.SegmentNumber) for one in segmentation.SegmentSequence} >= numbers
    referred = {int(number) for number in everything(report, "ReferencedSegmentNumber")}
    assert referred == numbers
    assert segmentation.SOPInstanceUID in everything(report, "ReferencedSOPInstanceUID")
    tracked = {int(one.SegmentNumber): one.get("TrackingUID") for one in segmentation.SegmentSequence}
    assert {tracked[number] for number in numbers} == set(everything(report, "UID")) & set(tracked.values())
    assert None not in {tracked[number] for number in numbers}
    volumes = {float(value) for value in everything(report, "NumericValue")}
    voxel_ml = np.prod(FITS.spacing) / 1000
    counts = voxel_counts(made.segmentation)
    assert {round(counts[name] * voxel_ml, 4) for name in counts} <= {round(value, 4) for value in volumes}


LACKING = {
    "source": (ResultForm.SEG, "refers to the DICOM series that was outlined; name it by --source"),
    "probabilities": (ResultForm.PROBABILITIES, "this form holds probabilities, and only labels are known"),
    "volume": (ResultForm.CAPTURE, "a capture needs the image; name it by --source"),
}


@pytest.mark.parametrize("part", LACKING)
def test_a_form_whose_parts_are_not_known_is_refused(tmp_path, part):
    form, message = LACKING[part]
    with pytest.raises(InputError, match=message):
        write_form(tmp_path / "x", replace(product(tmp_path), **{part: None}), form, (form,))
    assert not (tmp_path / "x").exists()


def test_a_picture_needs_the_image_and_is_small(tmp_path):
    made = product(tmp_path)
    write_thumbnail(tmp_path / "preview.jpg", made)
    with Image.open(tmp_path / "preview.jpg") as picture:
        assert picture.format == "JPEG"
        assert picture.width <= 720
    assert thumbnail(Image.new("RGBA", (1600, 100))).size == (720, 45)
    assert thumbnail(Image.new("L", (40, 30))).size == (40, 30)
    with pytest.raises(InputError, match="a picture needs the image"):
        write_thumbnail(tmp_path / "preview.jpg", replace(made, volume=None))


def test_voxels_are_counted_by_target():
    grid = geometry()
    labels = label_map(grid)
    counts = voxel_counts(Segmentation(labels, scheme("one", "two")))
    assert counts == {"one": int((labels.array == 1).sum()), "two": int((labels.array == 2).sum())}
    masks = MultiLabelMap(np.stack([labels.array > 0, labels.array > 1]), grid, ("one", "two"))
    overlapping = replace(scheme("one", "two"), overlapping=True)
    assert voxel_counts(Segmentation(masks, overlapping)) == {
        "one": int((labels.array > 0).sum()),
        "two": int((labels.array == 2).sum()),
    }
    beyond = LabelMap(np.full(grid.shape, 9, np.uint8), grid)
    assert voxel_counts(Segmentation(beyond, scheme("one", "two"))) == {"one": 0, "two": 0}
