"""The card of a model on disk."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_factories import dataset, listed
from factories import ball, bundle, run_config
from score_factories import evaluation, score_row

import medseg
from medseg.core.case import CaseId
from medseg.core.errors import BundleError, ConfigError, InputError
from medseg.core.geometry import Geometry
from medseg.core.volume import LabelMap, Volume
from medseg.data.split import Split
from medseg.evaluation.as_json import as_json, json_text
from medseg.evaluation.dice_sheet import validation_sheet
from medseg.evaluation.training_record import TrainingRun, training_record
from medseg.inference.bundle import BundleRecords, read_bundle, write_bundle
from medseg.io.formats import write_label_map, write_volume
from medseg.pipelines.card import model_card, record_training
from medseg.training.finish import ValidationScore

RECORDS = BundleRecords({"train": ["MARKER-a", "MARKER-b"], "validation": ["MARKER-c"], "test": []}, {"validation": []})
MARKERS = {"MARKER", "Zebedeeson", "Quarkington"}


@pytest.fixture
def model(tmp_path) -> Path:
    data = {"folder": "/Quarkington/Zebedeeson"}
    write_bundle(tmp_path / "bundle", bundle(data=data), RECORDS)
    return tmp_path / "bundle"


def scores(folder: Path, names=("one", "two")) -> Path:
    """What `medseg evaluate` leaves."""
    rows = [score_row(f"MARKER{n}", name, 0.8 + n / 100) for n in range(8) for name in names]
    (folder / "report").mkdir()
    (folder / "report" / "scores.json").write_text(json_text(as_json(evaluation(rows, names))))
    return folder / "report"


def test_a_card_is_written_beside_the_weights(model):
    made = medseg.model_card(model)
    assert {path.name for path in model.iterdir()} >= {"card.html", "card.md", "card.yaml"}
    assert (model / "card.md").read_text().startswith("# tiny\n")
    assert made.parameters == (sum(one.numel() for one in read_bundle(model).members[0].network.parameters()),)
    assert "| trained | 2 | \N{EN DASH} |" in (model / "card.md").read_text()


def test_the_owner_part_is_merged_and_outlives_a_new_training(model):
    model_card(model, ["owner=Ann", "license=MIT"])
    made = model_card(model, ["license=CC-BY-4.0"])
    assert (made.owner.owner, made.owner.license) == ("Ann", "CC-BY-4.0")
    write_bundle(model, bundle(), RECORDS)
    assert not (model / "card.md").exists()
    assert model_card(model).owner.owner == "Ann"


def test_an_evaluation_is_kept_without_its_cases(model, tmp_path):
    model_card(model, evaluation=scores(tmp_path))
    text = (model / "card.md").read_text()
    assert "Of 8 cases, scored by medseg evaluate." in text
    assert "MARKER" not in (model / "evaluation.json").read_text()
    assert model_card(model).evaluation.cases == 8
    assert (model / "card.md").read_text() == text


def test_a_card_does_not_change_the_model(model, tmp_path):
    from medseg.batch.work import model_digest

    before = model_digest(model)
    model_card(model, ["owner=Ann"], scores(tmp_path))
    assert model_digest(model) == before


def test_scores_of_other_structures_are_refused(model, tmp_path):
    with pytest.raises(InputError, match="the evaluation is of liver, the model outlines one, two"):
        model_card(model, evaluation=scores(tmp_path, ("liver",)))
    assert not (model / "card.md").exists()


def test_bad_input_leaves_no_card(model, tmp_path):
    with pytest.raises(BundleError, match="is no bundle"):
        model_card(tmp_path)
    shutil.copy(model / "config.yaml", tmp_path)  # as in the folder of a run
    with pytest.raises(BundleError, match=r"is no bundle: it needs config\.yaml and facts\.json"):
        model_card(tmp_path)
    with pytest.raises(ConfigError, match="'x=1' is not of the form key=text"):
        model_card(model, ["x=1"])
    assert not (model / "card.md").exists()


def attributes(number: int) -> dict[str, str]:
    """Of the patient of that number; all but one are of no use to a card."""
    return {
        "sex": "FM"[number % 2],
        "name": f"MARKER {number}",
        "born": f"MARKER{number // 4}",
        "site": "MARKER" if number < 4 else "",
    }


def test_nothing_of_a_person_is_in_a_card(model):
    plain = listed({f"MARKER-case{n}": f"MARKER^Patient{n}" for n in range(24)})
    cases = [replace(one, attributes=attributes(number)) for number, one in enumerate(plain.cases)]
    ids = [one.id for one in cases]
    opened = dataset(plain.folder, cases)
    scores = [ValidationScore(CaseId(case), "one", 0.9) for case in ids[12:]]
    run = TrainingRun(epochs=1, steps=2, seconds=3.0, device="CPU")
    split = Split(tuple(ids[:12]), tuple(ids[12:]), ())
    record_training(model, training_record(opened, split, [run], validation_sheet(scores, opened)))
    text = (model / "card.md").read_text()
    assert "| sex | F (6), M (6) |" in text
    assert "| sex | F | 6 | \N{EN DASH} |" in text
    assert "3 attributes had no other" in text
    for name in ("card.md", "card.html", "card.yaml", "training.json"):
        content = (model / name).read_text()
        assert not [marker for marker in MARKERS if marker in content], name
    assert json.loads((model / "training.json").read_text())["runs"][0]["steps"] == 2


@pytest.fixture
def cohort(tmp_path) -> Path:
    """Twelve patients with a bright ball each; half of them are women, one is called by a marker."""
    grid, rng = Geometry.from_spacing((16, 16, 16)), np.random.default_rng(0)
    rows = ["case,patient,image.CT,label,sex,code"]
    for number in range(12):
        labels = np.zeros(grid.shape, np.uint8)
        labels[ball(grid.shape, rng.uniform(6, 9, 3), 4.0)] = 1
        image = 100.0 * labels + rng.normal(0, 10, grid.shape)
        write_volume(tmp_path / "data" / f"i{number}.nii", Volume(image[None].astype(np.float32), grid))
        write_label_map(tmp_path / "data" / f"l{number}.nii", LabelMap(labels, grid))
        rows.append(f"MARKER{number},MARKER-p{number},i{number}.nii,l{number}.nii,{'FM'[number % 2]},MARKER{number}")
    (tmp_path / "data" / "manifest.csv").write_text("\n".join(rows))
    (tmp_path / "data" / "labels.json").write_text('{"one": 1}')
    return tmp_path / "data" / "manifest.csv"


def trained(manifest: Path, folder: Path, **changes) -> Path:
    data = {"folder": str(manifest), "split": {"validation": 0.17}}
    training = {"budget": {"epochs": 1, "steps": 1}, "precision": "fp32", "tracking": "none"} | changes
    config = run_config(structures=("one",), data=data, channels=[{"name": "CT"}], training=training)
    return medseg.train(config, folder).bundle


def test_every_training_leaves_a_card_with_counts_and_no_names(cohort, tmp_path):
    bundle = trained(cohort, tmp_path / "run")
    text = (bundle / "card.md").read_text()
    assert "| trained | 10 | 10 |" in text
    assert "| sex | F (5), M (5) |" in text
    assert "1 step in 1 epoch" in text
    assert "Of 2 cases that chose the best weights" in text
    assert not (tmp_path / "run" / "tensorboard").exists()
    for name in ("card.md", "card.html", "card.yaml", "training.json"):
        assert "MARKER" not in (bundle / name).read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own imports warn
@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs the extra mlflow")
def test_a_training_gives_its_card_to_mlflow(cohort, tmp_path):
    from mlflow import MlflowClient

    trained(cohort, tmp_path / "run", tracking="mlflow")
    client = MlflowClient(f"sqlite:///{tmp_path / 'run' / 'mlflow' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("medseg").experiment_id])
    assert run.info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"overlay", "card.html", "card.md"}
    assert not (tmp_path / "run" / "tensorboard").exists()
