"""nnU-Net's plans in medseg's words, and what medseg has no words for."""

from __future__ import annotations

import nnunet_models as models
import pytest

from medseg.config.load import dump_config, parse_config
from medseg.config.sections import Intensity, PostprocessingSection
from medseg.core.errors import BundleError
from medseg.inference.nnunet_config import NnunetModel, label_scheme_of, model_config, network_axes
from medseg.inference.nnunet_plans import DatasetDescription, Plans
from medseg.inference.nnunet_weights import Checkpoint

CHECKPOINT = Checkpoint({}, "c", "nnUNetTrainer", (0, 2), 250)


def description(**changes):
    return DatasetDescription.model_validate(models.description(**changes))


def config_of(plan, described=None, stored="ijk", checkpoint=CHECKPOINT, **changes):
    document = Plans.model_validate(models.plans({"c": plan}, **changes))
    model = NnunetModel(document, document.configuration("c"), described or description(), stored)
    return model_config(model, checkpoint, PostprocessingSection())


def changed_network(**changes):
    plan = models.configuration()
    plan["architecture"]["arch_kwargs"] = plan["architecture"]["arch_kwargs"] | changes
    return plan


@pytest.mark.parametrize(
    ("stored", "transpose", "dims", "axes"),
    [
        ("ijk", (0, 1, 2), 3, "kji"),
        ("ijk", (2, 0, 1), 3, "ikj"),
        ("LPS", (0, 1, 2), 3, "SPL"),
        ("ijk", (0, 1, 2), 2, "jik"),
        ("LPS", (1, 0, 2), 2, "SLP"),
    ],
)
def test_axes(stored, transpose, dims, axes):
    assert network_axes(stored, transpose, dims) == axes


def test_axes_that_are_none():
    with pytest.raises(BundleError, match=r"transpose_forward is \[0, 0, 2\], which does not name each axis once"):
        network_axes("ijk", (0, 0, 2), 3)


def test_a_configuration_says_what_nnunet_does():
    config = config_of(models.configuration(spacing=[2.5, 0.8, 0.7], patch_size=[8, 32, 64], batch_size=3))
    made = config.preprocessing
    assert (made.orientation, made.spacing, made.resample_slices) == ("kji", (2.5, 0.8, 0.7), True)
    assert (made.crop, made.resampling) == ("nonzero", "nnunet")
    assert (config.sampling.patch, config.sampling.batch) == ((8, 32, 64), 3)
    assert (config.inference.mirror, config.inference.average, config.augmentation.mirror_axes) == (
        True,
        "logits",
        (0, 2),
    )
    assert (config.training.budget.epochs, config.training.optimizer.name) == (250, "sgd")
    assert config.name == "Dataset001_Small c"
    assert parse_config(dump_config(config), "config.yaml") == config


def test_slices():
    config = config_of(models.configuration(2, spacing=[0.8, 0.7], patch_size=[32, 64]))
    assert config.network.dims == 2
    assert config.sampling.patch == (32, 64, 1)
    assert (config.preprocessing.spacing, config.preprocessing.resample_slices) == ((0.8, 0.7, 3.0), False)


def test_channels_and_their_intensities():
    schemes = ["CTNormalization", "ZScoreNormalization", "NoNormalization"]
    plan = models.configuration(channels=3, normalization_schemes=schemes, use_mask_for_norm=[True, True, True])
    ct, zscore, none = config_of(plan, description(channels=("CT", "other", "other"))).channels
    assert (ct.name, ct.intensity, ct.clip, ct.mean, ct.std) == ("CT", Intensity.CT, (-50.0, 150.0), 40.0, 20.0)
    assert (zscore.name, zscore.intensity, zscore.nonzero_only) == ("other 1", Intensity.ZSCORE, True)
    assert (none.name, none.intensity, none.nonzero_only) == ("other 2", Intensity.NONE, False)


def test_mirroring_of_no_axis_is_none():
    config = config_of(models.configuration(), checkpoint=Checkpoint({}, "c", "nnUNetTrainerNoMirroring", (), 1000))
    assert not config.inference.mirror
    assert config.augmentation.mirror_axes == ()


