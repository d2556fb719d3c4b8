"""How sure a ranking of models is: would other patients have given another one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .intervals import Bootstrap

_BATCH = 1000
_DIGITS = 9


@dataclass(frozen=True, eq=False)
class Ranking:
    """Ranks of models by their mean over patients, 1 the best; equals share the mean of their ranks.

    Attributes:
        models: Their names.
        means: Of each, shape ``(models,)``.
        ranks: Of each, in all patients.
        shares: How often each model (row) takes each rank (column, from 1) when patients are drawn anew; of equals each
            takes every rank that they share with the same weight.
        agreement: Mean of Kendall's tau between the ranking of all patients and that of each draw; NaN for one model.
    """

    models: tuple[str, ...]
    means: NDArray[np.float64]
    ranks: NDArray[np.float64]
    shares: NDArray[np.float64]
    agreement: float


def ranking(
    models: Sequence[str], values: NDArray[np.float64], settings: Bootstrap, *, higher_is_better: bool = True
) -> Ranking:
    """The ranking, and how it holds when patients are drawn with replacement.

    Args:
        models: Names.
        values: Shape ``(models, patients)``, the same patients for all, no NaN.
        settings: Resamples and seed.
        higher_is_better: Whether the largest mean is the best.

    References:
        Wiesenfarth et al., 2021, Scientific Reports 11:2369 (challengeR).
    """
    signed = -values if higher_is_better else values
    ranks = stats.rankdata(_rounded(signed.mean(axis=1)))
    shares = np.zeros((len(models), len(models)))
    rng, taus, patients = np.random.default_rng(settings.seed), 0.0, values.shape[1]
    for start in range(0, settings.resamples, _BATCH):
        rows = min(_BATCH, settings.resamples - start)
        counts = rng.multinomial(patients, np.full(patients, 1 / patients), size=rows)
        drawn = _rounded(signed @ counts.T / patients)
        shares += _shares(drawn)
        taus += _taus(ranks, drawn)
    return Ranking(tuple(models), values.mean(axis=1), ranks, shares / settings.resamples, taus / settings.resamples)


def _rounded(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the last bits, by which sums of equal values differ when they are added in another order."""
    return np.round(means, _DIGITS)


def _shares(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """How often each model takes each rank; ``drawn`` has shape ``(models, draws)``, small is good."""
    lowest, highest = (stats.rankdata(drawn, method=method, axis=0) for method in ("min", "max"))
    places = np.arange(1, len(drawn) + 1)[:, None, None]
    taken = (places >= lowest) & (places <= highest)
    weights: NDArray[np.float64] = (taken / (highest - lowest + 1)).sum(axis=2).T
    return weights


def _taus(ranks: NDArray[np.float64], drawn: NDArray[np.float64]) -> float:
    """Sum over the draws of Kendall's tau-a with the ranking of all patients."""
    first, second = np.triu_indices(len(ranks), 1)
    if not first.size:
        return float("nan")
    order = np.sign(ranks[first] - ranks[second])[:, None]
    return float((order * np.sign(drawn[first] - drawn[second])).mean(axis=0).sum())
