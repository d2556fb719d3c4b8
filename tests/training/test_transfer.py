from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from factories import bundle, run_config
from monai_bundles import monai_bundle, segresnet

from medseg.config.schemes import label_scheme
from medseg.config.sections import RunConfig
from medseg.core.errors import BundleError
from medseg.inference.bundle import BundleRecords, output_channels, write_bundle
from medseg.inference.network import network_of
from medseg.inference.starting_weights import StartingWeights, input_names, output_names, read_starting_weights
from medseg.training.transfer import TransferReport, ends_of, transfer_weights

RECORDS = BundleRecords({}, {})
HEADS = {"heads.0.weight", "heads.0.bias"}
FIRST = "encoder.0.0.weight"


def channels(*names, optional=()) -> dict[str, object]:
    return {"channels": [{"name": name, "optional": name in optional} for name in names]}


def network(features=(4, 8), kernel=3, name="unet", dims=3) -> dict[str, object]:
    steps = ((1,) * dims, *((2,) * dims for _ in features[1:]))
    tree = {
        "name": name,
        "dims": dims,
        "features": features,
        "strides": steps,
        "kernels": ((kernel,) * dims,) * len(steps),
    }
    return {"network": tree}


def labels(*names, regions=()) -> dict[str, object]:
    structures = [{"name": name, "value": value} for value, name in enumerate(names, start=1)]
    return {"labels": {"structures": structures, "regions": list(regions)}}


def built(config: RunConfig) -> torch.nn.Module:
    torch.manual_seed(7)
    return network_of(config, output_channels(label_scheme(config.labels))).eval()


def start_of(config: RunConfig) -> tuple[torch.nn.Module, StartingWeights]:
    torch.manual_seed(3)
    scheme = label_scheme(config.labels)
    trained = network_of(config, output_channels(scheme)).eval()
    names = input_names(config), output_names(scheme)
    return trained, StartingWeights("model 'm'", config.network.name, trained.state_dict(), *names, config)


def transferred(source: RunConfig, target: RunConfig) -> tuple[torch.nn.Module, torch.nn.Module, TransferReport]:
    """The model's network, the one that started from it, and what was told."""
    trained, start = start_of(source)
    fresh = built(target)
    report = transfer_weights(fresh, start, ends_of(fresh, target, label_scheme(target.labels)))
    return trained, fresh, report


def test_the_same_network_is_the_same_model():
    trained, fresh, report = transferred(run_config(), run_config())
    image = torch.randn(1, 1, 16, 16, 16)
    assert torch.equal(trained(image), fresh(image))
    assert set(report.taken) == set(trained.state_dict())
    assert (report.adapted, report.left, report.unused) == ({}, {}, ())


def test_other_structures_keep_everything_but_their_logits():
    source, target = run_config(structures=("liver", "spleen")), run_config(structures=("spleen", "kidney", "liver"))
    trained, fresh, report = transferred(source, target)
    assert set(report.adapted) == HEADS
    assert set(report.adapted.values()) == {
        "outputs background by name, spleen by name, kidney at random, liver by name"
    }
    image = torch.randn(1, 1, 16, 16, 16)
    theirs, ours = trained(image), fresh(image)
    torch.testing.assert_close(ours[:, [0, 1, 3]], theirs[:, [0, 2, 1]])
    untouched = built(target).state_dict()
    assert torch.equal(fresh.state_dict()["heads.0.weight"][2], untouched["heads.0.weight"][2])


def test_names_match_in_other_spellings():
    _, _, report = transferred(run_config(structures=("Kidney_L",)), run_config(structures=("left kidney",)))
    assert set(report.taken) >= HEADS


def test_structures_that_share_no_name_begin_at_random():
    _, fresh, report = transferred(run_config(structures=("a", "b")), run_config(structures=("x", "y")))
    assert report.left == dict.fromkeys(sorted(HEADS, reverse=True), "no structure in common")
    untouched = built(run_config(structures=("x", "y"))).state_dict()
    assert torch.equal(fresh.state_dict()["heads.0.weight"], untouched["heads.0.weight"])


def test_regions_take_the_logits_of_structures_of_their_name():
    target = run_config(**labels("a", "b", regions=[{"name": "one", "structures": ["a", "b"]}]))
    trained, fresh, report = transferred(run_config(), target)
    image = torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(fresh(image)[:, 0], trained(image)[:, 1])
    assert set(report.adapted) == HEADS


