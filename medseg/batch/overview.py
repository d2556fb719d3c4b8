"""The overview of a batch: one HTML page with counts, what failed, what is odd, volumes and pictures; and a table."""

from __future__ import annotations

import contextlib
import csv
import io
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from medseg.core.labels import Colour
from medseg.inference.expected import StructureFacts
from medseg.inference.outcomes import spreadsheet_safe
from medseg.render import page
from medseg.render.page import Html
from medseg.render.plots import Dot, Group, swarm

from .manifest import Manifest, StudyRow
from .outputs import THUMBNAIL
from .records import Measured, Stage, Status

_MOST_ROWS, _MOST_ODD, _MOST_OTHERS, _MOST_DOTS = 2000, 60, 12, 2000
_STATUS_WORDS = {
    Status.DONE: "done",
    Status.SKIPPED: "skipped, because no series fits the model",
    Status.FAILED: "failed",
    Status.WAITING: "waiting",
}


def overview_page(
    manifest: Manifest, studies: Path, colours: Mapping[str, Colour], facts: Mapping[str, StructureFacts]
) -> str:
    """The page as HTML text.

    Args:
        manifest: What became of each study.
        studies: The folder of their results, where the small pictures lie.
        colours: Of each target.
        facts: What each target was like in training.
    """
    rows = list(manifest.rows())
    parts = [
        *_lead(rows),
        *_reasons(rows, Status.FAILED),
        *_reasons(rows, Status.SKIPPED),
        *_odd(rows, studies),
        *_volumes(rows, colours, facts),
        *_others(rows, studies),
        *_table(rows),
        *_made_by(manifest),
    ]
    return page.page("Batch overview", parts)


