"""Segmentations and structure sets that are uploaded with a series are its outlines to review."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dicom_factories import Grid
from seg_factories import HEADER, found_labels, source_series
from upload_runs import Desk, content_of, in_this_process

from medseg.io.dicom_seg_write import write_segmentation
from medseg.io.label_files import OutlineKind, outline_kind, read_outlines
from medseg.io.rtstruct_write import write_structure_set
from medseg.review.cleaning_outlines import outlines_in, refers_to
from medseg.review.open_case import open_case, read_other

GRID = Grid(columns=12, rows=10, slices=5)


def test_they_come_with_the_series_that_they_were_drawn_on(tmp_path, monkeypatch, tmp_path_factory):
    in_this_process(monkeypatch)
    desk = Desk(tmp_path, profile="research")  # which keeps known words in names
    folder = tmp_path_factory.mktemp("study")
    original = {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "StudyInstanceUID": "1.2.3.4"}
    source = source_series(folder / "one", GRID, **original)
    source_series(folder / "two", GRID, **original, SeriesInstanceUID="1.2.3.4.2")
    drawn = found_labels(source)
    write_segmentation(folder / "seg.dcm", drawn, source, HEADER)
    structure_set = replace(HEADER, series_uid="2.25.2001", instance_uid="2.25.2002", series_number=71)
    write_structure_set(folder / "rtstruct.dcm", drawn, source, structure_set)
    one, two = desk.upload(content_of(folder))
    assert (one.slices, two.slices) == (5, 5)
    if one.files.prediction is None:
        one, two = two, one
    assert two.files.prediction is None
    assert dict(two.files.others) == {}
    assert list(one.files.others) == ["outlines 2"]
    files = {outline_kind(path)[0]: path for path in (one.files.prediction, *one.files.others.values())}
    assert set(files) == {OutlineKind.SEGMENTATION, OutlineKind.STRUCTURE_SET}
    found = read_outlines(files[OutlineKind.SEGMENTATION], source.geometry)
    assert found.labels.geometry.shape == source.geometry.shape
    assert (np.asarray(found.labels.array) != 0).sum() == (drawn.labels.array != 0).sum()
    assert not [note for note in desk.told.notes if "left out" in note]
    opened = open_case(one.files)
    assert opened.volume.array.shape == (1, 12, 10, 5)
    assert opened.scheme.names == ("liver", "left kidney", "cyst")
    assert read_other(opened, "outlines 2").labels.geometry.shape == (12, 10, 5)
    assert not open_case(two.files).prediction.labels.array.any()
    desk.sessions.close()


def test_a_uid_that_goes_on_is_another_one(tmp_path):
    path = tmp_path / "object"
    path.write_bytes(b"..2.25.17\0 2.25.123 2.25.12.4")
    assert refers_to(path, "2.25.17")
    assert refers_to(path, "2.25.123")
    assert not refers_to(path, "2.25.12")
    path.write_bytes(b"2.25.12")
    assert refers_to(path, "2.25.12")


def test_other_files_are_no_outlines(tmp_path):
    for name in ("empty", "text"):
        (tmp_path / name).mkdir()
    (tmp_path / "text" / "a").write_bytes(b"text")
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "gone").mkdir()
    (tmp_path / "gone" / "link").symlink_to(tmp_path / "nothing")
    assert outlines_in(tmp_path) == ()
