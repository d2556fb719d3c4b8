"""NRRD and MetaImage files of every kind that ITK writes, read by us."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from image_readers import itk_image, ras_affine

from medseg.core.errors import ReadError
from medseg.io.formats import read_volume


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("dims", "components"), [(2, 1), (2, 3), (3, 1), (3, 3), (4, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint32, np.int64, np.float32, np.float64])
def test_voxels_grid_and_type(tmp_path, suffix, compressed, dims, components, dtype):
    image = itk_image(dims, components, dtype)
    SimpleITK.WriteImage(image, str(tmp_path / f"a{suffix}"), useCompression=compressed)
    read = read_volume(tmp_path / f"a{suffix}")
    assert read.array.dtype == dtype
    assert np.allclose(read.geometry.affine, ras_affine(image), atol=1e-9)
    stored = SimpleITK.GetArrayFromImage(image)
    fastest_first = (stored if components > 1 else stored[..., np.newaxis]).transpose()
    expected = {2: fastest_first[..., np.newaxis], 3: fastest_first, 4: np.moveaxis(fastest_first[0], -1, 0)}
    assert np.array_equal(read.array, expected[dims])


@pytest.mark.parametrize("kind", [SimpleITK.sitkComplexFloat32, SimpleITK.sitkComplexFloat64])
def test_complex_numbers_are_two_channels(tmp_path, kind):
    SimpleITK.WriteImage(SimpleITK.Image((2, 3, 4), kind), str(tmp_path / "a.mha"))
    assert read_volume(tmp_path / "a.mha").channels == ("0", "1")


@pytest.mark.parametrize("suffix", [".nrrd", ".mha"])
@pytest.mark.parametrize("compressed", [False, True])
def test_truncated_file(tmp_path, suffix, compressed):
    path = tmp_path / f"a{suffix}"
    SimpleITK.WriteImage(itk_image(3, 1, np.float32), str(path), useCompression=compressed)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ReadError, match=r"truncated or damaged"):
        read_volume(path)
