"""Losses and gradients that are no numbers."""

from __future__ import annotations

import math

import pytest
import torch
from factories import run_config

from medseg.core.case import CaseId
from medseg.core.errors import TrainingError
from medseg.training.distributed import Process
from medseg.training.step import Step
from medseg.training.watch import StepWatch

CPU, GPU = (Process(0, 1, torch.device(kind)) for kind in ("cpu", "cuda"))


def watch(process=CPU, *, scales=False, is_half=False) -> StepWatch:
    return StepWatch(process, run_config().training, scales=scales, is_half=is_half)


def step(number: int, loss=1.0, gradient=2.0) -> Step:
    return Step(number, torch.tensor(loss), torch.tensor(gradient), (CaseId(f"a{number}"), CaseId("b")))


def test_means_are_over_the_steps():
    steps = watch()
    for number, loss in enumerate([1.0, 2.0, 6.0]):
        steps.add(step(number, loss, 2 * loss))
    means = steps.means()
    assert (means.loss, means.gradient) == (3.0, 6.0)


def test_no_step_has_no_loss():
    means = watch().means()
    assert (means.loss, means.gradient) == (0.0, 0.0)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_step_and_cases(loss):
    steps = watch()
    steps.add(step(6))
    with pytest.raises(
        TrainingError, match=f"the loss of step 7 is {loss}; its patches came from the cases a7, b: look"
    ):
        steps.add(step(7, loss, math.nan))


def test_a_gradient_that_explodes_stops_the_run():
    with pytest.raises(
        TrainingError, match=r"the gradient of step 3 is not finite; .* a3, b: .* lower .*lr \(now 0.001\)$"
    ):
        watch().add(step(3, gradient=math.inf))


def test_half_precision_is_blamed_where_it_is_used():
    with pytest.raises(TrainingError, match="or set training.precision=fp32"):
        watch(is_half=True).add(step(0, math.nan))


def test_scaled_gradients_may_overflow():
    steps = watch(scales=True)
    steps.add(step(0, gradient=math.inf))
    steps.add(step(1))
    assert steps.means().gradient == 1.0
    with pytest.raises(TrainingError, match="loss of step 2"):
        steps.add(step(2, math.nan))


def test_a_device_is_waited_for_now_and_then_only():
    """The tensors here lie on the CPU; only how often they are looked at depends on the process."""
    steps = watch(GPU)
    for number in range(31):
        steps.add(step(number, math.nan if number == 4 else 1.0))
    with pytest.raises(TrainingError, match="the loss of step 4 is nan; its patches came from the cases a4, b"):
        steps.add(step(31))
    steps = watch(GPU)
    steps.add(step(0, math.nan))
    with pytest.raises(TrainingError, match="the loss of step 0 is nan"):
        steps.means()
