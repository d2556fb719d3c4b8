"""Finding the parts of a trained nnU-Net."""

from __future__ import annotations

import numpy as np
import pytest
from factories import geometry

from medseg.core.errors import BundleError, InputError
from medseg.core.volume import LabelMap
from medseg.inference.nnunet_folder import (
    find_model,
    has_pickled_postprocessing,
    postprocessing_file,
    stored_orientation,
)
from medseg.io.formats import write_label_map

FULL, LOW, CASCADE = (
    f"nnUNetTrainer__nnUNetPlans__{name}" for name in ("3d_fullres", "3d_lowres", "3d_cascade_fullres")
)
FILE = "checkpoint_final.pth"


def made(folder, folds=("0",), file=FILE):
    """A model folder of empty files."""
    folder.mkdir(parents=True)
    for name in ("plans.json", "dataset.json"):
        (folder / name).touch()
    for fold in folds:
        (folder / f"fold_{fold}").mkdir()
        (folder / f"fold_{fold}" / file).touch()
    return folder


@pytest.mark.parametrize("place", [FULL, f"results/Dataset001_A/{FULL}", f"a/{FULL}"])
def test_a_model_is_found_at_some_depth(tmp_path, place):
    model = find_model(made(tmp_path / place).parents[len(place.split("/")) - 1], None, None, FILE)
    assert model.path == tmp_path / place
    assert model.checkpoints == (model.path / "fold_0" / FILE,)


def test_one_of_several_is_named(tmp_path):
    made(tmp_path / FULL), made(tmp_path / LOW), made(tmp_path / CASCADE)
    assert find_model(tmp_path, "3d_lowres", None, FILE).path.name == LOW
    with pytest.raises(
        InputError, match=rf"3 trained configurations \({CASCADE}, {FULL}, {LOW}\): name one by --config"
    ):
        find_model(tmp_path, None, None, FILE)
    with pytest.raises(InputError, match="none of them is '2d'; name one by --configuration, or its folder"):
        find_model(tmp_path, "2d", None, FILE)


def test_beside_a_cascade_the_other_one_is_meant(tmp_path):
    made(tmp_path / FULL), made(tmp_path / CASCADE)
    assert find_model(tmp_path, None, None, FILE).path.name == FULL


def test_nothing_is_found(tmp_path):
    (tmp_path / "fold_0").mkdir()
    with pytest.raises(InputError, match="no trained nnU-Net lies there: a model folder holds"):
        find_model(tmp_path, None, None, FILE)


def test_numbered_folds_before_all(tmp_path):
    made(tmp_path / FULL, ("1", "0", "10", "all"))
    assert find_model(tmp_path, None, None, FILE).folds == ("0", "1", "10")
    assert find_model(tmp_path, None, ("all",), FILE).folds == ("all",)
    with pytest.raises(InputError, match=r"fold '3' has a checkpoint_final\.pth; folds with one: 0, 1, 10, all"):
        find_model(tmp_path, None, ("0", "3"), FILE)
    with pytest.raises(InputError, match=r"no fold has a checkpoint_best\.pth; folds with one: none"):
        find_model(tmp_path, None, None, "checkpoint_best.pth")


def test_all_where_there_is_nothing_else(tmp_path):
    assert find_model(made(tmp_path / FULL, ("all",)), None, None, FILE).folds == ("all",)


def test_too_many_folds(tmp_path):
    made(tmp_path / FULL, [str(fold) for fold in range(33)])
    with pytest.raises(BundleError, match="at most 32 members, the model has 33 folds; name some by --fold"):
        find_model(tmp_path, None, None, FILE)


def test_orientations_that_differ_tell_nothing(tmp_path):
    model = find_model(made(tmp_path / FULL), None, None, FILE)
    assert stored_orientation(model) is None
    for name, codes in (("a", "LPS"), ("b", "LPS"), ("c", "RAS")):
        grid = geometry((3, 3, 3), codes=codes)
        labels = LabelMap(np.zeros(grid.shape, np.uint8), grid)
        write_label_map(model.path / "fold_0" / "validation" / f"{name}.nii.gz", labels)
        assert stored_orientation(model) == (None if name == "c" else "LPS")
    (model.path / "fold_0" / "validation" / "c.nii.gz").write_bytes(b"damaged")
    assert stored_orientation(model) is None


def test_where_clean_up_is_looked_for(tmp_path):
    model = find_model(made(tmp_path / FULL, ("0", "1")), None, None, FILE)
    assert postprocessing_file(model) is None
    assert not has_pickled_postprocessing(model)
    others = model.path / "crossval_results_folds_0_1_2"
    others.mkdir()
    (others / "postprocessing.json").touch()
    (others / "postprocessing.pkl").touch()
    assert postprocessing_file(model) is None
    assert has_pickled_postprocessing(model)
    (model.path / "crossval_results_folds_0_1").mkdir()
    (model.path / "crossval_results_folds_0_1" / "postprocessing.json").touch()
    assert postprocessing_file(model) == model.path / "crossval_results_folds_0_1" / "postprocessing.json"
