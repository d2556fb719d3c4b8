"""Studies spread over a Ray cluster, whose nodes may be lost: the manifest stays here, the studies go there."""

from __future__ import annotations

import logging
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from medseg.core.errors import InputError, MedsegError

from .engine import Limits, Tasks
from .records import Status, StudyResult, StudyTask
from .remote import RemoteWorker
from .worker import OpenWorker

_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_TO_ANSWER = 5.0
_MOST_LOSSES = 3


@dataclass(eq=False)
class _Actor:
    """A worker somewhere in the cluster, and what it has in hand."""

    handle: Any
    ready: Any
    hands: dict[Any, StudyTask] = field(default_factory=dict)


class RayEngine:
    """Workers on a Ray cluster: one a GPU, or one a node where there is none.

    All nodes have to see the model, the studies, the output folder and the key under the same paths, and have medseg
    installed. A study whose worker was lost is done again elsewhere; one that has lost three workers has failed.

    Args:
        open_worker: Makes what does the work, in each worker.
        limits: Studies in hand of a worker, longest time; ``processes`` is how many workers, 0 for what is there.
        cluster: Address, such as ``auto`` or ``ray://head:10001``; None for a cluster of this machine alone.
    """

    def __init__(self, open_worker: OpenWorker, limits: Limits, cluster: str | None) -> None:
        self._open_worker, self._limits, self._cluster = open_worker, limits, cluster
        self._actors: list[_Actor] = []
        self._again: deque[StudyTask] = deque()
        self._losses: Counter[str] = Counter()

    def run(self, tasks: Tasks) -> Iterator[StudyResult]:
        """What became of each study, in the order in which they end.

        Raises:
            InputError: If Ray is not installed, or the cluster cannot be reached.
            MedsegError: If a worker cannot be made; what it raised.
        """
        ray = _connected(self._cluster)
        try:
            while not (tasks.are_over and not self._again and not any(actor.hands for actor in self._actors)):
                self._start_missing(ray)
                self._hand_out(ray, tasks)
                yield from self._gather(ray)
                yield from self._late(ray)
        finally:
            self._end(ray)

    def _start_missing(self, ray: Any) -> None:
        wanted, resources = _shares(ray, self._limits.processes)
        for index in range(len(self._actors), wanted):
            # One call more than studies, so that the worker can always be asked how long it has been at them.
            options = {"max_concurrency": self._limits.at_once + 1, "scheduling_strategy": "SPREAD", **resources}
            handle = ray.remote(RemoteWorker).options(**options).remote(self._open_worker, index)
            self._actors.append(_Actor(handle, handle.is_ready.remote()))

    def _hand_out(self, ray: Any, tasks: Tasks) -> None:
        ready, _ = ray.wait([actor.ready for actor in self._actors], num_returns=len(self._actors), timeout=0)
        for actor in [one for one in self._actors if one.ready in ready]:
            if not self._is_usable(ray, actor):
                continue
            while len(actor.hands) < self._limits.at_once:
                task = self._again.popleft() if self._again else tasks.next()
                if task is None:
                    return
                actor.hands[actor.handle.process.remote(task)] = task

    def _is_usable(self, ray: Any, actor: _Actor) -> bool:
        """Whether a worker that has answered could be made; one whose node was lost is dropped."""
        try:
            ray.get(actor.ready)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, MedsegError) else InputError("a worker could not be made")) from None
        except ray.exceptions.RayActorError as error:
            failed = _own_error(error)
            if failed is not None:
                raise failed from None
            self._actors.remove(actor)
            return False
        return True

    def _gather(self, ray: Any) -> Iterator[StudyResult]:
        owners = {call: actor for actor in self._actors for call in actor.hands}
        if not owners:
            ray.wait([actor.ready for actor in self._actors], timeout=_SECONDS_BETWEEN_LOOKS)
            return
        ended, _ = ray.wait(list(owners), num_returns=len(owners), timeout=_SECONDS_BETWEEN_LOOKS)
        for call in ended:
            actor = owners[call]
            task = actor.hands.pop(call, None)
            if task is None:
                continue  # its worker was lost by another of its studies just before
            try:
                yield ray.get(call)
            except ray.exceptions.RayError:
                yield from self._lost(actor, [task, *actor.hands.values()])

    def _lost(self, actor: _Actor, hands: list[StudyTask]) -> Iterator[StudyResult]:
        """A worker is gone: its studies are done again, unless that has happened too often."""
        actor.hands.clear()
        if actor in self._actors:
            self._actors.remove(actor)
        for task in hands:
            self._losses[task.name] += 1
            if self._losses[task.name] < _MOST_LOSSES:
                self._again.append(task)
            else:
                yield _failed(task, f"its worker was lost {_MOST_LOSSES} times, as when memory runs out")

    def _late(self, ray: Any) -> Iterator[StudyResult]:
        limit = self._limits.seconds
        for actor in [one for one in self._actors if one.hands and limit is not None]:
            for_how_long = _asked(ray, actor)
            late = [one for one in actor.hands.values() if for_how_long.get(one.name, 0.0) > (limit or 0.0)]
            if not late:
                continue
            others = [one for one in actor.hands.values() if one not in late]
            ray.kill(actor.handle)
            self._actors.remove(actor)
            self._again.extend(others)
            for task in late:
                yield _failed(task, f"it took longer than the limit of {limit:g} s")

    def _end(self, ray: Any) -> None:
        for actor in self._actors:
            ray.kill(actor.handle)
        self._actors.clear()
        ray.shutdown()


def _connected(cluster: str | None) -> Any:
    """Ray, connected to the cluster; it reports nothing to its makers."""
    try:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # noqa: TID251 - the only switch that Ray has for it
        import ray  # noqa: PLC0415 - an extra that is slow to load
    except ImportError:
        raise InputError("Ray is not installed; install medseg[ray], or use --engine local") from None
    try:
        ray.init(cluster, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"the Ray cluster cannot be reached ({type(error).__name__}); see `ray status`") from error
    return ray


def _shares(ray: Any, wanted: int) -> tuple[int, Mapping[str, float]]:
    """How many workers, and what each takes: a GPU and its part of the cores, or a node's cores."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(node.get("GPU", 0) for node in nodes))
    if gpus:
        return wanted or gpus, {"num_gpus": 1, "num_cpus": 1}
    cores = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1]
    return wanted or max(1, len(cores)), {"num_cpus": min(cores, default=1)}


def _asked(ray: Any, actor: _Actor) -> dict[str, float]:
    """Seconds that a worker has been at each of its studies; nothing from one that does not answer."""
    try:
        seconds: dict[str, float] = ray.get(actor.handle.seconds.remote(), timeout=_SECONDS_TO_ANSWER)
    except ray.exceptions.RayError:
        return {}
    return seconds


def _own_error(error: Exception) -> MedsegError | None:
    """The error of ours that kept a worker from being made, which Ray wraps in its own."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, MedsegError):
        cause = getattr(cause, "cause", None) or cause.__cause__
    return cause


def _failed(task: StudyTask, reason: str) -> StudyResult:
    return StudyResult(task.name, task.version, Status.FAILED, reason)
