from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from command_line import fails
from factories import geometry
from review_places import ANNA, BERT, CASE, KEY, Place, new_version, record

from medseg.core.volume import LabelMap
from medseg.review.records import Act
from medseg.review.vault import Vault


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "project.key"
    path.write_text(KEY.secret.hex())
    path.chmod(0o600)
    return path


@pytest.fixture
def place(tmp_path, key):
    """A review folder of six entries whose labels are in the vault."""
    made = Place(tmp_path / "review")
    with made.open() as store:
        vault = Vault(made.folder)
        labels = [LabelMap(np.full((2, 2, 2), value, np.uint8), geometry((2, 2, 2))) for value in (1, 2)]
        digests = [vault.put(one) for one in labels]
        store.add_case(record(), ANNA)
        store.add_version(new_version(sha256=digests[0]), ANNA)
        store.add_version(new_version(0, digests[1]), ANNA)
        store.log(Act.OPENED, BERT, CASE)
        store.log(Act.EXPORTED, BERT, None, {"form": "seg", "cases": 2})
        store.log(Act.SIGNED_IN, ANNA)
    return made


def test_a_log_that_is_sound_is_exit_code_0(medseg, place, key):
    done = medseg("review", "verify", "review", "--key", key)
    assert (done.code, done.out) == (0, "6 entries, all as they were written\n")
    done = medseg("review", "verify", "--key", key, "--json")
    assert json.loads(done.out) == {"entries": 6, "first_broken": None, "reason": "", "labels": []}


def test_tampering_is_exit_code_1_and_names_the_entry(medseg, place, key):
    place.attack("UPDATE review_audit SET who = 'carl' WHERE number = 4")
    done = medseg("review", "verify", "review", "--key", key)
    assert (done.code, done.err) == (1, "")
    assert done.out.startswith("6 entries, entry 4 was changed, moved or put in")
    done = medseg("review", "verify", "review", "--key", key, "--json")
    assert (done.code, json.loads(done.out)["first_broken"]) == (1, 4)


def test_outlines_that_were_changed_are_exit_code_1(medseg, place, key):
    with place.read() as store:
        paths = [Vault(place.folder)._path(version.sha256) for version in store.versions()]
    paths[0].unlink()
    paths[1].write_bytes(b"other outlines")
    done = medseg("review", "verify", "review", "--key", key)
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0] == "6 entries, all as they were written"
    assert lines[1].startswith(f"case {CASE}, version 0: the vault lacks these outlines")
    assert lines[2].startswith(f"case {CASE}, version 1: outlines in the vault are damaged")
    assert medseg("review", "verify", "review", "--key", key, "--no-labels").code == 0
    done = medseg("review", "verify", "review", "--key", key, "--json")
    assert [one["version"] for one in json.loads(done.out)["labels"]] == [0, 1]


def test_a_configuration_names_folder_and_key(medseg, place, key, tmp_path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "app.yaml").write_text("folder: ../review\nkey: ../project.key\n")
    done = medseg("review", "verify", "etc/app.yaml")
    assert (done.code, done.out) == (0, "6 entries, all as they were written\n")


def test_another_key_is_told(medseg, place, tmp_path):
    other = tmp_path / "other.key"
    other.write_text("00" * 32)
    other.chmod(0o600)
    done = medseg("review", "verify", "review", "--key", other)
    assert done.code == 1
    assert "or another project key wrote it" in done.out


@pytest.mark.parametrize("command", ["verify", "log"])
@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("nowhere",), ["'nowhere' does not exist"]),
        (("empty",), ["holds no review.sqlite, so nothing was reviewed there"]),
        (("review", "--key", "nowhere"), ["there is no project key", "by --key"]),
        (("bad.yaml",), ["bad.yaml: foldr: there is no such key"]),
    ],
)
def test_wrong_input_is_exit_code_2_and_makes_nothing(medseg, place, key, tmp_path, command, arguments, parts):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.yaml").write_text("foldr: review")
    if "--key" not in arguments:
        arguments = (*arguments, "--key", key)
    before = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    fails(medseg("review", command, *arguments), *parts)
    assert {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} == before


def test_without_sqlalchemy_it_says_what_to_install(medseg, place, key, monkeypatch):
    monkeypatch.setitem(sys.modules, "medseg.review.store", None)
    fails(medseg("review", "verify", "--key", key), "needs SQLAlchemy; run `pip install 'medseg[app]'`")


def test_the_log_is_listed(medseg, place, key):
    rows = json.loads(medseg("review", "log", "--key", key, "--json").out)
    assert [row["act"] for row in rows] == ["case seen", "saved", "saved", "opened", "exported", "signed in"]
    assert rows[4] | {"when": ""} == {
        "entry": 5, "when": "", "who": BERT.name, "role": "senior", "act": "exported", "case": None,
        "details": {"form": "seg", "cases": 2},
    }  # fmt: skip
    assert rows[4]["when"].endswith("+00:00")
    rows = json.loads(medseg("review", "log", "--key", key, "--case", CASE, "--json").out)
    assert [row["entry"] for row in rows] == [1, 2, 3, 4]
    table = medseg("review", "log", "--key", key).out
    assert "cases 2; form seg" in " ".join(table.split())


def test_a_log_that_was_tampered_with_is_listed_with_a_warning(medseg, place, key):
    place.attack(
        "UPDATE review_audit SET made = 'never', details = '[1' WHERE number = 2",
        "UPDATE review_audit SET who = '[red]carl' WHERE number = 3",
    )
    done = medseg("review", "log", "--key", key)
    assert done.code == 0
    assert "[red]carl" in done.out
    assert "never" in done.out
    assert "not as it was written: entry 2 was changed" in done.err


def test_every_option_states_its_default(medseg):
    for command in ("verify", "log"):
        done = medseg("review", command, "--help")
        options = done.out.partition("Options:")[2].split("\n  -")
        assert all("default:" in " ".join(option.split()) for option in options[1:-1])
