"""Networks compiled by torch."""

from __future__ import annotations

import pytest
import torch
from factories import bundle
from torch import nn

from medseg.inference import runtime_compiled
from medseg.inference.runner import TorchRunner
from medseg.inference.runtime_compiled import CompiledRunner


def network():
    torch.manual_seed(0)
    return bundle().members[0].network


def windows(count, dims=3):
    return torch.randn(count, 1, *(16,) * dims, generator=torch.Generator().manual_seed(0))


class Seen(nn.Module):
    """Remembers how many windows came, and may fail."""

    def __init__(self, error=None):
        super().__init__()
        self.counts, self.error = [], error

    def forward(self, images):
        self.counts.append(len(images))
        if self.error is not None:
            raise self.error
        return images * 2


@pytest.fixture
def uncompiled(monkeypatch):
    """``torch.compile`` that leaves networks as they are."""
    monkeypatch.setattr(torch, "compile", lambda network, **choices: network)


def test_a_smaller_last_batch_is_filled_up(uncompiled):
    seen, images = Seen(), windows(3)
    runner = CompiledRunner(seen)
    assert torch.equal(runner(images), images * 2)
    assert torch.equal(runner(images[:1]), images[:1] * 2)
    assert torch.equal(runner(windows(4)), windows(4) * 2)
    assert seen.counts == [3, 3, 4]


def test_memory_that_runs_out_is_told_and_fewer_windows_are_compiled_anew(uncompiled):
    seen = Seen(torch.OutOfMemoryError("CUDA out of memory"))
    runner = CompiledRunner(seen)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        runner(windows(4))
    seen.error = None
    runner(windows(2))
    assert seen.counts == [4, 2]


def test_an_error_after_the_first_windows_is_no_error_of_the_compiler(uncompiled):
    seen = Seen()
    runner = CompiledRunner(seen)
    runner(windows(1))
    seen.error = RuntimeError("broken")
    with pytest.raises(RuntimeError, match="broken"):
        runner(windows(1))


def test_what_cannot_be_compiled_runs_as_ever_with_one_note(monkeypatch, caplog):
    monkeypatch.setattr(torch, "compile", lambda network, **choices: Seen(RuntimeError("no C++ compiler")))
    module, images = network(), windows(2)
    runner = CompiledRunner(module)
    with torch.inference_mode():
        wanted = TorchRunner(module)(images)
        assert torch.equal(runner(images), wanted)
        assert torch.equal(runner(images), wanted)
    assert caplog.messages == ["torch.compile cannot compile this network (RuntimeError); it runs uncompiled"]
    assert caplog.records[0].name == runtime_compiled.__name__


def test_it_computes_what_torch_does():
    module, images = network(), windows(3)
    runner = CompiledRunner(module, backend="eager")
    with torch.inference_mode():
        assert torch.allclose(runner(images), TorchRunner(module)(images), atol=1e-5)
        assert torch.allclose(runner(images[:1]), TorchRunner(module)(images[:1]), atol=1e-5)
    assert runner.device.type == "cpu"


@pytest.mark.slow
def test_it_is_compiled_to_machine_code(caplog):
    module, images = network(), windows(2)
    with torch.inference_mode():
        assert torch.allclose(CompiledRunner(module)(images), TorchRunner(module)(images), atol=1e-4)
    assert not [record for record in caplog.records if record.name.startswith("medseg")]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_is_compiled_for_a_gpu(caplog):
    module, images = network().cuda(), windows(2).cuda()
    with torch.inference_mode():
        wanted = TorchRunner(module, torch.bfloat16)(images)
        assert torch.allclose(CompiledRunner(module, torch.bfloat16)(images), wanted, atol=0.1)
    assert not [record for record in caplog.records if record.name.startswith("medseg")]
