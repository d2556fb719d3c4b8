from __future__ import annotations

import numpy as np
import pytest
import torch
from factories import prepared_arrays, run_config

from medseg.config.load import dump_config, load_config
from medseg.core.errors import ConfigError
from medseg.data.balance import class_weights, count_class_voxels
from medseg.training.assemble import new_loader
from medseg.training.balance import balance_notes, loss_weights, patch_chances
from medseg.training.distributed import Process

OVERLAPPING = {
    "structures": [{"name": "one", "value": 1}, {"name": "two", "value": 2}],
    "regions": [{"name": "both", "structures": ["one", "two"]}, {"name": "inner", "structures": ["two"]}],
}


@pytest.fixture
def cases():
    """A common structure in four cases, and one of a single voxel in one of them."""
    common = np.zeros((24, 24, 24), np.uint8)
    common[2:10, 2:10, 2:10] = 1
    rare = common.copy()
    rare[20, 20, 20] = 2
    return [prepared_arrays(rare), *(prepared_arrays(common) for _ in range(3))]


def training(**changes):
    return run_config(training={"budget": {"epochs": 1, "steps": 100}, **changes})


def sampling(steps=100, **changes):
    plain = {"patch": (8, 8, 8), "batch": 2, "foreground": 1.0}
    return run_config(
        sampling=plain | changes, augmentation={"enabled": False}, training={"budget": {"epochs": 1, "steps": steps}}
    )


def share_of_the_rare(config, cases):
    """Share of the patches that hold the rare structure, as the loader gives them."""
    loader = new_loader(config, cases, Process(0, 1, torch.device("cpu")))
    loader.set_epoch(0)
    hits = [bool((target == 2).any()) for batch in loader for target in batch.target]
    return sum(hits) / len(hits)


def test_weights_that_are_given_or_not_are_left_alone(cases):
    assert loss_weights(training(), cases) is None
    assert loss_weights(training(class_weights=(1, 2, 3)), cases) == (1, 2, 3)


@pytest.mark.parametrize("rule", ["balanced", "inverse_frequency"])
def test_a_rule_is_counted_on_the_cases(cases, rule):
    config = training(class_weights=rule, class_weight_ratio=4.0)
    found = loss_weights(config, cases)
    assert found == class_weights(rule, count_class_voxels(cases, 2), 4.0)
    assert found[0] < found[1] < found[2]
    assert found[2] / found[0] == pytest.approx(4)


def test_regions_that_overlap_have_no_weight_for_the_background():
    masks = np.zeros((2, 8, 8, 8), np.uint8)
    masks[0, :4], masks[1, :1] = 1, 1
    config = run_config(labels=OVERLAPPING, training={"budget": {"epochs": 1}, "class_weights": "balanced"})
    found = loss_weights(config, [prepared_arrays(masks)])
    assert found == pytest.approx((0.4, 1.6))


def test_the_rare_structure_is_in_as_many_patches_as_the_configuration_says(cases):
    expected = {"structure": 1 / 2, "case": 1 / 8, "voxel": 1 / 2049}
    for balance, share in expected.items():
        config = sampling(balance=balance)
        assert patch_chances(config, cases)[:, 1].sum() == pytest.approx(share)
        assert share_of_the_rare(config, cases) == pytest.approx(share, abs=0.08)
    heavier = sampling(structure_weights={"two": 9})
    assert patch_chances(heavier, cases)[:, 1].sum() == pytest.approx(0.9)
    assert share_of_the_rare(heavier, cases) == pytest.approx(0.9, abs=0.06)


def test_equal_weights_draw_as_none_do(cases):
    plain, same = sampling(steps=4), sampling(steps=4, structure_weights={"one": 1.0})
    np.testing.assert_allclose(patch_chances(plain, cases), patch_chances(same, cases))


def test_what_was_chosen_is_said(cases):
    config = training(class_weights=(0.5, 1, 2))
    assert balance_notes(config, cases, (0.5, 1, 2)) == (
        "patches: 33 % are centred on a structure, and of these on one 50 %, two 50 %",
        "weights in the loss: background 0.5, one 1, two 2",
    )
    assert len(balance_notes(training(), cases, None)) == 1
    heavier = sampling(structure_weights={"two": 3})
    assert balance_notes(heavier, cases, None)[0].endswith("one 25 %, two 75 %")


def test_a_weight_for_what_is_no_structure_is_refused(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(dump_config(sampling(structure_weights={"two": 3})).replace("two: 3", "three: 3"))
    with pytest.raises(ConfigError, match=r"structure_weights names \['three'\]; what can be drawn is one, two"):
        load_config(file)


def test_a_rule_for_weights_is_read_from_a_file(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(dump_config(training(class_weights="balanced")))
    assert load_config(file).training.class_weights == "balanced"
    with pytest.raises(ConfigError, match="class_weights"):
        load_config(file, ["training.class_weights=heavy"])
