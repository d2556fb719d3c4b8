"""Secondary capture series, read by pydicom, SimpleITK and dciodvfy."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_factories import (
    OBLIQUE,
    Grid,
    enhanced_dataset,
    only_series,
    series_datasets,
    voxels,
    write_changed,
    write_files,
    write_series,
)
from image_readers import ras_affine

from medseg.core.errors import GeometryError, LabelError
from medseg.io.capture import SlicePicture, write_capture
from medseg.io.dicom_result import Algorithm, ResultHeader, SourceSeries, read_source

HEADER = ResultHeader(
    "2.25.10", "2.25.11", 901, "Outlines", Algorithm("net", "1.2"), datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
)


def source_of(folder: Path, grid: Grid = OBLIQUE, **elements) -> SourceSeries:
    write_series(folder, grid, **elements)
    return read_source(only_series(folder))


def pictures(source: SourceSeries) -> list[SlicePicture]:
    columns, rows, _ = source.geometry.shape
    rng = np.random.default_rng(0)
    colours = np.repeat(rng.integers(1, 256, (len(source.slices), rows, 1, 3)), columns, axis=2).astype(np.uint8)
    colours[:, :, :3] = 0
    return [SlicePicture(one.place, picture) for one, picture in zip(source.slices, colours, strict=True)]


def test_pictures_lie_where_the_slices_lie(tmp_path):
    source = source_of(tmp_path / "series")
    shown = pictures(source)
    files = write_capture(tmp_path / "out", iter(shown), source, HEADER)
    assert [path.name for path in files] == [f"{number:05d}.dcm" for number in range(1, 6)]
    assert sorted((tmp_path / "out").iterdir()) == list(files)
    for number, (path, one) in enumerate(zip(files, shown, strict=True), start=1):
        dataset, origin = pydicom.dcmread(path), source.headers[source.slices[number - 1].file]
        assert np.array_equal(dataset.pixel_array, one.picture)
        assert (dataset.InstanceNumber, dataset.SOPInstanceUID) == (number, HEADER.instance(number))
        assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == origin.SOPInstanceUID
        assert "ReferencedFrameNumber" not in dataset.SourceImageSequence[0]
        assert np.allclose(dataset.ImagePositionPatient, origin.ImagePositionPatient, atol=1e-8)
        assert np.allclose(dataset.ImageOrientationPatient, origin.ImageOrientationPatient, atol=1e-8)
        assert np.allclose(dataset.PixelSpacing, origin.PixelSpacing)
        assert dataset.FrameOfReferenceUID == origin.FrameOfReferenceUID
        assert dataset.StudyInstanceUID == origin.StudyInstanceUID
        assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.RLELossless
        assert (dataset.ImageType, dataset.ConversionType) == (["DERIVED", "SECONDARY"], "WSD")
        assert (dataset.BurnedInAnnotation, dataset.PatientID) == ("NO", "MARKER-ID")


def test_noise_is_not_compressed(tmp_path):
    source = source_of(tmp_path / "series")
    noise = np.random.default_rng(0).integers(0, 256, (7, 9, 3)).astype(np.uint8)
    (path,) = write_capture(tmp_path / "out", [SlicePicture(0, noise)], source, HEADER)
    dataset = pydicom.dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert np.array_equal(dataset.pixel_array, noise)
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path)))[0], noise)


def test_simpleitk_makes_the_same_volume_of_them(tmp_path):
    source = source_of(tmp_path / "series")
    shown = pictures(source)
    write_capture(tmp_path / "out", shown, source, HEADER)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "out")))
    image = reader.Execute()
    assert np.array_equal(SimpleITK.GetArrayFromImage(image), np.stack([one.picture for one in shown]))
    assert np.allclose(ras_affine(image), source.geometry.affine, atol=1e-6)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian package dicom3tools)")
def test_dciodvfy_finds_no_error(tmp_path):
    source = source_of(tmp_path / "series", LossyImageCompression="01", LossyImageCompressionRatio="10")
    path, *_ = write_capture(tmp_path / "out", pictures(source), source, HEADER)
    assert pydicom.dcmread(path).LossyImageCompression == "01"
    done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, timeout=60, check=False)
    text = (done.stdout + done.stderr).decode("latin-1")
    assert "SCImage" in text
    assert "Error" not in text


def test_frames_of_an_enhanced_image_are_referred_to_by_number(tmp_path):
    grid = Grid(slices=4)
    write_files(tmp_path / "series", [enhanced_dataset(grid, voxels(grid), order=(2, 0, 3, 1))])
    source = read_source(only_series(tmp_path / "series"))
    files = write_capture(tmp_path / "out", pictures(source), source, HEADER)
    references = [pydicom.dcmread(path).SourceImageSequence[0] for path in files]
    assert [one.ReferencedFrameNumber for one in references] == [2, 4, 1, 3]
    assert len({one.ReferencedSOPInstanceUID for one in references}) == 1
    assert np.allclose(pydicom.dcmread(files[3]).ImagePositionPatient, grid.position(3), atol=1e-6)


def test_text_in_the_source_is_in_the_pictures_too(tmp_path):
    source = source_of(tmp_path / "series", BurnedInAnnotation="YES")
    path, *_ = write_capture(tmp_path / "out", pictures(source)[:1], source, HEADER)
    assert pydicom.dcmread(path).BurnedInAnnotation == "YES"


def test_a_source_without_a_frame_of_reference(tmp_path):
    datasets = series_datasets(Grid(), voxels(Grid()))
    for dataset in datasets:
        del dataset.FrameOfReferenceUID
    write_files(tmp_path / "series", datasets)
    source = read_source(only_series(tmp_path / "series"))
    path, *_ = write_capture(tmp_path / "out", pictures(source)[:1], source, HEADER)
    assert "PositionReferenceIndicator" not in pydicom.dcmread(path)


def test_what_does_not_fit_leaves_no_folder(tmp_path):
    source = source_of(tmp_path / "series", Grid())
    good = pictures(source)[0]
    for picture in (good.picture[:-1], good.picture.astype(np.int16)):
        with pytest.raises(GeometryError, match=r"a picture is .*, the source's slices make uint8 7x9x3"):
            write_capture(tmp_path / "out", [good, SlicePicture(1, picture)], source, HEADER)
    with pytest.raises(LabelError, match="there is no picture to write; take all slices"):
        write_capture(tmp_path / "out", [], source, HEADER)
    assert [path.name for path in tmp_path.iterdir()] == ["series"]


def test_a_filled_gap_has_no_slice_to_show(tmp_path):
    write_changed(tmp_path / "series", lambda datasets: datasets[:2] + datasets[3:])
    source = read_source(only_series(tmp_path / "series", fill_gaps=True), fill_gaps=True)
    shown = pictures(source)
    assert len(write_capture(tmp_path / "out", shown, source, HEADER)) == 4
    with pytest.raises(GeometryError, match="there is no slice 2 in the source to show"):
        write_capture(tmp_path / "out", [SlicePicture(2, shown[0].picture)], source, HEADER)
