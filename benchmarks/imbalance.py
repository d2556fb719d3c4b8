"""What losses, class weights and sampling do for lesions that fill 0.1 % of the voxels, on generated livers.

    python benchmarks/imbalance.py --minutes 10 --seeds 3

Every row trains the same network on the same cases for the same time, once a seed, and is scored on cases that no
training saw: Dice, and lesions found or made up (a lesion is found if a predicted voxel lies on it). Each run leaves
its scores in the output folder, so an interrupted benchmark goes on where it stopped; --processes 2 trains two at a
time, each with half the threads. Rows are chosen by --rows; with little time and few cases it is quickly tried:
--minutes 0.2 --seeds 1 --train 4 --test 2 --rows dice_ce dice.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from record import record, table
from side_by_side import side_by_side, threads_each

from medseg.config.sections import RunConfig
from medseg.core.labels import LabelScheme
from medseg.core.volume import LabelMap
from medseg.inference.bundle import read_bundle
from medseg.inference.predictor import Predictor
from medseg.io.formats import write_label_map, write_volume
from medseg.metrics.counts import count_voxels
from medseg.metrics.instances import LesionCounts, count_lesions, instances_of, overlaps
from medseg.metrics.overlap import dice
from medseg.phantom.lesions import LIVER_LESIONS, lesion_case
from medseg.pipelines.train import train
from medseg.training.state import read_checkpoint

DEFAULT = "dice_ce"
VALIDATION = 4
FIRST_TEST_SEED = 10_000
GRID = ((96, 96, 44), (4.0, 4.0, 5.0))


@dataclass(frozen=True, eq=False)
class Row:
    """One choice: the parts of the configuration that it changes."""

    name: str
    title: str
    loss: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Score:
    """One training on the test cases."""

    steps: int
    liver: float
    lesion: float
    found: float
    false: float


ROWS = (
    Row(DEFAULT, "Dice + CE (default)"),
    Row("dice", "Dice", {"name": "dice"}),
    Row("generalized_dice", "generalised Dice", {"name": "generalized_dice"}),
    Row("tversky", "Tversky 0.3, 0.7", {"name": "tversky"}),
    Row("focal_tversky", "focal Tversky", {"name": "focal_tversky"}),
    Row("dice_focal", "Dice + focal", {"name": "dice_focal"}),
    Row("dice_topk", "Dice + TopK 10 %", {"name": "dice_topk"}),
    Row("dice_boundary", "Dice + boundary", {"name": "dice_boundary"}),
    Row("dice_hausdorff", "Dice + Hausdorff", {"name": "dice_hausdorff"}),
    Row("dice_cldice", "Dice + clDice", {"name": "dice_cldice"}),
    Row("balanced", "Dice + CE, weights: balanced", training={"class_weights": "balanced"}),
    Row(
        "balanced_100",
        "Dice + CE, weights: balanced, ratio up to 100",
        training={"class_weights": "balanced", "class_weight_ratio": 100.0},
    ),
    Row("inverse", "Dice + CE, weights: inverse frequency", training={"class_weights": "inverse_frequency"}),
    Row("uniform", "Dice + CE, no patch on a structure", sampling={"foreground": 0.0}),
    Row("voxel", "Dice + CE, sampling by voxel", sampling={"balance": "voxel"}),
    Row("case", "Dice + CE, sampling by case", sampling={"balance": "case"}),
    Row("lesion_9", "Dice + CE, lesions 9 times as likely", sampling={"structure_weights": {"lesion": 9.0}}),
    Row("more", "Dice + CE, 67 % of the patches on a structure", sampling={"foreground": 0.67}),
)


def main() -> None:
    arguments = _arguments()
    share = _write_cohort(arguments)
    chosen = [row for row in ROWS if not arguments.rows or row.name in arguments.rows]
    tasks = [_Task(arguments, row, seed) for seed in range(arguments.seeds) for row in chosen]
    found = side_by_side(_score, tasks, arguments.processes)
    scores = {row: found[index :: len(chosen)] for index, row in enumerate(chosen)}
    base = next((found for row, found in scores.items() if row.name == DEFAULT), None)
    text = table([_shown(row, found, base) for row, found in scores.items()])
    told = (
        f"{arguments.minutes:.3g} minutes a run, on {threads_each(arguments.processes)} of the threads, "
        f"{arguments.seeds} seeds, {arguments.train} training cases, {arguments.test} test cases, "
        f"lesions fill {100 * share:.2f} % of the voxels"
    )
    record("imbalance", f"{text}\n\n{told}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=24)
    parser.add_argument("--test", type=int, default=24)
    parser.add_argument("--share", type=float, default=0.001, help="of the voxels that lesions fill")
    parser.add_argument("--rows", nargs="*", choices=[row.name for row in ROWS], help="all, unless some are named")
    parser.add_argument("--processes", type=int, default=1, help="that train side by side")
    parser.add_argument("--output", type=Path, default=Path("runs/imbalance"))
    return parser.parse_args()


def _write_cohort(arguments: argparse.Namespace) -> float:
    """Write training and validation cases unless they are there; the share of their voxels that lesions fill."""
    folder, shares = arguments.output / "cohort", []
    rows = ["case,split,label,image.CT"]
    for number in range(arguments.train + VALIDATION):
        case, part = lesion_case(number, *GRID, arguments.share), "validation" if number < VALIDATION else "train"
        shares.append(float((case.label.array == LIVER_LESIONS["lesion"].value).mean()))
        image, label = f"image-{number}.nii.gz", f"label-{number}.nii.gz"
        rows.append(f"c{number},{part},{label},{image}")
        if not (folder / label).exists():
            write_volume(folder / image, case.image)
            write_label_map(folder / label, case.label)
    values = {structure.name: structure.value for structure in LIVER_LESIONS.structures}
    (folder / "labels.json").write_text(json.dumps(values), encoding="utf-8")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return statistics.mean(shares)


@dataclass(frozen=True)
class _Task:
    arguments: argparse.Namespace
    row: Row
    seed: int


def _score(task: _Task) -> Score:
    """Train and score, or read what an earlier sitting scored."""
    arguments, row, seed = task.arguments, task.row, task.seed
    run = arguments.output / f"{row.name}-{seed}"
    file = run.with_suffix(".json")
    if not file.exists():
        result = train(_config(arguments, row, seed), run, resume=True)
        steps = read_checkpoint(run / "last.pt")["counters"]["step"]
        score = _on_test_cases(result.bundle, steps, arguments)
        file.write_text(json.dumps(asdict(score)), encoding="utf-8")
        shutil.rmtree(run / "prepared")
        print(f"{row.title}, seed {seed}: {score}", flush=True)
    return Score(**json.loads(file.read_text(encoding="utf-8")))


def _on_test_cases(bundle: Path, steps: int, arguments: argparse.Namespace) -> Score:
    model = read_bundle(bundle)
    predictor, scheme = Predictor(model), model.scheme
    lesions, scores = LesionCounts(0, 0, 0), []
    for seed in range(FIRST_TEST_SEED, FIRST_TEST_SEED + arguments.test):
        case = lesion_case(seed, *GRID, arguments.share)
        predicted = predictor.predict(case.image).labels
        scores.append(dice(count_voxels(predicted, case.label, scheme)))
        lesions += _lesions(predicted, case.label, scheme)
    liver, lesion = (statistics.mean(float(one[index]) for one in scores) for index in range(2))
    found = lesions.found / (lesions.found + lesions.missed)
    return Score(steps, liver, lesion, found, lesions.false / arguments.test)


def _lesions(predicted: LabelMap, reference: LabelMap, scheme: LabelScheme) -> LesionCounts:
    one, other = (instances_of(scheme.mask(labels, "lesion")) for labels in (predicted, reference))
    return count_lesions(overlaps(one, other))


def _shown(row: Row, scores: list[Score], base: list[Score] | None) -> dict[str, object]:
    gains = [score.lesion - plain.lesion for score, plain in zip(scores, base or [], strict=False)]
    return {
        "loss, weights, sampling": row.title,
        "steps": round(statistics.mean(score.steps for score in scores)),
        "Dice, liver": _spread([score.liver for score in scores]),
        "Dice, lesions": _spread([score.lesion for score in scores]),
        "minus the default, same seeds": "" if row.name == DEFAULT or not gains else _spread(gains, "+.3f"),
        "lesions found %": _spread([100 * score.found for score in scores], ".1f"),
        "false lesions a case": _spread([score.false for score in scores], ".2f"),
    }


def _spread(values: list[float], form: str = ".3f") -> str:
    """Mean and standard deviation."""
    mean = format(statistics.mean(values), form)
    return mean if len(values) < 2 else f"{mean} ± {format(statistics.stdev(values), form.lstrip('+'))}"


def _config(arguments: argparse.Namespace, row: Row, seed: int) -> RunConfig:
    training = {
        "budget": {"minutes": arguments.minutes, "steps": 50},
        "validate_every": max(1, math.ceil(2 * arguments.minutes)),
        "seed": seed,
    }
    return RunConfig.model_validate(
        {
            "name": f"imbalance {row.name}",
            "data": {"folder": str(arguments.output / "cohort" / "manifest.csv"), "layout": "manifest"},
            "channels": [{"name": "CT", "intensity": "ct", "clip": (-60, 260), "mean": 95, "std": 35}],
            "labels": {"structures": [{"name": one.name, "value": one.value} for one in LIVER_LESIONS.structures]},
            "preprocessing": {"spacing": GRID[1]},
            "network": {
                "name": "unet",
                "dims": 3,
                "features": (16, 32, 64, 128),
                "strides": [[1, 1, 1], *[[2, 2, 2]] * 3],
                "kernels": [[3, 3, 3]] * 4,
            },
            "loss": row.loss or {"name": DEFAULT},
            "sampling": {"patch": (48, 48, 24), "batch": 2, **row.sampling},
            "augmentation": {"mirror_axes": (0,)},
            "training": training | row.training,
            "postprocessing": {},
        }
    )


if __name__ == "__main__":
    main()
