"""Which cleaner takes a file: by content, never by name."""

from __future__ import annotations

import gzip

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from image_readers import itk_image
from PIL import Image

from medseg.core.errors import ReadError
from medseg.deid.image_files import clean_image, image_suffix, is_part_of_pair
from medseg.io.formats import read_volume


def nothing(text: str) -> str:
    return ""


def made(tmp_path, suffix: str):
    path = tmp_path / f"made{suffix}"
    if ".nii" in suffix:
        nib.save(nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4)), path)
    elif suffix in (".nrrd", ".mha"):
        SimpleITK.WriteImage(itk_image(3, 1, np.int16), str(path))
    else:
        Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".png", ".jpg"])
def test_content_says_what_it_is(tmp_path, suffix):
    source = made(tmp_path, suffix).rename(tmp_path / "no suffix")
    assert image_suffix(source) == suffix
    cleaned = clean_image(source, tmp_path / f"b{suffix}", nothing)
    assert cleaned.format in ("NIfTI-1", "NRRD", "MetaImage", "PNG", "JPEG")
    assert np.array_equal(read_volume(source).array, read_volume(tmp_path / f"b{suffix}").array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an image that is cleaned"),
        (b"MARK text", "not an image that is cleaned"),
        (b"II*\0" + bytes(100), "a TIFF file, whose tags can lie anywhere; save it as PNG"),
        (b"\x5c\x01\0\0" + b"MARK" * 100, "an image of Analyze 7.5, which has fields for the patient's name"),
        (gzip.compress(b"NRRD0004\nMARK", mtime=0), "not an image that is cleaned"),
        (gzip.compress(b"NDims = 3\n", mtime=0), "not an image that is cleaned"),
        (gzip.compress(bytes(1000), mtime=0)[:12], "not an image that is cleaned"),
    ],
)
def test_what_is_not_cleaned_is_refused_without_a_name(tmp_path, content, message):
    (tmp_path / "MARK").write_bytes(content)
    with pytest.raises(ReadError, match=f"^{message}") as caught:
        clean_image(tmp_path / "MARK", tmp_path / "b", nothing)
    assert "MARK" not in str(caught.value)


def test_second_halves_of_pairs(tmp_path):
    nib.save(nib.Nifti1Pair(np.zeros((2, 3, 4), np.int16), np.eye(4)), tmp_path / "a.hdr")
    assert is_part_of_pair(tmp_path / "a.img")
    assert not is_part_of_pair(tmp_path / "a.hdr")
    assert image_suffix(tmp_path / "a.hdr") == ".nii"
    (tmp_path / "b.img").write_bytes(b"")
    assert not is_part_of_pair(tmp_path / "b.img")
    (tmp_path / "a.img.gz").write_bytes(b"")
    assert not is_part_of_pair(tmp_path / "a.img")
