"""What a browser sends back: exactly what it was given but for the drawing, or a refusal in a sentence."""

from __future__ import annotations

import gzip
import io
import re
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from drawn_masks import body_of, mask_grant, masks, saved_by_browser, shown, shown_copy, small_case, stream_of
from drawn_masks import opened_case as case_of
from factories import geometry, label_map, volume
from hypothesis import given
from hypothesis import strategies as st
from review_places import ANNA, CASE, KEY

from medseg.core.errors import DataError, GeometryError, InputError, LabelError, OutputError, ReadError
from medseg.core.labels import LabelScheme, Structure
from medseg.core.volume import LabelMap
from medseg.review.drafts import Drafts
from medseg.review.label_stream import labels_digest
from medseg.review.masks import edited_labels, largest_body, read_mask, receive_mask
from medseg.review.refusals import Refused
from medseg.review.tickets import Sequence


@pytest.fixture
def labels(tmp_path):
    return shown(small_case(), tmp_path)


def read(labels, body: bytes) -> np.ndarray:
    return read_mask(stream_of(body), labels.served.grid)


def drawn(labels, value: int, at=(slice(1, 4), slice(2, 5), 3)) -> np.ndarray:
    array = np.array(labels.array())
    array[at] = value
    return array


def test_what_was_served_comes_back_as_it_was(labels):
    returned = read(labels, body_of(labels))
    assert np.array_equal(returned, labels.array())
    assert edited_labels(labels, returned) is labels.base.labels


@pytest.mark.parametrize(
    "fields",
    [
        {"scl_slope": np.nan, "scl_inter": np.nan},
        {"scl_slope": 0},
        {"scl_slope": 1, "scl_inter": 0},
        {"cal_max": 7, "descrip": b"drawing"},
        {"dim": [4, 7, 8, 9, 1, 1, 1, 1]},
    ],
)
def test_headers_that_say_the_same(labels, fields):
    assert np.array_equal(read(labels, body_of(labels, **fields)), labels.array())


def test_an_extension_of_the_header_is_skipped(labels):
    content = bytearray(gzip.decompress(body_of(labels, vox_offset=384)))
    content[348:352] = b"\1\0\0\0"
    content[352:352] = struct.pack("<ii", 32, 6) + bytes(24)
    assert np.array_equal(read(labels, gzip.compress(bytes(content))), labels.array())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"dim": [3, 7, 9, 8, 1, 1, 1, 1]}, r"has the shape \(7, 9, 8\), the case as it was shown has \(7, 8, 9\)"),
        ({"dim": [3, 70, 80, 90, 1, 1, 1, 1]}, "has the shape"),
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "has the shape"),
        ({"dim": [2, 7, 8, 9, 1, 1, 1, 1]}, "has the shape"),
        ({"dim": [4, 7, 8, 9, 2, 1, 1, 1]}, "has the shape"),
        ({"dim": [-3, 7, 8, 9, 1, 1, 1, 1]}, "has the shape"),
        ({"dim": [30000, 7, 8, 9, 1, 1, 1, 1]}, "has the shape"),
        ({"datatype": 4}, "not of one byte a voxel"),
        ({"datatype": 256}, "not of one byte a voxel"),
        ({"scl_slope": 2}, "is scaled"),
        ({"scl_slope": np.inf}, "is scaled"),
        ({"scl_inter": 1}, "is scaled"),
        ({"srow_x": [1, 0, 0, 0]}, "lies elsewhere than the case: the affines differ by up to 31"),
        ({"srow_x": [np.nan] * 4, "qform_code": 0}, "affine"),
        ({"vox_offset": 100}, "cannot be"),
        ({"vox_offset": np.nan}, "cannot be"),
        ({"vox_offset": 1e6}, "begin where they cannot"),
        ({"vox_offset": 360}, "truncated"),
        ({"sizeof_hdr": 12}, "not a NIfTI file"),
        ({"magic": b"ni1"}, "of a two-file NIfTI"),
    ],
)
def test_another_file_is_refused(labels, fields, message):
    with pytest.raises(DataError, match=message):
        read(labels, body_of(labels, **fields))


