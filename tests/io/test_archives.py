"""Archives are unpacked into a private folder wholly, or refused wholly, however they try to get out or to grow."""

from __future__ import annotations

import errno
import gzip
import io
import os
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from dicom_bytes import IDENTITY, dicom_bytes

from medseg.core.errors import InputError, OutputError, ReadError
from medseg.io import archives
from medseg.io.archives import is_archive, unpack, unpacked

ELSEWHERE = "a name that leads elsewhere or is reserved"
SAME = "two entries of the same name"
LINKS = "links or devices"
Entries = dict[str, bytes]


def write_zip(path: Path, entries: Entries, method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, entries: Entries, mode="w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in entries.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_tar_gz(path: Path, entries: Entries) -> Path:
    return write_tar(path, entries, "w:gz")


def content(folder: Path) -> Entries:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refuse(path: Path, message: str) -> None:
    """The archive is refused, and nothing of it is left or was put anywhere else."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(ReadError, match=message) as caught, unpacked(path):
        pytest.fail("it was unpacked")
    assert "SECRET" not in str(caught.value)
    assert sorted(path.parent.rglob("*")) == before
    assert not list(archives_folder().iterdir())


def archives_folder() -> Path:
    return Path(os.environ["TMPDIR"])


@pytest.fixture(autouse=True)
def own_temporary_files(tmp_path_factory, monkeypatch):
    """So that a test can tell whether something is left there."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))


@pytest.fixture(params=[write_zip, write_tar, write_tar_gz])
def write(request):
    return request.param


def test_the_content_lies_in_a_private_folder_that_vanishes(tmp_path, write):
    entries = {"a/one.dcm": b"1" * 3000, "./a/b/two words é.dcm": b"2" * 512, "three": b""}
    path = write(tmp_path / "archive", entries)
    with unpacked(path) as folder:
        assert content(folder) == {name.removeprefix("./"): data for name, data in entries.items()}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert folder.parent == archives_folder()
    assert not folder.exists()


def test_the_folder_vanishes_after_an_error_too(tmp_path, write):
    path = write(tmp_path / "archive", {"one": b"1"})

    def fail(folder: Path) -> None:
        assert (folder / "one").exists()
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"), unpacked(path) as folder:
        fail(folder)
    assert not list(archives_folder().iterdir())


def test_folders_and_other_files_are_given_as_they_are(tmp_path):
    (tmp_path / "file").write_bytes(b"text")
    for path in (tmp_path, tmp_path / "file", tmp_path / "nothing"):
        with unpacked(path) as given:
            assert given == path


def test_archives_are_known_by_content(tmp_path, write):
    assert is_archive(write(tmp_path / "image.dcm", {"one": b"1"}))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text",
        gzip.compress(b"a NIfTI file", mtime=0),
        b"\x1f\x8b\x08damaged",
        dicom_bytes(IDENTITY, preamble=b"PK\3\4"),
        bytes(1000),
    ],
)
def test_others_are_none(tmp_path, data):
    (tmp_path / "file.zip").write_bytes(data)
    assert not is_archive(tmp_path / "file.zip")


def test_pipes_and_loops_are_none(tmp_path):
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert not is_archive(tmp_path / "pipe.zip")
    assert not is_archive(tmp_path / "loop")


def test_a_file_that_may_not_be_opened(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "archive", {"one": b"1"})

    def shut(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", shut)
    with pytest.raises(ReadError, match=r"a file cannot be read \(Permission denied\)"):
        is_archive(path)


def test_archives_in_archives_stay_packed(tmp_path, write):
    inner = write(tmp_path / "inner", {"one": b"1"}).read_bytes()
    with unpacked(write(tmp_path / "outer", {"inner.zip": inner})) as folder:
        assert content(folder) == {"inner.zip": inner}
        assert is_archive(folder / "inner.zip")


def test_empty_archives(tmp_path, write):
    with unpacked(write(tmp_path / "archive", {})) as folder:
        assert content(folder) == {}


def test_under_other_names(tmp_path, write):
    entries = {"a/SECRET.dcm": b"1" * 3000, "b/SECRET.dcm": b"2" * 512, "three": b""}
    path = write(tmp_path / "archive", entries)
    (tmp_path / "out").mkdir()
    named, counted = [], []

    def naming(name: str) -> str:
        named.append(name)
        return str(len(named))

    unpack(path, tmp_path / "out", naming, counted.append)
    assert named == list(entries)
    assert content(tmp_path / "out") == {"1": b"1" * 3000, "2": b"2" * 512, "3": b""}
    assert sum(counted) == 3512


def test_whoever_counts_may_end_it(tmp_path, write):
    path = write(tmp_path / "archive", {"a": b"1" * 3000, "b": b"2"})
    (tmp_path / "out").mkdir()

    def counting(size: int) -> None:
        raise InputError(f"no {size} bytes more")

    with pytest.raises(InputError, match="no 3000 bytes more"):
        unpack(path, tmp_path / "out", lambda name: name, counting)


def test_of_other_files_nothing_is_unpacked(tmp_path):
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "file", tmp_path / "out", lambda name: name, lambda size: None)
    assert content(tmp_path / "out") == {}


