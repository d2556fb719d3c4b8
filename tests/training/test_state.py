from __future__ import annotations

import os

import pytest
import torch
from factories import full_disk
from torch import nn

from medseg.core.errors import BundleError, OutputError
from medseg.training.ema import AveragedNetwork
from medseg.training.state import TrainState, read_checkpoint, write_checkpoint

CPU = torch.device("cpu")


def state(width=3) -> TrainState:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))
    optimizer = torch.optim.AdamW(network.parameters())
    return TrainState(network, optimizer, torch.amp.GradScaler("cpu", enabled=False), AveragedNetwork(network, 0.9))


def advanced(one: TrainState, steps=3) -> TrainState:
    for _ in range(steps):
        one.network(torch.randn(4, 2)).square().sum().backward()
        one.optimizer.step()
        one.average.update(one.network)
        one.step += 1
    return one


def test_a_checkpoint_restores_everything(tmp_path):
    before, after = advanced(state()), state()
    before.best_dice, before.epoch = 0.5, 7
    write_checkpoint(tmp_path / "last.pt", before.to_dict())
    after.restore(read_checkpoint(tmp_path / "last.pt"))
    assert (after.step, after.epoch, after.best_dice, after.average.updates) == (3, 7, 0.5, 3)
    for network in ("network", "average"):
        one, other = (getattr(s, network) for s in (before, after))
        one, other = (getattr(n, "network", n).state_dict() for n in (one, other))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    write_checkpoint(tmp_path / "last.pt", state(width=3).to_dict())
    differs = (
        r"another network than the configuration: 6 have another shape, such as 0.weight: \(3, 2\) instead of \(4, 2\)"
    )
    with pytest.raises(BundleError, match=differs):
        state(width=4).restore(read_checkpoint(tmp_path / "last.pt"))


def test_a_checkpoint_with_other_weights_names_one(tmp_path):
    saved = state().to_dict()
    saved["network"]["2.weight"] = saved["network"].pop("0.weight")
    with pytest.raises(
        BundleError, match=r"1 weights are unknown, such as 2.weight; 1 weights are missing, such as 0.w"
    ):
        state().restore(saved)


def test_a_checkpoint_of_another_optimizer_is_refused():
    saved = state().to_dict()
    saved["optimizer"]["param_groups"] = []
    with pytest.raises(BundleError, match="belongs to another optimizer or another version"):
        state().restore(saved)


def test_a_file_that_is_no_checkpoint_is_refused():
    with pytest.raises(BundleError, match="it holds no network"):
        state().restore({"weights": {}})


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", b"no checkpoint"])
def test_a_damaged_checkpoint_is_one_sentence(tmp_path, content):
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(BundleError, match="last.pt is missing or damaged"):
        read_checkpoint(tmp_path / "last.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"network": Evil()}, tmp_path / "last.pt")
    with pytest.raises(BundleError, match="damaged"):
        read_checkpoint(tmp_path / "last.pt")
    assert not (tmp_path / "pwned").exists()


def test_the_average_is_torchs_own_with_the_same_decay():
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    one = state()
    ours = AveragedNetwork(one.network, 0.05)  # below (1 + n) / (10 + n) from the start
    theirs = AveragedModel(one.network, multi_avg_fn=get_ema_multi_avg_fn(0.05))
    theirs.update_parameters(one.network)
    for _ in range(5):
        advanced(one, 1)
        ours.update(one.network)
        theirs.update_parameters(one.network)
    for mine, other in zip(ours.network.parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


class Tied(nn.Module):
    """One layer under two names."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(1, 1))
        self.layer = self.encoder[0]


def test_a_weight_of_two_names_is_averaged_once():
    tied, plain = Tied(), nn.Linear(1, 1)
    ours, theirs = AveragedNetwork(tied, 0.5), AveragedNetwork(plain, 0.5)
    for average in (ours, theirs):
        average.updates = 1000
    for layer, average in ((tied.layer, ours), (plain, theirs)):
        before = float(next(average.network.parameters()))
        with torch.no_grad():
            layer.weight.fill_(before + 2.0)
        average.update(tied if average is ours else plain)
        assert float(next(average.network.parameters())) == pytest.approx(before + 1.0)


def test_the_average_forgets_its_random_start():
    network = nn.Linear(1, 1)
    average = AveragedNetwork(network, 0.999)
    with torch.no_grad():
        network.weight.fill_(5.0)
    for _ in range(50):
        average.update(network)
    assert float(average.network.weight.detach()) == pytest.approx(5.0, abs=0.1)


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path):
    path = tmp_path / "last.pt"
    write_checkpoint(path, {"step": 1})
    with pytest.raises(OutputError, match="cannot write 'last.pt': .*nothing half-written"), full_disk(10_000):
        write_checkpoint(path, {"step": torch.zeros(100_000)})
    assert read_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_goes_on_where_losses_are_scaled(tmp_path):
    before, after = state(), state()
    after.scaler = torch.amp.GradScaler("cpu", enabled=True)
    before.step = 5
    after.restore(before.to_dict())
    assert after.step == 5
