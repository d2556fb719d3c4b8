"""One stage against two: what a localiser does to Dice, windows and seconds, for the same training time in all.

    python benchmarks/cascade.py --minutes 3
    python benchmarks/cascade.py --minutes 3 --data DATASET --name liver

Without --data it works on generated CT of which two organs, a few per cent of the volume, are labelled. The data set is
planned once with a localiser; the single stage is the same plan without it. Of a data set without test cases a quarter
of the patients is kept aside. Runs are kept in the output folder, so that an interrupted benchmark goes on where it
stopped. To try it quickly: --minutes 0.1 --train 3 --test 1 --voxels 48.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from record import record, table

from medseg.config.load import load_config
from medseg.config.schemes import label_scheme
from medseg.config.sections import PostprocessingSection, RunConfig
from medseg.core.anatomy import structures_of
from medseg.core.case import Case
from medseg.core.labels import LabelScheme
from medseg.data.joining import Joining
from medseg.data.layouts import open_dataset
from medseg.data.load import load_case
from medseg.data.split import read_split
from medseg.inference.bundle import read_bundle
from medseg.inference.bundle_files import LOCALISER
from medseg.inference.predictor import Predictor
from medseg.inference.settings import PredictionSettings
from medseg.io.formats import write_label_map, write_volume
from medseg.metrics.counts import count_voxels
from medseg.metrics.overlap import dice
from medseg.phantom.anatomy import draw_anatomy
from medseg.phantom.bodies import Exposure, axial_grid, take_ct
from medseg.pipelines.plan import PlanOptions, plan
from medseg.pipelines.train import train
from medseg.training.state import read_checkpoint

ORGANS = LabelScheme(structures_of({"left kidney": 1, "right kidney": 2}))
EXTENT_MM = (410.0, 410.0, 480.0)
VALIDATION = 2
SINGLE, CASCADE = "single stage", "localiser, then full resolution"


@dataclass(frozen=True)
class Score:
    """One model on one test case."""

    dice: tuple[float, ...]
    seconds: float
    processor_seconds: float
    windows: int
    coarse_windows: int


class Windows:
    """Progress that counts windows, those of the localiser apart."""

    def __init__(self) -> None:
        self.counts = {False: 0, True: 0}
        self._is_coarse = False

    def start(self, label: str, total: int) -> None:  # noqa: ARG002 - it counts itself
        """See ``Progress``."""
        self._is_coarse = label == "finding the region"

    def advance(self, steps: int = 1) -> None:
        """See ``Progress``."""
        self.counts[self._is_coarse] += steps

    def note(self, text: str) -> None:
        """See ``Progress``."""
        print(text, flush=True)

    def finish(self) -> None:
        """Nothing to do."""


def main() -> None:
    arguments = _arguments()
    arguments.output.mkdir(parents=True, exist_ok=True)
    config = _config(arguments, arguments.data or _phantoms(arguments))
    scores = {name: _scores(arguments, config, name) for name in (SINGLE, CASCADE)}
    scheme = label_scheme(config.labels)
    rows = table([_row(name, _run(arguments, name), found, scheme) for name, found in scores.items()])
    cases = len(scores[SINGLE])
    told = f"{arguments.minutes:g} minutes of training in all for each, {cases} test cases, runtime torch"
    coarse = config.localiser and config.localiser.spacing
    grids = f"full resolution {_times(config.preprocessing.spacing)} mm, localiser {_times(coarse)} mm"
    record(f"cascade-{arguments.name}", f"{rows}\n\n{told}; {grids}, window {_times(config.sampling.patch)}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a data set in the place of phantoms")
    parser.add_argument("--name", default="phantom", help="of the table")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--plan-minutes", type=float, help="that the plan is sized for; less where others compute too")
    parser.add_argument("--train", type=int, default=12, help="phantoms")
    parser.add_argument("--test", type=int, default=6, help="phantoms")
    parser.add_argument("--voxels", type=int, default=128, help="of a phantom along its longer edges")
    parser.add_argument("--output", type=Path, default=Path("runs/cascade"))
    return parser.parse_args()


def _phantoms(arguments: argparse.Namespace) -> Path:
    """Write the cases that are not there yet; the manifest."""
    folder, rows = arguments.output / "phantoms", []
    parts = ["train"] * arguments.train + ["validation"] * VALIDATION + ["test"] * arguments.test
    for number, part in enumerate(parts):
        image, label = folder / f"image-{number}.nii.gz", folder / f"label-{number}.nii.gz"
        rows.append({"case": f"c{number}", "split": part, "label": label.name, "image.CT": image.name})
        if not label.exists():
            case = _phantom(number, arguments.voxels)
            write_volume(image, case[0])
            write_label_map(label, case[1])
    (folder / "labels.json").write_text(json.dumps({one.name: one.value for one in ORGANS.structures}))
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


def _phantom(seed: int, voxels: int):  # noqa: ANN202 - an image and its labels
    rng = np.random.default_rng(seed)
    size = max(EXTENT_MM[:2]) / voxels
    middle = (float(rng.normal(0, 12)), float(rng.normal(0, 12)), float(rng.normal(0, 60)))
    grid = axial_grid((voxels, voxels, round(EXTENT_MM[2] / size)), (size, size, size), middle)
    return take_ct(draw_anatomy(rng), grid, Exposure.draw(rng), rng, ORGANS)


def _config(arguments: argparse.Namespace, data: Path) -> RunConfig:
    """The plan of the cascade."""
    file = arguments.output / f"{arguments.name}.yaml"
    if not file.exists():
        minutes = arguments.plan_minutes or arguments.minutes
        for note in plan(data, file, PlanOptions(budget=f"{minutes}min", localiser=True)).notes:
            print(note)
    config = load_config(file, [f"training.budget.minutes={arguments.minutes}"])
    split = config.data.split.model_copy(update={"test": 0.0 if arguments.data is None else 0.25})
    changes = {"data": config.data.model_copy(update={"split": split}), "postprocessing": PostprocessingSection()}
    return config.model_copy(update=changes)


def _run(arguments: argparse.Namespace, name: str) -> Path:
    folder: Path = arguments.output / f"{arguments.name}-{'cascade' if name == CASCADE else 'single'}"
    return folder


def _scores(arguments: argparse.Namespace, config: RunConfig, name: str) -> list[Score]:
    """Train and score, or read what an earlier sitting scored."""
    run = _run(arguments, name)
    file = run.with_suffix(".json")
    if not file.exists():
        own = config if name == CASCADE else config.model_copy(update={"localiser": None})
        predictor = Predictor(read_bundle(train(own, run, resume=True, progress=Windows()).bundle), _settings())
        found = [_score(predictor, case, label_scheme(config.labels)) for case in _test_cases(config, run)]
        file.write_text(json.dumps([asdict(score) for score in found]), encoding="utf-8")
    rows = json.loads(file.read_text(encoding="utf-8"))
    return [Score(**row | {"dice": tuple(row["dice"])}) for row in rows]


def _settings() -> PredictionSettings:
    return PredictionSettings(runtime="torch")


def _test_cases(config: RunConfig, run: Path) -> Iterator[Case]:
    dataset, scheme = open_dataset(config.data.folder, config.data.layout), label_scheme(config.labels)
    names = tuple(channel.name for channel in config.channels)
    for case in read_split(run / "split.json").test:
        yield load_case(dataset.case(case), names, scheme, Joining.of(config))


def _score(predictor: Predictor, case: Case, scheme: LabelScheme) -> Score:
    told, begun, busy = Windows(), time.perf_counter(), time.process_time()
    found = predictor.predict(case.image, told)
    seconds, processor = time.perf_counter() - begun, time.process_time() - busy
    for note in found.notes:
        print(note, flush=True)
    values = dice(count_voxels(found.labels, case.label, scheme))
    return Score(tuple(map(float, values)), seconds, processor, told.counts[False], told.counts[True])


def _steps(run: Path) -> str:
    """Optimizer steps of a run, and before them those of its localiser."""
    folders = [folder for folder in (run / LOCALISER, run) if (folder / "last.pt").exists()]
    counters = [read_checkpoint(folder / "last.pt")["counters"] for folder in folders]
    return " + ".join(str(one["step"]) for one in counters)


def _row(name: str, run: Path, scores: list[Score], scheme: LabelScheme) -> dict[str, object]:
    means = {target: np.nanmean([one.dice[place] for one in scores]) for place, target in enumerate(scheme.targets)}
    coarse = statistics.median(one.coarse_windows for one in scores)
    fine = statistics.median(one.windows for one in scores)
    return {
        "model": name,
        "steps": _steps(run),
        **{f"Dice, {target}": f"{value:.3f}" for target, value in means.items()},
        "lowest": f"{min(float(np.nanmin(one.dice)) for one in scores):.3f}",
        "windows a volume": f"{fine:g}" + (f" + {coarse:g} of the localiser" if coarse else ""),
        "seconds a volume": f"{statistics.median(one.seconds for one in scores):.1f}",
        "of the processor": f"{statistics.median(one.processor_seconds for one in scores):.1f}",
    }


def _times(values: tuple[float, ...] | None) -> str:
    return "x".join(f"{value:g}" for value in values or ())


if __name__ == "__main__":
    main()
