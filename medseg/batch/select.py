"""Which series of a study a model takes, and why not the others."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from medseg.config.selection import Plane, SelectionSection, SeriesRule
from medseg.core.errors import ConfigError
from medseg.core.geometry import Geometry, LengthUnit
from medseg.data.joining import LEAST_COVERED, Joining, placement
from medseg.inference.bundle import TrainingFacts
from medseg.inference.suitability import dicom_modality, wrong_grid
from medseg.io.studies import Series

Which = Literal["best", "all"]
SAME_GRID_MM = 0.01
"""How far voxels of two series may lie apart on what counts as one grid."""

_PLANES = {"S": Plane.AXIAL, "I": Plane.AXIAL, "A": Plane.CORONAL, "P": Plane.CORONAL}
_LOCALIZERS = {"LOCALIZER", "SCOUT"}
_BETTER = "fits, but another series fits better"
_MOST_REASONS = 6


@dataclass(frozen=True, eq=False)
class Considered:
    """A series that was looked at.

    Attributes:
        series: The series.
        channels: What it serves as in the chosen set; empty if it was not chosen.
        reason: Why it was not chosen, as part of a sentence; empty if it was.
    """

    series: Series = field(repr=False)
    channels: tuple[str, ...]
    reason: str


@dataclass(frozen=True, eq=False)
class Match:
    """Series that are predicted together.

    Attributes:
        series: One a channel; the first is the one on whose grid the result lies.
        channels: What each of them serves as; channels that are optional may be missing.
    """

    series: tuple[Series, ...] = field(repr=False)
    channels: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Choice:
    """What a study offers a model.

    Attributes:
        matches: Sets of series to predict; the best first.
        considered: Every series of the study.
        is_damaged: Whether nothing fits, and a series might have that is damaged or lacks slices.
    """

    matches: tuple[Match, ...] = field(repr=False)
    considered: tuple[Considered, ...]
    is_damaged: bool

    @property
    def reason(self) -> str:
        """Why nothing fits; one clause that names each kind of reason once, the first few of them."""
        reasons = list(dict.fromkeys(one.reason for one in self.considered if one.reason))
        more = (f"and {len(reasons) - _MOST_REASONS} more reasons",) if len(reasons) > _MOST_REASONS else ()
        return "; ".join((*reasons[:_MOST_REASONS], *more)) or "the study holds no series"


@dataclass(frozen=True)
class Rules:
    """What a model takes: the rule of each channel, what the training images were like, how channels come together.

    Raises:
        ConfigError: If there is a rule for a channel that the model has not.
    """

    facts: TrainingFacts
    selection: SelectionSection
    joining: Joining = field(default_factory=Joining)

    def __post_init__(self) -> None:
        unknown = [name for name in self.selection.channels if name not in self.facts.modalities]
        if unknown:
            known = ", ".join(self.facts.modalities)
            raise ConfigError(f"the rules for series name the channel {unknown[0]!r}, the model has {known}")

    def rule(self, channel: str) -> SeriesRule:
        """The rule of a channel, completed by what its name says."""
        rule = self.selection.channels.get(channel, SeriesRule())
        changes: dict[str, object] = {}
        if rule.modality is None:
            changes["modality"] = dicom_modality(channel)
        if not rule.words and len(self.facts.modalities) > 1 and channel not in self.selection.channels:
            changes["words"] = tuple(_words(channel))
        return rule.model_copy(update=changes)

    def rows(self) -> list[dict[str, str]]:
        """One row a channel, for people."""
        return [{"channel": channel, **_shown(self.rule(channel))} for channel in self.facts.modalities]

    def unfit(self, series: Series, channel: str) -> str | None:
        """Why a series cannot serve as a channel, as part of a sentence; None if it can."""
        if _LOCALIZERS & set(series.image_type):
            return "a localizer"
        if series.problem is not None or series.geometry is None:
            return series.problem or "it has no grid"
        reason = _against_rule(series, self.rule(channel))
        is_judged = self.joining.reference in (None, channel)  # the others are resampled
        if reason is None and is_judged and not self.selection.any_size:
            reason = wrong_grid(series.geometry, self.facts)
        return reason

    def is_missed(self, series: Series) -> bool:
        """Whether a series is damaged that might serve as some channel, as far as its headers go."""
        if not series.is_damaged or _LOCALIZERS & set(series.image_type):
            return False
        return any(_against_rule(series, self.rule(channel)) is None for channel in self.facts.modalities)


def choose(series: Sequence[Series], rules: Rules, which: Which = "best") -> Choice:
    """The series of one study that fit a model.

    For a model of one channel each series that fits is a match: the best is original rather than derived, close to the
    training images in spacing, of many slices. For several channels, each frame of reference gives one match at most: a
    series a channel, none used twice, on one grid, or around the grid of the reference channel's series where there is
    a reference. Channels that are not optional choose first, and of them the one that the fewest series fit; each takes
    the series that fits the fewest channels, so that ``T2`` leaves ``T2 FLAIR`` to ``FLAIR``.

    Args:
        series: All series of the study.
        rules: What the model takes.
        which: ``best`` takes the best match, ``all`` every one.
    """
    channels = rules.facts.modalities
    ranked = sorted(series, key=lambda one: _rank(one, rules.facts))
    if len(channels) == 1:
        found = [Match((one,), channels) for one in ranked if rules.unfit(one, channels[0]) is None]
    else:
        frames = dict.fromkeys(one.frame_of_reference_uid for one in ranked)
        groups = ([one for one in ranked if one.frame_of_reference_uid == frame] for frame in frames)
        found = [match for group in groups if (match := _joined(group, rules)) is not None]
    matches = tuple(found[:1] if which == "best" else found)
    taken = {one: name for match in matches for name, one in zip(match.channels, match.series, strict=True)}
    considered = tuple(_considered(one, taken.get(one), rules) for one in series)
    return Choice(matches, considered, not matches and any(map(rules.is_missed, series)))


def _joined(series: Sequence[Series], rules: Rules) -> Match | None:
    """One series a channel, on the first grid that has most channels; None if no grid has all that are needed."""
    groups = _by_grid(series) if rules.joining.reference is None else [list(series)]
    found = [match for group in groups if (match := _matched(group, rules)) is not None]
    return max(found, key=lambda match: len(match.series), default=None)


def _matched(series: Sequence[Series], rules: Rules) -> Match | None:
    """One series a channel of those that go together; None if a channel finds none that is not optional."""
    channels, joining = rules.facts.modalities, rules.joining
    fitting = {channel: [one for one in series if rules.unfit(one, channel) is None] for channel in channels}
    wanted = Counter(one for some in fitting.values() for one in some)
    found: dict[str, Series] = {}
    for channel in sorted(channels, key=lambda name: (*_urgency(name, joining), len(fitting[name]))):
        reference = found.get(joining.reference or "")
        free = [one for one in fitting[channel] if one not in found.values() and _lies_on(one, reference)]
        if free:
            found[channel] = min(free, key=lambda one: (wanted[one], not _shares_grid(one, reference)))
        elif channel not in joining.optional:
            return None
    names = sorted((name for name in channels if name in found), key=lambda name: name != joining.reference)
    return Match(tuple(found[name] for name in names), tuple(names)) if names else None


def _urgency(channel: str, joining: Joining) -> tuple[bool, bool]:
    """The smaller the sooner: the reference, then what is needed, then what is optional."""
    return channel != joining.reference, channel in joining.optional


def _lies_on(series: Series, reference: Series | None) -> bool:
    """Whether a series covers enough of the reference's to be resampled onto it."""
    if reference is None or series.geometry is None or reference.geometry is None:
        return reference is None
    return placement(reference.geometry, series.geometry).covered >= LEAST_COVERED