def test_empty_folders_are_not_made(tmp_path):
    with tarfile.open(tmp_path / "tar", "w") as archive:
        member = tarfile.TarInfo("empty")
        member.type = tarfile.DIRTYPE
        archive.addfile(member)
    for path in (tmp_path / "tar", write_zip(tmp_path / "zip", {"empty/": b""})):
        with unpacked(path) as folder:
            assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        *("../../SECRET.dcm", "a/../../SECRET", "/SECRET.dcm", "..", "a/..", r"..\SECRET", r"\\server\SECRET"),
        *("C:/SECRET", "SECRET:stream", "CON", "a/nul.SECRET", "com1", "LPT9.dcm", "aux .txt"),
        *("SECRET\nline", "\x1b[2J", "a/...", " ", "x" * 256, "é" * 128, "/".join("a" * 33)),
    ],
)
def test_names_that_lead_elsewhere_or_mean_something(tmp_path, write, name):
    refuse(write(tmp_path / "archive", {"one": b"1", name: b"2"}), ELSEWHERE)


def test_names_that_are_no_text(tmp_path):
    refuse(write_tar(tmp_path / "archive", {os.fsdecode(b"\xff\xfe"): b"1"}), ELSEWHERE)


def test_backslashes_part_folders(tmp_path, write):
    entries = {"a\\b\\one.dcm": b"1", "a\\two.dcm": b"2"}
    with unpacked(write(tmp_path / "archive", entries)) as folder:
        assert content(folder) == {"a/b/one.dcm": b"1", "a/two.dcm": b"2"}


def test_backslashes_end_folders(tmp_path):
    with unpacked(write_zip(tmp_path / "archive", {"a\\": b"", "a\\one": b"1"})) as folder:
        assert content(folder) == {"a/one": b"1"}


@pytest.mark.parametrize(
    "names",
    [
        *(("IM1", "im1"), ("a/IM1", "A/im1"), ("one", "./one"), ("one", "one."), ("a/b", "a "), ("a", "A/b")),
        ("e\u0301", "\u00e9"),
    ],
)
def test_names_that_collide_on_some_system(tmp_path, write, names):
    refuse(write(tmp_path / "archive", dict.fromkeys(names, b"1")), SAME)


def test_the_same_name_twice(tmp_path):
    path = write_zip(tmp_path / "archive", {"one": b"1", "two": b"2"})
    path.write_bytes(path.read_bytes().replace(b"two", b"one"))
    refuse(path, SAME)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_in_zip_files(tmp_path, kind):
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        entry = zipfile.ZipInfo("link")
        entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    refuse(tmp_path / "archive", LINKS)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar_files(tmp_path, kind):
    with tarfile.open(tmp_path / "archive", "w") as archive:
        member = tarfile.TarInfo("link")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    refuse(tmp_path / "archive", LINKS)


