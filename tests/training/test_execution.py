"""How a network runs, and whether it does so again."""

from __future__ import annotations

import os

import pytest
import torch
from factories import prepared_arrays, run_config
from small_run import report, weights
from torch import nn

from medseg.config.schemes import label_scheme
from medseg.core.errors import TrainingError
from medseg.inference.bundle import output_channels
from medseg.losses.build import build_loss
from medseg.training.assemble import new_loader, new_state
from medseg.training.distributed import Process
from medseg.training.execution import compile_mode, network_format, repeatable, worker_count
from medseg.training.loop import Ingredients, Trainer

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize(
    ("wanted", "on_cpu", "on_gpu"),
    [
        ("off", None, None),
        ("auto", None, "default"),
        ("on", "default", "default"),
        ("graphs", "default", "reduce-overhead"),
    ],
)
def test_what_is_compiled_where(wanted, on_cpu, on_gpu):
    assert compile_mode(wanted, CPU) == on_cpu
    assert compile_mode(wanted, GPU) == on_gpu


def test_graphs_and_batches_that_are_added_up_are_refused():
    with pytest.raises(ValueError, match="'graphs' does not go with accumulate above 1; take 'on'"):
        run_config(training={"budget": {"epochs": 1}, "compile": "graphs", "accumulate": 2})


@pytest.mark.parametrize(
    ("wanted", "process", "count"),
    [
        ("auto", Process(0, 1, CPU), 0),
        ("auto", Process(0, 1, GPU), 7),
        ("auto", Process(0, 2, GPU, neighbours=2), 3),
        ("auto", Process(0, 8, GPU, neighbours=8), 1),
        (0, Process(0, 1, GPU), 0),
        (3, Process(0, 1, CPU), 3),
    ],
)
def test_workers_share_the_cores(monkeypatch, wanted, process, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    assert worker_count(wanted, process) == count


def test_the_format_of_images_follows_from_the_kernels():
    assert network_format(nn.Conv2d(1, 2, 3)) is torch.channels_last
    assert network_format(nn.Conv3d(1, 2, 3)) is torch.channels_last_3d


def test_repeatable_holds_inside_only(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with repeatable(wanted=True):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
        assert not torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    with repeatable(wanted=False):
        assert torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.benchmark
    with pytest.raises(KeyError, match="x"), repeatable(wanted=True):
        raise KeyError("x")
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_workspace_of_ones_own_is_kept(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with repeatable(wanted=True):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def trained(folder, device=CPU, loss=None, **training) -> torch.Tensor:
    """Weights after a short run on real patches, with all that is random."""
    section = {"budget": {"epochs": 2, "steps": 3}, "deterministic": True} | training
    config = run_config(training=section)
    rng = torch.Generator().manual_seed(0)
    targets = [torch.randint(0, 3, (20, 20, 20), generator=rng).numpy().astype("uint8") for _ in range(2)]
    cases = [prepared_arrays(target, image=target + 0.1) for target in targets]
    process, scheme = Process(0, 1, device), label_scheme(config.labels)
    state = new_state(config, output_channels(scheme), process, None)
    loss = loss or build_loss(config.loss, exclusive=scheme.is_exclusive, deep_supervision=True)
    parts = Ingredients(new_loader(config, cases, process), loss.to(device), lambda _: report(0.5))
    return weights(Trainer(process, config.training, parts, folder).fit(state))


def test_a_run_repeats_itself_bit_by_bit(tmp_path):
    one, again = trained(tmp_path / "one"), trained(tmp_path / "again")
    assert torch.equal(one, again)
    assert not torch.equal(one, trained(tmp_path / "other", seed=1))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_repeats_itself_bit_by_bit_on_a_gpu(tmp_path):
    assert torch.equal(trained(tmp_path / "one", GPU), trained(tmp_path / "again", GPU))


def test_an_operation_that_does_not_repeat_is_refused(tmp_path):
    class Shuffled(nn.Module):
        def forward(self, logits, target):
            zeros = torch.zeros_like(logits[0]).flatten()
            zeros = zeros.put(torch.zeros(2, dtype=torch.long), logits[0].flatten()[:2])
            return zeros.sum()

    message = "put_ has no deterministic form on cpu; take another network or loss, or switch training.deterministic"
    with pytest.raises(TrainingError, match=message):
        trained(tmp_path, loss=Shuffled())
    trained(tmp_path / "free", loss=Shuffled(), deterministic=False)
