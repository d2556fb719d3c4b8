from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from factories import prepared_arrays, run_config
from hypothesis import given
from hypothesis import strategies as st

from medseg.config.training import PretrainingSection
from medseg.inference.network import network_of
from medseg.training.callbacks import ValidationReport
from medseg.training.distributed import Process
from medseg.training.pretrain import (
    MaskedPatches,
    PretrainingDisplay,
    ReconstructionCheck,
    ReconstructionLoss,
    build_reconstruction_loss,
    hidden_voxels,
    masked_loader,
)

CPU = Process(0, 1, torch.device("cpu"))


def section(**changes) -> PretrainingSection:
    return PretrainingSection.model_validate(changes)


@given(st.lists(st.integers(1, 20), min_size=2, max_size=3), st.integers(1, 9), st.floats(0.05, 0.95))
def test_a_part_of_every_patch_is_hidden_and_a_part_is_seen(shape, block, masked):
    mask = hidden_voxels(shape, section(block=block, masked=masked), np.random.default_rng(0))
    assert mask.shape == tuple(shape)
    assert mask.any()
    blocks = np.prod([-(-size // min(block, size)) for size in shape])
    assert mask.all() == (blocks == 1)


def test_blocks_are_hidden_as_wholes():
    mask = hidden_voxels((16, 16, 16), section(block=4, masked=0.6), np.random.default_rng(0))
    blocks = mask.reshape(4, 4, 4, 4, 4, 4).transpose(0, 2, 4, 1, 3, 5).reshape(64, 64)
    assert (blocks.all(axis=1) | ~blocks.any(axis=1)).all()
    assert blocks.all(axis=1).sum() == round(0.6 * 64)


class Patches:
    def __getitem__(self, number):
        image = torch.randn(2, 16, 16, 16, generator=torch.Generator().manual_seed(number))
        return image, torch.zeros(16, 16, 16), "case"


def test_a_channel_that_a_case_lacks_stays_zero():
    noisy = {"noise": 1.0, "brightness": 1.0, "contrast": 1.0}
    channels = [{"name": "T1"}, {"name": "FLAIR", "optional": True}]
    config = run_config(channels=channels, augmentation=noisy)
    case = prepared_arrays(np.zeros((16, 16, 16), np.uint8))
    both = np.stack([np.random.default_rng(0).normal(size=(16, 16, 16)), np.zeros((16, 16, 16))]).astype(np.float32)
    loader = masked_loader(config, [replace(case, image=both)], CPU)
    loader.set_epoch(0)
    images = [batch.image for batch in loader]
    assert all(batch[:, 0].any() for batch in images)
    assert not any(batch[:, 1].any() for batch in images)


def test_what_is_hidden_is_zero_and_what_is_seen_is_the_image():
    image, target, case = MaskedPatches(Patches(), section(), 0)[3]
    mask = target[2].bool()
    assert case == "case"
    assert torch.equal(target[:2], Patches()[3][0])
    assert image[:, mask].eq(0).all()
    assert torch.equal(image[:, ~mask], target[:2][:, ~mask])


def test_patch_numbers_make_the_same_masks_anywhere():
    one, other = MaskedPatches(Patches(), section(), 0), MaskedPatches(Patches(), section(), 0)
    assert torch.equal(one[5][1], other[5][1])
    assert not torch.equal(one[5][1][2], one[6][1][2])
    assert not torch.equal(one[5][1][2], MaskedPatches(Patches(), section(), 1)[5][1][2])


@pytest.mark.parametrize("name", ["l1", "mse"])
def test_only_hidden_voxels_count(name):
    rng = np.random.default_rng(0)
    guess, image = rng.normal(size=(2, 2, 3, 4, 5)), rng.normal(size=(2, 2, 3, 4, 5))
    mask = rng.random((2, 1, 3, 4, 5)) < 0.5
    target = torch.from_numpy(np.concatenate([image, mask], axis=1)).float()
    hidden = np.broadcast_to(mask, image.shape)
    difference = np.abs(guess - image)[hidden]
    expected = (difference if name == "l1" else difference**2).mean()
    loss = ReconstructionLoss(name)(torch.from_numpy(guess).float(), target)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_where_nothing_is_hidden_the_loss_is_zero():
    assert float(ReconstructionLoss("l1")(torch.ones(1, 1, 2, 2), torch.zeros(1, 2, 2, 2))) == 0


def cases(count=4) -> list:
    """Smooth images: waves of a phase of their own."""
    grid = np.linspace(0, 2 * np.pi, 20)
    waves = [np.sin(grid + n)[:, None, None] + np.cos(grid + n)[None, :, None] + 0 * grid for n in range(count)]
    return [prepared_arrays(np.zeros((20, 20, 20), np.uint8), image=wave) for wave in waves]


def config(**changes):
    pretraining = {"pretraining": {"block": 4, "masked": 0.4}, "augmentation": {"enabled": False}}
    return run_config(**pretraining | changes)


def test_some_steps_make_the_hidden_blocks_better_known():
    settings = config()
    torch.manual_seed(0)
    network = network_of(settings, outputs=1)
    check = ReconstructionCheck(cases(), settings, CPU)
    report = check(network.eval())
    assert np.isnan(report.mean_dice)
    before = check.error
    loss = build_reconstruction_loss(section(), deep_supervision=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    loader = masked_loader(settings, cases(), CPU)
    for epoch in range(12):
        loader.set_epoch(epoch)
        for batch in loader:
            optimizer.zero_grad()
            loss(network.train()(batch.image), batch.target).backward()
            optimizer.step()
    check(network.eval())
    assert check.error.mean == before.mean
    assert check.error.network < 0.7 * before.network
    assert check.error.network < before.mean


def test_processes_share_the_check(monkeypatch):
    settings = config()
    torch.manual_seed(0)
    network = network_of(settings, outputs=1).eval()
    alone = ReconstructionCheck(cases(), settings, CPU)
    alone(network)
    parts = []
    for rank in range(2):
        check = ReconstructionCheck(cases(), settings, Process(rank, 2, torch.device("cpu")))
        monkeypatch.setattr(Process, "sum", lambda _, value: parts.append(value) or value)
        check(network)
    monkeypatch.setattr(Process, "sum", lambda *_: parts[0] + parts[1])
    check(network)
    assert check.error.network == pytest.approx(alone.error.network)
    assert check.error.mean == pytest.approx(alone.error.mean)


def test_slices_are_masked_too():
    flat = config(network=run_config(dims=2).network.model_dump(), sampling={"patch": (16, 16, 1)})
    loader = masked_loader(flat, cases(), CPU)
    batch = next(iter(loader))
    assert batch.image.shape == (2, 1, 16, 16)
    assert batch.target.shape == (2, 2, 16, 16)
    check = ReconstructionCheck(cases(), flat, CPU)
    check(network_of(flat, outputs=1).eval())
    assert check.error.mean > 0


class Told:
    def __init__(self):
        self.texts, self.parts = [], 0

    def start(self, *_):
        pass

    def advance(self, parts=1):
        self.parts += parts

    def note(self, text):
        self.texts.append(text)


def test_the_display_tells_how_far_the_guesses_are_off():
    check, told = ReconstructionCheck(cases(), config(), CPU), Told()
    display = PretrainingDisplay(told, check)
    display.on_step(0.5)
    display.on_validation(ValidationReport(1, {}, float("nan"), None))
    assert told.texts == []
    check(network_of(config(), outputs=1).eval())
    display.on_validation(ValidationReport(1, {}, float("nan"), None))
    assert told.parts == 500
    assert "hidden voxels are off by" in told.texts[0]
