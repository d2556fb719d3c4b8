"""Attacks 14, 15 and 20 on files that are not DICOM: they are refused or cleaned, in bounded time and memory."""

from __future__ import annotations

import gzip
import os
import signal
import struct
import time
import tracemalloc
from contextlib import contextmanager
from pathlib import Path, PurePath

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from image_readers import itk_image

from medseg.core.errors import DataError, ReadError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.descriptors import Vocabulary
from medseg.deid.file_names import safe_target
from medseg.deid.image_files import clean_image, image_suffix
from medseg.deid.sidecar_rules import SidecarRules
from medseg.deid.sidecars import clean_sidecar
from medseg.io import limits

MIB = 2**20
KEY, WORDS = ProjectKey(b"k" * 32), Vocabulary(frozenset())
SECRET = "root:MARK:0:0:/root:/bin/sh\n" * 200


def nothing(text: str) -> str:
    return ""


@contextmanager
def bounded(mebibytes: float, seconds: int):
    """Fails if the block allocates more at once than that, or hangs."""

    def stop(*_):
        raise TimeoutError("hangs")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < mebibytes * MIB
    finally:
        tracemalloc.stop()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def refused(path: Path, message: str, mebibytes: float = 8) -> None:
    out = path.parent / "out.bin"
    with bounded(mebibytes, 20), pytest.raises(DataError, match=f"^{message}") as caught:
        clean_image(path, out, nothing)
    assert path.name not in str(caught.value)
    assert "MARK" not in str(caught.value)
    assert not out.exists()
    assert not list(path.parent.glob(".partial-*"))


def nifti(path: Path, changes=(), behind=b"", voxels=None) -> Path:
    voxels = np.arange(60, dtype=np.int16).reshape(3, 4, 5) if voxels is None else voxels
    content = bytearray(nib.Nifti1Image(voxels, np.eye(4)).to_bytes())
    for offset, value in changes:
        content[offset : offset + len(value)] = value
    whole = bytes(content) + behind
    path.write_bytes(gzip.compress(whole, 1) if path.name.endswith(".gz") else whole)
    return path