def test_a_channel_more_sees_nothing_at_first():
    trained, fresh, report = transferred(run_config(**channels("T1")), run_config(**channels("T2", "T1")))
    assert report.adapted == {FIRST: "channels T2 from zero, T1 from T1"}
    image = torch.randn(1, 2, 16, 16, 16)
    torch.testing.assert_close(fresh(image), trained(image[:, 1:]))


def test_channels_are_matched_by_name_and_not_by_place():
    trained, fresh, report = transferred(run_config(**channels("T1", "T2")), run_config(**channels("t2", "t1")))
    image = torch.randn(1, 2, 16, 16, 16)
    torch.testing.assert_close(fresh(image), trained(image.flip(1)))
    assert [*report.adapted] == [FIRST]


def test_one_channel_of_another_name_is_taken_in_order():
    _, _, report = transferred(run_config(**channels("CT")), run_config(**channels("MRI")))
    assert FIRST in report.taken


def test_another_number_of_unknown_channels_takes_the_mean():
    trained, fresh, report = transferred(run_config(**channels("r", "g", "b")), run_config(**channels("CT")))
    assert report.adapted == {FIRST: "channels CT from the mean"}
    image = torch.randn(1, 1, 16, 16, 16)
    torch.testing.assert_close(fresh(image), trained(image.expand(-1, 3, -1, -1, -1) / 3), atol=1e-4, rtol=1e-4)


def test_masks_of_optional_channels_are_never_a_mean():
    target = run_config(**channels("a", "b", optional=("b",)))
    trained, fresh, report = transferred(run_config(**channels("r", "g", "b2")), target)
    ours, theirs = (one.state_dict()[FIRST] for one in (fresh, trained))
    assert ours[:, 2].eq(0).all()
    torch.testing.assert_close(ours[:, 0], theirs.mean(dim=1))
    assert report.adapted[FIRST] == "channels a from the mean, b from the mean, presence of b from zero"
    trained, fresh, report = transferred(run_config(**channels("r", "g")), target)
    assert torch.equal(fresh.state_dict()[FIRST][:, :2], trained.state_dict()[FIRST])
    assert report.adapted[FIRST] == "channels a from r, b from g, presence of b from zero"


def test_levels_that_both_have_are_taken():
    source, target = run_config(**network((4, 8, 16))), run_config(**network((4, 8)))
    trained, fresh, report = transferred(source, target)
    assert report.left == {}
    assert {name.partition(".")[0] for name in report.unused} == {"encoder", "up", "decoder", "heads"}
    image = torch.randn(1, 1, 16, 16, 16)
    first = trained.encoder[1](trained.encoder[0](image))
    assert torch.equal(fresh.encoder[1](fresh.encoder[0](image)), first)
    _, deeper, report = transferred(target, source)
    assert torch.equal(deeper.encoder[1](deeper.encoder[0](image)), built_features(target, image))
    assert "encoder.2.0.weight" in report.left


def built_features(config: RunConfig, image: torch.Tensor) -> torch.Tensor:
    trained, _ = start_of(config)
    return trained.encoder[1](trained.encoder[0](image))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (run_config(**network((6, 12))), "encoder.0.0.weight is 4x1x3x3x3 there, 6x1x3x3x3 here"),
        (run_config(**network(dims=2), sampling={"patch": (16, 16, 1)}), "there, 4x1x3x3 here"),
        (run_config(network={"name": "segresnet", "dims": 3, "features": 8}), "they have no names in common"),
    ],
)
def test_where_nothing_fits_it_says_why(target, reason):
    with pytest.raises(
        BundleError, match=rf"no weights of model 'm' \(unet\) fit this network: .*{reason}; `medseg plan"
    ):
        transferred(run_config(), target)


def test_weights_that_are_no_numbers_are_refused():
    _, start = start_of(run_config())
    spoilt = {name: tensor * math.nan if name == FIRST else tensor for name, tensor in start.weights.items()}
    fresh = built(run_config())
    with pytest.raises(BundleError, match=r"weight encoder\.0\.0\.weight holds values that are not finite"):
        transfer_weights(
            fresh, replace(start, weights=spoilt), ends_of(fresh, run_config(), label_scheme(run_config().labels))
        )


