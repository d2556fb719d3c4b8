"""One page about a case: what was predicted, what readers changed, what they decided; it needs no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import medseg
from medseg.core.segmentation import Segmentation
from medseg.render import page
from medseg.render.page import Html
from medseg.render.preview import comparison, preview

from .edits import volumes_ml
from .open_case import OpenCase
from .records import CaseRecord, Decision, ModelStamp, Version
from .store import Store

Naming = Callable[[str], str]
_DIGITS, _MOST_ENTRIES = 16, 500


@dataclass(frozen=True)
class Disclosed:
    """What a report tells besides what was measured.

    Attributes:
        words: What readers wrote.
        days: When things were done.
        pictures: The image.
    """

    words: bool = True
    days: bool = True
    pictures: bool = True


@dataclass(frozen=True, eq=False)
class CaseReport:
    """What the page says; no identifier is in it.

    Attributes:
        case: The case, opened.
        record: What the store knows of it.
        version: The version that the page is about.
        model: That it goes back to.
        outlines: Of that version.
        versions: All versions up to it.
        decisions: All decisions about the case, the oldest first.
        entries: Numbers of the log's entries about the case.
        naming: What a reader is called.
        disclosed: What is told besides.
    """

    case: OpenCase
    record: CaseRecord
    version: Version
    model: ModelStamp
    outlines: Segmentation
    versions: tuple[Version, ...]
    decisions: tuple[Decision, ...]
    entries: tuple[int, ...]
    naming: Naming
    disclosed: Disclosed = Disclosed()

    @classmethod
    def of(
        cls,
        store: Store,
        case: OpenCase,
        version: Version,
        outlines: Segmentation,
        naming: Naming,
        disclosed: Disclosed = Disclosed(),
    ) -> Self:
        """The report of a version, with what the store knows."""
        name = case.files.name
        return cls(
            case,
            store.case(name),
            version,
            store.model_of(version),
            outlines,
            tuple(one for one in store.versions(name) if one.number <= version.number),
            tuple(store.decisions(name)),
            tuple(entry.number for entry in store.entries() if entry.case == name),
            naming,
            disclosed or Disclosed(),
        )

    def when(self, seconds: float) -> str:
        """A time in words; empty where days are not told."""
        told = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return told if self.disclosed.days else ""


def report_page(report: CaseReport) -> str:
    """The page as HTML text."""
    parts = [*_lead(report), *_pictures(report), *_structures(report), *_history(report), *_made_by(report)]
    return page.page(f"Review of {report.record.name}", parts)


def _lead(report: CaseReport) -> list[Html]:
    version = report.version
    what = "the prediction as it came" if version.parent is None else f"by {report.naming(version.author)}"
    parts = [
        page.paragraph(", ".join(filter(None, (f"Version {version.number}", what, report.when(version.made)))) + ".")
    ]
    about = [one for one in report.decisions if one.version == version.number]
    if about:
        last = about[-1]
        parts.append(page.paragraph(f"Latest decision about it: {last.verdict}, by {report.naming(last.reader)}."))
    else:
        parts.append(page.alarm("Nobody has decided about this version."))
    flags = [(one.target, one.text) for one in report.record.flags]
    if flags:
        table = page.table(("structure", "unlike training"), flags, text_columns=2)
        parts.append(page.folded("what was odd about the prediction", [table], is_warning=True))
    return parts


def _pictures(report: CaseReport) -> list[Html]:
    if not report.disclosed.pictures:
        return []
    case, labels, scheme = report.case, report.outlines.labels, report.case.scheme
    pictures = [page.photograph(preview(case.volume, labels, scheme), f"version {report.version.number}")]
    if report.version.parent is not None:
        changed = comparison(case.volume, case.prediction.labels, labels, scheme)
        pictures.append(page.photograph(changed, f"filled: the prediction; line: version {report.version.number}"))
    return [page.heading("Outlines"), page.gallery(pictures)]


def _structures(report: CaseReport) -> list[Html]:
    volumes, before = volumes_ml(report.outlines), volumes_ml(report.case.prediction)
    if not volumes:
        return []
    changed = report.version.changed_ml
    rows = [
        (name, f"{ml:.3f}", f"{ml - before.get(name, 0.0):+.3f}", f"{changed.get(name, 0.0):.3f}")
        for name, ml in volumes.items()
    ]
    header = ("structure", "mL", "beside the prediction, mL", "changed beside the version before, mL")
    return [page.heading("Volumes"), page.table(header, rows)]


def _history(report: CaseReport) -> list[Html]:
    versions = [
        (str(one.number), report.naming(one.author), report.when(one.made), one.sha256) for one in report.versions
    ]
    decisions = [
        (
            str(one.version),
            report.naming(one.reader),
            report.when(one.made),
            str(one.verdict),
            str(one.difficulty or ""),
            one.comment if report.disclosed.words else "",
        )
        for one in report.decisions
    ]
    parts = [
        page.heading("History"),
        page.table(("version", "by", "when", "SHA-256 of the outlines"), versions, text_columns=4),
    ]
    if decisions:
        header = ("version", "reader", "when", "verdict", "difficulty", "comment")
        parts.append(page.table(header, decisions, text_columns=6))
    return parts


def _made_by(report: CaseReport) -> list[Html]:
    model = report.model
    rows = [
        ("model", f"{model.name or 'unknown'} {model.version}".strip()),
        ("SHA-256 of the model", model.digest or "unknown"),
        ("SHA-256 of the image's voxels and grid", report.version.input_sha256 or "unknown"),
        ("entries of the audit log", _ranges(report.entries[:_MOST_ENTRIES])),
        ("written by", f"medseg {medseg.__version__}"),
    ]
    return [page.folded("what it was made of", [page.table(("what", "value"), rows, text_columns=2)])]


def _ranges(numbers: Sequence[int]) -> str:
    """``3 to 5, 9`` for 3, 4, 5 and 9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(low) if low == high else f"{low} to {high}" for low, high in runs) or "none"
