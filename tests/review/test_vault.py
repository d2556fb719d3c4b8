from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from factories import full_disk, geometry, label_map
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_arrays

from medseg.core.errors import GeometryError, InputError, LabelError, OutputError, ReadError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.core.volume import LabelMap, MultiLabelMap
from medseg.review.label_stream import label_parts, labels_digest
from medseg.review.vault import Vault

MASKS = MultiLabelMap(np.random.default_rng(0).random((3, 5, 6, 7)) < 0.3, geometry((5, 6, 7)), ("a", "b", "ä / c"))


def assert_same(found, expected) -> None:
    assert type(found) is type(expected)
    assert np.array_equal(found.array, expected.array)
    assert found.geometry.shape == expected.geometry.shape
    assert np.array_equal(found.geometry.affine, expected.geometry.affine)
    assert found.geometry.unit is expected.geometry.unit


def path_of(vault: Vault, sha256: str):
    return vault._path(sha256)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PIR", "SLA"])
def test_label_maps_come_back_on_exactly_their_grid(tmp_path, codes):
    labels = label_map(geometry((5, 6, 7), (0.1, 1 / 3, np.pi), codes, 17.3))
    vault = Vault(tmp_path)
    assert_same(vault.get(vault.put(labels)), labels)


def test_masks_that_overlap_come_back(tmp_path):
    vault = Vault(tmp_path)
    found = vault.get(vault.put(MASKS))
    assert_same(found, MASKS)
    assert found.structures == MASKS.structures
    none = MultiLabelMap(np.zeros((0, 5, 6, 7), np.bool_), MASKS.geometry, ())
    assert_same(vault.get(vault.put(none)), none)


def test_pictures_come_back_in_pixels(tmp_path):
    labels = label_map(Geometry.from_spacing((4, 5, 1), unit=LengthUnit.PIXEL))
    vault = Vault(tmp_path)
    assert_same(vault.get(vault.put(labels)), labels)


@given(
    numpy_arrays.arrays(
        st.sampled_from(["uint8", "int16", ">u2", "int32", "uint32", "int64"]),
        numpy_arrays.array_shapes(min_dims=3, max_dims=3, max_side=4),
    ),
    st.sampled_from("CF"),
)
def test_values_come_back_in_the_smallest_type(array, order):
    with tempfile.TemporaryDirectory() as folder:
        vault = Vault(Path(folder))
        labels = LabelMap(np.asarray(array, order=order), Geometry.from_spacing(array.shape))
        found = vault.get(vault.put(labels))
    assert np.array_equal(found.array, array)
    assert found.array.dtype.itemsize <= array.dtype.itemsize
    assert labels_digest(found) == labels_digest(labels)


def test_a_digest_tells_values_grid_and_names_and_no_types():
    labels = label_map()
    signed_zero = np.where(labels.geometry.affine == 0, -0.0, labels.geometry.affine)
    same = [
        LabelMap(labels.array.astype(np.int64), labels.geometry),
        LabelMap(np.asfortranarray(labels.array), labels.geometry),
        LabelMap(labels.array, Geometry(labels.geometry.shape, signed_zero)),
    ]
    assert {labels_digest(one) for one in same} == {labels_digest(labels)}
    moved = labels.geometry.affine.copy()
    moved[0, 3] = np.nextafter(moved[0, 3], 1e9)
    other = labels.array.copy()
    other[0, 0, 0] += 1
    different = [
        label_map(seed=1),
        LabelMap(other, labels.geometry),
        LabelMap(labels.array, Geometry(labels.geometry.shape, moved)),
        LabelMap(labels.array, Geometry(labels.geometry.shape, labels.geometry.affine, LengthUnit.PIXEL)),
        MASKS,
        MultiLabelMap(MASKS.array, MASKS.geometry, ("a", "b", "c")),
    ]
    assert len({labels_digest(one) for one in [labels, *different]}) == 7


def test_a_file_is_a_line_and_voxels_that_other_tools_unpack(tmp_path):
    """Golden: the file as gzip, hashlib, json and numpy alone read it."""
    labels = label_map(geometry((3, 4, 5)))
    vault = Vault(tmp_path)
    sha256 = vault.put(labels)
    content = gzip.decompress((tmp_path / "vault" / sha256[:2] / f"{sha256}.labels").read_bytes())
    assert hashlib.sha256(content).hexdigest() == sha256
    line, _, voxels = content.partition(b"\n")
    assert json.loads(line) == {
        "affine": labels.geometry.affine.tolist(), "form": 1, "shape": [3, 4, 5], "structures": None, "type": "uint8",
        "unit": "mm",
    }  # fmt: skip
    assert np.array_equal(np.frombuffer(voxels, np.uint8).reshape((3, 4, 5), order="F"), labels.array)


def test_the_same_again_is_one_file_that_is_left_alone(tmp_path):
    vault, labels = Vault(tmp_path), label_map()
    sha256 = vault.put(labels)
    before = path_of(vault, sha256).stat()
    assert vault.put(labels) == sha256
    after = path_of(vault, sha256).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    path_of(vault, sha256).write_bytes(b"damaged")
    assert vault.put(labels) == sha256
    assert_same(vault.get(sha256), labels)


def test_labels_have_to_lie_on_the_grid_that_is_asked_for(tmp_path):
    vault, labels = Vault(tmp_path), label_map()
    sha256 = vault.put(labels)
    assert_same(vault.get(sha256, labels.geometry), labels)
    with pytest.raises(GeometryError, match="lie on another grid than the image; was it replaced since"):
        vault.get(sha256, geometry((7, 8, 9), (1, 1, 1)))


