"""MetaImage files as others write them, and as nobody should."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK
from image_readers import by_simpleitk, itk_image

from medseg.core.errors import DataError, ReadError
from medseg.io.formats import read_volume

VOXELS = np.arange(24, dtype="<i2")
MHA = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 5 6 7\n"
    "ElementSpacing = 1 2 3\nDimSize = 2 3 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)


def written(tmp_path, header: str, data: bytes = VOXELS.tobytes(), name="a.mha"):
    path = tmp_path / name
    path.write_bytes(header.encode() + data)
    return path


@pytest.mark.parametrize("old", ["Offset", "TransformMatrix"])
def test_older_names_of_the_same_thing(tmp_path, old):
    newer = read_volume(written(tmp_path, MHA))
    header = MHA.replace(old, {"Offset": "Position", "TransformMatrix": "Orientation"}[old])
    assert read_volume(written(tmp_path, header, name="b.mha")).geometry.is_close(newer.geometry)


def test_what_is_missing_is_trivial(tmp_path):
    header = "".join(f"{line}\n" for line in MHA.splitlines() if line.split()[0] not in ("Offset", "ElementSpacing"))
    path = written(tmp_path, header)
    assert np.allclose(read_volume(path).geometry.affine, by_simpleitk(path)[1])


def test_big_endian(tmp_path):
    header = MHA.replace("BinaryData = True", "BinaryData = True\nBinaryDataByteOrderMSB = True")
    path = written(tmp_path, header, VOXELS.astype(">i2").tobytes())
    assert np.array_equal(read_volume(path).array, by_simpleitk(path)[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("= LOCAL", "= /etc/passwd", "its header points to another file; save header and voxels as one .mha"),
        ("= LOCAL", "= LIST", "its header points to another file"),
        ("ElementType", "HeaderSize = 40\nElementType", "its voxels do not follow its header"),
        ("NDims = 3", "NDims = 93", "its header has 3 numbers in DimSize, 93 are needed"),
        ("DimSize = 2 3 4\n", "", "its header has no DimSize"),
        ("= 2 3 4", "= 2 -3 4", r"has dimensions \[2, -3, 4\]"),
        ("= 2 3 4", "= 99999 99999 99999", r"its header promises .* at most 16 GiB are read"),
        ("= 2 3 4", "= 2 3 5", "truncated or damaged; its header promises 60 bytes"),
        ("MET_SHORT", "MET_STRING", "stores voxels as 'MET_STRING' or as text"),
        ("BinaryData = True", "BinaryData = False", "stores voxels as 'MET_SHORT' or as text"),
        ("= 5 6 7", "= 5 6", "its header has 2 numbers in Offset, 3 are needed"),
        ("= 1 2 3", "= 1 nan 3", "affine holds a value that is not finite"),
        ("= 1 2 3", "= 1 x 3", "truncated or damaged, so it cannot be decoded"),
        ("ElementDataFile", "Element", "its header is damaged or has no end"),
    ],
)
def test_hostile_header(tmp_path, old, new, message):
    with pytest.raises(DataError, match=rf"^a\.mha: {message}"):
        read_volume(written(tmp_path, MHA.replace(old, new)))


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_headers_of_two_file_images(tmp_path, suffix):
    SimpleITK.WriteImage(itk_image(3, 1, np.int16), str(tmp_path / f"a{suffix}"))
    with pytest.raises(ReadError, match=rf"a\{suffix}: its header points to another file"):
        read_volume(tmp_path / f"a{suffix}")
