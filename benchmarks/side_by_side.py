"""Trainings in several processes at once, each with its share of the threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import torch

Task = TypeVar("Task")
Found = TypeVar("Found")


def side_by_side(job: Callable[[Task], Found], tasks: Iterable[Task], processes: int) -> list[Found]:
    """What ``job`` returns for each task, in their order; one after the other where ``processes`` is 1.

    Small networks use one thread better than two. All trainings of a table must share the processor alike, or their
    minutes are not worth the same.
    """
    if processes == 1:
        return [job(task) for task in tasks]
    threads = threads_each(processes)
    with ProcessPoolExecutor(processes, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        return list(pool.map(job, tasks))


def threads_each(processes: int) -> int:
    """Threads of each of so many processes."""
    return max(1, torch.get_num_threads() // processes)