def test_encrypted_entries(tmp_path):
    path = write_zip(tmp_path / "archive", {"one": b"1"})
    table = path.read_bytes().index(b"PK\1\2")
    data = bytearray(path.read_bytes())
    data[table + 8] |= 1
    path.write_bytes(data)
    refuse(path, "an archive is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods(tmp_path, method):
    refuse(write_zip(tmp_path / "archive", {"one": b"1" * 100}, method), "another method than deflate")


@pytest.mark.parametrize("said", [5, 2000, 2**32 - 2])
def test_sizes_that_lie(tmp_path, said):
    path = write_zip(tmp_path / "archive", {"one": b"1" * 1000})
    path.write_bytes(path.read_bytes().replace(struct.pack("<L", 1000), struct.pack("<L", said)))
    refuse(path, r"of another size than it says|cannot be read \(BadZipFile\)")


def test_entries_that_overlap(tmp_path):
    """As in Fifield's bomb: many entries of the table share one piece of data."""
    path = write_zip(tmp_path / "archive", {"one": b"1" * 1000, "two": b"2" * 1000})
    data = path.read_bytes()
    table = data.index(b"PK\1\2")
    second = data.index(b"PK\1\2", table + 1)
    path.write_bytes(data[: second + 42] + struct.pack("<L", 0) + data[second + 46 :])
    refuse(path, "entries that overlap")


def test_an_entry_that_reaches_into_the_table(tmp_path):
    path = write_zip(tmp_path / "archive", {"one": b"1" * 1000})
    data = path.read_bytes()
    table = data.index(b"PK\1\2")
    path.write_bytes(data[: table + 20] + struct.pack("<L", 5000) + data[table + 24 :])
    refuse(path, "entries that overlap")


@pytest.mark.parametrize("write", [write_zip, write_tar_gz])
def test_bombs(tmp_path, write):
    zeros = bytes(2**24)
    path = write(tmp_path / "archive", {f"{number}": zeros for number in range(6)})
    assert path.stat().st_size < 2**18
    tracemalloc.start()
    refuse(path, "an archive grows past the limit of 64 MiB; unpack it yourself and name the folder")
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_the_ratio_counts_in_large_archives(tmp_path, write, monkeypatch):
    monkeypatch.setattr(archives, "_FREE_BYTES", 0)
    monkeypatch.setattr(archives, "_MAX_RATIO", 2)
    with unpacked(write(tmp_path / "fine", {"one": os.urandom(10_000)})) as folder:
        assert (folder / "one").stat().st_size == 10_000
    monkeypatch.setattr(archives, "_MAX_RATIO", 0)
    refuse(write(tmp_path / "archive", {"one": os.urandom(100_000)}), "grows past the limit of 0 MiB")


def test_one_file_that_is_too_large(tmp_path, write, monkeypatch):
    monkeypatch.setattr(archives, "_LARGEST_FILE", 2**12)
    refuse(write(tmp_path / "archive", {"one": bytes(2**12 + 1)}), "a file of more than 0 GiB")


def test_too_many_entries(tmp_path, write, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_ENTRIES", 3)
    refuse(write(tmp_path / "archive", {f"{number}/one": b"" for number in range(4)}), "more than 3 entries")


def test_a_table_of_contents_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_LONGEST_READ", 2**17)
    refuse(
        write_zip(tmp_path / "archive", {"x" * 200 + str(number): b"" for number in range(1000)}), "longer than 0 MiB"
    )


def test_a_tar_header_that_is_too_long(tmp_path):
    with tarfile.open(tmp_path / "archive", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("one")
        member.pax_headers = {"comment": "x" * 2**21}
        archive.addfile(member)
    refuse(tmp_path / "archive", "a header of more than 1 MiB")


def test_a_tar_file_that_leads_backwards():
    stream = archives._Forward(io.BytesIO(bytes(100)), 1000)
    assert stream.seek(50) == 50
    assert stream.seek(200) == 100
    with pytest.raises(ReadError, match="lead backwards"):
        stream.seek(20)


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_cut_off_archives(tmp_path, write, cut):
    path = write(tmp_path / "archive", {"one": os.urandom(100_000), "two": os.urandom(1000)})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * cut)])
    refuse(path, r"an archive cannot be read \(\w+\)")


def test_damaged_content(tmp_path):
    path = write_zip(tmp_path / "archive", {"one": b"1" * 1000}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"111", b"SEC", 1))
    refuse(path, r"an archive cannot be read \(BadZipFile\)")


def test_full_disks_are_named(tmp_path, write, monkeypatch):
    path = write(tmp_path / "archive", {"one": b"1"})
    for number, message in ((errno.ENOSPC, None), (errno.EIO, "Input/output error")):

        def fail(*_, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(archives._Folder, "add_file", fail)
        if message:
            refuse(path, message)
        else:
            with pytest.raises(OutputError, match="the disk of the temporary files is too small"), unpacked(path):
                pytest.fail("it was unpacked")
