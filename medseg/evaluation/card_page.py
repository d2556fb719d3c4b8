"""A model card as one HTML page and as Markdown."""

from __future__ import annotations

from medseg.config.card import OwnerSection
from medseg.render.document import Chapter, Grid, Part, Words, as_markdown, as_page

from .card import Card
from .card_calibration import calibration_chapter
from .card_data import data_chapter, training_chapter
from .card_groups import subgroup_chapter
from .card_limits import limits_chapter
from .card_scores import headline, score_chapter
from .card_words import counted, listed

NO_DEVICE = "For research only: not a medical device, and nothing that it outputs is a diagnosis."
_MILLION = 1e6
_QUESTIONS = {
    "version": "version",
    "owner": "owner",
    "contact": "contact",
    "license": "licence of the weights",
    "intended_use": "what it is for",
    "intended_users": "who may use it",
    "not_intended": "what it is not for",
    "data_source": "where the data is from",
    "reference_standard": "who drew the references",
    "data_license": "licence of the data",
    "citation": "how to cite it",
}
_NOT_GIVEN = "not given by the owner"


def card_page(card: Card) -> str:
    """The card as HTML text; it needs nothing else, and the same card is the same text."""
    return as_page(card.title, _chapters(card))


def card_markdown(card: Card) -> str:
    """The card as Markdown, without plots."""
    return as_markdown(card.title, _chapters(card))


def _chapters(card: Card) -> list[Chapter]:
    return [
        Chapter("", _lead(card)),
        _use(card.owner),
        score_chapter(card),
        subgroup_chapter(card),
        calibration_chapter(card),
        limits_chapter(card),
        data_chapter(card),
        training_chapter(card),
    ]


def _lead(card: Card) -> tuple[Part, ...]:
    numbers = sorted({f"{parameters / _MILLION:.2g}" for parameters in card.parameters})
    dims = " and ".join(sorted({f"{network.dims}D" for network in card.networks}))
    what = f"{len(card.networks)} {dims} networks" if len(card.networks) > 1 else f"a {dims} network"
    first = ", after a localiser has found the region" if card.config.localiser is not None else ""
    train = card.record.cohort.parts.get("train")
    cases = "" if train is None else f", trained on {counted(train.cases, 'case')}"
    people = "" if train is None or train.patients is None else f" of {counted(train.patients, 'patient')}"
    seen = f"Outlines {listed(card.scheme.targets)} in {listed(card.facts.modalities)} images"
    lead = f"{seen}: {what} of {' and '.join(numbers)} million parameters{first}{cases}{people}."
    said = headline(card)
    return Words(lead), *([Words(said)] if said else []), Words(NO_DEVICE, is_warning=True)


def _use(owner: OwnerSection) -> Chapter:
    rows = tuple((question, getattr(owner, key) or ("", _NOT_GIVEN)) for key, question in _QUESTIONS.items())
    return Chapter("Use", (Grid(("", ""), rows, text_columns=2),))
