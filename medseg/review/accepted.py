"""Which cases readers agree on: what may be trained on, and exported together."""

from __future__ import annotations

from collections.abc import Iterable

from .access import may_see
from .case_files import CaseFiles
from .records import CaseName, Decision, Reader, Verdict, Version
from .store import Store
from .worklist import CaseStatus, status_of


def accepted_version(versions: Iterable[Version], decisions: Iterable[Decision]) -> Version | None:
    """The newest version that a reader's latest decision accepts; None if there is none."""
    latest = {decision.reader: decision for decision in decisions}
    accepted = {one.version for one in latest.values() if one.verdict is Verdict.ACCEPTED}
    return max((one for one in versions if one.number in accepted), key=lambda one: one.number, default=None)


def accepted_cases(
    store: Store, cases: Iterable[CaseFiles], reader: Reader
) -> tuple[list[tuple[CaseFiles, Version]], dict[CaseName, str]]:
    """The cases that a reader may see and that all who decided accept, with their newest accepted versions.

    Returns:
        They, by name; and why each other case is not among them.
    """
    chosen, left_out = [], {}
    for files in sorted((one for one in cases if may_see(reader, one.record)), key=lambda one: one.name):
        versions, decisions = store.versions(files.name), store.decisions(files.name)
        latest = list({decision.reader: decision for decision in decisions}.values())
        status = status_of(versions, latest)
        version = accepted_version(versions, decisions)
        if status is CaseStatus.ACCEPTED and version is not None:
            chosen.append((files, version))
        else:
            left_out[files.name] = f"its status is {status}"
    return chosen, left_out
