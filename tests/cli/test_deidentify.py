from __future__ import annotations

import json
import re

import pytest
from command_line import fails
from deid_factories import SECRETS, change, files_below, leaks, write_capture, write_study


@pytest.fixture
def key(tmp_path):
    (tmp_path / "project.key").write_text(bytes(range(32)).hex())
    (tmp_path / "project.key").chmod(0o600)
    return tmp_path / "project.key"


@pytest.fixture
def clean(medseg, key):
    return lambda *arguments: medseg("deidentify", *arguments, "--key", key)


def test_every_option_states_its_default(medseg):
    done = medseg("deidentify", "--help")
    options = re.split(r"\n  (?=-)", done.out.partition("Options:")[2])
    assert len(options) > 14
    assert all("default:" in " ".join(option.split()) for option in options[1:-1])


def test_a_folder_becomes_a_folder_that_names_nobody(clean, tmp_path):
    write_study(tmp_path / "in")
    done = clean("in", "-o", "out")
    assert done.code == 0, done.err
    assert "released" in done.out
    assert "report: out/deid_report.html" in done.out
    assert leaks(tmp_path / "out") == set()
    assert not any(secret in done.out + done.err for secret in SECRETS)


def test_what_is_held_back_is_exit_code_one_and_says_what_to_do(clean, tmp_path):
    paths = write_study(tmp_path / "in")
    change(paths[0], SeriesInstanceUID="")
    done = clean("in", "-o", "out", "--json")
    assert done.code == 1
    rows = {row["files"]: row for row in json.loads(done.out)}
    assert (rows["released"]["count"], rows["quarantined"]["count"]) == (1, 1)
    assert "out-quarantine" in done.err
    assert "--accept FILE" in done.err
    assert not any(secret in done.out + done.err for secret in SECRETS)


def test_a_second_run_does_nothing_twice(clean, tmp_path):
    write_study(tmp_path / "in")
    clean("in", "-o", "out")
    done = clean("in", "-o", "out")
    assert done.code == 0
    assert "1 unchanged since the last run" in done.out


def test_return_mode_is_said_in_words(clean, tmp_path):
    write_study(tmp_path / "in")
    done = clean("in", "-o", "out", "--mode", "return")
    assert done.code == 0
    assert "the objects still name the patient and may not leave the house" in done.err
    assert json.loads((tmp_path / "out" / "deid_report.json").read_text())["mode"] == "return"


def test_attributes_are_kept_in_the_manifest_on_request_only(clean, tmp_path):
    write_study(tmp_path / "in", PatientSex="F")
    clean("in", "-o", "out", "--keep", "sex", "--keep", "age_band")
    assert "modality,sex,age_band" in (tmp_path / "out" / "manifest.csv").read_text()
    clean("in", "-o", "plain", "--profile", "research")
    assert "sex" not in (tmp_path / "plain" / "manifest.csv").read_text()


@pytest.mark.parametrize("output", [(), ("-o", "out")])
def test_a_dry_run_is_a_table_and_writes_nothing(clean, tmp_path, output):
    write_study(tmp_path / "in")
    before = files_below(tmp_path)
    done = clean("in", "--dry-run", "--json", *output)
    assert done.code == 0
    rows = {row["attribute"]: row for row in json.loads(done.out)}
    wanted = {"tag": "(0010,0010)", "attribute": "PatientName", "action": "replaced by a pseudonym", "files": 2}
    assert rows["PatientName"] == wanted
    assert files_below(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_a_folder_that_somebody_else_cleaned_is_audited(clean, tmp_path):
    write_study(tmp_path / "in")
    done = clean("in", "--check")
    assert done.code == 1
    assert not any(secret in done.out + done.err for secret in SECRETS)
    clean("in", "-o", "out")
    done = clean("out", "--check")
    assert done.code == 0, done.out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("in",), ("name the folder for the results by -o", "--dry-run")),
        (("in", "-o", "in/out"), ("input and output lie in each other",)),
        (("nowhere", "-o", "out"), ("'nowhere' does not exist",)),
        (("in", "-o", "out", "--profile", "reserch"), ("no profile 'reserch'", "basic, research, teaching")),
        (("in", "-o", "documents"), ("'documents' holds files that `medseg deidentify` did not write", "new folder")),
        (("empty", "-o", "out"), ("'empty' holds no DICOM object",)),
        (("in", "-o", "out", "--lookup", "table"), ("--broker-key",)),
        (("in", "-o", "out", "--accept", "names.txt"), ("'names.txt', line 1", "copy names such as series-")),
        (("in", "-o", "out", "--check"), ("--check writes nothing", "leave -o away")),
        (("in", "--dry-run", "--check"), ("two different jobs",)),
        (("in", "-o", "documents/thesis.txt"), ("is a file",)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_input_is_one_sentence_and_leaves_nothing(clean, tmp_path, arguments, parts):
    write_study(tmp_path / "in")
    (tmp_path / "empty").mkdir()
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("x")
    (tmp_path / "names.txt").write_text(SECRETS[0])
    before = files_below(tmp_path)
    fails(clean(*arguments), *parts)
    assert files_below(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_a_key_that_others_may_read_is_refused(medseg, tmp_path, key):
    write_study(tmp_path / "in")
    key.chmod(0o644)
    fails(medseg("deidentify", "in", "-o", "out", "--key", key), "chmod 600")


def test_workers_are_processes_and_change_nothing(clean, tmp_path):
    for number in "12":
        write_study(tmp_path / "in" / number, number)
    write_capture(tmp_path / "in")
    one, two = clean("in", "-o", "one"), clean("in", "-o", "two", "--workers", "2")
    assert one.code == two.code
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")
