"""What several processes have to agree on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_run import fitted, one_of_two

from medseg.training.distributed import Process

CPU = Process(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where two processes left what they did."""
    folder = tmp_path_factory.mktemp("two")
    torch.multiprocessing.spawn(one_of_two, (folder,), nprocs=2)
    return folder


@pytest.mark.parametrize("name", ["weights", "added"])
@pytest.mark.parametrize("rank", [0, 1])
def test_two_processes_equal_one(folder, tmp_path, name, rank):
    alone = fitted(CPU, tmp_path)
    torch.testing.assert_close(torch.load(folder / f"{name}{rank}.pt", weights_only=True), alone)


def test_gradients_travel_once_a_step_however_many_batches_are_added_up(folder):
    assert (folder / "silences0.txt").read_text() == "9"  # the first of two batches, in 3 epochs of 3 steps


def test_every_process_stops_at_a_loss_that_is_no_number_in_one_and_names_its_cases(folder):
    for rank in range(2):
        text = (folder / f"error{rank}.txt").read_text()
        assert "the loss of step 2 is nan; its patches came from the cases c9, c11: " in text
    assert not (folder / "broken" / "last.pt").exists()
