from __future__ import annotations

import datetime as dt

import pytest
import torch
import torch.distributed as dist

from medseg.training.distributed import Process, joined_process


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with joined_process("cpu") as process:
        assert process == Process(0, 1, torch.device("cpu"))
        assert process.is_main
        assert process.from_main(0.25) == 0.25
        assert process.sum(torch.ones(2)).tolist() == [1, 1]


@pytest.mark.parametrize("rank", ["0", "1"])
def test_processes_wait_for_hours_while_the_main_one_prepares_cases(monkeypatch, rank):
    joined = {}
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(dist, "init_process_group", lambda backend, timeout: joined.update({backend: timeout}))
    monkeypatch.setattr(dist, "destroy_process_group", joined.clear)
    monkeypatch.setattr(dist, "get_rank", lambda: int(rank))
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    with joined_process("cpu") as process:
        assert process.is_main == (rank == "0")
        assert joined["gloo"] >= dt.timedelta(hours=2)
    assert joined == {}