def test_a_mask_is_all_that_there_may_be(labels):
    body = body_of(labels)
    content = gzip.decompress(body)
    for more in (gzip.compress(content + b"\0"), gzip.compress(content + bytes(10**6)), body + b"\0", body + body):
        with pytest.raises(ReadError, match="more than the voxels"):
            read(labels, more)
    for less in (gzip.compress(content[:-1]), gzip.compress(content[:400]), gzip.compress(content[:100]), b""):
        with pytest.raises(ReadError, match="truncated"):
            read(labels, less)
    for damaged in (
        body[:-9],
        body[:-1],
        body[:-8] + b"12345678",
        b"\x1f\x8b" + bytes(50),
        content,
        zlib.compress(content),
    ):
        with pytest.raises(ReadError, match="truncated or damaged|is truncated"):
            read(labels, damaged)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_a_body_may_come_in_small_parts(labels, size):
    class Slow(io.BytesIO):
        def read(self, wanted: int = -1) -> bytes:
            return super().read(min(size, wanted))

    assert np.array_equal(read_mask(Slow(body_of(labels)), labels.served.grid), labels.array())
    with pytest.raises(ReadError, match="truncated"):
        read_mask(Slow(body_of(labels)[:-3]), labels.served.grid)


def test_a_bomb_is_not_unpacked(labels):
    bomb = body_of(labels)
    bomb = gzip.compress(gzip.decompress(bomb) + bytes(100 * 2**20), 1)
    with pytest.raises(ReadError, match="more than the voxels"):
        read(labels, bomb)
    assert largest_body(labels) == 7 * 8 * 9 + 2**16


@given(st.binary(max_size=600))
def test_any_bytes_are_told_in_a_sentence(content):
    for body in (content, gzip.compress(content)):
        with pytest.raises(DataError, match="^[a-z]"):
            read_mask(stream_of(body), geometry())


def test_a_drawing_changes_what_it_covers(labels):
    edited = edited_labels(labels, drawn(labels, 2))
    expected = np.array(labels.base.labels.array)
    expected[1:4, 2:5, 3] = 2
    assert np.array_equal(edited.array, expected)
    assert edited.geometry is labels.base.labels.geometry


def test_only_structures_may_be_drawn(labels):
    with pytest.raises(LabelError, match="holds the value 3, which is no structure's; drawn may be 0, 1, 2"):
        edited_labels(labels, drawn(labels, 3))


def test_values_that_are_no_structures_stay_and_may_be_erased_but_not_drawn(tmp_path):
    grid = geometry()
    found = label_map(grid, (0, 1, 2, 9))
    labels = shown(case_of(volume(grid), found), tmp_path)
    assert np.array_equal(edited_labels(labels, drawn(labels, 1)).array == 9, drawn(labels, 1) == 9)
    assert not (edited_labels(labels, drawn(labels, 0, ...)).array).any()
    with pytest.raises(LabelError, match="the value 9"):
        edited_labels(labels, drawn(labels, 9))


def test_large_values_come_back(tmp_path):
    grid = geometry()
    labelled = LabelScheme((Structure("liver", 500, (1, 2, 3)), Structure("spleen", 70, (4, 5, 6))))
    found = LabelMap(np.random.default_rng(0).choice(np.array([0, 70], np.uint8), grid.shape), grid)
    labels = shown(case_of(volume(grid), LabelMap(found.array.astype(np.uint16), grid), labelled), tmp_path)
    expected = found.array.astype(int)
    expected[1:4, 2:5, 3] = 500
    assert np.array_equal(edited_labels(labels, drawn(labels, 1)).array, expected)
    narrow = shown(case_of(volume(grid), found, labelled), tmp_path)
    assert np.array_equal(edited_labels(narrow, drawn(narrow, 1)).array, expected)


def test_of_masks_that_overlap_one_changes(tmp_path):
    grid = geometry()
    found = masks(grid)
    labels = shown(case_of(volume(grid), found), tmp_path, "spleen")
    edited = edited_labels(labels, drawn(labels, 1))
    assert np.array_equal(edited.array[0], found.array[0])
    assert np.array_equal(edited.array[1], drawn(labels, 1).astype(bool))
    assert edited.structures == found.structures
    with pytest.raises(LabelError, match="the value 2"):
        edited_labels(labels, drawn(labels, 2))


