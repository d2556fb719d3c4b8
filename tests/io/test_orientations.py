"""Write, then read: the same voxels at the same place, in every orientation, for us and for two other readers."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from factories import ALL_ORIENTATIONS, geometry, label_map, volume
from hypothesis import given
from hypothesis import strategies as st
from image_readers import by_simpleitk

from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.io.formats import read_label_map, read_volume, write_label_map, write_volume

SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_all_orientations_come_back(tmp_path, codes):
    written = volume(geometry((3, 4, 5), codes=codes, oblique_degrees=9.0))
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        write_volume(tmp_path / f"a{suffix}", written)
        read = read_volume(tmp_path / f"a{suffix}")
        assert np.array_equal(read.array, written.array)
        assert read.geometry.is_close(written.geometry)
        assert read.geometry.axis_codes == codes


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_other_readers_see_the_same_world(tmp_path, codes):
    written = volume(geometry((3, 4, 5), codes=codes, oblique_degrees=9.0))
    for suffix in (".nii", ".nrrd", ".mha"):
        write_volume(tmp_path / f"a{suffix}", written)
        array, affine = by_simpleitk(tmp_path / f"a{suffix}")
        assert np.array_equal(array, written.array)
        assert np.allclose(affine, written.geometry.affine, atol=1e-4)
    image = nib.load(tmp_path / "a.nii")
    assert np.array_equal(np.asanyarray(image.dataobj), written.array[0])
    assert "".join(nib.aff2axcodes(image.affine)) == codes
    assert np.allclose(image.affine, written.geometry.affine, atol=1e-4)


@pytest.mark.parametrize("codes", ALL_ORIENTATIONS)
def test_reorienting_moves_no_voxel_in_the_patient(codes):
    source = volume(geometry((3, 4, 5), oblique_degrees=20.0))
    turned = source.reoriented(codes)
    assert turned.geometry.axis_codes == codes
    for index in ((0, 0, 0), (2, 3, 4), (1, 0, 3)):
        place = source.geometry.affine @ (*index, 1)
        there = np.rint(np.linalg.inv(turned.geometry.affine) @ place)[:3].astype(int)
        assert turned.array[(0, *there)] == source.array[(0, *index)]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_label_maps_keep_voxels_grid_and_type(tmp_path, suffix):
    written = label_map(geometry(oblique_degrees=33.0))
    write_label_map(tmp_path / f"a{suffix}", written)
    read = read_label_map(tmp_path / f"a{suffix}")
    assert read.array.dtype == np.uint8
    assert np.array_equal(read.array, written.array)
    assert read.geometry.is_close(written.geometry)


@given(
    shape=st.tuples(*(st.integers(1, 6),) * 3),
    spacing=st.tuples(*(st.floats(0.05, 20.0),) * 3),
    degrees=st.floats(0.0, 360.0),
    origin=st.tuples(*(st.floats(-2000.0, 2000.0),) * 3),
    suffix=st.sampled_from(SUFFIXES),
)
def test_any_grid_comes_back(tmp_path_factory, shape, spacing, degrees, origin, suffix):
    affine = geometry(shape, spacing, oblique_degrees=degrees).affine.copy()
    affine[:3, 3] = origin
    written = volume(Geometry(shape, affine))
    path = tmp_path_factory.mktemp("grid") / f"a{suffix}"
    write_volume(path, written)
    assert read_volume(path).geometry.is_close(written.geometry)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_sheared_grid_comes_back(tmp_path, suffix):
    affine = geometry().affine.copy()
    affine[0, 2] = 0.4  # the stack of a tilted gantry
    written = volume(Geometry((7, 8, 9), affine))
    write_volume(tmp_path / f"a{suffix}", written)
    assert read_volume(tmp_path / f"a{suffix}").geometry.is_close(written.geometry)
    if ".nii" in suffix:
        assert nib.load(tmp_path / f"a{suffix}").header["qform_code"] == 0


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_channels_come_back_in_order(tmp_path, suffix):
    written = volume(geometry((3, 4, 5)), ("T1", "T2", "FLAIR"))
    write_volume(tmp_path / f"a{suffix}", written)
    read = read_volume(tmp_path / f"a{suffix}")
    assert read.channels == ("0", "1", "2")
    assert np.array_equal(read.array, written.array)
    assert read.renamed(("T1", "T2", "FLAIR")).channel("T2").array[0, 1, 2, 3] == written.array[1, 1, 2, 3]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.float32, np.float64]
)
def test_types_come_back(tmp_path, suffix, dtype):
    values = np.array([0, 1, 100, 127], dtype=dtype).reshape(1, 2, 2, 1)
    write_volume(tmp_path / f"a{suffix}", Volume(values, geometry((2, 2, 1))))
    read = read_volume(tmp_path / f"a{suffix}")
    assert read.array.dtype == dtype
    assert np.array_equal(read.array, values)
