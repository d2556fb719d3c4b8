"""Studies spread over a Ray cluster, whose nodes may be lost: the manifest stays here, the studies go there."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from medseg.core.errors import InputError, MedsegError

from .cluster import Call, Cluster, Handle, Lost, Place, connected
from .engine import Limits, Tasks
from .records import Status, StudyResult, StudyTask
from .remote import AtWork
from .worker import OpenWorker

_LOGGER = logging.getLogger(__name__)
_SECONDS_BETWEEN_LOOKS = 0.5
_SECONDS_BETWEEN_ROLL_CALLS = 2.0
_GRACE_S = 10.0
_SECONDS_TO_BEGIN = 60.0
_MOST_LOSSES_ALONE = 2
_MOST_FALSE_STARTS = 3

Connect = Callable[[str], AbstractContextManager[Cluster]]
"""Gives the cluster at an address, as long as a block lasts."""


@dataclass(eq=False)
class _Worker:
    """A worker somewhere in the cluster, what it was asked, and what it has in hand."""

    place: Place
    handle: Handle
    unfit: Call
    is_ready: bool = False
    hands: dict[Call, StudyTask] = field(default_factory=dict)
    is_alone: bool = False
    asked: Call | None = None
    asked_at: float = 0.0

    def calls(self) -> list[Call]:
        """All that it has still to answer."""
        beginning = [] if self.is_ready else [self.unfit]
        return [*beginning, *self.hands, *([] if self.asked is None else [self.asked])]


class RayEngine:
    """Workers on the nodes of a Ray cluster that runs already: one a GPU, or one a node where there is none.

    All nodes have to see the model, the studies, the output folder and the key under the same paths, and have the same
    medseg installed. What a lost worker had in hand is done again, each study alone in a worker; a study whose worker
    is lost twice more has failed. A node that joins gets workers.

    Args:
        open_worker: Makes what does the work, in each worker.
        limits: Studies in hand of a worker, longest time; ``processes`` is how many workers a node, 0 for one a GPU or
            one.
        cluster: Address, such as ``head:6379`` or ``ray://head:10001``; None for the cluster of this machine.
        gpus: Whether workers use GPUs; nodes without one then get work only if no node has any.
        connect: Connects to the cluster.
    """

    def __init__(
        self,
        open_worker: OpenWorker,
        limits: Limits,
        cluster: str | None,
        *,
        gpus: bool = True,
        connect: Connect = connected,
    ) -> None:
        self._open_worker, self._limits, self._gpus = open_worker, limits, gpus
        self._address, self._connect = cluster or "auto", connect
        self._workers: list[_Worker] = []
        self._again: deque[StudyTask] = deque()
        self._suspects: deque[StudyTask] = deque()
        self._losses_alone: Counter[str] = Counter()
        self._false_starts: Counter[str] = Counter()
        self._started = 0
        self._called_roll = -math.inf
        self._wonders_at = math.inf

    def run(self, tasks: Tasks) -> Iterator[StudyResult]:
        """What became of each study, in the order in which they end; the workers end with the iterator.

        Raises:
            InputError: If Ray is not installed, the cluster cannot be reached or goes away, or workers end before they
                can begin.
            MedsegError: If a worker cannot be made; what it raised.
        """
        with self._connect(self._address) as cluster:
            self._wonders_at = time.monotonic() + _SECONDS_TO_BEGIN
            try:
                while not self._is_over(tasks):
                    yield from self._call_roll(cluster)
                    self._hand_out(tasks)
                    self._ask()
                    yield from self._gather(cluster)
            finally:
                self._end()

    def _is_over(self, tasks: Tasks) -> bool:
        busy = any(worker.hands for worker in self._workers)
        return tasks.are_over and not busy and not self._again and not self._suspects

    def _call_roll(self, cluster: Cluster) -> Iterator[StudyResult]:
        """Every so often: give up the workers of nodes that are gone, and start those that are missing."""
        if time.monotonic() - self._called_roll < _SECONDS_BETWEEN_ROLL_CALLS:
            return
        nodes = cluster.nodes()
        self._called_roll = time.monotonic()
        if nodes is None:
            return
        for worker in [one for one in self._workers if one.place.node not in nodes]:
            yield from self._lose(worker)
        good = {node: has for node, has in nodes.items() if self._false_starts[node] < _MOST_FALSE_STARTS}
        if not good:
            raise InputError(
                f"workers ended {_MOST_FALSE_STARTS} times before they could begin, on every node; is the same medseg "
                "installed there, and memory enough"
            )
        there = Counter(worker.place.node for worker in self._workers)
        for place in places(good, self._limits.processes, gpus=self._gpus):
            there[place.node] -= 1
            if there[place.node] < 0:
                self._start(cluster, place)
        self._wonder()

    def _start(self, cluster: Cluster, place: Place) -> None:
        # One call more than studies, so that the worker can always be asked how long it has been at them.
        handle = cluster.start(place, self._open_worker, self._started, self._limits.at_once + 1)
        self._workers.append(_Worker(place, handle, handle.unfit()))
        self._started += 1

    def _wonder(self) -> None:
        """Say once that nothing has begun: the cluster may be busy with other work."""
        if self._wonders_at < time.monotonic() and not any(worker.is_ready for worker in self._workers):
            _LOGGER.warning("no worker has begun on the cluster; are its cores and GPUs free (see `ray status`)?")
            self._wonders_at = math.inf

    def _hand_out(self, tasks: Tasks) -> None:
        """Give work to whoever has least; a study whose worker was lost gets a worker of its own."""
        while (worker := self._freest()) is not None:
            worker.is_alone = bool(self._suspects)
            ready = self._suspects or self._again
            task = ready.popleft() if ready else tasks.next()
            if task is None:
                return
            worker.hands[worker.handle.process(task)] = task

    def _freest(self) -> _Worker | None:
        most = 1 if self._suspects else self._limits.at_once
        free = [one for one in self._workers if one.is_ready and len(one.hands) < (1 if one.is_alone else most)]
        return min(free, key=lambda one: len(one.hands), default=None)

    def _ask(self) -> None:
        """Ask those at work how long they have been at it, one question at a time."""
        now = time.monotonic()
        for worker in self._workers if self._limits.seconds is not None else ():
            if worker.hands and worker.asked is None and now - worker.asked_at >= _SECONDS_BETWEEN_LOOKS:
                worker.asked, worker.asked_at = worker.handle.at_work(), now

    def _gather(self, cluster: Cluster) -> Iterator[StudyResult]:
        """Results that have come, and those of studies that take too long or have lost too many workers."""
        owners = {call: worker for worker in self._workers for call in worker.calls()}
        for call in cluster.answered(list(owners), _SECONDS_BETWEEN_LOOKS):
            worker = owners[call]
            if worker not in self._workers:
                continue  # it was given up for the answer to another call
            answer = cluster.answer(call)
            if isinstance(answer, Lost):
                self._false_starts[worker.place.node] += not worker.is_ready
                yield from self._lose(worker)
            else:
                yield from self._told(worker, call, answer)
        yield from self._mute()

    def _told(
        self, worker: _Worker, call: Call, answer: MedsegError | StudyResult | AtWork | None
    ) -> Iterator[StudyResult]:
        match answer:
            case MedsegError():
                raise answer
            case None:
                worker.is_ready = True
                self._false_starts[worker.place.node] = 0
            case StudyResult():
                del worker.hands[call]
                worker.is_alone = False
                yield answer
            case _:
                worker.asked = None
                yield from self._late(worker, answer)

    def _late(self, worker: _Worker, at_work: AtWork) -> Iterator[StudyResult]:
        """End a worker that has been at a study for too long; what else it has in hand is begun again."""
        limit = self._limits.seconds or math.inf
        late = {name: stage for name, (seconds, stage) in at_work.items() if seconds > limit}
        tasks = list(worker.hands.values())
        if not any(task.name in late for task in tasks):
            return
        self._remove(worker)
        for task in tasks:
            if task.name in late:
                doing = f" while it was to {late[task.name]}" if late[task.name] else ""
                yield _failed(task, f"it took longer than the limit of {limit:g} s{doing}")
            else:
                self._again.append(task)

    def _mute(self) -> Iterator[StudyResult]:
        """Give up workers that do not even say how long they have been at their studies."""
        latest = time.monotonic() - (self._limits.seconds or math.inf) - _GRACE_S
        for worker in [one for one in self._workers if one.asked is not None and one.asked_at < latest]:
            yield from self._lose(worker)

    def _lose(self, worker: _Worker) -> Iterator[StudyResult]:
        """A worker is gone: its studies are done again, each alone, unless that has failed before."""
        self._remove(worker)
        _LOGGER.warning("a worker of the cluster was lost with %d studies, which are done again", len(worker.hands))
        for task in worker.hands.values():
            self._losses_alone[task.name] += worker.is_alone
            if self._losses_alone[task.name] < _MOST_LOSSES_ALONE:
                self._suspects.append(task)
            else:
                yield _failed(task, f"its worker was lost {_MOST_LOSSES_ALONE + 1} times, as when memory runs out")

    def _remove(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.handle.kill()
        self._called_roll = -math.inf  # another takes its place at once

    def _end(self) -> None:
        for worker in self._workers:
            worker.handle.kill()
        self._workers.clear()


def places(nodes: Mapping[str, Mapping[str, float]], wanted: int, *, gpus: bool) -> list[Place]:
    """Where workers run, with their shares of cores and GPUs; one entry a worker.

    Args:
        nodes: What each node has, as Ray calls it (``CPU``, ``GPU``).
        wanted: Workers a node; 0 for one a GPU, or one.
        gpus: Whether they use GPUs. Nodes without one are then left out where others have some.
    """
    cores = {node: int(has.get("CPU", 0)) for node, has in nodes.items()}
    cards = {node: int(has.get("GPU", 0)) if gpus else 0 for node, has in nodes.items()}
    found = []
    for node in [node for node in nodes if cores[node] and (cards[node] or not any(cards.values()))]:
        count = min(wanted or max(1, cards[node]), cores[node])
        sharing = math.ceil(count / cards[node]) if cards[node] else 0
        found += [Place(node, cores[node] // count, 1 / sharing if sharing else 0.0)] * count
    return found


def _failed(task: StudyTask, reason: str) -> StudyResult:
    return StudyResult(task.name, task.version, Status.FAILED, reason)
