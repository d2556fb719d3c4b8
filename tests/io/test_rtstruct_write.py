"""Segmentations as structure sets: what is written, what it refers to, and what comes back."""

from __future__ import annotations

import dataclasses

import numpy as np
import pydicom
import pytest
from contour_objects import HEADER, grid_of, hard_structures, source_of
from dicom_factories import OBLIQUE, Grid, enhanced_dataset, only_series, voxels, write_changed, write_file
from factories import ALL_ORIENTATIONS
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydicom.uid import ImplicitVRLittleEndian

from medseg.core.errors import GeometryError, OutputError, StudyError
from medseg.core.geometry import Geometry
from medseg.core.labels import CodedConcept, LabelScheme, Laterality, Region, Structure
from medseg.core.segmentation import Segmentation
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.io import rtstruct_items, rtstruct_write
from medseg.io.dicom_result import SourceSeries, read_source
from medseg.io.rtstruct_read import is_structure_set, read_structure_set
from medseg.io.rtstruct_write import write_structure_set

LIVER = Structure("liver", 3, (10, 20, 30), CodedConcept("10200004", "SCT", "Liver"))
KIDNEY = Structure(
    "kidney",
    300,
    (1, 2, 3),
    CodedConcept("64033007", "SCT", "Kidney"),
    CodedConcept("123037004", "SCT", "Anatomical Structure"),
    Laterality.RIGHT,
)


def labels(grid: Geometry, *values: int, seed=0) -> LabelMap:
    return LabelMap(np.random.default_rng(seed).choice(np.array((0, *values), np.uint16), grid.shape), grid)


def written(path, segmentation: Segmentation, source: SourceSeries, header=HEADER) -> pydicom.Dataset:
    write_structure_set(path, segmentation, source, header)
    return pydicom.dcmread(path)


def organs(source: SourceSeries) -> Segmentation:
    return Segmentation(labels(source.geometry, 3, 300), LabelScheme((LIVER, KIDNEY)))


def test_the_object_says_whose_and_what_it_is(tmp_path):
    source = source_of(tmp_path / "ct", Grid())
    dataset = written(tmp_path / "rt.dcm", organs(source), source)
    assert is_structure_set(tmp_path / "rt.dcm")
    assert dataset.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert dataset.PatientID == "MARKER-ID"
    assert dataset.StudyInstanceUID == source.headers[0].StudyInstanceUID
    assert (dataset.SeriesInstanceUID, dataset.SOPInstanceUID) == ("1.2.3", "1.2.3.4")
    assert (dataset.Modality, dataset.StructureSetLabel, dataset.SeriesDescription) == (
        "RTSTRUCT",
        "contours",
        "contours",
    )
    assert (dataset.StructureSetDate, dataset.ApprovalStatus) == ("20200102", "UNAPPROVED")
    for keyword in ("OperatorsName", "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator"):
        assert keyword in dataset
        assert not dataset[keyword].value


def test_each_structure_has_number_name_colour_and_code(tmp_path):
    source = source_of(tmp_path / "ct", Grid())
    dataset = written(tmp_path / "rt.dcm", organs(source), source)
    liver, kidney = dataset.StructureSetROISequence
    assert (liver.ROINumber, liver.ROIName, liver.ROIGenerationAlgorithm) == (3, "liver", "AUTOMATIC")
    assert kidney.ROIGenerationDescription == "net 1.0"
    assert kidney.ReferencedFrameOfReferenceUID == dataset.FrameOfReferenceUID
    assert [roi.ReferencedROINumber for roi in dataset.ROIContourSequence] == [3, 300]
    assert dataset.ROIContourSequence[0].ROIDisplayColor == [10, 20, 30]
    plain, coded = dataset.RTROIObservationsSequence
    assert (plain.RTROIInterpretedType, plain.ReferencedROINumber, plain.ROIInterpreter) == ("ORGAN", 3, "")
    assert "SegmentedPropertyCategoryCodeSequence" not in plain
    assert coded.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"
    (code,) = coded.RTROIIdentificationCodeSequence
    assert (code.CodeValue, code.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning) == ("64033007", "Right")


def test_all_comes_back(tmp_path):
    source = source_of(tmp_path / "ct", OBLIQUE)
    segmentation = organs(source)
    write_structure_set(tmp_path / "rt.dcm", segmentation, source, HEADER)
    again = read_structure_set(tmp_path / "rt.dcm", source.geometry)
    assert again.scheme == segmentation.scheme
    np.testing.assert_array_equal(again.labels.array, segmentation.labels.array)