@pytest.mark.parametrize("sha256", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "\n"])
def test_names_that_are_no_digests_are_refused(tmp_path, sha256):
    with pytest.raises(InputError, match="64 hexadecimal digits"):
        Vault(tmp_path).get(sha256)


def test_values_that_are_too_large_are_refused(tmp_path):
    with pytest.raises(LabelError, match="the value 18446744073709551615, which is too large"):
        Vault(tmp_path).put(LabelMap(np.full((1, 1, 1), 2**64 - 1, np.uint64), Geometry.from_spacing((1, 1, 1))))
    assert list(tmp_path.iterdir()) == []


def packed(line: object, voxels=b"", tail=b"") -> bytes:
    head = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
    return gzip.compress(head + voxels) + tail


LINE = {
    "form": 1, "type": "uint8", "shape": [2, 2, 2], "affine": np.eye(4).tolist(), "unit": "mm", "structures": None,
}  # fmt: skip
HOSTILE = {
    "empty": b"",
    "no gzip": b"x" * 1000,
    "no line": packed(b"x" * 2_000_000),
    "no JSON": packed(b"{\n"),
    "deep JSON": packed(b"[" * 100_000 + b"\n"),
    "another form": packed(LINE | {"form": 2}, bytes(8)),
    "more keys": packed(LINE | {"more": 1}, bytes(8)),
    "truncated": packed(LINE, bytes(7)),
    "cut": packed(LINE, bytes(8))[:-9],
    "wrong check": packed(LINE, bytes(8))[:-8] + bytes(8),
    "longer": packed(LINE, bytes(9)),
    "two members": packed(LINE, bytes(8)) + gzip.compress(b"x"),
    "huge": packed(LINE | {"shape": [2**20, 2**20, 2**20]}),
    "bomb": packed(LINE | {"shape": [2**10, 2**10, 2**10]}),
    "negative": packed(LINE | {"shape": [-2, -2, 2]}, bytes(8)),
    "flat": packed(LINE | {"affine": np.zeros((4, 4)).tolist()}, bytes(8)),
    "no number": packed(json.dumps(LINE).replace("1.0", "NaN", 1).encode() + b"\n", bytes(8)),
    "bits without names": packed(LINE | {"type": "bits"}, bytes(8)),
    "values with names": packed(LINE | {"structures": ["a"]}, bytes(8)),
    "a name twice": packed(LINE | {"type": "bits", "structures": ["a", "a"]}, bytes(2)),
    "other labels": packed(LINE, bytes(8)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_not_what_was_kept_is_told(tmp_path, name):
    vault, labels = Vault(tmp_path), label_map()
    sha256 = vault.put(labels)
    path_of(vault, sha256).write_bytes(HOSTILE[name])
    with pytest.raises(ReadError, match="outlines in the vault are .*; put a backup in their place") as told:
        vault.get(sha256)
    assert sha256 not in str(told.value)
    assert vault.problem(sha256) == str(told.value)


def test_a_link_is_not_followed(tmp_path):
    vault, labels = Vault(tmp_path), label_map()
    sha256 = vault.put(labels)
    path_of(vault, sha256).rename(tmp_path / "elsewhere")
    path_of(vault, sha256).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ReadError, match="is a link; links are not followed"):
        vault.get(sha256)


def test_what_is_missing_is_told(tmp_path):
    vault = Vault(tmp_path)
    assert vault.problem(labels_digest(label_map())).startswith("the vault lacks these outlines; put a backup of the")
    sha256 = vault.put(label_map())
    assert vault.problem(sha256) == ""


def test_a_full_disk_leaves_nothing(tmp_path):
    vault = Vault(tmp_path)
    noise = LabelMap(np.random.default_rng(0).integers(0, 256, (64, 64, 64)).astype(np.uint8), geometry((64, 64, 64)))
    with full_disk(100_000), pytest.raises(OutputError, match="nothing half-written was left behind"):
        vault.put(noise)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert vault.get(vault.put(noise)).array.max() == 255


def test_a_folder_that_cannot_be_flushed_is_told(tmp_path, monkeypatch):
    def broken(handle: int) -> None:
        os.close(handle)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("medseg.review.vault.flushed_folder", broken)
    with pytest.raises(OutputError, match=r"the vault cannot be written to \(Input/output error\)"):
        Vault(tmp_path).put(label_map())


def test_what_killed_processes_left_is_removed_after_an_hour(tmp_path):
    vault = Vault(tmp_path)
    sha256 = vault.put(label_map())
    old, young = (path_of(vault, sha256).with_name(f".partial-{name}") for name in ("old", "young"))
    old.write_text("x")
    young.write_text("x")
    os.utime(old, (time.time() - 3700,) * 2)
    vault.clear()
    assert (old.exists(), young.exists(), vault.problem(sha256)) == (False, True, "")


def test_large_labels_take_little_memory_beside_themselves():
    """Parts of the stream are views; a copy is made only where the layout asks for one."""
    code = """
import resource, numpy as np
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap
from medseg.review.label_stream import labels_digest
labels = LabelMap(np.ones((256, 256, 512), np.uint8, order="F"), Geometry.from_spacing((256, 256, 512)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
labels_digest(labels)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert float(out) < 8
    assert sum(len(part) for part in label_parts(MASKS)) < 1000
