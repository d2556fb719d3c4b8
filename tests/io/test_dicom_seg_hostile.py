"""Segmentations that are damaged, contradict themselves, or mean harm: one sentence each, and no memory taken."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pydicom
import pytest
from dicom_factories import MARKER
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, MPEG2MPML, ExplicitVRBigEndian, RLELossless
from seg_factories import changed, written

from medseg.core.errors import DataError, LabelError, MedsegError, ReadError, StudyError
from medseg.io import dicom_seg_read
from medseg.io.dicom_seg_file import SegmentationForm
from medseg.io.dicom_seg_read import read_fractional, read_segmentation


def groups(dataset: Dataset):
    return dataset.PerFrameFunctionalGroupsSequence


def measures(dataset: Dataset) -> Dataset:
    return dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]


def place_all(dataset: Dataset, *positions) -> None:
    for number, group in enumerate(groups(dataset)):
        group.PlanePositionSequence[0].ImagePositionPatient = [*map(str, positions[number % len(positions)])]


def slide_frames(dataset: Dataset) -> None:
    for group in groups(dataset):
        del group.PlanePositionSequence
        group.PlanePositionSlideSequence = [Dataset()]


CASES = {
    "huge frame count": (
        lambda one: setattr(one, "NumberOfFrames", 2**31 - 1),
        "2147483647 frames of 7 x 9 pixels are",
    ),
    "many frames": (lambda one: setattr(one, "NumberOfFrames", 5000), "pixel data is 120 bytes, 5000 frames"),
    "no rows": (lambda one: setattr(one, "Rows", 0), "0 rows, 9 columns and 15 frames make no segmentation"),
    "huge frames": (lambda one: (setattr(one, "Rows", 65535), setattr(one, "Columns", 65535)), "more than the limit"),
    "short": (lambda one: setattr(one, "PixelData", one.PixelData[:60]), "pixel data is 60 bytes, 15 frames"),
    "long": (lambda one: setattr(one, "PixelData", one.PixelData + bytes(8)), "pixel data is 128 bytes, 15 frames"),
    "no pixels": (lambda one: one.pop("PixelData"), "without pixel data"),
    "no groups": (lambda one: one.pop("PerFrameFunctionalGroupsSequence"), "15 frames, but functional groups for 0"),
    "few groups": (lambda one: groups(one).pop(), "15 frames, but functional groups for 14"),
    "no segments": (lambda one: one.pop("SegmentSequence"), "describes no segment"),
    "unknown segment": (lambda one: one.SegmentSequence.pop(), "frames of segment 3, which it does not describe"),
    "unnamed segment": (lambda one: groups(one)[4].pop("SegmentIdentificationSequence"), "frame 5 does not say which"),
    "two of a number": (lambda one: setattr(one.SegmentSequence[1], "SegmentNumber", 1), "values must differ"),
    "no position": (lambda one: groups(one)[7].pop("PlanePositionSequence"), "without position, orientation and pixel"),
    "no shared groups": (lambda one: one.pop("SharedFunctionalGroupsSequence"), "without position, orientation"),
    "a slide": (slide_frames, "a segmentation of a slide in tiles"),
    "a slide in all": (lambda one: setattr(one, "TotalPixelMatrixColumns", 9), "a segmentation of a slide in tiles"),
    "odd type": (lambda one: setattr(one, "SegmentationType", MARKER), "neither binary, fractional nor a label map"),
    "odd bits": (lambda one: setattr(one, "BitsAllocated", 32), "a binary segmentation of 32 bits; allowed are"),
    "too many bits": (lambda one: setattr(one, "BitsStored", 2), "a binary segmentation of 1 bits"),
    "signed": (lambda one: setattr(one, "PixelRepresentation", 1), "not single unsigned integers"),
    "colours": (lambda one: setattr(one, "SamplesPerPixel", 3), "not single unsigned integers"),
    "no direction": (
        lambda one: setattr(
            one.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0], "ImageOrientationPatient", [0] * 6
        ),
        "not two unit vectors at a right angle",
    ),
    "no spacing": (lambda one: setattr(measures(one), "PixelSpacing", [0, 0]), "pixel spacing must be positive"),
    "far apart": (
        lambda one: place_all(one, (0, 0, 0), (0, 0, "1e300"), (0, 0, "-1e300")),
        "cannot be read|unevenly spaced|beside the voxels",
    ),
    "a trillion slices": (
        lambda one: (
            place_all(one, (0, 0, 0), (0, 0, 0.01), (0, 0, 9e5)),
            setattr(measures(one), "SpacingBetweenSlices", "0.01"),
        ),
        "beside the voxels|larger than the limit",
    ),
    "no class": (lambda one: setattr(one, "SOPClassUID", "1.2.840.10008.5.1.4.1.1.2"), "is no DICOM segmentation"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_what_is_refused(tmp_path, name):
    change, message = CASES[name]
    path, _ = written(tmp_path)
    changed(path, change)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message) as caught:
            read_segmentation(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
    assert MARKER not in str(caught.value)


def test_no_dicom_at_all(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"nothing of the kind" * 20)
    with pytest.raises(StudyError, match="the file is no DICOM segmentation"):
        read_segmentation(tmp_path / "a.dcm")


def test_a_directory_of_files_is_none(tmp_path):
    path, _ = written(tmp_path)
    changed(path, lambda dataset: setattr(dataset, "DirectoryRecordSequence", [Dataset()]))
    with pytest.raises(ReadError, match="without pixel data"):
        read_segmentation(path)


@pytest.mark.parametrize("bits", [1, 8])
def test_bytes_in_big_endian_words(tmp_path, bits):
    path, _ = written(tmp_path, SegmentationForm.BINARY)
    dataset = pydicom.dcmread(path)
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset["PixelData"].VR = "OB"
    list(dataset.iterall())
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False)
    with pytest.raises(ReadError, match="less than 16 bits in big endian words is not read"):
        read_segmentation(path)


@pytest.mark.parametrize("syntax", [RLELossless, MPEG2MPML])
def test_bits_that_are_compressed(tmp_path, syntax):
    path, _ = written(tmp_path)

    def compress(dataset):
        dataset.PixelData = encapsulate([b"ab"] * dataset.NumberOfFrames)
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax

    with pytest.raises(ReadError, match="in a transfer syntax that cannot be decoded, such as compressed bits"):
        read_segmentation(changed(path, compress))


def test_a_compressed_syntax_without_fragments(tmp_path):
    path, _ = written(tmp_path)
    raw = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1)
    path.write_bytes(raw)
    with pytest.raises(ReadError, match="pixel data is 120 bytes"):
        read_segmentation(path)


@pytest.mark.parametrize("form", [SegmentationForm.LABELMAP, SegmentationForm.FRACTIONAL])
def test_frames_that_cannot_be_decoded(tmp_path, form):
    path, _ = written(tmp_path, form)

    def break_frames(dataset):
        dataset.PixelData = encapsulate([b"\x01" + bytes(63)] * dataset.NumberOfFrames)
        dataset["PixelData"].is_undefined_length = True

    with pytest.raises(ReadError, match="pixel data cannot be read|a segmentation cannot be read"):
        read_segmentation(changed(path, break_frames))
    changed(path, lambda dataset: setattr(dataset.file_meta, "TransferSyntaxUID", HTJ2K))
    with pytest.raises(ReadError, match="a compressed frame is damaged"):
        read_segmentation(path)


def test_a_label_map_value_without_a_segment(tmp_path):
    path, _ = written(tmp_path, SegmentationForm.LABELMAP)
    with pytest.raises(ReadError, match="holds the value 3, which is no segment's"):
        read_segmentation(changed(path, lambda dataset: dataset.SegmentSequence.pop()))


def test_a_segment_number_that_the_pixels_cannot_hold(tmp_path):
    path, _ = written(tmp_path, SegmentationForm.LABELMAP)

    def renumber(dataset):
        dataset.SegmentSequence[3].SegmentNumber = 4000

    with pytest.raises(ReadError, match="holds the value 3, which is no segment's"):
        read_segmentation(changed(path, renumber))


def test_two_label_map_frames_at_one_place(tmp_path):
    path, _ = written(tmp_path, SegmentationForm.LABELMAP)

    def double(dataset):
        groups(dataset)[1].PlanePositionSequence = groups(dataset)[0].PlanePositionSequence

    with pytest.raises(ReadError, match="two frames at one place"):
        read_segmentation(changed(path, double))


@pytest.mark.parametrize("read", [read_segmentation, read_fractional])
def test_probabilities_above_their_maximum(tmp_path, read):
    path, _ = written(tmp_path, SegmentationForm.FRACTIONAL)
    changed(path, lambda dataset: setattr(dataset, "MaximumFractionalValue", 100))
    with pytest.raises(ReadError, match="holds 255, its maximum is said to be 100"):
        read(path)
    changed(path, lambda dataset: dataset.pop("MaximumFractionalValue"))
    with pytest.raises(ReadError, match="holds 255, its maximum is said to be 0"):
        read(path)


def test_more_segments_than_a_scheme_holds(tmp_path):
    path, _ = written(tmp_path)

    def multiply(dataset):
        dataset.SegmentSequence = [Dataset() for _ in range(300)]
        for number, segment in enumerate(dataset.SegmentSequence, start=1):
            segment.SegmentNumber = number

    with pytest.raises(LabelError, match="at most 254 structures, got 300"):
        read_segmentation(changed(path, multiply))


def test_more_than_the_memory_that_is_allowed(tmp_path, monkeypatch):
    path, _ = written(tmp_path)
    monkeypatch.setattr(dicom_seg_read, "LARGEST_DECODED", 314)
    with pytest.raises(ReadError, match="a segmentation of 0.0 GiB; at most"):
        read_segmentation(path)


@pytest.mark.slow
@pytest.mark.parametrize("form", SegmentationForm)
def test_damage_anywhere_is_refused_or_harmless(tmp_path, form):
    path, _ = written(tmp_path, form)
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for position in rng.integers(132, len(raw), 1500):
        damaged = bytearray(raw)
        damaged[position] = rng.integers(256)
        cut = int(rng.integers(132, len(raw))) if position % 7 == 0 else len(raw)
        path.write_bytes(damaged[:cut])
        try:
            read_segmentation(path)
        except MedsegError as error:
            messages.append(str(error))
    assert 100 < len(messages) < 1500
    assert not any(MARKER in message for message in messages)
