"""Pictures of the cases with the lowest scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from medseg.core.case import CaseId
from medseg.core.errors import MedsegError
from medseg.core.geometry import Geometry
from medseg.core.labels import LabelScheme
from medseg.core.progress import SILENT, Progress
from medseg.core.volume import Volume
from medseg.data.load import load_image
from medseg.data.reference import channel_on
from medseg.io.raster import RGB
from medseg.metrics.table import StructureScore
from medseg.render.preview import comparison

from .aggregate import foreground
from .pairs import Pair
from .scoring import read_pair


@dataclass(frozen=True, eq=False)
class WorstCase:
    """A case to look at.

    Attributes:
        case: Its name.
        dice: Mean Dice over its structures.
        picture: Prediction against reference.
        note: What is to be known of the picture; empty if nothing is.
    """

    case: CaseId
    dice: float
    picture: Image.Image
    note: str = ""


def worst_cases(
    rows: Sequence[StructureScore],
    pairs: Sequence[Pair],
    scheme: LabelScheme,
    most: int,
    progress: Progress = SILENT,
) -> list[WorstCase]:
    """The cases of lowest mean Dice, lowest first, on their image (one channel or colours) where a data set has it."""
    by_case = {pair.case: pair for pair in pairs}
    scored = [(dice, case) for case, dice in foreground(rows, "dice").items() if not math.isnan(dice)]
    chosen = sorted(scored)[:most]
    progress.start("drawing", len(chosen))
    drawn = []
    for dice, case in chosen:
        drawn.append(_draw(by_case[case], dice, scheme))
        progress.advance()
    return drawn


def _draw(pair: Pair, dice: float, scheme: LabelScheme) -> WorstCase:
    predicted, reference = read_pair(pair, scheme)
    image, note = _image(pair, reference.geometry)
    try:
        return WorstCase(pair.case, dice, comparison(image, predicted, reference, scheme), note)
    except MedsegError as error:
        return WorstCase(pair.case, dice, comparison(None, predicted, reference, scheme), f"without its image: {error}")


def _image(pair: Pair, grid: Geometry) -> tuple[Volume | None, str]:
    """The image of a case, of several channels the first that lies on the reference's grid; or why there is none."""
    if pair.files is None or not pair.files.images:
        return None, "without its image, which only a data set gives"
    try:
        channels = tuple(pair.files.images)
        shown = channels if channels == RGB else (channel_on(pair.files, grid) or channels[0],)
        return load_image(pair.files, shown), ""
    except MedsegError as error:
        return None, f"without its image: {error}"
