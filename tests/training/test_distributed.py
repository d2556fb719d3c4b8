from __future__ import annotations

import datetime as dt

import pytest
import torch
import torch.distributed as dist

from medseg.training.distributed import Process, is_main_process, joined_process


def test_without_torchrun_a_process_is_alone(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with joined_process("cpu") as process:
        assert process == Process(0, 1, torch.device("cpu"))
        assert process.is_main
        assert is_main_process()
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
        assert process.is_main == is_main_process() == (rank == "0")
        assert joined["gloo"] >= dt.timedelta(hours=2)
        assert process.neighbours == 1
    assert joined == {}


def test_gpus_send_each_other_gradients_only(monkeypatch):
    """All else goes through main memory, so that nobody waits for a GPU to say how far it is."""
    joined, device = [], []
    for name, value in {"RANK": "5", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("medseg.training.distributed.resolve_device", torch.device)
    monkeypatch.setattr(torch.cuda, "set_device", device.append)
    monkeypatch.setattr(dist, "init_process_group", lambda backend, timeout: joined.append(backend))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    monkeypatch.setattr(dist, "get_rank", lambda: 5)
    monkeypatch.setattr(dist, "get_world_size", lambda: 8)
    with joined_process("cuda") as process:
        assert process == Process(5, 8, torch.device("cuda", 1), neighbours=4)
    assert joined == ["cpu:gloo,cuda:nccl"]
    assert device == [torch.device("cuda", 1)]