def _shares_grid(series: Series, reference: Series | None) -> bool:
    if reference is None or series.geometry is None or reference.geometry is None:
        return False
    return _are_close(reference.geometry, series.geometry)


def _by_grid(series: Sequence[Series]) -> list[list[Series]]:
    """The series that have a grid, parted by it; in their order."""
    groups: list[tuple[Geometry, list[Series]]] = []
    for one in series:
        if (grid := one.geometry) is None:
            continue
        same = next((some for first, some in groups if _are_close(grid, first)), None)
        if same is None:
            groups.append((grid, [one]))
        else:
            same.append(one)
    return [some for _, some in groups]


def _are_close(one: Geometry, other: Geometry) -> bool:
    return one.is_close(other.reoriented(one.axis_codes), SAME_GRID_MM)


def _considered(series: Series, channel: str | None, rules: Rules) -> Considered:
    if channel is not None:
        return Considered(series, (channel,), "")
    reasons = {name: rules.unfit(series, name) for name in rules.facts.modalities}
    if len(reasons) == 1:
        return Considered(series, (), next(iter(reasons.values())) or _BETTER)
    if all(reasons.values()):
        same = set(reasons.values())
        several = "; ".join(f"as {name}: {reason}" for name, reason in reasons.items())
        return Considered(series, (), str(same.pop()) if len(same) == 1 else several)
    fitting = ", ".join(name for name, reason in reasons.items() if reason is None)
    return Considered(series, (), f"fits as {fitting}, but was not needed, or no series on its grid fits the others")


