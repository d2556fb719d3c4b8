"""How far readers agree: the Dice of their outlines, and kappa of their verdicts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from medseg.core.segmentation import Segmentation
from medseg.metrics.counts import count_voxels
from medseg.metrics.overlap import dice

from .pairing import paired
from .records import CaseName, Decision, Verdict, Version

Counts = NDArray[np.int64]
Outlines = tuple[CaseName, int]
_VERDICTS = tuple(Verdict)


@dataclass(frozen=True, eq=False)
class DiceMatrix:
    """Dice of each pair of readers, by structure.

    Attributes:
        readers: In the order of rows and columns.
        by_target: Symmetric, shape ``(readers, readers)``; the diagonal is 1. NaN where both are empty, and where a
            pair does not share the structure.
    """

    readers: tuple[str, ...]
    by_target: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Kappa:
    """Agreement beyond chance.

    Attributes:
        value: 1 is full agreement, 0 what chance gives, less than 0 worse than chance; None where it is not defined.
        observed: Share of pairs of verdicts that agree, 0 to 1; None if there is none.
        n: How many items were judged.
        reason: Why there is no value; empty if there is one.
    """

    value: float | None
    observed: float | None
    n: int
    reason: str = ""


@dataclass(frozen=True)
class VerdictAgreement:
    """How readers agree in their verdicts. An item is one version of a case's outlines.

    Attributes:
        pairs: Cohen's kappa of each two readers over the items that both judged.
        overall: Fleiss' kappa over the items that ``raters`` readers judged.
        raters: Of all numbers of readers from two up, the one that most items have; 0 if no item has two.
        left_out: Items that two or more readers judged, but not so many.
    """

    pairs: Mapping[tuple[str, str], Kappa]
    overall: Kappa
    raters: int
    left_out: int


def newest_versions(versions: Iterable[Version]) -> dict[str, Version]:
    """The newest version of each author of a case, the model's prediction among them, in order of the first ones."""
    newest: dict[str, Version] = {}
    for version in sorted(versions, key=lambda one: one.number):
        newest[version.author] = version
    return newest


def pairwise_dice(outlines: Mapping[str, Segmentation]) -> DiceMatrix:
    """Dice between readers, of the structures that at least two of them share.

    Args:
        outlines: By reader, on one grid. Each pair is asked for when its turn comes, so that a mapping that reads them
            then holds two at a time.

    Returns:
        The matrices; none if there is one reader.

    Raises:
        GeometryError: If the grids differ.
        LabelError: If two readers share no structure.
    """
    readers = tuple(outlines)
    by_target: dict[str, NDArray[np.float64]] = {}
    for one, other in combinations(range(len(readers)), 2):
        pair = paired(outlines[readers[one]], outlines[readers[other]])
        scores = dice(count_voxels(pair.predicted, pair.reference, pair.scheme))
        for target, score in zip(pair.scheme.targets, scores, strict=True):
            matrix = by_target.setdefault(target, _blank(len(readers)))
            matrix[one, other] = matrix[other, one] = score
    return DiceMatrix(readers, by_target)


def verdict_agreement(decisions: Iterable[Decision]) -> VerdictAgreement:
    """Kappa of verdicts, from the decisions of all readers.

    Verdicts are compared where they speak of the same version of a case, for another version is other outlines. Of
    several by one reader about one version the last counts.
    """
    judged = _last_verdicts(decisions)
    readers = sorted({reader for verdicts in judged.values() for reader in verdicts})
    pairs = {(one, other): cohen_kappa(_table(judged.values(), one, other)) for one, other in combinations(readers, 2)}
    sizes = Counter(len(verdicts) for verdicts in judged.values() if len(verdicts) > 1)
    raters = max(sizes, key=lambda size: (sizes[size], size), default=0)
    counts = [_counted(verdicts) for verdicts in judged.values() if len(verdicts) == raters]
    overall = fleiss_kappa(np.array(counts, np.int64).reshape(-1, len(_VERDICTS)))
    return VerdictAgreement(pairs, overall, raters, sizes.total() - sizes[raters])


def cohen_kappa(table: Counts) -> Kappa:
    """Cohen's kappa from how often one rater (rows) and another (columns) chose each category; 1960, eq. 1.

    Args:
        table: Items, shape ``(categories, categories)``.
    """
    n = int(table.sum())
    if n == 0:
        return Kappa(None, None, 0, "nothing was judged by both readers")
    observed = float(np.trace(table) / n)
    chance = int(table.sum(axis=0) @ table.sum(axis=1))
    return _kappa(observed, chance / n**2, n, is_constant=chance == n**2)


def fleiss_kappa(counts: Counts) -> Kappa:
    """Fleiss' kappa from how many raters put each item into each category (1971, eqs. 1 to 7).

    Args:
        counts: Raters, shape ``(items, categories)``; each item has the same number of raters.
    """
    n = len(counts)
    raters = int(counts[0].sum()) if n else 0
    if raters < 2:
        return Kappa(None, None, n, "no case was judged by two readers or more")
    observed = float(((counts**2).sum(axis=1) - raters).mean() / (raters * (raters - 1)))
    shares = counts.sum(axis=0) / (n * raters)
    return _kappa(observed, float(shares @ shares), n, is_constant=np.count_nonzero(shares) == 1)


def _kappa(observed: float, chance: float, n: int, *, is_constant: bool) -> Kappa:
    """Kappa; where all verdicts are the same chance would agree as well, and nothing is known of the readers."""
    if is_constant:
        return Kappa(None, observed, n, "all verdicts are the same, so that agreement by chance cannot be told apart")
    return Kappa((observed - chance) / (1 - chance), observed, n)


def _last_verdicts(decisions: Iterable[Decision]) -> dict[Outlines, dict[str, Verdict]]:
    judged: defaultdict[Outlines, dict[str, Verdict]] = defaultdict(dict)
    for decision in sorted(decisions, key=lambda one: one.made):
        judged[decision.case, decision.version][decision.reader] = decision.verdict
    return judged


def _table(judged: Iterable[Mapping[str, Verdict]], one: str, other: str) -> Counts:
    table = np.zeros((len(_VERDICTS),) * 2, np.int64)
    for verdicts in judged:
        if one in verdicts and other in verdicts:
            table[_VERDICTS.index(verdicts[one]), _VERDICTS.index(verdicts[other])] += 1
    return table


def _counted(verdicts: Mapping[str, Verdict]) -> Sequence[int]:
    chosen = list(verdicts.values())
    return [chosen.count(verdict) for verdict in _VERDICTS]


def _blank(readers: int) -> NDArray[np.float64]:
    matrix = np.full((readers, readers), np.nan)
    np.fill_diagonal(matrix, 1.0)
    return matrix
