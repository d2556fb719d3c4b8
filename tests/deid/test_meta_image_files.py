"""MHA files: only what lays out the voxels stays."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import SimpleITK
from image_readers import itk_image

from medseg.core.errors import ReadError
from medseg.deid.meta_image_files import clean_meta_image
from medseg.io.formats import read_volume

VOXELS = np.arange(24, dtype="<i2")
STORED = VOXELS.tobytes()
MHA = (
    "ObjectType = Image\nNDims = 3\nComment = MARK comment\nPatientName = MARK^Doe\nBinaryData = True\n"
    "BinaryDataByteOrderMSB = False\nCompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 5 6 7\n"
    "CenterOfRotation = 0 0 0\nAnatomicalOrientation = RAI\nElementSpacing = 1 2 3\nDimSize = 2 3 4\n"
    "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)


def cleaned(tmp_path, header=MHA, data=STORED):
    (tmp_path / "a.mha").write_bytes(header.encode() + data)
    result = clean_meta_image(tmp_path / "a.mha", tmp_path / "b.mha")
    return result, (tmp_path / "b.mha").read_bytes()


def test_texts_go_and_the_rest_stays(tmp_path):
    result, content = cleaned(tmp_path, data=STORED + b"MARK behind")
    kept = MHA.replace("Comment = MARK comment\nPatientName = MARK^Doe\n", "")
    assert content == kept.encode() + STORED
    assert [removed.value for removed in result.taken] == [b"MARK comment", b"MARK^Doe", b"MARK behind"]
    assert (result.format, result.may_show_text, result.may_show_face) == ("MetaImage", False, False)


@pytest.mark.parametrize(("dims", "components"), [(2, 1), (3, 1), (3, 3), (4, 1)])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_files_of_itk(tmp_path, dims, components, packed, dtype):
    image = itk_image(dims, components, dtype)
    image.SetMetaData("0010|0010", "MARK^Doe")
    SimpleITK.WriteImage(image, str(tmp_path / "a.mha"), useCompression=packed)
    clean_meta_image(tmp_path / "a.mha", tmp_path / "b.mha")
    old, new = (SimpleITK.ReadImage(str(tmp_path / name)) for name in ("a.mha", "b.mha"))
    assert np.array_equal(SimpleITK.GetArrayFromImage(old), SimpleITK.GetArrayFromImage(new))
    assert (old.GetOrigin(), old.GetSpacing(), old.GetDirection()) == (
        new.GetOrigin(), new.GetSpacing(), new.GetDirection(),
    )  # fmt: skip
    assert b"MARK" not in (tmp_path / "b.mha").read_bytes()
    assert np.array_equal(read_volume(tmp_path / "a.mha").array, read_volume(tmp_path / "b.mha").array)


def test_the_size_of_packed_voxels_is_right(tmp_path):
    header = MHA.replace("CompressedData = False", "CompressedData = True\nCompressedDataSize = 4711")
    _, content = cleaned(tmp_path, header, zlib.compress(STORED) + b"MARK behind")
    fields, _, data = content.partition(b"ElementDataFile = LOCAL\n")
    assert int(fields.split(b"CompressedDataSize = ")[1].split()[0]) == len(data)
    assert zlib.decompress(data) == STORED


def test_an_odd_orientation_word_goes(tmp_path):
    _, content = cleaned(tmp_path, MHA.replace("= RAI", "= MARK"))
    assert b"AnatomicalOrientation" not in content


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("= MET_SHORT", "= MARK", "the field 'ElementType' of its header has a value that is not known; save it anew"),
        ("= Image", "= MARK", "the field 'ObjectType' of its header has a value that is not known"),
        ("= 5 6 7", "= 5 6 MARK", "the field 'Offset' of its header has a value that is not known"),
        ("= 2 3 4", "= 2 3 5", "truncated or damaged; its header promises 60 bytes of voxels"),
        ("BinaryData = True", "BinaryData = False", "stores voxels as 'MET_SHORT' or as text"),
    ],
)
def test_refused_without_name_or_value(tmp_path, old, new, message):
    with pytest.raises(ReadError, match=f"^{message}") as caught:
        cleaned(tmp_path, MHA.replace(old, new, 1))
    assert "MARK" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mha"]


def test_doubts(tmp_path):
    header = MHA.replace("MET_SHORT", "MET_UCHAR").replace("= 2 3 4", "= 20 100 100")
    greys = np.random.default_rng(0).integers(0, 256, 200_000).astype(np.uint8)
    assert cleaned(tmp_path, header, greys.tobytes())[0].may_show_text
    assert not cleaned(tmp_path, header, (greys // 4).tobytes())[0].may_show_text
    assert cleaned(tmp_path, header.replace("= 1 2 3", "= 6 6 6"), (greys // 4).tobytes())[0].may_show_face
    for image in (itk_image(3, 3, np.uint8), itk_image(2, 1, np.int16)):
        SimpleITK.WriteImage(image, str(tmp_path / "c.mha"))
        assert clean_meta_image(tmp_path / "c.mha", tmp_path / "d.mha").may_show_text


def test_idempotent(tmp_path):
    cleaned(tmp_path, MHA.replace("CompressedData = False", "CompressedData = True"), zlib.compress(STORED))
    again = clean_meta_image(tmp_path / "b.mha", tmp_path / "c.mha")
    assert (tmp_path / "b.mha").read_bytes() == (tmp_path / "c.mha").read_bytes()
    assert again.taken == ()
