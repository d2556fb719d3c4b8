from __future__ import annotations

import errno
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medseg.core.errors import InputError
from medseg.core.pseudonyms import ProjectKey, load_key

KEY = ProjectKey(bytes(range(32)))


def test_a_pseudonym_is_hmac_sha256():
    # printf 'uid\0001.2.3' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f, its first 16 bytes
    assert KEY.uid("1.2.3") == f"2.25.{int('f327c820c0f135c32ff671c51d701a74', 16)}"


@given(st.text(alphabet="0123456789.", min_size=1, max_size=64))
def test_a_uid_stays_a_uid(uid):
    pseudonym = KEY.uid(uid)
    assert pseudonym.startswith("2.25.")
    assert len(pseudonym) <= 64
    assert pseudonym != uid


def test_the_same_key_gives_the_same_name_and_another_key_another():
    other = ProjectKey(bytes(32))
    assert KEY.name("series", "1.2.3") == KEY.name("series", "1.2.3")
    assert KEY.name("series", "1.2.3") != other.name("series", "1.2.3")
    assert KEY.name("series", "1.2.3") != KEY.name("study", "1.2.3")
    assert KEY.fingerprint != other.fingerprint


def test_the_secret_is_never_shown():
    assert "secret" not in repr(KEY)
    assert bytes(range(32)).hex() not in repr(KEY)


def test_a_key_is_made_once_and_only_for_its_owner(tmp_path):
    path = tmp_path / "config" / "project.key"
    first = load_key(path)
    assert load_key(path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["project.key"]


@pytest.mark.parametrize("content", ["", "xyz", "00" * 31])
def test_a_file_that_holds_no_key_is_refused(tmp_path, content):
    path = tmp_path / "project.key"
    path.write_text(content)
    with pytest.raises(InputError, match="hexadecimal"):
        load_key(path)


def test_a_key_that_cannot_be_kept_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make a project key"):
        load_key(tmp_path / "file" / "project.key")


def test_a_key_that_cannot_be_kept_leaves_no_part_of_it(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("medseg.core.pseudonyms.os.link", full)
    with pytest.raises(InputError, match="No space left"):
        load_key(tmp_path / "project.key")
    assert list(tmp_path.iterdir()) == []
