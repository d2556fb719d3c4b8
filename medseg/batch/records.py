"""What is done to a study, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """Where a study stands."""

    WAITING = "waiting"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


class Stage(StrEnum):
    """What a worker does with a study at a time."""

    READ = "read"
    PREDICT = "predict"
    WRITE = "write"


@dataclass(frozen=True)
class StudyTask:
    """One study to do; it may travel to another process or machine.

    Attributes:
        name: Pseudonym of the study.
        paths: Its files.
        version: Changes when the study, the model or what is wanted of it changes.
        problem: Why it cannot be done, known before any file is read; empty if nothing is known.
    """

    name: str
    paths: tuple[str, ...] = field(repr=False)
    version: str
    problem: str = ""


@dataclass(frozen=True)
class OutputFile:
    """A file that was written.

    Attributes:
        name: Below the study's folder, with forward slashes.
        size: Bytes.
        sha256: Of its content, hexadecimal.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Measured:
    """One target of one result.

    Attributes:
        series: Pseudonym of the series that was predicted.
        target: Structure or region.
        volume_ml: Millilitres; None where the image has no millimetres.
        components: Parts.
        flags: What is unlike training.
    """

    series: str
    target: str
    volume_ml: float | None
    components: int
    flags: tuple[str, ...]


@dataclass(frozen=True)
class StudyResult:
    """What became of a study.

    Attributes:
        name: Its pseudonym.
        version: That of its task.
        status: Never waiting.
        reason: Why it was skipped or failed, or what is unusual; no identifier in it.
        series: Pseudonyms of the series that were predicted.
        seconds: By stage.
        measured: Of each series and target.
        outputs: What was written.
        lacks_room: Whether it failed because a disk is full, so that it can be done later.
    """

    name: str
    version: str
    status: Status
    reason: str = ""
    series: tuple[str, ...] = ()
    seconds: dict[Stage, float] = field(default_factory=dict)
    measured: tuple[Measured, ...] = ()
    outputs: tuple[OutputFile, ...] = ()
    lacks_room: bool = False

    @property
    def flags(self) -> int:
        """How many things are unlike training."""
        return sum(len(one.flags) for one in self.measured)
