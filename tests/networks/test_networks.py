"""What every network has to do, 2D and 3D."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from factories import ball, bundle, run_config
from network_sections import NAMES, fitting, tiny
from torch import Tensor

from medseg.config.losses import DiceCESection
from medseg.config.sections import RunConfig
from medseg.inference.bundle import Bundle, BundleRecords, read_bundle, write_bundle
from medseg.losses.build import build_loss
from medseg.networks.build import build_network

pytestmark = pytest.mark.filterwarnings("ignore")  # MONAI's own imports warn

MOSTLY_QUICK = [
    pytest.param(name, marks=pytest.mark.slow) if name in ("swin_unetr", "mednext") else name for name in NAMES
]

each_network = pytest.mark.parametrize("name", NAMES)
each_dims = pytest.mark.parametrize("dims", [2, 3])


def patch(section) -> tuple[int, int, int]:
    first, second, third = (*fitting(section), 1)[:3]
    return first, second, third


def config_with(section) -> RunConfig:
    return run_config(section.dims, network=section, sampling={"patch": patch(section), "batch": 2})


@each_dims
@each_network
def test_logits_have_the_size_of_the_image(name, dims):
    section = tiny(name, dims)
    shape = fitting(section)
    assert build_network(section, 2, 3).eval()(torch.zeros(1, 2, *shape)).shape == (1, 3, *shape)


@each_dims
@each_network
def test_levels_are_given_finest_first_if_the_section_says_so(name, dims):
    section = tiny(name, dims)
    shape = fitting(section)
    logits = build_network(section, 2, 3).train()(torch.zeros(2, 2, *shape))
    assert isinstance(logits, Tensor) is not section.deep_supervision
    levels = [logits] if isinstance(logits, Tensor) else list(logits)
    sizes = [level[0, 0].numel() for level in levels]
    assert tuple(levels[0].shape) == (2, 3, *shape)
    assert sizes == sorted(sizes, reverse=True)


@each_dims
@each_network
def test_a_gradient_reaches_every_weight(name, dims):
    torch.manual_seed(0)
    section = tiny(name, dims)
    network = build_network(section, 2, 3)
    with torch.no_grad():
        for weight in network.parameters():  # residual blocks begin as identity, and what is inside them gets none
            weight.add_(0.1 * torch.randn_like(weight))
    logits = network(torch.randn(2, 2, *fitting(section)))
    sum(level.square().mean() for level in ([logits] if isinstance(logits, Tensor) else logits)).backward()
    assert [name for name, weight in network.named_parameters() if weight.grad is None] == []
    # A bias before a norm has no effect, and MONAI's networks have some.
    reached = [name for name, w in network.named_parameters() if w.grad.any() or name.endswith("bias")]
    assert reached == [name for name, _ in network.named_parameters()]


@each_network
def test_examples_of_a_batch_do_not_know_each_other_in_evaluation(name):
    torch.manual_seed(0)
    section = tiny(name, 2)
    network, images = build_network(section, 2, 3).eval(), torch.randn(3, 2, *fitting(section))
    with torch.no_grad():
        together = network(images)
        for index in range(3):
            alone = network(images[index : index + 1])
            torch.testing.assert_close(together[index : index + 1], alone, atol=1e-5, rtol=1e-4)


@each_dims
@each_network
def test_a_configuration_comes_back_from_its_file(name, dims):
    config = config_with(tiny(name, dims))
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


@each_dims
@each_network
def test_weights_survive_a_bundle(name, dims, tmp_path):
    section = tiny(name, dims)
    config, network = config_with(section), build_network(section, 1, 3).eval()
    plain = bundle()
    write_bundle(tmp_path / "bundle", Bundle.single(config, plain.scheme, network, plain.facts), BundleRecords({}, {}))
    read = read_bundle(tmp_path / "bundle").members[0].network
    image = torch.randn(1, 1, *fitting(section))
    with torch.no_grad():
        torch.testing.assert_close(read(image), network(image), rtol=0, atol=0)


@each_network
def test_one_voxel_at_the_coarsest_level_is_refused_where_a_norm_would_fail(name):
    section = tiny(name, 2)
    one = {"patch": (*section.factors, 1), "batch": 2}
    if name == "segresnet":
        run_config(2, network=section, sampling=one)
        return
    with pytest.raises(ValueError, match="is one voxel at the coarsest level, too few to normalise"):
        run_config(2, network=section, sampling=one)


@pytest.mark.parametrize("name", MOSTLY_QUICK)
def test_a_tiny_one_learns_two_slices_by_heart(name):
    assert memorised(tiny(name, 2), (64, 64) if name == "swin_unetr" else (32, 32)) > 0.95


@pytest.mark.slow
@each_network
def test_a_tiny_one_learns_two_volumes_by_heart(name):
    assert memorised(tiny(name, 3), (64, 32, 32) if name == "swin_unetr" else (24, 24, 24), 150) > 0.95


def memorised(section, shape, steps=60) -> float:
    """Dice on two phantoms of two balls each, after training on nothing else."""
    torch.manual_seed(0)
    target = torch.stack([balls(shape, shift) for shift in (0, 3)])
    image = (target.float() + 0.2 * torch.randn(target.shape))[:, None]
    network = build_network(section, 1, 3).train()
    loss = build_loss(DiceCESection(), exclusive=True, deep_supervision=section.deep_supervision)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(network(image), target).backward()
        optimizer.step()
    with torch.no_grad():
        labels = network.eval()(image).argmax(dim=1)
    scores = [2 * ((labels == v) & (target == v)).sum() / ((labels == v).sum() + (target == v).sum()) for v in (1, 2)]
    return float(min(scores))


def balls(shape, shift) -> Tensor:
    """A ball of ones and a smaller one of twos, 2D or 3D."""
    size = (*shape, 1)[:3]
    middle = [(n - 1) / 2 if n > 1 else 0 for n in size]
    labels = torch.zeros(size, dtype=torch.uint8)
    labels[torch.from_numpy(ball(size, (middle[0] - 5, middle[1] - shift, middle[2]), 5))] = 1
    labels[torch.from_numpy(ball(size, (middle[0] + 6, middle[1] + shift, middle[2]), 4))] = 2
    return labels.reshape(shape)


def test_what_monai_loads_neither_phones_home_nor_logs_past_us():
    """MONAI imports MLflow where it is installed."""
    code = (
        "import logging, os\n"
        "from medseg.config.networks import SegResNetSection\n"
        "from medseg.networks.build import build_network\n"
        "build_network(SegResNetSection(dims=2, features=8), 1, 2)\n"
        "assert os.environ['MLFLOW_DISABLE_TELEMETRY'] == 'true'\n"
        "assert not logging.getLogger('mlflow').handlers\n"
    )
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
