"""What a written segmentation says besides its voxels."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
from dicom_factories import (
    MARKER,
    OBLIQUE,
    enhanced_dataset,
    only_series,
    series_datasets,
    voxels,
    write_file,
    write_files,
)
from factories import scheme
from seg_factories import HEADER, found_labels, source_series, voxel_counts

from medseg.core.labels import CodedConcept, LabelScheme, Laterality, Structure
from medseg.io.dicom_result import read_source
from medseg.io.dicom_seg_file import SegmentationForm
from medseg.io.dicom_seg_read import read_segmentation
from medseg.io.dicom_seg_write import write_segmentation

KIDNEY = CodedConcept("64033007", "SCT", "Kidney")
ABNORMAL = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
CYST = CodedConcept("367643001", "SCT", "Cyst")
CODED = LabelScheme(
    (
        Structure("left kidney", 1, (200, 100, 50), KIDNEY, laterality=Laterality.LEFT),
        Structure("cyst", 2, (0, 0, 255), CYST, category=ABNORMAL),
        Structure("whatever", 3, (1, 2, 3)),
    )
)


def test_segments_carry_names_codes_sides_colours_and_the_algorithm(tmp_path):
    source = source_series(tmp_path)
    write_segmentation(tmp_path / "seg.dcm", found_labels(source, CODED), source, HEADER)
    kidney, cyst, unknown = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    assert [one.SegmentLabel for one in (kidney, cyst, unknown)] == ["left kidney", "cyst", "whatever"]
    assert kidney.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    kind = kidney.SegmentedPropertyTypeCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("64033007", "SCT", "Kidney")
    assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
    assert cyst.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert unknown.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Tissue"
    assert (kidney.SegmentAlgorithmType, kidney.SegmentAlgorithmName) == ("AUTOMATIC", "organs")
    assert kidney.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "1.2"
    assert kidney.RecommendedDisplayCIELabValue == [*highdicom.color.CIELabColor.from_rgb(200, 100, 50).value]
    assert len({one.TrackingUID for one in (kidney, cyst, unknown)}) == 3


def test_the_scheme_comes_back(tmp_path):
    source = source_series(tmp_path)
    write_segmentation(tmp_path / "seg.dcm", found_labels(source, CODED), source, HEADER, SegmentationForm.LABELMAP)
    assert read_segmentation(tmp_path / "seg.dcm").scheme == CODED


def test_patient_study_and_series_are_those_of_the_source(tmp_path):
    said = {"StudyDate": "20200102", "StudyTime": "030405", "AccessionNumber": "A7", "PatientSex": "X"}
    deid = {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "medseg"}
    source = source_series(tmp_path, **said, **deid)
    write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER)
    dataset, first = pydicom.dcmread(tmp_path / "seg.dcm"), source.headers[0]
    for keyword in (*said, *deid, "PatientName", "PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "PatientAge"):
        assert dataset[keyword].value == first[keyword].value, keyword
    assert (dataset.StudyID, dataset.BodyPartExamined, dataset.Modality) == ("", "ABDOMEN", "SEG")
    assert (dataset.SeriesInstanceUID, dataset.SOPInstanceUID) == (HEADER.series_uid, HEADER.instance_uid)
    assert (dataset.SeriesNumber, dataset.SeriesDescription) == (70, "organs by medseg")
    assert dataset.ContentDate == dataset.InstanceCreationDate == "20260304"
    assert dataset.ContentTime.startswith("050607")


def test_no_library_logs_whose_it_is(tmp_path, caplog):
    caplog.set_level("DEBUG")
    source = source_series(tmp_path)
    write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER)
    said = [str(source.headers[0][keyword].value) for keyword in ("StudyInstanceUID", "SOPInstanceUID")]
    assert not any(word in caplog.text for word in (MARKER, *said))


def test_the_same_input_makes_the_same_bytes(tmp_path):
    source = source_series(tmp_path)
    for name in ("one.dcm", "two.dcm"):
        write_segmentation(tmp_path / name, found_labels(source), source, HEADER)
    assert (tmp_path / "one.dcm").read_bytes() == (tmp_path / "two.dcm").read_bytes()


def test_every_frame_refers_to_the_slice_under_it(tmp_path):
    source = source_series(tmp_path)
    write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    positions = {one.SOPInstanceUID: one.ImagePositionPatient for one in source.headers}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        image = group.DerivationImageSequence[0].SourceImageSequence[0]
        place = group.PlanePositionSequence[0].ImagePositionPatient
        np.testing.assert_allclose(place, positions[image.ReferencedSOPInstanceUID], atol=1e-6)
        assert image.ReferencedSOPClassUID == source.headers[0].SOPClassUID
    (series,) = dataset.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == source.headers[0].SeriesInstanceUID
    assert {one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence} == set(positions)
    assert len(dataset.SourceImageSequence) == 5


def test_a_multi_frame_source_is_referred_to_by_frame_number(tmp_path):
    write_file(tmp_path / "source.dcm", enhanced_dataset(OBLIQUE, voxels(OBLIQUE), (2, 0, 1, 4, 3)))
    source = read_source(only_series(tmp_path))
    write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER, SegmentationForm.LABELMAP)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    numbers = {}
    for group in dataset.PerFrameFunctionalGroupsSequence:
        depth = np.array(group.PlanePositionSequence[0].ImagePositionPatient) @ OBLIQUE.directions[:, 2]
        numbers[depth] = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber
    assert [numbers[depth] for depth in sorted(numbers)] == [2, 3, 1, 5, 4]
    assert len(dataset.SourceImageSequence) == 1


def test_a_filled_gap_has_a_frame_without_a_source(tmp_path):
    datasets = series_datasets(OBLIQUE, voxels(OBLIQUE))
    write_files(tmp_path / "source", [*datasets[:2], *datasets[3:]])
    source = read_source(only_series(tmp_path / "source", fill_gaps=True), fill_gaps=True)
    segmentation = found_labels(source, scheme("one"))
    write_segmentation(tmp_path / "seg.dcm", segmentation, source, HEADER)
    groups = pydicom.dcmread(tmp_path / "seg.dcm").PerFrameFunctionalGroupsSequence
    assert sorted(len(group.DerivationImageSequence) for group in groups) == [0, 1, 1, 1, 1]
    assert voxel_counts(read_segmentation(tmp_path / "seg.dcm")) == voxel_counts(segmentation)


def test_a_source_without_frame_of_reference_gets_one(tmp_path):
    datasets = series_datasets(OBLIQUE, voxels(OBLIQUE))
    for dataset in datasets:
        del dataset.FrameOfReferenceUID
    write_files(tmp_path / "source", datasets)
    source = read_source(only_series(tmp_path / "source"))
    write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER)
    assert pydicom.dcmread(tmp_path / "seg.dcm").FrameOfReferenceUID.startswith("2.25.")


def test_a_lossy_source_is_said_to_be_so(tmp_path):
    source = source_series(tmp_path, LossyImageCompression="01", LossyImageCompressionRatio="12.5")
    write_segmentation(tmp_path / "seg.dcm", found_labels(source), source, HEADER)
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    assert (dataset.LossyImageCompression, dataset.LossyImageCompressionRatio) == ("01", 12.5)


def test_letters_that_the_source_does_not_know(tmp_path):
    source = source_series(tmp_path, SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jörg")
    names = ("größte Läsion", "肝臓", "a\\b", "x" * 70, "x" * 71)
    write_segmentation(tmp_path / "seg.dcm", found_labels(source, scheme(*names)), source, HEADER)
    assert pydicom.dcmread(tmp_path / "seg.dcm").PatientName == "Müller^Jörg"
    read = read_segmentation(tmp_path / "seg.dcm")
    assert read.scheme.names == ("größte Läsion", "肝臓", "a/b", "x" * 64, "x" * 64 + " 2")