@given(st.tuples(*[st.integers(1, 3)] * 3), st.integers(0, 2**32 - 1), st.booleans())
def test_on_a_copy_native_voxels_that_were_not_drawn_on_keep_their_labels(tmp_path_factory, factor, seed, overlap):
    grid, rng = geometry(), np.random.default_rng(seed)
    case = case_of(volume(grid), masks(grid) if overlap else label_map(grid, seed=seed))
    labels = shown_copy(case, tmp_path_factory.mktemp("shown"), factor, "liver" if overlap else None)
    returned = np.array(labels.array())
    at = rng.random(returned.shape) < 0.2
    returned[at] = rng.integers(0, 2 if overlap else 3, returned.shape)[at]
    native = np.repeat(np.repeat(np.repeat(returned != labels.array(), factor[0], 0), factor[1], 1), factor[2], 2)
    values = np.repeat(np.repeat(np.repeat(returned, factor[0], 0), factor[1], 1), factor[2], 2)
    inside = tuple(slice(0, n) for n in grid.shape)
    edited = edited_labels(labels, read(labels, body_of(labels, returned)))
    base, found = case.prediction.labels.array, edited.array
    if overlap:
        assert np.array_equal(found[1], base[1])
        base, found = base[0], found[0]
    assert np.array_equal(found, np.where(native[inside], values[inside], base))


def test_a_mask_becomes_the_readers_draft(tmp_path, labels):
    drafts = Drafts(tmp_path / "review", KEY)
    stored = receive_mask(mask_grant(labels), stream_of(body_of(labels, drawn(labels, 2))), 1, drafts)
    draft = drafts.get(CASE, ANNA)
    assert (stored.sequence, stored.sha256) == (1, draft.sha256)
    assert draft.sha256 == labels_digest(edited_labels(labels, drawn(labels, 2)))
    assert np.array_equal(draft.labels.array, drawn(labels, 2))


def test_an_older_mask_does_not_replace_a_newer_one(tmp_path, labels):
    drafts, grant = Drafts(tmp_path / "review", KEY), mask_grant(labels)
    receive_mask(grant, stream_of(body_of(labels, drawn(labels, 2))), 3, drafts)
    kept = drafts.get(CASE, ANNA).sha256
    for number in (1, 3):
        with pytest.raises(Refused, match="no newer than the last"):
            receive_mask(grant, stream_of(body_of(labels)), number, drafts)
    assert drafts.get(CASE, ANNA).sha256 == kept
    assert grant.sequence.next == 4


def test_a_mask_that_is_refused_or_not_kept_may_be_sent_again(tmp_path, labels, monkeypatch):
    drafts, grant = Drafts(tmp_path / "review", KEY), mask_grant(labels)
    with pytest.raises(GeometryError, match="has the shape"):
        receive_mask(grant, stream_of(saved_by_browser(np.zeros((2, 2, 2), np.uint8), np.eye(4))), 1, drafts)
    with monkeypatch.context() as patched:
        patched.setattr(Drafts, "put", lambda *_: (_ for _ in ()).throw(OutputError("the disk is full")))
        with pytest.raises(OutputError, match="full"):
            receive_mask(grant, stream_of(body_of(labels)), 1, drafts)
    assert receive_mask(grant, stream_of(body_of(labels)), 1, drafts).sequence == 1


def test_a_case_that_is_gone_takes_no_mask(tmp_path, labels):
    body = body_of(labels)
    labels.served.path.unlink()
    with pytest.raises(InputError, match="no longer open"):
        receive_mask(mask_grant(replace(labels)), stream_of(body), 1, Drafts(tmp_path / "review", KEY))


def test_strokes_of_another_tab_are_not_replaced(tmp_path, labels):
    drafts, one, other = Drafts(tmp_path / "review", KEY), mask_grant(labels), mask_grant(labels)
    receive_mask(one, stream_of(body_of(labels, drawn(labels, 2))), 1, drafts)
    kept = receive_mask(one, stream_of(body_of(labels, drawn(labels, 1))), 2, drafts).sha256
    for draft in ("", "12" * 32):
        with pytest.raises(Refused, match="strokes of another tab"):
            receive_mask(replace(other, sequence=Sequence(draft)), stream_of(body_of(labels)), 1, drafts)
    assert drafts.get(CASE, ANNA).sha256 == kept
    assert receive_mask(replace(other, sequence=Sequence(kept)), stream_of(body_of(labels)), 1, drafts).sha256 != kept


def test_no_message_names_a_file(labels):
    with pytest.raises(DataError, match="NIfTI|truncated") as caught:
        read(labels, b"nothing")
    assert not re.search(r"[/\\]|\.nii", str(caught.value))
