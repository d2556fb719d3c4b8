from __future__ import annotations

from factories import run_config

from medseg.training.images import image_differences

CT = {"name": "CT", "intensity": "ct", "clip": (-50.0, 200.0), "mean": 60.0, "std": 30.0}


def test_the_same_images_differ_in_nothing():
    config = run_config(preprocessing={"spacing": (1.0, 1.0, 2.0)}, channels=[CT])
    near = run_config(preprocessing={"spacing": (1.03, 1.0, 2.0)}, channels=[CT, {"name": "PET"}])
    assert image_differences(config, config) == image_differences(config, near) == ()


def test_each_difference_is_a_clause():
    there = run_config(preprocessing={"spacing": (1.0, 1.0, 2.0)}, channels=[CT])
    here = run_config(preprocessing={"orientation": "LPS"}, channels=[CT | {"name": "ct", "mean": 0.0}])
    assert image_differences(there, here) == (
        "voxels of 1 x 1 x 2 mm, here any size",
        "axes to RAS, here LPS",
        "ct normalised with other numbers",
    )
