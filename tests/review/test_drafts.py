"""Drafts outlive whatever happens to the process, and are forced on nobody."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from drawn_masks import base_of, masks
from factories import full_disk, geometry, label_map
from review_places import ANNA, BERT, CASE, KEY, OTHER_KEY

from medseg.core.errors import InputError, OutputError, ReadError
from medseg.core.volume import LabelMap
from medseg.review.drafts import Drafts
from medseg.review.label_stream import labels_digest
from medseg.review.records import CaseName
from medseg.review.refusals import Refused

OTHER = CaseName("case-1b2c")
WIDE = LabelMap(label_map().array.astype(np.int64) * 700, geometry())


@pytest.fixture
def drafts(tmp_path):
    return Drafts(tmp_path, KEY)


@pytest.mark.parametrize("labels", [label_map(), WIDE, masks(geometry())], ids=["narrow", "wide", "masks"])
def test_a_draft_is_found_as_it_was_kept(drafts, labels):
    before = time.time()
    sha256 = drafts.put(CASE, ANNA, base_of(3), labels)
    draft = drafts.get(CASE, ANNA)
    assert (draft.case, draft.base, draft.base_sha256, draft.sha256) == (CASE, 3, "ab" * 32, sha256)
    assert before <= draft.made <= time.time()
    assert sha256 == labels_digest(labels)
    assert type(draft.labels) is type(labels)
    assert np.array_equal(draft.labels.array, labels.array)
    assert np.array_equal(draft.labels.geometry.affine, labels.geometry.affine)


def test_each_reader_and_each_case_has_its_own(drafts):
    for reader, case, seed in ((ANNA, CASE, 1), (ANNA, OTHER, 2), (BERT, CASE, 3)):
        drafts.put(case, reader, base_of(), label_map(seed=seed))
    assert np.array_equal(drafts.get(CASE, BERT).labels.array, label_map(seed=3).array)
    assert drafts.get(OTHER, BERT) is None
    assert drafts.names(ANNA) == {CASE, OTHER}
    assert drafts.names(BERT) == {CASE}
    drafts.put(CASE, ANNA, base_of(), label_map(seed=4))
    assert np.array_equal(drafts.get(CASE, ANNA).labels.array, label_map(seed=4).array)
    assert drafts.drop(CASE, ANNA)
    assert drafts.names(ANNA) == {OTHER}
    assert drafts.drop(CASE, ANNA)


def test_a_draft_that_was_drawn_on_meanwhile_is_not_dropped(drafts):
    saved = drafts.put(CASE, ANNA, base_of(), label_map(seed=1))
    newer = drafts.put(CASE, ANNA, base_of(), label_map(seed=2))
    assert not drafts.drop(CASE, ANNA, saved)
    assert drafts.get(CASE, ANNA).sha256 == newer
    assert drafts.drop(CASE, ANNA, newer)
    assert drafts.drop(CASE, ANNA, newer)
    assert drafts.get(CASE, ANNA) is None


def test_only_the_draft_that_was_seen_is_replaced(drafts):
    assert drafts.digest(CASE, ANNA) == ""
    first = drafts.put(CASE, ANNA, base_of(), label_map(seed=1), before="")
    assert drafts.digest(CASE, ANNA) == first
    for before in ("", "12" * 32):
        with pytest.raises(Refused, match="strokes of another tab"):
            drafts.put(CASE, ANNA, base_of(), label_map(seed=2), before=before)
    assert drafts.get(CASE, ANNA).sha256 == first
    second = drafts.put(CASE, ANNA, base_of(), label_map(seed=2), {"liver": 1}, before=first)
    assert (drafts.get(CASE, ANNA).sha256, drafts.get(CASE, ANNA).structures) == (second, {"liver": 1})


def test_nobodys_name_is_in_the_folder(drafts, tmp_path):
    drafts.put(CASE, ANNA, base_of(), label_map())
    (path,) = tmp_path.rglob("*.draft")
    assert path.relative_to(tmp_path).parts == ("drafts", KEY.name("reader", ANNA.name), f"{CASE}.draft")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"anna" not in path.read_bytes()
    assert Drafts(tmp_path, OTHER_KEY).get(CASE, ANNA) is None


@pytest.mark.parametrize("name", ["../case", "a/b", "", ".hidden", "a\0b", "CON:"])
def test_names_that_are_none_of_ours_are_refused(drafts, name):
    for work in (lambda case: drafts.get(case, ANNA), lambda case: drafts.put(case, ANNA, base_of(), label_map())):
        with pytest.raises(InputError, match="letters, digits, dots and dashes"):
            work(CaseName(name))


def test_a_damaged_draft_is_told_and_can_be_dropped(drafts, tmp_path):
    drafts.put(CASE, ANNA, base_of(), label_map())
    (path,) = tmp_path.rglob("*.draft")
    whole = path.read_bytes()
    head, _, tail = whole.partition(b"\n")
    other = head.replace(CASE.encode(), OTHER.encode()) + b"\n" + tail
    spoiled = bytearray(whole)
    spoiled[-20] ^= 1
    for content in (b"", whole[:-9], head, b"{}\n" + tail, bytes(spoiled), other, whole[: len(head) + 1] + b"x" * 50):
        path.write_bytes(content)
        with pytest.raises(ReadError, match="the draft of this case is damaged, so it cannot be restored; discard it"):
            drafts.get(CASE, ANNA)
        assert not drafts.drop(CASE, ANNA, "12" * 32)
    assert drafts.drop(CASE, ANNA)


def test_a_link_is_not_followed(drafts, tmp_path):
    drafts.put(CASE, BERT, base_of(), label_map())
    (path,) = tmp_path.rglob("*.draft")
    link = tmp_path / "drafts" / KEY.name("reader", ANNA.name) / path.name
    link.parent.mkdir()
    link.symlink_to(path)
    with pytest.raises(ReadError, match="is damaged"):
        drafts.get(CASE, ANNA)


def test_a_full_disk_leaves_the_draft_before(drafts, tmp_path):
    kept = drafts.put(CASE, ANNA, base_of(), label_map())
    large = label_map(geometry((60, 60, 60)))
    with full_disk(10_000), pytest.raises(OutputError, match="cannot write 'case-0f3a.draft'"):
        drafts.put(CASE, ANNA, base_of(), large)
    assert drafts.get(CASE, ANNA).sha256 == kept
    assert len(list(tmp_path.rglob("*"))) == 3


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from medseg.config.review import Role
from medseg.core.geometry import Geometry
from medseg.core.pseudonyms import ProjectKey
from medseg.core.volume import LabelMap
from medseg.review import drafts
from medseg.review.records import CaseName, Reader, Version

def die(*_): os.kill(os.getpid(), signal.SIGKILL)
def half(labels):
    first, *rest = parts(labels)
    yield first
    yield rest[0][: len(rest[0]) // 2]
    die()

folder, case, name, moment = sys.argv[1:]
parts, replace = drafts.label_parts, Path.replace
if moment == "half-way": drafts.label_parts = half
if moment == "before it takes its place": Path.replace = die
if moment == "after it took its place": Path.replace = lambda *paths: (replace(*paths), die())
kept = drafts.Drafts(Path(folder), ProjectKey(bytes(range(32))))
grid = Geometry.from_spacing((90, 80, 70))
labels = LabelMap(np.random.default_rng(1).integers(0, 3, grid.shape), grid)
kept.put(CaseName(case), Reader(name, Role.READER), Version(CaseName(case), 1, 0, "model", 0.0, "ab" * 32), labels)
"""


