"""Any data set becomes a raw folder of nnU-Net's."""

from __future__ import annotations

import json

import pytest
from ball_cases import write_cases

from medseg.core.errors import ConfigError, InputError
from medseg.data.folds import read_folds
from medseg.pipelines.convert_dataset import convert_dataset

PATIENTS = {"c0": "p0", "c1": "p0", "c2": "p1", "c3": "p2"}


def test_folds_keep_patients_together(tmp_path):
    done = convert_dataset(write_cases(tmp_path / "in", PATIENTS), tmp_path / "Dataset001_Balls")
    folds = read_folds(tmp_path / "Dataset001_Balls" / "splits_final.json")
    assert len(folds) == 3
    assert sorted(map(sorted, (validation for _, validation in folds.parts))) == [["c0", "c1"], ["c2"], ["c3"]]
    assert done.notes[0] == "4 cases to train on, 0 in imagesTs"
    assert "folds in splits_final.json: 3; nnU-Net reads it in nnUNet_preprocessed/Dataset001_Balls" in done.notes[1]


def test_one_split_is_one_fold(tmp_path):
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["c0", "c1"], "validation": ["c2"], "test": ["c3"]}))
    convert_dataset(write_cases(tmp_path / "in", PATIENTS), tmp_path / "Dataset001_Balls", split)
    written = json.loads((tmp_path / "Dataset001_Balls" / "splits_final.json").read_text())
    assert written == [{"train": ["c0", "c1"], "val": ["c2"]}]
    assert (tmp_path / "Dataset001_Balls" / "imagesTs" / "c3_0000.nii.gz").exists()


def test_folds_of_a_file_stay(tmp_path):
    file = tmp_path / "folds.json"
    parts = [{"train": ["c2"], "validation": ["c3"]}, {"train": ["c3"], "validation": ["c2"]}]
    file.write_text(json.dumps({"folds": parts, "test": ["c0", "c1"]}))
    done = convert_dataset(write_cases(tmp_path / "in", PATIENTS), tmp_path / "Dataset001_Balls", file)
    folds = read_folds(tmp_path / "Dataset001_Balls" / "splits_final.json")
    assert folds.parts == ((("c2",), ("c3",)), (("c3",), ("c2",)))
    assert (done.written.training, done.written.test) == (2, 2)


def test_one_patient_has_no_folds(tmp_path):
    convert_dataset(write_cases(tmp_path / "in", {"c0": "p", "c1": "p"}), tmp_path / "Dataset001_Balls")
    assert not (tmp_path / "Dataset001_Balls" / "splits_final.json").exists()


def test_what_is_refused(tmp_path):
    source = write_cases(tmp_path / "in", PATIENTS)
    with pytest.raises(InputError, match="nnU-Net wants a folder named DatasetNNN_Name"):
        convert_dataset(source, tmp_path / "out")
    (tmp_path / "Dataset001_There").mkdir()
    with pytest.raises(InputError, match="Dataset001_There' exists; remove it"):
        convert_dataset(source, tmp_path / "Dataset001_There")
    split = tmp_path / "split.json"
    split.write_text(json.dumps({"train": ["c0"], "validation": ["c9"]}))
    with pytest.raises(ConfigError, match="case 'c9' is not in the data set"):
        convert_dataset(source, tmp_path / "Dataset001_Balls", split)
    assert not (tmp_path / "Dataset001_Balls").exists()
