"""``medseg import`` and ``medseg convert --to nnunet`` at the command line."""

from __future__ import annotations

import json

import nnunet_models as models
import numpy as np
from ball_cases import write_cases
from command_line import fails

from medseg.core.geometry import Geometry
from medseg.core.volume import Volume
from medseg.io.formats import read_label_map, write_volume

MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"


def test_a_model_is_imported_and_predicts(medseg, tmp_path):
    models.write_model(tmp_path / MODEL, models.configuration(), folds=(0, 1))
    done = medseg("import", MODEL, "-o", "bundle", "--fold", "1", "--orientation", "LPS")
    assert done.code == 0, done.err
    first, *_, last = done.out.strip().splitlines()
    assert first == f"{MODEL}: 3D unet, folds 1, images mirrored along 3 axes"
    assert last == "the model lies in bundle; next: medseg predict bundle INPUT -o OUT"
    array = np.random.default_rng(0).normal(size=(1, 18, 17, 16)).astype(np.float32)
    write_volume(tmp_path / "a.nii.gz", Volume(array, Geometry.from_spacing((18, 17, 16))))
    assert medseg("predict", "bundle", "a.nii.gz", "-o", "out", "--device", "cpu").code == 0
    assert read_label_map(tmp_path / "out" / "a.nii.gz").array.shape == (18, 17, 16)
    assert medseg("card", "bundle").code == 0


def test_errors_are_one_sentence(medseg, tmp_path):
    models.write_model(tmp_path / MODEL, models.configuration(previous_stage="3d_lowres"))
    fails(medseg("import", MODEL, "-o", "bundle"), "the second stage of a cascade cannot be imported")
    fails(medseg("import", "nowhere", "-o", "bundle"), "'nowhere' does not exist")
    fails(medseg("import", MODEL, "-o", "bundle", "--fold", "0,x"), "fold 'x' has a checkpoint_final.pth")
    fails(medseg("import", MODEL, "-o", "bundle", "--checkpoint", "best"), "no fold has a checkpoint_best.pth")


def test_a_data_set_becomes_nnunets(medseg, tmp_path):
    source = write_cases(tmp_path / "in", {"c0": "p0", "c1": "p1", "c2": "p1"})
    done = medseg("convert", source, "-o", "raw/Dataset007_Balls", "--to", "nnunet")
    assert done.code == 0, done.err
    assert "3 cases to train on, 0 in imagesTs" in done.out
    assert "folds in splits_final.json: 2" in done.out
    again = medseg("convert", "raw/Dataset007_Balls", "-o", "raw/Dataset008_Balls", "--to", "nnunet", "--json")
    assert json.loads(again.out) == {"outputs": ["raw/Dataset008_Balls"], "training": 3, "test": 0}
    fails(
        medseg("convert", source, "-o", "raw/Balls", "--to", "nnunet"), "nnU-Net wants a folder named DatasetNNN_Name"
    )
    fails(medseg("convert", source, "-o", "x", "--to", "nnunet", "--to", "seg"), "goes with no other form")
    fails(medseg("convert", source, "-o", "x.nii", "--split", "s.json"), "--split is for --to nnunet")
