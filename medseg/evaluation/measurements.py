"""Size, shape and intensities of what was drawn, of both sides, as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from medseg.core.errors import InputError, MedsegError
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.data.joining import Joining
from medseg.data.load import load_image
from medseg.data.reference import channel_on
from medseg.metrics.measure import flat_rows, measure

from .pairs import Pair
from .result import Cell, cell
from .scoring import read_pair


def check_images(pairs: Sequence[Pair]) -> None:
    """Make sure that there is something to measure in.

    Raises:
        InputError: If the references come without their images.
    """
    if any(pair.files is None or not pair.files.images for pair in pairs):
        raise InputError("measurements need the images; name the data set as the reference, not its folder of labels")


def measurement_rows(pairs: Sequence[Pair], scheme: LabelScheme, progress: Progress = SILENT) -> list[dict[str, Cell]]:
    """A row for each case, side (``predicted``, ``reference``), structure and channel.

    Args:
        pairs: With their images.
        scheme: What the values mean.
        progress: Told of each case, and why one could not be measured; its rows are left out.
    """
    progress.start("measuring", len(pairs))
    rows: list[dict[str, Cell]] = []
    for pair in pairs:
        try:
            rows += list(_rows(pair, scheme))  # all or none: the second side may fail after the first
        except MedsegError as error:
            progress.note(f"{pair.case}: not measured, {error}")
        progress.advance()
    return rows


def as_csv(rows: Sequence[dict[str, Cell]]) -> str:
    """Rows of equal keys as CSV text; empty without a row."""
    stream = io.StringIO(newline="")
    if rows:
        writer = csv.DictWriter(stream, [*rows[0]])
        writer.writeheader()
        writer.writerows(rows)
    return stream.getvalue()


def _rows(pair: Pair, scheme: LabelScheme) -> Iterator[dict[str, Cell]]:
    assert pair.files is not None  # noqa: S101 - checked before
    predicted, reference = read_pair(pair, scheme)
    joining = Joining(reference=channel_on(pair.files, reference.geometry))
    image = load_image(pair.files, tuple(pair.files.images), joining)
    for side, labels in (("predicted", predicted), ("reference", reference)):
        # array axes may point elsewhere than the image's; nothing is lost in turning it
        turned = image.reoriented(labels.geometry.axis_codes)
        for measured in flat_rows(measure(turned, labels, scheme)):
            row: dict[str, Cell] = {"case": pair.case, "side": side}
            yield row | {name: _cell(value) for name, value in measured.items()}


def _cell(value: str | float) -> Cell:
    return value if isinstance(value, str) else cell(value)
