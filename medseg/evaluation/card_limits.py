"""The chapter of a model card on what the model was not shown, and what nobody knows about it."""

from __future__ import annotations

import re

from medseg.render.document import Chapter, Items

from .aggregate import FOREGROUND
from .attributes import AGE_EDGES
from .card import Card
from .card_words import counted, listed, ranges
from .cohort import FEWEST_NAMED, AttributeCounts
from .score_sheet import Basis
from .subgroups import band_of

_FEW_CASES, _FEW_PATIENTS = 20, 30
_LOW = 0.7
_USUAL = {
    "age": r"age|patient.?age|age.?(band|years)",
    "sex": r"sex|gender",
    "scanner": r"scanner|manufacturer|vendor|maker|model|site|cent(er|re)",
}


def limits_chapter(card: Card) -> Chapter:
    """What follows from the counts, and what the owner adds."""
    found = [*_images(card), *_region(card), *_people(card), *_structures(card), *_measured(card)]
    return Chapter("Limits", (Items((*found, *([card.owner.limits] if card.owner.limits else []))),))


def _images(card: Card) -> list[str]:
    facts = card.facts
    unit = " mm" if facts.structures else ""
    sizes, extents = ranges(facts.spacing_min, facts.spacing_max), ranges(facts.extent_min_mm, facts.extent_max_mm)
    sides = "left to right, back to front, foot to head"
    seen = f"Voxels measured {listed(sizes)}{unit} ({sides}), images {listed(extents)}{unit}"
    return [
        f"Nothing but {listed(facts.modalities)} was seen in training.",
        f"{seen}; what is far from that was not seen.",
    ]


def _region(card: Card) -> list[str]:
    if card.config.localiser is None:
        return []
    return ["A localiser first finds the region to look at: outside of it nothing is outlined, whatever is there."]


def _people(card: Card) -> list[str]:
    cohort = card.record.cohort
    told = []
    training = cohort.parts.get("train")
    people = None if training is None else (training.cases if training.patients is None else training.patients)
    if people is not None and people < _FEW_PATIENTS:
        told.append(f"It was trained on {counted(people, 'patient')} only.")
    names = [name.strip().lower() for name in cohort.attributes]
    unknown = [usual for usual, pattern in _USUAL.items() if not any(re.fullmatch(pattern, name) for name in names)]
    if unknown:
        told.append(f"Not recorded of the training patients: {listed(unknown)}. Nobody knows who is missing.")
    return told + [_seen(name, counts) for name, counts in cohort.attributes.items()]


def _seen(name: str, counts: AttributeCounts) -> str:
    """What values of an attribute there were, and which bands of age were not."""
    bands = [band_of(edge, AGE_EDGES) for edge in (0.0, *AGE_EDGES)]
    missing = [band for band in bands if band not in counts.groups] if set(counts.groups) <= set(bands) else []
    others = f" ({', '.join(missing)})" if missing else ""
    few = f"any other value{others} in fewer than {FEWEST_NAMED} patients or none"
    return f"Of {name}, training had {listed(tuple(counts.groups))}; {few}."


def _structures(card: Card) -> list[str]:
    facts, targets = card.facts.structures, card.scheme.targets
    few = [f"{name} ({facts[name].cases})" for name in targets if name in facts and facts[name].cases < _FEW_CASES]
    absent = [name for name in targets if facts and name not in facts]
    whose = " of the network that saw most" if len(card.networks) > 1 else ""
    told = [f"In fewer than {_FEW_CASES} training cases{whose}: {listed(few)}."] if few else []
    return told + ([f"In no training case: {listed(absent)}."] if absent else [])


def _measured(card: Card) -> list[str]:
    if not card.sheets:
        return ["Nobody has measured how well it does."]
    sheet, told = card.sheets[0], []
    if card.evaluation is None:
        told.append(
            "No evaluation of other cases than those of its training is on this card; none of another clinic is known."
        )
    if sheet.basis is Basis.VALIDATION:
        told.append("The scores are of cases that chose its weights.")
    if sheet.patients < _FEW_PATIENTS:
        told.append(f"The scores are of {sheet.patients} patients: read the intervals, not the means.")
    low = [
        one.structure
        for one in sheet.structures
        if one.structure != FOREGROUND
        and (dice := one.means.get("dice"))
        and dice.mean is not None
        and dice.mean < _LOW
    ]
    return [*told, *([f"Below a mean Dice of {_LOW:g}: {listed(low)}."] if low else [])]