def test_labels_in_the_order_of_the_outputs():
    scheme = label_scheme_of(description(labels={"background": 0, "b": 2, "a": [1], "ignore": 3}))
    assert scheme.names == ("a", "b")
    assert scheme.values == (1, 2)
    assert (scheme.ignore, scheme.is_exclusive) == (3, True)


def test_regions_in_the_order_of_the_outputs():
    labels = {"background": 0, "whole": [1, 2, 3], "enhancing": 3, "core": [2, 3]}
    scheme = label_scheme_of(description(labels=labels))
    assert scheme.targets == ("whole", "enhancing", "core")
    assert not scheme.is_exclusive


@pytest.mark.parametrize("labels", [{"background": 0, "a": 1, "b": 3}, {"background": 0, "a": 2}])
def test_labels_with_gaps(labels):
    with pytest.raises(BundleError, match="nnU-Net numbers them from 1 without a gap"):
        label_scheme_of(description(labels=labels))
    with pytest.raises(BundleError, match=r"dataset\.json: .* at least one structure"):
        label_scheme_of(description(labels={"background": 0}))


REFUSED = {
    "cascade": (models.configuration(previous_stage="3d_lowres"), "second stage of a cascade cannot be imported"),
    "preprocessor": (models.configuration(preprocessor_name="Mine"), "'Mine' is code of its makers"),
    "normalisation": (models.configuration(normalization_schemes=["Mine"]), "normalisation 'Mine' is not known"),
    "channels": (models.configuration(channels=2), "different numbers of channels"),
    "resampling": (models.configuration(resampling_fn_data="resample_torch"), "data is resampled by 'resample_torch'"),
    "order": (
        models.configuration(resampling_fn_probabilities_kwargs={"is_seg": False, "order": 3}),
        "probabilities is resampled by .* 'order': 3",
    ),
    "axes": (models.configuration(spacing=[1.0, 1.0]), "spacing and patch_size have different numbers of axes"),
    "network": (
        models.configuration(architecture={"network_class_name": "a.b.Primus", "arch_kwargs": {}}),
        "network is a Primus; those that can be taken over are PlainConvUNet and ResidualEncoderUNet",
    ),
    "norm": (changed_network(norm_op="torch.nn.BatchNorm3d"), "norm_op is BatchNorm3d, only InstanceNorm3d is known"),
    "eps": (changed_network(norm_op_kwargs={"eps": 1e-3, "affine": True}), "norm_op_kwargs is"),
    "slope": (changed_network(nonlin_kwargs={"negative_slope": 0.2}), "nonlin_kwargs is 0.2, only 0.01 is known"),
    "unknown": (changed_network(nonlin_first=True), "architecture: nonlin_first: extra inputs are not permitted"),
    "dropout": (changed_network(dropout_op="torch.nn.Dropout3d"), "dropout_op: input should be none"),
    "levels": (changed_network(n_conv_per_stage=[2, 3, 2]), "n_conv_per_stage differs from level to level"),
    "up": (changed_network(n_conv_per_stage_decoder=[1, 1]), "more convolutions on the way down than up"),
    "down": (changed_network(n_conv_per_stage=None), "numbers of convolutions or blocks of the levels are missing"),
    "strides": (changed_network(strides=[[2, 2, 2]] * 3), "the first level's stride is all ones"),
    "huge": (changed_network(features_per_stage=[10**9] * 3), "features_per_stage.0: input should be less than"),
    "patch": (models.configuration(patch_size=[15, 16, 16]), "does not fit the network's strides"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_medseg_does_not_do_is_refused(why):
    plan, message = REFUSED[why]
    with pytest.raises(BundleError, match=message):
        config_of(plan)


def test_a_label_manager_of_ones_own():
    with pytest.raises(BundleError, match="'Mine' is code of its makers"):
        config_of(models.configuration(), label_manager="Mine")


def test_ct_without_its_numbers():
    with pytest.raises(BundleError, match="channel 'MRI' is normalised as CT, and its intensities are missing"):
        config_of(
            models.configuration(normalization_schemes=["CTNormalization"]),
            foreground_intensity_properties_per_channel={},
        )
