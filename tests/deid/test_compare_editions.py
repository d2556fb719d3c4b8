"""The script that shows what a new edition of the tables changes."""

import copy
import importlib.util
import json
from importlib.resources import files
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_editions.py"
OLD = {
    "rules": [
        {"tag": "00100010", "name": "Patient's Name", "basic": "Z", "options": {}},
        {"tag": "00080090", "name": "Referring Physician's Name", "basic": "Z", "options": {}},
        {"tag": "00080020", "name": "Study Date", "basic": "Z", "options": {"retain_longitudinal_full_dates": "K"}},
    ],
    "content_items": [
        {"scheme": "DCM", "code": "121030", "meaning": "Subject ID", "value_type": "TEXT", "basic": "X", "options": {}}
    ],
    "cid_7050": {"basic": {"code": "113100", "scheme": "DCM", "meaning": "Basic Profile"}},
}


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("compare_editions", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def new_edition():
    new = copy.deepcopy(OLD)
    new["rules"][0] = {"tag": "00100010", "name": "Patient Name", "basic": "Z/D", "options": {"clean_descriptors": "C"}}
    new["rules"][1]["tag"] = "00080091"
    new["content_items"][0]["basic"] = "D"
    new["cid_7050"]["basic"]["code"] = "113199"
    return new


def test_every_kind_of_difference_has_its_line(script):
    assert script.differences(OLD, new_edition()) == [
        "removed  00080090  Referring Physician's Name: basic Z",
        "added  00080091  Referring Physician's Name: basic Z",
        'changed  00100010  Patient Name: basic Z -> Z/D, clean_descriptors none -> C, was "Patient\'s Name"',
        "changed  DCM 121030 TEXT  Subject ID: basic X -> D",
        "changed  CID 7050 basic  Basic Profile: code 113100 -> 113199",
    ]


def test_command_prints_the_differences(script, tmp_path, capsys):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    old.write_text(json.dumps(OLD))
    new.write_text(json.dumps(new_edition()))
    assert script.main([str(old), str(new)]) == 1
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_one_edition_does_not_differ_from_itself(script, capsys):
    path = str(files("medseg.deid").joinpath("data/ps3_15_e1_1.json"))
    assert script.main([path, path]) == 0
    assert capsys.readouterr().out == "no differences\n"
