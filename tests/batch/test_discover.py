"""Which files belong to which study, and what is told of those that belong to none."""

from __future__ import annotations

import shutil

import pydicom
import pytest
from batch_studies import KEY, STUDY_UID, datasets, write_study
from dicom_factories import MARKER, write_files
from pydicom import uid

from medseg.batch import discover
from medseg.batch.discover import find_studies, study_in, study_name
from medseg.deid.names import STUDY, name_of
from medseg.io import listing

OTHER = "1.2.826.0.1.3680043.8.498.77"


def test_files_go_by_their_header_and_not_by_their_folder(tmp_path):
    first = datasets()
    write_files(tmp_path / "x" / "1", first[:4])
    write_files(tmp_path / "y", [*first[4:], *datasets(StudyInstanceUID=OTHER)])
    (tmp_path / "y" / "notes.txt").write_text("a text that is no DICOM")
    found = find_studies(tmp_path, KEY)
    assert {one.name for one in found.studies} == {study_name(KEY, STUDY_UID), study_name(KEY, OTHER)}
    assert [len(one.paths) for one in found.studies] == [10, 10]
    assert [one.name for one in found.studies] == sorted(one.name for one in found.studies)
    assert (found.others, found.unreadable) == (1, 0)
    assert all(one.paths == tuple(sorted(one.paths)) for one in found.studies)


def test_a_pseudonym_stays_when_the_uid_was_replaced_with_the_same_key():
    assert study_name(KEY, KEY.uid(STUDY_UID)) == study_name(KEY, STUDY_UID) == name_of(KEY, STUDY, STUDY_UID)


def test_nothing_that_identifies_is_shown(tmp_path):
    write_study(tmp_path)
    found = find_studies(tmp_path, KEY)
    assert STUDY_UID not in repr(found)
    assert MARKER not in repr(found)


def test_the_version_goes_by_instances_and_not_by_where_they_lie(tmp_path):
    paths = write_study(tmp_path / "a")
    (before,) = find_studies(tmp_path, KEY).studies
    shutil.move(tmp_path / "a", tmp_path / "b")
    (moved,) = find_studies(tmp_path, KEY).studies
    assert moved.version == before.version
    (tmp_path / "b" / paths[-1].name).unlink()
    (fewer,) = find_studies(tmp_path, KEY).studies
    assert fewer.version != before.version


def test_outlines_and_reports_make_no_new_version(tmp_path):
    write_study(tmp_path)
    (before,) = find_studies(tmp_path, KEY).studies
    outlines, other = datasets(SOPClassUID=uid.SegmentationStorage)[0], datasets(SOPClassUID=uid.MRImageStorage)[0]
    write_files(tmp_path / "results", [outlines])
    (after,) = find_studies(tmp_path, KEY).studies
    assert (after.version, len(after.paths)) == (before.version, len(before.paths) + 1)
    write_files(tmp_path / "more", [other])
    (more,) = find_studies(tmp_path, KEY).studies
    assert more.version != before.version


def test_a_folder_of_a_spool_is_one_study_whatever_its_files_say(tmp_path):
    folder = tmp_path / study_name(KEY, STUDY_UID)
    write_study(folder)
    for path in folder.iterdir():
        path.rename(path.with_suffix(".dcm"))
    (found,) = find_studies(folder, KEY).studies
    whole = study_in(folder)
    assert (whole.name, whole.paths, whole.version) == (found.name, found.paths, found.version)
    write_files(tmp_path / "other", datasets(StudyInstanceUID=OTHER)[:1])[0].rename(folder / "odd.dcm")
    (folder / "cut.dcm").write_bytes((folder / "odd.dcm").read_bytes()[:200])
    odd = study_in(folder)
    assert (odd.name, len(odd.paths), odd.problem) == (folder.name, 12, "")
    assert odd.version != whole.version


def test_the_version_changes_with_the_size_of_an_instance(tmp_path):
    path = write_study(tmp_path)[0]
    (before,) = find_studies(tmp_path, KEY).studies
    header = pydicom.dcmread(path)
    header.SeriesDescription = "another, longer text"
    header.save_as(path)
    (after,) = find_studies(tmp_path, KEY).studies
    assert after.version != before.version


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize("damage", [empty, cut])
def test_a_damaged_file_counts_for_the_studies_beside_it(tmp_path, damage):
    write_study(tmp_path / "a" / "one")
    write_study(tmp_path / "a" / "two", StudyInstanceUID=OTHER)
    damage(write_study(tmp_path / "a" / "one")[0])
    found = find_studies(tmp_path, KEY)
    assert found.unreadable == 1
    damaged = {one.name: one.damaged for one in found.studies}
    assert damaged == {study_name(KEY, STUDY_UID): 1, study_name(KEY, OTHER): 0}
    whole, broken = sorted((one.problem for one in found.studies), key=len)
    assert whole == ""
    assert broken.startswith("1 files that are empty, damaged or may not be read lie beside its files, so slices may")


def test_what_may_not_be_read_is_told_and_no_link_is_followed(tmp_path, monkeypatch):
    paths = write_study(tmp_path / "in" / "a")
    (tmp_path / "in" / "link").symlink_to(paths[0])
    monkeypatch.setattr(listing.os, "access", lambda path, _mode: path.name != paths[3].name)
    found = find_studies(tmp_path / "in", KEY)
    assert (found.others, found.unreadable) == (1, 1)
    assert found.studies[0].damaged == 1
    walk = listing.os.walk

    def shut(root, onerror):
        onerror(PermissionError())
        return walk(root)

    monkeypatch.setattr(listing.os, "walk", shut)
    assert find_studies(tmp_path / "in", KEY).unreadable == 2


def test_a_file_that_vanishes_while_it_is_looked_for_counts_as_damaged(tmp_path, monkeypatch):
    paths = write_study(tmp_path)
    listed = listing.list_files(tmp_path)
    paths[2].unlink()
    monkeypatch.setattr(discover, "list_files", lambda _: listed)
    found = find_studies(tmp_path, KEY)
    assert (len(found.studies[0].paths), found.studies[0].damaged, found.unreadable) == (9, 1, 1)


def test_one_file_and_no_file(tmp_path):
    path = write_study(tmp_path / "in")[0]
    assert find_studies(path, KEY).studies[0].paths == (str(path),)
    (tmp_path / "nothing").mkdir()
    assert find_studies(tmp_path / "nothing", KEY).studies == ()
    (tmp_path / "empty").touch()
    assert find_studies(tmp_path / "empty", KEY).unreadable == 1
