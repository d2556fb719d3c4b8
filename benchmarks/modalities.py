"""What a missing sequence costs a model that was trained for it, and one that was not.

    python benchmarks/modalities.py --minutes 3 --seeds 3

Works on heads of which it is known which sequence shows which structure (``medseg/phantom/sequences.py``). Two models
learn the same training cases: a plain one, which gets a constant image in the place of a missing sequence (what a user
could do with any model), and one with ``optional`` channels. The score is the mean Dice of the test cases over the
structures that the given sequences still show; the others are listed, and count nowhere.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from record import record, table

from medseg.config.sections import RunConfig
from medseg.core.case import Case
from medseg.core.volume import Volume
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.inference.bundle import read_bundle
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.metrics.counts import count_voxels
from medseg.metrics.overlap import dice
from medseg.phantom.sequences import CONTRAST, SEQUENCES, STRUCTURES, write_sequences
from medseg.pipelines.train import train

GIVEN = (SEQUENCES, ("T2", "FLAIR"), ("T1", "FLAIR"), ("T1", "T2"), ("T1",), ("T2",), ("FLAIR",))
PLAIN, OPTIONAL = "plain", "optional channels"


@dataclass(frozen=True)
class Options:
    """What varies between runs of the benchmark."""

    folder: Path
    cases: int
    minutes: float
    seeds: int
    dropout: float
    dims: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=36, help="a third trains, a third validates, a third tests")
    parser.add_argument("--minutes", type=float, default=3.0, help="of training, for each model")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--dims", type=int, choices=(2, 3), default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = Options(Path(folder), given.cases, given.minutes, given.seeds, given.dropout, given.dims)
        record("modalities", table(_rows(options)))


def _rows(options: Options) -> list[dict[str, object]]:
    write_sequences(options.folder / "heads", options.cases, one_grid=True)
    found = {name: [_scores(options, name, seed) for seed in range(options.seeds)] for name in (PLAIN, OPTIONAL)}
    return [_row(given, found) for given in GIVEN]


def _row(given: tuple[str, ...], found: dict[str, list[dict[tuple[str, ...], np.ndarray]]]) -> dict[str, object]:
    """Mean over the structures that are shown, with its standard deviation over the seeds."""
    shown = [any(name in given for name in CONTRAST[structure]) for structure in STRUCTURES.names]
    hidden = [name for name, is_shown in zip(STRUCTURES.names, shown, strict=True) if not is_shown]
    row: dict[str, object] = {"given": ", ".join(given), "not shown": ", ".join(hidden) or "-"}
    for name, seeds in found.items():
        means = [float(scores[given][shown].mean()) for scores in seeds]
        row[name] = f"{np.mean(means):.3f} ± {np.std(means):.3f}"
    return row


def _scores(options: Options, name: str, seed: int) -> dict[tuple[str, ...], np.ndarray]:
    """Mean Dice of each structure over the test cases, by the sequences that are given."""
    run = options.folder / f"{name}-{seed}"
    bundle = read_bundle(train(_config(options, name, seed), run).bundle)
    predictor, cases = Predictor(bundle, PredictionSettings(device="auto")), _test_cases(options)
    return {given: np.mean([_dice(predictor, case, given, name) for case in cases], axis=0) for given in GIVEN}


def _dice(predictor: Predictor, case: Case, given: tuple[str, ...], name: str) -> np.ndarray:
    image = case.image
    rows = [image.channels.index(channel) for channel in given]
    if name == PLAIN:
        array = np.zeros_like(image.array)
        array[rows] = image.array[rows]
        image = Volume(array, image.geometry, image.channels)
    else:
        image = Volume(image.array[rows], image.geometry, given)
    return dice(count_voxels(predictor.predict(image).labels, case.label, STRUCTURES))


def _test_cases(options: Options) -> list[Case]:
    cases = open_dataset(options.folder / "heads").cases
    return [load_case(files, SEQUENCES, STRUCTURES) for files in cases if files.split == "test"]


def _config(options: Options, name: str, seed: int) -> RunConfig:
    dims = options.dims
    steps = ((1,) * dims, (2,) * dims, (2,) * dims)
    channels = [{"name": one, "optional": name == OPTIONAL} for one in SEQUENCES]
    return RunConfig.model_validate(
        {
            "name": "modalities",
            "data": {"folder": options.folder / "heads"},
            "channels": channels,
            "labels": {"structures": [{"name": one.name, "value": one.value} for one in STRUCTURES.structures]},
            "preprocessing": {},
            "network": {"name": "unet", "dims": dims, "features": (8, 16, 32), "strides": steps,
                        "kernels": ((3,) * dims,) * 3},
            "sampling": {"patch": (24, 24, 24 if dims == 3 else 1), "batch": 2 if dims == 3 else 12,
                         "foreground": 0.67, "channel_dropout": options.dropout},
            "training": {"budget": {"minutes": options.minutes}, "seed": seed},
            "augmentation": {"mirror_axes": (0, 1, 2)[:dims]},
            "postprocessing": {},
        }
    )  # fmt: skip


if __name__ == "__main__":
    main()