def test_contours_lie_on_the_planes_of_the_images_that_they_refer_to(tmp_path):
    source = source_of(tmp_path / "ct", OBLIQUE)
    dataset = written(tmp_path / "rt.dcm", organs(source), source)
    images = {header.SOPInstanceUID: header for header in source.headers}
    normal = OBLIQUE.directions[:, 2]
    contours = [contour for roi in dataset.ROIContourSequence for contour in roi.ContourSequence]
    for contour in contours:
        (reference,) = contour.ContourImageSequence
        header = images[reference.ReferencedSOPInstanceUID]
        assert reference.ReferencedSOPClassUID == header.SOPClassUID
        assert "ReferencedFrameNumber" not in reference
        points = np.reshape([float(value) for value in contour.ContourData], (-1, 3))
        assert len(points) == contour.NumberOfContourPoints
        offsets = (points - np.array(header.ImagePositionPatient, dtype=float)) @ normal
        np.testing.assert_allclose(offsets, 0, atol=2e-4)
        assert max(len(str(value)) for value in contour.ContourData) <= 16
    assert len({one.ContourImageSequence[0].ReferencedSOPInstanceUID for one in contours}) == 5
    (series,) = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.headers[0].SeriesInstanceUID
    assert {one.ReferencedSOPInstanceUID for one in series.ContourImageSequence} == set(images)


def test_frames_of_one_file_are_referred_to_by_number(tmp_path):
    grid, order = Grid(slices=4), (2, 0, 3, 1)
    write_file(tmp_path / "mr.dcm", enhanced_dataset(grid, voxels(grid, low=0), order))
    source = read_source(only_series(tmp_path))
    dataset = written(tmp_path / "out" / "rt.dcm", organs(source), source)
    frames = {}
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        (image,) = contour.ContourImageSequence
        frames[image.ReferencedFrameNumber] = round((float(contour.ContourData[2]) - 40) / 2.5)
    assert frames == {1: 2, 2: 0, 3: 3, 4: 1}


def test_a_slice_that_was_filled_in_has_no_image(tmp_path):
    write_changed(tmp_path / "ct", lambda datasets: datasets[:2] + datasets[3:])
    source = read_source(only_series(tmp_path / "ct", fill_gaps=True), fill_gaps=True)
    segmentation = Segmentation(LabelMap(np.full(source.geometry.shape, 3), source.geometry), LabelScheme((LIVER,)))
    dataset = written(tmp_path / "rt.dcm", segmentation, source)
    contours = dataset.ROIContourSequence[0].ContourSequence
    assert ["ContourImageSequence" in contour for contour in contours] == [True, True, False, True, True]


def test_an_empty_structure_is_there(tmp_path):
    source = source_of(tmp_path / "ct", Grid())
    segmentation = Segmentation(labels(source.geometry, 3), LabelScheme((LIVER, KIDNEY)))
    dataset = written(tmp_path / "rt.dcm", segmentation, source)
    assert "ContourSequence" not in dataset.ROIContourSequence[1]
    again = read_structure_set(tmp_path / "rt.dcm", source.geometry)
    assert [int(mask.any()) for _, mask in again.masks()] == [1, 0]


def test_regions_are_structures(tmp_path):
    source = source_of(tmp_path / "ct", Grid())
    scheme = LabelScheme((LIVER, KIDNEY), (Region("both", ("liver", "kidney")), Region("kidney", ("kidney",))))
    segmentation = Segmentation(labels(source.geometry, 3, 300), scheme)
    write_structure_set(tmp_path / "rt.dcm", segmentation, source, HEADER)
    again = read_structure_set(tmp_path / "rt.dcm", source.geometry)
    assert isinstance(again.labels, MultiLabelMap)
    for (one, mask), (other, filled) in zip(segmentation.masks(), again.masks(), strict=True):
        assert (one.name, one.value) == (other.name, other.value)
        np.testing.assert_array_equal(mask, filled)


def test_texts_are_cut_and_cleaned_and_names_of_any_alphabet_kept(tmp_path):
    source = source_of(tmp_path / "ct", Grid())
    source.headers[0].SpecificCharacterSet = "ISO_IR 144"
    source.headers[0].PatientName = "Иванов^Пётр"
    structure = dataclasses.replace(LIVER, name="left\\lungs\n" + "ё" * 90)
    header = dataclasses.replace(HEADER, description="a description of more than sixteen letters")
    segmentation = Segmentation(labels(source.geometry, 3), LabelScheme((structure,)))
    dataset = written(tmp_path / "rt.dcm", segmentation, source, header)
    assert dataset.PatientName == "Иванов^Пётр"
    assert dataset.StructureSetROISequence[0].ROIName == "left/lungs" + "ё" * 54
    assert dataset.StructureSetLabel == "a description of"


