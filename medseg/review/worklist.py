"""The work list: what is still to be done about each case, the worst first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from .access import Deed, allows, may_see
from .case_files import CaseFiles
from .flags import severity
from .records import CaseName, CaseRecord, Decision, Reader, Verdict, Version

_DISPUTED, _NO_OUTLINES = 8.0, 5.0


class CaseStatus(StrEnum):
    """Where a case stands."""

    NEW = "new"
    IN_WORK = "in work"
    """Somebody corrected it, and nobody has decided."""
    ACCEPTED = "accepted"
    NEEDS_WORK = "needs work"
    REJECTED = "rejected"
    DISPUTED = "disputed"
    """Readers decided differently."""

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to be done."""
        return self in (CaseStatus.ACCEPTED, CaseStatus.REJECTED)


_OF_VERDICTS = {
    Verdict.ACCEPTED: CaseStatus.ACCEPTED,
    Verdict.NEEDS_WORK: CaseStatus.NEEDS_WORK,
    Verdict.REJECTED: CaseStatus.REJECTED,
}


class History(Protocol):
    """What the work list asks of the store."""

    def decisions(self, case: CaseName | None = None) -> list[Decision]:
        """Decisions about one case or all, the oldest first."""

    def versions(self, case: CaseName | None = None) -> list[Version]:
        """Versions by number, of one case or of each."""


@dataclass(frozen=True)
class WorkItem:
    """A case in the work list of a reader.

    Attributes:
        record: What is known of it.
        status: Where it stands, by what all readers did.
        decisions: The latest of each reader whose decisions this reader may see, the oldest first.
        versions: How many the store has, the prediction among them.
        worst: How urgently somebody should look; 0 if nothing is odd.
        is_mine: Whether this reader has decided about it, has begun to correct it, or uploaded it.
        since: Since when it waits for what is next, seconds since 1970; None if it is settled or nobody knows.
    """

    record: CaseRecord
    status: CaseStatus
    decisions: tuple[Decision, ...]
    versions: int
    worst: float
    is_mine: bool
    since: float | None


def work_list(
    store: History, cases: Iterable[CaseFiles], reader: Reader, drafts: Collection[CaseName]
) -> list[WorkItem]:
    """The cases that a reader may see: what is open before what is settled, then the worst, then what waits longest.

    Args:
        store: Versions and decisions.
        cases: All cases.
        reader: Whose list it is.
        drafts: Cases that this reader has begun to correct.
    """
    versions: dict[CaseName, list[Version]] = defaultdict(list)
    for version in store.versions():
        versions[version.case].append(version)
    latest = _latest(store.decisions())
    items = (
        _item(files, reader, versions[files.name], latest.get(files.name, {}), is_draft=files.name in drafts)
        for files in cases
        if may_see(reader, files.record)
    )
    return sorted(items, key=_rank)


def status_of(versions: Sequence[Version], decisions: Collection[Decision], *, is_draft: bool = False) -> CaseStatus:
    """Where a case stands.

    The verdicts of all readers count, the latest of each. One about outlines that somebody went on to correct does not,
    once the corrected ones were decided about too: what needed work and was corrected and accepted is accepted. Readers
    who each decided about outlines of their own are compared.

    Args:
        versions: Of the case.
        decisions: The latest of each reader.
        is_draft: Whether somebody has begun to correct it.
    """
    parents = {version.number: version.parent for version in versions}
    decided = {decision.version for decision in decisions}
    outdated = {ancestor for number in decided for ancestor in _ancestors(number, parents)}
    verdicts = {decision.verdict for decision in decisions if decision.version not in outdated}
    if len(verdicts) > 1:
        return CaseStatus.DISPUTED
    if verdicts:
        return _OF_VERDICTS[verdicts.pop()]
    return CaseStatus.IN_WORK if is_draft or any(version.number > 0 for version in versions) else CaseStatus.NEW


def filtered(
    items: Iterable[WorkItem],
    *,
    statuses: Collection[CaseStatus] = (),
    text: str = "",
    flagged: bool = False,
    mine: bool | None = None,
) -> list[WorkItem]:
    """The items that are wanted, in their order.

    Args:
        items: From a work list.
        statuses: Which; empty for any.
        text: Words that all stand in the name, status, model, flags or comments, whatever their capitals.
        flagged: Only those with something odd.
        mine: Only those that are the reader's, or only those that are not; None for both.
    """
    words = text.casefold().split()
    return [
        item
        for item in items
        if (not statuses or item.status in statuses)
        and (not flagged or item.record.flags)
        and mine in (None, item.is_mine)
        and all(word in _text_of(item) for word in words)
    ]


def next_case(items: Sequence[WorkItem], current: CaseName | None) -> CaseName | None:
    """The case to open after ``current``: the next one in the list that is not settled, from its end on from the top.

    The first such one if ``current`` is None or not in the list; None if no other is left.
    """
    names = [item.record.name for item in items]
    place = names.index(current) + 1 if current in names else 0
    around = [*items[place:], *items[:place]]
    open_ones = (item.record.name for item in around if not item.status.is_settled and item.record.name != current)
    return next(open_ones, None)


def counts(items: Iterable[WorkItem]) -> dict[CaseStatus, int]:
    """How many cases have each status, in the order of ``CaseStatus``; 0 too."""
    found = Counter(item.status for item in items)
    return {status: found[status] for status in CaseStatus}


def _latest(decisions: Iterable[Decision]) -> dict[CaseName, dict[str, Decision]]:
    """The latest decision of each reader by case."""
    found: dict[CaseName, dict[str, Decision]] = defaultdict(dict)
    for decision in decisions:
        found[decision.case].pop(decision.reader, None)  # so that the order is that of the latest
        found[decision.case][decision.reader] = decision
    return found


def _item(
    files: CaseFiles, reader: Reader, versions: Sequence[Version], latest: Mapping[str, Decision], *, is_draft: bool
) -> WorkItem:
    record, decisions = files.record, tuple(latest.values())
    status = status_of(versions, decisions, is_draft=is_draft)
    sees_all = allows(reader.role, Deed.SEE_ALL_VERSIONS)
    since = max((one.made for one in decisions), default=record.made)
    lacks_outlines = files.prediction is None and not versions
    return WorkItem(
        record,
        status,
        tuple(one for one in decisions if sees_all or one.reader == reader.name),
        len(versions),
        severity(record.flags) + _DISPUTED * (status is CaseStatus.DISPUTED) + _NO_OUTLINES * lacks_outlines,
        is_draft or reader.name in latest or bool(record.owner),
        None if status.is_settled else since,
    )


def _rank(item: WorkItem) -> tuple[bool, float, float, str]:
    waits = float("inf") if item.since is None else item.since
    return item.status.is_settled, -item.worst, waits, item.record.name


def _ancestors(number: int, parents: Mapping[int, int | None]) -> list[int]:
    """The versions that one was made from, in turn; ends with what is not known, and in a circle."""
    found: list[int] = []
    parent = parents.get(number)
    while parent is not None and parent not in found:
        found.append(parent)
        parent = parents.get(parent)
    return found


def _text_of(item: WorkItem) -> str:
    flags = (part for flag in item.record.flags for part in (flag.target, flag.text))
    comments = (decision.comment for decision in item.decisions)
    model = item.record.model
    parts = (item.record.name, item.status, model.name, model.version, model.digest, *flags, *comments)
    return "\n".join(parts).casefold()