class TestNifti:
    """Attack 14."""

    @pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ([(40, struct.pack("<4h", 3, 32767, 32767, 32767))], "its header promises 65530.0 GiB of voxels; at most"),
            ([(40, struct.pack("<8h", 7, *[32767] * 7))], "its header promises .* GiB of voxels; at most 16 GiB"),
            ([(40, struct.pack("<4h", 3, 300, 400, 500))], "its header promises .*, which a file of .* cannot hold"),
            ([(108, struct.pack("<f", -352.0))], "its voxels start at byte -352, which cannot be"),
            ([(108, struct.pack("<f", np.nan))], "its voxels start at byte nan, which cannot be"),
            ([(108, struct.pack("<f", 60.0 * MIB))], "truncated or damaged; its header promises 120 bytes"),
            ([(280, struct.pack("<f", np.nan))], "its affine is singular or not finite"),
        ],
    )
    def test_hostile_headers(self, tmp_path, name, changes, message):
        refused(nifti(tmp_path / name, changes), message)

    def test_a_bomb_beyond_the_limit_is_never_inflated(self, tmp_path, monkeypatch):
        monkeypatch.setattr(limits, "LARGEST_DECODED", 10 * MIB)
        path = nifti(tmp_path / "a.nii.gz", voxels=np.zeros((200, 200, 200), np.int16))
        refused(path, "its header promises 0.0 GiB of voxels; at most .* GiB are read", 2)

    def test_a_large_image_passes_in_little_memory(self, tmp_path):
        path = nifti(tmp_path / "a.nii.gz", voxels=np.zeros((320, 320, 320), np.float32))
        with bounded(24, 60):
            clean_image(path, tmp_path / "b.nii.gz", nothing)
        assert path.stat().st_size < MIB

    def test_a_bomb_behind_the_voxels_is_left_alone(self, tmp_path):
        path = nifti(tmp_path / "a.nii.gz", behind=bytes(300 * MIB))
        started = time.perf_counter()
        with bounded(16, 20):
            clean_image(path, tmp_path / "b.nii.gz", nothing)
        assert time.perf_counter() - started < 5
        assert (tmp_path / "b.nii.gz").stat().st_size < 1000

    def test_a_bomb_between_header_and_voxels_is_bounded(self, tmp_path):
        path = nifti(tmp_path / "a.nii.gz", [(108, struct.pack("<f", 65.0 * MIB))], behind=bytes(70 * MIB))
        refused(path, "its voxels start at byte 6.81574e.07, which cannot be", 12)
        nifti(path, [(108, struct.pack("<f", 60.0 * MIB))], behind=bytes(70 * MIB))
        with bounded(200, 30):
            clean_image(path, tmp_path / "b.nii.gz", nothing)
        assert (tmp_path / "b.nii.gz").stat().st_size < 1000

    @pytest.mark.parametrize(
        "hostile",
        [
            b"\x10\x00\x10\x00PN\x08\x00MARK^DOE",
            b"\x08\x00\x05\x00CS\x0a\x00MARK_CODEC\x10\x00\x10\x00PN\x08\x00MARK^DOE",
            b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 5000,
            b"\x10\x00\x10\x00PN\xff\xffMARK",
        ],
    )
    def test_hostile_dicom_extensions_are_dropped(self, tmp_path, hostile):
        size = -(-(len(hostile) + 8) // 16) * 16
        content = nifti(tmp_path / "a.nii", [(108, struct.pack("<f", 352.0 + size)), (348, b"\1")]).read_bytes()
        extension = struct.pack("<2i", size, 2) + hostile.ljust(size - 8, b"\0")
        (tmp_path / "a.nii").write_bytes(content[:352] + extension + content[352:])
        with bounded(64, 20):
            cleaned = clean_image(tmp_path / "a.nii", tmp_path / "b.nii", nothing)
        assert b"MARK" not in (tmp_path / "b.nii").read_bytes()
        assert any(b"MARK" in removed.value for removed in cleaned.taken) == (b"MARK" in hostile)

    def test_the_other_half_of_a_pair_may_not_be_a_link(self, tmp_path):
        (tmp_path / "secret").write_text(SECRET)
        nib.save(nib.Nifti1Pair(np.zeros((3, 4, 5), np.int16), np.eye(4)), tmp_path / "a.hdr")
        (tmp_path / "a.img").unlink()
        (tmp_path / "a.img").symlink_to(tmp_path / "secret")
        refused(tmp_path / "a.hdr", "is a link; links are not followed")


class TestDetachedHeaders:
    """Attack 15."""

    @pytest.mark.parametrize("place", ["{secret}", "LIST", "slice%03d.raw 1 3 1", "../secret", "LOCAL/../{secret}"])
    @pytest.mark.parametrize("name", ["a.mhd", "a.mha"])
    def test_meta_image(self, tmp_path, name, place):
        (tmp_path / "secret").write_text(SECRET)
        header = "ObjectType = Image\nNDims = 3\nDimSize = 2 3 4\nElementType = MET_UCHAR\nElementDataFile = "
        (tmp_path / name).write_text(
            header + place.format(secret=tmp_path / "secret") + "\n" + str(tmp_path / "secret")
        )
        refused(tmp_path / name, "its header points to another file; save header and voxels as one .mha file")

    @pytest.mark.parametrize("field", ["data file: {secret}", "datafile: {secret}", "Data  File: LIST\n{secret}",
                                       "data file: slice%03d.raw 1 3 1", "DATA FILE: secret"])  # fmt: skip
    @pytest.mark.parametrize("name", ["a.nhdr", "a.nrrd"])
    def test_nrrd(self, tmp_path, name, field):
        (tmp_path / "secret").write_text(SECRET)
        header = "NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n"
        (tmp_path / name).write_text(header + field.format(secret=tmp_path / "secret") + "\n\n")
        refused(tmp_path / name, "its header points to another file; save header and voxels as one .nrrd file")

    @pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
    def test_files_that_itk_wrote_in_two(self, tmp_path, suffix):
        SimpleITK.WriteImage(itk_image(3, 1, np.int16), str(tmp_path / f"a{suffix}"))
        refused(tmp_path / f"a{suffix}", "its header points to another file")

    @pytest.mark.parametrize("skip", ["byte skip: -1", "byte skip: 9999", "line skip: 3"])
    def test_skips(self, tmp_path, skip):
        header = f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n{skip}\n\n"
        (tmp_path / "a.nrrd").write_text(header + SECRET)
        refused(tmp_path / "a.nrrd", "the field '(byte|line) skip' of its header has a value that is not known")

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("a.nrrd", b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 999999 999999 999999\nencoding: gzip\n\n"),
            ("a.mha", b"NDims = 3\nDimSize = 999999 999999 999999\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"),
            ("a.nrrd", b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 2000 2000 2000\nencoding: gzip\n\n"),
            ("a.mha", b"NDims = 3\nDimSize = 2000 2000 2000\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"),
        ],
    )
    def test_sizes_beyond_the_limits(self, tmp_path, name, content):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "its header promises .* (GiB of voxels; at most|which a file of .* cannot hold)")

    @pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
    def test_packed_voxels_pass_in_little_memory(self, tmp_path, name):
        image = SimpleITK.Image(320, 320, 320, SimpleITK.sitkFloat32)
        SimpleITK.WriteImage(image, str(tmp_path / name), useCompression=True)
        with bounded(32, 60):
            clean_image(tmp_path / name, tmp_path / f"b{name}", nothing)
        assert (tmp_path / f"b{name}").stat().st_size < MIB


