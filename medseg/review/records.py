"""What is known of a case, and what people did to it. Nothing here holds an identifier or a path."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import NewType

from medseg.config.review import Role

CaseName = NewType("CaseName", str)
"""Pseudonym of a case."""
LOCAL_READER = "local, not authenticated"
"""Name of whoever uses the app where no login is configured."""


class Verdict(StrEnum):
    """What a reader says of outlines."""

    ACCEPTED = "accepted"
    NEEDS_WORK = "needs work"
    REJECTED = "rejected"


class Difficulty(StrEnum):
    """How hard a case was to judge."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class Origin(StrEnum):
    """Where a case comes from."""

    BATCH = "batch"
    FOLDER = "folder"
    UPLOAD = "upload"


@dataclass(frozen=True)
class Reader:
    """Who acts.

    Attributes:
        name: As the login provider vouches for it; ``LOCAL_READER`` without login.
        role: What they may do.
    """

    name: str
    role: Role


@dataclass(frozen=True)
class ModelStamp:
    """The model that made outlines; empty texts where nobody knows."""

    name: str = ""
    version: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Flag:
    """One thing about one target that is unlike training."""

    target: str
    text: str


@dataclass(frozen=True)
class CaseRecord:
    """A case that was seen.

    Attributes:
        name: Its pseudonym.
        origin: Where it comes from.
        model: Who predicted it.
        made: When it was predicted, seconds since 1970; None if nobody knows.
        flags: What is odd about the prediction.
        owner: Reader who uploaded it and alone sees it; empty for everybody's.
    """

    name: CaseName
    origin: Origin
    model: ModelStamp = field(default_factory=ModelStamp)
    made: float | None = None
    flags: tuple[Flag, ...] = ()
    owner: str = ""


@dataclass(frozen=True)
class Version:
    """Outlines of a case that were kept. Number 0 is the prediction as it came, which nothing replaces.

    Attributes:
        case: The case.
        number: Counts up within the case.
        parent: The version that was changed; None for number 0.
        author: Reader or model.
        made: Seconds since 1970.
        sha256: Of the labels, in the vault.
        volumes_ml: Of each target; empty for images in pixels.
        changed_ml: Of each target, what was added or removed beside the parent.
        input_sha256: Of the image's voxels and grid.
    """

    case: CaseName
    number: int
    parent: int | None
    author: str
    made: float
    sha256: str
    volumes_ml: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    changed_ml: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    input_sha256: str = ""


@dataclass(frozen=True)
class Decision:
    """What a reader decided about a version; a later one of the same reader about the same case counts instead.

    Attributes:
        case: The case.
        version: Number of the version that was looked at.
        reader: Who.
        verdict: What they say of it.
        made: Seconds since 1970.
        difficulty: How hard it was; None if they did not say.
        comment: Their words.
    """

    case: CaseName
    version: int
    reader: str
    verdict: Verdict
    made: float
    difficulty: Difficulty | None = None
    comment: str = ""


class Act(StrEnum):
    """What the audit log tells of."""

    CASE_SEEN = "case seen"
    OPENED = "opened"
    SAVED = "saved"
    DECIDED = "decided"
    EXPORTED = "exported"
    INFERRED = "inferred"
    UPLOADED = "uploaded"
    TEXT_RELEASED = "burned-in text released"
    IDENTIFIERS_SHOWN = "identifiers shown"
    SIGNED_IN = "signed in"
    REFUSED = "refused"
