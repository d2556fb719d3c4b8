"""The cases that an export looks at: those that fit the ranges of integers, and those that judge the result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medseg.config.sections import RunConfig
from medseg.core.errors import InputError
from medseg.core.geometry import Shape
from medseg.core.labels import IGNORE_INDEX, LabelScheme
from medseg.data.dataset import CaseFiles, Dataset
from medseg.data.documents import read_json
from medseg.data.joining import Joining
from medseg.data.load import load_case
from medseg.data.sampling import cut
from medseg.transforms.preprocess import Prepared, prepare_case

MOST_CALIBRATING, MOST_HELD_OUT = 12, 20
"""More cases change neither ranges nor scores by much, and each takes its time."""
WINDOWS_A_CASE = 3
_HELD_OUT_OF = 4


@dataclass(frozen=True)
class ExportCases:
    """Labelled cases of a data set.

    Attributes:
        calibrating: Whose windows fit the ranges of integers.
        held_out: That judge; none of them calibrates, and none trained the model if the data set has such.
    """

    calibrating: tuple[CaseFiles, ...]
    held_out: tuple[CaseFiles, ...]


def divide_cases(dataset: Dataset, trained: Sequence[str]) -> ExportCases:
    """Which cases calibrate, and which judge.

    Cases that trained the model calibrate, the others judge. If the data set holds none of those that trained, every
    fourth of its cases judges, and the others calibrate.

    Args:
        dataset: Its labelled cases count.
        trained: Ids of the cases that trained the model.

    Raises:
        InputError: If fewer than two cases are labelled, or all of them trained.
    """
    labelled, known = dataset.labelled, set(trained)
    if len(labelled) < 2:
        raise InputError(
            f"an export needs two labelled cases to calibrate and to judge, the data holds {len(labelled)}"
        )
    training = tuple(case for case in labelled if case.id in known)
    others = tuple(case for case in labelled if case.id not in known)
    if not others:
        raise InputError("all cases of this data trained the model; name data with cases that did not, to judge by")
    if not training:
        others = labelled[::_HELD_OUT_OF]
        training = tuple(case for case in labelled if case not in others)
    return ExportCases(_spread(training, MOST_CALIBRATING), _spread(others, MOST_HELD_OUT))


def trained_cases(bundle: Path) -> tuple[str, ...]:
    """Ids of the cases that trained a bundle; empty if it does not tell.

    Raises:
        ReadError: If ``split.json`` is damaged.
    """
    path = bundle / "split.json"
    cases = read_json(path).get("train") if path.is_file() else None
    return tuple(map(str, cases)) if isinstance(cases, list) else ()


def prepared_cases(cases: Iterable[CaseFiles], config: RunConfig, scheme: LabelScheme) -> Iterator[Prepared]:
    """The cases as a network sees them, one at a time.

    Raises:
        DataError: If one cannot be read.
        InputError: If it lacks a channel.
    """
    names, joining = tuple(channel.name for channel in config.channels), Joining.of(config)
    for files in cases:
        case = load_case(files, names, scheme, joining)
        yield prepare_case(case, config.preprocessing, config.channels, scheme)


def case_windows(cases: Iterable[Prepared], config: RunConfig, rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Three windows of each case as the network takes them, ``(c, *spatial)``; the first on a structure if it has one.

    Args:
        cases: With targets.
        config: Says how large a window is.
        rng: Draws them.
    """
    roi, dims = config.sampling.patch, config.network.dims
    found = []
    for case in cases:
        for number in range(WINDOWS_A_CASE):
            start = _start(case, roi, rng, on_structure=number == 0)
            found.append(cut(case.image, start, roi).reshape(case.image.shape[0], *roi[:dims]))
    return found


def random_windows(shape: Sequence[int], count: int, rng: np.random.Generator) -> list[NDArray[np.float32]]:
    """Windows of noise like normalised images, ``(c, *spatial)``, for an input ``(1, c, *spatial)``."""
    return [rng.standard_normal(tuple(shape[1:]), dtype=np.float32) for _ in range(count)]


def _start(case: Prepared, roi: Shape, rng: np.random.Generator, *, on_structure: bool) -> list[int]:
    size = case.image.shape[1:]
    voxels = _structure_voxels(case) if on_structure else np.empty(0, np.intp)
    if len(voxels):
        centre = np.unravel_index(int(rng.choice(voxels)), size)
        wanted = [int(c) - n // 2 for c, n in zip(centre, roi, strict=True)]
    else:
        wanted = [int(rng.integers(min(0, n - m), max(0, n - m) + 1)) for n, m in zip(size, roi, strict=True)]
    limits = [(min(0, n - m), max(0, n - m)) for n, m in zip(size, roi, strict=True)]
    return [min(max(first, low), high) for first, (low, high) in zip(wanted, limits, strict=True)]


def _structure_voxels(case: Prepared) -> NDArray[np.intp]:
    if case.target is None:
        return np.empty(0, np.intp)
    held = (case.target > 0) & (case.target != IGNORE_INDEX)
    return np.flatnonzero(held if held.ndim == 3 else held.any(axis=0))


def _spread(cases: Sequence[CaseFiles], most: int) -> tuple[CaseFiles, ...]:
    """At most so many cases, taken evenly from all."""
    return tuple(islice(cases[:: -(-len(cases) // most)], most))
