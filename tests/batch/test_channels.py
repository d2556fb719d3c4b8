"""The series of a match as one volume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from batch_studies import FITS, write_study
from dicom_factories import Grid, only_series, voxels, write_series

from medseg.batch.channels import read_channels
from medseg.batch.select import Match
from medseg.core.errors import GeometryError
from medseg.core.volume import Volume
from medseg.data.joining import Joining
from medseg.io.dicom_read import read_series
from medseg.io.studies import Series


def series_of(folder: Path, **how: object) -> Series:
    write_study(folder, **how)
    return only_series(folder)


def joined(*series: Series, names=("T1", "T2"), reference=None) -> Volume:
    return read_channels(Match(series, names[: len(series)]), Joining(reference=reference), fill_gaps=False)


def test_one_channel_is_its_series_under_the_models_name(tmp_path):
    series = series_of(tmp_path)
    volume = joined(series)
    assert volume.channels == ("T1",)
    assert np.array_equal(volume.array, read_series(series).array)


def test_channels_keep_their_values_and_type_where_they_share_one(tmp_path):
    parts = [series_of(tmp_path / "a"), series_of(tmp_path / "b", low=0)]
    volume = joined(*parts)
    assert (volume.channels, volume.array.dtype) == (("T1", "T2"), np.int16)
    for channel, series in zip(volume.array, parts, strict=True):
        assert np.array_equal(channel, read_series(series).array[0])


def test_channels_of_several_types_become_floats(tmp_path):
    parts = [series_of(tmp_path / "a"), series_of(tmp_path / "b", RescaleSlope="0.5", RescaleIntercept="3")]
    assert read_series(parts[1]).array.dtype != np.int16
    volume = joined(*parts)
    assert volume.array.dtype == np.float32
    assert np.allclose(volume.array[1], voxels(FITS) * 0.5 + 3)


def test_channels_on_two_grids_are_refused_without_a_reference(tmp_path):
    write_series(tmp_path / "b", replace(FITS, origin=(0.0, 0.0, 0.0)))
    parts = [series_of(tmp_path / "a"), only_series(tmp_path / "b")]
    with pytest.raises(GeometryError, match="channels 'T1' and 'T2'"):
        joined(*parts)


def test_with_one_they_are_resampled_onto_it(tmp_path):
    coarse = Grid(columns=14, rows=12, slices=4, spacing=(1.0, 1.25, 4.0), tilt_degrees=FITS.tilt_degrees)
    parts = [series_of(tmp_path / "a"), series_of(tmp_path / "b", grid=coarse)]
    volume = joined(*parts, names=("T2", "T1"), reference="T2")
    assert volume.channels == ("T2", "T1")
    assert volume.geometry.is_close(read_series(parts[0]).geometry)
    assert np.array_equal(volume.array[0], read_series(parts[0]).array[0])
