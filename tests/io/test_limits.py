"""Errors while decoding, whatever their cause, name the file and stay one sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from medseg.core.errors import GeometryError, LabelError, ReadError
from medseg.io.limits import check_decoded_size, decoding
from medseg.io.meta_image import read_meta_image
from medseg.io.nifti import read_nifti
from medseg.io.nrrd import read_nrrd


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MemoryError(), ReadError, "does not fit into memory"),
        (OSError(errno.EACCES, "Permission denied"), ReadError, r"cannot be read \(Permission denied\)"),
        (OSError("broken data stream"), ReadError, "truncated or damaged, so it cannot be decoded"),
        (RecursionError("secret"), ReadError, "truncated or damaged, so it cannot be decoded"),
        (GeometryError("affine is singular"), GeometryError, "affine is singular"),
        (LabelError("holds fractions"), LabelError, "holds fractions"),
    ],
)
def test_every_error_names_the_file(error, kind, message):
    with pytest.raises(kind, match=rf"^a\.nii: {message}$"), decoding(Path("folder", "a.nii")):
        raise error


def test_sizes():
    check_decoded_size(1032, 1)
    with pytest.raises(ReadError, match="promises 1033 bytes of voxels, which a file of 1 bytes cannot hold"):
        check_decoded_size(1033, 1)
    with pytest.raises(ReadError, match=r"promises 17\.0 GiB of voxels; at most 16 GiB are read"):
        check_decoded_size(17 * 2**30, 2**30)


@pytest.mark.parametrize(("read", "start"), [(read_nrrd, "NRRD0004\n"), (read_meta_image, "NDims = 3\n")])
def test_headers_of_endless_lines(tmp_path, read, start):
    (tmp_path / "a").write_text(start + "a: b\n" * 20_000)
    with pytest.raises(ReadError, match="^a: its header is damaged or has no end"):
        read(tmp_path / "a")


def test_a_file_that_is_no_nifti(tmp_path):
    (tmp_path / "a").write_bytes(bytes(600))
    with pytest.raises(ReadError, match="^a: not a NIfTI file, or truncated within its header"):
        read_nifti(tmp_path / "a")
