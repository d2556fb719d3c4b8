from __future__ import annotations

import pytest
from network_sections import NAMES, fitting, tiny

from medseg.config.networks import NetworkChoice
from medseg.inference.devices import DeviceFacts
from medseg.networks.build import build_network, count_parameters
from medseg.networks.size import forward_macs as counted
from medseg.planning import cost
from medseg.planning.topology import unet_for

CPU = DeviceFacts("cpu", 2, 2**34, has_bf16=True)
FP32 = DeviceFacts("cpu", 2, 2**34, has_bf16=False)

pytestmark = pytest.mark.filterwarnings("ignore")  # MONAI's own imports warn


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_plan_knows_what_the_network_will_cost(name, dims):
    section, patch = tiny(name, dims), (*fitting(tiny(name, dims)), 1)[:3]
    network = build_network(section, 2, 4)
    size = cost.planned_size(section, patch, 2, 4)
    assert size.parameters == count_parameters(network)
    assert size.macs == counted(network, (2, *patch[:dims]))


@pytest.mark.parametrize("name", NAMES)
def test_twice_the_batch_costs_twice_as_much(name):
    section, patch = tiny(name, 3), fitting(tiny(name, 3))
    for device in (CPU, FP32):
        assert cost.step_seconds(section, patch, 1, 4, device) == 2 * cost.step_seconds(section, patch, 1, 2, device)
        assert cost.training_bytes(section, patch, 4, device) == 2 * cost.training_bytes(section, patch, 2, device)
    assert cost.training_bytes(section, patch, 1, FP32) == 2 * cost.training_bytes(section, patch, 1, CPU)


def test_the_formula_of_the_unet_is_close_to_the_count():
    """It leaves out the transposed convolutions and the heads."""
    patch = (40, 56, 40)
    section = unet_for(patch, (1.0, 1.0, 1.0), 32, 320)
    exact = cost.planned_size(section, patch, 1, 3).macs
    assert cost.forward_macs(section, patch, 1) == pytest.approx(exact, rel=0.03)


def test_every_choice_has_a_speed():
    assert set(cost._EFFICIENCY) == set(NAMES)
    assert len(NetworkChoice) == len(NAMES) + 2  # the U-Net and the residual encoder come in two sizes