class TestOddFiles:
    """Attack 20, what is not DICOM."""

    @pytest.mark.parametrize("name", ["pipe.nii", "loop.nrrd", "link.png", "folder.mha", "none.nii"])
    @pytest.mark.parametrize("sidecar", [True, False])
    def test_refused_with_a_reason_and_without_waiting(self, tmp_path, name, sidecar):
        os.mkfifo(tmp_path / "pipe.nii")
        (tmp_path / "loop.nrrd").symlink_to(tmp_path / "loop.nrrd")
        (tmp_path / "link.png").symlink_to("/etc/passwd")
        (tmp_path / "folder.mha").mkdir()
        reason = "^is (a link|no ordinary file)|^cannot be opened"
        if sidecar:
            (tmp_path / name).rename(tmp_path / "dataset_description.json") if name != "none.nii" else None
            with bounded(4, 5), pytest.raises(ReadError, match=reason) as caught:
                clean_sidecar(tmp_path / "dataset_description.json", tmp_path / "out", SidecarRules(KEY, WORDS))
        else:
            with bounded(4, 5), pytest.raises(ReadError, match=reason) as caught:
                clean_image(tmp_path / name, tmp_path / "out", nothing)
        assert str(tmp_path) not in str(caught.value)

    @pytest.mark.parametrize("name", [b"MARK\nline.nii", b"MARK\xff\xfe.nii", b"MARK \x1b[2J.nii", b"-rf MARK.nii"])
    def test_odd_names_are_read_and_become_plain(self, tmp_path, name):
        source = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        nifti(source)
        assert image_suffix(source) == ".nii"
        target = safe_target(PurePath(source.name), KEY, WORDS, ".nii")
        cleaned = clean_image(source, tmp_path / target, nothing)
        assert cleaned.format == "NIfTI-1"
        assert target.name.isascii()
        assert "MARK" not in target.name

    def test_an_unreadable_file(self, tmp_path):
        nifti(tmp_path / "MARK.nii").chmod(0)
        if os.access(tmp_path / "MARK.nii", os.R_OK):
            assert clean_image(tmp_path / "MARK.nii", tmp_path / "b.nii", nothing).format == "NIfTI-1"  # root reads all
        else:
            refused(tmp_path / "MARK.nii", r"cannot be opened \(Permission denied\)")
