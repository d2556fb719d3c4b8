from __future__ import annotations

import importlib.util
import json

import pytest
import yaml
from batch_studies import KEY, write_key
from case_factories import SENIOR, folder_source
from command_line import fails

from medseg.config.load import load_review_config
from medseg.core.pseudonyms import load_key
from medseg.io.formats import read_label_map
from medseg.review.first_version import prediction_version
from medseg.review.open_case import open_case
from medseg.review.records import Decision, Verdict
from medseg.review.sources import find_cases
from medseg.review.store import open_store
from medseg.review.vault import Vault


@pytest.fixture
def accepted(tmp_path):
    """A configuration with two cases, of which one is accepted; its name and prediction."""
    folder_source(tmp_path / "data")
    write_key(tmp_path / "project.key")
    source = {
        "kind": "folder",
        "images": "data/images",
        "predictions": "data/predictions",
        "labels": "data/labels.json",
    }
    path = tmp_path / "review.yaml"
    path.write_text(yaml.safe_dump({"folder": "reviews", "key": "project.key", "sources": [source]}))
    config = load_review_config(path)
    files = find_cases(config, load_key(config.key))[0]
    with open_store(config.folder, KEY) as store:
        case = open_case(files)
        store.add_case(files.record, SENIOR)
        version = prediction_version(store, Vault(config.folder), case, SENIOR)
        store.decide(Decision(files.name, version.number, SENIOR.name, Verdict.ACCEPTED, 1.7e9), SENIOR)
    return config, files.name, case.prediction.labels


def test_accepted_cases_are_exported_and_the_others_say_why(medseg, accepted):
    config, name, labels = accepted
    done = medseg("review", "export", "review.yaml", "--json")
    assert done.code == 0
    rows = {row["case"]: row["export"] for row in json.loads(done.out)}
    assert len(rows) == 2
    assert [why for case, why in rows.items() if case != name] == ["its status is new"]
    found = read_label_map(config.folder / "exports" / rows[name] / "labels.nii.gz")
    assert (found.array == labels.array).all()


@pytest.mark.parametrize("arguments", [("export", "review.yaml"), ("training-set", "review.yaml", "-o", "new")])
def test_without_sqlalchemy_it_says_what_to_install(medseg, monkeypatch, arguments):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sqlalchemy" else find(name))
    fails(medseg("review", *arguments), "needs SQLAlchemy; run `pip install 'medseg[app]'`")


def test_a_case_that_cannot_be_exported_is_exit_code_1(medseg, accepted):
    _, name, _ = accepted
    done = medseg("review", "export", "review.yaml", "--write", "seg", "--json")
    assert done.code == 1
    assert "is no DICOM series" in {row["case"]: row["export"] for row in json.loads(done.out)}[name]


def test_accepted_cases_become_a_training_set(medseg, accepted):
    done = medseg("review", "training-set", "review.yaml", "-o", "set")
    assert done.code == 0
    assert "1 cases; 1 left out" in done.out
    assert medseg("inspect", "set/manifest.json").code == 0
    fails(medseg("review", "training-set", "review.yaml", "-o", "set"), "is there already")