@pytest.mark.parametrize(
    ("moment", "base"), [("half-way", 0), ("before it takes its place", 0), ("after it took its place", 1)]
)
def test_a_kill_leaves_the_old_draft_or_the_new_one(tmp_path, drafts, moment, base):
    drafts.put(CASE, ANNA, base_of(0), label_map())
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), CASE, ANNA.name, moment], check=False)
    assert ended.returncode == -signal.SIGKILL
    draft = drafts.get(CASE, ANNA)
    assert draft.base == base
    assert draft.labels.geometry.shape == ((90, 80, 70) if base else geometry().shape)
    assert labels_digest(draft.labels) == draft.sha256
    assert drafts.names(ANNA) == {CASE}


def test_what_killed_processes_left_is_cleared_after_an_hour(tmp_path, drafts):
    drafts.put(CASE, ANNA, base_of(), label_map())
    (kept,) = tmp_path.rglob("*.draft")
    old, new = (kept.with_name(f".partial-{n}-case.draft") for n in range(2))
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 4000,) * 2)
    assert Drafts(tmp_path, KEY).names(ANNA) == {CASE}
    assert (old.exists(), new.exists(), kept.exists()) == (False, True, True)


def test_many_at_once_leave_one_of_theirs(drafts):
    labels = [label_map(seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(lambda one: drafts.put(CASE, ANNA, base_of(), one), labels))
    assert len(digests) == 8
    assert drafts.get(CASE, ANNA).sha256 in digests


def test_a_draft_continues_only_what_is_still_there_and_newest(drafts):
    versions = [base_of(0), replace(base_of(1, "cd" * 32), author=ANNA.name, parent=0)]
    grid = geometry()
    drafts.put(CASE, ANNA, versions[1], label_map())
    drafts.put(CASE, BERT, versions[0], label_map())
    anna, bert = drafts.get(CASE, ANNA), drafts.get(CASE, BERT)
    assert anna.continues(versions, ANNA, grid)
    assert bert.continues(versions, BERT, grid)
    assert not bert.continues(versions, ANNA, grid)  # Anna saved version 1 meanwhile
    assert not anna.continues(versions[:1], ANNA, grid)
    assert not anna.continues([versions[0], replace(versions[1], sha256="ef" * 32)], ANNA, grid)
    assert not anna.continues(versions, ANNA, geometry(oblique_degrees=3))


def test_what_was_kept_does_not_change_with_the_array(drafts):
    array = np.array(label_map().array)
    drafts.put(CASE, ANNA, base_of(), LabelMap(array, geometry()))
    array[:] = 0
    assert drafts.get(CASE, ANNA).labels.array.any()
