"""Data sets that are larger than the memory, and caches that are shared or interrupted."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_factories import case_files
from preparing import prepare, prepare_slowly

from medseg.config.training import AugmentationSection
from medseg.data.loaders import BatchPlan, PatchDataset, PatchLoader
from medseg.data.sampling import PatchSampler

PATCH = (16, 16, 16)
STATUS = Path("/proc/self/status")


@pytest.fixture
def cases(tmp_path):
    return [case_files(tmp_path, case) for case in ("a", "b", "c")]


@pytest.fixture
def large(tmp_path, cases):
    """The prepared cases, each made larger: 512 MiB of image and 128 of target, as files without content."""
    prepare(tmp_path / "prepared", cases)
    for folder in {path.parent for path in (tmp_path / "prepared").rglob("image.npy")}:
        np.lib.format.open_memmap(folder / "image.npy", "w+", np.float32, (1, 512, 512, 512))
        np.lib.format.open_memmap(folder / "target.npy", "w+", np.uint8, (512, 512, 512))
    return prepare(tmp_path / "prepared", cases)


def dataset(opened) -> PatchDataset:
    return PatchDataset(PatchSampler(opened, PATCH, PATCH, 0.3), PATCH, AugmentationSection(enabled=False), 3, 0)


def anonymous_mib() -> float:
    """Memory of this process that is not a file's."""
    return int(re.search(r"RssAnon:\s+(\d+) kB", STATUS.read_text()).group(1)) / 1024


@pytest.mark.skipif(not STATUS.exists(), reason="needs /proc")
def test_patches_of_a_data_set_larger_than_memory_need_little_of_it(large):
    loader = PatchLoader(dataset(large), BatchPlan(batch=2, steps=50))
    before = anonymous_mib()
    patches = sum(len(batch.cases) for batch in loader)
    assert patches == 100
    assert sum(case.image.nbytes for case in large) == 1.5 * 2**30
    assert anonymous_mib() - before < 64


def test_processes_that_are_not_forked_open_the_files_themselves(large):
    """From Python 3.14 on, workers are no longer forked, but are sent the data set."""
    sent = pickle.dumps(dataset(large))
    assert len(sent) < 100_000
    there = pickle.loads(sent)  # noqa: S301 - our own
    for mine, theirs in zip(dataset(large)[3], there[3], strict=True):
        assert torch.equal(mine, theirs) if isinstance(mine, torch.Tensor) else mine == theirs


def test_more_cases_than_a_shell_allows_open_files(tmp_path):
    code = """
import resource, sys
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
from medseg.data.open_files import allow_open_files
allow_open_files(100)
files = [open(sys.executable) for _ in range(100)]
resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
try:
    allow_open_files(100)
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    told = r"InputError so many cases need (\d+) open files, and the system allows 200; raise it with `ulimit -Hn \1`"
    found = re.fullmatch(told, done.stdout.strip())
    assert found
    assert int(found[1]) > 100 + 100 + 512


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.np?")}


@pytest.mark.slow
def test_a_cache_that_was_killed_in_the_middle_of_a_case_is_finished(tmp_path, cases):
    folder = tmp_path / "prepared"
    process = get_context("spawn").Process(target=prepare_slowly, args=(folder, cases))
    process.start()
    deadline = time.monotonic() + 60
    # One case is whole, and the next begun.
    while time.monotonic() < deadline and not (list(folder.glob("[!.]*")) and list(folder.glob(".partial-*/*.npy"))):
        time.sleep(0.005)
    process.kill()
    process.join()
    assert list(folder.glob(".partial-*"))
    prepare(folder, cases)
    assert not list(folder.glob(".partial-*"))
    prepare(tmp_path / "whole", cases)
    assert contents(folder) == contents(tmp_path / "whole")


@pytest.mark.slow
def test_two_runs_share_a_cache_that_neither_has_made(tmp_path, cases):
    folder = tmp_path / "prepared"
    processes = [get_context("spawn").Process(target=prepare_slowly, args=(folder, cases)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    prepare(tmp_path / "whole", cases)
    assert contents(folder) == contents(tmp_path / "whole")
