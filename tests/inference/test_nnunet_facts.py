"""What an nnU-Net's training images were like."""

from __future__ import annotations

import json

import nnunet_models as models
import pytest

from medseg.core.errors import BundleError
from medseg.inference.nnunet_config import NnunetModel
from medseg.inference.nnunet_facts import training_facts
from medseg.inference.nnunet_plans import DatasetDescription, Plans


def model(stored, **changes):
    document = Plans.model_validate(models.plans({"c": models.configuration()}, **changes))
    return NnunetModel(
        document, document.configuration("c"), DatasetDescription.model_validate(models.description()), stored
    )


def fingerprint(folder, **changes):
    content = {
        "spacings": [[5.0, 0.7, 0.8], [4.0, 0.9, 0.6]],
        "shapes_after_crop": [[20, 400, 300], [30, 300, 500]],
        "foreground_intensity_properties_per_channel": {},
    }
    (folder / "dataset_fingerprint.json").write_text(json.dumps(content | changes))


def test_the_fingerprint_tells_of_all_images(tmp_path):
    fingerprint(tmp_path)
    facts = training_facts(model("LPS"), tmp_path, ["CT"])
    assert facts.modalities == ("CT",)
    assert facts.spacing_min == pytest.approx((0.6, 0.7, 4.0))
    assert facts.spacing_max == pytest.approx((0.8, 0.9, 5.0))
    assert facts.extent_min_mm == pytest.approx((240.0, 270.0, 100.0))
    assert facts.extent_max_mm == pytest.approx((300.0, 280.0, 120.0))


def test_without_an_orientation_all_axes_are_alike(tmp_path):
    fingerprint(tmp_path)
    facts = training_facts(model("ijk"), tmp_path, ["CT"])
    assert facts.spacing_min == pytest.approx((0.6, 0.6, 0.6))
    assert facts.extent_max_mm == pytest.approx((300.0, 300.0, 300.0))


def test_plans_tell_the_medians(tmp_path):
    transposed = model("RAS", transpose_forward=[2, 0, 1])
    facts = training_facts(transposed, tmp_path, ["MRI"])
    # After transposing x, z, y: spacing 3, 1, 1 and shape 10, 40, 40.
    assert facts.spacing_min == pytest.approx((1.5, 0.5, 0.5))
    assert facts.spacing_max == pytest.approx((6.0, 2.0, 2.0))
    assert facts.extent_max_mm == pytest.approx((60.0, 80.0, 80.0))


def test_a_fingerprint_that_is_damaged(tmp_path):
    fingerprint(tmp_path, spacings=[[0, 1, 1]])
    with pytest.raises(BundleError, match="fingerprint cannot be read: .* should be greater than 0"):
        training_facts(model("LPS"), tmp_path, ["CT"])
