"""A plan that starts from a model which takes files as they lie, as nnU-Net's do."""

from __future__ import annotations

from factories import geometry, run_config

from medseg.config.schemes import label_scheme
from medseg.inference.bundle import Bundle, TrainingFacts, write_bundle
from medseg.inference.network import network_of
from medseg.planning.adopt import adopted, read_model
from medseg.planning.plan import Plan


def test_its_axes_are_taken_over_and_none_is_mirrored(tmp_path):
    preprocessing = {"orientation": "kji", "spacing": (3.0, 1.0, 1.0), "resampling": "nnunet"}
    config = run_config(preprocessing=preprocessing, channels=[{"name": "T1", "nonzero_only": True}])
    facts = TrainingFacts.from_grids(("T1",), [geometry()])
    write_bundle(tmp_path / "m", Bundle.single(config, label_scheme(config.labels), network_of(config, 3), facts))
    plan = Plan(run_config(name="planned", channels=[{"name": "t1"}]), ())
    made = adopted(plan, read_model(tmp_path / "m")).config
    assert (made.preprocessing.orientation, made.preprocessing.resampling) == ("kji", "nnunet")
    assert made.channels[0].nonzero_only
    assert made.augmentation.mirror_axes == ()
