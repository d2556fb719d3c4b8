"""Many simulated users of the review app at once, each with a browser, an address, uploads and marks of their own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from review_client import Run
from review_ledger import DOMAIN
from review_material import write_studies
from review_person import Person, World
from review_server import Footprint, Server, running

from medseg.config.review import LoginSection, ReviewConfig, Role

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from oidc_provider import running_provider

STUDIES, STUDY_SHAPE, STUDY_SPACING = 6, (96, 96, 44), (4.0, 4.0, 5.0)
PATIENCE_S = 120.0
"""How long the app keeps what a browser left behind."""
_MORE_S, _EVERY_S = 20.0, 1.0
_WARM_S = 1.0


@dataclass
class Memory:
    """Of the server.

    Attributes:
        start: When it is up and nobody was there.
        warm: When one person came, did everything once and left.
        peak: The most while everybody was there, the server alone.
        peak_tree: The same with the processes that clean uploads, MiB.
        left: When everybody had left.
    """

    start: Footprint
    warm: Footprint
    peak: Footprint
    peak_tree: float
    left: Footprint


@dataclass
class Load:
    """What came of it.

    Attributes:
        people: All.
        world: Where they were.
        seconds: For how long.
        patience_s: How long the server keeps what a browser left behind.
        memory: Of the server.
        held: What it holds for sessions when all are gone.
        server_cpu_s: Of the server while they were there, without the processes that clean uploads.
        client_cpu_s: Of this process in that time.
        said: What the server wrote.
    """

    people: Sequence[Person]
    world: World
    seconds: float
    patience_s: float
    memory: Memory
    held: dict[str, int]
    server_cpu_s: float
    client_cpu_s: float
    said: list[str]

    @property
    def runs(self) -> dict[str, list[float]]:
        """Seconds of the runs by kind."""
        found: dict[str, list[float]] = defaultdict(list)
        for run in self._all_runs():
            found[run.kind].append(run.seconds)
        return dict(found)

    @property
    def done(self) -> Counter[str]:
        """How often each thing was done."""
        return sum((one.done for one in self.people), Counter[str]())

    @property
    def errors(self) -> list[str]:
        """What went wrong."""
        return [f"user {one.number}: {error}" for one in self.people for error in one.errors]

    @property
    def refused(self) -> int:
        """How often somebody tried to get what is another's and did not."""
        return sum(one.refused for one in self.people)

    def _all_runs(self) -> Iterator[Run]:
        return (run for one in self.people for run in one.runs)


def measured(users: int, seconds: float, patience_s: float | None = None) -> Load:
    """Let so many people use a new server for so long.

    Args:
        users: How many.
        seconds: How long.
        patience_s: How long the server keeps what a browser left behind; None for what the app does.
    """
    addresses = [f"reader{number}@{DOMAIN}" for number in range(users + 1)]
    with tempfile.TemporaryDirectory() as name, running_provider(*addresses) as provider:
        folder, port = Path(name), free_port()
        secrets = provider.secrets_toml(f"http://127.0.0.1:{port}")
        (folder / "secrets.toml").write_text(secrets, encoding="utf-8")
        config = ReviewConfig(
            folder=folder / "review",
            key=folder / "project.key",
            sources=(write_studies(folder, "shared", STUDY_SHAPE, STUDY_SPACING, STUDIES),),
            login=LoginSection(readers={f"*@{DOMAIN}": Role.READER}),
        )
        with running(config, folder, port, patience_s) as server:
            return _used(server, users, seconds, patience_s or PATIENCE_S)


def _used(server: Server, users: int, seconds: float, patience_s: float) -> Load:
    now = server.memory()
    memory = Memory(now, now, now, 0.0, now)
    first = World(server.url, time.monotonic() + _WARM_S)
    asyncio.run(_together([Person(users, first)]))
    _wait_until_gone(server, patience_s)
    memory.warm = server.memory()
    begun = time.monotonic()
    world = World(server.url, begun + seconds)
    people = [Person(number, world) for number in range(users)]
    server_cpu, client_cpu = server.cpu_s(), time.process_time()
    asyncio.run(_together(people, server, memory))
    server_cpu, client_cpu = server.cpu_s() - server_cpu, time.process_time() - client_cpu
    seconds = time.monotonic() - begun
    held = _wait_until_gone(server, patience_s)
    memory.left = server.memory()
    return Load(people, world, seconds, patience_s, memory, held, server_cpu, client_cpu, server.said)


async def _together(people: Sequence[Person], server: Server | None = None, memory: Memory | None = None) -> None:
    watch = asyncio.create_task(_watch(server, memory)) if server and memory else None
    try:
        await asyncio.gather(*(one.live() for one in people))
    finally:
        if watch is not None:
            watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watch


async def _watch(server: Server, memory: Memory) -> None:
    while True:
        now = await asyncio.to_thread(server.memory)
        memory.peak = max(memory.peak, now, key=lambda one: one.data)
        memory.peak_tree = max(memory.peak_tree, await asyncio.to_thread(server.tree_mib))
        await asyncio.sleep(_EVERY_S)


def _wait_until_gone(server: Server, patience_s: float) -> dict[str, int]:
    """Wait until the server holds nothing for sessions, or should not; gives what it holds."""
    until = time.monotonic() + patience_s + _MORE_S
    while True:
        held = server.held()
        if not any(held.values()) or time.monotonic() > until:
            return held
        time.sleep(_EVERY_S)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def percentile(values: Sequence[float], percent: int) -> float:
    """In the unit of the values; of one value it is that."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
