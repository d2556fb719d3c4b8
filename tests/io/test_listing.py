from __future__ import annotations

import os
import socket

import pytest

from medseg.core.errors import InputError
from medseg.io import listing
from medseg.io.listing import DEVICE, EMPTY, LINK, SHUT_FILE, SHUT_FOLDER, TOO_DEEP, list_files


def write(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_regular_files_come_in_a_fixed_order(tmp_path):
    for name in ("b/2", "a/1", "c", "b/1"):
        write(tmp_path / name)
    found = list_files(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in found.files] == ["c", "a/1", "b/1", "b/2"]
    assert not found.passed


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_links_pipes_sockets_and_empty_files_are_counted_and_not_opened(tmp_path):
    inside = tmp_path / "in"
    write(inside / "a")
    write(inside / "empty", "")
    (inside / "loop").symlink_to(inside)
    (inside / "outside").symlink_to(write(tmp_path / "secret"))
    (inside / "nowhere").symlink_to(tmp_path / "missing")
    os.mkfifo(inside / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(inside / "s"))
    found = list_files(inside)
    assert [path.name for path in found.files] == ["a"]
    assert found.passed == {LINK: 3, DEVICE: 2, EMPTY: 1}
    assert [path.name for path in found.lost] == ["empty"]


def test_names_that_are_no_text_are_listed(tmp_path):
    for name in (b"line\nbreak", b"\xff\xfe.dcm"):
        path = os.fsencode(tmp_path) + b"/" + name
        try:
            with open(path, "wb") as stream:  # noqa: PTH123 - a name of bytes
                stream.write(b"x")
        except OSError:
            pytest.skip("this file system takes text only")
    assert len(list_files(tmp_path).files) == 2


def test_what_may_not_be_read_is_counted(tmp_path, monkeypatch):
    write(tmp_path / "a")
    write(tmp_path / "b")
    monkeypatch.setattr(listing.os, "access", lambda path, _mode: path.name != "a")
    found = list_files(tmp_path)
    assert [path.name for path in found.files] == ["b"]
    assert found.passed == {SHUT_FILE: 1}
    assert [path.name for path in found.lost] == ["a"]

    def shut(root, onerror):
        onerror(PermissionError())
        yield str(root), [], ["a", "vanished"]

    monkeypatch.setattr(listing.os, "walk", shut)
    assert list_files(tmp_path).passed == {SHUT_FILE: 2, SHUT_FOLDER: 1}


def test_depth_and_number_are_bounded(tmp_path, monkeypatch):
    deep = tmp_path.joinpath(*"abcdefghijklmnopqrstuvwxyz0123456789")
    write(deep / "x")
    assert list_files(tmp_path).passed == {TOO_DEEP: 1}
    for name in "abc":
        write(tmp_path / f"{name}.dcm")
    monkeypatch.setattr(listing, "_MAX_FILES", 2)
    with pytest.raises(InputError, match="more than 2 files; name a smaller folder"):
        list_files(tmp_path)


def test_one_file_is_a_list_of_one(tmp_path):
    assert list_files(write(tmp_path / "a")).files == (tmp_path / "a",)
    assert list_files(tmp_path / "missing").passed == {SHUT_FILE: 1}