def _against_rule(series: Series, rule: SeriesRule) -> str | None:
    """What of a rule a series breaks; its own texts, which people type, are not shown."""
    words = set(_words(series.description))
    part = series.body_part.strip().casefold()
    if rule.modality is not None and series.modality != rule.modality:
        return f"its modality is {series.modality or 'not given'}, the rule wants {rule.modality}"
    if rule.body_part and part and part not in {one.casefold() for one in rule.body_part}:
        return f"its body part is not {' or '.join(rule.body_part)}"
    if rule.plane and series.geometry and (plane := plane_of(series.geometry)) is not rule.plane:
        return f"its slices are {plane}, the rule wants {rule.plane}"
    if missing := [word for word in rule.words if not set(_words(word)) <= words]:
        return f"its description lacks {', '.join(map(repr, missing))}"
    if extra := [word for word in rule.without if set(_words(word)) <= words]:
        return f"its description holds {', '.join(map(repr, extra))}"
    if series.frames < rule.fewest_slices:
        return f"it has {series.frames} slices, the rule wants {rule.fewest_slices}"
    return None


def plane_of(grid: Geometry) -> Plane:
    """How the slices of a grid, across its last axis, lie in the patient."""
    return _PLANES.get(grid.axis_codes[2], Plane.SAGITTAL)


def _rank(series: Series, facts: TrainingFacts) -> tuple[bool, float, int, str]:
    """The smaller the better: original, spacing like the training's, many slices; the UID makes it definite."""
    derived = "DERIVED" in series.image_type
    return derived, round(_strangeness(series.geometry, facts), 1), -series.frames, series.uid


def _strangeness(grid: Geometry | None, facts: TrainingFacts) -> float:
    """By what factor the spacing leaves the range of training, as the sum of logarithms over the axes."""
    if grid is None or grid.unit is LengthUnit.PIXEL:
        return math.inf if grid is None else 0.0
    spacing = np.array(grid.reoriented("RAS").spacing)
    above = np.log(spacing / np.array(facts.spacing_max))
    below = np.log(np.array(facts.spacing_min) / spacing)
    return float(np.maximum(np.maximum(above, below), 0).sum())


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.casefold())


def _shown(rule: SeriesRule) -> dict[str, str]:
    return {
        "modality": rule.modality or "any",
        "body part": ", ".join(rule.body_part) or "any",
        "plane": str(rule.plane or "any"),
        "words": ", ".join(rule.words) or "any",
        "without": ", ".join(rule.without) or "none",
        "slices": f"at least {rule.fewest_slices}",
    }
