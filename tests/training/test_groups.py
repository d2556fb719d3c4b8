from __future__ import annotations

import pytest
import torch
from factories import run_config

from medseg.config.training import InitSection, OptimizerSection
from medseg.core.errors import ConfigError
from medseg.inference.network import network_of
from medseg.training.assemble import build_optimizer
from medseg.training.groups import Pace, encoder_level, freeze_for_good, paces, set_learning_rates

SECTIONS = {
    "segresnet": {"features": 8, "blocks_down": (1, 1), "blocks_up": (1,)},
    "swin_unetr": {"features": 12, "depths": (1, 1, 1, 1)},
    "mednext": {"features": 4, "blocks_down": (1, 1), "blocks_up": (1, 1), "blocks_bottom": 1}
    | {"expansion_down": (1, 1), "expansion_up": (1, 1)},
}


def small(name="unet") -> torch.nn.Module:
    changes = {} if name == "unet" else {"network": {"name": name, "dims": 3} | SECTIONS[name]}
    patch = {"sampling": {"patch": (64, 32, 32)}} if name == "swin_unetr" else {}
    torch.manual_seed(0)
    return network_of(run_config(**changes, **patch), 3)


def names(network: torch.nn.Module) -> list[str]:
    return [name for name, _ in network.named_parameters()]


def init(**changes) -> InitSection:
    return InitSection.model_validate({"bundle": "somewhere"} | changes)


@pytest.mark.parametrize(("network", "levels"), [("unet", 2), ("segresnet", 3), ("swin_unetr", 5), ("mednext", 4)])
def test_levels_of_an_encoder_are_told_by_its_names(network, levels):
    module = small(network)
    found = {name: encoder_level(network, name) for name in names(module)}
    inside = {name for name, level in found.items() if level is not None}
    assert len({found[name] for name in inside}) == levels
    assert inside
    assert inside != set(names(module))
    logits = names(module)[-1]
    assert found[logits] is None


def test_of_some_networks_nobody_knows_the_encoder():
    with pytest.raises(ConfigError, match="network 'attention_unet' are its encoder is known of unet"):
        encoder_level("attention_unet", "model.0.weight")


def test_without_wishes_every_weight_has_the_usual_pace():
    assert paces(init(), "unet", names(small())) == {}


def test_only_what_was_taken_is_slowed_down():
    taken = ["encoder.1.0.weight", "heads.0.weight"]
    assert paces(init(encoder_lr_factor=0.1), "unet", taken) == {"encoder.1.0.weight": Pace(0.1)}
    with pytest.raises(ConfigError, match="no encoder weight was taken whole"):
        paces(init(freeze="encoder"), "unet", ["heads.0.weight"])


def test_first_levels_move_least():
    chosen = paces(init(encoder_lr_factor=0.5, encoder_lr_decay=0.1), "unet", names(small()))
    assert chosen["encoder.1.0.weight"].factor == pytest.approx(0.5)
    assert chosen["encoder.0.0.weight"].factor == pytest.approx(0.05)
    assert "decoder.0.0.weight" not in chosen


def test_learning_rates_follow_the_paces():
    network, section = small(), OptimizerSection(lr=0.01, warmup=0.0)
    chosen = paces(init(encoder_lr_factor=0.1, freeze="encoder", freeze_share=0.5), "unet", names(network))
    optimizer = build_optimizer(section, network, chosen)
    set_learning_rates(optimizer, section, 0.25)
    rates = rates_of(optimizer, network)
    assert rates["encoder.0.0.weight"] == 0
    assert rates["heads.0.weight"] > 0
    set_learning_rates(optimizer, section, 0.5)
    rates = rates_of(optimizer, network)
    assert rates["encoder.0.0.weight"] == pytest.approx(0.1 * rates["heads.0.weight"])


def rates_of(optimizer: torch.optim.Optimizer, network: torch.nn.Module) -> dict[str, float]:
    by_weight = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    return {name: by_weight[id(weight)] for name, weight in network.named_parameters() if id(weight) in by_weight}


@pytest.mark.parametrize("name", ["adamw", "sgd"])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_frozen_weights_stay_bit_by_bit(name, share):
    network, section = small(), OptimizerSection(name=name, lr=0.01)
    chosen = paces(init(freeze="encoder", freeze_share=share), "unet", names(network))
    freeze_for_good(network, chosen)
    optimizer = build_optimizer(section, network, chosen)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    for progress in (0.1, 0.2, 0.3):
        step(network, optimizer, section, progress)
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.partition(".")[0] for name in changed} == {"up", "decoder", "heads"}
    step(network, optimizer, section, 0.6)
    assert torch.equal(before["encoder.0.0.weight"], network.state_dict()["encoder.0.0.weight"]) == (share == 1.0)


def step(network, optimizer, section, progress):
    set_learning_rates(optimizer, section, progress)
    optimizer.zero_grad()
    network.eval()(torch.randn(1, 1, 16, 16, 16)).square().mean().backward()
    optimizer.step()


def test_weights_that_never_move_cost_nothing():
    network = small()
    chosen = paces(init(freeze="encoder"), "unet", names(network))
    freeze_for_good(network, chosen)
    optimizer = build_optimizer(OptimizerSection(), network, chosen)
    learned = sum(len(group["params"]) for group in optimizer.param_groups)
    assert learned == sum(not name.startswith("encoder") for name in names(network))


def test_the_usual_groups_come_first_and_are_what_they_were():
    network = small()
    kernels, others = build_optimizer(OptimizerSection(weight_decay=0.1), network).param_groups
    assert (kernels["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert all(weight.ndim > 1 for weight in kernels["params"])
    assert all(weight.ndim == 1 for weight in others["params"])


def test_a_checkpoint_of_before_has_the_usual_paces():
    network, section = small(), OptimizerSection(lr=0.01, warmup=0.0)
    optimizer = build_optimizer(section, network)
    saved = optimizer.state_dict()
    for group in saved["param_groups"]:
        del group["lr_factor"], group["frozen_share"]
    optimizer.load_state_dict(saved)
    set_learning_rates(optimizer, section, 0.0)
    assert {group["lr"] for group in optimizer.param_groups} == {0.01}
