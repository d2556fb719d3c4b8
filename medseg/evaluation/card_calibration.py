"""The chapter of a model card on its probabilities."""

from __future__ import annotations

from medseg.core.labels import Colour
from medseg.metrics.calibration import BINS
from medseg.render.document import Chapter, Grid, Items, Part, Plots, Words
from medseg.render.overlay import target_colours
from medseg.render.reliability_plot import reliability_plot

from .card import Card
from .card_words import BASES, DOT, figure, listed, or_nan
from .result import share
from .score_sheet import CalibrationFigures


def calibration_chapter(card: Card) -> Chapter:
    """Whether its probabilities can be believed."""
    parts: list[Part] = []
    corrected = _corrections(card)
    if corrected:
        parts.append(Items(corrected))
    for sheet in card.sheets:
        if sheet.calibration:
            header = ("", "cases", f"expected calibration error ({BINS} bins)")
            rows = tuple((one.structure, str(one.ece.cases), figure("ece", one.ece)) for one in sheet.calibration)
            colours = target_colours(card.scheme)
            drawings = tuple(_diagram(one, colours.get(one.structure, DOT)) for one in sheet.calibration)
            said = f"Of the {BASES[sheet.basis]}, around each structure; below the diagonal it is too sure of itself."
            parts += [Grid(header, rows), Plots(drawings, said, is_small=True)]
    if not any(sheet.calibration for sheet in card.sheets):
        parts.append(Words("Whether its probabilities mean what they say was not measured."))
    return Chapter("Calibration", tuple(parts))


def _corrections(card: Card) -> tuple[str, ...]:
    calibration = card.calibration
    told = []
    if calibration.temperature != 1:
        told.append(f"Logits are divided by a temperature of {calibration.temperature:.3g}.")
    if calibration.thresholds:
        values = [f"{name} {value:g}" for name, value in calibration.thresholds.items()]
        told.append(f"Thresholds other than 0.5: {listed(values)}.")
    return (*told, "They were fitted to cases that did not train.") if told else ()


def _diagram(one: CalibrationFigures, colour: Colour) -> str:
    bins = [(or_nan(bin_.confidence), or_nan(bin_.frequency), bin_.voxels) for bin_ in one.bins]
    return reliability_plot(one.structure, colour, bins, f"all cases together: ECE {share(or_nan(one.pooled_ece))}")
