"""A Ray cluster that this process is connected to: the only place that knows Ray."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import medseg
from medseg.core.errors import InputError

from .records import StudyTask
from .remote import RemoteWorker
from .worker import OpenWorker

_SECONDS_TO_ANSWER = 5.0
_SECONDS_TO_FETCH = 60.0
_GONE_AFTER_S = 40.0  # Ray ends this process 60 s after it has lost the head
_CLIENT, _CLIENT_PORT = "ray://", 10001
_GONE = (
    "the Ray cluster is gone; what was done is recorded, so start the same command again once the cluster is back "
    "(see `ray status`)"
)

Call = Any
"""What a worker was asked, and will answer."""


@dataclass(frozen=True)
class Lost:
    """No answer will come: the worker, its process or its machine is gone."""


@dataclass(frozen=True)
class Place:
    """Where a worker runs, and what is its own there.

    Attributes:
        node: The machine, as the cluster calls it.
        cores: How many.
        gpus: How many; a part of one where workers share it.
    """

    node: str
    cores: int
    gpus: float = 0.0


class Handle(Protocol):
    """A worker somewhere in the cluster. Each question is answered later, if the worker lives."""

    def unfit(self) -> Call:
        """Ask why it cannot work."""

    def process(self, task: StudyTask) -> Call:
        """Ask for a study."""

    def at_work(self) -> Call:
        """Ask how long it has been at its studies."""

    def kill(self) -> None:
        """End its process at once, whatever it does."""


class Cluster(Protocol):
    """Machines with workers."""

    def nodes(self) -> Mapping[str, Mapping[str, float]] | None:
        """What each machine has that is alive; None while nobody can tell."""

    def start(self, place: Place, open_worker: OpenWorker, index: int, calls: int) -> Handle:
        """A worker that is asked so many things at a time."""

    def answered(self, calls: Sequence[Call], seconds: float) -> Sequence[Call]:
        """The calls that have an answer; waits until there is one, but not longer than ``seconds``."""

    def answer(self, call: Call) -> Any:
        """The answer, which is there or lost."""


class _RayHandle:
    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor

    def unfit(self) -> Call:
        return self._actor.unfit.remote()

    def process(self, task: StudyTask) -> Call:
        return self._actor.process.remote(task)

    def at_work(self) -> Call:
        return self._actor.at_work.remote()

    def kill(self) -> None:
        if self._ray.is_initialized():  # if not, the connection was lost and the workers with it
            self._ray.kill(self._actor)


class RayCluster:
    """A cluster through Ray.

    Args:
        ray: The module, connected.
        head: Host and port of the head node.
    """

    def __init__(self, ray: Any, head: tuple[str, int]) -> None:
        self._ray, self._head = ray, head
        self._seen = time.monotonic()

    def nodes(self) -> Mapping[str, Mapping[str, float]] | None:
        """What each machine has that is alive, by Ray's names (``CPU``, ``GPU``); None while the head is silent.

        Raises:
            InputError: If the head has been silent, or no machine alive, for long.
        """
        # Ray waits for a head that is gone until it ends the whole process, so it is asked only if somebody is there.
        if _is_reachable(self._head):
            alive = {node["NodeID"]: node["Resources"] for node in self._ray.nodes() if node["Alive"]}
            if alive:
                self._seen = time.monotonic()
                return alive
        if time.monotonic() - self._seen > _GONE_AFTER_S:
            raise InputError(_GONE)
        return None

    def start(self, place: Place, open_worker: OpenWorker, index: int, calls: int) -> Handle:
        """A worker at that place; it begins once what is its own there is free."""
        affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(place.node, soft=False)
        options = {"num_cpus": place.cores, "num_gpus": place.gpus, "max_concurrency": calls}
        remote = self._ray.remote(RemoteWorker).options(scheduling_strategy=affinity, **options)
        return _RayHandle(self._ray, remote.remote(open_worker, index, medseg.__version__))

    def answered(self, calls: Sequence[Call], seconds: float) -> Sequence[Call]:
        """The calls that have an answer, or will have none."""
        if not calls:
            time.sleep(seconds)
            return []
        first, _ = self._ray.wait(list(calls), num_returns=1, timeout=seconds)
        if not first:
            return []
        every, _ = self._ray.wait(list(calls), num_returns=len(calls), timeout=0)
        return list(every) or list(first)

    def answer(self, call: Call) -> Any:
        """The answer; ``Lost`` if the worker was.

        Raises:
            InputError: If a worker cannot even be asked: it runs other code than this process.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(call, timeout=_SECONDS_TO_FETCH)
        except errors.RayTaskError as error:
            kind = type(error.cause).__name__
            raise InputError(f"a worker cannot be called ({kind}); install the same medseg on every node") from None
        except errors.RayError:
            return Lost()


