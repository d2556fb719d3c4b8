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
    # printf 'uid\0001.2.3' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f, its first 12 bytes
    number = int(KEY.uid("1.2.3").removeprefix("2.25."))
    assert f"{number >> 32:024x}" == "f327c820c0f135c32ff671c5"


@given(st.text())
def test_what_was_replaced_is_left_alone_and_another_key_replaces_it(text):
    other = ProjectKey(bytes(32))
    once = (KEY.uid(text), KEY.name("series", text), KEY.patient("", text), KEY.accession(text))
    again = (KEY.uid(once[0]), KEY.name("series", once[1]), KEY.patient("elsewhere", once[2]), KEY.accession(once[3]))
    assert once == again
    assert KEY.made_uid(once[0])
    assert not other.made_uid(once[0])
    assert other.uid(once[0]) != once[0]
    assert other.patient("", once[2]) != once[2]
    assert other.accession(once[3]) != once[3]


@given(st.integers(min_value=0, max_value=2**128 + 5))
def test_no_other_uid_passes_for_a_pseudonym(number):
    assert not KEY.made_uid(f"2.25.{number}")
    assert not KEY.made_uid(f"2.25.0{KEY.uid('1.2').removeprefix('2.25.')}")


@pytest.mark.parametrize("name", ["", "patient-", "patient-0123456789abcdef", "Patient-0123456789ABCDEF", "x" * 40])
def test_no_other_name_passes_for_a_pseudonym(name):
    assert not KEY.made_name(name)


def test_issuers_tell_patients_apart():
    assert KEY.patient("A", "1") != KEY.patient("B", "1")
    assert KEY.patient("A", "1") == KEY.patient("A", "1")


def test_an_accession_number_fits_its_representation():
    assert len(KEY.accession("ACX123")) == 16


def test_dates_move_back_by_one_to_ten_years_the_same_for_a_patient():
    shifts = {KEY.days(KEY.patient("", str(number))) for number in range(500)}
    assert min(shifts) >= -3650
    assert max(shifts) <= -365
    assert len(shifts) > 400
    assert KEY.days("patient-1") == KEY.days("patient-1")


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
    path.chmod(0o600)
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


def test_a_key_that_others_may_read_is_refused(tmp_path):
    path = tmp_path / "project.key"
    load_key(path)
    path.chmod(0o640)
    with pytest.raises(InputError, match="chmod 600"):
        load_key(path)


def test_a_key_among_the_results_is_refused_and_not_made(tmp_path):
    with pytest.raises(InputError, match="may not lie in the output folder"):
        load_key(tmp_path / "out" / "project.key", outside=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
