from __future__ import annotations

import pytest

from medseg.core.errors import InputError
from medseg.core.pseudonyms import ProjectKey
from medseg.deid.accepted import read_accepted

KEY = ProjectKey(b"k" * 32)
SERIES, INSTANCE, STUDY, PICTURE, IMAGE = (
    KEY.name(kind, "1.2") for kind in ("series", "instance", "study", "picture", "image")
)


def test_names_one_a_line_with_comments(tmp_path):
    (tmp_path / "ok.txt").write_text(f"# looked at today\n\n{SERIES}  # all of it\n{INSTANCE}.dcm\n{PICTURE}.png\n")
    assert read_accepted(tmp_path / "ok.txt", KEY) == {SERIES, INSTANCE, PICTURE}


@pytest.mark.parametrize("line", [STUDY, IMAGE, "series-0123456789abcdef", "1.2.840.1", "doe.dcm"])
def test_a_line_that_would_accept_nothing(tmp_path, line):
    (tmp_path / "ok.txt").write_text(f"{SERIES}\n{line}\n")
    with pytest.raises(InputError, match=r"'ok.txt', line 2: no name of a series or instance") as error:
        read_accepted(tmp_path / "ok.txt", KEY)
    assert line not in str(error.value).replace("series-0123456789abcdef from the", "")


def test_files_that_are_no_list(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="does not exist"):
        read_accepted(tmp_path / "nowhere", KEY)
    with pytest.raises(InputError, match="cannot be read as text"):
        read_accepted(tmp_path, KEY)
    (tmp_path / "film").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="cannot be read as text"):
        read_accepted(tmp_path / "film", KEY)
    monkeypatch.setattr("medseg.deid.accepted._LARGEST", 1)
    with pytest.raises(InputError, match="too large"):
        read_accepted(tmp_path / "film", KEY)