@contextmanager
def connected(address: str) -> Iterator[RayCluster]:
    """The cluster at an address such as ``auto``, ``head:6379`` or ``ray://head:10001``, as long as the block lasts.

    Nothing is started, so nothing is switched on that Ray has off or on by itself.

    Raises:
        InputError: If Ray is not installed, or the cluster cannot be reached or goes away.
    """
    try:
        import ray  # noqa: PLC0415 - an extra that is slow to load
        import ray.util.scheduling_strategies  # noqa: PLC0415
    except ImportError:
        raise InputError("Ray is not installed; install medseg[ray], or use --engine local") from None
    _keep_quiet(ray)
    head = _head(ray, address)
    on_termination = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address, log_to_driver=False, configure_logging=False)
    except (ConnectionError, ImportError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(
            f"the Ray cluster takes no connection ({type(error).__name__}); Python, Ray and the access token have to "
            "be the same here and there, and this machine one of its nodes, or the address one that begins with ray://"
        ) from None
    finally:
        _restore(on_termination)
    try:
        yield RayCluster(ray, head)
    except (ConnectionError, ray.exceptions.RaySystemError):
        raise InputError(_GONE) from None
    finally:
        ray.shutdown()


def _keep_quiet(ray: Any) -> None:
    """Keep Ray from telling what nobody needs to know, and from starting a cluster of its own."""
    logging.getLogger("ray").setLevel(logging.ERROR)
    # Whatever is called after the connection was lost would start one on this machine.
    ray._private.auto_init_hook.enable_auto_connect = False  # noqa: SLF001
    # The cluster keeps the command line of who uses it, for all to see; a path in it may name a patient.
    ray._private.utils.get_entrypoint_name = lambda: "medseg batch"  # noqa: SLF001
    # Lines of the logs of lost nodes would come out between our own, whatever log_to_driver says.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None  # noqa: SLF001


def _head(ray: Any, address: str) -> tuple[str, int]:
    """Host and port of the head, if it answers; Ray itself would try for many minutes."""
    try:
        found = _resolved(ray, address)
    except (ConnectionError, ValueError):
        raise InputError("that is no address of a Ray cluster, such as head:6379 or ray://head:10001") from None
    if not found:
        raise InputError("no Ray cluster runs on this machine; start one by `ray start`, or name it by --cluster")
    host, _, port = found.rpartition(":")
    head = host.strip("[]"), int(port) if port.isdecimal() else 0
    if not _is_reachable(head):
        raise InputError("the Ray cluster cannot be reached; is it running (see `ray status`), and its port open")
    return head


def _resolved(ray: Any, address: str) -> str | None:
    """``host:port``; None if there is none."""
    if address.startswith(_CLIENT):
        place = address.removeprefix(_CLIENT)
        if not place:
            raise ValueError
        return place if ":" in place else f"{place}:{_CLIENT_PORT}"
    # Only Ray knows what "auto" stands for.
    found: str | None = ray._private.services.canonicalize_bootstrap_address(address)  # noqa: SLF001
    return found


def _is_reachable(head: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(head, _SECONDS_TO_ANSWER):
            return True
    except (OSError, OverflowError):
        return False


def _restore(on_termination: Any) -> None:
    """Put back what SIGTERM did before Ray took it over."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_termination)
