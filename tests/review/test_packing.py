import io
import zipfile

import pytest

from medseg.core.errors import InputError
from medseg.review.packing import packed


def test_files_keep_their_names_and_content(tmp_path):
    (tmp_path / "out" / "inner").mkdir(parents=True)
    (tmp_path / "out" / "a.txt").write_bytes(b"a")
    (tmp_path / "out" / "inner" / "b.bin").write_bytes(bytes(range(256)))
    (tmp_path / "secret").write_bytes(b"outside")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "secret")
    with zipfile.ZipFile(io.BytesIO(packed(tmp_path / "out"))) as archive:
        assert archive.namelist() == ["a.txt", "inner/b.bin"]
        assert archive.read("inner/b.bin") == bytes(range(256))


def test_an_empty_folder_is_an_empty_archive(tmp_path):
    with zipfile.ZipFile(io.BytesIO(packed(tmp_path))) as archive:
        assert archive.namelist() == []


def test_what_is_too_large_is_left_where_it_is(tmp_path):
    (tmp_path / "a").write_bytes(bytes(2 * 2**20))
    with pytest.raises(InputError, match="has 2 MB, of which 1 MB can be taken"):
        packed(tmp_path, most_mb=1)