def test_each_group_is_one_line():
    _, _, report = transferred(
        run_config(structures=("a", "b"), **network((4, 8, 16)), **channels("T1")),
        run_config(structures=("a", "c"), **network((4, 8)), **channels("T1", "T2")),
    )
    lines = report.lines()
    assert [line.partition(":")[0] for line in lines] == ["taken from model 'm'", "adapted", "not used of the model"]
    assert "channels T1 from T1, T2 from zero" in lines[1]
    assert TransferReport.model_validate_json(report.model_dump_json()) == report


def test_other_images_are_a_line_of_their_own():
    _, _, report = transferred(run_config(), run_config())
    told = report.model_copy(update={"images": ("voxels of 1 mm, here 2 mm",)})
    assert told.lines() == (*report.lines(), "the model knew other images: voxels of 1 mm, here 2 mm")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_weights_go_to_where_the_network_is():
    source, target = run_config(structures=("a", "b")), run_config(structures=("b", "c"), **channels("x", "image"))
    trained, start = start_of(source)
    fresh = built(target).to("cuda")
    transfer_weights(fresh, start, ends_of(fresh, target, label_scheme(target.labels)))
    assert {tensor.device.type for tensor in fresh.state_dict().values()} == {"cuda"}
    image = torch.randn(1, 2, 16, 16, 16)
    theirs, ours = trained(image[:, 1:]), fresh(image.to("cuda")).cpu()
    torch.testing.assert_close(ours[:, 1], theirs[:, 2], atol=1e-2, rtol=1e-2)


def test_a_bundle_and_a_monai_bundle_are_read(tmp_path):
    write_bundle(tmp_path / "bundle", bundle(), RECORDS)
    start = read_starting_weights(tmp_path / "bundle")
    assert (start.inputs, start.outputs) == (("image",), ("background", "one", "two"))
    theirs = segresnet(outputs=3)
    folder = monai_bundle(tmp_path / "monai", theirs, ("T1", "T2"), ("background", "tumour", "edema"))
    start = read_starting_weights(folder)
    section = {"name": "segresnet", "dims": 3, "features": 8, "blocks_down": (1, 1), "blocks_up": (1,)}
    target = run_config(structures=("edema", "tumour"), network=section, **channels("T2", "T1"))
    fresh = built(target)
    report = transfer_weights(fresh, start, ends_of(fresh, target, label_scheme(target.labels)))
    assert report.left == {}
    image = torch.randn(1, 2, 16, 16, 16)
    torch.testing.assert_close(fresh(image), theirs.eval()(image.flip(1))[:, [0, 2, 1]])


def test_a_monai_network_of_another_class_does_not_fit(tmp_path):
    start = read_starting_weights(monai_bundle(tmp_path, segresnet()))
    fresh = built(run_config())
    with pytest.raises(BundleError, match=r"the MONAI bundle's SegResNet \(SegResNet\) fit this network: they have no"):
        transfer_weights(fresh, start, ends_of(fresh, run_config(), label_scheme(run_config().labels)))


@pytest.mark.parametrize(
    "section",
    [
        {"name": "segresnet", "dims": 3, "features": 8, "blocks_down": (1, 1), "blocks_up": (1,)},
        {"name": "resenc", "blocks": (1, 1)} | {k: v for k, v in network()["network"].items() if k != "name"},
        {"name": "deeplab", "blocks": (1, 1), "rates": (1, 2), "skip": 0, "pyramid": 8}
        | {k: v for k, v in network()["network"].items() if k != "name"},
        {"name": "mednext", "dims": 3, "features": 4, "blocks_down": (1, 1), "blocks_up": (1, 1), "blocks_bottom": 1}
        | {"expansion_down": (1, 1), "expansion_up": (1, 1)},
        network(name="attention_unet")["network"],
    ],
)
def test_the_ends_of_any_network_are_found(section):
    source = run_config(structures=("one",), network=section)
    target = run_config(structures=("one", "two"), network=section, **channels("other", "image"))
    trained, fresh, report = transferred(source, target)
    assert report.left == {}
    assert report.unused == ()
    image = torch.randn(1, 2, 16, 16, 16)
    torch.testing.assert_close(fresh(image)[:, :2], trained(image[:, 1:]), atol=1e-5, rtol=1e-5)