@pytest.mark.parametrize(
    "grid", [Grid(), OBLIQUE, Grid(spacing=(1e-3, 2e-3, 1), origin=(-1000, 2000, 99)), Grid(slices=1)]
)
@given(data=st.data())
def test_any_mask_comes_back(tmp_path_factory, grid, data):
    geometry = grid_of(grid)
    folder = tmp_path_factory.mktemp("any")
    source = source_of(folder / "ct", grid)
    array = data.draw(arrays(np.uint8, geometry.shape, elements=st.sampled_from([0, 3])))
    segmentation = Segmentation(LabelMap(array, geometry), LabelScheme((LIVER,)))
    write_structure_set(folder / "rt.dcm", segmentation, source, HEADER)
    np.testing.assert_array_equal(read_structure_set(folder / "rt.dcm", source.geometry).labels.array, array)


@pytest.mark.parametrize("tilt", [(0, 0, 0), (12, -25, 7), (90, 0, 0), (0, 90, 0), (180, 35, 0)])
def test_hard_structures_come_back_in_any_orientation(tmp_path, tilt):
    source = source_of(tmp_path / "ct", Grid(columns=30, rows=24, slices=9, tilt_degrees=tilt))
    segmentation = hard_structures(source.geometry)
    write_structure_set(tmp_path / "rt.dcm", segmentation, source, HEADER)
    for codes in ALL_ORIENTATIONS[::7]:
        again = read_structure_set(tmp_path / "rt.dcm", source.geometry.reoriented(codes))
        np.testing.assert_array_equal(again.labels.array, segmentation.labels.reoriented(codes).array)


def test_another_grid_than_the_source_is_refused(tmp_path):
    source = source_of(tmp_path / "ct", Grid())
    scheme = LabelScheme((LIVER,))
    for grid, message in (
        (source.geometry.reoriented("RAS"), "labels lie .* mm off the grid of the source"),
        (source.geometry.with_shape((9, 7, 6)), "labels of 9x7x6 on the source's 9x7x5 voxels"),
    ):
        with pytest.raises(GeometryError, match=message):
            write_structure_set(tmp_path / "rt.dcm", Segmentation(labels(grid, 3), scheme), source, HEADER)


@pytest.mark.parametrize(
    ("keyword", "message"), [("FrameOfReferenceUID", "no frame of reference"), ("SOPClassUID", "no SOP class")]
)
def test_a_source_that_cannot_be_referred_to(tmp_path, keyword, message):
    source = source_of(tmp_path / "ct", Grid())
    for header in source.headers:
        header[keyword].value = None
    with pytest.raises(StudyError, match=message):
        write_structure_set(tmp_path / "rt.dcm", organs(source), source, HEADER)


def test_contours_that_do_not_give_the_voxels_back_are_not_released(tmp_path, monkeypatch):
    source = source_of(tmp_path / "ct", Grid())
    monkeypatch.setattr(rtstruct_write, "outlines", lambda mask: (np.array([[0.0, 0], [0, 3], [3, 3]]),))
    with pytest.raises(OutputError, match="contours of 'liver' do not give back [0-9]+ of its voxels; write DICOM SEG"):
        write_structure_set(tmp_path / "rt.dcm", organs(source), source, HEADER)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ct"]


def test_more_contours_than_are_read_are_not_written(tmp_path, monkeypatch):
    source = source_of(tmp_path / "ct", Grid())
    monkeypatch.setattr(rtstruct_items, "_MOST_NUMBERS", 9)
    with pytest.raises(OutputError, match="contours cannot be read back .* write DICOM SEG instead"):
        write_structure_set(tmp_path / "rt.dcm", organs(source), source, HEADER)
    assert not (tmp_path / "rt.dcm").exists()


def test_a_contour_of_more_than_64_kib_is_written(tmp_path):
    source = source_of(tmp_path / "ct", Grid(columns=120, rows=110, slices=1))
    array = np.full(source.geometry.shape, 3, dtype=np.uint8)
    array[1:-1:2, 1:-1:2] = 0
    segmentation = Segmentation(LabelMap(array, source.geometry), LabelScheme((LIVER,)))
    dataset = written(tmp_path / "rt.dcm", segmentation, source)
    assert dataset.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints > 10_000
