"""``medseg compare RUN_A RUN_B``: which configuration, or which two together, do best on out-of-fold predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from medseg.config.sections import RunConfig
from medseg.core.case import CaseId
from medseg.core.errors import InputError
from medseg.core.progress import SILENT, Progress
from medseg.evaluation.aggregate import FOREGROUND, Mean, foreground, mean_over_patients
from medseg.evaluation.comparison import Comparison, check_comparable, check_scores, compare_models
from medseg.evaluation.paired import PairedDifference, paired_difference
from medseg.evaluation.result import finite, interval_text, share
from medseg.evaluation.scores_file import ModelScores

from .compare import CompareOptions, model_names, write_comparison
from .fit import open_cases
from .run_pair import FinishedRun, RunPair, pair_of, read_run


@dataclass(frozen=True, eq=False)
class Choice:
    """A configuration, or two whose probabilities are averaged.

    Attributes:
        name: What it is called.
        networks: How many its bundle has.
        dice: Mean over patients of the Dice of a case.
        behind: Its Dice minus that of the best; None for the best.
    """

    name: str
    networks: int
    dice: Mean
    behind: PairedDifference | None


@dataclass(frozen=True, eq=False)
class Selection:
    """What came of a comparison of cross-validations.

    Attributes:
        choices: The best first.
        comparison: All differences, by structure and score.
        bundle: Where the best one's bundle was written; None if nobody asked for it.
    """

    choices: tuple[Choice, ...]
    comparison: Comparison
    bundle: Path | None

    @property
    def best(self) -> Choice:
        """The one of the highest mean Dice; of several alike, the one with the fewest networks."""
        return self.choices[0]

    def verdict(self) -> str:
        """One sentence: which is best, and whether the next may be as good."""
        best, following = self.choices[:2]
        behind = following.behind
        if behind is None or math.isnan(behind.interval.low):
            return f"{best.name} is best: mean Dice {share(best.dice.value)}"
        doubt = ""
        if behind.interval.low > 0:  # the means are of other cases where only one of them has a score
            doubt = " though ahead in the cases that both have a score of,"
        elif behind.interval.high >= 0:
            doubt = " which may be chance,"
        return (
            f"{best.name} is best: mean Dice {share(best.dice.value)} with {best.networks} networks; {following.name}, "
            f"with {following.networks}, is next:{doubt} {share(behind.difference)} "
            f"({interval_text('dice', behind.interval)})"
        )

    def rows(self) -> list[dict[str, Any]]:
        """One row a choice, the best first."""
        level = f"{100 * self.comparison.settings.level:g} % CI"
        rows = []
        for one in self.choices:
            behind = one.behind
            rows.append(
                {
                    "configuration": one.name,
                    "networks": one.networks,
                    "Dice": finite(one.dice.value),
                    level: interval_text("dice", one.dice.interval, "-"),
                    "minus the best": None if behind is None else share(behind.difference),
                    f"{level} of it": None if behind is None else interval_text("dice", behind.interval),
                }
            )
        return rows


def compare_runs(
    runs: Sequence[Path],
    output: Path,
    options: CompareOptions | None = None,
    bundle: Path | None = None,
    data: Path | None = None,
    progress: Progress = SILENT,
) -> Selection:
    """Compare cross-validations, and each two of them together, on the cases that none of their networks trained on.

    Of two runs the out-of-fold probabilities are averaged; temperature, thresholds and clean-up of the two are chosen
    anew. The highest mean Dice over patients wins. The folder gets ``compare.json`` and ``compare.html``, and for each
    two runs a folder as ``evaluate`` writes it, with the label maps.

    Args:
        runs: Folders of finished cross-validations, two or more.
        output: Folder for the comparison; made if it does not exist.
        options: Scores, intervals.
        bundle: New folder for the model of the best.
        data: Where the data set lies now; where the first run had it, if it is not given.
        progress: Told how far it is.

    Raises:
        InputError: If there are fewer than two runs, one is no finished cross-validation, they cannot be compared, or
            the bundle's folder exists.
        DataError: If a prediction or a reference cannot be read.
        OutputError: If something cannot be written.
    """
    options = options or CompareOptions()
    check_scores(options.scores)
    if len(runs) < 2:
        raise InputError("a comparison needs two runs or more; name the folders that `medseg train --folds` wrote")
    if bundle is not None and bundle.exists():
        raise InputError(f"{str(bundle)!r} exists already; name a new folder for the bundle")
    if output.exists() and not output.is_dir():
        raise InputError(f"{str(output)!r} is a file; the comparison needs a folder")
    finished = [read_run(run, name) for run, name in zip(runs, model_names(runs), strict=True)]
    for one, other in combinations(finished, 2):
        check_comparable(one.scores, other.scores)
    dataset = open_cases(_at(finished[0].config, data))
    pairs = [pair_of(two, dataset, output, progress) for two in combinations(finished, 2)]
    entries: list[FinishedRun | RunPair] = [*finished, *(pair for pair in pairs if pair is not None)]
    found = compare_models([one.scores for one in entries], options.scores, options.bootstrap)
    write_comparison(found, output)
    order, choices = _ranked(entries, found)
    if bundle is not None:
        order[0].write(bundle)
    progress.finish()
    return Selection(choices, found, bundle)


def _ranked(
    entries: Sequence[FinishedRun | RunPair], found: Comparison
) -> tuple[tuple[FinishedRun | RunPair, ...], tuple[Choice, ...]]:
    """The best first, and what each of them is behind it; of several alike the one with the fewest networks."""
    patients, settings = entries[0].scores.patients, found.settings
    values = {entry.scores.name: _dice(entry.scores, found) for entry in entries}
    means = {name: mean_over_patients(dice, patients, settings) for name, dice in values.items()}
    dice = {name: -1.0 if math.isnan(mean.value) else mean.value for name, mean in means.items()}
    order = sorted(entries, key=lambda entry: (-dice[entry.scores.name], entry.networks))
    best = order[0].scores.name
    choices = []
    for entry in order:
        name = entry.scores.name
        behind = paired_difference((found.overall, "dice"), values[best], values[name], patients, settings)
        choices.append(Choice(name, entry.networks, means[name], None if name == best else behind))
    return tuple(order), tuple(choices)


def _dice(scores: ModelScores, found: Comparison) -> dict[CaseId, float]:
    """Dice of the cases that all have: the mean over structures, or that of the only one."""
    if found.overall == FOREGROUND:
        values = foreground(scores.rows, "dice")
    else:
        values = {row.case: row.dice for row in scores.rows}
    return {case: values[case] for case in found.cases if case in values}


def _at(config: RunConfig, folder: Path | None) -> RunConfig:
    """The configuration with its data set in another place, if one is given."""
    data = config.data if folder is None else config.data.model_copy(update={"folder": folder})
    return config.model_copy(update={"data": data})
