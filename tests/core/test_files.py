from __future__ import annotations

import errno
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from factories import full_disk

from medseg.core.errors import InputError, OutputError
from medseg.core.files import (
    atomic_file,
    atomic_folder,
    confined,
    existing,
    flush_folder,
    safe_name,
    write_staged,
    write_text,
)


def test_a_file_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "new" / "a.nii.gz"
    with atomic_file(target) as partial:
        assert partial.name.endswith(".nii.gz")
        partial.write_bytes(b"x")
        assert not target.exists()
    assert target.read_bytes() == b"x"
    assert [path.name for path in target.parent.iterdir()] == ["a.nii.gz"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(ZeroDivisionError, match="division"), atomic_file(target) as partial:
        partial.write_text(str(1 / 0))
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_sentence(tmp_path):
    target = tmp_path / "a.txt"
    with pytest.raises(OutputError, match="cannot write 'a.txt': the disk is full"), atomic_file(target):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_replaces_the_old_one_whole(tmp_path):
    target = tmp_path / "bundle"
    for content in ("one", "two"):
        with atomic_folder(target) as partial:
            (partial / content).write_text(content)
    assert [path.name for path in target.iterdir()] == ["two"]
    with pytest.raises(OutputError, match="disk is full"), atomic_folder(target) as partial:
        raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in target.iterdir()] == ["two"]
    assert list(tmp_path.iterdir()) == [target]


def test_a_part_of_the_path_that_is_a_file(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write 'a.txt'"):
        write_text(tmp_path / "file" / "a.txt", "")


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "in/../../out"])
def test_paths_stay_inside(tmp_path, path):
    with pytest.raises(InputError, match="leaves its folder"):
        confined(tmp_path, path)


def test_a_link_may_not_lead_outside(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    with pytest.raises(InputError, match="leaves its folder"):
        confined(tmp_path / "root", "link/secret")
    assert confined(tmp_path / "root", "a/b") == tmp_path / "root" / "a" / "b"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("case 7", "case_7"),
        ("../../x", "x"),
        ("", "unnamed"),
        (".hidden", "hidden"),
        ("a" * 300, "a" * 120),
        ("ä/ö", "unnamed"),
    ],
)
def test_any_text_becomes_a_file_name(text, name):
    assert safe_name(text) == name


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="'nowhere' does not exist"):
        existing(type(tmp_path)("nowhere"))


def test_an_error_without_a_number_still_says_what_to_look_at(tmp_path):
    target = tmp_path / "a.npy"
    with pytest.raises(OutputError, match="the disk may be full"), full_disk(10_000), atomic_file(target) as partial:
        np.save(partial, np.zeros(100_000))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("mask", "file_mode", "folder_mode"), [(0o077, 0o600, 0o700), (0o022, 0o644, 0o755)])
def test_the_umask_says_who_may_read(tmp_path, mask, file_mode, folder_mode):
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "")
        with atomic_folder(tmp_path / "bundle"):
            pass
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == file_mode
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == folder_mode


def test_threads_that_write_at_once_leave_the_umask_alone(tmp_path):
    mask = os.umask(0o022)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda number: write_text(tmp_path / f"{number}.txt", "x"), range(200)))
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(mask)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o644}


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    target, replace = tmp_path / "bundle", Path.replace
    with atomic_folder(target) as partial:
        (partial / "one").touch()

    def broken(self, other):
        if self.name.startswith(".partial-"):
            raise OSError(errno.EIO, "Input/output error")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OutputError, match="Input/output error"), atomic_folder(target) as partial:
        (partial / "two").touch()
    assert [path.name for path in target.iterdir()] == ["one"]
    assert list(tmp_path.iterdir()) == [target]


def test_staged_files_are_written_plainly_and_flushed_together(tmp_path):
    for number in range(3):
        write_staged(tmp_path / "staged" / str(number) / "file", bytes([number]))
    flush_folder(tmp_path / "staged")
    assert [(tmp_path / "staged" / str(number) / "file").read_bytes() for number in range(3)] == [b"\0", b"\1", b"\2"]


def test_a_staged_file_that_cannot_be_written_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a part of its path is a file"):
        write_staged(tmp_path / "file" / "inside", b"")

    def full(path, content):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_staged(tmp_path / "other", b"1")
    assert not (tmp_path / "other").exists()


def test_a_disk_that_fails_while_flushing_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()

    def failing(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("medseg.core.files.os.fsync", failing)
    with pytest.raises(OutputError, match="the disk is full"):
        flush_folder(tmp_path)