def summary_csv(manifest: Manifest, targets: Sequence[str]) -> str:
    """One line a study and predicted series: status, reason, volumes, flags."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    volumes = [f"{target} mL" for target in targets]
    writer.writerow(map(spreadsheet_safe, ["study", "series", "status", "reason", "seconds", *volumes, "look at"]))
    for row in manifest.rows():
        for series in row.result.series or ("",):
            found = {one.target: one for one in row.result.measured if one.series == series}
            numbers = [_number(found.get(target)) for target in targets]
            odd = "; ".join(f"{one.target}: {flag}" for one in found.values() for flag in one.flags)
            cells = [row.result.name, series, row.result.status, row.result.reason, f"{_seconds(row):.1f}"]
            writer.writerow(map(spreadsheet_safe, [*cells, *numbers, odd]))
    return text.getvalue()


def _number(measured: Measured | None) -> str:
    return "" if measured is None or measured.volume_ml is None else f"{measured.volume_ml:.6g}"


def _seconds(row: StudyRow) -> float:
    return sum(row.result.seconds.values())


def _lead(rows: Sequence[StudyRow]) -> list[Html]:
    counts = {status: sum(row.result.status is status for row in rows) for status in Status}
    named = [f"{number} {_STATUS_WORDS[status]}" for status, number in counts.items() if number]
    parts = [page.paragraph(f"{_count(len(rows), 'study', 'studies')}: {', '.join(named) or 'none'}.")]
    flagged = sum(row.result.flags > 0 for row in rows)
    if flagged:
        parts.append(
            page.alarm(f"{_count(flagged, 'study', 'studies')} to look at: something is unlike the training cases.")
        )
    done = [row for row in rows if row.result.status is Status.DONE]
    if done:
        means = [
            f"{stage} {statistics.median(row.result.seconds.get(stage, 0.0) for row in done):.1f} s" for stage in Stage
        ]
        parts.append(page.paragraph(f"Median of a study: {', '.join(means)}.", muted=True))
    return parts


def _reasons(rows: Sequence[StudyRow], status: Status) -> list[Html]:
    mine = [row.result for row in rows if row.result.status is status]
    if not mine:
        return []
    table = page.table(("study", "why"), [(one.name, one.reason) for one in mine[:_MOST_ROWS]], text_columns=2)
    summary = f"{_count(len(mine), 'study', 'studies')} {_STATUS_WORDS[status]}"
    return [page.folded(summary, [table], is_warning=status is Status.FAILED)]


def _odd(rows: Sequence[StudyRow], studies: Path) -> list[Html]:
    """What is unlike training, the study with most of it first."""
    flagged = sorted((row for row in rows if row.result.flags), key=lambda row: (-row.result.flags, row.result.name))
    if not flagged:
        return []
    lines = [
        (row.result.name, one.target, flag)
        for row in flagged[:_MOST_ROWS]
        for one in row.result.measured
        for flag in one.flags
    ]
    pictures = [picture for row in flagged[:_MOST_ODD] for picture in _pictures(row, studies, _flags_of)]
    more = f" Pictures of the first {_MOST_ODD}." if len(flagged) > _MOST_ODD else ""
    return [
        page.heading("Look at these first"),
        page.paragraph(
            "A volume far from the training range, more than twice as many parts as in any training case, reaching the "
            f"border of the image, or missing.{more}",
            muted=True,
        ),
        page.gallery(pictures),
        page.folded("all of it as a table", [page.table(("study", "structure", "what"), lines, text_columns=3)]),
    ]


def _flags_of(row: StudyRow, series: str) -> str:
    mine = [one for one in row.result.measured if one.series == series]
    return f"{row.result.name}: " + "; ".join(f"{one.target}: {flag}" for one in mine for flag in one.flags)


def _volumes(
    rows: Sequence[StudyRow], colours: Mapping[str, Colour], facts: Mapping[str, StructureFacts]
) -> list[Html]:
    groups = []
    for target, colour in colours.items():
        dots = [
            Dot(one.volume_ml, f"{row.result.name}: {one.volume_ml:.4g} mL")
            for row in rows
            for one in row.result.measured
            if one.target == target and one.volume_ml is not None
        ]
        known = facts.get(target)
        usual = f" ({known.smallest_ml:.3g} to {known.largest_ml:.3g})" if known else ""
        if dots:
            groups.append(Group(f"{target}{usual}", colour, tuple(dots[:_MOST_DOTS])))
    if not groups:
        return []
    caption = "A dot is a result; point at it for its study. In brackets the range of the training cases."
    return [page.heading("Volumes"), page.drawing(swarm(groups, "mL"), caption)]


def _others(rows: Sequence[StudyRow], studies: Path) -> list[Html]:
    """Some results that nothing is odd about, spread evenly over all."""
    plain = [row for row in rows if row.result.status is Status.DONE and not row.result.flags]
    step = max(1, -(-len(plain) // _MOST_OTHERS))
    pictures = [picture for row in plain[::step] for picture in _pictures(row, studies, lambda row, _: row.result.name)]
    if not pictures:
        return []
    which = "" if step == 1 else f"{len(plain[::step])} of {len(plain)}, spread evenly."
    return [page.heading("Others"), page.paragraph(which, muted=True), page.gallery(pictures)]


def _pictures(row: StudyRow, studies: Path, caption: Callable[[StudyRow, str], str]) -> Iterator[Html]:
    for series in row.result.series:
        with contextlib.suppress(OSError), Image.open(studies / row.result.name / series / THUMBNAIL) as picture:
            yield page.photograph(picture, caption(row, series))  # one that is not there or damaged is left out


def _table(rows: Sequence[StudyRow]) -> list[Html]:
    lines = [
        (row.result.name, str(row.result.status), str(row.attempts), f"{_seconds(row):.1f}", str(row.result.flags))
        for row in rows[:_MOST_ROWS]
    ]
    header = ("study", "status", "tries", "seconds", "odd")
    more = f", the first {_MOST_ROWS} of {len(rows)}" if len(rows) > _MOST_ROWS else ""
    return [page.heading("All studies"), page.folded(f"table{more}", [page.table(header, lines, text_columns=2)])]


def _made_by(manifest: Manifest) -> list[Html]:
    lines = [
        (time.strftime("%Y-%m-%d %H:%M", time.localtime(started)), ", ".join(f"{k} {v}" for k, v in versions.items()))
        for started, versions in manifest.runs()
    ]
    return [page.folded("runs", [page.table(("begun", "versions"), lines, text_columns=2)])]


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
