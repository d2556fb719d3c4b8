"""Headers that results refer to."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from dicom_factories import Grid, only_series, series_datasets, voxels, write_files, write_series

from medseg.core.errors import ReadError, StudyError
from medseg.io.dicom_result import Algorithm, ResultHeader, read_source


def test_headers_stand_in_slice_order_and_hold_no_pixels(tmp_path):
    write_series(tmp_path, Grid(), PatientID="MARKER-7")
    source = read_source(only_series(tmp_path))
    depths = [float(header.ImagePositionPatient[2]) for header in source.headers]
    assert depths == sorted(depths)
    assert [one.file for one in source.slices] == list(range(5))
    assert not any("PixelData" in header for header in source.headers)
    assert {header.PatientID for header in source.headers} == {"MARKER-7"}
    np.testing.assert_allclose(source.geometry.affine, Grid().affine, atol=1e-6)
    assert "MARKER" not in repr(source)


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SOPInstanceUID"])
def test_a_series_without_uids_cannot_be_referred_to(tmp_path, keyword):
    datasets = series_datasets(Grid(), voxels(Grid()))
    write_files(tmp_path, datasets)
    for path in tmp_path.iterdir():
        import pydicom

        dataset = pydicom.dcmread(path)
        del dataset[keyword]
        dataset.save_as(path)
    with pytest.raises(StudyError, match="no DICOM object can refer to it; write NIfTI or NRRD instead"):
        read_source(only_series(tmp_path))


def test_a_series_with_one_uid_twice_cannot_be_referred_to(tmp_path):
    write_series(tmp_path, Grid(), SOPInstanceUID="1.2.3")
    with pytest.raises(StudyError, match="two files have one SOP instance UID"):
        read_source(only_series(tmp_path))


def test_a_file_that_was_exchanged_is_told(tmp_path):
    write_series(tmp_path / "one", Grid())
    write_series(tmp_path / "other", Grid())
    series = only_series(tmp_path / "one")
    series.files[2].write_bytes(next((tmp_path / "other").iterdir()).read_bytes())
    with pytest.raises(ReadError, match="file 3 does not belong to the series any more"):
        read_source(series)


def test_further_instances_have_uids_of_their_own_that_stay():
    header = ResultHeader("1.2", "1.2.3", 9, "result", Algorithm("net", "1"), datetime(2020, 1, 2, tzinfo=UTC))
    assert header.instance(1) == "1.2.3"
    assert len({header.instance(number) for number in range(1, 50)}) == 49
    assert header.instance(2) == header.instance(2)
    assert header.instance(2).startswith("2.25.")
    assert len(header.instance(2)) <= 64
